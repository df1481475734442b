//! ext2, ext3 and ext4.
//!
//! | what | module |
//! |---|---|
//! | the numbers of the file system | `superblock` |
//! | its bytes, read through the journal | `volume` |
//! | the journal of a file system that was not unmounted | `journal` |
//! | inodes, and data inside them | `inode` |
//! | which blocks a file has | `blocks` |
//! | names | `directory` |
//! | CRC-32C | `checksum` |
//! | errors | `fault` |
//!
//! A reader of our own: ext4-view is not `Send`, and refuses older journals, inline data, case
//! folding, large directories and multiple mount protection. By Linux's
//! Documentation/filesystems/ext4.

mod blocks;
mod checksum;
mod directory;
mod fault;
mod inode;
mod journal;
mod superblock;
mod volume;

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::sync::Arc;

use super::files::{ENTRIES, FileSystem, Files, LINK_LEN, NameCache, Node, label, uuid};
use crate::file::fill;
use crate::file::page_cache::PageCache;
use crate::{Entry, FileError, FileTree, RandomAccess, TreePath};
use fault::{damaged, encrypted};
use inode::Inode;
use volume::Volume;

/// The root directory's inode number.
const ROOT: u32 = 2;

/// Opens the file system in an image.
///
/// # Errors
/// It cannot be read, is damaged, or has features that are not supported.
pub(crate) fn open(image: Arc<dyn RandomAccess>) -> Result<Box<dyn FileTree>, FileError> {
    let name = image.name().to_owned();
    // s_volume_name
    let label = label(&*image, 1024 + 0x78, 16);
    // s_uuid
    let uuid = uuid(&*image, 1024 + 0x68);
    match Ext::open(image) {
        Ok(ext) => Ok(Box::new(FileSystem::new(ext, name).with_label(label).with_uuid(uuid))),
        Err(source) => Err(FileError::Io { name, source }),
    }
}

#[derive(Debug)]
struct Ext(Volume, NameCache<u32>);

impl Ext {
    fn open(image: Arc<dyn RandomAccess>) -> io::Result<Self> {
        let mut volume = Volume::new(PageCache::new(image))?;
        if volume.superblock.needs_recovery {
            let journal = journal::load(&volume)?;
            volume.replay(journal)?;
        }
        Ok(Self(volume, NameCache::default()))
    }

    /// The inode at `path`. `None` if it does not exist.
    fn find(&self, path: &TreePath) -> io::Result<Option<Inode>> {
        let mut number = ROOT;
        for name in path.as_path() {
            let name = name.as_bytes();
            match self.1.inode(number, name, || self.child(number, name))? {
                Some(child) => number = child,
                None => return Ok(None),
            }
        }
        Inode::read(&self.0, number).map(Some)
    }

    /// The inode of the name `wanted` in the directory with this inode, regardless of case if the
    /// directory folds case.
    fn child(&self, parent: u32, wanted: &[u8]) -> io::Result<Option<u32>> {
        let directory = &Inode::read(&self.0, parent)?;
        if !directory.is_directory() {
            return Ok(None);
        }
        let lower = |name: &[u8]| String::from_utf8_lossy(name).to_lowercase();
        let folded = directory.ignores_case().then(|| lower(wanted));
        let (mut exact, mut similar) = (None, None);
        directory::each(&self.0, directory, |found| {
            if found.name == wanted {
                exact = Some(found.inode);
            } else if similar.is_none() && folded.as_ref().is_some_and(|f| *f == lower(found.name))
            {
                similar = Some(found.inode);
            }
            exact.is_none()
        })?;
        Ok(exact.or(similar))
    }

    fn link(&self, inode: &Inode) -> io::Result<Node> {
        if inode.len > LINK_LEN {
            return Err(damaged(&format!("a symbolic link of {} bytes", inode.len)));
        }
        let mut to = vec![0; usize::try_from(inode.len).map_err(io::Error::other)?];
        fill(&mut to, |to, filled| inode.read_at(&self.0, to, filled as u64))?;
        Ok(Node::Link(OsString::from_vec(to).into()))
    }
}

impl Files for Ext {
    fn node(&self, path: &TreePath) -> io::Result<Option<Node>> {
        let Some(inode) = self.find(path)? else { return Ok(None) };
        Ok(Some(match inode.mode & 0xf000 {
            0x1000 => Node::Special("a pipe"),
            0x2000 => Node::Special("a character device"),
            0x4000 => Node::Directory,
            0x6000 => Node::Special("a block device"),
            0x8000 => Node::File,
            0xa000 if inode.is_encrypted() => Err(encrypted("the symbolic link"))?,
            0xa000 => self.link(&inode)?,
            0xc000 => Node::Special("a socket"),
            mode => Err(damaged(&format!("an inode has the type 0x{mode:x}")))?,
        }))
    }

    fn list(&self, directory: &TreePath) -> io::Result<Vec<Entry>> {
        let inode = self.find(directory)?.ok_or(io::ErrorKind::NotFound)?;
        let mut found = Vec::new();
        directory::each(&self.0, &inode, |name| {
            let text = String::from_utf8_lossy(name.name).into_owned();
            found.push((text, name.is_directory, name.inode));
            found.len() < ENTRIES
        })?;
        found
            .into_iter()
            .map(|(name, is_directory, inode)| {
                let is_directory = match is_directory {
                    Some(is_directory) => is_directory,
                    None => Inode::read(&self.0, inode)?.is_directory(),
                };
                Ok(Entry { name, is_directory })
            })
            .collect()
    }

    fn open(self: Arc<Self>, path: &TreePath, name: String) -> io::Result<Box<dyn RandomAccess>> {
        let inode = self.find(path)?.ok_or(io::ErrorKind::NotFound)?;
        if inode.is_encrypted() {
            return Err(encrypted("the file"));
        }
        Ok(Box::new(ExtFile { ext: self, inode, name }))
    }
}

/// A file in the image.
#[derive(Debug)]
struct ExtFile {
    ext: Arc<Ext>,
    inode: Inode,
    name: String,
}

impl RandomAccess for ExtFile {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> u64 {
        self.inode.len
    }

    fn read_at(&self, to: &mut [u8], at: u64) -> io::Result<usize> {
        self.inode.read_at(&self.ext.0, to, at)
    }

    fn is_sequential(&self) -> bool {
        self.ext.0.pages.file().is_sequential()
    }

    fn version(&self) -> String {
        self.ext.0.pages.file().version()
    }
}

#[cfg(test)]
mod tests;
