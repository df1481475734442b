//! An HTTP and an HTTPS server that know ranges, by Python's own library.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::ftp::PYTHON;
use super::{Server, free_port, takes_connections, utf8};
use crate::native::Scratch;

/// Serves `directory`. Each request has a line in [`Server::log`], as Apache writes it.
///
/// # Panics
/// If it does not come up.
#[must_use]
pub fn start(directory: &Path) -> Server {
    serve(directory, "http://127.0.0.1", None)
}

/// The same by HTTPS, to be asked for as `localhost`, and the file with the certificate that its
/// own is vouched for by. A client of the system's roots takes it where `SSL_CERT_FILE` names that
/// file.
///
/// # Panics
/// If it does not come up.
#[must_use]
pub fn start_tls(directory: &Path) -> (Server, PathBuf) {
    let scratch = Scratch::new();
    let files = certificate(&scratch);
    let authority = files.0.clone();
    (serve(directory, "https://localhost", Some((scratch, files.1, files.2))), authority)
}

fn serve(directory: &Path, url: &str, tls: Option<(Scratch, PathBuf, PathBuf)>) -> Server {
    let port = free_port();
    let mut command = Command::new(PYTHON);
    let url = format!("{url}:{port}");
    let scratch = match tls {
        None => {
            let scratch = Scratch::new();
            command.arg(scratch.file("serve.py", include_bytes!("http.py")));
            command.args([&port.to_string(), utf8(directory)]);
            scratch
        }
        Some((scratch, certificate, key)) => {
            command.arg(scratch.file("serve.py", include_bytes!("http.py")));
            command.args([&port.to_string(), utf8(directory), utf8(&certificate), utf8(&key)]);
            scratch
        }
    };
    Server::spawn(command, url, port, scratch).await_answer(takes_connections)
}

/// An authority, and by it a certificate for `localhost`, 127.0.0.1 and what the lab calls it, and
/// its key.
fn certificate(scratch: &Scratch) -> (PathBuf, PathBuf, PathBuf) {
    let names = scratch.file("names", b"subjectAltName=DNS:localhost,IP:127.0.0.1,IP:10.0.2.2\n");
    let path = |name: &str| scratch.path(name);
    let new = ["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
    let to = |key: &str, out: &str| {
        ["-keyout".into(), path(key), "-out".into(), path(out)].map(PathBuf::into_os_string)
    };
    let mut authority = Command::new("openssl");
    authority.args(new).args(["-x509", "-days", "2", "-subj", "/CN=chukka test authority"]);
    authority.args(to("ca.key", "ca.pem"));
    let mut request = Command::new("openssl");
    request.args(new).args(["-subj", "/CN=localhost"]).args(to("key.pem", "request.pem"));
    let mut sign = Command::new("openssl");
    sign.args(["x509", "-req", "-days", "2", "-CAcreateserial", "-in"]).arg(path("request.pem"));
    sign.arg("-CA").arg(path("ca.pem")).arg("-CAkey").arg(path("ca.key"));
    sign.arg("-extfile").arg(names).arg("-out").arg(path("certificate.pem"));
    for mut command in [authority, request, sign] {
        let done = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let said = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "{command:?}: {said}");
    }
    (path("ca.pem"), path("certificate.pem"), path("key.pem"))
}
