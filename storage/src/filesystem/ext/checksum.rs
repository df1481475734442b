//! CRC-32C as ext4 and its journal use it: without the final inversion, so that one checksum
//! continues another.

/// The checksum of `parts` one after the other, continuing `seed`.
pub(super) fn of(seed: u32, parts: &[&[u8]]) -> u32 {
    !parts.iter().fold(!seed, |sum, part| crc32c::crc32c_append(sum, part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_value_of_crc32c() {
        // The catalogue's check value for CRC-32C, before its final inversion.
        assert_eq!(!of(!0, &[b"123456789"]), 0xe306_9283);
        assert_eq!(of(of(!0, &[b"1234"]), &[b"56", b"789"]), of(!0, &[b"123456789"]));
    }
}
