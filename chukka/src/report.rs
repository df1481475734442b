//! The one place where chukka's own messages are printed: on standard error, as standard output is
//! the guest's.

use std::error::Error;
use std::io::{self, Write};

/// The status of a chukka that could not do what it was asked to: usage, files, memory, KVM
/// (docs/exit-codes.md).
pub const COULD_NOT_RUN: u8 = 125;

/// Prints one line, and the hint on a second one.
pub fn message(text: &str, hint: Option<&str>) {
    let hint = hint.map(|hint| format!("hint: {hint}\n")).unwrap_or_default();
    let _ = write!(io::stderr(), "chukka: {text}\n{hint}");
}

/// Prints a line for each warning.
pub fn warnings(warnings: impl IntoIterator<Item = impl AsRef<str>>) {
    for warning in warnings {
        let _ = writeln!(io::stderr(), "chukka: warning: {}", warning.as_ref());
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
