//! One run: from a configuration to an outcome, through every reboot of the guest.

pub mod course;
mod deadlines;
pub mod event_loop;
pub mod flusher;
pub mod lines;
pub mod message;
pub mod record;
mod typing;
pub mod vcpu_threads;

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use devices::disk::Disk;
use devices::virtio::scsi::Scsi;
use event_manager::{EventManager, SubscriberId, SubscriberOps};
use firmware::payload::Payload;
use firmware::smbios::SmbiosTables;
use firmware::{BootState, MemoryMap};
use guest_memory::Leases;
use kvm_ioctls::Kvm;

use crate::boot::{Boot, FlashDrive};
use crate::config::{InterruptKey, MachineKind, VmConfig};
use crate::core_dump::{self, Written};
use crate::error::{BootError, HostError, StartError};
use crate::gdb::Debugger;
use crate::host::daemon;
use crate::host::input::Input;
use crate::host::notices::Notifier;
use crate::host::signals::{self, Signals};
use crate::host::terminal::{self, Keys, Terminal};
use crate::kvm::coalesced::{self, CoalescedWrites};
use crate::kvm::cpuid::Cpuid;
use crate::kvm::vcpu::{self, Vcpu};
use crate::kvm::vcpu_state;
use crate::kvm::{self, KvmError};
use crate::machine::Devices;
use crate::machine::ahci::AhciDrive;
use crate::machine::cards::CardConfig;
use crate::machine::items;
use crate::machine::outputs::Consoles;
use crate::machine::parts::Parts;
use crate::machine::virtio;
use crate::machine::watchdog::Watchdog;
use crate::memory::Ram;
use crate::memory::peek::Slots;
use crate::monitor::Monitors;
use crate::outcome::Outcome;
use crate::sandbox::{Confined, HostUser, Sandbox};
use crate::timeline::Timeline;
use course::Next;
use event_loop::{EventLoop, Policy, Sources};
use flusher::Flusher;
use lines::Lines;
use message::Message;
use record::{Ended, RunRecord};
use vcpu_threads::VcpuThreads;

/// The KVM device.
const KVM_DEVICE: &str = "/dev/kvm";

/// Checks everything that does not require KVM: that the firmware can be opened, that everything
/// fits into guest memory, and that the host has this memory.
///
/// # Errors
/// Anything that would prevent the guest from starting.
pub fn check(
    config: &VmConfig,
    kernel: Option<Payload>,
    flash: Vec<FlashDrive>,
) -> Result<Vec<String>, StartError> {
    let mut warnings = Vec::new();
    let boot = Boot::open(config, kernel, flash, &mut warnings)?;
    let map = MemoryMap::new(config.memory);
    boot.check(&map, config.machine)?;
    SmbiosTables::build(&items::smbios_config(config)?).map_err(BootError::from)?;
    drop(Ram::new(&map, config.map_initrd)?);
    Ok(warnings)
}

/// Checks that the machine has places for these devices, which [`Vm::run`] gives them. `others` are
/// a controller of CD drives, a source of random numbers and virtio-serial devices.
///
/// # Errors
/// It has too few.
pub fn check_places(
    machine: MachineKind,
    disks: usize,
    others: usize,
    cards: usize,
) -> Result<(), StartError> {
    Ok(virtio::check_room(machine, disks, others, cards)?)
}

/// How long a report waits for the guest's own output, so that it comes first.
const OUTPUT_FIRST: Duration = Duration::from_millis(20);

/// The event loop in its manager.
fn manage(events: EventLoop) -> Result<(EventManager<EventLoop>, SubscriberId), StartError> {
    let failed = |e: event_manager::Error| io::Error::other(e.to_string());
    let mut manager = EventManager::new().map_err(failed).map_err(StartError::host("epoll"))?;
    let id = manager.add_subscriber(events);
    Ok((manager, id))
}

/// Tells the user what the event loop has to say.
fn tell_messages(
    manager: &mut EventManager<EventLoop>,
    id: SubscriberId,
    tell: &mut impl FnMut(&Message),
) {
    let messages = manager.subscriber_mut(id).map(|events| events.take_messages());
    messages.into_iter().flatten().for_each(|message| tell(&message));
}

/// Handles events until the run takes its next step.
fn next_step(
    manager: &mut EventManager<EventLoop>,
    id: SubscriberId,
    tell: &mut impl FnMut(&Message),
) -> Result<Next, StartError> {
    loop {
        tell_messages(manager, id, tell);
        if let Some(next) = manager.subscriber_mut(id).ok().and_then(|events| events.take_next()) {
            return Ok(next);
        }
        let failed = |e: event_manager::Error| io::Error::other(e.to_string());
        manager.run().map_err(|e| StartError::host("epoll")(failed(e)))?;
    }
}

/// Whether a client of a monitor has paused the guest.
fn is_paused(manager: &mut EventManager<EventLoop>, id: SubscriberId) -> bool {
    manager.subscriber_mut(id).is_ok_and(|events| events.is_paused())
}

/// Tells gdb and the clients of the monitors how the run has ended.
fn tell_clients(
    manager: &mut EventManager<EventLoop>,
    id: SubscriberId,
    debugger: Option<Debugger>,
    outcome: &Outcome,
) {
    if let Some(debugger) = debugger {
        debugger.finish(outcome);
    }
    manager.subscriber_mut(id).into_iter().for_each(|events| events.has_ended(outcome));
}

/// Resets the devices. The flusher may be blocked in a write until someone reads, and only this
/// thread receives the event to give up.
fn reset(devices: &Devices, flusher: &Flusher) {
    while !devices.try_reset() {
        flusher.kick();
        thread::sleep(Duration::from_micros(200));
    }
}

/// Ends a run from another thread.
#[derive(Clone, Debug)]
pub struct Remote(Notifier);

impl Remote {
    /// Presses the machine's power button: the guest may power off.
    pub fn press_power_button(&self) {
        self.0.note(|notices| notices.power_button = true);
    }

    /// Ends the run at once, as Ctrl-A x does.
    pub fn quit(&self) {
        self.0.end(Outcome::Quit);
    }
}

/// A guest that is ready to run: the state that is preserved across its reboots.
#[expect(missing_debug_implementations, reason = "a guest has no useful one")]
pub struct Vm<'a> {
    config: &'a VmConfig,
    boot: Boot,
    map: MemoryMap,
    smbios: SmbiosTables,
    kvm: Kvm,
    ram: Arc<Ram>,
    cpuid: Cpuid,
    /// Tells vCPUs and consoles to stop waiting.
    stop: Arc<AtomicBool>,
    notifier: Notifier,
    warnings: Vec<String>,
    disks: Vec<Arc<Disk>>,
    cd_drives: Option<Arc<Scsi>>,
    ahci: Option<Vec<AhciDrive>>,
    cards: Vec<CardConfig>,
    sandbox: Option<Sandbox>,
    /// Whose rights the process has while the guest runs; `None`: those it was started with.
    user: Option<HostUser>,
    /// What the user reads if the guest prints nothing at first.
    advice: Option<String>,
    /// What the user reads right before the guest starts.
    warning: Option<String>,
    /// Where the guest's memory goes if the run ends badly.
    core_file: Option<File>,
}

/// Checks that the guest's CPU can address all of its memory.
fn check_address_bits(config: &VmConfig, map: &MemoryMap) -> Result<(), StartError> {
    let end = map.ram().map(|range| range.end).max().unwrap_or(0);
    let needed = 64 - end.saturating_sub(1).leading_zeros();
    match config.cpu.identity.address_bits.required() {
        Some(bits) if needed > bits.into() => Err(StartError::AddressBits { bits, end, needed }),
        _ => Ok(()),
    }
}

impl<'a> Vm<'a> {
    /// Prepares a guest that boots `kernel`, if any, by the firmware in `flash` if `config` says
    /// so. Checks the user's files first, then the host; changes nothing until everything is known
    /// to fit.
    ///
    /// # Errors
    /// The guest cannot be started.
    pub fn new(
        config: &'a VmConfig,
        kernel: Option<Payload>,
        flash: Vec<FlashDrive>,
    ) -> Result<Self, StartError> {
        let mut warnings = Vec::new();
        let boot = Boot::open(config, kernel, flash, &mut warnings)?;
        let map = MemoryMap::new(config.memory);
        boot.check(&map, config.machine)?;
        check_address_bits(config, &map)?;
        let smbios =
            SmbiosTables::build(&items::smbios_config(config)?).map_err(BootError::from)?;
        let kvm = kvm::open(Path::new(KVM_DEVICE), config.cpus)?;
        if !boot.flash_chips().is_empty() && !kvm::has_read_only_memory(&kvm) {
            return Err(KvmError::Capability("KVM_CAP_READONLY_MEM").into());
        }
        let ram = Arc::new(Ram::new(&map, config.map_initrd)?);
        let cpuid = Cpuid::new(&kvm, &config.cpu, config.cpus)?;
        warnings.extend_from_slice(cpuid.warnings());
        let notifier = Notifier::new().map_err(HostError::descriptors)?;
        let stop = Arc::default();
        let (disks, cards) = (Vec::new(), Vec::new());
        Ok(Self {
            config,
            boot,
            map,
            smbios,
            kvm,
            ram,
            cpuid,
            stop,
            notifier,
            warnings,
            disks,
            cards,
            cd_drives: None,
            ahci: None,
            sandbox: None,
            user: None,
            advice: None,
            warning: None,
            core_file: None,
        })
    }

    /// Gives the guest disks, in this order.
    #[must_use]
    pub fn with_disks(self, disks: Vec<Arc<Disk>>) -> Self {
        Self { disks, ..self }
    }

    /// Gives the guest network cards, in this order.
    #[must_use]
    pub fn with_cards(self, cards: Vec<CardConfig>) -> Self {
        Self { cards, ..self }
    }

    /// Has the user told this if the guest has printed nothing three seconds after its start.
    #[must_use]
    pub fn with_advice(self, advice: Option<String>) -> Self {
        Self { advice, ..self }
    }

    /// Has the user warned of this once nothing keeps the guest from starting.
    #[must_use]
    pub fn with_warning(self, warning: Option<String>) -> Self {
        Self { warning, ..self }
    }

    /// Has the phases of the run recorded. Its exits have to be recorded, too:
    /// [`VmConfig::record_exits`].
    #[must_use]
    pub fn with_timeline(self, timeline: Option<Timeline>) -> Self {
        Self { notifier: self.notifier.with_timeline(timeline), ..self }
    }

    /// Has the guest's memory and registers written to an empty file if the run ends badly.
    #[must_use]
    pub fn with_core_file(self, core_file: Option<File>) -> Self {
        Self { core_file, ..self }
    }

    /// Gives the guest CD drives, as the targets of a controller.
    #[must_use]
    pub fn with_cd_drives(self, cd_drives: Option<Arc<Scsi>>) -> Self {
        Self { cd_drives, ..self }
    }

    /// Gives the guest a SATA controller with these drives.
    #[must_use]
    pub fn with_ahci(self, ahci: Option<Vec<AhciDrive>>) -> Self {
        Self { ahci, ..self }
    }

    /// What another thread can use to end the run.
    #[must_use]
    pub fn remote(&self) -> Remote {
        Remote(self.notifier.clone())
    }

    /// Confines the process before the guest's first instruction.
    #[must_use]
    pub fn with_sandbox(self, sandbox: Option<Sandbox>) -> Self {
        Self { sandbox, ..self }
    }

    /// Runs the guest as another user of the host.
    #[must_use]
    pub fn with_user(self, user: Option<HostUser>) -> Self {
        Self { user, ..self }
    }

    /// Warnings for the user before the run, one line each.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Runs the guest until it ends. Calls `tell` with messages for the user; at that point the
    /// terminal may be raw and the cursor in the middle of a line.
    ///
    /// # Errors
    /// [`StartError`] if the guest could not be started or chukka itself failed.
    pub fn run(&self, mut tell: impl FnMut(&Message)) -> Result<Ended, StartError> {
        let host = StartError::host;
        terminal::restore_on_disaster();
        signals::prepare_kick().map_err(host("signals"))?;
        let consoles = Consoles::open(self.config, &mut tell)?;
        let devices = Arc::new(Devices::new(&self.parts(), consoles)?);
        let mut debugger = self.open_debugger()?;
        let monitors = self.open_monitors()?;
        self.enter_sandbox(&mut tell)?;
        // Until here Ctrl-C kills the process: opening an output such as a FIFO can block.
        let signals = Signals::listen().map_err(host("signals"))?;
        let running = devices.start(&self.notifier)?;
        // It ends before them, as it may hold a console that one of their threads waits for.
        let flusher =
            Flusher::start(Arc::clone(&devices)).map(Arc::new).map_err(host("a thread"))?;
        // Prepare the guest before changing the terminal, so that errors are printed to a terminal
        // in its normal mode.
        let mut vcpus = self.boot_guest(&devices)?;
        let (input, terminal) = self.open_terminal(&devices)?;
        let sources = Sources {
            notifier: self.notifier.clone(),
            signals,
            input,
            terminal,
            devices: Arc::clone(&devices),
            flusher: Arc::clone(&flusher),
            debugger: debugger.as_ref().map(AsRawFd::as_raw_fd),
            monitors,
            lines: Lines::watch(devices.lines()).map_err(HostError::descriptors)?,
        };
        let (mut manager, id) = manage(EventLoop::new(sources, self.policy())?)?;
        self.config.gdb.iter().filter(|gdb| gdb.hold).for_each(|gdb| tell(&gdb.into()));
        // A daemon leaves the terminal next.
        tell_messages(&mut manager, id, &mut tell);
        let (mut threads, mut record) = (self.threads()?, RunRecord::new());
        let outcome = loop {
            let held = debugger.as_ref().is_some_and(Debugger::holds);
            if !held && !devices.disks.are_waiting() && !is_paused(&mut manager, id) {
                self.stop.store(false, Ordering::Release);
                devices.watchdog.iter().for_each(Watchdog::resume);
                threads.start(&mut vcpus);
            }
            let next = next_step(&mut manager, id, &mut tell);
            self.stop.store(true, Ordering::Release);
            threads.stop(&mut vcpus, &flusher);
            devices.watchdog.iter().for_each(Watchdog::pause);
            flusher.flush();
            match next? {
                Next::End(outcome) => break outcome,
                Next::Debug => {
                    if let Some(outcome) = debugger.as_mut().and_then(|d| d.attend(&mut vcpus)) {
                        break outcome;
                    }
                    vcpus.iter().for_each(Vcpu::was_paused);
                }
                Next::Report(then) => {
                    if let Ok(events) = manager.subscriber_mut(id)
                        && let Some(outcome) =
                            self.report(&mut vcpus, then, events, (&devices, &flusher), &mut tell)
                    {
                        break outcome;
                    }
                }
                Next::ReleaseLeases(which) => {
                    self.ram.engine().detach(which);
                    if let Some(outcome) = Outcome::file_lost(self.ram.engine()) {
                        break outcome;
                    }
                    if which == Leases::All {
                        manager.subscriber_mut(id).into_iter().for_each(|events| events.suspend());
                    }
                }
                Next::PauseOrResume => vcpus.iter().for_each(Vcpu::was_paused),
                Next::Reboot => {
                    self.record(&mut record, &mut vcpus);
                    vcpus = self.reboot(&devices, &flusher)?;
                    if let Some(debugger) = &mut debugger {
                        debugger.adopt(&mut vcpus);
                    }
                }
            }
        };
        tell_clients(&mut manager, id, debugger, &outcome);
        // In this order: the terminal and the signals' default actions are restored before anything
        // can block on a reader of the output.
        drop((manager, flusher, running));
        Ok(self.conclude(outcome, record, vcpus, &devices))
    }

    /// The vCPUs' threads. Nothing can go wrong before the guest runs once they are there, so that
    /// a daemon leaves the terminal.
    fn threads(&self) -> Result<VcpuThreads, StartError> {
        let confined = self.sandbox.is_some();
        let threads = VcpuThreads::new(self.config.cpus, &self.notifier, confined)
            .map_err(StartError::host("a vCPU's thread"))?;
        daemon::leave_terminal().map_err(StartError::host("a session of its own"))?;
        Ok(threads)
    }

    /// Adds what these vCPUs did, which will not run again, and those that have ended to the
    /// record, if it is wanted.
    fn record(&self, record: &mut RunRecord, vcpus: &mut Vec<Vcpu>) {
        let ended = self.notifier.take_ended_cpus();
        if self.config.record_exits {
            record.add_boot(ended.into_iter().chain(vcpus.iter_mut().map(Vcpu::examine)));
        } else {
            record.add_boot([]);
        }
        vcpus.clear();
    }

    /// Writes out what is left and lets go of everything: the next guest of this process may want
    /// the same disks, and as much memory.
    fn conclude(
        &self,
        outcome: Outcome,
        mut record: RunRecord,
        mut vcpus: Vec<Vcpu>,
        devices: &Devices,
    ) -> Ended {
        let core = self.write_core(&outcome, &vcpus);
        self.record(&mut record, &mut vcpus);
        record.end();
        devices.flash.finish();
        self.ram.engine().release();
        let at_once = matches!(
            outcome,
            Outcome::Signal(_) | Outcome::Quit | Outcome::MonitorQuit | Outcome::Killed
        );
        if !at_once {
            devices.flush();
        }
        devices.finish_trace();
        devices.bus.clear_mmio();
        devices.coalesced.iter().for_each(|coalesced| coalesced.disconnect());
        if let (Some(exits), Some(coalesced)) = (&mut record.exits, &devices.coalesced) {
            exits.coalesced_writes = coalesced.count();
        }
        record.cards = devices.cards.counts();
        record.has_printed = self.notifier.last_heard().is_some();
        let is_mute = self.config.has_console() && !record.has_printed;
        Ended { outcome: if is_mute { outcome.mute() } else { outcome }, record, core }
    }

    /// Writes the core dump, if it is wanted and the run has ended badly.
    fn write_core(&self, outcome: &Outcome, vcpus: &[Vcpu]) -> Option<io::Result<Written>> {
        let file = self.core_file.as_ref().filter(|_| outcome.leaves_core())?;
        let mut cpus = self.notifier.take_ended_registers();
        cpus.extend(vcpus.iter().filter_map(Vcpu::core_registers));
        cpus.sort_by_key(|registers| registers.cpu);
        Some(core_dump::write(file, self.ram.memory(), &cpus))
    }

    /// Boots the guest again after it has reset the machine. Its vCPUs are gone.
    fn reboot(&self, devices: &Devices, flusher: &Flusher) -> Result<Vec<Vcpu>, StartError> {
        self.ram.engine().detach(Leases::Wanted);
        reset(devices, flusher);
        self.notifier.start_over();
        self.boot_guest(devices)
    }

    /// Confines the process. Has to come before its first thread, which inherits what this one has
    /// given up.
    fn enter_sandbox(&self, tell: &mut impl FnMut(&Message)) -> Result<(), HostError> {
        self.user.as_ref().map(HostUser::enter).transpose()?;
        let confined = self.sandbox.as_ref().map(Sandbox::enter).transpose()?;
        if confined == Some(Confined::WithoutLandlock) {
            tell(&Message::NoLandlock);
        }
        Ok(())
    }

    /// Reports what stopped vCPUs were doing. Returns the end of the run, if `then` is one.
    ///
    /// A report needs their exits. If nothing recorded these, they are recorded for a moment first:
    /// a report that was asked for costs a guest nothing before that.
    fn report(
        &self,
        vcpus: &mut [Vcpu],
        then: Option<Outcome>,
        events: &mut EventLoop,
        (devices, flusher): (&Devices, &Flusher),
        tell: &mut impl FnMut(&Message),
    ) -> Option<Outcome> {
        // Its CPUs do nothing: how long they have been quiet would mislead.
        if devices.disks.are_waiting() {
            events.take_watched();
            flusher.flush();
            tell(&Message::Paused);
            return then.map(|outcome| events.judge(outcome));
        }
        let recorded = vcpus.iter().all(|vcpu| vcpu.log.is_some());
        if !recorded && !events.take_watched() {
            vcpus.iter_mut().for_each(|vcpu| vcpu.log = Some(Box::default()));
            events.watch(then);
            return None;
        }
        events.take_watched();
        flusher.flush();
        thread::sleep(OUTPUT_FIRST);
        for report in vcpus.iter_mut().map(Vcpu::examine) {
            tell(&Message::Cpu(report.sentence()));
            tell(&Message::CpuDetails(report.to_string()));
        }
        if !self.config.records_exits() {
            vcpus.iter_mut().for_each(|vcpu| vcpu.log = None);
        }
        then.map(|outcome| events.judge(outcome))
    }

    /// The inputs from which the machine is built.
    fn parts(&self) -> Parts<'_> {
        Parts {
            config: self.config,
            map: &self.map,
            ram: &self.ram,
            boot: &self.boot,
            smbios: &self.smbios,
            disks: &self.disks,
            cd_drives: self.cd_drives.as_ref(),
            ahci: self.ahci.as_deref(),
            cards: &self.cards,
            coalesce: self.config.coalesced_console && coalesced::is_supported(&self.kvm),
            notifier: &self.notifier,
            stopping: &self.stop,
        }
    }

    /// Creates a VM and loads the guest into memory: everything before the first instruction.
    fn boot_guest(&self, devices: &Devices) -> Result<Vec<Vcpu>, StartError> {
        self.notifier.timeline().into_iter().for_each(Timeline::reset);
        // Read the files while KVM waits for grace periods of the host's kernel.
        let (state, vcpus) = thread::scope(|scope| {
            let load = || self.boot.load(&self.ram, &self.map, &devices.acpi, &self.smbios);
            let loading = scope.spawn(load);
            let vcpus = self.create_vcpus(devices);
            (loading.join(), vcpus)
        });
        let state: BootState = state.map_err(|_| StartError::Defect("loading the kernel"))??;
        let vcpus = vcpus?;
        if let Some(boot_cpu) = vcpus.first() {
            vcpu_state::apply(&boot_cpu.fd, &state)?;
        }
        Ok(vcpus)
    }

    fn create_vcpus(&self, devices: &Devices) -> Result<Vec<Vcpu>, KvmError> {
        let coalesced = devices.coalesced.as_deref();
        coalesced.into_iter().for_each(CoalescedWrites::disconnect);
        let ports = coalesced.map(CoalescedWrites::ports).unwrap_or_default();
        let (roms, lost_ticks) = (self.boot.roms(), self.config.lost_ticks);
        let vm = kvm::create_vm(&self.kvm, &self.ram, roms, lost_ticks, ports)?;
        let vcpus: Vec<_> = (0..self.config.cpus)
            .map(|cpu| {
                let fd = vm.create_vcpu(cpu.into()).map_err(KvmError::ioctl("KVM_CREATE_VCPU"))?;
                vcpu_state::configure(&fd, cpu, &self.cpuid)?;
                if !self.boot.firmware_readies(cpu) {
                    vcpu_state::stand_in_for_firmware(&fd)?;
                }
                let (bus, ram, stop) =
                    (Arc::clone(&devices.bus), Arc::clone(&self.ram), Arc::clone(&self.stop));
                let notifier = self.notifier.clone();
                let log = self.config.records_exits().then(Box::default);
                let debug =
                    vcpu::Debug { possible: self.config.gdb.is_some(), ..Default::default() };
                let coalesced = devices.coalesced.clone();
                Ok(Vcpu { cpu, fd, coalesced, bus, ram, stop, notifier, log, debug })
            })
            .collect::<Result<_, KvmError>>()?;
        devices.disks.connect(&vm);
        devices.cards.connect(&vm);
        devices.entropy.connect(&vm);
        devices.virtio_serials.connect(&vm);
        let vm = Arc::new(vm);
        if let (Some(coalesced), Some(first)) = (coalesced, vcpus.first()) {
            coalesced.connect(&vm, &first.fd);
        }
        devices.flash.connect(Arc::clone(&vm));
        devices.irq_chip.connect(vm);
        Ok(vcpus)
    }

    /// The events that end the run.
    fn policy(&self) -> Policy {
        // A guest that waits to be started prints nothing, and that needs no explanation.
        let held = self.config.starts_paused || self.config.gdb.as_ref().is_some_and(|g| g.hold);
        Policy {
            on_reset: self.config.on_reset,
            on_panic: self.config.on_panic,
            on_watchdog: self.config.on_watchdog,
            expects_crash_kernel: self.boot.reserves_crash_kernel(),
            limits: self.config.limits,
            advice: self.advice.clone().filter(|_| !held),
            warning: self.warning.clone(),
        }
    }

    /// Opens the server for gdb, if there is to be one.
    fn open_debugger(&self) -> Result<Option<Debugger>, StartError> {
        let Some(config) = &self.config.gdb else { return Ok(None) };
        let supported = kvm::debug_flags(&self.kvm)?;
        let roms = self.boot.roms().map(|rom| rom.slot()).collect();
        let memory = Slots { ram: self.ram.slots().collect(), rom: roms };
        let debugger = Debugger::listen(config, memory, supported).map_err(|source| {
            let address = config.address.clone();
            StartError::Gdb { address, source }
        })?;
        Ok(Some(debugger))
    }

    /// Opens the monitors, if there are to be any.
    fn open_monitors(&self) -> Result<Option<Monitors>, StartError> {
        let VmConfig { monitors, name, starts_paused, .. } = self.config;
        Monitors::open(monitors, name.as_deref(), *starts_paused)
            .map_err(|(place, source)| StartError::Monitor { place, source })
    }

    /// Opens standard input and the terminal if a serial port uses them.
    fn open_terminal(
        &self,
        devices: &Devices,
    ) -> Result<(Option<Input>, Option<Terminal>), StartError> {
        if !devices.has_terminal() {
            return Ok((None, None));
        }
        let keys = match self.config.terminal.interrupt {
            InterruptKey::EndsChukka => Keys::Signals,
            InterruptKey::GoesToGuest => Keys::ToGuest,
        };
        let terminal = Terminal::acquire(keys);
        let input = Input::open().map_err(HostError::descriptors)?;
        if input.is_terminal && terminal.is_none() {
            return Ok((None, None)); // in the background: the terminal is somebody else's
        }
        if !input.is_terminal {
            devices.await_listener();
        }
        Ok((Some(input), terminal))
    }
}
