//! What is published for a PVH kernel, and what is rejected.

use super::*;
use crate::image::KernelImage;
use crate::image::tests::elf;
use crate::publish::kernel::{self, Firmware, FirmwareKind};
use crate::source_file::SourceFile;
use crate::testing::TempFile;

const MIB: u64 = 1 << 20;
/// Where the segments of [`kernel`] begin and end.
const START: u32 = 0x20_0000;
const END: u64 = 0x20_3000;

fn words(values: &[u32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// A 32-bit ELF file with a PVH note and two segments at these addresses, in this order: 4 bytes of
/// code in two pages, 4 bytes of data in one.
fn with_segments(code: u32, data: u32) -> Vec<u8> {
    let mut file = b"\x7fELF\x01\x01\x01".to_vec();
    file.resize(16, 0);
    file.extend([2, 0, 3, 0]);
    file.extend(words(&[1, code, 52, 0, 0]));
    file.extend([52u16, 32, 3, 0, 0, 0].iter().flat_map(|word| word.to_le_bytes()));
    file.extend(words(&[1, 0x200, code, code, 4, 0x2000, 7, 4]));
    file.extend(words(&[1, 0x204, data, data, 4, 0x1000, 7, 4]));
    file.extend(words(&[4, 0x300, 0, 0, 20, 20, 4, 4]));
    file.resize(0x200, 0);
    file.extend(b"codedata");
    file.resize(0x300, 0);
    file.extend(words(&[4, 4, 18]));
    file.extend(b"Xen\0");
    file.extend(words(&[code]));
    file
}

/// The data comes first in memory, and a page is free between the segments.
fn kernel() -> Vec<u8> {
    with_segments(START + 0x1000, START)
}

fn try_publish(
    kernel: &[u8],
    initrd: Option<&[u8]>,
    memory: u64,
    preloaded: bool,
) -> Result<Items, KernelError> {
    let file = TempFile::new(kernel);
    let initrd_file = initrd.map(TempFile::new);
    let payload = Payload {
        kernel: KernelImage::open(&file.0).unwrap(),
        initrd: initrd_file.as_ref().map(|file| SourceFile::open(&file.0, "initrd").unwrap()),
        modules: Vec::new(),
        cmdline: b"a=b".into(),
    };
    let mut items = Items::new();
    let firmware = Firmware { reserved_for_acpi: 0x2_8000, kind: FirmwareKind::Bios, preloaded };
    kernel::publish(&mut items, &payload, &MemoryMap::new(memory), firmware)?;
    Ok(items)
}

fn bytes(items: &Items, key: u16) -> Vec<u8> {
    items.get(key).expect("it is published").read_to_vec().unwrap()
}

fn number(items: &Items, key: u16) -> u32 {
    u32::from_le_bytes(bytes(items, key).try_into().expect("4 bytes"))
}

#[test]
fn segments_are_one_image() {
    let items = try_publish(&kernel(), Some(b"initrd"), 256 * MIB, false).unwrap();
    assert_eq!(number(&items, key::KERNEL_ENTRY), START + 0x1000);
    assert_eq!(number(&items, key::KERNEL_ADDR), START);
    let image = bytes(&items, key::KERNEL_DATA);
    assert_eq!((number(&items, key::KERNEL_SIZE), image.len()), (0x3000, 0x3000));
    let mut expected = vec![0; 0x3000];
    expected[..4].copy_from_slice(b"data");
    expected[0x1000..0x1004].copy_from_slice(b"code");
    assert!(image == expected);
    assert_eq!(
        (number(&items, key::CMDLINE_ADDR), number(&items, key::CMDLINE_SIZE)),
        (0x2_0000, 4)
    );
    assert_eq!(bytes(&items, key::CMDLINE_DATA), b"a=b\0");
    let header = bytes(&items, key::SETUP_DATA);
    assert_eq!((number(&items, key::SETUP_SIZE), header.len()), (8192, 8192));
    assert!(header.starts_with(&kernel()));
    // QEMU 7.2's value for -M pc -m 256 and an initrd of less than a page.
    assert_eq!(number(&items, key::INITRD_ADDR), 0xffd_7000);
    assert_eq!(bytes(&items, key::INITRD_DATA), b"initrd");
}

#[test]
fn kernel_and_initrd_stay_clear_of_the_firmware() {
    let least = END + FIRMWARE_RAM;
    assert!(try_publish(&kernel(), None, least, false).is_ok());
    let error = try_publish(&kernel(), None, least - 1, false).unwrap_err();
    assert!(error.to_string().contains("needs 3 MiB of guest memory to start"), "{error}");
    // SeaBIOS works in the last 16 MiB.
    assert!(try_publish(&kernel(), None, least + FIRMWARE_WORK_RAM, true).is_ok());
    let error = try_publish(&kernel(), None, least + FIRMWARE_WORK_RAM - 1, true).unwrap_err();
    assert!(error.hint().contains("-m 19M"), "{}", error.hint());
    let least = END + 0x2000 + FIRMWARE_RAM;
    assert!(try_publish(&kernel(), Some(&[1; 0x2000]), least, false).is_ok());
    let error = try_publish(&kernel(), Some(&[1; 0x2000]), least - 1, false).unwrap_err();
    assert!(error.to_string().contains("between the kernel's end at 0x203000"), "{error}");
}

#[test]
fn segments_that_firmware_cannot_load_are_refused() {
    let error = try_publish(&with_segments(START, 0x8000), None, 256 * MIB, false).unwrap_err();
    assert!(error.to_string().contains("is loaded at 0x8000-0x201fff"), "{error}");
    assert!(error.to_string().contains("expected 1 MiB or above"), "{error}");
    let error =
        try_publish(&with_segments(START, START + 0x1fff), None, 256 * MIB, false).unwrap_err();
    assert!(error.to_string().contains("has two segments at 0x201fff, expected one"), "{error}");
}

#[test]
fn a_kernel_may_begin_at_1_mib() {
    let items = try_publish(&with_segments(0x10_1000, 0x10_0000), None, 256 * MIB, false).unwrap();
    assert_eq!(number(&items, key::KERNEL_ADDR), 0x10_0000);
}

#[test]
fn a_vmlinux_without_a_pvh_note_is_refused() {
    let error = try_publish(&elf(62), None, 256 * MIB, false).unwrap_err();
    assert!(error.to_string().contains("is a vmlinux, expected a bzImage, a PVH or"), "{error}");
    assert!(error.hint().starts_with("boot it directly, without -bios, or give the bzImage"));
}
