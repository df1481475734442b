//! SeaBIOS boots disks, which show what tiny guests write.

use std::time::{Duration, Instant};

use chukka_tests::assets;
use chukka_tests::native::{self, Scratch};

/// A boot sector that reads sector 1 by INT 13h, prints it on port 0x402, writes it to sector 2,
/// and ends with status 33 by port 0xf4; with 35 if the disk fails.
const BOOT_SECTOR: [u8; 48] = [
    0x31, 0xc0, 0x8e, 0xd8, // xor ax, ax; mov ds, ax
    0xb4, 0x42, 0xbe, 0x80, 0x7c, 0xcd, 0x13, 0x72, 0x1c, // read by the packet at 0x7c80
    0xbe, 0x00, 0x80, 0xb9, 0x05, 0x00, // mov si, 0x8000; mov cx, 5
    0x52, 0xba, 0x02, 0x04, 0xfc, 0xf3, 0x6e,
    0x5a, // to port 0x402: rep outsb; dl is the drive
    0xb8, 0x00, 0x43, 0xbe, 0x90, 0x7c, 0xcd, 0x13, 0x72,
    0x04, // write by the packet at 0x7c90
    0xb0, 0x10, 0xeb, 0x02, 0xb0, 0x11, // mov al, 0x10, or 0x11 where it failed
    0xba, 0xf4, 0x00, 0xee, 0xf4, // mov dx, 0xf4; out dx, al; hlt
];

/// A disk with that boot sector, and `hello` in its second sector.
fn bootable() -> Vec<u8> {
    let mut disk = vec![0; 1 << 20];
    disk[..48].copy_from_slice(&BOOT_SECTOR);
    for (at, sector) in [(0x80, 1), (0x90, 2)] {
        // Size of the packet, sectors, offset and segment of the buffer, first sector.
        disk[at..at + 9].copy_from_slice(&[16, 0, 1, 0, 0, 0x80, 0, 0, sector]);
    }
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
    disk[512..517].copy_from_slice(b"hello");
    disk
}

/// SeaBIOS boots a disk with these properties: how chukka ended, and the disk's third sector
/// afterwards.
fn boot_disk(image: &str, properties: &str) -> Option<(Option<i32>, Vec<u8>)> {
    boot_disk_with(image, properties, |_| Vec::new())
}

/// The same with further words for chukka, which may name files of their own.
fn boot_disk_with(
    image: &str,
    properties: &str,
    words: impl FnOnce(&Scratch) -> Vec<String>,
) -> Option<(Option<i32>, Vec<u8>)> {
    if !native::kvm() {
        return None;
    }
    let image = assets::or_skip(assets::firmware(image))?;
    let scratch = Scratch::new();
    let path = scratch.file("disk.raw", &bootable());
    let log = scratch.path("log");
    let drive = format!("file={},format=raw,if=virtio{properties}", path.display());
    let chardev = format!("file,id=log,path={}", log.display());
    let chukka = native::start(["-bios"]).args([&image]).args(words(&scratch)).args([
        "-drive",
        &drive,
        "-chardev",
        &chardev,
        "-device",
        "isa-debugcon,iobase=0x402,chardev=log",
        "-device",
        "isa-debug-exit,iobase=0xf4,iosize=4",
        "-m",
        "64",
        "-nographic",
    ]);
    let ended = chukka.start().wait_within(Duration::from_secs(240));
    let log = String::from_utf8_lossy(&std::fs::read(&log).expect("SeaBIOS logs")).into_owned();
    assert!(log.ends_with("hello"), "{}\n{log}", ended.text());
    let disk = std::fs::read(&path).expect("it is there");
    Some((ended.code(), disk[1024..1029].to_vec()))
}

#[test]
fn seabios_boots_a_disk_and_writes_to_it() {
    for (image, properties) in [
        ("bios-256k.bin", ""),
        ("bios-microvm.bin", ""),
        ("bios-microvm.bin", ",cache=writethrough"),
    ] {
        let Some(result) = boot_disk(image, properties) else { return };
        assert_eq!(result, (Some(33), b"hello".to_vec()), "{image}{properties}");
    }
}

#[test]
fn a_disk_that_is_not_to_change_does_not() {
    // The boot sector sees the error of a read-only disk, and what it has written to a snapshot.
    for (properties, status) in [(",readonly=on", 35), (",snapshot=on", 33)] {
        let Some(result) = boot_disk("bios-microvm.bin", properties) else { return };
        assert_eq!(result, (Some(status), vec![0; 5]), "{properties}");
    }
}

#[test]
fn the_last_of_as_many_disks_as_there_are_places_is_booted() {
    for (machine, image, places) in
        [("microvm", "bios-microvm.bin", 8), ("pc", "bios-256k.bin", 28)]
    {
        let words = |scratch: &Scratch| {
            let blank = scratch.file("blank.raw", &[0; 4096]);
            let blank = format!("file={},format=raw,if=virtio,readonly=on", blank.display());
            let blanks = vec![["-drive".to_owned(), blank]; places - 1].concat();
            let last = ["-M", machine, "-device", "virtio-blk,drive=last,bootindex=0"];
            [blanks, last.map(String::from).to_vec()].concat()
        };
        let Some(result) = boot_disk_with(image, ",if=none,id=last", words) else { return };
        assert_eq!(result, (Some(33), b"hello".to_vec()), "{machine}");
    }
}

/// A boot sector that fills sectors from 1 on with their numbers by INT 13h, and reports each on port
/// 0x4e9 once it is written; ends with status 35 if the disk fails.
const WRITER: [u8; 45] = [
    0x31, 0xc0, 0x8e, 0xd8, // xor ax, ax; mov ds, ax
    0xc7, 0x06, 0x00, 0x80, 0x01, 0x00, // mov word [0x8000], 1: the first word of the buffer
    0xbe, 0x80, 0x7c, // mov si, 0x7c80: the packet
    0xb8, 0x00, 0x43, 0xcd, 0x13, 0x72, 0x12, // write; jc to the end
    0x52, 0xba, 0xe9, 0x04, 0xb0, 0x0a, 0xee, 0x5a, // a line end to port 0x4e9
    0xff, 0x06, 0x00, 0x80, // inc word [0x8000]
    0xff, 0x06, 0x88, 0x7c, // inc word [0x7c88]: the sector
    0xeb, 0xe7, // and again
    0xb0, 0x11, 0xba, 0xf4, 0x00, 0xee, 0xf4, // mov al, 0x11; mov dx, 0xf4; out dx, al; hlt
];

#[test]
fn what_the_guest_was_told_is_written_survives_kill_9() {
    for (machine, image, cache) in
        [("microvm", "bios-microvm.bin", "writeback"), ("pc", "bios-256k.bin", "none")]
    {
        if !native::kvm() {
            return;
        }
        let Some(image) = assets::or_skip(assets::firmware(image)) else { return };
        let mut disk = bootable();
        disk[..WRITER.len()].copy_from_slice(&WRITER);
        // Sector 0 is the boot sector, and a word numbers 65,535 others.
        disk.resize(512 << 16, 0);
        let scratch = Scratch::new();
        let (path, log) = (scratch.file("disk.raw", &disk), scratch.path("log"));
        let drive = format!("file={},format=raw,if=virtio,cache={cache}", path.display());
        let chardev = format!("file,id=log,path={}", log.display());
        let devices =
            ["isa-debugcon,iobase=0x4e9,chardev=log", "isa-debug-exit,iobase=0xf4,iosize=4"];
        let chukka = native::start(["-M", machine, "-m", "64", "-nographic", "-bios"])
            .args([&image])
            .args(["-drive", &drive, "-chardev", &chardev])
            .args(["-device", devices[0], "-device", devices[1]])
            .start();
        let reported = || std::fs::metadata(&log).map_or(0, |log| log.len());
        let end = Instant::now() + Duration::from_secs(240);
        while reported() < 200 && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(10));
        }
        chukka.signal(libc::SIGKILL);
        let ended = chukka.wait();
        assert_eq!(ended.signal(), Some(libc::SIGKILL), "{}", ended.text());
        let reported = usize::try_from(reported()).expect("65,535 at most");
        assert!(reported >= 200, "{machine}: {reported} sectors written: {}", ended.text());
        let disk = std::fs::read(&path).expect("it is there");
        for sector in 1..=reported {
            let found =
                usize::from(u16::from_le_bytes([disk[sector * 512], disk[sector * 512 + 1]]));
            assert_eq!(found, sector, "{machine}: of {reported} sectors");
        }
    }
}
