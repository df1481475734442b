//! The header before each frame, `struct virtio_net_hdr_v1` (virtio 1.2, 5.1.6): 12 bytes,
//! little-endian.
//!
//! | offset | field |
//! |---|---|
//! | 0 | flags |
//! | 1 | kind of segmentation |
//! | 2 | length of the headers before the TCP payload |
//! | 4 | TCP payload of a segment |
//! | 6 | where the checksum starts |
//! | 8 | where it is stored, from there |
//! | 10 | number of buffers, when the driver receives |

use virtio_bindings::virtio_net as bindings;

use super::Offloads;

/// Length in bytes of the header.
pub const HEADER_SIZE: usize = 12;

const NEEDS_CHECKSUM: u8 = bindings::VIRTIO_NET_HDR_F_NEEDS_CSUM.to_le_bytes()[0];
const NO_SEGMENTS: u8 = bindings::VIRTIO_NET_HDR_GSO_NONE.to_le_bytes()[0];
const TCP_V4: u8 = bindings::VIRTIO_NET_HDR_GSO_TCPV4.to_le_bytes()[0];
const TCP_V6: u8 = bindings::VIRTIO_NET_HDR_GSO_TCPV6.to_le_bytes()[0];
/// Length in bytes of a checksum.
const CHECKSUM_SIZE: usize = 2;

/// The work that is left to do on a frame. Offsets and lengths are in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offload {
    /// Offset in the frame at which the checksum starts. The checksum of the pseudo-header is
    /// already in its field.
    pub checksum_start: u16,
    /// Offset of the checksum field from there.
    pub checksum_offset: u16,
    /// Length of the headers, up to the TCP payload; a hint, which may be 0.
    pub header_length: u16,
    /// The segments that the frame consists of, if it is more than one.
    pub segments: Option<Segments>,
}

/// A frame that is to be cut into TCP segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segments {
    /// The version of IP that carries them.
    pub version: TcpVersion,
    /// Payload in bytes of each segment; not 0.
    pub size: u16,
}

/// TCP over which version of IP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TcpVersion {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Offload {
    /// Whether a driver that has accepted `features` can receive a frame like this.
    pub(super) fn is_accepted_by_driver(&self, features: u64) -> bool {
        let accepted = accepted_by_driver(features);
        accepted.checksum
            && self.segments.is_none_or(|segments| match segments.version {
                TcpVersion::V4 => accepted.tso4,
                TcpVersion::V6 => accepted.tso6,
            })
    }
}

/// What a driver that has accepted `features` can receive. Segments need checksums (5.1.3.1).
pub(super) fn accepted_by_driver(features: u64) -> Offloads {
    let has = |feature: u32| features & 1 << feature != 0;
    let checksum = has(bindings::VIRTIO_NET_F_GUEST_CSUM);
    Offloads {
        checksum,
        tso4: checksum && has(bindings::VIRTIO_NET_F_GUEST_TSO4),
        tso6: checksum && has(bindings::VIRTIO_NET_F_GUEST_TSO6),
    }
}

/// Reads the header of a frame of `length` bytes from a sender that has accepted `features`.
/// `Some(None)`: the frame is complete. `None`: the header breaks a rule (5.1.6.2.1).
pub fn decode(header: &[u8; HEADER_SIZE], length: usize, features: u64) -> Option<Option<Offload>> {
    let has = |feature: u32| features & 1 << feature != 0;
    let field = |at: usize| u16::from_le_bytes([header[at], header[at + 1]]);
    let [flags, kind, ..] = *header;
    if flags & NEEDS_CHECKSUM == 0 {
        return (kind == NO_SEGMENTS).then_some(None);
    }
    let version = match kind {
        NO_SEGMENTS => None,
        TCP_V4 if has(bindings::VIRTIO_NET_F_HOST_TSO4) => Some(TcpVersion::V4),
        TCP_V6 if has(bindings::VIRTIO_NET_F_HOST_TSO6) => Some(TcpVersion::V6),
        _ => return None,
    };
    let offload = Offload {
        checksum_start: field(6),
        checksum_offset: field(8),
        header_length: field(2),
        segments: version.map(|version| Segments { version, size: field(4) }),
    };
    let end =
        usize::from(offload.checksum_start) + usize::from(offload.checksum_offset) + CHECKSUM_SIZE;
    let is_valid = has(bindings::VIRTIO_NET_F_CSUM)
        && end <= length
        && usize::from(offload.header_length) <= length
        && offload.segments.is_none_or(|segments| segments.size != 0);
    is_valid.then_some(Some(offload))
}

/// Writes the header of a frame that fills `buffers` buffers of its receiver.
pub fn encode(offload: Option<&Offload>, buffers: u16) -> [u8; HEADER_SIZE] {
    let mut header = [0; HEADER_SIZE];
    let mut put = |at: usize, value: u16| header[at..at + 2].copy_from_slice(&value.to_le_bytes());
    put(10, buffers);
    let Some(offload) = offload else { return header };
    put(2, offload.header_length);
    put(4, offload.segments.map_or(0, |segments| segments.size));
    put(6, offload.checksum_start);
    put(8, offload.checksum_offset);
    header[0] = NEEDS_CHECKSUM;
    header[1] = match offload.segments.map(|segments| segments.version) {
        None => NO_SEGMENTS,
        Some(TcpVersion::V4) => TCP_V4,
        Some(TcpVersion::V6) => TCP_V6,
    };
    header
}
