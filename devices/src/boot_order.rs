//! The order in which a PC BIOS tries kinds of devices: QEMU's `-boot order=`, kept in the CMOS.
//!
//! QEMU writes it in `set_boot_dev` (hw/i386/pc.c), and SeaBIOS reads it in `boot_init`
//! (src/boot.c). It orders whatever the fw_cfg file `bootorder` does not name; a kind of device
//! that the order leaves out is tried last.

use thiserror::Error;

/// QEMU's default for `pc`: hard disk, floppy, CD (`default_boot_order`, hw/i386/pc.c).
const DEFAULT: &str = "cad";
/// How many kinds of devices the CMOS has room for: `PC_MAX_BOOT_DEVICES` in hw/i386/pc.c.
const MAX: usize = 3;

/// A kind of device to boot from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BootClass {
    /// `a` and `b`.
    Floppy,
    /// `c`.
    Disk,
    /// `d`.
    Cd,
    /// `n`.
    Network,
}

impl BootClass {
    /// By QEMU's letter.
    pub fn by_letter(letter: char) -> Option<Self> {
        Some(match letter {
            'a' | 'b' => Self::Floppy,
            'c' => Self::Disk,
            'd' => Self::Cd,
            'n' => Self::Network,
            _ => return None,
        })
    }

    /// Its number in the CMOS (`boot_device2nibble`, hw/i386/pc.c).
    fn nibble(self) -> u8 {
        match self {
            Self::Floppy => 1,
            Self::Disk => 2,
            Self::Cd => 3,
            Self::Network => 4,
        }
    }
}

/// Why letters are no boot order. The messages are QEMU's.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum BootOrderError {
    /// Not a letter that a PC has.
    #[error("expected the letters a, b, c, d or n, found '{0}'")]
    Letter(char),
    /// A letter that is there twice.
    #[error("expected each letter once, found '{0}' twice")]
    Twice(char),
    /// Too many letters.
    #[error("expected at most {MAX} letters, found {0}")]
    TooMany(usize),
}

/// Kinds of devices in the order in which firmware tries them, at most three.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BootOrder([Option<BootClass>; MAX]);

impl Default for BootOrder {
    /// QEMU's default, `cad`.
    fn default() -> Self {
        Self::from_letters(DEFAULT).unwrap_or(Self([None; MAX]))
    }
}

impl BootOrder {
    /// Reads QEMU's letters.
    ///
    /// # Errors
    /// A letter is unknown or given twice, or there are more than three.
    pub fn from_letters(letters: &str) -> Result<Self, BootOrderError> {
        let mut order = [None; MAX];
        for (at, letter) in letters.chars().enumerate() {
            let class = BootClass::by_letter(letter).ok_or(BootOrderError::Letter(letter))?;
            if letters.chars().take(at).any(|earlier| earlier == letter) {
                return Err(BootOrderError::Twice(letter));
            }
            let count = letters.chars().count();
            *order.get_mut(at).ok_or(BootOrderError::TooMany(count))? = Some(class);
        }
        Ok(Self(order))
    }

    /// The kinds of devices, first to last.
    pub fn classes(self) -> impl Iterator<Item = BootClass> {
        self.0.into_iter().flatten()
    }

    /// The CMOS bytes 0x3d (first and second kind, low nibble first) and 0x38 (third kind in the
    /// high nibble; bit 0, which skips the check of a floppy's boot signature, is clear).
    pub(crate) fn cmos(self) -> [u8; 2] {
        let [first, second, third] = self.0.map(|class| class.map_or(0, BootClass::nibble));
        [first | (second << 4), third << 4]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The values of QEMU's own test (`test_pc_boot_order`, tests/qtest/boot-order-test.c).
    #[test]
    fn cmos_bytes_are_those_of_qemu() {
        let cmos = |letters| BootOrder::from_letters(letters).map(BootOrder::cmos);
        assert_eq!(BootOrder::default().cmos(), [0x12, 0x30]);
        assert_eq!(cmos("n"), Ok([0x04, 0x00]));
        assert_eq!(cmos("nc"), Ok([0x24, 0x00]));
        assert_eq!(cmos("cad"), Ok([0x12, 0x30]));
        assert_eq!(cmos("d"), Ok([0x03, 0x00]));
        assert_eq!(cmos("dca"), Ok([0x23, 0x10]));
        assert_eq!(cmos("b"), Ok([0x01, 0x00]));
        assert_eq!(cmos(""), Ok([0, 0]));
    }

    #[test]
    fn what_is_no_order_is_refused() {
        for (letters, error) in [
            ("x", BootOrderError::Letter('x')),
            ("ce", BootOrderError::Letter('e')),
            ("cc", BootOrderError::Twice('c')),
            ("adcn", BootOrderError::TooMany(4)),
            ("C", BootOrderError::Letter('C')),
        ] {
            assert_eq!(BootOrder::from_letters(letters), Err(error), "{letters}");
        }
    }
}
