//! What chukka says of itself: on standard error, as standard output is the guest's.

use std::error::Error;
use std::io::Write;

/// The status of a chukka that could not do what it was asked to: usage, files, memory, KVM (docs/exit-codes.md).
pub const COULD_NOT_RUN: u8 = 125;

/// One line, and a second one with what to do.
pub fn tell(message: &str, hint: Option<&str>) {
    let hint = hint.map(|hint| format!("hint: {hint}\n")).unwrap_or_default();
    let _ = write!(std::io::stderr(), "chukka: {message}\n{hint}");
}

/// One line about something that works, but is hardly meant or wanted.
pub fn warn(message: &str) {
    let _ = writeln!(std::io::stderr(), "chukka: warning: {message}");
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
