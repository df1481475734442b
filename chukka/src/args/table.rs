//! The table of options: argv is read by it, and `-help`, the man page and the completions are made
//! from it.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use super::options::{DriveArg, Options, Smbios};
use super::value::raw_pairs;

/// The headings of `-help`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// What to boot.
    Boot,
    /// Firmware and what it is given.
    Firmware,
    /// The virtual hardware.
    Machine,
    /// Network cards.
    Network,
    /// Serial ports.
    Console,
    /// Logs and traces.
    Debugging,
    /// When a run ends.
    Ending,
    /// Everything else.
    Other,
    /// Options that scripts pass and that have no effect. `-help` names them in one paragraph.
    Ignored,
}

impl Group {
    /// The groups that `-help` lists option by option, in its order.
    pub const SHOWN: [Self; 8] = [
        Self::Boot,
        Self::Firmware,
        Self::Machine,
        Self::Network,
        Self::Console,
        Self::Debugging,
        Self::Ending,
        Self::Other,
    ];

    /// The heading.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Boot => "Boot",
            Self::Firmware => "Firmware",
            Self::Machine => "Machine",
            Self::Network => "Network",
            Self::Console => "Console",
            Self::Debugging => "Debugging",
            Self::Ending => "Ending",
            Self::Other => "Other",
            Self::Ignored => "Ignored",
        }
    }
}

/// What an option takes, and what it does.
#[derive(Clone, Copy, Debug)]
pub enum Takes {
    /// No value.
    Nothing(fn(&mut Options)),
    /// One value, under this name in `-help`.
    Value(&'static str, fn(&mut Options, OsString)),
    /// No value: prints the help text, whatever comes after it.
    Help,
    /// No value: prints the version, whatever comes after it.
    Version,
}

/// One option.
#[derive(Debug)]
pub struct Opt {
    /// Its name, without dashes.
    pub name: &'static str,
    /// Its other names.
    pub aliases: &'static [&'static str],
    /// Where `-help` lists it.
    pub group: Group,
    /// What it takes, and what it does.
    pub takes: Takes,
    /// What `-help` says about it: lines of at most 53 characters.
    pub help: &'static [&'static str],
}

impl Opt {
    /// What its value is called; `None` if it takes none.
    #[must_use]
    pub fn metavar(&self) -> Option<&'static str> {
        match self.takes {
            Takes::Value(metavar, _) => Some(metavar),
            Takes::Nothing(_) | Takes::Help | Takes::Version => None,
        }
    }

    /// The option with this name or alias.
    pub(super) fn find(name: &[u8]) -> Option<&'static Self> {
        OPTIONS.iter().find(|option| {
            let mut names = [option.name].into_iter().chain(option.aliases.iter().copied());
            names.any(|known| known.as_bytes() == name)
        })
    }
}

const fn value(
    name: &'static str,
    metavar: &'static str,
    set: fn(&mut Options, OsString),
    group: Group,
    help: &'static [&'static str],
) -> Opt {
    Opt { name, aliases: &[], group, takes: Takes::Value(metavar, set), help }
}

/// What `-action` takes for the watchdog.
fn of_watchdog(action: OsString) -> OsString {
    let mut value = OsString::from("watchdog=");
    value.push(action);
    value
}

const fn flag(
    name: &'static str,
    set: fn(&mut Options),
    group: Group,
    help: &'static [&'static str],
) -> Opt {
    Opt { name, aliases: &[], group, takes: Takes::Nothing(set), help }
}

/// The commands: what chukka does besides running a guest, and `help` and `version` for those who
/// expect them. Name and one line of help.
pub static COMMANDS: [(&str, &str); 11] = [
    ("install", "install a guest from an install tree onto a disk"),
    ("start", "boot the disk of an installed guest"),
    ("template", "list or show templates of guests to install"),
    ("fetch", "find or download a kernel and initrd without booting"),
    ("inspect", "say what a kernel file is, and how it boots"),
    ("restart-install", "make -state DIR boot its installer again"),
    ("bootloader", "read a disk's boot menu; copy out its kernel and initrd"),
    ("disk", "create, describe, check or enlarge the image of a disk"),
    ("cache", "list, prune or locate the download cache"),
    ("help", "print a summary of the options, or help on a command"),
    ("version", "print the version"),
];

/// Every option.
#[rustfmt::skip]
pub static OPTIONS: [Opt; 83] = [
    value("kernel", "FILE", |o, v| o.boot.kernel = Some(v), Group::Boot, &[
        "the kernel: a bzImage or a vmlinux; a path or a URL",
    ]),
    value("initrd", "FILE", |o, v| o.boot.initrd = Some(v), Group::Boot, &[
        "the initial RAM disk; a path or a URL",
    ]),
    value("append", "TEXT", |o, v| o.boot.append = Some(v), Group::Boot, &[
        "the kernel's command line",
    ]),
    value("location", "PLACE", |o, v| o.boot.location = Some(v), Group::Boot, &[
        "find kernel and initrd in an install tree: a URL, a",
        "directory or an image; -kernel and -initrd are then",
        "paths in it; also tell the installer where its tree is",
    ]),
    flag("no-location-args", |o| o.boot.no_location_args = true, Group::Boot, &[
        "do not tell the installer where its tree is",
    ]),
    value("bootdisk", "DISK", |o, v| o.boot.bootdisk = Some(v), Group::Boot, &[
        "boot the kernel that this disk's boot menu names, and",
        "give the guest the disk: an image or a block device",
    ]),
    value("entry", "ENTRY", |o, v| o.boot.entry.push(v), Group::Boot, &[
        "menu entry by number, title or id; default or saved",
    ]),
    value("state", "DIR", |o, v| o.boot.state = Some(v), Group::Boot, &[
        "boot the installer that chukka fetch --state DIR saved",
        "until it has finished, and -bootdisk DISK from then on",
    ]),
    value("initrd-inject", "FILE", |o, v| o.boot.initrd_inject.push(v), Group::Boot, &[
        "add FILE to the root of the initrd; repeatable",
    ]),
    value("preseed", "FILE", |o, v| o.boot.preseed = Some(v), Group::Boot, &[
        "answers for Debian's installer, added to the initrd;",
        "or a URL that the guest fetches",
    ]),
    value("kickstart", "FILE", |o, v| o.boot.kickstart = Some(v), Group::Boot, &[
        "the same for Fedora and RHEL",
    ]),
    value("autoyast", "FILE", |o, v| o.boot.autoyast = Some(v), Group::Boot, &[
        "the same for SUSE",
    ]),
    value("autocf", "ANSWERS", |o, v| o.boot.autocf = Some(v), Group::Boot, &[
        "the same for Solaris: nfs:HOST:/DIR for JumpStart,",
        "NAME=VALUE,… for the Automated Installer",
    ]),
    flag("offline", |o| o.boot.offline = true, Group::Boot, &[
        "use the cache only, fetch nothing",
    ]),
    value("fetch", "KEY=VALUE",
        |o, v| o.boot.fetch.extend(raw_pairs(v.as_bytes(), "")), Group::Boot, &[
        "timeout=SECONDS without data (30), retries=N (3),",
        "limit=SIZE per file (4G), cache=DIR or cache=off,",
        "refresh=on to ignore the cache",
    ]),
    value("checksum", "SUM", |o, v| o.boot.checksum.push(v), Group::Boot, &[
        "sha256:HEX of the kernel, or initrd=sha256:HEX;",
        "repeatable",
    ]),
    flag("dry-run", |o| o.dry_run = true, Group::Boot, &[
        "show what would be booted and how it was found",
    ]),
    value("bios", "NAME", |o, v| o.bios = Some(v), Group::Firmware, &[
        "run firmware, which fetches the kernel: builtin,",
        "seabios, seabios-microvm, qboot or a file;",
        "default: no firmware",
    ]),
    value("pflash", "FILE", |o, v| o.pflash.push(v), Group::Firmware, &[
        "the firmware in a flash chip, on -machine pc; given",
        "twice, code and variables; or -drive if=pflash,…",
    ]),
    value("L", "DIR", |o, v| o.firmware_dirs.push(v), Group::Firmware, &[
        "look for firmware here first; repeatable",
    ]),
    value("option-rom", "FILE", |o, v| o.option_roms.push(v), Group::Firmware, &[
        "an additional option ROM; FILE,bootindex=N; repeatable",
    ]),
    value("boot", "KEY=VALUE", |o, v| o.boot_options.push(v), Group::Firmware, &[
        "order=cdn, once=d, menu=on, splash-time=MS, …",
    ]),
    value("fw_cfg", "ITEM", |o, v| o.fw_cfg.push(v), Group::Firmware, &[
        "a file for the guest: opt/NAME,file=PATH or",
        "opt/NAME,string=TEXT; repeatable",
    ]),
    value("smbios", "type=N", |o, v| o.smbios.push(Smbios::Structure(v)), Group::Firmware, &[
        "type=1,manufacturer=TEXT,product=TEXT,version=,serial=,",
        "uuid=,sku=,family=; type=11,value=TEXT or path=FILE",
    ]),
    value("credential", "N=VALUE", |o, v| o.credentials.push(v), Group::Firmware, &[
        "a systemd credential for the guest; repeatable",
    ]),
    value("m", "SIZE", |o, v| o.memory.push(v), Group::Machine, &[
        "memory: 512 (MiB), 2G, size=1.5G; default 512M",
    ]),
    value("smp", "N", |o, v| o.cpus.push(v), Group::Machine, &[
        "CPUs, 1 to 64: 4, or cpus=4,sockets=1,cores=4; default 1",
    ]),
    value("cpu", "MODEL", |o, v| o.cpu.push(v), Group::Machine, &[
        "host or max (the same), with switches: host,-cx16,+pcid,",
        "kvm=off,vendor=GenuineIntel; -cpu help lists the names",
    ]),
    Opt { aliases: &["M"], ..value("machine", "TYPE", |o, v| o.machine.push(v), Group::Machine, &[
        "microvm (default, no PCI) or pc; microvm,accel=kvm",
    ]) },
    value("accel", "NAME", |o, v| o.accel.push(v), Group::Machine, &[
        "accelerators in order of preference; chukka has kvm",
    ]),
    flag("enable-kvm", |o| o.enable_kvm = true, Group::Machine, &[
        "the same as -accel kvm, which is the default",
    ]),
    value("rtc", "base=TIME", |o, v| o.rtc.push(v), Group::Machine, &[
        "start of the clock: utc, localtime, 2006-06-17T16:01:21",
    ]),
    value("uuid", "UUID", |o, v| o.smbios.push(Smbios::Uuid(v)), Group::Machine, &[
        "the machine's UUID, for firmware and SMBIOS",
    ]),
    value("name", "NAME", |o, v| o.name.push(v), Group::Machine, &[
        "the guest's name, shown in messages",
    ]),
    value("drive", "file=FILE", |o, v| o.drives.push(DriveArg::Drive(v)), Group::Machine, &[
        "a disk: file=FILE,format=raw|qcow2,if=virtio,size=20G;",
        "if=none,id=ID goes with -device virtio-blk,drive=ID;",
        "on pc, if=ide: a SATA disk, or with media=cdrom a CD;",
        "if=pflash,unit=0: firmware code, unit=1: variables",
    ]),
    value("hda", "FILE", |o, v| o.drives.push(DriveArg::Hd("hda", v)), Group::Machine, &[
        "a disk; without a kernel, SeaBIOS boots it",
    ]),
    value("hdb", "FILE", |o, v| o.drives.push(DriveArg::Hd("hdb", v)), Group::Machine, &[
        "the second disk",
    ]),
    value("hdc", "FILE", |o, v| o.drives.push(DriveArg::Hd("hdc", v)), Group::Machine, &[
        "the third disk",
    ]),
    value("hdd", "FILE", |o, v| o.drives.push(DriveArg::Hd("hdd", v)), Group::Machine, &[
        "the fourth disk",
    ]),
    value("cdrom", "FILE", |o, v| o.drives.push(DriveArg::Hd("cdrom", v)), Group::Machine, &[
        "a CD, or its URL; without a kernel, SeaBIOS boots it",
    ]),
    flag("snapshot", |o| o.snapshot = true, Group::Machine, &[
        "discard what the guest writes to its disks",
    ]),
    value("nic", "TYPE", |o, v| o.nics.push(v), Group::Network, &[
        "user: a network card; user,hostfwd=tcp::2222-:22, with a",
        "port; user,tftp=DIR,bootfile=F boots; tap; stream; none",
    ]),
    value("netdev", "TYPE", |o, v| o.netdevs.push(v), Group::Network, &[
        "user, tap or stream,id=ID for -device virtio-net",
    ]),
    value("net", "TYPE", |o, v| o.nets.push(v), Group::Network, &[
        "nic and user, given together: -nic user in old scripts",
    ]),
    value("object", "TYPE", |o, v| o.objects.push(v), Group::Network, &[
        "filter-dump,id=ID,netdev=ID,file=PATH records frames;",
        "rng-random,id=ID for -device virtio-rng,rng=ID",
    ]),
    value("serial", "DEVICE", |o, v| o.serial.push(v), Group::Console, &[
        "COM1, then COM2, …: stdio (Ctrl-C ends chukka),",
        "mon:stdio (Ctrl-C goes to the guest), file:PATH, pty,",
        "unix:PATH,server=on,wait=off, tcp:HOST:PORT,…, null,",
        "chardev:ID, none (no such port); default mon:stdio",
    ]),
    value("chardev", "BACKEND", |o, v| o.chardevs.push(v), Group::Console, &[
        "a backend for a device or monitor: stdio, pty or null;",
        "file,path=FILE; socket,path=PATH,server=on,wait=off;",
        "each with id=ID, and with logfile=FILE, timestamp=on",
    ]),
    flag("nographic", |o| o.nographic = true, Group::Console, &[
        "no window; chukka never opens one",
    ]),
    flag("nodefaults", |o| o.no_defaults = true, Group::Console, &[
        "no serial port unless -serial adds one",
    ]),
    value("debugcon", "DEVICE", |o, v| o.debugcon.push(v), Group::Debugging, &[
        "the firmware's log: stdio, file:PATH, pty, chardev:ID",
    ]),
    value("global", "PROPERTY", |o, v| o.global.push(v), Group::Debugging, &[
        "isa-debugcon.iobase=0x402, its port (SeaBIOS);",
        "kvm-pit.lost_tick_policy=discard or delay (default)",
    ]),
    value("device", "NAME", |o, v| o.devices.push(v), Group::Debugging, &[
        "isa-debugcon,iobase=PORT,chardev=ID; vmcoreinfo, for",
        "the guest's crash note; isa-debug-exit,iobase=PORT,",
        "iosize=PORTS,pass=VALUE, to end with a status;",
        "pvpanic, for panics without a console; virtio-rng,",
        "for random numbers; virtio-serial with virtconsole or",
        "virtserialport,chardev=ID,name=NAME; pc-testdev",
    ]),
    value("msg", "timestamp", |o, v| o.msg.push(v), Group::Debugging, &[
        "put the host's time before each line of that log",
    ]),
    value("trace", "fw_cfg", |o, v| o.trace.push(v), Group::Debugging, &[
        "print each fw_cfg operation, and a summary",
    ]),
    value("timeline", "FILE", |o, v| o.timeline = Some(v), Group::Debugging, &[
        "record when each boot phase began, and its VM exits:",
        "FILE.json for Perfetto, FILE.svg a picture, - a table",
    ]),
    value("gdb", "ADDRESS", |o, v| o.gdb.push(v), Group::Debugging, &[
        "wait for gdb at tcp::1234, tcp:HOST:PORT or unix:PATH",
    ]),
    flag("s", |o| o.gdb.push("tcp::1234".into()), Group::Debugging, &["the same as -gdb tcp::1234"]),
    flag("S", |o| o.hold = true, Group::Debugging, &[
        "do not start the guest before gdb does, or the",
        "command cont of a monitor",
    ]),
    value("qmp", "ADDRESS", |o, v| o.qmp.push(v), Group::Debugging, &[
        "control the run by QEMU's protocol QMP, at",
        "unix:PATH,server=on,wait=off, tcp:HOST:PORT,… or stdio",
    ]),
    value("monitor", "ADDRESS", |o, v| o.monitor.push(v), Group::Debugging, &[
        "likewise by command lines; none: no monitor",
    ]),
    value("mon", "chardev=ID", |o, v| o.mon.push(v), Group::Debugging, &[
        "a monitor at a -chardev; mode=readline (default), or",
        "mode=control for QMP",
    ]),
    flag("no-reboot", |o| o.no_reboot = true, Group::Ending, &[
        "end when the guest resets, instead of rebooting it",
    ]),
    value("action", "EVENT=DO", |o, v| o.actions.push(v), Group::Ending, &[
        "panic=none: a kernel panic does not end the run;",
        "panic=shutdown (default); reboot=shutdown: -no-reboot;",
        "watchdog=reset (default), shutdown, poweroff, debug, none",
    ]),
    value("watchdog", "i6300esb", |o, v| o.watchdogs.push(v), Group::Ending, &[
        "a watchdog for pc, the same as -device i6300esb",
    ]),
    value("watchdog-action", "ACTION", |o, v| o.actions.push(of_watchdog(v)), Group::Ending, &[
        "the same as -action watchdog=ACTION",
    ]),
    value("timeout", "SECONDS", |o, v| o.timeout.push(v), Group::Ending, &[
        "end a guest that has not ended by then, with status",
        "124 and a report on what each of its CPUs is doing",
    ]),
    value("silence", "SECONDS", |o, v| o.silence.push(v), Group::Ending, &[
        "likewise a guest that prints nothing for that long",
    ]),
    value("fail-on", "KINDS", |o, v| o.fail_on.push(v), Group::Ending, &[
        "oops,kasan,lockdep,warn: a kernel that reports one of",
        "these problems and goes on ends with status 116 to 119",
    ]),
    value("json", "FILE", |o, v| o.json = Some(v), Group::Ending, &[
        "write how the run ended as JSON; - is standard error",
    ]),
    value("vmcore", "FILE", |o, v| o.core_file = Some(v), Group::Ending, &[
        "write memory and registers to FILE, as a core for",
        "crash, drgn and gdb, if the guest panics or hangs",
    ]),
    flag("daemonize", |o| o.daemonize = true, Group::Other, &[
        "go on in the background once the guest is about to run;",
        "COM1 is not shown unless -serial names a file",
    ]),
    value("pidfile", "FILE", |o, v| o.pid_file = Some(v), Group::Other, &[
        "write chukka's process id to FILE while the guest runs",
    ]),
    value("sandbox", "on|off", |o, v| o.sandbox.push(v), Group::Other, &[
        "whether chukka gives up, before the guest starts, all",
        "rights that running it does not take (default: on)",
    ]),
    value("run-with", "user=USER", |o, v| o.run_with.push(v), Group::Other, &[
        "switch to another user, NAME or UID:GID, once all files",
        "are open; needs root",
    ]),
    Opt {
        name: "help", aliases: &["h", "?"], group: Group::Other, takes: Takes::Help,
        help: &["print a summary of the options"],
    },
    Opt {
        name: "version", aliases: &[], group: Group::Other, takes: Takes::Version,
        help: &["print the version"],
    },
    value("display", "TYPE", |o, v| o.absent.display.push(v), Group::Ignored, &[]),
    value("vnc", "DISPLAY", |o, v| o.absent.vnc.push(v), Group::Ignored, &[]),
    value("parallel", "DEVICE", |o, v| o.absent.parallel.push(v), Group::Ignored, &[]),
    value("vga", "TYPE", |o, v| o.absent.vga.push(v), Group::Ignored, &[]),
    flag("no-user-config", |_| {}, Group::Ignored, &[]),
    flag("no-hpet", |_| {}, Group::Ignored, &[]),
    value("d", "ITEMS", |o, v| o.absent.log.push(v), Group::Ignored, &[]),
];
