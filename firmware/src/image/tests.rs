//! What [`KernelImage::open`] makes of files, good and bad.

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
fn bzimage_is_refused_when_cut_anywhere() {
    let whole = bzimage(8192);
    // From the boot flag on, each length is recognized for what it is: a kernel cut short.
    for len in (0x200..0x290).chain([2047, 2048, 2049, 8192, whole.len() - 16]) {
        let message = error(&whole[..len]);
        assert!(message.contains("cut short"), "{len:#x}: {message}");
    }
    for len in 1..0x200 {
        assert!(error(&whole[..len]).contains("expected an x86-64 bzImage or vmlinux"), "{len:#x}");
    }
    assert!(open(&whole[..whole.len() - 15]).is_ok(), "the last paragraph may be short");
}

#[test]
fn bzimage_is_refused_when_it_has_no_64_bit_entry() {
    let mut old = bzimage(8192);
    old[0x206..0x208].copy_from_slice(&0x20au16.to_le_bytes());
    assert!(error(&old).contains("is a 32-bit kernel (boot protocol 2.10"), "{}", error(&old));
    let mut only32 = bzimage(8192);
    only32[0x236] = 0;
    assert!(error(&only32).contains("is a 32-bit kernel (boot protocol 2.15"));
}

#[test]
fn bzimage_is_refused_when_its_header_makes_no_sense() {
    for (at, bytes, field) in [
        (0x258, &[0; 8][..], "pref_address"),
        (0x260, &[0; 4], "init_size"),
        (0x230, &[3, 0, 0, 0], "kernel_alignment"),
    ] {
        let mut image = bzimage(8192);
        image[at..at + bytes.len()].copy_from_slice(bytes);
        assert!(error(&image).contains(field), "{}", error(&image));
    }
}

#[test]
fn bzimage_header_never_panics_whatever_it_holds() {
    let mut image = bzimage(64);
    for at in 0x1f1..0x26c {
        for value in [0, 1, 0x7f, 0x80, 0xff] {
            let kept = std::mem::replace(&mut image[at], value);
            if let Some(Ok(parsed)) = BzImage::parse(&image, image.len() as u64) {
                assert!(parsed.payload_offset() + parsed.payload_len() <= image.len() as u64);
            }
            image[at] = kept;
        }
    }
}

#[test]
fn foreign_files_are_named() {
    let mut arm = vec![0; 4096];
    arm[0x38..0x3c].copy_from_slice(b"ARM\x64");
    for (bytes, expected) in [
        (&arm[..], "an arm64 Image"),
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

/// An ELF executable with one loadable segment of 4096 bytes at 16 MiB.
pub(crate) fn elf(machine: u16) -> Vec<u8> {
    let mut image = vec![0; 8192];
    let mut put = |at: usize, bytes: &[u8]| image[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"\x7fELF\x02\x01\x01");
    put(16, &2u16.to_le_bytes());
    put(18, &machine.to_le_bytes());
    put(24, &0x100_0000u64.to_le_bytes());
    put(32, &64u64.to_le_bytes());
    put(54, &56u16.to_le_bytes());
    put(56, &1u16.to_le_bytes());
    put(64, &1u32.to_le_bytes());
    for (field, value) in [(8, 4096u64), (16, 0), (24, 0x100_0000), (32, 4096), (40, 8192)] {
        put(64 + field, &value.to_le_bytes());
    }
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
    for len in [4, 63, 64, 119, 4096, 8191] {
        assert!(error(&whole[..len]).contains("cut short"), "{len}: {}", error(&whole[..len]));
    }
    assert!(error(&elf(183)).contains("is an ELF file for arm64"));
    assert!(error(&elf(3)).contains("for 32-bit x86"));
    let mut program = whole.clone();
    program[16] = 3;
    assert!(error(&program).contains("no kernel"));
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
fn a_page_that_a_server_sent_instead_is_named() {
    for page in [&b"<!DOCTYPE html><title>404</title>"[..], b"<html><body>"] {
        let message = error(page);
        assert!(
            message.ends_with("is an HTML page, expected an x86-64 bzImage or vmlinux"),
            "{message}"
        );
    }
}
