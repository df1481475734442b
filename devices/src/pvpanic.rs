//! QEMU's pvpanic device: a port to which a guest writes that its kernel has panicked.
//!
//! Sources: QEMU's docs/specs/pvpanic.rst and hw/misc/pvpanic-isa.c; Linux'
//! drivers/misc/pvpanic/pvpanic-mmio.c, which finds it by its ACPI node.

use acpi_tables::aml::{Device, IO, Name, Path, ResourceTemplate, Scope};
use acpi_tables::{Aml, AmlSink};
use vm_device::MutDevicePio;
use vm_device::bus::{PioAddress, PioAddressOffset};

use crate::console::ConsoleEvents;
use crate::device::MachineDevice;
use crate::panic_watch::ConsoleEvent;

/// Its I/O port, of one byte.
pub const PORT: u16 = 0x505;

/// Bit 0: the kernel has panicked.
const PANICKED: u8 = 1;
/// Bit 1: the kernel has panicked and starts its crash kernel.
const CRASH_LOADED: u8 = 1 << 1;

/// The device.
pub struct PvPanic {
    events: Box<dyn ConsoleEvents>,
}

impl PvPanic {
    /// Creates a device that tells `events` of a panic.
    pub fn new(events: Box<dyn ConsoleEvents>) -> Self {
        Self { events }
    }
}

impl std::fmt::Debug for PvPanic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PvPanic")
    }
}

impl MachineDevice for PvPanic {
    /// The device has no state.
    fn reset(&mut self) {}
}

impl MutDevicePio for PvPanic {
    /// The events that the guest may report.
    fn pio_read(&mut self, _base: PioAddress, _offset: PioAddressOffset, data: &mut [u8]) {
        data.fill(0);
        if let Some(first) = data.first_mut() {
            *first = PANICKED | CRASH_LOADED;
        }
    }

    fn pio_write(&mut self, _base: PioAddress, _offset: PioAddressOffset, data: &[u8]) {
        let Some(events) = data.first() else { return };
        if events & (PANICKED | CRASH_LOADED) != 0 {
            let words = "reported by pvpanic, without a message on a console";
            self.events.guest_said(ConsoleEvent::Panic(words.into()));
        }
        if events & CRASH_LOADED != 0 {
            self.events.guest_said(ConsoleEvent::CrashKernel);
        }
    }
}

/// The ACPI node, as QEMU's `build_pvpanic_isa_aml` makes it, without the methods that no driver
/// calls.
#[derive(Debug)]
pub struct PvPanicDescription;

impl Aml for PvPanicDescription {
    fn to_aml_bytes(&self, sink: &mut dyn AmlSink) {
        let hid = Name::new(Path::new("_HID"), &"QEMU0001");
        // Present, decoding, shown and functioning.
        let status = Name::new(Path::new("_STA"), &0x0fu8);
        let ports = IO::new(PORT, PORT, 1, 1);
        let resources = Name::new(Path::new("_CRS"), &ResourceTemplate::new(vec![&ports]));
        let device = Device::new(Path::new("PEVT"), vec![&hid, &status, &resources]);
        Scope::new(Path::new("\\_SB_"), vec![&device]).to_aml_bytes(sink);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Said(Arc<Mutex<Vec<ConsoleEvent>>>);

    impl ConsoleEvents for Said {
        fn guest_said(&self, event: ConsoleEvent) {
            self.0.lock().unwrap().push(event);
        }
    }

    fn after(write: u8) -> Vec<ConsoleEvent> {
        let said = Said::default();
        let mut device = PvPanic::new(Box::new(said.clone()));
        device.pio_write(PioAddress(PORT), 0, &[write]);
        said.0.lock().unwrap().clone()
    }

    #[test]
    fn the_guest_finds_the_events_that_are_known() {
        let mut device = PvPanic::new(Box::new(()));
        let mut data = [0xff; 2];
        device.pio_read(PioAddress(PORT), 0, &mut data);
        assert_eq!(data, [3, 0]);
    }

    #[test]
    fn a_panic_is_told_with_or_without_a_crash_kernel() {
        assert!(matches!(after(1).as_slice(), [ConsoleEvent::Panic(_)]));
        let both = after(2);
        assert!(matches!(both.as_slice(), [ConsoleEvent::Panic(_), ConsoleEvent::CrashKernel]));
        assert_eq!(after(0), []);
        assert_eq!(after(4), [], "an orderly shutdown");
    }

    #[test]
    fn the_acpi_node_has_qemu_s_name_and_port() {
        let mut bytes = Vec::new();
        PvPanicDescription.to_aml_bytes(&mut bytes);
        let has = |part: &[u8]| bytes.windows(part.len()).any(|window| window == part);
        assert!(has(b"QEMU0001") && has(b"PEVT"));
        // An I/O port descriptor (ACPI 6.4, 6.4.2.5): 16 bits decoded, from and to, alignment,
        // length.
        assert!(has(&[0x47, 1, 0x05, 0x05, 0x05, 0x05, 1, 1]));
    }
}
