//! What all file systems share: names, symbolic links, and messages.

use std::collections::{HashMap, VecDeque};
use std::ffi::OsString;
use std::fmt::Debug;
use std::hash::Hash;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex};

use crate::file::fill;
use crate::sync::lock;
use crate::{Entry, FileError, FileTree, RandomAccess, TreePath};

/// Maximum number of symbolic links on the way to a file: path_resolution(7).
const LINKS: u32 = 40;
/// Maximum number of names on the way to a file, with those in symbolic links. A directory of a
/// hostile image may contain itself, and each name costs a search.
const COMPONENTS: u32 = 256;
/// Maximum number of names that [`NameCache`] keeps, and of bytes in one: `NAME_MAX` and squashfs'
/// `SQUASHFS_NAME_LEN` are less.
const KNOWN_NAMES: usize = 4096;
const KNOWN_NAME_LEN: usize = 256;
/// Maximum length of a symbolic link: `PATH_MAX`.
pub(crate) const LINK_LEN: u64 = 4096;
/// Maximum number of directory entries read.
pub(crate) const ENTRIES: usize = 1 << 16;
/// The hint for a damaged image.
pub(crate) const DAMAGED: &str = "is the copy complete? check the file system with fsck";

/// A node of a file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Node {
    /// A directory.
    Directory,
    /// A regular file.
    File,
    /// A symbolic link, with its target.
    Link(PathBuf),
    /// Something else: "a pipe".
    Special(&'static str),
}

/// A file system as read by a library. The paths passed to it contain neither symbolic links nor
/// `..`, except that the last component may be a link in [`Files::node`].
pub(crate) trait Files: Debug + Send + Sync {
    /// The node at a path. `None` if it does not exist.
    fn node(&self, path: &TreePath) -> io::Result<Option<Node>>;

    /// The entries of a directory, in any order.
    fn list(&self, directory: &TreePath) -> io::Result<Vec<Entry>>;

    /// Opens a regular file; `name` is for messages.
    fn open(self: Arc<Self>, path: &TreePath, name: String) -> io::Result<Box<dyn RandomAccess>>;
}

/// The inodes of names in directories that were searched, and the names that were absent: each path
/// is walked from the root, and a directory can be long. It is emptied when it is full.
#[derive(Debug, Default)]
pub(crate) struct NameCache<I>(Mutex<KnownNames<I>>);

/// By directory and name; `None` is an absent name.
type KnownNames<I> = HashMap<(I, Vec<u8>), Option<I>>;

impl<I: Copy + Eq + Hash> NameCache<I> {
    /// The inode of `name` in the directory with the inode `directory`. If it is not known, `search`
    /// finds it.
    pub(crate) fn inode(
        &self,
        directory: I,
        name: &[u8],
        search: impl FnOnce() -> io::Result<Option<I>>,
    ) -> io::Result<Option<I>> {
        if name.len() > KNOWN_NAME_LEN {
            return search();
        }
        let key = (directory, name.to_vec());
        if let Some(inode) = lock(&self.0).get(&key) {
            return Ok(*inode);
        }
        let inode = search()?;
        let mut known = lock(&self.0);
        if known.len() >= KNOWN_NAMES {
            known.clear();
        }
        known.insert(key, inode);
        Ok(inode)
    }
}

/// The label in these bytes of an image, which zeros or spaces follow. Without these bytes, it is
/// empty.
pub(crate) fn label(image: &dyn RandomAccess, at: u64, len: usize) -> String {
    let mut bytes = vec![0; len];
    let is_read = fill(&mut bytes, |to, filled| image.read_at(to, at + filled as u64)).is_ok();
    let label = if is_read { String::from_utf8_lossy(&bytes) } else { "".into() };
    label.split('\0').next().unwrap_or_default().trim_end().to_owned()
}

/// The 16 bytes of a UUID in an image, as text; empty if they cannot be read or are zeros.
pub(crate) fn uuid(image: &dyn RandomAccess, at: u64) -> String {
    let mut bytes = [0; 16];
    let is_read = fill(&mut bytes, |to, filled| image.read_at(to, at + filled as u64)).is_ok();
    if !is_read || bytes == [0; 16] {
        return String::new();
    }
    let digits = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    [0..4, 4..6, 6..8, 8..10, 10..16].map(|part| digits(&bytes[part])).join("-")
}

/// A file system in an image.
#[derive(Debug)]
pub(crate) struct FileSystem<F> {
    files: Arc<F>,
    name: String,
    label: String,
    uuid: String,
}

impl<F: Files> FileSystem<F> {
    /// The file system of the image `name`.
    pub(crate) fn new(files: F, name: impl Into<String>) -> Self {
        Self {
            files: Arc::new(files),
            name: name.into(),
            label: String::new(),
            uuid: String::new(),
        }
    }

    /// With a label, which [`label`] reads.
    pub(crate) fn with_label(self, label: String) -> Self {
        Self { label, ..self }
    }

    /// With a UUID, which [`uuid`] reads, or another identity.
    pub(crate) fn with_uuid(self, uuid: String) -> Self {
        Self { uuid, ..self }
    }

    fn shown(&self, path: &TreePath) -> String {
        if *path == TreePath::root() { self.name.clone() } else { format!("{}/{path}", self.name) }
    }

    /// Follows symbolic links, by path_resolution(7), with the image's root as the root.
    fn resolve(&self, asked: &TreePath) -> Result<(TreePath, Node), FileError> {
        let fail = |source| FileError::Io { name: self.shown(asked), source };
        let missing = || FileError::Missing(self.shown(asked));
        let mut rest: VecDeque<OsString> = names(asked.as_path()).collect();
        let (mut at, mut node, mut links) = (TreePath::root(), Node::Directory, 0);
        let mut components = 0;
        while let Some(name) = rest.pop_front() {
            components += 1;
            if components > COMPONENTS {
                let problem = format!(
                    "its path has more than {COMPONENTS} names, with those in symbolic links"
                );
                let hint = "use the path of the file itself";
                return Err(FileError::failure(self.shown(asked), problem, hint));
            }
            // A component after a file.
            if node != Node::Directory {
                return Err(missing());
            }
            // From a link: the parent of the root is the root.
            if name == ".." {
                at = at.parent();
                continue;
            }
            let next = TreePath::new(at.as_path().join(&name));
            match self.files.node(&next).map_err(fail)?.ok_or_else(missing)? {
                Node::Link(to) => {
                    links += 1;
                    if links > LINKS {
                        let problem = format!("its path has more than {LINKS} symbolic links");
                        let hint = "the links may form a loop; use the path of the file itself";
                        return Err(FileError::failure(self.shown(asked), problem, hint));
                    }
                    if to.is_absolute() {
                        at = TreePath::root();
                    }
                    names(&to).rev().for_each(|name| rest.push_front(name));
                }
                found => (at, node) = (next, found),
            }
        }
        Ok((at, node))
    }
}

/// The components of a path, including `..`.
fn names(path: &Path) -> impl DoubleEndedIterator<Item = OsString> + '_ {
    path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::CurDir | Component::RootDir | Component::Prefix(_) => None,
    })
}

impl<F: Files + 'static> FileTree for FileSystem<F> {
    fn name(&self) -> &str {
        &self.name
    }

    fn volume_label(&self) -> Option<&str> {
        Some(self.label.as_str()).filter(|label| !label.is_empty())
    }

    fn volume_uuid(&self) -> Option<&str> {
        Some(&self.uuid)
    }

    fn list(&self, directory: &TreePath) -> Result<Vec<Entry>, FileError> {
        let name = || self.shown(directory);
        let path = match self.resolve(directory)? {
            (path, Node::Directory) => path,
            (_, node) => {
                let found = node.kind();
                return Err(FileError::Kind { name: name(), found, expected: "a directory" });
            }
        };
        let fail = |source| FileError::Io { name: name(), source };
        let mut entries = self.files.list(&path).map_err(fail)?;
        entries.retain(|entry| entry.name != "." && entry.name != "..");
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    fn open(&self, path: &TreePath) -> Result<Box<dyn RandomAccess>, FileError> {
        let name = self.shown(path);
        match self.resolve(path)? {
            (path, Node::File) => Arc::clone(&self.files)
                .open(&path, name.clone())
                .map_err(|source| FileError::Io { name, source }),
            (_, node) => {
                Err(FileError::Kind { name, found: node.kind(), expected: "a regular file" })
            }
        }
    }
}

impl Node {
    fn kind(&self) -> &'static str {
        match self {
            Self::Directory => "a directory",
            Self::File => "a file",
            Self::Link(_) => "a symbolic link",
            Self::Special(kind) => kind,
        }
    }
}
