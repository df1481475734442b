//! Servers of the kinds that a location may be on, real ones, started by a test on loopback for a
//! directory of its.
//!
//! Each is there once its `start` returns, and gone with all its children when it is dropped.
#![expect(clippy::panic, reason = "this is how a test fails")]

pub mod ftp;
pub mod http;
pub mod nfs;
pub mod tftp;

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use std::os::unix::process::CommandExt;

use crate::native::Scratch;
use crate::sys::{die_with_parent_thread, kill_group};

/// So long a server has to come up.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server that runs.
#[derive(Debug)]
pub struct Server {
    /// What a location on it begins with, without a slash at the end: the directory that it serves.
    pub url: String,
    /// Where it listens on 127.0.0.1.
    pub port: u16,
    child: Child,
    scratch: Scratch,
}

impl Server {
    /// Starts `command`, which is killed when this is dropped or the test's thread ends.
    ///
    /// # Panics
    /// If it cannot be started.
    fn spawn(mut command: Command, url: String, port: u16, scratch: Scratch) -> Self {
        let log = std::fs::File::create(scratch.path("log")).expect("a log file");
        let errors = log.try_clone().expect("a log file");
        command.stdin(Stdio::null()).stdout(log).stderr(errors).process_group(0);
        die_with_parent_thread(&mut command);
        let child = command.spawn();
        let child = child.unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Self { url, port, child, scratch }
    }

    /// Waits until `answers`.
    ///
    /// # Panics
    /// If it ends, or does not answer for long; with what it printed.
    fn await_answer(mut self, mut answers: impl FnMut(&Self) -> bool) -> Self {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("wait") {
                panic!("the server for {} ended: {status}\n{}", self.url, self.log());
            }
            if answers(&self) {
                return self;
            }
            let late = begun.elapsed() > PATIENCE;
            assert!(!late, "no answer of the server for {}\n{}", self.url, self.log());
            sleep(Duration::from_millis(20));
        }
    }

    /// Bytes that an HTTP server was asked for, of files that it has: the last word of each line.
    #[must_use]
    pub fn bytes_requested(&self) -> u64 {
        let log = self.log();
        log.lines().filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
    }

    /// What it printed.
    #[must_use]
    pub fn log(&self) -> String {
        let bytes = std::fs::read(self.scratch.path("log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Ok(pid) = i32::try_from(self.child.id()) {
            kill_group(pid);
        }
        let _ = self.child.wait();
    }
}

/// A free port of 127.0.0.1.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port of 127.0.0.1");
    listener.local_addr().expect("its number").port()
}

/// Whether a server accepts TCP connections there.
fn takes_connections(server: &Server) -> bool {
    let to = SocketAddr::from(([127, 0, 0, 1], server.port));
    TcpStream::connect_timeout(&to, Duration::from_secs(1)).is_ok()
}

fn utf8(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}
