//! Defects of other virtual machine monitors, with a test for the right behaviour of each.

use std::sync::{Arc, Mutex};

use fw_cfg::dma::{Descriptor, READ, SELECT, SKIP, WRITE};
use fw_cfg::loader::{Script, Zone};
use fw_cfg::{Items, key};
use guest_memory::FileRange;

use crate::guest::{
    ABSENT, BUFFER, DATA, DATA_BYTES, DESC, EMPTY, ERROR, Guest, INVALID, MEMORY, OK, WRITABLE,
    WRITABLE_BYTES, file, pattern,
};

// cloud-hypervisor: SELECT, SKIP and WRITE are bits 7, 3 and 15.
#[test]
fn control_bits_are_not_misplaced() {
    let mut guest = Guest::standard();
    guest.dma(Guest::select_and(DATA, READ), 1, BUFFER);
    for bit in [7, 15] {
        assert_eq!(guest.dma(u32::from(WRITABLE) << 16 | 1 << bit, 1, BUFFER), OK);
    }
    assert_eq!(guest.inb(0x511), 2, "neither selected nor skipped");
    // Bit 3 selects and does not skip.
    assert_eq!(guest.dma(u32::from(WRITABLE) << 16 | 1 << 3, 2, 0), OK);
    assert_eq!(guest.inb(0x511), WRITABLE_BYTES[0]);
}

// cloud-hypervisor, alioth: `control.select() as u16` is the bit instead of the key.
#[test]
fn select_does_not_use_its_own_bit_as_the_key() {
    let mut guest = Guest::standard();
    assert_eq!(guest.item(DATA, 4), DATA_BYTES[..4]);
    assert_eq!(guest.item(0, 4), *b"QEMU");
}

// cloud-hypervisor, alioth: the offset is not reset.
#[test]
fn select_by_dma_does_not_keep_the_offset() {
    let mut guest = Guest::standard();
    guest.item(DATA, 8);
    assert_eq!(guest.item(WRITABLE, 4), WRITABLE_BYTES[..4]);
    assert_eq!(guest.item(WRITABLE, 4), WRITABLE_BYTES[..4]);
}

// cloud-hypervisor: a partial write to memory counts as success.
#[test]
fn a_read_that_fits_only_partly_does_not_succeed() {
    let mut guest = Guest::standard();
    assert_eq!(guest.dma(Guest::select_and(DATA, READ), 16, MEMORY - 15), ERROR);
}

// cloud-hypervisor: an offset beyond the size is UnexpectedEof, so ERROR and no zeros. alioth: no
// zeros either.
#[test]
fn a_read_past_the_end_neither_fails_nor_leaves_memory_unchanged() {
    let mut guest = Guest::standard();
    guest.dma(Guest::select_and(DATA, SKIP), 100, 0);
    assert_eq!(guest.dma(READ, 8, BUFFER), OK);
    assert_eq!(guest.peek(BUFFER, 8), [0; 8]);
}

// cloud-hypervisor, alioth: `data_offset += len` without a bound.
#[test]
fn repeated_skips_do_not_overflow_the_offset() {
    let mut guest = Guest::standard();
    guest.outw(0x510, DATA);
    for _ in 0..10_000 {
        assert_eq!(guest.dma(SKIP, u32::MAX, 0), OK);
    }
    assert_eq!(guest.dma(READ, 4, BUFFER), OK);
    assert_eq!(guest.peek(BUFFER, 4), [0; 4]);
}

// cloud-hypervisor: sizes are truncated to 32 bits.
#[test]
fn a_size_is_not_truncated() {
    let big = FileRange::new(file(&[]), 0..(1 << 32) + 5);
    assert!(Items::new().add_file("big", big).is_err());
}

// cloud-hypervisor: a name longer than 55 bytes is truncated. stratovirt: one longer than 56
// panics.
#[test]
fn a_long_name_is_neither_truncated_nor_a_panic() {
    for len in [56, 57, 1000] {
        assert!(Items::new().add_file(&"n".repeat(len), Vec::new()).is_err());
    }
}

// cloud-hypervisor: files are read at a shared file offset.
#[test]
fn the_file_offset_does_not_matter() {
    let bytes = pattern(256);
    let mut items = Items::new();
    items.add_file("a", FileRange::new(file(&bytes), 0..256)).unwrap();
    let mut guest = Guest::new(items, &[(0, 0x1_0000)]);
    for start in [0u32, 100, 7, 255] {
        guest.dma(Guest::select_and(DATA, SKIP), start, 0);
        assert_eq!(guest.dma(READ, 1, BUFFER), OK);
        assert_eq!(guest.peek(BUFFER, 1)[0], bytes[start as usize]);
    }
}

// cloud-hypervisor, alioth, propolis: the DMA register reads as the address last written.
#[test]
fn the_dma_register_does_not_read_as_an_address() {
    let mut guest = Guest::standard();
    guest.outl(0x514, 0x1234_5678);
    assert_eq!([guest.inl(0x514), guest.inl(0x518)], [0x554d_4551, 0x4746_4320]);
}

// cloud-hypervisor, alioth: the signature item is "QEMU CFG", 8 bytes.
#[test]
fn the_signature_item_is_not_that_of_the_dma_register() {
    assert_eq!(Guest::standard().item(0, 8), *b"QEMU\0\0\0\0");
}

// alioth: `unimplemented!()`.
#[test]
fn a_dma_write_does_not_panic() {
    let mut guest = Guest::standard();
    for key in [0, 1, 0x19, DATA, EMPTY, WRITABLE, ABSENT, INVALID, 0x8000, 0xffff] {
        guest.dma(Guest::select_and(key, WRITE), 4, BUFFER);
    }
}

// alioth: each region of memory gets the same bytes.
#[test]
fn bytes_are_not_repeated_in_the_second_region() {
    let bytes = pattern(0x1000);
    let mut items = Items::new();
    items.add_file("a", bytes.clone()).unwrap();
    items.add_file("b", FileRange::new(file(&bytes), 0..0x1000)).unwrap();
    let mut guest = Guest::new(items, &[(0, 0x2800), (0x2800, 0x8000)]);
    assert_eq!(guest.item(0x20, 0x1000), bytes);
    assert_eq!(guest.item(0x21, 0x1000), bytes);
}

// crosvm: masks are one bit too low, and selecting 0x4000 | key and reading panics.
#[test]
fn the_write_channel_bit_is_not_confused_with_the_architecture_bit() {
    let mut guest = Guest::standard();
    for key in [0x4000 | DATA, 0x6000 | DATA, 0x2000 | DATA, 0x4002, 0x8000, 0xc020, 0x7fff] {
        guest.outw(0x510, key);
        let expected = if key == 0x4000 | DATA { &DATA_BYTES[..2] } else { &[0; 2] };
        assert_eq!(guest.insb(2), expected, "{key:#x}");
    }
}

// crosvm: features are [0, 0, 0, 1].
#[test]
fn features_are_not_big_endian() {
    assert_eq!(Guest::standard().item(key::ID, 4), [3, 0, 0, 0]);
}

// stratovirt: SKIP does nothing.
#[test]
fn a_skip_has_an_effect() {
    let mut guest = Guest::standard();
    guest.dma(Guest::select_and(DATA, SKIP), 5, 0);
    assert_eq!(guest.inb(0x511), 6);
}

// stratovirt: the guest's data is copied into the item before the check.
#[test]
fn a_refused_write_does_not_reach_the_item() {
    let mut guest = Guest::standard();
    guest.poke(BUFFER, &[0x66; 16]);
    assert_eq!(guest.dma(Guest::select_and(DATA, WRITE), 16, BUFFER), ERROR);
    assert_eq!(guest.dma(Guest::select_and(WRITABLE, WRITE), 9, BUFFER), ERROR);
    assert_eq!(guest.item(DATA, 16), DATA_BYTES);
    assert_eq!(guest.item(WRITABLE, 8), WRITABLE_BYTES);
}

// stratovirt: the item is looked up before SELECT, and control is not written if it is absent.
#[test]
fn an_invalid_selection_does_not_affect_the_next_request() {
    let mut guest = Guest::standard();
    guest.outw(0x510, 0xffff);
    assert_eq!(guest.dma(READ, 4, BUFFER), OK);
    assert_eq!(guest.item(DATA, 4), DATA_BYTES[..4]);
    assert_eq!(guest.dma(Guest::select_and(INVALID, WRITE), 4, BUFFER), ERROR);
    assert_eq!(guest.item(WRITABLE, 8), WRITABLE_BYTES);
}

/// Peak address space of this process in KiB: allocations count even before they are touched.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmPeak:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

// stratovirt: `vec![0; length]`, up to 4 GiB at the guest's request.
#[test]
fn the_guests_length_is_not_allocated() {
    let mut guest = Guest::standard();
    for key in [ABSENT, INVALID, DATA] {
        assert_eq!(guest.dma(Guest::select_and(key, READ), u32::MAX, BUFFER), ERROR);
        assert_eq!(guest.dma(Guest::select_and(key, WRITE), u32::MAX, BUFFER), ERROR);
    }
    assert_eq!(guest.dma(Guest::select_and(WRITABLE, WRITE), u32::MAX, BUFFER), ERROR);
    // Of the whole process. Other tests request such lengths too.
    assert!(peak() < 3 << 20, "{} KiB", peak());
}

// stratovirt: an item of the architecture's table ends up in the generic table, as the UUID.
#[test]
fn an_architecture_item_is_not_in_the_generic_table() {
    let mut items = Items::new();
    items.set(key::IRQ0_OVERRIDE, 1u32).unwrap();
    let mut guest = Guest::new(items, &[(0, 0x1_0000)]);
    assert_eq!(guest.item(0x8002, 4), [1, 0, 0, 0]);
    assert_eq!(guest.item(key::UUID, 4), [0; 4]);
}

// propolis: unknown bits are an error.
#[test]
fn unknown_control_bits_are_not_an_error() {
    let mut guest = Guest::standard();
    assert_eq!(guest.dma(Guest::select_and(DATA, READ) | 0xffe1, 4, BUFFER), OK);
}

// propolis: the target must be in one mapping.
#[test]
fn a_target_in_two_regions_is_not_an_error() {
    let mut guest = Guest::with_memory(&[(0, 0x2008), (0x2008, 0x1000)]);
    assert_eq!(guest.item(DATA, 16), DATA_BYTES);
}

// propolis: well-known items are in the directory.
#[test]
fn well_known_items_are_not_files() {
    assert_eq!(Guest::standard().item(key::FILE_DIR, 4), [0, 0, 0, 3]);
}

// propolis, cloud-hypervisor, alioth: control is not written for a bad request, and the guest
// hangs.
#[test]
fn control_is_not_left_unwritten_by_a_bad_request() {
    let mut guest = Guest::standard();
    for control in [READ, WRITE] {
        assert_eq!(guest.dma(Guest::select_and(WRITABLE, control), 8, MEMORY), ERROR);
    }
    guest.poke(MEMORY - 8, &Guest::select_and(DATA, READ).to_be_bytes());
    guest.start(MEMORY - 8);
    assert_eq!(guest.control(MEMORY - 8), ERROR);
}

// crosvm: no directory before the first file.
#[test]
fn the_directory_is_not_missing_without_files() {
    let mut guest = Guest::new(Items::new(), &[(0, 0x1_0000)]);
    assert_eq!(guest.item(key::FILE_DIR, 4), [0; 4]);
    assert!(guest.device.items().any(|item| item.key == key::FILE_DIR && item.exists));
}

// axvisor (tgoskits #1918): writing the low half cleared the high half.
#[test]
fn the_low_half_does_not_clear_the_high_half() {
    let mut guest = Guest::with_memory(&[(0, 0x1_0000), (1 << 32, 0x1_0000)]);
    assert_eq!(guest.dma_at((1 << 32) + DESC, Guest::select_and(DATA, READ), 4, BUFFER), OK);
}

// axvisor (tgoskits #1918), cloud-hypervisor, alioth, propolis: an operation does not clear the
// address.
#[test]
fn an_old_high_half_is_not_added_to_the_next_address() {
    let mut guest = Guest::with_memory(&[(0, 0x1_0000), (1 << 32, 0x1_0000)]);
    guest.dma_at((1 << 32) + DESC, Guest::select_and(DATA, READ), 4, BUFFER);
    let request = Descriptor { control: u32::from(DATA) << 16 | SELECT, length: 0, address: 0 };
    guest.poke(DESC, &request.to_bytes());
    guest.outl(0x518, (DESC as u32).swap_bytes());
    assert_eq!(guest.control(DESC), OK);
}

// axvisor (tgoskits #1918): a bad descriptor stopped the machine.
#[test]
fn a_bad_descriptor_does_not_stop_the_machine() {
    let mut guest = Guest::standard();
    guest.start(u64::MAX);
    guest.start(1 << 45);
    assert_eq!(guest.item(DATA, 4), DATA_BYTES[..4]);
}

// alioth (eb9728b): firmware adds the checksum to the field, so the device must keep the host's 0
// in it.
#[test]
fn a_checksum_field_of_zero_stays_zero() {
    let mut table = pattern(36);
    table[8] = 0;
    let mut script = Script::new();
    script.allocate("etc/acpi/rsdp", 16, Zone::FSeg).unwrap();
    script.add_checksum("etc/acpi/rsdp", 8, 0, 20).unwrap();
    let script = script.into_bytes();
    let mut items = Items::new();
    items.add_file("etc/acpi/rsdp", table.clone()).unwrap();
    items.add_file("etc/table-loader", script.clone()).unwrap();
    let mut guest = Guest::new(items, &[(0, 0x1_0000)]);
    let mut read = guest.item(0x20, 36);
    assert_eq!(read, table);
    let command = &guest.item(0x21, 256)[128..];
    assert_eq!(command, &script[128..]);
    // As `romfile_loader_add_checksum` in SeaBIOS.
    let [at, start, len] = [60, 64, 68].map(|field| usize::from(command[field]));
    let sum = |bytes: &[u8]| bytes.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
    read[at] = read[at].wrapping_sub(sum(&read[start..start + len]));
    assert_eq!(sum(&read[..20]), 0);
}

// QEMU: the offset advances although the access failed. Guests may rely on it, so we do the same.
#[test]
fn the_offset_advances_although_the_access_failed() {
    let writes = Arc::new(Mutex::new(0));
    let count = Arc::clone(&writes);
    let mut items = Items::new();
    let on_write = move |_: &[u8], _, _| *count.lock().unwrap() += 1;
    items.add_writable_file("w", DATA_BYTES.to_vec(), Box::new(on_write)).unwrap();
    let mut guest = Guest::new(items, &[(0, MEMORY as usize)]);
    for control in [READ, WRITE] {
        assert_eq!(guest.dma(Guest::select_and(0x20, control), 4, MEMORY), ERROR);
        assert_eq!(guest.inb(0x511), 5);
    }
    assert_eq!(*writes.lock().unwrap(), 0);
}
