//! The Internet checksum (RFC 1071).

use std::net::IpAddr;

/// Adds up big-endian 16-bit words; an odd last byte counts as the upper half of a word.
pub(crate) fn sum(bytes: &[u8]) -> u64 {
    let mut chunks = bytes.chunks_exact(4);
    let mut total: u64 = 0;
    for chunk in &mut chunks {
        total += u64::from(u32::from_be_bytes([chunk[0], chunk[1], chunk[2], chunk[3]]));
    }
    let mut rest = [0; 4];
    rest[..chunks.remainder().len()].copy_from_slice(chunks.remainder());
    total + u64::from(u32::from_be_bytes(rest))
}

/// The sum of the pseudo-header of TCP, UDP and ICMPv6 (RFC 9293 section 3.1, RFC 8200 section
/// 8.1).
pub(crate) fn pseudo_header(from: IpAddr, to: IpAddr, protocol: u8, length: usize) -> u64 {
    let addresses = match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => sum(&from.octets()) + sum(&to.octets()),
        (IpAddr::V6(from), IpAddr::V6(to)) => sum(&from.octets()) + sum(&to.octets()),
        _ => 0,
    };
    addresses + u64::from(protocol) + length as u64
}

/// Folds a sum to 16 bits, without inverting it: what a card expects in a partial checksum.
pub(crate) fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    u16::try_from(sum).unwrap_or_default()
}

/// The checksum of a sum.
pub(crate) fn complete(sum: u64) -> u16 {
    !fold(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_rfc_1071_is_right() {
        let bytes = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(fold(sum(&bytes)), 0xddf2);
        assert_eq!(complete(sum(&bytes)), 0x220d);
    }

    #[test]
    fn an_odd_byte_is_the_upper_half_of_a_word() {
        assert_eq!(fold(sum(&[0x12])), 0x1200);
        assert_eq!(fold(sum(&[0, 1, 2, 3, 4])), 0x0602 + 0x0002);
    }

    #[test]
    fn bytes_that_include_their_checksum_have_the_checksum_zero() {
        let mut bytes: Vec<u8> = (0..=99).collect();
        bytes[10..12].fill(0);
        let value = complete(sum(&bytes));
        bytes[10..12].copy_from_slice(&value.to_be_bytes());
        assert_eq!(complete(sum(&bytes)), 0);
    }
}
