use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

const SIZE: usize = 4 * BLOCK_BYTES;

/// What happened to the file and to the window, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Event {
    Write(u64, usize),
    Flush,
    Shown(bool),
    Error(FlashOperation),
}

/// A file and a window that record what happens to them.
#[derive(Debug)]
struct Recorder {
    file: Mutex<Vec<u8>>,
    array: Mutex<Vec<u8>>,
    events: Mutex<Vec<Event>>,
    is_read_only: AtomicBool,
    fails: AtomicBool,
}

impl Recorder {
    fn note(&self, event: Event) {
        self.events.lock().unwrap().push(event);
    }

    fn take(&self) -> Vec<Event> {
        std::mem::take(&mut self.events.lock().unwrap())
    }

    fn result(&self) -> io::Result<()> {
        let is_full = self.fails.load(Ordering::SeqCst);
        if is_full { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn array(&self, offset: usize) -> u8 {
        assert_eq!(self.file.lock().unwrap()[offset], self.array.lock().unwrap()[offset]);
        self.array.lock().unwrap()[offset]
    }
}

#[derive(Clone, Debug)]
struct Shared(Arc<Recorder>);

impl FlashBackend for Shared {
    fn len(&self) -> u64 {
        SIZE as u64
    }
    fn is_read_only(&self) -> bool {
        self.0.is_read_only.load(Ordering::SeqCst)
    }
    fn read(&self, data: &mut [u8], offset: u64) -> io::Result<()> {
        let start = usize::try_from(offset).unwrap();
        data.copy_from_slice(&self.0.file.lock().unwrap()[start..start + data.len()]);
        Ok(())
    }
    fn write(&self, data: &[u8], offset: u64) -> io::Result<()> {
        assert!(offset.is_multiple_of(SECTOR) && (data.len() as u64).is_multiple_of(SECTOR));
        self.0.note(Event::Write(offset, data.len()));
        self.0.result()?;
        let start = usize::try_from(offset).unwrap();
        self.0.file.lock().unwrap()[start..start + data.len()].copy_from_slice(data);
        Ok(())
    }
    fn flush(&self) -> io::Result<()> {
        self.0.note(Event::Flush);
        self.0.result()
    }
}

impl FlashWindow for Shared {
    fn read(&self, offset: u64, data: &mut [u8]) {
        let start = usize::try_from(offset).unwrap();
        data.copy_from_slice(&self.0.array.lock().unwrap()[start..start + data.len()]);
    }
    fn write(&self, offset: u64, data: &[u8]) {
        let start = usize::try_from(offset).unwrap();
        self.0.array.lock().unwrap()[start..start + data.len()].copy_from_slice(data);
    }
    fn show_array(&mut self, shown: bool) {
        self.0.note(Event::Shown(shown));
    }
}

/// A chip whose bytes are 0xff, but for 0x5a at its beginning.
fn chip() -> (Pflash, Arc<Recorder>) {
    let mut contents = vec![0xff; SIZE];
    contents[0] = 0x5a;
    let recorder = Arc::new(Recorder {
        file: Mutex::new(contents.clone()),
        array: Mutex::new(contents),
        events: Mutex::default(),
        is_read_only: AtomicBool::new(false),
        fails: AtomicBool::new(false),
    });
    let told = Arc::clone(&recorder);
    let on_error = Box::new(move |operation, _: &io::Error| told.note(Event::Error(operation)));
    let shared = Shared(Arc::clone(&recorder));
    let file = Arc::new(FlashFile { backend: Box::new(shared.clone()), on_error });
    (Pflash::new(file, Box::new(shared)), recorder)
}

fn write(chip: &mut Pflash, offset: u64, value: u8) {
    chip.mmio_write(MmioAddress(0), offset, &[value]);
}

fn read(chip: &mut Pflash, offset: u64) -> u8 {
    let mut data = [0];
    chip.mmio_read(MmioAddress(0), offset, &mut data);
    data[0]
}

/// `QemuFlashDetected` in EDK2.
#[test]
fn edk2_recognizes_a_writable_chip() {
    let (mut chip, recorder) = chip();
    write(&mut chip, 0, 0x50);
    assert_eq!(read(&mut chip, 0), 0x5a);
    write(&mut chip, 0, 0x70);
    assert_eq!(read(&mut chip, 0), 0x00);
    write(&mut chip, 0, 0x10);
    write(&mut chip, 0, 0x5a);
    write(&mut chip, 0, 0x70);
    assert_eq!(read(&mut chip, 0) & PROGRAM_ERROR, 0);
    write(&mut chip, 0, 0xff);
    assert_eq!(read(&mut chip, 0), 0x5a);
    assert_eq!(recorder.take(), [Event::Shown(false), Event::Shown(true)], "nothing has changed");
}

/// `QemuFlashWrite` and `QemuFlashEraseBlock` in EDK2.
#[test]
fn programmed_and_erased_bytes_are_durable_before_the_guest_reads_them() {
    let (mut chip, recorder) = chip();
    for (offset, value) in [(0x11fe, 1), (0x11ff, 2), (0x1200, 3)] {
        write(&mut chip, offset, 0x10);
        write(&mut chip, offset, value);
        assert_eq!(read(&mut chip, offset), READY);
    }
    write(&mut chip, 0x1200, 0xff);
    let sector = |at| Event::Write(at, 512);
    let hidden = [Event::Shown(false), sector(0x1000), sector(0x1000), sector(0x1200)];
    assert_eq!(recorder.take(), [&hidden[..], &[Event::Flush, Event::Shown(true)]].concat());
    assert_eq!([0x11fe, 0x11ff, 0x1200].map(|at| recorder.array(at)), [1, 2, 3]);

    write(&mut chip, 0x1abc, 0x20);
    assert_eq!(recorder.array(0x1200), 3, "not confirmed yet");
    write(&mut chip, 0x1abc, 0xd0);
    assert_eq!(read(&mut chip, 0x1abc), READY);
    assert_eq!([0x11fe, 0x1200].map(|at| recorder.array(at)), [0xff; 2]);
    assert_eq!(recorder.take(), [Event::Shown(false), Event::Write(0x1000, 4096)]);
    chip.reset();
    assert_eq!(recorder.take(), [Event::Flush, Event::Shown(true)]);
    assert_eq!(recorder.array(0), 0x5a, "another block");
}

#[test]
fn wide_data_is_programmed_whole() {
    let (mut chip, recorder) = chip();
    write(&mut chip, 0x11fe, 0x40);
    chip.mmio_write(MmioAddress(0), 0x11fe, &[1, 2, 3, 4]);
    assert_eq!([0x11fd, 0x11fe, 0x1201].map(|at| recorder.array(at)), [0xff, 1, 4]);
    assert!(recorder.take().contains(&Event::Write(0x1000, 1024)));
}

/// `do_write_buffer` in Linux's drivers/mtd/chips/cfi_cmdset_0001.c.
#[test]
fn a_buffer_is_programmed_when_it_is_confirmed() {
    let (mut chip, recorder) = chip();
    write(&mut chip, 0x2000, 0xe8);
    assert_eq!(read(&mut chip, 0x2000) & READY, READY);
    write(&mut chip, 0x2000, 2);
    for (offset, value) in [(0x2010, 7), (0x2011, 8), (0x20ff, 9)] {
        write(&mut chip, offset, value);
    }
    assert_eq!(recorder.array(0x2010), 0xff);
    write(&mut chip, 0x2000, 0xd0);
    assert_eq!(read(&mut chip, 0x2000), READY);
    assert_eq!([0x200f, 0x2010, 0x2011, 0x20ff].map(|at| recorder.array(at)), [0xff, 7, 8, 9]);
    assert_eq!(recorder.take(), [Event::Shown(false), Event::Write(0x2000, 512)]);
}

#[test]
fn a_buffer_across_its_limits_programs_nothing() {
    for end in [0x20, 0xd0] {
        let (mut chip, recorder) = chip();
        for (offset, value) in [(0x2000, 0xe8), (0x2000, 1), (0x20ff, 1), (0x2100, 2), (0, end)] {
            write(&mut chip, offset, value);
        }
        assert_ne!(read(&mut chip, 0) & PROGRAM_ERROR, 0);
        assert_eq!(recorder.take(), [Event::Shown(false)]);
    }
}

#[test]
fn a_read_only_chip_is_never_written_to() {
    let (mut chip, recorder) = chip();
    recorder.is_read_only.store(true, Ordering::SeqCst);
    for (sequence, error) in [
        (&[0x10, 0x00][..], PROGRAM_ERROR),
        (&[0x20, 0xd0], ERASE_ERROR),
        (&[0xe8, 0, 1, 0xd0], PROGRAM_ERROR),
    ] {
        write(&mut chip, 0, 0x50);
        sequence.iter().for_each(|value| write(&mut chip, 0, *value));
        assert_eq!(read(&mut chip, 0), READY | error);
        write(&mut chip, 0, 0xff);
        assert_eq!(read(&mut chip, 0), 0x5a);
    }
    assert!(recorder.take().iter().all(|event| matches!(event, Event::Shown(_))));
}

#[test]
fn what_the_host_cannot_write_is_not_there_and_the_guest_is_told() {
    let (mut chip, recorder) = chip();
    recorder.fails.store(true, Ordering::SeqCst);
    write(&mut chip, 1, 0x10);
    write(&mut chip, 1, 0x00);
    assert_eq!(read(&mut chip, 1), READY | PROGRAM_ERROR);
    write(&mut chip, 1, 0xff);
    assert_eq!(read(&mut chip, 1), 0xff);
    assert!(recorder.take().contains(&Event::Error(FlashOperation::Write)));

    recorder.fails.store(false, Ordering::SeqCst);
    write(&mut chip, 1, 0x50);
    write(&mut chip, 1, 0x10);
    write(&mut chip, 1, 0x00);
    recorder.fails.store(true, Ordering::SeqCst);
    write(&mut chip, 1, 0xff);
    assert!(recorder.take().contains(&Event::Error(FlashOperation::Flush)));
    write(&mut chip, 1, 0x70);
    assert_ne!(read(&mut chip, 1) & PROGRAM_ERROR, 0);
}

#[test]
fn a_broken_sequence_changes_nothing() {
    let (mut chip, recorder) = chip();
    write(&mut chip, 0, 0x20);
    write(&mut chip, 0, 0x12);
    assert_eq!(read(&mut chip, 0), READY | SEQUENCE_ERROR);
    write(&mut chip, 0, 0x20);
    write(&mut chip, 0, 0xff);
    assert_eq!(read(&mut chip, 0), 0x5a);
    write(&mut chip, 0, 0x60);
    write(&mut chip, 0, 0x01);
    write(&mut chip, 0, 0x33);
    assert_eq!(read(&mut chip, 0), 0x5a);
    assert_eq!(recorder.array(0), 0x5a);
}

/// `cfi_qry_present` in Linux's drivers/mtd/chips/cfi_util.c, and the geometry behind it.
#[test]
fn the_cfi_table_describes_the_chip() {
    let (mut chip, _) = chip();
    write(&mut chip, 0x55, 0x98);
    let mut table = [0; 0x52];
    chip.mmio_read(MmioAddress(0), 0, &mut table);
    // `pflash_cfi01_fill_cfi_table` in QEMU, for a device of one byte.
    let expected: [(usize, &[u8]); 5] = [
        (0x10, b"QRY\x01\0\x31\0\0\0\0\0"),
        (0x1b, &[0x45, 0x55, 0, 0, 0x07, 0x07, 0x0a, 0, 0x04, 0x04, 0x04, 0]),
        (0x27, &[14, 0x02, 0, 0x08, 0, 0x01, 3, 0, 0x10, 0]),
        (0x31, b"PRI10"),
        (0x36, &[0, 0, 0, 0, 0, 0, 0, 0, 0, 1]),
    ];
    for (at, bytes) in expected {
        assert_eq!(&table[at..at + bytes.len()], bytes, "from {at:#x}");
    }
    for (blocks, low, high) in [(0x100, 0xff, 0), (0x101, 0, 1)] {
        chip.len = blocks * BLOCK_SIZE;
        write(&mut chip, 0x55, 0x98);
        assert_eq!([0x2d, 0x2e].map(|at| read(&mut chip, at)), [low, high], "{blocks} blocks");
    }
    write(&mut chip, 0, 0x90);
    assert_eq!(read(&mut chip, 0), 0);
    write(&mut chip, 0, 0xff);
    assert_eq!(read(&mut chip, 0), 0x5a);
}

/// Every sequence of five writes from the interesting values: offsets up to the end and beyond.
#[test]
fn no_sequence_panics_or_leaves_file_and_memory_different() {
    const VALUES: [u8; 9] = [0x10, 0x20, 0x50, 0x60, 0x70, 0x98, 0xd0, 0xe8, 0xff];
    let offsets = [0, SIZE as u64 - 1, SIZE as u64 - 256, SIZE as u64, u64::MAX];
    let (mut chip, recorder) = chip();
    for number in 0..VALUES.len().pow(5) {
        let mut rest = number;
        for step in 0..5 {
            let offset = offsets[(number + step) % offsets.len()];
            let data = [VALUES[rest % VALUES.len()]; 8];
            chip.mmio_write(MmioAddress(0), offset, &data[..1 + number % 8]);
            rest /= VALUES.len();
        }
        let mut data = [0; 8];
        chip.mmio_read(MmioAddress(0), offsets[number % offsets.len()], &mut data);
        recorder.take();
    }
    assert_eq!(*recorder.file.lock().unwrap(), *recorder.array.lock().unwrap());
}

#[test]
fn lock_commands_succeed_without_an_effect() {
    for (end, status) in [
        (0x01, READY),
        (0xd0, READY),
        (0x33, READY | SEQUENCE_ERROR),
        (0xff, 0x5a), // the array
    ] {
        let (mut chip, recorder) = chip();
        write(&mut chip, 0, 0x60);
        assert_eq!(read(&mut chip, 0), READY, "it waits for the second byte");
        write(&mut chip, 0, end);
        assert_eq!(read(&mut chip, 0), status, "{end:#x}");
        assert_eq!(recorder.array(0), 0x5a);
    }
}

#[test]
fn a_buffer_that_is_not_confirmed_is_not_programmed() {
    let (mut chip, recorder) = chip();
    write(&mut chip, 0, 0x50);
    write(&mut chip, 0, 0xe8);
    assert_eq!(read(&mut chip, 0), READY, "the buffer is there");
    for value in [0, 0x11, 0x20] {
        write(&mut chip, 0, value);
    }
    assert_eq!(read(&mut chip, 0), READY | SEQUENCE_ERROR);
    assert_eq!(recorder.array(0), 0x5a);
}

#[test]
fn the_last_byte_is_programmed_and_the_one_behind_it_is_not() {
    let (mut chip, recorder) = chip();
    let last = SIZE as u64 - 1;
    for (at, status) in [(last, READY), (last + 1, READY | PROGRAM_ERROR)] {
        write(&mut chip, at, 0x10);
        write(&mut chip, at, 0x77);
        assert_eq!(read(&mut chip, 0), status, "{at:#x}");
    }
    assert_eq!(recorder.array(SIZE - 1), 0x77);
}

#[test]
fn operations_have_names_for_messages() {
    let names =
        [FlashOperation::Write, FlashOperation::Flush].map(|operation| operation.to_string());
    assert_eq!(names, ["write", "flush"]);
}
