//! XFS, by rust-fs-xfs: versions 4 and 5, with log replay.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use fs_core::BlockRead;
use fs_xfs::{Error, Filesystem};

use super::files::{DAMAGED, ENTRIES, FileSystem, Files, Node, label, uuid};
use crate::file::page_cache::PageCache;
use crate::{Entry, Failure, FileError, FileTree, RandomAccess, TreePath};

/// Opens the file system in an image.
///
/// # Errors
/// It cannot be read, is damaged, or has unknown features.
pub(crate) fn open(image: Arc<dyn RandomAccess>) -> Result<Box<dyn FileTree>, FileError> {
    let name = image.name().to_owned();
    let device = Device { len: image.len(), pages: PageCache::new(Arc::clone(&image)) };
    match caught(|| Filesystem::mount(Arc::new(device))) {
        Ok(xfs) => {
            // sb_fname
            let label = label(&*image, 108, 12);
            // sb_uuid
            let uuid = uuid(&*image, 32);
            let files = FileSystem::new(Xfs { xfs, image }, name);
            Ok(Box::new(files.with_label(label).with_uuid(uuid)))
        }
        Err(source) => Err(FileError::Io { name, source }),
    }
}

/// Runs library code and catches its panics: it does unchecked arithmetic with numbers from the
/// image. It only changes a cache of the image's bytes; a lock poisoned by a panic leads to another
/// panic, which is caught too.
fn caught<T>(run: impl FnOnce() -> Result<T, Error>) -> io::Result<T> {
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(done) => done.map_err(failure),
        Err(_) => Err(Failure::new("the file system (XFS) is damaged", DAMAGED).into()),
    }
}

/// How the library reads the image.
struct Device {
    pages: PageCache,
    len: u64,
}

impl BlockRead for Device {
    fn read_at(&self, at: u64, to: &mut [u8]) -> fs_core::Result<()> {
        self.pages.read_exact_at(to, at).map_err(fs_core::Error::Io)
    }

    fn size_bytes(&self) -> u64 {
        self.len
    }
}

struct Xfs {
    xfs: Filesystem,
    image: Arc<dyn RandomAccess>,
}

impl fmt::Debug for Xfs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Xfs").field("image", &self.image).finish_non_exhaustive()
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn failure(error: Error) -> io::Error {
    let hint = match error {
        Error::UnsupportedFeature(_) => "mount it, and copy the files",
        _ => DAMAGED,
    };
    Failure::new(format!("the file system (XFS) cannot be read: {error}"), hint).into()
}

impl Files for Xfs {
    fn node(&self, path: &TreePath) -> io::Result<Option<Node>> {
        let path = path.as_path().as_os_str().as_bytes();
        caught(|| {
            let file = match self.xfs.open_bytes(path) {
                Ok(file) => file,
                Err(Error::NotFound | Error::NotADirectory) => return Ok(None),
                Err(error) => return Err(error),
            };
            Ok(Some(match file.inode().mode & 0o170_000 {
                0o040_000 => Node::Directory,
                0o100_000 => Node::File,
                0o120_000 => Node::Link(OsString::from_vec(file.link_target()?).into()),
                0o010_000 => Node::Special("a pipe"),
                0o020_000 => Node::Special("a character device"),
                0o060_000 => Node::Special("a block device"),
                _ => Node::Special("a special file"),
            }))
        })
    }

    fn list(&self, directory: &TreePath) -> io::Result<Vec<Entry>> {
        let path = directory.as_path().as_os_str().as_bytes();
        let found = caught(|| self.xfs.open_bytes(path).and_then(|file| file.entries()))?;
        let mut entries = Vec::new();
        for entry in found.into_iter().take(ENTRIES) {
            let is_directory = match entry.ftype {
                Some(kind) => kind == fs_xfs::inode::FileType::Directory,
                None => caught(|| self.xfs.read_inode(entry.ino))?.is_dir(),
            };
            let name = String::from_utf8_lossy(&entry.name).into_owned();
            entries.push(Entry { name, is_directory });
        }
        Ok(entries)
    }

    fn open(self: Arc<Self>, path: &TreePath, name: String) -> io::Result<Box<dyn RandomAccess>> {
        let path = path.as_path().as_os_str().as_bytes();
        let (len, inode, raw) = caught(|| {
            let file = self.xfs.open_bytes(path)?;
            Ok((file.len(), file.inode().clone(), file.raw().to_vec()))
        })?;
        Ok(Box::new(XfsFile { xfs: self, inode, raw, name, len }))
    }
}

/// A file in the image.
struct XfsFile {
    xfs: Arc<Xfs>,
    inode: fs_xfs::inode::Inode,
    raw: Vec<u8>,
    name: String,
    len: u64,
}

impl fmt::Debug for XfsFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("XfsFile").field("name", &self.name).finish_non_exhaustive()
    }
}

impl RandomAccess for XfsFile {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, to: &mut [u8], at: u64) -> io::Result<usize> {
        caught(|| self.xfs.xfs.read_at(&self.inode, &self.raw, at, to))
    }

    fn is_sequential(&self) -> bool {
        self.xfs.image.is_sequential()
    }

    fn version(&self) -> String {
        self.xfs.image.version()
    }
}

#[cfg(test)]
mod tests;
