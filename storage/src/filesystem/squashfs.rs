//! squashfs, version 4.
//!
//! | what | module |
//! |---|---|
//! | the numbers of the file system | `superblock` |
//! | its blocks, decompressed | `volume`, `packing` |
//! | inodes and directories | `inode`, `directory` |
//!
//! A reader of our own: backhand keeps all names in memory, limits no block when decompressing, and
//! refuses an image for one symbolic link of more than 255 bytes. By Linux's
//! Documentation/filesystems/squashfs.rst and fs/squashfs/squashfs_fs.h.

mod directory;
mod inode;
mod packing;
mod superblock;
mod volume;

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use super::files::{DAMAGED, ENTRIES, FileSystem, Files, NameCache, Node};
use crate::file::page_cache::PageCache;
use crate::{Entry, Failure, FileError, FileTree, RandomAccess, TreePath};
use inode::{Blocks, Inode, Kind};
pub(crate) use superblock::REPACK;
use volume::Volume;

/// Opens the file system in an image.
///
/// # Errors
/// It cannot be read, is damaged, or is of a version or compression that is not supported.
pub(crate) fn open(image: Arc<dyn RandomAccess>) -> Result<Box<dyn FileTree>, FileError> {
    let name = image.name().to_owned();
    match Squashfs::open(image) {
        Ok(squashfs) => Ok(Box::new(FileSystem::new(squashfs, name))),
        Err(source) => Err(FileError::Io { name, source }),
    }
}

fn damaged(what: &str) -> io::Error {
    Failure::new(format!("the file system (squashfs) is damaged: {what}"), DAMAGED).into()
}

#[derive(Debug)]
struct Squashfs(Volume, NameCache<u64>);

impl Squashfs {
    fn open(image: Arc<dyn RandomAccess>) -> io::Result<Self> {
        let squashfs = Self(Volume::new(PageCache::new(image))?, NameCache::default());
        match Inode::read(&squashfs.0, squashfs.0.superblock.root)?.kind {
            Kind::Directory(_) => Ok(squashfs),
            _ => Err(damaged("its root is not a directory")),
        }
    }

    /// The inode at `path`. `None` if it does not exist.
    fn find(&self, path: &TreePath) -> io::Result<Option<Inode>> {
        let mut place = self.0.superblock.root;
        for wanted in path.as_path() {
            let wanted = wanted.as_bytes();
            match self.1.inode(place, wanted, || self.child(place, wanted))? {
                Some(child) => place = child,
                None => return Ok(None),
            }
        }
        Inode::read(&self.0, place).map(Some)
    }

    /// The place of the inode with the name `wanted` in the directory whose inode is at `parent`.
    fn child(&self, parent: u64, wanted: &[u8]) -> io::Result<Option<u64>> {
        let Kind::Directory(directory) = Inode::read(&self.0, parent)?.kind else {
            return Ok(None);
        };
        let mut child = None;
        directory::each(&self.0, &directory, |found| {
            if found.name == wanted {
                child = Some(found.inode);
            }
            child.is_none()
        })?;
        Ok(child)
    }
}

impl Files for Squashfs {
    fn node(&self, path: &TreePath) -> io::Result<Option<Node>> {
        let Some(inode) = self.find(path)? else { return Ok(None) };
        Ok(Some(match inode.kind {
            Kind::Directory(_) => Node::Directory,
            Kind::File(_) => Node::File,
            Kind::Link(to) => Node::Link(to),
            Kind::Special(what) => Node::Special(what),
        }))
    }

    fn list(&self, directory: &TreePath) -> io::Result<Vec<Entry>> {
        let Some(Inode { kind: Kind::Directory(directory) }) = self.find(directory)? else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let mut entries = Vec::new();
        directory::each(&self.0, &directory, |found| {
            let name = String::from_utf8_lossy(found.name).into_owned();
            entries.push(Entry { name, is_directory: found.is_directory });
            entries.len() < ENTRIES
        })?;
        Ok(entries)
    }

    fn open(self: Arc<Self>, path: &TreePath, name: String) -> io::Result<Box<dyn RandomAccess>> {
        match self.find(path)? {
            Some(Inode { kind: Kind::File(file) }) => {
                let blocks = file.blocks(&self.0)?;
                Ok(Box::new(SquashfsFile { squashfs: self, blocks, name }))
            }
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

/// A file in the image.
#[derive(Debug)]
struct SquashfsFile {
    squashfs: Arc<Squashfs>,
    blocks: Blocks,
    name: String,
}

impl RandomAccess for SquashfsFile {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> u64 {
        self.blocks.len
    }

    fn read_at(&self, to: &mut [u8], at: u64) -> io::Result<usize> {
        self.blocks.read_at(&self.squashfs.0, to, at)
    }

    fn is_sequential(&self) -> bool {
        self.squashfs.0.pages.file().is_sequential()
    }

    fn version(&self) -> String {
        self.squashfs.0.pages.file().version()
    }
}

#[cfg(test)]
mod tests;
