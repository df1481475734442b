//! The rings of a virtio network card, of a CD drive's controller and of a console: a guest that
//! does anything at all, and a driver whose frames, commands and bytes are checked.
//!
//! An input is a byte that says which transport (bit 0), which device (bit 5: the console, else bit
//! 1: the controller), and whether the driver takes indirect tables (bit 2), EVENT_IDX (bit 3), and
//! mergeable receive buffers (bit 4); then [`Operation`]s. The card is connected to itself: each
//! frame comes back.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex};

use arbitrary::{Arbitrary, Result, Unstructured};
use devices::scsi::cdrom::{BLOCK, CdRom, Disc};
use devices::scsi::target::Target;
use devices::virtio::console::{Console, PortBackend, PortConfig};
use devices::virtio::net::{
    Frame, HEADER_SIZE, MIN_FRAME, Net, NetBackend, Offload, Offloads, RECEIVE, TRANSMIT,
};
use devices::virtio::scsi::Scsi;
use vm_memory::{Bytes, GuestAddress, VolatileSlice};

use crate::virtio::{Access, Guest, TransportKind};
use crate::wire::take_rest;
use crate::{Wire, wire_enum};

/// Frames that the network keeps for the guest.
const MOST_FRAMES: usize = 16;
/// Blocks of the disc.
const BLOCKS: u32 = 16;
/// Bytes of a command's response, with those of its sense data, as drivers leave them.
const RESPONSE: usize = 12 + 96;
const CDB: usize = 32;
const COMMANDS: u16 = 2;
const START_STOP: u8 = 0x1b;
const READ_10: u8 = 0x28;
const CHECK_CONDITION: u8 = 2;

/// A machine with a card or a controller, and what its guest does.
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
    /// A frame, or bytes of a console, sent and received; or a read of blocks.
    Move {
        /// Bytes, modulo 4096; or the first block, modulo what there is and two more.
        what: u16,
        /// How many blocks, modulo 5; or a byte of the frame.
        value: u8,
        /// How it is divided among buffers.
        layout: u8,
    },
    /// A command with room for data.
    Command {
        /// The target; there is one.
        target: u8,
        /// The logical unit.
        lun: u8,
        /// The command.
        cdb: Vec<u8>,
        /// Bytes of room, modulo 8192.
        room: u16,
        /// How it is divided among buffers.
        layout: u8,
    },
}

wire_enum!(Operation, 3 {
    0 => Any { access },
    1 => Move { what, value, layout },
    2 => Command { target, lun, cdb, room, layout },
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

/// How many bytes the other end of a console takes at once.
const PORTION: usize = 1000;

/// What a console has printed.
#[derive(Clone, Debug, Default)]
struct Printed(Arc<Mutex<Vec<u8>>>);

impl PortBackend for Printed {
    fn write(&self, bytes: &[u8]) -> usize {
        let count = bytes.len().min(PORTION);
        self.0.lock().unwrap().extend(&bytes[..count]);
        count
    }

    fn has_room(&self) {}
}

/// A cable from the card to itself.
#[derive(Clone, Debug, Default)]
struct Cable(Arc<Mutex<VecDeque<Vec<u8>>>>);

impl NetBackend for Cable {
    fn has_offloads(&self) -> bool {
        true
    }

    fn set_offloads(&self, _: Offloads) {}

    fn send(&self, frame: &[u8], offload: Option<&Offload>) {
        let mut frames = self.0.lock().unwrap();
        // What is left to the card would be left to the driver.
        if frames.len() < MOST_FRAMES && offload.is_none() {
            frames.push_back(frame.into());
        }
    }

    fn receive(&self) -> Option<Frame> {
        let bytes = self.0.lock().unwrap().pop_front()?;
        Some(Frame { bytes, offload: None })
    }
}

/// A disc whose bytes follow from their places.
#[derive(Debug)]
struct Numbered;

fn byte_of_disc(at: u64) -> u8 {
    (at % 251) as u8 ^ (at / BLOCK) as u8
}

impl Disc for Numbered {
    fn len(&self) -> u64 {
        u64::from(BLOCKS) * BLOCK
    }

    fn read(&self, to: &[VolatileSlice<'_>], offset: u64) -> io::Result<()> {
        let mut at = offset;
        for slice in to {
            let end = at + slice.len() as u64;
            assert!(end <= self.len(), "beyond the end");
            slice.copy_from(&(at..end).map(byte_of_disc).collect::<Vec<_>>());
            at = end;
        }
        Ok(())
    }
}

/// How far an input came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reached {
    /// Frames that came back, or commands that were answered.
    pub answers: usize,
    /// Reads that brought blocks.
    pub blocks: usize,
}

struct Machine {
    guest: Guest,
    cable: Cable,
    printed: Printed,
    console: Option<Arc<Console>>,
    options: u8,
    /// The driver has given the card a buffer to receive into, which begins here.
    buffer: Option<u64>,
    /// The tray may be open.
    is_open: bool,
    reached: Reached,
}

/// Does what the input says.
///
/// # Panics
/// A frame or a block is wrong, a request has no answer, or a device does not come back after a
/// reset.
pub fn run(input: &Input) -> Reached {
    let options = input.options;
    let cable = Cable::default();
    let kind = if options & 1 == 0 { TransportKind::Mmio } else { TransportKind::Pci };
    let printed = Printed::default();
    let mut console = None;
    let guest = if options & 32 != 0 {
        let backend = Box::new(printed.clone());
        let port = PortConfig { number: 0, is_console: true, name: "name".into(), backend };
        let device = Arc::new(Console::new(1, vec![port]));
        console = Some(Arc::clone(&device));
        Guest::new(device, kind)
    } else if options & 2 == 0 {
        Guest::new(Arc::new(Net::new(Arc::new(cable.clone()), [2, 0, 0, 0, 0, 1], None)), kind)
    } else {
        let drive = CdRom::new(Box::new(Numbered), "serial".into());
        let target = Arc::new(Target::new(Box::new(drive)));
        Guest::new(Arc::new(Scsi::new(vec![target])), kind)
    };
    let reached = Reached::default();
    let mut machine =
        Machine { guest, cable, printed, console, options, buffer: None, is_open: false, reached };
    input.operations.iter().for_each(|operation| machine.step(operation));
    machine.reached
}

impl Machine {
    fn step(&mut self, operation: &Operation) {
        let is_card = self.options & 2 == 0;
        match operation {
            Operation::Any { access } => self.guest.access(access),
            Operation::Move { what, value, layout } if self.console.is_some() => {
                self.bytes(usize::from(what % 4096), *value, *layout);
            }
            Operation::Command { .. } if self.console.is_some() => {}
            Operation::Move { what, value, layout } if is_card => {
                self.frame(usize::from(what % 4096), *value, *layout);
            }
            Operation::Move { what, value, layout } => {
                self.read((*what).into(), (value % 5).into(), *layout);
            }
            Operation::Command { target, lun, cdb, room, layout } if !is_card => {
                self.command(*target, *lun, cdb, (room % 8192).into(), *layout);
                self.is_open |= cdb.first() == Some(&START_STOP);
            }
            Operation::Command { .. } => {}
        }
    }

    fn set_up(&mut self) {
        if !self.guest.needs_set_up() {
            return;
        }
        let ring = u64::from(self.options & 4 != 0) << 28 | u64::from(self.options & 8 != 0) << 29;
        if self.console.is_some() {
            self.guest.set_up(ring, &[RECEIVE, TRANSMIT]);
        } else if self.options & 2 == 0 {
            self.guest.set_up(ring | u64::from(self.options & 16 != 0) << 15, &[RECEIVE, TRANSMIT]);
        } else {
            self.guest.set_up(ring, &[0, 1, COMMANDS]);
        }
        // After the reset, which takes what the card has for the driver.
        self.cable.0.lock().unwrap().clear();
        self.buffer = None;
        self.is_open = false;
    }

    /// Prints bytes on a console, and types them.
    fn bytes(&mut self, len: usize, value: u8, layout: u8) {
        self.set_up();
        let Some(console) = self.console.clone() else { return };
        let bytes: Vec<u8> = (0..len.max(1)).map(|at| at as u8 ^ value).collect();
        self.printed.0.lock().unwrap().clear();
        self.guest.submit(TRANSMIT, &bytes, 0, layout);
        self.guest.kick(TRANSMIT);
        for _ in 0..bytes.len() / PORTION {
            self.guest.event(TRANSMIT);
        }
        assert_eq!(self.guest.take_used(TRANSMIT), [0], "the bytes are taken");
        assert!(*self.printed.0.lock().unwrap() == bytes, "other bytes are printed");
        assert_eq!(console.enqueue(0, &bytes), bytes.len(), "there is room");
        let [at, _] = self.guest.submit(RECEIVE, &[], Guest::MOST as u32, layout);
        self.guest.kick(RECEIVE);
        // The thread is woken for the input, whether the driver notifies or not.
        self.guest.event(RECEIVE);
        assert_eq!(self.guest.take_used(RECEIVE), [bytes.len() as u32]);
        let mut found = vec![0; bytes.len()];
        self.guest.memory.read_slice(&mut found, GuestAddress(at)).unwrap();
        assert!(found == bytes, "other bytes are typed");
        self.reached.answers += 1;
    }

    /// Sends a frame, and receives it.
    fn frame(&mut self, len: usize, value: u8, layout: u8) {
        self.set_up();
        let to = match self.buffer {
            Some(at) => at,
            None => {
                let [at, _] = self.guest.submit(RECEIVE, &[], Guest::MOST as u32, layout);
                self.guest.kick(RECEIVE);
                assert!(self.guest.take_used(RECEIVE).is_empty(), "nothing was sent");
                at
            }
        };
        self.buffer = Some(to);
        let frame: Vec<u8> = (0..len).map(|at| at as u8 ^ value).collect();
        self.guest.submit(TRANSMIT, &[&[0; HEADER_SIZE], &frame[..]].concat(), 0, layout);
        self.guest.kick(TRANSMIT);
        assert_eq!(self.guest.take_used(TRANSMIT), [0], "the frame is taken");
        self.guest.event(RECEIVE);
        let answers = self.guest.take_used(RECEIVE);
        if len < MIN_FRAME {
            assert!(answers.is_empty(), "a frame that is too short");
            return;
        }
        assert_eq!(answers, [(HEADER_SIZE + len) as u32]);
        let mut found = vec![0; len];
        let at = GuestAddress(to + HEADER_SIZE as u64);
        self.guest.memory.read_slice(&mut found, at).unwrap();
        assert!(found == frame, "another frame comes back");
        self.buffer = None;
        self.reached.answers += 1;
    }

    /// Reads blocks.
    fn read(&mut self, first: u32, count: u32, layout: u8) {
        let first = first % (BLOCKS + 2);
        let [_, _, high, low] = count.to_be_bytes();
        let mut cdb = vec![READ_10, 0];
        cdb.extend(first.to_be_bytes());
        cdb.extend([0, high, low, 0]);
        let bytes = u64::from(count) * BLOCK;
        let [response, written] = self.command(0, 0, &cdb, bytes as usize, layout);
        if self.is_open {
            return;
        }
        if first + count > BLOCKS {
            assert_eq!(self.guest.byte(response + 10), CHECK_CONDITION, "beyond the end");
            return;
        }
        assert_eq!([self.guest.byte(response + 10), self.guest.byte(response + 11)], [0, 0]);
        assert_eq!(written, RESPONSE as u64 + bytes);
        let mut found = vec![0; bytes as usize];
        let at = GuestAddress(response + RESPONSE as u64);
        self.guest.memory.read_slice(&mut found, at).unwrap();
        let start = u64::from(first) * BLOCK;
        let is_right = (start..).zip(&found).all(|(at, byte)| byte_of_disc(at) == *byte);
        assert!(is_right, "other blocks are read");
        self.reached.blocks += 1;
    }

    /// Has a command executed: where its response is, and how many bytes were written.
    fn command(&mut self, target: u8, lun: u8, cdb: &[u8], room: usize, layout: u8) -> [u64; 2] {
        self.set_up();
        let mut request = vec![1, target, 0x40, lun];
        request.resize(19, 0);
        request.extend(&cdb[..cdb.len().min(CDB)]);
        request.resize(19 + CDB, 0);
        let writable = (RESPONSE + room) as u32;
        let [response, _] = self.guest.submit(COMMANDS, &request, writable, layout);
        self.guest.kick(COMMANDS);
        let answers = self.guest.take_used(COMMANDS);
        assert_eq!(answers.len(), 1, "a command without an answer");
        let written = answers[0];
        assert!((RESPONSE as u32..=writable).contains(&written), "{written} bytes");
        if target != 0 {
            assert_eq!(self.guest.byte(response + 11), 3, "there is no such target");
        }
        self.reached.answers += 1;
        [response, written.into()]
    }
}
