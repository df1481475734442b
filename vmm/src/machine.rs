//! The machine: THE list of its devices, at which ports and interrupts, and the VM they are part of.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, TryLockError};

use acpi_tables::Aml;
use devices::acpi_pm::{self, AcpiPm, AcpiPmDescription};
use devices::cmos::{self, Cmos, CmosDescription};
use devices::console::ConsoleSink;
use devices::i8042::{self, I8042};
use devices::irq::IrqLine;
use devices::panic_watch::PanicWatch;
use devices::serial::{self, ComPort, Serial};
use firmware::MemoryMap;
use firmware::acpi::{AcpiConfig, AcpiTables};
use kvm_ioctls::VmFd;

use crate::bus::{Bus, shared};
use crate::config::{SerialBackend, VmConfig};
use crate::error::StartError;
use crate::notices::Notifier;
use crate::rtc_clock::RtcClock;

/// The interrupt controllers: those of the VM that runs at the moment.
type IrqChip = Arc<RwLock<Option<Arc<VmFd>>>>;

/// A line into the VM's interrupt controllers. It is set from the thread that has the device, so that the interrupt is pending
/// before the CPU goes on, as on a PC. An irqfd would leave it to a worker of the host's kernel, some time later.
struct KvmLine {
    chip: IrqChip,
    irq: u32,
}

impl IrqLine for KvmLine {
    fn pulse(&self) {
        if let Some(vm) = &*self.chip.read().unwrap_or_else(PoisonError::into_inner) {
            // KVM refuses this only without interrupt controllers, and then nobody waits for the interrupt.
            let _ = vm.set_irq_line(self.irq, true).and_then(|()| vm.set_irq_line(self.irq, false));
        }
    }
}

/// The devices. They live as long as the process; a reset of the machine resets them.
#[derive(Debug)]
pub struct Devices {
    /// What the vCPUs reach.
    pub bus: Arc<Bus>,
    /// The serial ports there are.
    serial: Vec<Arc<Mutex<Serial>>>,
    /// The one on standard input and output.
    terminal: Option<Arc<Mutex<Serial>>>,
    i8042: Arc<Mutex<I8042>>,
    cmos: Arc<Mutex<Cmos>>,
    acpi_pm: Arc<Mutex<AcpiPm>>,
    /// Where their interrupt lines lead.
    irq_chip: IrqChip,
    /// The tables that describe them.
    pub acpi: AcpiTables,
}

impl Devices {
    /// Builds the devices `config` asks for. They tell the event loop what happens by `notifier`; once `stopping` is set, none
    /// of them waits for the host any more.
    ///
    /// # Errors
    /// An output file cannot be created, or the host is out of descriptors.
    pub fn new(
        config: &VmConfig,
        map: &MemoryMap,
        notifier: &Notifier,
        stopping: &Arc<AtomicBool>,
    ) -> Result<Self, StartError> {
        let irq_chip = IrqChip::default();
        let line = |irq: u8| Box::new(KvmLine { chip: Arc::clone(&irq_chip), irq: irq.into() });
        let mut serial = Vec::new();
        let mut terminal = None;
        let mut present = Vec::new();
        let mut ports = Vec::new();
        for (com, backend) in ComPort::ALL.into_iter().zip(&config.serial) {
            let Some(out) = output(backend)? else { continue };
            let sink = ConsoleSink::new(out, Box::new(notifier.clone()), Arc::clone(stopping))
                .with_watch(PanicWatch::new());
            let wake = notifier.clone();
            let on_room = move || wake.note(|n| n.input_wanted = true);
            let device = Arc::new(Mutex::new(Serial::new(line(com.irq()), sink, on_room)));
            ports.push((com.base_port(), serial::PORT_COUNT, shared(&device)));
            present.push(com);
            if *backend == SerialBackend::Stdio {
                terminal = Some(Arc::clone(&device));
            }
            serial.push(device);
        }
        let i8042 = Arc::new(Mutex::new(I8042::new(notifier.exit_handle())));
        let clock = Box::new(RtcClock::new(config.rtc.base));
        let cmos =
            Arc::new(Mutex::new(Cmos::new(clock, map.below_4g(), map.above_4g(), config.cpus)));
        let acpi_pm =
            Arc::new(Mutex::new(AcpiPm::new(notifier.exit_handle(), line(acpi_pm::GED_IRQ))));
        ports.extend([
            (i8042::DATA_PORT, 1, shared(&i8042)),
            (i8042::COMMAND_PORT, 1, shared(&i8042)),
            (cmos::BASE_PORT, cmos::PORT_COUNT, shared(&cmos)),
            (acpi_pm::BASE_PORT, acpi_pm::PORT_COUNT, shared(&acpi_pm)),
        ]);
        let bus = Arc::new(Bus::new(ports).map_err(StartError::Bus)?);
        let described: Vec<&dyn Aml> = present
            .iter()
            .map(|com| com as &dyn Aml)
            .chain([&CmosDescription as &dyn Aml, &AcpiPmDescription])
            .collect();
        let acpi = AcpiTables::build(&acpi_config(config), &described);
        Ok(Self { bus, serial, terminal, i8042, cmos, acpi_pm, irq_chip, acpi })
    }

    /// Leads the interrupt lines to a VM, away from the one before.
    pub fn connect(&self, vm: Arc<VmFd>) {
        *self.irq_chip.write().unwrap_or_else(PoisonError::into_inner) = Some(vm);
    }

    /// The reset of the machine, while no vCPU runs. False: the flusher has a serial port, perhaps waiting for a reader of its
    /// output; nothing is lost by another try.
    #[must_use]
    pub fn try_reset(&self) -> bool {
        for serial in &self.serial {
            let Some(mut serial) = try_lock(serial) else { return false };
            serial.reset();
        }
        lock(&self.i8042).reset();
        lock(&self.cmos).reset();
        lock(&self.acpi_pm).reset();
        true
    }

    /// Passes on what the serial ports hold back, and waits for it, perhaps for ever. For the flusher's thread; for the main one
    /// only at the end, when nothing is left to hear of.
    pub fn flush(&self) {
        for serial in &self.serial {
            lock(serial).sink_mut().flush_now();
        }
    }

    /// Gives what was typed to the serial port on standard input, as much as it takes. False: the port is busy; try again.
    pub fn type_in(&self, typed: &mut Vec<u8>) -> bool {
        let Some(terminal) = &self.terminal else {
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
        if let Some(terminal) = &self.terminal {
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
        pm_timer_port: None,
    }
}

/// Where a serial port's output goes. `None`: there is no such port.
fn output(backend: &SerialBackend) -> Result<Option<Box<dyn Write + Send>>, StartError> {
    Ok(match backend {
        SerialBackend::None => None,
        SerialBackend::Null => Some(Box::new(io::sink())),
        SerialBackend::Stdio => {
            // A descriptor of its own: std's standard output holds lines back and a lock that a stuck write would keep.
            let stdout = io::stdout().as_fd().try_clone_to_owned().map_err(StartError::event)?;
            Some(Box::new(File::from(stdout)))
        }
        SerialBackend::File(path) => {
            let create_error = |source| StartError::Output { path: path.clone(), source };
            Some(Box::new(File::create(path).map_err(create_error)?))
        }
    })
}

/// A device's lock. A thread that panicked while it held one has left a chip in an odd state, not an unsafe one.
fn lock<T>(device: &Mutex<T>) -> MutexGuard<'_, T> {
    device.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A device's lock, unless somebody has it.
fn try_lock<T>(device: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
    match device.try_lock() {
        Ok(guard) => Some(guard),
        Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}
