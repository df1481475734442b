//! Sockets that local tools connect to: gdb, clients of the monitor, and users of consoles.

use std::fs::{self, File};
use std::io::{self, Read};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
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
                let listener = UnixListener::bind(path).or_else(|error| {
                    // A socket that nobody listens on is a leftover.
                    let stale = error.kind() == io::ErrorKind::AddrInUse
                        && UnixStream::connect(path)
                            .is_err_and(|e| e.kind() == io::ErrorKind::ConnectionRefused);
                    if !stale {
                        return Err(error);
                    }
                    fs::remove_file(path)?;
                    UnixListener::bind(path)
                })?;
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
