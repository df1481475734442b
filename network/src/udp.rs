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
use crate::error_queue::{ErrorQueue, Undelivered};
use crate::icmp::{self, Quote, Unreachable};
use crate::link::{Link, Path};
use crate::packet::Packet;
use crate::resolver::Servers;
use crate::sockets::{self, Kind, Sockets, Token};

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
/// Errors about earlier datagrams that are reported before another attempt.
const ERRORS: usize = 16;
/// Attempts to send a datagram on a socket that returns errors about earlier ones.
const ATTEMPTS: usize = 4;
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
    /// The error queues of sockets.
    pub error_queue: Option<ErrorQueue>,
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
            let (flow, queue) = (&*flow, self.error_queue);
            send_past_errors(
                || net::sendto(&flow.socket, payload, SendFlags::empty(), &target).map(drop),
                || report_undelivered(&key, flow, queue, cx.link, cx.addresses),
            )?;
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
        if let (None, Some(queue)) = (key.dns, self.error_queue) {
            // Without it, the guest hears of no errors.
            let _ = (queue.keep)(socket.as_fd(), !key.ipv4);
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
            self.buffer.clear();
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
                    report_undelivered(&key, flow, self.error_queue, cx.link, cx.addresses);
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

/// Sends a datagram on a socket that can return errors about earlier ones. `report` empties the
/// socket's error queue, and returns whether it had an entry.
///
/// An error about an earlier datagram is returned once; one about this datagram is returned again.
/// If errors keep coming in, the datagram is lost.
///
/// # Errors
/// The error about this datagram: two attempts failed while the queue was empty.
fn send_past_errors(
    mut send: impl FnMut() -> Result<(), Errno>,
    mut report: impl FnMut() -> bool,
) -> Result<(), Errno> {
    let mut was_empty = false;
    for _ in 0..ATTEMPTS {
        let Err(error) = send() else { return Ok(()) };
        let is_empty = !report();
        if is_empty && (was_empty || error == Errno::AGAIN) {
            return Err(error);
        }
        was_empty = is_empty;
    }
    Ok(())
}

/// Reports to the guest the datagrams in the socket's error queue, each with its own error, at most
/// [`ERRORS`] of them. Returns whether there was one. The next call on the socket returns the error
/// of the next datagram.
fn report_undelivered(
    key: &Key,
    flow: &Flow,
    queue: Option<ErrorQueue>,
    link: &mut Link,
    addresses: &Addresses,
) -> bool {
    let Some(queue) = queue else { return false };
    let mut count = 0;
    while count < ERRORS
        && let Some(entry) = queue.next(&flow.socket)
    {
        count += 1;
        let Some(Undelivered { to, error, payload }) = entry else { continue };
        let Some(why) = reason(error) else { continue };
        let seen = addresses.seen_by_guest(to.ip());
        let path = Path { mac: flow.mac, from: key.guest.ip(), to: seen };
        let quote = icmp::quote_datagram(path, (key.guest.port(), to.port()), &payload);
        icmp::unreachable(link, addresses, &quote, why);
    }
    count > 0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends a datagram. `script`: for each attempt, what the socket returns and whether its error
    /// queue has an entry afterwards. Returns the result and the number of attempts.
    fn send(script: &[(Result<(), Errno>, bool)]) -> (Result<(), Errno>, usize) {
        let (mut sent, mut reported) = (script.iter(), script.iter());
        let result = send_past_errors(|| sent.next().unwrap().0, || reported.next().unwrap().1);
        (result, script.len() - sent.len())
    }

    #[test]
    fn an_error_about_an_earlier_datagram_is_not_reported_about_this_one() {
        let [refused, host] = [Err(Errno::CONNREFUSED), Err(Errno::HOSTUNREACH)];
        assert_eq!(send(&[(refused, true), (Ok(()), false)]), (Ok(()), 2));
        // Errors come in while the datagram is sent, one of them too late for the queue to be seen.
        let late = [(refused, true), (host, true), (refused, false), (Ok(()), false)];
        assert_eq!(send(&late), (Ok(()), 4));
        assert_eq!(send(&[(refused, true); 9]), (Ok(()), ATTEMPTS));
    }

    #[test]
    fn an_error_about_this_datagram_is_returned() {
        let [refused, network] = [Err(Errno::CONNREFUSED), Err(Errno::NETUNREACH)];
        assert_eq!(send(&[(network, false); 9]), (network, 2));
        let after = [(refused, true), (network, false), (network, false)];
        assert_eq!(send(&after), (network, 3));
        assert_eq!(send(&[(Err(Errno::AGAIN), false)]), (Err(Errno::AGAIN), 1));
    }
}
