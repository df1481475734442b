//! FAT12, FAT16 and FAT32, with long names. Source: Microsoft's "FAT: General Overview of On-Disk
//! Format", version 1.03.
//!
//! This is a reader of our own: fatfs does arithmetic on unchecked numbers from the image, and
//! follows circular cluster chains forever.

use std::io;
use std::sync::Arc;

use super::files::{DAMAGED, FileSystem, Files, Node, label};
use crate::bytes::{le16, le32};
use crate::file::page_cache::PageCache;
use crate::{Entry, Failure, FileError, FileTree, RandomAccess, Slice, TreePath, head};

/// Maximum size of a directory: 65,536 entries of 32 bytes.
const DIRECTORY_LEN: u64 = 65_536 * 32;

/// Opens the file system in an image.
///
/// # Errors
/// It cannot be read, or is damaged.
pub(crate) fn open(image: Arc<dyn RandomAccess>) -> Result<Box<dyn FileTree>, FileError> {
    let name = image.name().to_owned();
    match Fat::open(image) {
        Ok(fat) => {
            // BS_VolLab. What has none says "NO NAME", and nobody looks for that.
            let at = if fat.bits == 32 { 71 } else { 43 };
            let label = label(&**fat.image.file(), at, 11);
            // BS_VolID, which is written as a number with a dash in the middle.
            let mut id = [0; 4];
            let is_read = fat.image.file().read_at(&mut id, at - 4).is_ok_and(|count| count == 4);
            let [a, b, c, d] = id;
            let id = if is_read { format!("{d:02X}{c:02X}-{b:02X}{a:02X}") } else { String::new() };
            Ok(Box::new(FileSystem::new(fat, name).with_label(label).with_uuid(id)))
        }
        Err(source) => Err(FileError::Io { name, source }),
    }
}

#[derive(Debug)]
struct Fat {
    image: PageCache,
    /// Offset of the first table.
    table: u64,
    /// Bits per entry: 12, 16 or 32.
    bits: u64,
    /// Bytes in a cluster.
    cluster: u64,
    /// Number of clusters; the first one has number 2.
    clusters: u64,
    /// Offset of cluster 2.
    data: u64,
    root: Root,
}

#[derive(Clone, Copy, Debug)]
enum Root {
    /// On FAT12 and FAT16: offset and length.
    At(u64, u64),
    /// On FAT32: the first cluster.
    Cluster(u64),
}

/// A contiguous part of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    /// Offset in the image.
    at: u64,
    len: u64,
}

/// A directory entry.
#[derive(Clone, Debug)]
struct Item {
    name: String,
    /// The 8.3 name.
    short: String,
    is_directory: bool,
    first: u64,
    len: u64,
}

impl Fat {
    fn open(image: Arc<dyn RandomAccess>) -> io::Result<Self> {
        let image = PageCache::new(image);
        let mut boot = [0; 512];
        image.read_exact_at(&mut boot, 0)?;
        let damaged = |what: &str| Failure::new(format!("the file system has {what}"), DAMAGED);
        let either = |short, long| match u64::from(le16(&boot, short)) {
            0 => u64::from(le32(&boot, long)),
            value => value,
        };
        let (sector, per_cluster) = (u64::from(le16(&boot, 11)), u64::from(boot[13]));
        if ![512, 1024, 2048, 4096].contains(&sector) || !per_cluster.is_power_of_two() {
            return Err(damaged("sectors or clusters of an impossible length").into());
        }
        let (reserved, tables) = (u64::from(le16(&boot, 14)), u64::from(boot[16]));
        let table_len = either(22, 36);
        let root_len = u64::from(le16(&boot, 17)) * 32;
        let root = reserved + tables * table_len;
        let data = root + root_len.div_ceil(sector);
        if reserved == 0 || tables == 0 || table_len == 0 {
            return Err(damaged("no table").into());
        }
        let clusters = either(19, 32).saturating_sub(data) / per_cluster;
        // The specification goes by the number of clusters alone, but `mkfs.fat -F 32` makes FAT32
        // of any size, and Linux (fs/fat/inode.c), GRUB and EDK2 go by the field that FAT32 lacks.
        let bits = match clusters {
            0 => return Err(damaged("no clusters").into()),
            _ if le16(&boot, 22) == 0 => 32,
            1..4085 => 12,
            _ => 16,
        };
        if clusters > table_len * sector * 8 / bits {
            return Err(damaged("more clusters than its table").into());
        }
        let root = match bits {
            32 => Root::Cluster(u64::from(le32(&boot, 44))),
            _ => Root::At(root * sector, root_len),
        };
        let (table, data) = (reserved * sector, data * sector);
        Ok(Self { image, table, bits, cluster: per_cluster * sector, clusters, data, root })
    }

    /// The cluster after this one. `None` if this is the last.
    fn next(&self, cluster: u64) -> io::Result<Option<u64>> {
        let at = self.table + cluster * self.bits / 8;
        let mut entry = [0; 4];
        let len = if self.bits == 32 { 4 } else { 2 };
        self.image.read_exact_at(&mut entry[..len], at)?;
        let entry = u64::from(le32(&entry, 0));
        let (entry, end) = match self.bits {
            12 if cluster % 2 == 1 => (entry >> 4, 0xff8),
            12 => (entry & 0xfff, 0xff8),
            16 => (entry, 0xfff8),
            _ => (entry & 0x0fff_ffff, 0x0fff_fff8),
        };
        Ok((entry < end).then_some(entry))
    }

    /// The `len` bytes that begin with this cluster; fewer if `is_directory`, because the length of
    /// a directory is not stored.
    fn runs(&self, first: u64, len: u64, is_directory: bool) -> io::Result<Vec<Run>> {
        let damaged = |what: String| Failure::new(what, DAMAGED);
        let (mut runs, mut left, mut next) = (Vec::<Run>::new(), len, Some(first));
        let (mut waiting, mut patience, mut steps) = (first, 1_u64, 0_u64);
        while left > 0 {
            let cluster = match next {
                Some(cluster) if cluster >= 2 && cluster - 2 < self.clusters => cluster,
                None if is_directory => break,
                None => return Err(damaged(format!("{left} bytes of {len} are missing")).into()),
                Some(cluster) => {
                    return Err(damaged(format!("there is no cluster {cluster}")).into());
                }
            };
            let at = self.data + (cluster - 2) * self.cluster;
            let count = left.min(self.cluster);
            match runs.last_mut() {
                Some(run) if run.at + run.len == at => run.len += count,
                _ => runs.push(Run { at, len: count }),
            }
            left -= count;
            if left > 0 {
                next = self.next(cluster)?;
            }
            // Brent's cycle detection: one pointer stands still, and waits twice as long each time.
            steps += 1;
            if next == Some(waiting) && left > 0 {
                return Err(damaged("its cluster chain is a loop".into()).into());
            }
            if steps == patience {
                (waiting, patience) = (cluster, patience * 2);
            }
        }
        Ok(runs)
    }

    /// The entries of a directory; `None` is the root.
    fn items(&self, directory: Option<&Item>) -> io::Result<Vec<Item>> {
        let runs = match (directory, self.root) {
            (Some(item), _) => self.runs(item.first, DIRECTORY_LEN, true)?,
            (None, Root::Cluster(first)) => self.runs(first, DIRECTORY_LEN, true)?,
            (None, Root::At(at, len)) => vec![Run { at, len }],
        };
        let (mut items, mut long) = (Vec::new(), LongName::default());
        for run in runs {
            let part = Slice::new(Arc::clone(self.image.file()), run.at, run.len, "");
            let most = usize::try_from(run.len).unwrap_or(usize::MAX);
            for entry in head(&part, most)?.as_chunks::<32>().0 {
                match (entry[0], entry[11]) {
                    (0, _) => return Ok(items),
                    (0xe5, _) => long = LongName::default(),
                    (_, 0x0f) => long.add(entry),
                    // The volume label.
                    (_, attributes) if attributes & 0x08 != 0 => long = LongName::default(),
                    _ => items.push(item(entry, std::mem::take(&mut long))),
                }
            }
        }
        Ok(items)
    }

    /// The entry at a path. The root is `Ok(None)`; a missing entry is an error of its own.
    fn find(&self, path: &TreePath) -> io::Result<Result<Option<Item>, ()>> {
        let mut at: Option<Item> = None;
        for name in path.as_path() {
            if at.as_ref().is_some_and(|item| !item.is_directory) {
                return Ok(Err(()));
            }
            let name = name.to_string_lossy().to_lowercase();
            let is_it =
                |item: &Item| item.name.to_lowercase() == name || item.short.to_lowercase() == name;
            match self.items(at.as_ref())?.into_iter().find(is_it) {
                Some(item) => at = Some(item),
                None => return Ok(Err(())),
            }
        }
        Ok(Ok(at))
    }
}

/// A long name is stored before its entry, its last part first.
#[derive(Debug, Default)]
struct LongName {
    /// UTF-16, from the end.
    parts: Vec<[u16; 13]>,
    /// The number of the last part read; 1 is the beginning of the name.
    number: u8,
    /// The checksum of the short name that follows.
    sum: u8,
}

impl LongName {
    fn add(&mut self, entry: &[u8; 32]) {
        let number = entry[0] & 0x3f;
        if entry[0] & 0x40 != 0 {
            *self = Self { sum: entry[13], number: number + 1, ..Self::default() };
        }
        // A part is missing or belongs to another entry.
        if number == 0 || self.number != number + 1 || self.sum != entry[13] {
            *self = Self::default();
            return;
        }
        self.number = number;
        let mut part = [0; 13];
        let places = (1..11).chain(14..26).chain(28..32).step_by(2);
        for (to, at) in part.iter_mut().zip(places) {
            *to = u16::from_le_bytes([entry[at], entry[at + 1]]);
        }
        self.parts.push(part);
    }

    /// The name, if it is complete and belongs to this entry.
    fn of(&self, entry: &[u8; 32]) -> Option<String> {
        let sum =
            entry[..11].iter().fold(0_u8, |sum, byte| sum.rotate_right(1).wrapping_add(*byte));
        if self.number != 1 || sum != self.sum {
            return None;
        }
        let units = self.parts.iter().rev().flatten().copied().take_while(|unit| *unit != 0);
        let name =
            char::decode_utf16(units).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER));
        Some(name.collect())
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is the name of one entry, and used up")]
fn item(entry: &[u8; 32], long: LongName) -> Item {
    let mut stem = entry[..8].to_vec();
    // 0x05 stands for 0xe5, a Japanese character, which would mark a deleted entry.
    if stem[0] == 0x05 {
        stem[0] = 0xe5;
    }
    // Windows NT stores here that a name is in lower case.
    let part = |bytes: &[u8], is_small: bool| {
        let text = String::from_utf8_lossy(bytes).trim_end_matches(' ').to_owned();
        if is_small { text.to_lowercase() } else { text }
    };
    let (stem, end) = (part(&stem, entry[12] & 8 != 0), part(&entry[8..11], entry[12] & 16 != 0));
    let short = if end.is_empty() { stem } else { format!("{stem}.{end}") };
    let first = u64::from(le16(entry, 26)) | u64::from(le16(entry, 20)) << 16;
    let is_directory = entry[11] & 0x10 != 0;
    let name = long.of(entry).unwrap_or_else(|| short.clone());
    Item { name, short, is_directory, first, len: u64::from(le32(entry, 28)) }
}

impl Files for Fat {
    fn node(&self, path: &TreePath) -> io::Result<Option<Node>> {
        Ok(match self.find(path)? {
            Ok(None) => Some(Node::Directory),
            Ok(Some(item)) if item.is_directory => Some(Node::Directory),
            Ok(Some(_)) => Some(Node::File),
            Err(()) => None,
        })
    }

    fn list(&self, directory: &TreePath) -> io::Result<Vec<Entry>> {
        let at = self.find(directory)?.map_err(|()| io::ErrorKind::NotFound)?;
        let entry = |item: Item| Entry { name: item.name, is_directory: item.is_directory };
        Ok(self.items(at.as_ref())?.into_iter().map(entry).collect())
    }

    fn open(self: Arc<Self>, path: &TreePath, name: String) -> io::Result<Box<dyn RandomAccess>> {
        let item = self.find(path)?.ok().flatten().ok_or(io::ErrorKind::NotFound)?;
        let runs = self.runs(item.first, item.len, false)?;
        let image = self.image.file();
        // Most files are contiguous.
        Ok(match *runs {
            [Run { at, len }] if at + len <= image.len() => {
                Box::new(Slice::new(Arc::clone(image), at, len, name))
            }
            _ => Box::new(FatFile { fat: self, runs, name, len: item.len }),
        })
    }
}

/// A fragmented file.
#[derive(Debug)]
struct FatFile {
    fat: Arc<Fat>,
    runs: Vec<Run>,
    name: String,
    len: u64,
}

impl RandomAccess for FatFile {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, to: &mut [u8], mut at: u64) -> io::Result<usize> {
        for run in &self.runs {
            if at < run.len {
                let most =
                    usize::try_from(run.len - at).map_or(to.len(), |most| most.min(to.len()));
                let image = self.fat.image.file();
                return match image.read_at(&mut to[..most], run.at + at)? {
                    0 if most > 0 => Err(Failure::new("the image ends within it", DAMAGED).into()),
                    count => Ok(count),
                };
            }
            at -= run.len;
        }
        Ok(0)
    }

    fn is_sequential(&self) -> bool {
        self.fat.image.file().is_sequential()
    }

    fn version(&self) -> String {
        self.fat.image.file().version()
    }
}

#[cfg(test)]
mod tests;
