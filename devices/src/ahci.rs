//! A SATA controller: QEMU's `ich9-ahci`, with up to six drives (AHCI 1.3.1). It is there for
//! systems without drivers for virtio.
//!
//! | part | module | specification |
//! |---|---|---|
//! | PCI function, registers of the controller | this one | AHCI 1.3.1, 2 and 3.1 |
//! | registers of a port | `port` | AHCI 1.3.1, 3.3 |
//! | service of the ports, resets | [`hba`] | AHCI 1.3.1, 5 and 10 |
//! | a command in memory | `command` | AHCI 1.3.1, 4.2 |
//! | frames | `fis` | Serial ATA 3.0, 10.3 |
//! | interrupts | `interrupt` | AHCI 1.3.1, 10.7 |
//! | drives | [`crate::ata`] | ATA8-ACS |
//!
//! Function 8086:2922 with the registers in BAR 5, 4 KiB, and one message (MSI) or INTA. Unlike
//! QEMU's it has no BAR 4 with an index and a data register, which only firmware without access to
//! memory would need, and PI names only the ports that have a drive, so that nobody waits for the
//! others. Commands of a port are served one after the other.

mod command;
mod fis;
pub mod hba;
mod interrupt;
mod port;

use std::fmt;
use std::sync::Arc;

use vm_memory::GuestMemoryMmap;

use crate::ata::AtaDevice;
use crate::pci::bar::{MemoryBar, MemoryBars};
use crate::pci::bar_space::{self, BarSpace};
use crate::pci::function::{
    COMMAND_INTX_DISABLE, COMMAND_MASTER, ConfigSpace, INTERRUPT_PIN, Identity, PciFunction,
    STATUS, STATUS_INTERRUPT,
};
use crate::pci::msi::Msi;
use hba::Hba;
use interrupt::Interrupt;

/// Ports for drives.
pub const PORTS: usize = 6;
/// BAR 5: the registers.
pub const REGISTER_BAR: MemoryBar = MemoryBar { number: 5, size: 0x1000, is_64_bit: false };
/// The name of the function's node in OpenFirmware paths: QEMU's for its class.
pub const NODE_NAME: &str = "pci8086,2922";

const IDENTITY: Identity = Identity {
    vendor: 0x8086,
    device: 0x2922,
    revision: 2,
    class: 0x01_06_01,
    subsystem_vendor: 0x1af4,
    subsystem: 0x1100,
};
const MSI: Msi = Msi { offset: 0x80 };

/// Registers of the controller, and where those of the ports begin, and how many bytes each has.
const CAPABILITIES: u64 = 0x00;
const CONTROL: u64 = 0x04;
const INTERRUPT_STATUS: u64 = 0x08;
const PORTS_IMPLEMENTED: u64 = 0x0c;
const VERSION: u64 = 0x10;
const PORT_REGISTERS: u64 = 0x100;
const PORT_SIZE: u64 = 0x80;

/// CAP: 64-bit addresses, queued commands, command list override, AHCI only, 6 Gbit/s, 32 slots,
/// six ports.
const CAPABILITIES_VALUE: u32 = 1 << 31 | 1 << 30 | 1 << 24 | 1 << 18 | 3 << 20 | 31 << 8 | 5;
/// VS: 1.3.1.
const VERSION_VALUE: u32 = 0x0001_0301;
/// GHC: reset, interrupts, and AHCI, which is always on.
const CONTROL_RESET: u32 = 1 << 0;
const CONTROL_INTERRUPTS: u32 = 1 << 1;
const CONTROL_AHCI: u32 = 1 << 31;

/// Wakes the threads that serve the ports.
pub trait PortNotifier: Send {
    /// The port may have commands.
    fn notify(&self, port: u8);
}

/// What the function is connected to.
pub type Connections = bar_space::Connections<dyn PortNotifier>;

/// The PCI function.
pub struct Ahci {
    config: BarSpace,
    hba: Arc<Hba>,
    notifier: Box<dyn PortNotifier>,
}

impl Ahci {
    /// Creates a controller with drives at some of its ports, and a BAR that is not placed yet.
    pub fn new(
        drives: [Option<Arc<dyn AtaDevice>>; PORTS],
        memory: GuestMemoryMmap,
        connections: Connections,
    ) -> Self {
        let Connections { pin, messages, notifier } = connections;
        let config = ConfigSpace::type_0(&IDENTITY).with(INTERRUPT_PIN, &[1]);
        let config = MSI.add_to(REGISTER_BAR.add_to(config));
        let hba = Arc::new(Hba::new(drives, memory, Interrupt::new(pin, messages)));
        Self { config: BarSpace::new(config, &[REGISTER_BAR]), hba, notifier }
    }

    /// Configuration space, to place the BAR.
    pub fn config_mut(&mut self) -> &mut BarSpace {
        &mut self.config
    }

    /// The controller, for the threads that serve its ports.
    pub fn hba(&self) -> &Arc<Hba> {
        &self.hba
    }

    /// Lets what configuration space says take effect.
    fn apply(&self) {
        let command = self.config.command();
        let is_pin_disabled = command & COMMAND_INTX_DISABLE != 0;
        self.hba.interrupt().set_control(MSI.message(&self.config), is_pin_disabled);
        if self.hba.set_master(command & COMMAND_MASTER != 0) {
            self.hba.drives().for_each(|(port, _)| self.notifier.notify(port));
        }
        self.config.place();
    }

    /// PI: all ports, if there is no drive; there has to be one.
    fn ports_implemented(&self) -> u32 {
        match self.hba.drives().fold(0, |ports, (port, _)| ports | 1 << port) {
            0 => (1 << PORTS) - 1,
            ports => ports,
        }
    }

    fn read_register(&self, offset: u64) -> u32 {
        if let Some(offset) = offset.checked_sub(PORT_REGISTERS) {
            let port = u8::try_from(offset / PORT_SIZE).unwrap_or(u8::MAX);
            return self.hba.read_port(port, offset % PORT_SIZE);
        }
        match offset {
            CAPABILITIES => CAPABILITIES_VALUE,
            CONTROL if self.hba.interrupt().is_enabled() => CONTROL_AHCI | CONTROL_INTERRUPTS,
            CONTROL => CONTROL_AHCI,
            INTERRUPT_STATUS => self.hba.interrupt().status(),
            PORTS_IMPLEMENTED => self.ports_implemented(),
            VERSION => VERSION_VALUE,
            _ => 0,
        }
    }

    fn write_register(&self, offset: u64, value: u32) {
        if let Some(offset) = offset.checked_sub(PORT_REGISTERS) {
            let port = u8::try_from(offset / PORT_SIZE).unwrap_or(u8::MAX);
            if self.hba.write_port(port, offset % PORT_SIZE, value) {
                self.notifier.notify(port);
            }
            return;
        }
        match offset {
            CONTROL if value & CONTROL_RESET != 0 => self.hba.reset(),
            CONTROL => self.hba.interrupt().set_enabled(value & CONTROL_INTERRUPTS != 0),
            INTERRUPT_STATUS => self.hba.interrupt().clear(value),
            _ => {}
        }
    }
}

impl MemoryBars for Ahci {
    /// Reads part of a register, or of two.
    fn read_bar(&mut self, _: u8, offset: u64, data: &mut [u8]) {
        let (mut offset, mut data) = (offset, data);
        while !data.is_empty() {
            let register = self.read_register(offset & !3).to_le_bytes();
            let register = &register[usize::try_from(offset & 3).unwrap_or(0)..];
            let count = register.len().min(data.len());
            let (now, rest) = data.split_at_mut(count);
            now.copy_from_slice(&register[..count]);
            (offset, data) = ((offset & !3) + 4, rest);
        }
    }

    /// Writes registers: 4 or 8 bytes, aligned. Everything else is dropped.
    fn write_bar(&mut self, _: u8, offset: u64, data: &[u8]) {
        if !offset.is_multiple_of(4) || !matches!(data.len(), 4 | 8) {
            return;
        }
        for (at, bytes) in (offset..).step_by(4).zip(data.chunks_exact(4)) {
            let mut value = [0; 4];
            value.copy_from_slice(bytes);
            self.write_register(at, u32::from_le_bytes(value));
        }
    }
}

impl PciFunction for Ahci {
    fn read_config(&mut self, offset: u8, data: &mut [u8]) {
        self.config.read_config(offset, data);
        let status = usize::from(STATUS).checked_sub(offset.into());
        if let Some(byte) = status.and_then(|at| data.get_mut(at))
            && self.hba.interrupt().is_shown()
        {
            *byte |= STATUS_INTERRUPT;
        }
    }

    fn write_config(&mut self, offset: u8, data: &[u8]) {
        self.config.write_config(offset, data);
        self.apply();
    }

    fn reset(&mut self) {
        self.config.reset();
        self.hba.reset();
        self.apply();
    }
}

impl fmt::Debug for Ahci {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ahci").field("hba", &self.hba).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
