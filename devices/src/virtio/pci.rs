//! The transport of a PCI function (virtio 1.2, 4.1), "modern" only, with QEMU's layout
//! (`virtio_pci_device_plugged`, hw/virtio/virtio-pci.c).
//!
//! | BAR | bytes | |
//! |---|---|---|
//! | 1 | 4 KiB, 32 bits | MSI-X: one vector for configuration changes, one for each queue |
//! | 4 | 16 KiB, 64 bits, prefetchable | at 0 the common configuration, at 0x1000 the interrupt status, at 0x2000 the device's configuration, at 0x3000 the notifications, 4 bytes for each queue |
//!
//! INTA shows the interrupt status while MSI-X is off. A guest that cannot reach BAR 4 accesses it
//! through a capability in configuration space (4.1.4.9): SeaBIOS does that if the BAR is above
//! 4 GiB.
//!
//! While the bus master bit of the command register is clear, the device does not access memory.
//! Linux clears the bit before it starts another kernel by kexec.

mod common;
mod function;
mod interrupt;

use std::fmt;
use std::sync::Arc;

use vm_memory::GuestMemoryMmap;

use super::device::{QueueNotifier, VirtioDevice, VirtioInterrupt};
use super::registers::Registers;
use super::state::VirtioState;
use crate::pci::bar::{MemoryBar, MemoryBars};
use crate::pci::bar_space::{self, BarSpace};
use crate::pci::msix;
pub use function::node_name;
use interrupt::PciInterrupt;

/// BAR 1: MSI-X.
pub const MSIX_BAR: MemoryBar = MemoryBar { number: 1, size: msix::BAR_SIZE, is_64_bit: false };
/// BAR 4: the registers.
pub const REGISTER_BAR: MemoryBar = MemoryBar { number: 4, size: 0x4000, is_64_bit: true };
/// Where the notifications are in BAR 4. An ioeventfd may stand in for them.
pub const NOTIFICATIONS: u64 = 0x3000;
/// Bytes between the notifications of two queues.
pub const NOTIFICATION_STRIDE: u32 = 4;

/// Bytes of each of the four parts of BAR 4.
const PART: u64 = 0x1000;
const COMMON: u64 = 0;
const INTERRUPT_STATUS: u64 = 0x1000;
const DEVICE: u64 = 0x2000;

/// The BARs, in the order in which they are placed.
const BARS: [MemoryBar; 2] = [MSIX_BAR, REGISTER_BAR];

/// What a function is connected to.
pub type Connections = bar_space::Connections<dyn QueueNotifier>;

/// A device behind a PCI function.
pub struct VirtioPci {
    config: BarSpace,
    registers: Registers,
    interrupt: Arc<PciInterrupt>,
    notifier: Box<dyn QueueNotifier>,
}

impl VirtioPci {
    /// Gives a device its function, with BARs that are not placed yet.
    pub fn new(
        device: Arc<dyn VirtioDevice>,
        memory: GuestMemoryMmap,
        connections: Connections,
    ) -> Self {
        let queues = device.queue_sizes().len();
        let Connections { pin, messages, notifier } = connections;
        let interrupt = Arc::new(PciInterrupt::new(queues, pin, messages));
        let config = function::config_space(device.device_id(), &interrupt.msix_capability());
        let config = BarSpace::new(config, &BARS);
        let shared: Arc<dyn VirtioInterrupt> = Arc::<PciInterrupt>::clone(&interrupt);
        let state = Arc::new(VirtioState::new(device, memory, shared));
        let registers = Registers::new(state);
        let function = Self { config, registers, interrupt, notifier };
        function.apply();
        function
    }

    /// Configuration space, to place the BARs.
    pub fn config_mut(&mut self) -> &mut BarSpace {
        &mut self.config
    }

    /// The device, for the threads that serve its queues.
    pub fn state(&self) -> &Arc<VirtioState> {
        self.registers.state()
    }

    /// The reset by the driver, which leaves configuration space and the MSI-X table alone.
    fn reset_device(&mut self) {
        self.registers.reset();
        self.interrupt.reset_device();
    }
}

impl MemoryBars for VirtioPci {
    fn read_bar(&mut self, bar: u8, offset: u64, data: &mut [u8]) {
        if bar == MSIX_BAR.number {
            self.interrupt.read_table(offset, data);
            return;
        }
        let (part, offset) = (offset / PART * PART, offset % PART);
        match part {
            COMMON => self.read_common(offset, data),
            INTERRUPT_STATUS => {
                data.fill(0);
                if let (0, Some(first)) = (offset, data.first_mut()) {
                    *first = self.interrupt.take_status();
                }
            }
            DEVICE => self.registers.state().device().read_config(offset, data),
            _ => data.fill(0),
        }
    }

    fn write_bar(&mut self, bar: u8, offset: u64, data: &[u8]) {
        if bar == MSIX_BAR.number {
            self.interrupt.write_table(offset, data);
            return;
        }
        let (part, offset) = (offset / PART * PART, offset % PART);
        match part {
            COMMON => self.write_common(offset, data),
            DEVICE => self.registers.state().device().write_config(offset, data),
            // The value is the queue's number, too; where it is written says the same.
            NOTIFICATIONS => {
                let queue = offset / u64::from(NOTIFICATION_STRIDE);
                self.notifier.notify(queue.try_into().unwrap_or(u16::MAX));
            }
            _ => {}
        }
    }
}

impl fmt::Debug for VirtioPci {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VirtioPci").field("registers", &self.registers).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
