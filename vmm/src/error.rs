//! What kept a guest from being started.

use std::path::PathBuf;
use std::{fmt, io};

use devices::pci::bus::PlaceTaken;
use firmware::linuxboot;
use firmware::payload::LoadError;
use firmware::rom::RomError;
use firmware::smbios::SmbiosError;
use firmware::source_file::SourceError;
use fw_cfg::ItemError;
use thiserror::Error;
use vm_memory::GuestMemoryError;
use vm_memory::mmap::MmapRegionError;

use crate::kvm::KvmError;
use crate::memory::MemoryError;

/// Why a guest could not be started. Each message says what was found and what was expected.
#[derive(Debug, Error)]
pub enum StartError {
    /// A file for the guest.
    #[error(transparent)]
    File(#[from] SourceError),
    /// What was to be loaded does not fit.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The SMBIOS tables.
    #[error(transparent)]
    Smbios(#[from] SmbiosError),
    /// A firmware image or an option ROM.
    #[error(transparent)]
    RomFile(#[from] RomError),
    /// The kernel cannot be booted by firmware.
    #[error(transparent)]
    Publish(#[from] linuxboot::PublishError),
    /// The machine cannot be told of by fw_cfg.
    #[error(transparent)]
    Platform(#[from] firmware::PublishError),
    /// An item of the user's.
    #[error(transparent)]
    Item(#[from] ItemError),
    /// Memory for the firmware's ROM.
    #[error("Cannot get memory for the firmware's ROM")]
    RomMemory(#[source] MmapRegionError),
    /// The ROM's place in guest memory.
    #[error("Cannot put the firmware into guest memory")]
    Rom(#[source] GuestMemoryError),
    /// A file with a string for SMBIOS.
    #[error("Cannot read '{}' for -smbios type=11", path.display())]
    OemString {
        /// Its name.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Guest memory.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// KVM.
    #[error(transparent)]
    Kvm(#[from] KvmError),
    /// A file for the output of a serial port or the debug console.
    #[error("Cannot create '{}' for the output of {of}", path.display())]
    Output {
        /// Whose output: "-serial", "the debug console".
        of: &'static str,
        /// Its name.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Two devices at one port.
    #[error("Two devices claim one port")]
    Bus(#[source] vm_device::bus::Error),
    /// More disks than interrupts for them.
    #[error("{wanted} disks, and there can be {} at most", crate::machine::disks::MAX_DISKS)]
    TooManyDisks {
        /// How many there would be.
        wanted: usize,
    },
    /// The user's port for a device is another device's.
    #[error("{of} cannot have port {port:#x}: another device has it")]
    PortTaken {
        /// Which device wants it.
        of: UserDevice,
        /// The port.
        port: u16,
    },
    /// Two functions at one place of the PCI bus.
    #[error(transparent)]
    Pci(#[from] PlaceTaken),
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

/// A device whose ports the user chooses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserDevice {
    /// The debug console.
    Debugcon,
    /// The debug exit device.
    DebugExit,
}

impl UserDevice {
    /// Where it may be put.
    fn hint(self) -> &'static str {
        match self {
            Self::Debugcon => "SeaBIOS writes its log to port 0x402: iobase=0x402",
            Self::DebugExit => "many guests write to port 0xf4: iobase=0xf4,iosize=0x4",
        }
    }
}

impl fmt::Display for UserDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Debugcon => "The debug console",
            Self::DebugExit => "isa-debug-exit",
        })
    }
}

impl StartError {
    /// An eventfd, a pipe or a copy of a descriptor could not be had.
    pub fn event(source: io::Error) -> Self {
        Self::Host { what: "file descriptors", source }
    }

    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::File(error) => error.hint(),
            Self::Load(error) => error.hint(),
            Self::Smbios(error) => error.hint(),
            Self::RomFile(error) => error.hint(),
            Self::Publish(error) => error.hint(),
            Self::Platform(firmware::PublishError::Item(error)) | Self::Item(error) => {
                return item_hint(error).map(Into::into);
            }
            Self::Rom(_) => "give the guest at least 1 MiB of memory".into(),
            Self::RomMemory(_) => "look at ulimit -v".into(),
            Self::OemString { .. } => "check the path given to path=".into(),
            Self::Memory(error) => error.hint(),
            Self::Kvm(error) => error.hint(),
            Self::Output { .. } => "check that its directory exists and is writable".into(),
            Self::PortTaken { of, .. } => of.hint().into(),
            Self::TooManyDisks { .. } => "leave some out".into(),
            Self::Host { .. } => "is a limit of the host reached? See ulimit -a".into(),
            Self::Bus(_) | Self::Pci(_) | Self::Platform(_) | Self::Defect(_) => {
                "this is a defect of chukka; please report it with the command line".into()
            }
        })
    }
}

/// What the user can do about an item that cannot be published.
fn item_hint(error: &ItemError) -> Option<&'static str> {
    Some(match error {
        ItemError::Duplicate { .. } => {
            "chukka publishes this name itself, or it is given twice: take another, such as opt/org.example/…"
        }
        ItemError::NameLength { .. } | ItemError::NameNul { .. } => "take a shorter name",
        ItemError::DirectoryFull { .. } => "give fewer files",
        ItemError::TooBig { .. } => "sizes in fw_cfg are 32 bits wide; make the file smaller",
        ItemError::KeyTaken { .. } | ItemError::KeyReserved { .. } => return None,
    })
}
