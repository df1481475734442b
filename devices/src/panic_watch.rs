//! Watches the guest's console output for a Linux kernel's panic, restart and shutdown messages.
//!
//! It looks for `Kernel panic - not syncing` (kernel/panic.c), for the same text after `---[ end `,
//! which ends the panic report, and for the final messages of kernel/reboot.c. A message may follow
//! a time stamp (`[    1.234567] `), a log level (`<0>`) or an incomplete line such as a shell
//! prompt. Lines end at CR or LF. Memory use is bounded by one line buffer of 512 bytes.
//!
//! The text is not authenticated: any program in the guest can print the same messages.

use crate::kernel_problem::{KernelProblem, KernelProblems};

/// Size of the line buffer in bytes. Longer lines are searched in pieces.
const LINE_LIMIT: usize = 512;
/// Bytes of a long line carried over to the next search: more than the longest message.
const LINE_KEEP: usize = LINE_LIMIT / 2;
/// Longest panic message reported, in bytes.
const MESSAGE_LIMIT: usize = 256;

const PANIC: &[u8] = b"Kernel panic - not syncing";
/// Text before [`PANIC`] on the line that ends the report.
const PANIC_END: &[u8] = b"---[ end ";
const REBOOT: &[u8] = b"reboot: ";
/// The beginning and the end of the line for the first process.
const INIT: &[u8] = b"Run /";
const INIT_END: &[u8] = b" as init process";

/// A message from the guest's kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConsoleEvent {
    /// The kernel panicked. The message runs from `Kernel panic` to the end of the line, at most
    /// 256 bytes.
    Panic(String),
    /// The kernel printed another line after its panic message.
    PanicLine,
    /// The kernel finished its panic report.
    PanicEnd,
    /// The kernel starts its crash kernel.
    CrashKernel,
    /// The kernel reported a problem that it survived, and that is watched for. Holds the report's
    /// first line.
    Problem(KernelProblem, String),
    /// The kernel starts its first process (`run_init_process` in init/main.c).
    Init,
    /// The kernel is restarting the machine (orderly reboot).
    Restarting,
    /// The kernel is powering the machine off (orderly shutdown).
    PowerDown,
    /// The kernel halted the CPUs without powering the machine off.
    Halted,
}

/// The messages that follow [`REBOOT`].
const LAST_WORDS: [(&[u8], ConsoleEvent); 3] = [
    (b"Restarting system", ConsoleEvent::Restarting),
    (b"Power down", ConsoleEvent::PowerDown),
    (b"System halted", ConsoleEvent::Halted),
];

/// Detects kernel panics, restarts and shutdowns in console output.
#[derive(Debug)]
pub struct PanicWatch {
    line: Vec<u8>,
    /// This line has already produced its event.
    settled: bool,
    panicked: bool,
    problems: KernelProblems,
}

impl PanicWatch {
    /// Creates a watch positioned at the start of a line.
    pub fn new() -> Self {
        let problems = KernelProblems::default();
        Self { line: Vec::with_capacity(LINE_LIMIT), settled: false, panicked: false, problems }
    }

    /// Watches for these problems, too.
    #[must_use]
    pub fn with_problems(self, problems: KernelProblems) -> Self {
        Self { problems, ..self }
    }

    /// Consumes `bytes`, which may start and end anywhere in a line, and passes each event to
    /// `found`.
    pub fn feed(&mut self, mut bytes: &[u8], mut found: impl FnMut(ConsoleEvent)) {
        while let Some(end) = bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
            self.extend(&bytes[..end], &mut found);
            let is_report = self.panicked && (self.settled || !self.line.is_empty());
            self.examine(&mut found);
            if is_report {
                found(ConsoleEvent::PanicLine);
            }
            self.line.clear();
            self.settled = false;
            bytes = &bytes[end + 1..];
        }
        self.extend(bytes, &mut found);
    }

    fn extend(&mut self, mut bytes: &[u8], found: &mut impl FnMut(ConsoleEvent)) {
        while !self.settled && !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(LINE_LIMIT - self.line.len()));
            self.line.extend_from_slice(now);
            bytes = later;
            if self.line.len() == LINE_LIMIT {
                self.settled = self.examine_long(found);
            }
        }
    }

    /// Searches a full buffer. A message that starts near its end is deferred until more of it has
    /// arrived.
    fn examine_long(&mut self, found: &mut impl FnMut(ConsoleEvent)) -> bool {
        let complete = find(&self.line, PANIC).is_none_or(|start| start <= LINE_KEEP);
        let settled = complete && self.examine(found);
        self.line.drain(..LINE_KEEP);
        settled
    }

    /// Searches the buffer for a message and returns whether it contains one.
    fn examine(&mut self, found: &mut impl FnMut(ConsoleEvent)) -> bool {
        if self.settled {
            return false;
        }
        if let Some(start) = find(&self.line, PANIC) {
            let (before, message) = self.line.split_at(start);
            let end = before.ends_with(PANIC_END);
            if !end || !self.panicked {
                self.panicked = true;
                found(ConsoleEvent::Panic(text(message)));
            }
            if end {
                found(ConsoleEvent::PanicEnd);
            }
            return true;
        }
        if let Some((problem, start)) = self.problems.find(&self.line) {
            found(ConsoleEvent::Problem(problem, text(&self.line[start..])));
            return true;
        }
        if self.line.ends_with(INIT_END) && find(&self.line, INIT).is_some() {
            found(ConsoleEvent::Init);
            return true;
        }
        let last_words = find(&self.line, REBOOT).and_then(|start| {
            let words = &self.line[start + REBOOT.len()..];
            LAST_WORDS.iter().find(|(last, _)| words.starts_with(last))
        });
        last_words.map(|(_, event)| found(event.clone())).is_some()
    }
}

impl Default for PanicWatch {
    fn default() -> Self {
        Self::new()
    }
}

/// Returns the offset of `words` in `line`, either at its start or after a prefix.
fn find(line: &[u8], words: &[u8]) -> Option<usize> {
    let starts = line.windows(words.len()).enumerate().filter(|(_, window)| *window == words);
    starts
        .map(|(start, _)| start)
        .find(|&start| start == 0 || matches!(line[start - 1], b' ' | b']' | b'>' | b'\t'))
}

/// Converts bytes to a string of bounded length, without trailing whitespace; invalid UTF-8 is
/// replaced.
fn text(bytes: &[u8]) -> String {
    let bytes = &bytes[..bytes.len().min(MESSAGE_LIMIT)];
    String::from_utf8_lossy(bytes).trim_end().to_owned()
}

#[cfg(test)]
mod tests;
