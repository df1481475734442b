//! Integers in byte slices. A field that reaches beyond the end of its slice reads as 0, so a
//! truncated structure never panics; the caller's plausibility checks refuse it.

/// The `N` bytes at `at`, or zeros.
fn field<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    at.checked_add(N).and_then(|end| bytes.get(at..end)?.try_into().ok()).unwrap_or([0; N])
}

/// The little-endian `u16` at `at`.
pub fn le16(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(field(bytes, at))
}

/// The little-endian `u32` at `at`.
pub fn le32(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(field(bytes, at))
}

/// The little-endian `u64` at `at`.
pub fn le64(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(field(bytes, at))
}

/// The big-endian `u16` at `at`.
pub fn be16(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes(field(bytes, at))
}

/// The big-endian `u32` at `at`.
pub fn be32(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(field(bytes, at))
}

/// The big-endian `u64` at `at`.
pub fn be64(bytes: &[u8], at: usize) -> u64 {
    u64::from_be_bytes(field(bytes, at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_have_a_byte_order_and_end_with_the_slice() {
        let bytes = [1, 2, 3, 4, 5, 6, 7, 8];
        assert_eq!((le16(&bytes, 0), be16(&bytes, 6)), (0x0201, 0x0708));
        assert_eq!((le32(&bytes, 4), be32(&bytes, 0)), (0x0807_0605, 0x0102_0304));
        assert_eq!(
            (le64(&bytes, 0), be64(&bytes, 0)),
            (0x0807_0605_0403_0201, 0x0102_0304_0506_0708)
        );
        assert_eq!((le32(&bytes, 5), be64(&bytes, 1), le16(&bytes, usize::MAX)), (0, 0, 0));
    }
}
