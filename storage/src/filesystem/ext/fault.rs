//! Errors of a damaged or encrypted file system.

use std::io;

use crate::Failure;
use crate::filesystem::files::DAMAGED;

/// The error for a number or structure that makes no sense.
pub(super) fn damaged(problem: &str) -> io::Error {
    Failure::new(format!("the file system is damaged: {problem}"), DAMAGED).into()
}

/// The error for a file whose key only the kernel has.
pub(super) fn encrypted(what: &str) -> io::Error {
    Failure::new(format!("{what} is encrypted"), "unlock it where its key is, and copy it").into()
}
