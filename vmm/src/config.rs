//! The configuration of one run: plain, checked data, with no text left to interpret.
//!
//! The command line becomes a [`VmConfig`], which does not change afterwards; nothing else reads
//! argv. Nothing here depends on the host: whether files exist, memory suffices and KVM can be
//! opened is checked at start.

pub mod cpu_model;
pub mod credential;

use std::borrow::Cow;
use std::ffi::OsString;
use std::path::PathBuf;

use guest_memory::hint::Hint;
use thiserror::Error;

use self::cpu_model::CpuModel;
pub use self::credential::Credential;

/// The memory a guest gets without `-m`, in bytes: 512 MiB. QEMU's 128 MiB is too little for a
/// distribution's kernel and initrd; pages that the guest does not touch cost the host nothing.
pub const DEFAULT_MEMORY: u64 = 512 << 20;

/// The least memory a guest can have, in bytes: the 1 MiB that real mode addresses, below which
/// there is no place for the ACPI tables and the zero page.
pub const MIN_MEMORY: u64 = 1 << 20;

/// `-m` is rounded up to whole pages of this many bytes, the grain of a KVM memory slot.
pub const MEMORY_GRAIN: u64 = 4096;

/// The most vCPUs a guest can have.
pub const MAX_CPUS: u8 = 64;

/// How many serial ports a PC has room for: COM1 to COM4.
pub const SERIAL_PORTS: usize = 4;

/// Everything that argv decides about one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VmConfig {
    /// The guest's name (`-name`); only for messages and process listings.
    pub name: Option<String>,
    /// The machine's UUID (`-uuid`), its bytes in the order of the text form (RFC 4122).
    pub uuid: Option<[u8; 16]>,
    /// What runs before the kernel and fetches it; without it chukka enters the kernel itself.
    pub firmware: Option<FirmwareConfig>,
    /// Boot options for firmware; the defaults without firmware.
    pub boot_options: BootOptions,
    /// fw_cfg files of the user; no name is there twice, none is longer than 55 bytes.
    pub fw_cfg: Vec<FwCfgItem>,
    /// What the SMBIOS tables say.
    pub smbios: SmbiosOptions,
    /// systemd credentials; no name is there twice.
    pub credentials: Vec<Credential>,
    /// The port that firmware writes its log to.
    pub debugcon: Option<Debugcon>,
    /// The ports with which the guest can end the run with a status of its own (`-device
    /// isa-debug-exit`).
    pub debug_exit: Option<DebugExit>,
    /// Whether the guest can leave its vmcoreinfo note (`-device vmcoreinfo`).
    pub vmcoreinfo: bool,
    /// What is traced while the guest runs.
    pub trace: Trace,
    /// Whether each line of the debug console has the host's time in front (`-msg timestamp`).
    pub timestamps: bool,
    /// The machine it is booted on.
    pub machine: MachineKind,
    /// Guest memory in bytes: a multiple of [`MEMORY_GRAIN`], at least [`MIN_MEMORY`].
    pub memory: u64,
    /// Whether the pages of a large initrd are mapped into guest memory.
    pub map_initrd: MapInitrd,
    /// How many vCPUs: 1 to [`MAX_CPUS`].
    pub cpus: u8,
    /// What the guest's CPUs look like.
    pub cpu: CpuModel,
    /// COM1 to COM4.
    pub serial: [SerialBackend; SERIAL_PORTS],
    /// What chukka's own terminal does.
    pub terminal: Terminal,
    /// What a guest reset does.
    pub on_reset: OnReset,
    /// What a panic of the guest's kernel does.
    pub on_panic: OnPanic,
    /// Where the guest's wall clock starts.
    pub rtc: RtcConfig,
}

/// Whether pages of a large initrd are mapped into guest memory (`-machine x-map-initrd`), or read:
/// docs/decisions/0007-transfer.md.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MapInitrd {
    /// Those that the page cache has as huge pages; the others where the host's KVM does not shadow
    /// page tables.
    #[default]
    Auto,
    /// All.
    On,
    /// None.
    Off,
}

/// The firmware (`-bios`) and what belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FirmwareConfig {
    /// `-bios`: the path of an image, `builtin`, or a name such as `seabios` to be looked for;
    /// never empty.
    pub bios: OsString,
    /// Directories (`-L`) to look in before the usual ones, in their order.
    pub search: Vec<PathBuf>,
    /// Whether chukka's own option ROM, which loads the kernel, is there (`-machine
    /// x-option-roms=off`: it is not).
    pub own_option_rom: bool,
    /// Option ROMs (`-option-rom`) besides chukka's own, in their order.
    pub option_roms: Vec<OptionRomConfig>,
}

/// An option ROM of the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OptionRomConfig {
    /// The ROM's file, looked for as `-bios` is.
    pub path: PathBuf,
    /// Its place in the boot order, 0 and up; without one it has none.
    pub bootindex: Option<i32>,
}

/// `-boot`: options that chukka passes to firmware.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BootOptions {
    /// Whether there is a boot menu.
    pub menu: bool,
    /// How long the boot menu waits, in milliseconds.
    pub splash_time: Option<u16>,
    /// After how many milliseconds without anything to boot the firmware starts again: 0 to 65535,
    /// or -1, never, which is also what `None` means.
    pub reboot_timeout: Option<i32>,
    /// Whether only what is in the boot order is booted.
    pub strict: bool,
}

/// A fw_cfg file of the user (`-fw_cfg`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FwCfgItem {
    /// Its name, 1 to 55 bytes.
    pub name: String,
    /// What is in it.
    pub source: FwCfgSource,
}

/// What is in a fw_cfg file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FwCfgSource {
    /// What is in this file.
    File(PathBuf),
    /// These bytes, without a NUL at the end; at least one.
    Text(Vec<u8>),
}

/// What the SMBIOS tables say (`-smbios`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SmbiosOptions {
    /// The strings of type 11 in their order; at most [`OEM_STRINGS`], those of credentials
    /// counted.
    pub oem_strings: Vec<OemString>,
    /// Type 1. Its UUID is [`VmConfig::uuid`].
    pub system: SystemInformation,
}

/// How many strings one SMBIOS structure can have.
pub const OEM_STRINGS: usize = 255;

/// A string of SMBIOS type 11.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OemString {
    /// These bytes; at least one, no NUL.
    Text(Vec<u8>),
    /// The content of this file, which must not be empty or contain a NUL.
    File(PathBuf),
}

/// The strings of SMBIOS type 1; `None` leaves the default, an empty one says nothing.
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

/// The port of `-debugcon` and of `-device isa-debugcon` where nothing else is said, as in QEMU.
pub const DEBUGCON_PORT: u16 = 0xe9;

/// The debug console: one port; every byte written to it goes to `out`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Debugcon {
    /// The I/O port.
    pub port: u16,
    /// Where the bytes go; never [`SerialBackend::None`]. On [`SerialBackend::Stdio`] it only
    /// writes, and may share it with a serial port.
    pub out: SerialBackend,
}

/// The debug exit device: a write to one of its ports ends the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DebugExit {
    /// The first I/O port.
    pub port: u16,
    /// How many ports: at least 1, the last one 0xffff at most.
    pub size: u16,
}

/// What is traced on standard error while the guest runs (`-trace`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    /// Each operation of the fw_cfg device.
    pub fw_cfg: bool,
}

/// The machines chukka can build.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MachineKind {
    /// No PCI: serial ports, i8042 reset line, CMOS RTC, ACPI.
    #[default]
    Microvm,
    /// A PC with the i440FX host bridge and the PIIX3 ISA bridge.
    Pc,
}

impl MachineKind {
    /// Its name, as `-machine` takes it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Microvm => "microvm",
            Self::Pc => "pc",
        }
    }
}

/// What is behind a serial port, or behind the debug console.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SerialBackend {
    /// The port does not exist.
    #[default]
    None,
    /// The port exists, its output is dropped and nothing ever arrives.
    Null,
    /// chukka's standard input and output; at most one port has it.
    Stdio,
    /// Output goes to this file, which is created or cut to nothing first; nothing ever arrives.
    File(PathBuf),
}

/// How chukka treats the terminal it was started on. The Ctrl-A escapes (Ctrl-A x, Ctrl-A h) work
/// on every terminal that carries a serial port, whatever is said here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Terminal {
    /// What Ctrl-C does.
    pub interrupt: InterruptKey,
}

/// What Ctrl-C on chukka's terminal does. As in QEMU's `qemu_chr_parse_compat` (chardev/char.c):
/// `-serial mon:stdio`, which is also what `-nographic` stands for, turns the terminal's signals
/// off; plain `-serial stdio` leaves them on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum InterruptKey {
    /// It is SIGINT for chukka, which ends.
    #[default]
    EndsChukka,
    /// It is a byte for the guest like any other.
    GoesToGuest,
}

/// What happens when the guest resets the machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnReset {
    /// The guest boots again.
    #[default]
    Reboot,
    /// chukka ends (`-no-reboot`).
    Exit,
}

/// What happens when the guest's kernel panics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnPanic {
    /// The run ends once the kernel has printed its report.
    #[default]
    End,
    /// The guest runs on: it halts, or resets, as its kernel was told to (`-action panic=none`).
    Continue,
}

/// The guest's real-time clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RtcConfig {
    /// What the clock shows at power-on.
    pub base: RtcBase,
}

/// What the guest's real-time clock shows at power-on; from there it runs with the host's clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RtcBase {
    /// The host's time in UTC.
    #[default]
    Utc,
    /// The host's time in its own time zone.
    Localtime,
    /// A fixed moment: what the clock's registers show, as seconds since 1970-01-01T00:00:00.
    Fixed(i64),
}

/// More memory was asked for than there is.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{} of guest memory requested; the host has {}", Size(*.wanted), Size(*.host))]
pub struct TooMuchMemory {
    /// What `-m` says, in bytes.
    pub wanted: u64,
    /// What the host has, in bytes.
    pub host: u64,
}

impl Hint for TooMuchMemory {
    fn hint(&self) -> Option<Cow<'_, str>> {
        Some(format!("give the guest less: -m {}", Size(self.host / 2)).into())
    }
}

/// Checks `-m` against what the host has, both in bytes. The caller says what counts as the host's
/// memory; asking for exactly all of it is allowed, as pages are only taken when they are touched.
///
/// # Errors
/// [`TooMuchMemory`] when `wanted` is above `host`.
pub fn check_memory(wanted: u64, host: u64) -> Result<(), TooMuchMemory> {
    if wanted > host { Err(TooMuchMemory { wanted, host }) } else { Ok(()) }
}

/// A number of bytes, shown the way `-m` takes it: `512M`, `2G`, or rounded down to a tenth where
/// it is no whole number (`1.5G`).
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

    #[test]
    fn size_is_shown_as_dash_m_takes_it() {
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
    fn memory_beyond_the_host_is_refused_with_both_sizes() {
        assert_eq!(check_memory(4 << 30, 4 << 30), Ok(()));
        let error = check_memory(1 << 40, 16 << 30).unwrap_err();
        assert_eq!(error.to_string(), "1T of guest memory requested; the host has 16G");
        assert_eq!(error.hint().unwrap(), "give the guest less: -m 8G");
    }
}
