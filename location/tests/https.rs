//! HTTPS against a server with a certificate of the test's own authority.
#![cfg(feature = "tls")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

#[expect(dead_code, reason = "the unit tests use the rest")]
#[path = "../src/testing/http.rs"]
mod http;
mod support;

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use http::{Reply, Request, Server};
use rcgen::{CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// An authority, and its certificate in a file that is gone when dropped.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    file: PathBuf,
}

impl Authority {
    fn new(test: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, format!("chukka {test}"));
        params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let name = format!("chukka-authority-{test}-{}.pem", std::process::id());
        let file = std::env::temp_dir().join(name);
        fs::write(&file, issuer.pem()).unwrap();
        Self { issuer, file }
    }

    /// A server that proves to be `host`.
    fn server(
        &self,
        host: &str,
        answers: impl Fn(&Request, usize) -> Reply + Send + Sync + 'static,
    ) -> Server {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([host.to_owned()]).unwrap();
        let certificate: CertificateDer<'static> =
            params.signed_by(&key, &self.issuer).unwrap().der().clone();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        let config = Arc::new(config);
        Server::over(answers, move |connection| {
            let server = ServerConnection::new(Arc::clone(&config)).ok()?;
            Some(StreamOwned::new(server, connection))
        })
    }

    fn variable(&self) -> [(&str, &str); 1] {
        [("SSL_CERT_FILE", self.file.to_str().unwrap())]
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.file);
    }
}

fn https(server: &Server, path: &str) -> String {
    server.url(path).replace("http://127.0.0.1", "https://localhost")
}

fn content() -> String {
    (0..60_000).map(|number| format!("{number} ")).collect()
}

#[test]
fn the_systems_authorities_are_trusted() {
    if support::is_reader() {
        return;
    }
    let authority = Authority::new("trusted");
    let server = authority
        .server("localhost", |request, _| Reply::file(request, content().as_bytes(), "\"1\""));
    let test = "the_systems_authorities_are_trusted";
    let said = support::read(test, &https(&server, "/x"), &authority.variable());
    assert!(said == format!("read: {}", content()), "{}", &said[..200.min(said.len())]);
    assert_eq!(server.asked(), ["/x 0-131071", "/x 131072-"]);
    assert_eq!(server.connections(), 1);
}

#[test]
fn nobody_else_is() {
    if support::is_reader() {
        return;
    }
    let (authority, stranger) = (Authority::new("known"), Authority::new("stranger"));
    for (server, words) in [
        (stranger.server("localhost", |_, _| Reply::new(200, "x")), "no known authority signed"),
        (
            authority.server("elsewhere.example", |_, _| Reply::new(200, "x")),
            "certificate is for another host",
        ),
    ] {
        let said = support::read("nobody_else_is", &https(&server, "/x"), &authority.variable());
        assert!(said.starts_with("failed: ") && said.contains("no secure connection"), "{said}");
        assert!(said.contains(words) && said.contains("SSL_CERT_FILE"), "{said}");
        assert!(server.asked().is_empty());
    }
}

#[test]
fn a_redirection_leads_into_safety_and_not_out_of_it() {
    if support::is_reader() {
        return;
    }
    let test = "a_redirection_leads_into_safety_and_not_out_of_it";
    let authority = Authority::new("redirection");
    let plain = Server::new(|_, _| Reply::new(200, "anybody's"));
    let target = plain.url("/plain");
    let safe = authority.server("localhost", move |request, _| match request.target() {
        "/out" => Reply::to(&target),
        _ => Reply::new(200, "safe"),
    });
    let said = support::read(test, &https(&safe, "/out"), &authority.variable());
    assert!(said.contains("redirects from https: to http://127.0.0.1"), "{said}");
    assert!(plain.asked().is_empty());
    let target = https(&safe, "/in");
    let leading = Server::new(move |_, _| Reply::to(&target));
    let said = support::read(test, &leading.url("/x"), &authority.variable());
    assert_eq!(said, "read: safe");
}

/// The end of the connection is the end of the body only if TLS says that it is one (RFC 8446,
/// 6.1): here it does not.
#[test]
fn a_body_that_is_cut_short_is_no_body() {
    if support::is_reader() {
        return;
    }
    let authority = Authority::new("cut");
    let server = authority.server("localhost", |_, _| Reply::raw("HTTP/1.1 200 OK\r\n\r\nhalf of"));
    let test = "a_body_that_is_cut_short_is_no_body";
    let said = support::read(test, &https(&server, "/x"), &authority.variable());
    assert!(said.starts_with("failed: ") && said.contains("broke"), "{said}");
}
