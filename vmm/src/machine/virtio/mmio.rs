//! Memory-mapped registers: 512 bytes and an I/O APIC pin for each device.

use std::sync::{Arc, Mutex};

use devices::virtio::device::VirtioDevice;
use devices::virtio::mmio::{QUEUE_NOTIFY, SIZE, VirtioMmio, VirtioMmioDescription};
use firmware::layout;
use vmm_sys_util::eventfd::EventFd;

use super::{Connections, Plugged, Transport, Wake};
use crate::config::MachineKind;
use crate::error::DeviceError;
use crate::lock::lock;
use crate::machine::doorbells::{Doorbell, Doorbells};

/// The first interrupt: an I/O APIC pin that no ISA device has. QEMU's microvm uses the same eight.
const FIRST_GSI: u8 = 16;
/// How many devices there can be: one interrupt each.
const LIMIT: u8 = MachineKind::Microvm.virtio_slots();

/// The places that are not taken: all from this number on.
#[derive(Debug, Default)]
pub(super) struct Slots(u8);

impl Slots {
    pub fn free(&self) -> usize {
        LIMIT.saturating_sub(self.0).into()
    }

    pub fn plug(
        &mut self,
        to: &Connections,
        device: Arc<dyn VirtioDevice>,
        wakes: Vec<Arc<EventFd>>,
    ) -> Result<Plugged, DeviceError> {
        let index = self.0;
        if index >= LIMIT {
            return Err(DeviceError::NoSlot);
        }
        self.0 += 1;
        let gsi = FIRST_GSI + index;
        let base = layout::VIRTIO_MMIO + SIZE * u32::from(index);
        let notifier = Box::new(Wake(wakes.clone()));
        let registers = VirtioMmio::new(device, to.memory.clone(), to.irq_chip.line(gsi), notifier);
        let registers = Arc::new(Mutex::new(registers));
        let bells = (0..).zip(&wakes).map(|(queue, wake)| Doorbell {
            offset: 0,
            value: Some(queue),
            wake: Arc::clone(wake),
        });
        let doorbells = Arc::new(Doorbells::new(to.irq_chip.clone(), bells.collect()));
        to.mmio_bus.add_fixed(base.into(), SIZE, Arc::<Mutex<VirtioMmio>>::clone(&registers));
        doorbells.place(Some(u64::from(base) + QUEUE_NOTIFY));
        let state = Arc::clone(lock(&registers).state());
        let description = VirtioMmioDescription { index, base, gsi: gsi.into() };
        Ok(Plugged {
            state,
            wakes,
            doorbells,
            transport: Transport::Mmio(registers, description),
            path: format!("/virtio-mmio@{base:016x}"),
        })
    }
}
