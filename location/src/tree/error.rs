//! Why nothing in a place can be booted.

use std::borrow::Cow;
use std::io;

use thiserror::Error;

use crate::place::SpellingError;
use storage::{FileError, hint_of};

/// The hint for an error without one of its own.
const UNREADABLE: &str = "read error: check the disk";

/// Why nothing in a place can be booted. Each message names the file, what was found and what was
/// expected.
#[derive(Debug, Error)]
pub enum TreeError {
    /// The file that the user named cannot be used.
    #[error("The {role} given by -{role} cannot be used: {problem}; {directory} {there}")]
    Named {
        /// "kernel", "initrd".
        role: &'static str,
        /// What is wrong with it.
        problem: String,
        /// Where it was looked for.
        directory: String,
        /// What is there instead: "contains: a, b".
        there: String,
    },
    /// A malformed URL.
    #[error("-{role} is not a valid path or URL")]
    Url {
        /// "kernel", "initrd".
        role: &'static str,
        /// What is wrong.
        #[source]
        why: SpellingError,
    },
    /// A file with a URL of its own cannot be used.
    #[error("The {role} given by -{role} cannot be used")]
    Elsewhere {
        /// "kernel", "initrd".
        role: &'static str,
        /// Why.
        source: FileError,
    },
    /// The place itself cannot be read.
    #[error(transparent)]
    Source(FileError),
    /// An initrd was named, and no kernel is known for it.
    #[error("No kernel is known for the initrd '{initrd}' in '{place}'")]
    NoPartner {
        /// The initrd.
        initrd: String,
        /// The place.
        place: String,
    },
    /// No rule found a kernel.
    #[error("No kernel found in '{place}'{}; it {there}; tried {tried}", candidates_text(.candidates))]
    Nothing {
        /// The place.
        place: String,
        /// Paths of files that look like kernels.
        candidates: Vec<String>,
        /// What was tried.
        tried: String,
        /// What is there: "contains: a, b".
        there: String,
    },
    /// The tree is for another processor.
    #[error("The tree '{place}' is for {arch} according to its {by}, expected x86_64")]
    Arch {
        /// The place.
        place: String,
        /// Which processor.
        arch: String,
        /// The file with this information.
        by: String,
    },
    /// A file is obviously something else.
    #[error("The {role} '{name}' is {found}, expected {}", if *role == "kernel" { "a kernel" } else { "an initrd" })]
    Foreign {
        /// "kernel", "initrd".
        role: &'static str,
        /// Its name.
        name: String,
        /// What it is.
        found: &'static str,
    },
    /// A file has the wrong checksum.
    #[error(transparent)]
    Checksum(Box<Mismatch>),
    /// A file cannot be read to its end.
    #[error("Cannot read '{name}'")]
    Read {
        /// Its name.
        name: String,
        /// What the system said.
        source: io::Error,
    },
}

fn candidates_text(candidates: &[String]) -> String {
    match candidates {
        [] => String::new(),
        [one] => format!(" by the known rules, but {one} is there"),
        several => format!(" by the known rules, but these are there: {}", several.join(", ")),
    }
}

/// A file with the wrong checksum.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("The {role} '{name}' has the {algorithm} {found}, expected {expected} by {by}")]
pub struct Mismatch {
    /// "kernel", "initrd".
    pub role: &'static str,
    /// Its name.
    pub name: String,
    /// "sha256".
    pub algorithm: Cow<'static, str>,
    /// Its checksum.
    pub found: String,
    /// The expected checksum.
    pub expected: String,
    /// The file with this information.
    pub by: String,
}

impl TreeError {
    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Named { role, .. } => format!(
                "-{role} is relative to the location's root, even with a leading slash; for a file elsewhere on this host, write -{role} file:///PATH"
            ),
            Self::Url { .. } => "for a path in the location, write it without a scheme".into(),
            Self::Elsewhere { source, .. } => match source {
                FileError::Missing(_) => "check the URL: it must be that of the file itself".into(),
                error => error.hint().unwrap_or(UNREADABLE).into(),
            },
            Self::Source(error) => error.hint().unwrap_or(UNREADABLE).into(),
            Self::NoPartner { .. } => "name the kernel too: -kernel PATH, from the location's root".into(),
            Self::Nothing { candidates, .. } => match candidates.first() {
                Some(kernel) => format!("name the files: -kernel {kernel} -initrd PATH, from the location's root"),
                None => "check that -location names the root of the tree; or name the files: -kernel PATH -initrd PATH, from the location's root".into(),
            },
            Self::Arch { .. } => "use the distribution's x86_64 tree".into(),
            Self::Foreign { found: "empty (0 bytes)", .. } => "compare its size with the original: the download or copy may be incomplete".into(),
            Self::Foreign { .. } => {
                "the server answered with a web page: open the URL in a browser; with curl, use --fail".into()
            }
            Self::Checksum(_) => "the file is damaged, or belongs to another version of the tree: download it again".into(),
            Self::Read { source, .. } => hint_of(source).unwrap_or(UNREADABLE).into(),
        }
    }
}
