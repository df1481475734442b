//! Echo requests to the outside, by the kernel's ping sockets, which need no privilege where
//! `net.ipv4.ping_group_range` allows them (icmp(7)).

use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{self, SendFlags};

use crate::addresses::{Addresses, Route};
use crate::icmp::{self, Quote, Unreachable};
use crate::link::{Link, Path};
use crate::packet::Packet;
use crate::sockets::{self, Kind, Sockets, Token};

/// Maximum number of flows; the one that was idle for longest gives way.
const FLOWS: usize = 32;
/// How long a flow may be idle.
const IDLE: Duration = Duration::from_secs(20);
/// Replies taken from one socket before others have a turn.
const BURST: usize = 16;

/// One `ping` in the guest.
#[derive(Debug)]
struct Flow {
    path: Path,
    identifier: u16,
    socket: OwnedFd,
    token: Token,
    used: Instant,
}

/// The flows of a network.
#[derive(Debug, Default)]
pub(crate) struct Flows {
    flows: Vec<Flow>,
    buffer: Vec<u8>,
}

impl Flows {
    /// Passes out an echo request. `rest`: sequence number and data.
    pub fn request(
        &mut self,
        packet: &Packet,
        (identifier, rest): (u16, &[u8]),
        addresses: &Addresses,
        (link, sockets): (&mut Link, &mut Sockets),
        now: Instant,
    ) {
        let refuse = |link: &mut Link, why| {
            icmp::unreachable(link, addresses, &Quote::of(packet), why);
        };
        let target = match addresses.route(SocketAddr::new(packet.to, 0)) {
            Route::Outside(target) => target,
            Route::Prohibited => return refuse(link, Unreachable::Prohibited),
            Route::Nowhere => return refuse(link, Unreachable::Host),
            Route::Loopback(_) | Route::Dns | Route::Service => return,
        };
        match self.send(packet, identifier, rest, target, sockets, now) {
            Err(Errno::ACCESS | Errno::PERM) => refuse(link, Unreachable::Prohibited),
            Err(Errno::NETUNREACH) => refuse(link, Unreachable::Network),
            Err(Errno::HOSTUNREACH) => refuse(link, Unreachable::Host),
            // Anything else is a lost packet.
            Ok(()) | Err(_) => {}
        }
    }

    fn send(
        &mut self,
        packet: &Packet,
        identifier: u16,
        rest: &[u8],
        target: SocketAddr,
        sockets: &mut Sockets,
        now: Instant,
    ) -> Result<(), Errno> {
        let path = Path { mac: packet.mac, from: packet.to, to: packet.from };
        let same = |flow: &Flow| flow.path == path && flow.identifier == identifier;
        if !self.flows.iter().any(same) {
            self.flows.retain(|flow| flow.used + IDLE > now);
            if self.flows.len() >= FLOWS {
                self.flows.remove(0);
            }
            let socket = sockets::echo(&target)?;
            net::connect(&socket, &target)?;
            let token = sockets.token(Kind::Echo);
            sockets.watch(&socket, token)?;
            self.flows.push(Flow { path, identifier, socket, token, used: now });
        }
        let Some(at) = self.flows.iter().position(same) else { return Ok(()) };
        // The one used last is at the back.
        let mut flow = self.flows.remove(at);
        flow.used = now;
        // The kernel puts in an identifier of its own, and the checksum.
        let mut message = vec![icmp::echo_types(packet.to.is_ipv4()).0, 0, 0, 0, 0, 0];
        message.extend_from_slice(rest);
        let result = net::send(&flow.socket, &message, SendFlags::empty());
        self.flows.push(flow);
        result.map(|_| ())
    }

    /// Passes in replies. Returns whether there may be more.
    pub fn pump(&mut self, token: Token, link: &mut Link) -> bool {
        let Some(flow) = self.flows.iter().find(|flow| flow.token == token) else { return false };
        self.buffer.reserve(65_535);
        for _ in 0..BURST {
            if !link.outbox.has_room() {
                return true;
            }
            match sockets::receive(&flow.socket, &mut self.buffer) {
                Ok(Some(_)) => {}
                Ok(None) => return false,
                Err(_) => continue,
            }
            let reply = icmp::echo_types(matches!(flow.path.to, IpAddr::V4(_))).1;
            if self.buffer.first() == Some(&reply)
                && let Some(rest) = self.buffer.get(6..)
            {
                icmp::echo_reply(link, &flow.path, flow.identifier, rest);
            }
        }
        true
    }

    /// Closes what is idle.
    pub fn expire(&mut self, now: Instant) -> Option<Instant> {
        self.flows.retain(|flow| flow.used + IDLE > now);
        self.flows.iter().map(|flow| flow.used + IDLE).min()
    }
}
