//! A command descriptor block: an operation code and its parameters, big-endian.

/// Bytes that are kept of a command. The longest command that is known here has 16.
pub const SIZE: usize = 32;

/// Operation codes (SPC-4, SBC-3, MMC-6).
pub mod opcode {
    #![allow(missing_docs, reason = "the names are those of the specifications")]

    pub const TEST_UNIT_READY: u8 = 0x00;
    pub const REQUEST_SENSE: u8 = 0x03;
    pub const READ_6: u8 = 0x08;
    pub const WRITE_6: u8 = 0x0a;
    pub const INQUIRY: u8 = 0x12;
    pub const MODE_SENSE_6: u8 = 0x1a;
    pub const START_STOP_UNIT: u8 = 0x1b;
    pub const PREVENT_ALLOW_MEDIUM_REMOVAL: u8 = 0x1e;
    pub const READ_CAPACITY_10: u8 = 0x25;
    pub const READ_10: u8 = 0x28;
    pub const WRITE_10: u8 = 0x2a;
    pub const SYNCHRONIZE_CACHE_10: u8 = 0x35;
    pub const READ_TOC: u8 = 0x43;
    pub const GET_CONFIGURATION: u8 = 0x46;
    pub const GET_EVENT_STATUS_NOTIFICATION: u8 = 0x4a;
    pub const READ_DISC_INFORMATION: u8 = 0x51;
    pub const MODE_SENSE_10: u8 = 0x5a;
    pub const READ_16: u8 = 0x88;
    pub const WRITE_16: u8 = 0x8a;
    pub const SYNCHRONIZE_CACHE_16: u8 = 0x91;
    /// Its service action is in the low five bits of byte 1.
    pub const SERVICE_ACTION_IN_16: u8 = 0x9e;
    pub const REPORT_LUNS: u8 = 0xa0;
    pub const READ_12: u8 = 0xa8;
    pub const WRITE_12: u8 = 0xaa;
    pub const MECHANISM_STATUS: u8 = 0xbd;
}

/// A command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cdb([u8; SIZE]);

impl Cdb {
    /// Takes a command's bytes. Those that are missing are 0, those beyond [`SIZE`] are dropped.
    pub fn new(bytes: &[u8]) -> Self {
        let mut cdb = [0; SIZE];
        for (to, from) in cdb.iter_mut().zip(bytes) {
            *to = *from;
        }
        Self(cdb)
    }

    /// The operation code.
    pub fn opcode(&self) -> u8 {
        self.byte(0)
    }

    /// A byte; 0 beyond the end.
    pub fn byte(&self, at: usize) -> u8 {
        self.0.get(at).copied().unwrap_or(0)
    }

    /// Two bytes.
    pub fn u16(&self, at: usize) -> u16 {
        u16::from_be_bytes(self.bytes(at))
    }

    /// Four bytes.
    pub fn u32(&self, at: usize) -> u32 {
        u32::from_be_bytes(self.bytes(at))
    }

    /// Eight bytes.
    pub fn u64(&self, at: usize) -> u64 {
        u64::from_be_bytes(self.bytes(at))
    }

    fn bytes<const N: usize>(&self, at: usize) -> [u8; N] {
        let mut bytes = [0; N];
        for (index, byte) in bytes.iter_mut().enumerate() {
            *byte = self.byte(at.saturating_add(index));
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_big_endian_and_zero_beyond_the_end() {
        let cdb = Cdb::new(&[0x28, 0, 0x12, 0x34, 0x56, 0x78, 0, 0x9a, 0xbc]);
        assert_eq!(cdb.opcode(), opcode::READ_10);
        assert_eq!((cdb.u32(2), cdb.u16(7), cdb.byte(9)), (0x1234_5678, 0x9abc, 0));
        assert_eq!(cdb.u64(2), 0x1234_5678_009a_bc00);
        let long = Cdb::new(&[0xff; 300]);
        assert_eq!((long.u32(30), long.u64(usize::MAX - 2)), (0xffff_0000, 0));
    }
}
