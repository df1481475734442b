//! `fw_cfg_dma_transfer`, row by row: WRITE.

use fw_cfg::dma::{READ, SKIP, WRITE};

use crate::guest::{
    ABSENT, BUFFER, DATA, DATA_BYTES, EMPTY, ERROR, Guest, INVALID, MEMORY, OK, WRITABLE,
    WRITABLE_BYTES,
};

fn guest() -> Guest {
    let guest = Guest::standard();
    guest.poke(BUFFER, b"ABCDEFGHIJKLMNOPQRSTUVWX");
    guest
}

fn no_writes(guest: &Guest) -> bool {
    guest.writes.lock().unwrap().is_empty()
}

#[test]
fn a_write_changes_the_item_and_calls_on_write() {
    let mut guest = guest();
    assert_eq!(guest.dma(Guest::select_and(WRITABLE, WRITE), 8, BUFFER), OK);
    assert_eq!(*guest.writes.lock().unwrap(), [(b"ABCDEFGH".to_vec(), 0, 8)]);
    assert_eq!(guest.item(WRITABLE, 8), b"ABCDEFGH");
}

#[test]
fn a_write_after_a_skip_reports_its_offset() {
    let mut guest = guest();
    assert_eq!(guest.dma(Guest::select_and(WRITABLE, SKIP), 2, 0), OK);
    assert_eq!(guest.dma(WRITE, 3, BUFFER), OK);
    assert_eq!(guest.dma(WRITE, 1, BUFFER + 10), OK);
    let writes = guest.writes.lock().unwrap().clone();
    assert_eq!(writes, [(b"unABCtte".to_vec(), 2, 3), (b"unABCKte".to_vec(), 5, 1)]);
    assert_eq!(guest.insb(3), b"te\0");
}

#[test]
fn a_write_to_a_read_only_item_is_an_error_and_only_advances_the_offset() {
    let mut guest = guest();
    assert_eq!(guest.dma(Guest::select_and(DATA, WRITE), 4, BUFFER), ERROR);
    assert_eq!(guest.inb(0x511), 5);
    assert_eq!(guest.item(DATA, 16), DATA_BYTES);
    for key in [0, 1, 0x19] {
        let before = guest.item(key, 64);
        assert_eq!(guest.dma(Guest::select_and(key, WRITE), 1, BUFFER), ERROR);
        assert_eq!(guest.item(key, 64), before);
    }
}

#[test]
fn a_write_beyond_the_end_is_an_error_and_writes_nothing() {
    let mut guest = guest();
    assert_eq!(guest.dma(Guest::select_and(WRITABLE, WRITE), 9, BUFFER), ERROR);
    assert_eq!(guest.inb(0x511), 0, "the offset is at the end");
    assert_eq!(guest.dma(Guest::select_and(WRITABLE, SKIP), 5, 0), OK);
    assert_eq!(guest.dma(WRITE, 4, BUFFER), ERROR);
    assert!(no_writes(&guest));
    assert_eq!(guest.item(WRITABLE, 9), *b"unwritte\0");
}

#[test]
fn a_write_from_outside_memory_is_an_error_and_writes_nothing() {
    let mut guest = guest();
    for address in [MEMORY - 7, MEMORY, 1 << 50, u64::MAX - 3, u64::MAX] {
        assert_eq!(guest.dma(Guest::select_and(WRITABLE, WRITE), 8, address), ERROR);
        assert_eq!(guest.inb(0x511), 0, "the offset has not advanced");
    }
    assert!(no_writes(&guest));
    guest.poke(BUFFER, &[0; 8]);
    assert_eq!(guest.item(WRITABLE, 8), WRITABLE_BYTES);
}

#[test]
fn a_write_from_adjacent_regions_succeeds_and_from_across_a_hole_is_an_error() {
    let mut guest = Guest::with_memory(&[(0, 0x8000), (0x8000, 0x1000), (0xa000, 0x1000)]);
    guest.poke(0x7ffc, b"ABCDEFGH");
    assert_eq!(guest.dma(Guest::select_and(WRITABLE, WRITE), 8, 0x7ffc), OK);
    assert_eq!(guest.item(WRITABLE, 8), b"ABCDEFGH");
    assert_eq!(guest.dma(Guest::select_and(WRITABLE, WRITE), 8, 0x8ffc), ERROR);
    assert_eq!(guest.item(WRITABLE, 8), b"ABCDEFGH");
}

#[test]
fn a_write_at_the_end_or_to_an_empty_or_absent_item_is_an_error() {
    let mut guest = guest();
    for key in [EMPTY, ABSENT, INVALID, 0xffff] {
        assert_eq!(guest.dma(Guest::select_and(key, WRITE), 1, BUFFER), ERROR, "{key:#x}");
    }
    guest.dma(Guest::select_and(WRITABLE, SKIP), 8, 0);
    assert_eq!(guest.dma(WRITE, 1, BUFFER), ERROR);
    assert!(no_writes(&guest));
}

#[test]
fn bit_14_of_the_key_does_not_affect_writes() {
    let mut guest = guest();
    assert_eq!(guest.dma(Guest::select_and(DATA | 0x4000, WRITE), 4, BUFFER), ERROR);
    assert_eq!(guest.item(DATA, 16), DATA_BYTES);
    guest.poke(BUFFER, b"ABCD");
    assert_eq!(guest.dma(Guest::select_and(WRITABLE | 0x4000, WRITE), 4, BUFFER), OK);
    assert_eq!(guest.item(WRITABLE, 8), b"ABCDitte");
}

#[test]
fn written_bytes_are_read_by_port_and_by_dma_and_survive_a_reset() {
    let mut guest = guest();
    guest.dma(Guest::select_and(WRITABLE, WRITE), 4, BUFFER);
    guest.device.reset();
    guest.outw(0x510, WRITABLE);
    assert_eq!(guest.insb(8), b"ABCDitte");
    guest.outw(0x510, WRITABLE);
    assert_eq!(guest.dma(READ, 8, BUFFER), OK);
    assert_eq!(guest.peek(BUFFER, 8), b"ABCDitte");
}

#[test]
fn a_writable_item_never_changes_its_size() {
    let mut guest = guest();
    let directory = guest.item(0x19, 4 + 3 * 64);
    guest.poke(BUFFER, &[7; 64]);
    for length in 1..20 {
        let outcome = guest.dma(Guest::select_and(WRITABLE, WRITE), length, BUFFER);
        assert_eq!(outcome, if length <= 8 { OK } else { ERROR });
        assert_eq!(guest.dma(WRITE, length.max(8), BUFFER), ERROR);
    }
    assert!(guest.writes.lock().unwrap().iter().all(|(bytes, ..)| bytes.len() == 8));
    assert_eq!(guest.item(WRITABLE, 12)[8..], [0; 4]);
    assert_eq!(guest.item(0x19, 4 + 3 * 64), directory);
}
