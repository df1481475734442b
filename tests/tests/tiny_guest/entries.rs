//! How kernels of each kind are entered: what is in the registers and in memory at the first
//! instruction.

use std::path::Path;

use chukka_tests::native::image::{BzImage, payload};
use chukka_tests::native::{self, Scratch, Start, guest};

use crate::dump::{DUMP, MACHINES, MIB, dump, kernel, multiboot1, pvh32, words};

/// A flat Multiboot 2 kernel that may be moved.
fn multiboot2() -> Vec<u8> {
    let tags = words(&[
        2,
        24,
        MIB,
        MIB,
        0,
        MIB + 0x1000, // addresses
        3,
        12,
        MIB + 88,
        0, // entry address
        10,
        24,
        MIB,
        0x1000_0000,
        0x1000,
        0, // relocatable
        0,
        8,
    ]);
    let length = u32::try_from(16 + tags.len()).unwrap();
    let sum = 0u32.wrapping_sub(0xe852_50d6u32.wrapping_add(length));
    let header = words(&[0xe852_50d6, 0, length, sum]);
    [header.as_slice(), &tags, DUMP].concat()
}

/// A bzImage without a 64-bit entry, which has `code` at its 32-bit entry.
fn bzimage32(version: u16, code: &[u8]) -> Vec<u8> {
    let image = BzImage {
        version,
        xloadflags: 0,
        pref_address: MIB.into(),
        init_size: 0,
        ..BzImage::default()
    };
    let mut file = image.file();
    file[0x214..0x218].copy_from_slice(&MIB.to_le_bytes());
    let start = payload(&file).start;
    file[start..start + code.len()].copy_from_slice(code);
    file
}

#[test]
fn a_bzimage_of_any_age_without_a_64_bit_entry_is_entered_at_32_bits() {
    if !native::kvm() {
        return;
    }
    let scratch = Scratch::new();
    let direct: &[&str] = &[];
    let builtin: &[&str] = &["-bios", "builtin"];
    for (version, machine, ways) in [
        (0x202, "microvm", &[direct, builtin][..]),
        (0x206, "pc", &[direct, builtin]),
        (0x20b, "microvm", &[direct]),
        (0x20f, "microvm", &[direct]),
    ] {
        let path = kernel(&scratch, &bzimage32(version, DUMP));
        for firmware in ways {
            let more = [&["-append", "a=b"], *firmware].concat();
            let found = dump(&path, machine, &more);
            found.is_protected_mode();
            let [_, ebx, zero_page, ..] = found.registers();
            assert_eq!((ebx, zero_page), (0, 0x7000), "{version:#x} {machine} {firmware:?}");
            assert_eq!(found.memory(0x7202)[..4], *b"HdrS");
            assert_eq!((found.word(0x7228), found.word(0x7214)), (0x2_0000, MIB));
            assert_eq!(found.text(0x2_0000), "a=b");
            assert!(found.memory(0x71e8)[0] >= 3, "e820 entries");
        }
    }
}

#[test]
fn a_real_mode_kernel_of_any_age_boots_through_seabios() {
    if !native::kvm() || !Path::new("/usr/share/seabios/bios-256k.bin").exists() {
        chukka_tests::skip("SeaBIOS is not installed: apt install seabios");
        return;
    }
    let scratch = Scratch::new();
    for version in [0x200u16, 0x207, 0x20f] {
        let mut image = guest::bzimage("DP");
        image[0x206..0x208].copy_from_slice(&version.to_le_bytes());
        image[0x260..0x264].fill(0);
        let start = Start::kernel(&kernel(&scratch, &image));
        let ended = start.args(["-M", "pc", "-bios", "seabios", "-m", "64M"]).run();
        assert_eq!(ended.code(), Some(0), "{version:#x}: {ended:?}");
        assert!(ended.text().contains("done"), "{version:#x}: {ended:?}");
    }
}

#[test]
fn multiboot_1_gets_memory_map_command_line_and_modules() {
    if !native::kvm() {
        return;
    }
    let scratch = Scratch::new();
    let path = kernel(&scratch, &multiboot1(1 << 16 | 0b11));
    let one = scratch.file("one", b"first module");
    let two = scratch.file("two", &[0x5a; 5000]);
    let modules = format!("{} x=1,,2,{}", one.display(), two.display());
    for machine in MACHINES {
        let found = dump(&path, machine, &["-append", "a=b", "-initrd", &modules]);
        found.is_protected_mode();
        let [eax, info, ..] = found.registers();
        assert_eq!((eax, info), (0x2bad_b002, 0x9500), "{machine}");
        assert_eq!((found.word(info), found.word(info + 4)), (0x24f, 639));
        assert_eq!(found.word(info + 8), 63 << 10, "KiB from 1 MiB on");
        assert_eq!(found.text(found.word(info + 16)), format!("{} a=b", path.display()));
        assert_eq!(found.word(info + 20), 2, "modules");
        let list = found.word(info + 24);
        let (start, end) = (found.word(list), found.word(list + 4));
        assert!(start % 4096 == 0 && start >= MIB + 0x1000, "{start:#x}");
        assert_eq!(found.memory(start)[..(end - start) as usize], *b"first module");
        assert_eq!(found.text(found.word(list + 8)), format!("{} x=1,2", one.display()));
        let (start, end) = (found.word(list + 16), found.word(list + 20));
        assert_eq!((end - start, found.memory(start)[0]), (5000, 0x5a));
        assert_eq!(found.text(found.word(list + 24)), two.display().to_string());
        let (length, map) = (found.word(info + 44), found.word(info + 48));
        assert!(length >= 72 && length.is_multiple_of(24), "{length}");
        assert_eq!([0, 4, 12, 20].map(|at| found.word(map + at)), [20, 0, 0x9_fc00, 1]);
        assert_eq!(found.text(found.word(info + 64)), "chukka");
    }
}

#[test]
fn a_multiboot_1_header_with_any_known_or_optional_flag_is_entered() {
    if !native::kvm() {
        return;
    }
    const ADDRESSES: u32 = 1 << 16;
    let scratch = Scratch::new();
    // Aligned modules, memory information, a video mode; and a flag that a loader may ignore.
    for flags in [0, 1 << 0, 1 << 1, 1 << 2, 0b111, 1 << 31] {
        let path = kernel(&scratch, &multiboot1(flags | ADDRESSES));
        let found = dump(&path, "microvm", &[]);
        assert_eq!(found.registers()[..2], [0x2bad_b002, 0x9500], "{flags:#x}");
    }
}

#[test]
fn multiboot_2_gets_its_tags() {
    if !native::kvm() {
        return;
    }
    let scratch = Scratch::new();
    let path = kernel(&scratch, &multiboot2());
    let module = scratch.file("module", b"content");
    let modules = format!("{} m=1", module.display());
    for machine in MACHINES {
        let found = dump(&path, machine, &["-append", "a=b", "-initrd", &modules]);
        found.is_protected_mode();
        let [eax, info, ..] = found.registers();
        assert_eq!((eax, info % 8), (0x36d7_6289, 0), "{machine}");
        let (mut at, end, mut kinds) = (info + 8, info + found.word(info), Vec::new());
        while at < end {
            let (kind, size) = (found.word(at), found.word(at + 4));
            match kind {
                1 => assert_eq!(found.text(at + 8), "a=b"),
                2 => assert_eq!(found.text(at + 8), "chukka"),
                3 => {
                    assert_eq!(found.memory(found.word(at + 8))[..7], *b"content");
                    assert_eq!(found.text(at + 16), "m=1");
                }
                15 => assert_eq!(found.memory(at + 8)[..8], *b"RSD PTR "),
                21 => assert_eq!(found.word(at + 8), MIB),
                _ => {}
            }
            kinds.push(kind);
            at += size.next_multiple_of(8);
        }
        assert_eq!(kinds, [1, 2, 3, 4, 6, 15, 21, 0]);
    }
}

#[test]
fn a_32_bit_pvh_kernel_with_a_segment_below_1_mib_is_entered() {
    if !native::kvm() {
        return;
    }
    let scratch = Scratch::new();
    for (low, info, machine) in
        [(0x8000, 0x6000, "pc"), (0x6000, 0x1000, "microvm"), (0x500, 0x6000, "microvm")]
    {
        let path = kernel(&scratch, &pvh32(low));
        let found = dump(&path, machine, &["-append", "a=b"]);
        found.is_protected_mode();
        let [_, ebx, ..] = found.registers();
        assert_eq!(ebx, info, "{low:#x}");
        assert_eq!(found.word(info), 0x336e_c578);
        assert_eq!(found.text(found.word(info + 24)), "a=b");
        assert_eq!(found.memory(low)[..8], *b"low!\0\0\0\0", "{low:#x}");
    }
    for (low, what) in [(0xa_0000, "where no RAM is free"), (0x400, "the BIOS data area")] {
        Start::kernel(&kernel(&scratch, &pvh32(low))).refused().says(what).hints("1 MiB or above");
    }
}
