//! Why a place gives nothing to boot.

use std::io;

use thiserror::Error;

use crate::place::SpellingError;
use storage::source::{SourceError, hint_of};

/// Where nothing better is known.
const UNREADABLE: &str = "read error: check the disk";

/// Why a place gives nothing to boot. Each names the file, what was found and what was expected.
#[derive(Debug, Error)]
pub enum TreeError {
    /// What the user named is not to be had.
    #[error(
        "The {role} named by -{role} cannot be used: {problem}; in {directory} there is: {there}"
    )]
    Named {
        /// "kernel", "initrd".
        role: &'static str,
        /// What is wrong with it.
        problem: String,
        /// Where it was looked for.
        directory: String,
        /// What is there instead.
        there: String,
    },
    /// A URL that is none.
    #[error("-{role} names no file")]
    Url {
        /// "kernel", "initrd".
        role: &'static str,
        /// What is wrong.
        #[source]
        why: SpellingError,
    },
    /// What has a URL of its own is not to be had.
    #[error("The {role} named by -{role} cannot be used")]
    Elsewhere {
        /// "kernel", "initrd".
        role: &'static str,
        /// Why.
        source: SourceError,
    },
    /// The place itself cannot be read.
    #[error(transparent)]
    Source(SourceError),
    /// An initrd was named, and no kernel goes with it.
    #[error("No kernel is known to belong to the initrd '{initrd}' in '{place}'")]
    NoPartner {
        /// The initrd.
        initrd: String,
        /// The place.
        place: String,
    },
    /// By no rule.
    #[error("No kernel found in '{place}'{}; it contains: {there}; tried {tried}", candidates_text(.candidates))]
    Nothing {
        /// The place.
        place: String,
        /// Paths of files that look like kernels.
        candidates: Vec<String>,
        /// What was tried.
        tried: String,
        /// What is there.
        there: String,
    },
    /// The tree is for another processor.
    #[error("The tree '{place}' is for {arch} by its {by}, expected x86_64")]
    Arch {
        /// The place.
        place: String,
        /// Which processor.
        arch: String,
        /// The file that says so.
        by: String,
    },
    /// A file is plainly something else.
    #[error("The {role} '{name}' is {found}, expected {}", if *role == "kernel" { "a kernel" } else { "an initrd" })]
    Foreign {
        /// "kernel", "initrd".
        role: &'static str,
        /// Its name.
        name: String,
        /// What it is.
        found: &'static str,
    },
    /// A file's checksum is another one.
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

/// A file that has not the checksum it should have.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("The {role} '{name}' has the {algorithm} {found}, expected {expected} by {by}")]
pub struct Mismatch {
    /// "kernel", "initrd".
    pub role: &'static str,
    /// Its name.
    pub name: String,
    /// "sha256".
    pub algorithm: &'static str,
    /// What it has.
    pub found: String,
    /// What it was to have.
    pub expected: String,
    /// The file that says so.
    pub by: String,
}

impl TreeError {
    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Named { role, .. } => format!(
                "-{role} is a path from the location's root, however it begins; a file elsewhere is -{role} file:///PATH"
            ),
            Self::Url { .. } => "a path in the location is given as it is".into(),
            Self::Elsewhere { source, .. } => match source {
                SourceError::Missing(_) => "check the URL: what it names is the file itself".into(),
                error => error.hint().unwrap_or(UNREADABLE).into(),
            },
            Self::Source(error) => error.hint().unwrap_or(UNREADABLE).into(),
            Self::NoPartner { .. } => "name the kernel too: -kernel PATH, from the location's root".into(),
            Self::Nothing { candidates, .. } => match candidates.first() {
                Some(kernel) => format!("name the files: -kernel {kernel} -initrd PATH, from the location's root"),
                None => "check that -location names the root of the tree; or name the files: -kernel PATH -initrd PATH, from the location's root".into(),
            },
            Self::Arch { .. } => "take the distribution's x86_64 tree".into(),
            Self::Foreign { found: "empty (0 bytes)", .. } => "was its download or copy cut short?".into(),
            Self::Foreign { .. } => {
                "a server answered with a page where the file was to be: see what its URL shows in a browser; what you fetch yourself, fetch by curl --fail".into()
            }
            Self::Checksum(_) => "its download or copy is damaged, or of another version than the rest: fetch it again".into(),
            Self::Read { source, .. } => hint_of(source).unwrap_or(UNREADABLE).into(),
        }
    }
}
