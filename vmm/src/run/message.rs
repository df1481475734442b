//! Messages to the user while the guest runs.

use std::fmt;
use std::path::PathBuf;

use fw_cfg::x86::VmCoreInfo;

use crate::config::{GdbConfig, OnWatchdog, SocketAddress};

/// A message for standard error. [`fmt::Display`] formats it without chukka's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// The guest's output failed. Holds the operating system's error.
    OutputLost(String),
    /// The host can no longer read a fw_cfg item. Holds which one and why.
    ItemLost(String),
    /// The host's kernel cannot restrict which files chukka opens.
    NoLandlock,
    /// The guest published its vmcoreinfo note.
    VmCoreInfo(VmCoreInfo),
    /// The guest does not start before a client has connected to this address.
    WaitsForClient(SocketAddress),
    /// A device of the guest has a new pseudo-terminal.
    Pty {
        /// Its path.
        path: PathBuf,
        /// The device's name.
        label: String,
    },
    /// The guest waits for gdb at this address.
    WaitsForGdb(SocketAddress),
    /// The guest's watchdog has expired. Holds what follows.
    WatchdogExpired(OnWatchdog),
    /// What is probably a mistake, although the guest starts.
    Warning(String),
    /// The guest has printed nothing so far. Holds what the user should know.
    NothingYet(String),
    /// The guest is paused: a disk waits until its image can be read or written.
    Paused,
    /// What a CPU of the guest was doing, in a sentence.
    Cpu(String),
    /// And the details: where it was, and its last exits.
    CpuDetails(String),
}

impl From<&GdbConfig> for Message {
    fn from(gdb: &GdbConfig) -> Self {
        Self::WaitsForGdb(gdb.address.clone())
    }
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutputLost(error) => {
                write!(f, "warning: the guest's output can no longer be written: {error}")
            }
            Self::NoLandlock => write!(
                f,
                "warning: the sandbox cannot restrict access to files: this host's kernel lacks \
                 Landlock (Linux 5.13 or later, with landlock in its list of security modules)"
            ),
            Self::ItemLost(lost) => write!(f, "warning: {lost}"),
            Self::WaitsForGdb(address) => {
                write!(f, "the guest is stopped; in gdb: target remote {address}")
            }
            Self::WaitsForClient(address) => write!(f, "waiting for a client at {address}"),
            // QEMU's words, which scripts look for (`char_pty_open`, chardev/char-pty.c).
            Self::Pty { path, label } => {
                write!(f, "char device redirected to {} (label {label})", path.display())
            }
            Self::Warning(text) => write!(f, "warning: {text}"),
            Self::WatchdogExpired(action) => {
                let then = match action {
                    OnWatchdog::Reset => "the machine is reset",
                    OnWatchdog::Shutdown => "the power button is pressed",
                    OnWatchdog::PowerOff => "the run ends",
                    OnWatchdog::Debug | OnWatchdog::None => "the guest goes on",
                };
                write!(f, "the guest's watchdog expired; {then}")
            }
            Self::NothingYet(advice) => {
                write!(f, "the guest has printed nothing for 3 s: {advice}")
            }
            Self::Paused => f.write_str(
                "the guest is paused, and its CPUs are stopped, until its disk works again",
            ),
            Self::Cpu(text) => f.write_str(text),
            Self::CpuDetails(text) => write!(f, "    {text}"),
            Self::VmCoreInfo(info) => {
                write!(f, "the guest's vmcoreinfo: {} bytes at {:#x}", info.size, info.paddr)
            }
        }
    }
}
