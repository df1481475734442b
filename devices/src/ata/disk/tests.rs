use std::io::{self, ErrorKind};
use std::ops::Range;

use vm_memory::VolatileSlice;

use super::*;
use crate::ata::testing::{Host, MemoryDisk, SECTORS};
use crate::disk::{BlockBackend, BlockEvent, DiskOptions, ErrorPolicy, OnError};

const OK: u8 = 0x50;
const FAILED: u8 = 0x51;
const LBA: u8 = 0x40;

struct Bench {
    disk: AtaDisk,
    medium: MemoryDisk,
    host: Host,
}

impl Bench {
    fn new(room: u32) -> Self {
        let medium = MemoryDisk::default();
        let disk = AtaDisk::new(medium.disk(), "QM00001".into());
        Self { disk, medium, host: Host::new(room) }
    }

    fn run(&self, command: Command) -> Ended {
        match self.disk.execute(&command, &self.host) {
            Outcome::Ended(ended) => ended,
            Outcome::Held => panic!("held: {command:?}"),
        }
    }

    /// Status and error of a command.
    fn status(&self, command: Command) -> (u8, u8) {
        let Ended { registers, .. } = self.run(command);
        (registers.status, registers.error)
    }

    fn identity(&self) -> Vec<u16> {
        let ended = self.run(command(code::IDENTIFY_DEVICE));
        assert_eq!((ended.protocol, ended.transferred), (Protocol::PioIn, 512));
        let bytes = self.host.bytes(512);
        bytes.chunks(2).map(|word| u16::from_le_bytes([word[0], word[1]])).collect()
    }
}

fn command(code: u8) -> Command {
    Command { code, device: LBA, ..Command::default() }
}

fn transfer(code: u8, lba: u64, count: u16) -> Command {
    Command { lba, count, ..command(code) }
}

fn queued(code: u8, tag: u16, lba: u64, count: u16) -> Command {
    Command { lba, features: count, count: tag << 3, ..command(code) }
}

#[test]
fn identity_is_where_drivers_look_for_it() {
    let bench = Bench::new(4096);
    let words = bench.identity();
    let text = |words: &[u16]| {
        let bytes: Vec<_> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
        String::from_utf8(bytes).unwrap().trim_end().to_owned()
    };
    assert_eq!(text(&words[10..20]), "QM00001");
    assert_eq!(text(&words[27..47]), "QEMU HARDDISK");
    // `ata_id_has_lba48`, `ata_id_has_ncq`, `ata_id_is_sata`, `ata_id_has_trim`, no SMART.
    assert_eq!(words[83] & 0xc400, 0x4400);
    assert_eq!((words[76] & 0x100, words[75], words[93]), (0x100, 31, 0));
    assert_eq!((words[169], words[82] & 1), (1, 0));
    let sectors = u16::try_from(SECTORS).unwrap();
    assert_eq!((words[60], words[61], words[100], words[101]), (sectors, 0, sectors, 0));
    assert_eq!((words[1], words[3], words[6]), (1, 16, 63));
    assert_eq!(words[85] & 0x20, 0x20, "the write cache is on");
    assert_eq!(bench.status(Command { features: 0x82, ..command(code::SET_FEATURES) }), (OK, 0));
    assert_eq!(bench.status(transfer(code::SET_MULTIPLE_MODE, 0, 16)), (OK, 0));
    let words = bench.identity();
    assert_eq!((words[85] & 0x20, words[59]), (0, 0x110));
    bench.disk.reset(Reset::Software);
    let words = bench.identity();
    assert_eq!((words[85] & 0x20, words[59]), (0x20, 0));
}

#[test]
fn a_software_reset_keeps_settings_where_the_host_has_disabled_reverting() {
    let bench = Bench::new(4096);
    let set = |features| {
        assert_eq!(bench.status(Command { features, ..command(code::SET_FEATURES) }), (OK, 0));
    };
    let change = || {
        set(0x82);
        assert_eq!(bench.status(transfer(code::SET_MULTIPLE_MODE, 0, 16)), (OK, 0));
    };
    let settings_after = |reset| {
        bench.disk.reset(reset);
        let words = bench.identity();
        (words[85] & 0x20, words[59])
    };
    let (kept, reverted) = ((0, 0x110), (0x20, 0));
    set(0x66);
    change();
    assert_eq!(settings_after(Reset::Software), kept);
    assert_eq!(settings_after(Reset::Software), kept, "as often as it is reset");
    set(0xcc);
    assert_eq!(settings_after(Reset::Software), reverted);
    set(0x66);
    change();
    assert_eq!(settings_after(Reset::Hardware), reverted);
    change();
    assert_eq!(settings_after(Reset::Software), reverted, "reverting is enabled again as well");
}

#[test]
fn every_way_to_read_and_write_moves_the_sectors() {
    let bench = Bench::new(1 << 20);
    let pio = Protocol::PioIn;
    let dma = Protocol::Registers;
    for (code, protocol) in [
        (code::READ_SECTORS, pio),
        (code::READ_MULTIPLE, pio),
        (code::READ_SECTORS_EXT, pio),
        (code::READ_DMA, dma),
        (code::READ_DMA_EXT, dma),
    ] {
        bench.host.fill(&[0; 1024]);
        let ended = bench.run(transfer(code, 7, 2));
        assert_eq!(
            (ended.protocol, ended.transferred, ended.registers.status),
            (protocol, 1024, OK)
        );
        assert_eq!(bench.host.bytes(1024), [[7; 512], [8; 512]].concat(), "{code:#x}");
    }
    for code in
        [code::WRITE_SECTORS, code::WRITE_MULTIPLE_EXT, code::WRITE_DMA, code::WRITE_DMA_EXT]
    {
        bench.host.fill(&[code; 512]);
        assert_eq!(bench.status(transfer(code, 20, 1)), (OK, 0));
        assert_eq!(bench.medium.0.lock().unwrap().bytes[20 * 512..][..512], [code; 512]);
    }
    let ended = bench.run(queued(code::READ_FPDMA_QUEUED, 5, 9, 1));
    assert_eq!((ended.protocol, bench.host.bytes(512)), (Protocol::Queued(5), vec![9; 512]));
    // A count of 0 is the most there can be: 256 and 65,536 sectors.
    assert_eq!(bench.run(transfer(code::READ_DMA, 0, 0)).transferred, 256 * 512);
    assert_eq!(bench.status(transfer(code::READ_DMA_EXT, 0, 0)), (FAILED, error::ID_NOT_FOUND));
    let most = queued(code::READ_FPDMA_QUEUED, 0, 0, 0);
    assert_eq!(bench.status(most), (FAILED, error::ID_NOT_FOUND));
}

#[test]
fn sectors_are_found_by_cylinder_head_and_sector() {
    let bench = Bench::new(512);
    let by_cylinder = |cylinder: u64, head: u8, sector: u64| {
        let lba = sector | cylinder << 8;
        Command { lba, device: head, count: 1, ..command(code::READ_SECTORS) }
    };
    assert_eq!(bench.status(by_cylinder(0, 1, 2)), (OK, 0));
    assert_eq!(bench.host.bytes(1), [64]);
    assert_eq!(bench.medium.calls().pop().unwrap(), "read 64");
    assert_eq!(bench.status(by_cylinder(1, 0, 1)), (OK, 0));
    assert_eq!(bench.medium.calls().pop().unwrap(), "read 1008");
    assert_eq!(bench.status(by_cylinder(0, 0, 0)), (FAILED, error::ID_NOT_FOUND));
}

#[test]
fn what_is_beyond_the_end_or_the_buffers_is_not_moved() {
    let bench = Bench::new(512);
    for code in [code::READ_DMA_EXT, code::WRITE_DMA_EXT, code::READ_VERIFY_EXT] {
        for (lba, count) in [(SECTORS, 1), (SECTORS - 1, 2), ((1 << 48) - 1, 1)] {
            let failed = (FAILED, error::ID_NOT_FOUND);
            assert_eq!(bench.status(transfer(code, lba, count)), failed, "{code:#x} {lba:#x}");
        }
    }
    // Bits 27:24 of a 28-bit address are in the device register.
    let high = Command { device: LBA | 1, ..transfer(code::READ_DMA, 0, 1) };
    assert_eq!(bench.status(high), (FAILED, error::ID_NOT_FOUND));
    let ended = bench.run(transfer(code::READ_DMA, 0, 2));
    assert_eq!((ended.overflow, ended.registers.error), (true, error::ABORTED));
    assert_eq!(bench.medium.calls(), [""; 0]);
    // Data of a fixed size is cut.
    let small = Bench::new(100);
    for code in [code::IDENTIFY_DEVICE, code::READ_LOG_EXT, code::READ_LOG_DMA_EXT] {
        let ended = small.run(command(code));
        let found = (ended.transferred, ended.overflow, ended.registers.status);
        assert_eq!(found, (100, true, OK), "{code:#x}");
        assert!(!Bench::new(512).run(command(code)).overflow, "{code:#x}");
    }
}

#[test]
fn a_write_is_durable_where_that_is_asked_for() {
    let bench = Bench::new(512);
    bench.run(transfer(code::WRITE_DMA_EXT, 1, 1));
    assert_eq!(bench.medium.calls(), ["write 1"]);
    bench.run(transfer(code::WRITE_DMA_FUA_EXT, 1, 1));
    assert_eq!(bench.medium.calls(), ["write 1", "flush"]);
    let write = queued(code::WRITE_FPDMA_QUEUED, 0, 2, 1);
    bench.run(write);
    assert_eq!(bench.medium.calls(), ["write 2"]);
    bench.run(Command { device: LBA | 0x80, ..write });
    assert_eq!(bench.medium.calls(), ["write 2", "flush"]);
    bench.run(command(code::FLUSH_CACHE_EXT));
    bench.run(Command { features: 0x82, ..command(code::SET_FEATURES) });
    assert_eq!(bench.medium.calls(), ["flush", "flush"]);
    bench.run(write);
    assert_eq!(bench.medium.calls(), ["write 2", "flush"]);
}

#[test]
fn errors_are_reported_and_enospc_holds_the_write() {
    let bench = Bench::new(512);
    bench.medium.fail(Some(ErrorKind::InvalidData));
    assert_eq!(bench.status(transfer(code::READ_DMA, 3, 1)), (FAILED, error::UNCORRECTABLE));
    assert_eq!(bench.status(transfer(code::WRITE_DMA, 3, 1)), (FAILED, error::ABORTED));
    assert_eq!(bench.status(command(code::FLUSH_CACHE)), (FAILED, error::ABORTED));
    let write = transfer(code::WRITE_DMA, 3, 1);
    let cache_off = Command { features: 0x82, ..command(code::SET_FEATURES) };
    for held in [write, command(code::FLUSH_CACHE), cache_off] {
        bench.medium.fail(Some(ErrorKind::StorageFull));
        assert_eq!(bench.disk.execute(&held, &bench.host), Outcome::Held, "{held:?}");
        bench.medium.fail(None);
        assert_eq!(bench.status(held), (OK, 0), "{held:?}");
    }
}

/// `ata_eh_read_log_10h` in Linux's drivers/ata/libata-sata.c.
#[test]
fn the_log_has_the_queued_command_that_failed() {
    let bench = Bench::new(512);
    let log = |page: u64| {
        let ended = bench.run(transfer(code::READ_LOG_EXT, page, 1));
        (ended.registers.status, bench.host.bytes(512))
    };
    let (status, directory) = log(0);
    assert_eq!((status, directory[0], directory[0x20]), (OK, 1, 1));
    assert_eq!(bench.run(queued(code::READ_FPDMA_QUEUED, 3, 1, 1)).registers.status, OK);
    assert_eq!(log(0x10).1[0], 0x80, "none has");
    let ended = bench.run(queued(code::READ_FPDMA_QUEUED, 17, 0x01_0203_0405, 1));
    assert_eq!(ended.protocol, Protocol::Queued(17));
    let (_, page) = log(0x10);
    assert_eq!(page[..10], [17, 0, 0x51, 0x10, 5, 4, 3, LBA, 2, 1]);
    assert_eq!(page.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte)), 0);
    assert_eq!(log(0x30).0, FAILED);
}

#[test]
fn trimmed_ranges_are_discarded() {
    let bench = Bench::new(512);
    let trim = Command { features: 1, count: 1, ..command(code::DATA_SET_MANAGEMENT) };
    let entry = |sector: u64, count: u64| (count << 48 | sector).to_le_bytes();
    let mut block = [entry(8, 4), entry(0, 0), entry(100, 1)].concat();
    block.resize(512, 0);
    bench.host.fill(&block);
    assert_eq!(bench.status(trim), (OK, 0));
    assert_eq!(bench.medium.calls(), ["discard 8..12", "discard 100..101"]);
    bench.host.fill(&entry(SECTORS, 1));
    assert_eq!(bench.status(trim), (FAILED, error::ID_NOT_FOUND));
    for (features, count) in [(0, 1), (1, 0), (1, 9), (1, 2)] {
        assert_eq!(bench.status(Command { features, count, ..trim }), (FAILED, error::ABORTED));
    }
    let bench = Bench::new(9 * 512);
    for (count, expected) in [(8, (OK, 0)), (9, (FAILED, error::ABORTED))] {
        assert_eq!(bench.status(Command { count, ..trim }), expected, "{count} blocks");
    }
}

#[test]
fn what_the_identity_does_not_have_is_aborted() {
    let bench = Bench::new(512);
    const SMART: u8 = 0xb0;
    const SECURITY_FREEZE_LOCK: u8 = 0xf5;
    for code in [0x00, SMART, SECURITY_FREEZE_LOCK, code::PACKET, code::IDENTIFY_PACKET_DEVICE] {
        assert_eq!(bench.status(command(code)), (FAILED, error::ABORTED), "{code:#x}");
    }
    for (count, expected) in [(3, FAILED), (32, FAILED), (0, OK), (8, OK), (16, OK)] {
        assert_eq!(
            bench.status(transfer(code::SET_MULTIPLE_MODE, 0, count)).0,
            expected,
            "{count}"
        );
    }
    assert_eq!(
        bench.status(Command { features: 0x10, ..command(code::SET_FEATURES) }),
        (FAILED, error::ABORTED)
    );
    let last = bench.run(command(code::READ_NATIVE_MAX_EXT)).registers.lba;
    assert_eq!(last, SECTORS - 1);
    assert_eq!(bench.run(command(code::CHECK_POWER_MODE)).registers.count, 0xff);
    let diagnosed = bench.run(command(code::EXECUTE_DEVICE_DIAGNOSTIC)).registers;
    assert_eq!((diagnosed.error, diagnosed.lba, diagnosed.count), (1, 1, 1));
}

#[test]
fn commands_without_an_effect_succeed() {
    let bench = Bench::new(512);
    for code in [
        code::RECALIBRATE,
        code::SEEK,
        code::INITIALIZE_DEVICE_PARAMETERS,
        code::STANDBY_IMMEDIATE,
        code::IDLE_IMMEDIATE,
        code::STANDBY,
        code::IDLE,
        code::SLEEP,
    ] {
        assert_eq!(bench.status(command(code)), (OK, 0), "{code:#x}");
    }
    for features in [feature::TRANSFER_MODE, feature::READ_AHEAD, feature::NO_READ_AHEAD] {
        let set = Command { features: features.into(), ..command(code::SET_FEATURES) };
        assert_eq!(bench.status(set), (OK, 0), "{features:#x}");
    }
    for code in [code::READ_VERIFY, code::READ_VERIFY_NO_RETRY, code::READ_VERIFY_EXT] {
        assert_eq!(bench.status(transfer(code, SECTORS - 1, 1)), (OK, 0), "{code:#x}");
        assert_eq!(
            bench.status(transfer(code, SECTORS, 1)),
            (FAILED, error::ID_NOT_FOUND),
            "{code:#x}"
        );
    }
    assert_eq!(bench.medium.calls(), [""; 0]);
}

#[test]
fn the_write_cache_is_turned_off_and_on() {
    let bench = Bench::new(512);
    for (features, expected) in [(feature::WRITE_CACHE_OFF, 0), (feature::WRITE_CACHE_ON, 0x20)] {
        let set = Command { features: features.into(), ..command(code::SET_FEATURES) };
        assert_eq!(bench.status(set), (OK, 0));
        assert_eq!(bench.identity()[85] & 0x20, expected);
    }
}

#[test]
fn the_end_of_the_run_makes_durable_what_was_written() {
    let bench = Bench::new(512);
    bench.disk.finish();
    assert_eq!(bench.medium.calls(), ["flush"]);
}

/// A write cache; errors of writes for lack of space are waited for.
fn options(observer: impl Fn(&BlockEvent<'_>) + Send + Sync + 'static) -> DiskOptions {
    DiskOptions {
        serial: String::new(),
        write_cache: true,
        errors: ErrorPolicy { read: OnError::Report, write: OnError::Enospc },
        observer: Box::new(observer),
    }
}

/// A disk of many sectors, which are not there.
#[derive(Debug)]
struct Large(u64);

impl BlockBackend for Large {
    fn len(&self) -> u64 {
        self.0 * 512
    }

    fn is_read_only(&self) -> bool {
        true
    }

    fn read(&self, _: &[VolatileSlice<'_>], _: u64) -> io::Result<()> {
        unreachable!()
    }

    fn write(&self, _: &[VolatileSlice<'_>], _: u64) -> io::Result<()> {
        unreachable!()
    }

    fn flush(&self) -> io::Result<()> {
        unreachable!()
    }

    fn discard(&self, _: Range<u64>) -> io::Result<()> {
        unreachable!()
    }

    fn write_zeroes(&self, _: Range<u64>, _: bool) -> io::Result<()> {
        unreachable!()
    }
}

/// ATA8-ACS, 7.32 and 7.33: in 28 bits, bits 27:24 are in the device register, and what does not fit is 0x0fff_ffff.
#[test]
fn the_last_sector_is_in_the_registers() {
    for (sectors, short, head) in [(0x0a12_3457, 0x12_3456, 0xa), (0x1_0000_0000, 0xff_ffff, 0xf)] {
        let host = Host::new(512);
        let disk = Arc::new(Disk::new(Box::new(Large(sectors)), options(|_| {})));
        let disk = AtaDisk::new(disk, String::new());
        let run = |code| match disk.execute(&Command { device: 0xe5, ..command(code) }, &host) {
            Outcome::Ended(ended) => (ended.registers.lba, ended.registers.device),
            Outcome::Held => panic!("held"),
        };
        assert_eq!(run(code::READ_NATIVE_MAX_EXT), (sectors - 1, 0xe5));
        assert_eq!(run(code::READ_NATIVE_MAX), (short, 0xe0 | head));
    }
}

/// What the host has given up does not resume.
#[test]
fn a_held_command_that_is_cancelled_does_not_resume() {
    for (cancels, expected) in [(false, ["failed", "resumed"].as_slice()), (true, &["failed"])] {
        let events = Arc::new(Mutex::new(Vec::new()));
        let (medium, seen) = (MemoryDisk::default(), events.clone());
        let observer = move |event: &BlockEvent<'_>| {
            let is_resumed = matches!(event, BlockEvent::Resumed);
            seen.lock().unwrap().push(if is_resumed { "resumed" } else { "failed" });
        };
        let disk = Arc::new(Disk::new(Box::new(medium.clone()), options(observer)));
        let (disk, host) = (AtaDisk::new(disk, String::new()), Host::new(512));
        medium.fail(Some(ErrorKind::StorageFull));
        assert_eq!(disk.execute(&transfer(code::WRITE_DMA, 3, 1), &host), Outcome::Held);
        medium.fail(None);
        if cancels {
            disk.cancel();
        }
        assert_ne!(disk.execute(&transfer(code::READ_DMA, 3, 1), &host), Outcome::Held);
        assert_eq!(*events.lock().unwrap(), expected);
    }
}

#[test]
fn the_disk_counts_what_was_written_and_knows_its_size() {
    let bench = Bench::new(512);
    assert_eq!((bench.disk.disk.changes(), bench.disk.disk.size()), (0, SECTORS * 512));
    for lba in 0..2 {
        bench.run(transfer(code::WRITE_DMA, lba, 1));
        bench.run(transfer(code::READ_DMA, lba, 1));
    }
    assert_eq!(bench.disk.disk.changes(), 2);
    assert!(Large(0).is_empty() && !Large(1).is_empty());
}
