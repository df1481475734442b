//! ISO 9660 (ECMA-119), with Rock Ridge, with Joliet, or with neither.
//!
//! This is a reader of our own, because a medium may come from anywhere. hadris-iso, the best of
//! the crates, trusts the lengths in an image, makes some fifty small reads to open one, and leaves
//! symbolic links, case folding and the choice of Joliet to its user.
//!
//! Names are Rock Ridge's if present, else Joliet's, else plain names in lower case, as Linux shows
//! them. If there is no exact match, names match regardless of case: a boot configuration may have
//! been written for a loader that saw other names.

mod descriptor;
mod directory;
mod parts;
mod rock;

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use crate::file::page_cache::PageCache;
use crate::{Entry, Failure, FileError, FileTree, RandomAccess, Slice, TreePath};
use directory::{Extent, Node};
use parts::Parts;

/// Sector size in bytes; records do not cross sectors.
const SECTOR: usize = 2048;
/// Maximum number of symbolic links in one path, as in Linux.
const LINKS: usize = 40;
/// Maximum number of components of a path, including those of its links.
const NAMES: usize = 256;
/// Maximum number of directory entries listed.
const ENTRIES: usize = 1 << 16;
/// Maximum number of sectors read for one path.
const STEPS: u32 = 1 << 17;

/// An opened medium.
#[derive(Debug)]
pub(crate) struct Iso {
    pages: PageCache,
    name: String,
    label: String,
    uuid: String,
    /// Logical block size in bytes.
    block: u64,
    root: Extent,
    names: Names,
}

/// Which names are used.
#[derive(Clone, Copy, Debug)]
enum Names {
    /// Rock Ridge's. The number is how many bytes of a record's system use area to skip.
    Rock {
        skip: usize,
    },
    Joliet,
    Plain,
}

impl Names {
    /// A record's own name, as displayed.
    fn decode(self, name: &[u8]) -> Vec<u8> {
        let text = if matches!(self, Self::Joliet) {
            let units = name.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
            char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
        } else {
            String::from_utf8_lossy(name).to_ascii_lowercase()
        };
        // Removes the version, and the dot before an empty extension (ECMA-119, 7.5.1).
        let text = match text.rsplit_once(';') {
            Some((name, version)) if version.bytes().all(|byte| byte.is_ascii_digit()) => name,
            _ => &text,
        };
        let text = match self {
            Self::Joliet => text,
            _ => text.strip_suffix('.').unwrap_or(text),
        };
        text.as_bytes().to_vec()
    }
}

/// How much of a medium was read for one path, so that malicious images cannot cause endless reads.
#[derive(Debug, Default)]
struct Steps(u32);

impl Steps {
    fn take(&mut self) -> io::Result<()> {
        self.0 += 1;
        if self.0 > STEPS {
            return Err(fault("its directories form a loop"));
        }
        Ok(())
    }
}

/// Opens a medium.
///
/// # Errors
/// It is not an ISO 9660 medium, or it is damaged.
pub(crate) fn open(file: Arc<dyn RandomAccess>) -> Result<Box<dyn FileTree>, FileError> {
    let name = file.name().to_owned();
    let opened = Iso::new(file).map_err(|source| FileError::Io { name, source })?;
    Ok(Box::new(opened))
}

impl Iso {
    fn new(file: Arc<dyn RandomAccess>) -> io::Result<Self> {
        let (name, pages) = (file.name().to_owned(), PageCache::new(file));
        let (primary, joliet) = descriptor::read(&pages)?;
        let mut iso = Self {
            pages,
            name,
            label: primary.label,
            uuid: primary.uuid,
            block: primary.block,
            root: primary.root,
            names: Names::Plain,
        };
        if let Some(skip) = iso.rock_skip(&mut Steps::default())? {
            iso.names = Names::Rock { skip };
        } else if let Some(joliet) = joliet {
            (iso.block, iso.root, iso.names) = (joliet.block, joliet.root, Names::Joliet);
        }
        Ok(iso)
    }

    fn shown(&self, path: &TreePath) -> String {
        if *path == TreePath::root() {
            return self.name.clone();
        }
        format!("{}/{path}", self.name)
    }

    /// The node at a path, with links followed; never [`Node::Link`]. `None` if it does not exist.
    fn find(&self, path: &TreePath) -> io::Result<Option<Node>> {
        let (mut steps, mut links) = (Steps::default(), 0);
        let path = path.as_path().as_os_str().as_bytes();
        let mut ahead: Vec<Vec<u8>> = names(path);
        let mut above = Vec::new();
        let mut here = Node::Directory(self.root);
        while let Some(name) = ahead.pop() {
            if ahead.len() + above.len() > NAMES {
                return Err(fault(format!("the path has more than {NAMES} components")));
            }
            let Node::Directory(directory) = here else { return Ok(None) };
            if name == b".." {
                here = Node::Directory(above.pop().unwrap_or(self.root));
                continue;
            }
            match self.child(directory, &name, &mut steps)? {
                None => return Ok(None),
                Some(Node::Link(target)) => {
                    links += 1;
                    if links > LINKS {
                        return Err(fault(format!(
                            "its path has more than {LINKS} symbolic links"
                        )));
                    }
                    if target.starts_with(b"/") {
                        above.clear();
                        here = Node::Directory(self.root);
                    }
                    ahead.extend(names(&target));
                }
                Some(node) => {
                    above.push(directory);
                    here = node;
                }
            }
        }
        Ok(Some(here))
    }

    /// The entry called `name` in a directory, or else one whose name differs only in case.
    fn child(&self, of: Extent, name: &[u8], steps: &mut Steps) -> io::Result<Option<Node>> {
        let (mut exact, mut similar) = (None, None);
        self.each(of, steps, |found, node| {
            if found == name {
                exact = Some(node);
            } else if similar.is_none() && found.eq_ignore_ascii_case(name) {
                similar = Some(node);
            }
            exact.is_none()
        })?;
        Ok(exact.or(similar))
    }

    /// A file's contents; contiguous parts are merged.
    fn file(&self, parts: &[Extent], name: &str) -> io::Result<Box<dyn RandomAccess>> {
        let image = self.pages.file();
        let mut ranges: Vec<(u64, u64)> = Vec::new();
        for part in parts {
            let (at, len) = (u64::from(part.block) * self.block, u64::from(part.len));
            if len != 0 && at + len > image.len() {
                return Err(fault(format!(
                    "it ends at byte {} of '{}', which has only {}",
                    at + len,
                    self.name,
                    image.len()
                )));
            }
            match ranges.last_mut() {
                Some((start, before)) if *start + *before == at => *before += len,
                _ => ranges.push((at, len)),
            }
        }
        let slice = |(at, len): &(u64, u64)| Slice::new(Arc::clone(image), *at, *len, name);
        Ok(match ranges.as_slice() {
            [range] => Box::new(slice(range)),
            ranges => Box::new(Parts::new(ranges.iter().map(slice).collect(), name.to_owned())),
        })
    }
}

impl FileTree for Iso {
    fn name(&self) -> &str {
        &self.name
    }

    fn label(&self) -> Option<&str> {
        Some(&self.label).filter(|label| !label.is_empty()).map(String::as_str)
    }

    fn volume_uuid(&self) -> Option<&str> {
        Some(&self.uuid)
    }

    fn list(&self, directory: &TreePath) -> Result<Vec<Entry>, FileError> {
        let name = self.shown(directory);
        let fail = |source| FileError::Io { name: name.clone(), source };
        let extent = match self.find(directory).map_err(fail)? {
            Some(Node::Directory(extent)) => extent,
            _ => return Err(FileError::Missing(name)),
        };
        let mut entries = Vec::new();
        let each = self.each(extent, &mut Steps::default(), |name, node| {
            let name = String::from_utf8_lossy(&name).into_owned();
            entries.push(Entry { name, is_directory: matches!(node, Node::Directory(_)) });
            entries.len() < ENTRIES
        });
        each.map_err(fail)?;
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    fn open(&self, path: &TreePath) -> Result<Box<dyn RandomAccess>, FileError> {
        let name = self.shown(path);
        let fail = |source| FileError::Io { name: name.clone(), source };
        let kind = |found| {
            let expected = "a regular file";
            Err(FileError::Kind { name: name.clone(), found, expected })
        };
        match self.find(path).map_err(fail)? {
            None => Err(FileError::Missing(name)),
            Some(Node::Directory(_)) => kind("a directory"),
            Some(Node::Special(found)) => kind(found),
            Some(Node::Link(_)) => kind("a symbolic link"),
            Some(Node::Unreadable(why)) => Err(FileError::failure(
                name,
                why,
                "copy the files of the medium to a directory of this host, and use that",
            )),
            Some(Node::File(parts)) => self.file(&parts, &name).map_err(fail),
        }
    }
}

/// The components of a path in reverse order.
fn names(path: &[u8]) -> Vec<Vec<u8>> {
    let names = path.split(|byte| *byte == b'/');
    let names = names.filter(|name| !name.is_empty() && *name != b".");
    names.rev().map(<[u8]>::to_vec).collect()
}

/// The medium is malformed.
fn fault(problem: impl Into<String>) -> io::Error {
    let hint = "the image may be damaged or truncated: compare its checksum with the publisher's, and download it again";
    Failure::new(problem, hint).into()
}

/// `what` could not be read: it is beyond the end, or the source cannot provide it.
fn unread(error: io::Error, what: &str) -> io::Error {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => fault(format!("it ends before {what}")),
        _ => error,
    }
}

#[cfg(test)]
mod tests;
