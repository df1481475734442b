use super::{message, refusal, whole};
use crate::request::DiskConfig;

/// Path, serial number and boot index of each CD. Each is read-only, whatever is said.
fn cds(words: &[&str]) -> Option<Vec<(String, String, Option<u32>)>> {
    let about = |cd: DiskConfig| {
        assert!(cd.options.read_only && !cd.options.snapshot);
        (cd.path.to_str().unwrap().to_owned(), cd.serial, cd.boot_index)
    };
    whole(words).cds.map(|cds| cds.into_iter().map(about).collect())
}

fn cd(path: &str) -> (String, String, Option<u32>) {
    (path.into(), String::new(), None)
}

#[test]
fn every_spelling_is_a_cd_in_a_drive() {
    for words in [
        &["-cdrom", "a,b.iso"][..],
        &["-drive", "file=a,,b.iso,media=cdrom"],
        &["-drive", "a,,b.iso,if=ide,index=2,media=cdrom,format=raw,readonly=on"],
        &["-drive", "a,,b.iso,if=scsi,media=cdrom"],
        &["-snapshot", "-cdrom", "a,b.iso"],
        &["-drive", "a,,b.iso,if=none,media=cdrom,id=c", "-device", "scsi-cd,drive=c"],
        // The drive says nothing of a CD, as in QEMU.
        &["-device", "scsi-cd,drive=c", "-drive", "a,,b.iso,if=none,id=c"],
    ] {
        assert_eq!(cds(words), Some(vec![cd("a,b.iso")]), "{words:?}");
        assert_eq!(whole(words).disks, [], "{words:?}");
    }
    assert_eq!(cds(&["-hda", "d"]), None);
    assert_eq!(cds(&["-kernel", "K", "-device", "virtio-scsi"]), Some(vec![]));
}

#[test]
fn drives_are_targets_in_their_order() {
    let words = [
        "-device",
        "virtio-scsi-device,id=scsi0",
        "-drive",
        "b,if=none,id=b,media=cdrom,serial=B",
        "-drive",
        "c,if=none,id=c,media=cdrom,serial=C",
        "-device",
        "scsi-cd,drive=c,bus=scsi0.0,channel=0,scsi-id=1,lun=0,bootindex=4,id=x",
        "-device",
        "scsi-cd,drive=b,bus=scsi0,serial=S",
        "-cdrom",
        "a",
    ];
    let expected = [("a", "", None), ("c", "C", Some(4)), ("b", "S", None)];
    let expected = expected.map(|(path, serial, index)| (path.into(), serial.into(), index));
    assert_eq!(cds(&words), Some(expected.to_vec()));
    assert_eq!(whole(&words).vm.cd_boot_indices, [None, Some(4), None]);
}

#[test]
fn a_cd_counts_as_an_ide_drive_but_not_as_a_disk() {
    let request = whole(&["-cdrom", "c.iso", "-hda", "a", "-hdb", "b"]);
    assert_eq!(request.disks.len(), 2);
    assert_eq!(
        request.warnings,
        ["disks are virtio disks here: the guest sees 'a' as /dev/vda, 'b' as /dev/vdb"]
    );
    // Beside a virtio disk, which an IDE disk may not be.
    let request = whole(&["-cdrom", "c.iso", "-drive", "a,if=virtio"]);
    assert_eq!((request.disks.len(), request.warnings), (1, vec![]));
    let (text, hint) = message(&["-hdc", "d", "-cdrom", "c.iso"]);
    assert_eq!(text, "-cdrom c.iso: expected another index than -hdc d");
    assert_eq!(hint, "for another CD drive: -drive file=FILE,media=cdrom");
    assert_eq!(message(&["-cdrom", ""]).0, "-cdrom was given an empty path");
}

#[test]
fn what_cannot_be_is_refused() {
    let named = ["-drive", "a,if=none,id=a,media=cdrom", "-device"];
    for (device, text) in [
        ("scsi-cd", "-device scsi-cd: expected a drive: drive=ID"),
        ("scsi-cd,drive=b", "-device scsi-cd,drive=b: expected the id of a -drive"),
        ("scsi-cd,drive=a,lun=1", "-device lun=1: expected 0"),
        (
            "scsi-cd,drive=a,scsi-id=3",
            "-device scsi-id=3: expected 0: CD drives are numbered in their order",
        ),
        (
            "scsi-cd,drive=a,bus=x.0",
            "-device bus=x.0: expected the bus of a -device virtio-scsi,id=ID: ID.0",
        ),
        (
            "scsi-cd,drive=a,physical_block_size=512",
            "-device physical_block_size=512: expected scsi-cd,drive=ID,bus=ID.0,serial=TEXT,bootindex=N",
        ),
        ("virtio-scsi,num_queues=4", "-device num_queues=4: expected virtio-scsi,id=ID"),
        ("virtio-scsi-pci", "-device virtio-scsi-pci: microvm has no PCI"),
    ] {
        let words = [&["-machine", "microvm"], &named[..], &[device]].concat();
        assert_eq!(refusal(&words).0, text, "{device}");
    }
    let twice = ["scsi-cd,drive=a", "-device", "scsi-cd,drive=a"];
    let expected = "-device scsi-cd,drive=a: expected a drive that no other device has";
    assert_eq!(refusal(&[&named[..], &twice].concat()).0, expected);
    let twice = ["virtio-scsi", "-device", "virtio-scsi"];
    let (text, hint) = refusal(&[&named[..], &twice].concat());
    assert_eq!(text, "-device virtio-scsi: chukka has one SCSI controller");
    assert_eq!(hint, "attach all CD drives to one");
    let (text, hint) = refusal(&["-drive", "a,if=none,id=a,media=cdrom"]);
    assert!(text.contains("no device uses it"), "{text}");
    assert_eq!(hint, "add -device scsi-cd,drive=a");
    let (text, hint) = refusal(&["-drive", "a,media=cdrom,size=1G"]);
    assert!(text.ends_with("a CD is neither created nor written to"), "{text}");
    assert!(hint.contains("size="), "{hint}");
    let (text, _) = refusal(&["-drive", "a,media=tape"]);
    assert_eq!(text, "-drive media=tape: expected disk or cdrom");
    let (text, _) = refusal(&["-machine", "pc", "-device", "virtio-scsi-device"]);
    assert_eq!(text, "-device virtio-scsi-device: on pc, controllers are PCI devices");
    for (words, text) in [
        (["-device", "floppy,drive=a"], "-device floppy: chukka has no floppy drive"),
        (["-drive", "a,if=floppy"], "-drive if=floppy: chukka has no floppy drive"),
        (["-fda", "a"], "-fda is a QEMU option that chukka does not have"),
    ] {
        let found = refusal(&words);
        assert_eq!(found.0, text);
    }
}

#[test]
fn a_cd_and_no_kernel_boot_through_seabios() {
    for (machine, image) in [("microvm", "seabios-microvm"), ("pc", "seabios")] {
        let firmware = whole(&["-M", machine, "-cdrom", "a"]).vm.firmware.unwrap();
        assert_eq!((firmware.bios, firmware.for_disk), (Some(image.into()), true));
    }
    assert_eq!(whole(&["-kernel", "K", "-cdrom", "a"]).vm.firmware, None);
    let text = message(&["-device", "virtio-scsi"]).0;
    assert_eq!(text, "There is no kernel to boot: -kernel is missing");
}

#[test]
fn the_boot_order_has_the_cd_where_there_is_one() {
    for order in ["d", "dc", "order=cd,once=d", "menu=on,order=dc"] {
        assert_eq!(whole(&["-cdrom", "a", "-boot", order]).warnings, [""; 0], "{order}");
    }
    let warnings = whole(&["-cdrom", "a", "-boot", "cdn"]).warnings;
    let expected = "-boot order=cdn: the guest has no network; only 'c', the disk and 'd', the CD, \
                    have an effect";
    assert_eq!(warnings, [expected]);
    let warnings = whole(&["-hda", "a", "-boot", "dc"]).warnings;
    assert!(warnings.contains(
        &"-boot order=dc: the guest has no CD drive; only 'c', the disk, has an effect".into()
    ));
    let (text, hint) = message(&["-hda", "a", "-boot", "d"]);
    assert_eq!(text, "-boot order=d: the guest has no CD drive");
    assert!(hint.contains("-cdrom FILE"), "{hint}");
}

#[test]
fn each_boot_index_is_there_once_among_disks_and_cds() {
    let words = [
        "-drive",
        "a,if=none,id=a",
        "-device",
        "virtio-blk,drive=a,bootindex=1",
        "-drive",
        "b,if=none,id=b",
        "-device",
        "scsi-cd,drive=b,bootindex=1",
    ];
    assert_eq!(message(&words).0, "bootindex=1: expected each bootindex once");
}
