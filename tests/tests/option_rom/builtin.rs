//! The built-in firmware in SeaBIOS's place, on machines that are not chukka's.

use std::path::Path;

use chukka_tests::assets;
use firmware::builtin;

use crate::qemu::{Folder, Qemu};

/// QEMU takes images of whole 64 KiB.
const UNIT: usize = 64 << 10;

/// QEMU with the firmware and these options besides.
fn start(folder: &Folder, args: &[&str], files: &[(&str, &Path)]) -> Option<Qemu> {
    let image = [&vec![0; UNIT - builtin::IMAGE.len()], builtin::IMAGE].concat();
    let image = folder.put("builtin.rom", &image);
    let files = [&[("-bios", &*image)], files].concat();
    let append = ["-append", "console=ttyS0 earlyprintk=serial panic=-1"];
    let append =
        if files.iter().any(|(option, _)| *option == "-kernel") { &append[..] } else { &[] };
    Qemu::start(folder, &[args, append].concat(), &files)
}

#[test]
fn it_boots_with_qemu_s_tables_on_its_pc_and_its_microvm() {
    let Some(kernel) = assets::or_skip(assets::cloud()) else { return };
    for (machine, rsdp) in [("pc", "(v00 BOCHS )"), ("microvm", "(v02 BOCHS )")] {
        let folder = Folder::new(&format!("builtin-{machine}"), &[]);
        let initrd = folder.initrd(1 << 20);
        let files = [("-kernel", &*kernel.vmlinuz), ("-initrd", &*initrd)];
        let Some(mut qemu) = start(&folder, &["-M", machine, "-m", "256"], &files) else { return };
        qemu.wait_for("Linux version");
        qemu.wait_for("[mem 0x000000000009fc00-0x00000000000fffff] reserved");
        qemu.wait_for("RAMDISK: [mem 0x0f");
        qemu.wait_for(rsdp);
        // All of the tables it names were found, their sums right.
        qemu.wait_for("Using ACPI (MADT) for SMP configuration information");
        if machine == "pc" {
            // On the emulated microvm this kernel never gets its timer to run, whatever the
            // firmware.
            qemu.wait_for("Freeing initrd memory");
            assert!(!qemu.console.contains("not initramfs"), "it is whole\n{}", qemu.console);
        }
        assert!(!qemu.console.contains("ncorrect checksum"), "{}", qemu.console);
    }
}

#[test]
fn what_it_has_to_write_for_the_host_it_writes() {
    let Some(kernel) = assets::or_skip(assets::cloud()) else { return };
    let folder = Folder::new("builtin-vmgenid", &[]);
    // The address of its page goes back to the host by WRITE_POINTER. Another file, place or size
    // than QEMU waits for would be a DMA error, and the end.
    let args = ["-device", "vmgenid,guid=324e6eaf-d1d1-4bf6-bf41-b9bb6c91fb87", "-m", "256"];
    let files = [("-kernel", &*kernel.vmlinuz)];
    let Some(mut qemu) = start(&folder, &args, &files) else { return };
    qemu.wait_for("Using ACPI (MADT) for SMP configuration information");
}

#[test]
fn what_keeps_it_from_booting_is_said() {
    let Some(kernel) = assets::or_skip(assets::cloud()) else { return };
    let folder = Folder::new("builtin-errors", &[]);
    let kernel = [("-kernel", &*kernel.vmlinuz)];
    let small = ["-m", "20"];
    let without_dma = ["-global", "fw_cfg_io.dma_enabled=off"];
    for (args, files, expected) in [
        (&[][..], &[][..], "kernel: fw_cfg has none"),
        (&small, &kernel, "kernel: no room; give the guest more memory"),
        (&without_dma, &kernel, "file directory: fw_cfg has no DMA here"),
    ] {
        let Some(mut qemu) = start(&folder, args, files) else { return };
        qemu.wait_for(&format!("chukka builtin: {expected}\r\n"));
    }
}
