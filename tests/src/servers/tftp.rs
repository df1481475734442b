//! atftpd, from Debian's package of that name: the one that knows windowsize.

use std::net::UdpSocket;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::{Server, utf8};
use crate::native::Scratch;

/// Serves `directory`, in which everybody may read everything.
///
/// # Panics
/// If it does not come up.
#[must_use]
pub fn start(directory: &Path) -> Server {
    start_with(directory, &[])
}

/// The same, with more options, such as `--no-tsize`.
///
/// # Panics
/// If it does not come up.
#[must_use]
pub fn start_with(directory: &Path, options: &[&str]) -> Server {
    let scratch = Scratch::new();
    let port = free_port();
    let mut command = Command::new("atftpd");
    command.args(["--daemon", "--no-fork", "--logfile", "-", "--verbose=7"]);
    // Only root can become nobody; others stay who they are.
    let (user, group) = match own("-un") {
        root if root == "root" => ("nobody".to_owned(), "nogroup".to_owned()),
        user => (user, own("-gn")),
    };
    command.args(["--user", &user, "--group", &group, "--bind-address", "127.0.0.1"]);
    command.args(["--port", &port.to_string()]).args(options).arg(utf8(directory));
    let url = format!("tftp://127.0.0.1:{port}");
    Server::spawn(command, url, port, scratch).await_answer(answers)
}

/// What `id` says of this process: the name of its user (`-un`) or group (`-gn`).
fn own(option: &str) -> String {
    let said = Command::new("id").arg(option).output().expect("id runs");
    String::from_utf8(said.stdout).expect("a name").trim().to_owned()
}

/// A port of 127.0.0.1 that nobody has for UDP now.
fn free_port() -> u16 {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port of 127.0.0.1");
    socket.local_addr().expect("its number").port()
}

/// Whether it has something to say of a file that is not there.
fn answers(server: &Server) -> bool {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port of 127.0.0.1");
    socket.set_read_timeout(Some(Duration::from_millis(200))).expect("a time-out");
    let asked = b"\0\x01is-anybody-there\0octet\0";
    socket.send_to(asked, ("127.0.0.1", server.port)).is_ok()
        && socket.recv_from(&mut [0; 600]).is_ok()
}
