//! Which machine runs which image: the rows of the table in docs/firmware.md, each of them a test.

use std::collections::BTreeSet;
use std::fs;
use std::ops::RangeInclusive;

use chukka_tests::job::{Input, Job};
use chukka_tests::runner::{Run, Runner};
use chukka_tests::{Error, assets, guest};

use super::{MACHINES, firmware};

/// The images that run on each machine, of Debian's packages seabios, qemu-system-data and
/// u-boot-qemu.
const IMAGES: [&str; 5] = ["bios.bin", "bios-256k.bin", "bios-microvm.bin", "qboot.rom", U_BOOT];
/// U-Boot, which is told what to do on its console.
const U_BOOT: &str = "u-boot.rom";
/// The images that run on pc only, of Debian's package ovmf; their tests are in `ovmf.rs`.
const NEEDS_PC: [&str; 2] = ["OVMF.fd", "OVMF_CODE_4M.fd"];

/// Boots the cloud kernel in 128 MiB: just room for kernel and initrd, and what the firmware keeps
/// for itself.
fn boots(image: &str, machine: &str) {
    let Some(runner) = Runner::get() else { return };
    let Some(guest) = firmware(image, machine) else { return };
    let guest = guest.memory("128M").does("info");
    let guest = if image == U_BOOT { guest.with(u_boot_commands) } else { guest };
    assert_booted(&guest.run(runner), 60..=128);
}

/// Has U-Boot load the kernel and the initrd by its `qfw`, the latter above the memory in which the
/// kernel unpacks itself.
fn u_boot_commands(job: Job) -> Job {
    let initrd = guest::initrd().and_then(|path| {
        fs::metadata(&path).map_err(|error| Error::Other(format!("{}: {error}", path.display())))
    });
    let size = initrd.expect("set-up is done").len();
    let commands = format!("\nqfw load 1000000 6000000\nzboot 1000000 - 6000000 {size:x}\n");
    job.input(Input::Bytes(commands.into_bytes()))
}

/// The kernel is in userspace, and found one CPU, memory of so many MiB, and the ACPI tables.
pub(super) fn assert_booted(run: &Run, expected_mib: RangeInclusive<u64>) {
    run.assert_userspace().assert_exit(0).assert_stderr("chukka: the guest powered off (after ");
    run.assert(run.info("nproc").as_deref() == Some("1"), "one CPU");
    let memory: u64 = run.info("memtotal_kib").and_then(|text| text.parse().ok()).unwrap_or(0);
    run.assert(expected_mib.contains(&(memory >> 10)), "MemTotal");
    // The tables that chukka made are found: firmware linked them, or the kernel would have none.
    let acpi = run.section("acpi").unwrap_or_default();
    let has = |table: &str| acpi.lines().any(|line| line == table);
    run.assert(["APIC", "DSDT", "FACP"].into_iter().all(has), "ACPI tables");
}

/// A test for each row. `rows!` keeps the tests and the list of them one.
macro_rules! rows {
    ($($test:ident: $image:literal, $machine:literal;)*) => {
        const ROWS: [(&str, &str); [$($image),*].len()] = [$(($image, $machine)),*];
        $(#[test]
        fn $test() {
            boots($image, $machine);
        })*
    };
}

rows! {
    bios_bin_boots_on_microvm: "bios.bin", "microvm";
    bios_bin_boots_on_pc: "bios.bin", "pc";
    bios_256k_bin_boots_on_microvm: "bios-256k.bin", "microvm";
    bios_256k_bin_boots_on_pc: "bios-256k.bin", "pc";
    bios_microvm_bin_boots_on_microvm: "bios-microvm.bin", "microvm";
    bios_microvm_bin_boots_on_pc: "bios-microvm.bin", "pc";
    qboot_rom_boots_on_microvm: "qboot.rom", "microvm";
    qboot_rom_boots_on_pc: "qboot.rom", "pc";
    u_boot_rom_boots_on_microvm: "u-boot.rom", "microvm";
    u_boot_rom_boots_on_pc: "u-boot.rom", "pc";
}

#[test]
fn every_image_has_a_row_for_every_machine() {
    let wanted = IMAGES.iter().flat_map(|image| MACHINES.map(|machine| (*image, machine)));
    assert_eq!(wanted.collect::<BTreeSet<_>>(), ROWS.into_iter().collect());
}

#[test]
fn the_table_in_the_documentation_has_these_rows() {
    let path = assets::workspace().join("docs/firmware.md");
    let text = fs::read_to_string(path).unwrap();
    let table = text.lines().skip_while(|line| !line.starts_with("| image | package | ")).skip(2);
    let table: Vec<Vec<&str>> = table
        .take_while(|line| line.starts_with('|'))
        .map(|line| {
            line.trim_matches('|').split('|').map(|cell| cell.trim().trim_matches('`')).collect()
        })
        .collect();
    let head = ["image", "package", "microvm", "pc"];
    assert!(text.contains(&format!("| {} |", head.join(" | "))), "the table's columns");
    let mut rows = Vec::new();
    for cells in &table {
        for (machine, cell) in head[2..].iter().zip(&cells[2..]) {
            let needs_pc = NEEDS_PC.contains(&cells[0]) && *machine == "microvm";
            let expected = if needs_pc { "needs pc" } else { "boots" };
            assert_eq!(*cell, expected, "{} on {machine}", cells[0]);
            if !needs_pc {
                rows.push((cells[0], *machine));
            }
        }
    }
    let wanted: Vec<_> = ROWS.into_iter().chain(NEEDS_PC.map(|image| (image, "pc"))).collect();
    assert_eq!(rows, wanted);
}
