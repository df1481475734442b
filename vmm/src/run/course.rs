//! Decides what the run does next, based on all events so far.

use devices::kernel_problem::KernelProblem;
use guest_memory::Leases;

use crate::config::{OnPanic, OnReset};
use crate::outcome::Outcome;

/// The run's next step.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// Copy the mapped pages of files, release the leases, and continue. [`Leases::Wanted`]:
    /// another process wants to write to a file. [`Leases::All`]: chukka is about to be stopped
    /// (Ctrl-Z) and should not block other processes;
    /// [`EventLoop::suspend`](super::event_loop::EventLoop::suspend) comes next.
    ReleaseLeases(Leases),
    /// The guest reset the machine: boot it again.
    Reboot,
    /// There is something to do for the debugger while no vCPU runs.
    Debug,
    /// Report what the vCPUs are doing. Then the run is over, or continues.
    Report(Option<Outcome>),
    /// Disks have begun or ceased to wait: the vCPUs stop, or go on.
    PauseOrResume,
    /// The run is over.
    End(Outcome),
}

/// Resolves concurrent events. The first end wins and overrides a reboot, which overrides a release
/// of leases.
#[derive(Debug)]
pub struct Course {
    on_reset: OnReset,
    on_panic: OnPanic,
    next: Option<Next>,
    /// The panic message, once the guest's kernel has panicked.
    panic: Option<String>,
    /// The first problem of the kernel that makes the run a failure.
    problem: Option<(KernelProblem, String)>,
    /// Release all leases once the guest has rebooted.
    release_later: bool,
    /// A report is due, and what ends the run after it.
    report: Option<Option<Outcome>>,
    /// Disks have begun or ceased to wait.
    disks_changed: bool,
    /// The debugger wants to be attended to.
    debug: bool,
}

impl Course {
    /// Creates a course that handles resets and panics according to `on_reset` and `on_panic`.
    pub fn new(on_reset: OnReset, on_panic: OnPanic) -> Self {
        Self {
            on_reset,
            on_panic,
            next: None,
            panic: None,
            problem: None,
            release_later: false,
            report: None,
            disks_changed: false,
            debug: false,
        }
    }

    /// Returns what the run should do next, if anything.
    pub fn take_next(&mut self) -> Option<Next> {
        let later =
            || std::mem::take(&mut self.release_later).then_some(Next::ReleaseLeases(Leases::All));
        let changed = || std::mem::take(&mut self.disks_changed).then_some(Next::PauseOrResume);
        let next = self.next.take().or_else(|| self.report.take().map(Next::Report));
        let debug = || std::mem::take(&mut self.debug).then_some(Next::Debug);
        next.or_else(debug).or_else(later).or_else(changed)
    }

    /// Disks have begun or ceased to wait.
    pub fn pause_or_resume(&mut self) {
        self.disks_changed = true;
    }

    /// There is something to do for the debugger.
    pub fn debug(&mut self) {
        self.debug = true;
    }

    /// What the vCPUs do is to be reported; `then` ends the run.
    pub fn report(&mut self, then: Option<Outcome>) {
        let then = self.report.take().flatten().or(then);
        self.report = Some(then);
    }

    /// The guest's kernel panicked with `message`. Only the first message is stored.
    pub fn panicked(&mut self, message: String) {
        self.panic.get_or_insert(message);
    }

    /// The guest's kernel reported a problem that makes the run a failure. The first one counts.
    pub fn found(&mut self, kind: KernelProblem, line: String) {
        self.problem.get_or_insert((kind, line));
    }

    /// The run is over. A reset, power-off or fault after a panic counts as a panic.
    pub fn end(&mut self, outcome: Outcome) {
        if matches!(self.next, Some(Next::End(_))) {
            return;
        }
        let outcome = self.judge(outcome);
        self.next = Some(Next::End(outcome));
    }

    /// How the run ended, given how it ended at last. The first cause counts: what the guest or a
    /// time limit does after a panic counts as the panic, and what it does after a problem that
    /// makes the run a failure counts as that, also if the guest says by isa-debug-exit that all is
    /// well.
    pub fn judge(&mut self, outcome: Outcome) -> Outcome {
        let is_guests_end = matches!(
            outcome,
            Outcome::Reset
                | Outcome::PowerOff
                | Outcome::Watchdog
                | Outcome::TripleFault(_)
                | Outcome::TimeOut(_)
                | Outcome::Silence(_)
        );
        match (self.panic.take(), self.problem.take(), outcome) {
            (Some(message), _, _) if is_guests_end => Outcome::Panic(message),
            (_, Some((kind, line)), then)
                if is_guests_end || matches!(then, Outcome::DebugExit(_)) =>
            {
                Outcome::Problem { kind, line, then: Box::new(then) }
            }
            (_, _, outcome) => outcome,
        }
    }

    /// The guest reset the machine.
    pub fn reset(&mut self) {
        self.reset_by(Outcome::Reset);
    }

    /// The machine is reset. `outcome` is how the run ended if that ends it.
    pub fn reset_by(&mut self, outcome: Outcome) {
        match self.on_reset {
            OnReset::Reboot if self.panic.is_none() || self.on_panic == OnPanic::Continue => {
                if !matches!(self.next, Some(Next::End(_))) {
                    let overruled = self.next.replace(Next::Reboot);
                    self.release_later |=
                        matches!(overruled, Some(Next::ReleaseLeases(Leases::All)));
                }
            }
            OnReset::Reboot | OnReset::Exit => self.end(outcome),
        }
    }

    /// Requests a release of leases. A reboot releases the wanted ones anyway; a stop waits for the
    /// reboot.
    pub fn release(&mut self, which: Leases) {
        match &self.next {
            None | Some(Next::ReleaseLeases(Leases::Wanted)) => {
                self.next = Some(Next::ReleaseLeases(which));
            }
            Some(Next::Reboot) => self.release_later |= which == Leases::All,
            Some(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_reset_after_a_panic_is_a_panic() {
        for on_reset in [OnReset::Reboot, OnReset::Exit] {
            let mut course = Course::new(on_reset, OnPanic::End);
            course.panicked("first".into());
            course.panicked("second".into());
            course.reset();
            assert_eq!(course.take_next(), Some(Next::End(Outcome::Panic("first".into()))));
        }
    }

    #[test]
    fn a_guest_allowed_to_continue_reboots_after_a_panic_and_still_counts_as_panicked() {
        let mut course = Course::new(OnReset::Reboot, OnPanic::Continue);
        course.panicked("message".into());
        course.reset();
        assert_eq!(course.take_next(), Some(Next::Reboot));
        course.end(Outcome::PowerOff);
        assert_eq!(course.take_next(), Some(Next::End(Outcome::Panic("message".into()))));
    }

    #[test]
    fn quitting_after_a_panic_is_not_a_panic() {
        let mut course = Course::new(OnReset::Reboot, OnPanic::End);
        course.panicked("message".into());
        course.end(Outcome::Quit);
        assert_eq!(course.take_next(), Some(Next::End(Outcome::Quit)));
    }

    #[test]
    fn the_first_end_wins_and_overrides_a_reboot() {
        let mut course = Course::new(OnReset::Reboot, OnPanic::End);
        course.reset();
        course.end(Outcome::PowerOff);
        course.end(Outcome::Quit);
        course.reset();
        assert_eq!(course.take_next(), Some(Next::End(Outcome::PowerOff)));
        assert_eq!(course.take_next(), None);
    }

    #[test]
    fn a_stop_waits_for_a_reboot() {
        for stop_first in [true, false] {
            let mut course = Course::new(OnReset::Reboot, OnPanic::End);
            if stop_first {
                course.release(Leases::All);
            }
            course.reset();
            if !stop_first {
                course.release(Leases::All);
            }
            assert_eq!(course.take_next(), Some(Next::Reboot));
            assert_eq!(course.take_next(), Some(Next::ReleaseLeases(Leases::All)));
            assert_eq!(course.take_next(), None);
        }
    }

    #[test]
    fn a_stop_overrides_the_request_of_another_process() {
        let mut course = Course::new(OnReset::Reboot, OnPanic::End);
        course.release(Leases::All);
        course.release(Leases::Wanted);
        assert_eq!(course.take_next(), Some(Next::ReleaseLeases(Leases::All)));
    }

    #[test]
    fn a_report_comes_after_a_reboot_and_keeps_what_ends_the_run() {
        let mut course = Course::new(OnReset::Reboot, OnPanic::End);
        course.report(Some(Outcome::Quit));
        course.report(None);
        course.reset();
        assert_eq!(course.take_next(), Some(Next::Reboot));
        assert_eq!(course.take_next(), Some(Next::Report(Some(Outcome::Quit))));
        assert_eq!(course.take_next(), None);
    }

    /// docs/exit-codes.md, "Which ending counts".
    #[test]
    fn the_first_cause_counts() {
        let limit = Duration::from_secs(1);
        let effects = [
            Outcome::Reset,
            Outcome::Watchdog,
            Outcome::PowerOff,
            Outcome::TripleFault(Box::default()),
            Outcome::TimeOut(limit),
            Outcome::Silence(limit),
        ];
        let exit = [Outcome::DebugExit(0), Outcome::DebugExit(3)];
        let others = [
            Outcome::Kvm { what: "what".into(), cpu: Box::default() },
            Outcome::FileChanged("path".into()),
            Outcome::Quit,
            Outcome::Signal(15),
            Outcome::Defect("part"),
        ];
        // Each with what counts after a panic, after a problem, after both.
        let rows = effects
            .map(|end| (end, [Some(120), Some(119), Some(120)]))
            .into_iter()
            .chain(exit.map(|end| (end.clone(), [end.status(), Some(119), Some(119)])))
            .chain(others.map(|end| (end.clone(), [end.status(); 3])));
        for (end, expected) in rows {
            let judged = |panic: bool, problem: bool| {
                let mut course = Course::new(OnReset::Exit, OnPanic::Continue);
                if problem {
                    course.found(KernelProblem::Oops, "Oops: 1".into());
                    course.found(KernelProblem::Warning, "WARNING: 2".into());
                }
                if panic {
                    course.panicked("panic".into());
                }
                course.end(end.clone());
                match course.take_next() {
                    Some(Next::End(outcome)) => outcome.status(),
                    other => panic!("{end:?}: {other:?}"),
                }
            };
            let found = [judged(true, false), judged(false, true), judged(true, true)];
            assert_eq!(found, expected, "{end:?}");
        }
    }

    #[test]
    fn the_end_of_a_run_overrides_a_pause() {
        let mut course = Course::new(OnReset::Reboot, OnPanic::End);
        course.pause_or_resume();
        course.end(Outcome::Quit);
        assert_eq!(course.take_next(), Some(Next::End(Outcome::Quit)));
        assert_eq!(course.take_next(), Some(Next::PauseOrResume));
        assert_eq!(course.take_next(), None);
    }

    #[test]
    fn the_debugger_waits_for_a_reboot_and_a_report() {
        let mut course = Course::new(OnReset::Reboot, OnPanic::End);
        course.debug();
        course.debug();
        course.report(None);
        course.reset();
        assert_eq!(course.take_next(), Some(Next::Reboot));
        assert_eq!(course.take_next(), Some(Next::Report(None)));
        assert_eq!(course.take_next(), Some(Next::Debug));
        assert_eq!(course.take_next(), None);
    }

    #[test]
    fn a_panic_overrides_a_time_limit() {
        let limit = Duration::from_secs(1);
        for outcome in [Outcome::TimeOut(limit), Outcome::Silence(limit)] {
            let mut course = Course::new(OnReset::Reboot, OnPanic::Continue);
            assert_eq!(course.judge(outcome.clone()), outcome);
            course.panicked("message".into());
            assert_eq!(course.judge(outcome), Outcome::Panic("message".into()));
        }
    }

    #[test]
    fn a_release_of_all_leases_that_is_asked_for_twice_comes_after_the_reboot() {
        let mut course = Course::new(OnReset::Reboot, OnPanic::End);
        course.release(Leases::All);
        course.reset();
        course.release(Leases::All);
        course.release(Leases::Wanted);
        course.reset();
        assert_eq!(course.take_next(), Some(Next::Reboot));
        assert_eq!(course.take_next(), Some(Next::ReleaseLeases(Leases::All)));
        assert_eq!(course.take_next(), None);
    }
}
