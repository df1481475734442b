//! A connection to another program as the card wants it: each frame follows its length, 4 bytes,
//! big-endian, as in QEMU (net/stream.c) and passt.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use devices::virtio::net::{Frame, MAX_FRAME, MIN_FRAME, NetBackend, Offload, Offloads};
use vmm::config::SocketAddress;
use vmm::host::listener::{SocketChecks, bind_unix};
use vmm::machine::cards::CardBackend;

use super::NetworkError;
use super::wire::Edges;
use crate::report;
use crate::request::{StreamAddress, StreamConfig};

/// Bytes of the length before each frame.
const LENGTH_SIZE: usize = 4;
/// Frames of the guest are dropped while more bytes than this wait for the other end.
const MAX_QUEUE: usize = 1 << 20;

/// A connection, or a socket that waits for one.
#[derive(Debug)]
pub struct Stream {
    edges: Edges,
    listener: Option<Listener>,
    /// How messages name it.
    name: String,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    socket: Option<Socket>,
    is_readable: bool,
    /// What came and is not a whole frame yet.
    incoming: Vec<u8>,
    /// What the other end has not taken yet.
    outgoing: Vec<u8>,
}

#[derive(Debug)]
enum Socket {
    Unix(UnixStream),
    Inet(TcpStream),
}

#[derive(Debug)]
enum Listener {
    Unix(UnixListener),
    Inet(TcpListener),
}

/// Checks that a connection may be made, or that it can be listened for. Creates nothing and
/// connects to nobody.
///
/// # Errors
/// As of [`Stream::new`].
pub fn check(config: &StreamConfig, sockets: &mut SocketChecks) -> Result<(), NetworkError> {
    let address = match &config.address {
        StreamAddress::Unix(path) => SocketAddress::Unix(path.clone()),
        StreamAddress::Inet(host, port) => SocketAddress::Tcp { host: host.clone(), port: *port },
    };
    let checked =
        if config.is_server { sockets.server(&address) } else { sockets.client(&address) };
    checked.map_err(|source| NetworkError::Stream { stream: config.clone(), source })
}

impl Stream {
    /// Connects, or listens.
    ///
    /// # Errors
    /// There is nobody at the address, or it cannot be listened on.
    pub fn new(config: &StreamConfig) -> Result<Self, NetworkError> {
        let failed = |source| NetworkError::Stream { stream: config.clone(), source };
        Self::open(config).map_err(failed)
    }

    fn open(config: &StreamConfig) -> io::Result<Self> {
        let edges = Edges::new()?;
        let (mut listener, mut socket) = (None, None);
        match (&config.address, config.is_server) {
            (StreamAddress::Unix(path), true) => {
                listener = Some(Listener::Unix(bind_unix(path)?));
            }
            (StreamAddress::Inet(host, port), true) => {
                listener = Some(Listener::Inet(TcpListener::bind((&**host, *port))?));
            }
            (StreamAddress::Unix(path), false) => {
                socket = Some(Socket::Unix(UnixStream::connect(path)?));
            }
            (StreamAddress::Inet(host, port), false) => {
                socket = Some(Socket::Inet(TcpStream::connect((&**host, *port))?));
            }
        }
        if let Some(socket) = &socket {
            socket.prepare()?;
            edges.add(socket)?;
        }
        if let Some(listener) = &listener {
            listener.prepare()?;
            edges.add(listener)?;
        }
        let state = State { socket, is_readable: true, ..State::default() };
        Ok(Self { edges, listener, name: config.address.to_string(), state: Mutex::new(state) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the connection. A server waits for another one.
    fn close(&self, state: &mut State, why: &str) {
        *state = State::default();
        let then = if self.listener.is_some() {
            "waiting for another connection"
        } else {
            "the guest's cable is unplugged"
        };
        report::warnings([format!("the network {}: {why}; {then}", self.name)]);
    }

    /// Takes a connection, if there is none and one has come.
    fn accept(&self, state: &mut State) {
        let Some(listener) = self.listener.as_ref().filter(|_| state.socket.is_none()) else {
            return;
        };
        let Ok(socket) = listener.accept() else { return };
        if socket.prepare().and_then(|()| self.edges.add(&socket)).is_ok() {
            *state = State { socket: Some(socket), is_readable: true, ..State::default() };
        }
    }

    /// Sends what waits, as far as the other end takes it.
    fn flush(&self, state: &mut State) {
        while let Some(socket) = state.socket.as_mut().filter(|_| !state.outgoing.is_empty()) {
            match socket.write(&state.outgoing) {
                Ok(0) => return self.close(state, "closed by the other end"),
                Ok(count) => drop(state.outgoing.drain(..count)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => return self.close(state, &error.to_string()),
            }
        }
    }

    /// Reads what has come. Returns whether it was anything.
    fn fill(&self, state: &mut State) -> bool {
        let Some(socket) = state.socket.as_mut().filter(|_| state.is_readable) else {
            return false;
        };
        let before = state.incoming.len();
        state.incoming.resize(before + (64 << 10), 0);
        let result = socket.read(&mut state.incoming[before..]);
        let count = *result.as_ref().unwrap_or(&0);
        state.incoming.truncate(before + count);
        match result {
            Ok(0) => self.close(state, "closed by the other end"),
            Ok(_) => return true,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return true,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => state.is_readable = false,
            Err(error) => self.close(state, &error.to_string()),
        }
        false
    }
}

/// Removes the first whole frame from what has come. `Err`: that is not a frame.
fn next_frame(incoming: &mut Vec<u8>) -> Result<Option<Vec<u8>>, usize> {
    let Some((length, rest)) = incoming.split_first_chunk::<LENGTH_SIZE>() else { return Ok(None) };
    let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
    if !(MIN_FRAME..=MAX_FRAME).contains(&length) {
        return Err(length);
    }
    let Some(frame) = rest.get(..length).map(<[u8]>::to_vec) else { return Ok(None) };
    incoming.drain(..LENGTH_SIZE + length);
    Ok(Some(frame))
}

impl NetBackend for Stream {
    fn has_offloads(&self) -> bool {
        false
    }

    fn set_offloads(&self, _: Offloads) {}

    fn send(&self, frame: &[u8], _: Option<&Offload>) {
        let mut state = self.state();
        let Ok(length) = u32::try_from(frame.len()) else { return };
        if state.socket.is_some() && state.outgoing.len() <= MAX_QUEUE {
            state.outgoing.extend_from_slice(&length.to_be_bytes());
            state.outgoing.extend_from_slice(frame);
        }
    }

    fn receive(&self) -> Option<Frame> {
        let mut state = self.state();
        loop {
            match next_frame(&mut state.incoming) {
                Ok(Some(bytes)) => return Some(Frame { bytes, offload: None }),
                Ok(None) => {}
                Err(length) => {
                    let why =
                        format!("a frame of {length} bytes, expected {MIN_FRAME} to {MAX_FRAME}");
                    self.close(&mut state, &why);
                }
            }
            if !self.fill(&mut state) {
                return None;
            }
        }
    }
}

impl CardBackend for Stream {
    fn event(&self) -> io::Result<OwnedFd> {
        self.edges.descriptor()
    }

    fn poll(&self, _: Instant) {
        let mut state = self.state();
        if self.edges.take() {
            state.is_readable = true;
        }
        self.accept(&mut state);
        self.flush(&mut state);
    }

    fn has_link(&self) -> bool {
        self.state().socket.is_some()
    }
}

impl Socket {
    fn prepare(&self) -> io::Result<()> {
        match self {
            Self::Unix(socket) => socket.set_nonblocking(true),
            Self::Inet(socket) => {
                socket.set_nodelay(true).and_then(|()| socket.set_nonblocking(true))
            }
        }
    }
}

impl Listener {
    fn prepare(&self) -> io::Result<()> {
        match self {
            Self::Unix(listener) => listener.set_nonblocking(true),
            Self::Inet(listener) => listener.set_nonblocking(true),
        }
    }

    fn accept(&self) -> io::Result<Socket> {
        match self {
            Self::Unix(listener) => listener.accept().map(|(socket, _)| Socket::Unix(socket)),
            Self::Inet(listener) => listener.accept().map(|(socket, _)| Socket::Inet(socket)),
        }
    }
}

impl Read for Socket {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Unix(socket) => socket.read(to),
            Self::Inet(socket) => socket.read(to),
        }
    }
}

impl Write for Socket {
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        match self {
            // Rust ignores SIGPIPE, so a closed connection is an error.
            Self::Unix(socket) => socket.write(from),
            Self::Inet(socket) => socket.write(from),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Unix(socket) => socket.as_fd(),
            Self::Inet(socket) => socket.as_fd(),
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Unix(listener) => listener.as_fd(),
            Self::Inet(listener) => listener.as_fd(),
        }
    }
}

#[cfg(test)]
mod tests;
