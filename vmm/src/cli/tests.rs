use std::borrow::Cow;
use std::os::unix::ffi::OsStringExt;

use super::*;
use crate::config::{InterruptKey, MachineKind, RtcBase, SerialBackend, Terminal};
use crate::cpu_model::{CpuModel, Register};

fn parse_words(words: &[&str]) -> Result<Command, CliError> {
    parse(words.iter().map(OsString::from))
}

/// The configuration that a whole argv gives.
fn whole(words: &[&str]) -> VmConfig {
    match parse_words(words) {
        Ok(Command::Run(config)) => *config,
        other => panic!("{words:?}: {other:?}"),
    }
}

/// The configuration that `-kernel K` and these words give.
fn config(words: &[&str]) -> VmConfig {
    whole(&[&["-kernel", "K"], words].concat())
}

/// Message and hint of what `-kernel K` and these words give.
fn refusal(words: &[&str]) -> (String, String) {
    message(&[&["-kernel", "K"], words].concat())
}

/// Message and hint of what a whole argv gives.
fn message(words: &[&str]) -> (String, String) {
    let error = parse_words(words).expect_err(&format!("{words:?}"));
    (error.to_string(), error.hint().map(Cow::into_owned).expect("a hint"))
}

fn stdio_only() -> [SerialBackend; 4] {
    [SerialBackend::Stdio, SerialBackend::None, SerialBackend::None, SerialBackend::None]
}

#[test]
fn a_kernel_alone_gets_the_defaults() {
    assert_eq!(
        whole(&["-kernel", "vmlinuz"]),
        VmConfig {
            name: None,
            uuid: None,
            boot: BootSource { kernel: "vmlinuz".into(), initrd: None, cmdline: Vec::new() },
            machine: MachineKind::Microvm,
            memory: 512 << 20,
            cpus: 1,
            cpu: CpuModel { switches: Vec::new(), kvm: true },
            serial: stdio_only(),
            terminal: Terminal { interrupt: InterruptKey::GoesToGuest },
            on_reset: OnReset::Reboot,
            rtc: crate::config::RtcConfig { base: RtcBase::Utc },
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
    let config = whole(&words);
    assert_eq!(config.memory, 1 << 30);
    assert_eq!(config.boot.kernel, PathBuf::from(".kunit/arch/x86/boot/bzImage"));
    assert_eq!(config.boot.cmdline, words[6].as_bytes());
    assert_eq!(config.serial, stdio_only());
    assert_eq!(config.terminal.interrupt, InterruptKey::EndsChukka);
    assert_eq!(config.on_reset, OnReset::Exit);
}

#[test]
fn boot_utils_argv_is_taken() {
    let config = whole(&[
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
    assert_eq!((config.memory, config.cpus), (512 << 20, 8));
    assert_eq!(config.boot.initrd, Some("rootfs.cpio".into()));
    assert_eq!(config.terminal.interrupt, InterruptKey::GoesToGuest);
}

#[test]
fn an_argv_like_virtme_ng_s_without_its_devices_is_taken() {
    let config = whole(&[
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
    assert_eq!(config.name.as_deref(), Some("virtme-ng@6.12"));
    assert_eq!((config.memory, config.cpus), (1 << 30, 2));
}

#[test]
fn one_dash_two_dashes_and_equals_are_the_same() {
    let expected = config(&["-append", "a=b", "-m", "1G", "-no-reboot"]);
    assert_eq!(whole(&["--kernel", "K", "--append", "a=b", "--m", "1G", "--no-reboot"]), expected);
    assert_eq!(whole(&["--kernel=K", "--append=a=b", "--m=1G", "--no-reboot"]), expected);
    assert_eq!(whole(&["-kernel=K", "-append=a=b", "-m=1G", "-no-reboot"]), expected);
}

#[test]
fn values_may_look_like_anything() {
    for text in ["-v", "--help", "-help", "--", "-", "--kernel=x", "", " ", "-m", "a,b=c"] {
        assert_eq!(config(&["-append", text]).boot.cmdline, text.as_bytes());
        assert_eq!(config(&[&format!("-append={text}")]).boot.cmdline, text.as_bytes());
    }
    assert_eq!(whole(&["-kernel", "-kernel"]).boot.kernel, PathBuf::from("-kernel"));
}

#[test]
fn paths_and_the_command_line_may_be_any_bytes() {
    let raw = OsString::from_vec(b"k\xff\xfe".to_vec());
    let serial = OsString::from_vec(b"file:log\xff".to_vec());
    let words =
        ["-kernel".into(), raw.clone(), "-append".into(), raw.clone(), "-serial".into(), serial];
    let Ok(Command::Run(config)) = parse(words) else { panic!("refused") };
    assert_eq!(config.boot.kernel.into_os_string(), raw);
    assert_eq!(config.boot.cmdline, b"k\xff\xfe");
    let path = OsString::from_vec(b"log\xff".to_vec());
    assert_eq!(config.serial[0], SerialBackend::File(path.into()));
    let error = parse(["-m".into(), raw.clone()]).unwrap_err();
    assert_eq!(error.to_string(), "-m \"k\u{fffd}\u{fffd}\": expected text in UTF-8");
    let error = parse([raw]).unwrap_err();
    assert_eq!(error.to_string(), "Found \"k\u{fffd}\u{fffd}\" where an option was expected");
}

#[test]
fn the_last_of_a_repeated_option_counts() {
    let config = config(&[
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
    assert_eq!(
        config.boot,
        BootSource { kernel: "b".into(), initrd: Some("j".into()), cmdline: b"y".to_vec() }
    );
    assert_eq!((config.memory, config.cpus, config.name.as_deref()), (2 << 30, 2, Some("o")));
    assert_eq!(config.cpu, CpuModel::default());
    assert_eq!(config.rtc.base, RtcBase::Localtime, "-rtc is merged key by key");
}

#[test]
fn help_and_version_end_the_reading() {
    for word in ["-help", "--help", "-h", "-?"] {
        let Ok(Command::Help(text)) = parse_words(&["-m", "512", word, "-nonsense"]) else {
            panic!("{word}")
        };
        assert!(text.starts_with("chukka boots"));
    }
    for word in ["-version", "--version"] {
        let expected = Command::Version(format!("chukka {}\n", env!("CARGO_PKG_VERSION")));
        assert_eq!(parse_words(&[word]), Ok(expected));
    }
    assert_eq!(message(&["-nonsense", "-help"]).0, "-nonsense is not an option of chukka");
}

#[test]
fn help_fits_the_screen_and_shows_every_option() {
    let text = help::text();
    for line in text.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
    assert!(text.lines().count() < 75);
    for option in &options::OPTIONS {
        assert!(text.contains(&format!("-{}", option.name)), "{}", option.name);
    }
    for word in ["Boot:", "Machine:", "Console:", "Ending:", "Other:", "Exit status:", "  125  "] {
        assert!(text.contains(word), "{word}");
    }
}

#[test]
fn lists_can_be_asked_for() {
    for (option, word) in
        [("-cpu", "avx512f"), ("-machine", "microvm"), ("-M", "microvm"), ("-accel", "kvm")]
    {
        let Ok(Command::Help(text)) = parse_words(&[option, "help"]) else { panic!("{option}") };
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
    assert_eq!(message(&["-xyzzy"]).1, "chukka -help lists the options there are");
    let (text, hint) = message(&["disk.img"]);
    assert_eq!(text, "Found \"disk.img\" where an option was expected");
    assert!(hint.contains("-kernel disk.img"), "{hint}");
    assert_eq!(
        refusal(&["-append", "console=ttyS0", "quiet"]).0,
        "Found \"quiet\" where an option was expected"
    );
    assert_eq!(message(&["-"]).0, "Found \"-\" where an option was expected");
    assert_eq!(message(&[""]).0, "Found \"\" where an option was expected");
}

#[test]
fn options_of_qemu_s_are_refused_by_name() {
    let (text, hint) = refusal(&["-netdev", "user,id=n0"]);
    assert_eq!(text, "-netdev is a QEMU option that chukka does not have");
    assert_eq!(hint, "chukka has no network: leave it out");
    assert_eq!(refusal(&["--drive=file=x"]).0, "-drive is a QEMU option that chukka does not have");
    assert_eq!(refusal(&["-s"]).1, "chukka has no debugger stub yet");
    assert_eq!(refusal(&["-smbios", "type=1"]).1, "chukka -help lists the options there are");
}

#[test]
fn missing_and_unwanted_values_are_refused() {
    assert_eq!(
        message(&["-kernel"]).0,
        "-kernel is the last argument, it needs a value: -kernel FILE"
    );
    assert_eq!(
        refusal(&["-M"]).0,
        "-machine is the last argument, it needs a value: -machine TYPE"
    );
    assert_eq!(refusal(&["-nographic=on"]).0, "-nographic takes no value, \"on\" was given");
}

#[test]
fn every_error_has_a_hint() {
    assert_eq!(message(&["-append"]).1, "if the value is empty on purpose, say so: -append ''");
    assert_eq!(refusal(&["-no-reboot=1"]).1, "say -no-reboot alone");
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
    assert_eq!(message(&["-m", "0"]).0, "-m 0: expected at least 1M", "what is wrong comes first");
    let (text, hint) = message(&["-kernel", ""]);
    assert_eq!(text, "-kernel was given an empty path");
    assert_eq!(hint, "is a shell variable unset? Leave -kernel out or name a file");
    assert_eq!(refusal(&["-initrd="]).0, "-initrd was given an empty path");
}

#[test]
fn memory_takes_qemu_s_sizes() {
    for (value, bytes) in [
        ("512", 512 << 20),
        ("2G", 2 << 30),
        ("2g", 2 << 30),
        ("1.5G", 3 << 29),
        ("1", 1 << 20),
        ("size=1G", 1 << 30),
        ("size=1G,slots=0", 1 << 30),
        ("1G,maxmem=1024M", 1 << 30),
        ("1048577B", (1 << 20) + 4096),
        ("1T", 1 << 40),
    ] {
        assert_eq!(config(&["-m", value]).memory, bytes, "{value}");
    }
}

#[test]
fn memory_that_cannot_be_is_refused() {
    let size = "expected a size such as 512 (MiB), 512M, 2G or 1.5G, below 2^64 bytes";
    for value in [
        "",
        "abc",
        "-5",
        "512mm",
        "2GiB",
        "512.5",
        "0x10",
        "16E",
        "18446744073709551615B",
        "size=",
        "1 G",
    ] {
        assert_eq!(refusal(&["-m", value]).0, format!("-m {value}: {size}"));
    }
    let (text, hint) = refusal(&["-m", "0"]);
    assert_eq!(text, "-m 0: expected at least 1M");
    assert_eq!(hint, "a Debian kernel wants 128M and more, its installer 512M");
    assert_eq!(refusal(&["-m", "512k"]).0, "-m 512k: expected at least 1M");
    assert_eq!(refusal(&["-m", "1G,slots=2"]).0, "-m slots=2: chukka cannot plug memory in later");
    assert_eq!(
        refusal(&["-m", "1G,maxmem=4G"]).0,
        "-m maxmem=4G: chukka cannot plug memory in later"
    );
    assert_eq!(refusal(&["-m", "1G,maxmem"]).0, "-m maxmem: expected a value: maxmem=…");
    assert_eq!(refusal(&["-m", "1G,foo=1"]).0, "-m foo=1: expected size=SIZE");
}

#[test]
fn cpus_are_counted_as_qemu_counts_them() {
    for (value, cpus) in [
        ("4", 4),
        ("64", 64),
        ("cpus=4", 4),
        ("cpus=4,sockets=1,cores=4,threads=1,maxcpus=4", 4),
        ("4,sockets=2", 4),
        ("4,cores=2", 4),
        ("4,threads=2", 4),
        ("4,sockets=1,cores=2", 4),
        ("4,dies=1,clusters=1", 4),
        ("8,dies=2,cores=2,threads=2,sockets=1", 8),
        ("cores=4", 4),
        ("sockets=2,cores=2", 4),
        ("maxcpus=2", 2),
    ] {
        assert_eq!(config(&["-smp", value]).cpus, cpus, "{value}");
    }
}

#[test]
fn cpus_that_cannot_be_are_refused() {
    assert_eq!(refusal(&["-smp", "0"]).1, "a guest has one CPU at least: -smp 1");
    assert_eq!(refusal(&["-smp", "65"]).1, "the machine has room for 64 CPUs: -smp 64");
    assert_eq!(refusal(&["-smp", "0"]).0, "-smp 0: expected a number, 1 to 64 CPUs in all");
    assert_eq!(refusal(&["-smp", "abc"]).0, "-smp abc: expected a number, 1 to 64 CPUs in all");
    assert_eq!(refusal(&["-smp", ""]).0, "-smp : expected a number, 1 to 64 CPUs in all");
    assert_eq!(refusal(&["-smp", "99999999999999999999"]).0[..5], *"-smp ");
    assert_eq!(refusal(&["-smp", "65"]).0, "-smp 65: expected 1 to 64 CPUs");
    assert_eq!(
        refusal(&["-smp", "sockets=16,cores=16"]).0,
        "-smp sockets=16,cores=16: expected 1 to 64 CPUs"
    );
    assert_eq!(
        refusal(&["-smp", "4,sockets=3,cores=1,threads=1"]),
        (
            "-smp 4,sockets=3,cores=1,threads=1: expected sockets × cores × threads to be 4, \
             they are 3 × 1 × 1 = 3"
                .into(),
            "-smp N alone is enough".into()
        )
    );
    assert_eq!(
        refusal(&["-smp", "2,maxcpus=4"]),
        (
            "-smp 2,maxcpus=4: chukka cannot plug CPUs in later".into(),
            "leave maxcpus out, or say maxcpus=2".into()
        )
    );
    assert_eq!(
        refusal(&["-smp", "4,foo=1"]).0,
        "-smp foo=1: expected cpus=, sockets=, dies=, cores=, threads= or maxcpus="
    );
    for huge in [
        "1024,sockets=1024,cores=1024,threads=1024,dies=1024",
        "dies=1024,clusters=1024",
        "1,sockets=1024",
    ] {
        assert!(refusal(&["-smp", huge]).0.starts_with("-smp "), "{huge}");
    }
}

#[test]
fn accelerators_count_when_kvm_is_among_them() {
    for words in [
        &["-accel", "kvm"][..],
        &["-accel", "tcg", "-accel", "kvm"],
        &["-accel", "tcg,thread=multi", "-accel", "kvm,kernel-irqchip=on"],
        &["-enable-kvm"],
        &["-enable-kvm", "-accel", "tcg"],
        &["-machine", "accel=kvm"],
        &["-M", "microvm,accel=kvm:tcg"],
        &["-machine", "accel=tcg", "-accel", "kvm"],
        &["-machine", "type=microvm,kernel_irqchip=on"],
    ] {
        config(words);
    }
    let (text, hint) = refusal(&["-accel", "hvf", "-machine", "accel=tcg"]);
    assert_eq!(text, "-accel tcg, hvf: chukka cannot run a guest that way, it runs on KVM only");
    assert_eq!(hint, "say -accel kvm, or leave -accel and accel= out");
    assert_eq!(
        refusal(&["-accel", "kvm,dirty-ring-size=4096"]).0,
        "-accel dirty-ring-size=4096: chukka does not have this property of -accel kvm"
    );
}

#[test]
fn machines_other_than_microvm_are_refused() {
    assert_eq!(
        config(&["-M", "microvm,acpi=on,pic=off,pit=off,rtc=on,x-option-roms=off"]).machine,
        MachineKind::Microvm
    );
    for machine in ["pc", "q35", "pc-i440fx-7.2"] {
        let (text, hint) = refusal(&["-M", machine]);
        assert_eq!(
            text,
            format!("-machine {machine}: chukka does not have this machine, only microvm so far")
        );
        assert_eq!(hint, "leave -machine out, or say -machine microvm");
    }
    assert_eq!(
        refusal(&["-machine", "micorvm"]),
        (
            "-machine micorvm: expected the name of a machine: microvm".into(),
            "did you mean microvm?".into()
        )
    );
    assert_eq!(
        refusal(&["-M", "microvm,acpi=off"]),
        (
            "-machine acpi=off: chukka's microvm can only have acpi=on|auto".into(),
            "to have Linux not use it: -append acpi=off".into()
        )
    );
    assert_eq!(
        refusal(&["-M", "microvm,foo=1"]).0,
        "-machine foo=1: chukka's microvm has no property \"foo\""
    );
    assert_eq!(refusal(&["-M", "microvm,kernel=x"]).1, "use -kernel");
    assert_eq!(refusal(&["-M", "microvm,pit"]).0, "-machine pit: expected a value: pit=…");
}

#[test]
fn serial_ports_come_in_turn() {
    use SerialBackend::{File, None, Null, Stdio};
    let ports = |words: &[&str]| config(words).serial;
    assert_eq!(ports(&["-serial", "null"]), [Null, None, None, None]);
    assert_eq!(ports(&["-serial", "none", "-serial", "stdio"]), [None, Stdio, None, None]);
    assert_eq!(
        ports(&[
            "-serial",
            "mon:stdio",
            "-serial",
            "file:/tmp/a,b",
            "-serial",
            "null",
            "-serial",
            "file:x"
        ]),
        [Stdio, File("/tmp/a,b".into()), Null, File("x".into())]
    );
    assert_eq!(ports(&["-nographic"]), stdio_only());
    assert_eq!(ports(&["-display", "none"]), stdio_only());
    assert_eq!(ports(&["-nodefaults"]), [None, None, None, None]);
    assert_eq!(ports(&["-nodefaults", "-nographic"]), [None, None, None, None]);
}

/// As observed on the terminal settings (ISIG) of QEMU 7.2.
#[test]
fn ctrl_c_goes_where_qemu_sends_it() {
    use InterruptKey::{EndsChukka, GoesToGuest};
    for (words, expected) in [
        (&["-nographic"][..], GoesToGuest),
        (&["-serial", "mon:stdio"], GoesToGuest),
        (&["-nographic", "-serial", "mon:stdio"], GoesToGuest),
        (&["-serial", "stdio"], EndsChukka),
        (&["-nographic", "-serial", "stdio"], EndsChukka),
        (&["-nographic", "-monitor", "none"], EndsChukka),
        (&["-nodefaults"], EndsChukka),
        (&["-serial", "file:x"], EndsChukka),
    ] {
        assert_eq!(config(words).terminal.interrupt, expected, "{words:?}");
    }
}

#[test]
fn serial_ports_that_cannot_be_are_refused() {
    for value in ["", "foo", "file:", "vc", "pty", "chardev:c", "tcp::4444", "mon:null"] {
        let (text, _) = refusal(&["-serial", value]);
        assert_eq!(
            text,
            format!("-serial {value}: expected stdio, mon:stdio, file:PATH, null or none")
        );
    }
    assert_eq!(refusal(&["-serial", "pty"]).1, "this is one of QEMU's that chukka does not have");
    assert_eq!(
        refusal(&["-serial", "stdio", "-serial", "mon:stdio"]).0,
        "-serial stdio, given more than once: expected one port on the terminal"
    );
    assert_eq!(
        refusal(&["-serial", "null"].repeat(5)).0,
        "-serial, given 5 times: expected at most 4 times, for COM1 to COM4"
    );
}

#[test]
fn devices_that_are_not_there_can_only_be_none() {
    config(&[
        "-display", "none", "-vga", "none", "-monitor", "null", "-net", "none", "-nic", "none",
        "-net", "none",
    ]);
    assert_eq!(refusal(&["-display", "gtk"]).0, "-display gtk: chukka has no screen");
    assert_eq!(refusal(&["-vga", "std"]).0, "-vga std: chukka has no graphics card");
    assert_eq!(refusal(&["-monitor", "stdio"]).0, "-monitor stdio: chukka has no monitor");
    assert_eq!(refusal(&["-nic", "user"]).0, "-nic user: chukka has no network");
    assert_eq!(refusal(&["-parallel", "stdio"]).0, "-parallel stdio: chukka has no parallel port");
    assert_eq!(refusal(&["-d", "unimp,in_asm"]).0, "-d in_asm: chukka does not have this log");
}

#[test]
fn name_and_uuid_are_read() {
    let name = |value| config(&["-name", value]).name;
    assert_eq!(name("foo").as_deref(), Some("foo"));
    assert_eq!(name("guest=foo,debug-threads=on").as_deref(), Some("foo"));
    assert_eq!(name("a,,b").as_deref(), Some("a,b"));
    assert_eq!(name(""), None);
    assert_eq!(
        refusal(&["-name", "x,process=y"]).0,
        "-name process=y: chukka does not rename its process"
    );
    assert_eq!(
        refusal(&["-name", "x,debug-threads=1"]).0,
        "-name debug-threads=1: expected on or off"
    );
    let bytes =
        [0x55, 0x0e, 0x84, 0, 0xe2, 0x9b, 0x41, 0xd4, 0xa7, 0x16, 0x44, 0x66, 0x55, 0x44, 0, 0];
    for text in ["550e8400-e29b-41d4-a716-446655440000", "550E8400-E29B-41D4-A716-446655440000"] {
        assert_eq!(config(&["-uuid", text]).uuid, Some(bytes));
    }
    for text in [
        "",
        "foo",
        "550e8400e29b41d4a716446655440000",
        "{550e8400-e29b-41d4-a716-446655440000}",
        "550e8400-e29b-41d4-a716-44665544000g",
        "550e8400-e29b-41d4-a716-4466554400é",
    ] {
        let expected = "expected a UUID such as 550e8400-e29b-41d4-a716-446655440000";
        assert_eq!(refusal(&["-uuid", text]).0, format!("-uuid {text}: {expected}"));
    }
}

#[test]
fn rtc_is_read() {
    let base = |value| config(&["-rtc", value]).rtc.base;
    assert_eq!(base("base=utc"), RtcBase::Utc);
    assert_eq!(base("base=localtime,clock=host,driftfix=slew"), RtcBase::Localtime);
    assert_eq!(base("base=2006-06-17T16:01:21"), RtcBase::Fixed(1_150_560_081));
    assert_eq!(base("clock=rt"), RtcBase::Utc);
    assert_eq!(
        refusal(&["-rtc", "clock=vm"]).0,
        "-rtc clock=vm: chukka's clock does not stop with the guest"
    );
    assert_eq!(
        refusal(&["-rtc", "base=2006-13-17"]).0,
        "-rtc base=2006-13-17: expected utc, localtime, 2006-06-17 or 2006-06-17T16:01:21"
    );
    assert_eq!(refusal(&["-rtc", "utc"]).1, "did you mean -rtc base=utc?");
    assert_eq!(
        refusal(&["-rtc", "clock=foo"]).0,
        "-rtc clock=foo: expected clock=host or clock=rt"
    );
    assert_eq!(
        refusal(&["-rtc", "driftfix=x"]).0,
        "-rtc driftfix=x: expected driftfix=none or driftfix=slew"
    );
    assert_eq!(refusal(&["-rtc", "foo=1"]).0, "-rtc foo=1: expected base=, clock= or driftfix=");
}

/// Name and state of each switch that a `-cpu` gives.
fn switches(value: &str) -> Vec<(&'static str, bool)> {
    config(&["-cpu", value]).cpu.switches.iter().map(|switch| (switch.name, switch.on)).collect()
}

#[test]
fn cpu_features_are_switched() {
    assert_eq!(config(&["-cpu", "host"]).cpu, CpuModel::default());
    assert_eq!(switches("max,-cx16,+x2apic"), [("x2apic", true), ("cx16", false)]);
    assert_eq!(
        switches("host,cx16=off,aes,avx=yes"),
        [("cx16", false), ("aes", true), ("avx", true)]
    );
    assert_eq!(
        switches("host,sse4_1=off,-sse4-2,-sse3"),
        [("sse4.1", false), ("sse4.2", false), ("pni", false)]
    );
    let cx16 = config(&["-cpu", "host,-cx16"]).cpu.switches[0];
    assert_eq!((cx16.leaf, cx16.subleaf, cx16.register, cx16.mask), (1, 0, Register::Ecx, 1 << 13));
    assert_eq!(switches("host,"), []);
}

#[test]
fn the_last_word_on_a_cpu_feature_counts_and_minus_beats_plus_beats_equals() {
    assert_eq!(switches("host,cx16=off,cx16=on"), [("cx16", true)]);
    assert_eq!(switches("host,-cx16,+cx16"), [("cx16", false)]);
    assert_eq!(switches("host,+cx16,cx16=off"), [("cx16", true)]);
    assert_eq!(switches("host,mmx=off,mmx=on"), [("mmx", true)], "AMD's copy is left alone again");
}

#[test]
fn cpu_properties_that_are_no_features_are_read() {
    assert!(!config(&["-cpu", "host,kvm=off"]).cpu.kvm);
    assert!(!config(&["-cpu", "host,-kvm"]).cpu.kvm);
    assert!(config(&["-cpu", "host,kvm=off,+kvm"]).cpu.kvm);
    assert_eq!(switches("host,-hypervisor"), [("hypervisor", false)]);
    assert_eq!(switches("host,migratable=no,check,pmu=on"), []);
    assert!(
        switches("host,pmu=off").iter().filter(|switch| **switch == ("pmu", false)).count() == 4
    );
}

#[test]
fn cpus_and_features_that_are_not_there_are_refused() {
    for model in ["qemu64", "Skylake-Client", "EPYC-v4", "base"] {
        let (text, hint) = refusal(&["-cpu", model]);
        let why =
            "chukka does not have this CPU model, only host and max (the same: the host's CPU)";
        assert_eq!(text, format!("-cpu {model}: {why}"));
        assert_eq!(
            hint,
            "say -cpu host, and switch off what the guest must not see: -cpu host,-avx512f"
        );
    }
    assert_eq!(
        refusal(&["-cpu", "hots"]).0,
        "-cpu hots: expected host or max, with or without feature switches"
    );
    assert_eq!(
        refusal(&["-cpu", "host,-cx61"]),
        ("-cpu …,-cx61: expected the name of a CPU feature".into(), "did you mean cx16?".into())
    );
    assert_eq!(refusal(&["-cpu", "host,+foobarbaz"]).1, "-cpu help lists the names");
    assert_eq!(refusal(&["-cpu", "host,cx16=maybe"]).0, "-cpu …,cx16=maybe: expected on or off");
    for property in ["hv-relaxed", "hv_time", "enforce", "vmx-ept=off", "model-id=x", "rdctl-no=on"]
    {
        let (text, _) = refusal(&["-cpu", &format!("host,{property}")]);
        assert_eq!(
            text,
            format!("-cpu …,{property}: a QEMU CPU property that chukka does not have")
        );
    }
}
