//! Reports from vCPU threads and devices to the event loop. Bounded: only the first notice of each
//! kind is stored until the loop takes it.

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use devices::console::ConsoleEvents;
use devices::exit::{ExitHandle, ExitRequest};
use devices::kernel_problem::KernelProblem;
use devices::panic_watch::ConsoleEvent;
use fw_cfg::x86::VmCoreInfo;
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

use crate::kvm::core_registers::CoreRegisters;
use crate::kvm::examine::CpuReport;
use crate::lock::lock;
use crate::outcome::Outcome;
use crate::timeline::Timeline;

/// Notices since the event loop last took them.
#[derive(Debug, Default)]
pub struct Notices {
    /// A vCPU or the firmware could not continue.
    pub ended: Option<Outcome>,
    /// A device was asked to power off or reset.
    pub exit: Option<ExitRequest>,
    /// The guest's kernel panicked with this message.
    pub panic: Option<String>,
    /// The kernel printed another line of its panic report.
    pub panic_line: bool,
    /// The kernel finished its panic report.
    pub panic_end: bool,
    /// A vCPU has left the guest for the debugger.
    pub debug: bool,
    /// The kernel starts a crash kernel.
    pub crash_kernel: bool,
    /// The kernel reported a problem that is watched for: its kind, and the line.
    pub problem: Option<(KernelProblem, String)>,
    /// A console has buffered output to flush soon.
    pub flush: bool,
    /// The guest has read typed input: there is room for more.
    pub input_wanted: bool,
    /// An output failed with this error message.
    pub output_lost: Option<String>,
    /// A fw_cfg item is no longer readable: which one, and the error message.
    pub item_lost: Option<String>,
    /// The guest published its vmcoreinfo note.
    pub vmcoreinfo: Option<VmCoreInfo>,
    /// The power button is to be pressed.
    pub power_button: bool,
    /// A disk has begun or ceased to wait until its image can be written or read again.
    pub disks_waiting: bool,
}

/// Sends notices to the event loop from any thread.
#[derive(Clone, Debug)]
pub struct Notifier {
    notices: Arc<Mutex<Notices>>,
    event: Arc<EventFd>,
    /// A device was asked to power off or reset: vCPUs must not execute another instruction.
    exiting: Arc<AtomicBool>,
    /// When the guest last wrote to an output, in nanoseconds since `started`; 0: never.
    heard: Arc<AtomicU64>,
    started: Instant,
    /// What the vCPUs that have ended the run were doing, if their exits were recorded.
    ended_cpus: Arc<Mutex<Vec<CpuReport>>>,
    /// The registers of those vCPUs.
    ended_registers: Arc<Mutex<Vec<CoreRegisters>>>,
    timeline: Option<Timeline>,
}

impl Notifier {
    /// Creates a notifier without pending notices.
    ///
    /// # Errors
    /// See eventfd(2).
    pub fn new() -> io::Result<Self> {
        let event = Arc::new(EventFd::new(EFD_NONBLOCK)?);
        Ok(Self {
            notices: Arc::default(),
            event,
            exiting: Arc::default(),
            heard: Arc::default(),
            started: Instant::now(),
            ended_cpus: Arc::default(),
            ended_registers: Arc::default(),
            timeline: None,
        })
    }

    /// The guest has written to one of its outputs.
    pub fn hear(&self) {
        let time = u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.heard.store(time.max(1), Ordering::Relaxed);
        self.timeline.iter().for_each(Timeline::prints);
    }

    /// What the guest does is recorded, or not.
    #[must_use]
    pub fn with_timeline(self, timeline: Option<Timeline>) -> Self {
        Self { timeline, ..self }
    }

    /// What records the run, if anything does.
    pub fn timeline(&self) -> Option<&Timeline> {
        self.timeline.as_ref()
    }

    /// When the guest last wrote to one of its outputs.
    pub fn last_heard(&self) -> Option<Instant> {
        let time = self.heard.load(Ordering::Relaxed);
        (time > 0).then(|| self.started + Duration::from_nanos(time))
    }

    /// A vCPU has ended the run.
    pub fn add_ended_cpu(&self, report: CpuReport, registers: Option<CoreRegisters>) {
        lock(&self.ended_cpus).push(report);
        lock(&self.ended_registers).extend(registers);
    }

    /// Takes the registers of the vCPUs that have ended the run.
    pub fn take_ended_registers(&self) -> Vec<CoreRegisters> {
        std::mem::take(&mut lock(&self.ended_registers))
    }

    /// Takes what the vCPUs that have ended the run were doing.
    pub fn take_ended_cpus(&self) -> Vec<CpuReport> {
        std::mem::take(&mut lock(&self.ended_cpus))
    }

    /// Records a notice and wakes the event loop.
    pub fn note(&self, change: impl FnOnce(&mut Notices)) {
        change(&mut self.notices.lock().unwrap_or_else(PoisonError::into_inner));
        // EAGAIN means that the counter is full, so the loop has been woken already.
        let _ = self.event.write(1);
    }

    /// Something has ended the run. What comes first counts.
    pub fn end(&self, outcome: Outcome) {
        self.note(|n| n.ended = n.ended.take().or(Some(outcome)));
    }

    /// Takes all notices.
    pub fn take(&self) -> Notices {
        let _ = self.event.read();
        std::mem::take(&mut self.notices.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Clears everything the guest caused, for the next boot. Notices about the host are preserved:
    /// output to flush, and lost output.
    pub fn start_over(&self) {
        let mut notices = self.notices.lock().unwrap_or_else(PoisonError::into_inner);
        notices.ended = None;
        notices.exit = None;
        notices.panic = None;
        notices.panic_line = false;
        notices.panic_end = false;
        notices.debug = false;
        notices.crash_kernel = false;
        self.exiting.store(false, Ordering::Release);
    }

    /// Whether a device was asked to power off or reset, which stops the vCPUs.
    pub fn is_exiting(&self) -> bool {
        self.exiting.load(Ordering::Acquire)
    }

    /// A handle for devices that power off or reset the machine.
    pub fn exit_handle(&self) -> ExitHandle {
        let notifier = self.clone();
        ExitHandle::new(move |request| {
            notifier.exiting.store(true, Ordering::Release);
            notifier.note(|n| n.exit = n.exit.or(Some(request)));
        })
    }
}

impl AsRawFd for Notifier {
    fn as_raw_fd(&self) -> RawFd {
        self.event.as_raw_fd()
    }
}

impl ConsoleEvents for Notifier {
    fn flush_soon(&self) {
        self.timeline.iter().for_each(Timeline::prints);
        self.note(|n| n.flush = true);
    }

    fn output_lost(&self, error: &io::Error) {
        self.note(|n| n.output_lost = Some(error.to_string()));
    }

    fn guest_said(&self, event: ConsoleEvent) {
        match event {
            ConsoleEvent::Panic(message) => {
                self.note(|n| n.panic = n.panic.take().or(Some(message)));
            }
            ConsoleEvent::PanicLine => self.note(|n| n.panic_line = true),
            ConsoleEvent::PanicEnd => self.note(|n| n.panic_end = true),
            ConsoleEvent::CrashKernel => self.note(|n| n.crash_kernel = true),
            ConsoleEvent::Problem(kind, line) => {
                self.note(|n| n.problem = n.problem.take().or(Some((kind, line))));
            }
            ConsoleEvent::Init => self.timeline.iter().for_each(Timeline::starts_init),
            ConsoleEvent::Restarting | ConsoleEvent::PowerDown | ConsoleEvent::Halted => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use devices::exit::ResetSource;

    use super::*;

    #[test]
    fn a_device_that_ends_the_run_stops_the_cpus_until_the_next_boot() {
        let notifier = Notifier::new().unwrap();
        assert!(!notifier.is_exiting());
        notifier.exit_handle().request(ExitRequest::Reset(ResetSource::AcpiRegister));
        notifier.exit_handle().request(ExitRequest::PowerOff);
        assert!(notifier.is_exiting());
        assert_eq!(
            notifier.take().exit,
            Some(ExitRequest::Reset(ResetSource::AcpiRegister)),
            "the first"
        );
        notifier.start_over();
        assert!(!notifier.is_exiting());
    }

    #[test]
    fn the_time_of_the_last_output_is_known() {
        let notifier = Notifier::new().unwrap();
        assert_eq!(notifier.last_heard(), None);
        let before = Instant::now();
        notifier.hear();
        let heard = notifier.last_heard().unwrap();
        assert!(before <= heard && heard <= Instant::now());
    }

    #[test]
    fn what_the_ended_cpus_were_doing_is_taken_once() {
        let Some(mut guest) = crate::tests::Guest::new(&[]) else { return };
        let notifier = Notifier::new().unwrap();
        let vcpu = &mut guest.vcpus[0];
        notifier.add_ended_cpu(vcpu.examine(), vcpu.core_registers());
        let cpus: Vec<_> = notifier.take_ended_cpus().iter().map(|report| report.at.cpu).collect();
        assert_eq!((cpus, notifier.take_ended_registers().len()), (vec![0], 1));
        assert_eq!(notifier.take_ended_cpus().len() + notifier.take_ended_registers().len(), 0);
    }
}
