//! Files that are not kernels chukka boots, or are truncated.

use std::fs;

use chukka_tests::assets;
use chukka_tests::native::image::{self, BzImage, HEADER_FIELDS};
use chukka_tests::native::{Refusal, Scratch, Start, guest};

/// What chukka says of a kernel file with this content.
#[track_caller]
fn refused(content: &[u8]) -> Refusal {
    let scratch = Scratch::new();
    let path = scratch.file("kernel", content);
    Start::kernel(&path).refused().says(&format!("The kernel '{}' ", path.display()))
}

/// Cuts a bzImage at every boundary of its header, and around those of what follows.
fn cut_everywhere(whole: &[u8]) {
    let payload = image::payload(whole);
    // Before 0x40 bytes nothing tells that it was to be a kernel.
    let header = HEADER_FIELDS.into_iter().chain([0x40, 0x100, 0x1f0, 0x203]);
    for length in header.filter(|length| *length <= 0x268) {
        refused(&whole[..length])
            .says(&format!("is a truncated bzImage: it ends at byte {length}, "))
            .says("inside its setup header, which ends at byte 620")
            .hints("copy or download it again");
    }
    let body = [0x26c, 0x280, 512, 1024, payload.start - 1, payload.start, payload.start + 1];
    let rest = [payload.start + payload.len() / 2, payload.end - 4096, payload.end - 16];
    for length in body.into_iter().chain(rest).filter(|length| *length > 0x280) {
        refused(&whole[..length])
            .says(&format!("is a truncated bzImage: it has {length} bytes; its header says "))
            .hints("compare its size and checksum");
    }
    for length in [1, 2, 4, 0x3f] {
        refused(&whole[..length]).says("expected an x86-64 bzImage or vmlinux");
    }
}

#[test]
fn a_bzimage_truncated_anywhere_is_refused() {
    cut_everywhere(&BzImage::default().file());
}

#[test]
fn debian_s_kernel_truncated_anywhere_is_refused() {
    let Some(kernel) = assets::or_skip(assets::cloud()) else { return };
    cut_everywhere(&fs::read(kernel.vmlinuz).unwrap());
}

#[test]
fn a_vmlinux_cut_short_anywhere_is_told() {
    let whole = guest::kernel("P");
    for (length, what) in [
        (4, "header"),
        (63, "header"),
        (64, "program headers"),
        (175, "program headers"),
        (176, "segment"),
        (0x1000, "segment"),
        (whole.len() - 1, "segment"),
    ] {
        refused(&whole[..length])
            .says(&format!("is a truncated ELF file: it has {length} bytes; its {what} needs "))
            .hints("copy or download it again");
    }
}

#[test]
fn a_file_without_any_magic_is_shown_by_its_first_bytes() {
    let mut wrong = BzImage::default().file();
    wrong[0] = 0;
    wrong[0x1fe] = 0;
    wrong[0x202..0x206].copy_from_slice(b"SdrH");
    refused(&wrong)
        .says("is neither ELF nor bzImage (its first bytes are 00 5a 00 00, ")
        .says("expected an x86-64 bzImage or vmlinux");
    refused(b"hello\n").says("its first bytes are 68 65 6c 6c");
}

#[test]
fn a_packed_kernel_is_told_by_its_packer() {
    refused(&image::gzip())
        .says("is gzip data, expected an x86-64 bzImage or vmlinux")
        .hints("unpack it with gunzip");
    refused(b"\xfd7zXZ\0\0\x04").says("is xz data").hints("unxz");
    refused(b"\x28\xb5\x2f\xfd\x04").says("is zstd data").hints("unzstd");
}

#[test]
fn a_kernel_for_another_processor_is_told_by_its_name() {
    let other = "this is a kernel for another processor";
    refused(&image::arm64_image()).says("is an arm64 Image, expected an x86-64").hints(other);
    refused(&image::arm_zimage()).says("is an ARM zImage, expected an x86-64").hints(other);
    refused(&guest::elf_header(183, 0)).says("is an ELF file for arm64, expected one for x86-64");
    refused(&image::elf32(40)).says("is an ELF file for 32-bit ARM, expected one for x86-64");
}

#[test]
fn a_kernel_without_an_entry_for_a_direct_boot_is_told() {
    let old = BzImage { version: 0x201, ..BzImage::default() };
    refused(&old.file())
        .says("has no 32-bit entry point (boot protocol 2.01)")
        .hints("boot it through a BIOS: -bios seabios");
    let mut zimage = BzImage { version: 0x206, ..BzImage::default() }.file();
    zimage[0x211] = 0;
    // iPXE's header has no address for 32-bit code; its file here is one of protocol 2.07 without
    // LOADED_HIGH's code.
    refused(&zimage).says("which needs a BIOS").hints("-bios seabios");
}

#[test]
fn an_elf_file_without_a_known_entry_is_refused() {
    refused(&image::elf32(3)).says("its program headers are missing");
    let mut program = guest::kernel("P");
    // Without Linux's note it is a program like any other.
    let note = 64 + 2 * 56;
    program[note + 12..note + 17].copy_from_slice(b"Other");
    refused(&program)
        .says("is a 64-bit ELF program without a known kernel entry")
        .says("expected a kernel with a PVH note, a multiboot header, or a vmlinux of Linux")
        .hints("give it a PVH note");
    program[16] = 3;
    refused(&program).says("a shared object or position-independent program");
}

#[test]
fn a_multiboot_kernel_that_requires_an_unsupported_feature_is_refused() {
    for bit in 3..16 {
        let flags = 1 << bit;
        refused(&image::multiboot(flags | 1 << 16, 1 << 20, 4096))
            .says(&format!("has a multiboot header that requires flags {flags:#x}, unknown"))
            .hints("build it without that requirement");
    }
    refused(&image::multiboot(0b11, 1 << 20, 4096)).says("without load addresses");
    let mut outside = image::multiboot(1 << 16, 1 << 20, 4096);
    outside[28..32].copy_from_slice(&0x20_0000u32.to_le_bytes());
    refused(&outside).says("with an invalid field: the entry address is 0x200000");
}

#[test]
fn an_inconsistent_header_is_refused() {
    let nothing = BzImage { init_size: 0, ..BzImage::default() };
    refused(&nothing.file()).says("is a bzImage with an invalid header: init_size is 0x0");
    let low = BzImage { pref_address: 0x1000, ..BzImage::default() };
    refused(&low.file()).says("with an invalid header: pref_address is 0x1000");
}
