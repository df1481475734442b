//! Which kernel and initrd a place has, as a pair, and what starts from them.
//!
//! The rules, in their order; the first that gives a kernel decides:
//!
//! 1. what the user named, relative to the place;
//! 2. `.treeinfo`, or `treeinfo`;
//! 3. the known layouts: one table, `layouts.rs`;
//! 4. what the place's own boot loader would boot: isolinux, syslinux, extlinux or GRUB.
//!
//! Whichever it was, the tree's checksums count for the files found: those of `.treeinfo`, of `SHA256SUMS` and the like.
//!
//! A place may be far away: each path is asked for once, an initrd only where its kernel is, and what keeps a place from being read at
//! all ends the search at the first file.

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

use crate::checksum::Checked;
use crate::place::{Place, PlaceError};
use crate::remote::Net;
use search::Search;
use storage::source::{RandomAccess, Source, TreePath};

/// Opens a file by its own URL.
pub type OpenUrl<'a> = &'a dyn Fn(&Place) -> Result<Box<dyn RandomAccess>, PlaceError>;

/// What the user wants.
#[derive(Clone, Copy)]
pub struct Query<'a> {
    /// The kernel (`-kernel`): a path from the place's root, or a URL, which has nothing to do with the place.
    pub kernel: Option<&'a Path>,
    /// The initrd (`-initrd`), likewise.
    pub initrd: Option<&'a Path>,
    /// Bytes of memory the guest has: Solaris has kernels for few and for many.
    pub memory: u64,
    /// What gets files that have a URL of their own.
    pub elsewhere: OpenUrl<'a>,
}

impl Default for Query<'_> {
    fn default() -> Self {
        let elsewhere: OpenUrl<'_> = &|place| place.open_file(&Net::default());
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

/// What a place has to boot.
#[derive(Debug)]
pub struct Tree {
    /// The kernel.
    pub kernel: Part,
    /// The initrds that belong to it, in their order: a boot loader puts one behind the other, each at a multiple of four bytes.
    pub initrds: Vec<Part>,
    /// By which rule they were found: "named by the user", ".treeinfo".
    pub rule: String,
    /// What starts from them.
    pub installer: Installer,
    /// What the tree says it is.
    pub release: Release,
    /// The directory in the place that the rule counts its paths from: what the installer has to be told of.
    pub root: TreePath,
    /// Words for the kernel's command line that the place's own boot loader has; a `---` may be among them.
    pub arguments: Vec<String>,
    /// Where the search looked, in order.
    pub attempts: Vec<Attempt>,
    /// What the user should know: entries of a boot menu that were passed over, and what in it could not be followed.
    pub warnings: Vec<String>,
}

/// A file that was found.
#[derive(Debug)]
pub struct Part {
    /// Its bytes, and its name for messages.
    pub bytes: Box<dyn RandomAccess>,
    /// Its path in the place; `None`: it is elsewhere.
    pub path: Option<TreePath>,
    /// What the tree's checksum for it said, if it has one.
    pub sum: Option<Sum>,
}

/// What a tree's checksum said of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sum {
    /// The verdict; never [`Checked::Wrong`], which is an error.
    pub checked: Checked,
    /// The file that has the sum: ".treeinfo", "current/images/SHA256SUMS".
    pub by: String,
}

/// One place that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// What was looked for.
    pub what: String,
    /// What was there.
    pub found: String,
}

impl Tree {
    /// Looks for a kernel and its initrd in `source`.
    ///
    /// # Errors
    /// [`TreeError`]: there is none, what was named is not there, or it is not what it should be.
    pub fn find(source: &dyn Source, query: Query<'_>) -> Result<Self, TreeError> {
        Search::new(source, query).find()
    }
}

/// Opens a kernel or an initrd by its own URL; `role` is "kernel" or "initrd".
///
/// # Errors
/// [`TreeError`]: it is not to be had, or plainly something else.
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

/// What `source` has in its root, for messages: some names, directories with a slash behind them.
fn contents(source: &dyn Source, directory: &TreePath) -> String {
    const SHOWN: usize = 12;
    let entries = match source.list(directory) {
        Ok(entries) => entries,
        Err(error) if error.is_missing() => return "nothing, it is not there itself".into(),
        Err(error) => return error.to_string(),
    };
    let name = |entry: &storage::source::Entry| {
        format!("{}{}", entry.name.escape_debug(), if entry.is_directory { "/" } else { "" })
    };
    let names: Vec<_> = entries.iter().take(SHOWN).map(name).collect();
    match entries.len() {
        0 => "nothing".into(),
        count if count > SHOWN => format!("{} and {} more", names.join(", "), count - SHOWN),
        _ => names.join(", "),
    }
}

#[cfg(test)]
mod tests;
