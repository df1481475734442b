//! The DHCP server (RFC 2131, options of RFC 2132, 3397 and 4702), which answers BOOTP, too.

use std::collections::VecDeque;
use std::net::Ipv4Addr;

use smoltcp::wire::EthernetAddress;

use crate::config::{BootConfig, Ipv4Config};
use crate::link::{Link, Path};
use crate::ndp;

/// Cards with a lease. The one that has not asked for longest loses it to the next; QEMU has as
/// many.
const LEASES: usize = 16;
/// Duration of a lease in seconds, as in QEMU.
const DURATION: u32 = 24 * 60 * 60;
/// Offset of the options' magic cookie, and the cookie.
const COOKIE_AT: usize = 236;
const COOKIE: [u8; 4] = [99, 130, 83, 99];
/// Shortest reply: a BOOTP message has 300 bytes (RFC 951).
const SHORTEST: usize = 300;

/// Message types (option 53).
mod kind {
    pub const DISCOVER: u8 = 1;
    pub const OFFER: u8 = 2;
    pub const REQUEST: u8 = 3;
    pub const DECLINE: u8 = 4;
    pub const ACK: u8 = 5;
    pub const NAK: u8 = 6;
    pub const RELEASE: u8 = 7;
    pub const INFORM: u8 = 8;
}

/// The server and its leases.
#[derive(Debug)]
pub(crate) struct Server {
    net: Ipv4Config,
    boot: BootConfig,
    /// The one that asked last is at the back.
    leases: VecDeque<(EthernetAddress, Ipv4Addr)>,
}

/// What of a request counts.
#[derive(Debug, Default)]
struct Request {
    transaction: [u8; 4],
    flags: u16,
    client: Option<Ipv4Addr>,
    mac: EthernetAddress,
    /// `None`: plain BOOTP.
    kind: Option<u8>,
    wanted: Option<Ipv4Addr>,
    server: Option<Ipv4Addr>,
}

fn address(bytes: &[u8]) -> Option<Ipv4Addr> {
    let octets: [u8; 4] = bytes.try_into().ok()?;
    let address = Ipv4Addr::from(octets);
    (!address.is_unspecified()).then_some(address)
}

impl Request {
    fn parse(bytes: &[u8]) -> Option<Self> {
        // op BOOTREQUEST, htype Ethernet, hlen 6.
        if bytes.get(..3)? != [1, 1, 6] || bytes.get(COOKIE_AT..COOKIE_AT + 4)? != COOKIE {
            return None;
        }
        let mut request = Self {
            transaction: bytes.get(4..8)?.try_into().ok()?,
            flags: u16::from_be_bytes(bytes.get(10..12)?.try_into().ok()?),
            client: address(bytes.get(12..16)?),
            mac: EthernetAddress::from_bytes(bytes.get(28..34)?),
            ..Self::default()
        };
        let mut options = bytes.get(COOKIE_AT + 4..)?;
        while let Some((&code, rest)) = options.split_first() {
            match code {
                0 => options = rest,
                255 => break,
                _ => {
                    let (&length, rest) = rest.split_first()?;
                    let value = rest.get(..usize::from(length))?;
                    match code {
                        50 => request.wanted = address(value),
                        53 => request.kind = value.first().copied(),
                        54 => request.server = address(value),
                        _ => {}
                    }
                    options = &rest[usize::from(length)..];
                }
            }
        }
        request.mac.is_unicast().then_some(request)
    }
}

/// What is answered: the message type, and the address given.
type Answer = (Option<u8>, Option<Ipv4Addr>);

impl Server {
    pub fn new(net: Ipv4Config, boot: BootConfig) -> Self {
        Self { net, boot, leases: VecDeque::new() }
    }

    /// Takes a message to port 67, and answers it.
    pub fn message(&mut self, bytes: &[u8], link: &mut Link) {
        let Some(request) = Request::parse(bytes) else { return };
        let Some((kind, given)) = self.decide(&request) else { return };
        let mut reply = Vec::with_capacity(SHORTEST + 128);
        self.reply(&request, kind, given, &mut reply);
        // A client without an address hears its own card and everyone; one with an address is
        // answered there. A NAK goes to everyone (RFC 2131 section 4.1).
        let nak = kind == Some(kind::NAK);
        let unicast = request.client.filter(|client| !nak && self.net.contains(*client));
        let to = unicast.unwrap_or(Ipv4Addr::BROADCAST);
        let everyone = nak || (request.flags & 0x8000 != 0 && unicast.is_none());
        let mac = if everyone { EthernetAddress::BROADCAST } else { request.mac };
        let path = Path { mac, from: self.net.host().into(), to: to.into() };
        link.udp(&path, 67, 68, &reply);
    }

    fn decide(&mut self, request: &Request) -> Option<Answer> {
        match request.kind {
            None => Some((None, Some(self.lease(request.mac, None)?))),
            Some(kind::DISCOVER) => {
                Some((Some(kind::OFFER), Some(self.lease(request.mac, request.wanted)?)))
            }
            Some(kind::REQUEST) => {
                if request.server.is_some_and(|server| server != self.net.host()) {
                    return None; // it has chosen another server
                }
                let wanted = request.wanted.or(request.client)?;
                let given = self.lease(request.mac, Some(wanted))?;
                let right = given == wanted;
                Some(if right { (Some(kind::ACK), Some(given)) } else { (Some(kind::NAK), None) })
            }
            Some(kind::INFORM) => Some((Some(kind::ACK), None)),
            Some(kind::RELEASE | kind::DECLINE) => {
                // Nobody else uses an address here, so a declined one can be given again.
                self.leases.retain(|(mac, _)| *mac != request.mac);
                None
            }
            _ => None,
        }
    }

    /// The address of `mac`: the one it has, the one it wants if that is free, or the first free
    /// one.
    fn lease(&mut self, mac: EthernetAddress, wanted: Option<Ipv4Addr>) -> Option<Ipv4Addr> {
        if let Some(at) = self.leases.iter().position(|(other, _)| *other == mac) {
            let lease = self.leases.remove(at)?;
            self.leases.push_back(lease);
            return Some(lease.1);
        }
        if self.leases.len() == LEASES {
            self.leases.pop_front();
        }
        let first = self.net.first_lease().to_bits();
        let count = u32::try_from(LEASES).unwrap_or(0);
        let mut pool = (first..first.saturating_add(2 * count)).map(Ipv4Addr::from_bits);
        let free = |address: &Ipv4Addr| {
            self.net.is_for_guests(*address)
                && !self.leases.iter().any(|(_, other)| other == address)
        };
        let wanted = wanted.filter(|wanted| pool.clone().any(|it| it == *wanted) && free(wanted));
        let given = wanted.or_else(|| pool.find(free))?;
        self.leases.push_back((mac, given));
        Some(given)
    }

    fn reply(
        &self,
        request: &Request,
        kind: Option<u8>,
        given: Option<Ipv4Addr>,
        reply: &mut Vec<u8>,
    ) {
        let zero = Ipv4Addr::UNSPECIFIED;
        reply.extend_from_slice(&[2, 1, 6, 0]);
        reply.extend_from_slice(&request.transaction);
        reply.extend_from_slice(&[0, 0]);
        reply.extend_from_slice(&request.flags.to_be_bytes());
        let nak = kind == Some(kind::NAK);
        let client = request.client.filter(|_| !nak).unwrap_or(zero);
        let next_server = if nak { zero } else { self.net.host() };
        for address in [client, given.unwrap_or(zero), next_server, zero] {
            reply.extend_from_slice(&address.octets());
        }
        reply.extend_from_slice(request.mac.as_bytes());
        reply.resize(108, 0); // rest of chaddr, and sname
        if let Some(file) = self.boot.boot_file.as_ref().filter(|_| !nak) {
            reply.extend_from_slice(file.as_bytes());
        }
        reply.resize(COOKIE_AT, 0);
        reply.extend_from_slice(&COOKIE);
        if let Some(kind) = kind {
            option(reply, 53, &[kind]);
            option(reply, 54, &self.net.host().octets());
        }
        if !nak {
            if given.is_some() && kind.is_some() {
                option(reply, 51, &DURATION.to_be_bytes());
            }
            self.options(reply);
        }
        reply.push(255);
        if reply.len() < SHORTEST {
            reply.resize(SHORTEST, 0);
        }
    }

    fn options(&self, reply: &mut Vec<u8>) {
        option(reply, 1, &self.net.mask().octets());
        option(reply, 3, &self.net.host().octets());
        option(reply, 6, &self.net.dns().octets());
        let boot = &self.boot;
        for (code, text) in [
            (12, &boot.hostname),
            (15, &boot.domain_name),
            (66, &boot.tftp_server_name),
            (67, &boot.boot_file),
        ] {
            if let Some(text) = text {
                option(reply, code, text.as_bytes());
            }
        }
        let list = ndp::domains(&boot.search);
        // A longer option is split (RFC 3396).
        for part in list.chunks(255) {
            option(reply, 119, part);
        }
    }
}

/// Appends an option of at most 255 bytes.
fn option(reply: &mut Vec<u8>, code: u8, value: &[u8]) {
    reply.push(code);
    reply.push(u8::try_from(value.len()).unwrap_or(0));
    reply.extend_from_slice(value);
}
