//! Selector and data port, and the valid keys.

use std::sync::{Arc, Mutex};

use fw_cfg::dma::{READ, SKIP};
use fw_cfg::{Items, MAX_FILE_SLOTS, key};

use crate::guest::{
    ABSENT, BUFFER, DATA, DATA_BYTES, EMPTY, Guest, INVALID, OK, WRITABLE, WRITABLE_BYTES,
};

#[test]
fn the_signature_is_selected_at_power_on() {
    assert_eq!(Guest::standard().insb(6), *b"QEMU\0\0");
}

#[test]
fn both_features_are_set_in_little_endian() {
    let mut guest = Guest::standard();
    guest.outw(0x510, key::ID);
    assert_eq!(guest.insb(5), [3, 0, 0, 0, 0]);
}

#[test]
fn select_resets_the_offset() {
    let mut guest = Guest::standard();
    for count in 0..20 {
        guest.outw(0x510, DATA);
        assert_eq!(guest.insb(count)[..], [&DATA_BYTES[..], &[0; 4]].concat()[..count]);
    }
}

#[test]
fn reads_past_the_end_return_zeros_and_keep_the_offset() {
    let mut guest = Guest::standard();
    guest.outw(0x510, WRITABLE);
    assert_eq!(guest.insb(1000)[8..], [0; 992]);
    // No access reveals the offset there, but Debug does.
    assert!(format!("{:?}", guest.device).contains("offset: 8"), "{:?}", guest.device);
    for key in [EMPTY, ABSENT, INVALID] {
        guest.outw(0x510, key);
        assert_eq!(guest.insb(5), [0; 5]);
        assert!(format!("{:?}", guest.device).contains("offset: 0"));
    }
}

#[test]
fn a_wide_read_returns_the_bytes_in_order_then_zeros() {
    let mut guest = Guest::standard();
    guest.outw(0x510, WRITABLE);
    let mut bytes = [0xff; 6];
    guest.device.read_data(&mut bytes);
    assert_eq!(bytes, WRITABLE_BYTES[..6]);
    guest.device.read_data(&mut bytes);
    assert_eq!(bytes, *b"te\0\0\0\0");
    guest.device.read_data(&mut []);
}

#[test]
fn absent_keys_at_the_edges_of_the_tables_read_as_zeros() {
    let mut guest = Guest::standard();
    for key in [0x1a, 0x1f, 0x23, 0x3f, 0x40, 0x3fff, 0x7fff, 0x8000, 0x8040, 0xbfff, 0xffff] {
        guest.outw(0x510, key);
        assert_eq!(guest.insb(4), [0; 4], "{key:#x}");
    }
    // 0x4000 is the signature with the ignored bit, 0xc000 the architecture's item 0.
    guest.outw(0x510, 0x4000);
    assert_eq!(guest.insb(4), *b"QEMU");
    guest.outw(0x510, 0xc000);
    assert_eq!(guest.insb(4), [0; 4]);
}

#[test]
fn the_write_channel_bit_is_ignored_in_both_tables() {
    let mut items = Items::new();
    items.set(key::IRQ0_OVERRIDE, 0x1234_5678u32).unwrap();
    let mut guest = Guest::new(items, &[(0, 0x1_0000)]);
    for key in [0x8002, 0xc002] {
        assert_eq!(guest.item(key, 4), [0x78, 0x56, 0x34, 0x12]);
    }
    guest.outw(0x510, 0x4001);
    assert_eq!(guest.insb(4), [3, 0, 0, 0]);
}

#[test]
fn the_architecture_has_its_own_table() {
    let mut items = Items::new();
    items.set(key::UUID, b"generic!".as_slice()).unwrap();
    items.set(key::IRQ0_OVERRIDE, b"arch".as_slice()).unwrap();
    items.set(key::ARCH_LOCAL | 0x19, b"no directory".as_slice()).unwrap();
    let mut guest = Guest::new(items, &[(0, 0x1_0000)]);
    assert_eq!(guest.item(2, 8), *b"generic!");
    assert_eq!(guest.item(0x8002, 8), *b"arch\0\0\0\0");
    assert_eq!(guest.item(0x8019, 2), *b"no");
    assert_eq!(guest.item(0x8001, 4), [0; 4], "0x0001 is another item");
}

#[test]
fn every_key_reads_as_an_item_or_zeros_by_port_and_by_dma() {
    let mut guest = Guest::standard();
    for key in 0..=u16::MAX {
        guest.outw(0x510, key);
        let by_port = guest.insb(4);
        assert_eq!(guest.item(key, 4), by_port, "{key:#x}");
        let expected = match key & !0x4000 {
            0 => b"QEMU",
            1 => b"\x03\0\0\0",
            0x19 => b"\0\0\0\x03",
            DATA => b"\x01\x02\x03\x04",
            WRITABLE => b"unwr",
            _ => b"\0\0\0\0",
        };
        assert_eq!(by_port, expected, "{key:#x}");
    }
}

#[test]
fn every_key_is_safe_with_the_largest_tables() {
    let mut items = Items::with_file_slots(u16::MAX);
    for i in 0..MAX_FILE_SLOTS {
        items.add_file(&format!("{i:05}"), i.to_le_bytes().to_vec()).unwrap();
    }
    let mut guest = Guest::new(items, &[(0, 0x1_0000)]);
    for key in 0..=u16::MAX {
        guest.outw(0x510, key);
        let index = (key & !0x4000).wrapping_sub(0x20);
        if index < MAX_FILE_SLOTS {
            assert_eq!(guest.insb(2), index.to_le_bytes(), "{key:#x}");
        } else {
            guest.insb(2);
        }
    }
    assert_eq!(guest.device.items().count(), 3 + usize::from(MAX_FILE_SLOTS));
}

#[test]
fn port_and_dma_share_selection_and_offset() {
    let mut guest = Guest::standard();
    guest.outw(0x510, DATA);
    assert_eq!(guest.dma(READ, 2, BUFFER), OK);
    assert_eq!(guest.peek(BUFFER, 2), [1, 2]);
    assert_eq!(guest.insb(2), [3, 4]);
    assert_eq!(guest.dma(SKIP, 2, 0), OK);
    assert_eq!(guest.insb(1), [7]);
    assert_eq!(guest.dma(READ, 2, BUFFER), OK);
    assert_eq!(guest.peek(BUFFER, 2), [8, 9]);
    assert_eq!(guest.dma(Guest::select_and(WRITABLE, 0), 0, 0), OK);
    assert_eq!(guest.insb(2), WRITABLE_BYTES[..2]);
}

#[test]
fn a_select_by_port_does_not_affect_the_dma_address() {
    let mut guest = Guest::with_memory(&[(0, 0x1_0000), (1 << 32, 0x1_0000)]);
    guest.outl(0x514, 1u32.swap_bytes());
    guest.outw(0x510, DATA);
    guest.poke((1 << 32) + 0x1000, b"\0\0\0\x02\0\0\0\x02\0\0\0\0\0\0\x20\0");
    guest.outl(0x518, 0x1000u32.swap_bytes());
    assert_eq!(guest.peek(BUFFER, 2), [1, 2]);
}

#[test]
fn concurrent_vcpus_each_read_the_item_they_selected() {
    let guest = Arc::new(Mutex::new(Guest::standard()));
    let vcpu = |key, expected: &'static [u8]| {
        let guest = Arc::clone(&guest);
        move || {
            for _ in 0..500 {
                let read = guest.lock().unwrap().item(key, expected.len() as u32);
                assert_eq!(read, expected);
            }
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(vcpu(DATA, &DATA_BYTES));
        scope.spawn(vcpu(WRITABLE, &WRITABLE_BYTES));
        scope.spawn(vcpu(ABSENT, &[0; 3]));
    });
}
