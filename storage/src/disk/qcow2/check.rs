//! Whether the tables of an image agree: how often each cluster is used, and how often its
//! reference count says so. Finds what `qemu-img check` finds (block/qcow2-refcount.c,
//! `calculate_refcounts`, `check_refcounts_l2`, `check_oflag_copied`).

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::Path;

use super::super::error::DiskError;
use super::super::medium::{Medium, read_bytes};
use super::damaged;
use super::header::{Header, MAX_L1_ENTRIES};
use super::metadata::{COMPRESSED, COPIED, Metadata, OFFSET, ZERO, compressed};
use super::refcounts::Refcounts;
use super::table_io::read_table;
use crate::bytes::{be16, be32, be64};

/// Reserved bits of entries.
const L1_RESERVED: u64 = 0x7f00_0000_0000_01ff;
const L2_RESERVED: u64 = 0x3f00_0000_0000_01fe;
/// How many problems are described; all are counted.
const MAX_DESCRIBED: usize = 20;
/// Clusters whose uses are counted together, and how many such groups there can be: half a GiB.
const GROUP: usize = 512;
const MAX_GROUPS: usize = 1 << 18;
/// Entries of first-level tables of all snapshots together, and bytes of their list.
const MAX_SNAPSHOT_ENTRIES: u64 = 4 * MAX_L1_ENTRIES;
const MAX_SNAPSHOT_LIST: u64 = 64 << 20;

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckReport {
    /// Clusters that are counted more often than they are used: their space is lost, their content
    /// is not.
    pub leaks: u64,
    /// Contradictions by which data may be lost.
    pub corruptions: u64,
    /// Clusters of the disk that have a place in the image.
    pub allocated: u64,
    /// Those of them that are compressed.
    pub compressed: u64,
    /// What the first corruptions are.
    pub described: Vec<String>,
}

impl CheckReport {
    fn corrupt(&mut self, what: impl FnOnce() -> String) {
        self.corruptions += 1;
        if self.described.len() < MAX_DESCRIBED {
            self.described.push(what());
        }
    }
}

/// Counts how often clusters are used.
#[derive(Debug)]
struct Uses {
    groups: HashMap<u64, Box<[u32; GROUP]>>,
    cluster_bits: u32,
    /// Clusters of the file, the last one perhaps not whole.
    clusters: u64,
}

impl Uses {
    fn add(&mut self, at: u64, len: u64, times: u32, report: &mut CheckReport) -> io::Result<()> {
        if len == 0 {
            return Ok(());
        }
        let last = at.saturating_add(len - 1) >> self.cluster_bits;
        if last >= self.clusters {
            report.corrupt(|| format!("a reference to byte {at}, which is behind the end"));
            return Ok(());
        }
        for cluster in at >> self.cluster_bits..=last {
            let (group, within) = split(cluster);
            if !self.groups.contains_key(&group) && self.groups.len() >= MAX_GROUPS {
                return Err(damaged("uses too many clusters to be checked".into()));
            }
            let group = self.groups.entry(group).or_insert_with(|| Box::new([0; GROUP]));
            if let Some(count) = group.get_mut(within) {
                *count = count.saturating_add(times);
            }
        }
        Ok(())
    }

    fn of(&self, cluster: u64) -> u64 {
        let (group, within) = split(cluster);
        let count = self.groups.get(&group).and_then(|group| group.get(within));
        count.copied().unwrap_or_default().into()
    }
}

fn split(cluster: u64) -> (u64, usize) {
    let group = GROUP as u64;
    (cluster / group, usize::try_from(cluster % group).unwrap_or_default())
}

/// A second-level table: how many first-level tables name it, and the disk's own entry.
#[derive(Clone, Copy, Debug, Default)]
struct Named {
    times: u32,
    own: Option<u64>,
}

/// Checks an image that nobody changes meanwhile.
///
/// # Errors
/// It cannot be read.
pub(in super::super) fn check(medium: &dyn Medium, header: &Header) -> io::Result<CheckReport> {
    let mut refcounts = Refcounts::read(medium, header)?;
    let (report, uses) = examine(medium, header, &mut refcounts)?;
    compare(medium, &mut refcounts, &uses, report)
}

/// Follows all references.
fn examine(
    medium: &dyn Medium,
    header: &Header,
    refcounts: &mut Refcounts,
) -> io::Result<(CheckReport, Uses)> {
    let mut report = CheckReport::default();
    let clusters = medium.len()?.div_ceil(header.cluster());
    let mut uses = Uses { groups: HashMap::new(), cluster_bits: header.cluster_bits, clusters };
    uses.add(0, header.cluster(), 1, &mut report)?;
    let mut tables = BTreeMap::new();
    own_tables(medium, header, &mut uses, &mut report, &mut tables)?;
    snapshot_tables(medium, header, &mut uses, &mut report, &mut tables)?;
    uses.add(header.refcount_table_at, header.refcount_table_len, 1, &mut report)?;
    for at in refcounts.drop_bad_blocks(clusters) {
        report.corrupt(|| format!("a block of reference counts is at byte {at}"));
    }
    for at in refcounts.blocks_at() {
        uses.add(at, header.cluster(), 1, &mut report)?;
    }
    let mut copied = Vec::new();
    for (at, named) in &tables {
        uses.add(*at, header.cluster(), named.times, &mut report)?;
        second_level(medium, header, (*at, *named), &mut uses, &mut report, &mut copied)?;
    }
    // Whether flags are right depends on the counts, which are not right yet in a dirty image.
    for (at, is_own) in copied {
        let cluster = at >> header.cluster_bits;
        let count = match header.is_dirty {
            true => uses.of(cluster),
            false => refcounts.get(medium, cluster)?,
        };
        if (count == 1) != is_own {
            report.corrupt(|| {
                let flag = if is_own { "has" } else { "does not have" };
                format!("the entry of byte {at} {flag} the flag COPIED; its count is {count}")
            });
        }
    }
    Ok((report, uses))
}

fn own_tables(
    medium: &dyn Medium,
    header: &Header,
    uses: &mut Uses,
    report: &mut CheckReport,
    tables: &mut BTreeMap<u64, Named>,
) -> io::Result<()> {
    uses.add(header.l1_at, header.l1_entries * 8, 1, report)?;
    for entry in read_table(medium, header.l1_at, header.l1_entries)? {
        if let Some(at) = first_level(header, entry, uses.clusters, report) {
            let named: &mut Named = tables.entry(at).or_default();
            named.times += 1;
            named.own = Some(entry);
        }
    }
    Ok(())
}

/// Where the second-level table is that a first-level entry names.
fn first_level(
    header: &Header,
    entry: u64,
    clusters: u64,
    report: &mut CheckReport,
) -> Option<u64> {
    let at = entry & OFFSET;
    if entry & L1_RESERVED != 0 {
        report.corrupt(|| format!("the L1 entry {entry:#x} has reserved bits"));
    }
    if at == 0 {
        return None;
    }
    if !header.is_aligned(at) || at >> header.cluster_bits >= clusters {
        report.corrupt(|| {
            format!("an L2 table is at byte {at}, which is unaligned or behind the end")
        });
        return None;
    }
    Some(at)
}

fn snapshot_tables(
    medium: &dyn Medium,
    header: &Header,
    uses: &mut Uses,
    report: &mut CheckReport,
    tables: &mut BTreeMap<u64, Named>,
) -> io::Result<()> {
    let (start, mut at, mut entries) = (header.snapshots_at, header.snapshots_at, 0);
    for _ in 0..header.snapshots {
        let mut bytes = [0; 40];
        at = at.saturating_add(7) & !7;
        read_bytes(medium, &mut bytes, at)?;
        let (l1_at, l1_entries) = (be64(&bytes, 0), u64::from(be32(&bytes, 8)));
        let names = u64::from(be16(&bytes, 12)) + u64::from(be16(&bytes, 14));
        let len = 40 + u64::from(be32(&bytes, 36)) + names;
        at = at.saturating_add(len);
        entries += l1_entries;
        if at.saturating_sub(start) > MAX_SNAPSHOT_LIST
            || entries > MAX_SNAPSHOT_ENTRIES
            || at > medium.len()?
        {
            report.corrupt(|| "the list of snapshots is too long".into());
            return Ok(());
        }
        uses.add(l1_at, l1_entries * 8, 1, report)?;
        for entry in read_table(medium, l1_at, l1_entries)? {
            if let Some(at) = first_level(header, entry, uses.clusters, report) {
                let named: &mut Named = tables.entry(at).or_default();
                named.times += 1;
            }
        }
    }
    uses.add(start, at.saturating_sub(start), 1, report)
}

fn second_level(
    medium: &dyn Medium,
    header: &Header,
    (at, named): (u64, Named),
    uses: &mut Uses,
    report: &mut CheckReport,
    copied: &mut Vec<(u64, bool)>,
) -> io::Result<()> {
    if let Some(own) = named.own {
        copied.push((at, own & COPIED != 0));
    }
    for entry in read_table(medium, at, header.cluster() / 8)? {
        let place = entry & OFFSET;
        if entry & COMPRESSED != 0 {
            if entry & COPIED != 0 {
                report.corrupt(|| format!("the compressed cluster {entry:#x} has the flag COPIED"));
            }
            let (at, len) = compressed(header, entry);
            uses.add(at & !511, len + (at & 511), named.times, report)?;
        } else {
            if entry & L2_RESERVED != 0 {
                report.corrupt(|| format!("the L2 entry {entry:#x} has reserved bits"));
            }
            if place == 0 {
                continue;
            }
            if !header.is_aligned(place) {
                report.corrupt(|| format!("a cluster is at byte {place}, which is unaligned"));
                continue;
            }
            uses.add(place, header.cluster(), named.times, report)?;
            if named.own.is_some() {
                copied.push((place, entry & COPIED != 0));
            }
        }
        if named.own.is_some() {
            report.allocated += u64::from(entry & ZERO == 0 || entry & COMPRESSED != 0);
            report.compressed += u64::from(entry & COMPRESSED != 0);
        }
    }
    Ok(())
}

/// Compares uses and counts.
fn compare(
    medium: &dyn Medium,
    refcounts: &mut Refcounts,
    uses: &Uses,
    mut report: CheckReport,
) -> io::Result<CheckReport> {
    let mut cluster = 0;
    while cluster < uses.clusters {
        let (used, count) = (uses.of(cluster), refcounts.get(medium, cluster)?);
        if count < used {
            report.corrupt(|| {
                format!("cluster {cluster} is used {used} times, its reference count is {count}")
            });
        }
        report.leaks += u64::from(count > used);
        cluster += 1;
        // Ranges without uses and counts may be long where the file has holes.
        if split(cluster).1 == 0 {
            cluster = skip(refcounts, uses, cluster);
        }
    }
    Ok(report)
}

/// The next cluster from `cluster` on, which begins a group, that may have a use or a count.
fn skip(refcounts: &Refcounts, uses: &Uses, mut cluster: u64) -> u64 {
    let group = GROUP as u64;
    while cluster < uses.clusters
        && !uses.groups.contains_key(&(cluster / group))
        && !refcounts.has_block(cluster)
        && !refcounts.has_block(cluster + group - 1)
    {
        cluster += group;
    }
    cluster
}

/// Corrects the reference counts of an image that a program has left before it had written them
/// (`lazy_refcounts`), and has the header say so.
///
/// # Errors
/// More is wrong with it, or it cannot be read or written.
pub(super) fn repair(
    path: &Path,
    medium: &dyn Medium,
    metadata: &mut Metadata,
) -> Result<(), DiskError> {
    let failed = |source| DiskError::Open { path: path.into(), source };
    let header = metadata.header.clone();
    let refcounts = &mut metadata.refcounts;
    let (report, uses) = examine(medium, &header, refcounts).map_err(failed)?;
    if let Some(problem) = report.described.first() {
        return Err(DiskError::Qcow2 {
            path: path.into(),
            problem: format!("was not closed, and cannot be repaired: {problem}"),
            hint: "make a copy, then repair it: qemu-img check -r all IMAGE",
        });
    }
    let mut correct = || {
        let mut cluster = 0;
        while cluster < uses.clusters {
            let used = uses.of(cluster);
            if refcounts.get(medium, cluster)? != used {
                refcounts.set(medium, cluster, used)?;
                if refcounts.is_full() {
                    refcounts.write_blocks(medium)?;
                }
            }
            cluster += 1;
            if split(cluster).1 == 0 {
                cluster = skip(refcounts, &uses, cluster);
            }
        }
        refcounts.write_blocks(medium)?;
        medium.sync()
    };
    correct().and_then(|()| metadata.clear_dirty(medium)).map_err(failed)
}
