//! pyftpdlib, from Debian's package python3-pyftpdlib.

use std::path::Path;
use std::process::Command;

use super::{Server, free_port, takes_connections, utf8};
use crate::native::Scratch;

/// Debian's own Python has Debian's packages.
pub(super) const PYTHON: &str = "/usr/bin/python3";

/// Who may log in beside anonymous, and with which password.
pub const USER: (&str, &str) = ("user", "pass:w@rd");

/// Serves `directory` to anonymous, and to [`USER`].
///
/// # Panics
/// If it does not come up.
#[must_use]
pub fn start(directory: &Path) -> Server {
    let scratch = Scratch::new();
    let script = scratch.file("serve.py", include_bytes!("ftp.py"));
    let port = free_port();
    let mut command = Command::new(PYTHON);
    command.arg(script).args([&port.to_string(), utf8(directory), USER.0, USER.1]);
    let url = format!("ftp://127.0.0.1:{port}");
    Server::spawn(command, url, port, scratch).await_answer(takes_connections)
}
