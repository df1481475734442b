use devices::disk::{ErrorPolicy, OnError};
use storage::disk::{CacheMode, DiskFormat, DiskOptions};
use vmm::config::MachineKind;

use super::{message, refusal, request, whole};
use crate::request::DiskConfig;

fn disks(words: &[&str]) -> Vec<DiskConfig> {
    request(words).disks
}

fn disk(path: &str, options: DiskOptions) -> DiskConfig {
    DiskConfig { path: path.into(), options, ..DiskConfig::default() }
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
        ("format=raw", DiskOptions { format: Some(DiskFormat::Raw), ..plain }),
        ("format=qcow2", DiskOptions { format: Some(DiskFormat::Qcow2), ..plain }),
        ("readonly=on", DiskOptions { read_only: true, ..plain }),
        ("read-only=on", DiskOptions { read_only: true, ..plain }),
        ("readonly=off,snapshot=off,aio=threads", plain),
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
fn drives_and_devices_say_what_follows_from_errors() {
    let of = |words: &[&str]| disks(words).remove(0).errors;
    let policy = |write, read| ErrorPolicy { read, write };
    let default = policy(OnError::Enospc, OnError::Report);
    assert_eq!(of(&["-hda", "a"]), default);
    assert_eq!(of(&["-drive", "a,werror=enospc,rerror=report"]), default);
    for (name, action) in
        [("report", OnError::Report), ("ignore", OnError::Ignore), ("stop", OnError::Stop)]
    {
        let drive = format!("a,if=virtio,werror={name},rerror={name}");
        assert_eq!(of(&["-drive", &drive]), policy(action, action));
    }
    let device = "virtio-blk,drive=a,werror=report,rerror=stop";
    assert_eq!(
        of(&["-drive", "a,if=none,id=a,werror=stop", "-device", device]),
        policy(OnError::Report, OnError::Stop)
    );
    for (word, expected) in [
        ("rerror=enospc", "report, ignore or stop"),
        ("rerror=x", "report, ignore or stop"),
        ("werror=pause", "report, ignore, enospc or stop"),
    ] {
        let (text, _) = refusal(&["-drive", &format!("file=a,if=virtio,{word}")]);
        assert_eq!(text, format!("-drive {word}: expected {expected}"));
    }
}

#[test]
fn a_disk_can_have_a_size_and_a_backing_file() {
    let drive = "file=a.qcow2,if=virtio,size=20G,backing.file.filename=/b,,c";
    let disk = disks(&["-drive", drive]).remove(0);
    assert_eq!((disk.size, disk.backing), (Some(20 << 30), Some("/b,c".into())));
    for size in ["size=0G", "size=100", "size=700b", "size=x", "size=-1"] {
        let (text, _) = refusal(&["-drive", &format!("file=a,if=virtio,{size}")]);
        assert_eq!(text, format!("-drive {size}: expected a size with a unit, such as 20G"));
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
        ("file=a,if=floppy", "no floppy drive", "leave it out"),
        ("file=a,if=sd", "virtio and SATA disks only", "use if=virtio"),
        ("file=a,bus=0,unit=1", "no IDE or SCSI buses", "index=N"),
        ("file=a,if=virtio,format=vmdk", "raw and qcow2 disks", "qemu-img convert -O qcow2"),
        ("file=a,if=virtio,media=cdrom", "firmware would not boot the CD", "leave if=virtio out"),
        ("file=a,media=cdrom,rerror=stop", "read errors of a CD", "leave out rerror="),
        ("file=a,if=virtio,aio=native", "by threads", "aio=threads"),
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
        ("file=a,if=usb", "-drive if=usb: expected virtio, none, ide or scsi"),
        (
            "file=a,if=virtio,cache=fast",
            "-drive cache=fast: expected writeback, none, writethrough, directsync or unsafe",
        ),
        ("file=a,if=virtio,discard=x", "-drive discard=x: expected unmap or ignore"),
        ("file=a,if=virtio,readonly=maybe", "-drive readonly=maybe: expected on or off"),
        (
            "file=a,if=virtio,heads=4",
            "-drive heads=4: expected file, if, index, media, format, size, readonly, snapshot, cache, discard, werror, rerror, serial, id",
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
        (
            "virtio-blk,x=1",
            "-device x=1: expected virtio-blk,drive=ID,serial=TEXT,bootindex=N,werror=ACTION,rerror=ACTION",
        ),
        ("virtio-blk,bootindex=x", "-device bootindex=x: expected a number from 0 to 2147483647"),
    ] {
        assert_eq!(refusal(&["-drive", "a,if=virtio,id=d", "-device", device]).0, text);
    }
    let drive = ["-drive", "a,if=none,id=d", "-device", "virtio-blk-pci,drive=d"];
    assert_eq!(request(&drive).vm.machine, MachineKind::Pc, "only pc has it");
    let (text, hint) = refusal(&[&["-machine", "microvm"], &drive[..]].concat());
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

/// Path, serial number and boot index of each disk, and the warnings.
type ToldDisk = (String, String, Option<u32>);

fn told(words: &[&str]) -> (Vec<ToldDisk>, Vec<String>) {
    let request = whole(words);
    let disks = request.disks.into_iter();
    let disks = disks
        .map(|disk| (disk.path.to_str().unwrap().to_owned(), disk.serial, disk.boot_index))
        .collect();
    (disks, request.warnings)
}

#[test]
fn old_spellings_are_virtio_disks_with_one_warning() {
    for (words, paths, warning) in [
        (&["-hda", "a,b.raw"][..], &["a,b.raw"][..], "'a,b.raw' as /dev/vda"),
        (&["-drive", "a"], &["a"], "'a' as /dev/vda"),
        (&["-drive", "file=a,if=ide,media=disk"], &["a"], "'a' as /dev/vda"),
        (&["-drive", "file=a,if=scsi"], &["a"], "'a' as /dev/vda"),
        (&["-hdb", "b", "-hda", "a"], &["a", "b"], "'a' as /dev/vda, 'b' as /dev/vdb"),
        (&["-hdc", "c"], &["c"], "'c' as /dev/vda"),
        (&["-drive", "b", "-hda", "a"], &["a", "b"], "'a' as /dev/vda, 'b' as /dev/vdb"),
        (
            &["-drive", "file=c,index=2", "-drive", "a", "-drive", "b"],
            &["a", "b", "c"],
            "'a' as /dev/vda, 'b' as /dev/vdb, 'c' as /dev/vdc",
        ),
    ] {
        let (disks, warnings) = told(words);
        let found: Vec<_> = disks.iter().map(|(path, ..)| path.as_str()).collect();
        assert_eq!(found, paths, "{words:?}");
        let expected = format!("disks are virtio disks here: the guest sees {warning}");
        assert_eq!(warnings, [expected], "{words:?}");
    }
}

#[test]
fn virtio_disks_keep_the_order_of_the_command_line() {
    let drive = |path: &str, index: u32| format!("file={path},if=virtio,index={index}");
    let (first, second) = (drive("a", 1), drive("b", 0));
    let (disks, warnings) = told(&["-kernel", "K", "-drive", &first, "-drive", &second]);
    let paths: Vec<_> = disks.iter().map(|(path, ..)| path.as_str()).collect();
    assert_eq!((paths, warnings), (vec!["a", "b"], vec![]));
    let (text, _) = refusal(&["-drive", &first, "-drive", &drive("c", 1)]);
    let expected = "another index than -drive file=a,if=virtio,index=1";
    assert_eq!(text, format!("-drive file=c,if=virtio,index=1: expected {expected}"));
}

#[test]
fn two_disks_cannot_have_one_index() {
    let (text, _) = message(&["-hda", "a", "-hda", "b"]);
    assert_eq!(text, "-hda b: expected another index than -hda a");
    let (text, _) = message(&["-drive", "file=a,index=1", "-hdb", "b"]);
    assert_eq!(text, "-hdb b: expected another index than -drive file=a,index=1");
    assert_eq!(message(&["-hdd", ""]).0, "-hdd was given an empty path");
}

#[test]
fn an_index_is_one_of_the_machine_s_places() {
    for (machine, last) in [("microvm", 7), ("pc", 27)] {
        let drive = |index| format!("file=a,if=virtio,index={index}");
        let (disks, _) = told(&["-kernel", "K", "-M", machine, "-drive", &drive(last)]);
        assert_eq!(disks.len(), 1);
        let (text, _) = message(&["-M", machine, "-drive", &drive(last + 1)]);
        let (index, count) = (last + 1, last + 1);
        assert_eq!(
            text,
            format!(
                "-drive index={index}: expected a number from 0 to {last}: -machine {machine} has \
                 room for {count} disks"
            )
        );
    }
}

#[test]
fn a_kernel_that_is_told_another_name_than_it_finds_is_refused_with_the_right_one() {
    for (append, disks, word) in [
        ("console=ttyS0 root=/dev/sda1 ro", &["-hda", "a"][..], "root=/dev/vda1"),
        ("root=/dev/sdb", &["-hda", "a", "-hdb", "b"], "root=/dev/vdb"),
        // The third IDE disk, but the second disk that is there.
        ("root=/dev/hdc1", &["-hda", "a", "-hdc", "c"], "root=/dev/vdb1"),
        ("resume=/dev/sda2", &["-drive", "a"], "resume=/dev/vda2"),
    ] {
        let (text, hint) = refusal(&[&["-append", append], disks].concat());
        assert!(text.ends_with("the guest has no such device"), "{append}: {text}");
        assert_eq!(hint, format!("say {word}"), "{append}");
    }
    for append in ["root=/dev/vda1", "root=UUID=1234 quiet", "rw"] {
        let (disks, warnings) = told(&["-kernel", "K", "-append", append, "-hda", "a"]);
        assert_eq!((disks.len(), warnings.len()), (1, 1), "{append}");
    }
    // As in QEMU, where no such disk is there either.
    told(&["-kernel", "K", "-append", "root=/dev/sda", "-drive", "a,if=virtio"]);
}

#[test]
fn old_and_new_spellings_are_not_mixed() {
    for words in [["-hda", "a", "-drive", "b,if=virtio"], ["-drive", "b,if=virtio", "-drive", "a"]]
    {
        let (text, hint) = message(&words);
        assert!(text.contains(" beside a virtio disk: it is a virtio disk here"), "{text}");
        assert!(hint.starts_with("give each disk if=virtio"), "{hint}");
    }
}

#[test]
fn devices_have_a_boot_index_and_the_drive_s_serial_number() {
    let words = [
        "-bios",
        "seabios-microvm",
        "-drive",
        "a,if=none,id=a,serial=A",
        "-drive",
        "b,if=none,id=b,serial=B",
        "-device",
        "virtio-blk,drive=b,serial=C,bootindex=1",
        "-device",
        "virtio-blk-device,bootindex=-1,drive=a",
        "-drive",
        "c,if=virtio,serial=D",
    ];
    let (disks, warnings) = told(&words);
    let expected = [("c", "D", None), ("b", "C", Some(1)), ("a", "A", None)];
    assert_eq!(disks, expected.map(|(path, serial, at)| (path.into(), serial.into(), at)));
    assert_eq!(warnings, [""; 0]);
    assert_eq!(whole(&words).vm.disk_boot_indices, [None, Some(1), None]);
}

#[test]
fn each_boot_index_is_there_once_and_only_for_firmware() {
    let words = [
        "-drive",
        "a,if=none,id=a",
        "-drive",
        "b,if=none,id=b",
        "-device",
        "virtio-blk,drive=a,bootindex=1",
        "-device",
        "virtio-blk,drive=b,bootindex=1",
    ];
    assert_eq!(message(&words).0, "bootindex=1: expected each bootindex once");
    let (text, _) =
        message(&[&words[..2], &words[4..6], &["-option-rom", "x,bootindex=1"]].concat());
    assert_eq!(text, "bootindex=1: expected each bootindex once");
    let (_, warnings) = told(&[&["-kernel", "K"], &words[..2], &words[4..6]].concat());
    let expected = "bootindex= has no effect: chukka enters the kernel itself, without firmware";
    assert_eq!(warnings, [expected]);
}

#[test]
fn a_disk_and_no_kernel_boot_through_seabios() {
    for words in [&["-hda", "d"][..], &["-drive", "d,if=virtio"]] {
        let request = whole(words);
        let firmware = request.vm.firmware.unwrap();
        assert_eq!((firmware.bios, firmware.for_disk), (Some("seabios-microvm".into()), true));
        assert_eq!(request.boot, None);
    }
    let request = whole(&["-L", "/fw", "-boot", "menu=on", "-hda", "d", "-option-rom", "r"]);
    let firmware = request.vm.firmware.unwrap();
    assert_eq!((firmware.search.len(), firmware.option_roms.len()), (1, 1));
    assert!(request.vm.boot_options.menu);
    let named = whole(&["-hda", "d", "-bios", "/fw/bios-256k.bin"]);
    assert!(named.warnings[1].contains("use -bios seabios-microvm"), "{:?}", named.warnings);
    let named = whole(&["-hda", "d", "-bios", "qboot"]);
    assert_eq!(named.warnings.len(), 1);
    let named = named.vm.firmware.unwrap();
    assert_eq!((named.bios, named.for_disk), (Some("qboot".into()), false));
    for words in [["-kernel", "K"], ["-location", "/tree"], ["-bootdisk", "d"], ["-state", "s"]] {
        assert_eq!(whole(&[&words[..], &["-hda", "d"]].concat()).vm.firmware, None, "{words:?}");
    }
    // What needs a kernel still does.
    assert_eq!(
        message(&["-hda", "d", "-append", "quiet"]).0,
        "-append is only allowed with -kernel, which is missing"
    );
    assert_eq!(message(&["-snapshot"]).0, "There is no kernel to boot: -kernel is missing");
}

#[test]
fn other_disk_devices_are_refused_with_the_one_there_is() {
    for name in ["scsi-hd", "nvme", "usb-storage"] {
        let (text, hint) = refusal(&["-device", &format!("{name},drive=d")]);
        assert_eq!(text, format!("-device {name}: chukka has virtio and SATA disks only"));
        assert!(hint.starts_with("use -device virtio-blk,drive=ID"), "{hint}");
    }
    for (option, hint) in [
        ("-blockdev", "-drive file=FILE,format=raw,if=none,id=ID with -device virtio-blk,drive=ID"),
        ("-fda", "no floppy drive"),
        ("-sd", "if=virtio"),
    ] {
        let (text, said) = refusal(&[option, "x"]);
        assert_eq!(text, format!("{option} is a QEMU option that chukka does not have"));
        assert!(said.contains(hint), "{option}: {said}");
    }
}
