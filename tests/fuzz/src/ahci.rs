//! A SATA controller with a disk: a guest that does anything at all to its registers, its
//! configuration space and the memory it reads, and a driver that finds it in order afterwards.
//!
//! An input is a list of operations of six bytes, at most 256: what ([`run`]), where, and a value,
//! little-endian.

use std::sync::Arc;

use devices::ahci::{Ahci, Connections, PORTS, PortNotifier, REGISTER_BAR};
use devices::ata::AtaDevice;
use devices::ata::disk::AtaDisk;
use devices::disk::{Disk, DiskOptions, ErrorPolicy};
use devices::irq::{RecordingLine, RecordingSender};
use devices::pci::bar::MemoryBars;
use devices::pci::function::PciFunction;
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

use crate::medium::{Medium, SECTOR};

/// Bytes of memory; what the driver uses is at the start of it.
const RAM: usize = 1 << 20;
const LIST: u32 = 0x1000;
const FRAMES: u32 = 0x2000;
const TABLE: u32 = 0x3000;
const DATA: u32 = 0x4000;
/// The registers of port 0.
const PORT: u64 = 0x100;
/// Most operations of an input.
const MOST: usize = 256;

struct Nobody;

impl PortNotifier for Nobody {
    fn notify(&self, _: u8) {}
}

struct Machine {
    ahci: Ahci,
    memory: GuestMemoryMmap,
    medium: Medium,
}

impl Machine {
    fn new() -> Self {
        let medium = Medium::new(false);
        let options = DiskOptions {
            serial: String::new(),
            write_cache: true,
            // A model of a medium that never fails needs no policy.
            errors: ErrorPolicy::default(),
            observer: Box::new(|_| {}),
        };
        let disk = Arc::new(Disk::new(Box::new(medium.clone()), options));
        let mut drives: [Option<Arc<dyn AtaDevice>>; PORTS] = Default::default();
        drives[0] = Some(Arc::new(AtaDisk::new(disk, "serial".into())));
        let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), RAM)]).unwrap();
        let connections = Connections {
            pin: Box::new(RecordingLine::default()),
            messages: Box::new(RecordingSender::default()),
            notifier: Box::new(Nobody),
        };
        let ahci = Ahci::new(drives, memory.clone(), connections);
        Self { ahci, memory, medium }
    }

    fn write(&mut self, register: u64, value: u32) {
        self.ahci.write_bar(REGISTER_BAR.number, register, &value.to_le_bytes());
    }

    fn read(&mut self, register: u64) -> u32 {
        let mut data = [0; 4];
        self.ahci.read_bar(REGISTER_BAR.number, register, &mut data);
        u32::from_le_bytes(data)
    }

    fn put(&self, at: u32, value: u32) {
        // Most addresses are in memory.
        let _ = self.memory.write_obj(value, GuestAddress(at.into()));
    }

    /// Resets the controller, and starts port 0.
    fn set_up(&mut self) {
        self.write(0x04, 1);
        self.ahci.write_config(0x04, &[0x06, 0]);
        self.write(0x04, 2);
        for (register, value) in
            [(0x00, LIST), (0x04, 0), (0x08, FRAMES), (0x0c, 0), (0x14, u32::MAX), (0x18, 0x11)]
        {
            self.write(PORT + register, value);
        }
        self.write(PORT + 0x10, u32::MAX);
    }

    /// Puts a command with one buffer into slot 0, and issues it. `queued`: by NCQ.
    fn command(&mut self, code: u8, sector: u8, count: u8) {
        let bytes = u32::from(count.max(1)) * SECTOR as u32;
        for (at, value) in [(0, 5 | 1 << 16), (4, 0), (8, TABLE), (12, 0)] {
            self.put(LIST + at, value);
        }
        let is_queued = matches!(code, 0x60 | 0x61);
        let (features, sectors) = if is_queued { (count, 0) } else { (0, count) };
        let frame = [
            u32::from_le_bytes([0x27, 0x80, code, features]),
            u32::from_le_bytes([sector, 0, 0, 0x40]),
            0,
            sectors.into(),
            0,
        ];
        for (at, value) in (0..).step_by(4).zip(frame) {
            self.put(TABLE + at, value);
        }
        for (at, value) in [(0x80, DATA), (0x84, 0), (0x8c, bytes - 1)] {
            self.put(TABLE + at, value);
        }
        if is_queued {
            self.write(PORT + 0x34, 1);
        }
        self.write(PORT + 0x38, 1);
    }

    fn step(&mut self, [what, place, value @ ..]: [u8; 6]) {
        let value = u32::from_le_bytes(value);
        match what % 8 {
            0 => self.write(PORT + u64::from(place % 0x20) * 4, value),
            1 => self.write(u64::from(place) * 16, value),
            2 => {
                self.read(u64::from(place) * 4);
            }
            3 => self.ahci.write_config(place & !3, &value.to_le_bytes()),
            // Where the driver has its structures, words become something else.
            4 => self.put(LIST + u32::from(place) * 4, value),
            5 => self.put(TABLE + u32::from(place) * 4, value),
            6 => {
                let [code, sector, count, _] = value.to_le_bytes();
                self.command(code, sector, count);
            }
            _ => self.set_up(),
        }
        if place % 2 == 0 {
            assert!(!self.ahci.hba().serve(0), "nothing is ever held");
        }
    }

    /// A driver that resets the controller can read the disk.
    fn check(&mut self) {
        self.set_up();
        self.command(0x25, 3, 2);
        self.ahci.hba().serve(0);
        assert_eq!(self.read(PORT + 0x38), 0, "the command has not ended");
        let mut found = [0; 1024];
        self.memory.read_slice(&mut found, GuestAddress(DATA.into())).unwrap();
        let expected = self.medium.with(3 * SECTOR, 1024, |bytes| bytes.to_vec());
        assert!(found[..] == expected[..], "something else is read");
    }
}

/// Does what the input says. Returns how many operations there were.
///
/// # Panics
/// The controller does not come back after a reset, or reads something else.
pub fn run(input: &[u8]) -> usize {
    let mut machine = Machine::new();
    machine.set_up();
    let mut count = 0;
    for operation in input.chunks_exact(6).take(MOST) {
        let mut bytes = [0; 6];
        bytes.copy_from_slice(operation);
        machine.step(bytes);
        count += 1;
    }
    machine.check();
    count
}
