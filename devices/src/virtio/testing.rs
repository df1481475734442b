//! A driver for tests: it sets a device up through memory-mapped registers and puts requests into
//! its rings, well-formed or not.

use std::sync::{Arc, Mutex};

use virtio_bindings::virtio_mmio as register;
use virtio_queue::desc::split::Descriptor;
use vm_device::MutDeviceMmio;
use vm_device::bus::MmioAddress;
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

use super::device::{QueueNotifier, VirtioDevice};
use super::mmio::VirtioMmio;
use crate::irq::CountingLine;

// Flags of a descriptor: VRING_DESC_F_*.
pub(super) const NEXT: u16 = 1;
pub(super) const WRITE: u16 = 2;
pub(super) const INDIRECT: u16 = 4;
pub(super) const VERSION_1: u64 = 1 << 32;
pub(super) const INDIRECT_DESC: u64 = 1 << 28;
pub(super) const EVENT_IDX: u64 = 1 << 29;

/// RAM; there is nothing above.
pub(super) const RAM: u64 = 0x10_0000;
pub(super) const DESCRIPTORS: u64 = 0x1000;
pub(super) const AVAILABLE: u64 = 0x3000;
pub(super) const USED: u64 = 0x4000;
/// Where indirect tables are put.
pub(super) const TABLE: u64 = 0x8000;

pub(super) fn memory() -> GuestMemoryMmap {
    GuestMemoryMmap::from_ranges(&[(GuestAddress(0), usize::try_from(RAM).unwrap())]).unwrap()
}

/// Notes which queues were notified.
#[derive(Clone, Debug, Default)]
pub(super) struct Notified(pub Arc<Mutex<Vec<u16>>>);

impl QueueNotifier for Notified {
    fn notify(&self, queue: u16) {
        self.0.lock().unwrap().push(queue);
    }
}

pub(super) struct Driver {
    pub mmio: VirtioMmio,
    pub memory: GuestMemoryMmap,
    pub line: CountingLine,
    pub notified: Notified,
    /// The queue in use, its size, and how many requests were made available in it.
    queue: u32,
    size: u16,
    available: u16,
}

impl Driver {
    pub fn new(device: Arc<dyn VirtioDevice>) -> Self {
        let (memory, line, notified) = (memory(), CountingLine::default(), Notified::default());
        let mmio = VirtioMmio::new(
            device,
            memory.clone(),
            Box::new(line.clone()),
            Box::new(notified.clone()),
        );
        Self { mmio, memory, line, notified, queue: 0, size: 0, available: 0 }
    }

    /// A device that is set up, with one queue of `size`.
    pub fn started(device: Arc<dyn VirtioDevice>, features: u64, size: u16) -> Self {
        let mut driver = Self::new(device);
        driver.start(features, size);
        driver
    }

    /// The steps of virtio 1.2, 3.1.1.
    pub fn start(&mut self, features: u64, size: u16) {
        self.negotiate(features);
        assert_eq!(self.status() & 8, 8, "FEATURES_OK");
        self.set_up_queue(0, size);
        self.write(register::VIRTIO_MMIO_STATUS, 15);
    }

    pub fn negotiate(&mut self, features: u64) {
        self.write(register::VIRTIO_MMIO_STATUS, 0);
        self.write(register::VIRTIO_MMIO_STATUS, 1);
        self.write(register::VIRTIO_MMIO_STATUS, 3);
        for half in 0..2 {
            self.write(register::VIRTIO_MMIO_DRIVER_FEATURES_SEL, half);
            let bits = u32::try_from(features >> (32 * half) & 0xffff_ffff).unwrap();
            self.write(register::VIRTIO_MMIO_DRIVER_FEATURES, bits);
        }
        self.write(register::VIRTIO_MMIO_STATUS, 11);
    }

    pub fn set_up_queue(&mut self, queue: u32, size: u16) {
        self.memory.write_slice(&[0; 0x4000], GuestAddress(DESCRIPTORS)).unwrap();
        (self.queue, self.size, self.available) = (queue, size, 0);
        self.place_queue(queue, size.into(), [DESCRIPTORS, AVAILABLE, USED]);
    }

    /// Sets a queue up at any addresses, and enables it.
    pub fn place_queue(&mut self, queue: u32, size: u32, [table, available, used]: [u64; 3]) {
        self.write(register::VIRTIO_MMIO_QUEUE_SEL, queue);
        self.write(register::VIRTIO_MMIO_QUEUE_NUM, size);
        for (register, address) in [
            (register::VIRTIO_MMIO_QUEUE_DESC_LOW, table),
            (register::VIRTIO_MMIO_QUEUE_AVAIL_LOW, available),
            (register::VIRTIO_MMIO_QUEUE_USED_LOW, used),
        ] {
            self.write(register, (address & 0xffff_ffff) as u32);
            self.write(register + 4, (address >> 32) as u32);
        }
        self.write(register::VIRTIO_MMIO_QUEUE_READY, 1);
    }

    pub fn read(&mut self, register: u32) -> u32 {
        let mut data = [0xaa; 4];
        self.mmio.mmio_read(MmioAddress(0), register.into(), &mut data);
        u32::from_le_bytes(data)
    }

    pub fn write(&mut self, register: u32, value: u32) {
        self.mmio.mmio_write(MmioAddress(0), register.into(), &value.to_le_bytes());
    }

    pub fn status(&mut self) -> u32 {
        self.read(register::VIRTIO_MMIO_STATUS)
    }

    /// The interrupt status, acknowledged.
    pub fn take_interrupts(&mut self) -> u32 {
        let status = self.read(register::VIRTIO_MMIO_INTERRUPT_STATUS);
        self.write(register::VIRTIO_MMIO_INTERRUPT_ACK, status);
        status
    }

    /// Puts a descriptor into a table.
    pub fn descriptor(&self, table: u64, index: u16, (at, len, flags, next): (u64, u32, u16, u16)) {
        let at_table = GuestAddress(table + 16 * u64::from(index));
        self.memory.write_obj(Descriptor::new(at, len, flags, next), at_table).unwrap();
    }

    /// Puts a chain of buffers (address, length, flags) into the table from descriptor 0 on.
    pub fn chain(&self, buffers: &[(u64, u32, u16)]) {
        for (index, &(at, len, flags)) in (0..).zip(buffers) {
            let more = usize::from(index) + 1 < buffers.len();
            let flags = flags | if more { NEXT } else { 0 };
            self.descriptor(DESCRIPTORS, index, (at, len, flags, index + 1));
        }
    }

    /// Makes a request available, and does not notify the device.
    pub fn offer(&mut self, head: u16) {
        let slot = AVAILABLE + 4 + 2 * u64::from(self.available % self.size);
        self.memory.write_obj(head, GuestAddress(slot)).unwrap();
        self.available = self.available.wrapping_add(1);
        self.set_available(self.available);
    }

    pub fn set_available(&self, index: u16) {
        self.memory.write_obj(index, GuestAddress(AVAILABLE + 2)).unwrap();
    }

    /// Notifies the device and has the queue served.
    pub fn kick(&mut self) {
        self.write(register::VIRTIO_MMIO_QUEUE_NOTIFY, self.queue);
        let queues = std::mem::take(&mut *self.notified.0.lock().unwrap());
        queues.into_iter().for_each(|queue| self.mmio.state().serve(queue));
    }

    /// Makes the chain from descriptor 0 on available, has it served, and returns how many bytes
    /// were written. `None`: it was not answered.
    pub fn request(&mut self, buffers: &[(u64, u32, u16)]) -> Option<u32> {
        self.chain(buffers);
        let before = self.used_index();
        self.offer(0);
        self.kick();
        (self.used_index() == before.wrapping_add(1)).then(|| {
            let (head, len) = self.used(before);
            assert_eq!(head, 0);
            len
        })
    }

    pub fn used_index(&self) -> u16 {
        self.memory.read_obj(GuestAddress(USED + 2)).unwrap()
    }

    /// An entry of the used ring: head and length.
    pub fn used(&self, index: u16) -> (u32, u32) {
        let at = USED + 4 + 8 * u64::from(index % self.size);
        let read = |at| self.memory.read_obj(GuestAddress(at)).unwrap();
        (read(at), read(at + 4))
    }

    pub fn put(&self, at: u64, bytes: &[u8]) {
        self.memory.write_slice(bytes, GuestAddress(at)).unwrap();
    }

    pub fn get<const N: usize>(&self, at: u64) -> [u8; N] {
        let mut bytes = [0; N];
        self.memory.read_slice(&mut bytes, GuestAddress(at)).unwrap();
        bytes
    }
}
