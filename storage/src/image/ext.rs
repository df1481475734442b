//! ext2, ext3 and ext4, by ext4-view. What that allocates or walks by a number in the image is looked at before.

use std::cell::RefCell;
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use ext4_view::{Ext4, Ext4Error, Ext4Read, FileType, Path};

use super::filesystem::{DAMAGED, ENTRIES, FileSystem, Files, LINK_LEN, Node};
use super::pages::Pages;
use crate::source::{Entry, Failure, RandomAccess, Source, SourceError, TreePath};

/// A directory of so many bytes has more names than are looked at.
const DIRECTORY_LEN: u64 = 64 << 20;
/// As long may a journal be that is walked through: mke2fs makes none of more than 1 GiB unasked (`figure_journal_size`).
const JOURNAL_LEN: u64 = 1 << 30;
/// As many groups of blocks: 128 TiB of file system with blocks of 4 KiB.
const GROUPS: u64 = 1 << 20;

/// Opens the file system in an image.
///
/// # Errors
/// It cannot be read, is damaged, or has features that are not known.
pub(crate) fn open(image: Rc<dyn RandomAccess>) -> Result<Box<dyn Source>, SourceError> {
    let name = image.name().to_owned();
    let pages = Rc::new(Pages::new(Rc::clone(&image)));
    let opened = check(&pages).and_then(|()| {
        let reader = Box::new(Reader(pages));
        caught(|| Ext4::load(reader))
    });
    match opened {
        Ok(ext) => Ok(Box::new(FileSystem::new(Ext { ext, image }, name))),
        Err(source) => Err(SourceError::Io { name, source }),
    }
}

struct Ext {
    ext: Ext4,
    image: Rc<dyn RandomAccess>,
}

impl fmt::Debug for Ext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ext").field("image", &self.image).finish_non_exhaustive()
    }
}

/// How the library gets at the image.
struct Reader(Rc<Pages>);

impl Ext4Read for Reader {
    fn read(
        &mut self,
        at: u64,
        to: &mut [u8],
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        Ok(self.0.read_exact_at(to, at)?)
    }
}

/// Whether the superblock's numbers are of a file system that this image can hold: the library allocates by them.
/// Layout: Linux's Documentation/filesystems/ext4/super.rst.
fn check(image: &Pages) -> io::Result<()> {
    let mut superblock = [0; 1024];
    image.read_exact_at(&mut superblock, 1024)?;
    let number = |at, len| number(&superblock, at, len);
    let damaged =
        |what: &str| Err(Failure::new(format!("the file system has {what}"), DAMAGED).into());
    let (log_size, incompatible) = (number(0x18, 4), number(0x60, 4));
    let inode_len = number(0x58, 2);
    let has_checksums = number(0x64, 4) & 0x400 != 0;
    let is_64bit = incompatible & 0x80 != 0;
    if log_size > 6 {
        return damaged("blocks of more than 64 KiB");
    }
    let block = 1024 << log_size;
    let blocks = number(4, 4) | if is_64bit { number(0x150, 4) << 32 } else { 0 };
    let per_group = number(0x20, 4);
    if blocks.checked_mul(block).is_none_or(|len| len > image.file().len()) {
        let problem = format!(
            "the file system has {blocks} blocks of {block} bytes, and the image ends after {} bytes",
            image.file().len()
        );
        return Err(Failure::new(problem, DAMAGED).into());
    }
    // mke2fs makes no smaller ones.
    if per_group < 256 || blocks / per_group >= GROUPS || number(0x28, 4) == 0 {
        return damaged("too many groups of blocks");
    }
    if !inode_len.is_power_of_two() || inode_len < 128 || inode_len > block {
        return damaged("inodes of an impossible length");
    }
    // The library takes the upper half of an inode's checksum for granted.
    if inode_len == 128 && has_checksums {
        return damaged("inodes of 128 bytes with checksums, which is not read here");
    }
    if is_64bit && !(64..=1024).contains(&number(0xfe, 2)) {
        return damaged("descriptors of an impossible length");
    }
    // Only a file system that was not unmounted has something in its journal.
    if incompatible & 4 != 0 && journal_len(image, &superblock, block)? > JOURNAL_LEN {
        return damaged("a journal of an impossible length");
    }
    Ok(())
}

/// How long the journal says that it is: the library walks through it.
fn journal_len(image: &Pages, superblock: &[u8], block: u64) -> io::Result<u64> {
    let impossible = || Failure::new("the journal is at an impossible place", DAMAGED);
    let inode = number(superblock, 0xe0, 4).checked_sub(1).ok_or_else(impossible)?;
    let is_64bit = number(superblock, 0x60, 4) & 0x80 != 0;
    let descriptor_len = if is_64bit { number(superblock, 0xfe, 2) } else { 32 };
    let per_group = number(superblock, 0x28, 4);
    // The descriptors are in the block behind the superblock's.
    let first = if block == 1024 { 2 } else { 1 };
    let per_block = block / descriptor_len;
    let group = inode / per_group;
    let mut descriptor = [0; 64];
    let len = if is_64bit { 64 } else { 32 };
    let at = (first + group / per_block) * block + group % per_block * descriptor_len;
    image.read_exact_at(&mut descriptor[..len], at)?;
    let table = number(&descriptor, 8, 4) | number(&descriptor, 0x28, 4) << 32;
    let at = table
        .checked_mul(block)
        .and_then(|at| at.checked_add(inode % per_group * number(superblock, 0x58, 2)))
        .ok_or_else(impossible)?;
    let mut inode = [0; 128];
    image.read_exact_at(&mut inode, at)?;
    Ok(number(&inode, 4, 4) | number(&inode, 0x6c, 4) << 32)
}

/// Runs something of the library's. ext4-view 1.0.0 panics where an htree block with checksums says that it has more entries than fit in
/// it (`calc_internal_checksum`), and where a file is read on after an error of its block map (`File::read_bytes`); neither can be known
/// from outside. It has no state of its own that such a panic would leave half changed.
fn caught<T>(run: impl FnOnce() -> Result<T, Ext4Error>) -> io::Result<T> {
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(done) => done.map_err(failure),
        Err(_) => Err(Failure::new("the file system is damaged", DAMAGED).into()),
    }
}

fn failure(error: Ext4Error) -> io::Error {
    let hint = match error {
        // What the image itself has to say is said as it is.
        Ext4Error::Io(error) => {
            return match error.downcast::<io::Error>() {
                Ok(error) => *error,
                Err(error) => io::Error::other(error),
            };
        }
        Ext4Error::Incompatible(_) => "`debugfs -R 'dump FILE TO' IMAGE` gets a file out of it",
        _ => DAMAGED,
    };
    Failure::new(format!("the file system cannot be read: {error}"), hint).into()
}

/// The path as the library wants it.
fn bytes_of(path: &TreePath) -> Vec<u8> {
    [b"/", path.as_path().as_os_str().as_bytes()].concat()
}

impl Ext {
    /// What is at `path`, and its length.
    fn about(&self, path: &TreePath) -> io::Result<Option<(FileType, u64)>> {
        let path = bytes_of(path);
        let Ok(path) = Path::try_from(&*path) else { return Ok(None) };
        caught(|| match self.ext.symlink_metadata(path) {
            Ok(about) => Ok(Some((about.file_type(), about.len()))),
            Err(Ext4Error::NotFound | Ext4Error::NotADirectory) => Ok(None),
            Err(error) => Err(error),
        })
    }
}

impl Files for Ext {
    fn node(&self, path: &TreePath) -> io::Result<Option<Node>> {
        let Some((kind, len)) = self.about(path)? else { return Ok(None) };
        let too_long = |what: &str| Failure::new(format!("{what} of {len} bytes"), DAMAGED);
        Ok(Some(match kind {
            FileType::Regular => Node::File,
            FileType::Directory if len > DIRECTORY_LEN => Err(too_long("a directory"))?,
            FileType::Directory => Node::Directory,
            FileType::Symlink if len > LINK_LEN => Err(too_long("a symbolic link"))?,
            FileType::Symlink => {
                let path = bytes_of(path);
                let to = caught(|| self.ext.read_link(&*path))?;
                Node::Link(OsString::from_vec(AsRef::<[u8]>::as_ref(&to).to_vec()).into())
            }
            FileType::BlockDevice => Node::Special("a block device"),
            FileType::CharacterDevice => Node::Special("a character device"),
            FileType::Fifo => Node::Special("a pipe"),
            FileType::Socket => Node::Special("a socket"),
        }))
    }

    fn list(&self, directory: &TreePath) -> io::Result<Vec<Entry>> {
        let path = bytes_of(directory);
        caught(|| {
            let mut entries = Vec::new();
            for entry in self.ext.read_dir(&*path)?.take(ENTRIES) {
                let entry = entry?;
                let name = entry.file_name();
                let name = String::from_utf8_lossy(name.as_ref()).into_owned();
                let is_directory = entry.file_type()? == FileType::Directory;
                entries.push(Entry { name, is_directory });
            }
            Ok(entries)
        })
    }

    fn open(self: Rc<Self>, path: &TreePath, name: String) -> io::Result<Box<dyn RandomAccess>> {
        let path = bytes_of(path);
        let file = caught(|| self.ext.open(&*path))?;
        let len = file.metadata().len();
        Ok(Box::new(ExtFile { image: Rc::clone(&self.image), file: RefCell::new(file), name, len }))
    }
}

/// A file in the image.
#[derive(Debug)]
struct ExtFile {
    image: Rc<dyn RandomAccess>,
    file: RefCell<ext4_view::File>,
    name: String,
    len: u64,
}

impl RandomAccess for ExtFile {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, to: &mut [u8], at: u64) -> io::Result<usize> {
        if at >= self.len {
            return Ok(0);
        }
        let mut file = self.file.borrow_mut();
        caught(|| {
            // This walks through the file's blocks from the first on.
            if file.position() != at {
                file.seek_to(at)?;
            }
            let mut filled = 0;
            while filled < to.len() {
                match file.read_bytes(&mut to[filled..])? {
                    0 => break,
                    count => filled += count,
                }
            }
            Ok(filled)
        })
    }

    fn is_sequential(&self) -> bool {
        self.image.is_sequential()
    }

    fn version(&self) -> String {
        self.image.version()
    }
}

/// The little-endian number of `len` bytes at `at`; 0: there are fewer.
fn number(bytes: &[u8], at: usize, len: usize) -> u64 {
    let bytes = bytes.get(at..at + len).unwrap_or_default();
    bytes.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests;
