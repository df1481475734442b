//! Media: ISO 9660 (ECMA-119) with Rock Ridge, with Joliet, or with neither.
//!
//! A reader of our own: a medium may come from anywhere, and hadris-iso, the best of the crates, takes the lengths that stand in an image as they are,
//! makes some fifty small reads to open one, and leaves links, other letters' cases and Joliet's choice to its user. Names are Rock Ridge's
//! where it is, else Joliet's, else plain ones in small letters, as Linux shows them. They are found in other cases too, if there is no
//! exact one: a boot configuration was written for a loader that saw other names.

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

/// Bytes in a sector, which records do not cross.
const SECTOR: usize = 2048;
/// Symbolic links that one path may lead over, as Linux has it.
const LINKS: usize = 40;
/// Names that a path may have, those of its links included.
const NAMES: usize = 256;
/// Entries of a directory that are listed.
const ENTRIES: usize = 1 << 16;
/// Readings of sectors for one path.
const STEPS: u32 = 1 << 17;

/// A medium that was looked into.
#[derive(Debug)]
pub(crate) struct Iso {
    pages: PageCache,
    name: String,
    label: String,
    /// Bytes of a logical block.
    block: u64,
    root: Extent,
    names: Names,
}

/// Whose names are used.
#[derive(Clone, Copy, Debug)]
enum Names {
    /// Rock Ridge's; so many bytes of a record's system use area are not its own.
    Rock {
        skip: usize,
    },
    Joliet,
    Plain,
}

impl Names {
    /// A record's own name as it is shown.
    fn decode(self, name: &[u8]) -> Vec<u8> {
        let text = if matches!(self, Self::Joliet) {
            let units = name.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
            char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
        } else {
            String::from_utf8_lossy(name).to_ascii_lowercase()
        };
        // The version, and the dot before an extension that is not there (ECMA-119, 7.5.1).
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

/// How much of a medium was read for one path: what is damaged on purpose ends too.
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

/// Opens the medium.
///
/// # Errors
/// It is none, or it is damaged.
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

    /// What a path stands for, links followed; never [`Node::Link`]. `None`: nothing.
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

    /// What is called `name` in a directory, or is but for the letters' case.
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

    /// A file's bytes; parts that lie one behind the other are one.
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

/// The names of a path, the first one last.
fn names(path: &[u8]) -> Vec<Vec<u8>> {
    let names = path.split(|byte| *byte == b'/');
    let names = names.filter(|name| !name.is_empty() && *name != b".");
    names.rev().map(<[u8]>::to_vec).collect()
}

/// The medium is not as it must be.
fn fault(problem: impl Into<String>) -> io::Error {
    let hint = "the image may be damaged or truncated: compare its checksum with the publisher's, and download it again";
    Failure::new(problem, hint).into()
}

/// `what` could not be read: it is behind the end, or the place cannot give it.
fn unread(error: io::Error, what: &str) -> io::Error {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => fault(format!("it ends before {what}")),
        _ => error,
    }
}

#[cfg(test)]
mod tests;
