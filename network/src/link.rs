//! The Ethernet and IP layers towards the guest: every frame for it is built here.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use smoltcp::wire::{EthernetAddress, IpProtocol};

use crate::checksum;
use crate::frame::{Frame, Offload, Offloads};
use crate::outbox::Outbox;

/// Maximum size in bytes of an IP packet, except for TCP segments that the guest's card splits.
pub(crate) const MTU: usize = 1500;
/// Length in bytes of an IPv4 header without options.
pub(crate) const IPV4: usize = 20;
/// Length in bytes of an IPv6 header without extensions.
pub(crate) const IPV6: usize = 40;
/// Length in bytes of an IPv6 fragment header (RFC 8200 section 4.5).
const FRAGMENT: usize = 8;
/// Hop limit of packets to the guest.
const HOPS: u8 = 64;

/// From where to where a packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Path {
    /// The guest's card.
    pub mac: EthernetAddress,
    pub from: IpAddr,
    pub to: IpAddr,
}

/// The link to the guest's card.
#[derive(Debug)]
pub(crate) struct Link {
    pub outbox: Outbox,
    pub offloads: Offloads,
    mac: EthernetAddress,
    /// Identification of the next IPv4 packet, and of the next fragmented packet.
    identification: u32,
}

impl Link {
    pub fn new(mac: EthernetAddress) -> Self {
        Self { outbox: Outbox::default(), offloads: Offloads::default(), mac, identification: 1 }
    }

    /// The gateway's address.
    pub fn mac(&self) -> EthernetAddress {
        self.mac
    }

    /// Starts a frame whose payload has `length` bytes.
    fn header(&mut self, to: EthernetAddress, ethertype: u16, length: usize) -> Vec<u8> {
        let mut bytes = self.outbox.buffer(14 + length);
        bytes.extend_from_slice(to.as_bytes());
        bytes.extend_from_slice(self.mac.as_bytes());
        bytes.extend_from_slice(&ethertype.to_be_bytes());
        bytes
    }

    /// Sends a frame that is not IP.
    pub fn ethernet(&mut self, to: EthernetAddress, ethertype: u16, payload: &[u8]) {
        let mut bytes = self.header(to, ethertype, payload.len());
        bytes.extend_from_slice(payload);
        self.outbox.push(Frame { bytes, offload: None });
    }

    /// Starts a frame with an IP packet whose payload has `count` bytes. `hops`: its hop limit.
    /// `fragment`: for IPv4 the field with flags and offset.
    fn ip(
        &mut self,
        path: &Path,
        protocol: IpProtocol,
        count: usize,
        hops: u8,
        fragment: u16,
    ) -> Vec<u8> {
        let length = |more: usize| u16::try_from(count + more).unwrap_or(u16::MAX);
        match (path.from, path.to) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                let identification = u16::try_from(self.identification & 0xffff).unwrap_or(0);
                if fragment == 0 {
                    self.identification = self.identification.wrapping_add(1);
                }
                let mut bytes = self.header(path.mac, 0x0800, IPV4 + count);
                bytes.extend_from_slice(&ipv4_header(
                    (from, to),
                    protocol.into(),
                    length(IPV4),
                    (identification, fragment),
                    hops,
                ));
                bytes
            }
            (from, to) => {
                let mut bytes = self.header(path.mac, 0x86dd, IPV6 + count);
                bytes.extend_from_slice(&[0x60, 0, 0, 0]);
                bytes.extend_from_slice(&length(0).to_be_bytes());
                bytes.extend_from_slice(&[protocol.into(), hops]);
                for address in [from, to] {
                    let IpAddr::V6(address) = address else { continue };
                    bytes.extend_from_slice(&address.octets());
                }
                bytes
            }
        }
    }

    /// Sends a packet, in fragments if it is too long for one frame. `checksum`: the offset of a
    /// checksum field in the payload, zero up to now, that covers the payload and its
    /// pseudo-header.
    pub fn packet(
        &mut self,
        path: &Path,
        protocol: IpProtocol,
        hops: u8,
        payload: &mut [u8],
        checksum: Option<usize>,
    ) {
        if let Some(at) = checksum {
            let header =
                checksum::pseudo_header(path.from, path.to, protocol.into(), payload.len());
            let mut value = checksum::complete(header + checksum::sum(payload));
            if value == 0 && protocol == IpProtocol::Udp {
                value = 0xffff; // zero means that there is no checksum (RFC 768)
            }
            payload[at..at + 2].copy_from_slice(&value.to_be_bytes());
        }
        let header = if path.to.is_ipv4() { IPV4 } else { IPV6 };
        if header + payload.len() <= MTU {
            let mut bytes = self.ip(path, protocol, payload.len(), hops, 0);
            bytes.extend_from_slice(payload);
            self.outbox.push(Frame { bytes, offload: None });
        } else {
            self.fragments(path, protocol, hops, payload);
        }
    }

    fn fragments(&mut self, path: &Path, protocol: IpProtocol, hops: u8, payload: &[u8]) {
        self.identification = self.identification.wrapping_add(1);
        let room = match path.to {
            IpAddr::V4(_) => MTU - IPV4,
            IpAddr::V6(_) => MTU - IPV6 - FRAGMENT,
        } & !7;
        let pieces = payload.len().div_ceil(room);
        for (number, piece) in payload.chunks(room).enumerate() {
            let more = u16::from(number + 1 < pieces);
            // A payload has at most 65,535 bytes.
            let offset = u16::try_from(number * room).unwrap_or(0);
            let mut bytes = match path.to {
                IpAddr::V4(_) => {
                    self.ip(path, protocol, piece.len(), hops, (more << 13) | (offset >> 3))
                }
                IpAddr::V6(_) => {
                    let length = FRAGMENT + piece.len();
                    let mut bytes = self.ip(path, IpProtocol::Ipv6Frag, length, hops, 0);
                    bytes.extend_from_slice(&[protocol.into(), 0]);
                    bytes.extend_from_slice(&(offset | more).to_be_bytes());
                    bytes.extend_from_slice(&self.identification.to_be_bytes());
                    bytes
                }
            };
            bytes.extend_from_slice(piece);
            self.outbox.push(Frame { bytes, offload: None });
        }
        self.identification = self.identification.wrapping_add(1);
    }

    /// Sends a UDP datagram of at most 65,507 bytes, in fragments if need be.
    pub fn udp(&mut self, path: &Path, from: u16, to: u16, payload: &[u8]) {
        let Ok(length) = u16::try_from(8 + payload.len()) else { return };
        let mut datagram = self.outbox.buffer(payload.len() + 8);
        for field in [from, to, length, 0] {
            datagram.extend_from_slice(&field.to_be_bytes());
        }
        datagram.extend_from_slice(payload);
        self.packet(path, IpProtocol::Udp, HOPS, &mut datagram, Some(6));
        self.outbox.recycle(datagram);
    }

    /// Whether the guest's card splits TCP segments to `to`.
    pub fn splits(&self, to: IpAddr) -> bool {
        self.offloads.checksum && if to.is_ipv4() { self.offloads.tso4 } else { self.offloads.tso6 }
    }

    /// Sends a TCP segment: its header, with a checksum of zero, and its payload. `segment_size`:
    /// how the card splits it, if it is longer than that.
    pub fn tcp(&mut self, path: &Path, header: &[u8], payload: &[u8], segment_size: usize) {
        let length = header.len() + payload.len();
        let mut bytes = self.ip(path, IpProtocol::Tcp, length, HOPS, 0);
        let start = bytes.len();
        bytes.extend_from_slice(header);
        bytes.extend_from_slice(payload);
        let sum = checksum::pseudo_header(path.from, path.to, IpProtocol::Tcp.into(), length);
        let narrow = |value: usize| u16::try_from(value).unwrap_or(u16::MAX);
        let (value, offload) = if self.offloads.checksum {
            let offload = Offload {
                checksum_start: narrow(start),
                checksum_offset: 16,
                header_length: narrow(start + header.len()),
                segment_size: (payload.len() > segment_size).then(|| narrow(segment_size)),
            };
            (checksum::fold(sum), Some(offload))
        } else {
            (checksum::complete(sum + checksum::sum(&bytes[start..])), None)
        };
        bytes[start + 16..start + 18].copy_from_slice(&value.to_be_bytes());
        self.outbox.push(Frame { bytes, offload });
    }
}

/// An IPv4 header without options. `identity`: identification, and flags with fragment offset.
pub(crate) fn ipv4_header(
    (from, to): (Ipv4Addr, Ipv4Addr),
    protocol: u8,
    length: u16,
    identity: (u16, u16),
    hops: u8,
) -> [u8; IPV4] {
    let mut header = [0; IPV4];
    header[0] = 0x45;
    header[2..4].copy_from_slice(&length.to_be_bytes());
    header[4..6].copy_from_slice(&identity.0.to_be_bytes());
    header[6..8].copy_from_slice(&identity.1.to_be_bytes());
    header[8] = hops;
    header[9] = protocol;
    header[12..16].copy_from_slice(&from.octets());
    header[16..20].copy_from_slice(&to.octets());
    let value = checksum::complete(checksum::sum(&header));
    header[10..12].copy_from_slice(&value.to_be_bytes());
    header
}

/// The Ethernet address of an IPv6 multicast group (RFC 2464 section 7).
pub(crate) fn multicast(group: Ipv6Addr) -> EthernetAddress {
    let [.., a, b, c, d] = group.octets();
    EthernetAddress([0x33, 0x33, a, b, c, d])
}
