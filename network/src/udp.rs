//! UDP out: a socket of this host for each of the guest's ports.
//!
//! As in QEMU, the mapping does not depend on where a datagram goes (RFC 4787 section 4.1), so that
//! protocols whose servers answer from another port (TFTP) or that learn their outer port (STUN)
//! work. Unlike in QEMU, a datagram is passed in only from an address that the guest has sent to.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{self, SendFlags};
use smoltcp::wire::EthernetAddress;

use crate::addresses::{Addresses, Route};
use crate::icmp::{self, Quote, Unreachable};
use crate::link::{Link, Path};
use crate::packet::Packet;
use crate::resolver::Servers;
use crate::sockets::{self, KeepErrors, Kind, Sockets, Token};

/// Maximum number of flows; the one that was idle for longest gives way.
const FLOWS: usize = 512;
/// How long a flow may be idle (RFC 4787 REQ-5: at least two minutes).
const IDLE: Duration = Duration::from_secs(120);
/// How long a flow of DNS queries may be idle.
const IDLE_DNS: Duration = Duration::from_secs(20);
/// A query that comes as long after an unanswered one goes to the next server.
const PATIENCE: Duration = Duration::from_secs(1);
/// Addresses that a flow has sent to; the oldest gives way.
const PEERS: usize = 32;
/// Datagrams taken from one socket before others have a turn.
const BURST: usize = 16;
/// Longest datagram.
const LONGEST: usize = 65_535;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    guest: SocketAddr,
    /// Queries have sockets of their own, each connected to the server, so that nobody else can
    /// answer them.
    dns: Option<SocketAddr>,
    ipv4: bool,
}

#[derive(Debug)]
struct Flow {
    socket: OwnedFd,
    token: Token,
    mac: EthernetAddress,
    used: Instant,
    /// This host's addresses that the guest has sent to.
    peers: VecDeque<IpAddr>,
    readable: bool,
    /// A query without an answer.
    quote: Option<Quote>,
}

/// What the flows need of the network.
#[derive(Debug)]
pub(crate) struct Context<'a> {
    pub addresses: &'a Addresses,
    pub link: &'a mut Link,
    pub sockets: &'a mut Sockets,
    pub servers: &'a mut Servers,
    pub now: Instant,
}

/// The flows of a network.
#[derive(Debug, Default)]
pub(crate) struct Flows {
    flows: HashMap<Key, Flow>,
    tokens: HashMap<Token, Key>,
    /// Since when the server has not answered.
    unanswered: Option<Instant>,
    /// What makes sockets keep errors.
    pub keep_errors: Option<KeepErrors>,
    buffer: Vec<u8>,
}

impl Flows {
    pub fn len(&self) -> usize {
        self.flows.len()
    }

    /// Sends a guest's datagram on its way.
    pub fn datagram(&mut self, packet: &Packet, cx: &mut Context) {
        let Some((from, to, payload)) = packet.udp() else { return };
        let guest = SocketAddr::new(packet.from, from);
        let asked = SocketAddr::new(packet.to, to);
        let quote = || Quote::of(packet);
        let (target, dns) = match cx.addresses.route(asked) {
            Route::Loopback(target) | Route::Outside(target) => (target, None),
            Route::Dns if to == 53 => (self.resolver(cx), Some(asked)),
            Route::Dns | Route::Service => {
                return icmp::unreachable(cx.link, cx.addresses, &quote(), Unreachable::Port);
            }
            Route::Prohibited => {
                return icmp::unreachable(cx.link, cx.addresses, &quote(), Unreachable::Prohibited);
            }
            Route::Nowhere => {
                return icmp::unreachable(cx.link, cx.addresses, &quote(), Unreachable::Host);
            }
        };
        let key = Key { guest, dns, ipv4: target.is_ipv4() };
        if let Err(error) = self.send(key, target, payload, packet, cx) {
            // Full buffers, no descriptors: datagrams may be lost.
            let Some(why) = reason(error) else { return };
            if dns.is_some() {
                cx.servers.failed();
            }
            icmp::unreachable(cx.link, cx.addresses, &quote(), why);
        }
    }

    fn resolver(&mut self, cx: &mut Context) -> SocketAddr {
        let since = *self.unanswered.get_or_insert(cx.now);
        if cx.now.saturating_duration_since(since) >= PATIENCE {
            cx.servers.failed();
            self.unanswered = Some(cx.now);
        }
        cx.servers.server(cx.now)
    }

    fn send(
        &mut self,
        key: Key,
        target: SocketAddr,
        payload: &[u8],
        packet: &Packet,
        cx: &mut Context,
    ) -> Result<(), Errno> {
        if !self.flows.contains_key(&key) {
            self.open(key, packet.mac, cx)?;
        }
        let Some(flow) = self.flows.get_mut(&key) else { return Ok(()) };
        flow.used = cx.now;
        if key.dns.is_some() {
            flow.quote = Some(Quote::of(packet));
            net::connect(&flow.socket, &target)?;
            net::send(&flow.socket, payload, SendFlags::empty())?;
        } else {
            if !flow.peers.contains(&target.ip()) {
                if flow.peers.len() == PEERS {
                    flow.peers.pop_front();
                }
                flow.peers.push_back(target.ip());
            }
            let send = || net::sendto(&flow.socket, payload, SendFlags::empty(), &target);
            if let Err(error) = send() {
                // It may be about a datagram before this one.
                if !report_undelivered(error, &key, flow, &mut self.buffer, (cx.link, cx.addresses))
                {
                    return Err(error);
                }
                send()?;
            }
        }
        Ok(())
    }

    fn open(&mut self, key: Key, mac: EthernetAddress, cx: &mut Context) -> Result<(), Errno> {
        if self.flows.len() >= FLOWS {
            let idle = self.flows.iter().min_by_key(|(_, flow)| flow.used);
            if let Some(key) = idle.map(|(key, _)| *key) {
                self.close(&key);
            }
        }
        let any: IpAddr =
            if key.ipv4 { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let socket = sockets::udp(&SocketAddr::new(any, 0))?;
        let token = cx.sockets.token(Kind::Udp);
        cx.sockets.watch(&socket, token)?;
        if let (None, Some(keep_errors)) = (key.dns, self.keep_errors) {
            // Without it, the guest hears of no errors.
            let _ = keep_errors(socket.as_fd(), !key.ipv4);
        }
        self.tokens.insert(token, key);
        let flow = Flow {
            socket,
            token,
            mac,
            used: cx.now,
            peers: VecDeque::new(),
            readable: false,
            quote: None,
        };
        self.flows.insert(key, flow);
        Ok(())
    }

    fn close(&mut self, key: &Key) {
        if let Some(flow) = self.flows.remove(key) {
            self.tokens.remove(&flow.token);
        }
    }

    /// There is something to read.
    pub fn event(&mut self, token: Token, cx: &mut Context) -> bool {
        let Some(key) = self.tokens.get(&token).copied() else { return false };
        if let Some(flow) = self.flows.get_mut(&key) {
            flow.readable = true;
        }
        self.pump(token, cx)
    }

    /// Passes in what has come, as far as the guest takes it. Returns whether there may be more.
    pub fn pump(&mut self, token: Token, cx: &mut Context) -> bool {
        let Some((key, flow)) =
            self.tokens.get(&token).and_then(|key| Some((*key, self.flows.get_mut(key)?)))
        else {
            return false;
        };
        for _ in 0..BURST {
            self.buffer.reserve(LONGEST);
            if !flow.readable || !cx.link.outbox.has_room() {
                break;
            }
            let from = match sockets::receive(&flow.socket, &mut self.buffer) {
                Ok(Some(from)) => from,
                Ok(None) => {
                    flow.readable = false;
                    break;
                }
                Err(error) => {
                    // A connected socket reports what ICMP has said.
                    if let (Errno::CONNREFUSED, Some(quote)) = (error, flow.quote.take()) {
                        cx.servers.failed();
                        icmp::unreachable(cx.link, cx.addresses, &quote, Unreachable::Port);
                    }
                    report_undelivered(
                        error,
                        &key,
                        flow,
                        &mut self.buffer,
                        (cx.link, cx.addresses),
                    );
                    continue;
                }
            };
            let seen = match key.dns {
                Some(server) => {
                    self.unanswered = None;
                    flow.quote = None;
                    server
                }
                None if flow.peers.contains(&from.ip()) => {
                    SocketAddr::new(cx.addresses.seen_by_guest(from.ip()), from.port())
                }
                None => continue,
            };
            flow.used = cx.now;
            let path = Path { mac: flow.mac, from: seen.ip(), to: key.guest.ip() };
            cx.link.udp(&path, seen.port(), key.guest.port(), &self.buffer);
        }
        flow.readable
    }

    /// Closes what is idle. Returns when the next flow will be.
    pub fn expire(&mut self, now: Instant) -> Option<Instant> {
        let end =
            |key: &Key, flow: &Flow| flow.used + if key.dns.is_some() { IDLE_DNS } else { IDLE };
        let tokens = &mut self.tokens;
        self.flows.retain(|key, flow| {
            let keep = end(key, flow) > now;
            if !keep {
                tokens.remove(&flow.token);
            }
            keep
        });
        self.flows.iter().map(|(key, flow)| end(key, flow)).min()
    }
}

/// The ICMP error that reports a socket error to the guest. `None`: it is not reported.
fn reason(error: Errno) -> Option<Unreachable> {
    match error {
        Errno::NETUNREACH => Some(Unreachable::Network),
        Errno::HOSTUNREACH => Some(Unreachable::Host),
        Errno::ACCESS | Errno::PERM => Some(Unreachable::Prohibited),
        Errno::CONNREFUSED => Some(Unreachable::Port),
        _ => None,
    }
}

/// Reports to the guest the datagram for which the host has received `error` by ICMP. Returns whether
/// there was one. The next call on the socket returns the error of the next datagram.
fn report_undelivered(
    error: Errno,
    key: &Key,
    flow: &Flow,
    buffer: &mut Vec<u8>,
    (link, addresses): (&mut Link, &Addresses),
) -> bool {
    let Some(to) = sockets::undelivered(&flow.socket, buffer) else { return false };
    if let Some(why) = reason(error) {
        let seen = addresses.seen_by_guest(to.ip());
        let path = Path { mac: flow.mac, from: key.guest.ip(), to: seen };
        let quote = icmp::quote_datagram(path, (key.guest.port(), to.port()), buffer);
        icmp::unreachable(link, addresses, &quote, why);
    }
    true
}
