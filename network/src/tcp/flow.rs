//! One flow: a connection with the guest, a socket of this host, and what goes between them.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::io::Errno;
use rustix::net::{self, RecvFlags, SendFlags, Shutdown, sockopt};
use smoltcp::wire::EthernetAddress;

use super::connection::{Connection, Verdict};
use super::segment::{Head, Segment};
use super::seq::Seq;
use crate::icmp::{Quote, Unreachable};
use crate::link::{Link, Path};
use crate::sockets::{Ready, Token};

/// Bytes read from a socket at once.
const READ: usize = 64 << 10;
/// A segment of as many bytes goes to the socket at once. Those of smaller ones are collected, for
/// one system call.
const DIRECT: usize = 8 << 10;
/// Frames sent for one flow before others have a turn.
const BURST: usize = 16;
/// How long a connection that we closed first is remembered (TIME-WAIT): the guest's last segments
/// are not delayed by a network.
const TIME_WAIT: Duration = Duration::from_secs(10);
/// Longest payload of a frame, if the guest's card splits it.
const LARGE: usize = 65_535 - 60;

/// The two ends, as the guest sees them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub guest: SocketAddr,
    pub remote: SocketAddr,
}

/// What a flow is doing.
#[derive(Debug)]
pub(crate) enum State {
    /// This host is connecting; the guest's SYN is not answered yet.
    Connecting { syn: Segment<'static>, quote: Quote },
    /// A connection with the guest, or one that is being made.
    Connected(Box<Connection>),
}

/// What is to become of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It waits for the guest, its socket or its timer.
    Waits,
    /// It has more to do when it is its turn again.
    Continues,
    /// It is over.
    Over,
    /// The far end could not be reached.
    Failed(Errno),
}

/// A flow.
#[derive(Debug)]
pub(crate) struct Flow {
    pub key: Key,
    pub token: Token,
    pub mac: Option<EthernetAddress>,
    pub state: State,
    socket: Option<OwnedFd>,
    ready: Ready,
    /// The socket has been told that nothing follows.
    shut: bool,
    /// Since when both sides have closed, and this one first.
    over: Option<Instant>,
    pub queued: bool,
    /// For when a timer is set.
    pub scheduled: Option<Instant>,
}

/// What each step of a flow needs.
#[derive(Debug)]
pub(crate) struct Step<'a> {
    pub link: &'a mut Link,
    /// Bytes that may be buffered in each direction.
    pub capacity: usize,
    /// Memory is short: there are many flows.
    pub short: bool,
    pub now: Instant,
}

impl Flow {
    pub fn new(
        key: Key,
        token: Token,
        mac: Option<EthernetAddress>,
        socket: OwnedFd,
        state: State,
    ) -> Self {
        // What an accepted socket can do is found out by trying.
        let tried = matches!(state, State::Connected(_));
        Self {
            key,
            token,
            mac,
            state,
            socket: Some(socket),
            ready: Ready { readable: tried, writable: tried, ended: false },
            shut: false,
            over: None,
            queued: false,
            scheduled: None,
        }
    }

    /// Whether the connection is not established yet.
    pub fn is_half_open(&self) -> bool {
        match &self.state {
            State::Connecting { .. } => true,
            State::Connected(connection) => !connection.is_open(),
        }
    }

    /// Whether both sides have closed it.
    pub fn is_over(&self) -> bool {
        self.over.is_some()
    }

    /// What has become possible with the socket. `initial`: our first number, if the connection
    /// begins now.
    pub fn event(&mut self, ready: Ready, initial: Seq, now: Instant) -> Fate {
        self.ready.readable |= ready.readable;
        self.ready.writable |= ready.writable;
        self.ready.ended |= ready.ended;
        if let (State::Connecting { syn, .. }, Some(socket)) = (&self.state, &self.socket) {
            match sockopt::socket_error(socket) {
                Ok(Ok(())) if ready.writable => {}
                Ok(Ok(())) => return Fate::Waits,
                Ok(Err(error)) | Err(error) => return Fate::Failed(error),
            }
            let connection = Connection::accept(syn, initial, announced(&self.key), now);
            self.state = State::Connected(Box::new(connection));
            self.ready.readable = true;
        }
        Fate::Continues
    }

    /// Takes a segment of the guest.
    pub fn segment(&mut self, segment: &Segment, now: Instant) -> Verdict {
        let State::Connected(connection) = &mut self.state else {
            // The SYN again, or something that cannot be: the answer comes when the far end has
            // decided.
            return if segment.rst { Verdict::Reset } else { Verdict::Fine };
        };
        let (socket, ready) = (&self.socket, &mut self.ready);
        let mut sink = |bytes: &[u8]| match socket {
            Some(socket) if ready.writable && bytes.len() >= DIRECT => {
                send(socket, bytes, ready).unwrap_or(0)
            }
            _ => 0,
        };
        connection.segment(segment, &mut sink, now)
    }

    /// Moves what can be moved, in both directions.
    pub fn pump(&mut self, step: &mut Step) -> Fate {
        let State::Connected(connection) = &mut self.state else { return Fate::Waits };
        if let Some(socket) = &self.socket
            && connection.is_open()
        {
            let done = to_socket(connection, socket, &mut self.ready, &mut self.shut)
                .and_then(|()| from_socket(connection, socket, &mut self.ready, step));
            if let Err(error) = done {
                return self.broken(error, step.link);
            }
            if step.short {
                connection.sender.buffer.shrink();
            }
            if connection.receiver.has_opened(step.capacity, connection.sender.mss) {
                connection.receiver.ack_due = true;
            }
        }
        let more = self.emit(step);
        let State::Connected(connection) = &mut self.state else { return Fate::Waits };
        if connection.is_over() && self.shut && self.over.is_none() {
            if !connection.lingers {
                return Fate::Over;
            }
            self.over = Some(step.now);
            self.socket = None;
            connection.forget();
        }
        if more { Fate::Continues } else { Fate::Waits }
    }

    /// Sends the guest what may be sent. Returns whether there is more.
    fn emit(&mut self, step: &mut Step) -> bool {
        let (Some(path), State::Connected(connection)) = (self.path(), &mut self.state) else {
            return false;
        };
        let ports = (self.key.remote.port(), self.key.guest.port());
        let mss = connection.sender.mss;
        let longest = if step.link.splits(path.to) { (LARGE / mss) * mss } else { mss };
        for _ in 0..BURST {
            if !step.link.outbox.has_room() {
                return true;
            }
            let Some((head, payload)) = connection.next(longest, step.capacity, step.now) else {
                let waiting = self.ready.readable && !connection.sender.closing;
                return waiting
                    && connection.is_open()
                    && connection.sender.buffer.len() < step.capacity;
            };
            let header = head.write(ports.0, ports.1);
            step.link.tcp(&path, header.as_ref(), connection.sender.buffer.get(payload), mss);
        }
        true
    }

    /// The way of frames to the guest, once its card is known.
    fn path(&self) -> Option<Path> {
        Some(Path { mac: self.mac?, from: self.key.remote.ip(), to: self.key.guest.ip() })
    }

    /// Sends the guest a reset.
    pub fn reset_guest(&self, link: &mut Link) {
        let State::Connected(connection) = &self.state else { return };
        let Some(path) = self.path() else { return };
        let header = connection.reset().write(self.key.remote.port(), self.key.guest.port());
        link.tcp(&path, header.as_ref(), &[], usize::MAX);
    }

    /// Resets the far end's connection when the socket is dropped.
    pub fn reset_host(&mut self) {
        if let Some(socket) = self.socket.take() {
            // Without linger, close(2) resets. If that fails, it is an ordinary close.
            let _ = sockopt::set_socket_linger(&socket, Some(Duration::ZERO));
        }
    }

    /// The far end has reset the connection, or it was lost.
    fn broken(&mut self, _error: Errno, link: &mut Link) -> Fate {
        self.reset_guest(link);
        self.socket = None;
        Fate::Over
    }

    /// When [`Self::tick`] has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        match (&self.state, self.over) {
            (_, Some(over)) => Some(over + TIME_WAIT),
            (State::Connecting { .. }, _) => None, // the socket has a time limit of its own
            (State::Connected(connection), _) => connection.deadline(),
        }
    }

    /// Time has passed.
    pub fn tick(&mut self, link: &mut Link, now: Instant) -> Fate {
        if self.over.is_some_and(|over| over + TIME_WAIT <= now) {
            return Fate::Over;
        }
        let State::Connected(connection) = &mut self.state else { return Fate::Waits };
        if self.over.is_none() && connection.tick(now) {
            self.reset_guest(link);
            self.reset_host();
            return Fate::Over;
        }
        Fate::Continues
    }

    /// The guest's card is not known yet: the SYN is sent later.
    pub fn postpone(&mut self, now: Instant) {
        if let State::Connected(connection) = &mut self.state
            && connection.sender.timer.is_none()
        {
            connection.sender.timer = Some(now + Duration::from_secs(1));
        }
    }
}

/// Maximum segment size that we announce for a connection.
pub(crate) fn announced(key: &Key) -> u16 {
    if key.guest.is_ipv4() { 1460 } else { 1440 }
}

/// What answers a segment that belongs to no connection (RFC 9293 section 3.10.7.1).
pub(crate) fn refusal(segment: &Segment) -> Option<Head> {
    if segment.rst {
        return None;
    }
    Some(match segment.ack {
        Some(ack) => Head { seq: ack, rst: true, ..Head::default() },
        None => {
            let ack = Some(segment.seq.plus(segment.length()));
            Head { ack, rst: true, ..Head::default() }
        }
    })
}

/// How the guest hears of a far end that cannot be reached. `None`: by a reset. Time-outs: not at
/// all.
pub(crate) fn unreachable(error: Errno) -> Option<Unreachable> {
    match error {
        Errno::NETUNREACH | Errno::NETDOWN | Errno::ADDRNOTAVAIL => Some(Unreachable::Network),
        Errno::HOSTUNREACH | Errno::HOSTDOWN => Some(Unreachable::Host),
        Errno::ACCESS | Errno::PERM => Some(Unreachable::Prohibited),
        _ => None,
    }
}

fn send(socket: &OwnedFd, bytes: &[u8], ready: &mut Ready) -> Result<usize, Errno> {
    match net::send(socket, bytes, SendFlags::NOSIGNAL) {
        Ok(count) => {
            ready.writable = count == bytes.len();
            Ok(count)
        }
        Err(Errno::INTR) => Ok(0),
        Err(Errno::AGAIN) => {
            ready.writable = false;
            Ok(0)
        }
        Err(error) => Err(error),
    }
}

/// Hands the socket what it has not taken yet, and the end.
fn to_socket(
    connection: &mut Connection,
    socket: &OwnedFd,
    ready: &mut Ready,
    shut: &mut bool,
) -> Result<(), Errno> {
    let inbox = &mut connection.receiver.inbox;
    while ready.writable && !inbox.is_empty() {
        let count = send(socket, inbox.as_slices().0, ready)?;
        inbox.drain(..count);
    }
    if inbox.is_empty() {
        inbox.shrink_to(4096);
        if connection.receiver.finished && !*shut {
            *shut = true;
            match net::shutdown(socket, Shutdown::Write) {
                // It is not connected any more: reading says why.
                Ok(()) | Err(Errno::NOTCONN) => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

/// Reads from the socket what may be buffered for the guest, if the guest takes frames at all.
fn from_socket(
    connection: &mut Connection,
    socket: &OwnedFd,
    ready: &mut Ready,
    step: &Step,
) -> Result<(), Errno> {
    let sender = &mut connection.sender;
    // Once all is read, a reset is found nowhere else.
    if sender.closing && std::mem::take(&mut ready.ended) {
        sockopt::socket_error(socket)??;
    }
    while ready.readable && !sender.closing && step.link.outbox.has_room() {
        let room = step.capacity.saturating_sub(sender.buffer.len()).min(READ);
        if room == 0 {
            break;
        }
        let tail = sender.buffer.tail(room);
        let before = tail.len();
        match net::recv(socket, spare_capacity(tail), RecvFlags::empty()) {
            Ok((0, _)) => {
                sender.closing = true;
                ready.readable = false;
            }
            // All is read, unless the end has come as well.
            Ok(_) => ready.readable = ready.ended || tail.len() - before >= room,
            Err(Errno::AGAIN) => ready.readable = false,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
