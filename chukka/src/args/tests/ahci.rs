use super::{message, refusal, whole};
use crate::request::{DiskConfig, Request};

const PC: [&str; 2] = ["-M", "pc"];

/// Path, port and boot index of each drive on the controller: disks, then CDs.
fn drives(request: &Request) -> Vec<(&str, u8, Option<u32>)> {
    let on_sata = |drive: &&DiskConfig| drive.sata_port.is_some();
    let cds = request.sata_cds.iter().flatten();
    let all = request.disks.iter().filter(on_sata).chain(cds);
    all.map(|drive| (drive.path.to_str().unwrap(), drive.sata_port.unwrap(), drive.boot_index))
        .collect()
}

#[test]
fn if_ide_is_a_sata_drive_on_pc() {
    let words =
        ["-drive", "a,if=ide", "-drive", "c,if=ide,media=cdrom", "-drive", "b,if=ide,index=0"];
    let request = whole(&[&PC[..], &words].concat());
    assert_eq!(drives(&request), [("a", 1, None), ("b", 0, None), ("c", 2, None)]);
    assert_eq!((request.cds.as_ref(), request.virtio_disks()), (None, 0));
    assert_eq!(request.warnings, [""; 0]);
    assert!(request.sata_cds.unwrap()[0].options.read_only);
    // Without the word, and on a machine that cannot have a controller, nothing changes.
    for words in
        [&["-M", "pc", "-hda", "a"][..], &["-M", "pc", "-drive", "a"], &["-drive", "a,if=ide"]]
    {
        let request = whole(words);
        assert_eq!((request.sata_cds, request.disks[0].sata_port), (None, None), "{words:?}");
        assert_eq!(request.warnings.len(), 1, "{words:?}");
    }
}

#[test]
fn devices_name_their_port_and_boot_index() {
    let words = [
        "-device",
        "ich9-ahci,id=s",
        "-drive",
        "a,if=none,id=a",
        "-drive",
        "b,if=none,id=b",
        "-drive",
        "v,if=virtio",
        "-device",
        "ide-hd,drive=a,bus=s.4,bootindex=2,unit=0,serial=S",
        "-device",
        "ide-cd,drive=b,bootindex=1",
    ];
    let request = whole(&[&PC[..], &words].concat());
    assert_eq!(drives(&request), [("a", 4, Some(2)), ("b", 0, Some(1))]);
    assert_eq!(request.vm.disk_boot_indices, [None]);
    assert_eq!(request.vm.cd_boot_indices, []);
    assert_eq!(request.disks[1].serial, "S");
    let none = whole(&[&PC[..], &["-kernel", "K", "-device", "ahci"]].concat());
    assert_eq!(none.sata_cds, Some(vec![]));
    // As on q35, where the controller is there without an option.
    let words = ["-drive", "a,if=none,id=a", "-device", "ide-hd,drive=a,bus=ide.2"];
    assert_eq!(drives(&whole(&[&PC[..], &words].concat())), [("a", 2, None)]);
}

#[test]
fn invalid_sata_options_are_refused() {
    let named = ["-M", "pc", "-drive", "a,if=none,id=a", "-device", "ahci,id=s", "-device"];
    for (device, text) in [
        ("ide-hd", "-device ide-hd: expected a drive: drive=ID"),
        (
            "ide-hd,drive=a,unit=1",
            "-device unit=1: expected unit=0, because a SATA port has one drive; select the port with bus=ID.N",
        ),
        (
            "ide-hd,drive=a,bus=s.6",
            "-device bus=s.6: expected one of the controller's ports, s.0 to s.5",
        ),
        (
            "ide-cd,drive=a,rerror=stop",
            "-device rerror=stop: expected ide-cd,drive=ID,bus=ID.PORT,serial=TEXT,bootindex=N",
        ),
        ("ahci", "-device ahci: chukka has one SATA controller"),
    ] {
        assert_eq!(refusal(&[&named[..], &[device]].concat()).0, text);
    }
    let words = ["ide-hd,drive=a,bus=s.1", "-drive", "b,if=ide,index=1"];
    let (text, _) = refusal(&[&named[..], &words].concat());
    assert_eq!(text, "-drive a,if=none,id=a: expected a free port; port 1 already has a drive");
    let (text, hint) = refusal(&[&PC[..], &["-drive", "a,if=ide,index=6"]].concat());
    assert_eq!(text, "-drive a,if=ide,index=6: the SATA controller has only ports 0 to 5");
    assert!(hint.contains("if=virtio"), "{hint}");
    let (text, hint) = refusal(&[&PC[..], &["-drive", "a,if=ide,readonly=on"]].concat());
    assert_eq!(text, "-drive a,if=ide,readonly=on: a SATA disk cannot be read-only");
    assert!(hint.contains("snapshot=on"), "{hint}");
    for (device, hint) in [("ahci", "virtio-blk"), ("ide-hd", "virtio-blk"), ("ide-cd", "-cdrom")] {
        let (text, found) = refusal(&["-device", device]);
        assert_eq!(text, format!("-device {device}: microvm has no PCI"));
        assert!(found.starts_with("use -machine pc") && found.contains(hint), "{found}");
    }
    let (text, hint) = message(&[&PC[..], &["-hda", "a", "-drive", "b,if=ide"]].concat());
    assert!(text.starts_with("-hda a beside a SATA disk: it is a virtio disk here"), "{text}");
    assert!(hint.ends_with("if=ide: /dev/sda, /dev/sdb, …"), "{hint}");
}

#[test]
fn a_sata_drive_and_no_kernel_boot_through_seabios() {
    for words in [["-drive", "a,if=ide"], ["-drive", "a,if=ide,media=cdrom"]] {
        let firmware = whole(&[&PC[..], &words].concat()).vm.firmware.unwrap();
        assert_eq!((firmware.bios, firmware.for_disk), (Some("seabios".into()), true));
    }
    let words = ["-drive", "a,if=ide,media=cdrom", "-boot", "d"];
    assert_eq!(whole(&[&PC[..], &words].concat()).warnings, [""; 0]);
}
