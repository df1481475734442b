//! Directories (ECMA-119, 9): a sequence of records, none of which crosses the end of a sector.

use std::io;

use super::rock::{Continuation, Rock};
use super::{Iso, Names, SECTOR, Steps, fault, unread};
use crate::bytes::le32;

/// Maximum size of a directory in bytes. A directory of 30,000 files with long names has 8 MiB.
const DIRECTORY: u32 = 16 << 20;
/// Maximum number of parts of a file; each but the last has about 4 GiB.
const PARTS: usize = 1024;
/// Maximum number of continuation areas of one record.
const AREAS: usize = 32;

/// A range of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extent {
    /// The first block.
    pub block: u32,
    /// Length in bytes.
    pub len: u32,
}

/// The node that a directory entry stands for.
#[derive(Clone, Debug)]
pub(super) enum Node {
    /// A directory.
    Directory(Extent),
    /// A regular file: its parts in order.
    File(Vec<Extent>),
    /// A symbolic link, with its target.
    Link(Vec<u8>),
    /// A special file without content: "a pipe".
    Special(&'static str),
    /// A file that cannot be read, and why.
    Unreadable(&'static str),
}

/// A record as it is on the medium.
struct Record<'a> {
    extent: Extent,
    flags: u8,
    interleaved: bool,
    name: &'a [u8],
    system_use: &'a [u8],
}

impl<'a> Record<'a> {
    /// The next record has another part of the file.
    const CONTINUED: u8 = 0x80;
    /// An associated file.
    const ASSOCIATED: u8 = 0x04;
    const DIRECTORY: u8 = 0x02;

    /// ECMA-119, 9.1; `bytes` is one record. `None` if it is not a valid record.
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let name = usize::from(*bytes.get(32)?);
        // A name of even length is followed by a padding byte.
        let system_use = 33 + name + (name + 1) % 2;
        Some(Self {
            extent: Extent {
                // A file's extended attributes come before its content.
                block: le32(bytes, 2).checked_add(u32::from(bytes[1]))?,
                len: le32(bytes, 10),
            },
            flags: bytes[25],
            interleaved: bytes[26] != 0,
            name: bytes.get(33..33 + name).filter(|name| !name.is_empty())?,
            system_use: bytes.get(system_use..).unwrap_or_default(),
        })
    }

    /// The directory itself, and its parent.
    fn is_dots(&self) -> bool {
        matches!(self.name, [0 | 1])
    }
}

impl Iso {
    /// Passes each name in a directory and its node to `take`, until `take` stops.
    pub(super) fn each(
        &self,
        directory: Extent,
        steps: &mut Steps,
        mut take: impl FnMut(Vec<u8>, Node) -> bool,
    ) -> io::Result<()> {
        let mut parts = Vec::new();
        self.records(directory, steps, |record, steps| {
            if record.is_dots() || record.flags & Record::ASSOCIATED != 0 {
                return Ok(true);
            }
            if parts.len() == PARTS {
                return Err(fault(format!("a file claims more than {PARTS} parts")));
            }
            parts.push(record.extent);
            if record.flags & Record::CONTINUED != 0 {
                return Ok(true);
            }
            let parts = std::mem::take(&mut parts);
            let rock = self.rock(record, steps)?;
            if rock.relocated {
                return Ok(true);
            }
            let node = self.node(record, parts, &rock, steps)?;
            let name = rock.name.unwrap_or_else(|| self.names.decode(record.name));
            Ok(take(name, node))
        })
    }

    fn node(
        &self,
        record: &Record<'_>,
        parts: Vec<Extent>,
        rock: &Rock,
        steps: &mut Steps,
    ) -> io::Result<Node> {
        if let Some(block) = rock.child {
            return Ok(Node::Directory(self.directory_at(block, steps)?));
        }
        if record.flags & Record::DIRECTORY != 0 {
            return Ok(Node::Directory(record.extent));
        }
        if let Some(target) = &rock.link {
            return Ok(Node::Link(target.clone()));
        }
        Ok(match rock.special() {
            Some(found) => Node::Special(found),
            None if rock.compressed => {
                Node::Unreadable("it is compressed (zisofs), which is not supported")
            }
            None if record.interleaved => {
                Node::Unreadable("it is interleaved, which is not supported")
            }
            None => Node::File(parts),
        })
    }

    /// A relocated directory, as deeply nested ones are: its own first record has its length.
    fn directory_at(&self, block: u32, steps: &mut Steps) -> io::Result<Extent> {
        let mut found = None;
        let one = u32::try_from(SECTOR).unwrap_or(u32::MAX);
        self.records(Extent { block, len: one }, steps, |record, _| {
            found = (record.name == [0]).then_some(Extent { block, len: record.extent.len });
            Ok(false)
        })?;
        found.ok_or_else(|| fault(format!("there is no directory in block {block}")))
    }

    /// The Rock Ridge information of a record; empty if Rock Ridge is not in use.
    fn rock(&self, record: &Record<'_>, steps: &mut Steps) -> io::Result<Rock> {
        let Names::Rock { skip } = self.names else { return Ok(Rock::default()) };
        self.rock_of(record.system_use.get(skip..).unwrap_or_default(), steps)
    }

    fn rock_of(&self, system_use: &[u8], steps: &mut Steps) -> io::Result<Rock> {
        let mut rock = Rock::default();
        let mut next = rock.read(system_use)?;
        for _ in 0..AREAS {
            let Some(Continuation { block, offset, len }) = next else { return Ok(rock) };
            // SUSP 1.12, 5.1: it does not cross the end of a block.
            let end = offset.checked_add(len).filter(|end| u64::from(*end) <= self.block);
            let area = end.and_then(|_| usize::try_from(len).ok());
            let area = area.ok_or_else(|| fault("a continuation area crosses a block boundary"))?;
            steps.take()?;
            let mut bytes = vec![0; area];
            self.pages
                .read_exact_at(&mut bytes, u64::from(block) * self.block + u64::from(offset))
                .map_err(|error| unread(error, "what continues a record"))?;
            next = rock.read(&bytes)?;
        }
        Err(fault(format!("a record claims more than {AREAS} continuation areas")))
    }

    /// Whether Rock Ridge is in use, and how many bytes of each record to skip (SUSP 1.12, 5.3),
    /// according to the root's first record.
    pub(super) fn rock_skip(&self, steps: &mut Steps) -> io::Result<Option<usize>> {
        let mut skip = None;
        self.records(self.root, steps, |record, steps| {
            let area = record.system_use;
            // A CD-ROM XA record has 14 bytes of its own before it (Linux, fs/isofs/rock.c).
            let found = [area, area.get(14..).unwrap_or_default()]
                .into_iter()
                .find(|area| matches!(area, [b'S', b'P', 7, 1, 0xbe, 0xef, ..]));
            if let Some(found) = found
                && self.rock_of(found, steps)?.is_used
            {
                skip = found.get(6).map(|skip| usize::from(*skip));
            }
            Ok(false)
        })?;
        Ok(skip)
    }

    fn records(
        &self,
        directory: Extent,
        steps: &mut Steps,
        mut take: impl FnMut(&Record<'_>, &mut Steps) -> io::Result<bool>,
    ) -> io::Result<()> {
        let Extent { block, len } = directory;
        if len > DIRECTORY {
            return Err(fault(format!(
                "a directory claims {len} bytes, expected at most {DIRECTORY}"
            )));
        }
        let start = u64::from(block) * self.block;
        for at in (0..u64::from(len)).step_by(SECTOR) {
            steps.take()?;
            let mut bytes = [0; SECTOR];
            self.pages
                .read_exact_at(&mut bytes, start + at)
                .map_err(|error| unread(error, "a directory"))?;
            let mut rest = &bytes[..];
            // A length of 0: the rest of the sector is unused.
            while let Some(size) =
                rest.first().map(|size| usize::from(*size)).filter(|size| *size != 0)
            {
                let record = rest
                    .get(..size)
                    .and_then(Record::parse)
                    .ok_or_else(|| fault(format!("block {block} does not hold a directory")))?;
                if !take(&record, steps)? {
                    return Ok(());
                }
                rest = &rest[size..];
            }
        }
        Ok(())
    }
}
