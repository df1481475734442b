//! Frame Information Structures (FIS): the command from the host, and the drive's responses.
//! Little-endian (Serial ATA 3.0, 10.3).

use crate::ata::{Command, PACKET_SIZE, Registers, status};

/// Bytes of a command's frame and of the longest answer.
pub(super) const SIZE: usize = 20;
/// Kinds of frames: the first byte.
const HOST_TO_DEVICE: u8 = 0x27;
const DEVICE_TO_HOST: u8 = 0x34;
const PIO_SETUP: u8 = 0x5f;
const SET_DEVICE_BITS: u8 = 0xa1;
/// Second byte: the frame is a command, or else the control register's.
const IS_COMMAND: u8 = 1 << 7;
/// Second byte, bits 3:0: the port of a multiplier. There are none.
const MULTIPLIER_PORT: u8 = 0x0f;
/// Second byte of an answer: an interrupt is wanted.
const INTERRUPT: u8 = 1 << 6;
/// Second byte of a PIO setup: the data goes to the host.
const TO_HOST: u8 = 1 << 5;
/// Control register: software reset.
const SOFTWARE_RESET: u8 = 1 << 2;

/// What the host sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HostFis {
    /// A command.
    Command(Command),
    /// The control register: whether the drive is held in its reset.
    Control { resets: bool },
}

impl HostFis {
    /// `None`: nothing that a drive would take.
    pub fn parse(frame: [u8; SIZE], packet: [u8; PACKET_SIZE]) -> Option<Self> {
        let [kind, flags, code, features_low, l0, l1, l2, device, rest @ ..] = frame;
        let [l3, l4, l5, features_high, count_low, count_high, _, control, ..] = rest;
        if kind != HOST_TO_DEVICE || flags & MULTIPLIER_PORT != 0 {
            return None;
        }
        if flags & IS_COMMAND == 0 {
            return Some(Self::Control { resets: control & SOFTWARE_RESET != 0 });
        }
        Some(Self::Command(Command {
            code,
            features: u16::from_le_bytes([features_low, features_high]),
            lba: u64::from_le_bytes([l0, l1, l2, l3, l4, l5, 0, 0]),
            device,
            count: u16::from_le_bytes([count_low, count_high]),
            packet,
        }))
    }
}

/// A drive's answer, and where the host receives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DeviceFis {
    /// Bytes from the start of the host's area for received frames (AHCI 1.3.1, 4.2.1).
    pub offset: u64,
    pub frame: [u8; SIZE],
    /// Bytes of the frame.
    pub len: usize,
}

/// The registers, with an interrupt.
fn registers_frame(kind: u8, registers: &Registers) -> [u8; SIZE] {
    let &Registers { status, error, lba, device, count } = registers;
    let [l0, l1, l2, l3, l4, l5, ..] = lba.to_le_bytes();
    let [low, high] = count.to_le_bytes();
    let head = [kind, INTERRUPT, status, error, l0, l1, l2, device, l3, l4, l5, 0, low, high];
    let mut frame = [0; SIZE];
    frame[..head.len()].copy_from_slice(&head);
    frame
}

impl DeviceFis {
    /// The registers of a command that has ended, or after a reset.
    pub fn registers(registers: &Registers) -> Self {
        let frame = registers_frame(DEVICE_TO_HOST, registers);
        Self { offset: 0x40, frame, len: SIZE }
    }

    /// Data was sent to the host by PIO. The status is the one before the data, and the one after
    /// it comes near the end.
    pub fn pio_setup(registers: &Registers, transferred: u32) -> Self {
        let before = Registers { status: registers.status | status::DATA_REQUEST, ..*registers };
        let mut frame = registers_frame(PIO_SETUP, &before);
        frame[1] |= TO_HOST;
        frame[15] = registers.status;
        let count = u16::try_from(transferred).unwrap_or(u16::MAX - 1);
        frame[16..18].copy_from_slice(&count.to_le_bytes());
        Self { offset: 0x20, frame, len: SIZE }
    }

    /// Queued commands have ended, those of the tags in `done`.
    pub fn device_bits(registers: &Registers, done: u32) -> Self {
        let mut frame = [0; SIZE];
        let status = registers.status & !(status::BUSY | status::DATA_REQUEST);
        frame[..4].copy_from_slice(&[SET_DEVICE_BITS, INTERRUPT, status, registers.error]);
        frame[4..8].copy_from_slice(&done.to_le_bytes());
        Self { offset: 0x58, frame, len: 8 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_has_its_registers_where_sata_has_them() {
        let frame =
            [0x27, 0x80, 0x60, 0x08, 1, 2, 3, 0x40, 4, 5, 6, 0x01, 0x28, 0x80, 0, 0, 0, 0, 0, 0];
        let command = Command {
            code: 0x60,
            features: 0x108,
            lba: 0x0605_0403_0201,
            device: 0x40,
            count: 0x8028,
            packet: [7; PACKET_SIZE],
        };
        assert_eq!(HostFis::parse(frame, [7; PACKET_SIZE]), Some(HostFis::Command(command)));
        assert_eq!(command.tag(), 5);
    }

    #[test]
    fn other_frames_are_a_control_register_or_nothing() {
        let mut frame = [0; SIZE];
        let parse = |frame| HostFis::parse(frame, [0; PACKET_SIZE]);
        assert_eq!(parse(frame), None);
        frame[0] = 0x27;
        assert_eq!(parse(frame), Some(HostFis::Control { resets: false }));
        frame[15] = 4;
        assert_eq!(parse(frame), Some(HostFis::Control { resets: true }));
        frame[1] = 0x8f;
        assert_eq!(parse(frame), None, "the port of a multiplier");
    }

    #[test]
    fn answers_are_where_drivers_look_for_them() {
        let registers =
            Registers { status: 0x50, error: 0, lba: 0x0605_0403_0201, device: 0xa0, count: 0x102 };
        let answer = DeviceFis::registers(&registers);
        let bytes = [0x34, 0x40, 0x50, 0, 1, 2, 3, 0xa0, 4, 5, 6, 0, 2, 1, 0, 0, 0, 0, 0, 0];
        assert_eq!((answer.offset, answer.frame), (0x40, bytes));
        let setup = DeviceFis::pio_setup(&registers, 512);
        assert_eq!(setup.offset, 0x20);
        assert_eq!(setup.frame[..3], [0x5f, 0x60, 0x58]);
        assert_eq!(setup.frame[15..18], [0x50, 0, 2]);
        assert_eq!(
            DeviceFis::pio_setup(&registers, 70_000).frame[16..18],
            [0xfe, 0xff],
            "an even count"
        );
        let busy = Registers { status: 0xd8, ..registers };
        assert_eq!(DeviceFis::device_bits(&busy, 0).frame[2], 0x50, "neither BSY nor DRQ");
        let bits = DeviceFis::device_bits(&registers, 0x8000_0001);
        assert_eq!((bits.offset, bits.len), (0x58, 8));
        assert_eq!(bits.frame[..8], [0xa1, 0x40, 0x50, 0, 1, 0, 0, 0x80]);
    }
}
