//! SATA drives on pc: SeaBIOS's AHCI driver finds them, and boots them in the order that is asked
//! for.

use super::*;

/// A disk or CD at a port of the controller, with a boot index.
fn sata(kind: &str, name: &str, port: u8, boot_index: u32) -> [String; 4] {
    let media = if kind == "ide-cd" { "cdrom" } else { "disk" };
    [
        "-drive".into(),
        format!("file=@{name},format=raw,media={media},if=none,id={name}"),
        "-device".into(),
        format!("{kind},drive={name},bus=sata.{port},bootindex={boot_index}"),
    ]
}

const CONTROLLER: [&str; 4] = ["-M", "pc", "-device", "ahci,id=sata"];

#[test]
fn a_disk_and_a_cd_boot_from_the_controller() {
    let files = [("cd", bootable_cd("cd1.", &BOOT_SECTOR)), ("one", bootable("one."))];
    let disk = ["-M", "pc", "-drive", "file=@one,format=raw,if=ide"];
    let cd = ["-drive", "file=@cd,if=ide,media=cdrom"];
    let Some(boot) = boots(PC, &files, &[&disk[..], &cd].concat()) else { return };
    boot.assert_logged("AHCI/0: Set transfer mode to UDMA-5")
        .assert_logged("AHCI/0: QEMU HARDDISK ATA-8 Hard-Disk (1 MiBytes)")
        .assert_logged("AHCI/1: QEMU DVD-ROM ATAPI-8 DVD/CD")
        .assert_booted("one.");
    let Some(boot) = boots(PC, &files, &[&disk[..], &cd, &["-boot", "d"]].concat()) else { return };
    boot.assert_booted_cd("cd1.");
}

/// Virtio and SATA drives in one order, which is strict.
#[test]
fn sata_drives_have_boot_indices_beside_virtio_drives() {
    let files = [
        ("one.", bootable("one.")),
        ("two.", bootable("two.")),
        ("tri.", bootable("tri.")),
        ("cd1", bootable_cd("cd1.", &BOOT_SECTOR)),
    ];
    let order = |virtio, second, third, cd| {
        let words = [
            &CONTROLLER.map(String::from)[..],
            &drive("one.", virtio),
            &sata("ide-hd", "two.", 3, second),
            &sata("ide-hd", "tri.", 0, third),
            &sata("ide-cd", "cd1", 5, cd),
            &["-boot".into(), "strict=on".into()],
        ];
        words.concat()
    };
    let Some(boot) = boots(PC, &files, &strs(&order(2, 1, 3, 4))) else { return };
    boot.assert_logged("1: /pci@i0cf8/pci8086,2922@2/drive@3/disk@0")
        .assert_logged("2: /pci@i0cf8/scsi@4/disk@0,0")
        .assert_logged("3: /pci@i0cf8/pci8086,2922@2/drive@0/disk@0")
        .assert_booted("two.");
    let Some(boot) = boots(PC, &files, &strs(&order(4, 3, 2, 1))) else { return };
    boot.assert_booted_cd("cd1.");
}
