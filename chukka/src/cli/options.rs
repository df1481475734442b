//! The options: one table that argv is walked by, that clap is told and that `-help` prints.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use clap::builder::ValueParser;
use clap::{Arg, ArgAction, ArgMatches};

use super::error::CliError;
use super::nearest::nearest;
use super::qemu;

/// The headings of `-help`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Group {
    Boot,
    Firmware,
    Machine,
    Console,
    Watching,
    Ending,
    Other,
    /// Not shown one by one: what scripts pass and chukka takes without doing anything.
    Silent,
}

/// One option.
#[derive(Debug)]
pub(super) struct Opt {
    /// Its name without dashes, which is also what clap knows it by.
    pub name: &'static str,
    /// Another name it has.
    pub alias: &'static str,
    /// What its value is called; empty where it takes none.
    pub metavar: &'static str,
    pub group: Group,
    /// What `-help` says, one line of at most 53 characters each.
    pub help: &'static [&'static str],
}

const fn opt(
    name: &'static str,
    metavar: &'static str,
    group: Group,
    help: &'static [&'static str],
) -> Opt {
    Opt { name, alias: "", metavar, group, help }
}

const fn silent(name: &'static str, metavar: &'static str) -> Opt {
    opt(name, metavar, Group::Silent, &[])
}

/// Every option.
pub(super) static OPTIONS: [Opt; 55] = [
    opt(
        "kernel",
        "FILE",
        Group::Boot,
        &[
            "the kernel: bzImage (however compressed) or vmlinux; FILE",
            "may be a URL, and so may that of -initrd",
        ],
    ),
    opt("initrd", "FILE", Group::Boot, &["the initial RAM disk"]),
    opt("append", "TEXT", Group::Boot, &["the kernel's command line"]),
    opt(
        "location",
        "PLACE",
        Group::Boot,
        &[
            "find kernel and initrd in this install tree: a URL, a",
            "directory, an image; -kernel and -initrd are then paths",
            "in it; the installer is told where its tree is",
        ],
    ),
    opt("no-location-args", "", Group::Boot, &["the installer is not told where its tree is"]),
    opt(
        "bootdisk",
        "DISK",
        Group::Boot,
        &["boot what this disk's own boot menu would: an image,", "a block device or a directory"],
    ),
    opt("entry", "ENTRY", Group::Boot, &["its number, title or id in that menu; default, saved"]),
    opt(
        "state",
        "DIR",
        Group::Boot,
        &[
            "boot the installer that chukka fetch --state DIR has",
            "kept, until it has finished; then -bootdisk's disk",
        ],
    ),
    opt("initrd-inject", "FILE", Group::Boot, &["put FILE into the initrd's root; repeatable"]),
    opt(
        "preseed",
        "FILE",
        Group::Boot,
        &["the same, and have Debian's installer read it; or a URL"],
    ),
    opt("kickstart", "FILE", Group::Boot, &["the same for Fedora's and RHEL's"]),
    opt("autoyast", "FILE", Group::Boot, &["the same for SUSE's"]),
    opt("offline", "", Group::Boot, &["fetch nothing: use what earlier runs have kept"]),
    opt(
        "fetch",
        "KEY=VALUE",
        Group::Boot,
        &[
            "timeout=SECONDS without a byte (30), retries=N (3),",
            "limit=SIZE of a file (4G), cache=DIR or cache=off,",
            "refresh=on: nothing that is kept counts",
        ],
    ),
    opt(
        "checksum",
        "SUM",
        Group::Boot,
        &["the kernel's sha256:HEX; initrd=sha256:HEX; repeatable"],
    ),
    opt("dry-run", "", Group::Boot, &["only say what would be booted, and where it was found"]),
    opt(
        "bios",
        "NAME",
        Group::Firmware,
        &[
            "run firmware, which fetches the kernel: builtin,",
            "seabios, seabios-microvm, qboot or a file;",
            "default: none",
        ],
    ),
    opt("L", "DIR", Group::Firmware, &["look for firmware here first; repeatable"]),
    opt(
        "option-rom",
        "FILE",
        Group::Firmware,
        &["one more option ROM; FILE,bootindex=N; repeatable"],
    ),
    opt(
        "boot",
        "KEY=VALUE",
        Group::Firmware,
        &["menu=on, strict=on, splash-time=MS, reboot-timeout=MS"],
    ),
    opt(
        "fw_cfg",
        "ITEM",
        Group::Firmware,
        &["a file for the guest: opt/NAME,file=PATH or", "opt/NAME,string=TEXT; repeatable"],
    ),
    opt(
        "smbios",
        "type=N",
        Group::Firmware,
        &[
            "type=1,manufacturer=TEXT,product=TEXT,version=,serial=,",
            "uuid=,sku=,family=; type=11,value=TEXT or path=FILE",
        ],
    ),
    opt(
        "credential",
        "N=VALUE",
        Group::Firmware,
        &["a systemd credential for the guest; repeatable"],
    ),
    opt("m", "SIZE", Group::Machine, &["memory: 512 (MiB), 2G, size=1.5G; default 512M"]),
    opt("smp", "N", Group::Machine, &["CPUs, 1 to 64: 4, or cpus=4,sockets=1,cores=4; default 1"]),
    opt(
        "cpu",
        "MODEL",
        Group::Machine,
        &[
            "host or max (the same), and switches: host,-cx16,+pcid,",
            "kvm=off,pmu=off; -cpu help lists the names",
        ],
    ),
    Opt {
        alias: "M",
        ..opt(
            "machine",
            "TYPE",
            Group::Machine,
            &["microvm (default, no PCI) or pc; microvm,accel=kvm"],
        )
    },
    opt(
        "drive",
        "file=FILE",
        Group::Machine,
        &[
            "a disk: file=FILE,format=raw,if=virtio,readonly=on;",
            "if=none,id=ID goes with -device virtio-blk,drive=ID",
        ],
    ),
    opt("snapshot", "", Group::Machine, &["what the guest writes to its disks is not kept"]),
    opt("accel", "NAME", Group::Machine, &["repeatable, the first usable counts; chukka has kvm"]),
    opt("enable-kvm", "", Group::Machine, &["the same as -accel kvm, which is the default"]),
    opt(
        "rtc",
        "base=TIME",
        Group::Machine,
        &["start of the clock: utc, localtime, 2006-06-17T16:01:21"],
    ),
    opt("uuid", "UUID", Group::Machine, &["the machine's UUID as firmware and SMBIOS tell it"]),
    opt("name", "NAME", Group::Machine, &["the guest's name, for messages"]),
    opt(
        "serial",
        "DEVICE",
        Group::Console,
        &[
            "COM1, COM2, … in turn: stdio (Ctrl-C ends chukka),",
            "mon:stdio (Ctrl-C goes to the guest), file:PATH, null,",
            "none (no such port); default mon:stdio",
        ],
    ),
    opt("nographic", "", Group::Console, &["no window: always so"]),
    opt("nodefaults", "", Group::Console, &["no serial port unless -serial asks for it"]),
    opt(
        "debugcon",
        "DEVICE",
        Group::Watching,
        &["the firmware's log: stdio, file:PATH, null, none"],
    ),
    opt(
        "global",
        "PROPERTY",
        Group::Watching,
        &["its port: isa-debugcon.iobase=0x402 (SeaBIOS's)"],
    ),
    opt(
        "device",
        "NAME",
        Group::Watching,
        &[
            "isa-debugcon,iobase=PORT,chardev=ID; or vmcoreinfo, for",
            "the guest to leave its crash note; or isa-debug-exit,",
            "iobase=PORT,iosize=PORTS, for it to end with a status",
        ],
    ),
    opt(
        "chardev",
        "BACKEND",
        Group::Watching,
        &["for isa-debugcon: file,id=ID,path=PATH or stdio,id=ID"],
    ),
    opt("msg", "timestamp", Group::Watching, &["the host's time before each line of that log"]),
    opt("trace", "fw_cfg", Group::Watching, &["each fw_cfg operation as a line, and a summary"]),
    opt("no-reboot", "", Group::Ending, &["a reset of the guest ends chukka instead"]),
    Opt { alias: "h", ..opt("help", "", Group::Other, &["this text"]) },
    opt("version", "", Group::Other, &["the version"]),
    Opt { alias: "?", ..silent("help", "") },
    silent("display", "TYPE"),
    silent("monitor", "DEVICE"),
    silent("parallel", "DEVICE"),
    silent("vga", "TYPE"),
    silent("net", "TYPE"),
    silent("nic", "TYPE"),
    silent("no-user-config", ""),
    silent("d", "ITEMS"),
];

impl Opt {
    fn takes_value(&self) -> bool {
        !self.metavar.is_empty()
    }

    fn find(name: &[u8]) -> Option<&'static Self> {
        OPTIONS.iter().find(|option| {
            option.name.as_bytes() == name
                || (!option.alias.is_empty() && option.alias.as_bytes() == name)
        })
    }
}

/// What an argv is.
#[derive(Debug)]
pub(super) enum Argv {
    Help,
    Version,
    Options(ArgMatches),
}

/// Walks argv and has clap collect the values.
pub(super) fn read(args: impl IntoIterator<Item = OsString>) -> Result<Argv, CliError> {
    let mut args = args.into_iter();
    let mut plain = Vec::new();
    while let Some(arg) = args.next() {
        let (option, inline) = recognise(&arg)?;
        match option.name {
            "help" => return Ok(Argv::Help),
            "version" => return Ok(Argv::Version),
            _ => {}
        }
        // `--name=value` is one word to clap: nothing in the value can look like an option.
        let mut word = OsString::from("--");
        word.push(option.name);
        if option.takes_value() {
            let value = match inline {
                Some(value) => value,
                None => args.next().ok_or(CliError::MissingValue {
                    option: option.name,
                    metavar: option.metavar,
                })?,
            };
            word.push("=");
            word.push(value);
        } else if let Some(value) = inline {
            let value = value.to_string_lossy().into_owned();
            return Err(CliError::UnwantedValue { option: option.name, value });
        }
        plain.push(word);
    }
    command()
        .try_get_matches_from(plain)
        .map(Argv::Options)
        .map_err(|error| CliError::Internal(error.kind().to_string()))
}

/// The option in `arg` and, in `-name=value`, its value.
fn recognise(arg: &OsStr) -> Result<(&'static Opt, Option<OsString>), CliError> {
    let bytes = arg.as_bytes();
    let shown = || arg.to_string_lossy().into_owned();
    let name = match bytes {
        [b'-', b'-', name @ ..] | [b'-', name @ ..] => name,
        _ => return Err(CliError::Positional { given: shown() }),
    };
    // `-` alone is a positional argument for QEMU, `--` an option it does not know.
    if bytes == b"-" {
        return Err(CliError::Positional { given: shown() });
    }
    let (name, value) = match name.iter().position(|byte| *byte == b'=') {
        Some(at) => (&name[..at], Some(OsStr::from_bytes(&name[at + 1..]).to_owned())),
        None => (name, None),
    };
    Opt::find(name)
        .map(|option| (option, value))
        .ok_or_else(|| unknown(&String::from_utf8_lossy(name), shown()))
}

fn unknown(name: &str, given: String) -> CliError {
    if let Some((option, instead)) = qemu::find(name) {
        return CliError::QemuOption { option, instead };
    }
    let names = OPTIONS.iter().map(|option| option.name);
    CliError::UnknownOption { given, nearest: nearest(name, names) }
}

/// clap's view: long options that may be repeated, nothing of clap's own.
fn command() -> clap::Command {
    let args = OPTIONS.iter().filter(|option| option.alias != "?").map(|option| {
        let arg = Arg::new(option.name).long(option.name);
        if option.takes_value() {
            arg.action(ArgAction::Append).value_parser(ValueParser::os_string())
        } else {
            arg.action(ArgAction::Count)
        }
    });
    clap::Command::new("chukka")
        .no_binary_name(true)
        .disable_help_flag(true)
        .disable_version_flag(true)
        .args(args)
}
