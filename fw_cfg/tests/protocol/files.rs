//! Items that are ranges of open files.

use std::fs::File;
use std::sync::{Arc, Mutex};

use fw_cfg::dma::{READ, SKIP, WRITE};
use fw_cfg::event::{DmaError, Event};
use fw_cfg::{Data, Items};
use guest_memory::{FileRange, HostFile};

use crate::guest::{BUFFER, ERROR, Guest, OK, OLD, file, pattern};

const FILE: u16 = 0x20;

fn guest(range: FileRange, memory: &[(u64, usize)]) -> Guest {
    let mut items = Items::new();
    items.add_file("file", range).unwrap();
    Guest::new(items, memory)
}

#[test]
fn a_range_reads_the_same_by_port_and_by_dma() {
    let bytes = pattern(5000);
    let mut guest = guest(FileRange::new(file(&bytes), 700..4900), &[(0, 0x1_0000)]);
    guest.outw(0x510, FILE);
    assert_eq!(guest.insb(4201), [&bytes[700..4900], &[0]].concat());
    assert_eq!(guest.item(FILE, 4201), [&bytes[700..4900], &[0]].concat());
    guest.outw(0x510, FILE);
    guest.insb(10);
    assert_eq!(guest.dma(READ, 20, BUFFER), OK);
    assert_eq!(guest.peek(BUFFER, 20), bytes[710..730]);
    assert_eq!(guest.insb(5), bytes[730..735]);
}

#[test]
fn a_range_is_read_across_regions() {
    let bytes = pattern(0x3000);
    let regions = [(0, 0x3000), (0x3000, 0x1000), (0x4000, 0x2000), (0x7000, 0x1000)];
    let mut guest = guest(FileRange::new(file(&bytes), 1..0x3000), &regions);
    assert_eq!(guest.item(FILE, 0x3000), [&bytes[1..], &[0]].concat());
    // An error at a hole, and nothing is written beyond it.
    assert_eq!(guest.dma(Guest::select_and(FILE, READ), 0x2800, 0x5000), ERROR);
    assert_eq!(guest.peek(0x7000, 0x1000), [OLD; 0x1000]);
}

#[test]
fn two_ranges_of_one_file_do_not_interfere() {
    let bytes = pattern(0x1000);
    let first = file(&bytes);
    // `try_clone` uses dup(2), so both share one file offset.
    let second = first.try_clone().unwrap();
    let mut items = Items::new();
    items.add_file("a", FileRange::new(first, 0..0x800)).unwrap();
    items.add_file("b", FileRange::new(second, 0x800..0x1000)).unwrap();
    let mut guest = Guest::new(items, &[(0, 0x1_0000)]);
    for _ in 0..2 {
        assert_eq!(guest.item(0x20, 0x100), bytes[..0x100]);
        assert_eq!(guest.item(0x21, 0x100), bytes[0x800..0x900]);
        guest.outw(0x510, 0x20);
        assert_eq!(guest.insb(3), bytes[..3]);
    }
}

#[test]
fn a_range_that_ends_before_it_starts_is_empty() {
    let bounds = (5, 2);
    let data = Data::from(FileRange::new(file(b"0123456789"), bounds.0..bounds.1));
    assert!(data.is_empty());
    let Data::File(range) = data else { panic!("not a file") };
    assert_eq!(guest(range, &[(0, 0x1_0000)]).item(FILE, 4), [0; 4]);
}

/// A file that shrinks from 64 to 16 bytes after the machine started, and the errors reported.
fn shrunk() -> (Guest, Arc<Mutex<Vec<String>>>) {
    let bytes = file(&[0x55; 64]);
    let handle = bytes.try_clone().unwrap();
    let mut guest = guest(FileRange::new(bytes, 0..64), &[(0, 0x1_0000)]);
    handle.set_len(16).unwrap();
    let reported = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&reported);
    guest.device.observe(Box::new(move |event: &Event<'_>| match event {
        Event::HostError { item, .. } => log.lock().unwrap().push(format!("host {item}")),
        Event::Dma(dma) if dma.result == Err(DmaError::Host) => {
            log.lock().unwrap().push("dma".into());
        }
        _ => {}
    }));
    (guest, reported)
}

#[test]
fn a_file_that_has_shrunk_is_a_reported_error_by_dma() {
    let (mut guest, reported) = shrunk();
    assert_eq!(guest.dma(Guest::select_and(FILE, READ), 64, BUFFER), ERROR);
    assert_eq!(*reported.lock().unwrap(), ["host file", "dma"]);
    assert_eq!(guest.dma(Guest::select_and(FILE, SKIP), 32, 0), OK);
    assert_eq!(guest.dma(READ, 8, BUFFER), ERROR);
    // Zeros after the item's end do not depend on the file.
    assert_eq!(guest.dma(Guest::select_and(FILE, SKIP), 64, 0), OK);
    assert_eq!(guest.dma(READ, 8, BUFFER), OK);
    assert_eq!(guest.peek(BUFFER, 8), [0; 8]);
    // The remaining bytes may have changed as well.
    assert_eq!(guest.dma(Guest::select_and(FILE, READ), 16, BUFFER), ERROR);
}

#[test]
fn an_error_names_the_files_of_an_item_that_have_a_name() {
    for (path, expected) in [("", "it now ends"), ("/boot/initrd", "'/boot/initrd': it now ends")] {
        let bytes = file(&[0x55; 64]);
        let handle = bytes.try_clone().unwrap();
        let range = FileRange::of(&Arc::new(HostFile::new(bytes, path)), 0..64);
        let mut guest = guest(range, &[(0, 0x1_0000)]);
        handle.set_len(16).unwrap();
        let reported = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&reported);
        guest.device.observe(Box::new(move |event: &Event<'_>| {
            if let Event::HostError { error, .. } = event {
                log.lock().unwrap().push(error.to_string());
            }
        }));
        assert_eq!(guest.dma(Guest::select_and(FILE, READ), 64, BUFFER), ERROR);
        let reported = reported.lock().unwrap();
        assert!(reported.len() == 1 && reported[0].starts_with(expected), "{reported:?}");
    }
}

#[test]
fn a_file_that_has_shrunk_reads_as_zeros_by_port_and_is_reported() {
    let (mut guest, reported) = shrunk();
    guest.outw(0x510, FILE);
    assert_eq!(guest.insb(20), [0; 20]);
    assert_eq!(*reported.lock().unwrap(), ["host file"; 20]);
}

#[test]
fn a_failed_read_of_a_file_that_has_shrunk_leaks_no_old_bytes() {
    let (mut guest, _) = shrunk();
    guest.outw(0x510, FILE);
    let mut wide = [0x77; 64];
    guest.device.read_data(&mut wide);
    assert_eq!(wide, [0; 64], "a partial read, or old bytes of the buffer");
    // By DMA, guest memory beyond the readable bytes stays unchanged.
    guest.dma(Guest::select_and(FILE, READ), 64, BUFFER);
    assert_eq!(guest.peek(BUFFER + 16, 48), [OLD; 48]);
}

#[test]
fn a_file_is_not_read_beyond_its_range_nor_once_it_has_grown() {
    let bytes = file(&[0x55; 32]);
    let handle = bytes.try_clone().unwrap();
    let mut guest = guest(FileRange::new(bytes, 0..16), &[(0, 0x1_0000)]);
    assert_eq!(guest.item(FILE, 24), [[0x55; 16].as_slice(), &[0; 8]].concat());
    std::os::unix::fs::FileExt::write_all_at(&handle, &[0x66; 64], 16).unwrap();
    assert_eq!(guest.dma(Guest::select_and(FILE, READ), 16, BUFFER), ERROR);
}

#[test]
fn a_large_file_is_read_in_its_middle_after_a_skip() {
    const SIZE: u64 = 64 << 20;
    let big = file(&[]);
    big.set_len(SIZE).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&big, b"middle", SIZE / 2).unwrap();
    let mut guest = guest(FileRange::new(big, 0..SIZE), &[(0, 0x1_0000)]);
    assert_eq!(guest.dma(Guest::select_and(FILE, SKIP), (SIZE / 2) as u32 - 2, 0), OK);
    assert_eq!(guest.dma(READ, 10, BUFFER), OK);
    assert_eq!(guest.peek(BUFFER, 10), *b"\0\0middle\0\0");
    assert_eq!(guest.dma(SKIP, u32::MAX, 0), OK);
    assert!(format!("{:?}", guest.device).contains(&format!("offset: {SIZE}")));
}

#[test]
fn short_reads_of_a_file_are_continued() {
    // read(2) returns at most a page of it at a time.
    let Ok(symbols) = File::open("/proc/kallsyms") else { return };
    let mut guest = guest(FileRange::new(symbols, 0..0x8000), &[(0, 0x5000), (0x5000, 0xb000)]);
    guest.outw(0x510, FILE);
    let mut by_port = vec![0; 0x8000];
    guest.device.read_data(&mut by_port);
    let by_dma = guest.item(FILE, 0x8000);
    assert!(by_dma == by_port);
}

#[test]
fn a_file_cannot_be_written_to() {
    let bytes = file(b"content");
    let handle = bytes.try_clone().unwrap();
    let mut guest = guest(FileRange::new(bytes, 0..7), &[(0, 0x1_0000)]);
    assert_eq!(guest.dma(Guest::select_and(FILE, WRITE), 7, BUFFER), ERROR);
    let mut now = [0; 7];
    std::os::unix::fs::FileExt::read_exact_at(&handle, &mut now, 0).unwrap();
    assert_eq!(now, *b"content");
}
