//! The machine: its list of devices, with their ports and interrupt lines.

pub mod ahci;
pub mod cards;
mod chipset;
pub mod disks;
mod doorbells;
pub mod entropy;
mod flash;
mod fw_cfg;
pub mod input_port;
pub mod irq;
pub mod items;
mod list;
pub mod outputs;
pub mod parts;
mod power;
mod testdev;
mod threads;
mod trace;
pub mod virtio;
pub mod virtio_serial;
pub mod watchdog;

use std::sync::Arc;

use acpi_tables::Aml;
use devices::cmos::{self, Cmos, CmosDescription};
use devices::debug_exit::DebugExit;
use devices::fw_cfg::FwCfgDescription;
use devices::i8042::{self, I8042};
use devices::pc_testdev;
use devices::port92::{self, Port92};
use devices::pvpanic::{self, PvPanic, PvPanicDescription};
use firmware::acpi::AcpiTables;

use crate::bus::Bus;
use crate::error::{DeviceError, StartError};
use crate::host::notices::Notifier;
use crate::host::rtc_clock::RtcClock;
use crate::kvm;
use crate::kvm::coalesced::CoalescedWrites;
use crate::lock::lock;
use crate::mmio_bus::MmioBus;
use crate::run::lines::Connected;
use cards::Cards;
use chipset::PciBoard;
use disks::Disks;
use entropy::Entropy;
use flash::FlashChips;
use irq::IrqChip;
use list::{Attached, DeviceList};
use outputs::{Consoles, Inputs};
use parts::Parts;
use power::PowerButton;
use trace::FwCfgTrace;
use virtio::{Connections, Slots};
use virtio_serial::VirtioSerials;
use watchdog::Watchdog;

/// The devices. They exist as long as the process does; a machine reset resets them.
#[derive(Debug)]
pub struct Devices {
    /// The ports that the vCPUs access.
    pub bus: Arc<Bus>,
    /// Routes the devices' interrupt lines.
    pub irq_chip: IrqChip,
    /// The ACPI tables that describe the devices.
    pub acpi: AcpiTables,
    /// The guest's network cards, which access memory.
    pub cards: Cards,
    /// The guest's disks, which answer memory accesses.
    pub disks: Disks,
    /// The guest's source of random numbers.
    pub entropy: Entropy,
    /// The guest's virtio consoles and ports.
    pub virtio_serials: VirtioSerials,
    /// The flash chips with the firmware.
    pub flash: FlashChips,
    /// The watchdog.
    pub watchdog: Option<Watchdog>,
    /// Writes to consoles that KVM collects, if it can.
    pub coalesced: Option<Arc<CoalescedWrites>>,
    list: DeviceList,
    /// The devices that get input.
    inputs: Inputs,
    power_button: PowerButton,
    /// Present if the user requested a trace of fw_cfg.
    trace: Option<(FwCfgTrace, fw_cfg::SharedFwCfg)>,
}

/// Attaches the device by which a kernel reports its panic, if it is configured.
fn attach_pvpanic(list: &mut DeviceList, parts: &Parts<'_>) -> Result<(), DeviceError> {
    if !parts.config.pvpanic {
        return Ok(());
    }
    list.attach(
        Attached::new("pvpanic", PvPanic::new(Box::new(parts.notifier.clone())))
            .ports(pvpanic::PORT, 1)
            .described(PvPanicDescription),
    )
}

/// Attaches the device by which the guest ends the run with a status, if it is configured.
fn attach_debug_exit(list: &mut DeviceList, parts: &Parts<'_>) -> Result<(), DeviceError> {
    let Some(at) = parts.config.debug_exit else { return Ok(()) };
    let device = DebugExit::new(parts.notifier.exit_handle()).with_pass(at.pass);
    list.attach(
        Attached::new("isa-debug-exit", device)
            .ports(at.port, at.size)
            .port_hint("many guests write to port 0xf4: iobase=0xf4,iosize=0x4"),
    )
}

/// The devices' threads while the guest runs. Once it is dropped, they do not access memory.
#[derive(Debug)]
pub struct Running<'a> {
    _cards: cards::Running<'a>,
    _disks: disks::Running<'a>,
    _entropy: entropy::Running<'a>,
    _ports: virtio_serial::Running<'a>,
}

impl Devices {
    /// Builds the devices of a machine. **This is the list of devices**: the DSDT describes them in
    /// this order.
    ///
    /// # Errors
    /// An output file cannot be created, two devices claim the same port, the host is out of
    /// descriptors, or fw_cfg cannot publish an item.
    pub fn new(parts: &Parts<'_>, consoles: Consoles) -> Result<Self, StartError> {
        let &Parts { config, map, notifier, .. } = parts;
        let irq_chip = IrqChip::default();
        let exit = || notifier.exit_handle();
        let mut list = DeviceList::default();

        let Consoles { serial, debugcon, ports } = consoles;
        let mut inputs = outputs::attach_serial_ports(&mut list, parts, &irq_chip, serial)?;
        let clock = Box::new(RtcClock::new(config.rtc.base));
        let chip = Cmos::new(clock, map.below_4g(), map.above_4g(), config.cpus)
            .with_boot_order(config.boot_options.order, config.boot_options.once);
        list.attach(
            Attached::new("CMOS", chip)
                .ports(cmos::BASE_PORT, cmos::PORT_COUNT)
                .described(CmosDescription),
        )?;
        let power = power::attach(&mut list, parts, &irq_chip)?;
        list.attach(
            Attached::new("i8042", I8042::new(exit()))
                .ports(i8042::DATA_PORT, 1)
                .ports(i8042::COMMAND_PORT, 1),
        )?;
        list.attach(Attached::new("port92", Port92::new(exit())).ports(port92::PORT, 1))?;

        attach_pvpanic(&mut list, parts)?;

        let mmio_bus = MmioBus::default();
        let connections = Connections {
            memory: parts.ram.memory().clone(),
            mmio_bus: mmio_bus.clone(),
            irq_chip: irq_chip.clone(),
        };
        let mut slots = Slots::new(connections, PciBoard::new(parts, &irq_chip)?);
        let cards = Cards::new(parts.cards, &mut slots)?;
        let disks = Disks::new(parts.disks, &mut slots)?
            .with_cd_drives(parts.cd_drives, &mut slots)?
            .with_ahci(parts.ahci, &mut slots)?;
        let entropy = Entropy::new(config.rng, &mut slots)?;
        let virtio_serials = VirtioSerials::new(parts, ports, &mut slots, &mut inputs)?;
        let watchdog = config.watchdog.then(|| Watchdog::new(&mut slots)).transpose()?;
        chipset::attach(&mut list, parts, slots.into_board())?;

        // fw_cfg comes after all devices with a DSDT entry, because it passes these to the guest.
        let described: Vec<_> = list
            .descriptions()
            .chain([&FwCfgDescription as &dyn Aml])
            .chain(disks.descriptions())
            .chain(cards.descriptions())
            .chain(entropy.description())
            .chain(virtio_serials.descriptions())
            .collect();
        let acpi = AcpiTables::build(&power.acpi, &described);
        let trace = outputs::trace(parts)?;
        let mut boot_paths = disks.boot_paths(&config.disk_boot_indices, &config.cd_boot_indices);
        boot_paths.extend(cards.boot_paths(&config.card_boot_indices));
        let fw_cfg = fw_cfg::attach(&mut list, parts, &acpi, &boot_paths, trace.clone())?;

        // Devices on user-chosen ports come last, so that a conflict is reported against them.
        outputs::attach_debugcon(&mut list, parts, debugcon, &mut inputs)?;
        attach_debug_exit(&mut list, parts)?;

        if let Some(testdev) = testdev::attach(&mut list, parts, &irq_chip)? {
            mmio_bus.add_fixed(pc_testdev::MEMORY, pc_testdev::MEMORY_SIZE, testdev);
        }

        let bus = list.bus()?.with_mmio(mmio_bus.clone());
        let first_slot = kvm::first_rom_slot(parts.ram);
        let flash = FlashChips::new(parts.boot.flash_chips().iter(), first_slot, notifier);
        for (base, size, registers) in flash.registers() {
            mmio_bus.add_fixed(base, size, registers);
        }
        let bus = Arc::new(if trace.is_some() { bus.counting_unanswered() } else { bus });
        let trace = trace.map(|trace| (trace, fw_cfg));
        let power_button = power.button;
        Ok(Self {
            coalesced: list.coalesced_writes(parts.coalesce),
            bus,
            irq_chip,
            acpi,
            cards,
            disks,
            entropy,
            virtio_serials,
            flash,
            watchdog,
            list,
            inputs,
            power_button,
            trace,
        })
    }

    /// Starts the devices' threads.
    ///
    /// # Errors
    /// The host is out of descriptors or threads.
    pub fn start(&self, notifier: &Notifier) -> Result<Running<'_>, StartError> {
        let failed = StartError::host;
        Ok(Running {
            _disks: self.disks.start(notifier).map_err(failed("a thread"))?,
            _cards: self.cards.start(notifier)?,
            _entropy: self.entropy.start(notifier).map_err(failed("a thread"))?,
            _ports: self.virtio_serials.start(notifier)?,
        })
    }

    /// Resets the machine while no vCPU runs. Returns false, without resetting anything, if the
    /// flusher holds a device while it waits for a reader of its output. Try again.
    #[must_use]
    pub fn try_reset(&self) -> bool {
        if !self.virtio_serials.try_reset() || !self.list.try_reset() {
            return false;
        }
        self.cards.reset();
        self.disks.reset();
        self.entropy.reset();
        self.flash.reset();
        true
    }

    /// Writes out the buffers of the serial ports and the debug console. May block indefinitely if
    /// nobody reads their output, so only the flusher thread calls this while the guest runs. The
    /// main thread may call it after the run.
    pub fn flush(&self) {
        self.flush_ports();
        self.virtio_serials.flush();
    }

    /// Writes out all that the guest has printed, after the run. May block until somebody reads.
    pub fn write_rest(&self) {
        self.flush_ports();
        self.virtio_serials.write_rest();
    }

    fn flush_ports(&self) {
        if let Some(coalesced) = &self.coalesced {
            coalesced.flush(&self.bus, |port| self.list.interrupts_for_writes(port));
        }
        self.list.flush();
    }

    /// Prints the trace summary. Call this last.
    pub fn finish_trace(&self) {
        if let Some((trace, fw_cfg)) = &self.trace {
            trace.finish(lock(fw_cfg).device().items(), &self.bus.unanswered());
        }
    }

    /// Passes typed bytes to the device on standard input and removes those it accepts. Returns
    /// false if the device is busy; try again.
    pub fn type_in(&self, typed: &mut Vec<u8>) -> bool {
        let Some(terminal) = &self.inputs.terminal else {
            typed.clear();
            return true;
        };
        terminal.take_input(typed)
    }

    /// Whether a device uses standard input.
    pub fn has_terminal(&self) -> bool {
        self.inputs.terminal.is_some()
    }

    /// The sockets and pseudo-terminals of devices.
    pub fn lines(&self) -> &[Connected] {
        &self.inputs.lines
    }

    /// Holds input back until the guest listens. For standard input other than a terminal.
    pub fn await_listener(&self) {
        if let Some(terminal) = &self.inputs.terminal {
            terminal.await_listener();
        }
    }

    /// Presses the power button.
    pub fn press_power_button(&self) {
        self.power_button.press();
    }
}

#[cfg(test)]
mod tests;
