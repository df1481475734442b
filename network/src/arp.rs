//! Address resolution (RFC 826): the gateway and the DNS server are here, and where guests are.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr};

use smoltcp::wire::{ArpOperation, ArpPacket, ArpRepr, EthernetAddress};

use crate::addresses::Addresses;
use crate::link::Link;

/// Guests' addresses remembered; the oldest is forgotten first.
const NEIGHBOURS: usize = 32;

/// Which card has which address, as far as its frames have said.
#[derive(Debug, Default)]
pub(crate) struct Neighbours {
    known: VecDeque<(IpAddr, EthernetAddress)>,
}

impl Neighbours {
    /// Remembers that `address` is `mac`'s.
    pub fn learn(&mut self, address: IpAddr, mac: EthernetAddress) {
        if self.known.back() == Some(&(address, mac)) {
            return;
        }
        self.known.retain(|(other, _)| *other != address);
        if self.known.len() == NEIGHBOURS {
            self.known.pop_front();
        }
        self.known.push_back((address, mac));
    }

    /// Whose `address` is.
    pub fn find(&self, address: IpAddr) -> Option<EthernetAddress> {
        self.known.iter().find(|(other, _)| *other == address).map(|(_, mac)| *mac)
    }
}

fn emit(link: &mut Link, to: EthernetAddress, repr: &ArpRepr) {
    let mut bytes = [0; 28];
    repr.emit(&mut ArpPacket::new_unchecked(&mut bytes));
    link.ethernet(to, 0x0806, &bytes);
}

/// Asks whose `address` is.
pub(crate) fn request(link: &mut Link, host: Ipv4Addr, address: Ipv4Addr) {
    let repr = ArpRepr::EthernetIpv4 {
        operation: ArpOperation::Request,
        source_hardware_addr: link.mac(),
        source_protocol_addr: host,
        target_hardware_addr: EthernetAddress([0; 6]),
        target_protocol_addr: address,
    };
    emit(link, EthernetAddress::BROADCAST, &repr);
}

/// Takes an ARP packet of a guest.
pub(crate) fn packet(
    bytes: &[u8],
    addresses: &Addresses,
    neighbours: &mut Neighbours,
    link: &mut Link,
) {
    let Some(net) = addresses.ipv4 else { return };
    let packet = ArpPacket::new_checked(bytes);
    let Ok(ArpRepr::EthernetIpv4 {
        operation,
        source_hardware_addr: mac,
        source_protocol_addr: from,
        target_protocol_addr: to,
        ..
    }) = packet.and_then(|packet| ArpRepr::parse(&packet))
    else {
        return;
    };
    if !mac.is_unicast() {
        return;
    }
    if net.is_for_guests(from) {
        neighbours.learn(from.into(), mac);
    }
    // A probe for a conflict asks from 0.0.0.0 (RFC 5227); nobody else here has the guest's
    // address.
    let ours = to == net.host() || to == net.dns() || net.service() == Some(to);
    if operation == ArpOperation::Request && ours {
        let repr = ArpRepr::EthernetIpv4 {
            operation: ArpOperation::Reply,
            source_hardware_addr: link.mac(),
            source_protocol_addr: to,
            target_hardware_addr: mac,
            target_protocol_addr: from,
        };
        emit(link, mac, &repr);
    }
}
