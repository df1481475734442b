//! One run: from a configuration to an outcome, through every reboot of the guest.
//!
//! | module | what it does |
//! |---|---|
//! | this one | the course of the run: vCPUs run and stop, the event loop says what is next |
//! | `preparation` | checks the user's files and the host before anything starts |
//! | `opening` | opens what the run needs besides the machine: sandbox, gdb, monitors, terminal |
//! | `one_boot` | loads the guest and creates its vCPUs, once for each boot |
//! | `conclusion` | writes out what is left, and records how it was |
//! | [`event_loop`], `typing`, [`lines`], `deadlines` | the main thread's events |
//! | [`course`] | which event leads to what |
//! | [`vcpu_threads`], [`flusher`] | the threads beside those of devices |
//! | [`message`], [`record`] | messages for the user; the record of the run |

mod conclusion;
pub mod course;
mod deadlines;
pub mod event_loop;
pub mod flusher;
pub mod lines;
pub mod message;
mod one_boot;
mod opening;
mod preparation;
pub mod record;
mod typing;
pub mod vcpu_threads;

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use devices::disk::Disk;
use devices::virtio::scsi::Scsi;
use event_manager::{EventManager, SubscriberId, SubscriberOps};
use firmware::MemoryMap;
use firmware::smbios::SmbiosTables;
use guest_memory::Leases;
use kvm_ioctls::Kvm;

use crate::boot::Boot;
use crate::config::VmConfig;
use crate::error::{HostError, StartError};
use crate::gdb::Debugger;
use crate::host::daemon;
use crate::host::notices::Notifier;
use crate::host::signals::{self, Signals};
use crate::host::terminal;
use crate::kvm::cpuid::Cpuid;
use crate::kvm::vcpu::Vcpu;
use crate::machine::Devices;
use crate::machine::ahci::AhciDrive;
use crate::machine::cards::CardConfig;
use crate::machine::outputs::Consoles;
use crate::machine::watchdog::Watchdog;
use crate::memory::Ram;
use crate::outcome::Outcome;
use crate::sandbox::{HostUser, Sandbox};
use course::Next;
use event_loop::{EventLoop, Sources};
use flusher::Flusher;
use lines::Lines;
use message::Message;
use record::{Ended, RunRecord};
use vcpu_threads::VcpuThreads;

pub use preparation::{check, check_outputs, check_places};

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

impl Vm<'_> {
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
}
