//! The registers of a port (AHCI 1.3.1, 3.3).
//!
//! | offset | register | |
//! |---|---|---|
//! | 0x00, 0x04 | PxCLB | the command list, a multiple of 1024 |
//! | 0x08, 0x0c | PxFB | the area for received frames, a multiple of 256 |
//! | 0x10, 0x14 | PxIS, PxIE | interrupts, and which of them are enabled |
//! | 0x18 | PxCMD | starts and stops commands and the reception of frames |
//! | 0x20 | PxTFD | status and error of the drive |
//! | 0x24 | PxSIG | what it is |
//! | 0x28, 0x2c, 0x30 | PxSSTS, PxSCTL, PxSERR | the link |
//! | 0x34 | PxSACT | queued commands that have not ended |
//! | 0x38 | PxCI | commands that have not ended |
//!
//! Plain data: what a write makes the controller do is its [`Effect`].

use super::fis::DeviceFis;
use crate::ata::{Ended, Protocol, Registers, Signature, status};

/// Commands of a port.
pub(super) const SLOTS: u8 = 32;

/// PxIS: the drive has sent its registers, a PIO setup, or device bits.
const REGISTERS_RECEIVED: u32 = 1 << 0;
const PIO_SETUP_RECEIVED: u32 = 1 << 1;
const DEVICE_BITS_RECEIVED: u32 = 1 << 3;
/// PxIS: the host's buffers were too small.
const OVERFLOW: u32 = 1 << 24;
/// PxIS: a command is not in memory.
const BUS_FATAL: u32 = 1 << 29;
/// PxIS: the drive reports an error.
const DRIVE_ERROR: u32 = 1 << 30;
/// Bits of PxIE that exist.
const INTERRUPTS: u32 = 0xfdc0_00ff;

/// PxCMD: commands are fetched, and a link without BSY and DRQ is forced.
const START: u32 = 1 << 0;
const COMMAND_LIST_OVERRIDE: u32 = 1 << 3;
/// PxCMD: frames are received.
const RECEIVE: u32 = 1 << 4;
/// PxCMD, read-only: both take place.
const RECEIVING: u32 = 1 << 14;
const RUNNING: u32 = 1 << 15;
/// PxCMD: spun up, powered; they always are.
const POWER: u32 = 1 << 1 | 1 << 2;
/// PxCMD: what only stores. The drive is an ATAPI drive, and its light.
const STORED: u32 = 1 << 24 | 1 << 25;

/// PxSSTS: a drive is there and the link works, at 6 Gbit/s.
const LINK_UP: u32 = 0x133;
/// PxSCTL: what the host wants of the link, and two values: reset it, turn it off.
const DETECTION: u32 = 0xf;
const RESET_LINK: u32 = 1;
const LINK_OFF: u32 = 4;
/// PxTFD and PxSIG while nothing is known of a drive.
const NO_STATUS: u32 = 0x7f;
const NO_SIGNATURE: u32 = u32::MAX;

/// What a write makes the controller do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// Nothing more.
    None,
    /// Serve commands.
    Serve,
    /// Wait until no command is in service.
    Settle,
    /// The same, and reset the drive.
    Reset,
    /// Receive the frame that the drive has sent after its reset.
    Receive,
}

/// A command that the controller may serve, with what it needs of the registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Taken {
    pub slot: u8,
    /// Where the command list is.
    pub list: u64,
    /// How often commands have been given up before this one.
    generation: u64,
}

/// The registers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Port {
    /// What is at the port.
    signature: Option<Signature>,
    list: u64,
    frames: u64,
    interrupts: u32,
    enabled: u32,
    command: u32,
    status: u32,
    link_signature: u32,
    control: u32,
    active: u32,
    issued: u32,
    /// The slot that is served, or was last.
    current: u8,
    /// The slot that comes next if it has a command.
    next: u8,
    /// A command is held: it is the next to be served.
    is_held: bool,
    /// A command has failed: none is served until the host starts again.
    has_failed: bool,
    /// The drive has sent a frame after its reset, which is not received yet.
    has_signature_fis: bool,
    /// A software reset holds the drive.
    in_software_reset: bool,
    generation: u64,
}

impl Port {
    /// A port after power-on, with this kind of drive.
    pub fn new(signature: Option<Signature>) -> Self {
        let mut port = Self {
            signature,
            list: 0,
            frames: 0,
            interrupts: 0,
            enabled: 0,
            command: POWER,
            status: NO_STATUS,
            link_signature: NO_SIGNATURE,
            control: 0,
            active: 0,
            issued: 0,
            current: 0,
            next: 0,
            is_held: false,
            has_failed: false,
            has_signature_fis: false,
            in_software_reset: false,
            generation: 0,
        };
        port.link_up();
        port
    }

    /// The reset of the controller. Addresses stay.
    pub fn reset(&mut self) {
        let Self { signature, list, frames, generation, .. } = *self;
        let generation = generation.wrapping_add(1);
        *self = Self { list, frames, generation, ..Self::new(signature) };
    }

    /// Whether an interrupt is pending and enabled.
    pub fn wants_interrupt(&self) -> bool {
        self.interrupts & self.enabled != 0
    }

    pub fn read(&self, register: u64) -> u32 {
        let half =
            |value: u64, shift: u32| u32::try_from(value >> shift & 0xffff_ffff).unwrap_or(0);
        match register {
            0x00 => half(self.list, 0),
            0x04 => half(self.list, 32),
            0x08 => half(self.frames, 0),
            0x0c => half(self.frames, 32),
            0x10 => self.interrupts,
            0x14 => self.enabled,
            0x18 => self.read_command(),
            0x20 => self.status,
            0x24 => self.link_signature,
            0x28 if self.is_link_up() => LINK_UP,
            0x28 if self.control & DETECTION == LINK_OFF => LINK_OFF,
            0x2c => self.control,
            0x34 => self.active,
            0x38 => self.issued,
            // Nothing is wrong with the link (PxSERR), and the others do not exist.
            _ => 0,
        }
    }

    fn read_command(&self) -> u32 {
        let mut value = self.command | u32::from(self.current) << 8;
        if value & START != 0 {
            value |= RUNNING;
        }
        if value & RECEIVE != 0 {
            value |= RECEIVING;
        }
        value
    }

    /// Whether the host holds the link down.
    fn is_link_held(&self) -> bool {
        matches!(self.control & DETECTION, RESET_LINK | LINK_OFF)
    }

    fn is_link_up(&self) -> bool {
        self.signature.is_some() && !self.is_link_held()
    }

    pub fn write(&mut self, register: u64, value: u32) -> Effect {
        let low = |old: u64, mask: u32| old >> 32 << 32 | u64::from(value & mask);
        let high = |old: u64| old & 0xffff_ffff | u64::from(value) << 32;
        match register {
            0x00 => self.list = low(self.list, !0x3ff),
            0x04 => self.list = high(self.list),
            0x08 => self.frames = low(self.frames, !0xff),
            0x0c => self.frames = high(self.frames),
            0x10 => self.interrupts &= !value,
            0x14 => self.enabled = value & INTERRUPTS,
            0x18 => return self.write_command(value),
            0x2c => return self.write_control(value),
            // Commands are taken only while they are fetched.
            0x34 if self.command & START != 0 => self.active |= value,
            0x38 if self.command & START != 0 => {
                self.issued |= value;
                return Effect::Serve;
            }
            _ => {}
        }
        Effect::None
    }

    fn write_command(&mut self, value: u32) -> Effect {
        let old = self.command;
        self.command = value & (START | RECEIVE | STORED) | POWER;
        if value & COMMAND_LIST_OVERRIDE != 0 {
            self.status &= !u32::from(status::BUSY | status::DATA_REQUEST);
        }
        if old & START != 0 && value & START == 0 {
            self.cancel();
            return Effect::Settle;
        }
        if self.has_signature_fis && value & RECEIVE != 0 {
            return Effect::Receive;
        }
        Effect::None
    }

    /// PxSCTL: a link that was being reset comes up again once it is not any more.
    fn write_control(&mut self, value: u32) -> Effect {
        let was_held = self.is_link_held();
        self.control = value & 0xfff;
        match (was_held, self.is_link_held()) {
            (true, false) => {
                self.link_up();
                Effect::Receive
            }
            (false, true) => {
                self.cancel();
                (self.status, self.link_signature) = (NO_STATUS, NO_SIGNATURE);
                self.has_signature_fis = false;
                self.in_software_reset = false;
                Effect::Reset
            }
            _ => Effect::None,
        }
    }

    /// Forgets all commands. One that is in service finds that it does not matter any more.
    pub fn cancel(&mut self) {
        (self.issued, self.active) = (0, 0);
        (self.current, self.next) = (0, 0);
        (self.is_held, self.has_failed) = (false, false);
        self.generation = self.generation.wrapping_add(1);
    }

    /// The link works, and the drive sends its registers.
    fn link_up(&mut self) {
        if self.is_link_up()
            && let Some(signature) = self.signature
        {
            let Signature { lba, count } = signature;
            let [l0, l1, l2, ..] = lba.to_le_bytes();
            let [count, _] = count.to_le_bytes();
            self.link_signature = u32::from_le_bytes([count, l0, l1, l2]);
            self.set_status(&Registers::after_reset(signature));
            self.has_signature_fis = true;
        }
    }

    /// Takes the Register FIS with the drive's signature, which a drive sends once after a reset.
    /// `None`: it was sent already, or FIS reception is off.
    pub fn take_signature_fis(&mut self) -> Option<DeviceFis> {
        let signature = self.signature.filter(|_| self.has_signature_fis)?;
        if self.command & RECEIVE == 0 {
            return None;
        }
        self.has_signature_fis = false;
        self.interrupts |= REGISTERS_RECEIVED;
        Some(DeviceFis::registers(&Registers::after_reset(signature)))
    }

    /// Where frames go, if they are received.
    pub fn frames(&self) -> Option<u64> {
        (self.command & RECEIVE != 0).then_some(self.frames)
    }

    /// The next command to be served: the one that is held, or else the one in the next slot that
    /// has one.
    pub fn take(&mut self) -> Option<Taken> {
        let may_serve = self.command & START != 0 && !self.has_failed && self.is_link_up();
        if !may_serve || self.issued == 0 {
            return None;
        }
        if !self.is_held {
            let distance = self.issued.rotate_right(self.next.into()).trailing_zeros();
            let slot = (u32::from(self.next) + distance) % u32::from(SLOTS);
            self.current = u8::try_from(slot).unwrap_or(0);
            self.next = (self.current + 1) % SLOTS;
        }
        self.is_held = true;
        Some(Taken { slot: self.current, list: self.list, generation: self.generation })
    }

    /// Whether a command that was taken still matters: the host has not given it up.
    fn is_current(&self, taken: &Taken) -> bool {
        taken.generation == self.generation
    }

    /// A command has ended. Returns the frames that the drive sends, in their order; none if the
    /// host has given the command up.
    pub fn end(&mut self, taken: &Taken, ended: &Ended) -> [Option<DeviceFis>; 2] {
        if !self.is_current(taken) {
            return [None, None];
        }
        self.is_held = false;
        let registers = &ended.registers;
        let failed = registers.status & status::ERROR != 0;
        let slot = 1u32 << taken.slot;
        let answers = match ended.protocol {
            Protocol::Registers => {
                self.interrupts |= REGISTERS_RECEIVED;
                [Some(DeviceFis::registers(registers)), None]
            }
            Protocol::PioIn => {
                self.interrupts |= PIO_SETUP_RECEIVED;
                [Some(DeviceFis::pio_setup(registers, ended.transferred)), None]
            }
            Protocol::PacketPioIn => {
                self.interrupts |= PIO_SETUP_RECEIVED | REGISTERS_RECEIVED;
                let setup = DeviceFis::pio_setup(registers, ended.transferred);
                [Some(setup), Some(DeviceFis::registers(registers))]
            }
            Protocol::Queued(tag) => {
                let done = if failed { 0 } else { 1u32 << (tag % SLOTS) };
                self.interrupts |= DEVICE_BITS_RECEIVED;
                self.active &= !done;
                [Some(DeviceFis::device_bits(registers, done)), None]
            }
        };
        self.set_status(registers);
        if failed {
            self.interrupts |= DRIVE_ERROR;
            self.has_failed = true;
        }
        if ended.overflow {
            self.interrupts |= OVERFLOW;
        }
        // The slot of a command that failed stays, and says which one it was; queued commands have
        // left theirs when the drive took them.
        if !failed || matches!(ended.protocol, Protocol::Queued(_)) {
            self.issued &= !slot;
        }
        answers
    }

    /// The drive has taken the frame with the control register. Whether that resets the drive,
    /// which then sends its registers: the end of a software reset.
    pub fn set_software_reset(&mut self, taken: &Taken, resets: bool) -> bool {
        if !self.is_current(taken) {
            return false;
        }
        self.drop_frame(taken);
        let was_held = std::mem::replace(&mut self.in_software_reset, resets);
        if was_held && !resets {
            self.link_up();
        }
        was_held && !resets
    }

    /// The drive has taken a frame, and does not answer.
    pub fn drop_frame(&mut self, taken: &Taken) {
        if self.is_current(taken) {
            self.is_held = false;
            self.issued &= !(1 << taken.slot);
        }
    }

    /// A command is not in memory: nothing more is fetched.
    pub fn fail(&mut self, taken: &Taken) {
        if self.is_current(taken) {
            self.is_held = false;
            self.interrupts |= BUS_FATAL;
            self.has_failed = true;
        }
    }

    fn set_status(&mut self, registers: &Registers) {
        self.status = u32::from(registers.error) << 8 | u32::from(registers.status);
    }
}

#[cfg(test)]
mod tests;
