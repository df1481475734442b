//! A virtio disk by either transport: a guest that does anything at all, and a driver whose
//! requests are compared with a model.
//!
//! An input is a byte that says which transport (bit 0), whether the disk can only be read (bit 1),
//! and whether the driver takes indirect tables (bit 2), EVENT_IDX (bit 3), and a write cache (bit
//! 4); then [`Operation`]s. What breaks the driver's rules costs the device its service until the
//! driver resets it; then everything works again.

use std::sync::Arc;

use arbitrary::{Arbitrary, Result, Unstructured};
use devices::disk::{Disk, DiskOptions, ErrorPolicy};
use devices::virtio::block::Block;
use vm_memory::{Bytes, GuestAddress};

use crate::medium::{Medium, SECTOR, SECTORS};
use crate::virtio::{Access, Guest, TransportKind};
use crate::wire::take_rest;
use crate::{Wire, wire_enum};

/// Most sectors of a request.
const MOST: u8 = 12;

/// A machine with a disk, and what its guest does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// See [`self`].
    pub options: u8,
    /// At most 64, to the end of the input.
    pub operations: Vec<Operation>,
}

/// One thing the guest does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Anything.
    Any {
        /// What.
        access: Access,
    },
    /// A request by the rules, from a driver that sets the device up first where that is necessary.
    /// It is notified with the next one that has an even `wait`.
    Request {
        /// Modulo 8: write twice, read twice, flush, discard, zeros, serial number.
        kind: u8,
        /// The first sector; some are beyond the end.
        sector: u8,
        /// How many sectors.
        count: u8,
        /// What is written.
        value: u8,
        /// How its bytes are divided among buffers.
        layout: u8,
        /// Odd: the next request comes with it.
        wait: u8,
    },
}

wire_enum!(Operation, 2 {
    0 => Any { access },
    1 => Request { kind, sector, count, value, layout, wait },
});

impl<'a> Arbitrary<'a> for Input {
    fn arbitrary(input: &mut Unstructured<'a>) -> Result<Self> {
        Ok(Self { options: u8::take(input)?, operations: take_rest(input, 64)? })
    }
}

impl Input {
    /// The bytes that [`Arbitrary`] makes it of.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![self.options];
        self.operations.iter().for_each(|operation| operation.put(&mut bytes));
        bytes
    }
}

/// The disk's features: FLUSH, DISCARD, WRITE_ZEROES, CONFIG_WCE.
const FEATURES: u64 = 1 << 9 | 1 << 13 | 1 << 14 | 1 << 11;
const SERIAL: &str = "serial";
const STATUS_OK: u8 = 0;
const STATUS_ERROR: u8 = 1;
const STATUS_UNSUPPORTED: u8 = 2;

/// A request in flight: where its answer is, and what it is to be.
struct Expected {
    status: u8,
    status_at: u64,
    data_at: u64,
    /// What is read.
    data: Option<Vec<u8>>,
    written: u32,
    /// The disk after it.
    disk: Vec<u8>,
}

/// How far an input came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reached {
    /// Requests that were answered as the model says.
    pub answers: usize,
    /// Of these, the ones that found no error.
    pub fine: usize,
}

struct Machine {
    guest: Guest,
    medium: Medium,
    options: u8,
    pending: Vec<Expected>,
    reached: Reached,
}

/// Does what the input says.
///
/// # Panics
/// The disk's content or an answer is not what the model has, or the device does not come back
/// after a reset.
pub fn run(input: &Input) -> Reached {
    let options = input.options;
    let medium = Medium::new(options & 2 != 0);
    let disk = Disk::new(
        Box::new(medium.clone()),
        DiskOptions {
            serial: SERIAL.into(),
            write_cache: options & 16 != 0,
            // A model of a medium that never fails needs no policy.
            errors: ErrorPolicy::default(),
            observer: Box::new(|_| {}),
        },
    );
    let kind = if options & 1 == 0 { TransportKind::Mmio } else { TransportKind::Pci };
    let guest = Guest::new(Arc::new(Block::new(Arc::new(disk), 1)), kind);
    let mut machine =
        Machine { guest, medium, options, pending: Vec::new(), reached: Reached::default() };
    for operation in &input.operations {
        machine.step(operation);
    }
    machine.finish_pending();
    machine.reached
}

impl Machine {
    fn step(&mut self, operation: &Operation) {
        match operation {
            Operation::Any { access } => {
                self.finish_pending();
                self.guest.access(access);
            }
            Operation::Request { kind, sector, count, value, layout, wait } => {
                self.request(*kind, *sector, *count, *value, *layout);
                if wait % 2 == 0 || self.pending.len() == Guest::SLOTS {
                    self.finish_pending();
                }
            }
        }
    }

    fn request(&mut self, kind: u8, sector: u8, count: u8, value: u8, layout: u8) {
        if self.guest.needs_set_up() {
            let ring =
                u64::from(self.options & 4 != 0) << 28 | u64::from(self.options & 8 != 0) << 29;
            self.guest.set_up(FEATURES | ring, &[0]);
        }
        let mut disk = match self.pending.last() {
            Some(last) => last.disk.clone(),
            None => self.medium.bytes.lock().unwrap().clone(),
        };
        let (sector, count) = (u64::from(sector) % (SECTORS + 8), u64::from(count % (MOST + 1)));
        let len = (count * SECTOR) as usize;
        let is_inside = sector + count <= SECTORS;
        let place = |at: u64| at as usize..at as usize + len;
        let mut data = None;
        let (code, mut readable, writable) = match kind % 8 {
            0 | 1 => (1, vec![value; len], 0),
            2 | 3 => (0, Vec::new(), len),
            4 => (4, Vec::new(), 0),
            5 | 6 => {
                let mut range = sector.to_le_bytes().to_vec();
                range.extend((count as u32).to_le_bytes());
                range.extend(u32::from(kind % 8 == 6 && value & 1 != 0).to_le_bytes());
                (if kind % 8 == 5 { 11 } else { 13 }, range, 0)
            }
            _ => (8, Vec::new(), 20),
        };
        let is_write = matches!(code, 1 | 11 | 13);
        let mut status = STATUS_OK;
        if is_write && self.medium.read_only && matches!(code, 11 | 13) {
            // A disk that can only be read offers neither.
            status = STATUS_UNSUPPORTED;
        } else if is_write && self.medium.read_only || matches!(code, 0 | 1 | 11 | 13) && !is_inside
        {
            status = STATUS_ERROR;
        } else {
            match code {
                1 => disk[place(sector * SECTOR)].fill(value),
                0 => data = Some(disk[place(sector * SECTOR)].to_vec()),
                11 | 13 => disk[place(sector * SECTOR)].fill(0),
                8 => {
                    let mut id = SERIAL.as_bytes().to_vec();
                    id.resize(20, 0);
                    data = Some(id);
                }
                _ => {}
            }
        }
        let mut header = u32::to_le_bytes(code).to_vec();
        header.extend([0; 4]);
        header.extend(sector.to_le_bytes());
        header.append(&mut readable);
        let [data_at, status_at] = self.guest.submit(0, &header, writable as u32 + 1, layout);
        let written = writable as u32 + 1;
        self.pending.push(Expected { status, status_at, data_at, data, written, disk });
    }

    /// Has the requests in flight answered, and compares.
    fn finish_pending(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        self.guest.kick(0);
        let answers = self.guest.take_used(0);
        assert_eq!(answers.len(), self.pending.len(), "requests without an answer");
        for (expected, written) in self.pending.iter().zip(answers) {
            assert_eq!(self.guest.byte(expected.status_at), expected.status);
            assert_eq!(written, expected.written);
            if let Some(data) = &expected.data {
                let mut found = vec![0; data.len()];
                let at = GuestAddress(expected.data_at);
                self.guest.memory.read_slice(&mut found, at).unwrap();
                assert!(found == *data, "something else is read");
            }
            self.reached.answers += 1;
            self.reached.fine += usize::from(expected.status == STATUS_OK);
        }
        let last = self.pending.pop().unwrap();
        assert!(*self.medium.bytes.lock().unwrap() == last.disk, "the disk has something else");
        self.pending.clear();
    }
}
