//! Open character devices: a place for what the guest writes, and, for those that have somebody at
//! the other end, a [`Line`] from which its input comes.
//!
//! A line never blocks: what its peer does not take is left to the writer. Without a peer, output
//! is dropped, as in QEMU (`tcp_chr_write`, chardev/char-socket.c; `pty_chr_state`,
//! chardev/char-pty.c). Standard output and files do block, so that no output is lost there.

mod outputs;

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::ioctl_fionbio;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};

use super::listener::{Listener, SocketChecks};
use super::output_file;
use super::screen::GuestOutput;
use crate::config::{CharBackend, CharFile, CharSocket, Chardev, SocketAddress};
use crate::error::{DeviceError, HostError, StartError};
use crate::lock::lock;
use crate::run::message::Message;
use outputs::{Logged, Stamped};

/// How much is read from a line at once.
const CHUNK: usize = 1024;
/// Whose output a log is, in messages.
const OF_LOG: &str = "a log";

/// An open character device.
pub struct Opened {
    /// Takes what the guest writes.
    pub out: Box<dyn Write + Send>,
    /// Where input comes from, if somebody can be at the other end.
    pub line: Option<Arc<Line>>,
    /// Whether it is standard input and output.
    pub is_stdio: bool,
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opened").field("line", &self.line).finish_non_exhaustive()
    }
}

/// Opens a character device for `of`, which messages name: `-serial`, for example. `label` is the
/// name by which the user finds a pseudo-terminal. Waits for a client if the user wants that.
///
/// # Errors
/// A file cannot be created, or a socket cannot be used.
pub fn open(
    chardev: &Chardev,
    of: &'static str,
    label: &str,
    tell: &mut dyn FnMut(&Message),
) -> Result<Opened, StartError> {
    let output = |line: &Arc<Line>| Box::new(LineOutput(Arc::clone(line))) as Box<dyn Write + Send>;
    let socket_failed = |source| StartError::Chardev { of, at: chardev.backend.clone(), source };
    let (mut out, line): (Box<dyn Write + Send>, _) = match &chardev.backend {
        CharBackend::Null => (Box::new(io::sink()), None),
        CharBackend::Stdio => {
            (Box::new(GuestOutput::open().map_err(HostError::descriptors)?), None)
        }
        CharBackend::File(file) => (Box::new(open_output(file, of)?), None),
        CharBackend::Pty => {
            let (line, path) = Line::pty().map_err(socket_failed)?;
            tell(&Message::Pty { path, label: label.to_owned() });
            let line = Arc::new(line);
            (output(&line), Some(line))
        }
        CharBackend::Socket(socket) => {
            let line = Line::socket(socket, tell).map(Arc::new).map_err(socket_failed)?;
            (output(&line), Some(line))
        }
    };
    if let Some(log) = &chardev.log {
        out = Box::new(Logged::new(out, open_output(log, OF_LOG)?));
    }
    if chardev.timestamps {
        out = Box::new(Stamped::new(out));
    }
    Ok(Opened { out, line, is_stdio: chardev.is_stdio() })
}

/// Checks that a character device can be opened, as far as nobody notices that: no file is created,
/// and there is no connection. What is returned drops all output.
///
/// # Errors
/// As of [`open`].
pub fn check(
    chardev: &Chardev,
    of: &'static str,
    sockets: &mut SocketChecks,
) -> Result<Opened, StartError> {
    let socket_failed = |source| StartError::Chardev { of, at: chardev.backend.clone(), source };
    match &chardev.backend {
        CharBackend::Null | CharBackend::Stdio => {}
        CharBackend::File(file) => {
            output_file::check(&file.path).map_err(output_failed(file, of))?;
        }
        CharBackend::Pty => drop(Line::pty().map_err(socket_failed)?),
        CharBackend::Socket(socket) if socket.server => {
            sockets.server(&socket.address).map_err(socket_failed)?;
        }
        CharBackend::Socket(socket) => {
            sockets.client(&socket.address).map_err(socket_failed)?;
        }
    }
    if let Some(log) = &chardev.log {
        output_file::check(&log.path).map_err(output_failed(log, OF_LOG))?;
    }
    Ok(Opened { out: Box::new(io::sink()), line: None, is_stdio: chardev.is_stdio() })
}

fn open_output(file: &CharFile, of: &'static str) -> Result<File, StartError> {
    let mut options = File::options();
    options.create(true);
    if file.append {
        options.append(true)
    } else {
        options.write(true).truncate(true)
    };
    options.open(&file.path).map_err(output_failed(file, of))
}

fn output_failed(file: &CharFile, of: &'static str) -> impl FnOnce(io::Error) -> StartError {
    let path = file.path.clone();
    move |source| DeviceError::Output { of, path, source }.into()
}

/// A connection to somebody on the host: the client of a socket, a server that chukka has connected
/// to, or whoever opens a pseudo-terminal. Nothing here blocks.
#[derive(Debug)]
pub struct Line {
    listener: Option<Listener>,
    peer: Mutex<Option<Arc<File>>>,
    is_pty: bool,
}

impl Line {
    /// Opens a socket, and waits for its first client if the user wants that.
    fn socket(socket: &CharSocket, tell: &mut dyn FnMut(&Message)) -> io::Result<Self> {
        let (listener, peer) = if socket.server {
            let listener = Listener::bind(&socket.address)?;
            let peer =
                if socket.wait { Some(first_client(&listener, socket, tell)?) } else { None };
            (Some(listener), peer)
        } else {
            (None, Some(connect(&socket.address)?))
        };
        if let Some(peer) = &peer {
            ioctl_fionbio(peer, true)?;
        }
        Ok(Self { listener, peer: Mutex::new(peer.map(Arc::new)), is_pty: false })
    }

    /// Opens a pseudo-terminal in raw mode, and returns its path.
    fn pty() -> io::Result<(Self, PathBuf)> {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        grantpt(&master)?;
        unlockpt(&master)?;
        let path = ptsname(&master, Vec::new())?;
        let path = PathBuf::from(path.to_string_lossy().into_owned());
        // Once it was open and is closed, the kernel tells whether somebody has it open.
        let terminal = File::options().read(true).write(true).open(&path)?;
        let mut settings = tcgetattr(&terminal)?;
        settings.make_raw();
        tcsetattr(&terminal, OptionalActions::Now, &settings)?;
        drop(terminal);
        ioctl_fionbio(&master, true)?;
        let peer = Mutex::new(Some(Arc::new(File::from(master))));
        Ok((Self { listener: None, peer, is_pty: true }, path))
    }

    /// The descriptor that clients connect to, if there is one.
    pub fn listener_fd(&self) -> Option<RawFd> {
        self.listener.as_ref().map(AsRawFd::as_raw_fd)
    }

    /// The descriptor that input comes from, if there is somebody at the other end.
    pub fn peer_fd(&self) -> Option<RawFd> {
        lock(&self.peer).as_ref().map(AsRawFd::as_raw_fd)
    }

    /// Accepts the next client, unless there is one. Returns whether there is a new one.
    pub fn accept(&self) -> bool {
        let mut peer = lock(&self.peer);
        if peer.is_some() {
            return false;
        }
        *peer = self.next_client();
        peer.is_some()
    }

    /// Accepts the next client in place of a peer that is gone. Returns whether there is one.
    pub fn replace(&self) -> bool {
        let client = self.next_client();
        let is_there = client.is_some();
        if is_there {
            *lock(&self.peer) = client;
        }
        is_there
    }

    /// The next client that has connected, if there is one.
    fn next_client(&self) -> Option<Arc<File>> {
        let client = self.listener.as_ref().and_then(Listener::accept)?;
        ioctl_fionbio(&client, true).ok()?;
        Some(Arc::new(client))
    }

    /// Whether it is a pseudo-terminal.
    pub fn is_pty(&self) -> bool {
        self.is_pty
    }

    /// Whether the peer has closed the connection in both directions.
    pub fn is_broken(&self) -> bool {
        let peer = lock(&self.peer).clone();
        peer.is_some_and(|peer| has_hung_up(&peer))
    }

    /// Lets the peer go, after it has closed the connection. A pseudo-terminal stays: somebody else
    /// may open it. Returns whether the peer is gone for good.
    pub fn hang_up(&self) -> bool {
        if self.is_pty {
            return false;
        }
        lock(&self.peer).take().is_some()
    }

    /// Reads input into `to`.
    pub fn read(&self, to: &mut Vec<u8>) -> Received {
        let Some(peer) = lock(&self.peer).clone() else { return Received::Nothing };
        let mut bytes = [0; CHUNK];
        match (&*peer).read(&mut bytes) {
            Ok(0) => Received::End,
            Ok(count) => {
                to.extend_from_slice(&bytes[..count]);
                Received::Bytes
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Received::Nothing,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Received::Nothing,
            Err(_) => Received::End,
        }
    }

    /// Whether nobody has the pseudo-terminal open.
    fn is_hung_up(&self, peer: &File) -> bool {
        self.is_pty && has_hung_up(peer)
    }
}

fn has_hung_up(peer: &File) -> bool {
    let mut fds = [PollFd::from_borrowed_fd(peer.as_fd(), PollFlags::OUT)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut fds, Some(&now)).is_ok()
        && fds[0].revents().intersects(PollFlags::HUP | PollFlags::ERR)
}

/// What a read has brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// Some bytes; there may be more.
    Bytes,
    /// Nothing for now.
    Nothing,
    /// The peer has closed the connection.
    End,
}

fn first_client(
    listener: &Listener,
    socket: &CharSocket,
    tell: &mut dyn FnMut(&Message),
) -> io::Result<File> {
    tell(&Message::WaitsForClient(socket.address.clone()));
    loop {
        let fd = listener.as_fd();
        poll(&mut [PollFd::from_borrowed_fd(fd, PollFlags::IN)], None)?;
        if let Some(client) = listener.accept() {
            return Ok(client);
        }
    }
}

fn connect(address: &SocketAddress) -> io::Result<File> {
    Ok(File::from(match address {
        SocketAddress::Unix(path) => OwnedFd::from(UnixStream::connect(path)?),
        SocketAddress::Tcp { host, port } => {
            let stream = TcpStream::connect((host.as_str(), *port))?;
            // A key is a message of its own.
            stream.set_nodelay(true)?;
            OwnedFd::from(stream)
        }
    }))
}

/// The output side of a line.
struct LineOutput(Arc<Line>);

impl Write for LineOutput {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(peer) = lock(&self.0.peer).clone().filter(|peer| !self.0.is_hung_up(peer)) else {
            return Ok(bytes.len());
        };
        match (&*peer).write(bytes) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(error),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            // The peer is gone. The main thread finds out as well, and lets the next one in.
            Err(_) => Ok(bytes.len()),
            count => count,
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
