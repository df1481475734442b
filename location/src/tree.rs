//! Finds a kernel and its initrd in a place, and says what they start.
//!
//! The rules in their order; the first that finds a kernel decides:
//!
//! 1. what the user named, relative to the place;
//! 2. `.treeinfo`, or `treeinfo`;
//! 3. the known layouts: one table, `layouts.rs`;
//! 4. what the place's own boot loader would boot: isolinux, syslinux, extlinux or GRUB.
//!
//! The files are then checked against the tree's checksums: those of `.treeinfo`, `SHA256SUMS` and
//! the like.
//!
//! A place can be on another host: each path is requested once, an initrd only if its kernel is
//! there, and an error that concerns the whole place ends the search.

pub(crate) mod boot_config;
mod error;
mod file_cache;
mod glob;
mod identity;
mod installer;
pub(crate) mod layouts;
mod search;
mod sums;
mod treeinfo;
mod version;

use std::fmt;
use std::path::Path;

pub use error::{Mismatch, TreeError};
pub use installer::{Installer, Release};
pub(crate) use search::kernel_candidates;

use serde::{Deserialize, Serialize};

use crate::checksum::Checked;
use crate::place::{Place, PlaceError};
use crate::remote::Net;
use file_cache::with_source;
use search::Search;
use storage::{FileError, FileTree, RandomAccess, TreePath};

/// Opens a file by its URL.
pub type OpenUrl<'a> = &'a dyn Fn(&Place) -> Result<Box<dyn RandomAccess>, PlaceError>;

/// What to search for.
#[derive(Clone, Copy)]
pub struct Query<'a> {
    /// The kernel (`-kernel`): a path from the place's root, or a URL, which has nothing to do with
    /// the place.
    pub kernel: Option<&'a Path>,
    /// The initrd (`-initrd`), likewise.
    pub initrd: Option<&'a Path>,
    /// The guest's memory in bytes: Solaris has different kernels for small guests.
    pub memory: u64,
    /// Opens files that have a URL of their own.
    pub elsewhere: OpenUrl<'a>,
}

impl Default for Query<'_> {
    fn default() -> Self {
        let elsewhere: OpenUrl<'_> = &|place| place.open_file(&Net::default(), None);
        Self { kernel: None, initrd: None, memory: u64::MAX, elsewhere }
    }
}

impl fmt::Debug for Query<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut fields = f.debug_struct("Query");
        fields.field("kernel", &self.kernel).field("initrd", &self.initrd);
        fields.field("memory", &self.memory).finish_non_exhaustive()
    }
}

/// What can be booted from a place.
#[derive(Debug)]
pub struct Tree {
    /// The kernel.
    pub kernel: Part,
    /// Its initrds in their order: a boot loader concatenates them, each aligned to four bytes.
    pub initrds: Vec<Part>,
    /// The rule that found them: "named by the user", ".treeinfo".
    pub rule: String,
    /// What starts from them.
    pub installer: Installer,
    /// What the tree says it is.
    pub release: Release,
    /// The directory that the rule's paths are relative to: the tree's root for the installer.
    pub root: TreePath,
    /// Words for the kernel's command line from the place's own boot loader; they can contain a
    /// `---`.
    pub arguments: Vec<String>,
    /// What the search tried, in order.
    pub attempts: Vec<Attempt>,
    /// What the user should know: entries of a boot menu that were passed over, and what in it
    /// could not be followed.
    pub warnings: Vec<String>,
}

/// A file that was found.
#[derive(Debug)]
pub struct Part {
    /// Its bytes, and its name for messages.
    pub bytes: Box<dyn RandomAccess>,
    /// Its path in the place; `None` if it is not in the place.
    pub path: Option<TreePath>,
    /// The result of checking the tree's checksum, if it has one.
    pub sum: Option<Sum>,
}

/// The result of checking a file against the tree's checksum.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sum {
    /// The result; never [`Checked::Wrong`], which is an error.
    pub checked: Checked,
    /// The file with the checksum: ".treeinfo", "current/images/SHA256SUMS".
    pub by: String,
}

/// One thing that the search tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// What was looked for.
    pub what: String,
    /// What it found.
    pub found: String,
}

impl Tree {
    /// Looks for a kernel and its initrd in `source`.
    ///
    /// # Errors
    /// [`TreeError`]: there is no kernel, a named file is missing, or a file is not what it should be.
    pub fn find(source: &dyn FileTree, query: Query<'_>) -> Result<Self, TreeError> {
        Search::new(source, query).find()
    }
}

/// Opens a kernel or an initrd by its own URL; `role` is "kernel" or "initrd".
///
/// # Errors
/// [`TreeError`]: it cannot be read, or is obviously something else.
pub fn open_url(
    place: &Place,
    role: &'static str,
    elsewhere: OpenUrl<'_>,
) -> Result<Box<dyn RandomAccess>, TreeError> {
    let file = elsewhere(place)
        .map_err(|error| TreeError::Elsewhere { role, source: error.into_problem() })?;
    search::check::plausible(&*file, role)?;
    Ok(file)
}

/// What is in a directory, for messages: a clause such as "contains: boot/, README". It has some of
/// the names, with a slash behind those of directories.
fn contents(directory: Result<Vec<storage::Entry>, FileError>) -> String {
    const SHOWN: usize = 12;
    let entries = match directory {
        Ok(entries) => entries,
        Err(FileError::Missing(_)) => return "does not exist".into(),
        Err(FileError::Unlisted(_)) => return "has no directory listing".into(),
        Err(FileError::Kind { found, .. }) => return format!("is {found}"),
        Err(error) => return format!("cannot be listed: {}", with_source(&error)),
    };
    let name = |entry: &storage::Entry| {
        format!("{}{}", entry.name.escape_debug(), if entry.is_directory { "/" } else { "" })
    };
    let names: Vec<_> = entries.iter().take(SHOWN).map(name).collect();
    match entries.len() {
        0 => "is empty".into(),
        count if count > SHOWN => {
            format!("contains: {} and {} more", names.join(", "), count - SHOWN)
        }
        _ => format!("contains: {}", names.join(", ")),
    }
}

#[cfg(test)]
mod tests;
