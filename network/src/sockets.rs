//! This host's sockets, none of which ever waits, and the events on them.

use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{
    self, AddressFamily, Protocol, RecvFlags, SocketFlags, SocketType, ipproto, sockopt,
};

/// Maximum number of events fetched at once.
const EVENTS: usize = 64;

/// What a socket is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    Tcp,
    Udp,
    Echo,
    TcpListener,
    UdpListener,
}

/// The name of a socket in events. No two sockets of a network ever have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Token {
    pub kind: Kind,
    number: u64,
}

impl Token {
    fn encode(self) -> u64 {
        self.number << 3 | self.kind as u64
    }

    fn decode(value: u64) -> Self {
        let kinds = [Kind::Tcp, Kind::Udp, Kind::Echo, Kind::TcpListener, Kind::UdpListener];
        // Only `encode` makes these values.
        let kind = kinds.into_iter().find(|kind| *kind as u64 == value & 7).unwrap_or(Kind::Tcp);
        Self { kind, number: value >> 3 }
    }
}

/// What has become possible with a socket since the last event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ready {
    pub readable: bool,
    pub writable: bool,
    /// The other side has closed, or there is an error: read until the end.
    pub ended: bool,
}

/// The epoll instance with every socket of a network.
#[derive(Debug)]
pub(crate) struct Sockets {
    epoll: OwnedFd,
    next: u64,
}

impl Sockets {
    pub fn new() -> Result<Self, Errno> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        Ok(Self { epoll, next: 0 })
    }

    /// A new name.
    pub fn token(&mut self, kind: Kind) -> Token {
        self.next += 1;
        Token { kind, number: self.next }
    }

    /// Reports events on `socket` from now on, until it is closed. Each change is reported once.
    pub fn watch(&self, socket: impl AsFd, token: Token) -> Result<(), Errno> {
        let mut flags = EventFlags::IN | EventFlags::ET;
        if token.kind == Kind::Tcp {
            flags |= EventFlags::OUT | EventFlags::RDHUP;
        }
        epoll::add(&self.epoll, socket, EventData::new_u64(token.encode()), flags)
    }

    /// The next events, without waiting.
    pub fn events(&self) -> Vec<(Token, Ready)> {
        let mut events: Vec<Event> = Vec::with_capacity(EVENTS);
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        // It fails only by a signal, which the next call sees again.
        let _ = epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&now));
        let ready = |event: &Event| {
            let flags = event.flags;
            let ended = EventFlags::HUP | EventFlags::ERR | EventFlags::RDHUP;
            Ready {
                readable: flags.intersects(EventFlags::IN | ended),
                writable: flags.intersects(EventFlags::OUT | EventFlags::HUP | EventFlags::ERR),
                ended: flags.intersects(ended),
            }
        };
        events.iter().map(|event| (Token::decode(event.data.u64()), ready(event))).collect()
    }
}

impl AsFd for Sockets {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}

fn family(like: &SocketAddr) -> AddressFamily {
    if like.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 }
}

const FLAGS: SocketFlags = SocketFlags::NONBLOCK.union(SocketFlags::CLOEXEC);

/// A TCP socket, not connected yet, for addresses like `like`.
pub(crate) fn tcp(like: &SocketAddr) -> Result<OwnedFd, Errno> {
    let socket = net::socket_with(family(like), SocketType::STREAM, FLAGS, None)?;
    // The guest's own stack has decided what is a segment.
    sockopt::set_tcp_nodelay(&socket, true)?;
    sockopt::set_socket_keepalive(&socket, true)?;
    Ok(socket)
}

/// A listening TCP socket.
pub(crate) fn tcp_listener(at: &SocketAddr) -> Result<OwnedFd, Errno> {
    let socket = net::socket_with(family(at), SocketType::STREAM, FLAGS, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    if at.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    net::bind(&socket, at)?;
    net::listen(&socket, 128)?;
    Ok(socket)
}

/// A UDP socket, bound to `at`, or to a free port for addresses like `at` if its port is 0.
pub(crate) fn udp(at: &SocketAddr) -> Result<OwnedFd, Errno> {
    let socket = net::socket_with(family(at), SocketType::DGRAM, FLAGS, None)?;
    if at.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    net::bind(&socket, at)?;
    Ok(socket)
}

/// A socket for ICMP echo requests, which needs no privilege where `net.ipv4.ping_group_range`
/// allows it (icmp(7)).
pub(crate) fn echo(like: &SocketAddr) -> Result<OwnedFd, Errno> {
    let protocol: Protocol = if like.is_ipv4() { ipproto::ICMP } else { ipproto::ICMPV6 };
    net::socket_with(family(like), SocketType::DGRAM, FLAGS, Some(protocol))
}

/// Receives a datagram into `buffer`. `None`: none has come.
pub(crate) fn receive(socket: &OwnedFd, buffer: &mut Vec<u8>) -> Result<Option<SocketAddr>, Errno> {
    buffer.clear();
    match net::recvfrom(socket, spare_capacity(buffer), RecvFlags::empty()) {
        Ok((_, _, from)) => Ok(from.and_then(|from| SocketAddr::try_from(from).ok())),
        Err(Errno::AGAIN | Errno::INTR) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Where a socket is bound.
pub(crate) fn local(socket: &OwnedFd) -> Result<SocketAddr, Errno> {
    SocketAddr::try_from(net::getsockname(socket)?)
}
