//! Scripts and kernels.

use chukka_fuzz::kernel::Header;
use chukka_fuzz::loader_script::{Call, FileOf, Input, Tables};
use chukka_tests::native::{guest, image};
use firmware::acpi::{AcpiConfig, AcpiTables, PowerManagement};
use fw_cfg::{Items, loader};

use super::Seeds;

/// Bytes of the protected-mode kernel in the seeds: no more than it takes to be one.
const PAYLOAD: u32 = 0x1000;

/// The script of our tables, as firmware gets it, with files of the tables' names and sizes; and
/// scripts that go wrong.
pub fn scripts() -> Seeds {
    let config = AcpiConfig {
        cpus: 4,
        reset_port: 0x607,
        reset_value: 1,
        power: PowerManagement::HardwareReduced {
            sleep_control_port: 0x604,
            sleep_status_port: 0x605,
        },
        pm_timer_port: Some(0x608),
    };
    let mut items = Items::new();
    AcpiTables::build(&config, &[]).publish(&mut items).expect("room for three files");
    let files = ["etc/acpi/rsdp", "etc/acpi/tables"].map(|name| FileOf {
        name: name.into(),
        size: items.file(name).map_or(0, |data| data.len() as u16),
        address: if name.ends_with("rsdp") { 0xf_5000 } else { 0x7ffe_0000 },
    });
    let script = items.file(loader::FILE_NAME).and_then(|data| data.read_to_vec().ok());
    let calls: Vec<Call> = script.expect("published").chunks(128).filter_map(Call::read).collect();
    // `\_SB` with nothing in it.
    let tables =
        Tables { cpus: 4, ports: 0x0806_0706, at: 0xe_0000 / 64, aml: b"\x10\x06_SB_".to_vec() };
    let input = |calls: Vec<Call>| {
        Input { tables: tables.clone(), files: files.to_vec(), calls }.to_bytes()
    };
    let name = |name: &str| name.to_owned();
    let wrong = vec![
        Call::Allocate { file: name("etc/acpi/rsdp"), align: 3, zone: 1 },
        Call::Allocate { file: "n".repeat(56), align: 16, zone: 0 },
        Call::AddPointer { dest: name("a"), source: name("b"), offset: u32::MAX, size: 3 },
        Call::AddChecksum { file: name("etc/acpi/rsdp"), at: 36, start: u32::MAX, length: 1 },
    ];
    let vmgenid = vec![
        Call::Allocate { file: name("etc/acpi/tables"), align: 4096, zone: 0 },
        Call::WritePointer {
            dest: name("etc/vmgenid_addr"),
            source: name("etc/acpi/tables"),
            offset: 0,
            source_offset: 40,
            size: 8,
        },
    ];
    vec![("acpi", input(calls)), ("wrong", input(wrong)), ("write-pointer", input(vmgenid))]
}

/// Small kernels of each kind, files that are none, and what goes with them.
pub fn kernels() -> Seeds {
    let big = Header { memory: 3, flags: 1, initrd: 8, cmdline: 0, zeros: 0x2000 };
    let alone = Header { flags: 0, ..big };
    let small = Header { memory: 2, ..big };
    let bzimage = |image: image::BzImage| bzimage(image);
    let low = image::BzImage { pref_address: 1 << 20, init_size: 1 << 20, ..Default::default() };
    let old = image::BzImage { version: 0x20b, ..low };
    let only_low = image::BzImage { xloadflags: 1, initrd_addr_max: 0x37_ffff, ..low };
    let console = b"console=ttyS0 quiet panic=-1";
    let many = multi_segment_elf();
    vec![
        ("bzimage", big.input(console, &bzimage(image::BzImage::default()))),
        ("bzimage-low", small.input(console, &bzimage(low))),
        ("bzimage-initrd-low", small.input(b"vga=0x317 quiet", &bzimage(only_low))),
        ("bzimage-old", small.input(console, &bzimage(old))),
        ("bzimage-cut", Header { zeros: 0, ..small }.input(console, &bzimage(low)[..0x280])),
        ("elf", alone.input(b"", &guest::kernel("P"))),
        ("elf-header", big.input(console, &guest::elf_header(62, 0x1000))),
        ("elf-cut", Header { zeros: 0, ..big }.input(b"", &guest::elf_header(62, 0x1000)[..100])),
        ("elf-arm64", big.input(b"", &guest::elf_header(183, 0))),
        ("elf-pvh", small.input(console, &many)),
        ("elf-32", alone.input(b"", &image::elf32(3)[..64])),
        ("arm64", alone.input(b"", &image::arm64_image()[..64])),
        ("gzip", alone.input(b"", &image::gzip()[..32])),
        ("script", alone.input(b"", b"#!/bin/sh\n")),
    ]
}

/// Set-up sectors and header; the rest, zeros, is made by [`Header::zeros`].
fn bzimage(image: image::BzImage) -> Vec<u8> {
    let mut file = image.file();
    file.truncate(0x290);
    file[0x1f4..0x1f8].copy_from_slice(&(PAYLOAD / 16).to_le_bytes());
    file
}

/// As vmlinux is: two segments, the second with memory beyond its bytes, and Xen's note of the
/// 32-bit entry.
fn multi_segment_elf() -> Vec<u8> {
    let mut file = guest::elf_header(62, 0x1000);
    file[56..58].copy_from_slice(&3u16.to_le_bytes());
    file.truncate(64);
    for (kind, fields) in [
        (1u32, [0x100u64, 0x20_0000, 0x20_0000, 0x100, 0x100, 0x1000]),
        (1, [0x200, 0x20_1000, 0x20_1000, 0x80, 0x3000, 0x1000]),
        (4, [64 + 3 * 56, 0, 0, 20, 20, 4]),
    ] {
        file.extend(kind.to_le_bytes());
        file.extend(7u32.to_le_bytes());
        fields.iter().for_each(|field| file.extend(field.to_le_bytes()));
    }
    [4u32, 4, 18].iter().for_each(|word| file.extend(word.to_le_bytes()));
    file.extend(b"Xen\0");
    file.extend(0x20_0040u32.to_le_bytes());
    file
}
