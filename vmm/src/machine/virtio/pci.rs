//! PCI functions, each in a slot of its own.

use std::sync::{Arc, Mutex};

use devices::pci::bar::{BarAccess, BarDecoder, MemoryBars};
use devices::pci::bus::Devfn;
use devices::virtio::device::VirtioDevice;
use devices::virtio::net::VIRTIO_ID_NET;
use devices::virtio::pci::{
    self, MSIX_BAR, NOTIFICATION_STRIDE, NOTIFICATIONS, REGISTER_BAR, VirtioPci,
};
use vmm_sys_util::eventfd::EventFd;

use super::{Connections, Plugged, Transport, Wake};
use crate::config::MachineKind;
use crate::error::DeviceError;
use crate::lock::lock;
use crate::machine::chipset::PciBoard;
use crate::machine::doorbells::{Doorbell, Doorbells};
use crate::mmio_bus::MmioPlace;

/// The first slot, which is also where QEMU puts the first disk: before it are the bridges, the
/// display and the network card that QEMU has by default.
const FIRST_SLOT: u8 = 4;
/// The slot of the first network card, as in QEMU: guests name the card after it (`enp0s3`).
const CARD_SLOT: u8 = 3;
/// The number after the last slot of the bus, which has 32.
const END: u8 = FIRST_SLOT + MachineKind::Pc.virtio_slots();

/// The slots that are not taken: all from `next` on.
#[derive(Debug)]
pub(super) struct Slots {
    board: PciBoard,
    next: u8,
    has_card: bool,
}

impl Slots {
    pub fn new(board: PciBoard) -> Self {
        Self { board, next: FIRST_SLOT, has_card: false }
    }

    pub fn free(&self) -> usize {
        END.saturating_sub(self.next).into()
    }

    pub fn board(&mut self) -> &mut PciBoard {
        &mut self.board
    }

    pub fn into_board(self) -> PciBoard {
        self.board
    }

    pub fn plug(
        &mut self,
        to: &Connections,
        device: Arc<dyn VirtioDevice>,
        wakes: Vec<Arc<EventFd>>,
    ) -> Result<Plugged, DeviceError> {
        let is_first_card = device.device_id() == VIRTIO_ID_NET && !self.has_card;
        let place = if is_first_card {
            self.has_card = true;
            Devfn::new(CARD_SLOT, 0)
        } else if self.next < END {
            self.next += 1;
            Devfn::new(self.next - 1, 0)
        } else {
            return Err(DeviceError::NoSlot);
        };
        let name = pci::node_name(device.device_id());
        let path = format!("/pci@i0cf8/{name}@{:x}", place.device());

        let connections = pci::Connections {
            pin: self.board.pin(place),
            messages: to.irq_chip.message_sender(),
            notifier: Box::new(Wake(wakes.clone())),
        };
        let mut function = VirtioPci::new(device, to.memory.clone(), connections);
        self.board.preset(place, |window, irq| function.config_mut().preset(window, irq))?;
        let state = Arc::clone(function.state());
        let function = Arc::new(Mutex::new(function));

        let bells = (0u32..).zip(&wakes).map(|(queue, wake)| Doorbell {
            offset: u64::from(queue * NOTIFICATION_STRIDE),
            value: None,
            wake: Arc::clone(wake),
        });
        let doorbells = Arc::new(Doorbells::new(to.irq_chip.clone(), bells.collect()));
        let [msix, registers] = [MSIX_BAR, REGISTER_BAR].map(|bar| {
            let function: Arc<Mutex<dyn MemoryBars>> = Arc::<Mutex<VirtioPci>>::clone(&function);
            let access = BarAccess { function, bar: bar.number };
            to.mmio_bus.add(bar.size, Arc::new(access))
        });
        let decoder = Decoder { msix, registers, doorbells: Arc::clone(&doorbells) };
        lock(&function).config_mut().decode_with(Box::new(decoder));
        self.board.add(place, Arc::clone(&function))?;
        Ok(Plugged { state, wakes, doorbells, transport: Transport::Pci(function), path })
    }
}

/// Moves the registers and the notifications along with the BARs.
struct Decoder {
    msix: MmioPlace,
    registers: MmioPlace,
    doorbells: Arc<Doorbells>,
}

impl BarDecoder for Decoder {
    fn place(&self, bar: u8, at: Option<u64>) {
        if bar == MSIX_BAR.number {
            self.msix.set(at);
        } else {
            self.registers.set(at);
            self.doorbells.place(at.map(|at| at.wrapping_add(NOTIFICATIONS)));
        }
    }
}
