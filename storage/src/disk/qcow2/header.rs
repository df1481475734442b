//! The header of an image: what it says is checked here, once. Source: QEMU's
//! docs/interop/qcow2.txt, "Header" and "Header extensions"; limits from block/qcow2.h.

use std::path::Path;

use super::super::error::DiskError;
use super::super::medium::{Medium, read_bytes};
use crate::bytes::{be32, be64};

/// What an image begins with.
const MAGIC: &[u8] = b"QFI\xfb";
/// Bytes of the header of version 2, and of version 3 without optional fields.
const V2_LEN: u32 = 72;
const V3_LEN: usize = 104;
/// log2 of the sizes of clusters that QEMU accepts.
const CLUSTER_BITS: std::ops::RangeInclusive<u32> = 9..=21;
/// Entries of the longest first-level table (`QCOW_MAX_L1_SIZE`).
pub(in super::super) const MAX_L1_ENTRIES: u64 = (32 << 20) / 8;
/// Bytes of the longest refcount table (`QCOW_MAX_REFTABLE_SIZE`).
pub(super) const MAX_REFCOUNT_TABLE: u64 = 8 << 20;
/// Bytes of the longest name of a backing file.
const MAX_BACKING_NAME: u32 = 1023;
/// Header extensions: the end, and the format of the backing file.
const EXTENSION_END: u32 = 0;
const EXTENSION_BACKING_FORMAT: u32 = 0xe279_2aca;

/// Incompatible features.
pub(super) const DIRTY: u64 = 1;
const CORRUPT: u64 = 2;
const DATA_FILE: u64 = 4;
const COMPRESSION_TYPE: u64 = 8;
const EXTENDED_L2: u64 = 16;

/// The most snapshots, as in QEMU (`QCOW_MAX_SNAPSHOTS`, block/qcow2.h), and the bytes of the
/// smallest entry of their table.
const MAX_SNAPSHOTS: u32 = 65536;
const SNAPSHOT_HEADER_LEN: u64 = 40;

/// Where fields are that are changed.
pub(super) const SIZE_AT: u64 = 24;
pub(super) const L1_AT: u64 = 36;
pub(super) const REFCOUNT_TABLE_AT: u64 = 48;
pub(super) const INCOMPATIBLE_AT: u64 = 72;
pub(super) const AUTOCLEAR_AT: u64 = 88;

const DAMAGED: &str = "the image is damaged: is the copy complete?";
const CONVERT: &str = "convert it: qemu-img convert -O qcow2 OLD NEW";

/// What a header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Header {
    /// 2 or 3.
    pub version: u32,
    /// log2 of the bytes of a cluster.
    pub cluster_bits: u32,
    /// Bytes of the disk.
    pub size: u64,
    /// The name of the image that this one is based on.
    pub backing: Option<String>,
    /// The format of that, by QEMU's name.
    pub backing_format: Option<String>,
    /// Entries of the first-level table, and where it is.
    pub l1_entries: u64,
    pub l1_at: u64,
    /// Where the refcount table is, and its bytes.
    pub refcount_table_at: u64,
    pub refcount_table_len: u64,
    /// log2 of the bits of a reference count.
    pub refcount_order: u32,
    /// Whether compressed clusters are zstd, and not deflate.
    pub is_zstd: bool,
    /// Whether reference counts may be too low.
    pub is_dirty: bool,
    /// Whether there are features that a program that does not know them has to switch off.
    pub has_autoclear: bool,
    /// How many internal snapshots there are, and where their table is.
    pub snapshots: u32,
    pub snapshots_at: u64,
}

impl Header {
    /// Reads and checks it.
    ///
    /// # Errors
    /// It cannot be read, is damaged, or needs something that chukka does not know.
    pub fn read(path: &Path, medium: &dyn Medium) -> Result<Self, DiskError> {
        let failed = |source| DiskError::Open { path: path.into(), source };
        let refuse = |problem: String, hint| DiskError::Qcow2 { path: path.into(), problem, hint };
        let file_len = medium.len().map_err(failed)?;
        let mut fixed = [0; V3_LEN + 8];
        read_bytes(medium, &mut fixed, 0).map_err(failed)?;
        if !fixed.starts_with(MAGIC) {
            return Err(DiskError::NotQcow2 { path: path.into() });
        }
        if file_len < u64::from(V2_LEN) {
            return Err(refuse("is cut off in its header".into(), DAMAGED));
        }
        let mut header = Self::fixed(&fixed).map_err(|(problem, hint)| refuse(problem, hint))?;
        let start = if header.version == 2 { V2_LEN } else { be32(&fixed, 100) };
        let limits = header.tables(file_len);
        limits.map_err(|problem| refuse(problem, DAMAGED))?;
        let cluster = usize::try_from(header.cluster()).unwrap_or_default();
        let mut first = vec![0; cluster];
        read_bytes(medium, &mut first, 0).map_err(failed)?;
        header.names(&first, start).map_err(|problem| refuse(problem, DAMAGED))?;
        Ok(header)
    }

    /// The fields at fixed places.
    fn fixed(bytes: &[u8]) -> Result<Self, (String, &'static str)> {
        let version = be32(bytes, 4);
        if !(2..=3).contains(&version) {
            return Err((format!("has version {version}, expected 2 or 3"), CONVERT));
        }
        let cluster_bits = be32(bytes, 20);
        if !CLUSTER_BITS.contains(&cluster_bits) {
            let problem = format!("has clusters of 2^{cluster_bits} bytes, expected 2^9 to 2^21");
            return Err((problem, DAMAGED));
        }
        if be32(bytes, 32) != 0 {
            return Err(("is encrypted, which is not supported".into(), CONVERT));
        }
        let is_v3 = version == 3;
        let v3 = |at| if is_v3 { be64(bytes, at) } else { 0 };
        let features = v3(72);
        let refcount_order = if is_v3 { be32(bytes, 96) } else { 4 };
        let header_len = if is_v3 { be32(bytes, 100) } else { 72 };
        let compression = if header_len > 104 { bytes.get(104).copied().unwrap_or(0) } else { 0 };
        check_features(features, compression)?;
        if refcount_order > 6 {
            let problem =
                format!("has reference counts of 2^{refcount_order} bits, expected 2^0 to 2^6");
            return Err((problem, DAMAGED));
        }
        if is_v3 && (header_len < 104 || u64::from(header_len) > 1 << cluster_bits) {
            return Err((format!("has a header of {header_len} bytes"), DAMAGED));
        }
        Ok(Self {
            version,
            cluster_bits,
            size: be64(bytes, 24),
            backing: None,
            backing_format: None,
            l1_entries: be32(bytes, 36).into(),
            l1_at: be64(bytes, 40),
            refcount_table_at: be64(bytes, 48),
            refcount_table_len: u64::from(be32(bytes, 56)) << cluster_bits,
            refcount_order,
            is_zstd: compression == 1,
            is_dirty: features & DIRTY != 0,
            has_autoclear: v3(88) != 0,
            snapshots: be32(bytes, 60),
            snapshots_at: be64(bytes, 64),
        })
    }

    /// Checks where the tables are.
    fn tables(&self, file_len: u64) -> Result<(), String> {
        let (len, entries) = (self.size, self.l1_entries);
        let is_short = self.size > i64::MAX as u64 || entries < self.l1_needed(len);
        if entries > MAX_L1_ENTRIES || is_short {
            return Err(format!(
                "has {entries} entries in its L1 table, which do not fit a disk of {len} bytes"
            ));
        }
        if self.refcount_table_len > MAX_REFCOUNT_TABLE || self.refcount_table_len == 0 {
            let len = self.refcount_table_len;
            return Err(format!("has a refcount table of {len} bytes, expected up to 8 MiB"));
        }
        if self.snapshots > MAX_SNAPSHOTS {
            let count = self.snapshots;
            return Err(format!("has {count} snapshots, expected up to {MAX_SNAPSHOTS}"));
        }
        let tables = [
            ("L1 table", self.l1_at, entries * 8),
            ("refcount table", self.refcount_table_at, self.refcount_table_len),
            ("snapshot table", self.snapshots_at, u64::from(self.snapshots) * SNAPSHOT_HEADER_LEN),
        ];
        for (what, at, len) in tables {
            let is_inside = at.checked_add(len).is_some_and(|end| end <= file_len);
            if len > 0 && (at == 0 || !self.is_aligned(at) || !is_inside) {
                return Err(format!(
                    "has its {what} at byte {at}, which is unaligned or behind the end"
                ));
            }
        }
        Ok(())
    }

    /// The name and the format of the backing file. `first`: the first cluster; extensions begin at
    /// `at`.
    fn names(&mut self, first: &[u8], at: u32) -> Result<(), String> {
        let index = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
        let (name_at, name_len) = (be64(first, 8), be32(first, 16));
        let text = |bytes: Option<&[u8]>| {
            let bytes = bytes.filter(|bytes| !bytes.contains(&0));
            bytes.and_then(|bytes| str::from_utf8(bytes).ok()).map(str::to_owned)
        };
        let mut end = first.len();
        if name_at != 0 && name_len != 0 {
            let start = index(name_at);
            let bytes = first.get(start..start.saturating_add(index(name_len.into())));
            let name = text(bytes).filter(|_| name_len <= MAX_BACKING_NAME);
            self.backing = Some(name.ok_or("has a backing file without a valid name")?);
            end = start;
        }
        let mut at = index(at.into());
        while at + 8 <= end {
            let (kind, len) = (be32(first, at), index(be32(first, at + 4).into()));
            if kind == EXTENSION_END {
                break;
            }
            let data = first.get(at + 8..(at + 8).saturating_add(len));
            let data =
                data.ok_or("has a header extension that does not end in its first cluster")?;
            if kind == EXTENSION_BACKING_FORMAT && self.backing.is_some() {
                let format = text(Some(data)).ok_or("has a backing file of an unknown format")?;
                self.backing_format = Some(format);
            }
            at += 8 + len.next_multiple_of(8);
        }
        Ok(())
    }

    /// Bytes of a cluster.
    pub fn cluster(&self) -> u64 {
        1 << self.cluster_bits
    }

    /// Bytes from the start of the cluster to byte `at`.
    pub fn within(&self, at: u64) -> u64 {
        at & (self.cluster() - 1)
    }

    pub fn is_aligned(&self, at: u64) -> bool {
        self.within(at) == 0
    }

    /// log2 of the entries of a second-level table.
    pub fn l2_bits(&self) -> u32 {
        self.cluster_bits - 3
    }

    /// Entries of the first-level table of a disk of this many bytes.
    pub fn l1_needed(&self, size: u64) -> u64 {
        size.div_ceil(1 << (self.cluster_bits + self.l2_bits()))
    }
}

fn check_features(features: u64, compression: u8) -> Result<(), (String, &'static str)> {
    let known = DIRTY | CORRUPT | DATA_FILE | COMPRESSION_TYPE | EXTENDED_L2;
    let problem = match features {
        _ if features & !known != 0 => {
            format!("has features that chukka does not know (bits {:#x})", features & !known)
        }
        _ if features & CORRUPT != 0 => {
            let hint = "make a copy, then repair it: qemu-img check -r all IMAGE";
            return Err(("is marked as corrupt".into(), hint));
        }
        _ if features & DATA_FILE != 0 => {
            "has its data in another file, which is not supported".into()
        }
        _ if features & EXTENDED_L2 != 0 => {
            "has extended L2 entries (extended_l2=on), which are not supported".into()
        }
        _ if features & COMPRESSION_TYPE != 0 && compression > 1 => {
            format!("is compressed by method {compression}, expected 0 (zlib) or 1 (zstd)")
        }
        _ => return Ok(()),
    };
    Err((problem, CONVERT))
}
