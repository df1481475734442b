//! A guest with one virtio device behind either transport. It can write anything anywhere, and it
//! has a driver that follows the rules.

use std::fmt;
use std::num::Wrapping;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use devices::irq::{IrqLine, LevelLine, RecordingSender};
use devices::pci::bar::MemoryBars;
use devices::pci::function::PciFunction;
use devices::virtio::device::{QueueNotifier, VirtioDevice};
use devices::virtio::mmio::VirtioMmio;
use devices::virtio::pci::{self, VirtioPci};
use devices::virtio::state::VirtioState;
use vm_device::MutDeviceMmio;
use vm_device::bus::MmioAddress;
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

use crate::wire_enum;

/// Bytes of RAM.
const RAM: u64 = 0x9_0000;
/// Descriptors of a queue, and of a request.
const SIZE: u16 = 64;
const SLOT_DESCRIPTORS: u16 = 16;
/// Most pieces of a request's readable part, and of its writable one.
const MOST_PIECES: usize = 7;

const NEXT: u16 = 1;
const WRITE: u16 = 2;
const INDIRECT: u16 = 4;
const VERSION_1: u64 = 1 << 32;
const INDIRECT_DESC: u64 = 1 << 28;
const EVENT_IDX: u64 = 1 << 29;
const FEATURES_OK: u32 = 8;

/// Which transport a device has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransportKind {
    /// Registers in memory.
    Mmio,
    /// A PCI function.
    Pci,
}

enum Transport {
    Mmio(VirtioMmio),
    Pci(Box<VirtioPci>),
}

/// Registers: offset of a memory-mapped one, offset in BAR 4, and width there.
type Register = (u64, u64, usize);
const DRIVER_FEATURES_SELECT: Register = (0x24, 0x08, 4);
const DRIVER_FEATURES: Register = (0x20, 0x0c, 4);
const DEVICE_FEATURES_SELECT: Register = (0x14, 0x00, 4);
const DEVICE_FEATURES: Register = (0x10, 0x04, 4);
const STATUS: Register = (0x70, 0x14, 1);
const QUEUE_SELECT: Register = (0x30, 0x16, 2);
const QUEUE_SIZE: Register = (0x38, 0x18, 2);
const QUEUE_ENABLE: Register = (0x44, 0x1c, 2);
const QUEUE_TABLE: Register = (0x80, 0x20, 4);
const QUEUE_AVAILABLE: Register = (0x90, 0x28, 4);
const QUEUE_USED: Register = (0xa0, 0x30, 4);
const INTERRUPT_STATUS: Register = (0x60, 0x1000, 1);

/// Which queues were notified.
#[derive(Clone, Debug, Default)]
struct Notified(Arc<Mutex<Vec<u16>>>);

impl QueueNotifier for Notified {
    fn notify(&self, queue: u16) {
        self.0.lock().unwrap().push(queue);
    }
}

/// One thing that a guest does to a device, by the rules or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// A write to a space: 0 registers, 1 PCI's configuration space, 2 MSI-X's table.
    Out {
        /// Modulo 3; memory-mapped devices have registers only.
        space: u8,
        /// Where.
        offset: u16,
        /// Bytes, modulo 5.
        width: u8,
        /// What, little-endian.
        value: u32,
    },
    /// A read of a space.
    In {
        /// As in `Out`.
        space: u8,
        /// As in `Out`.
        offset: u16,
        /// As in `Out`.
        width: u8,
    },
    /// A write to memory.
    Poke {
        /// Where, modulo the memory's size.
        at: u32,
        /// What.
        bytes: Vec<u8>,
    },
    /// A queue is notified and served, whatever is in it.
    Notify {
        /// The queue's number, which need not exist.
        queue: u8,
    },
    /// The reset of the machine.
    Reset {},
}

wire_enum!(Access, 5 {
    0 => Out { space, offset, width, value },
    1 => In { space, offset, width },
    2 => Poke { at, bytes },
    3 => Notify { queue },
    4 => Reset {},
});

/// Counts interrupts.
#[derive(Clone, Debug, Default)]
struct Line(Arc<AtomicUsize>);

impl IrqLine for Line {
    fn pulse(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl LevelLine for Line {
    fn set(&self, high: bool) {
        self.0.fetch_add(usize::from(high), Ordering::SeqCst);
    }
}

/// What stands between the driver and a device that works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    /// Nothing.
    Works,
    /// The driver has to reset the device.
    Broken,
    /// The machine has to be reset: configuration space or MSI-X's table were written to.
    Lost,
}

/// What the driver knows of a queue.
#[derive(Clone, Debug, Default)]
struct Queue {
    made: Wrapping<u16>,
    published: Wrapping<u16>,
    used: Wrapping<u16>,
    /// Slots in flight, in order.
    slots: Vec<u16>,
    next_slot: u16,
}

/// A guest.
pub struct Guest {
    /// Its memory.
    pub memory: GuestMemoryMmap,
    transport: Transport,
    notified: Notified,
    line: Line,
    state: State,
    features: u64,
    queues: Vec<Queue>,
}

impl fmt::Debug for Guest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guest").field("state", &self.state).finish_non_exhaustive()
    }
}

impl Guest {
    /// Requests of a queue that can be in flight.
    pub const SLOTS: usize = 4;
    /// Most bytes of a request's readable part, and of its writable one.
    pub const MOST: usize = 0x2800;

    /// A guest with this device.
    pub fn new(device: Arc<dyn VirtioDevice>, kind: TransportKind) -> Self {
        let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), RAM as usize)]).unwrap();
        let (notified, line) = (Notified::default(), Line::default());
        let queues = vec![Queue::default(); device.queue_sizes().len()];
        let notifier = Box::new(notified.clone());
        let transport = match kind {
            TransportKind::Mmio => Transport::Mmio(VirtioMmio::new(
                device,
                memory.clone(),
                Box::new(line.clone()),
                notifier,
            )),
            TransportKind::Pci => {
                let connections = pci::Connections {
                    pin: Box::new(line.clone()),
                    messages: Box::new(RecordingSender::default()),
                    notifier,
                };
                Transport::Pci(Box::new(VirtioPci::new(device, memory.clone(), connections)))
            }
        };
        Self { memory, transport, notified, line, state: State::Lost, features: 0, queues }
    }

    fn device(&self) -> &Arc<VirtioState> {
        match &self.transport {
            Transport::Mmio(registers) => registers.state(),
            Transport::Pci(function) => function.state(),
        }
    }

    // What breaks every rule.

    /// Does anything.
    pub fn access(&mut self, access: &Access) {
        match access {
            Access::Out { space, offset, width, value } => {
                self.out(*space, *offset, *width, *value)
            }
            Access::In { space, offset, width } => self.read(*space, *offset, *width),
            Access::Poke { at, bytes } => {
                // As far as there is memory.
                let _ = self.memory.write(bytes, GuestAddress(u64::from(*at) % RAM));
                self.state = self.state.max(State::Broken);
            }
            Access::Notify { queue } => {
                self.write_notification((*queue).into());
                self.serve_notified();
            }
            Access::Reset {} => self.reset_machine(),
        }
    }

    fn out(&mut self, space: u8, offset: u16, width: u8, value: u32) {
        let bytes = &value.to_le_bytes()[..usize::from(width % 5)];
        let offset = u64::from(offset);
        match &mut self.transport {
            Transport::Mmio(registers) => {
                registers.mmio_write(MmioAddress(0), offset % 0x200, bytes);
                self.state = self.state.max(State::Broken);
            }
            Transport::Pci(function) => match space % 3 {
                0 => {
                    function.write_bar(4, offset % 0x4000, bytes);
                    self.state = self.state.max(State::Broken);
                }
                1 => {
                    let offset = offset as u8;
                    let room = 256 - usize::from(offset);
                    function.write_config(offset, &bytes[..bytes.len().min(room)]);
                    self.state = State::Lost;
                }
                _ => {
                    function.write_bar(1, offset % 0x1000, bytes);
                    self.state = State::Lost;
                }
            },
        }
        self.serve_notified();
    }

    fn read(&mut self, space: u8, offset: u16, width: u8) {
        let mut bytes = [0; 4];
        let bytes = &mut bytes[..usize::from(width % 5)];
        let offset = u64::from(offset);
        match &mut self.transport {
            Transport::Mmio(registers) => {
                registers.mmio_read(MmioAddress(0), offset % 0x200, bytes);
            }
            Transport::Pci(function) => match space % 3 {
                0 => function.read_bar(4, offset % 0x4000, bytes),
                1 => {
                    let offset = offset as u8;
                    let len = bytes.len().min(256 - usize::from(offset));
                    function.read_config(offset, &mut bytes[..len]);
                }
                _ => function.read_bar(1, offset % 0x1000, bytes),
            },
        }
        self.serve_notified();
    }

    fn reset_machine(&mut self) {
        match &mut self.transport {
            Transport::Mmio(registers) => registers.reset(),
            Transport::Pci(function) => {
                function.reset();
                // Memory and bus master, as firmware has it.
                function.write_config(4, &[6]);
            }
        }
        self.notified.0.lock().unwrap().clear();
        self.state = State::Broken;
    }

    // A driver that keeps the rules.

    fn set(&mut self, (mmio, bar, width): Register, value: u32) {
        let bytes = value.to_le_bytes();
        match &mut self.transport {
            Transport::Mmio(registers) => registers.mmio_write(MmioAddress(0), mmio, &bytes),
            Transport::Pci(function) => function.write_bar(4, bar, &bytes[..width]),
        }
    }

    fn get(&mut self, (mmio, bar, width): Register) -> u32 {
        let mut bytes = [0; 4];
        match &mut self.transport {
            Transport::Mmio(registers) => registers.mmio_read(MmioAddress(0), mmio, &mut bytes),
            Transport::Pci(function) => function.read_bar(4, bar, &mut bytes[..width]),
        }
        u32::from_le_bytes(bytes)
    }

    /// Whether the driver has to set the device up before it can make requests.
    pub fn needs_set_up(&self) -> bool {
        self.state != State::Works
    }

    /// Resets the device and sets it up with these queues (virtio 1.2, 3.1.1), taking what is
    /// offered of these features.
    pub fn set_up(&mut self, features: u64, queues: &[u16]) {
        if self.state == State::Lost {
            self.reset_machine();
        }
        self.set(STATUS, 0);
        assert_eq!(self.get(STATUS), 0, "a reset is done when it can be read");
        self.set(STATUS, 1);
        self.set(STATUS, 3);
        let mut accepted = 0;
        for half in 0..2u32 {
            self.set(DEVICE_FEATURES_SELECT, half);
            let wanted = ((features | VERSION_1) >> (32 * half)) as u32;
            let taken = self.get(DEVICE_FEATURES) & wanted;
            self.set(DRIVER_FEATURES_SELECT, half);
            self.set(DRIVER_FEATURES, taken);
            accepted |= u64::from(taken) << (32 * half);
        }
        self.set(STATUS, 11);
        assert_eq!(self.get(STATUS) & FEATURES_OK, FEATURES_OK, "the features are accepted");
        self.features = accepted;
        for &queue in queues {
            self.queues[usize::from(queue)] = Queue::default();
            self.memory.write_slice(&[0; 0x2000], GuestAddress(Self::ring(queue))).unwrap();
            self.set(QUEUE_SELECT, queue.into());
            self.set(QUEUE_SIZE, SIZE.into());
            let places = [(QUEUE_TABLE, 0), (QUEUE_AVAILABLE, 0x1000), (QUEUE_USED, 0x1800)];
            for ((mmio, bar, width), offset) in places {
                self.set((mmio, bar, width), (Self::ring(queue) + offset) as u32);
                self.set((mmio + 4, bar + 4, width), 0);
            }
            self.set(QUEUE_ENABLE, 1);
        }
        self.set(STATUS, 15);
        self.notified.0.lock().unwrap().clear();
        self.state = State::Works;
    }

    /// An event of the device's own, for which its thread serves a queue.
    pub fn event(&mut self, queue: u16) {
        self.device().serve(queue);
    }

    fn ring(queue: u16) -> u64 {
        0x1000 + 0x2000 * u64::from(queue)
    }

    fn slot(queue: u16, slot: u16) -> u64 {
        0x1_0000 + 0x8000 * (u64::from(slot) + 4 * u64::from(queue))
    }

    /// Makes a request of these bytes and as many that the device writes available; its pieces
    /// depend on `layout`. Returns where the writable bytes are, and the last one of them.
    pub fn submit(&mut self, queue: u16, readable: &[u8], writable: u32, layout: u8) -> [u64; 2] {
        let state = &mut self.queues[usize::from(queue)];
        let slot = state.next_slot;
        state.next_slot = (slot + 1) % Self::SLOTS as u16;
        state.slots.push(slot);
        let area = Self::slot(queue, slot);
        let (from, to) = (area, area + 0x2800);
        self.memory.write_slice(readable, GuestAddress(from)).unwrap();
        self.memory.write_slice(&vec![0xee; writable as usize], GuestAddress(to)).unwrap();
        let mut pieces = Vec::new();
        let mut random = u32::from(layout);
        for (start, len, flags) in [(from, readable.len() as u32, 0), (to, writable, WRITE)] {
            let (mut at, end) = (start, start + u64::from(len));
            for piece in 0..MOST_PIECES {
                random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let most =
                    if piece + 1 == MOST_PIECES { u64::MAX } else { Self::piece(layout, random) };
                let now = most.min(end - at);
                if now > 0 {
                    pieces.push((at, now as u32, flags));
                }
                at += now;
            }
        }
        let first = slot * SLOT_DESCRIPTORS;
        let is_indirect = self.features & INDIRECT_DESC != 0 && layout & 1 != 0;
        let (table, base) =
            if is_indirect { (area + 0x5000, 0) } else { (Self::ring(queue), first) };
        for (index, (at, len, flags)) in (base..).zip(&pieces) {
            let is_last = usize::from(index - base) + 1 == pieces.len();
            let flags = flags | if is_last { 0 } else { NEXT };
            self.descriptor(table, index, (*at, *len, flags, index + 1));
        }
        if is_indirect {
            let len = 16 * pieces.len() as u32;
            self.descriptor(Self::ring(queue), first, (table, len, INDIRECT, 0));
        }
        let state = &mut self.queues[usize::from(queue)];
        let entry = Self::ring(queue) + 0x1004 + 2 * u64::from(state.made.0 % SIZE);
        state.made += 1;
        self.memory.write_obj(first, GuestAddress(entry)).unwrap();
        [to, to + u64::from(writable.max(1)) - 1]
    }

    /// How long a piece is at most.
    fn piece(layout: u8, random: u32) -> u64 {
        match layout >> 1 & 3 {
            0 => u64::MAX,
            1 => 16,
            2 => u64::from(random >> 16) % 40 + 1,
            _ => u64::from(random >> 16) % 2000 + 1,
        }
    }

    fn descriptor(&self, table: u64, index: u16, (at, len, flags, next): (u64, u32, u16, u16)) {
        let mut bytes = at.to_le_bytes().to_vec();
        bytes.extend(len.to_le_bytes());
        bytes.extend(flags.to_le_bytes());
        bytes.extend(next.to_le_bytes());
        self.memory.write_slice(&bytes, GuestAddress(table + 16 * u64::from(index))).unwrap();
    }

    fn word(&self, at: u64) -> u16 {
        self.memory.read_obj(GuestAddress(at)).unwrap()
    }

    /// A byte of memory.
    pub fn byte(&self, at: u64) -> u8 {
        self.memory.read_obj(GuestAddress(at)).unwrap()
    }

    /// Shows the device what was made available, and notifies it if it wants that.
    pub fn kick(&mut self, queue: u16) {
        let ring = Self::ring(queue);
        let state = &mut self.queues[usize::from(queue)];
        let (old, new) = (state.published, state.made);
        state.published = new;
        let used = state.used;
        self.memory.write_obj(new.0, GuestAddress(ring + 0x1002)).unwrap();
        let wants = if self.features & EVENT_IDX == 0 {
            self.word(ring + 0x1800) & 1 == 0
        } else {
            // The next answer is to be an interrupt.
            let event = GuestAddress(ring + 0x1004 + 2 * u64::from(SIZE));
            self.memory.write_obj(used.0, event).unwrap();
            let event = Wrapping(self.word(ring + 0x1804 + 8 * u64::from(SIZE)));
            new - event - Wrapping(1) < new - old
        };
        if wants {
            self.write_notification(queue);
        }
        self.serve_notified();
    }

    /// What the device has written of each request that is in flight, in order.
    ///
    /// # Panics
    /// The answers are not those of these requests in this order, or there was no interrupt.
    pub fn take_used(&mut self, queue: u16) -> Vec<u32> {
        let ring = Self::ring(queue);
        let end = Wrapping(self.word(ring + 0x1802));
        let mut answers = Vec::new();
        while self.queues[usize::from(queue)].used != end {
            let state = &mut self.queues[usize::from(queue)];
            let at = ring + 0x1804 + 8 * u64::from(state.used.0 % SIZE);
            state.used += 1;
            assert!(!state.slots.is_empty(), "an answer without a request");
            let head = u32::from(state.slots.remove(0) * SLOT_DESCRIPTORS);
            let read = |at| self.memory.read_obj::<u32>(GuestAddress(at)).unwrap();
            assert_eq!(read(at), head, "the answer of another request");
            answers.push(read(at + 4));
        }
        if !answers.is_empty() {
            let status = self.get(INTERRUPT_STATUS);
            assert_eq!(status & 1, 1, "no interrupt for an answer");
            assert!(self.line.0.swap(0, Ordering::SeqCst) > 0, "the line did not rise");
            if matches!(self.transport, Transport::Mmio(_)) {
                self.set((0x64, 0, 0), status);
            }
        }
        answers
    }

    fn write_notification(&mut self, queue: u16) {
        match &mut self.transport {
            Transport::Mmio(registers) => {
                registers.mmio_write(MmioAddress(0), 0x50, &u32::from(queue).to_le_bytes());
            }
            Transport::Pci(function) => {
                let stride = u64::from(pci::NOTIFICATION_STRIDE);
                let at = pci::NOTIFICATIONS + stride * u64::from(queue);
                function.write_bar(4, at, &queue.to_le_bytes());
            }
        }
    }

    /// Does what the device's threads do.
    fn serve_notified(&mut self) {
        let queues = std::mem::take(&mut *self.notified.0.lock().unwrap());
        for queue in queues {
            self.device().serve(queue);
        }
    }
}
