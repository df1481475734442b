//! Reasons why a guest could not start, by stage.

mod boot;
mod device;
mod host;

use std::borrow::Cow;
use std::io;

use guest_memory::hint::Hint;
use thiserror::Error;

use crate::config::{CharBackend, GdbConfig, SocketAddress};
use crate::kvm::KvmError;
use crate::memory::MemoryError;
pub use boot::BootError;
pub use device::DeviceError;
pub use host::HostError;

/// Hint for errors that should be impossible.
const REPORT_DEFECT: &str = "this is a bug in chukka; please report it with the command line";

/// Why a guest could not start. Each message states what was found and what was expected.
#[derive(Debug, Error)]
pub enum StartError {
    /// A guest file or the firmware.
    #[error(transparent)]
    Boot(#[from] BootError),
    /// Guest memory.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// KVM.
    #[error(transparent)]
    Kvm(#[from] KvmError),
    /// A device.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// Descriptors, threads, timers or signals.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The server for gdb cannot listen.
    #[error("Cannot listen for gdb at {address}")]
    Gdb {
        /// Where.
        address: SocketAddress,
        /// The operating system's error.
        source: io::Error,
    },
    /// A monitor cannot be set up.
    #[error("Cannot set up the monitor at {place}")]
    Monitor {
        /// Where.
        place: CharBackend,
        /// The operating system's error.
        source: io::Error,
    },
    /// A socket or a pseudo-terminal for the output and input of a device.
    #[error("Cannot connect {of} to {at}")]
    Chardev {
        /// The option or device: "-serial", for example.
        of: &'static str,
        /// What it was to be connected to.
        at: CharBackend,
        /// The operating system's error.
        source: io::Error,
    },
    /// Guest memory at addresses that the CPU does not have.
    #[error(
        "-cpu phys-bits={bits}: the guest's memory ends at {end:#x}, which needs {needed} bits"
    )]
    AddressBits {
        /// The width of physical addresses that the user requested.
        bits: u8,
        /// The first address after the guest's memory.
        end: u64,
        /// The width that is sufficient.
        needed: u32,
    },
    /// A thread panicked and has already printed its message. Holds the part that failed.
    #[error("internal error in {0}")]
    Defect(&'static str),
}

impl StartError {
    /// The server for gdb cannot listen.
    pub fn gdb(config: &GdbConfig) -> impl FnOnce(io::Error) -> Self {
        let address = config.address.clone();
        move |source| Self::Gdb { address, source }
    }

    /// The monitor at this place cannot be set up.
    pub fn monitor((place, source): (CharBackend, io::Error)) -> Self {
        Self::Monitor { place, source }
    }

    /// Turns a system error into "Cannot set up `what`".
    pub fn host(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| HostError { what, source }.into()
    }
}

impl Hint for StartError {
    fn hint(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Boot(error) => error.hint(),
            Self::Memory(error) => error.hint(),
            Self::Kvm(error) => error.hint(),
            Self::Device(error) => error.hint(),
            Self::Host(error) => error.hint(),
            Self::Gdb { .. } => {
                Some("use another address: -gdb tcp::1235 or -gdb unix:PATH".into())
            }
            Self::Monitor { place: CharBackend::Stdio, .. } => Some(
                "use a pipe or a terminal, or a socket: -qmp unix:PATH,server=on,wait=off".into(),
            ),
            Self::Monitor { .. } => Some("use another path or port".into()),
            Self::Chardev { at: CharBackend::Socket(socket), .. } if !socket.server => {
                Some("start the program that listens there first, or use server=on,wait=off".into())
            }
            Self::Chardev { .. } => Some("use another path or port, or a file".into()),
            Self::AddressBits { needed, .. } => Some(
                format!("use phys-bits={needed}, or less memory: -m 3G or less fits into 32 bits")
                    .into(),
            ),
            Self::Defect(_) => Some(REPORT_DEFECT.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::config::{CharSocket, SocketAddress};

    #[test]
    fn the_hint_says_what_is_wrong_with_a_character_device() {
        let hint = |at: CharBackend| {
            let source = io::ErrorKind::NotFound.into();
            let error = StartError::Chardev { of: "-serial", at, source };
            error.hint().unwrap().into_owned()
        };
        let socket = |server| {
            let address = SocketAddress::Unix("socket".into());
            CharBackend::Socket(CharSocket { address, server, wait: false })
        };
        assert!(hint(socket(false)).starts_with("start the program that listens there first"));
        assert_eq!(hint(socket(true)), "use another path or port, or a file");
        assert_eq!(hint(CharBackend::Pty), "use another path or port, or a file");
    }
}
