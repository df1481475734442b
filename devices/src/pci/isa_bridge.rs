//! The PCI-to-ISA bridge, an Intel PIIX3, reduced to what firmware and kernels use.
//!
//! Function 00:01.0, 8086:7000. Source: Intel 82371SB (PIIX3) data sheet, 290550; QEMU's
//! `hw/isa/piix.c`.
//!
//! | register | width | after reset | |
//! |---|---|---|---|
//! | 0x04 | 16 | 0x0007 | command |
//! | 0x06 | 16 | 0x0200 | status |
//! | 0x60 to 0x63 | 8 | 0x80 | `PIRQRC`: the IRQ of each of the four PCI interrupts; bit 7: none |
//! | other than these, 0x40 to 0xff | 8 | as in QEMU's `piix_reset` | |
//!
//! `PIRQRC` routes the pins of the other functions ([`super::pirq`]). The other registers from 0x40
//! are stored and read back without effect.
//!
//! Other parts of a PIIX3 are elsewhere or missing. KVM's interrupt controller implements the
//! edge/level registers 0x4d0 and 0x4d1, which SeaBIOS programs along with the routes
//! (`kvm_pic_init` in Linux's arch/x86/kvm/i8259.c), so no device may use these ports. The reset
//! register is [`crate::reset_control`]. There are no IDE and no USB functions.
//!
//! Function 3 (power management) is that of a PIIX4, not a PIIX3: see [`crate::piix4_pm`].
//!
//! QEMU's bridge declares itself a multifunction device even if it has only one function. Here
//! [`super::bus::PciBus`] sets bit 7 of the header type only if there are more; a clear bit saves
//! every bus scan seven functions.

use super::bus::Devfn;
use super::function::{AFTER_HEADER, COMMAND, ConfigSpace, Identity, PciFunction};
use super::pirq::{NO_ROUTE, PIRQS, PirqRouter};

/// The bridge's address on the bus.
pub const PLACE: Devfn = Devfn::new(1, 0);
/// The routing register of the first of the four PCI interrupts.
pub const PIRQ_ROUTE: u8 = 0x60;

const IDENTITY: Identity = Identity {
    vendor: 0x8086,
    device: 0x7000,
    revision: 0,
    class: 0x06_01_00,
    subsystem_vendor: 0x1af4,
    subsystem: 0x1100,
};

/// Registers with nonzero reset values: the data sheet's defaults.
const AFTER_RESET: [(u8, &[u8]); 9] = [
    // Command: I/O, memory and bus master, which the chip cannot disable. Status: medium DEVSEL.
    (COMMAND, &[0x07, 0x00, 0x00, 0x02]),
    // I/O recovery time; chip selects: the RTC and the keyboard controller are on the ISA bus.
    (0x4c, &[0x4d, 0x00, 0x03]),
    (PIRQ_ROUTE, &[NO_ROUTE; PIRQS]),
    // Top of memory: 1 MiB, and ISA masters reach below 640 KiB.
    (0x69, &[0x02]),
    // Motherboard interrupt: none.
    (0x70, &[0x80]),
    // Motherboard DMA: none, twice.
    (0x76, &[0x0c, 0x0c]),
    // Programmable chip select.
    (0x78, &[0x02]),
    // System management interrupts: off.
    (0xa0, &[0x08]),
    // Fast-off timer.
    (0xa8, &[0x0f]),
];

/// Creates the bridge's registers in their power-on state.
fn registers() -> ConfigSpace {
    let space = ConfigSpace::type_0(&IDENTITY).with_writable(AFTER_HEADER, &[0xff; 0xc0]);
    AFTER_RESET.into_iter().fold(space, |space, (offset, bytes)| space.with(offset, bytes))
}

/// The bridge.
#[derive(Debug)]
pub struct IsaBridge {
    space: ConfigSpace,
    router: PirqRouter,
}

impl IsaBridge {
    /// Creates the bridge in its power-on state, with no route.
    pub fn new(router: PirqRouter) -> Self {
        Self { space: registers(), router }
    }

    /// Sets the routes now and after each reset, for a machine without firmware.
    #[must_use]
    pub fn with_routes(mut self, routes: [u8; PIRQS]) -> Self {
        self.space = self.space.with(PIRQ_ROUTE, &routes);
        self.route();
        self
    }

    fn route(&self) {
        self.router.set_routes(self.space.dword(PIRQ_ROUTE).to_le_bytes());
    }
}

impl PciFunction for IsaBridge {
    fn read_config(&mut self, offset: u8, data: &mut [u8]) {
        self.space.read_config(offset, data);
    }

    fn write_config(&mut self, offset: u8, data: &[u8]) {
        self.space.write_config(offset, data);
        self.route();
    }

    fn reset(&mut self) {
        self.space.reset();
        self.route();
    }
}

#[cfg(test)]
mod tests {
    use super::super::function::tests::read;
    use super::super::pirq::ROUTES;
    use super::*;
    use crate::irq::RecordingLine;

    fn function() -> IsaBridge {
        IsaBridge::new(PirqRouter::new(|_| Box::new(RecordingLine::default())))
    }

    #[test]
    fn identifies_as_a_piix3() {
        let mut bridge = function();
        assert_eq!(read(&mut bridge, 0x00), 0x7000_8086);
        assert_eq!(read(&mut bridge, 0x04), 0x0200_0007);
        assert_eq!(read(&mut bridge, 0x08), 0x0601_0000);
        assert_eq!(read(&mut bridge, 0x2c), 0x1100_1af4);
        assert_eq!(read(&mut bridge, 0x3c), 0);
    }

    /// The nonzero dwords, as QEMU's `piix_reset` sets them.
    #[test]
    fn has_qemus_defaults_when_reset() {
        let mut bridge = function();
        bridge.write_config(0x40, &[0x55; 0xc0]);
        bridge.reset();
        let expected = [
            (0x4c, 0x0003_004d),
            (0x60, 0x8080_8080),
            (0x68, 0x0000_0200),
            (0x70, 0x0000_0080),
            (0x74, 0x0c0c_0000),
            (0x78, 0x0000_0002),
            (0xa0, 0x0000_0008),
            (0xa8, 0x0000_000f),
        ];
        for offset in (0x40..=0xfc).step_by(4) {
            let value =
                expected.iter().find(|(at, _)| *at == offset).map_or(0, |(_, value)| *value);
            assert_eq!(read(&mut bridge, offset), value, "{offset:#x}");
        }
    }

    /// `piix_isa_bridge_setup` in SeaBIOS's src/fw/pciinit.c.
    #[test]
    fn seabios_routes_interrupts_when_it_sets_up_the_bridge() {
        let lines = [(); 16].map(|()| RecordingLine::default());
        let router = PirqRouter::new(|irq| Box::new(lines[usize::from(irq)].clone()));
        let mut bridge = IsaBridge::new(router.clone());
        router.pin(Devfn::new(4, 0)).set(true);
        for (offset, irq) in (PIRQ_ROUTE..).zip([10, 10, 11, 11]) {
            bridge.write_config(offset, &[irq]);
        }
        assert_eq!(read(&mut bridge, PIRQ_ROUTE), 0x0b0b_0a0a);
        assert!(lines[11].is_high());
        bridge.reset();
        assert!(!lines[11].is_high());
        bridge.with_routes(ROUTES).reset();
        assert!(lines[11].is_high());
    }

    /// `quirk_passive_release` in Linux's drivers/pci/quirks.c.
    #[test]
    fn linux_enables_passive_release() {
        let mut bridge = function();
        let mut latency = [0];
        bridge.read_config(0x82, &mut latency);
        bridge.write_config(0x82, &[latency[0] | 0x02]);
        bridge.read_config(0x82, &mut latency);
        assert_eq!(latency, [0x02]);
    }
}
