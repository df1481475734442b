//! The chips between the CPU and the ISA bus.

use std::sync::{Arc, Mutex};

use devices::ide_connectors::{self, IdeConnectors};
use devices::irq::LevelLine;
use devices::pci::bar::MemoryWindow;
use devices::pci::bus::{Devfn, PciBus};
use devices::pci::config::PciConfigPorts;
use devices::pci::description::{MEMORY_WINDOW_LAST, PciDescription};
use devices::pci::function::PciFunction;
use devices::pci::interrupt_links::InterruptLinks;
use devices::pci::isa_bridge::{self, IsaBridge};
use devices::pci::pirq::{self, PirqRouter};
use devices::pci::{self, host_bridge};
use devices::piix4_pm;
use devices::reset_control::{self, ResetControl};
use firmware::{MemoryMap, layout};

use super::irq::IrqChip;
use super::list::{Attached, DeviceList};
use super::parts::Parts;
use crate::boot::Boot;
use crate::config::MachineKind;
use crate::error::DeviceError;

/// The PCI bus of pc while functions are added to it.
#[derive(Debug)]
pub struct PciBoard {
    bus: PciBus,
    router: PirqRouter,
    /// Where the machine places BARs itself, if no firmware does.
    window: Option<MemoryWindow>,
    memory_window: u32,
    /// The functions that have an interrupt pin.
    pins: Vec<Devfn>,
}

impl PciBoard {
    /// The board of the machine, if it has PCI: with the bridges of an i440FX and the
    /// power-management function of a PIIX4.
    ///
    /// # Errors
    /// Two functions claim the same slot.
    pub fn new(parts: &Parts<'_>, irq_chip: &IrqChip) -> Result<Option<Self>, DeviceError> {
        if parts.config.machine != MachineKind::Pc {
            return Ok(None);
        }
        let memory_window = memory_window(parts.map);
        let router = PirqRouter::new(|irq| irq_chip.level_line(irq));
        let mut isa_bridge = IsaBridge::new(router.clone());
        let mut window = None;
        if matches!(parts.boot, Boot::Direct(_)) {
            isa_bridge = isa_bridge.with_routes(pirq::ROUTES);
            window = Some(MemoryWindow::new(memory_window, MEMORY_WINDOW_LAST));
        }
        let mut bus = PciBus::new();
        bus.add(host_bridge::PLACE, Box::new(host_bridge::function()))?;
        bus.add(isa_bridge::PLACE, Box::new(isa_bridge))?;
        bus.add(piix4_pm::PLACE, Box::new(piix4_pm::function()))?;
        Ok(Some(Self { bus, router, window, memory_window, pins: Vec::new() }))
    }

    /// INTA of the function at `place`.
    pub fn pin(&mut self, place: Devfn) -> Box<dyn LevelLine> {
        self.pins.push(place);
        self.router.pin(place)
    }

    /// Does for the function at `place` what firmware would do, if there is none: `preset` places
    /// its BARs in the window and sets its interrupt line, and returns false without room.
    ///
    /// # Errors
    /// There is no room for its BARs.
    pub fn preset(
        &mut self,
        place: Devfn,
        preset: impl FnOnce(&mut MemoryWindow, u8) -> bool,
    ) -> Result<(), DeviceError> {
        let irq = pirq::ROUTES[usize::from(pirq::pirq(place))];
        let fits = self.window.as_mut().is_none_or(|window| preset(window, irq));
        if fits { Ok(()) } else { Err(DeviceError::NoSlot) }
    }

    /// Adds a function.
    ///
    /// # Errors
    /// The slot is taken.
    pub fn add<F: PciFunction + 'static>(
        &mut self,
        place: Devfn,
        function: Arc<Mutex<F>>,
    ) -> Result<(), DeviceError> {
        Ok(self.bus.add(place, Box::new(function))?)
    }
}

/// Attaches the chipset.
///
/// microvm has no PCI, only the reset control register, whose port is within the PCI configuration
/// ports. pc has PCI with what is on its `board`, and IDE connectors without drives.
///
/// # Errors
/// Two devices claim the same port.
pub(super) fn attach(
    list: &mut DeviceList,
    parts: &Parts<'_>,
    board: Option<PciBoard>,
) -> Result<(), DeviceError> {
    let reset_control = ResetControl::new(parts.notifier.exit_handle());
    let Some(board) = board else {
        return list.attach(
            Attached::new("reset control", reset_control)
                .ports(reset_control::BASE_PORT, reset_control::PORT_COUNT),
        );
    };
    let connectors = Attached::new("IDE connectors", IdeConnectors);
    let ports = ide_connectors::PORTS.into_iter();
    list.attach(ports.fold(connectors, |all, (first, count)| all.ports(first, count)))?;
    let bridge = PciDescription::new(board.memory_window);
    list.attach(
        Attached::new("PCI", PciConfigPorts::new(board.bus, reset_control))
            .ports(pci::config::BASE_PORT, pci::config::PORT_COUNT)
            .described(bridge.with_links(InterruptLinks::new(board.pins))),
    )
}

/// Start of the window for memory-mapped PCI devices: above all RAM below 4 GiB.
fn memory_window(map: &MemoryMap) -> u32 {
    u32::try_from(map.below_4g().max(layout::MMIO_HOLE)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_mapped_devices_begin_above_ram() {
        assert_eq!(memory_window(&MemoryMap::new(2 << 20)), 0xc000_0000);
        let big = MemoryMap::new(8 << 30);
        assert_eq!(u64::from(memory_window(&big)), big.below_4g());
    }
}
