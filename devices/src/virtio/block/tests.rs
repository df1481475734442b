use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use virtio_bindings::virtio_mmio as register;
use vm_memory::VolatileSlice;

use super::super::testing::{Driver, INDIRECT, INDIRECT_DESC, RAM, TABLE, VERSION_1, WRITE};
use super::*;
use crate::counter::Count;
use crate::disk::{BlockBackend, BlockEvent, Counts, DiskOptions, ErrorPolicy, OnError, Operation};
use crate::virtio::device::VirtioDevice;

const SECTORS: u64 = 64;
const HEADER: u64 = 0x1_0000;
const DATA: u64 = 0x1_1000;
const STATUS: u64 = 0x1_f000;
const OK: u8 = 0;
const IO_ERROR: u8 = 1;
const UNSUPPORTED: u8 = 2;
const READ: u32 = bindings::VIRTIO_BLK_T_IN;
const OUT: u32 = bindings::VIRTIO_BLK_T_OUT;
const FLUSH: u32 = bindings::VIRTIO_BLK_T_FLUSH;
const GET_ID: u32 = bindings::VIRTIO_BLK_T_GET_ID;
const DISCARD: u32 = bindings::VIRTIO_BLK_T_DISCARD;
const WRITE_ZEROES: u32 = bindings::VIRTIO_BLK_T_WRITE_ZEROES;
const F_FLUSH: u64 = 1 << bindings::VIRTIO_BLK_F_FLUSH;
const F_CONFIG_WCE: u64 = 1 << bindings::VIRTIO_BLK_F_CONFIG_WCE;
const F_RANGES: u64 =
    1 << bindings::VIRTIO_BLK_F_DISCARD | 1 << bindings::VIRTIO_BLK_F_WRITE_ZEROES;

/// What a disk holds, and what of it would survive a power cut.
#[derive(Debug, Default)]
struct Content {
    now: Vec<u8>,
    durable: Vec<u8>,
    flushes: u32,
    calls: Vec<String>,
    failing: Option<Operation>,
}

impl Content {
    fn call(&mut self, operation: Operation, detail: &str) -> io::Result<()> {
        self.calls.push(format!("{operation}{detail}"));
        match self.failing {
            Some(failing) if failing == operation => Err(io::ErrorKind::StorageFull.into()),
            _ => Ok(()),
        }
    }
}

/// A disk in memory, which forgets what was not flushed.
#[derive(Clone, Debug, Default)]
struct MemoryDisk {
    content: Arc<Mutex<Content>>,
    read_only: bool,
}

impl MemoryDisk {
    fn content(&self) -> std::sync::MutexGuard<'_, Content> {
        self.content.lock().unwrap()
    }
}

impl BlockBackend for MemoryDisk {
    fn len(&self) -> u64 {
        self.content().now.len() as u64
    }

    fn is_read_only(&self) -> bool {
        self.read_only
    }

    fn read(&self, to: &[VolatileSlice<'_>], offset: u64) -> io::Result<()> {
        let mut content = self.content();
        content.call(Operation::Read, "")?;
        let mut at = usize::try_from(offset).unwrap();
        for slice in to {
            slice.copy_from(&content.now[at..at + slice.len()]);
            at += slice.len();
        }
        Ok(())
    }

    fn write(&self, from: &[VolatileSlice<'_>], offset: u64) -> io::Result<()> {
        assert!(!self.read_only);
        let mut content = self.content();
        content.call(Operation::Write, "")?;
        let mut at = usize::try_from(offset).unwrap();
        for slice in from {
            slice.copy_to(&mut content.now[at..at + slice.len()]);
            at += slice.len();
        }
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        let mut content = self.content();
        content.call(Operation::Flush, "")?;
        content.flushes += 1;
        content.durable = content.now.clone();
        Ok(())
    }

    fn discard(&self, range: Range<u64>) -> io::Result<()> {
        assert!(!self.read_only);
        self.content().call(Operation::Discard, &format!(" {range:?}"))
    }

    fn write_zeroes(&self, range: Range<u64>, may_unmap: bool) -> io::Result<()> {
        assert!(!self.read_only);
        let mut content = self.content();
        content.call(Operation::WriteZeroes, &format!(" {range:?} {may_unmap}"))?;
        let [start, end] = [range.start, range.end].map(|at| usize::try_from(at).unwrap());
        content.now[start..end].fill(0);
        Ok(())
    }
}

struct Bench {
    driver: Driver,
    shown: Arc<Disk>,
    disk: MemoryDisk,
    errors: Arc<Mutex<Vec<String>>>,
}

impl Bench {
    fn with(disk: MemoryDisk, features: u64, write_cache: bool) -> Self {
        let report = ErrorPolicy { read: OnError::Report, write: OnError::Report };
        Self::with_policy(disk, features, write_cache, report)
    }

    fn with_policy(
        disk: MemoryDisk,
        features: u64,
        write_cache: bool,
        policy: ErrorPolicy,
    ) -> Self {
        let errors = Arc::<Mutex<Vec<String>>>::default();
        let noted = Arc::clone(&errors);
        let options = DiskOptions {
            serial: "chukka-1".into(),
            write_cache,
            errors: policy,
            observer: Box::new(move |event| {
                noted.lock().unwrap().push(match event {
                    BlockEvent::Failed { operation, error, action } => {
                        format!("{operation}: {error}: {action:?}")
                    }
                    BlockEvent::Resumed => "resumed".into(),
                });
            }),
        };
        let shown = Arc::new(Disk::new(Box::new(disk.clone()), options));
        let device = Arc::new(Block::new(Arc::clone(&shown), 1));
        let driver = Driver::started(device, VERSION_1 | features, 16);
        Self { driver, shown, disk, errors }
    }

    /// A writable disk, each sector filled with its number.
    fn new(features: u64) -> Self {
        Self::with(writable(), features, true)
    }

    fn header(&self, kind: u32, sector: u64) {
        self.driver.put(HEADER, &kind.to_le_bytes());
        self.driver.put(HEADER + 4, &[0; 4]);
        self.driver.put(HEADER + 8, &sector.to_le_bytes());
        self.driver.put(STATUS, &[0xee]);
    }

    /// A request with the buffers between header and status; the status, or `None` if it was not
    /// written.
    fn request(&mut self, kind: u32, sector: u64, data: &[(u64, u32, u16)]) -> u8 {
        self.header(kind, sector);
        let chain = [&[(HEADER, 16, 0)], data, &[(STATUS, 1, WRITE)]].concat();
        let written = self.driver.request(&chain).unwrap();
        let writable = chain.iter().filter(|(.., flags)| flags & WRITE != 0);
        assert_eq!(written, writable.map(|(_, len, _)| len).sum::<u32>());
        self.driver.get::<1>(STATUS)[0]
    }

    fn range(&mut self, kind: u32, sector: u64, count: u32, flags: u32) -> u8 {
        self.driver.put(DATA, &sector.to_le_bytes());
        self.driver.put(DATA + 8, &count.to_le_bytes());
        self.driver.put(DATA + 12, &flags.to_le_bytes());
        self.request(kind, 0, &[(DATA, 16, 0)])
    }

    fn flushes(&self) -> u32 {
        self.disk.content().flushes
    }

    fn calls(&self) -> Vec<String> {
        std::mem::take(&mut self.disk.content().calls)
    }

    fn config(&mut self, offset: u32) -> u32 {
        self.driver.read(0x100 + offset)
    }

    fn set_write_cache(&mut self, on: u8) {
        use vm_device::MutDeviceMmio;
        self.driver.transport.registers.mmio_write(vm_device::bus::MmioAddress(0), 0x120, &[on]);
    }
}

fn writable() -> MemoryDisk {
    let now: Vec<u8> = (0..SECTORS).flat_map(|n| [u8::try_from(n).unwrap(); 512]).collect();
    let content = Content { durable: now.clone(), now, ..Content::default() };
    MemoryDisk { content: Arc::new(Mutex::new(content)), read_only: false }
}

fn read_only() -> MemoryDisk {
    MemoryDisk { read_only: true, ..writable() }
}

#[test]
fn the_configuration_space_is_that_of_struct_virtio_blk_config() {
    let mut bench = Bench::new(0);
    let fields = [0, 4, 8, 12, 16, 20, 24, 28, 36, 40, 44, 48, 52];
    assert_eq!(
        fields.map(|offset| bench.config(offset)),
        [64, 0, 0x2_0000, 254, 0, 512, 0, 0, 0x3f_ffff, 1, 1, 0x3f_ffff, 1],
    );
    assert_eq!(bench.config(32).to_le_bytes(), [1, 0, 1, 0], "write cache, queues");
    assert_eq!(bench.config(56), 1);
    assert_eq!(bench.config(60), u32::MAX, "beyond its end");
    // SeaBIOS keeps 16 bits of the sectors a request can have (virtio_blk_setup).
    assert_eq!(0x2_0000 * 254 / 512, 65_024);
}

#[test]
fn offers_what_the_access_allows() {
    let offered = |disk, queues| {
        let options = DiskOptions {
            serial: String::new(),
            write_cache: true,
            errors: ErrorPolicy::default(),
            observer: Box::new(|_| {}),
        };
        Block::new(Arc::new(Disk::new(Box::new(disk), options)), queues).features()
    };
    let common = 0b1110_0100_0110;
    assert_eq!(offered(writable(), 1), 0b0110_0000_0000_0000 | common & !0x20);
    assert_eq!(offered(read_only(), 1), 0x20 | common);
    assert_eq!(offered(writable(), 2), 0b0111_0000_0000_0000 | common & !0x20);
}

#[test]
fn reads_and_writes_sectors() {
    let mut bench = Bench::new(F_FLUSH);
    assert_eq!(bench.request(READ, 3, &[(DATA, 1024, WRITE)]), OK);
    assert_eq!(bench.driver.get::<1024>(DATA), [[3; 512], [4; 512]].concat()[..]);
    bench.driver.put(DATA, &[0x5a; 512]);
    assert_eq!(bench.request(OUT, SECTORS - 1, &[(DATA, 512, 0)]), OK);
    assert_eq!(bench.disk.content().now[63 * 512..], [0x5a; 512]);
}

#[test]
fn bytes_may_be_divided_among_buffers_at_will() {
    let mut bench = Bench::new(INDIRECT_DESC);
    bench.header(READ, 7);
    // The status shares a buffer with the data, and the header is in three.
    let chain = [(HEADER, 1, 0), (HEADER + 1, 14, 0), (HEADER + 15, 1, 0)];
    let data = [(DATA, 1, WRITE), (DATA + 1, 512, WRITE)];
    assert_eq!(bench.driver.request(&[&chain[..], &data].concat()), Some(513));
    assert_eq!(bench.driver.get::<512>(DATA), [7; 512]);
    assert_eq!(bench.driver.get::<1>(DATA + 512), [OK]);

    bench.header(READ, 8);
    bench.driver.descriptor(TABLE, 0, (HEADER, 16, 1, 1));
    bench.driver.descriptor(TABLE, 1, (DATA, 513, WRITE, 0));
    assert_eq!(bench.driver.request(&[(TABLE, 32, INDIRECT)]), Some(513));
    assert_eq!(bench.driver.get::<512>(DATA), [8; 512]);
}

#[test]
fn what_is_beyond_the_end_is_an_io_error() {
    let mut bench = Bench::new(0);
    for (sector, len) in [
        (SECTORS, 512),
        (SECTORS - 1, 1024),
        (u64::MAX, 512),
        (u64::MAX / 512, 512),
        (u64::MAX / 512 + 1, 512),
        (1 << 55, 512),
    ] {
        assert_eq!(bench.request(READ, sector, &[(DATA, len, WRITE)]), IO_ERROR, "{sector:#x}");
        assert_eq!(bench.request(OUT, sector, &[(DATA, len, 0)]), IO_ERROR, "{sector:#x}");
    }
    assert!(bench.calls().is_empty());
    assert_eq!(bench.request(READ, SECTORS, &[]), OK, "nothing at the end");
}

#[test]
fn parts_of_sectors_are_an_io_error() {
    let mut bench = Bench::new(0);
    for len in [1, 511, 513] {
        assert_eq!(bench.request(READ, 0, &[(DATA, len, WRITE)]), IO_ERROR);
        assert_eq!(bench.request(OUT, 0, &[(DATA, len, 0)]), IO_ERROR);
    }
    assert!(bench.calls().is_empty());
}

#[test]
fn data_in_the_wrong_direction_is_an_io_error() {
    let mut bench = Bench::new(0);
    assert_eq!(bench.request(READ, 0, &[(DATA, 512, 0)]), IO_ERROR);
    assert_eq!(bench.request(OUT, 0, &[(DATA, 512, WRITE)]), IO_ERROR);
    assert!(bench.calls().is_empty());
}

#[test]
fn data_outside_memory_is_an_io_error() {
    let mut bench = Bench::new(0);
    for at in [RAM, RAM - 256, 1 << 40, u64::MAX - 511] {
        assert_eq!(bench.request(READ, 0, &[(at, 512, WRITE)]), IO_ERROR);
        assert_eq!(bench.request(OUT, 0, &[(at, 512, 0)]), IO_ERROR);
    }
    assert!(bench.calls().is_empty());
}

#[test]
fn a_short_header_is_an_io_error() {
    let mut bench = Bench::new(0);
    for len in [1, 15] {
        bench.header(READ, 0);
        assert_eq!(bench.driver.request(&[(HEADER, len, 0), (STATUS, 1, WRITE)]), Some(1));
        assert_eq!(bench.driver.get(STATUS), [IO_ERROR]);
    }
    bench.header(READ, 0);
    assert_eq!(bench.driver.request(&[(STATUS, 1, WRITE)]), Some(1));
    assert_eq!(bench.driver.get(STATUS), [IO_ERROR]);
}

#[test]
fn a_request_without_room_for_its_status_is_given_back() {
    let mut bench = Bench::new(0);
    bench.header(READ, 0);
    assert_eq!(bench.driver.request(&[(HEADER, 16, 0)]), Some(0));
    assert_eq!(bench.driver.request(&[(HEADER, 16, 0), (STATUS, 0, WRITE)]), Some(0));
    for at in [RAM, u64::MAX] {
        assert_eq!(bench.driver.request(&[(HEADER, 16, 0), (at, 1, WRITE)]), Some(0));
    }
    assert_eq!(bench.request(READ, 0, &[(DATA, 512, WRITE)]), OK);
}

#[test]
fn unknown_requests_are_unsupported() {
    let mut bench = Bench::new(0);
    for kind in [2, 3, 5, 6, 7, 9, 10, 12, 14, 15, 1 << 31, u32::MAX, DISCARD, WRITE_ZEROES] {
        assert_eq!(bench.request(kind, 0, &[]), UNSUPPORTED, "{kind:#x}");
    }
    assert!(bench.calls().is_empty());
}

#[test]
fn a_read_only_disk_refuses_writes_of_a_driver_that_ignores_it() {
    let mut bench = Bench::with(read_only(), F_FLUSH, true);
    assert_eq!(bench.request(OUT, 0, &[(DATA, 512, 0)]), IO_ERROR);
    assert_eq!(bench.range(DISCARD, 0, 1, 0), UNSUPPORTED);
    assert_eq!(bench.range(WRITE_ZEROES, 0, 1, 0), UNSUPPORTED);
    assert_eq!(bench.request(READ, 0, &[(DATA, 512, WRITE)]), OK);
    assert_eq!(bench.request(FLUSH, 0, &[]), OK);
}

#[test]
fn what_was_flushed_survives_a_power_cut() {
    let mut bench = Bench::new(F_FLUSH);
    bench.driver.put(DATA, &[0x5a; 512]);
    assert_eq!(bench.request(OUT, 1, &[(DATA, 512, 0)]), OK);
    assert_eq!(bench.flushes(), 0, "there is a write cache");
    assert_eq!(bench.disk.content().durable[512], 1);
    assert_eq!(bench.request(FLUSH, 0, &[]), OK);
    assert_eq!(bench.disk.content().durable[512..1024], [0x5a; 512]);
}

#[test]
fn each_flush_is_one_flush_of_the_backend() {
    let mut bench = Bench::new(F_FLUSH);
    bench.header(FLUSH, 0);
    bench.driver.chain(&[(HEADER, 16, 0), (STATUS, 1, WRITE)]);
    (0..5).for_each(|_| bench.driver.offer(0));
    bench.driver.kick();
    assert_eq!((bench.flushes(), bench.driver.used_index()), (5, 5));
}

#[test]
fn a_driver_that_cannot_flush_has_no_write_cache() {
    let mut bench = Bench::new(0);
    assert_eq!(bench.request(OUT, 1, &[(DATA, 512, 0)]), OK);
    assert_eq!(bench.calls(), ["write", "flush"]);
}

#[test]
fn without_a_write_cache_each_write_is_durable() {
    let mut bench = Bench::with(writable(), F_FLUSH | F_RANGES, false);
    assert_eq!(bench.config(32).to_le_bytes()[0], 0);
    assert_eq!(bench.request(OUT, 1, &[(DATA, 512, 0)]), OK);
    assert_eq!(bench.range(WRITE_ZEROES, 0, 1, 0), OK);
    assert_eq!(bench.calls(), ["write", "flush", "write of zeros 0..512 false", "flush"]);
}

#[test]
fn the_driver_switches_the_write_cache() {
    let mut bench = Bench::new(F_FLUSH | F_CONFIG_WCE);
    bench.set_write_cache(0);
    assert_eq!(bench.config(32).to_le_bytes()[0], 0);
    assert_eq!(bench.request(OUT, 1, &[(DATA, 512, 0)]), OK);
    assert_eq!(bench.flushes(), 1);
    bench.set_write_cache(1);
    assert_eq!(bench.request(OUT, 1, &[(DATA, 512, 0)]), OK);
    assert_eq!(bench.flushes(), 1);
    // A reset gives it back its first state; what was not negotiated has no effect.
    bench.set_write_cache(0);
    bench.driver.start(VERSION_1 | F_FLUSH, 16);
    bench.set_write_cache(0);
    assert_eq!(bench.config(32).to_le_bytes()[0], 1);
}

#[test]
fn ranges_are_discarded_and_zeroed() {
    let mut bench = Bench::new(F_FLUSH | F_RANGES);
    assert_eq!(bench.range(DISCARD, 2, 3, 0), OK);
    assert_eq!(bench.range(WRITE_ZEROES, 2, 3, 0), OK);
    assert_eq!(bench.range(WRITE_ZEROES, 0, 64, 1), OK);
    let calls =
        ["discard 1024..2560", "write of zeros 1024..2560 false", "write of zeros 0..32768 true"];
    assert_eq!(bench.calls(), calls);
}

#[test]
fn ranges_that_cannot_be_are_refused() {
    let mut bench = Bench::new(F_FLUSH | F_RANGES);
    for kind in [DISCARD, WRITE_ZEROES] {
        for (sector, count) in [(64, 1), (63, 2), (u64::MAX, 1), (1 << 55, 1), (0, u32::MAX)] {
            assert_eq!(bench.range(kind, sector, count, 0), IO_ERROR, "{sector:#x} {count:#x}");
        }
        for len in [0, 1, 15] {
            assert_eq!(bench.request(kind, 0, &[(DATA, len, 0)]), IO_ERROR);
        }
        assert_eq!(bench.request(kind, 0, &[(DATA, 17, 0)]), UNSUPPORTED);
        assert_eq!(bench.request(kind, 0, &[(DATA, 32, 0)]), UNSUPPORTED, "two ranges");
    }
    assert_eq!(bench.range(DISCARD, 0, 1, 1), UNSUPPORTED, "only zeros may be unmapped");
    for flags in [2, 3, 1 << 31] {
        assert_eq!(bench.range(WRITE_ZEROES, 0, 1, flags), UNSUPPORTED);
    }
    assert!(bench.calls().is_empty());
}

#[test]
fn the_serial_number_has_20_bytes() {
    let mut bench = Bench::new(0);
    bench.driver.put(DATA, &[0xee; 32]);
    assert_eq!(bench.request(GET_ID, 0, &[(DATA, 20, WRITE)]), OK);
    assert_eq!(bench.driver.get(DATA), *b"chukka-1\0\0\0\0\0\0\0\0\0\0\0\0\xee");
    bench.driver.put(DATA, &[0xee; 32]);
    assert_eq!(bench.request(GET_ID, 0, &[(DATA, 3, WRITE), (DATA + 8, 2, WRITE)]), OK);
    assert_eq!(bench.driver.get(DATA), *b"chu\xee\xee\xee\xee\xeekk\xee");
    assert_eq!(bench.request(GET_ID, 0, &[(DATA, 32, WRITE)]), OK);
    assert_eq!(bench.driver.get(DATA + 20), [0xee]);
    assert_eq!(bench.request(GET_ID, 0, &[]), OK);
}

#[test]
fn errors_of_the_backend_reach_the_guest_and_the_observer() {
    let mut bench = Bench::new(F_FLUSH | F_RANGES);
    for failing in [
        Operation::Read,
        Operation::Write,
        Operation::Flush,
        Operation::Discard,
        Operation::WriteZeroes,
    ] {
        bench.disk.content().failing = Some(failing);
        let status = match failing {
            Operation::Read => bench.request(READ, 0, &[(DATA, 512, WRITE)]),
            Operation::Write => bench.request(OUT, 0, &[(DATA, 512, 0)]),
            Operation::Flush => bench.request(FLUSH, 0, &[]),
            Operation::Discard => bench.range(DISCARD, 0, 1, 0),
            Operation::WriteZeroes => bench.range(WRITE_ZEROES, 0, 1, 0),
        };
        assert_eq!(status, IO_ERROR, "{failing}");
        let error = bench.errors.lock().unwrap().pop().unwrap();
        let full = io::Error::from(io::ErrorKind::StorageFull);
        assert_eq!(error, format!("{failing}: {full}: Report"));
        bench.disk.content().failing = None;
    }
    assert_eq!(bench.request(READ, 0, &[(DATA, 512, WRITE)]), OK);
    assert_eq!(bench.driver.read(register::VIRTIO_MMIO_STATUS), 15);
}

#[test]
fn a_write_whose_flush_fails_has_failed() {
    let mut bench = Bench::new(0);
    bench.disk.content().failing = Some(Operation::Flush);
    assert_eq!(bench.request(OUT, 0, &[(DATA, 512, 0)]), IO_ERROR);
}

/// A disk with this policy whose backend fails at `failing`, and the request that shows it.
fn failing(policy: ErrorPolicy, failing: Operation) -> Bench {
    let bench = Bench::with_policy(writable(), F_FLUSH | F_RANGES, true, policy);
    bench.disk.content().failing = Some(failing);
    bench
}

fn told(bench: &Bench) -> Vec<String> {
    std::mem::take(&mut bench.errors.lock().unwrap())
}

#[test]
fn an_ignored_error_is_a_success_for_the_guest() {
    let ignore = ErrorPolicy { read: OnError::Ignore, write: OnError::Ignore };
    let full = io::Error::from(io::ErrorKind::StorageFull);
    let mut bench = failing(ignore, Operation::Write);
    assert_eq!(bench.request(OUT, 0, &[(DATA, 512, 0)]), OK);
    assert_eq!(told(&bench), [format!("write: {full}: Ignore")]);
    bench.disk.content().failing = Some(Operation::Read);
    assert_eq!(bench.request(READ, 0, &[(DATA, 512, WRITE)]), OK);
    assert_eq!(told(&bench), [format!("read: {full}: Ignore")]);
}

#[test]
fn a_write_to_a_full_file_system_waits_with_all_behind_it_and_is_done_once_there_is_room() {
    let full = io::Error::from(io::ErrorKind::StorageFull);
    let mut bench = failing(ErrorPolicy::default(), Operation::Write);
    bench.header(OUT, 2);
    bench.driver.put(DATA, &[0x5a; 512]);
    bench.driver.chain(&[(HEADER, 16, 0), (DATA, 512, 0), (STATUS, 1, WRITE)]);
    // The second one is offered later, and behind it a flush would find nothing to flush.
    bench.driver.offer(0);
    bench.driver.kick();
    bench.driver.offer(0);
    bench.driver.kick();
    assert_eq!(bench.driver.used_index(), 0);
    assert_eq!(bench.driver.get(STATUS), [0xee]);
    assert_eq!(told(&bench), [format!("write: {full}: Hold")], "one line for all attempts");
    assert_eq!(bench.calls(), ["write", "write"]);
    assert!(bench.driver.state().serve(0), "it is still held");
    bench.disk.content().failing = None;
    assert!(!bench.driver.state().serve(0));
    assert_eq!(bench.driver.used_index(), 2);
    assert_eq!(bench.driver.get(STATUS), [OK]);
    assert_eq!(bench.disk.content().now[1024..1536], [0x5a; 512]);
    assert_eq!(told(&bench), ["resumed"]);
    assert_eq!(bench.request(READ, 0, &[(DATA, 512, WRITE)]), OK);
}

#[test]
fn a_reset_gives_up_the_requests_that_wait() {
    let stop = ErrorPolicy { read: OnError::Stop, write: OnError::Stop };
    let mut bench = failing(stop, Operation::Read);
    bench.header(READ, 2);
    assert_eq!(bench.driver.request(&[(HEADER, 16, 0), (DATA, 513, WRITE)]), None);
    assert!(bench.driver.state().serve(0));
    bench.driver.write(register::VIRTIO_MMIO_STATUS, 0);
    assert!(!bench.driver.state().serve(0));
    bench.disk.content().failing = None;
    bench.calls();
    bench.driver.start(VERSION_1 | F_FLUSH, 16);
    assert_eq!(bench.request(OUT, 0, &[(DATA, 512, 0)]), OK);
    assert_eq!(bench.calls(), ["write"]);
    assert_eq!(told(&bench).len(), 1, "nothing was resumed");
}

#[test]
fn a_flush_that_waits_is_a_flush_of_all_before_it() {
    let mut bench = failing(ErrorPolicy::default(), Operation::Flush);
    bench.driver.put(DATA, &[0x5a; 512]);
    assert_eq!(bench.request(OUT, 1, &[(DATA, 512, 0)]), OK);
    bench.header(FLUSH, 0);
    assert_eq!(bench.driver.request(&[(HEADER, 16, 0), (STATUS, 1, WRITE)]), None);
    assert_eq!(bench.disk.content().durable[512], 1);
    bench.disk.content().failing = None;
    assert!(!bench.driver.state().serve(0));
    assert_eq!(bench.driver.get(STATUS), [OK]);
    assert_eq!(bench.disk.content().durable[512..1024], [0x5a; 512]);
}

/// A driver that writes anything into its descriptors.
#[test]
fn requests_of_any_shape_leave_a_device_that_works() {
    let mut bench = Bench::new(F_FLUSH | F_RANGES | INDIRECT_DESC);
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let addresses =
        [0, HEADER, HEADER + 8, DATA, STATUS, TABLE, 0x1000, 0x3000, RAM - 4, RAM, u64::MAX];
    let lengths = [0, 1, 15, 16, 17, 20, 31, 32, 512, 513, 1024, 65536, u32::MAX];
    for _ in 0..5_000 {
        let kind = random.of(&[READ, OUT, FLUSH, GET_ID, DISCARD, WRITE_ZEROES, 99]);
        bench.header(kind, random.of(&[0, 1, 63, 64, 65, u64::MAX]));
        for index in 0..8 {
            let descriptor = (
                random.of(&addresses),
                random.of(&lengths),
                u16::try_from(random.next() % 8).unwrap(),
                random.of(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 15, 16, 0xffff]),
            );
            let table = random.of(&[0x1000, TABLE]);
            bench.driver.descriptor(table, index, descriptor);
        }
        bench.driver.offer(random.of(&[0, 1, 2, 3, 15, 15, 15, 16]));
        bench.driver.kick();
        if bench.driver.status() & 64 != 0 {
            bench.driver.start(VERSION_1 | F_FLUSH | F_RANGES | INDIRECT_DESC, 16);
        }
    }
    bench.driver.start(VERSION_1 | F_FLUSH, 16);
    let sector = bench.disk.content().now[512..1024].to_vec();
    assert_eq!(bench.request(READ, 1, &[(DATA, 512, WRITE)]), OK);
    assert_eq!(bench.driver.get::<512>(DATA)[..], sector);
}

/// Xorshift, so that a failure repeats.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        let count = u64::try_from(choices.len()).unwrap();
        choices[usize::try_from(self.next() % count).unwrap()]
    }
}

#[test]
fn what_the_disk_does_is_counted_and_what_it_refuses_is_not() {
    let count = |done, bytes, failed| Count { done, bytes, failed };
    let mut bench = Bench::new(F_FLUSH | F_RANGES);
    bench.request(READ, 3, &[(DATA, 1024, WRITE), (DATA + 1024, 512, WRITE)]);
    bench.request(READ, 4, &[(DATA, 512, WRITE)]);
    bench.request(OUT, 5, &[(DATA, 512, 0)]);
    bench.range(WRITE_ZEROES, 8, 4, 0);
    bench.range(DISCARD, 16, 2, 0);
    bench.request(FLUSH, 0, &[]);
    assert_eq!(bench.request(READ, SECTORS, &[(DATA, 512, WRITE)]), IO_ERROR, "beyond the end");
    bench.request(GET_ID, 0, &[(DATA, 20, WRITE)]);
    let expected = Counts {
        read: count(2, 2048, 0),
        write: count(2, 512 + 2048, 0),
        flush: count(1, 0, 0),
        discard: count(1, 1024, 0),
    };
    assert_eq!(bench.shown.counts(), expected);
    for failing in [Operation::Read, Operation::Write, Operation::Flush, Operation::Discard] {
        bench.disk.content().failing = Some(failing);
        bench.request(READ, 4, &[(DATA, 512, WRITE)]);
        bench.request(OUT, 5, &[(DATA, 512, 0)]);
        bench.request(FLUSH, 0, &[]);
        bench.range(DISCARD, 16, 2, 0);
    }
    let expected = Counts {
        read: count(2 + 3, 2048 + 3 * 512, 1),
        write: count(2 + 3, 512 + 2048 + 3 * 512, 1),
        flush: count(1 + 3, 0, 1),
        discard: count(1 + 3, 1024 + 3 * 1024, 1),
    };
    assert_eq!(bench.shown.counts(), expected);
}

#[test]
fn a_write_that_is_made_durable_counts_once_and_a_held_one_when_it_ends() {
    let policy = ErrorPolicy { read: OnError::Report, write: OnError::Stop };
    let mut bench = Bench::with_policy(writable(), F_FLUSH, false, policy);
    bench.request(OUT, 5, &[(DATA, 512, 0)]);
    let write = Count { done: 1, bytes: 512, failed: 0 };
    assert_eq!(bench.shown.counts(), Counts { write, ..Counts::default() });
    bench.disk.content().failing = Some(Operation::Flush);
    bench.header(OUT, 6);
    let chain = [(HEADER, 16, 0), (DATA, 512, 0), (STATUS, 1, WRITE)];
    assert_eq!(bench.driver.request(&chain), None, "it is held");
    assert_eq!(bench.shown.counts(), Counts { write, ..Counts::default() });
    bench.disk.content().failing = None;
    bench.driver.state().serve(0);
    let write = Count { done: 2, bytes: 1024, failed: 0 };
    assert_eq!(bench.shown.counts(), Counts { write, ..Counts::default() });
}
