mod ahci;
mod cdrom;
mod console;
mod cpu;
mod debug_exit;
mod debugcon;
mod drive;
mod ending;
mod firmware;
mod location;
mod machine;
mod network;
mod network_boot;
mod pc_testdev;
mod pflash;
mod smbios;
mod state;

use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use std::time::Duration;

use ::location::fetch::Settings;

use super::*;
use ::location::Place;
use ::location::remote::Net;
use guest_memory::hint::Hint;

use crate::request::{BootFiles, BootSource, Confinement};
use vmm::config::cpu_model::CpuModel;
use vmm::config::{
    CharBackend, CharFile, Chardev, InterruptKey, KernelProblems, Limits, LostTicks, MapInitrd,
    OnPanic, OnReset, OnWatchdog, RtcBase, SmbiosOptions, Terminal, Trace,
};

fn parse_words(words: &[&str]) -> Result<Invocation, ArgsError> {
    parse(words.iter().map(OsString::from))
}

/// What a whole argv asks for.
fn whole(words: &[&str]) -> Request {
    match parse_words(words) {
        Ok(Invocation::Boot(request)) => *request,
        other => panic!("{words:?}: {other:?}"),
    }
}

/// What `-kernel K` and these words ask for.
fn request(words: &[&str]) -> Request {
    whole(&[&["-kernel", "K"], words].concat())
}

/// The machine that `-kernel K` and these words ask for.
fn config(words: &[&str]) -> VmConfig {
    request(words).vm
}

/// A kernel that is a file of the host, without anything in its initrd.
fn named(kernel: &str, initrd: Option<&str>, cmdline: &[u8]) -> BootSource {
    let local = |path: &str| Place::Local(path.into());
    let files = BootFiles::Named { kernel: local(kernel), initrd: initrd.map(local) };
    boot_source(files, cmdline)
}

/// These files, and nothing else.
fn boot_source(files: BootFiles, cmdline: &[u8]) -> BootSource {
    let (injections, answers_at, cmdline) = (Vec::new(), Vec::new(), cmdline.to_vec());
    let (fetch, checksums) = (Settings::default(), Vec::new());
    BootSource {
        files,
        injections,
        answers_at,
        solaris_answers: None,
        served_at: None,
        served: None,
        location_args: true,
        cmdline,
        fetch,
        checksums,
    }
}

/// The files that `-kernel` and `-initrd` name.
fn files(request: &Request) -> (&Path, Option<&Path>) {
    match &boot(request).files {
        BootFiles::Named { kernel, initrd } => (local(kernel), initrd.as_ref().map(local)),
        found @ (BootFiles::Location { .. } | BootFiles::Disk { .. }) => panic!("{found:?}"),
    }
}

fn local(place: &Place) -> &Path {
    match place {
        Place::Local(path) => path,
        other => panic!("{other:?}"),
    }
}

fn boot(request: &Request) -> &BootSource {
    request.boot.as_ref().expect("a kernel")
}

/// Message and hint of what `-kernel K` and these words give.
fn refusal(words: &[&str]) -> (String, String) {
    message(&[&["-kernel", "K"], words].concat())
}

/// Message and hint of what a whole argv gives.
fn message(words: &[&str]) -> (String, String) {
    let error = parse_words(words).expect_err(&format!("{words:?}"));
    (error.to_string(), error.hint().expect("a hint").into_owned())
}

fn stdio_only() -> [Option<Chardev>; 4] {
    [Some(CharBackend::Stdio.into()), None, None, None]
}

#[test]
fn a_kernel_alone_gets_the_defaults() {
    assert_eq!(
        whole(&["-kernel", "vmlinuz"]),
        Request {
            state: None,
            boot: Some(named("vmlinuz", None, b"")),
            disks: Vec::new(),
            cards: Vec::new(),
            cds: None,
            sata_cds: None,
            cd_net: Net { idle: Duration::from_secs(10), retries: 1, ..Net::default() },
            boot_disk: None,
            flash: Vec::new(),
            confinement: Confinement::Full,
            user: None,
            pid_file: None,
            daemonize: false,
            core_file: None,
            installs_in: None,
            timeline: None,
            warnings: Vec::new(),
            vm: VmConfig {
                name: None,
                uuid: None,
                firmware: None,
                boot_options: BootOptions::default(),
                disk_boot_indices: Vec::new(),
                cd_boot_indices: Vec::new(),
                card_boot_indices: Vec::new(),
                fw_cfg: Vec::new(),
                smbios: SmbiosOptions::default(),
                credentials: Vec::new(),
                debugcon: None,
                debug_exit: None,
                vmcoreinfo: false,
                pc_testdev: false,
                lost_ticks: LostTicks::Delay,
                trace: Trace { fw_cfg: false },
                timestamps: false,
                machine: MachineKind::Microvm,
                map_initrd: MapInitrd::Auto,
                coalesced_console: true,
                memory: 512 << 20,
                cpus: 1,
                cpu: CpuModel::default(),
                serial: stdio_only(),
                terminal: Terminal { interrupt: InterruptKey::GoesToGuest },
                on_reset: OnReset::Reboot,
                on_panic: OnPanic::End,
                limits: Limits::default(),
                gdb: None,
                rng: None,
                virtio_serial: Vec::new(),
                monitors: Vec::new(),
                starts_paused: false,
                fail_on: KernelProblems::default(),
                pvpanic: false,
                watchdog: false,
                on_watchdog: OnWatchdog::Reset,
                record_exits: false,
                rtc: vmm::config::RtcConfig { base: RtcBase::Utc },
            }
        }
    );
}

#[test]
fn kunit_s_argv_is_taken() {
    let words = [
        "-nodefaults",
        "-m",
        "1024",
        "-kernel",
        ".kunit/arch/x86/boot/bzImage",
        "-append",
        "mem=1G console=tty kunit_shutdown=halt console=ttyS0 kunit_shutdown=reboot",
        "-no-reboot",
        "-nographic",
        "-accel",
        "kvm",
        "-accel",
        "hvf",
        "-accel",
        "tcg",
        "-serial",
        "stdio",
    ];
    let request = whole(&words);
    assert_eq!(request.vm.memory, 1 << 30);
    assert_eq!(files(&request).0, Path::new(".kunit/arch/x86/boot/bzImage"));
    assert_eq!(boot(&request).cmdline, words[6].as_bytes());
    assert_eq!(request.vm.serial, stdio_only());
    assert_eq!(request.vm.terminal.interrupt, InterruptKey::EndsChukka);
    assert_eq!(request.vm.on_reset, OnReset::Exit);
}

#[test]
fn boot_utils_argv_is_taken() {
    let request = whole(&[
        "-display",
        "none",
        "-nodefaults",
        "-d",
        "unimp,guest_errors",
        "-append",
        "console=ttyS0 earlycon=uart8250,io,0x3f8",
        "-kernel",
        "bzImage",
        "-initrd",
        "rootfs.cpio",
        "-cpu",
        "host",
        "-enable-kvm",
        "-m",
        "512m",
        "-smp",
        "8",
        "-serial",
        "mon:stdio",
    ]);
    assert_eq!((request.vm.memory, request.vm.cpus), (512 << 20, 8));
    assert_eq!(files(&request).1, Some(Path::new("rootfs.cpio")));
    assert_eq!(request.vm.terminal.interrupt, InterruptKey::GoesToGuest);
}

#[test]
fn an_argv_like_virtme_ng_s_without_its_devices_is_taken() {
    let request = whole(&[
        "-name",
        "virtme-ng@6.12",
        "-m",
        "1G",
        "-machine",
        "accel=kvm:tcg",
        "-M",
        "microvm,accel=kvm,rtc=on",
        "-cpu",
        "host",
        "-parallel",
        "none",
        "-net",
        "none",
        "-vga",
        "none",
        "-display",
        "none",
        "-monitor",
        "none",
        "-smp",
        "2,sockets=1,cores=2",
        "-kernel",
        "bzImage",
        "-no-reboot",
        "-no-user-config",
        "-serial",
        "mon:stdio",
        "-append",
        "earlyprintk=serial,ttyS0,115200 panic=-1",
    ]);
    assert_eq!(request.vm.name.as_deref(), Some("virtme-ng@6.12"));
    assert_eq!((request.vm.memory, request.vm.cpus), (1 << 30, 2));
}

#[test]
fn one_dash_two_dashes_and_equals_are_the_same() {
    let expected = request(&["-append", "a=b", "-m", "1G", "-no-reboot"]);
    assert_eq!(whole(&["--kernel", "K", "--append", "a=b", "--m", "1G", "--no-reboot"]), expected);
    assert_eq!(whole(&["--kernel=K", "--append=a=b", "--m=1G", "--no-reboot"]), expected);
    assert_eq!(whole(&["-kernel=K", "-append=a=b", "-m=1G", "-no-reboot"]), expected);
}

#[test]
fn values_may_look_like_anything() {
    for text in ["-v", "--help", "-help", "--", "-", "--kernel=x", "", " ", "-m", "a,b=c"] {
        assert_eq!(boot(&request(&["-append", text])).cmdline, text.as_bytes());
        assert_eq!(boot(&request(&[&format!("-append={text}")])).cmdline, text.as_bytes());
    }
    assert_eq!(files(&whole(&["-kernel", "-kernel"])).0, Path::new("-kernel"));
}

#[test]
fn paths_and_the_command_line_may_be_any_bytes() {
    let raw = OsString::from_vec(b"k\xff\xfe".to_vec());
    let serial = OsString::from_vec(b"file:log\xff".to_vec());
    let words =
        ["-kernel".into(), raw.clone(), "-append".into(), raw.clone(), "-serial".into(), serial];
    let Ok(Invocation::Boot(request)) = parse(words) else { panic!("refused") };
    assert_eq!(files(&request).0.as_os_str(), raw);
    assert_eq!(boot(&request).cmdline, b"k\xff\xfe");
    let path = OsString::from_vec(b"log\xff".to_vec());
    let file = CharBackend::File(CharFile { path: path.into(), append: false });
    assert_eq!(request.vm.serial[0], Some(file.into()));
    let error = parse(["-kernel".into(), "k".into(), "-m".into(), raw.clone()]).unwrap_err();
    assert_eq!(error.to_string(), "-m \"k\u{fffd}\u{fffd}\": expected text in UTF-8");
    let error = parse([raw]).unwrap_err();
    assert_eq!(error.to_string(), "Found \"k\u{fffd}\u{fffd}\" where an option was expected");
}

#[test]
fn the_last_of_a_repeated_option_counts() {
    let request = request(&[
        "-kernel",
        "b",
        "-initrd",
        "i",
        "-initrd",
        "j",
        "-append",
        "x",
        "-append",
        "y",
        "-cpu",
        "host,-aes",
        "-cpu",
        "max",
        "-m",
        "1G",
        "-m",
        "2G",
        "-smp",
        "8",
        "-smp",
        "2",
        "-name",
        "n",
        "-name",
        "o",
        "-rtc",
        "base=localtime",
        "-rtc",
        "clock=host",
        "-no-reboot",
        "-no-reboot",
        "-nographic",
        "-nographic",
    ]);
    assert_eq!(*boot(&request), named("b", Some("j"), b"y"));
    assert_eq!(
        (request.vm.memory, request.vm.cpus, request.vm.name.as_deref()),
        (2 << 30, 2, Some("o"))
    );
    assert_eq!(request.vm.cpu, CpuModel::default());
    assert_eq!(request.vm.rtc.base, RtcBase::Localtime, "-rtc is merged key by key");
}

#[test]
fn help_and_version_end_the_reading() {
    for word in ["-help", "--help", "-h", "-?"] {
        let Ok(Invocation::Print(text)) = parse_words(&["-m", "512", word, "-nonsense"]) else {
            panic!("{word}")
        };
        assert!(text.starts_with("chukka boots"));
    }
    for word in ["-version", "--version"] {
        let expected = Invocation::Print(format!("chukka {}\n", env!("CARGO_PKG_VERSION")));
        assert_eq!(parse_words(&[word]), Ok(expected));
    }
    assert_eq!(message(&["-nonsense", "-help"]).0, "-nonsense is not an option of chukka");
}

#[test]
fn under_qemu_s_name_help_and_version_begin_with_qemu_s_version() {
    let first = format!("QEMU emulator version 7.2.0 (chukka {})", env!("CARGO_PKG_VERSION"));
    for word in ["-h", "--help", "-version", "--version"] {
        let printed = parse_as(CalledAs::Qemu, [OsString::from(word)]);
        let Ok(Invocation::Print(text)) = printed else { panic!("{word}") };
        assert_eq!(text.lines().next(), Some(first.as_str()), "{word}");
    }
    assert_eq!(first.split_whitespace().nth(3), Some("7.2.0"), "LAVA takes the fourth word");
}

#[test]
fn all_options_that_are_not_here_are_named_at_once() {
    let words = [
        "-fsdev",
        "local,id=a",
        "-append",
        "-numa",
        "-numa",
        "node",
        "-virtfs",
        "local",
        "-numa",
        "x",
    ];
    assert_eq!(refusals(&["-kernel", "K", "-m", "-numa"])[0].split(':').next(), Some("-m -numa"));
    let (text, hint) = refusal(&words);
    assert_eq!(text, "-fsdev, -numa and -virtfs are QEMU options that chukka does not have");
    assert!(hint.starts_with("-fsdev, -virtfs: chukka cannot share directories"), "{hint}");
    assert!(hint.contains("; -numa: chukka's guest memory"), "{hint}");
    assert_eq!(refusal(&["-clock", "x", "-chroot", "/"]).1, "chukka -help lists the options");
}

/// The messages of all errors.
fn refusals(words: &[&str]) -> Vec<String> {
    let error = parse_words(words).expect_err(&format!("{words:?}"));
    error.parts().iter().map(ToString::to_string).collect()
}

/// Each has exactly these errors, in the order of the command line.
#[test]
fn all_errors_are_reported_in_the_order_of_the_command_line() {
    for (words, expected) in [
        (
            "-smp 0 -kernel K -netdev foo,id=n0 -m 5x -device virtio-net,netdev=n0 -cpu nosuch",
            &["-smp 0: expected a number", "-netdev foo: ", "-m 5x: ", "-cpu nosuch: "][..],
        ),
        ("-m 5x", &["-m 5x: ", "There is no kernel to boot"]),
        ("-kernal K -m 5x", &["-kernal is not an option", "-m 5x: "]),
        (
            "-m 5x -kernal K --mem=7 -rtc base=x",
            &["-m 5x: ", "-kernal ", "--mem=7 ", "-rtc base=x"],
        ),
        (
            "-fda a.img -m 5x -snapshot=on",
            &["-fda is a QEMU option", "-m 5x: ", "-snapshot takes no"],
        ),
        ("-kernel K -append", &["-append needs a value"]),
        ("K -m 5x", &["Found \"K\" where", "-m 5x: "]),
        (
            "-kernel K -device foo -serial tty -device bar -fw_cfg x -smbios type=z -serial vc",
            &[
                "-device foo",
                "-serial tty",
                "-device bar",
                "-fw_cfg x",
                "-smbios type=z",
                "-serial vc",
            ],
        ),
        (
            "-kernel K -timeout 0 -vga std -silence x -action panic=x -d int -fail-on all",
            &["-timeout 0", "-vga std", "-silence x", "-action panic=x", "-d int", "-fail-on all"],
        ),
        // The drive with an error is still what the device names.
        (
            "-kernel K -drive if=none,id=d0,cache=no -drive foo=bar -device virtio-blk,drive=d0",
            &["-drive cache=no", "-drive foo=bar"],
        ),
        (
            "-kernel K -device virtio-blk,drive=d9 -drive if=virtio",
            &["-device virtio-blk,drive=d9", "-drive if=virtio: expected a file"],
        ),
        ("-kernel K -chardev file,id=c -device isa-debugcon,chardev=c", &["-chardev file,id=c"]),
        // Whatever the machine is, the network is wrong. What only one of them has may be right.
        (
            "-kernel K -M foo -nic bar -device virtio-net-pci,netdev=n",
            &["-machine foo", "-nic bar"],
        ),
        ("-kernel K -M foo -device ahci -drive if=pflash,file=a", &["-machine foo"]),
        // What firmware there is, or what it could boot, is not known.
        ("-drive if=virtio -boot order=q", &["-drive if=virtio", "-boot order=q"]),
        ("-drive if=virtio -boot order=n", &["-drive if=virtio"]),
        ("-drive if=virtio", &["-drive if=virtio"]),
        ("-nic foo -option-rom r.rom", &["-nic foo"]),
        ("-kernel K -qmp foo -monitor bar -gdb x", &["-qmp foo", "-monitor bar", "-gdb x"]),
        ("-initrd I -m 5x", &["-initrd is only allowed with -kernel", "-m 5x"]),
        (
            "-kernel K -checksum a -checksum b -fetch limit=0 -boot menu=x -credential a",
            &["-checksum a", "-checksum b", "-fetch limit=0", "-boot menu=x", "-credential a"],
        ),
    ] {
        let found = refusals(&words.split(' ').collect::<Vec<_>>());
        let is_expected = |(found, expected): (&String, &&str)| found.contains(*expected);
        assert!(
            found.len() == expected.len() && found.iter().zip(expected).all(is_expected),
            "{words}: {found:#?}"
        );
    }
    let (text, hint) = refusal(&["-m", "5x", "-vga", "std"]);
    assert!(text.starts_with("-m 5x: expected a size") && text.ends_with("no graphics card"));
    assert!(hint.contains("; use -vga none"), "{hint}");
}

#[test]
fn help_fits_the_screen_and_shows_every_option() {
    let text = help::text();
    for line in text.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
    assert!(text.lines().count() < 185);
    for option in &OPTIONS {
        assert!(text.contains(&format!("-{}", option.name)), "{}", option.name);
    }
    for word in [
        "Boot:",
        "Firmware:",
        "Debugging:",
        "Machine:",
        "Console:",
        "Ending:",
        "Other:",
        "Exit status:",
        "  125  ",
    ] {
        assert!(text.contains(word), "{word}");
    }
}

#[test]
fn lists_can_be_asked_for() {
    for (option, word) in [
        ("-cpu", "avx512f"),
        ("-machine", "microvm"),
        ("-M", "microvm"),
        ("-accel", "kvm"),
        ("-M", "\npc  "),
        ("-accel", "\nkvm\n"),
        ("-cpu", "\nx86 max "),
        ("-device", "isa-debug-exit"),
        ("-device", "vmcoreinfo"),
        ("-trace", "fw_cfg"),
    ] {
        let Ok(Invocation::Print(text)) = parse_words(&[option, "help"]) else {
            panic!("{option}")
        };
        assert!(text.contains(word) && text.lines().all(|line| line.len() <= 80), "{text}");
    }
}

#[test]
fn what_is_no_option_is_refused() {
    let (text, hint) = message(&["-kernal", "K"]);
    assert_eq!(text, "-kernal is not an option of chukka");
    assert_eq!(hint, "did you mean -kernel?");
    assert_eq!(message(&["--inird=x"]).1, "did you mean -initrd?");
    assert_eq!(message(&["-nographics"]).1, "did you mean -nographic?");
    assert_eq!(message(&["--"]).0, "-- is not an option of chukka");
    assert_eq!(message(&["-xyzzy"]).1, "chukka -help lists the options");
    let (text, hint) = message(&["disk.img"]);
    assert_eq!(text, "Found \"disk.img\" where an option was expected");
    assert!(hint.ends_with("-bootdisk disk.img"), "{hint}");
    assert!(message(&["vmlinuz"]).1.contains("-kernel vmlinuz"));
    assert!(message(&["x.ISO"]).1.ends_with("-location x.ISO"));
    let (text, hint) = message(&["fetc", "x"]);
    assert_eq!(text, "\"fetc\" is not a command of chukka");
    assert_eq!(hint, "did you mean chukka fetch?");
    assert!(message(&["-no-reboot", "fetc"]).1.contains("-kernel fetc"));
    assert_eq!(
        refusal(&["-append", "console=ttyS0", "quiet"]).0,
        "Found \"quiet\" where an option was expected"
    );
    assert_eq!(message(&["-"]).0, "Found \"-\" where an option was expected");
    assert_eq!(message(&[""]).0, "Found \"\" where an option was expected");
}

#[test]
fn options_of_qemu_s_are_refused_by_name() {
    let (text, hint) = refusal(&["-redir", "tcp:2222::22"]);
    assert_eq!(text, "-redir is a QEMU option that chukka does not have");
    assert_eq!(hint, "it is part of the network: -nic user,hostfwd=…,tftp=DIR,bootfile=FILE");
    assert_eq!(refusal(&["--fda=x"]).0, "-fda is a QEMU option that chukka does not have");
    assert_eq!(refusal(&["-acpitable", "x"]).1, "chukka -help lists the options");
}

#[test]
fn missing_and_unwanted_values_are_refused() {
    assert_eq!(message(&["-kernel"]).0, "-kernel needs a value: -kernel FILE");
    assert_eq!(refusal(&["-M"]).0, "-machine needs a value: -machine TYPE");
    assert_eq!(refusal(&["-nographic=on"]).0, "-nographic takes no value, \"on\" was given");
}

#[test]
fn every_error_has_a_hint() {
    assert_eq!(message(&["-append"]).1, "for an empty value, write -append ''");
    assert_eq!(refusal(&["-no-reboot=1"]).1, "use -no-reboot without a value");
    assert_eq!(refusal(&["-m", "abc"]).1, "chukka -help shows what each option takes");
}

#[test]
fn without_a_kernel_there_is_an_example() {
    let (text, hint) = message(&[]);
    assert_eq!(text, "There is no kernel to boot: -kernel is missing");
    assert_eq!(
        hint,
        "for example: chukka -kernel /boot/vmlinuz -initrd /boot/initrd.img -append console=ttyS0"
    );
    assert_eq!(
        message(&["-initrd", "i"]).0,
        "-initrd is only allowed with -kernel, which is missing"
    );
    assert_eq!(
        message(&["-append", "a"]).0,
        "-append is only allowed with -kernel, which is missing"
    );
    let both = ["-m 0: expected at least 1M", "There is no kernel to boot: -kernel is missing"];
    assert_eq!(refusals(&["-m", "0"]), both, "what is wrong comes first");
    let (text, hint) = message(&["-kernel", ""]);
    assert_eq!(text, "-kernel was given an empty path");
    assert_eq!(hint, "is a shell variable unset? Leave -kernel out or name a file");
    assert_eq!(
        message(&["-bios", "seabios", "-append", "a"]).0,
        "-append is only allowed with -kernel, which is missing"
    );
    assert_eq!(whole(&["-bios", "seabios"]).boot, None);
    assert_eq!(refusal(&["-initrd="]).0, "-initrd was given an empty path");
}
