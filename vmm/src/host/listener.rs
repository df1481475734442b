//! Sockets that local tools connect to: gdb, clients of the monitor, and users of consoles.

use std::fs::{self, File};
use std::io::{self, Read};
use std::net::{TcpListener, TcpStream, ToSocketAddrs};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::sockopt::set_socket_reuseaddr;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, socket_with};

use super::output_file;
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

/// Checks the sockets of a run in the order in which it opens them. Creates nothing, and connects to
/// nobody.
#[derive(Debug, Default)]
pub struct SocketChecks {
    /// Where the run itself listens.
    own: Vec<SocketAddress>,
}

impl SocketChecks {
    /// Checks that [`Listener::bind`] can listen at an address.
    ///
    /// # Errors
    /// As of [`Listener::bind`]; another socket of the run has the address.
    pub fn server(&mut self, address: &SocketAddress) -> io::Result<()> {
        // Port 0 is any that is free.
        let is_any = matches!(address, SocketAddress::Tcp { port: 0, .. });
        if !is_any && self.own.contains(address) {
            return Err(Errno::ADDRINUSE.into());
        }
        match address {
            SocketAddress::Tcp { host, port } => check_tcp(host, *port)?,
            SocketAddress::Unix(path) => drop(check_unix(path)?),
        }
        self.own.push(address.clone());
        Ok(())
    }

    /// Checks that a connection to an address may be possible, without making it: a program that
    /// takes a single one would lose it. Whether a program listens on a TCP port is not found out.
    ///
    /// # Errors
    /// Nobody listens on the UNIX socket, or the host's name is not known.
    pub fn client(&self, address: &SocketAddress) -> io::Result<()> {
        match address {
            _ if self.own.contains(address) => Ok(()),
            SocketAddress::Tcp { host, port } => (host.as_str(), *port).to_socket_addrs().map(drop),
            SocketAddress::Unix(path) => find_unix(path),
        }
    }
}

/// Binds, without listening, to the first of a host's addresses that can be had, as
/// [`TcpListener::bind`] does.
fn check_tcp(host: &str, port: u16) -> io::Result<()> {
    let mut result = Err(Errno::ADDRNOTAVAIL.into());
    for address in (host, port).to_socket_addrs()? {
        let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let bound = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)
            .and_then(|socket| set_socket_reuseaddr(&socket, true).map(|()| socket))
            .and_then(|socket| bind(&socket, &address));
        result = bound.map_err(io::Error::from);
        if result.is_ok() {
            break;
        }
    }
    result
}

/// Finds the stream socket at a path without connecting to it. A datagram socket cannot connect to
/// one, and the kernel says so once it has found it (`unix_find_bsd`, net/unix/af_unix.c in Linux).
fn find_unix(path: &Path) -> io::Result<()> {
    match UnixDatagram::unbound()?.connect(path) {
        Ok(()) => Err(Errno::PROTOTYPE.into()),
        Err(error) if error.raw_os_error() == Some(libc::EPROTOTYPE) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Listens on a UNIX socket, in place of one that nobody listens on any more. Any other file at
/// `path` stays.
///
/// # Errors
/// See bind(2).
pub fn bind_unix(path: &Path) -> io::Result<UnixListener> {
    if check_unix(path)? {
        fs::remove_file(path)?;
    }
    UnixListener::bind(path)
}

/// Checks that a UNIX socket can be made at `path`. Returns whether one is there that nobody
/// listens on any more, which has to be removed.
fn check_unix(path: &Path) -> io::Result<bool> {
    SocketAddr::from_pathname(path)?;
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            output_file::check_new(path)?;
            return Ok(false);
        }
        about => about?,
    };
    // connect(2) refuses a connection to a file that is no socket, too.
    if !fs::metadata(path).is_ok_and(|about| about.file_type().is_socket()) {
        let text = "a file that is not a socket is there";
        return Err(io::Error::new(io::ErrorKind::AddrInUse, text));
    }
    match find_unix(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            output_file::check_new(path)?;
            Ok(true)
        }
        _ => Err(Errno::ADDRINUSE.into()),
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

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

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

    #[test]
    fn a_check_says_what_listening_would_say_and_leaves_nothing() {
        let at = Scratch::new("checked");
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let taken = taken.local_addr().map(|address| (taken, address.port())).unwrap();
        let tcp = |host: &str, port| SocketAddress::Tcp { host: host.into(), port };
        let unix = |path: &Path| SocketAddress::Unix(path.to_owned());
        for (address, kind) in [
            (tcp("127.0.0.1", 0), None),
            (tcp("127.0.0.1", taken.1), Some(io::ErrorKind::AddrInUse)),
            // TEST-NET-1 (RFC 5737).
            (tcp("192.0.2.1", 1234), Some(io::ErrorKind::AddrNotAvailable)),
            (unix(&at.0), None),
            (unix(&at.0.join("x")), Some(io::ErrorKind::NotFound)),
            (unix(Path::new("/tmp")), Some(io::ErrorKind::AddrInUse)),
            (unix(Path::new(&"x".repeat(200))), Some(io::ErrorKind::InvalidInput)),
        ] {
            let checked = SocketChecks::default()
                .server(&address)
                .err()
                .map(|error| (error.kind(), error.to_string()));
            assert_eq!(checked.as_ref().map(|(kind, _)| *kind), kind, "{address}");
            assert!(!at.0.exists(), "{address}");
            let bound = Listener::bind(&address).err();
            assert_eq!(checked, bound.map(|error| (error.kind(), error.to_string())), "{address}");
        }
    }

    /// Its program may take a single connection.
    #[test]
    fn a_check_does_not_connect() {
        let at = Scratch::new("peer");
        let address = SocketAddress::Unix(at.0.clone());
        let client = || SocketChecks::default().client(&address);
        let server = || SocketChecks::default().server(&address);
        assert_eq!(client().unwrap_err().kind(), io::ErrorKind::NotFound);
        let listener = UnixListener::bind(&at.0).unwrap();
        client().unwrap();
        assert_eq!(server().unwrap_err().kind(), io::ErrorKind::AddrInUse);
        listener.set_nonblocking(true).unwrap();
        assert_eq!(listener.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
        drop(listener);
        assert_eq!(client().unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        server().unwrap();
        assert!(at.0.exists(), "a check removes nothing");
    }

    /// One serial port can be connected to another.
    #[test]
    fn the_sockets_of_a_run_know_each_other() {
        let at = Scratch::new("own");
        let tcp = |port| SocketAddress::Tcp { host: "127.0.0.1".into(), port };
        let mut checks = SocketChecks::default();
        let address = SocketAddress::Unix(at.0.clone());
        assert_eq!(checks.client(&address).unwrap_err().kind(), io::ErrorKind::NotFound);
        checks.server(&address).unwrap();
        checks.client(&address).unwrap();
        assert_eq!(checks.server(&address).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        assert!(checks.server(&tcp(0)).is_ok() && checks.server(&tcp(0)).is_ok());
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
