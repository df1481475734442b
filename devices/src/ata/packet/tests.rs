use std::io;

use vm_memory::VolatileSlice;

use super::*;
use crate::ata::testing::Host;
use crate::scsi::cdrom::{CdRom, Disc};

/// A disc of 10 blocks, of which the last cannot be read.
#[derive(Debug)]
struct TestDisc;

impl Disc for TestDisc {
    fn len(&self) -> u64 {
        20480
    }

    fn read(&self, to: &[VolatileSlice<'_>], offset: u64) -> io::Result<()> {
        for slice in to {
            slice.copy_from(&vec![(offset / 2048).to_le_bytes()[0]; slice.len()]);
        }
        if offset / 2048 == 9 { Err(io::ErrorKind::Other.into()) } else { Ok(()) }
    }
}

fn cd() -> AtaCd {
    let drive = CdRom::new(Box::new(TestDisc), "CD1".into());
    AtaCd::new(Arc::new(Target::new(Box::new(drive))), "QM00003".into())
}

fn run(cd: &AtaCd, host: &Host, command: Command) -> Ended {
    match cd.execute(&command, host) {
        Outcome::Ended(ended) => ended,
        Outcome::Held => panic!("held"),
    }
}

/// A packet with these bytes, whose data moves by DMA.
fn packet(bytes: &[u8]) -> Command {
    let mut packet = [0; crate::ata::PACKET_SIZE];
    packet[..bytes.len()].copy_from_slice(bytes);
    Command { code: code::PACKET, features: DMA, packet, ..Command::default() }
}

const READ_10: [u8; 9] = [0x28, 0, 0, 0, 0, 3, 0, 0, 2];

#[test]
fn blocks_are_read_by_dma_and_pio() {
    let (cd, host) = (cd(), Host::new(4096));
    let ended = run(&cd, &host, packet(&READ_10));
    assert_eq!((ended.protocol, ended.transferred), (Protocol::Registers, 4096));
    assert_eq!((ended.registers.status, ended.registers.count), (0x50, 3));
    assert_eq!(host.bytes(1), [3]);
    let by_pio = Command { features: 0, ..packet(&READ_10) };
    assert_eq!(run(&cd, &host, by_pio).protocol, Protocol::PacketPioIn);
    // TEST UNIT READY has no data.
    let ready = Command { features: 0, ..packet(&[0]) };
    assert_eq!(run(&cd, &host, ready).protocol, Protocol::Registers);
}

#[test]
fn a_failure_has_the_sense_key_and_keeps_the_rest_for_request_sense() {
    let (cd, host) = (cd(), Host::new(4096));
    let ended = run(&cd, &host, packet(&[0x28, 0, 0, 0, 0, 9, 0, 0, 2]));
    assert_eq!((ended.registers.status, ended.registers.error), (0x51, 0x50));
    let sense = run(&cd, &host, packet(&[0x03, 0, 0, 0, 18]));
    assert_eq!((sense.transferred, host.bytes(13)[2], host.bytes(13)[12]), (18, 5, 0x21));
    let ended = run(&cd, &host, packet(&[0x28, 0, 0, 0, 0, 9, 0, 0, 1]));
    assert_eq!(ended.registers.error, 0x30, "the medium");
}

#[test]
fn data_is_cut_and_blocks_are_not_sent_where_the_host_has_no_room() {
    let (cd, host) = (cd(), Host::new(10));
    let inquiry = run(&cd, &host, packet(&[0x12, 0, 0, 0, 36]));
    assert_eq!((inquiry.transferred, inquiry.overflow), (10, true));
    assert!(!run(&cd, &host, packet(&[0x12, 0, 0, 0, 10])).overflow, "as much as was asked for");
    let ended = run(&cd, &host, packet(&READ_10));
    assert_eq!((ended.overflow, ended.registers.error), (true, error::ABORTED));
}

#[test]
fn identify_device_on_a_cd_drive_aborts_with_its_signature() {
    let (cd, host) = (cd(), Host::new(512));
    let ended = run(&cd, &host, Command { code: code::IDENTIFY_DEVICE, ..Command::default() });
    assert_eq!((ended.registers.lba, ended.registers.error), (0xeb_14_01, error::ABORTED));
    let identify = Command { code: code::IDENTIFY_PACKET_DEVICE, ..Command::default() };
    assert_eq!(run(&cd, &host, identify).protocol, Protocol::PioIn);
    let words = host.bytes(512);
    assert_eq!(words[..2], [0xc0, 0x85]);
    assert_eq!(&words[54..66], b"EQUMD DVR-MO");
    let write = Command { code: code::WRITE_DMA, ..Command::default() };
    assert_eq!(run(&cd, &host, write).registers.error, error::ABORTED);
}

#[test]
fn commands_that_are_not_packets_are_those_of_any_drive() {
    let (cd, host) = (cd(), Host::new(512));
    let run = |code, features| run(&cd, &host, Command { code, features, ..Command::default() });
    for code in
        [code::STANDBY_IMMEDIATE, code::IDLE_IMMEDIATE, code::STANDBY, code::IDLE, code::SLEEP]
    {
        assert_eq!(run(code, 0).registers.status, 0x50, "{code:#x}");
    }
    assert_eq!(run(code::CHECK_POWER_MODE, 0).registers.count, 0xff, "active or idle");
    // Of the features only the low byte counts; 0x82, the write cache, is for disks.
    for (features, status) in [(0x03, 0x50), (0x4003, 0x50), (0x82, 0x51)] {
        assert_eq!(run(code::SET_FEATURES, features).registers.status, status, "{features:#x}");
    }
}

#[test]
fn every_reset_forgets_the_sense_data_and_ends_in_the_signature() {
    let (cd, host) = (cd(), Host::new(4096));
    let command = |code| Command { code, ..Command::default() };
    let resets: [&dyn Fn(); 4] = [
        &|| cd.reset(Reset::Hardware),
        &|| cd.reset(Reset::Software),
        &|| check(run(&cd, &host, command(code::DEVICE_RESET))),
        &|| check(run(&cd, &host, command(code::EXECUTE_DEVICE_DIAGNOSTIC))),
    ];
    fn check(ended: Ended) {
        let Registers { status, error, lba, count, .. } = ended.registers;
        assert_eq!((status, error, lba, count), (0x50, 1, 0xeb_14_01, 1));
    }
    for (number, reset) in resets.into_iter().enumerate() {
        let ended = run(&cd, &host, packet(&[0x28, 0, 0, 0, 0, 9, 0, 0, 2]));
        assert_eq!(ended.registers.status, 0x51);
        reset();
        run(&cd, &host, packet(&[0x03, 0, 0, 0, 18]));
        assert_eq!(host.bytes(13)[2], 0, "no sense, {number}");
    }
}
