//! IPv6 on the link: neighbour discovery, router advertisements with the DNS server (RFC 4861,
//! 8106), and DHCPv6's information requests (RFC 8415 section 18.3.6).

use std::net::{IpAddr, Ipv6Addr};

use smoltcp::wire::{EthernetAddress, IpProtocol};

use crate::config::{BootConfig, Ipv6Config};
use crate::link::{Link, Path, multicast};
use crate::packet::Packet;

/// ICMPv6 types.
const ROUTER_SOLICITATION: u8 = 133;
const ROUTER_ADVERTISEMENT: u8 = 134;
const NEIGHBOUR_SOLICITATION: u8 = 135;
const NEIGHBOUR_ADVERTISEMENT: u8 = 136;
/// Lifetime in seconds of the router, the prefix's preference and the DNS server: a day, as nothing
/// here changes.
const LIFETIME: u32 = 24 * 60 * 60;
/// Lifetime in seconds of the router: its field has 16 bits, and RFC 4861 allows 9000.
const ROUTER_LIFETIME: u16 = 9000;
/// Every node on the link.
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// Sends a message of neighbour discovery, whose hop limit is 255.
fn send(link: &mut Link, path: &Path, message: &mut [u8]) {
    link.packet(path, IpProtocol::Icmpv6, 255, message, Some(2));
}

/// Takes an ICMPv6 message about the link. Returns the address of the guest that it was about, if
/// its card is known now.
pub(crate) fn message(
    packet: &Packet,
    net: &Ipv6Config,
    boot: &BootConfig,
    link: &mut Link,
) -> Option<(IpAddr, EthernetAddress)> {
    // A hop limit of 255 cannot come from beyond the link (RFC 4861 section 6.1.1).
    if packet.hops != 255 || !packet.is_intact() {
        return None;
    }
    match packet.payload {
        [ROUTER_SOLICITATION, 0, ..] => {
            advertise_router(packet, net, boot, link);
            None
        }
        [NEIGHBOUR_SOLICITATION, 0, _, _, _, _, _, _, target @ ..] => {
            let target = Ipv6Addr::from(<[u8; 16]>::try_from(target.get(..16)?).ok()?);
            let ours = [net.host(), net.dns(), Ipv6Config::LINK_LOCAL].contains(&target);
            if ours || net.service() == Some(target) {
                advertise_neighbour(packet, target, link);
            }
            None
        }
        [NEIGHBOUR_ADVERTISEMENT, 0, _, _, _, _, _, _, target @ ..] => {
            let target = Ipv6Addr::from(<[u8; 16]>::try_from(target.get(..16)?).ok()?);
            net.is_for_guests(target).then_some((target.into(), packet.mac))
        }
        _ => None,
    }
}

/// An option with our Ethernet address. `kind`: 1 for the source's, 2 for the target's.
fn link_address(kind: u8, link: &Link) -> [u8; 8] {
    let [a, b, c, d, e, f] = link.mac().0;
    [kind, 1, a, b, c, d, e, f]
}

fn advertise_neighbour(packet: &Packet, target: Ipv6Addr, link: &mut Link) {
    // A probe for a duplicate address has no source: everyone is told that we have it.
    let probe = packet.from == IpAddr::V6(Ipv6Addr::UNSPECIFIED);
    let (mac, to) =
        if probe { (multicast(ALL_NODES), ALL_NODES.into()) } else { (packet.mac, packet.from) };
    // Router, solicited, override.
    let flags = if probe { 0xa0 } else { 0xe0 };
    let mut message = vec![NEIGHBOUR_ADVERTISEMENT, 0, 0, 0, flags, 0, 0, 0];
    message.extend_from_slice(&target.octets());
    message.extend_from_slice(&link_address(2, link));
    send(link, &Path { mac, from: target.into(), to }, &mut message);
}

fn advertise_router(packet: &Packet, net: &Ipv6Config, boot: &BootConfig, link: &mut Link) {
    let unknown = packet.from == IpAddr::V6(Ipv6Addr::UNSPECIFIED);
    let (mac, to) =
        if unknown { (multicast(ALL_NODES), ALL_NODES.into()) } else { (packet.mac, packet.from) };
    // Hop limit 64; addresses are the guest's choice, other configuration is to be had by DHCPv6.
    let mut message = vec![ROUTER_ADVERTISEMENT, 0, 0, 0, 64, 0x40];
    message.extend_from_slice(&ROUTER_LIFETIME.to_be_bytes());
    message.extend_from_slice(&[0; 8]); // reachable time, retransmission timer: unspecified
    message.extend_from_slice(&link_address(1, link));
    // Prefix information: on-link, autonomous.
    message.extend_from_slice(&[3, 4, 64, 0xc0]);
    for field in [LIFETIME, LIFETIME, 0] {
        message.extend_from_slice(&field.to_be_bytes());
    }
    message.extend_from_slice(&net.prefix().octets());
    // Recursive DNS server.
    message.extend_from_slice(&[25, 3, 0, 0]);
    message.extend_from_slice(&LIFETIME.to_be_bytes());
    message.extend_from_slice(&net.dns().octets());
    let mut names = domains(&boot.search);
    // DNS search list, padded to units of 8 bytes; the length field has 8 bits.
    names.truncate(255 * 8 - 8);
    if !names.is_empty() && names.last() == Some(&0) {
        let units = (8 + names.len()).div_ceil(8);
        message.extend_from_slice(&[31, u8::try_from(units).unwrap_or(0), 0, 0]);
        message.extend_from_slice(&LIFETIME.to_be_bytes());
        names.resize(units * 8 - 8, 0);
        message.extend_from_slice(&names);
    }
    let from = Ipv6Config::LINK_LOCAL.into();
    send(link, &Path { mac, from, to }, &mut message);
}

/// Domains as DNS writes them (RFC 1035 section 3.1).
pub(crate) fn domains(list: &[String]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for domain in list {
        for label in domain.trim_end_matches('.').split('.') {
            bytes.push(u8::try_from(label.len()).unwrap_or(0));
            bytes.extend_from_slice(label.as_bytes());
        }
        bytes.push(0);
    }
    bytes
}

/// Asks whose `address` is.
pub(crate) fn request(link: &mut Link, net: &Ipv6Config, address: Ipv6Addr) {
    let [.., a, b, c] = address.octets();
    // The solicited-node group (RFC 4291 section 2.7.1).
    let group =
        Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | u16::from(a), u16::from_be_bytes([b, c]));
    let mut message = vec![NEIGHBOUR_SOLICITATION, 0, 0, 0, 0, 0, 0, 0];
    message.extend_from_slice(&address.octets());
    message.extend_from_slice(&link_address(1, link));
    let path = Path { mac: multicast(group), from: net.host().into(), to: group.into() };
    send(link, &path, &mut message);
}

/// Answers a DHCPv6 information request with the DNS server, the search list and the boot file.
pub(crate) fn dhcpv6(
    packet: &Packet,
    payload: &[u8],
    net: &Ipv6Config,
    boot: &BootConfig,
    link: &mut Link,
) {
    const INFORMATION_REQUEST: u8 = 11;
    const REPLY: u8 = 7;
    let [INFORMATION_REQUEST, a, b, c, options @ ..] = payload else { return };
    let mut reply = vec![REPLY, *a, *b, *c];
    let mut option = |code: u16, value: &[u8]| {
        reply.extend_from_slice(&code.to_be_bytes());
        reply.extend_from_slice(&u16::try_from(value.len()).unwrap_or(0).to_be_bytes());
        reply.extend_from_slice(value);
    };
    let mut rest = options;
    while let Some([a, b, c, d]) = rest.first_chunk::<4>() {
        let length = usize::from(u16::from_be_bytes([*c, *d]));
        let Some(value) = rest.get(4..4 + length) else { return };
        // The client's identifier (DUID, at most 130 bytes) comes back.
        if u16::from_be_bytes([*a, *b]) == 1 && length <= 130 {
            option(1, value);
        }
        rest = &rest[4 + length..];
    }
    // Our identifier: DUID-LL, Ethernet.
    let mac = link.mac().0;
    option(2, &[&[0, 3, 0, 1][..], &mac].concat());
    option(23, &net.dns().octets());
    let names = domains(&boot.search);
    if !names.is_empty() && names.len() <= 1000 {
        option(24, &names);
    }
    if let Some(file) = &boot.boot_file {
        // RFC 5970: an URL. A bare name is in the TFTP directory.
        let url = if file.contains("://") {
            file.clone()
        } else {
            format!("tftp://[{}]/{}", net.host(), file.trim_start_matches('/'))
        };
        option(59, url.as_bytes());
    }
    let path = Path { mac: packet.mac, from: Ipv6Config::LINK_LOCAL.into(), to: packet.from };
    link.udp(&path, 547, 546, &reply);
}
