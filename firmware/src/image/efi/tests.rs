//! Unified kernel images and other EFI programs, built byte by byte.

use std::os::unix::fs::FileExt;

use crate::image::tests::bzimage;
use crate::image::{ContainerKind, ImageError, KernelImage, KernelKind};
use crate::source_file::SourceFile;
use crate::testing::TempFile;

/// An EFI program for x86-64 with these sections.
fn program(sections: &[(&str, &[u8])]) -> Vec<u8> {
    let mut image = b"MZ".to_vec();
    image.resize(0x80, 0);
    image[0x3c] = 0x80;
    image.extend(b"PE\0\0\x64\x86");
    image.extend(u16::try_from(sections.len()).unwrap().to_le_bytes());
    image.resize(0x80 + 24, 0);
    let mut at = 0x2000u32;
    for (name, content) in sections {
        let size = u32::try_from(content.len()).unwrap();
        let mut header = name.as_bytes().to_vec();
        header.resize(8, 0);
        for word in [size, 0, size.next_multiple_of(0x200), at] {
            header.extend(word.to_le_bytes());
        }
        header.resize(40, 0);
        image.extend(header);
        at += size.next_multiple_of(0x200);
    }
    image.resize(0x2000, 0);
    for (_, content) in sections {
        image.extend(*content);
        image.resize(image.len().next_multiple_of(0x200), 0);
    }
    image
}

fn open(bytes: &[u8]) -> Result<KernelImage, ImageError> {
    KernelImage::open(&TempFile::new(bytes).0)
}

fn bytes(file: &SourceFile) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(file.len()).unwrap()];
    file.file().read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

#[test]
fn a_unified_kernel_image_is_extracted() {
    let kernel = bzimage(8192);
    let image = program(&[
        (".osrel", b"ID=x"),
        (".cmdline", b"console=ttyS0 quiet\n\0"),
        (".ucode", b"microcode"),
        (".initrd", b"initrd"),
        (".linux", &kernel),
    ]);
    let found = open(&image).unwrap();
    assert!(matches!(found.kind, KernelKind::BzImage(_)));
    assert_eq!(bytes(&found.source), kernel);
    assert_eq!(found.file().len(), image.len() as u64);
    let container = found.container.unwrap();
    assert_eq!(container.kind, ContainerKind::UnifiedKernelImage);
    assert_eq!(container.cmdline, b"console=ttyS0 quiet");
    let sections = [(".osrel", 4), (".cmdline", 21), (".ucode", 9), (".initrd", 6)];
    let mut sections: Vec<_> = sections.map(|(name, size)| (name.to_owned(), size)).into();
    sections.push((".linux".into(), kernel.len() as u64));
    assert_eq!(container.sections, sections);
    assert_eq!(bytes(&container.initrd.unwrap()), b"microcodeinitrd");
}

#[test]
fn the_first_profile_counts() {
    let kernel = bzimage(64);
    let sections: [(&str, &[u8]); 6] = [
        (".linux", &kernel),
        (".cmdline", b"base"),
        (".profile", b"ID=a"),
        (".cmdline", b"first"),
        (".profile", b"ID=b"),
        (".cmdline", b"second"),
    ];
    assert_eq!(open(&program(&sections)).unwrap().container.unwrap().cmdline, b"first");
}

#[test]
fn a_unified_kernel_image_that_is_damaged_is_refused() {
    let image = program(&[(".linux", &bzimage(8192))]);
    let error = open(&image[..image.len() - 0x400]).unwrap_err().to_string();
    assert!(error.contains("a truncated unified kernel image"), "{error}");
    let error = open(&program(&[(".linux", b"")])).unwrap_err().to_string();
    assert!(error.contains("section .linux is empty"), "{error}");
    let error = open(&program(&[(".linux", b"ARM?")])).unwrap_err().to_string();
    assert!(error.contains("(.linux)' is neither ELF nor bzImage"), "{error}");
}

#[test]
fn other_efi_programs_are_named() {
    let mut arm = program(&[(".text", b"")]);
    arm[0x84..0x86].copy_from_slice(&[0x64, 0xaa]);
    let mut zboot = arm.clone();
    zboot[4..8].copy_from_slice(b"zimg");
    zboot[24..29].copy_from_slice(b"gzip\0");
    let mut x86_zboot = zboot.clone();
    x86_zboot[0x84..0x86].copy_from_slice(&[0x64, 0x86]);
    for (image, expected, hint) in [
        (program(&[(".text", b"iPXE")]), "is iPXE, an EFI program for x86-64", "ipxe.lkrn"),
        (program(&[(".text", b"Xen-4.17")]), "is Xen, an EFI program", "xen-*.gz"),
        (
            program(&[(".text", b"")]),
            "is an EFI program for x86-64",
            "chukka cannot run EFI programs",
        ),
        (arm, "is an EFI program for arm64", "chukka cannot run EFI programs"),
        (zboot, "is an EFI zboot image for arm64, packed by gzip", "use the x86-64 kernel"),
        (
            x86_zboot,
            "is an EFI zboot image for x86-64, packed by gzip",
            "unpack the kernel in it, or use arch/x86/boot/bzImage",
        ),
        (b"MZ\0\0zimg".to_vec(), "is an EFI zboot image, expected", "use the x86-64 kernel"),
    ] {
        let error = open(&image).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert!(error.hint().contains(hint), "{}", error.hint());
    }
}

#[test]
fn headers_never_panic_whatever_they_hold() {
    let whole = program(&[(".linux", &bzimage(64)), (".initrd", b"1")]);
    for at in (0..0x40).chain(0x80..0x80 + 24 + 80) {
        for value in [0, 1, 0x7f, 0x80, 0xff] {
            let mut image = whole.clone();
            image[at] = value;
            let _ = open(&image);
        }
    }
}

/// Whether a file is taken for an EFI program.
fn is_efi_program(bytes: &[u8]) -> bool {
    let error = open(bytes).unwrap_err().to_string();
    let other = error.contains("is a DOS or EFI program without a bzImage header");
    assert!(other || error.contains("is an EFI program for x86-64"), "{error}");
    !other
}

/// A file that ends with the COFF header of a program with this many sections.
fn headers_at_the_end(sections: u16) -> Vec<u8> {
    let mut image = b"MZ".to_vec();
    image.resize(0x400, 0);
    image[0x3c..0x40].copy_from_slice(&0x400u32.to_le_bytes());
    image.extend(b"PE\0\0\x64\x86");
    image.extend(sections.to_le_bytes());
    image.resize(0x400 + 24, 0);
    image
}

#[test]
fn pe_headers_are_read_only_if_the_file_has_them() {
    let no_sections = headers_at_the_end(0);
    assert!(is_efi_program(&no_sections), "they may end with the file");
    assert!(!is_efi_program(&no_sections[..no_sections.len() - 1]));
    let mut one_section = headers_at_the_end(1);
    one_section.extend([0; 40]);
    assert!(is_efi_program(&one_section), "so may the section table");
    assert!(!is_efi_program(&one_section[..one_section.len() - 1]));
    one_section[0x400] = b'N';
    assert!(!is_efi_program(&one_section), "the signature is wrong");
}

#[test]
fn at_most_1024_sections_are_read() {
    for (count, expected) in [(1024u16, true), (1025, false)] {
        let mut image = headers_at_the_end(count);
        image.resize(64 << 10, 0);
        assert_eq!(is_efi_program(&image), expected, "{count}");
    }
}

#[test]
fn linux_with_an_efi_stub_is_a_bzimage() {
    let mut image = program(&[]);
    let kernel = bzimage(8192);
    image[0x1f1..0x26c].copy_from_slice(&kernel[0x1f1..0x26c]);
    image.resize(kernel.len(), 0);
    let found = open(&image).unwrap();
    assert!(matches!(found.kind, KernelKind::BzImage(_)) && found.container.is_none());
}

#[test]
fn a_file_without_mz_is_no_efi_program() {
    let mut image = program(&[(".text", b"")]);
    image[0] = b'Z';
    let error = open(&image).unwrap_err().to_string();
    assert!(error.contains("is neither ELF nor bzImage"), "{error}");
}
