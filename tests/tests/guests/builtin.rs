//! `-bios builtin`: the firmware of our own, with kernels of ours on this machine and with Debian's
//! where KVM is genuine.

#![expect(clippy::unwrap_used, reason = "this is how a test fails")]

use std::fs::File;
use std::path::PathBuf;

use chukka_tests::assets;
use chukka_tests::job::Job;
use chukka_tests::native::changing::MAPPED;
use chukka_tests::native::image::{BzImage, payload};
use chukka_tests::native::{self, Ended, Input, Scratch, Start};
use chukka_tests::runner::{Guest, Run, Runner};

const BUILTIN: [&str; 2] = ["-bios", "builtin"];
const MACHINES: [&str; 2] = ["microvm", "pc"];
const MIB: u32 = 1 << 20;

// ---- small kernels on this machine
// ------------------------------------------------------------------------------------------------

/// Prints the zero page, the 256 bytes from 0xf0000 on and the 16 from 0xffff0 on, raw; then powers
/// off.
const DUMP: &[u8] = &[
    0x66, 0xba, 0xf8, 0x03, // mov $0x3f8, %dx
    0xb9, 0x00, 0x10, 0x00, 0x00, // mov $0x1000, %ecx
    0xf3, 0x6e, // rep outsb, from %esi: the zero page
    0xbe, 0x00, 0x00, 0x0f, 0x00, // mov $0xf0000, %esi
    0xb9, 0x00, 0x01, 0x00, 0x00, // mov $0x100, %ecx
    0xf3, 0x6e, // rep outsb
    0xbe, 0xf0, 0xff, 0x0f, 0x00, // mov $0xffff0, %esi
    0xb9, 0x10, 0x00, 0x00, 0x00, // mov $0x10, %ecx
    0xf3, 0x6e, // rep outsb
    0x66, 0xba, 0x00, 0x06, // mov $0x600, %dx: microvm's sleep control register
    0xb0, 0x34, // mov $0x34, %al: S5, now
    0xee, // outb
    0x66, 0xba, 0x04, 0x06, // mov $0x604, %dx: pc's PM1 control register
    0x66, 0xb8, 0x00, 0x20, // mov $0x2000, %ax: S5, now
    0x66, 0xef, // outw
    0xf4, 0xeb, 0xfd, // hlt, for ever
];

/// Prints a letter, waits for one on COM1, then resets by the keyboard controller.
const WAIT_AND_RESET: &[u8] = &[
    0x66, 0xba, 0xf9, 0x03, 0xb0, 0x01, 0xee, // interrupt enable: somebody listens
    0x66, 0xba, 0xf8, 0x03, 0xb0, b'!', 0xee, // the letter
    0x66, 0xba, 0xfd, 0x03, // mov $0x3fd, %dx
    0xec, 0xa8, 0x01, // inb; test $1, %al
    0x74, 0xfb, // jz back to inb
    0xb0, 0xfe, 0xe6, 0x64, // mov $0xfe, %al; outb $0x64
    0xf4, 0xeb, 0xfd, // hlt, for ever
];

/// A bzImage whose 32-bit entry is `code`.
fn kernel(scratch: &Scratch, code: &[u8]) -> PathBuf {
    let mut file = BzImage::default().file();
    let start = payload(&file).start;
    file[start..start + code.len()].copy_from_slice(code);
    scratch.file("bzImage", &file)
}

/// What a kernel finds that prints it.
struct Found {
    zero_page: Vec<u8>,
    /// From 0xf0000 on.
    fseg: Vec<u8>,
    /// From 0xffff0 on.
    reset_vector: Vec<u8>,
}

impl Found {
    fn of(ended: &Ended) -> Self {
        assert_eq!((ended.code(), ended.stdout.len()), (Some(0), 0x1110), "{}", ended.stderr);
        let (zero_page, rest) = ended.stdout.split_at(0x1000);
        let (fseg, reset_vector) = rest.split_at(0x100);
        Self { zero_page: zero_page.into(), fseg: fseg.into(), reset_vector: reset_vector.into() }
    }

    fn field(&self, at: usize) -> u32 {
        word(&self.zero_page, at)
    }

    /// The memory map: first byte, size, type.
    fn e820(&self) -> Vec<(u64, u64, u32)> {
        let long = |at| u64::from(self.field(at)) | u64::from(self.field(at + 4)) << 32;
        let entries = (0..usize::from(self.zero_page[0x1e8])).map(|number| 0x2d0 + 20 * number);
        entries.map(|at| (long(at), long(at + 8), self.field(at + 16))).collect()
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn sum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum: u8, byte| sum.wrapping_add(*byte))
}

#[test]
fn a_kernel_finds_what_the_32_bit_boot_protocol_promises() {
    if !native::kvm() {
        return;
    }
    let scratch = Scratch::new();
    let initrd = scratch.file("initrd", &[0x5a; 5000]);
    for machine in MACHINES {
        let start = Start::kernel(&kernel(&scratch, DUMP)).args(BUILTIN);
        let start = start.args(["-m", "64", "-machine", machine, "-append", "hello"]);
        let found = Found::of(&start.args(["-initrd".as_ref(), initrd.as_path()]).run());

        assert_eq!(found.zero_page[..0x70], [0; 0x70], "nothing of a screen");
        assert_eq!(found.zero_page[0x1e9..0x1f1], [0; 8], "the sentinel is 0");
        assert_eq!(found.zero_page[0x202..0x206], *b"HdrS");
        assert_eq!(found.zero_page[0x210], 0xb0, "type_of_loader, as published");
        assert_eq!(found.field(0x214), 16 * MIB, "code32_start: its preferred address");
        assert_eq!((found.field(0x228), found.field(0x21c)), (0x20000, 5000));
        let header_end = 0x202 + usize::from(found.zero_page[0x201]);
        assert!(found.zero_page[header_end..0x2d0].iter().all(|byte| *byte == 0));

        let map = found.e820();
        let tables = map.iter().find(|entry| entry.0 + entry.1 == u64::from(64 * MIB)).unwrap();
        let top = u32::try_from(tables.0).unwrap();
        assert_eq!((tables.2, top % 4096), (2, 0), "tables are reserved, in whole pages");
        assert_eq!(map.first(), Some(&(0xfeff_c000, 0x4000, 2)), "KVM's pages, as published");
        assert_eq!(map[1..3], [(0, 0x9_fc00, 1), (0x9_fc00, 0x6_0400, 2)]);
        assert_eq!(map[3], (MIB.into(), (top - MIB).into(), 1));
        assert_eq!(map.last(), Some(&(0xffff_f000, 0x1000, 2)), "the ROM");
        assert_eq!(map.len(), 6);
        assert_eq!(found.field(0x218), top - 2 * 4096, "the initrd, right below");

        assert_eq!(found.field(0x70), 0xf_0000, "acpi_rsdp_addr");
        let rsdp = &found.fseg[..36];
        assert_eq!((&rsdp[..8], sum(&rsdp[..20]), sum(rsdp)), (&b"RSD PTR "[..], 0, 0));
        assert!(word(rsdp, 24) >= top && word(rsdp, 28) == 0, "the XSDT is among the tables");
        let entry = &found.fseg[48..48 + 31];
        assert_eq!((&entry[..4], sum(&entry[16..]), sum(entry)), (&b"_SM_"[..], 0, 0));
        assert!(word(entry, 24) >= top, "and so are SMBIOS's");
        assert_eq!(found.reset_vector[..6], [0xba, 0xf9, 0x0c, 0xb0, 0x06, 0xee], "0xcf9");
    }
}

#[test]
fn ram_above_4_gib_is_published() {
    if !native::kvm() {
        return;
    }
    let scratch = Scratch::new();
    let found =
        Found::of(&Start::kernel(&kernel(&scratch, DUMP)).args(BUILTIN).args(["-m", "6G"]).run());
    let map = found.e820();
    assert!(map.contains(&(1 << 32, 3 << 30, 1)), "{map:x?}");
    assert!(map.iter().any(|entry| entry.0 + entry.1 == 0xc000_0000 && entry.2 == 2), "{map:x?}");
}

#[test]
fn without_a_kernel_it_says_so_and_ends_with_125_even_without_a_serial_port() {
    if !native::kvm() {
        return;
    }
    for (serial, said) in [("stdio", "chukka builtin: kernel: fw_cfg has none\r\n"), ("none", "")] {
        let ended =
            native::start(BUILTIN).args(["-nodefaults", "-serial", serial, "-m", "64"]).run();
        assert_eq!((ended.code(), &*ended.text()), (Some(125), said), "{ended:?}");
        let verdict = "chukka: the firmware could not boot: kernel: fw_cfg has none (after ";
        assert!(ended.stderr.starts_with(verdict), "{ended:?}");
        assert!(ended.stderr.contains("\nhint: it boots the kernel of -kernel;"), "{ended:?}");
    }
}

#[test]
fn a_kernel_that_is_cut_short_before_a_reboot_is_a_dma_error() {
    if !native::kvm() {
        return;
    }
    let scratch = Scratch::new();
    let kernel = kernel(&scratch, WAIT_AND_RESET);
    let start = Start::kernel(&kernel).args(BUILTIN).args(["-m", "64", "-nographic"]);
    let mut chukka = start.input(Input::Pipe).start();
    chukka.wait_for("!");
    File::options().write(true).open(&kernel).unwrap().set_len(4096).unwrap();
    chukka.send(b"x");
    let ended = chukka.wait();
    assert_eq!(ended.code(), Some(125), "{ended:?}");
    assert_eq!(ended.text(), "!chukka builtin: kernel: fw_cfg DMA error\r\n");
    assert!(
        ended.stderr.contains("the firmware could not boot: kernel: fw_cfg DMA error"),
        "{ended:?}"
    );
}

#[test]
fn too_little_memory_is_refused_before_it_starts() {
    let scratch = Scratch::new();
    let kernel = kernel(&scratch, DUMP);
    Start::kernel(&kernel)
        .args(BUILTIN)
        .args(["-m", "20"])
        .refused()
        .says("of guest memory to start")
        .hints("-m 25M");
}

#[test]
fn a_file_of_that_name_is_reached_by_its_path() {
    let scratch = Scratch::new();
    let path = scratch.file("builtin", &[0xff; 65536]);
    let start = native::start(["-bios".as_ref(), path.as_os_str()]);
    start.refused().says("has no reset vector").hints("not a complete firmware image");
}

// ---- Debian's kernels
// ---------------------------------------------------------------------------------------------------------------

fn boots(runner: &Runner, guest: Guest) -> Run {
    let run = guest.args(BUILTIN).does("info").timeout_secs(240).run(runner);
    run.assert_userspace().assert_exit(0).assert_stderr("chukka: the guest powered off (after ");
    run
}

#[test]
fn the_cloud_kernel_boots_in_128_mib() {
    let Some(runner) = Runner::get() else { return };
    for machine in MACHINES {
        let run = boots(runner, Guest::new().memory("128M").args(["-machine", machine]));
        run.assert(run.info("nproc").as_deref() == Some("1"), "one CPU");
        let warnings = run.section("warnings").unwrap_or_default();
        run.assert(!warnings.contains("irmware"), &format!("none is of the firmware: {warnings}"));
        run.assert(!warnings.contains("mtrr"), &format!("none is of the MTRRs: {warnings}"));
    }
}

#[test]
fn a_vmlinux_is_entered_by_pvh() {
    let Some(runner) = Runner::get() else { return };
    let Some(kernel) = assets::or_skip(assets::cloud()) else { return };
    let run = boots(runner, Guest::new().kernel(&kernel.vmlinux).memory("256M"));
    let acpi = run.section("acpi").unwrap_or_default();
    run.assert(acpi.lines().any(|line| line == "FACP"), "ACPI tables");
}

#[test]
fn the_generic_kernel_finds_4_cpus_and_6_gib() {
    let Some(runner) = Runner::get() else { return };
    let Some(kernel) = assets::or_skip(assets::generic()) else { return };
    for machine in MACHINES {
        let guest = Guest::new().kernel(&kernel.vmlinuz).memory("6G");
        let run = boots(runner, guest.args(["-smp", "4", "-machine", machine]));
        run.assert(run.info("nproc").as_deref() == Some("4"), "four CPUs");
        let memory = run.info("memtotal_kib").and_then(|text| text.parse().ok()).unwrap_or(0u64);
        run.assert((5800 << 10..=6144 << 10).contains(&memory), "MemTotal near 6 GiB");
        let warnings = run.section("warnings").unwrap_or_default();
        run.assert(!warnings.contains("mtrr"), &format!("all CPUs agree: {warnings}"));
    }
}

#[test]
fn the_installer_starts_with_its_40_mb_initrd() {
    let Some(runner) = Runner::get() else { return };
    let Some(installer) = assets::or_skip(assets::installer()) else { return };
    const FIRST: &str = "Starting system log daemon: syslogd, klogd.";
    let guest = Guest::new().kernel(&installer.linux).initrd(&installer.initrd).memory("512");
    let guest = guest.append("priority=low DEBIAN_FRONTEND=text").args(BUILTIN);
    let quit = chukka_tests::job::Act::Send(b"\x01x".to_vec());
    let guest = guest.with(|job| job.terminal()).when(FIRST, quit).timeout_secs(240);
    guest.run(runner).assert_stdout(FIRST).assert_exit(0);
}

/// Linux unpacks its initrd some time after its first words: here the file is overwritten in
/// between, and Linux finds it whole. By the built-in firmware, and by a direct boot beside it.
#[test]
fn linux_unpacks_an_initrd_that_was_rewritten_meanwhile() {
    let Some(runner) = Runner::get() else { return };
    for words in [&BUILTIN[..], &[]] {
        // The console says how far Linux has come, so its bytes must come at once.
        let now = ["-machine", "x-coalesced-console=off"];
        let guest = Guest::new().verbose().memory("256M").args(words.iter().copied());
        let guest = guest.args(MAPPED).args(now);
        let job = guest.append("earlyprintk=ttyS0").does("info").timeout_secs(240).job().unwrap();
        let at = job.command.iter().position(|word| word == "-initrd").unwrap() + 1;
        let mut command = job.command.clone();
        let initrd = std::mem::replace(&mut command[at], "big".into());
        let quoted: Vec<String> = command.iter().map(|word| format!("'{word}'")).collect();
        // Zeros after an archive mean nothing; with them it is big enough to be mapped. What an
        // earlier guest has printed must not be taken for this one's.
        let line = format!(
            "cd /tmp && rm -f out && cp '{initrd}' big && dd if=/dev/zero bs=1M count=20 >>big 2>/dev/null
            {} >out 2>err & chukka=$!
            until grep -qs 'Linux version' out || ! kill -0 $chukka; do sleep 0.05; done
            grep -q ' rw-p .*/big' /proc/$chukka/maps && echo it is mapped
            dd if=/dev/zero of=big bs=1M count=10 conv=notrunc 2>/dev/null && echo it is rewritten
            grep -q 'guest: userspace' out || echo and Linux has not come to it
            wait $chukka; status=$?; cat out; cat err >&2; rm big; exit $status",
            quoted.join(" ")
        );
        let run = runner.run(&Job { command: Job::shell(&line).command, ..job });
        run.assert_stdout("it is mapped").assert_stdout("it is rewritten");
        run.assert_stdout("and Linux has not come to it").assert_userspace().assert_exit(0);
    }
}

#[test]
fn a_guest_reboots_three_times_through_the_reset_vector_below_1_mib() {
    let Some(runner) = Runner::get() else { return };
    // The boots are counted in the year of the RTC, which a reset leaves alone and the kernel sets
    // its clock by.
    let count = "year=$(date +%Y); [ $year -gt 2003 ] && year=2000; echo boot number $((year - 1999)); \
        [ $year -eq 2003 ] && exit; date -s $((year + 1))-06-01 >/dev/null; hwclock -u -w; reboot -f";
    for machine in MACHINES {
        let guest = Guest::new().reboots().args(BUILTIN).args(["-machine", machine]);
        let run = guest.append("reboot=bios").shell(count).timeout_secs(300).run(runner);
        run.assert(run.boots() == 4, "four boots").assert_stdout("boot number 4");
        run.assert_exit(0).assert_stderr("the guest powered off");
    }
}
