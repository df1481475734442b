//! The chips between the CPU and the ISA bus.

use devices::ide_connectors::{self, IdeConnectors};
use devices::pci::bus::PciBus;
use devices::pci::config::PciConfigPorts;
use devices::pci::description::PciDescription;
use devices::pci::isa_bridge::{self, IsaBridge};
use devices::pci::pirq::PirqRouter;
use devices::pci::{self, host_bridge};
use devices::piix4_pm;
use devices::reset_control::{self, ResetControl};
use firmware::{MemoryMap, layout};

use super::irq::IrqChip;
use super::list::{Attached, DeviceList};
use super::parts::Parts;
use crate::config::MachineKind;
use crate::error::DeviceError;

/// Attaches the chipset.
///
/// microvm has no PCI, only the reset control register, whose port is within the PCI configuration
/// ports. pc has PCI with the bridges of an i440FX and the power-management function of a PIIX4, and
/// IDE connectors without drives.
///
/// # Errors
/// Two devices claim the same port or PCI slot.
pub(super) fn attach(
    list: &mut DeviceList,
    parts: &Parts<'_>,
    irq_chip: &IrqChip,
) -> Result<(), DeviceError> {
    let reset_control = ResetControl::new(parts.notifier.exit_handle());
    match parts.config.machine {
        MachineKind::Microvm => list.attach(
            Attached::new("reset control", reset_control)
                .ports(reset_control::BASE_PORT, reset_control::PORT_COUNT),
        ),
        MachineKind::Pc => {
            let connectors = Attached::new("IDE connectors", IdeConnectors);
            let ports = ide_connectors::PORTS.into_iter();
            list.attach(ports.fold(connectors, |all, (first, count)| all.ports(first, count)))?;
            let router = PirqRouter::new(|irq| irq_chip.level_line(irq));
            let isa_bridge = IsaBridge::new(router);
            let mut bus = PciBus::new();
            bus.add(host_bridge::PLACE, Box::new(host_bridge::function()))?;
            bus.add(isa_bridge::PLACE, Box::new(isa_bridge))?;
            bus.add(piix4_pm::PLACE, Box::new(piix4_pm::function()))?;
            list.attach(
                Attached::new("PCI", PciConfigPorts::new(bus, reset_control))
                    .ports(pci::config::BASE_PORT, pci::config::PORT_COUNT)
                    .described(PciDescription::new(memory_window(parts.map))),
            )
        }
    }
}

/// Start of the window for memory-mapped PCI devices: above all RAM below 4 GiB.
fn memory_window(map: &MemoryMap) -> u32 {
    u32::try_from(map.below_4g().max(layout::MMIO_HOLE)).unwrap_or(u32::MAX)
}
