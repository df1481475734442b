//! Proxies, as the environment names them.
#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

#[expect(dead_code, reason = "the unit tests use the rest")]
#[path = "../src/testing/http.rs"]
mod http;
mod support;

use http::{Reply, Server};

/// A name that does not resolve, so that requests without a proxy fail.
const FAR: &str = "http://far.invalid/a%20file?x";

fn proxy() -> Server {
    Server::new(|request, _| match request.line.split(' ').next() {
        Some("CONNECT") => Reply::new(403, "not there"),
        _ => Reply::new(200, format!("{} of {}", request.line, request.header("host"))),
    })
}

#[test]
fn a_proxy_is_asked_for_whole_urls() {
    if support::is_reader() {
        return;
    }
    let proxy = proxy();
    let url = proxy.url("");
    let bare = url.trim_start_matches("http://");
    let with_login = format!("http://me:a%20word@{bare}/");
    let read = |variables: &[_]| support::read("a_proxy_is_asked_for_whole_urls", FAR, variables);
    let expected = format!("read: GET {FAR} of far.invalid");
    let ways: [&[(&str, &str)]; 6] = [
        &[("http_proxy", &url)],
        &[("HTTP_PROXY", bare), ("http_proxy", "")],
        &[("all_proxy", &url), ("https_proxy", "http://127.0.0.1:1")],
        &[("http_proxy", &url), ("no_proxy", "far, example.org,invalid:81,ar.invalid")],
        &[("ALL_PROXY", &url), ("REQUEST_METHOD", "GET"), ("HTTP_PROXY", "http://127.0.0.1:1")],
        &[("http_proxy", &with_login)],
    ];
    for (count, variables) in ways.iter().enumerate() {
        assert_eq!(read(variables), expected, "{variables:?}");
        let requests = proxy.requests();
        assert_eq!(requests.len(), count + 1);
        // base64 of "me:a word".
        let login = if count == 5 { "Basic bWU6YSB3b3Jk" } else { "" };
        assert_eq!(requests[count].header("proxy-authorization"), login);
    }
}

#[test]
fn exceptions_are_asked_directly() {
    if support::is_reader() {
        return;
    }
    let server = Server::new(|request, _| Reply::new(200, request.line.clone()));
    let url = server.url("/x").replace("127.0.0.1", "localhost");
    let port = url.rsplit_once(':').unwrap().1.trim_end_matches("/x");
    let with_port = format!("localhost:{port}");
    let read = |name: &str, value: &str| {
        let variables = [("http_proxy", "http://127.0.0.1:1"), (name, value)];
        support::read("exceptions_are_asked_directly", &url, &variables)
    };
    for value in ["localhost", "LOCALHOST", ".localhost", "a,b, localhost", "*", &with_port] {
        assert_eq!(read("no_proxy", value), "read: GET /x", "{value}");
    }
    assert_eq!(read("NO_PROXY", "localhost"), "read: GET /x");
    for value in ["", "host", "localhost.localdomain", "localhost:1"] {
        assert!(read("no_proxy", value).contains("refuses the connection"), "{value}");
    }
}

#[test]
#[cfg(feature = "tls")]
fn a_proxy_for_https_is_asked_for_a_tunnel() {
    if support::is_reader() {
        return;
    }
    let proxy = proxy();
    let url = FAR.replace("http:", "https:");
    let variables = [("https_proxy", &*proxy.url("")), ("http_proxy", "http://127.0.0.1:1")];
    let said = support::read("a_proxy_for_https_is_asked_for_a_tunnel", &url, &variables);
    assert!(said.contains("the proxy cannot connect to far.invalid"), "{said}");
    assert!(said.contains("check https_proxy"), "{said}");
    assert_eq!(proxy.requests()[0].line, "CONNECT far.invalid:443");
}

#[test]
#[cfg(feature = "tls")]
fn what_is_no_proxy_is_told_by_the_variables_name() {
    if support::is_reader() {
        return;
    }
    for (scheme, name, value) in [
        ("http", "http_proxy", "socks5://me:secret@host:1080"),
        ("https", "https_proxy", "http://me:secret@"),
        ("http", "http_proxy", "https://me:secret@host"),
    ] {
        let test = "what_is_no_proxy_is_told_by_the_variables_name";
        let said = support::read(test, &FAR.replace("http", scheme), &[(name, value)]);
        assert!(said.starts_with("failed") && said.contains(name), "{said}");
        assert!(said.contains("http://HOST:PORT") && !said.contains("secret"), "{said}");
    }
}
