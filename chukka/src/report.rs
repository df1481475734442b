//! The one place where chukka's own messages are printed: on standard error, as standard output is
//! the guest's.

use std::error::Error;
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;
use vmm::host::printable::{is_unsafe, printable};
use vmm::host::screen;
use vmm_sys_util::epoll::{ControlOperation, Epoll, EpollEvent, EventSet};

/// The status of a chukka that could not do what it was asked to: usage, files, memory, KVM
/// (docs/exit-codes.md).
pub const COULD_NOT_RUN: u8 = 125;

/// Whether messages may no longer wait for long until there is room for them.
static HURRY: AtomicBool = AtomicBool::new(false);

/// How long a message waits for room then, in milliseconds.
const PATIENCE: i32 = 500;

/// From now on a message is dropped if nobody takes it: a signal ends chukka, and a full pipe must
/// not delay that.
pub fn hurry() {
    HURRY.store(true, Ordering::Relaxed);
}

/// Whether standard error takes a message, now or soon (`PIPE_BUF` bytes for a pipe, pipe(7)).
fn has_room() -> bool {
    let room = || {
        let epoll = Epoll::new()?;
        let event = EpollEvent::new(EventSet::OUT, 0);
        match epoll.ctl(ControlOperation::Add, io::stderr().as_raw_fd(), event) {
            // A regular file always has (epoll_ctl(2)).
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(1),
            added => added?,
        }
        epoll.wait(PATIENCE, &mut [EpollEvent::default()])
    };
    room().is_ok_and(|count: usize| count > 0)
}

/// Prints one line, and the hint on a second one. A line that the guest has begun on the same
/// terminal or in the same file ends first. Control characters are shown as escapes.
pub fn message(text: &str, hint: Option<&str>) {
    let start = if screen::take_unfinished_line() { "\n" } else { "" };
    let hint = hint.map(|hint| format!("hint: {}\n", printable(hint))).unwrap_or_default();
    if HURRY.load(Ordering::Relaxed) && !has_room() {
        return;
    }
    let _ = write!(io::stderr(), "{start}chukka: {}\n{hint}", printable(text));
}

/// Prints lines that need no name in front of them: a plan.
pub fn plain(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}

/// Prints several lines for programs, each whole.
pub fn lines(text: &str) {
    if !HURRY.load(Ordering::Relaxed) || has_room() {
        let _ = io::stderr().write_all(text.as_bytes());
    }
}

/// Prints a message when the guest has ended: the terminal gets its usual modes back.
pub fn last_message(text: &str, hint: Option<&str>) {
    screen::reset_modes();
    message(text, hint);
}

/// The same where nothing is to be said.
pub fn no_message() {
    screen::reset_modes();
}

/// Prints a line for each warning.
pub fn warnings(warnings: impl IntoIterator<Item = impl AsRef<str>>) {
    for warning in warnings {
        message(&format!("warning: {}", warning.as_ref()), None);
    }
}

/// The message of an error with those of its causes.
#[must_use]
pub fn with_sources(error: &dyn Error) -> String {
    let mut message = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        message += &format!(": {cause}");
        source = cause.source();
    }
    message
}

/// A JSON value in several lines. Characters that a terminal may act on are escaped, also those
/// that JSON allows in strings, which is the only place where they can be.
#[must_use]
pub fn json(value: &Value) -> String {
    let text = format!("{value:#}\n");
    if !text.contains(|c| c != '\n' && is_unsafe(c)) {
        return text;
    }
    text.chars().fold(String::new(), |mut escaped, c| {
        match c {
            '\n' => escaped.push('\n'),
            c if is_unsafe(c) => escaped += &format!("\\u{:04x}", u32::from(c)),
            c => escaped.push(c),
        }
        escaped
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_has_no_character_that_a_terminal_acts_on_and_the_same_value() {
        let value = serde_json::json!({ "a\u{9b}\x1b[2J": "\u{7f}\u{202e}\u{85}\n" });
        let text = json(&value);
        assert!(!text.contains(|c| c != '\n' && is_unsafe(c)), "{text:?}");
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
    }
}
