//! Reads along on the guest's console and recognises how a Linux kernel says that it ends.
//!
//! It looks for `Kernel panic - not syncing` (kernel/panic.c), for the same behind `---[ end `,
//! which closes the report, and for the last words of kernel/reboot.c. A message may follow a time
//! stamp (`[    1.234567] `), a log level (`<0>`) or an unfinished line, such as a shell's prompt.
//! Lines end at CR or LF. Memory is bounded: one line buffer of 512 bytes.
//!
//! It trusts the text: a program in the guest can print the same words.

/// Most bytes of a line examined at once. A longer line is examined in pieces.
const LINE_LIMIT: usize = 512;
/// What is kept of a long line, in bytes: more than the longest words looked for.
const LINE_KEEP: usize = LINE_LIMIT / 2;
/// Longest panic message that is reported, in bytes.
const MESSAGE_LIMIT: usize = 256;

const PANIC: &[u8] = b"Kernel panic - not syncing";
/// What precedes [`PANIC`] on the line that closes the report.
const PANIC_END: &[u8] = b"---[ end ";
const REBOOT: &[u8] = b"reboot: ";

/// What the guest's kernel said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConsoleEvent {
    /// The kernel panicked; its message from `Kernel panic` to the end of the line, at most 256
    /// bytes.
    Panic(String),
    /// The kernel has printed another line after the one that says that it panicked.
    PanicLine,
    /// The kernel has printed all of its panic report.
    PanicEnd,
    /// The kernel restarts the machine in an orderly way.
    Restarting,
    /// The kernel switches the machine off in an orderly way.
    PowerDown,
    /// The kernel stopped and leaves the machine on.
    Halted,
}

/// What follows [`REBOOT`].
const LAST_WORDS: [(&[u8], ConsoleEvent); 3] = [
    (b"Restarting system", ConsoleEvent::Restarting),
    (b"Power down", ConsoleEvent::PowerDown),
    (b"System halted", ConsoleEvent::Halted),
];

/// Recognises the end of a kernel in its console output.
#[derive(Debug)]
pub struct PanicWatch {
    line: Vec<u8>,
    /// This line has had its event.
    settled: bool,
    panicked: bool,
}

impl PanicWatch {
    /// A watch at the beginning of a line.
    pub fn new() -> Self {
        Self { line: Vec::with_capacity(LINE_LIMIT), settled: false, panicked: false }
    }

    /// Reads on, and hands each finding to `found`. `bytes` may begin and end anywhere in a line.
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

    /// Looks at a full buffer. A message near its end waits for the rest.
    fn examine_long(&mut self, found: &mut impl FnMut(ConsoleEvent)) -> bool {
        let complete = find(&self.line, PANIC).is_none_or(|start| start <= LINE_KEEP);
        let settled = complete && self.examine(found);
        self.line.drain(..LINE_KEEP);
        settled
    }

    /// Looks for a message in the buffer. Says whether there was one.
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

/// Where `words` begin in `line`, at its start or after a prefix.
fn find(line: &[u8], words: &[u8]) -> Option<usize> {
    let starts = line.windows(words.len()).enumerate().filter(|(_, window)| *window == words);
    starts
        .map(|(start, _)| start)
        .find(|&start| start == 0 || matches!(line[start - 1], b' ' | b']' | b'>' | b'\t'))
}

/// A bounded text without the trailing blanks, whatever the bytes.
fn text(bytes: &[u8]) -> String {
    let bytes = &bytes[..bytes.len().min(MESSAGE_LIMIT)];
    String::from_utf8_lossy(bytes).trim_end().to_owned()
}

#[cfg(test)]
mod tests;
