use storage::disk::{CacheMode, DiskOptions};

use super::{refusal, request};
use crate::request::DiskConfig;

fn disks(words: &[&str]) -> Vec<DiskConfig> {
    request(words).disks
}

fn disk(path: &str, options: DiskOptions) -> DiskConfig {
    DiskConfig { path: path.into(), options, serial: String::new() }
}

#[test]
fn drives_are_disks_in_their_order() {
    let plain = DiskOptions::default();
    assert_eq!(disks(&[]), []);
    assert_eq!(
        disks(&["-drive", "file=a.raw,if=virtio", "-drive", "b,,c,if=virtio,media=disk"]),
        [disk("a.raw", plain), disk("b,c", plain)]
    );
}

#[test]
fn drives_say_how_they_are_opened() {
    let of = |properties: &str| {
        let drive = format!("file=a,if=virtio,{properties}");
        disks(&["-drive", &drive]).remove(0).options
    };
    let plain = DiskOptions::default();
    for (properties, options) in [
        ("format=raw", DiskOptions { is_raw: true, ..plain }),
        ("readonly=on", DiskOptions { read_only: true, ..plain }),
        ("read-only=on", DiskOptions { read_only: true, ..plain }),
        ("readonly=off,snapshot=off,werror=report,rerror=report,aio=threads", plain),
        ("cache=none", DiskOptions { cache: CacheMode::None, ..plain }),
        ("cache=unsafe", DiskOptions { cache: CacheMode::Unsafe, ..plain }),
        ("snapshot=on", DiskOptions { snapshot: true, ..plain }),
        ("discard=unmap", DiskOptions { unmap: true, ..plain }),
        ("discard=on,discard=ignore", plain),
    ] {
        assert_eq!(of(properties), options, "{properties}");
    }
}

#[test]
fn snapshot_is_for_all_drives() {
    let disks = disks(&["-snapshot", "-drive", "a,if=virtio", "-drive", "b,if=virtio"]);
    assert!(disks.iter().all(|disk| disk.options.snapshot));
}

#[test]
fn devices_attach_drives_by_their_id() {
    let words = [
        "-device",
        "virtio-blk-device,drive=b,serial=S1,id=d0",
        "-drive",
        "file=a,if=none,id=a",
        "-drive",
        "file=b,if=none,id=b",
        "-device",
        "virtio-blk,drive=a",
        "-drive",
        "file=c,if=virtio",
    ];
    let disks: Vec<_> = disks(&words)
        .into_iter()
        .map(|disk| (disk.path.to_str().unwrap().to_owned(), disk.serial))
        .collect();
    let expected = [("c", ""), ("b", "S1"), ("a", "")];
    assert_eq!(disks, expected.map(|(path, serial)| (path.to_owned(), serial.to_owned())));
}

#[test]
fn what_chukka_cannot_do_is_refused_with_what_it_can() {
    for (properties, why, hint) in [
        ("file=a", "without if= it would be an IDE disk", "add if=virtio"),
        ("file=a,if=ide", "virtio disks only", "/dev/vda, not /dev/sda"),
        ("file=a,if=scsi", "virtio disks only", "use if=virtio"),
        ("file=a,if=virtio,format=qcow2", "raw disks only", "qemu-img convert -O raw"),
        ("file=a,if=virtio,media=cdrom", "no CD drive", "media=disk"),
        ("file=a,if=virtio,werror=stop", "reports errors to the guest", "werror=report"),
        ("file=a,if=virtio,aio=native", "by threads", "aio=threads"),
        ("file=a,if=virtio,serial=1", "the device's", "-device virtio-blk"),
        ("file=a,if=none,id=d", "no device uses it", "add -device virtio-blk,drive=d"),
        ("file=a,if=none", "no device uses it", "if=virtio"),
    ] {
        let (text, said) = refusal(&["-drive", properties]);
        assert!(text.contains(why), "{properties}: {text}");
        assert!(said.contains(hint), "{properties}: {said}");
    }
}

#[test]
fn values_that_cannot_be_read_are_refused() {
    for (properties, text) in [
        ("if=virtio", "-drive if=virtio: expected a file: file=PATH"),
        ("file=a,if=usb", "-drive if=usb: expected virtio or none"),
        (
            "file=a,if=virtio,cache=fast",
            "-drive cache=fast: expected writeback, none, writethrough, directsync or unsafe",
        ),
        ("file=a,if=virtio,discard=x", "-drive discard=x: expected unmap or ignore"),
        ("file=a,if=virtio,readonly=maybe", "-drive readonly=maybe: expected on or off"),
        (
            "file=a,if=virtio,heads=4",
            "-drive heads=4: expected file, if, format, readonly, snapshot, cache, discard, id",
        ),
    ] {
        assert_eq!(refusal(&["-drive", properties]).0, text);
    }
    let twice = ["-drive", "a,if=virtio,id=x", "-drive", "b,if=virtio,id=x"];
    assert_eq!(refusal(&twice).0, "-drive id=x: expected each id once");
}

#[test]
fn devices_without_their_drive_are_refused() {
    for (device, text) in [
        ("virtio-blk", "-device virtio-blk: expected a drive: drive=ID"),
        ("virtio-blk,drive=x", "-device virtio-blk,drive=x: expected the id of a -drive"),
        (
            "virtio-blk,drive=d",
            "-device virtio-blk,drive=d: expected a drive that no other device has",
        ),
        ("virtio-blk,bootindex=1", "-device bootindex=1: expected virtio-blk,drive=ID,serial=TEXT"),
    ] {
        assert_eq!(refusal(&["-drive", "a,if=virtio,id=d", "-device", device]).0, text);
    }
    let (text, hint) = refusal(&["-device", "virtio-blk-pci,drive=d"]);
    assert_eq!(text, "-device virtio-blk-pci: microvm has no PCI");
    assert!(hint.contains("-device virtio-blk,"), "{hint}");
}

#[test]
fn disks_of_the_pc_machine_are_pci_devices() {
    let drive = ["-machine", "pc", "-drive", "a,if=none,id=d", "-device"];
    for device in ["virtio-blk-pci,drive=d", "virtio-blk,drive=d"] {
        assert_eq!(disks(&[&drive[..], &[device]].concat()).len(), 1);
    }
    let (text, hint) = refusal(&[&drive[..], &["virtio-blk-device,drive=d"]].concat());
    assert_eq!(text, "-device virtio-blk-device: on pc, disks are PCI devices");
    assert!(hint.contains("-device virtio-blk,"), "{hint}");
}
