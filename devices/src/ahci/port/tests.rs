use super::*;

const CMD: u64 = 0x18;
const CI: u64 = 0x38;
const SACT: u64 = 0x34;
const IS: u64 = 0x10;
const SCTL: u64 = 0x2c;

/// A port whose commands are fetched and whose frames are received.
fn started() -> Port {
    let mut port = Port::new(Some(Signature::DISK));
    assert_eq!(port.write(CMD, RECEIVE), Effect::Receive);
    assert!(port.take_signature_fis().is_some());
    port.write(IS, u32::MAX);
    port.write(CMD, RECEIVE | START);
    port
}

fn ended(status: u8, protocol: Protocol) -> Ended {
    let registers = Registers { status, ..Registers::default() };
    Ended { protocol, registers, transferred: 0, overflow: false }
}

#[test]
fn a_drive_is_there_after_power_on_and_an_empty_port_is_not() {
    let disk = Port::new(Some(Signature::DISK));
    let registers = [0x18, 0x20, 0x24, 0x28, 0x30].map(|register| disk.read(register));
    assert_eq!(registers, [6, 0x150, 0x101, 0x133, 0]);
    assert_eq!(Port::new(Some(Signature::PACKET)).read(0x24), 0xeb14_0101);
    let empty = Port::new(None);
    assert_eq!([0x20, 0x24, 0x28].map(|register| empty.read(register)), [0x7f, u32::MAX, 0]);
}

#[test]
fn addresses_are_aligned_and_read_only_registers_stay() {
    let mut port = Port::new(Some(Signature::DISK));
    for register in (0..0x80).step_by(4) {
        port.write(register, u32::MAX);
    }
    assert_eq!(
        [0x00, 0x04, 0x08, 0x0c].map(|register| port.read(register)),
        [0xffff_fc00, u32::MAX, 0xffff_ff00, u32::MAX]
    );
    assert_eq!((port.read(0x14), port.read(0x24)), (INTERRUPTS, 0x101));
    assert_eq!((port.read(0x28), port.read(0x3c), port.read(0x70)), (0x133, 0, 0));
}

#[test]
fn commands_are_taken_in_turn_while_they_are_fetched() {
    let mut port = Port::new(Some(Signature::DISK));
    port.write(CI, 1);
    assert_eq!((port.read(CI), port.take()), (0, None), "not started");
    let mut port = started();
    assert_eq!(port.read(CMD), 0xc017);
    assert_eq!(port.write(CI, 1 << 31 | 1 << 3 | 1), Effect::Serve);
    for slot in [0, 3, 31] {
        let taken = port.take().unwrap();
        assert_eq!((taken.slot, port.take()), (slot, Some(taken)), "held");
        port.end(&taken, &ended(0x50, Protocol::Registers));
    }
    assert_eq!((port.take(), port.read(CI), port.read(IS)), (None, 0, REGISTERS_RECEIVED));
    port.write(IS, 1);
    assert!(!port.wants_interrupt());
}

#[test]
fn a_failure_keeps_its_slot_and_stops_the_port() {
    let mut port = started();
    port.write(0x14, u32::MAX);
    port.write(CI, 0b110);
    let taken = port.take().unwrap();
    port.end(&taken, &ended(0x51, Protocol::Registers));
    assert_eq!((port.read(CI), port.read(IS)), (0b110, DRIVE_ERROR | REGISTERS_RECEIVED));
    assert_eq!((port.take(), port.wants_interrupt(), port.read(CMD) >> 8 & 31), (None, true, 1));
    assert_eq!(port.write(CMD, RECEIVE), Effect::Settle);
    assert_eq!(port.read(CI), 0);
    port.write(CMD, RECEIVE | START);
    port.write(CI, 1);
    assert!(port.take().is_some());
}

#[test]
fn queued_commands_end_by_their_tags() {
    let mut port = started();
    port.write(SACT, 0b111);
    port.write(CI, 0b111);
    let first = port.take().unwrap();
    let [answer, none] = port.end(&first, &ended(0x50, Protocol::Queued(0)));
    assert_eq!((answer.unwrap().frame[4], none), (1, None));
    let second = port.take().unwrap();
    let [answer, _] = port.end(&second, &ended(0x51, Protocol::Queued(1)));
    assert_eq!(answer.unwrap().frame[2..5], [0x51, 0, 0]);
    // The one that failed, and the one that was not begun.
    assert_eq!((port.read(SACT), port.read(CI)), (0b110, 0b100));
    assert_eq!(port.read(IS), DRIVE_ERROR | DEVICE_BITS_RECEIVED);
}

#[test]
fn a_command_that_was_given_up_changes_nothing_when_it_ends() {
    for stop in [(CMD, RECEIVE), (SCTL, RESET_LINK), (SCTL, LINK_OFF)] {
        let mut port = started();
        port.write(CI, 1);
        let taken = port.take().unwrap();
        port.write(stop.0, stop.1);
        let before = port;
        assert_eq!(port.end(&taken, &ended(0x50, Protocol::Registers)), [None, None]);
        port.fail(&taken);
        port.drop_frame(&taken);
        assert!(!port.set_software_reset(&taken, true));
        assert_eq!((port.read(IS), port.read(CI)), (before.read(IS), 0));
    }
}

#[test]
fn the_link_goes_down_and_comes_up_with_the_signature() {
    let mut port = started();
    assert_eq!(port.write(SCTL, 0x300 | RESET_LINK), Effect::Reset);
    assert_eq!([0x20, 0x24, 0x28].map(|register| port.read(register)), [0x7f, u32::MAX, 0]);
    assert_eq!(port.write(SCTL, 0x300), Effect::Receive);
    assert_eq!((port.read(0x28), port.read(0x24), port.read(SCTL)), (0x133, 0x101, 0x300));
    let greeting = port.take_signature_fis().unwrap();
    assert_eq!(greeting.frame[..8], [0x34, 0x40, 0x50, 1, 1, 0, 0, 0]);
    assert_eq!(port.take_signature_fis(), None);
    port.write(SCTL, LINK_OFF);
    assert_eq!(port.read(0x28), 4);
}

#[test]
fn a_software_reset_is_two_frames() {
    let mut port = started();
    port.write(CI, 0b11);
    let first = port.take().unwrap();
    assert!(!port.set_software_reset(&first, true));
    let second = port.take().unwrap();
    assert!(port.set_software_reset(&second, false));
    assert_eq!((port.read(CI), port.take_signature_fis().is_some()), (0, true));
}

#[test]
fn a_pio_packet_has_both_frames() {
    let mut port = started();
    port.write(CI, 1);
    let taken = port.take().unwrap();
    let answers = port.end(&taken, &ended(0x50, Protocol::PacketPioIn));
    assert_eq!(answers.map(|answer| answer.unwrap().offset), [0x20, 0x40]);
    assert_eq!(port.read(IS), PIO_SETUP_RECEIVED | REGISTERS_RECEIVED);
}

#[test]
fn the_halves_of_an_address_are_written_in_any_order() {
    let mut port = Port::new(Some(Signature::DISK));
    for (low, high) in [(0x00, 0x04), (0x08, 0x0c)] {
        port.write(high, 0x12);
        port.write(low, 0x3456_7800);
        assert_eq!((port.read(low), port.read(high)), (0x3456_7800, 0x12), "{low:#x}");
    }
}

/// AHCI 1.3.1, 3.3.13 and 3.3.14: PxSACT and PxCI are only written while PxCMD.ST is set, and writing 0 has no effect.
#[test]
fn commands_are_issued_only_to_a_port_that_is_started() {
    let mut port = Port::new(Some(Signature::DISK));
    port.write(CMD, RECEIVE);
    port.write(SACT, 1);
    assert_eq!(port.write(CI, 1), Effect::None);
    assert_eq!((port.read(SACT), port.read(CI)), (0, 0));
    port.write(CMD, RECEIVE | START);
    for bits in [0b01, 0b11, 0] {
        port.write(SACT, bits);
        port.write(CI, bits);
    }
    assert_eq!((port.read(SACT), port.read(CI)), (0b11, 0b11), "set until a command ends");
}

#[test]
fn a_slot_that_is_issued_again_waits_for_the_others() {
    let mut port = started();
    port.write(CI, 0b11);
    let first = port.take().unwrap();
    port.end(&first, &ended(0x50, Protocol::Registers));
    port.write(CI, 0b01);
    assert_eq!(port.take().unwrap().slot, 1);
}

/// AHCI 1.3.1, 3.3.7, PxCMD.CLO: clears BSY and DRQ of PxTFD.
#[test]
fn a_command_list_override_clears_busy_and_data_request() {
    let mut empty = Port::new(None);
    empty.write(CMD, START);
    assert_eq!(empty.read(0x20), 0x7f);
    empty.write(CMD, COMMAND_LIST_OVERRIDE);
    assert_eq!(empty.read(0x20), 0x77);
    let mut port = started();
    port.write(CI, 1);
    let taken = port.take().unwrap();
    port.end(&taken, &ended(0xd8, Protocol::Registers));
    assert_eq!(port.write(CMD, RECEIVE | START | COMMAND_LIST_OVERRIDE), Effect::None);
    assert_eq!(port.read(0x20), 0x50);
}

#[test]
fn the_signature_is_sent_once_and_only_where_frames_are_received() {
    let mut port = Port::new(Some(Signature::DISK));
    port.write(0x08, 0x2000);
    assert_eq!(
        (port.write(CMD, 0), port.take_signature_fis(), port.frames()),
        (Effect::None, None, None)
    );
    assert_eq!(port.write(CMD, RECEIVE), Effect::Receive);
    assert!(port.take_signature_fis().is_some());
    assert_eq!((port.read(IS), port.frames()), (REGISTERS_RECEIVED, Some(0x2000)));
    assert_eq!(port.write(CMD, RECEIVE | START), Effect::None, "it has been sent");
}

/// PxIS is only cleared by the host (AHCI 1.3.1, 3.3.5).
#[test]
fn an_interrupt_that_is_pending_stays_when_its_cause_comes_again() {
    for (protocol, expected) in [
        (Protocol::Registers, REGISTERS_RECEIVED),
        (Protocol::PioIn, PIO_SETUP_RECEIVED),
        (Protocol::PacketPioIn, PIO_SETUP_RECEIVED | REGISTERS_RECEIVED),
        (Protocol::Queued(0), DEVICE_BITS_RECEIVED),
    ] {
        let mut port = started();
        for time in 1..=2 {
            port.write(CI, 1);
            let taken = port.take().unwrap();
            port.end(&taken, &Ended { overflow: true, ..ended(0x51, protocol) });
            assert_eq!(port.read(IS), expected | DRIVE_ERROR | OVERFLOW, "{protocol:?}, {time}");
            port.write(CMD, RECEIVE);
            port.write(CMD, RECEIVE | START);
        }
    }
    let mut port = started();
    for _ in 0..2 {
        port.write(CI, 1);
        let taken = port.take().unwrap();
        port.fail(&taken);
        assert_eq!((port.read(IS), port.take()), (BUS_FATAL, None));
        port.write(CMD, RECEIVE);
        port.write(CMD, RECEIVE | START);
    }
    for _ in 0..2 {
        port.write(SCTL, RESET_LINK);
        port.write(SCTL, 0);
        assert!(port.take_signature_fis().is_some());
        assert_eq!(port.read(IS), BUS_FATAL | REGISTERS_RECEIVED);
    }
}

#[test]
fn control_frames_that_do_not_end_a_software_reset_are_not_answered() {
    let mut port = started();
    for resets in [false, true, true] {
        port.write(CI, 1);
        let taken = port.take().unwrap();
        assert!(!port.set_software_reset(&taken, resets));
        assert_eq!((port.read(CI), port.take_signature_fis()), (0, None));
    }
}
