//! The configuration of one run: plain, validated data with nothing left to parse.
//!
//! The command line is parsed into a [`VmConfig`], which does not change afterwards; nothing else
//! reads argv. Nothing here depends on the host: code that uses the configuration checks whether
//! the files exist, enough memory is available and KVM can be opened.

pub mod chardev;
pub mod cpu_model;
pub mod credential;
pub mod virtio_serial;

use std::borrow::Cow;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use guest_memory::hint::Hint;
use thiserror::Error;

pub use self::chardev::{CharBackend, CharFile, CharSocket, Chardev};
use self::cpu_model::CpuModel;
pub use self::credential::Credential;
pub use self::virtio_serial::{VirtioPort, VirtioSerial};
pub use devices::boot_order::{BootClass, BootOrder, BootOrderError};
pub use devices::kernel_problem::{KernelProblem, KernelProblems};
pub use firmware::network_rom::DEFAULT as DEFAULT_NETWORK_ROM;

/// Default size of guest memory (no `-m`), in bytes: 512 MiB. QEMU's 128 MiB is too little for a
/// distribution's kernel and initrd, and pages the guest does not touch cost the host nothing.
pub const DEFAULT_MEMORY: u64 = 512 << 20;

/// Minimum size of guest memory, in bytes: the 1 MiB that real mode can address. Less leaves no
/// room for the ACPI tables and the zero page.
pub const MIN_MEMORY: u64 = 1 << 20;

/// `-m` is rounded up to a multiple of this page size in bytes, the granularity of a KVM memory
/// slot.
pub const MEMORY_GRAIN: u64 = 4096;

/// Maximum number of vCPUs.
pub const MAX_CPUS: u8 = 64;

/// Number of serial ports a PC supports: COM1 to COM4.
pub const SERIAL_PORTS: usize = 4;

/// All settings of one run, as given by argv.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VmConfig {
    /// The guest's name (`-name`), used only in messages and process listings.
    pub name: Option<String>,
    /// The machine's UUID (`-uuid`): 16 bytes in the order of the text form (RFC 4122).
    pub uuid: Option<[u8; 16]>,
    /// The firmware that loads the kernel. Without firmware, chukka enters the kernel directly.
    pub firmware: Option<FirmwareConfig>,
    /// Boot options for the firmware; at their defaults if there is no firmware.
    pub boot_options: BootOptions,
    /// The boot index of each disk, from 0, in the disks' order. `None`, or no entry, leaves a disk
    /// out of the boot order.
    pub disk_boot_indices: Vec<Option<u32>>,
    /// Likewise of each CD drive.
    pub cd_boot_indices: Vec<Option<u32>>,
    /// Likewise of each network card.
    pub card_boot_indices: Vec<Option<u32>>,
    /// User-defined fw_cfg files. Names are unique and at most 55 bytes long.
    pub fw_cfg: Vec<FwCfgItem>,
    /// Contents of the SMBIOS tables.
    pub smbios: SmbiosOptions,
    /// systemd credentials. Names are unique.
    pub credentials: Vec<Credential>,
    /// The port to which firmware writes its log.
    pub debugcon: Option<Debugcon>,
    /// The ports through which the guest can end the run with an exit status (`-device
    /// isa-debug-exit`).
    pub debug_exit: Option<DebugExit>,
    /// Whether the machine has QEMU's test device (`-device pc-testdev`).
    pub pc_testdev: bool,
    /// What becomes of timer interrupts that the guest did not take in time.
    pub lost_ticks: LostTicks,
    /// Whether the guest can publish its vmcoreinfo note (`-device vmcoreinfo`).
    pub vmcoreinfo: bool,
    /// What to trace while the guest runs.
    pub trace: Trace,
    /// Whether to prefix each line of the debug console with the host's time (`-msg timestamp`).
    pub timestamps: bool,
    /// The machine type.
    pub machine: MachineKind,
    /// Guest memory in bytes: a multiple of [`MEMORY_GRAIN`], at least [`MIN_MEMORY`].
    pub memory: u64,
    /// Whether to map the pages of a large initrd into guest memory.
    pub map_initrd: MapInitrd,
    /// Whether KVM collects writes to consoles instead of leaving the guest for each byte
    /// (`-machine x-coalesced-console`).
    pub coalesced_console: bool,
    /// Number of vCPUs: 1 to [`MAX_CPUS`].
    pub cpus: u8,
    /// The CPU model of the vCPUs.
    pub cpu: CpuModel,
    /// COM1 to COM4; `None` if there is no such port.
    pub serial: [Option<Chardev>; SERIAL_PORTS],
    /// How chukka treats its own terminal.
    pub terminal: Terminal,
    /// What happens on a guest reset.
    pub on_reset: OnReset,
    /// What happens when the guest's kernel panics.
    pub on_panic: OnPanic,
    /// The problems of the guest's kernel that make the run a failure (`-fail-on`).
    pub fail_on: KernelProblems,
    /// Whether the guest has QEMU's pvpanic device, by which its kernel reports a panic.
    pub pvpanic: bool,
    /// Whether the guest has an i6300esb watchdog. Only pc can have one.
    pub watchdog: bool,
    /// What happens when the watchdog expires.
    pub on_watchdog: OnWatchdog,
    /// Whether the vCPUs' exits are recorded from the start, for a report on the run (`-json`).
    pub record_exits: bool,
    /// The guest's wall clock at power-on.
    pub rtc: RtcConfig,
    /// How long the run may take.
    pub limits: Limits,
    /// The server that gdb connects to.
    pub gdb: Option<GdbConfig>,
    /// Where the guest's virtio-rng device takes random numbers from; `None` without one.
    pub rng: Option<EntropyFile>,
    /// The guest's virtio-serial devices, each with its ports.
    pub virtio_serial: Vec<VirtioSerial>,
    /// The monitors: where clients control the run.
    pub monitors: Vec<MonitorConfig>,
    /// Whether a client of a monitor starts the guest (`-S` without a debugger).
    pub starts_paused: bool,
}

/// A file with the host's random numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EntropyFile {
    /// `/dev/urandom`.
    #[default]
    Urandom,
    /// `/dev/random`: the same, but early after the host's start.
    Random,
}

impl EntropyFile {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Urandom, Self::Random];

    /// Its path.
    #[must_use]
    pub const fn path(self) -> &'static str {
        match self {
            Self::Urandom => "/dev/urandom",
            Self::Random => "/dev/random",
        }
    }
}

/// The version of the QEMU whose options, devices and protocols chukka follows: major, minor,
/// micro.
pub const QEMU_VERSION: [u8; 3] = [7, 2, 0];

/// A monitor (`-qmp`, `-monitor`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MonitorConfig {
    /// What its clients speak.
    pub language: MonitorLanguage,
    /// Where they are: standard input and output, or a socket that chukka listens on.
    pub chardev: Chardev,
}

/// What a client of a monitor speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MonitorLanguage {
    /// JSON (`-qmp`).
    Qmp,
    /// Command lines (`-monitor`).
    Human,
}

/// A server for gdb (`-gdb`, `-s`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GdbConfig {
    /// Where it listens.
    pub address: SocketAddress,
    /// `-S`: the guest does not execute anything before gdb lets it.
    pub hold: bool,
}

/// Where a server listens. Shown as gdb's command `target remote` wants it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SocketAddress {
    /// A TCP port of this host.
    Tcp {
        /// The host's name or address, as it was given.
        host: String,
        /// The port.
        port: u16,
    },
    /// A UNIX socket.
    Unix(PathBuf),
}

impl std::fmt::Display for SocketAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

/// How long a run may take. `None`: as long as it likes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// `-timeout`: in all.
    pub timeout: Option<Duration>,
    /// `-silence`: without a byte on a serial port or the debug console.
    pub silence: Option<Duration>,
}

impl VmConfig {
    /// All character devices.
    pub fn chardevs(&self) -> impl Iterator<Item = &Chardev> {
        let debugcon = self.debugcon.iter().map(|debugcon| &debugcon.out);
        let monitors = self.monitors.iter().map(|monitor| &monitor.chardev);
        self.serial.iter().flatten().chain(debugcon).chain(monitors).chain(self.port_chardevs())
    }

    fn port_chardevs(&self) -> impl Iterator<Item = &Chardev> {
        self.virtio_serial.iter().flat_map(|device| &device.ports).map(|port| &port.chardev)
    }

    /// The consoles among the virtio ports, in the order in which Linux counts them (`hvc0`).
    pub fn virtio_consoles(&self) -> impl Iterator<Item = &Chardev> {
        let ports = self.virtio_serial.iter().flat_map(|device| &device.ports);
        ports.filter(|port| port.is_console).map(|port| &port.chardev)
    }

    /// Whether a device of the guest has standard input.
    #[must_use]
    pub fn has_terminal(&self) -> bool {
        self.serial.iter().flatten().chain(self.port_chardevs()).any(Chardev::is_stdio)
    }

    /// Whether the guest has a console whose output goes anywhere: it is expected to print
    /// something.
    #[must_use]
    pub fn has_console(&self) -> bool {
        self.serial.iter().flatten().any(Chardev::is_seen)
            || self.virtio_consoles().any(Chardev::is_seen)
            || self.debugcon.as_ref().is_some_and(|debugcon| debugcon.out.is_seen())
    }

    /// Whether the vCPUs' exits are recorded from the start.
    #[must_use]
    pub fn records_exits(&self) -> bool {
        self.record_exits || self.limits.any()
    }
}

impl Limits {
    /// Whether there is one.
    #[must_use]
    pub fn any(&self) -> bool {
        self.timeout.is_some() || self.silence.is_some()
    }
}

/// Whether the pages of a large initrd are mapped into guest memory or read into it (`-machine
/// x-map-initrd`): docs/decisions/0007-transfer.md.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MapInitrd {
    /// Map pages that the page cache holds as huge pages. Map the others only if the host's KVM
    /// does not shadow page tables.
    #[default]
    Auto,
    /// Map all pages.
    On,
    /// Map no pages.
    Off,
}

/// The firmware (`-bios` or flash chips) and its settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FirmwareConfig {
    /// `-bios`: the path of an image, `builtin`, or a name to search for, such as `seabios`. Never
    /// empty. `None` if the firmware is in flash chips (`-drive if=pflash`).
    pub bios: Option<OsString>,
    /// Directories (`-L`) to search before the default ones, in order.
    pub search: Vec<PathBuf>,
    /// Whether to include chukka's own option ROM, which loads the kernel (excluded by `-machine
    /// x-option-roms=off`).
    pub own_option_rom: bool,
    /// Additional option ROMs (`-option-rom`), in order.
    pub option_roms: Vec<OptionRomConfig>,
    /// The boot ROM of the network cards: a path, or a name to search for, such as
    /// [`DEFAULT_NETWORK_ROM`]. `None` if the guest does not boot from the network.
    pub network_rom: Option<OsString>,
    /// Whether chukka chose the image itself, because there is a disk, a CD or a network to boot
    /// from and no kernel.
    pub for_disk: bool,
}

/// A user-provided option ROM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OptionRomConfig {
    /// The ROM's file, searched for in the same directories as `-bios`.
    pub path: PathBuf,
    /// Its position in the boot order, from 0. `None` leaves it out of the boot order.
    pub bootindex: Option<u32>,
}

/// `-boot`: boot options passed to the firmware.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BootOptions {
    /// Whether to show a boot menu.
    pub menu: bool,
    /// How long to show the boot menu, in milliseconds.
    pub splash_time: Option<u16>,
    /// How long the firmware waits before it restarts if nothing is bootable, in milliseconds: 0 to
    /// 65535. -1, like `None`, means never.
    pub reboot_timeout: Option<i32>,
    /// Whether to boot only from devices that have a boot index.
    pub strict: bool,
    /// The kinds of devices to boot from, in order.
    pub order: BootOrder,
    /// The same for the first boot, until the machine is reset.
    pub once: Option<BootOrder>,
}

/// A user-defined fw_cfg file (`-fw_cfg`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FwCfgItem {
    /// Its name, 1 to 55 bytes.
    pub name: String,
    /// Its contents.
    pub source: FwCfgSource,
}

/// Contents of a fw_cfg file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FwCfgSource {
    /// The contents of this file.
    File(PathBuf),
    /// These bytes, without a terminating NUL; at least one.
    Text(Vec<u8>),
}

/// Contents of the SMBIOS tables (`-smbios`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SmbiosOptions {
    /// The type 11 strings, in order; at most [`OEM_STRINGS`], including those of credentials.
    pub oem_strings: Vec<OemString>,
    /// Type 1. Its UUID is [`VmConfig::uuid`].
    pub system: SystemInformation,
}

/// Maximum number of strings in one SMBIOS structure.
pub const OEM_STRINGS: usize = 255;

/// A string for SMBIOS type 11.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OemString {
    /// These bytes; at least one, no NUL.
    Text(Vec<u8>),
    /// The contents of this file, which must not be empty or contain a NUL.
    File(PathBuf),
}

/// The strings of SMBIOS type 1. `None` keeps the default; an empty string omits the field.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "named as in the specification")]
pub struct SystemInformation {
    pub manufacturer: Option<String>,
    pub product: Option<String>,
    pub version: Option<String>,
    pub serial: Option<String>,
    pub sku: Option<String>,
    pub family: Option<String>,
}

/// Default port of `-debugcon` and `-device isa-debugcon`, as in QEMU.
pub const DEBUGCON_PORT: u16 = 0xe9;

/// The debug console: each byte written to its port goes to `out`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Debugcon {
    /// The I/O port.
    pub port: u16,
    /// Where the bytes go. [`CharBackend::Stdio`] can be shared with a serial port.
    pub out: Chardev,
}

/// The debug exit device: a write to one of its ports ends the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DebugExit {
    /// The first I/O port.
    pub port: u16,
    /// Number of ports: at least 1; the last port is at most 0xffff.
    pub size: u16,
    /// The value that means success: status 0. At most 127.
    pub pass: Option<u8>,
}

/// What becomes of interrupts of the PIT (8254) that the guest did not take in time (`-global
/// kvm-pit.lost_tick_policy=`; QEMU's `LostTickPolicy`, qapi/machine.json).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LostTicks {
    /// KVM delivers them later, so that a guest that counts them keeps the time.
    #[default]
    Delay,
    /// They are lost. KVM cannot use AMD's AVIC otherwise.
    Discard,
}

/// What to trace on standard error while the guest runs (`-trace`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    /// Trace each operation of the fw_cfg device.
    pub fw_cfg: bool,
}

/// The supported machine types.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MachineKind {
    /// No PCI: serial ports, i8042 reset line, CMOS RTC, ACPI.
    #[default]
    Microvm,
    /// A PC with the i440FX host bridge and the PIIX3 ISA bridge.
    Pc,
}

impl MachineKind {
    /// The name that `-machine` accepts.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Microvm => "microvm",
            Self::Pc => "pc",
        }
    }

    /// How many virtio devices there can be: on microvm one for each free pin of the I/O APIC, on
    /// pc one for each slot of the PCI bus after those of the devices that every pc has in QEMU.
    #[must_use]
    pub const fn virtio_slots(self) -> u8 {
        match self {
            Self::Microvm => 8,
            Self::Pc => 28,
        }
    }
}

/// How chukka treats the terminal it was started on. The Ctrl-A escapes (Ctrl-A x, Ctrl-A h) work
/// on every terminal connected to a serial port, regardless of these settings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Terminal {
    /// What Ctrl-C does.
    pub interrupt: InterruptKey,
}

/// What Ctrl-C on chukka's terminal does. As in QEMU's `qemu_chr_parse_compat` (chardev/char.c):
/// `-serial mon:stdio`, which `-nographic` implies, disables the terminal's signals; plain `-serial
/// stdio` leaves them enabled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum InterruptKey {
    /// It sends SIGINT to chukka, which exits.
    #[default]
    EndsChukka,
    /// It is passed to the guest like any other byte.
    GoesToGuest,
}

/// What happens when the guest resets the machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnReset {
    /// The guest boots again.
    #[default]
    Reboot,
    /// chukka exits (`-no-reboot`).
    Exit,
}

/// What happens when the guest's watchdog expires: QEMU's `WatchdogAction` (qapi/run-state.json).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnWatchdog {
    /// The machine is reset.
    #[default]
    Reset,
    /// The power button is pressed.
    Shutdown,
    /// The run ends.
    PowerOff,
    /// The user is told.
    Debug,
    /// Nothing.
    None,
}

impl OnWatchdog {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Reset, Self::Shutdown, Self::PowerOff, Self::Debug, Self::None];

    /// QEMU's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Reset => "reset",
            Self::Shutdown => "shutdown",
            Self::PowerOff => "poweroff",
            Self::Debug => "debug",
            Self::None => "none",
        }
    }
}

/// What happens when the guest's kernel panics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnPanic {
    /// The run ends once the kernel has printed its report.
    #[default]
    End,
    /// The guest keeps running: it halts or resets as its kernel is configured (`-action
    /// panic=none`).
    Continue,
}

/// The guest's real-time clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RtcConfig {
    /// The clock's time at power-on.
    pub base: RtcBase,
}

/// The time of the guest's real-time clock at power-on. From then on it runs with the host's clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RtcBase {
    /// The host's time in UTC.
    #[default]
    Utc,
    /// The host's time in its own time zone.
    Localtime,
    /// A fixed time for the clock's registers, in seconds since 1970-01-01T00:00:00.
    Fixed(i64),
}

/// More memory was requested than the host has.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{} of guest memory requested; the host has {}", Size(*.wanted), Size(*.host))]
pub struct TooMuchMemory {
    /// The size given by `-m`, in bytes.
    pub wanted: u64,
    /// The host's memory, in bytes.
    pub host: u64,
}

impl Hint for TooMuchMemory {
    fn hint(&self) -> Option<Cow<'_, str>> {
        Some(format!("give the guest less: -m {}", Size(self.host / 2)).into())
    }
}

/// Checks the size given by `-m` against the host's memory, both in bytes. The caller decides what
/// counts as host memory. A request for exactly all of it is allowed, because pages are allocated
/// only when touched.
///
/// # Errors
/// [`TooMuchMemory`] if `wanted` exceeds `host`.
pub fn check_memory(wanted: u64, host: u64) -> Result<(), TooMuchMemory> {
    if wanted > host { Err(TooMuchMemory { wanted, host }) } else { Ok(()) }
}

/// A number of bytes, displayed in the format that `-m` accepts (`512M`, `2G`), or rounded down to
/// a tenth if it is not a whole number of units (`1.5G`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size(pub u64);

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const UNITS: [(u64, char); 4] =
            [(1 << 40, 'T'), (1 << 30, 'G'), (1 << 20, 'M'), (1 << 10, 'K')];
        let Some((unit, letter)) = UNITS.into_iter().find(|(unit, _)| self.0 >= *unit) else {
            return write!(f, "{}B", self.0);
        };
        let (whole, tenths) = (self.0 / unit, self.0 % unit * 10 / unit);
        if tenths == 0 {
            write!(f, "{whole}{letter}")
        } else {
            write!(f, "{whole}.{tenths}{letter}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::config;

    #[test]
    fn size_is_displayed_in_the_format_of_dash_m() {
        for (bytes, text) in [
            (0, "0B"),
            (1023, "1023B"),
            (1 << 20, "1M"),
            (512 << 20, "512M"),
            (3 << 29, "1.5G"),
            (6 << 40, "6T"),
        ] {
            assert_eq!(Size(bytes).to_string(), text);
        }
    }

    #[test]
    fn exits_are_recorded_for_either_limit() {
        let second = Some(Duration::from_secs(1));
        let any = |timeout, silence| Limits { timeout, silence }.any();
        assert!(!any(None, None));
        assert!(any(second, None) && any(None, second) && any(second, second));
    }

    #[test]
    fn output_is_seen_if_it_goes_anywhere_or_is_logged() {
        let log = || Some(CharFile { path: "log".into(), append: false });
        for (backend, log, is_seen) in [
            (CharBackend::Null, None, false),
            (CharBackend::Null, log(), true),
            (CharBackend::Pty, None, true),
            (CharBackend::Stdio, log(), true),
        ] {
            let chardev = Chardev { log, ..backend.into() };
            assert_eq!(chardev.is_seen(), is_seen, "{chardev:?}");
        }
    }

    #[test]
    fn too_much_memory_is_rejected_with_both_sizes() {
        assert_eq!(check_memory(4 << 30, 4 << 30), Ok(()));
        let error = check_memory(1 << 40, 16 << 30).unwrap_err();
        assert_eq!(error.to_string(), "1T of guest memory requested; the host has 16G");
        assert_eq!(error.hint().unwrap(), "give the guest less: -m 8G");
    }

    #[test]
    fn a_guest_has_a_console_or_the_terminal_by_any_of_its_devices() {
        let chardev = |backend: CharBackend| -> Chardev { backend.into() };
        let port = |backend, is_console| VirtioSerial {
            max_ports: 1,
            ports: vec![VirtioPort {
                number: 0,
                is_console,
                name: String::new(),
                chardev: chardev(backend),
            }],
        };
        let serial = |backend| VmConfig {
            serial: [Some(chardev(backend)), None, None, None],
            ..config(MachineKind::Pc)
        };
        let virtio = |backend, is_console| VmConfig {
            virtio_serial: vec![port(backend, is_console)],
            ..config(MachineKind::Pc)
        };
        let debugcon = |backend| VmConfig {
            debugcon: Some(Debugcon { port: DEBUGCON_PORT, out: chardev(backend) }),
            ..config(MachineKind::Pc)
        };
        let none = config(MachineKind::Pc);
        // Whether it has a console, and whether it has the terminal.
        for (config, console, terminal) in [
            (none, false, false),
            (serial(CharBackend::Null), false, false),
            (serial(CharBackend::Stdio), true, true),
            (serial(CharBackend::Pty), true, false),
            (virtio(CharBackend::Stdio, true), true, true),
            (virtio(CharBackend::Stdio, false), false, true),
            (virtio(CharBackend::Null, true), false, false),
            (debugcon(CharBackend::Null), false, false),
            (debugcon(CharBackend::Stdio), true, false),
        ] {
            assert_eq!(
                (config.has_console(), config.has_terminal()),
                (console, terminal),
                "{config:?}"
            );
        }
    }

    #[test]
    fn exits_are_recorded_on_request_or_for_a_limit() {
        let records = |record_exits, timeout| {
            let limits = Limits { timeout, ..Limits::default() };
            VmConfig { record_exits, limits, ..config(MachineKind::Pc) }.records_exits()
        };
        let second = Some(Duration::from_secs(1));
        assert!(!records(false, None));
        assert!(records(true, None) && records(false, second) && records(true, second));
    }
}
