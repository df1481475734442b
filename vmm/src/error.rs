//! What kept chukka from running a guest, for `main` to print.

use std::io;
use std::path::PathBuf;

use firmware::direct::LoadError;
use firmware::image::ImageError;
use firmware::ram::SourceError;
use thiserror::Error;

use crate::cli::CliError;
use crate::kvm::KvmError;
use crate::memory::MemoryError;

/// Anything that ends chukka with status 125. Each message says what was found and what was expected.
#[derive(Debug, Error)]
pub enum StartError {
    /// argv.
    #[error(transparent)]
    Cli(#[from] CliError),
    /// The kernel file.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The initrd file.
    #[error(transparent)]
    Initrd(#[from] SourceError),
    /// What was to be loaded does not fit.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// `-bios`, until it is built.
    #[error("chukka cannot start firmware yet")]
    NoFirmwareYet,
    /// Guest memory.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// KVM.
    #[error(transparent)]
    Kvm(#[from] KvmError),
    /// A file for a serial port's output.
    #[error("Cannot create '{}' for the output of -serial", path.display())]
    Output {
        /// Its name.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Two devices at one port.
    #[error("Two devices claim one port")]
    Bus(#[source] vm_device::bus::Error),
    /// Descriptors, threads, timers or signals.
    #[error("Cannot set up {what}")]
    Host {
        /// What was to be set up.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// A thread of chukka's panicked: a defect of chukka, which the panic's own message tells.
    #[error("chukka itself failed in {0}")]
    Defect(&'static str),
}

impl StartError {
    /// An eventfd, a pipe or a copy of a descriptor could not be had.
    pub(crate) fn event(source: io::Error) -> Self {
        Self::Host { what: "file descriptors", source }
    }

    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Cli(error) => return error.hint().map(Into::into),
            Self::Image(error) => error.hint(),
            Self::Initrd(error) => error.hint(),
            Self::Load(error) => error.hint(),
            Self::NoFirmwareYet => "leave -bios out and name a kernel: -kernel FILE".into(),
            Self::Memory(error) => error.hint(),
            Self::Kvm(error) => error.hint(),
            Self::Output { .. } => "check that its directory exists and is writable".into(),
            Self::Host { .. } => "is a limit of the host reached? See ulimit -a".into(),
            Self::Bus(_) | Self::Defect(_) => {
                "this is a defect of chukka; please report it with the command line".into()
            }
        })
    }
}
