//! SeaBIOS boots disks, which show what tiny guests write.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use chukka_tests::native::{self, Chukka, Scratch, Start};
use chukka_tests::{assets, sys};
use storage::disk::{Disk, DiskFormat, DiskOptions};
use vm_memory::VolatileSlice;

/// Enough for SeaBIOS on a software KVM whose two processors others use too.
const LIMIT: Duration = Duration::from_secs(240);

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
    let ended = chukka.start().wait_within(LIMIT);
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

/// A boot sector that fills sectors from 1 on with their numbers by INT 13h, and reports each on
/// port 0x4e9 once it is written; ends with status 35 if the disk fails.
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

/// chukka with a guest that writes sector after sector to an image.
struct Writer {
    chukka: Chukka,
    log: PathBuf,
}

impl Writer {
    /// Has SeaBIOS boot [`WRITER`] from the image. `None`: this machine cannot.
    fn start(machine: &str, path: &Path, scratch: &Scratch, properties: &str) -> Option<Self> {
        let bios = if machine == "pc" { "bios-256k.bin" } else { "bios-microvm.bin" };
        let bios = assets::or_skip(assets::firmware(bios))?;
        let log = scratch.path("log");
        let drive = format!("file={},if=virtio,{properties}", path.display());
        let chardev = format!("file,id=log,path={}", log.display());
        let devices =
            ["isa-debugcon,iobase=0x4e9,chardev=log", "isa-debug-exit,iobase=0xf4,iosize=4"];
        let chukka = native::start(["-M", machine, "-m", "64", "-nographic", "-bios"])
            .args([&bios])
            .args(["-drive", &drive, "-chardev", &chardev])
            .args(["-device", devices[0], "-device", devices[1]])
            .start();
        Some(Self { chukka, log })
    }

    /// How many sectors the guest was told are written.
    fn reported(&self) -> usize {
        let bytes = std::fs::metadata(&self.log).map_or(0, |log| log.len());
        usize::try_from(bytes).expect("65,535 at most")
    }

    /// Waits until the guest was told of this many sectors.
    fn wait_for(&self, count: usize) {
        let end = Instant::now() + LIMIT;
        while self.reported() < count {
            assert!(Instant::now() < end, "{} sectors written", self.reported());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits until no vCPU runs.
    fn wait_until_paused(&self) {
        let end = Instant::now() + LIMIT;
        while self.chukka.runs_vcpus() {
            assert!(Instant::now() < end, "a vCPU runs");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// A disk of 32 MiB with the boot sector [`WRITER`]: sector 0 is that, and a word numbers 65,535
/// others.
fn for_writer() -> Vec<u8> {
    let mut disk = bootable();
    disk[..WRITER.len()].copy_from_slice(&WRITER);
    disk
}

const WRITER_DISK_SIZE: u64 = 512 << 16;

/// The first word of a sector, which is its number.
fn word(sector: &[u8]) -> usize {
    usize::from(u16::from_le_bytes([sector[0], sector[1]]))
}

#[test]
fn what_the_guest_was_told_is_written_survives_kill_9() {
    for (machine, cache) in [("microvm", "writeback"), ("pc", "none")] {
        if !native::kvm() {
            return;
        }
        let scratch = Scratch::new();
        let path = scratch.file("disk.raw", &for_writer());
        resize(&path, WRITER_DISK_SIZE);
        let properties = format!("format=raw,cache={cache}");
        let Some(writer) = Writer::start(machine, &path, &scratch, &properties) else {
            return;
        };
        writer.wait_for(200);
        writer.chukka.signal(libc::SIGKILL);
        let (chukka, log) = (writer.chukka, writer.log);
        let ended = chukka.wait();
        assert_eq!(ended.signal(), Some(libc::SIGKILL), "{}", ended.text());
        let reported = std::fs::read(&log).expect("it is there").len();
        let disk = std::fs::read(&path).expect("it is there");
        for sector in 1..=reported {
            let found = word(&disk[sector * 512..]);
            assert_eq!(found, sector, "{machine}: of {reported} sectors");
        }
    }
}

fn resize(path: &Path, size: u64) {
    let file = std::fs::OpenOptions::new().write(true).open(path).expect("it is there");
    file.set_len(size).expect("there is room");
}

/// A file system of this many KiB that only this thread sees, and a file in it that takes half of
/// that. `None`: this machine does not allow it.
fn small_file_system(scratch: &Scratch, kib: usize) -> Option<(PathBuf, PathBuf)> {
    let root = scratch.path("small");
    std::fs::create_dir(&root).expect("there is room");
    let options = format!("size={kib}k");
    let mounted = sys::enter_new_mounts()
        .and_then(|()| sys::mount("tmpfs", root.to_str().expect("text"), &options));
    if let Err(error) = mounted {
        chukka_tests::skip(&format!("this machine does not allow mounts: {error}"));
        return None;
    }
    let filler = root.join("filler");
    std::fs::write(&filler, vec![1; kib * 512]).expect("there is room");
    Some((root, filler))
}

const PAUSED: &str = "failed: No space left on device (os error 28); the guest is paused, and \
                      goes on once it succeeds";

/// An image of this format in the small file system that boots [`WRITER`].
fn image_for_writer(root: &Path, format: DiskFormat) -> PathBuf {
    let path = root.join("disk");
    storage::disk::create(&path, format, WRITER_DISK_SIZE).expect("there is room");
    let disk = Disk::open(&path, DiskOptions::default()).expect("it was just created");
    let mut boot = for_writer()[..1024].to_vec();
    disk.write(&[VolatileSlice::from(&mut boot[..])], 0).expect("there is room");
    disk.flush().expect("there is room");
    path
}

#[test]
fn a_guest_pauses_on_a_full_file_system_and_goes_on_when_there_is_room() {
    if !native::kvm() {
        return;
    }
    for (machine, format, policy) in
        [("microvm", DiskFormat::Raw, ""), ("pc", DiskFormat::Qcow2, ",werror=stop")]
    {
        let scratch = Scratch::new();
        let Some((root, filler)) = small_file_system(&scratch, 512) else { return };
        let path = image_for_writer(&root, format);
        let properties = format!("format={}{policy}", format.name());
        let Some(writer) = Writer::start(machine, &path, &scratch, &properties) else { return };
        writer.chukka.wait_for_error_within(PAUSED, LIMIT);
        let paused = writer.reported();
        writer.wait_until_paused();
        std::fs::remove_file(&filler).expect("it is there");
        let again = format!(
            "the disk {0} works again; the guest goes on\nchukka: warning: the disk {0}: ",
            path.display()
        );
        writer.chukka.wait_for_error_within(&again, LIMIT);
        let (chukka, log) = (writer.chukka, writer.log);
        // Paused once more, it can be ended. A report says that it is paused, and nothing of CPUs.
        let signal = if machine == "pc" { libc::SIGTERM } else { libc::SIGQUIT };
        chukka.signal(signal);
        let ended = chukka.wait();
        assert_eq!(ended.signal(), Some(signal), "{}", ended.stderr);
        let is_reported = ended.stderr.contains("the guest is paused, and its CPUs are stopped");
        assert_eq!(is_reported, signal == libc::SIGQUIT, "{}", ended.stderr);
        assert!(!ended.stderr.contains("CPU 0"), "{}", ended.stderr);
        let reported = std::fs::read(&log).expect("it is there").len();
        assert!(reported > paused, "{machine}: {paused}, {reported}");
        let check = storage::disk::check(&path, Some(format)).expect("it can be read");
        assert_eq!(check.map_or(0, |report| report.corruptions), 0);
        let read_only = DiskOptions { read_only: true, ..DiskOptions::default() };
        let disk = Disk::open(&path, read_only).expect("nobody has it");
        for sector in 1..=reported {
            let mut bytes = [0; 512];
            let read = disk.read(&[VolatileSlice::from(&mut bytes[..])], sector as u64 * 512);
            read.expect("it is there");
            assert_eq!(word(&bytes), sector, "{machine}: of {reported} sectors");
        }
    }
}

#[test]
fn a_dry_run_shows_what_each_disk_is_and_neither_creates_nor_changes_one() {
    let scratch = Scratch::new();
    let [raw, qcow2, new] = ["a.raw", "b", "new.qcow2"].map(|name| scratch.path(name));
    let mib = 1 << 20;
    storage::disk::create(&raw, DiskFormat::Raw, mib).expect("there is room");
    storage::disk::create(&qcow2, DiskFormat::Qcow2, 3 * mib).expect("there is room");
    let before = std::fs::read(&qcow2).expect("it is there");
    let drive = |path: &Path, more: &str| format!("file={},if=virtio{more}", path.display());
    let plan = |drives: &[&str]| {
        let drives = drives.iter().flat_map(|drive| ["-drive", drive]);
        Start::guest("").args(["-dry-run"]).args(drives).run()
    };
    let drives = [drive(&raw, ""), drive(&qcow2, ",size=20M"), drive(&new, ",size=20G")];
    let ended = plan(&drives.each_ref().map(String::as_str));
    assert_eq!(ended.code(), Some(0), "{}", ended.stderr);
    for line in [
        format!("disk          '{}' (1M, raw, writable)", raw.display()),
        format!("disk          '{}' (3M, qcow2, writable)", qcow2.display()),
        format!("disk          '{}' (new, 20G, qcow2, writable)", new.display()),
        format!("the disk {} exists and has 3145728 bytes", qcow2.display()),
    ] {
        assert!(ended.text().contains(&line), "{line}\n{}", ended.text());
    }
    assert!(!new.exists());
    assert!(std::fs::read(&qcow2).expect("it is there") == before);
    let lock = Disk::open(&raw, DiskOptions::default()).expect("nobody has it");
    let ended = plan(&[&drive(&raw, "")]);
    assert_eq!(ended.code(), Some(125));
    assert!(ended.stderr.contains("is in use by "), "{}", ended.stderr);
    drop(lock);
    let twice = drive(&raw, "");
    let ended = plan(&[&twice, &twice]);
    assert_eq!(ended.code(), Some(125));
    assert!(ended.stderr.contains("is in use"), "{}", ended.stderr);
    let missing = drive(&scratch.path("folder/new.raw"), ",size=1G");
    let ended = plan(&[&missing]);
    assert_eq!(ended.code(), Some(125));
    assert!(ended.stderr.contains("create the directory first"), "{}", ended.stderr);
    let blank = drive(&raw, ",readonly=on");
    let ended = plan(&[blank.as_str(); 9]);
    let text = "9 disks requested; -machine microvm has room for 8";
    assert!(ended.stderr.contains(text), "{}", ended.stderr);
}
