//! `fw_cfg_dma_transfer`, row by row: descriptors, READ and SKIP.

use std::hint;
use std::sync::Barrier;
use std::sync::atomic::Ordering;
use std::thread;

use fw_cfg::Items;
use fw_cfg::dma::{Descriptor, ERROR as ERROR_BIT, READ, SELECT, SKIP, WRITE};
use vm_memory::{Bytes, GuestAddress};

use crate::guest::{
    ABSENT, BUFFER, DATA, DATA_BYTES, DESC, EMPTY, ERROR, Guest, INVALID, MEMORY, OK, OLD,
    WRITABLE, WRITABLE_BYTES,
};

#[test]
fn a_descriptor_outside_memory_changes_neither_selection_nor_offset() {
    let mut guest = Guest::standard();
    guest.outw(0x510, DATA);
    assert_eq!(guest.insb(2), [1, 2]);
    for at in [MEMORY, 1 << 40, u64::MAX - 15, u64::MAX - 14, u64::MAX - 3, u64::MAX] {
        guest.start(at);
    }
    assert_eq!(guest.insb(2), [3, 4]);
}

#[test]
fn a_descriptor_across_the_end_of_memory_gets_the_error_bit_if_control_is_in_memory() {
    let mut guest = Guest::standard();
    let request = Descriptor { control: Guest::select_and(DATA, READ), length: 4, address: BUFFER };
    for inside in [4, 8, 15] {
        guest.outw(0x510, WRITABLE);
        let at = MEMORY - inside as u64;
        guest.poke(at, &request.to_bytes()[..inside]);
        guest.start(at);
        assert_eq!(guest.control(at), ERROR, "{inside} bytes are in memory");
        assert_eq!(guest.peek(BUFFER, 4), [OLD; 4]);
        assert_eq!(guest.insb(8), WRITABLE_BYTES, "an item was selected");
    }
}

#[test]
fn a_descriptor_with_control_partly_outside_memory_does_nothing() {
    let mut guest = Guest::standard();
    for inside in 1..4 {
        guest.start(MEMORY - inside);
    }
    assert_eq!(guest.insb(4), *b"QEMU");
}

#[test]
fn a_descriptor_may_be_at_the_very_end_of_memory() {
    let mut guest = Guest::standard();
    assert_eq!(guest.dma_at(MEMORY - 16, Guest::select_and(DATA, READ), 4, BUFFER), OK);
    assert_eq!(guest.peek(BUFFER, 4), [1, 2, 3, 4]);
}

#[test]
fn a_descriptor_needs_no_alignment() {
    let mut guest = Guest::standard();
    for at in DESC..DESC + 16 {
        guest.poke(BUFFER, &[OLD; 4]);
        assert_eq!(guest.dma_at(at, Guest::select_and(DATA, READ), 4, BUFFER), OK);
        assert_eq!(guest.peek(BUFFER, 4), [1, 2, 3, 4]);
    }
}

#[test]
fn a_descriptor_may_span_two_adjacent_regions() {
    let mut guest = Guest::with_memory(&[(0, 0x8000), (0x8000, 0x8000)]);
    for inside in 1..16 {
        let at = 0x8000 - inside;
        assert_eq!(guest.dma_at(at, Guest::select_and(DATA, READ), 4, BUFFER), OK);
        assert_eq!(guest.peek(BUFFER, 4), [1, 2, 3, 4]);
    }
}

#[test]
fn a_descriptor_may_not_span_a_hole() {
    let mut guest = Guest::with_memory(&[(0, 0x8000), (0x9000, 0x8000)]);
    guest.poke(0x7ff8, &Guest::select_and(DATA, READ).to_be_bytes());
    guest.start(0x7ff8);
    assert_eq!(guest.control(0x7ff8), ERROR);
    assert_eq!(guest.peek(0x9000, 8), [OLD; 8]);
}

#[test]
fn only_control_is_written_back() {
    let mut guest = Guest::standard();
    let request =
        Descriptor { control: Guest::select_and(DATA, READ), length: 20, address: BUFFER };
    guest.dma(request.control, request.length, request.address);
    assert_eq!(guest.peek(DESC + 4, 12), request.to_bytes()[4..]);
    assert_eq!(guest.peek(DESC - 1, 1), [OLD]);
    assert_eq!(guest.peek(DESC + 16, 1), [OLD]);
}

#[test]
fn control_is_written_last_even_if_the_data_overwrote_it() {
    let mut guest = Guest::standard();
    assert_eq!(guest.dma(Guest::select_and(DATA, READ), 16, DESC), OK);
    assert_eq!(guest.peek(DESC + 4, 12), DATA_BYTES[4..]);
}

/// SeaBIOS and Linux spin on `control` and then use the data.
#[test]
fn a_guest_that_polls_control_finds_all_of_the_data() {
    const LEN: usize = 32 << 20;
    let mut items = Items::new();
    items.add_file("data", vec![0x55; LEN]).unwrap();
    let mut guest = Guest::new(items, &[(0, BUFFER as usize + LEN)]);
    let memory = guest.memory.clone();
    let request =
        Descriptor { control: Guest::select_and(DATA, READ), length: LEN as u32, address: BUFFER };
    let last = BUFFER + LEN as u64 - 1;
    for _ in 0..10 {
        guest.poke(last, &[OLD]);
        guest.poke(DESC, &request.to_bytes());
        let polling = Barrier::new(2);
        let found = thread::scope(|scope| {
            let other_cpu = scope.spawn(|| {
                polling.wait();
                while memory.load::<u32>(GuestAddress(DESC), Ordering::Acquire).unwrap() != OK {
                    hint::spin_loop();
                }
                memory.load::<u8>(GuestAddress(last), Ordering::Relaxed).unwrap()
            });
            polling.wait();
            guest.start(DESC);
            other_cpu.join().unwrap()
        });
        assert_eq!(found, 0x55, "control was written before the data");
    }
}

#[test]
fn select_resets_the_offset_before_the_operation() {
    let mut guest = Guest::standard();
    assert_eq!(guest.item(DATA, 5), DATA_BYTES[..5]);
    assert_eq!(guest.item(DATA, 5), DATA_BYTES[..5]);
    assert_eq!(guest.item(WRITABLE, 5), WRITABLE_BYTES[..5]);
}

#[test]
fn selecting_a_key_beyond_the_tables_is_not_an_error() {
    let mut guest = Guest::standard();
    assert_eq!(guest.dma(Guest::select_and(INVALID, 0), 0, 0), OK);
    assert_eq!(guest.insb(4), [0; 4]);
    assert_eq!(guest.item(INVALID, 8), [0; 8]);
}

#[test]
fn select_alone_ignores_length_and_address() {
    let mut guest = Guest::standard();
    assert_eq!(guest.dma(Guest::select_and(DATA, 0), u32::MAX, u64::MAX), OK);
    assert_eq!(guest.insb(3), [1, 2, 3]);
}

#[test]
fn a_request_without_any_bit_does_nothing_and_succeeds() {
    let mut guest = Guest::standard();
    guest.outw(0x510, DATA);
    guest.inb(0x511);
    // Without SELECT, the upper half is ignored.
    assert_eq!(guest.dma(u32::from(WRITABLE) << 16, 4, BUFFER), OK);
    assert_eq!(guest.peek(BUFFER, 4), [OLD; 4]);
    assert_eq!(guest.inb(0x511), 2);
}

#[test]
fn read_takes_precedence_over_write_and_skip() {
    let mut guest = Guest::standard();
    guest.poke(BUFFER, b"new");
    assert_eq!(guest.dma(Guest::select_and(WRITABLE, READ | WRITE | SKIP), 3, BUFFER), OK);
    assert_eq!(guest.peek(BUFFER, 3), WRITABLE_BYTES[..3]);
    assert_eq!(guest.inb(0x511), WRITABLE_BYTES[3]);
    assert!(guest.writes.lock().unwrap().is_empty());
}

#[test]
fn write_takes_precedence_over_skip() {
    let mut guest = Guest::standard();
    guest.poke(BUFFER, b"new");
    assert_eq!(guest.dma(Guest::select_and(WRITABLE, WRITE | SKIP), 3, BUFFER), OK);
    assert_eq!(guest.inb(0x511), WRITABLE_BYTES[3]);
    assert_eq!(guest.item(WRITABLE, 8), b"newritte");
}

#[test]
fn unknown_control_bits_are_ignored() {
    let mut guest = Guest::standard();
    for bit in 5..16 {
        guest.poke(BUFFER, &[OLD; 4]);
        assert_eq!(guest.dma(Guest::select_and(DATA, READ | 1 << bit), 4, BUFFER), OK, "bit {bit}");
        assert_eq!(guest.peek(BUFFER, 4), [1, 2, 3, 4]);
    }
    assert_eq!(guest.dma(0xffe0, 4, BUFFER), OK);
}

#[test]
fn the_error_bit_in_a_request_is_ignored_and_overwritten() {
    let mut guest = Guest::standard();
    assert_eq!(guest.dma(Guest::select_and(DATA, READ | ERROR_BIT), 4, BUFFER), OK);
    assert_eq!(guest.peek(BUFFER, 4), [1, 2, 3, 4]);
    assert_eq!(guest.dma(ERROR_BIT, 4, BUFFER), OK);
}

#[test]
fn length_0_succeeds_and_ignores_the_address() {
    let mut guest = Guest::standard();
    for control in [READ, WRITE, SKIP, READ | WRITE | SKIP, 0] {
        for address in [MEMORY, u64::MAX] {
            for key in [DATA, EMPTY, WRITABLE, ABSENT, INVALID] {
                assert_eq!(guest.dma(Guest::select_and(key, control), 0, address), OK);
            }
        }
    }
    assert!(guest.writes.lock().unwrap().is_empty());
}

#[test]
fn a_read_copies_the_next_bytes_and_advances_the_offset() {
    let mut guest = Guest::standard();
    assert_eq!(guest.dma(Guest::select_and(DATA, READ), 6, BUFFER), OK);
    assert_eq!(guest.dma(READ, 6, BUFFER + 6), OK);
    assert_eq!(guest.peek(BUFFER, 13), [&DATA_BYTES[..12], &[OLD]].concat());
    assert_eq!(guest.inb(0x511), 13);
}

#[test]
fn a_read_past_the_end_is_padded_with_zeros_and_succeeds() {
    let mut guest = Guest::standard();
    let read = guest.item(DATA, 24);
    assert_eq!(read, [&DATA_BYTES[..], &[0; 8]].concat());
    assert_eq!(guest.peek(BUFFER + 24, 1), [OLD]);
}

#[test]
fn a_read_of_an_absent_or_empty_item_or_at_its_end_returns_zeros_and_succeeds() {
    let mut guest = Guest::standard();
    for key in [ABSENT, INVALID, EMPTY, 0x8000, 0xffff, 0x23] {
        guest.poke(BUFFER, &[OLD; 8]);
        assert_eq!(guest.item(key, 8), [0; 8], "{key:#x}");
    }
    guest.item(DATA, 16);
    guest.poke(BUFFER, &[OLD; 8]);
    assert_eq!(guest.dma(READ, 8, BUFFER), OK);
    assert_eq!(guest.peek(BUFFER, 9), [0, 0, 0, 0, 0, 0, 0, 0, DATA_BYTES[8]]);
}

#[test]
fn zeros_are_written_across_chunks_and_regions() {
    let len = 0x3_0007u32;
    let mut guest = Guest::with_memory(&[(0, 0x2_0000), (0x2_0000, 0x4_0000)]);
    assert_eq!(guest.item(DATA, len)[16..], vec![0; len as usize - 16]);
    assert_eq!(guest.peek(BUFFER + u64::from(len), 1), [OLD]);
}

#[test]
fn a_read_to_outside_memory_is_an_error_but_advances_the_offset() {
    let mut guest = Guest::standard();
    for address in [MEMORY, 1 << 32, u64::MAX - 1, u64::MAX] {
        assert_eq!(guest.dma(Guest::select_and(DATA, READ), 4, address), ERROR);
        assert_eq!(guest.inb(0x511), 5);
    }
    assert_eq!(guest.dma(Guest::select_and(DATA, READ), 100, MEMORY), ERROR);
    assert_eq!(guest.inb(0x511), 0);
}

#[test]
fn a_read_across_the_end_of_memory_is_an_error_and_the_next_request_works() {
    let mut guest = Guest::standard();
    assert_eq!(guest.dma(Guest::select_and(DATA, READ), 16, MEMORY - 8), ERROR);
    assert_eq!(guest.dma(Guest::select_and(ABSENT, READ), 16, MEMORY - 8), ERROR);
    assert_eq!(guest.dma(Guest::select_and(DATA, READ), 17, MEMORY - 16), ERROR);
    assert_eq!(guest.dma(Guest::select_and(DATA, READ), 16, MEMORY - 16), OK);
    assert_eq!(guest.peek(MEMORY - 16, 16), DATA_BYTES);
}

#[test]
fn a_read_across_adjacent_regions_succeeds() {
    let mut guest = Guest::with_memory(&[(0, 0x8000), (0x8000, 0x8000)]);
    for before in 0..20 {
        let address = 0x8000 - before;
        assert_eq!(guest.dma(Guest::select_and(DATA, READ), 20, address), OK);
        assert_eq!(guest.peek(address, 20), [&DATA_BYTES[..], &[0; 4]].concat());
    }
}

#[test]
fn a_read_across_a_hole_is_an_error_and_writes_nothing_beyond_it() {
    let mut guest = Guest::with_memory(&[(0, 0x8000), (0x8001, 0x8000)]);
    for key in [DATA, ABSENT] {
        assert_eq!(guest.dma(Guest::select_and(key, READ), 16, 0x7ff8), ERROR);
        assert_eq!(guest.peek(0x8001, 16), [OLD; 16]);
    }
}

#[test]
fn a_read_does_not_wrap_around_the_address_space() {
    // Memory up to the last address that vm-memory supports.
    let mut guest = Guest::with_memory(&[(0, MEMORY as usize), (u64::MAX - 0x1000, 0x1000)]);
    let at = u64::MAX - 16;
    assert_eq!(guest.dma_at(at, Guest::select_and(DATA, READ), 16, BUFFER), OK);
    for (key, address) in [(DATA, at), (DATA, u64::MAX - 4), (ABSENT, at), (DATA, u64::MAX)] {
        assert_eq!(guest.dma(Guest::select_and(key, READ), 32, address), ERROR);
        assert_eq!(guest.dma(Guest::select_and(key, READ), u32::MAX, address), ERROR);
    }
    assert_eq!(guest.peek(0, 64), [OLD; 64]);
}

#[test]
fn length_0xffffffff_stops_at_the_end_of_memory() {
    let mut guest = Guest::standard();
    for key in [DATA, EMPTY, ABSENT, INVALID] {
        assert_eq!(guest.dma(Guest::select_and(key, READ), u32::MAX, BUFFER), ERROR);
        assert_eq!(guest.peek(MEMORY - 1, 1), [0], "zeros up to the end of memory");
    }
    assert_eq!(guest.dma(Guest::select_and(WRITABLE, WRITE), u32::MAX, BUFFER), ERROR);
    assert_eq!(guest.dma(Guest::select_and(DATA, SKIP), u32::MAX, BUFFER), OK);
}

#[test]
fn a_skip_advances_the_offset_and_ignores_the_address() {
    let mut guest = Guest::standard();
    assert_eq!(guest.dma(Guest::select_and(DATA, SKIP), 4, u64::MAX), OK);
    assert_eq!(guest.dma(SKIP, 3, MEMORY), OK);
    assert_eq!(guest.dma(READ, 2, BUFFER), OK);
    assert_eq!(guest.peek(BUFFER, 2), [8, 9]);
}

#[test]
fn a_skip_beyond_the_end_stops_at_the_end_and_succeeds() {
    let mut guest = Guest::standard();
    for _ in 0..3 {
        assert_eq!(guest.dma(Guest::select_and(DATA, SKIP), 17, 0), OK);
        assert_eq!(guest.dma(SKIP, u32::MAX, 0), OK);
        assert_eq!(guest.insb(2), [0, 0]);
    }
    for key in [EMPTY, ABSENT, INVALID] {
        assert_eq!(guest.dma(Guest::select_and(key, SKIP), 17, 0), OK);
    }
}

#[test]
fn select_is_bit_3_and_the_key_is_the_upper_half() {
    assert_eq!([ERROR_BIT, READ, SKIP, SELECT, WRITE], [1, 2, 4, 8, 16]);
    let wire = *b"\x00\x19\x00\x0a\x00\x00\x00\x40\x00\x00\x00\x01\x00\x00\x20\x00";
    let descriptor = Descriptor { control: 0x19_000a, length: 0x40, address: 0x1_0000_2000 };
    assert_eq!(Descriptor::from_bytes(wire), descriptor);
    assert_eq!(descriptor.to_bytes(), wire);
}
