//! Which disk, CD or network card SeaBIOS boots: the boot order, boot indices, and what `-boot`
//! says.

mod network;
mod remote_cd;
mod sata;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use chukka_tests::assets;
use chukka_tests::native::{self, Chukka, Ended, Scratch, guest};

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

/// Bytes of a CD's block.
const BLOCK: usize = 2048;

/// A CD that boots by El Torito, without emulation: `code` prints the name of four letters in block
/// 21, and the drive's number.
fn bootable_cd(name: &str, code: &[u8]) -> Vec<u8> {
    bootable_cd_of(24, 21, name, code)
}

/// The same with this number of blocks, and the name in block `at`.
fn bootable_cd_of(blocks: usize, at: u16, name: &str, code: &[u8]) -> Vec<u8> {
    let mut cd = vec![0; blocks * BLOCK];
    let mut put = |block: usize, at: usize, bytes: &[u8]| {
        cd[block * BLOCK + at..][..bytes.len()].copy_from_slice(bytes);
    };
    put(16, 0, b"\x01CD001");
    put(17, 0, b"\0CD001\x01EL TORITO SPECIFICATION");
    put(17, 0x47, &[19]); // the block of the boot catalog
    put(18, 0, b"\xffCD001\x01");
    put(19, 0, &[1]); // validation entry
    put(19, 0x1e, &[0x55, 0xaa]);
    put(19, 0x20, &[0x88, 0, 0, 0, 0, 0, 4, 0, 20]); // four sectors of 512 bytes, from block 20
    put(20, 0, code);
    put(20, 0x80, &[16, 0, 1, 0, 0, 0x80, 0, 0]);
    put(20, 0x88, &at.to_le_bytes());
    put(at.into(), 0, name.as_bytes());
    cd
}

/// The boot sector, which resets the machine by port 0xcf9 instead of ending it.
fn resetting() -> Vec<u8> {
    let mut code = BOOT_SECTOR.to_vec();
    code[29] = 6;
    code.splice(34..37, [0xba, 0xf9, 0x0c]);
    code
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

    /// This CD was booted: SeaBIOS numbers them from 0xe0 (`EXTSTART_CD`, src/block.h).
    #[track_caller]
    fn assert_booted_cd(&self, name: &str) -> &Self {
        let printed = [name.as_bytes(), b"\xe0"].concat();
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

/// The same, and what chukka says of itself is left as it is: the image, and what a reset does.
fn boots_by_default(files: &[(&str, Vec<u8>)], words: &[&str]) -> Option<Boot> {
    if !native::kvm() {
        return None;
    }
    for image in [MICROVM, PC] {
        assets::or_skip(assets::firmware(image))?;
    }
    let scratch = Scratch::new();
    for (name, content) in files {
        let _ = scratch.file(name, content);
    }
    Some(boot_with(&[], &scratch, words))
}

fn boot(image: &Path, scratch: &Scratch, words: &[&str]) -> Boot {
    let image = image.to_str().expect("a path that is text");
    boot_with(&["-no-reboot", "-bios", image], scratch, words)
}

fn boot_with(options: &[&str], scratch: &Scratch, words: &[&str]) -> Boot {
    let (chukka, log) = start_with(options, scratch, words);
    let ended = chukka.wait_within(LIMIT);
    Boot { ended, log: std::fs::read(&log).unwrap_or_default() }
}

/// Starts a machine, whose log goes to the file.
fn start_with(options: &[&str], scratch: &Scratch, words: &[&str]) -> (Chukka, PathBuf) {
    let log: PathBuf = scratch.path("log");
    let chardev = format!("file,id=log,path={}", log.display());
    let folder = scratch.path("");
    let words = words.iter().map(|word| word.replace('@', &folder.to_string_lossy()));
    let debug = ["isa-debugcon,iobase=0x402,chardev=log", "isa-debug-exit,iobase=0xf4,iosize=4"];
    // The image for pc waits for timer ticks in its menu and before it retries. With the policy
    // `delay`, an emulated KVM on a busy host can lose the acknowledgement of a tick, and then
    // sends no more.
    let ticks = ["-global", "kvm-pit.lost_tick_policy=discard"];
    let chukka = native::start(["-m", "64", "-nographic", "-chardev", &chardev])
        .args(ticks)
        .args(["-device", debug[0], "-device", debug[1]])
        .args(options)
        .args(words);
    (chukka.start(), log)
}

/// SeaBIOS's log up to this text, where the machine is ended. `None`: this machine cannot run it.
fn log_until(text: &str, image: &str, files: &[(&str, Vec<u8>)], words: &[&str]) -> Option<String> {
    if !native::kvm() {
        return None;
    }
    let image = assets::or_skip(assets::firmware(image))?;
    let scratch = Scratch::new();
    for (name, content) in files {
        let _ = scratch.file(name, content);
    }
    let image = image.to_str().expect("a path that is text");
    let (chukka, path) = start_with(&["-bios", image], &scratch, words);
    let end = Instant::now() + LIMIT;
    let log = loop {
        let log = String::from_utf8_lossy(&std::fs::read(&path).unwrap_or_default()).into_owned();
        if log.contains(text) {
            break log;
        }
        assert!(Instant::now() < end, "{text:?} is not in {log}");
        std::thread::sleep(Duration::from_millis(10));
    };
    chukka.signal(libc::SIGTERM);
    let _ = chukka.wait_within(LIMIT);
    Some(log)
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
    // It is not awaited that SeaBIOS resets the machine. This image counts time from the TSC, and
    // its clock stands still while bit 31 of that is set (`clock_poll_irq`, src/clock.c). KVM
    // starts the TSC at 0, but an emulated one can show the host's: minutes would pass.
    let last = "No bootable device.  Retrying in 0 seconds.";
    let Some(log) = log_until(last, MICROVM, &[("iso", iso)], &words) else { return };
    assert!(log.contains("Boot failed: not a bootable disk"), "{log}");
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

#[test]
fn a_cd_is_booted_where_the_disk_is_empty() {
    let files = [("cd", bootable_cd("cd1.", &BOOT_SECTOR)), ("empty", vec![0; 1 << 20])];
    let Some(boot) = boots_by_default(&files, &["-cdrom", "@cd", "-hda", "@empty"]) else { return };
    boot.assert_logged("Boot failed: not a bootable disk").assert_booted_cd("cd1.");
}

/// QEMU's order is disk first; `once=d` is for an installer that reboots into what it has
/// installed.
#[test]
fn once_boots_the_cd_the_first_time_and_the_disk_from_then_on() {
    let files = [("cd", bootable_cd("cd1.", &resetting())), ("disk", bootable("disk"))];
    let words = ["-M", "pc", "-cdrom", "@cd", "-hda", "@disk", "-boot", "once=d"];
    let Some(boot) = boots_by_default(&files, &words) else { return };
    let from_cd = boot.log.windows(5).any(|printed| printed == b"cd1.\xe0");
    assert!(from_cd, "the CD was not booted: {}", boot.text());
    boot.assert_booted("disk");
}

#[test]
fn a_cd_has_a_boot_index_on_microvm() {
    let files = [("cd", bootable_cd("cd1.", &BOOT_SECTOR)), ("one.", bootable("one."))];
    let cd = ["-drive", "file=@cd,media=cdrom,if=none,id=cd", "-device", "virtio-scsi", "-device"];
    let cd = [&cd[..], &["scsi-cd,drive=cd,bootindex=1"]].concat();
    let disk = drive("one.", 2);
    let words = [&strs(&disk)[..], &cd].concat();
    let Some(boot) = boots(PC, &files, &words) else { return };
    boot.assert_booted_cd("cd1.")
        .assert_logged("1: /virtio-mmio@00000000feb00200/channel@0/disk@0,0")
        .assert_logged("2: /virtio-mmio@00000000feb00000/disk@0,0");
}

/// The second of two drives, and no other device: the order is strict.
#[test]
fn cds_and_disks_have_boot_indices_on_pc() {
    let files = [
        ("cd1", bootable_cd("cd1.", &BOOT_SECTOR)),
        ("cd2", bootable_cd("cd2.", &BOOT_SECTOR)),
        ("one.", bootable("one.")),
        ("two.", bootable("two.")),
    ];
    let cds = ["-cdrom", "@cd1", "-drive", "@cd2,media=cdrom,if=none,id=cd2", "-device"];
    let order = |disks: [u32; 2], cd: u32| {
        let device = format!("scsi-cd,drive=cd2,bootindex={cd}");
        let words = [&drive("one.", disks[0])[..], &drive("two.", disks[1])].concat();
        let words: Vec<_> = words.into_iter().chain(cds.map(String::from)).collect();
        [&words[..], &[device, "-M".into(), "pc".into()]].concat()
    };
    let Some(boot) = boots(PC, &files, &strs(&order([3, 2], 4))) else { return };
    boot.assert_booted("two.");
    let words = [&order([3, 2], 1)[..], &["-boot".into(), "strict=on".into()]].concat();
    let Some(boot) = boots(PC, &files, &strs(&words)) else { return };
    boot.assert_logged("1: /pci@i0cf8/scsi@6/channel@0/disk@1,0")
        .assert_logged("2: /pci@i0cf8/scsi@5/disk@0,0")
        .assert_logged("3: /pci@i0cf8/scsi@4/disk@0,0");
    // The only CD that SeaBIOS sets up.
    boot.assert_booted_cd("cd2.");
}
