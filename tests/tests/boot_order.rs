//! Which disk SeaBIOS boots: the boot order, boot indices, and what `-boot` says.

use std::path::{Path, PathBuf};
use std::time::Duration;

use chukka_tests::assets;
use chukka_tests::native::{self, Ended, Scratch, guest};

/// Debian's image for microvm, and its usual one.
const MICROVM: &str = "bios-microvm.bin";
const PC: &str = "bios-256k.bin";
/// How long a boot takes at most on a busy host.
const LIMIT: Duration = Duration::from_secs(240);

/// A boot sector that prints sector 1 and the drive's number on port 0x402, and ends with status 33
/// by port 0xf4; with 35 if the disk fails.
const BOOT_SECTOR: [u8; 39] = [
    0x31, 0xc0, 0x8e, 0xd8, // xor ax, ax; mov ds, ax
    0xb4, 0x42, 0xbe, 0x80, 0x7c, 0xcd, 0x13, 0x72, 0x13, // read by the packet at 0x7c80
    0xbe, 0x00, 0x80, 0xb9, 0x04, 0x00, // mov si, 0x8000; mov cx, 4
    0x52, 0xba, 0x02, 0x04, 0xfc, 0xf3, 0x6e, // to port 0x402: rep outsb
    0x58, 0xee, // dl is the drive: pop ax; out dx, al
    0xb0, 0x10, 0xeb, 0x02, 0xb0, 0x11, // mov al, 0x10, or 0x11 where it failed
    0xba, 0xf4, 0x00, 0xee, 0xf4, // mov dx, 0xf4; out dx, al; hlt
];

/// A disk with that boot sector, and a name of four letters in its second sector.
fn bootable(name: &str) -> Vec<u8> {
    let mut disk = vec![0; 1 << 20];
    disk[..BOOT_SECTOR.len()].copy_from_slice(&BOOT_SECTOR);
    // Size of the packet, sectors, offset and segment of the buffer, first sector.
    disk[0x80..0x89].copy_from_slice(&[16, 0, 1, 0, 0, 0x80, 0, 0, 1]);
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
    disk[512..516].copy_from_slice(name.as_bytes());
    disk
}

/// What became of a boot.
struct Boot {
    ended: Ended,
    /// SeaBIOS's log, and what the boot sector printed after it.
    log: Vec<u8>,
}

impl Boot {
    fn text(&self) -> String {
        format!("{}\n{}", String::from_utf8_lossy(&self.log), self.ended.text())
    }

    /// The disk of this name was booted, as the first hard disk.
    #[track_caller]
    fn assert_booted(&self, name: &str) -> &Self {
        let printed = [name.as_bytes(), b"\x80"].concat();
        assert!(self.log.ends_with(&printed), "{name} was not booted: {}", self.text());
        assert_eq!(self.ended.code(), Some(33), "{}", self.text());
        self
    }

    /// SeaBIOS found nothing to boot, and reset the machine.
    #[track_caller]
    fn assert_nothing_booted(&self) -> &Self {
        assert_eq!(self.ended.code(), Some(0), "{}", self.text());
        self.assert_logged("No bootable device.  Retrying in 0 seconds.")
    }

    #[track_caller]
    fn assert_logged(&self, line: &str) -> &Self {
        assert!(self.text().contains(line), "{line:?} is not in {}", self.text());
        self
    }
}

/// A machine with these files, which words name as `@NAME`, booted by an image of Debian's.
fn boots(image: &str, files: &[(&str, Vec<u8>)], words: &[&str]) -> Option<Boot> {
    if !native::kvm() {
        return None;
    }
    let image = assets::or_skip(assets::firmware(image))?;
    let scratch = Scratch::new();
    for (name, content) in files {
        let _ = scratch.file(name, content);
    }
    Some(boot(&image, &scratch, words))
}

fn boot(image: &Path, scratch: &Scratch, words: &[&str]) -> Boot {
    let log: PathBuf = scratch.path("log");
    let chardev = format!("file,id=log,path={}", log.display());
    let folder = scratch.path("");
    let words = words.iter().map(|word| word.replace('@', &folder.to_string_lossy()));
    let debug = ["isa-debugcon,iobase=0x402,chardev=log", "isa-debug-exit,iobase=0xf4,iosize=4"];
    let chukka = native::start(["-m", "64", "-nographic", "-no-reboot", "-chardev", &chardev])
        .args(["-device", debug[0], "-device", debug[1], "-bios"])
        .args([image])
        .args(words);
    let ended = chukka.start().wait_within(LIMIT);
    Boot { ended, log: std::fs::read(&log).unwrap_or_default() }
}

/// A disk with a boot index.
fn drive(name: &str, boot_index: u32) -> [String; 4] {
    [
        "-drive".into(),
        format!("file=@{name},format=raw,if=none,id={name}"),
        "-device".into(),
        format!("virtio-blk,drive={name},bootindex={boot_index}"),
    ]
}

fn strs(words: &[String]) -> Vec<&str> {
    words.iter().map(String::as_str).collect()
}

#[test]
fn the_first_disk_is_booted() {
    let disks = [("one", bootable("one.")), ("two", bootable("two."))];
    let words = ["-hdb", "@two", "-hda", "@one", "-boot", "c"];
    let Some(boot) = boots(MICROVM, &disks, &words) else { return };
    boot.assert_booted("one.");
}

#[test]
fn the_disk_with_the_lowest_boot_index_is_booted() {
    let disks = ["one.", "two.", "tri."].map(|name| (name, bootable(name)));
    let first = ["-drive", "file=@one.,format=raw,if=virtio"].map(String::from);
    let words = [&first[..], &drive("two.", 2), &drive("tri.", 1)].concat();
    for image in [MICROVM, PC] {
        let Some(boot) = boots(image, &disks, &strs(&words)) else { return };
        boot.assert_booted("tri.")
            .assert_logged("1: /virtio-mmio@00000000feb00400/disk@0,0")
            .assert_logged("2: /virtio-mmio@00000000feb00200/disk@0,0");
    }
}

#[test]
fn strict_boots_nothing_but_the_disks_with_a_boot_index() {
    let disks = [("one", bootable("one.")), ("none", vec![0; 1 << 20])];
    let one = ["-drive", "file=@one,format=raw,if=virtio"].map(String::from);
    let words = [&one[..], &drive("none", 0)].concat();
    let strict = [&strs(&words)[..], &["-boot", "reboot-timeout=1,strict=on"]].concat();
    let Some(boot) = boots(PC, &disks, &strict) else { return };
    boot.assert_nothing_booted().assert_logged("2: HALT");
}

#[test]
fn an_image_of_a_cd_is_a_disk_without_a_boot_sector() {
    // A volume descriptor and a boot record of El Torito (sectors 16 and 17 of 2048 bytes).
    let mut iso = vec![0; 1 << 20];
    iso[16 * 2048..][..6].copy_from_slice(b"\x01CD001");
    iso[17 * 2048..][..30].copy_from_slice(b"\0CD001\x01EL TORITO SPECIFICATION");
    let words = ["-drive", "file=@iso,format=raw,if=virtio,readonly=on"];
    let words = [&words[..], &["-boot", "reboot-timeout=1"]].concat();
    let Some(boot) = boots(MICROVM, &[("iso", iso)], &words) else { return };
    boot.assert_nothing_booted().assert_logged("Boot failed: not a bootable disk");
}

#[test]
fn the_menu_is_offered_before_the_disk_is_booted() {
    let words = ["-hda", "@one", "-boot", "c,menu=on,splash-time=1"];
    let Some(boot) = boots(PC, &[("one", bootable("one."))], &words) else { return };
    boot.assert_logged("Press ESC for boot menu.").assert_booted("one.");
}

#[test]
fn a_kernel_comes_before_every_disk() {
    let files = [("one", bootable("one.")), ("kernel", guest::bzimage("P"))];
    let words = [&drive("one", 0)[..], &["-kernel".into(), "@kernel".into()]].concat();
    let Some(boot) = boots(MICROVM, &files, &strs(&words)) else { return };
    boot.assert_logged("1: /rom@genroms/chukka-linux.bin")
        .assert_logged("2: /virtio-mmio@00000000feb00000/disk@0,0");
    assert_eq!(boot.ended.code(), Some(0), "{}", boot.text());
    assert!(!boot.log.ends_with(b"one.\x80"), "{}", boot.text());
}

#[test]
fn a_disk_alone_is_booted_through_seabios() {
    if !native::kvm() || assets::or_skip(assets::firmware(MICROVM)).is_none() {
        return;
    }
    let scratch = Scratch::new();
    let disk = scratch.file("disk", &bootable("disk"));
    let exit = ["-device", "isa-debug-exit,iobase=0xf4,iosize=4", "-m", "64", "-nographic"];
    let ended = native::start(["-hda"]).args([&disk]).args(exit).start().wait_within(LIMIT);
    assert_eq!(ended.code(), Some(33), "{}", ended.text());
    assert!(ended.text().contains("Booting from Hard Disk"), "{}", ended.text());
}
