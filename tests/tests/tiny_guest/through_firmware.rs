//! How ELF and multiboot kernels are entered through firmware: by our option ROMs, by QEMU's, by
//! qboot, and by the built-in firmware.

use chukka_tests::assets;
use chukka_tests::native::{self, Scratch};

use crate::dump::{DUMP, Dump, MACHINES, MIB, dump, kernel, multiboot1, multiboot1_at, pvh32};

/// The firmware that needs no file.
const BUILTIN: &str = "builtin";
/// RAM from 1 MiB to the first hole. The firmware has the ACPI tables above it.
const UPPER_RAM: u32 = (63 << 20) - 0x1000;

/// Runs the kernel through `image`, and an option ROM of QEMU's if there is one. `None` if one of
/// both is missing: the test has then been skipped loudly.
fn found(
    file: &[u8],
    image: &str,
    machine: &str,
    rom: Option<&str>,
    modules: &[&str],
) -> Option<(Dump, String)> {
    if !native::kvm() {
        return None;
    }
    let image = match image {
        BUILTIN => BUILTIN.into(),
        file => assets::or_skip(assets::firmware(file))?.display().to_string(),
    };
    let rom = match rom {
        Some(rom) => Some(assets::or_skip(assets::firmware(rom))?.display().to_string()),
        None => None,
    };
    let rom = rom.map(|rom| format!("{rom},bootindex=0"));
    let scratch = Scratch::new();
    let path = kernel(&scratch, file);
    let mut more = vec!["-append", "a=b", "-bios", &image];
    more.extend(modules.iter().flat_map(|list| ["-initrd", list]));
    let without_ours = format!("{machine},x-option-roms=off");
    let mut machine = machine;
    if let Some(rom) = &rom {
        more.extend(["-option-rom", rom]);
        machine = &without_ours;
    }
    Some((dump(&path, machine, &more), path.display().to_string()))
}

/// Where RAM from 1 MiB on is in the memory map: SeaBIOS adds the BIOS data area and the BIOS to
/// RAM's first entry; our firmware leaves KVM's pages in front.
fn entries_of_ram(image: &str) -> [u32; 2] {
    if image == BUILTIN { [1, 3] } else { [0, 3] }
}

fn multiboot(image: &str, machine: &str, rom: Option<&str>) {
    let scratch = Scratch::new();
    let one = scratch.file("one", b"first module").display().to_string();
    let two = scratch.file("two", &[0x5a; 5000]).display().to_string();
    let modules = format!("{one} x=1,,2,{two}");
    let found = found(&multiboot1(1 << 16 | 0b11), image, machine, rom, &[&modules]);
    let Some((found, kernel)) = found else { return };
    // QEMU's option ROMs have other selectors.
    if rom.is_none() {
        found.is_protected_mode();
    }
    let [eax, info, _, cr0, ..] = found.registers();
    assert_eq!((eax, info, cr0 & 0x8000_0001), (0x2bad_b002, 0x9500, 1));
    assert_eq!((found.word(info), found.word(info + 4)), (0x24f, 639));
    assert_eq!(found.word(info + 8), UPPER_RAM >> 10, "KiB from 1 MiB on");
    assert_eq!(found.text(found.word(info + 16)), format!("{kernel} a=b"));
    let (list, map) = (found.word(info + 24), found.word(info + 48));
    assert_eq!((found.word(info + 20), map), (2, 0x9000));
    let (start, end) = (found.word(list), found.word(list + 4));
    assert_eq!(found.memory(start)[..(end - start) as usize], *b"first module");
    assert_eq!(found.text(found.word(list + 8)), format!("{one} x=1,2"));
    let (start, end) = (found.word(list + 16), found.word(list + 20));
    assert_eq!((end - start, found.memory(start)[0]), (5000, 0x5a));
    assert_eq!(found.text(found.word(list + 24)), two);
    let entry = |number: u32| [0, 4, 8, 12, 16, 20].map(|at| found.word(map + number * 24 + at));
    assert_eq!(found.word(info + 44) % 24, 0);
    let [low, high] = entries_of_ram(image);
    assert_eq!(entry(low), [20, 0, 0, 0x9_fc00, 0, 1]);
    assert_eq!(entry(high), [20, MIB, 0, UPPER_RAM, 0, 1]);
}

#[test]
fn our_option_rom_enters_a_multiboot_kernel() {
    for machine in MACHINES {
        multiboot("bios-256k.bin", machine, None);
    }
}

/// kvm-unit-tests' realmode.flat is linked at 0x8000, where it covers the page in which other
/// kernels find the information.
#[test]
fn our_option_rom_loads_a_multiboot_kernel_at_32_kib_and_keeps_the_information() {
    let file = multiboot1_at(0x8000, 1 << 16 | 0b11, DUMP);
    for machine in MACHINES {
        let Some((found, kernel)) = found(&file, "bios-256k.bin", machine, None, &[]) else {
            return;
        };
        found.is_protected_mode();
        let [eax, info, ..] = found.registers();
        assert_eq!((eax, info, found.word(info + 48)), (0x2bad_b002, 0x7500, 0x7000));
        assert_eq!(found.memory(0x8000)[..file.len()], file);
        assert_eq!(found.text(found.word(info + 16)), format!("{kernel} a=b"));
        assert_eq!((found.word(0x7000), found.word(0x7004 + 8)), (20, 0x9_fc00));
    }
}

#[test]
fn qemus_option_roms_enter_a_multiboot_kernel() {
    // One reads by DMA; the other by the data port, with string instructions.
    multiboot("bios-256k.bin", "pc", Some("multiboot_dma.bin"));
    multiboot("bios-256k.bin", "microvm", Some("multiboot.bin"));
}

/// `selectors`: whether they are those of our GDT.
fn pvh(image: &str, machine: &str, rom: Option<&str>, selectors: bool) {
    let scratch = Scratch::new();
    // Large enough not to be part of what is dumped by chance.
    let initrd = scratch.file("initrd", &[0x5a; 70_000]).display().to_string();
    let Some((found, _)) = found(&pvh32(MIB + 0x4000), image, machine, rom, &[&initrd]) else {
        return;
    };
    if selectors {
        found.is_protected_mode();
    }
    let [_, info, _, cr0, ..] = found.registers();
    assert_eq!(cr0 & 0x8000_0001, 1);
    assert_eq!(found.memory(MIB + 0x4000)[..8], *b"low!\0\0\0\0");
    if image == "qboot.rom" {
        return; // Its start info is above what is dumped.
    }
    let long = |at: u32| (found.word(at), found.word(at + 4));
    assert_eq!((found.word(info), found.word(info + 4)), (0x336e_c578, 1));
    assert_eq!(found.text(long(info + 24).0), "a=b");
    let (rsdp, map) = (long(info + 32).0, long(info + 40).0);
    assert!((0xe_0000..0x10_0000).contains(&rsdp) && rsdp % 16 == 0, "{rsdp:#x}");
    let entry = |number: u32| {
        let at = map + 24 * number;
        (long(at), long(at + 8), found.word(at + 16), found.word(at + 20))
    };
    assert!((5..=32).contains(&found.word(info + 48)), "{}", found.word(info + 48));
    let [low, high] = entries_of_ram(image);
    assert_eq!(entry(low), ((0, 0), (0x9_fc00, 0), 1, 0));
    assert_eq!(entry(high), ((MIB, 0), (UPPER_RAM, 0), 1, 0));
    assert_eq!(found.word(info + 12), 1, "one module");
    let module = long(info + 16).0;
    let (at, size) = (long(module).0, long(module + 8));
    assert_eq!(size, (70_000, 0));
    // Below the tables of the firmware, above the kernel.
    assert!(at.is_multiple_of(4096) && (0x3f0_0000..0x400_0000).contains(&at), "{at:#x}");
}

#[test]
fn our_option_rom_enters_a_pvh_kernel() {
    for machine in MACHINES {
        pvh("bios-256k.bin", machine, None, true);
    }
}

#[test]
fn the_built_in_firmware_enters_multiboot_and_pvh_kernels() {
    for machine in MACHINES {
        multiboot(BUILTIN, machine, None);
        pvh(BUILTIN, machine, None, true);
    }
}

#[test]
fn qemus_option_rom_enters_a_pvh_kernel() {
    pvh("bios-256k.bin", "microvm", Some("pvh.bin"), false);
}

#[test]
fn qboot_enters_a_pvh_kernel() {
    pvh("qboot.rom", "pc", None, false);
}
