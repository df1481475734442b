//! Our ROMs under QEMU: its fw_cfg and SeaBIOS are the reference, so what fails here is the ROM's
//! fault.
//!
//! QEMU takes our option ROM for its own: `-L` names a folder where it is called linuxboot_dma.bin.
//! The built-in firmware takes SeaBIOS's place.

#![expect(clippy::unwrap_used, clippy::panic, reason = "this is how a test fails")]

mod builtin;
mod published;
mod qemu;

use std::fs::{self, File};
use std::path::Path;

use chukka_tests::assets;
use chukka_tests::native::image;
use firmware::option_rom;

use qemu::{Folder, Qemu};

const APPEND: [&str; 2] = ["-append", "console=ttyS0 earlyprintk=serial panic=-1 rom=ours"];

/// Boots `kernel` and expects command line and initrd to have come through.
fn boots(test: &str, kernel: &Path) {
    let folder = Folder::new(test, option_rom::LINUX.image);
    let initrd = folder.initrd(1 << 20);
    let size = fs::metadata(&initrd).unwrap().len();
    let files = [("-kernel", kernel), ("-initrd", &*initrd)];
    let args = [["-m", "256"], APPEND].concat();
    let Some(mut qemu) = Qemu::start(&folder, &args, &files) else { return };
    qemu.wait_for("Linux version");
    qemu.wait_for(&format!("Command line: {}", APPEND[1]));
    // SeaBIOS reserves the last 128 KiB; the initrd is below, at a page boundary.
    qemu.wait_for("RAMDISK: [mem ");
    qemu.wait_for("Freeing initrd memory");
    let span = qemu.console.split("RAMDISK: [mem 0x").nth(1).unwrap();
    let (start, end) = span.split(']').next().unwrap().split_once("-0x").unwrap();
    let number = |text| u64::from_str_radix(text, 16).unwrap();
    // Linux tells whole pages.
    assert_eq!(number(end) + 1 - number(start), size.next_multiple_of(4096));
    assert!((0xff0_0000..0x1000_0000).contains(&number(end)), "high in 256 MiB: {end}");
    assert!(!qemu.console.contains("not initramfs"), "it is whole\n{}", qemu.console);
}

#[test]
fn the_cloud_kernel_boots() {
    let Some(kernel) = assets::or_skip(assets::cloud()) else { return };
    boots("cloud", &kernel.vmlinuz);
}

#[test]
fn the_generic_kernel_boots() {
    let Some(kernel) = assets::or_skip(assets::generic()) else { return };
    boots("generic", &kernel.vmlinuz);
}

#[test]
fn a_vmlinux_boots_by_pvh() {
    let Some(kernel) = assets::or_skip(assets::cloud()) else { return };
    let folder = Folder::new("pvh", option_rom::PVH.image);
    let initrd = folder.initrd(1 << 20);
    let files = [("-kernel", &*kernel.vmlinux), ("-initrd", &*initrd)];
    let args = [["-m", "256"], APPEND].concat();
    let Some(mut qemu) = Qemu::start(&folder, &args, &files) else { return };
    qemu.wait_for(&format!("Command line: {}", APPEND[1]));
    qemu.wait_for("RAMDISK: [mem 0x0f");
    qemu.wait_for("Using ACPI (MADT) for SMP configuration information");
}

#[test]
fn a_multiboot_kernel_is_entered() {
    // Prints the first four bytes of its module: EBX leads to the information, that to the list,
    // and that to the module.
    const CODE: [u8; 21] = [
        0x8b, 0x43, 0x18, // mov 24(%ebx), %eax
        0x8b, 0x30, // mov (%eax), %esi
        0x66, 0xba, 0xf8, 0x03, // mov $0x3f8, %dx
        0xb9, 0x04, 0x00, 0x00, 0x00, // mov $4, %ecx
        0xfc, 0xf3, 0x6e, // cld; rep outsb
        0xf4, 0xeb, 0xfd, // hlt, for ever
        0x90,
    ];
    let folder = Folder::new("multiboot", option_rom::MULTIBOOT.image);
    let mut kernel = image::multiboot(1 << 16, 1 << 20, 4096);
    kernel[32..53].copy_from_slice(&CODE);
    let kernel = folder.put("kernel", &kernel);
    let module = folder.put("module", b"done");
    let files = [("-kernel", &*kernel), ("-initrd", &*module)];
    let Some(mut qemu) = Qemu::start(&folder, &["-append", "a=b"], &files) else { return };
    qemu.wait_for("Booting from ROM");
    qemu.wait_for("done");
}

#[test]
fn an_initrd_fills_the_room_above_the_kernel_and_no_more() {
    let Some(kernel) = assets::or_skip(assets::cloud()) else { return };
    let bytes = fs::read(&kernel.vmlinuz).unwrap();
    let field = |at: usize| u64::from(u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()));
    let kernel_end = (field(0x258) + field(0x260)).next_multiple_of(4096); // pref_address, init_size
    let ram_end = (256 << 20) - (128 << 10); // SeaBIOS's tables above
    let folder = Folder::new("room", option_rom::LINUX.image);
    let initrd = folder.put("initrd", b"");
    let files = [("-kernel", &*kernel.vmlinuz), ("-initrd", &*initrd)];
    let args = [["-m", "256"], APPEND].concat();
    for (size, expected) in [
        (ram_end - kernel_end, format!("RAMDISK: [mem {kernel_end:#010x}-")),
        (ram_end - kernel_end + 1, "chukka: no room for the initrd above the kernel".into()),
    ] {
        File::options().write(true).open(&initrd).unwrap().set_len(size).unwrap();
        let Some(mut qemu) = Qemu::start(&folder, &args, &files) else { return };
        qemu.wait_for(&expected);
    }
}

#[test]
fn a_failed_transfer_is_named_and_the_bios_goes_on() {
    let Some(kernel) = assets::or_skip(assets::cloud()) else { return };
    let items: [(&str, [u8; 3]); 3] = [
        ("kernel's set-up code", [0x16, 0x17, 0x18]),
        ("command line", [0x13, 0x14, 0x15]),
        ("kernel", [0x07, 0x08, 0x11]),
    ];
    for (name, keys) in items {
        // The signature instead of the address: "QEMU" is 0x554d4551, where there is nothing.
        let mut rom = option_rom::LINUX.image.to_vec();
        let at = rom.windows(3).position(|window| window == keys).unwrap();
        rom[6] = rom[6].wrapping_add(rom[at]); // the sum stays 0
        rom[at] = 0;
        let folder = Folder::new(&format!("bad-{at:x}"), &rom);
        let args = [["-m", "256"], APPEND].concat();
        let Some(mut qemu) = Qemu::start(&folder, &args, &[("-kernel", &kernel.vmlinuz)]) else {
            return;
        };
        qemu.wait_for(&format!("chukka: cannot load the {name}: fw_cfg DMA error\r\n"));
        qemu.wait_for("No bootable device.");
    }
}

#[test]
fn the_option_rom_reports_missing_items() {
    let Some(kernel) = assets::or_skip(assets::cloud()) else { return };
    let folder = Folder::new("missing", option_rom::LINUX.image);
    let without_dma = ["-global", "fw_cfg_io.dma_enabled=off"];
    let Some(mut qemu) = Qemu::start(&folder, &without_dma, &[("-kernel", &kernel.vmlinuz)]) else {
        return;
    };
    qemu.wait_for("chukka: fw_cfg has no DMA here");
    qemu.wait_for("No bootable device.");
    let rom = folder.put("rom.bin", option_rom::LINUX.image);
    let Some(mut qemu) = Qemu::start(&folder, &[], &[("-option-rom", &rom)]) else { return };
    qemu.wait_for("chukka: fw_cfg holds no kernel");
    qemu.wait_for("No bootable device.");
}
