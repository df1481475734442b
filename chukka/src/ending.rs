//! How chukka ends after a run, or where there was none: the message, the report of `-json` and the
//! exit status.

use std::process::ExitCode;
use std::time::Instant;

use guest_memory::hint::Hint;
use vmm::host::{daemon, signals};
use vmm::outcome::Outcome;

use crate::error::RunError;
use crate::guest::Ended;
use crate::report::{self, COULD_NOT_RUN, with_sources};
use crate::run_report::{RunReport, Verdict};

/// What is known at the end.
#[derive(Debug)]
pub struct Ending<'a> {
    /// How the run ended, or why there was none.
    pub result: &'a Result<Ended, RunError>,
    /// When chukka was started.
    pub started: Instant,
    /// The guest's name, if it has one: messages begin with it.
    pub name: Option<&'a str>,
    /// Whether an orderly end needs no message, as in QEMU: scripts take any text for a failure.
    pub is_quiet: bool,
}

impl Ending<'_> {
    /// Prints the message and writes the report. `more` prints anything else, and returns `false`
    /// if chukka has failed. Returns the exit status of the process; if a signal ended the run, the
    /// process dies of that signal instead.
    pub fn conclude(self, run_report: &mut RunReport, more: impl FnOnce() -> bool) -> ExitCode {
        let signal = match self.result {
            Ok(Ended { outcome: Outcome::Signal(signal), .. })
            | Err(RunError::Stopped { signal, .. }) => Some(*signal),
            _ => None,
        };
        if signal.is_some() {
            report::hurry();
        }
        let name = self.name.map(|name| format!("{name}: ")).unwrap_or_default();
        let elapsed = self.started.elapsed();
        let (message, hint, mut status) = match self.result {
            Ok(Ended { outcome, .. }) => {
                let text = format!("{name}{outcome} (after {:.2} s)", elapsed.as_secs_f64());
                if self.is_quiet && outcome.is_orderly() {
                    report::no_message();
                } else {
                    report::last_message(&text, outcome.hint());
                }
                (text, outcome.hint().map(Into::into), outcome.status().unwrap_or(COULD_NOT_RUN))
            }
            Err(error) => {
                report::no_message();
                error.report(&name);
                (name + &with_sources(error), error.hint(), COULD_NOT_RUN)
            }
        };
        if !more() {
            status = COULD_NOT_RUN;
        }
        let verdict = Verdict {
            outcome: self.result.as_ref().ok().map(|ended| &ended.outcome),
            status: signal.is_none().then_some(status),
            signal,
            message: &message,
            hint: hint.as_deref(),
            elapsed,
        };
        run_report.write(signal.map(|_| "signal"), &verdict);
        daemon::finish(status);
        match signal {
            Some(signal) => signals::die_of(signal),
            None => ExitCode::from(status),
        }
    }
}
