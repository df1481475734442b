//! ACPI power management, with either of two kinds of hardware.

use std::fmt;
use std::sync::{Arc, Mutex};

use devices::acpi_pm::{self, AcpiPm, AcpiPmDescription};
use devices::acpi_pm_timer::{self, AcpiPmTimer};
use devices::clock::HostStopwatch;
use devices::piix4_pm::{self, Piix4Pm, Piix4PmDescription};
use devices::reset_control;
use firmware::acpi::{AcpiConfig, FixedHardware, PowerManagement};

use super::irq::IrqChip;
use super::list::{Attached, DeviceList};
use super::parts::Parts;
use crate::config::MachineKind;
use crate::error::StartError;
use crate::lock::lock;

/// What the rest of the machine needs from power management.
pub(super) struct Power {
    /// Its description for the ACPI tables.
    pub acpi: AcpiConfig,
    /// The power button.
    pub button: PowerButton,
}

/// The power button of the machine's power-management chip.
pub(super) struct PowerButton(Box<dyn Fn() + Send + Sync>);

impl PowerButton {
    /// Presses it.
    pub fn press(&self) {
        (self.0)();
    }
}

impl fmt::Debug for PowerButton {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PowerButton")
    }
}

/// Attaches the machine's power management.
///
/// pc has the fixed hardware of a PC. microvm is hardware-reduced, which boots fastest, but Linux
/// then uses neither the 8259s nor the PIT and needs kvmclock. If KVM is hidden from the guest
/// (`-cpu host,kvm=off`), it would find no clock and hang, so microvm then has the fixed hardware
/// too.
///
/// # Errors
/// Two devices claim the same port.
pub(super) fn attach(
    list: &mut DeviceList,
    parts: &Parts<'_>,
    irq_chip: &IrqChip,
) -> Result<Power, StartError> {
    let config = parts.config;
    if config.machine == MachineKind::Pc || !config.cpu.kvm {
        attach_fixed(list, parts, irq_chip)
    } else {
        attach_reduced(list, parts, irq_chip)
    }
}

fn attach_reduced(
    list: &mut DeviceList,
    parts: &Parts<'_>,
    irq_chip: &IrqChip,
) -> Result<Power, StartError> {
    let chip = AcpiPm::new(parts.notifier.exit_handle(), irq_chip.line(acpi_pm::GED_IRQ));
    let chip = Arc::new(Mutex::new(chip));
    list.attach(
        Attached::shared("ACPI power management", Arc::clone(&chip))
            .ports(acpi_pm::BASE_PORT, acpi_pm::PORT_COUNT)
            .described(AcpiPmDescription),
    )?;
    let acpi = AcpiConfig {
        cpus: parts.config.cpus,
        reset_port: acpi_pm::RESET_PORT,
        reset_value: acpi_pm::RESET_VALUE,
        power: PowerManagement::HardwareReduced {
            sleep_control_port: acpi_pm::SLEEP_CONTROL_PORT,
            sleep_status_port: acpi_pm::SLEEP_STATUS_PORT,
        },
        pm_timer_port: None,
    };
    let button = PowerButton(Box::new(move || lock(&chip).press_power_button()));
    Ok(Power { acpi, button })
}

fn attach_fixed(
    list: &mut DeviceList,
    parts: &Parts<'_>,
    irq_chip: &IrqChip,
) -> Result<Power, StartError> {
    let chip = Piix4Pm::new(parts.notifier.exit_handle(), irq_chip.level_line(piix4_pm::SCI_IRQ));
    let chip = Arc::new(Mutex::new(chip));
    list.attach(
        Attached::shared("ACPI power management", Arc::clone(&chip))
            .ports(piix4_pm::BASE_PORT, piix4_pm::PORT_COUNT)
            .ports(piix4_pm::APM_PORT, piix4_pm::APM_PORT_COUNT)
            .described(Piix4PmDescription),
    )?;
    let timer = AcpiPmTimer::new(Box::new(HostStopwatch::start()));
    list.attach(
        Attached::new("ACPI timer", timer)
            .ports(acpi_pm_timer::BASE_PORT, acpi_pm_timer::PORT_COUNT),
    )?;
    let acpi = AcpiConfig {
        cpus: parts.config.cpus,
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
    };
    let button = PowerButton(Box::new(move || lock(&chip).press_power_button()));
    Ok(Power { acpi, button })
}
