//! The one error of this package: what was being done, and why it could not be.

use std::io;
use std::path::Path;

/// Why a lab, a job or a test asset is not to be had.
#[derive(Debug, thiserror::Error)]
#[expect(clippy::error_impl_error, reason = "the one error of this package, named by its path")]
pub enum Error {
    /// A system call or file operation failed.
    #[error("{what}: {source}")]
    Io {
        /// What was being done, with the value.
        what: String,
        /// What the system said.
        source: io::Error,
    },
    /// A tool that was started ended badly.
    #[error("{tool} failed ({status}): {tail}")]
    Tool {
        /// The program and what it was to do.
        tool: String,
        /// Its exit status.
        status: String,
        /// The end of what it printed.
        tail: String,
    },
    /// Something that set-up brings is not there.
    #[error(
        "{0} is missing (hint: `make test` and `make demo` set it up; by hand: sh tests/setup.sh test)"
    )]
    Missing(String),
    /// The outer virtual machine did not do its part.
    #[error("The lab {what}\n--- end of the outer console ---\n{console}\n---")]
    Lab {
        /// What went wrong.
        what: String,
        /// The last lines the outer machine printed.
        console: String,
    },
    /// A message of the lab could not be understood.
    #[error("Bad message between host and lab: {0}")]
    Message(String),
    /// Anything else, in words.
    #[error("{0}")]
    Other(String),
}

/// A result with this package's error.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// Wraps an error of the system with what was being done.
    #[must_use]
    pub fn io(what: impl Into<String>, source: io::Error) -> Self {
        Self::Io { what: what.into(), source }
    }
}

/// Adds what was being done to an error of the system.
pub trait Doing<T> {
    /// Names what was being done.
    ///
    /// # Errors
    /// The same error, wrapped.
    fn doing(self, what: &str) -> Result<T>;

    /// Names what was being done with a file.
    ///
    /// # Errors
    /// The same error, wrapped.
    fn doing_with(self, what: &str, path: &Path) -> Result<T>;
}

impl<T> Doing<T> for io::Result<T> {
    fn doing(self, what: &str) -> Result<T> {
        self.map_err(|source| Error::io(what, source))
    }

    fn doing_with(self, what: &str, path: &Path) -> Result<T> {
        self.map_err(|source| Error::io(format!("{what} {}", path.display()), source))
    }
}

impl From<serde_json::Error> for Error {
    fn from(error: serde_json::Error) -> Self {
        Self::Message(error.to_string())
    }
}
