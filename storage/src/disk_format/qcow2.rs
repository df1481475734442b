//! Disks in QEMU's format, qcow2, as the guest would see them. Source: QEMU's
//! docs/interop/qcow2.txt.
//!
//! This is a reader of our own, because imago requires `unsafe` of anyone who provides the bytes,
//! and write access. Nothing whose length the image determines is held in memory: tables are read
//! on demand, through a page cache.

use std::io::{self, Read};
use std::sync::{Arc, Mutex};

use crate::bytes::{be32, be64};
use crate::file::page_cache::PageCache;
use crate::sync::lock;
use crate::{Failure, FileError, RandomAccess};

/// The magic number.
pub(crate) const MAGIC: &[u8] = b"QFI\xfb";
/// QEMU accepts clusters from 512 bytes to 2 MiB.
const CLUSTER_BITS: std::ops::RangeInclusive<u32> = 9..=21;
/// QEMU's limit for the first-level table: 32 MiB of entries (`QCOW_MAX_L1_SIZE`).
const L1_ENTRIES: u32 = (32 << 20) / 8;
/// The bits of an entry, in either table, with the cluster's offset.
const OFFSET: u64 = 0x00ff_ffff_ffff_fe00;

const CONVERT: &str = "convert it to a standalone image: `qemu-img convert -O qcow2 OLD NEW`";
const DAMAGED: &str = "is the copy complete? `qemu-img check` shows details";

/// Opens the disk in an image.
///
/// # Errors
/// It cannot be read, is damaged, encrypted, or needs another file.
pub(crate) fn open(file: Arc<dyn RandomAccess>) -> Result<Arc<dyn RandomAccess>, FileError> {
    Ok(Arc::new(Qcow2::open(file)?))
}

/// A disk in an image.
#[derive(Debug)]
struct Qcow2 {
    pages: PageCache,
    cluster_bits: u32,
    len: u64,
    l1: u64,
    is_zstd: bool,
    /// The last compressed cluster read, by its entry: sequential readers read more of it.
    inflated: Mutex<Option<(u64, Vec<u8>)>>,
}

/// Where a piece of the disk is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mapping {
    /// Nowhere: it was never written to, or only with zeros.
    Zeros,
    /// At this byte of the image.
    At(u64),
    /// In the compressed cluster with this entry.
    Compressed(u64),
}

impl Qcow2 {
    fn open(file: Arc<dyn RandomAccess>) -> Result<Self, FileError> {
        let name = file.name().to_owned();
        let pages = PageCache::new(file);
        let fail = |source| FileError::Io { name: name.clone(), source };
        let refuse = |problem: String, hint| Err(FileError::failure(&name, problem, hint));
        let mut header = [0; 112];
        let there = usize::try_from(pages.file().len()).map_or(112, |len| len.min(112));
        pages.read_exact_at(&mut header[..there], 0).map_err(fail)?;
        if there < 72 || !header.starts_with(MAGIC) {
            return refuse("it is a truncated qcow2 image".into(), DAMAGED);
        }
        let version = be32(&header, 4);
        if !(2..=3).contains(&version) {
            return refuse(format!("it has version {version}, expected 2 or 3"), CONVERT);
        }
        if version == 2 {
            header[72..].fill(0);
        }
        let cluster_bits = be32(&header, 20);
        if !CLUSTER_BITS.contains(&cluster_bits) {
            let problem = format!("its clusters have 2^{cluster_bits} bytes, expected 2^9 to 2^21");
            return refuse(problem, DAMAGED);
        }
        if let Some(what) = unreadable(&header) {
            return refuse(format!("it {what}"), CONVERT);
        }
        // 8: the header's own length tells whether there is a byte for it (offset 104).
        let is_zstd = match (be64(&header, 72) & 8 != 0, be32(&header, 100) > 104, header[104]) {
            (false, ..) => false,
            (true, true, 1) => true,
            (true, ..) => return refuse("it has an unknown compression type".into(), CONVERT),
        };
        let (len, l1_entries) = (be64(&header, 24), be32(&header, 36));
        // A second-level table is one cluster of 8-byte entries.
        let needed = len.div_ceil(1 << (2 * cluster_bits - 3));
        if l1_entries > L1_ENTRIES || needed > u64::from(l1_entries) {
            let problem =
                format!("{l1_entries} entries in its L1 table do not fit a disk of {len} bytes");
            return refuse(problem, DAMAGED);
        }
        let inflated = Mutex::default();
        Ok(Self { pages, cluster_bits, len, l1: be64(&header, 40), is_zstd, inflated })
    }

    fn cluster(&self) -> u64 {
        1 << self.cluster_bits
    }

    /// Locates the disk's byte `at`.
    fn mapping(&self, at: u64) -> io::Result<Mapping> {
        let l2_bits = self.cluster_bits - 3;
        let cluster = at >> self.cluster_bits;
        let table = self.entry(self.l1, cluster >> l2_bits)? & OFFSET;
        if table == 0 {
            return Ok(Mapping::Zeros);
        }
        let entry = self.entry(table, cluster & ((1 << l2_bits) - 1))?;
        let within = at & (self.cluster() - 1);
        let place = entry & OFFSET;
        if entry & 1 << 62 != 0 {
            return Ok(Mapping::Compressed(entry));
        }
        // Bit 0: reads as zeros, even if a cluster is allocated.
        if entry & 1 != 0 || place == 0 {
            return Ok(Mapping::Zeros);
        }
        if place & (self.cluster() - 1) != 0 || place >= self.pages.file().len() {
            return Err(damaged(format!(
                "a cluster is at byte {place}, which is unaligned or behind the end"
            )));
        }
        Ok(Mapping::At(place + within))
    }

    /// Entry `index` of the table at byte `table`.
    fn entry(&self, table: u64, index: u64) -> io::Result<u64> {
        let mut entry = [0; 8];
        let at = table.checked_add(index * 8).ok_or(io::ErrorKind::UnexpectedEof)?;
        self.pages.read_exact_at(&mut entry, at).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => {
                damaged(format!("a table is at byte {table}, behind the end"))
            }
            _ => error,
        })?;
        Ok(u64::from_be_bytes(entry))
    }

    /// The bytes of the compressed cluster that has this entry.
    fn inflate(&self, entry: u64) -> io::Result<Vec<u8>> {
        let bits = 62 - (self.cluster_bits - 8);
        let at = entry & ((1 << bits) - 1);
        let sectors = (entry & ((1 << 62) - 1)) >> bits;
        let len = (sectors + 1) * 512 - (at & 511);
        // The last cluster may end with the image.
        let len = len.min(self.pages.file().len().saturating_sub(at));
        let wrong = || damaged(format!("the compressed cluster at byte {at} is damaged"));
        let mut packed = vec![0; usize::try_from(len).map_err(|_| wrong())?];
        self.pages.read_exact_at(&mut packed, at)?;
        unpack(&packed, self.is_zstd, self.cluster()).ok_or_else(wrong)
    }

    /// Fills `to`, which must not extend beyond the end of the cluster.
    fn read_compressed(&self, entry: u64, to: &mut [u8], at: u64) -> io::Result<()> {
        let mut inflated = lock(&self.inflated);
        if inflated.as_ref().is_none_or(|(of, _)| *of != entry) {
            *inflated = Some((entry, self.inflate(entry)?));
        }
        let within = usize::try_from(at & (self.cluster() - 1)).unwrap_or(usize::MAX);
        let bytes = inflated.as_ref().and_then(|(_, bytes)| bytes.get(within..)?.get(..to.len()));
        to.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

impl RandomAccess for Qcow2 {
    fn name(&self) -> &str {
        self.pages.file().name()
    }

    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, to: &mut [u8], at: u64) -> io::Result<usize> {
        let rest = self.len.saturating_sub(at).min(to.len() as u64);
        if rest == 0 {
            return Ok(0);
        }
        let place = self.mapping(at)?;
        // On to the end of the cluster, and over those that follow it in the image too.
        let mut count = (self.cluster() - (at & (self.cluster() - 1))).min(rest);
        while count < rest {
            let next = match place {
                Mapping::At(from) => Mapping::At(from + count),
                Mapping::Zeros => Mapping::Zeros,
                Mapping::Compressed(_) => break,
            };
            if self.mapping(at + count)? != next {
                break;
            }
            count = (count + self.cluster()).min(rest);
        }
        let count = usize::try_from(count).map_or(to.len(), |count| count.min(to.len()));
        let to = &mut to[..count];
        match place {
            Mapping::Zeros => to.fill(0),
            Mapping::Compressed(entry) => self.read_compressed(entry, to, at)?,
            Mapping::At(from) => {
                // QEMU reads missing bytes of the last cluster as zeros.
                let there = usize::try_from(self.pages.file().len().saturating_sub(from));
                let (read, zeros) = to.split_at_mut(there.map_or(count, |there| there.min(count)));
                zeros.fill(0);
                self.pages.read_exact_at(read, from)?;
            }
        }
        Ok(count)
    }

    fn is_sequential(&self) -> bool {
        self.pages.file().is_sequential()
    }

    fn version(&self) -> String {
        self.pages.file().version()
    }
}

/// What an image is that needs more than it has, or that QEMU's newer features are in.
fn unreadable(header: &[u8]) -> Option<&'static str> {
    let features = be64(header, 72);
    if be64(header, 8) != 0 {
        return Some("is an overlay; backing files are not supported");
    }
    if be32(header, 32) != 0 {
        return Some("is encrypted, which is not supported");
    }
    match features {
        _ if features & 2 != 0 => Some("is marked as corrupt"),
        _ if features & 4 != 0 => Some("has its data in another file, which is not supported"),
        _ if features & 16 != 0 => {
            Some("has extended L2 entries (`extended_l2`), which are not supported")
        }
        // 1: its reference counts may be wrong, and nobody asks them here. 8: see above.
        _ if features & !(1 | 8) != 0 => Some("has unknown features"),
        _ => None,
    }
}

/// The bytes of a compressed cluster, which has `len` of them. `None`: it is damaged.
pub(crate) fn unpack(packed: &[u8], is_zstd: bool, len: u64) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let unpacked = if is_zstd {
        zstd::Decoder::with_buffer(packed)
            .and_then(|decoder| decoder.take(len).read_to_end(&mut bytes))
    } else {
        flate2::bufread::DeflateDecoder::new(packed).take(len).read_to_end(&mut bytes)
    };
    unpacked.is_ok_and(|count| count as u64 == len).then_some(bytes)
}

fn damaged(problem: String) -> io::Error {
    Failure::new(problem, DAMAGED).into()
}

#[cfg(test)]
mod tests;
