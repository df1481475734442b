//! The SATA controller of pc: its PCI function, and what wakes the threads that serve its ports.

use std::sync::{Arc, Mutex};

use devices::ahci::{Ahci, Connections, NODE_NAME, PORTS, PortNotifier, REGISTER_BAR};
use devices::ata::AtaDevice;
use devices::pci::bar::{BarAccess, BarDecoder, MemoryBars};
use devices::pci::bus::Devfn;
use devices::pci::function::PciFunction;
use vmm_sys_util::eventfd::EventFd;

use super::chipset::PciBoard;
use super::virtio::Connections as Machine;
use crate::error::{DeviceError, HostError, StartError};
use crate::lock::lock;
use crate::mmio_bus::MmioPlace;

/// The slot of QEMU's display, which is not there: so the slots of other devices do not depend on
/// whether there is a controller.
const PLACE: Devfn = Devfn::new(2, 0);

/// A drive of the controller.
#[derive(Clone, Debug)]
pub struct AhciDrive {
    /// Its port: 0 to 5, a different one for each drive.
    pub port: u8,
    /// The drive.
    pub device: Arc<dyn AtaDevice>,
    /// Its place in the boot order; `None` leaves it out.
    pub boot_index: Option<u32>,
}

/// The controller in its place.
#[derive(Debug)]
pub(super) struct AhciController {
    function: Arc<Mutex<Ahci>>,
    drives: Vec<AhciDrive>,
    wakes: Arc<Vec<Arc<EventFd>>>,
}

impl AhciController {
    /// Puts a controller with these drives on the board.
    ///
    /// # Errors
    /// The machine has no PCI or no place, or the host is out of descriptors.
    pub fn new(
        drives: &[AhciDrive],
        to: &Machine,
        board: Option<&mut PciBoard>,
    ) -> Result<Self, StartError> {
        let board = board.ok_or(DeviceError::NoSlot)?;
        let wake = |_| EventFd::new(0).map(Arc::new).map_err(HostError::descriptors);
        let wakes = Arc::new((0..PORTS).map(wake).collect::<Result<Vec<_>, _>>()?);
        let mut at_ports: [Option<Arc<dyn AtaDevice>>; PORTS] = Default::default();
        for drive in drives {
            let port = at_ports.get_mut(usize::from(drive.port)).ok_or(DeviceError::NoSlot)?;
            *port = Some(Arc::clone(&drive.device));
        }
        let connections = Connections {
            pin: board.pin(PLACE),
            messages: to.irq_chip.message_sender(),
            notifier: Box::new(Wake(Arc::clone(&wakes))),
        };
        let mut function = Ahci::new(at_ports, to.memory.clone(), connections);
        board.preset(PLACE, |window, irq| function.config_mut().preset(window, irq))?;
        let function = Arc::new(Mutex::new(function));
        let access: Arc<Mutex<dyn MemoryBars>> = Arc::<Mutex<Ahci>>::clone(&function);
        let access = BarAccess { function: access, bar: REGISTER_BAR.number };
        let registers = to.mmio_bus.add(REGISTER_BAR.size, Arc::new(access));
        lock(&function).config_mut().decode_with(Box::new(Decoder(registers)));
        board.add(PLACE, Arc::clone(&function))?;
        Ok(Self { function, drives: drives.to_vec(), wakes })
    }

    /// What serves the ports that have a drive, and what wakes the threads that do.
    pub fn services(&self) -> impl Iterator<Item = (Box<dyn Fn() -> bool + Send>, Arc<EventFd>)> {
        let hba = Arc::clone(lock(&self.function).hba());
        self.drives.iter().filter_map(move |&AhciDrive { port, .. }| {
            let (hba, wake) = (Arc::clone(&hba), self.wakes.get(usize::from(port))?);
            let serve: Box<dyn Fn() -> bool + Send> = Box::new(move || hba.serve(port));
            Some((serve, Arc::clone(wake)))
        })
    }

    /// What wakes the threads.
    pub fn wakes(&self) -> &[Arc<EventFd>] {
        &self.wakes
    }

    /// The drives to boot from, and the paths by which SeaBIOS knows them
    /// (`bootprio_find_ata_device`, src/boot.c).
    pub fn boot_paths(&self) -> impl Iterator<Item = (u32, String)> {
        self.drives.iter().filter_map(|drive| {
            let (slot, port) = (PLACE.device(), drive.port);
            let path = format!("/pci@i0cf8/{NODE_NAME}@{slot:x}/drive@{port:x}/disk@0");
            Some((drive.boot_index?, path))
        })
    }

    /// The reset of the machine: returns once the commands in service have ended.
    pub fn reset(&self) {
        lock(&self.function).reset();
    }

    /// Makes durable what was written, at the end of the run.
    pub fn finish(&self) {
        self.drives.iter().for_each(|drive| drive.device.finish());
    }
}

/// Wakes the thread of a port.
struct Wake(Arc<Vec<Arc<EventFd>>>);

impl PortNotifier for Wake {
    fn notify(&self, port: u8) {
        if let Some(wake) = self.0.get(usize::from(port)) {
            // A full counter means that the thread has been woken already.
            let _ = wake.write(1);
        }
    }
}

/// Moves the registers along with the BAR.
struct Decoder(MmioPlace);

impl BarDecoder for Decoder {
    fn place(&self, _: u8, at: Option<u64>) {
        self.0.set(at);
    }
}
