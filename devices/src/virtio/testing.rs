//! A driver for tests: it sets a device up through either transport and puts requests into its
//! rings, well-formed or not.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use virtio_bindings::virtio_mmio as register;
use virtio_queue::desc::split::Descriptor;
use vm_device::MutDeviceMmio;
use vm_device::bus::MmioAddress;
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap, Permissions};

use super::chain::Chain;
use super::device::{QueueNotifier, VirtioDevice};
use super::mmio::VirtioMmio;
use super::pci::{self, VirtioPci};
use super::state::VirtioState;
use crate::buffers::Buffers;
use crate::irq::{CountingLine, LevelLine, RecordingSender};
use crate::pci::bar::MemoryBars;
use crate::pci::function::PciFunction;

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

/// A device of two queues that answers with what it is sent.
#[derive(Debug, Default)]
pub(super) struct Echo {
    pub features: AtomicU64,
    pub resets: AtomicUsize,
}

impl VirtioDevice for Echo {
    fn device_id(&self) -> u32 {
        4
    }

    fn features(&self) -> u64 {
        1 << 5
    }

    fn queue_sizes(&self) -> &[u16] {
        &[8, 4]
    }

    fn read_config(&self, offset: u64, data: &mut [u8]) {
        data.fill(u8::try_from(offset & 0xff).unwrap());
    }

    fn write_config(&self, _: u64, _: &[u8]) {}

    fn negotiated(&self, features: u64) {
        self.features.store(features, Ordering::SeqCst);
    }

    fn reset(&self) {
        self.resets.fetch_add(1, Ordering::SeqCst);
    }

    fn serve(&self, _: u16, memory: &GuestMemoryMmap, chain: &Chain) -> Option<u32> {
        let mut bytes = [0; 64];
        let from = Buffers::new(memory, chain.readable(), Permissions::Read);
        let to = Buffers::new(memory, chain.writable(), Permissions::Write);
        let (Some(from), Some(to)) = (from, to) else { return Some(0) };
        let count = from.copy_to(&mut bytes);
        to.copy_from(&bytes[..count]).try_into().ok()
    }
}

/// The registers of a device by the names of memory-mapped ones, whatever its transport.
pub(super) trait Transport: Send {
    /// Connects a device.
    fn new(device: Arc<dyn VirtioDevice>, memory: GuestMemoryMmap, notified: Notified) -> Self;

    fn state(&self) -> &Arc<VirtioState>;

    /// Reads a register.
    fn read(&mut self, register: u32) -> u32;

    /// Writes a register.
    fn write(&mut self, register: u32, value: u32);

    /// How many interrupts there were. A level that stays high counts once.
    fn interrupts(&self) -> usize;

    /// The reset of the machine, and what firmware does after it.
    fn reset_machine(&mut self);
}

pub(super) struct Mmio {
    pub registers: VirtioMmio,
    line: CountingLine,
}

impl Transport for Mmio {
    fn new(device: Arc<dyn VirtioDevice>, memory: GuestMemoryMmap, notified: Notified) -> Self {
        let line = CountingLine::default();
        let registers = VirtioMmio::new(device, memory, Box::new(line.clone()), Box::new(notified));
        Self { registers, line }
    }

    fn state(&self) -> &Arc<VirtioState> {
        self.registers.state()
    }

    fn read(&mut self, register: u32) -> u32 {
        let mut data = [0xaa; 4];
        self.registers.mmio_read(MmioAddress(0), register.into(), &mut data);
        u32::from_le_bytes(data)
    }

    fn write(&mut self, register: u32, value: u32) {
        self.registers.mmio_write(MmioAddress(0), register.into(), &value.to_le_bytes());
    }

    fn interrupts(&self) -> usize {
        self.line.count()
    }

    fn reset_machine(&mut self) {
        self.registers.reset();
    }
}

/// A pin that counts how often it rises.
#[derive(Clone, Default)]
struct CountingPin(Arc<AtomicUsize>);

impl LevelLine for CountingPin {
    fn set(&self, high: bool) {
        self.0.fetch_add(usize::from(high), Ordering::SeqCst);
    }
}

pub(super) struct Pci {
    pub function: VirtioPci,
    pin: CountingPin,
}

impl Pci {
    /// Where a register is in BAR 4, and its width in bytes: `struct virtio_pci_common_cfg`, and
    /// the interrupt status. There is nothing to acknowledge.
    fn place(register: u32) -> Option<(u64, usize)> {
        Some(match register {
            register::VIRTIO_MMIO_DEVICE_FEATURES_SEL => (0x00, 4),
            register::VIRTIO_MMIO_DEVICE_FEATURES => (0x04, 4),
            register::VIRTIO_MMIO_DRIVER_FEATURES_SEL => (0x08, 4),
            register::VIRTIO_MMIO_DRIVER_FEATURES => (0x0c, 4),
            register::VIRTIO_MMIO_STATUS => (0x14, 1),
            register::VIRTIO_MMIO_CONFIG_GENERATION => (0x15, 1),
            register::VIRTIO_MMIO_QUEUE_SEL => (0x16, 2),
            register::VIRTIO_MMIO_QUEUE_NUM_MAX | register::VIRTIO_MMIO_QUEUE_NUM => (0x18, 2),
            register::VIRTIO_MMIO_QUEUE_READY => (0x1c, 2),
            register::VIRTIO_MMIO_QUEUE_DESC_LOW => (0x20, 4),
            register::VIRTIO_MMIO_QUEUE_DESC_HIGH => (0x24, 4),
            register::VIRTIO_MMIO_QUEUE_AVAIL_LOW => (0x28, 4),
            register::VIRTIO_MMIO_QUEUE_AVAIL_HIGH => (0x2c, 4),
            register::VIRTIO_MMIO_QUEUE_USED_LOW => (0x30, 4),
            register::VIRTIO_MMIO_QUEUE_USED_HIGH => (0x34, 4),
            register::VIRTIO_MMIO_INTERRUPT_STATUS => (0x1000, 1),
            register::VIRTIO_MMIO_INTERRUPT_ACK => return None,
            _ => panic!("register {register:#x}"),
        })
    }
}

impl Transport for Pci {
    fn new(device: Arc<dyn VirtioDevice>, memory: GuestMemoryMmap, notified: Notified) -> Self {
        let pin = CountingPin::default();
        let connections = pci::Connections {
            pin: Box::new(pin.clone()),
            messages: Box::new(RecordingSender::default()),
            notifier: Box::new(notified),
        };
        let mut function = VirtioPci::new(device, memory, connections);
        // Memory and bus master.
        function.write_config(4, &[6]);
        Self { function, pin }
    }

    fn state(&self) -> &Arc<VirtioState> {
        self.function.state()
    }

    fn read(&mut self, register: u32) -> u32 {
        let (offset, width) = Self::place(register).unwrap();
        let mut data = [0; 4];
        self.function.read_bar(4, offset, &mut data[..width]);
        u32::from_le_bytes(data)
    }

    fn write(&mut self, register: u32, value: u32) {
        if register == register::VIRTIO_MMIO_QUEUE_NOTIFY {
            // 0x3ff notifications fit into the BAR.
            let offset = pci::NOTIFICATIONS + u64::from(pci::NOTIFICATION_STRIDE * (value & 0x3ff));
            self.function.write_bar(4, offset, &value.to_le_bytes()[..2]);
        } else if let Some((offset, width)) = Self::place(register) {
            self.function.write_bar(4, offset, &value.to_le_bytes()[..width]);
        }
    }

    fn interrupts(&self) -> usize {
        self.pin.0.load(Ordering::SeqCst)
    }

    fn reset_machine(&mut self) {
        self.function.reset();
        self.function.write_config(4, &[6]);
    }
}

pub(super) struct Driver<T = Mmio> {
    pub transport: T,
    pub memory: GuestMemoryMmap,
    pub notified: Notified,
    /// The queue in use, its size, and how many requests were made available in it.
    queue: u32,
    size: u16,
    available: u16,
}

impl<T: Transport> Driver<T> {
    pub fn new(device: Arc<dyn VirtioDevice>) -> Self {
        let (memory, notified) = (memory(), Notified::default());
        let transport = T::new(device, memory.clone(), notified.clone());
        Self { transport, memory, notified, queue: 0, size: 0, available: 0 }
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

    pub fn state(&self) -> &Arc<VirtioState> {
        self.transport.state()
    }

    /// How many interrupts there were.
    pub fn interrupts(&self) -> usize {
        self.transport.interrupts()
    }

    pub fn read(&mut self, register: u32) -> u32 {
        self.transport.read(register)
    }

    pub fn write(&mut self, register: u32, value: u32) {
        self.transport.write(register, value);
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
        self.serve_notified();
    }

    /// Does what the device's threads do: serves the queues that were notified.
    pub fn serve_notified(&mut self) {
        let queues = std::mem::take(&mut *self.notified.0.lock().unwrap());
        for queue in queues {
            self.transport.state().serve(queue);
        }
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
