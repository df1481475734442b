//! The machine: THE list of its devices, at which ports and interrupts, and the VM they are part of.

mod chipset;
pub mod disks;
pub mod irq;
pub mod items;
mod outputs;
pub mod parts;
pub mod trace;

use std::sync::{Arc, Mutex, MutexGuard, TryLockError};

use acpi_tables::Aml;
use devices::acpi_pm::{self, AcpiPm, AcpiPmDescription};
use devices::acpi_pm_timer;
use devices::cmos::{self, Cmos, CmosDescription};
use devices::debug_exit::DebugExit;
use devices::debugcon::Debugcon;
use devices::fw_cfg::{self as fw_cfg_ports, FwCfgDescription, FwCfgPorts, StringPort};
use devices::i8042::{self, I8042};
use devices::port92::{self, Port92};
use devices::serial::{self, Serial};
use devices::virtio::mmio;
use firmware::acpi::{AcpiConfig, AcpiTables};
use fw_cfg::FwCfg;
use fw_cfg::event::{Event, Observer};
use guest_memory::Engine;
use kvm_ioctls::VmFd;
use vm_device::DevicePio;
use vm_memory::GuestMemoryMmap;

use crate::bus::{Bus, lock, shared};
use crate::config::{MachineKind, VmConfig};
use crate::error::{StartError, UserDevice};
use crate::host::notices::Notifier;
use crate::host::rtc_clock::RtcClock;
use crate::outcome::Outcome;
use chipset::Chipset;
use disks::Disks;
use irq::IrqChip;
use outputs::SerialPort;
use parts::Parts;
use trace::FwCfgTrace;

/// The devices. They live as long as the process; a reset of the machine resets them.
#[derive(Debug)]
pub struct Devices {
    /// What the vCPUs reach.
    pub bus: Arc<Bus>,
    /// The serial ports there are.
    serial: Vec<SerialPort>,
    i8042: Arc<Mutex<I8042>>,
    cmos: Arc<Mutex<Cmos>>,
    acpi_pm: Arc<Mutex<AcpiPm>>,
    fw_cfg: Arc<Mutex<FwCfgPorts<GuestMemoryMmap>>>,
    port92: Arc<Mutex<Port92>>,
    chipset: Chipset,
    debugcon: Option<Arc<Mutex<Debugcon>>>,
    /// The guest's disks.
    pub disks: Disks,
    /// What the guest does with fw_cfg, where the user wants to see it.
    trace: Option<FwCfgTrace>,
    /// Where their interrupt lines lead.
    irq_chip: IrqChip,
    /// The tables that describe them.
    pub acpi: AcpiTables,
}

impl Devices {
    /// Builds the devices of a machine.
    ///
    /// # Errors
    /// An output file cannot be created, the host is out of descriptors, or something cannot be published by fw_cfg.
    pub fn new(parts: &Parts<'_>) -> Result<Self, StartError> {
        let &Parts { config, map, notifier, .. } = parts;
        let irq_chip = IrqChip::default();
        let serial = outputs::serial_ports(parts, &irq_chip)?;
        let i8042 = share(I8042::new(notifier.exit_handle()));
        let clock = Box::new(RtcClock::new(config.rtc.base));
        let cmos = share(Cmos::new(clock, map.below_4g(), map.above_4g(), config.cpus));
        let acpi_pm = share(AcpiPm::new(notifier.exit_handle(), irq_chip.line(acpi_pm::GED_IRQ)));
        let port92 = share(Port92::new(notifier.exit_handle()));
        let chipset = Chipset::new(config.machine, notifier)?;
        let debugcon = outputs::debugcon(parts)?.map(share);

        let mut described: Vec<&dyn Aml> =
            serial.iter().map(|port| &port.com as &dyn Aml).collect();
        described.extend([&CmosDescription as &dyn Aml, &AcpiPmDescription, &FwCfgDescription]);
        let disks = Disks::new(parts.disks, parts.ram.memory(), &irq_chip)?;
        described.extend(disks.descriptions().map(|disk| disk as &dyn Aml));
        let pci = chipset.description(map);
        described.extend(pci.iter().map(|pci| pci as &dyn Aml));
        let acpi = AcpiTables::build(&acpi_config(config), &described);

        let items = items::items(parts, &acpi)?;
        let trace = outputs::trace(parts)?;
        let mut device = FwCfg::new(items, parts.ram.engine().clone());
        device.observe(observer(trace.clone(), notifier.clone(), parts.ram.engine().clone()));
        let fw_cfg = share(FwCfgPorts::new(device));

        let mut ports = vec![
            (i8042::DATA_PORT, 1, shared(&i8042)),
            (i8042::COMMAND_PORT, 1, shared(&i8042)),
            (cmos::BASE_PORT, cmos::PORT_COUNT, shared(&cmos)),
            (acpi_pm::BASE_PORT, acpi_pm::PORT_COUNT, shared(&acpi_pm)),
            (port92::PORT, 1, shared(&port92)),
            (fw_cfg_ports::SELECTOR_PORT, fw_cfg_ports::SELECTOR_PORT_COUNT, shared(&fw_cfg)),
            (fw_cfg_ports::DMA_PORT, fw_cfg_ports::DMA_PORT_COUNT, shared(&fw_cfg)),
        ];
        let at = |port: &SerialPort| (port.com.base_port(), serial::PORT_COUNT, shared(&port.chip));
        ports.extend(serial.iter().map(at));
        ports.extend(chipset.ports());
        if let (Some(chip), Some(wanted)) = (&debugcon, &config.debugcon) {
            let place = (wanted.port, 1, shared(chip));
            add(&mut ports, UserDevice::Debugcon, place)?;
        }
        if let Some(wanted) = config.debug_exit {
            let chip = share(DebugExit::new(notifier.exit_handle()));
            let place = (wanted.port, wanted.size, shared(&chip));
            add(&mut ports, UserDevice::DebugExit, place)?;
        }
        let data_port: Arc<dyn StringPort> = Arc::<Mutex<FwCfgPorts<_>>>::clone(&fw_cfg);
        let mut bus = Bus::new(ports)
            .map_err(StartError::Bus)?
            .with_string_port(fw_cfg_ports::DATA_PORT, data_port);
        for (base, registers) in disks.registers() {
            bus.add_mmio(base, mmio::SIZE, registers).map_err(StartError::Bus)?;
        }
        let bus = Arc::new(if trace.is_some() { bus.counting_unanswered() } else { bus });
        Ok(Self {
            bus,
            serial,
            i8042,
            cmos,
            acpi_pm,
            fw_cfg,
            port92,
            chipset,
            debugcon,
            disks,
            trace,
            irq_chip,
            acpi,
        })
    }

    /// Leads the interrupt lines to a VM, away from the one before.
    pub fn connect(&self, vm: Arc<VmFd>) {
        self.disks.connect(&vm);
        self.irq_chip.connect(vm);
    }

    /// The reset of the machine, while no vCPU runs. False: the flusher has a serial port, perhaps waiting for a reader of its
    /// output; nothing is lost by another try.
    #[must_use]
    pub fn try_reset(&self) -> bool {
        for port in &self.serial {
            let Some(mut chip) = try_lock(&port.chip) else { return false };
            chip.reset();
        }
        if let Some(debugcon) = &self.debugcon {
            let Some(mut chip) = try_lock(debugcon) else { return false };
            chip.reset();
        }
        lock(&self.i8042).reset();
        lock(&self.cmos).reset();
        lock(&self.acpi_pm).reset();
        lock(&self.fw_cfg).reset();
        lock(&self.port92).reset();
        self.chipset.reset();
        self.disks.reset();
        true
    }

    /// Passes on what the serial ports hold back, and waits for it, perhaps for ever. For the flusher's thread; for the main one
    /// only at the end, when nothing is left to hear of.
    pub fn flush(&self) {
        for port in &self.serial {
            lock(&port.chip).sink_mut().flush_now();
        }
        if let Some(debugcon) = &self.debugcon {
            lock(debugcon).sink_mut().flush_now();
        }
    }

    /// Says what the trace has resolved, at the very end.
    pub fn finish_trace(&self) {
        if let Some(trace) = &self.trace {
            trace.finish(lock(&self.fw_cfg).device().items(), &self.bus.unanswered());
        }
    }

    /// The serial port on standard input and output.
    fn terminal(&self) -> Option<&Mutex<Serial>> {
        self.serial.iter().find(|port| port.on_stdio).map(|port| &*port.chip)
    }

    /// Gives what was typed to the serial port on standard input, as much as it takes. False: the port is busy; try again.
    pub fn type_in(&self, typed: &mut Vec<u8>) -> bool {
        let Some(terminal) = self.terminal() else {
            typed.clear();
            return true;
        };
        let Some(mut serial) = try_lock(terminal) else { return false };
        let taken = serial.enqueue(typed);
        typed.drain(..taken);
        true
    }

    /// Standard input is no terminal: what it holds waits until the guest listens.
    pub fn await_listener(&self) {
        if let Some(terminal) = self.terminal() {
            lock(terminal).await_listener();
        }
    }

    /// Presses the power button.
    pub fn press_power_button(&self) {
        lock(&self.acpi_pm).press_power_button();
    }
}

fn acpi_config(config: &VmConfig) -> AcpiConfig {
    AcpiConfig {
        cpus: config.cpus,
        reset_port: acpi_pm::RESET_PORT,
        reset_value: acpi_pm::RESET_VALUE,
        sleep_control_port: acpi_pm::SLEEP_CONTROL_PORT,
        sleep_status_port: acpi_pm::SLEEP_STATUS_PORT,
        pm_timer_port: (config.machine == MachineKind::Pc).then_some(acpi_pm_timer::BASE_PORT),
    }
}

/// The ports that KVM answers itself, first and number: the PICs with their edge/level registers, the PIT and its gate.
const KVM_PORTS: [(u16, u16); 5] = [(0x20, 2), (0xa0, 2), (0x4d0, 2), (0x40, 4), (0x61, 1)];

/// A device at its ports: the first, and how many.
type Place = (u16, u16, Arc<dyn DevicePio + Send + Sync>);

/// Puts a device at the ports that the user wants for it.
///
/// # Errors
/// Another device has one of them.
fn add(ports: &mut Vec<Place>, of: UserDevice, place: Place) -> Result<(), StartError> {
    let taken = ports.iter().map(|(first, count, _)| (*first, *count)).chain(KVM_PORTS);
    if let Some(port) = first_taken((place.0, place.1), taken) {
        return Err(StartError::PortTaken { of, port });
    }
    ports.push(place);
    Ok(())
}

/// The lowest of some ports, first and number, that is among those taken.
fn first_taken((first, count): (u16, u16), taken: impl Iterator<Item = (u16, u16)>) -> Option<u16> {
    let wanted = u32::from(first)..u32::from(first) + u32::from(count);
    let common = |(first, count): (u16, u16)| {
        let end = u32::from(first) + u32::from(count);
        let lowest = wanted.start.max(first.into());
        (lowest < wanted.end.min(end)).then_some(lowest)
    };
    taken.filter_map(common).min().and_then(|port| port.try_into().ok())
}

/// Hears of what the guest does with fw_cfg: everything for the trace; and always when the host cannot read an item any more.
fn observer(
    mut trace: Option<FwCfgTrace>,
    notifier: Notifier,
    engine: Engine<GuestMemoryMmap>,
) -> Box<dyn Observer> {
    Box::new(move |event: &Event<'_>| {
        if let Some(trace) = &mut trace {
            trace.observe(event);
        }
        if let Event::HostError { item, error } = event {
            let lost = format!("the guest cannot have {item} by fw_cfg: {error}");
            notifier.note(|n| n.item_lost = n.item_lost.take().or(Some(lost)));
            // What the guest has of a mapped file is lost as well.
            if let Some(cut) = Outcome::file_cut(&engine) {
                notifier.note(|n| n.ended = n.ended.take().or(Some(cut)));
            }
        }
    })
}

fn share<T>(device: T) -> Arc<Mutex<T>> {
    Arc::new(Mutex::new(device))
}

/// A device's lock, unless somebody has it.
fn try_lock<T>(device: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
    match device.try_lock() {
        Ok(guard) => Some(guard),
        Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_port_that_is_taken_is_found() {
        let taken = || [(0x60, 1), (0x510, 2), (0x514, 8), (0xfffe, 2)].into_iter();
        for (wanted, found) in [
            ((0x60, 1), Some(0x60)),
            ((0x61, 1), None),
            ((0x5f, 1), None),
            ((0x5f, 2), Some(0x60)),
            ((0x501, 2), None),
            ((0x50f, 0x20), Some(0x510)),
            ((0x512, 2), None),
            ((0x512, 3), Some(0x514)),
            ((0x51b, 1), Some(0x51b)),
            ((0x51c, 1), None),
            ((0, 0xffff), Some(0x60)),
            ((0xffff, 1), Some(0xffff)),
        ] {
            assert_eq!(first_taken(wanted, taken()), found, "{wanted:x?}");
        }
    }
}
