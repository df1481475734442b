//! ICMP and ICMPv6 towards the guest: echo replies of the gateway, and errors.

use std::net::IpAddr;

use smoltcp::wire::IpProtocol;

use crate::addresses::Addresses;
use crate::link::{self, Link, Path};
use crate::packet::Packet;

/// Hop limit of ICMP messages.
const HOPS: u8 = 64;
/// Bytes of the payload of a packet that an error about it quotes. TCP's and UDP's ports are in the
/// first 8.
const QUOTED: usize = 64;

/// Why a packet did not arrive (RFC 792, RFC 1812 section 5.2.7.1, RFC 4443 section 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unreachable {
    Network,
    Host,
    Port,
    Prohibited,
}

impl Unreachable {
    fn code(self, ipv4: bool) -> u8 {
        match (self, ipv4) {
            (Self::Network, _) => 0,
            (Self::Host, true) => 1,
            (Self::Host, false) | (Self::Port, true) => 3,
            (Self::Port, false) => 4,
            (Self::Prohibited, true) => 13,
            (Self::Prohibited, false) => 1,
        }
    }
}

/// What an error message says of the packet it is about.
#[derive(Clone, Debug)]
pub(crate) struct Quote {
    /// The way of the packet.
    path: Path,
    bytes: Vec<u8>,
}

impl Quote {
    pub fn of(packet: &Packet) -> Self {
        let start = &packet.payload[..packet.payload.len().min(QUOTED)];
        Self {
            path: Path { mac: packet.mac, from: packet.from, to: packet.to },
            bytes: [packet.header, start].concat(),
        }
    }
}

/// What an error says about a datagram of the guest that was sent before: it is put together again.
pub(crate) fn quote_datagram(path: Path, (from, to): (u16, u16), payload: &[u8]) -> Quote {
    let length = u16::try_from(8 + payload.len()).unwrap_or(u16::MAX);
    let mut bytes = match (path.from, path.to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let total = length.saturating_add(20);
            link::ipv4_header((from, to), IpProtocol::Udp.into(), total, (0, 0), HOPS).to_vec()
        }
        (from, to) => {
            let mut header = vec![0x60, 0, 0, 0];
            header.extend_from_slice(&length.to_be_bytes());
            header.extend_from_slice(&[IpProtocol::Udp.into(), HOPS]);
            for address in [from, to] {
                let IpAddr::V6(address) = address else { continue };
                header.extend_from_slice(&address.octets());
            }
            header
        }
    };
    for field in [from, to, length, 0] {
        bytes.extend_from_slice(&field.to_be_bytes());
    }
    bytes.extend_from_slice(&payload[..payload.len().min(QUOTED - 8)]);
    Quote { path, bytes }
}

/// Tells the guest that a packet did not arrive.
pub(crate) fn unreachable(link: &mut Link, addresses: &Addresses, quote: &Quote, why: Unreachable) {
    let is_group = match quote.path.to {
        IpAddr::V4(to) => {
            let everyone = addresses.ipv4.is_some_and(|net| net.broadcast() == to);
            everyone || to.is_broadcast() || to.is_multicast()
        }
        IpAddr::V6(to) => to.is_multicast(),
    };
    if is_group {
        return;
    }
    let gateway: Option<IpAddr> = match quote.path.to {
        IpAddr::V4(_) => addresses.ipv4.map(|net| net.host().into()),
        IpAddr::V6(_) => addresses.ipv6.map(|net| net.host().into()),
    };
    // A port is missing on the host itself; everything else is the router's word.
    let from = if why == Unreachable::Port { Some(quote.path.to) } else { gateway };
    let Some(from) = from else { return };
    let path = Path { mac: quote.path.mac, from, to: quote.path.from };
    let ipv4 = path.to.is_ipv4();
    let mut message = vec![if ipv4 { 3 } else { 1 }, why.code(ipv4), 0, 0, 0, 0, 0, 0];
    message.extend_from_slice(&quote.bytes);
    send(link, &path, &mut message);
}

/// Sends an ICMP message whose checksum is zero up to now.
pub(crate) fn send(link: &mut Link, path: &Path, message: &mut [u8]) {
    if path.to.is_ipv4() {
        // No pseudo-header.
        let value = crate::checksum::complete(crate::checksum::sum(message));
        message[2..4].copy_from_slice(&value.to_be_bytes());
        link.packet(path, IpProtocol::Icmp, HOPS, message, None);
    } else {
        link.packet(path, IpProtocol::Icmpv6, HOPS, message, Some(2));
    }
}

/// The type of an echo request, and of its reply.
pub(crate) fn echo_types(ipv4: bool) -> (u8, u8) {
    if ipv4 { (8, 0) } else { (128, 129) }
}

/// An echo request: identifier, sequence number with data.
pub(crate) fn echo_request<'a>(packet: &Packet<'a>) -> Option<(u16, &'a [u8])> {
    let intact = match packet.to {
        IpAddr::V4(_) => crate::checksum::complete(crate::checksum::sum(packet.payload)) == 0,
        IpAddr::V6(_) => packet.is_intact(),
    };
    let &[kind, 0, _, _, a, b, ref rest @ ..] = packet.payload else { return None };
    let request = kind == echo_types(packet.to.is_ipv4()).0;
    (request && intact && rest.len() >= 2).then(|| (u16::from_be_bytes([a, b]), rest))
}

/// Sends an echo reply. `rest`: sequence number and data.
pub(crate) fn echo_reply(link: &mut Link, path: &Path, identifier: u16, rest: &[u8]) {
    let [a, b] = identifier.to_be_bytes();
    let mut message = vec![echo_types(path.to.is_ipv4()).1, 0, 0, 0, a, b];
    message.extend_from_slice(rest);
    send(link, path, &mut message);
}
