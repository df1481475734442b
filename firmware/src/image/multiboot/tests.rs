//! Headers of both versions: they are found, rejected by name, and never trusted.

use super::*;

/// A flat Multiboot 1 kernel at 1 MiB whose code, after the header, is `code`.
pub(crate) fn flat_v1(flags: u32, code: &[u8]) -> Vec<u8> {
    let size = u32::try_from(32 + code.len()).unwrap();
    let end = 0x10_0000 + size;
    let fields =
        [0x1bad_b002, flags | 1 << 16, 0, 0x10_0000, 0x10_0000, end, end + 0x1000, 0x10_0020];
    with_sum(&fields, 2, code)
}

/// `fields`, with field `at` set so that the first `at` fields and it sum up to 0, then `code`.
fn with_sum(fields: &[u32], at: usize, code: &[u8]) -> Vec<u8> {
    let mut fields = fields.to_vec();
    fields[at] = fields[..at].iter().fold(0u32, |sum, field| sum.wrapping_sub(*field));
    let mut file: Vec<u8> = fields.iter().flat_map(|field| field.to_le_bytes()).collect();
    file.extend(code);
    file
}

/// A Multiboot 2 header with these tags (kind, flags, content), then `code`.
pub(crate) fn v2(tags: &[(u16, u16, &[u32])], code: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (kind, flags, content) in tags.iter().chain(&[(0, 0, &[][..])]) {
        bytes.extend(kind.to_le_bytes());
        bytes.extend(flags.to_le_bytes());
        bytes.extend(u32::try_from(8 + content.len() * 4).unwrap().to_le_bytes());
        content.iter().for_each(|word| bytes.extend(word.to_le_bytes()));
        bytes.resize(bytes.len().next_multiple_of(8), 0);
    }
    let length = u32::try_from(16 + bytes.len()).unwrap();
    let mut file = with_sum(&[0xe852_50d6, 0, length, 0], 3, &bytes);
    file.extend(code);
    file
}

fn flat(file: &[u8]) -> Result<Multiboot, MultibootError> {
    Header::find(file).expect("there is a header")?.flat(file.len() as u64)
}

#[test]
fn address_fields_say_what_is_loaded_where() {
    let kernel = flat(&flat_v1(3, &[0x90; 64])).unwrap();
    let segment = Segment { offset: 0, addr: 0x10_0000, file_size: 96, mem_size: 96 + 0x1000 };
    assert_eq!(kernel.segments, [segment]);
    assert_eq!((kernel.version, kernel.entry), (Version::One, 0x10_0020));
    let mut longer = flat_v1(3, &[0x90; 64]);
    longer.extend([0xcc; 100]);
    assert_eq!(flat(&longer).unwrap().segments, [segment], "load_end_addr ends what is loaded");
}

#[test]
fn a_header_is_found_where_qemu_finds_it() {
    let header = flat_v1(0, &[]);
    for (at, found) in [(0, true), (4, true), (2, false), (8192 - 48 - 4, true), (8192 - 48, false)]
    {
        let mut file = vec![0; at];
        file.extend(&header);
        file.resize(16 << 10, 0);
        assert_eq!(Header::find(&file).is_some(), found, "{at}");
    }
    let mut wrong = header;
    wrong[8] ^= 1;
    assert!(Header::find(&wrong).is_none(), "the checksum is wrong");
}

#[test]
fn a_v2_header_is_found_in_32_kib() {
    let header = v2(&[], &[]);
    for (at, found) in
        [(0, true), (8, true), (4, false), ((32 << 10) - 24, true), (32 << 10, false)]
    {
        let mut file = vec![0; at];
        file.extend(&header);
        assert_eq!(Header::find(&file).is_some(), found, "{at}");
    }
}

#[test]
fn unknown_required_features_are_named() {
    let error = Header::find(&flat_v1(1 << 5, &[])).unwrap().unwrap_err().to_string();
    assert_eq!(
        error,
        "has a multiboot header that requires flags 0x20, unknown to the specification"
    );
    assert!(Header::find(&flat_v1(1 << 20 | 0b111, &[])).unwrap().is_ok(), "optional, and known");
    for (tag, content, expected) in [
        (1, &[4, 99][..], "requires information of the unknown type 99"),
        (4, &[1], "requires a text console"),
        (5, &[80, 25, 0], "requires a framebuffer"),
        (77, &[], "requires what its tag of the unknown type 77 says"),
    ] {
        let error = Header::find(&v2(&[(tag, 0, content)], &[])).unwrap().unwrap_err().to_string();
        assert!(error.starts_with("has a multiboot2 header that "), "{error}");
        assert!(error.contains(expected), "{error}");
        assert!(Header::find(&v2(&[(tag, 1, content)], &[])).unwrap().is_ok(), "{tag}: optional");
    }
    // Multiboot2 3.1.5 and 3.1.10: the last information type, and a console that is not required.
    for (tag, content) in [(1, &[1, 21][..]), (4, &[0]), (4, &[2])] {
        assert!(Header::find(&v2(&[(tag, 0, content)], &[])).unwrap().is_ok(), "{tag}");
    }
}

#[test]
fn v2_tags_give_addresses_entry_and_relocatability() {
    let tags: [(u16, u16, &[u32]); 3] = [
        (2, 0, &[0x20_0000, 0x20_0000, 0, 0x20_4000]),
        (3, 0, &[0x20_0068]),
        (10, 0, &[0x10_0000, 0xffff_ffff, 0x1000, 0]),
    ];
    let file = v2(&tags, &[0x90; 64]);
    let kernel = flat(&file).unwrap();
    assert_eq!((kernel.version, kernel.entry, kernel.relocatable), (Version::Two, 0x20_0068, true));
    let segment =
        Segment { offset: 0, addr: 0x20_0000, file_size: file.len() as u64, mem_size: 0x4000 };
    assert_eq!(kernel.segments, [segment]);
}

#[test]
fn addresses_that_contradict_each_other_are_refused() {
    for (field, value, named) in [
        (3, 0xf_0000, "load_addr is 0x100000"),
        (4, 0x11_0000, "load_addr is 0x110000"),
        (5, 0xf_ffff, "load_end_addr is 0xfffff"),
        (5, 0x10_0000, "load_end_addr is 0x100000"),
        (5, 0x20_0000, "load_end_addr is 0x200000"),
        (6, 0x10_0001, "bss_end_addr is 0x100001"),
        (7, 0, "the entry address is 0x0"),
    ] {
        let mut file = flat_v1(3, &[0x90; 64]);
        file[field * 4..field * 4 + 4].copy_from_slice(&u32::to_le_bytes(value));
        let error = flat(&file).unwrap_err().to_string();
        assert!(error.ends_with(named), "{error}");
    }
    // A header that is longer than the file.
    let file = with_sum(&[0xe852_50d6, 0, 0x1000, 0], 3, &[0; 8]);
    assert!(matches!(Header::find(&file), Some(Err(MultibootError::Nonsense { .. }))));
}

#[test]
fn a_header_without_addresses_in_a_flat_file_is_refused() {
    let file = with_sum(&[0x1bad_b002, 3, 0], 2, &[0; 64]);
    let error = flat(&file).unwrap_err();
    assert!(error.to_string().contains("without load addresses"), "{error}");
}

#[test]
fn headers_never_panic_whatever_they_hold() {
    let tags: [(u16, u16, &[u32]); 2] =
        [(2, 0, &[0x20_0000, 0x20_0000, 0, 0]), (3, 0, &[0x20_0068])];
    for whole in [flat_v1(3, &[0; 64]), v2(&tags, &[0; 64])] {
        for at in 0..64 {
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                let mut file = whole.clone();
                file[at] = value;
                // Correct the checksum, so that the rest of the header is read.
                let at = if file[0] == 0x02 { 8 } else { 12 };
                let sum = file[..at].chunks_exact(4).fold(0u32, |sum, word| {
                    sum.wrapping_sub(u32::from_le_bytes(word.try_into().unwrap()))
                });
                file[at..at + 4].copy_from_slice(&sum.to_le_bytes());
                if let Some(Ok(header)) = Header::find(&file) {
                    let _ = header.flat(file.len() as u64);
                }
            }
        }
    }
}
