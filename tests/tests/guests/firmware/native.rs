//! Firmware on this very machine, without the lab, up to the first words of a Linux kernel.
//!
//! Where KVM is a software one, what runs in real and in protected mode is emulated, about 3 µs an
//! instruction. SeaBIOS's memset takes a few instructions a byte, and clears 548 KiB below 640 KiB
//! and 160 KiB above, the latter twice: nearly all of the 10 s that it takes there from exec to the
//! kernel's first words, and nothing that the machine could spare it. qboot, which clears nothing,
//! takes a fraction of a second; so does SeaBIOS where KVM is genuine.

use std::time::{Duration, Instant};

use chukka_tests::assets;
use chukka_tests::native::{self, Input, Scratch, Start};

use super::MACHINES;

/// Enough for SeaBIOS on a software KVM whose two processors others use too.
const LIMIT: Duration = Duration::from_secs(240);

/// Runs an image and our option ROM, if it needs that, to the first words of the kernel's set-up
/// code, which prints them by int 10h or on COM1.
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

/// U-Boot takes the kernel, the initrd and the command line from fw_cfg. Its commands come through
/// a pipe: it polls its serial port.
#[test]
fn u_boot_loads_the_kernel_by_qfw_and_starts_it() {
    if !native::kvm() {
        return;
    }
    let Some(image) = assets::or_skip(assets::firmware("u-boot.rom")) else { return };
    let scratch = Scratch::new();
    let initrd = scratch.file("initrd", &[b"initrd".repeat(5000), b"the end.".to_vec()].concat());
    let size = std::fs::metadata(&initrd).expect("it was just written").len();
    let commands = format!(
        "\nprint ramdisk_addr_r\nqfw load 1000000 2000000\nprint bootargs\n\
         zboot 1000000 - 2000000 {size:x}\n"
    );
    let input = scratch.file("commands", commands.as_bytes());
    for machine in MACHINES {
        let start = Start::bzimage("$DP").args(["-m", "128M", "-machine", machine]);
        let start = start.args(["-append", "console=ttyS0 from=fw_cfg", "-initrd"]).args([&initrd]);
        let start = start.args(["-bios"]).args([&image]);
        let ended = start.input(Input::File(input.clone())).run();
        assert_eq!(ended.code(), Some(0), "{machine}: {ended:?}");
        let text = ended.text();
        assert!(text.contains("bootargs=console=ttyS0 from=fw_cfg"), "{machine}: {text}");
        let found = format!("{:016x} {size:016x} 2e646e6520656874 ", 0x200_0000);
        assert!(text.contains(&found), "{machine}: {text}");
        assert!(text.ends_with("done\r\n"), "{machine}: {text}");
    }
}

/// Without input, U-Boot looks for something to boot and gives up soon: nothing answers as a drive
/// that spins up.
#[test]
fn u_boot_does_not_wait_for_drives_that_are_not_there() {
    if !native::kvm() {
        return;
    }
    let Some(image) = assets::or_skip(assets::firmware("u-boot.rom")) else { return };
    let start = native::start(["-machine", "pc", "-m", "128M", "-nographic", "-bios"]);
    let chukka = start.args([image]).start();
    chukka.wait_for("Hit any key to stop autoboot");
    let countdown_began = Instant::now();
    chukka.wait_for("No ethernet found.\r\nNo ethernet found.\r\n=> ");
    // Two seconds of countdown; a timeout alone takes thirty.
    let took = countdown_began.elapsed();
    assert!(took < Duration::from_secs(20), "{took:?}");
}
