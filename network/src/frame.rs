//! Frames at the cut between the network and a guest's card, with what virtio-net's header says
//! about them.

/// Maximum length in bytes of a frame: an Ethernet header and an IP packet of 65,535 bytes.
pub const MAX_FRAME: usize = 14 + 65_535;

/// What the guest's card offloads when it receives (virtio 1.2 section 5.1.3, `GUEST_CSUM`,
/// `GUEST_TSO4`, `GUEST_TSO6`). The default is a card without offloads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offloads {
    /// The guest takes TCP and UDP checksums that cover the pseudo-header alone.
    pub checksum: bool,
    /// The guest takes TCP segments over IPv4 of up to 64 KiB. Needs `checksum`.
    pub tso4: bool,
    /// The guest takes TCP segments over IPv6 of up to 64 KiB. Needs `checksum`.
    pub tso6: bool,
}

/// The state of the TCP or UDP checksum of a frame from the guest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Checksum {
    /// It is in the frame, and is verified.
    #[default]
    Complete,
    /// The card was to complete it (`VIRTIO_NET_HDR_F_NEEDS_CSUM`). No wire can have damaged the
    /// frame, so nothing is verified.
    Partial,
}

/// A frame for the guest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    /// The frame, from the destination address on, without frame check sequence.
    pub bytes: Vec<u8>,
    /// What the card still has to do. `None`: nothing, the frame is complete.
    pub offload: Option<Offload>,
}

/// What is left to the card that receives a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offload {
    /// Offset in bytes in the frame at which the checksum starts (`csum_start`).
    pub checksum_start: u16,
    /// Offset in bytes of the checksum field from there (`csum_offset`).
    pub checksum_offset: u16,
    /// Length in bytes of the headers, up to the TCP payload (`hdr_len`).
    pub header_length: u16,
    /// Payload in bytes of each segment (`gso_size`), if the frame has more than one.
    pub segment_size: Option<u16>,
}
