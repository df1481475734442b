//! The transport of memory-mapped registers, version 2 (virtio 1.2, 4.2), as on QEMU's microvm.
//!
//! 512 bytes: registers of 4 bytes, and from 0x100 on the device's configuration space, which is
//! accessed by 1, 2 or 4 bytes. The interrupt is edge-triggered: each one is a pulse, and
//! InterruptStatus tells what for.
//!
//! The guest finds the device through the DSDT ([`VirtioMmioDescription`]), in the form that both
//! Linux (`virtio_mmio.c`, `acpi*:LNRO0005:*`) and SeaBIOS (`dsdt_parser.c`, `virtio-mmio.c`) read.

use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use acpi_tables::aml::{Device, Interrupt, Memory32Fixed, Name, Path, ResourceTemplate, Scope};
use acpi_tables::{Aml, AmlSink};
use virtio_bindings::virtio_mmio as register;
use vm_device::MutDeviceMmio;
use vm_device::bus::{MmioAddress, MmioAddressOffset};
use vm_memory::GuestMemoryMmap;

use super::device::{QueueNotifier, VirtioDevice, VirtioInterrupt};
use super::registers::{Half, Registers, Ring};
use super::state::VirtioState;
use crate::irq::IrqLine;

/// Bytes of the registers and the configuration space.
pub const SIZE: u32 = 0x200;
/// The register that tells of requests: the driver writes the queue's number, 32 bits. An ioeventfd
/// may stand in for it.
pub const QUEUE_NOTIFY: u64 = register::VIRTIO_MMIO_QUEUE_NOTIFY as u64;

/// "virt", little-endian.
const MAGIC: u32 = 0x7472_6976;
const VERSION: u32 = 2;
/// "QEMU", little-endian: drivers know it.
const VENDOR: u32 = 0x554d_4551;
/// The length of a shared memory region that does not exist (virtio 1.2, 4.2.2), either half of it.
const NO_SHARED_MEMORY: u32 = u32::MAX;
const CONFIG: u64 = register::VIRTIO_MMIO_CONFIG as u64;

/// The interrupt of the transport: one line for all reasons.
struct MmioInterrupt {
    status: AtomicU32,
    line: Mutex<Box<dyn IrqLine>>,
}

impl MmioInterrupt {
    fn raise(&self, reason: u32) {
        self.status.fetch_or(reason, Ordering::SeqCst);
        self.line.lock().unwrap_or_else(PoisonError::into_inner).pulse();
    }
}

impl VirtioInterrupt for MmioInterrupt {
    fn queue_used(&self, _: u16) {
        self.raise(register::VIRTIO_MMIO_INT_VRING);
    }

    fn config_changed(&self) {
        self.raise(register::VIRTIO_MMIO_INT_CONFIG);
    }
}

/// A device behind memory-mapped registers.
pub struct VirtioMmio {
    registers: Registers,
    interrupt: Arc<MmioInterrupt>,
    notifier: Box<dyn QueueNotifier>,
}

impl VirtioMmio {
    /// Gives a device its registers. `line` interrupts the driver, `notifier` wakes the threads
    /// that serve the queues.
    pub fn new(
        device: Arc<dyn VirtioDevice>,
        memory: GuestMemoryMmap,
        line: Box<dyn IrqLine>,
        notifier: Box<dyn QueueNotifier>,
    ) -> Self {
        let interrupt =
            Arc::new(MmioInterrupt { status: AtomicU32::new(0), line: Mutex::new(line) });
        let shared: Arc<dyn VirtioInterrupt> = Arc::<MmioInterrupt>::clone(&interrupt);
        let state = Arc::new(VirtioState::new(device, memory, shared));
        Self { registers: Registers::new(state), interrupt, notifier }
    }

    /// The device, for the threads that serve its queues.
    pub fn state(&self) -> &Arc<VirtioState> {
        self.registers.state()
    }

    /// The reset of the machine: returns once the requests in service are answered.
    pub fn reset(&mut self) {
        self.registers.reset();
        self.interrupt.status.store(0, Ordering::SeqCst);
    }

    fn read_register(&self, offset: u32) -> u32 {
        let registers = &self.registers;
        match offset {
            register::VIRTIO_MMIO_MAGIC_VALUE => MAGIC,
            register::VIRTIO_MMIO_VERSION => VERSION,
            register::VIRTIO_MMIO_DEVICE_ID => registers.state().device().device_id(),
            register::VIRTIO_MMIO_VENDOR_ID => VENDOR,
            register::VIRTIO_MMIO_DEVICE_FEATURES => registers.device_features(),
            register::VIRTIO_MMIO_QUEUE_NUM_MAX => registers.max_queue_size().into(),
            register::VIRTIO_MMIO_QUEUE_READY => registers.is_queue_enabled().into(),
            register::VIRTIO_MMIO_INTERRUPT_STATUS => self.interrupt.status.load(Ordering::SeqCst),
            register::VIRTIO_MMIO_STATUS => registers.status().into(),
            register::VIRTIO_MMIO_SHM_LEN_LOW | register::VIRTIO_MMIO_SHM_LEN_HIGH => {
                NO_SHARED_MEMORY
            }
            register::VIRTIO_MMIO_CONFIG_GENERATION => registers.generation(),
            _ => 0,
        }
    }

    fn write_register(&mut self, offset: u32, value: u32) {
        let registers = &mut self.registers;
        let mut ring = |ring, half| registers.set_ring(ring, half, value);
        match offset {
            register::VIRTIO_MMIO_QUEUE_DESC_LOW => ring(Ring::Descriptors, Half::Low),
            register::VIRTIO_MMIO_QUEUE_DESC_HIGH => ring(Ring::Descriptors, Half::High),
            register::VIRTIO_MMIO_QUEUE_AVAIL_LOW => ring(Ring::Available, Half::Low),
            register::VIRTIO_MMIO_QUEUE_AVAIL_HIGH => ring(Ring::Available, Half::High),
            register::VIRTIO_MMIO_QUEUE_USED_LOW => ring(Ring::Used, Half::Low),
            register::VIRTIO_MMIO_QUEUE_USED_HIGH => ring(Ring::Used, Half::High),
            register::VIRTIO_MMIO_DEVICE_FEATURES_SEL => registers.select_device_features(value),
            register::VIRTIO_MMIO_DRIVER_FEATURES_SEL => registers.select_driver_features(value),
            register::VIRTIO_MMIO_DRIVER_FEATURES => registers.set_driver_features(value),
            register::VIRTIO_MMIO_QUEUE_SEL => registers.select_queue(saturated(value)),
            register::VIRTIO_MMIO_QUEUE_NUM => registers.set_queue_size(saturated(value)),
            register::VIRTIO_MMIO_QUEUE_READY if value & 1 != 0 => registers.enable_queue(),
            register::VIRTIO_MMIO_QUEUE_READY => registers.disable_queue(),
            register::VIRTIO_MMIO_QUEUE_NOTIFY => self.notifier.notify(saturated(value)),
            register::VIRTIO_MMIO_INTERRUPT_ACK => {
                self.interrupt.status.fetch_and(!value, Ordering::SeqCst);
            }
            // Only the low eight bits are defined; the others are reserved.
            register::VIRTIO_MMIO_STATUS if value & 0xff == 0 => self.reset(),
            register::VIRTIO_MMIO_STATUS => registers.set_status(value.to_le_bytes()[0]),
            _ => {}
        }
    }
}

/// A number of 16 bits. One that is too large is too large for every queue there is.
fn saturated(value: u32) -> u16 {
    value.try_into().unwrap_or(u16::MAX)
}

impl MutDeviceMmio for VirtioMmio {
    fn mmio_read(&mut self, _: MmioAddress, offset: MmioAddressOffset, data: &mut [u8]) {
        if let Some(offset) = offset.checked_sub(CONFIG) {
            self.registers.state().device().read_config(offset, data);
            return;
        }
        match (u32::try_from(offset), <&mut [u8; 4]>::try_from(&mut *data)) {
            (Ok(offset), Ok(data)) if offset.is_multiple_of(4) => {
                *data = self.read_register(offset).to_le_bytes();
            }
            // QEMU: "wrong size access to register".
            _ => data.fill(0),
        }
    }

    fn mmio_write(&mut self, _: MmioAddress, offset: MmioAddressOffset, data: &[u8]) {
        if let Some(offset) = offset.checked_sub(CONFIG) {
            self.registers.state().device().write_config(offset, data);
            return;
        }
        if let (Ok(offset), Ok(data)) = (u32::try_from(offset), <[u8; 4]>::try_from(data))
            && offset.is_multiple_of(4)
        {
            self.write_register(offset, u32::from_le_bytes(data));
        }
    }
}

impl fmt::Debug for VirtioMmio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VirtioMmio").field("registers", &self.registers).finish_non_exhaustive()
    }
}

/// A device in the DSDT: `\_SB.VRnn`, LNRO0005.
#[derive(Clone, Copy, Debug)]
pub struct VirtioMmioDescription {
    /// Its number, from 0 to 99.
    pub index: u8,
    /// Guest-physical address of the registers.
    pub base: u32,
    /// The interrupt, edge-triggered and active high.
    pub gsi: u32,
}

impl Aml for VirtioMmioDescription {
    fn to_aml_bytes(&self, sink: &mut dyn AmlSink) {
        let hid = Name::new(Path::new("_HID"), &"LNRO0005");
        let uid = Name::new(Path::new("_UID"), &self.index);
        let coherent = Name::new(Path::new("_CCA"), &1u8);
        let registers = Memory32Fixed::new(true, self.base, SIZE);
        let interrupt = Interrupt::new(true, true, false, false, self.gsi);
        let resources = ResourceTemplate::new(vec![&registers, &interrupt]);
        let resources = Name::new(Path::new("_CRS"), &resources);
        let name = format!("VR{:02}", self.index % 100);
        let device = Device::new(Path::new(&name), vec![&hid, &uid, &coherent, &resources]);
        Scope::new(Path::new("\\_SB_"), vec![&device]).to_aml_bytes(sink);
    }
}

#[cfg(test)]
mod tests;
