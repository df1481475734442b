//! Sockets that local tools connect to: gdb, clients of the monitor, and users of consoles.

use std::fs::{self, File};
use std::io::{self, Read};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::SocketAddress;

/// How long a client may take to read what it has asked for. The guest waits meanwhile, and so do
/// signals.
pub const PATIENCE: Duration = Duration::from_secs(2);

/// Where clients connect to.
#[derive(Debug)]
pub enum Listener {
    /// A TCP port.
    Tcp(TcpListener),
    /// A UNIX socket, and its path, which is removed in the end.
    Unix(UnixListener, PathBuf),
}

impl Listener {
    /// Listens for connections.
    ///
    /// # Errors
    /// See bind(2).
    pub fn bind(address: &SocketAddress) -> io::Result<Self> {
        let listener = match address {
            SocketAddress::Tcp { host, port } => {
                let listener = TcpListener::bind((host.as_str(), *port))?;
                listener.set_nonblocking(true)?;
                Self::Tcp(listener)
            }
            SocketAddress::Unix(path) => {
                let listener = bind_unix(path)?;
                listener.set_nonblocking(true)?;
                Self::Unix(listener, path.clone())
            }
        };
        Ok(listener)
    }

    /// Accepts a connection, if somebody wants one.
    pub fn accept(&self) -> Option<File> {
        match self {
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept().ok()?;
                prepare_tcp(&stream).ok()?;
                Some(File::from(OwnedFd::from(stream)))
            }
            Self::Unix(listener, _) => {
                let (stream, _) = listener.accept().ok()?;
                stream.set_nonblocking(false).ok()?;
                stream.set_write_timeout(Some(PATIENCE)).ok()?;
                Some(File::from(OwnedFd::from(stream)))
            }
        }
    }
}

/// Listens on a UNIX socket, in place of one that nobody listens on any more. Any other file at
/// `path` stays.
///
/// # Errors
/// See bind(2).
pub fn bind_unix(path: &Path) -> io::Result<UnixListener> {
    UnixListener::bind(path).or_else(|error| {
        // connect(2) refuses a connection to a file that is no socket, too (`unix_find_bsd`,
        // net/unix/af_unix.c in Linux).
        let is_socket = || fs::metadata(path).is_ok_and(|about| about.file_type().is_socket());
        let is_left_over = error.kind() == io::ErrorKind::AddrInUse
            && is_socket()
            && UnixStream::connect(path)
                .is_err_and(|e| e.kind() == io::ErrorKind::ConnectionRefused);
        if !is_left_over {
            let is_other_file = error.kind() == io::ErrorKind::AddrInUse && !is_socket();
            return Err(match is_other_file {
                true => io::Error::new(error.kind(), "a file that is not a socket is there"),
                false => error,
            });
        }
        fs::remove_file(path)?;
        UnixListener::bind(path)
    })
}

fn prepare_tcp(stream: &TcpStream) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_write_timeout(Some(PATIENCE))?;
    // Messages are small, and each waits for its answer.
    stream.set_nodelay(true)
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(listener) => listener.as_fd(),
            Self::Unix(listener, _) => listener.as_fd(),
        }
    }
}

impl AsRawFd for Listener {
    fn as_raw_fd(&self) -> RawFd {
        match self {
            Self::Tcp(listener) => listener.as_raw_fd(),
            Self::Unix(listener, _) => listener.as_raw_fd(),
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Self::Unix(_, path) = self {
            let _ = fs::remove_file(path);
        }
    }
}

/// Reads what has arrived, after the socket was found to be readable. `None`: the connection is
/// closed.
pub fn receive(mut socket: &File) -> Option<Vec<u8>> {
    let mut bytes = vec![0; 4096];
    let count = socket.read(&mut bytes).ok().filter(|count| *count > 0)?;
    bytes.truncate(count);
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let name = format!("chukka-listener-{name}-{}", std::process::id());
            Self(std::env::temp_dir().join(name))
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_file(&self.0);
        }
    }

    #[test]
    fn a_socket_that_nobody_listens_on_is_replaced_and_one_in_use_is_not() {
        let at = Scratch::new("old");
        let address = SocketAddress::Unix(at.0.clone());
        // It stays in the file system.
        drop(UnixListener::bind(&at.0).unwrap());
        let listener = Listener::bind(&address).unwrap();
        let error = Listener::bind(&address).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        let client = UnixStream::connect(&at.0).unwrap();
        assert!(listener.accept().is_some());
        drop((client, listener));
        assert!(!at.0.exists(), "the socket is removed in the end");
    }

    #[test]
    fn a_file_that_is_no_socket_is_never_removed() {
        let at = Scratch::new("file");
        fs::write(&at.0, "of the user").unwrap();
        let error = Listener::bind(&SocketAddress::Unix(at.0.clone())).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        assert_eq!(fs::read(&at.0).unwrap(), b"of the user");
    }

    /// A client that does not read must not stop the guest for ever.
    #[test]
    fn connections_block_but_give_up_after_a_while() {
        let tcp = SocketAddress::Tcp { host: "127.0.0.1".into(), port: 0 };
        let listener = Listener::bind(&tcp).unwrap();
        let Listener::Tcp(inner) = &listener else { panic!() };
        let _client = TcpStream::connect(inner.local_addr().unwrap()).unwrap();
        let stream = TcpStream::from(OwnedFd::from(listener.accept().unwrap()));
        assert_eq!(stream.write_timeout().unwrap(), Some(PATIENCE));
        assert!(stream.nodelay().unwrap(), "an answer is not held back");
    }
}
