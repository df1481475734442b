use std::borrow::Cow;
use std::io;
use std::path::PathBuf;

use devices::pci::bus::PlaceTaken;
use guest_memory::hint::Hint;
use thiserror::Error;

use super::REPORT_DEFECT;
use crate::config::MachineKind;

/// Why a device could not be attached.
#[derive(Debug, Error)]
pub enum DeviceError {
    /// A file for the output of a serial port or the debug console.
    #[error("Cannot create '{}' for the output of {of}", path.display())]
    Output {
        /// The option or device that owns the output: "-serial", "the debug console".
        of: &'static str,
        /// The file's name.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// A port already belongs to another device or to KVM.
    #[error("{device} cannot have port {port:#x}: another device has it")]
    PortTaken {
        /// The device that requested it.
        device: &'static str,
        /// The port.
        port: u16,
        /// How to choose another port, if the user chose this one.
        hint: Option<&'static str>,
    },
    /// More disks than the machine has places for.
    #[error("{wanted} disks requested; -machine {} has room for {limit}", machine.name())]
    TooManyDisks {
        /// How many the user wants.
        wanted: usize,
        /// How many there can be.
        limit: usize,
        /// The machine.
        machine: MachineKind,
    },
    /// No place is left for a virtio device.
    #[error("There is no room for another virtio device")]
    NoSlot,
    /// The bus refused a device.
    #[error("Two devices claim one port")]
    Bus(#[from] vm_device::bus::Error),
    /// Two functions claim the same slot of the PCI bus.
    #[error(transparent)]
    Pci(#[from] PlaceTaken),
}

impl Hint for DeviceError {
    fn hint(&self) -> Option<Cow<'_, str>> {
        if let Self::TooManyDisks { machine: MachineKind::Microvm, .. } = self {
            let more = MachineKind::Pc.virtio_slots();
            let hint =
                format!("use -machine pc, which has room for {more}, or leave out some disks");
            return Some(Cow::Owned(hint));
        }
        Some(Cow::Borrowed(match self {
            Self::Output { .. } => "check that its directory exists and is writable",
            Self::PortTaken { hint: Some(hint), .. } => hint,
            Self::TooManyDisks { .. } => "leave out some disks",
            Self::NoSlot => "leave out some disks, network cards or other virtio devices",
            Self::PortTaken { hint: None, .. } | Self::Bus(_) | Self::Pci(_) => REPORT_DEFECT,
        }))
    }
}
