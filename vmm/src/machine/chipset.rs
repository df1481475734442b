//! Where the two kinds of machine differ.

use std::sync::{Arc, Mutex};

use devices::acpi_pm_timer::{self, AcpiPmTimer};
use devices::clock::HostStopwatch;
use devices::pci::bus::PciBus;
use devices::pci::config::PciConfigPorts;
use devices::pci::description::PciDescription;
use devices::pci::{self, host_bridge, isa_bridge};
use devices::reset_control::{self, ResetControl};
use firmware::{MemoryMap, layout};
use vm_device::DevicePio;

use super::{lock, share};
use crate::bus::shared;
use crate::config::MachineKind;
use crate::error::StartError;
use crate::host::notices::Notifier;

/// What is between the CPU and the ISA bus, and where the two kinds of machine differ.
#[derive(Debug)]
pub(super) enum Chipset {
    /// No PCI; only the reset control register at the place where PCI would be configured.
    Microvm(Arc<Mutex<ResetControl>>),
    /// PCI with the bridges of an i440FX, and the power-management timer of a PIIX4, which has no function of its own here.
    Pc(Arc<Mutex<PciConfigPorts>>, Arc<Mutex<AcpiPmTimer>>),
}

impl Chipset {
    pub fn new(machine: MachineKind, notifier: &Notifier) -> Result<Self, StartError> {
        let reset_control = ResetControl::new(notifier.exit_handle());
        if machine == MachineKind::Microvm {
            return Ok(Self::Microvm(share(reset_control)));
        }
        let mut bus = PciBus::new();
        bus.add(host_bridge::PLACE, Box::new(host_bridge::function()))?;
        bus.add(isa_bridge::PLACE, Box::new(isa_bridge::function()))?;
        let timer = AcpiPmTimer::new(Box::new(HostStopwatch::start()));
        Ok(Self::Pc(share(PciConfigPorts::new(bus, reset_control)), share(timer)))
    }

    pub fn ports(&self) -> Vec<(u16, u16, Arc<dyn DevicePio + Send + Sync>)> {
        match self {
            Self::Microvm(reset) => {
                vec![(reset_control::BASE_PORT, reset_control::PORT_COUNT, shared(reset))]
            }
            Self::Pc(pci, timer) => vec![
                (pci::config::BASE_PORT, pci::config::PORT_COUNT, shared(pci)),
                (acpi_pm_timer::BASE_PORT, acpi_pm_timer::PORT_COUNT, shared(timer)),
            ],
        }
    }

    pub fn reset(&self) {
        match self {
            Self::Microvm(reset) => lock(reset).reset(),
            Self::Pc(pci, _) => lock(pci).reset(),
        }
    }

    /// PCI in the DSDT.
    pub fn description(&self, map: &MemoryMap) -> Option<PciDescription> {
        // Devices of the future find their place above all RAM there can be below 4 GiB.
        let window = map.below_4g().max(layout::MMIO_HOLE);
        let window = u32::try_from(window).unwrap_or(u32::MAX);
        matches!(self, Self::Pc(..)).then(|| PciDescription::new(window))
    }
}
