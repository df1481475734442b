//! Splits port accesses for chips whose registers are one byte wide.
//!
//! The ISA bus splits a wider access into byte cycles at consecutive ports, lowest first, so `outw
//! 0x70` writes the index and then the data register. Accesses of more than four bytes are not
//! valid x86 port accesses: they float.

use vm_device::bus::PioAddressOffset;

/// Value read from a port that no register drives.
pub(crate) const FLOATING: u8 = 0xff;

/// The widest port access, in bytes.
const MAX_WIDTH: usize = 4;

/// Fills `data` from consecutive registers that begin at `offset`.
pub(crate) fn read_bytes(
    offset: PioAddressOffset,
    data: &mut [u8],
    mut read: impl FnMut(PioAddressOffset) -> u8,
) {
    if data.len() > MAX_WIDTH {
        data.fill(FLOATING);
        return;
    }
    for (index, byte) in (0..).zip(data) {
        *byte = offset.checked_add(index).map_or(FLOATING, &mut read);
    }
}

/// Writes `data` to consecutive registers that begin at `offset`.
pub(crate) fn write_bytes(
    offset: PioAddressOffset,
    data: &[u8],
    mut write: impl FnMut(PioAddressOffset, u8),
) {
    if data.len() > MAX_WIDTH {
        return;
    }
    for (index, byte) in (0..).zip(data) {
        if let Some(register) = offset.checked_add(index) {
            write(register, *byte);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_access_covers_consecutive_registers() {
        let mut data = [0; 4];
        read_bytes(6, &mut data, |register| if register < 8 { 0x10 } else { FLOATING });
        assert_eq!(data, [0x10, 0x10, 0xff, 0xff]);

        let mut written = Vec::new();
        write_bytes(0, &[1, 2], |register, byte| written.push((register, byte)));
        assert_eq!(written, [(0, 1), (1, 2)]);
    }

    #[test]
    fn floats_when_access_is_wider_than_any_instruction() {
        let mut data = [0; 5];
        read_bytes(0, &mut data, |_| 0);
        assert_eq!(data, [0xff; 5]);
        write_bytes(0, &data, |_, _| panic!("written"));
    }

    #[test]
    fn floats_when_port_number_overflows() {
        let mut data = [0; 2];
        read_bytes(u16::MAX, &mut data, |_| 0);
        assert_eq!(data, [0, 0xff]);
    }
}
