//! TCP: each connection of the guest is answered as the far end answers.
//!
//! A SYN of the guest waits until this host's own connection is made or refused. Both sides are
//! then one connection as far as anyone can tell: what one side closes, resets or does not read is
//! closed, reset or not read on the other.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::time::Instant;

use rustix::io::Errno;
use rustix::net;

use crate::addresses::{Addresses, Route};
use crate::arp::Neighbours;
use crate::icmp::{self, Quote, Unreachable};
use crate::link::{Link, Path};
use crate::packet::Packet;
use crate::resolver::Servers;
use crate::service::{self, Service};
use crate::sockets::{self, Kind, Ready, Sockets, Token};
use connection::{Connection, Verdict};
use flow::{Fate, Flow, Key, State, Step};
use segment::{Head, Segment};
use seq::Seq;

mod connection;
mod flow;
mod receiver;
mod segment;
mod sender;
mod seq;

/// Maximum number of flows. A guest's SYN beyond is not answered, so that it tries again.
const FLOWS: usize = 1024;
/// Flows of them that are not established; the oldest gives way, so that a flood of SYNs leaves
/// room for others.
const HALF_OPEN: usize = 256;
/// Bytes buffered in each direction of all flows together, about.
const BUFFERS: usize = 32 << 20;
/// Bounds of what one flow buffers in each direction.
const CAPACITY: usize = 256 << 10;
const CAPACITY_MIN: usize = 16 << 10;

/// What the flows need of the network.
#[derive(Debug)]
pub(crate) struct Context<'a> {
    pub addresses: &'a Addresses,
    pub neighbours: &'a Neighbours,
    pub link: &'a mut Link,
    pub sockets: &'a mut Sockets,
    pub servers: &'a mut Servers,
    pub service: Option<&'a dyn Service>,
    pub now: Instant,
}

/// The flows of a network.
#[derive(Debug, Default)]
pub(crate) struct Flows {
    flows: HashMap<Key, Flow>,
    tokens: HashMap<Token, Key>,
    /// Flows with something to do.
    queue: VecDeque<Key>,
    timers: BTreeSet<(Instant, Token)>,
    /// Makes initial sequence numbers that nobody guesses (RFC 6528).
    secret: RandomState,
    opened: u64,
}

impl Flows {
    pub fn len(&self) -> usize {
        self.flows.len()
    }

    /// Whether a flow has something to do now.
    pub fn is_busy(&self) -> bool {
        !self.queue.is_empty()
    }

    fn initial(&mut self, key: &Key) -> Seq {
        self.opened += 1;
        let hash = self.secret.hash_one((key, self.opened));
        Seq(u32::try_from(hash >> 32).unwrap_or(0))
    }

    fn capacity(&self) -> usize {
        (BUFFERS / self.flows.len().max(1)).clamp(CAPACITY_MIN, CAPACITY)
    }

    fn enqueue(&mut self, key: &Key) {
        if let Some(flow) = self.flows.get_mut(key)
            && !flow.queued
        {
            flow.queued = true;
            self.queue.push_back(*key);
        }
    }

    /// Takes a segment of the guest.
    pub fn packet(&mut self, packet: &Packet, cx: &mut Context) {
        let Some(segment) = Segment::parse(packet) else { return };
        let key = Key {
            guest: SocketAddr::new(packet.from, segment.from),
            remote: SocketAddr::new(packet.to, segment.to),
        };
        let fresh = segment.syn && segment.ack.is_none();
        if fresh && self.flows.get(&key).is_some_and(|flow| may_be_replaced(flow, &segment)) {
            self.remove(&key);
        }
        match self.flows.get_mut(&key) {
            Some(flow) => {
                flow.mac = Some(packet.mac);
                match flow.segment(&segment, cx.now) {
                    Verdict::Fine => self.enqueue(&key),
                    Verdict::Reset => {
                        flow.reset_host();
                        self.remove(&key);
                    }
                    Verdict::Refused => refuse(&segment, packet, cx.link),
                }
            }
            None if fresh => self.connect(key, &segment, packet, cx),
            None => refuse(&segment, packet, cx.link),
        }
    }

    /// The guest wants a new connection.
    fn connect(&mut self, key: Key, segment: &Segment, packet: &Packet, cx: &mut Context) {
        let target = match cx.addresses.route(key.remote) {
            Route::Loopback(target) | Route::Outside(target) => target,
            Route::Dns if key.remote.port() == 53 => cx.servers.server(cx.now),
            Route::Dns => return refuse(segment, packet, cx.link),
            Route::Service => return self.serve(key, segment, packet, cx),
            Route::Prohibited => {
                let quote = Quote::of(packet);
                return icmp::unreachable(cx.link, cx.addresses, &quote, Unreachable::Prohibited);
            }
            Route::Nowhere => {
                let quote = Quote::of(packet);
                return icmp::unreachable(cx.link, cx.addresses, &quote, Unreachable::Host);
            }
        };
        if !self.has_room() {
            return;
        }
        let connecting = sockets::tcp(&target).and_then(|socket| {
            let token = cx.sockets.token(Kind::Tcp);
            cx.sockets.watch(&socket, token)?;
            Ok((socket, token))
        });
        // No descriptors: the guest tries again.
        let Ok((socket, token)) = connecting else { return };
        let result = match net::connect(&socket, &target) {
            Ok(()) | Err(Errno::INPROGRESS | Errno::INTR) => Ok(()),
            Err(error) => Err(error),
        };
        self.insert(connecting_flow(key, token, socket, segment, packet));
        if let Err(error) = result {
            self.failed(&key, error, cx);
        }
    }

    /// The guest wants a connection to the service. One that the service does not take is refused.
    fn serve(&mut self, key: Key, segment: &Segment, packet: &Packet, cx: &mut Context) {
        let service = cx.service.filter(|_| key.remote.port() == service::PORT);
        if !self.has_room() {
            return;
        }
        let Some(socket) = service.and_then(Service::connect) else {
            return refuse(segment, packet, cx.link);
        };
        let token = cx.sockets.token(Kind::Tcp);
        // Its first event says that it is writable, which makes it a connection.
        if cx.sockets.watch(&socket, token).is_ok() {
            self.insert(connecting_flow(key, token, socket, segment, packet));
        }
    }

    /// Whether one more connection may be begun; makes room if it can.
    fn has_room(&mut self) -> bool {
        if self.flows.len() >= FLOWS
            && let Some(key) = self.flows.values().find(|flow| flow.is_over()).map(|flow| flow.key)
        {
            self.remove(&key);
        }
        let half_open = self.flows.values().filter(|flow| flow.is_half_open());
        // The oldest gives way: its SYN comes again if the guest still wants it.
        if half_open.clone().count() >= HALF_OPEN
            && let Some(key) = half_open.min_by_key(|flow| flow.token).map(|flow| flow.key)
        {
            self.remove(&key);
        }
        self.flows.len() < FLOWS
    }

    fn insert(&mut self, flow: Flow) {
        self.tokens.insert(flow.token, flow.key);
        self.flows.insert(flow.key, flow);
    }

    fn remove(&mut self, key: &Key) {
        if let Some(flow) = self.flows.remove(key) {
            self.tokens.remove(&flow.token);
            if let Some(at) = flow.scheduled {
                self.timers.remove(&(at, flow.token));
            }
        }
    }

    /// The far end cannot be reached, which the guest is told as it would be without us between.
    fn failed(&mut self, key: &Key, error: Errno, cx: &mut Context) {
        if cx.addresses.is_dns(key.remote.ip()) {
            cx.servers.failed();
        }
        if let Some(Flow { state: State::Connecting { syn, quote }, mac: Some(mac), .. }) =
            self.flows.get(key)
        {
            match flow::unreachable(error) {
                Some(why) => icmp::unreachable(cx.link, cx.addresses, quote, why),
                None if error == Errno::TIMEDOUT => {}
                None => {
                    let path = Path { mac: *mac, from: key.remote.ip(), to: key.guest.ip() };
                    reply(flow::refusal(syn), key, &path, cx.link);
                }
            }
        }
        self.remove(key);
    }

    /// A connection to a forwarded port. Gives the socket back if it cannot be taken now.
    pub fn forward(
        &mut self,
        socket: OwnedFd,
        client: SocketAddr,
        guest: SocketAddr,
        cx: &mut Context,
    ) {
        let seen = cx.addresses.seen_by_guest(client.ip());
        let mut remote = SocketAddr::new(seen, client.port());
        // Several addresses of this host are the gateway to the guest.
        while self.flows.contains_key(&Key { guest, remote }) {
            remote.set_port(remote.port().checked_add(1).unwrap_or(1024));
        }
        let key = Key { guest, remote };
        let token = cx.sockets.token(Kind::Tcp);
        if cx.sockets.watch(&socket, token).is_err() {
            return;
        }
        let initial = self.initial(&key);
        let connection = Connection::open(initial, flow::announced(&key), cx.now);
        let state = State::Connected(Box::new(connection));
        self.insert(Flow::new(key, token, cx.neighbours.find(guest.ip()), socket, state));
        self.enqueue(&key);
    }

    /// Whether a connection to a forwarded port may be taken.
    pub fn accepts(&mut self) -> bool {
        self.has_room()
    }

    /// The card of `address` is known now.
    pub fn found(&mut self, address: IpAddr) {
        let waiting = |flow: &&Flow| flow.mac.is_none() && flow.key.guest.ip() == address;
        let keys: Vec<Key> = self.flows.values().filter(waiting).map(|flow| flow.key).collect();
        for key in keys {
            self.enqueue(&key);
        }
    }

    /// Something has become possible with a socket.
    pub fn event(&mut self, token: Token, ready: Ready, cx: &mut Context) {
        let Some(key) = self.tokens.get(&token).copied() else { return };
        let initial = self.initial(&key);
        let Some(flow) = self.flows.get_mut(&key) else { return };
        match flow.event(ready, initial, cx.now) {
            Fate::Failed(error) => self.failed(&key, error, cx),
            _ => self.enqueue(&key),
        }
    }

    /// Lets every flow go on that can, in turn, as long as the guest takes frames. Returns
    /// addresses whose cards must be asked for.
    pub fn run(&mut self, cx: &mut Context) -> Vec<IpAddr> {
        let mut unknown = Vec::new();
        let mut turns = self.queue.len() * 4;
        while turns > 0 && cx.link.outbox.has_room() {
            turns -= 1;
            let Some(key) = self.queue.pop_front() else { break };
            let capacity = self.capacity();
            let Some(flow) = self.flows.get_mut(&key) else { continue };
            flow.queued = false;
            if flow.mac.is_none() {
                flow.mac = cx.neighbours.find(key.guest.ip());
            }
            if flow.mac.is_none() {
                unknown.push(key.guest.ip());
                flow.postpone(cx.now);
                self.schedule(&key);
                continue;
            }
            let short = capacity < CAPACITY;
            let mut step = Step { link: cx.link, capacity, short, now: cx.now };
            match flow.pump(&mut step) {
                Fate::Over | Fate::Failed(_) => self.remove(&key),
                fate => {
                    if fate == Fate::Continues {
                        self.enqueue(&key);
                    }
                    self.schedule(&key);
                }
            }
        }
        unknown
    }

    /// Sets the timer of a flow. One that is already set for earlier is left, and set again when it
    /// is over.
    fn schedule(&mut self, key: &Key) {
        let Some(flow) = self.flows.get_mut(key) else { return };
        let Some(at) = flow.deadline() else { return };
        if let Some(scheduled) = flow.scheduled {
            if scheduled <= at {
                return;
            }
            self.timers.remove(&(scheduled, flow.token));
        }
        flow.scheduled = Some(at);
        self.timers.insert((at, flow.token));
    }

    /// Lets timers go off. Returns when the next one will.
    pub fn tick(&mut self, cx: &mut Context) -> Option<Instant> {
        while let Some(&(at, token)) = self.timers.first() {
            if at > cx.now {
                return Some(at);
            }
            self.timers.pop_first();
            let Some(key) = self.tokens.get(&token).copied() else { continue };
            let Some(flow) = self.flows.get_mut(&key) else { continue };
            flow.scheduled = None;
            if flow.deadline().is_some_and(|deadline| deadline <= cx.now) {
                if flow.tick(cx.link, cx.now) == Fate::Over {
                    self.remove(&key);
                    continue;
                }
                self.enqueue(&key);
            }
            self.schedule(&key);
        }
        None
    }

    /// When the next timer goes off.
    pub fn deadline(&self) -> Option<Instant> {
        self.timers.first().map(|(at, _)| *at)
    }
}

/// A flow that answers the SYN `segment` once `socket` is writable.
fn connecting_flow(
    key: Key,
    token: Token,
    socket: OwnedFd,
    segment: &Segment,
    packet: &Packet,
) -> Flow {
    let syn = Segment { payload: &[], ..*segment };
    let state = State::Connecting { syn, quote: Quote::of(packet) };
    Flow::new(key, token, Some(packet.mac), socket, state)
}

/// Whether a SYN begins a new connection between the ends of an old one that is over (RFC 9293
/// section 3.10.7.4).
fn may_be_replaced(flow: &Flow, syn: &Segment) -> bool {
    match &flow.state {
        State::Connected(connection) => {
            flow.is_over() && syn.seq.since(connection.receiver.next()) > 0
        }
        State::Connecting { .. } => false,
    }
}

fn reply(head: Option<Head>, key: &Key, path: &Path, link: &mut Link) {
    if let Some(head) = head {
        let header = head.write(key.remote.port(), key.guest.port());
        link.tcp(path, header.as_ref(), &[], usize::MAX);
    }
}

/// Answers a segment that belongs to no connection by a reset.
fn refuse(segment: &Segment, packet: &Packet, link: &mut Link) {
    let path = Path { mac: packet.mac, from: packet.to, to: packet.from };
    let key = Key {
        guest: SocketAddr::new(packet.from, segment.from),
        remote: SocketAddr::new(packet.to, segment.to),
    };
    reply(flow::refusal(segment), &key, &path, link);
}
