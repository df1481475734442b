//! squashfs, by backhand, which holds all names in memory and decompresses files as they are read.

use std::fmt;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use backhand::{BackhandError, FilesystemReader, InnerNode, Node as Found, SquashfsFileReader};

use super::files::{DAMAGED, ENTRIES, FileSystem, Files, Node};
use crate::bytes::{le16, le32, le64};
use crate::file::fill;
use crate::file::page_cache::{PageCache, Reader};
use crate::{Entry, Failure, FileError, FileTree, RandomAccess, TreePath};

/// Maximum number of blocks, of 8 KiB each when decompressed, in a table of the file system: it is
/// held in memory.
const BLOCKS: u32 = (64 << 20) / BLOCK;
/// Size of such a block in bytes, compressed or not: Linux's
/// Documentation/filesystems/squashfs.rst.
const BLOCK: u32 = 8 << 10;
/// Maximum number of files and directories, and of fragments.
const INODES: u64 = 1 << 20;

const REPACK: &str = "unpack and repack it: unsquashfs -d DIR IMAGE; mksquashfs DIR NEW -comp zstd";

/// Opens the file system in an image.
///
/// # Errors
/// It cannot be read, is damaged, or compressed in an unknown way.
pub(crate) fn open(image: Arc<dyn RandomAccess>) -> Result<Box<dyn FileTree>, FileError> {
    let name = image.name().to_owned();
    let opened = check(&image).and_then(|()| {
        let reader = Reader::new(Arc::clone(&image));
        caught(|| FilesystemReader::from_reader(BufReader::new(reader)))
    });
    match opened {
        Ok(squashfs) => Ok(Box::new(FileSystem::new(Squashfs { squashfs, image }, name))),
        Err(source) => Err(FileError::Io { name, source }),
    }
}

/// Whether the tables, when decompressed, are small enough for memory. Each block begins with its
/// length (2 bytes), which leads to the next block. If this chain does not end at the table's end,
/// the library continues to the end of the image.
fn check(image: &Arc<dyn RandomAccess>) -> io::Result<()> {
    let mut superblock = [0; 96];
    let pages = PageCache::new(Arc::clone(image));
    pages.read_exact_at(&mut superblock, 0)?;
    let (inodes, fragments) = (u64::from(le32(&superblock, 4)), u64::from(le32(&superblock, 16)));
    let used = le64(&superblock, 40);
    let (inode_table, directory_table) = (le64(&superblock, 64), le64(&superblock, 72));
    let refused = |problem: String| Err(Failure::new(problem, DAMAGED).into());
    if let Some(problem) = unsupported(le16(&superblock, 20)) {
        return Err(Failure::new(problem, REPACK).into());
    }
    if used > image.len() {
        let problem =
            format!("the file system has {used} bytes, but the image ends after {}", image.len());
        return refused(problem);
    }
    if inodes > INODES || fragments > INODES {
        return refused(format!("the file system claims {inodes} files and {fragments} fragments"));
    }
    // The tables after the directories, in their order on disk; a pointer to its first block
    // locates each.
    let has_fragments = fragments > 0 && le64(&superblock, 80) != u64::MAX;
    let has_exports = le16(&superblock, 24) & 0x80 != 0 && le64(&superblock, 88) != u64::MAX;
    let next = match (has_fragments, has_exports) {
        (true, _) => le64(&superblock, 80),
        (false, true) => le64(&superblock, 88),
        (false, false) => le64(&superblock, 48),
    };
    let mut end = [0; 8];
    pages.read_exact_at(&mut end, next)?;
    for (what, from, to) in [
        ("files", inode_table, directory_table),
        ("directories", directory_table, u64::from_le_bytes(end)),
    ] {
        if !is_table(&pages, from, to)? {
            return refused(format!(
                "the file system's table of {what}, from byte {from} to {to}, is damaged or larger than 64 MiB"
            ));
        }
    }
    Ok(())
}

/// Why the image's compression is not supported. The numbers are from Linux's
/// fs/squashfs/squashfs_fs.h.
fn unsupported(compression: u16) -> Option<String> {
    let name = match compression {
        1 | 4..=6 => return None,
        2 => "lzma",
        3 => "lzo",
        _ => return Some(format!("squashfs with the unknown compression {compression}")),
    };
    Some(format!(
        "squashfs compressed with {name} is not supported, expected gzip, xz, lz4 or zstd"
    ))
}

/// Whether at most the allowed number of blocks leads from one offset to the other.
fn is_table(pages: &PageCache, mut from: u64, to: u64) -> io::Result<bool> {
    let mut blocks = 0;
    while from < to && blocks < BLOCKS {
        let mut head = [0; 2];
        pages.read_exact_at(&mut head, from)?;
        // The top bit: the block is not compressed.
        let len = u16::from_le_bytes(head) & 0x7fff;
        if u32::from(len) > BLOCK {
            return Ok(false);
        }
        from += 2 + u64::from(len);
        blocks += 1;
    }
    Ok(from == to)
}

/// Runs library code and catches its panics. backhand 0.25.5 does unchecked arithmetic with a
/// directory's offset and length (`dir_from_index`), and panics if they are beyond the table's end.
fn caught<T>(run: impl FnOnce() -> Result<T, BackhandError>) -> io::Result<T> {
    let problem = match catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(done)) => return Ok(done),
        Ok(Err(BackhandError::StdIo(error))) => return Err(error),
        // backhand 0.25.5 accepts no symbolic link of 256 bytes or more, and says nothing of it.
        Ok(Err(BackhandError::Deku(_))) => {
            let problem = "the file system (squashfs) has something in it that is not supported, such as a symbolic link of more than 255 bytes, or is damaged";
            return Err(
                Failure::new(problem, "unpack it with unsquashfs, and give the directory").into()
            );
        }
        Ok(Err(error)) => format!("the file system (squashfs) cannot be read: {error:?}"),
        Err(_) => "the file system (squashfs) is damaged".into(),
    };
    Err(Failure::new(problem, DAMAGED).into())
}

struct Squashfs {
    squashfs: FilesystemReader<'static>,
    image: Arc<dyn RandomAccess>,
}

impl fmt::Debug for Squashfs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Squashfs").field("image", &self.image).finish_non_exhaustive()
    }
}

impl Squashfs {
    fn find(&self, path: &TreePath) -> Option<&Found<SquashfsFileReader>> {
        let path = Path::new("/").join(path.as_path());
        self.squashfs.files().find(|node| node.fullpath == path)
    }
}

impl Files for Squashfs {
    fn node(&self, path: &TreePath) -> io::Result<Option<Node>> {
        Ok(self.find(path).map(|node| match &node.inner {
            InnerNode::File(_) => Node::File,
            InnerNode::Symlink(link) => Node::Link(link.link.clone()),
            InnerNode::Dir(_) => Node::Directory,
            InnerNode::CharacterDevice(_) => Node::Special("a character device"),
            InnerNode::BlockDevice(_) => Node::Special("a block device"),
            InnerNode::NamedPipe => Node::Special("a pipe"),
            InnerNode::Socket => Node::Special("a socket"),
        }))
    }

    fn list(&self, directory: &TreePath) -> io::Result<Vec<Entry>> {
        let path = Path::new("/").join(directory.as_path());
        let inside = self.squashfs.files().filter(|node| node.fullpath.parent() == Some(&path));
        let entry = |node: &Found<SquashfsFileReader>| {
            let name = node.fullpath.file_name()?.to_string_lossy().into_owned();
            Some(Entry { name, is_directory: matches!(node.inner, InnerNode::Dir(_)) })
        };
        Ok(inside.filter_map(entry).take(ENTRIES).collect())
    }

    fn open(self: Arc<Self>, path: &TreePath, name: String) -> io::Result<Box<dyn RandomAccess>> {
        let file = match self.find(path).map(|node| &node.inner) {
            Some(InnerNode::File(file)) => file.clone(),
            _ => return Err(io::ErrorKind::NotFound.into()),
        };
        Ok(Box::new(SquashfsFile { squashfs: self, len: file.file_len() as u64, file, name }))
    }
}

/// A file in the image.
#[derive(Debug)]
struct SquashfsFile {
    squashfs: Arc<Squashfs>,
    file: SquashfsFileReader,
    name: String,
    len: u64,
}

/// A file read sequentially, so that each block is decompressed once.
struct Stream<R>(R);

impl<R: Read> Read for Stream<R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        caught(|| self.0.read(to).map_err(BackhandError::StdIo))
    }
}

impl RandomAccess for SquashfsFile {
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
        let mut stream = self.stream(at)?;
        fill(to, |to, _| stream.read(to))
    }

    fn stream(&self, from: u64) -> io::Result<Box<dyn Read + '_>> {
        caught(|| {
            let mut reader = self.squashfs.squashfs.file(&self.file).reader_checked()?;
            reader.seek(SeekFrom::Start(from.min(self.len))).map_err(BackhandError::StdIo)?;
            Ok(Box::new(Stream(reader)) as Box<dyn Read + '_>)
        })
    }

    fn is_sequential(&self) -> bool {
        self.squashfs.image.is_sequential()
    }

    fn version(&self) -> String {
        self.squashfs.image.version()
    }
}

#[cfg(test)]
mod tests;
