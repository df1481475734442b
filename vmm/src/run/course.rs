//! What the run does next, decided from everything that happens to it.

use guest_memory::Leases;

use crate::config::OnReset;
use crate::outcome::Outcome;

/// What the run has to do next.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// Copy the mapped pages of files, give their leases back, and go on. [`Leases::Wanted`]:
    /// another process wants to write to a file. [`Leases::All`]: chukka is about to be stopped
    /// (Ctrl-Z), and nobody should have to wait for it;
    /// [`EventLoop::suspend`](super::event_loop::EventLoop::suspend) comes next.
    ReleaseLeases(Leases),
    /// The guest reset the machine: boot it again.
    Reboot,
    /// The run is over.
    End(Outcome),
}

/// Resolves events that happen at once. The first end wins and overrules a reboot, which overrules
/// a release of leases.
#[derive(Debug)]
pub struct Course {
    on_reset: OnReset,
    next: Option<Next>,
    /// The message of the guest's kernel, once it has panicked.
    panic: Option<String>,
    /// Release all leases once the guest has been booted again.
    release_later: bool,
}

impl Course {
    /// The course of a run that treats a reset as `on_reset` says.
    pub fn new(on_reset: OnReset) -> Self {
        Self { on_reset, next: None, panic: None, release_later: false }
    }

    /// What the run has to do, if anything.
    pub fn take_next(&mut self) -> Option<Next> {
        let later =
            || std::mem::take(&mut self.release_later).then_some(Next::ReleaseLeases(Leases::All));
        self.next.take().or_else(later)
    }

    /// The guest's kernel panicked with `message`. The first message counts.
    pub fn panicked(&mut self, message: String) {
        self.panic.get_or_insert(message);
    }

    /// The run is over. A guest that resets, powers off or faults after a panic has panicked.
    pub fn end(&mut self, outcome: Outcome) {
        if matches!(self.next, Some(Next::End(_))) {
            return;
        }
        let outcome = match (self.panic.take(), outcome) {
            (Some(message), Outcome::Reset | Outcome::PowerOff | Outcome::TripleFault(_)) => {
                Outcome::Panic(message)
            }
            (_, outcome) => outcome,
        };
        self.next = Some(Next::End(outcome));
    }

    /// The guest reset the machine.
    pub fn reset(&mut self) {
        match self.on_reset {
            OnReset::Reboot if self.panic.is_none() => {
                if !matches!(self.next, Some(Next::End(_))) {
                    let overruled = self.next.replace(Next::Reboot);
                    self.release_later |=
                        matches!(overruled, Some(Next::ReleaseLeases(Leases::All)));
                }
            }
            OnReset::Reboot | OnReset::Exit => self.end(Outcome::Reset),
        }
    }

    /// Leases have to be released. A reboot releases the wanted ones anyway; a stop waits for it.
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
    use super::*;

    #[test]
    fn a_reset_after_a_panic_is_a_panic() {
        for on_reset in [OnReset::Reboot, OnReset::Exit] {
            let mut course = Course::new(on_reset);
            course.panicked("first".into());
            course.panicked("second".into());
            course.reset();
            assert_eq!(course.take_next(), Some(Next::End(Outcome::Panic("first".into()))));
        }
    }

    #[test]
    fn a_user_s_end_after_a_panic_is_not_a_panic() {
        let mut course = Course::new(OnReset::Reboot);
        course.panicked("message".into());
        course.end(Outcome::Quit);
        assert_eq!(course.take_next(), Some(Next::End(Outcome::Quit)));
    }

    #[test]
    fn the_first_end_wins_and_overrules_a_reboot() {
        let mut course = Course::new(OnReset::Reboot);
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
            let mut course = Course::new(OnReset::Reboot);
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
    fn a_stop_overrules_another_process_s_wish() {
        let mut course = Course::new(OnReset::Reboot);
        course.release(Leases::All);
        course.release(Leases::Wanted);
        assert_eq!(course.take_next(), Some(Next::ReleaseLeases(Leases::All)));
    }
}
