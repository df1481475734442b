//! Checks what [`KernelImage::open`] returns for valid and invalid files.

use super::*;
use crate::testing::TempFile;

/// A minimal well-formed bzImage: `setup_sects` 3, protocol 2.15, a payload of `payload` bytes.
pub(crate) fn bzimage(payload: usize) -> Vec<u8> {
    let mut image = vec![0; 4 * 512 + payload];
    let mut put = |at: usize, bytes: &[u8]| image[at..at + bytes.len()].copy_from_slice(bytes);
    put(0x1f1, &[3]);
    put(0x1f4, &u32::try_from(payload.div_ceil(16)).unwrap().to_le_bytes());
    put(0x1fe, &[0x55, 0xaa, 0xeb, 0x6a]);
    put(0x202, b"HdrS");
    put(0x206, &0x20fu16.to_le_bytes());
    put(0x211, &[1]);
    put(0x214, &0x10_0000u32.to_le_bytes());
    put(0x22c, &0x7fff_ffffu32.to_le_bytes());
    put(0x230, &0x20_0000u32.to_le_bytes());
    put(0x234, &[1, 21, 3, 0]);
    put(0x238, &2047u32.to_le_bytes());
    put(0x258, &0x100_0000u64.to_le_bytes());
    put(0x260, &0x200_0000u32.to_le_bytes());
    image
}

fn open(bytes: &[u8]) -> Result<KernelImage, ImageError> {
    KernelImage::open(&TempFile::new(bytes).0)
}

fn error(bytes: &[u8]) -> String {
    let error = open(bytes).expect_err("refused");
    assert!(!error.hint().is_empty());
    error.to_string()
}

#[test]
fn bzimage_is_recognized_and_measured() {
    let KernelImage { kind: KernelKind::BzImage(image), .. } = open(&bzimage(8192)).unwrap() else {
        panic!("a bzImage")
    };
    assert_eq!((image.payload_offset(), image.payload_len()), (2048, 8192));
    assert_eq!(
        (image.pref_address(), image.init_size(), image.cmdline_size()),
        (0x100_0000, 0x200_0000, 2047)
    );
    assert_eq!(image.initrd_limit(), u64::MAX, "XLF_CAN_BE_LOADED_ABOVE_4G is set");
}

#[test]
fn bzimage_is_rejected_when_truncated_anywhere() {
    let whole = bzimage(8192);
    // After the boot sector, every length is recognized as a truncated kernel.
    for len in (0x201..0x290).chain([2047, 2048, 2049, 8192, whole.len() - 16]) {
        let message = error(&whole[..len]);
        assert!(message.contains("truncated"), "{len:#x}: {message}");
    }
    for len in 1..0x201 {
        assert!(error(&whole[..len]).contains("expected an x86-64 bzImage or vmlinux"), "{len:#x}");
    }
    assert!(open(&whole[..whole.len() - 15]).is_ok(), "the last paragraph may be short");
}

fn parsed(bytes: &[u8]) -> BzImage {
    match open(bytes).unwrap().kind {
        KernelKind::BzImage(image) => image,
        other => panic!("{other:?}"),
    }
}

fn put(image: &mut [u8], at: usize, bytes: &[u8]) {
    image[at..at + bytes.len()].copy_from_slice(bytes);
}

#[test]
fn a_bzimage_without_a_64_bit_entry_is_entered_at_32_bits() {
    assert_eq!(parsed(&bzimage(64)).direct_entry(), Ok(LinuxEntry::Long));
    for version in [0x202u16, 0x206, 0x20a, 0x20b] {
        let mut old = bzimage(8192);
        put(&mut old, 0x206, &version.to_le_bytes());
        assert_eq!(parsed(&old).direct_entry(), Ok(LinuxEntry::Protected), "{version:#x}");
    }
    let mut only32 = bzimage(8192);
    put(&mut only32, 0x236, &[0]);
    put(&mut only32, 0x260, &[0; 4]);
    put(&mut only32, 0x230, &[0; 4]);
    let image = parsed(&only32);
    assert_eq!(image.direct_entry(), Ok(LinuxEntry::Protected), "init_size is not read");
    assert_eq!(image.room(), 8192);
}

#[test]
fn fields_are_used_from_the_protocol_version_that_has_them() {
    let mut old = bzimage(64);
    let of = |old: &[u8]| {
        let image = parsed(old);
        (image.load_address(), image.init_size(), image.cmdline_size(), image.initrd_limit())
    };
    assert_eq!(of(&old), (0x100_0000, 0x200_0000, 2047, u64::MAX));
    put(&mut old, 0x206, &0x20bu16.to_le_bytes());
    assert_eq!(of(&old), (0x100_0000, 0x200_0000, 2047, 0x8000_0000));
    put(&mut old, 0x206, &0x20au16.to_le_bytes());
    assert_eq!(of(&old), (0x100_0000, 0x200_0000, 2047, 0x8000_0000));
    put(&mut old, 0x206, &0x209u16.to_le_bytes());
    assert_eq!(of(&old), (0x10_0000, 0, 2047, 0x8000_0000));
    put(&mut old, 0x206, &0x202u16.to_le_bytes());
    assert_eq!(of(&old), (0x10_0000, 0, 255, 0x3800_0000));
}

#[test]
fn a_program_that_has_only_real_mode_code_is_named() {
    let mut memdisk = bzimage(8192);
    put(&mut memdisk, 0x206, &0x203u16.to_le_bytes());
    put(&mut memdisk, 0x20e, &0x80u16.to_le_bytes());
    put(&mut memdisk, 0x280, b"MEMDISK 6.04\x1b");
    assert_eq!(parsed(&memdisk).version_text(), "MEMDISK 6.04?");
    let error = parsed(&memdisk).direct_entry().unwrap_err();
    let text = "is a real-mode program ('MEMDISK 6.04?'), which needs a BIOS";
    assert_eq!(error.to_string(), text);
    let mut ipxe = bzimage(8192);
    put(&mut ipxe, 0x206, &0x207u16.to_le_bytes());
    put(&mut ipxe, 0x214, &[0; 4]);
    assert!(matches!(parsed(&ipxe).direct_entry(), Err(BzImageError::RealModeProgram(_))));
    put(&mut ipxe, 0x206, &0x20au16.to_le_bytes());
    assert_eq!(parsed(&ipxe).direct_entry(), Ok(LinuxEntry::Protected), "pref_address says where");
    for (version, loadflags, text) in [
        (0x201u16, 1, "has no 32-bit entry point (boot protocol 2.01)"),
        (
            0x206,
            0,
            "has no 32-bit entry point (boot protocol 2.06, a zImage, loaded below 640 KiB)",
        ),
    ] {
        let mut old = bzimage(8192);
        put(&mut old, 0x206, &version.to_le_bytes());
        put(&mut old, 0x211, &[loadflags]);
        let error = parsed(&old).direct_entry().unwrap_err();
        assert_eq!(error.to_string(), text);
        assert!(error.hint().contains("-bios seabios"));
    }
}

#[test]
fn the_rest_of_the_file_is_the_kernel_whatever_syssize_says() {
    for syssize in [0u32, 1, 256] {
        let mut image = bzimage(8192);
        put(&mut image, 0x1f4, &syssize.to_le_bytes());
        image.extend(b"signature");
        assert_eq!(parsed(&image).payload_len(), 8201);
    }
}

#[test]
fn a_64_bit_entry_is_rejected_when_the_header_is_invalid() {
    for (at, bytes, field) in [
        (0x258, &[0, 0x10, 0, 0, 0, 0, 0, 0][..], "pref_address"),
        (0x258, &[0, 0, 0, 0, 1, 0, 0, 0], "pref_address"),
        (0x260, &[0; 4], "init_size"),
        (0x230, &[3, 0, 0, 0], "kernel_alignment"),
    ] {
        let mut image = bzimage(8192);
        put(&mut image, at, bytes);
        let error = parsed(&image).direct_entry().unwrap_err();
        assert!(error.to_string().contains(field), "{error}");
    }
    let mut image = bzimage(8192);
    put(&mut image, 0x258, &[0; 8]);
    assert_eq!(parsed(&image).load_address(), 0x10_0000, "none is 1 MiB");
    // The kernel must at least have room for itself.
    for (init_size, is_valid) in [(8191u32, false), (8192, true)] {
        let mut image = bzimage(8192);
        put(&mut image, 0x260, &init_size.to_le_bytes());
        assert_eq!(parsed(&image).direct_entry().is_ok(), is_valid, "{init_size}");
    }
}

#[test]
fn fields_behind_the_end_of_the_header_read_as_0() {
    let mut image = bzimage(64);
    put(&mut image, 0x201, &[0x36]); // the header ends at 0x202 + 0x36, before cmdline_size
    let image = parsed(&image);
    assert_eq!((image.initrd_addr_max(), image.cmdline_size()), (0x7fff_ffff, 255));
    assert_eq!((image.pref_address(), image.init_size()), (0, 0));
}

#[test]
fn syssize_counts_from_protocol_2_04_on() {
    let mut image = bzimage(8192);
    put(&mut image, 0x1f4, &513u32.to_le_bytes());
    for (version, is_whole) in [(0x202u16, true), (0x203, true), (0x204, false), (0x205, false)] {
        put(&mut image, 0x206, &version.to_le_bytes());
        assert_eq!(open(&image).is_ok(), is_whole, "{version:#x}");
    }
}

#[test]
fn a_32_bit_kernel_takes_an_initrd_anywhere_below_4_gib_if_it_says_so() {
    let mut image = bzimage(64);
    put(&mut image, 0x236, &[2]); // only XLF_CAN_BE_LOADED_ABOVE_4G
    assert_eq!(parsed(&image).initrd_limit(), 1 << 32);
}

#[test]
fn bzimage_header_never_panics_whatever_it_holds() {
    let mut image = bzimage(64);
    for at in 0x1f1..0x26c {
        for value in [0, 1, 0x7f, 0x80, 0xff] {
            let kept = std::mem::replace(&mut image[at], value);
            if let Some(Ok(parsed)) = BzImage::parse(&image, image.len() as u64) {
                assert!(parsed.payload_offset() + parsed.payload_len() <= image.len() as u64);
                let _ = (parsed.direct_entry(), parsed.check_32_bit_entry(), parsed.room());
            }
            image[at] = kept;
        }
    }
}

#[test]
fn foreign_files_are_named() {
    let mut arm = vec![0; 4096];
    arm[0x38..0x3c].copy_from_slice(b"ARM\x64");
    let mut boot_sector = vec![0; 512];
    boot_sector[510..].copy_from_slice(b"\x55\xaa");
    let mut disk = boot_sector.clone();
    disk.resize(1 << 20, 0);
    let mut iso = disk.clone();
    iso[0x8000..0x8006].copy_from_slice(b"\x01CD001");
    for (bytes, expected) in [
        (&arm[..], "an arm64 Image"),
        (&boot_sector, "a boot sector or disk image"),
        (&disk, "a boot sector or disk image"),
        (&iso, "an ISO image"),
        (b"QFI\xfb\0\0\0\x03", "a qcow2 disk image"),
        (b"\xed\xab\xee\xdb\x03", "an RPM package"),
        (b"\x1f\x8b\x08\0rest", "gzip data"),
        (b"070701000000", "a cpio archive"),
        (b"#!/bin/sh\n", "a script"),
        (b"abcdefgh", "its first bytes are 61 62 63 64"),
        (b"x", "its first bytes are 78"),
    ] {
        let message = error(bytes);
        assert!(message.contains(expected), "{message}");
    }
}

/// An ELF executable with one loadable segment of 4096 bytes at 16 MiB, and a note that only Linux
/// has.
pub(crate) fn elf(machine: u16) -> Vec<u8> {
    elf_with(machine, &[(0x100, b"Linux\0", &[])])
}

/// As [`elf`], but with these notes (type, name, descriptor).
pub(crate) fn elf_with(machine: u16, notes: &[(u32, &[u8], &[u8])]) -> Vec<u8> {
    let mut image = vec![0; 8192];
    let mut bytes = Vec::new();
    for (kind, name, descriptor) in notes {
        for word in [name.len(), descriptor.len(), *kind as usize] {
            bytes.extend(u32::try_from(word).unwrap().to_le_bytes());
        }
        for part in [name, descriptor] {
            bytes.extend(*part);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
    }
    put(&mut image, 0, b"\x7fELF\x02\x01\x01");
    put(&mut image, 16, &2u16.to_le_bytes());
    put(&mut image, 18, &machine.to_le_bytes());
    put(&mut image, 24, &0x100_0000u64.to_le_bytes());
    put(&mut image, 32, &64u64.to_le_bytes());
    put(&mut image, 54, &56u16.to_le_bytes());
    put(&mut image, 56, &2u16.to_le_bytes());
    put(&mut image, 64, &1u32.to_le_bytes());
    for (field, value) in [(8, 4096u64), (16, 0), (24, 0x100_0000), (32, 4096), (40, 8192)] {
        put(&mut image, 64 + field, &value.to_le_bytes());
    }
    put(&mut image, 120, &4u32.to_le_bytes());
    for (field, value) in [(8, 0x200), (32, bytes.len() as u64), (48, 4)] {
        put(&mut image, 120 + field, &value.to_le_bytes());
    }
    put(&mut image, 0x200, &bytes);
    image
}

/// A 32-bit x86 ELF executable with one segment of 4096 bytes at 1 MiB, which begins with
/// `content`.
pub(crate) fn elf32(content: &[u8]) -> Vec<u8> {
    let mut image = vec![0; 8192];
    put(&mut image, 0, b"\x7fELF\x01\x01\x01");
    put(&mut image, 16, &2u16.to_le_bytes());
    put(&mut image, 18, &3u16.to_le_bytes());
    put(&mut image, 24, &0x10_0100u32.to_le_bytes());
    put(&mut image, 28, &52u32.to_le_bytes());
    put(&mut image, 42, &32u16.to_le_bytes());
    put(&mut image, 44, &1u16.to_le_bytes());
    for (field, value) in
        [(0, 1u32), (4, 4096), (8, 0x10_0000), (12, 0x10_0000), (16, 4096), (20, 8192)]
    {
        put(&mut image, 52 + field, &value.to_le_bytes());
    }
    put(&mut image, 4096, content);
    image
}

#[test]
fn elf_is_recognized_and_measured() {
    let KernelImage { kind: KernelKind::Elf(elf), .. } = open(&elf(62)).unwrap() else {
        panic!("an ELF file")
    };
    assert_eq!((elf.entry, elf.pvh_entry, elf.end()), (0x100_0000, None, 0x100_2000));
    assert_eq!(
        elf.segments,
        [Segment { offset: 4096, addr: 0x100_0000, file_size: 4096, mem_size: 8192 }]
    );
}

#[test]
fn elf_is_refused_when_cut_or_for_another_machine() {
    let whole = elf(62);
    for len in [4, 63, 64, 175, 4096, 8191] {
        assert!(error(&whole[..len]).contains("truncated"), "{len}: {}", error(&whole[..len]));
    }
    assert!(error(&elf(183)).contains("is an ELF file for arm64"));
    assert!(error(&elf(3)).contains("for 32-bit x86"), "64-bit headers");
    let mut program = whole.clone();
    program[16] = 3;
    assert!(error(&program).contains("not a kernel"), "{}", error(&program));
    program[16] = 1;
    assert!(error(&program).contains("an object file"), "{}", error(&program));
}

#[test]
fn an_elf_segment_is_not_longer_in_the_file_than_in_memory() {
    let mut image = elf(62);
    put(&mut image, 64 + 40, &4096u64.to_le_bytes());
    open(&image).unwrap();
    put(&mut image, 64 + 40, &4095u64.to_le_bytes());
    assert!(error(&image).contains("invalid sizes"), "{}", error(&image));
}

#[test]
fn an_elf_file_without_a_known_entry_protocol_is_rejected() {
    let program = elf_with(62, &[(3, b"GNU\0", &[1; 20])]);
    let message = error(&program);
    assert!(message.contains("is a 64-bit ELF program without a known kernel entry"), "{message}");
    let mut limine = program.clone();
    put(&mut limine, 4096, &[0x88, 0x4c, 0x8b, 0xdf, 0x30, 0xdd, 0xb1, 0xc7]);
    put(&mut limine, 4104, &[0x7b, 0xf0, 0x94, 0xe1, 0x83, 0xe8, 0x82, 0x0a]);
    assert!(error(&limine).contains("a kernel for the Limine boot protocol"), "{}", error(&limine));
    assert!(error(&elf32(&[])).contains("for 32-bit x86 without a known entry"));
    let mut outside = elf(62);
    put(&mut outside, 24, &0x200_0000u64.to_le_bytes());
    assert!(
        error(&outside).contains("64-bit entry point at 0x2000000, outside its loaded segments")
    );
}

#[test]
fn a_vmlinux_without_notes_is_recognized_by_its_sections() {
    let mut image = elf_with(62, &[]);
    let names = b"\0.init.text\0__ksymtab\0.shstrtab\0";
    put(&mut image, 0x300, names);
    put(&mut image, 40, &0x400u64.to_le_bytes());
    for (at, value) in [(58, 64u16), (60, 4), (62, 3)] {
        put(&mut image, at, &value.to_le_bytes());
    }
    for (index, name) in [(1, 1u32), (2, 12), (3, 22)] {
        put(&mut image, 0x400 + index * 64, &name.to_le_bytes());
    }
    put(&mut image, 0x400 + 3 * 64 + 24, &0x300u64.to_le_bytes());
    put(&mut image, 0x400 + 3 * 64 + 32, &(names.len() as u64).to_le_bytes());
    let KernelKind::Elf(elf) = open(&image).unwrap().kind else { panic!("an ELF file") };
    assert_eq!((elf.entry, elf.pvh_entry), (0x100_0000, None));
    image.resize(0x400 + 4097 * 64, 0);
    for (count, size, expected) in [(4096u16, 64u16, true), (4097, 64, false), (4, 40, false)] {
        let mut image = image.clone();
        put(&mut image, 58, &size.to_le_bytes());
        put(&mut image, 60, &count.to_le_bytes());
        assert_eq!(open(&image).is_ok(), expected, "{count} section headers of {size} bytes");
    }
    put(&mut image, 0x300, b"\0.initx");
    assert!(error(&image).contains("without a known kernel entry"));
}

#[test]
fn pvh_is_found_in_both_classes_and_types() {
    let entry = 0x100_0010u32.to_le_bytes();
    let mut image = elf_with(62, &[(18, b"Xen\0", &entry)]);
    for kind in [2, 3] {
        image[16] = kind;
        let KernelKind::Elf(elf) = open(&image).unwrap().kind else { panic!("an ELF file") };
        assert_eq!(elf.pvh_entry, Some(0x100_0010));
    }
    let outside = elf_with(62, &[(18, b"Xen\0", &[0; 4])]);
    assert!(
        error(&outside).contains("has its PVH entry point at 0x0, outside its loaded segments")
    );
    let kind = open(&elf32_with_pvh(&[])).unwrap().kind;
    assert_eq!(kind.name(), "32-bit PVH kernel");
    let KernelKind::Elf(elf) = kind else { panic!("an ELF file") };
    assert_eq!((elf.class, elf.pvh_entry), (Class::Bits32, Some(0x10_0010)));
}

/// As [`elf32`], with a PVH note whose entry point is 16 bytes behind the segment's start.
fn elf32_with_pvh(content: &[u8]) -> Vec<u8> {
    let mut image = elf32(content);
    put(&mut image, 44, &2u16.to_le_bytes());
    for (field, value) in [(0, 4u32), (4, 0x200), (16, 20), (28, 4)] {
        put(&mut image, 84 + field, &value.to_le_bytes());
    }
    put(&mut image, 0x200, &[4, 0, 0, 0, 4, 0, 0, 0, 18, 0, 0, 0]);
    put(&mut image, 0x20c, b"Xen\0\x10\0\x10\0");
    image
}

/// QEMU's order (`load_multiboot` is called before the PVH note is looked for).
#[test]
fn a_32_bit_elf_file_with_both_is_entered_by_multiboot_1_or_else_by_pvh() {
    let kind = |content: &[u8]| open(&elf32_with_pvh(content)).unwrap().kind;
    assert_eq!(kind(&MULTIBOOT).name(), "multiboot kernel");
    assert_eq!(kind(&multiboot::tests::v2(&[], &[])).name(), "32-bit PVH kernel");
}

#[test]
fn addresses_in_a_multiboot_header_override_those_of_elf() {
    let at = 4096u32;
    let flags = 1 << 16;
    let fields = [
        0x1bad_b002,
        flags,
        0u32.wrapping_sub(0x1bad_b002 + flags),
        0x30_0000 + at, // header_addr
        0x30_0000,      // load_addr: the file's start
        0,
        0,
        0x30_0040, // entry_addr
    ];
    let header: Vec<u8> = fields.iter().flat_map(|field| u32::to_le_bytes(*field)).collect();
    let KernelKind::Multiboot(kernel) = open(&elf32(&header)).unwrap().kind else {
        panic!("multiboot")
    };
    let segment = Segment { offset: 0, addr: 0x30_0000, file_size: 8192, mem_size: 8192 };
    assert_eq!((kernel.entry, kernel.segments), (0x30_0040, vec![segment]));
    // Even PVH's note does not count then: version 1 is looked for first, as in QEMU.
    let mut both = elf_with(62, &[(18, b"Xen\0", &0x100_0010u32.to_le_bytes())]);
    assert_eq!(open(&both).unwrap().kind.name(), "vmlinux");
    put(&mut both, 4096, &header);
    assert_eq!(open(&both).unwrap().kind.name(), "multiboot kernel");
}

#[test]
fn program_headers_are_at_most_64_of_the_right_size_and_may_end_the_file() {
    let mut image = elf(62);
    for (count, expected) in [(64u16, true), (65, false)] {
        put(&mut image, 56, &count.to_le_bytes());
        assert_eq!(open(&image).is_ok(), expected, "{count}");
    }
    let mut image = elf(62);
    put(&mut image, 54, &57u16.to_le_bytes());
    assert!(error(&image).contains("missing, too many or of the wrong size"), "{}", error(&image));
    let mut last = elf(62);
    last.extend_from_within(64..64 + 2 * 56);
    put(&mut last, 32, &8192u64.to_le_bytes());
    open(&last).unwrap();
}

/// [`elf`] with a third program header: a copy of its note's, with this type.
fn elf_with_third_header(kind: u32) -> Vec<u8> {
    let mut image = elf(62);
    put(&mut image, 56, &3u16.to_le_bytes());
    image.copy_within(120..176, 176);
    put(&mut image, 176, &kind.to_le_bytes());
    image
}

#[test]
fn a_note_of_linux_may_be_in_any_and_in_several_segments() {
    for kind in [0, 4] {
        assert_eq!(open(&elf_with_third_header(kind)).unwrap().kind.name(), "vmlinux");
    }
}

#[test]
fn a_segment_without_memory_is_not_loaded() {
    let KernelKind::Elf(elf) = open(&elf_with_third_header(1)).unwrap().kind else {
        panic!("an ELF file")
    };
    assert_eq!(elf.segments.len(), 1);
}

#[test]
fn a_program_with_an_interpreter_is_refused_by_name() {
    for (interpreter, expected) in [
        (&b"/red/herring\0"[..], "is a FreeBSD kernel, which only FreeBSD's loader starts"),
        (b"/lib64/ld-linux-x86-64.so.2\0", "is a dynamically linked program"),
        (b"/red\0", "is a dynamically linked program"),
    ] {
        let mut image = elf_with(62, &[]);
        put(&mut image, 120, &3u32.to_le_bytes());
        put(&mut image, 120 + 32, &(interpreter.len() as u64).to_le_bytes());
        put(&mut image, 0x200, interpreter);
        assert!(error(&image).contains(expected), "{}", error(&image));
    }
}

const MULTIBOOT: [u8; 12] = [0x02, 0xb0, 0xad, 0x1b, 3, 0, 0, 0, 0xfb, 0x4f, 0x52, 0xe4];

#[test]
fn multiboot_is_found_in_elf_files_of_both_classes() {
    for image in [elf32(&MULTIBOOT), {
        let mut image = elf_with(62, &[]);
        put(&mut image, 4096, &MULTIBOOT);
        image
    }] {
        let KernelKind::Multiboot(kernel) = open(&image).unwrap().kind else { panic!("multiboot") };
        assert_eq!(kernel.version, MultibootVersion::One);
        assert!(kernel.entry == 0x10_0100 || kernel.entry == 0x100_0000);
    }
    let mut both = elf_with(62, &[(18, b"Xen\0", &0x100_0010u32.to_le_bytes())]);
    put(&mut both, 4096, &MULTIBOOT);
    assert!(matches!(open(&both).unwrap().kind, KernelKind::Elf(_)), "64-bit: PVH");
    let mut high = elf_with(62, &[]);
    put(&mut high, 4096, &MULTIBOOT);
    put(&mut high, 24, &u64::MAX.to_le_bytes());
    assert!(
        error(&high).contains("with an invalid field: the entry address is 0xffffffffffffffff")
    );
}

#[test]
fn a_kernel_linked_high_is_entered_at_its_physical_address() {
    let mut image = elf32(&MULTIBOOT);
    put(&mut image, 24, &0xc010_0100u32.to_le_bytes());
    put(&mut image, 52 + 8, &0xc010_0000u32.to_le_bytes());
    let KernelKind::Multiboot(kernel) = open(&image).unwrap().kind else { panic!("multiboot") };
    assert_eq!(kernel.entry, 0x10_0100);
    // The first address behind the segment is not in it.
    put(&mut image, 24, &0xc010_2000u32.to_le_bytes());
    assert!(error(&image).contains("the entry address is 0xc0102000"), "{}", error(&image));
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(bytes).unwrap();
    packer.finish().unwrap()
}

#[test]
fn a_gzip_compressed_kernel_is_decompressed() {
    let packed = gzip(&elf32(&MULTIBOOT));
    let kernel = open(&packed).unwrap();
    assert!(matches!(kernel.kind, KernelKind::Multiboot(_)));
    assert_eq!((kernel.source.len(), kernel.file().len()), (8192, packed.len() as u64));
    let pages = gzip(&[0xf4; 4096]);
    for (more, size) in [(&[0; 512][..], 8192), (b"signature", 8192), (&pages, 8192 + 4096)] {
        let kernel = open(&[&packed, more].concat()).unwrap();
        assert_eq!(kernel.source.len(), size, "{} bytes behind", more.len());
    }
    let flat = multiboot::tests::flat_v1(3, &[0x90; 64]);
    assert_eq!(open(&gzip(&flat)).unwrap().kind.name(), "multiboot kernel");
    assert_eq!(open(&gzip(&elf(62))).unwrap().kind.name(), "vmlinux");
    assert_eq!(open(&gzip(&bzimage(64))).unwrap().kind.name(), "bzImage");
    assert!(error(&gzip(b"070701")).contains("is gzip data with a cpio archive"));
    assert!(error(&gzip(b"text")).contains("is gzip data, expected"));
    let message = error(&packed[..packed.len() - 5]);
    assert!(message.contains("is gzip data that cannot be unpacked"), "{message}");
}

#[test]
fn a_gzip_file_is_decompressed_up_to_a_size() {
    let file = TempFile::new(&gzip(&[0x90; 4096]));
    let source = SourceFile::open(&file.0, "kernel").unwrap();
    assert_eq!(container::unpack(&source, 4096).unwrap().len(), 4096);
    let error = container::unpack(&source, 4095).unwrap_err();
    assert_eq!(error.to_string(), "it unpacks to more than 4095 bytes");
}

#[test]
fn elf_headers_never_panic_whatever_they_hold() {
    let mut image = elf(62);
    for at in 16..120 {
        for value in [0, 1, 0x7f, 0x80, 0xff] {
            let kept = std::mem::replace(&mut image[at], value);
            let _ = open(&image);
            image[at] = kept;
        }
    }
}

#[test]
fn an_html_page_sent_instead_of_a_kernel_is_identified() {
    for page in [&b"<!DOCTYPE html><title>404</title>"[..], b"<html><body>"] {
        let message = error(page);
        assert!(
            message.ends_with("is an HTML page, expected an x86-64 bzImage or vmlinux"),
            "{message}"
        );
    }
}

#[test]
fn the_first_bytes_tell_what_can_be_a_kernel() {
    let with = |at: usize, bytes: &[u8]| {
        let mut head = vec![0; 4096];
        put(&mut head, at, bytes);
        head
    };
    for head in [
        with(0, b"\x7fELF"),
        with(0, b"MZ"),
        with(0, b"\x1f\x8b"),
        with(0x1fe, &[0x55, 0xaa]),
        with(0x202, b"HdrS"),
        multiboot::tests::flat_v1(0, &[]),
        multiboot::tests::v2(&[], &[]),
    ] {
        assert!(could_be_kernel(&head), "{:x?}", &head[..16]);
    }
    for head in [with(0, b""), with(0, b"#!/bin/sh"), with(0x200, b"HdrS"), Vec::new()] {
        assert!(!could_be_kernel(&head), "{head:x?}");
    }
}
