//! The host bridge of a PC, an Intel 440FX, reduced to what firmware uses.
//!
//! Function 00:00.0, 8086:1237. Source: Intel 82441FX (PMC) data sheet, 290549; QEMU's
//! `hw/pci-host/i440fx.c`.
//!
//! | register | width | after reset | |
//! |---|---|---|---|
//! | 0x59 | 8 | 0x30 | PAM0: who answers at 0xf0000 to 0xfffff, ROM or memory |
//! | 0x5a to 0x5f | 8 | 0x33 | PAM1 to PAM6: the same, for the six parts of 0xc0000 to 0xeffff |
//! | 0x72 | 8 | 0x02 | SMRAM: the memory of system management mode |
//! | other than these, 0x40 to 0xff | 8 | 0x00 | |
//!
//! All of them are stored and read back but have **no effect: 0xc0000 to 0xfffff is always readable
//! and writable memory**, which the VMM fills with the firmware before the reset. So no write to a
//! PAM register causes a new memory map, and a ROM area locked by firmware can still be written. A
//! real bridge resets these registers to 0x00, which selects ROM; this one starts with the values
//! that match its behavior. SeaBIOS finds bit 4 of PAM0 set and therefore does not copy itself from
//! the ROM below 4 GiB, page by page through KVM, over the existing copy (`make_bios_writable`,
//! src/fw/shadow.c).
//!
//! There is no system management mode: firmware does not set it up, see
//! [`crate::piix4_pm::function`]. SeaBIOS recognizes QEMU by the subsystem 1af4:1100
//! (`qemu_detect`, src/fw/paravirt.c).

use super::bus::Devfn;
use super::function::{AFTER_HEADER, ConfigSpace, Identity};

/// The bridge's address on the bus.
pub const PLACE: Devfn = Devfn::new(0, 0);
/// PAM0, the first of seven programmable attribute maps.
pub const PAM0: u8 = 0x59;
/// System management RAM control.
pub const SMRAM: u8 = 0x72;

/// PAM0 to PAM6: reads and writes go to memory. The lower half of PAM0 is unused.
const PAM_AFTER_RESET: [u8; 7] = [0x30, 0x33, 0x33, 0x33, 0x33, 0x33, 0x33];
/// SMRAM: at segment 0xa0000, the only place the chip supports; not open, closed, locked or
/// enabled.
const SMRAM_AFTER_RESET: u8 = 0x02;

const IDENTITY: Identity = Identity {
    vendor: 0x8086,
    device: 0x1237,
    revision: 2,
    class: 0x06_00_00,
    subsystem_vendor: 0x1af4,
    subsystem: 0x1100,
};

/// Creates the host bridge in its power-on state.
pub fn function() -> ConfigSpace {
    ConfigSpace::type_0(&IDENTITY)
        .with(PAM0, &PAM_AFTER_RESET)
        .with(SMRAM, &[SMRAM_AFTER_RESET])
        .with_writable(AFTER_HEADER, &[0xff; 0xc0])
}

#[cfg(test)]
mod tests {
    use super::super::function::PciFunction;
    use super::super::function::tests::{read, write};
    use super::*;

    #[test]
    fn identifies_as_qemus_440fx() {
        let mut bridge = function();
        assert_eq!(read(&mut bridge, 0x00), 0x1237_8086);
        assert_eq!(read(&mut bridge, 0x08), 0x0600_0002);
        assert_eq!(read(&mut bridge, 0x0c), 0);
        assert_eq!(read(&mut bridge, 0x2c), 0x1100_1af4);
        assert_eq!(read(&mut bridge, 0x3c), 0);
        assert_eq!(read(&mut bridge, 0x70) >> 16, 0x0002);
    }

    /// `make_bios_writable_intel` and `__make_bios_writable_intel` in SeaBIOS's src/fw/shadow.c.
    #[test]
    fn seabios_does_not_copy_itself_at_startup() {
        let mut bridge = function();
        let mut pam0 = [0];
        bridge.read_config(PAM0, &mut pam0);
        assert_eq!(pam0[0] & 0x10, 0x10);

        write(&mut bridge, 0x58, 0x3333_30a5);
        let low = read(&mut bridge, 0x58);
        assert_eq!((low, read(&mut bridge, 0x5c)), (0x3333_30a5, 0x3333_3333));
        write(&mut bridge, 0x58, (low & 0xff) | 0x3333_3000);
        write(&mut bridge, 0x5c, 0x3333_3333);

        assert_eq!(read(&mut bridge, 0x58), 0x3333_30a5);
        assert_eq!(read(&mut bridge, 0x5c), 0x3333_3333);
    }

    /// `make_bios_readonly_intel` in the same file.
    #[test]
    fn seabios_locks_shadow_memory_when_it_boots() {
        let mut bridge = function();
        write(&mut bridge, 0x58, 0x1131_1000);
        write(&mut bridge, 0x5c, 0x1111_1111);
        assert_eq!((read(&mut bridge, 0x58), read(&mut bridge, 0x5c)), (0x1131_1000, 0x1111_1111));

        bridge.reset();
        let after_reset = (read(&mut bridge, 0x58), read(&mut bridge, 0x5c));
        assert_eq!(after_reset, (0x3333_3000, 0x3333_3333));
    }
}
