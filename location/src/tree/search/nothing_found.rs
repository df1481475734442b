//! What to tell the user if no rule found a kernel.

use super::super::{TreeError, contents};
use super::Search;
use storage::{FileTree, TreePath};

/// Where kernels usually are.
const DIRECTORIES: [&str; 8] =
    ["", "boot", "isolinux", "live", "casper", "images/pxeboot", "install.amd", "arch/boot/x86_64"];
/// How a kernel's name usually begins.
const NAMES: [&str; 4] = ["vmlinuz", "vmlinux", "bzimage", "linux"];
/// Candidates to name.
const SHOWN: usize = 4;

impl Search<'_> {
    /// The error, with files that look like kernels.
    pub(super) fn nothing(&self) -> TreeError {
        let candidates = kernel_candidates(self.source);
        let skipped = self.source.skipped().iter();
        let skipped = skipped.map(|part| format!("{}: {}", part.name, part.why));
        let tried = self.attempts.iter();
        let tried = tried.map(|attempt| format!("{}: {}", attempt.what, attempt.found));
        let tried = skipped.chain(tried);
        TreeError::Nothing {
            place: self.source.name().into(),
            candidates,
            tried: tried.collect::<Vec<_>>().join("; "),
            there: contents(self.source.list(&TreePath::root())),
        }
    }
}

/// Paths of files that look like kernels; none if the tree cannot be listed.
pub(crate) fn kernel_candidates(source: &dyn FileTree) -> Vec<String> {
    let mut candidates = Vec::new();
    for directory in DIRECTORIES.map(TreePath::new) {
        let found = source.list(&directory).unwrap_or_default().into_iter();
        let is_kernel = |name: &str| {
            let name = name.to_ascii_lowercase();
            NAMES.iter().any(|beginning| name.starts_with(beginning))
        };
        let files = found.filter(|entry| !entry.is_directory && is_kernel(&entry.name));
        candidates.extend(files.map(|entry| directory.join(&entry.name).to_string()));
    }
    candidates.truncate(SHOWN);
    candidates
}
