//! Sense data: why a command failed (SPC-4, 4.5).

/// Bytes of sense data in the fixed format.
pub const FIXED_SIZE: usize = 18;
/// Bytes of sense data in the descriptor format, without descriptors.
pub const DESCRIPTOR_SIZE: usize = 8;

/// A sense key with an additional sense code and its qualifier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sense {
    /// The sense key.
    pub key: u8,
    /// The additional sense code.
    pub asc: u8,
    /// Its qualifier.
    pub ascq: u8,
}

impl Sense {
    /// Nothing to report.
    pub const NONE: Self = Self::new(0, 0, 0);
    /// The drive is closed and has no disc.
    pub const NO_MEDIUM: Self = Self::new(2, 0x3a, 1);
    /// The tray is open.
    pub const TRAY_OPEN: Self = Self::new(2, 0x3a, 2);
    /// The medium cannot be read.
    pub const READ_ERROR: Self = Self::new(3, 0x11, 0);
    /// The command is unknown.
    pub const INVALID_OPCODE: Self = Self::new(5, 0x20, 0);
    /// A block beyond the end.
    pub const LBA_OUT_OF_RANGE: Self = Self::new(5, 0x21, 0);
    /// A parameter of the command.
    pub const INVALID_FIELD: Self = Self::new(5, 0x24, 0);
    /// There is no such logical unit.
    pub const NO_SUCH_UNIT: Self = Self::new(5, 0x25, 0);
    /// Mode parameters are not saved.
    pub const NO_SAVED_PARAMETERS: Self = Self::new(5, 0x39, 0);
    /// The initiator has locked the tray.
    pub const REMOVAL_PREVENTED: Self = Self::new(5, 0x53, 2);
    /// The medium cannot be written to.
    pub const WRITE_PROTECTED: Self = Self::new(7, 0x27, 0);

    const fn new(key: u8, asc: u8, ascq: u8) -> Self {
        Self { key, asc, ascq }
    }

    /// The fixed format.
    pub fn fixed(self) -> [u8; FIXED_SIZE] {
        let mut data = [0; FIXED_SIZE];
        data[0] = 0x70; // current
        data[2] = self.key;
        data[7] = 10; // bytes that follow
        data[12] = self.asc;
        data[13] = self.ascq;
        data
    }

    /// The descriptor format.
    pub fn descriptor(self) -> [u8; DESCRIPTOR_SIZE] {
        [0x72, self.key, self.asc, self.ascq, 0, 0, 0, 0]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Linux reads them (`scsi_normalize_sense`, drivers/scsi/scsi_common.c).
    #[test]
    fn both_formats_have_key_code_and_qualifier_where_drivers_look_for_them() {
        let fixed = Sense::TRAY_OPEN.fixed();
        assert_eq!(fixed, [0x70, 0, 2, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x3a, 2, 0, 0, 0, 0]);
        assert_eq!(Sense::READ_ERROR.descriptor(), [0x72, 3, 0x11, 0, 0, 0, 0, 0]);
    }
}
