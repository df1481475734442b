//! IP packets from the guest, checked.

use std::net::IpAddr;

use smoltcp::wire::{
    EthernetAddress, IpProtocol, Ipv4Packet, Ipv6FragmentHeader, Ipv6Packet, UdpPacket,
};

use crate::checksum;
use crate::frame::Checksum;

/// An IP packet from the guest, whole or one fragment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Packet<'a> {
    /// The card it came from.
    pub mac: EthernetAddress,
    pub from: IpAddr,
    pub to: IpAddr,
    pub protocol: IpProtocol,
    pub hops: u8,
    pub checksum: Checksum,
    pub payload: &'a [u8],
    /// The IP header.
    pub header: &'a [u8],
    /// Which part of a packet this is, if it is a fragment.
    pub fragment: Option<Fragment>,
}

/// What a fragment says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fragment {
    pub identification: u32,
    /// In bytes.
    pub offset: usize,
    pub more: bool,
}

impl<'a> Packet<'a> {
    /// Reads an IPv4 packet; `None` if it is malformed.
    pub fn ipv4(mac: EthernetAddress, bytes: &'a [u8], checksum: Checksum) -> Option<Self> {
        let packet = Ipv4Packet::new_checked(bytes).ok()?;
        let header_length = usize::from(packet.header_len());
        // smoltcp checks the header's end against the packet's, not its length of at least five
        // words.
        if packet.version() != 4 || header_length < 20 || !packet.verify_checksum() {
            return None;
        }
        let offset = usize::from(packet.frag_offset());
        let fragment = (offset != 0 || packet.more_frags()).then(|| Fragment {
            identification: packet.ident().into(),
            offset,
            more: packet.more_frags(),
        });
        Some(Self {
            mac,
            from: packet.src_addr().into(),
            to: packet.dst_addr().into(),
            protocol: packet.next_header(),
            hops: packet.hop_limit(),
            checksum,
            payload: bytes.get(header_length..usize::from(packet.total_len()))?,
            header: bytes.get(..header_length)?,
            fragment,
        })
    }

    /// Reads an IPv6 packet; `None` if it is malformed.
    pub fn ipv6(mac: EthernetAddress, bytes: &'a [u8], checksum: Checksum) -> Option<Self> {
        let packet = Ipv6Packet::new_checked(bytes).ok()?;
        if packet.version() != 6 {
            return None;
        }
        let mut payload = packet.payload();
        let mut protocol = packet.next_header();
        let mut fragment = None;
        if protocol == IpProtocol::Ipv6Frag {
            let header = Ipv6FragmentHeader::new_checked(payload.get(2..8)?).ok()?;
            protocol = (*payload.first()?).into();
            fragment = Some(Fragment {
                identification: header.ident(),
                offset: usize::from(header.frag_offset()) * 8,
                more: header.more_frags(),
            });
            payload = payload.get(8..)?;
        }
        Some(Self {
            mac,
            from: packet.src_addr().into(),
            to: packet.dst_addr().into(),
            protocol,
            hops: packet.hop_limit(),
            checksum,
            payload,
            header: bytes.get(..40)?,
            fragment,
        })
    }

    /// Whether the checksum over the payload and its pseudo-header is right, or needs no check.
    pub fn is_intact(&self) -> bool {
        self.checksum == Checksum::Partial || {
            let (from, to) = (self.from, self.to);
            let header =
                checksum::pseudo_header(from, to, self.protocol.into(), self.payload.len());
            checksum::complete(header + checksum::sum(self.payload)) == 0
        }
    }

    /// The UDP datagram in this packet, if it is well-formed: source port, destination port,
    /// payload.
    pub fn udp(&self) -> Option<(u16, u16, &'a [u8])> {
        let packet = UdpPacket::new_checked(self.payload).ok()?;
        let length = usize::from(packet.len());
        // No checksum at all is allowed with IPv4 (RFC 768).
        let unchecked = self.to.is_ipv4() && packet.checksum() == 0;
        let datagram = Self { payload: self.payload.get(..length)?, ..*self };
        if length < 8 || packet.dst_port() == 0 || !(unchecked || datagram.is_intact()) {
            return None;
        }
        Some((packet.src_port(), packet.dst_port(), datagram.payload.get(8..)?))
    }
}
