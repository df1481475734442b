//! What is published for a multiboot kernel, compared with QEMU's layout, and what is rejected.

use std::path::Path;

use super::*;
use crate::image::KernelImage;
use crate::image::multiboot::tests::{flat_v1, v2};
use crate::payload::Module;
use crate::publish::kernel::{self, Firmware, FirmwareKind};
use crate::testing::TempFile;

const MIB: u64 = 1 << 20;

fn try_publish(
    kernel: &[u8],
    modules: &str,
    memory: u64,
    kind: FirmwareKind,
) -> Result<(Items, TempFile), KernelError> {
    let file = TempFile::new(kernel);
    let payload = Payload {
        kernel: KernelImage::open(&file.0).unwrap(),
        initrd: None,
        modules: match modules {
            "" => Vec::new(),
            list => Module::open_all(list.as_ref()).unwrap(),
        },
        cmdline: b"a=b".into(),
    };
    let mut items = Items::new();
    let firmware = Firmware { reserved_for_acpi: 0, kind, preloaded: false };
    kernel::publish(&mut items, &payload, &MemoryMap::new(memory), firmware)?;
    Ok((items, file))
}

fn bytes(items: &Items, key: u16) -> Vec<u8> {
    items.get(key).expect("it is published").read_to_vec().unwrap()
}

fn number(items: &Items, key: u16) -> u32 {
    u32::from_le_bytes(bytes(items, key).try_into().expect("4 bytes"))
}

fn word(bytes: &[u8], at: u32) -> u32 {
    u32::from_le_bytes(bytes[at as usize..][..4].try_into().unwrap())
}

fn text(bytes: &[u8], at: u32) -> String {
    let text = bytes[at as usize..].split(|byte| *byte == 0).next().unwrap();
    String::from_utf8(text.into()).unwrap()
}

fn name(path: &Path) -> String {
    path.display().to_string()
}

#[test]
fn kernel_strings_and_modules_are_one_image() {
    const BASE: u32 = 0x10_0000;
    let (one, two) = (TempFile::new(b"first"), TempFile::new(&[0x5a; 5000]));
    let list = format!("{} x=1,,2,{}", name(&one.0), name(&two.0));
    let kernel = flat_v1(3, &[0x90; 64]);
    let (items, file) = try_publish(&kernel, &list, 64 * MIB, FirmwareKind::Bios).unwrap();
    assert_eq!(number(&items, key::KERNEL_ENTRY), 0x10_0020);
    assert_eq!(number(&items, key::KERNEL_ADDR), BASE);
    let image = bytes(&items, key::KERNEL_DATA);
    // Kernel and bss: 2 pages; lists: 1; modules: 1 and 2.
    assert_eq!((number(&items, key::KERNEL_SIZE), image.len()), (6 << 12, 6 << 12));
    assert_eq!(image[..96], kernel);
    assert!(image[96..0x2000].iter().all(|byte| *byte == 0), "bss");

    assert_eq!(number(&items, key::INITRD_ADDR), 0x9500);
    assert_eq!(number(&items, key::INITRD_SIZE), 88);
    let info = bytes(&items, key::INITRD_DATA);
    let mut expected = [0; 22];
    expected[0] = 0x24f;
    expected[3] = 0x8000_ffff;
    expected[4] = word(&info, 16);
    expected[5] = 2;
    expected[6] = BASE + 0x2000;
    expected[12] = 0x9000;
    expected[16] = word(&info, 64);
    assert_eq!(info, expected.iter().flat_map(|word: &u32| word.to_le_bytes()).collect::<Vec<_>>());
    assert_eq!(text(&image, word(&info, 16) - BASE), format!("{} a=b", name(&file.0)));
    assert_eq!(text(&image, word(&info, 64) - BASE), "qemu");
    // The doubled comma leaves a byte between the command line and the loader's name.
    let cmdline_end = word(&info, 16) + u32::try_from(name(&file.0).len()).unwrap() + 5;
    assert_eq!(word(&info, 64), cmdline_end + 1);
    let module = |number: u32| [0, 4, 8, 12].map(|at| word(&image, 0x2000 + 16 * number + at));
    assert_eq!(module(0)[..2], [BASE + 0x3000, BASE + 0x3005]);
    assert_eq!(module(1)[..2], [BASE + 0x4000, BASE + 0x4000 + 5000]);
    assert_eq!(text(&image, module(0)[2] - BASE), format!("{} x=1,2", name(&one.0)));
    assert_eq!(text(&image, module(1)[2] - BASE), name(&two.0));
    assert_eq!((&image[0x3000..0x3006], image[0x4000 + 4999]), (&b"first\0"[..], 0x5a));
    for key in [key::SETUP_SIZE, key::CMDLINE_SIZE, key::CMDLINE_DATA] {
        assert!(items.get(key).is_none(), "{key:#x}");
    }
}

/// The error and the hint.
fn told(kernel: &[u8], memory: u64, kind: FirmwareKind) -> String {
    let error = try_publish(kernel, "", memory, kind).map(drop).unwrap_err();
    format!("{error}. {}", error.hint())
}

#[test]
fn multiboot_2_is_refused() {
    let tags: [(u16, u16, &[u32]); 2] =
        [(2, 0, &[0x10_0000, 0x10_0000, 0, 0]), (3, 0, &[0x10_0030])];
    let text = told(&v2(&tags, &[0x90; 64]), 64 * MIB, FirmwareKind::Bios);
    assert!(text.contains("is a multiboot2 kernel, expected a bzImage"), "{text}");
    assert!(text.ends_with("boot it directly, without -bios"), "{text}");
}

#[test]
fn firmware_without_option_roms_refuses_it() {
    for (kind, why) in [
        (FirmwareKind::WithoutOptionRoms, "a PVH kernel: this firmware runs no option ROMs"),
        (FirmwareKind::Uefi, "a bzImage: UEFI firmware starts only EFI programs"),
    ] {
        let text = told(&flat_v1(0, &[0x90; 64]), 64 * MIB, kind);
        assert!(text.contains("is a multiboot kernel, expected a") && text.contains(why), "{text}");
        assert!(text.ends_with("or through SeaBIOS: -bios seabios"), "{text}");
    }
}

/// A flat kernel at `load` with `bss` bytes of memory.
fn flat_at(load: u32, bss: u32) -> Vec<u8> {
    let mut file = flat_v1(0, &[0x90; 64]);
    for (field, value) in [(3, load), (4, load), (5, load + 96), (6, load + bss), (7, load + 32)] {
        file[field * 4..field * 4 + 4].copy_from_slice(&value.to_le_bytes());
    }
    file
}

#[test]
fn a_kernel_below_1_mib_must_leave_room_for_the_firmware() {
    for (load, bss, info) in [
        (0x8000, 0x1000, 0x7500),
        (0x9000, 0x1000, 0x7500),
        (0xa000, 0x1000, 0x9500),
        (0x1_0000, 0x7_f000 - 0x1000, 0x9500),
    ] {
        let kernel = flat_at(load, bss);
        let (items, _file) = try_publish(&kernel, "", 64 * MIB, FirmwareKind::Bios).unwrap();
        assert_eq!(number(&items, key::KERNEL_ADDR), load);
        // The kernel does not overwrite the information.
        assert_eq!(number(&items, key::INITRD_ADDR), info);
        assert_eq!(word(&bytes(&items, key::INITRD_DATA), 48), info - 0x500);
    }
    let text = told(&flat_at(0x1_0000, 0x1000), 64 * MIB, FirmwareKind::Builtin);
    assert!(text.contains("the firmware uses; expected 1 MiB or above"), "{text}");
    for (load, bss, range) in [
        (0x7000, 0x1000, "0x7000-0x8fff"),
        (0x1_0000, 0x7_f001, "0x10000-0x90fff"),
        (0x1_0000, 0x10_0000, "0x10000-0x110fff"),
    ] {
        let text = told(&flat_at(load, bss), 64 * MIB, FirmwareKind::Bios);
        assert!(text.contains(&format!("is loaded at {range}, which the firmware uses")), "{text}");
        assert!(text.contains("link it at 1 MiB or above"), "{text}");
    }
}

#[test]
fn kernel_and_modules_stay_clear_of_the_firmware_at_the_end_of_ram() {
    let kernel = flat_at(0x10_0000, 4 << 20);
    let least = 5 * MIB + 0x1000 + FIRMWARE_RAM;
    assert!(try_publish(&kernel, "", least, FirmwareKind::Bios).is_ok());
    let text = told(&kernel, least - 1, FirmwareKind::Bios);
    assert!(text.contains("need 6 MiB of guest memory; the guest has 6 MiB"), "{text}");
    assert!(text.contains("-m 6M or more"), "{text}");
    let text = told(&flat_at(0x10_0000, 0xf000_0000), 8192 * MIB, FirmwareKind::Bios);
    assert!(text.contains("needs 3841 MiB of guest memory"), "{text}");
}
