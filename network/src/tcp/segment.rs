//! TCP segments on the wire.

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{IpAddress, TcpControl, TcpPacket, TcpRepr, TcpSeqNumber};

use super::seq::Seq;
use crate::packet::Packet;

/// A segment from the guest.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment<'a> {
    pub from: u16,
    pub to: u16,
    pub seq: Seq,
    pub ack: Option<Seq>,
    pub window: u16,
    pub syn: bool,
    pub fin: bool,
    pub rst: bool,
    pub mss: Option<u16>,
    pub scale: Option<u8>,
    pub payload: &'a [u8],
}

impl<'a> Segment<'a> {
    /// The segment in `packet`, if it is well-formed and intact.
    pub fn parse(packet: &Packet<'a>) -> Option<Self> {
        if !packet.is_intact() {
            return None;
        }
        let wire = TcpPacket::new_checked(packet.payload).ok()?;
        // The addresses are for the checksum alone, which is done.
        let any = IpAddress::v4(0, 0, 0, 0);
        let repr = TcpRepr::parse(&wire, &any, &any, &ChecksumCapabilities::ignored()).ok()?;
        Some(Self {
            from: repr.src_port,
            to: repr.dst_port,
            seq: Seq(repr.seq_number.0.cast_unsigned()),
            ack: repr.ack_number.map(|ack| Seq(ack.0.cast_unsigned())),
            window: repr.window_len,
            syn: repr.control == TcpControl::Syn,
            fin: repr.control == TcpControl::Fin,
            rst: repr.control == TcpControl::Rst,
            mss: repr.max_seg_size,
            scale: repr.window_scale,
            payload: repr.payload,
        })
    }

    /// Length in sequence numbers.
    pub fn length(&self) -> usize {
        self.payload.len() + usize::from(self.syn) + usize::from(self.fin)
    }
}

/// What a segment to the guest says, except for its payload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Head {
    pub seq: Seq,
    pub ack: Option<Seq>,
    pub window: u16,
    pub syn: bool,
    pub fin: bool,
    pub rst: bool,
    pub push: bool,
    /// Options of a SYN.
    pub mss: Option<u16>,
    pub scale: Option<u8>,
}

/// Longest header: 20 bytes and the options of a SYN.
const LONGEST: usize = 28;

impl Head {
    /// The header as bytes, with a checksum of zero.
    pub fn write(&self, from: u16, to: u16) -> impl AsRef<[u8]> + use<> {
        let control = match (self.syn, self.fin, self.rst, self.push) {
            (true, ..) => TcpControl::Syn,
            (_, true, ..) => TcpControl::Fin,
            (_, _, true, _) => TcpControl::Rst,
            (.., true) => TcpControl::Psh,
            _ => TcpControl::None,
        };
        let number = |seq: Seq| TcpSeqNumber(seq.0.cast_signed());
        let repr = TcpRepr {
            src_port: from,
            dst_port: to,
            control,
            seq_number: number(self.seq),
            ack_number: self.ack.map(number),
            window_len: self.window,
            window_scale: self.scale,
            max_seg_size: self.mss,
            sack_permitted: false,
            sack_ranges: [None; 3],
            timestamp: None,
            payload: &[],
        };
        let mut bytes = [0; LONGEST];
        let length = repr.header_len().min(LONGEST);
        let mut packet = TcpPacket::new_unchecked(&mut bytes[..length]);
        let any = IpAddress::v4(0, 0, 0, 0);
        repr.emit(&mut packet, &any, &any, &ChecksumCapabilities::ignored());
        Header { bytes, length }
    }
}

struct Header {
    bytes: [u8; LONGEST],
    length: usize,
}

impl AsRef<[u8]> for Header {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}
