//! What one run of chukka is to do: plain data, checked, with no text left to interpret.
//!
//! [`crate::cli`] makes a [`VmConfig`] from argv; everything after it reads this and never argv.
//! Nothing here has looked at the host: whether the files exist, the memory is there and KVM can be
//! opened is found out by whoever uses them.

use std::path::PathBuf;

use thiserror::Error;

use crate::cpu_model::CpuModel;

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
    /// What is booted.
    pub boot: BootSource,
    /// The machine it is booted on.
    pub machine: MachineKind,
    /// Guest memory in bytes: a multiple of [`MEMORY_GRAIN`], at least [`MIN_MEMORY`].
    pub memory: u64,
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
    /// Where the guest's wall clock starts.
    pub rtc: RtcConfig,
}

/// The files and the command line of a direct kernel boot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BootSource {
    /// The kernel (`-kernel`): bzImage or ELF.
    pub kernel: PathBuf,
    /// The initial RAM disk (`-initrd`).
    pub initrd: Option<PathBuf>,
    /// The kernel command line (`-append`): bytes as given, without a NUL inside or at the end.
    pub cmdline: Vec<u8>,
}

/// The machines chukka can build.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MachineKind {
    /// No PCI: serial ports, i8042 reset line, CMOS RTC, ACPI.
    #[default]
    Microvm,
}

/// What is behind a serial port.
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
#[error("The guest is to have {} of memory, the host has {}", Size(*.wanted), Size(*.host))]
pub struct TooMuchMemory {
    /// What `-m` says, in bytes.
    pub wanted: u64,
    /// What the host has, in bytes.
    pub host: u64,
}

impl TooMuchMemory {
    /// What the user can do.
    #[must_use]
    pub fn hint(&self) -> String {
        format!("give the guest less: -m {}", Size(self.host / 2))
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
        assert_eq!(error.to_string(), "The guest is to have 1T of memory, the host has 16G");
        assert_eq!(error.hint(), "give the guest less: -m 8G");
    }
}
