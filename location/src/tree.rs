//! Which kernel and initrd a place has, as a pair, and what starts from them.
//!
//! The rules, in their order; the first that gives a kernel decides:
//!
//! 1. what the user named, relative to the place;
//! 2. `.treeinfo`, or `treeinfo`;
//! 3. the known layouts: one table, `layouts.rs`;
//! 4. what the place's own boot loader would boot: isolinux, syslinux, extlinux or GRUB.
//!
//! Whichever it was, `.treeinfo`'s checksums count for the files found.

pub(crate) mod boot_config;
mod error;
pub(crate) mod layouts;
mod search;
mod treeinfo;

use std::fmt;
use std::path::Path;

pub use error::{Mismatch, TreeError};

use crate::checksum::Checked;
use crate::source::{RandomAccess, Source, TreePath};
use search::Search;

/// What starts from a kernel and its initrd.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Installer {
    /// Fedora's, RHEL's and that of its rebuilds.
    Anaconda,
    /// Debian's, with network.
    Debian,
    /// Debian's, for its medium.
    DebianMedium,
    /// SUSE's YaST, and from 16 on Agama.
    Yast,
    /// Ubuntu's live system.
    Casper,
    /// Arch's live system.
    Arch,
    /// Alpine's live system.
    Alpine,
    /// Mageia's and Mandriva's.
    Mageia,
    /// Something that needs no words, or is not known.
    #[default]
    Other,
}

impl Installer {
    /// What a `.treeinfo` of `family` belongs to.
    fn of_family(family: &str) -> Self {
        let family = family.to_ascii_lowercase();
        let has = |name: &&str| family.contains(name);
        match () {
            () if ["suse", "sle"].iter().any(has) => Self::Yast,
            () if ["debian", "ubuntu"].iter().any(has) => Self::Debian,
            // All others that write one use anaconda (osinfo-db's tests/treeinfodata).
            () => Self::Anaconda,
        }
    }
}

impl fmt::Display for Installer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Anaconda => "anaconda",
            Self::Debian => "Debian's installer",
            Self::DebianMedium => "Debian's installer for its medium",
            Self::Yast => "SUSE's installer",
            Self::Casper => "Ubuntu's live system",
            Self::Arch => "Arch's live system",
            Self::Alpine => "Alpine's live system",
            Self::Mageia => "Mageia's installer",
            Self::Other => "not known",
        })
    }
}

/// What a tree says it is; empty where it says nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Release {
    /// "Fedora", "Red Hat Enterprise Linux".
    pub family: String,
    /// "42", "9.4".
    pub version: String,
}

impl Release {
    /// The first number of the version.
    #[must_use]
    pub fn major(&self) -> Option<u32> {
        let digits = self.version.find(|c: char| !c.is_ascii_digit());
        self.version[..digits.unwrap_or(self.version.len())].parse().ok()
    }
}

/// What the user named (`-kernel`, `-initrd`): paths from the place's root, or `file:` URLs, which are files of this host.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted<'a> {
    /// The kernel.
    pub kernel: Option<&'a Path>,
    /// The initrd.
    pub initrd: Option<&'a Path>,
}

/// What a place has to boot.
#[derive(Debug)]
pub struct Tree {
    /// The kernel.
    pub kernel: Part,
    /// The initrd that belongs to it.
    pub initrd: Option<Part>,
    /// By which rule they were found: "named by the user", ".treeinfo".
    pub rule: String,
    /// What starts from them.
    pub installer: Installer,
    /// What the tree says it is.
    pub release: Release,
    /// Words for the kernel's command line that the place's own boot loader has; a `---` may be among them.
    pub arguments: Vec<String>,
    /// Where was looked, in order.
    pub looks: Vec<Look>,
}

/// A file that was found.
#[derive(Debug)]
pub struct Part {
    /// Its bytes, and its name for messages.
    pub bytes: Box<dyn RandomAccess>,
    /// What the tree's checksum for it said, if it has one; never [`Checked::Wrong`].
    pub checked: Option<Checked>,
}

/// One place that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
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
    pub fn find(source: &dyn Source, wanted: Wanted<'_>) -> Result<Self, TreeError> {
        Search::new(source).find(wanted)
    }
}

/// What `source` has in its root, for messages: some names, directories with a slash behind them.
fn contents(source: &dyn Source, directory: &TreePath) -> String {
    const SHOWN: usize = 12;
    let entries = match source.list(directory) {
        Ok(entries) => entries,
        Err(error) => return error.to_string(),
    };
    let name = |entry: &crate::source::Entry| {
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
