//! Looks for marks and steps in a job's output.

use std::collections::VecDeque;

use crate::job::{Act, Step, Stream};

/// The output so far, and the marks that have not appeared yet.
pub(super) struct Tracker {
    text: [Vec<u8>; 2],
    // Where in each stream the current step looks.
    from: [usize; 2],
    marks: Vec<String>,
    steps: VecDeque<Step>,
    // When the first step is due, once what it waits for was seen.
    due: Option<u64>,
}

impl Tracker {
    /// Starts with no output.
    pub fn new(marks: &[String], steps: &[Step]) -> Self {
        let steps = steps.iter().cloned().collect();
        let mut tracker = Self {
            text: Default::default(),
            from: [0; 2],
            marks: marks.to_vec(),
            steps,
            due: None,
        };
        tracker.look(0);
        tracker
    }

    /// Adds output; returns the marks that appear for the first time.
    pub fn feed(&mut self, stream: Stream, bytes: &[u8], now: u64) -> Vec<String> {
        let text = &mut self.text[stream as usize];
        let before = text.len();
        text.extend_from_slice(bytes);
        let mut seen = Vec::new();
        self.marks.retain(|mark| {
            let from = before.saturating_sub(mark.len().saturating_sub(1));
            match find(&text[from..], mark.as_bytes()) {
                Some(at) => seen.push((from + at, mark.clone())),
                None => return true,
            }
            false
        });
        seen.sort();
        self.look(now);
        seen.into_iter().map(|(_, mark)| mark).collect()
    }

    /// The next act whose time has come.
    pub fn next_act(&mut self, now: u64) -> Option<Act> {
        if self.due? > now {
            return None;
        }
        let step = self.steps.pop_front()?;
        self.due = None;
        self.look(now);
        Some(step.act)
    }

    /// When the next step is due.
    pub fn due(&self) -> Option<u64> {
        self.due
    }

    /// How many steps were not taken.
    pub fn left(&self) -> usize {
        self.steps.len()
    }

    /// Looks for what the first step waits for.
    fn look(&mut self, now: u64) {
        let (None, Some(step)) = (self.due, self.steps.front()) else { return };
        let after = u64::try_from(step.after.as_nanos()).unwrap_or(u64::MAX);
        let see = step.see.as_bytes();
        let due = now.saturating_add(after);
        if see.is_empty() {
            self.due = Some(due);
            return;
        }
        for (text, from) in self.text.iter().zip(&mut self.from) {
            if let Some(at) = find(&text[*from..], see) {
                *from += at + see.len();
                self.due = Some(due);
                return;
            }
            // Search only new output, plus the end of the old, which may have the beginning of the
            // text.
            *from = text.len().saturating_sub(see.len() - 1).max(*from);
        }
    }
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    if what.is_empty() {
        return Some(0);
    }
    let first = what[0];
    let mut at = 0;
    while let Some(next) = text[at..].iter().position(|&byte| byte == first) {
        at += next;
        if text[at..].starts_with(what) {
            return Some(at);
        }
        at += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn step(see: &str, after: u64, act: Act) -> Step {
        Step { see: see.into(), after: Duration::from_nanos(after), act }
    }

    #[test]
    fn a_mark_is_seen_once_even_over_a_border() {
        let mut tracker = Tracker::new(&["ready".into(), "go".into()], &[]);
        assert!(tracker.feed(Stream::Out, b"..re", 1).is_empty());
        assert!(tracker.feed(Stream::Err, b"ady", 2).is_empty(), "streams are apart");
        assert_eq!(tracker.feed(Stream::Out, b"ady go", 3), ["ready", "go"]);
        assert!(tracker.feed(Stream::Out, b"ready go", 4).is_empty());
    }

    #[test]
    fn steps_come_one_after_the_other() {
        let steps = [step("a", 0, Act::Signal(1)), step("a", 5, Act::Signal(2))];
        let mut tracker = Tracker::new(&[], &steps);
        assert_eq!(tracker.next_act(0), None);
        tracker.feed(Stream::Out, b"xa", 10);
        assert_eq!(tracker.next_act(10), Some(Act::Signal(1)));
        assert_eq!(tracker.next_act(20), None, "the same text does not count twice");
        tracker.feed(Stream::Out, b"a", 30);
        assert_eq!((tracker.next_act(34), tracker.due()), (None, Some(35)));
        assert_eq!(tracker.next_act(35), Some(Act::Signal(2)));
        assert_eq!(tracker.left(), 0);
    }

    #[test]
    fn a_step_that_waits_for_nothing_is_due_at_once() {
        let mut tracker = Tracker::new(&[], &[step("", 3, Act::Close)]);
        assert_eq!(tracker.next_act(2), None);
        assert_eq!(tracker.next_act(3), Some(Act::Close));
    }
}
