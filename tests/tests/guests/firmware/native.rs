//! Firmware on this very machine, without the lab, up to the first words of a Linux kernel.
//!
//! Where KVM is a software one, what runs in real and in protected mode is emulated, about 3 µs an instruction. SeaBIOS's memset takes a
//! few instructions a byte, and clears 548 KiB below 640 KiB and 160 KiB above, the latter twice: nearly all of the 10 s that it takes
//! there from exec to the kernel's first words, and nothing that the machine could spare it. qboot, which clears nothing, takes a fraction
//! of a second; so does SeaBIOS where KVM is genuine.

use std::time::Duration;

use chukka_tests::assets;
use chukka_tests::native::{self, Start};

use super::MACHINES;

/// Enough for SeaBIOS on a software KVM whose two processors others use too.
const LIMIT: Duration = Duration::from_secs(240);

/// Runs an image and our option ROM, if it needs that, to the first words of the kernel's set-up code, which prints them by int 10h
/// or on COM1.
fn reaches_the_kernel(image: &str, machine: &str, append: &str) {
    reaches_the_kernel_with(image, machine, append, &[]);
}

fn reaches_the_kernel_with(image: &str, machine: &str, append: &str, more: &[&str]) {
    if !native::kvm() {
        return;
    }
    let Some(kernel) = assets::or_skip(assets::cloud()) else { return };
    let Some(image) = assets::or_skip(assets::firmware(image)) else { return };
    let start = Start::kernel(&kernel.vmlinuz).args(["-append", append, "-m", "128", "-nographic"]);
    let start = start.args(["-machine", machine, "-bios"]).args([image]).args(more);
    let chukka = start.start();
    chukka.wait_for_within("Probing EDD", LIMIT);
}

#[test]
fn seabios_and_our_option_rom_reach_the_kernel() {
    for machine in MACHINES {
        reaches_the_kernel("bios-256k.bin", machine, "console=ttyS0 earlyprintk=serial");
    }
}

#[test]
fn option_roms_written_for_qemu_load_the_kernel_too() {
    // One reads by DMA; the other by the data port, with string instructions.
    for (rom, machine) in [("linuxboot_dma.bin", "microvm"), ("linuxboot.bin", "pc")] {
        let Some(rom) = assets::or_skip(assets::firmware(rom)) else { return };
        let rom = format!("{},bootindex=0", rom.display());
        let machine = format!("{machine},x-option-roms=off");
        let append = "console=ttyS0 earlyprintk=serial";
        reaches_the_kernel_with("bios-256k.bin", &machine, append, &["-option-rom", &rom]);
    }
}

#[test]
fn qboot_reaches_the_kernel() {
    for machine in MACHINES {
        // qboot's int 10h writes to COM1 itself.
        reaches_the_kernel("qboot.rom", machine, "console=ttyS0");
    }
}
