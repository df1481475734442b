//! MSI: one message, in configuration space.
//!
//! Source: PCI Local Bus Specification 3.0, 6.8.1; QEMU's `hw/pci/msi.c`.
//!
//! | offset in the capability | width | |
//! |---|---|---|
//! | 2 | 16 | message control: bit 0, MSI is on; bit 7, 64-bit addresses |
//! | 4, 8 | 32 | address of the message, low and high |
//! | 12 | 16 | its data |

use super::function::ConfigSpace;
use crate::irq::MsiMessage;

const IDENTIFIER: u8 = 0x05;
const ENABLE: u8 = 1 << 0;
const IS_64_BIT: u8 = 1 << 7;

/// An MSI capability of one message.
#[derive(Clone, Copy, Debug)]
pub struct Msi {
    /// Where it is in configuration space: a multiple of 4.
    pub offset: u8,
}

impl Msi {
    /// Adds the capability to a function.
    #[must_use]
    pub fn add_to(self, space: ConfigSpace) -> ConfigSpace {
        let mut body = [0; 12];
        body[0] = IS_64_BIT;
        space
            .with_capability(self.offset, IDENTIFIER, &body)
            .with_writable(self.offset + 2, &[ENABLE])
            .with_writable(self.offset + 4, &[0xfc, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff])
            .with_writable(self.offset + 12, &[0xff, 0xff])
    }

    /// The message, if MSI is on; the function's pin is not used then.
    pub fn message(self, space: &ConfigSpace) -> Option<MsiMessage> {
        let [low, high, data] = [4, 8, 12].map(|at| space.dword(self.offset + at));
        let address = u64::from(high) << 32 | u64::from(low);
        let is_on = space.byte(self.offset + 2) & ENABLE != 0;
        is_on.then_some(MsiMessage { address, data: data & 0xffff })
    }
}

#[cfg(test)]
mod tests {
    use super::super::function::tests::{read, write};
    use super::super::function::{CAPABILITIES, Identity};
    use super::*;

    #[test]
    fn the_message_is_what_the_guest_writes_while_it_is_on() {
        let identity = Identity {
            vendor: 0x8086,
            device: 0x2922,
            revision: 2,
            class: 0x01_06_01,
            subsystem_vendor: 0x1af4,
            subsystem: 0x1100,
        };
        let msi = Msi { offset: 0x80 };
        let mut space = msi.add_to(ConfigSpace::type_0(&identity));
        assert_eq!((space.byte(CAPABILITIES), read(&mut space, 0x80)), (0x80, 0x0080_0005));
        for (at, value) in [(0x84, 0xfee0_1003), (0x88, 1), (0x8c, 0xffff_4031)] {
            write(&mut space, at, value);
        }
        assert_eq!(msi.message(&space), None);
        write(&mut space, 0x80, u32::MAX);
        assert_eq!(read(&mut space, 0x80), 0x0081_0005, "one message");
        let message = MsiMessage { address: 0x1_fee0_1000, data: 0x4031 };
        assert_eq!(msi.message(&space), Some(message));
    }
}
