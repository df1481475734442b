//! What a medium's own boot loader would boot: isolinux, syslinux, extlinux and GRUB.

mod grub;
mod syslinux;

use crate::source::{Source, TreePath, read_whole};

/// Bytes that one configuration file may have.
const LIMIT: usize = 1 << 20;
/// How many files one configuration may be made of.
const FILES: usize = 64;

/// Where the loaders look, in the order of their documentation (syslinux's doc/isolinux.txt and doc/syslinux.txt; extlinux.conf where pygrub
/// looks for it, and so grub.cfg).
const PLACES: [&str; 17] = [
    "boot/isolinux/isolinux.cfg",
    "isolinux/isolinux.cfg",
    "isolinux.cfg",
    "boot/syslinux/syslinux.cfg",
    "syslinux/syslinux.cfg",
    "syslinux.cfg",
    "boot/extlinux/extlinux.conf",
    "boot/extlinux.conf",
    "extlinux/extlinux.conf",
    "extlinux.conf",
    "pxelinux.cfg/default",
    "boot/grub/grub.cfg",
    "boot/grub2/grub.cfg",
    "grub/grub.cfg",
    "grub2/grub.cfg",
    "EFI/BOOT/grub.cfg",
    "EFI/boot/grub.cfg",
];

/// An entry of a boot menu.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Entry {
    /// What the menu calls it.
    pub title: String,
    /// The kernel, as it stands there; empty for what boots none.
    pub kernel: String,
    /// The initrds, as they stand there.
    pub initrds: Vec<String>,
    /// The kernel's command line, without `initrd=`.
    pub arguments: String,
}

/// A configuration that was read.
#[derive(Debug)]
pub(crate) struct BootConfig {
    /// Where it is.
    pub path: TreePath,
    /// Its entries that boot a kernel; the one that is booted unasked comes first.
    pub entries: Vec<Entry>,
}

impl BootConfig {
    /// Reads all there are in a place.
    pub fn read_all(source: &dyn Source) -> Vec<Self> {
        let read = |place: &&str| {
            let path = TreePath::new(place);
            let mut files = Files { source, directory: path.parent(), left: FILES };
            let text = files.read(&path)?;
            let is_grub = place.ends_with("grub.cfg");
            let entries = if is_grub { grub::entries } else { syslinux::entries };
            Some(Self { entries: entries(&text, &mut files), path })
        };
        PLACES.iter().filter_map(read).collect()
    }

    /// The paths that a name in it may mean, in their order: from its own directory, then from the root, which a network's loader
    /// begins at.
    pub fn meanings(&self, name: &str) -> Vec<TreePath> {
        meanings(&self.path.parent(), name)
    }
}

fn meanings(directory: &TreePath, name: &str) -> Vec<TreePath> {
    let mut paths = vec![TreePath::new(name)];
    if !name.starts_with('/') {
        paths.insert(0, directory.join(name));
    }
    paths.dedup();
    paths
}

/// The files that a configuration is made of; no more than so many.
struct Files<'a> {
    source: &'a dyn Source,
    directory: TreePath,
    left: usize,
}

impl Files<'_> {
    /// What is in the file that a configuration includes.
    fn include(&mut self, name: &str) -> Option<String> {
        meanings(&self.directory, name).iter().find_map(|path| self.read(path))
    }

    fn read(&mut self, path: &TreePath) -> Option<String> {
        let file = self.source.open(path).ok()?;
        self.left = self.left.checked_sub(1)?;
        let bytes = read_whole(&*file, LIMIT).ok()??;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }
}
