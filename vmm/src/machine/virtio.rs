//! Places for virtio devices: memory-mapped registers on microvm, PCI functions on pc.

mod mmio;
mod pci;

use std::sync::{Arc, Mutex};

use acpi_tables::Aml;
use devices::pci::function::PciFunction;
use devices::virtio::device::{QueueNotifier, VirtioDevice};
use devices::virtio::mmio::{VirtioMmio, VirtioMmioDescription};
use devices::virtio::pci::VirtioPci;
use devices::virtio::state::VirtioState;
use kvm_ioctls::VmFd;
use vm_memory::GuestMemoryMmap;
use vmm_sys_util::eventfd::EventFd;

use super::chipset::PciBoard;
use super::doorbells::Doorbells;
use super::irq::IrqChip;
use crate::config::MachineKind;
use crate::error::{DeviceError, HostError, StartError};
use crate::lock::lock;
use crate::mmio_bus::MmioBus;

/// What every device is connected to.
#[derive(Debug)]
pub struct Connections {
    /// The guest's memory.
    pub memory: GuestMemoryMmap,
    /// Where registers are accessed.
    pub mmio_bus: MmioBus,
    /// Where interrupts go.
    pub irq_chip: IrqChip,
}

/// The free places of a machine.
#[derive(Debug)]
pub struct Slots {
    connections: Connections,
    free: Free,
}

#[derive(Debug)]
enum Free {
    Mmio(mmio::Slots),
    Pci(pci::Slots),
}

impl Slots {
    /// The places of a machine with PCI if there is a `board`, else of one without.
    pub fn new(connections: Connections, board: Option<PciBoard>) -> Self {
        let free = match board {
            Some(board) => Free::Pci(pci::Slots::new(board)),
            None => Free::Mmio(mmio::Slots::default()),
        };
        Self { connections, free }
    }

    /// The machine that has them.
    pub fn machine(&self) -> MachineKind {
        match &self.free {
            Free::Mmio(_) => MachineKind::Microvm,
            Free::Pci(_) => MachineKind::Pc,
        }
    }

    /// How many devices there is still room for.
    pub fn free(&self) -> usize {
        match &self.free {
            Free::Mmio(slots) => slots.free(),
            Free::Pci(slots) => slots.free(),
        }
    }

    /// Gives a device the next place, which is there if [`Self::free`] is not 0.
    ///
    /// # Errors
    /// There is no place, or the host is out of descriptors.
    pub fn plug(&mut self, device: Arc<dyn VirtioDevice>) -> Result<Plugged, StartError> {
        let wake = || EventFd::new(0).map(Arc::new).map_err(HostError::descriptors);
        let queues = device.queue_sizes().len();
        let wakes = (0..queues).map(|_| wake()).collect::<Result<Vec<_>, _>>()?;
        match &mut self.free {
            Free::Mmio(slots) => Ok(slots.plug(&self.connections, device, wakes)?),
            Free::Pci(slots) => Ok(slots.plug(&self.connections, device, wakes)?),
        }
    }

    /// What devices are connected to, and the board of a machine with PCI, for a device that has a
    /// place of its own.
    pub fn connections(&mut self) -> (&Connections, Option<&mut PciBoard>) {
        let board = match &mut self.free {
            Free::Mmio(_) => None,
            Free::Pci(slots) => Some(slots.board()),
        };
        (&self.connections, board)
    }

    /// The board with the functions on it, for a machine with PCI.
    pub fn into_board(self) -> Option<PciBoard> {
        match self.free {
            Free::Mmio(_) => None,
            Free::Pci(slots) => Some(slots.into_board()),
        }
    }
}

/// Whether a machine has places for this many disks, other devices and cards, as they are given
/// places in the order cards, disks, others.
///
/// # Errors
/// It has not.
pub fn check_room(
    machine: MachineKind,
    disks: usize,
    others: usize,
    cards: usize,
) -> Result<(), DeviceError> {
    // The first card of pc has a place of its own.
    let own = if machine == MachineKind::Pc { cards.min(1) } else { 0 };
    let places = usize::from(machine.virtio_slots());
    let limit = places.checked_sub(cards - own).ok_or(DeviceError::NoSlot)?;
    match limit.checked_sub(disks) {
        None => Err(DeviceError::TooManyDisks { wanted: disks, limit, machine }),
        Some(free) if free < others => Err(DeviceError::NoSlot),
        Some(_) => Ok(()),
    }
}

/// How the guest reaches a device.
#[derive(Debug)]
enum Transport {
    Mmio(Arc<Mutex<VirtioMmio>>, VirtioMmioDescription),
    Pci(Arc<Mutex<VirtioPci>>),
}

/// A device in its place.
#[derive(Debug)]
pub struct Plugged {
    state: Arc<VirtioState>,
    wakes: Vec<Arc<EventFd>>,
    doorbells: Arc<Doorbells>,
    transport: Transport,
    path: String,
}

impl Plugged {
    /// The device, for the threads that serve its queues.
    pub fn state(&self) -> &Arc<VirtioState> {
        &self.state
    }

    /// What wakes the thread of each queue.
    pub fn wakes(&self) -> &[Arc<EventFd>] {
        &self.wakes
    }

    /// The device's OpenFirmware path, by which SeaBIOS's boot order names it.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Its DSDT entry, if it has one of its own.
    pub fn description(&self) -> Option<&dyn Aml> {
        match &self.transport {
            Transport::Mmio(_, description) => Some(description),
            Transport::Pci(_) => None,
        }
    }

    /// Has KVM wake the threads itself.
    pub fn connect(&self, vm: &VmFd) {
        self.doorbells.connect(vm);
    }

    /// The reset of the machine: returns once the requests in service are answered.
    pub fn reset(&self) {
        match &self.transport {
            Transport::Mmio(device, _) => lock(device).reset(),
            Transport::Pci(function) => lock(function).reset(),
        }
    }
}

/// Wakes the thread that serves a queue, where KVM has not done so itself.
#[derive(Debug)]
struct Wake(Vec<Arc<EventFd>>);

impl QueueNotifier for Wake {
    fn notify(&self, queue: u16) {
        if let Some(wake) = self.0.get(usize::from(queue)) {
            // A full counter means that the thread has been woken already.
            let _ = wake.write(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use devices::virtio::scsi::Scsi;
    use vm_memory::GuestAddress;

    use super::*;

    #[test]
    fn a_notification_wakes_the_thread_of_its_queue() {
        let wakes = [(); 2].map(|()| Arc::new(EventFd::new(libc::EFD_NONBLOCK).unwrap()));
        let wake = Wake(wakes.to_vec());
        wake.notify(1);
        wake.notify(2);
        assert!(wakes[0].read().is_err());
        assert_eq!(wakes[1].read().unwrap(), 1);
    }

    /// As in QEMU's hw/i386/microvm.h: 512 bytes and an interrupt from 16 on for each.
    #[test]
    fn places_of_microvm_follow_each_other() {
        let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 0x1000)]).unwrap();
        let connections =
            Connections { memory, mmio_bus: MmioBus::default(), irq_chip: IrqChip::default() };
        let mut slots = Slots::new(connections, None);
        assert_eq!((slots.free(), slots.machine()), (8, MachineKind::Microvm));
        for (n, gsi) in (0..8u32).zip(16u8..) {
            let device = slots.plug(Arc::new(Scsi::new(Vec::new()))).unwrap();
            let base = 0xfeb0_0000 + n * 0x200;
            assert_eq!(device.path(), format!("/virtio-mmio@{base:016x}"));
            let mut description = Vec::new();
            device.description().unwrap().to_aml_bytes(&mut description);
            let has = |bytes: &[u8]| description.windows(bytes.len()).any(|part| part == bytes);
            // The last resource, an extended interrupt descriptor, has the number at its end
            // (ACPI 6.5, 6.4.3.6).
            assert!(has(&base.to_le_bytes()) && has(&[1, gsi, 0, 0, 0]), "{description:x?}");
        }
        assert_eq!(slots.free(), 0);
        assert!(slots.plug(Arc::new(Scsi::new(Vec::new()))).is_err());
    }
}
