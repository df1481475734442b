//! The file directory, and items that cannot be published.

use fw_cfg::{ItemError, Items, MAX_FILE_SLOTS, MAX_NAME, key};
use guest_memory::FileRange;

use crate::guest::{Guest, file};

/// Reads all of the directory by DMA.
fn directory(items: Items, slots: usize) -> Vec<u8> {
    let len = 4 + 64 * slots;
    let mut guest = Guest::new(items, &[(0, 0x2000 + len + 0x1000)]);
    let bytes = guest.item(key::FILE_DIR, len as u32);
    assert_eq!(guest.inb(0x511), 0);
    assert!(format!("{:?}", guest.device).contains(&format!("offset: {len}")), "its length");
    bytes
}

fn names(directory: &[u8]) -> Vec<String> {
    let count = u32::from_be_bytes(directory[..4].try_into().unwrap()) as usize;
    let name = |entry: &[u8]| {
        let len = entry[8..].iter().position(|byte| *byte == 0).unwrap();
        String::from_utf8(entry[8..8 + len].to_vec()).unwrap()
    };
    directory[4..].chunks(64).take(count).map(name).collect()
}

#[test]
fn an_entry_is_size_key_zero_and_name_all_big_endian() {
    let mut items = Items::new();
    items.add_file("opt/org.example/a", vec![0; 0x01_0203]).unwrap();
    let bytes = directory(items, 32);
    assert_eq!(bytes[..12], *b"\0\0\0\x01\0\x01\x02\x03\0\x20\0\0");
    assert_eq!(bytes[12..29], *b"opt/org.example/a");
    assert_eq!(bytes[29..], [0; 2052 - 29]);
}

#[test]
fn the_directory_has_all_slots_whether_used_or_not() {
    assert_eq!(directory(Items::new(), 32), vec![0; 2052]);
    assert_eq!(directory(Items::with_file_slots(0), 16), vec![0; 4 + 64 * 16]);
    assert_eq!(directory(Items::with_file_slots(100), 100).len(), 4 + 64 * 100);
    let most = usize::from(MAX_FILE_SLOTS);
    assert_eq!(most, 0x3fe0, "the keys from 0x20 to 0x3fff");
    assert_eq!(directory(Items::with_file_slots(u16::MAX), most).len(), 4 + 64 * most);
}

#[test]
fn files_are_numbered_in_the_byte_order_of_their_names() {
    let mut items = Items::new();
    // As strcmp: shorter first, upper case before lower case, unsigned bytes.
    let order = ["A", "B", "a", "a.b", "a/b", "aa", "b", "\u{e9}"];
    for name in ["b", "aa", "a/b", "A", "\u{e9}", "a", "B", "a.b"] {
        items.add_file(name, name.as_bytes().to_vec()).unwrap();
    }
    assert!(items.file_names().eq(order));
    let mut guest = Guest::new(items, &[(0, 0x1_0000)]);
    let bytes = guest.item(key::FILE_DIR, 2052);
    assert_eq!(names(&bytes), order);
    for (index, name) in order.iter().enumerate() {
        let entry = &bytes[4 + 64 * index..][..64];
        assert_eq!(entry[4..6], (0x20 + index as u16).to_be_bytes());
        assert_eq!(guest.item(0x20 + index as u16, name.len() as u32), name.as_bytes());
    }
}

#[test]
fn well_known_keys_are_not_in_the_directory() {
    let mut items = Items::new();
    items.set(key::NB_CPUS, 1u16).unwrap();
    items.set(key::IRQ0_OVERRIDE, 1u32).unwrap();
    items.add_file("only", Vec::new()).unwrap();
    assert_eq!(names(&directory(items, 32)), ["only"]);
}

#[test]
fn a_name_of_55_bytes_fits_and_ends_with_a_zero() {
    let name = "n".repeat(MAX_NAME);
    let mut items = Items::new();
    items.add_file(&name, Vec::new()).unwrap();
    let bytes = directory(items, 32);
    assert_eq!(names(&bytes), [name]);
    assert_eq!(bytes[67], 0);
}

#[test]
fn an_empty_name_or_one_of_56_bytes_is_refused() {
    let mut items = Items::new();
    let long = "n".repeat(56);
    for name in [long.as_str(), "", &"\u{e9}".repeat(28)] {
        let error = items.add_file(name, Vec::new()).unwrap_err();
        assert_eq!(error, ItemError::NameLength { name: name.into() });
        let error = items.add_writable_file(name, Vec::new(), Box::new(|_, _, _| {})).unwrap_err();
        assert_eq!(error, ItemError::NameLength { name: name.into() });
    }
    assert_eq!(items.file_names().count(), 0);
}

#[test]
fn a_name_with_a_zero_byte_is_refused() {
    let error = Items::new().add_file("etc/a\0b", Vec::new()).unwrap_err();
    assert_eq!(error, ItemError::NameNul { name: "etc/a\0b".into() });
    assert!(!error.to_string().contains('\0'));
}

#[test]
fn a_second_file_with_a_name_is_refused_and_the_first_stays() {
    let mut items = Items::new();
    items.add_file("a", vec![1]).unwrap();
    let error = items.add_file("a", vec![2]).unwrap_err();
    assert_eq!(error, ItemError::Duplicate { name: "a".into() });
    assert_eq!(items.file("a").unwrap().read_to_vec().unwrap(), [1]);
}

#[test]
fn a_file_that_exceeds_the_directory_is_refused() {
    for slots in [0, 16, 32, 33] {
        let mut items = Items::with_file_slots(slots);
        let slots = slots.max(16);
        for i in 0..slots {
            items.add_file(&i.to_string(), Vec::new()).unwrap();
        }
        let error = items.add_file("x", Vec::new()).unwrap_err();
        assert_eq!(error, ItemError::DirectoryFull { name: "x".into(), slots });
        let duplicate = items.add_file("0", Vec::new()).unwrap_err();
        assert_eq!(duplicate, ItemError::Duplicate { name: "0".into() });
        assert_eq!(names(&directory(items, usize::from(slots))).len(), usize::from(slots));
    }
}

#[test]
fn a_size_that_does_not_fit_in_32_bits_is_refused() {
    let sparse = |len: u64| FileRange::new(file(&[]), 0..len);
    let most = u64::from(u32::MAX) - 1;
    for len in [most + 1, most + 2, u64::MAX] {
        let mut items = Items::new();
        let error = items.add_file("big", sparse(len)).unwrap_err();
        assert_eq!(error, ItemError::TooBig { name: "big".into(), len });
        let error = items.set(key::INITRD_DATA, sparse(len)).unwrap_err();
        assert_eq!(error, ItemError::TooBig { name: "0x0012".into(), len });
    }
    let mut items = Items::new();
    items.add_file("big", sparse(most)).unwrap();
    assert_eq!(directory(items, 32)[4..8], [0xff, 0xff, 0xff, 0xfe]);
}

#[test]
fn keys_of_the_directory_of_files_and_beyond_the_table_are_refused() {
    let mut items = Items::new();
    for key in [0x19, 0x20, 0x3f, 0x40, 0x3fff, 0x4000, 0x4002, 0x8020, 0xc000, 0xffff] {
        let error = items.set(key, 1u16).unwrap_err();
        assert_eq!(error, ItemError::KeyReserved { key });
    }
    for key in [0x02, 0x18, 0x1a, 0x1f, 0x8000, 0x801f] {
        items.set(key, 1u16).unwrap();
    }
}

#[test]
fn a_key_set_twice_is_refused_and_the_first_stays() {
    let mut items = Items::new();
    items.set(key::NB_CPUS, 4u16).unwrap();
    let error = items.set(key::NB_CPUS, 5u16).unwrap_err();
    assert_eq!(error, ItemError::KeyTaken { key: key::NB_CPUS });
    assert_eq!(items.get(key::NB_CPUS).unwrap().read_to_vec().unwrap(), [4, 0]);
    for key in [key::SIGNATURE, key::ID] {
        assert_eq!(items.set(key, 0u32).unwrap_err(), ItemError::KeyTaken { key });
    }
}

#[test]
fn integers_are_little_endian_and_keep_their_width() {
    let mut items = Items::new();
    items.set(key::NB_CPUS, 0x0102u16).unwrap();
    items.set(key::KERNEL_ADDR, 0x0102_0304u32).unwrap();
    items.set(key::RAM_SIZE, 0x0102_0304_0506_0708u64).unwrap();
    let mut guest = Guest::new(items, &[(0, 0x1_0000)]);
    assert_eq!(guest.item(key::NB_CPUS, 4), [2, 1, 0, 0]);
    assert_eq!(guest.item(key::KERNEL_ADDR, 6), [4, 3, 2, 1, 0, 0]);
    assert_eq!(guest.item(key::RAM_SIZE, 8), [8, 7, 6, 5, 4, 3, 2, 1]);
}
