//! Errors of files and trees, with hints for the user.

use std::io;

use thiserror::Error;

/// Why a file or directory cannot be used.
#[derive(Debug, Error)]
pub enum FileError {
    /// It does not exist.
    #[error("'{0}' is not there")]
    Missing(String),
    /// The tree has files, but no directory listings.
    #[error("'{0}' has no directory listing")]
    Unlisted(String),
    /// It is of another type than expected.
    #[error("'{name}' is {found}, expected {expected}")]
    Kind {
        /// Its name.
        name: String,
        /// What it is: "a directory", "a pipe".
        found: &'static str,
        /// The expected type.
        expected: &'static str,
    },
    /// It exists, but cannot be read.
    #[error("Cannot read '{name}'")]
    Io {
        /// Its name.
        name: String,
        /// The error of the system, or a [`Failure`].
        source: io::Error,
    },
}

impl FileError {
    /// Whether it simply does not exist.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Missing(_))
    }

    /// `name` cannot be read because of `problem`; `hint` tells the user what to do.
    pub fn failure(
        name: impl Into<String>,
        problem: impl Into<String>,
        hint: &'static str,
    ) -> Self {
        Self::Io { name: name.into(), source: Failure::new(problem, hint).into() }
    }

    /// A copy of the error. Of an I/O error it has the `errno`, or else the kind and message.
    #[must_use]
    pub fn again(&self) -> Self {
        match self {
            Self::Missing(name) => Self::Missing(name.clone()),
            Self::Unlisted(name) => Self::Unlisted(name.clone()),
            Self::Kind { name, found, expected } => {
                Self::Kind { name: name.clone(), found, expected }
            }
            Self::Io { name, source } => {
                let text = || io::Error::new(source.kind(), source.to_string());
                let source = source.raw_os_error().map_or_else(text, io::Error::from_raw_os_error);
                Self::Io { name: name.clone(), source }
            }
        }
    }

    /// What the user can do about it, if known.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Io { source, .. } => hint_of(source),
            _ => None,
        }
    }
}

/// A failed read that no errno describes: a server's response, a damaged image. It is carried
/// inside an [`io::Error`].
#[derive(Clone, Debug, Error)]
#[error("{problem}")]
pub struct Failure {
    problem: String,
    hint: &'static str,
}

impl Failure {
    /// `problem` says what was found and expected, `hint` what the user can do.
    pub fn new(problem: impl Into<String>, hint: &'static str) -> Self {
        Self { problem: problem.into(), hint }
    }
}

impl From<Failure> for io::Error {
    fn from(failure: Failure) -> Self {
        Self::other(failure)
    }
}

/// What the user can do about a read error, if known.
#[must_use]
pub fn hint_of(error: &io::Error) -> Option<&'static str> {
    error.get_ref()?.downcast_ref::<Failure>().map(|failure| failure.hint)
}
