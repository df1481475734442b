//! Why something in a place cannot be used.

use std::io;

use thiserror::Error;

/// Why something in a place cannot be used.
#[derive(Debug, Error)]
pub enum SourceError {
    /// There is nothing of that name.
    #[error("'{0}' is not there")]
    Missing(String),
    /// The place has files, and no lists of them.
    #[error("'{0}' has no list of its files")]
    Unlisted(String),
    /// It is something else.
    #[error("'{name}' is {found}, expected {expected}")]
    Kind {
        /// What it is called.
        name: String,
        /// What it is: "a directory", "a pipe".
        found: &'static str,
        /// What it was to be.
        expected: &'static str,
    },
    /// It is there and cannot be read: what the system said, or a [`Failure`].
    #[error("Cannot read '{name}'")]
    Io {
        /// What it is called.
        name: String,
        /// What the system said.
        source: io::Error,
    },
}

impl SourceError {
    /// Whether there just is nothing of that name.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Missing(_))
    }

    /// `name` cannot be read for `problem`; `hint` is what the user can do about it.
    pub fn failure(
        name: impl Into<String>,
        problem: impl Into<String>,
        hint: &'static str,
    ) -> Self {
        Self::Io { name: name.into(), source: Failure::new(problem, hint).into() }
    }

    /// What the user can do about it, where the place knows.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Io { source, .. } => hint_of(source),
            _ => None,
        }
    }
}

/// A reading that failed for a reason that no errno names: a server's answer, an image that is damaged. It travels as the cause of an
/// [`io::Error`].
#[derive(Clone, Debug, Error)]
#[error("{problem}")]
pub struct Failure {
    problem: String,
    hint: &'static str,
}

impl Failure {
    /// What was found and expected; what the user can do about it.
    pub fn new(problem: impl Into<String>, hint: &'static str) -> Self {
        Self { problem: problem.into(), hint }
    }
}

impl From<Failure> for io::Error {
    fn from(failure: Failure) -> Self {
        Self::other(failure)
    }
}

/// What the user can do about an error of reading, where that is known.
#[must_use]
pub fn hint_of(error: &io::Error) -> Option<&'static str> {
    error.get_ref()?.downcast_ref::<Failure>().map(|failure| failure.hint)
}
