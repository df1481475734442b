//! What happens after a time: the time limits of a run.

use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use crate::config::Limits;
use crate::outcome::Outcome;

/// How long vCPUs are watched for a report on what they do, if their exits are not recorded anyway.
const WATCHED: Duration = Duration::from_millis(500);

/// How long a user waits for a guest's first byte without being told anything.
pub const PATIENCE: Duration = Duration::from_secs(3);

/// How long a panicked kernel may pause between lines of its report. It prints "end Kernel panic"
/// when done, usually within milliseconds.
const PANIC_PAUSE: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(10);
/// The part of the run's time that such a pause may be, if that is within [`PANIC_PAUSE`].
const PANIC_PART: u32 = 10;

/// The moments at which something is due.
#[derive(Debug)]
pub struct Deadlines {
    started: Instant,
    limits: Limits,
    /// A report is due then, and what ends the run after it.
    report: Option<(Instant, Option<Outcome>)>,
    /// What to tell the user if the guest has printed nothing after [`PATIENCE`].
    advice: Option<String>,
}

/// What is due.
#[derive(Debug, PartialEq, Eq)]
pub enum Due {
    /// A report, and what ends the run after it, if anything.
    Report(Option<Outcome>),
    /// The guest has printed nothing so far: what the user should know.
    Advice(String),
}

impl Deadlines {
    /// The limits of a run that starts now. `advice` is what the user reads if the guest has
    /// printed nothing after a moment.
    pub fn new(limits: Limits, advice: Option<String>) -> Self {
        Self { started: Instant::now(), limits, report: None, advice }
    }

    /// Asks for a report when the vCPUs have been watched for a moment. `then` ends the run.
    pub fn watch(&mut self, then: Option<Outcome>) {
        self.report = Some((Instant::now() + WATCHED, then));
    }

    /// Takes what is due at `now`. `heard` is when the guest last wrote to one of its outputs.
    pub fn take_due(&mut self, now: Instant, heard: Option<Instant>) -> Option<Due> {
        if let Some((_, then)) = self.report.take_if(|(at, _)| *at <= now) {
            return Some(Due::Report(then));
        }
        if let Some(limit) = self.limits.timeout.take_if(|limit| self.started + *limit <= now) {
            return Some(Due::Report(Some(Outcome::TimeOut(limit))));
        }
        if heard.is_some() {
            self.advice = None;
        }
        if self.started + PATIENCE <= now
            && let Some(advice) = self.advice.take()
        {
            return Some(Due::Advice(advice));
        }
        let since = heard.unwrap_or(self.started);
        let limit = self.limits.silence.take_if(|limit| since + *limit <= now)?;
        Some(Due::Report(Some(Outcome::Silence(limit))))
    }

    /// How long a kernel that has panicked by `now` may pause in its report: longer where the guest
    /// is slow, as on a busy host, and never much in comparison with the time the run has taken.
    pub fn panic_pause(&self, now: Instant) -> Duration {
        let part = now.saturating_duration_since(self.started) / PANIC_PART;
        part.clamp(*PANIC_PAUSE.start(), *PANIC_PAUSE.end())
    }

    /// When to call [`Self::take_due`] next.
    pub fn next(&self, heard: Option<Instant>) -> Option<Instant> {
        let timeout = self.limits.timeout.map(|limit| self.started + limit);
        let silence = self.limits.silence.map(|limit| heard.unwrap_or(self.started) + limit);
        let report = self.report.as_ref().map(|(at, _)| *at);
        let advice = self.advice.as_ref().filter(|_| heard.is_none());
        let advice = advice.map(|_| self.started + PATIENCE);
        [timeout, silence, report, advice].into_iter().flatten().min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn deadlines(timeout: Option<u32>, silence: Option<u32>) -> Deadlines {
        let seconds = |limit: Option<u32>| limit.map(|limit| SECOND * limit);
        Deadlines::new(Limits { timeout: seconds(timeout), silence: seconds(silence) }, None)
    }

    #[test]
    fn without_limits_nothing_is_ever_due() {
        let mut none = deadlines(None, None);
        assert_eq!(none.next(None), None);
        assert_eq!(none.take_due(none.started + SECOND * 1000, None), None);
    }

    #[test]
    fn a_time_out_is_due_once_whatever_the_guest_says() {
        let mut limits = deadlines(Some(5), None);
        let start = limits.started;
        assert_eq!(limits.next(Some(start + SECOND * 4)), Some(start + SECOND * 5));
        assert_eq!(limits.take_due(start + SECOND * 4, None), None);
        let due = limits.take_due(start + SECOND * 5, Some(start + SECOND * 4));
        assert_eq!(due, Some(Due::Report(Some(Outcome::TimeOut(SECOND * 5)))));
        assert_eq!(limits.take_due(start + SECOND * 6, None), None);
    }

    #[test]
    fn silence_begins_again_with_each_output() {
        let mut limits = deadlines(Some(60), Some(10));
        let start = limits.started;
        assert_eq!(limits.next(None), Some(start + SECOND * 10));
        let heard = Some(start + SECOND * 7);
        assert_eq!(limits.take_due(start + SECOND * 10, heard), None);
        assert_eq!(limits.next(heard), Some(start + SECOND * 17));
        let due = limits.take_due(start + SECOND * 17, heard);
        assert_eq!(due, Some(Due::Report(Some(Outcome::Silence(SECOND * 10)))));
    }

    #[test]
    fn advice_is_due_once_if_the_guest_has_printed_nothing() {
        let limits = Limits::default();
        let mut silent = Deadlines::new(limits, Some("advice".into()));
        let at = silent.started + PATIENCE;
        assert_eq!(silent.next(None), Some(at));
        assert_eq!(silent.take_due(silent.started, None), None, "it may still print");
        assert_eq!(silent.take_due(at, None), Some(Due::Advice("advice".into())));
        assert_eq!((silent.take_due(at, None), silent.next(None)), (None, None));

        let mut talks = Deadlines::new(limits, Some("advice".into()));
        let heard = Some(talks.started);
        assert_eq!(talks.next(heard), None);
        assert_eq!(talks.take_due(at + PATIENCE, heard), None);
    }

    #[test]
    fn a_panic_s_report_may_pause_for_longer_in_a_slow_guest() {
        let limits = deadlines(None, None);
        let pause = |seconds: u32| limits.panic_pause(limits.started + SECOND * seconds);
        assert_eq!([0, 2, 10].map(pause), [SECOND; 3]);
        assert_eq!([40, 100, 9000].map(pause), [SECOND * 4, SECOND * 10, SECOND * 10]);
    }

    #[test]
    fn a_report_is_due_when_the_cpus_have_been_watched() {
        let mut limits = deadlines(Some(60), None);
        limits.watch(None);
        let at = limits.next(None).unwrap();
        assert!(at > limits.started + SECOND / 4 && at < limits.started + SECOND * 2);
        assert_eq!(limits.take_due(limits.started, None), None, "not at once");
        assert_eq!(limits.take_due(at, None), Some(Due::Report(None)));
        assert_eq!(limits.next(None), Some(limits.started + SECOND * 60));
    }
}
