//! Where the two kinds of machine differ.

use std::sync::{Arc, Mutex};

use acpi_tables::Aml;
use devices::acpi_pm::{self, AcpiPm, AcpiPmDescription};
use devices::acpi_pm_timer::{self, AcpiPmTimer};
use devices::clock::HostStopwatch;
use devices::pci::bus::PciBus;
use devices::pci::config::PciConfigPorts;
use devices::pci::description::PciDescription;
use devices::pci::{self, host_bridge, isa_bridge};
use devices::piix4_pm::{self, Piix4Pm, Piix4PmDescription};
use devices::reset_control::{self, ResetControl};
use firmware::acpi::{AcpiConfig, FixedHardware, PowerManagement};
use firmware::{MemoryMap, layout};
use vm_device::DevicePio;

use super::{KvmLine, lock, share};
use crate::bus::shared;
use crate::config::{MachineKind, VmConfig};
use crate::error::StartError;
use crate::notices::Notifier;

/// Chips in which machines differ: what is between the CPU and the ISA bus, and power management.
#[derive(Debug)]
pub(super) struct Chipset {
    bridge: Bridge,
    power: Power,
}

/// What is between the CPU and the ISA bus.
#[derive(Debug)]
enum Bridge {
    /// Nothing; only the reset control register, in the place of PCI's ports.
    None(Arc<Mutex<ResetControl>>),
    /// PCI with the bridges of an i440FX.
    Pci(Arc<Mutex<PciConfigPorts>>),
}

/// ACPI power management.
#[derive(Debug)]
enum Power {
    /// Hardware-reduced: the cheapest to boot with. Linux then uses neither 8259s nor PIT, and needs
    /// kvmclock.
    Reduced(Arc<Mutex<AcpiPm>>),
    /// The fixed hardware of a PIIX4, with its timer.
    Fixed(Arc<Mutex<Piix4Pm>>, Arc<Mutex<AcpiPmTimer>>),
}

type Ports = (u16, u16, Arc<dyn DevicePio + Send + Sync>);

impl Chipset {
    /// The chips of the machine. `line` makes the interrupt line of an ISA interrupt.
    ///
    /// `pc` has the fixed hardware of a PC. So has `microvm` where the guest does not see KVM: with
    /// neither kvmclock nor a PIT, Linux finds no clock and hangs.
    pub fn new(
        config: &VmConfig,
        notifier: &Notifier,
        line: impl Fn(u8) -> KvmLine,
    ) -> Result<Self, StartError> {
        let exit = || notifier.exit_handle();
        let reset_control = ResetControl::new(exit());
        let is_pc = config.machine == MachineKind::Pc;
        let bridge = if is_pc {
            let mut bus = PciBus::new();
            bus.add(host_bridge::PLACE, Box::new(host_bridge::function()))?;
            bus.add(isa_bridge::PLACE, Box::new(isa_bridge::function()))?;
            bus.add(piix4_pm::PLACE, Box::new(piix4_pm::function()))?;
            Bridge::Pci(share(PciConfigPorts::new(bus, reset_control)))
        } else {
            Bridge::None(share(reset_control))
        };
        let power = if is_pc || !config.cpu.kvm {
            let pm = Piix4Pm::new(exit(), Box::new(line(piix4_pm::SCI_IRQ)));
            Power::Fixed(share(pm), share(AcpiPmTimer::new(Box::new(HostStopwatch::start()))))
        } else {
            Power::Reduced(share(AcpiPm::new(exit(), Box::new(line(acpi_pm::GED_IRQ)))))
        };
        Ok(Self { bridge, power })
    }

    pub fn ports(&self) -> Vec<Ports> {
        let bridge: Ports = match &self.bridge {
            Bridge::None(reset) => {
                (reset_control::BASE_PORT, reset_control::PORT_COUNT, shared(reset))
            }
            Bridge::Pci(pci) => (pci::config::BASE_PORT, pci::config::PORT_COUNT, shared(pci)),
        };
        let mut ports = vec![bridge];
        match &self.power {
            Power::Reduced(pm) => ports.push((acpi_pm::BASE_PORT, acpi_pm::PORT_COUNT, shared(pm))),
            Power::Fixed(pm, timer) => {
                ports.push((piix4_pm::BASE_PORT, piix4_pm::PORT_COUNT, shared(pm)));
                ports.push((piix4_pm::APM_PORT, piix4_pm::APM_PORT_COUNT, shared(pm)));
                ports.push((acpi_pm_timer::BASE_PORT, acpi_pm_timer::PORT_COUNT, shared(timer)));
            }
        }
        ports
    }

    pub fn reset(&self) {
        match &self.bridge {
            Bridge::None(reset) => lock(reset).reset(),
            Bridge::Pci(pci) => lock(pci).reset(),
        }
        match &self.power {
            Power::Reduced(pm) => lock(pm).reset(),
            Power::Fixed(pm, _) => lock(pm).reset(),
        }
    }

    /// Presses the power button.
    pub fn press_power_button(&self) {
        match &self.power {
            Power::Reduced(pm) => lock(pm).press_power_button(),
            Power::Fixed(pm, _) => lock(pm).press_power_button(),
        }
    }

    /// Its devices in the DSDT.
    pub fn description(&self, map: &MemoryMap) -> Vec<Box<dyn Aml>> {
        let mut devices: Vec<Box<dyn Aml>> = vec![match &self.power {
            Power::Reduced(_) => Box::new(AcpiPmDescription),
            Power::Fixed(..) => Box::new(Piix4PmDescription),
        }];
        if let Bridge::Pci(_) = &self.bridge {
            // The memory window begins above all RAM there can be below 4 GiB.
            let window = map.below_4g().max(layout::MMIO_HOLE);
            let window = u32::try_from(window).unwrap_or(u32::MAX);
            devices.push(Box::new(PciDescription::new(window)));
        }
        devices
    }

    /// What the other ACPI tables say of it.
    pub fn acpi_config(&self, cpus: u8) -> AcpiConfig {
        match &self.power {
            Power::Reduced(_) => AcpiConfig {
                cpus,
                reset_port: acpi_pm::RESET_PORT,
                reset_value: acpi_pm::RESET_VALUE,
                power: PowerManagement::HardwareReduced {
                    sleep_control_port: acpi_pm::SLEEP_CONTROL_PORT,
                    sleep_status_port: acpi_pm::SLEEP_STATUS_PORT,
                },
                pm_timer_port: None,
            },
            Power::Fixed(..) => AcpiConfig {
                cpus,
                reset_port: reset_control::PORT,
                reset_value: reset_control::RESET_VALUE,
                power: PowerManagement::Fixed(FixedHardware {
                    event_port: piix4_pm::EVENT_PORT,
                    control_port: piix4_pm::CONTROL_PORT,
                    sci: piix4_pm::SCI_IRQ,
                    command_port: piix4_pm::APM_PORT,
                    enable: piix4_pm::ACPI_ENABLE,
                    disable: piix4_pm::ACPI_DISABLE,
                }),
                pm_timer_port: Some(acpi_pm_timer::BASE_PORT),
            },
        }
    }
}
