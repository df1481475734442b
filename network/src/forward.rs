//! Ports of this host that lead to the guest (`hostfwd=`).
//!
//! A client on this host appears as the gateway, with its own port; any other client as itself, as
//! in QEMU.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{self, SendFlags, SocketFlags};
use smoltcp::wire::EthernetAddress;

use crate::addresses::Addresses;
use crate::config::{Forward, Protocol};
use crate::link::{Link, Path};
use crate::sockets::{self, Kind, Sockets, Token};

/// Clients of forwarded UDP ports that are remembered; the one that was idle for longest is
/// forgotten.
const CLIENTS: usize = 256;
/// How long a client may be idle.
const IDLE: Duration = Duration::from_secs(120);
/// Datagrams or connections taken from one socket before others have a turn.
const BURST: usize = 16;

/// A socket that listens for the guest.
#[derive(Debug)]
struct Listener {
    socket: OwnedFd,
    token: Token,
    forward: Forward,
}

/// A client of a forwarded UDP port, as the guest sees it: client, and the guest's socket.
type Seen = (SocketAddr, SocketAddr);

#[derive(Debug)]
struct Client {
    listener: usize,
    address: SocketAddr,
    used: Instant,
}

/// The forwarded ports of a network.
#[derive(Debug)]
pub(crate) struct Forwards {
    listeners: Vec<Listener>,
    clients: HashMap<Seen, Client>,
    buffer: Vec<u8>,
}

/// A connection to a forwarded port.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub socket: OwnedFd,
    pub client: SocketAddr,
    pub guest: SocketAddr,
}

/// A port of this host that cannot be had.
#[derive(Debug)]
pub(crate) struct Busy {
    pub forward: Forward,
    pub error: Errno,
}

impl Forwards {
    pub fn new(forwards: &[Forward], sockets: &mut Sockets) -> Result<Self, Busy> {
        let mut listeners = Vec::new();
        for &forward in forwards {
            let mut listen = || {
                let (socket, kind) = match forward.protocol {
                    Protocol::Tcp => (sockets::tcp_listener(&forward.host)?, Kind::TcpListener),
                    Protocol::Udp => (sockets::udp(&forward.host)?, Kind::UdpListener),
                };
                let token = sockets.token(kind);
                sockets.watch(&socket, token)?;
                let forward = Forward { host: sockets::local(&socket)?, ..forward };
                Ok(Listener { socket, token, forward })
            };
            listeners.push(listen().map_err(|error| Busy { forward, error })?);
        }
        Ok(Self { listeners, clients: HashMap::new(), buffer: Vec::new() })
    }

    pub fn list(&self) -> impl Iterator<Item = Forward> {
        self.listeners.iter().map(|listener| listener.forward)
    }

    /// The next connection to the listener `token`. `Err`: not now.
    pub fn accept(&self, token: Token) -> Option<Accepted> {
        let listener = self.listeners.iter().find(|listener| listener.token == token)?;
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        loop {
            match net::acceptfrom_with(&listener.socket, flags) {
                Ok((socket, client)) => {
                    let client = client.and_then(|client| SocketAddr::try_from(client).ok())?;
                    // Small segments of either side go on as they come. It works without.
                    let _ = net::sockopt::set_tcp_nodelay(&socket, true);
                    let _ = net::sockopt::set_socket_keepalive(&socket, true);
                    return Some(Accepted { socket, client, guest: listener.forward.guest });
                }
                // The client has gone already.
                Err(Errno::CONNABORTED | Errno::INTR | Errno::PROTO) => {}
                Err(_) => return None,
            }
        }
    }

    /// Passes in datagrams to the socket `token`. `find` knows the guest's card. Returns whether
    /// there may be more, and the guest's address if its card is not known.
    pub fn pump(
        &mut self,
        token: Token,
        addresses: &Addresses,
        link: &mut Link,
        find: impl Fn(SocketAddr) -> Option<EthernetAddress>,
        now: Instant,
    ) -> (bool, Option<SocketAddr>) {
        let at = self.listeners.iter().position(|listener| listener.token == token);
        let Some(at) = at else { return (false, None) };
        let guest = self.listeners[at].forward.guest;
        let Some(mac) = find(guest) else { return (true, Some(guest)) };
        self.buffer.reserve(65_535);
        for _ in 0..BURST {
            if !link.outbox.has_room() {
                return (true, None);
            }
            let client = match sockets::receive(&self.listeners[at].socket, &mut self.buffer) {
                Ok(Some(client)) => client,
                Ok(None) => return (false, None),
                Err(_) => continue, // what ICMP said of an earlier answer
            };
            let seen = self.remember(at, client, guest, addresses, now);
            let path = Path { mac, from: seen.ip(), to: guest.ip() };
            link.udp(&path, seen.port(), guest.port(), &self.buffer);
        }
        (true, None)
    }

    fn remember(
        &mut self,
        listener: usize,
        client: SocketAddr,
        guest: SocketAddr,
        addresses: &Addresses,
        now: Instant,
    ) -> SocketAddr {
        self.clients.retain(|_, client| client.used + IDLE > now);
        if self.clients.len() >= CLIENTS {
            let idle = self.clients.iter().min_by_key(|(_, client)| client.used);
            if let Some(seen) = idle.map(|(seen, _)| *seen) {
                self.clients.remove(&seen);
            }
        }
        let mut seen = SocketAddr::new(addresses.seen_by_guest(client.ip()), client.port());
        let other = |known: &Client| known.address != client || known.listener != listener;
        while self.clients.get(&(seen, guest)).is_some_and(other) {
            seen.set_port(seen.port().checked_add(1).unwrap_or(1024));
        }
        self.clients.insert((seen, guest), Client { listener, address: client, used: now });
        seen
    }

    /// Passes out a datagram of the guest, if it answers a client of a forwarded port.
    pub fn answer(
        &mut self,
        guest: SocketAddr,
        to: SocketAddr,
        payload: &[u8],
        now: Instant,
    ) -> bool {
        let Some(client) = self.clients.get_mut(&(to, guest)) else { return false };
        client.used = now;
        // A full buffer or a client that has gone: datagrams may be lost.
        let socket = &self.listeners[client.listener].socket;
        let _ = net::sendto(socket, payload, SendFlags::empty(), &client.address);
        true
    }
}
