//! qcow2 images, version 2 and 3, for reading and writing. Source: QEMU's docs/interop/qcow2.txt.
//!
//! Not here: encryption, external data files, extended L2 entries. They are refused by name.
//!
//! Data is written at once; tables are changed in memory, and written by the next flush, or when
//! many have changed ([`metadata`]). So a process that is killed loses what was written to new
//! clusters since the last flush, as in QEMU, and nothing else.

mod check;
mod create;
mod header;
mod metadata;
mod refcounts;
mod table_io;
mod tables;

use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use vm_memory::VolatileSlice;

use super::SECTOR;
use super::buffers::{Remaining, byte_count, zero_from};
use super::error::DiskError;
use super::image::Image;
use super::lock::Lock;
use super::medium::{Medium, read_bytes};
use crate::Failure;
use crate::disk_format::qcow2::unpack;
pub use check::CheckReport;
pub(super) use check::check;
pub(super) use create::{create_empty, largest, largest_new};
pub(super) use header::Header;
use metadata::{COPIED, Mapping, Metadata, Place, ZERO, compressed};

/// How many bytes of new clusters are written at once.
const MAX_NEW: u64 = 4 << 20;

/// What an image is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    ReadOnly,
    ReadWrite { unmap: bool },
}

/// The image that another one is based on.
#[derive(Debug)]
pub(super) struct Backing {
    pub image: Box<dyn Image>,
    /// Other processes do not write to it.
    pub _lock: Result<Lock, io::Error>,
}

/// A qcow2 image.
#[derive(Debug)]
pub(super) struct Qcow2 {
    medium: Box<dyn Medium>,
    backing: Option<Backing>,
    /// Bytes for the guest.
    len: u64,
    cluster: u64,
    has_zero_clusters: bool,
    state: Mutex<State>,
}

/// What changes. It is locked for a whole request: a cluster that a request uses cannot become free
/// meanwhile.
#[derive(Debug)]
struct State {
    metadata: Metadata,
    /// The last compressed cluster read, by its entry: sequential readers read more of it.
    unpacked: Option<(u64, Vec<u8>)>,
}

impl Qcow2 {
    /// An image with this header.
    ///
    /// # Errors
    /// It cannot be read, or is too damaged to be written to.
    pub fn open(
        path: &Path,
        medium: Box<dyn Medium>,
        header: Header,
        access: Access,
        backing: Option<Backing>,
    ) -> Result<Self, DiskError> {
        let failed = |source| DiskError::Open { path: path.into(), source };
        let len = header.size.next_multiple_of(SECTOR);
        let (cluster, has_zero_clusters) = (header.cluster(), header.version >= 3);
        let unmap = access == Access::ReadWrite { unmap: true };
        let mut metadata = Metadata::read(&*medium, header, unmap).map_err(failed)?;
        if access != Access::ReadOnly {
            metadata.claim(&*medium).map_err(failed)?;
            if metadata.header.is_dirty {
                check::repair(path, &*medium, &mut metadata)?;
            }
        }
        let state = Mutex::new(State { metadata, unpacked: None });
        Ok(Self { medium, backing, len, cluster, has_zero_clusters, state })
    }

    /// Makes the disk larger. The new part is zeros. The caller has checked that `size` is not too
    /// large, and that the backing file ends before the disk does.
    ///
    /// # Errors
    /// As of [`Medium::write`].
    pub fn resize(&self, size: u64) -> io::Result<()> {
        create::resize(self.medium(), &mut self.state().metadata, size)
    }

    /// Bytes of the image that this one is based on; 0: there is none.
    pub fn backing_len(&self) -> u64 {
        self.backing.as_ref().map_or(0, |backing| backing.image.len())
    }

    fn medium(&self) -> &dyn Medium {
        &*self.medium
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The end of the cluster that byte `at` is in.
    fn cluster_end(&self, at: u64) -> u64 {
        self.cluster_start(at).saturating_add(self.cluster)
    }

    fn cluster_start(&self, at: u64) -> u64 {
        at & !(self.cluster - 1)
    }

    /// Where the bytes from `range.start` on are, and up to where that holds: as much of `range` as
    /// is in one place.
    fn run(&self, state: &mut State, range: &Range<u64>) -> io::Result<(Mapping, u64)> {
        let medium = self.medium();
        let number = |at: u64| at / self.cluster;
        let first = state.metadata.mapping(medium, number(range.start))?;
        let mut end = self.cluster_end(range.start);
        while end < range.end {
            let next = state.metadata.mapping(medium, number(end))?;
            let distance = end - self.cluster_start(range.start);
            let follows = match (first, next) {
                (Mapping::Hole, Mapping::Hole) | (Mapping::Zeros(_), Mapping::Zeros(_)) => true,
                (Mapping::Data { at, is_own }, next) => {
                    next == Mapping::Data { at: at.saturating_add(distance), is_own }
                }
                _ => false,
            };
            if !follows {
                break;
            }
            end += self.cluster;
        }
        Ok((first, end.min(range.end)))
    }

    fn read_from(
        &self,
        state: &mut State,
        to: &[VolatileSlice<'_>],
        offset: u64,
    ) -> io::Result<()> {
        let (mut at, end) = (offset, offset + byte_count(to) as u64);
        let mut rest = Remaining::new(to);
        while at < end {
            let (mapping, next) = self.run(state, &(at..end))?;
            let part = rest.next_bytes(next - at)?;
            let within = at - self.cluster_start(at);
            match mapping {
                Mapping::Zeros(_) => zero_from(&part, 0),
                Mapping::Hole => self.read_backing(&part, at)?,
                Mapping::Compressed(entry) => {
                    let start = usize::try_from(within).map_err(io::Error::other)?;
                    let bytes = self.unpack(state, entry)?;
                    let mut bytes = bytes.get(start..).unwrap_or_default();
                    for slice in &part {
                        slice.copy_from(bytes);
                        bytes = bytes.get(slice.len()..).unwrap_or_default();
                    }
                }
                Mapping::Data { at: place, .. } => {
                    let done = self.medium.read(&part, place + within)?;
                    if done < byte_count(&part) {
                        // The last cluster may end with the file, unless that was cut off.
                        self.medium.len()?;
                        zero_from(&part, done);
                    }
                }
            }
            at = next;
        }
        Ok(())
    }

    /// Reads what the image does not have. A backing file may be shorter than the image.
    fn read_backing(&self, to: &[VolatileSlice<'_>], at: u64) -> io::Result<()> {
        let Some(backing) = &self.backing else {
            zero_from(to, 0);
            return Ok(());
        };
        let there = backing.image.len().saturating_sub(at).min(byte_count(to) as u64);
        if there > 0 {
            backing.image.read(&Remaining::new(to).next_bytes(there)?, at)?;
        }
        zero_from(to, usize::try_from(there).map_err(io::Error::other)?);
        Ok(())
    }

    /// The bytes of the compressed cluster that has this entry.
    fn unpack<'a>(&self, state: &'a mut State, entry: u64) -> io::Result<&'a [u8]> {
        let is_there = state.unpacked.as_ref().is_some_and(|(of, _)| *of == entry);
        if !is_there {
            let header = &state.metadata.header;
            let (at, len) = compressed(header, entry);
            let mut packed = vec![0; usize::try_from(len).map_err(io::Error::other)?];
            read_bytes(self.medium(), &mut packed, at)?;
            let bytes = unpack(&packed, header.is_zstd, self.cluster);
            let bytes = bytes.ok_or_else(|| {
                damaged(format!("the compressed cluster at byte {at} is damaged"))
            })?;
            state.unpacked = Some((entry, bytes));
        }
        Ok(state.unpacked.as_ref().map(|(_, bytes)| &**bytes).unwrap_or_default())
    }

    fn write_to(
        &self,
        state: &mut State,
        from: &[VolatileSlice<'_>],
        offset: u64,
    ) -> io::Result<()> {
        let (mut at, end) = (offset, offset + byte_count(from) as u64);
        let mut rest = Remaining::new(from);
        while at < end {
            let (mapping, next) = self.run(state, &(at..end))?;
            if let Mapping::Data { at: place, is_own: true } = mapping {
                let part = rest.next_bytes(next - at)?;
                self.medium.write(&part, place + (at - self.cluster_start(at)))?;
                at = next;
                continue;
            }
            // A run may need new clusters in several places. Those written first do not change the
            // mapping of the others, so the run is not searched again.
            while at < next {
                state.metadata.make_room(self.medium())?;
                let most = next.min(self.cluster_start(at).saturating_add(MAX_NEW));
                at = self.write_new(state, &mut rest, at..most)?;
            }
        }
        Ok(())
    }

    /// Writes what comes next in `from` to new clusters for `range`: as many as are next to each
    /// other. Returns where they end.
    fn write_new(
        &self,
        state: &mut State,
        from: &mut Remaining<'_, '_>,
        range: Range<u64>,
    ) -> io::Result<u64> {
        let medium = self.medium();
        let first = self.cluster_start(range.start);
        let place = self.place_for(state, first)?;
        let mut places = vec![place];
        let mut end = self.cluster_end(range.start);
        while end < range.end {
            let next = self.place_for(state, end)?;
            if next.at != place.at + (end - first) || next.is_fresh != place.is_fresh {
                self.give_back(state, &[next])?;
                break;
            }
            places.push(next);
            end += self.cluster;
        }
        let data = range.start..range.end.min(end);
        let written = self.fill(state, from, &data, first..end, place);
        if let Err(error) = written {
            self.give_back(state, &places)?;
            return Err(error);
        }
        let mut clusters = (first / self.cluster..).zip(&places);
        while let Some((cluster, place)) = clusters.next() {
            if let Err(error) = state.metadata.set_entry(medium, cluster, place.at | COPIED) {
                let rest: Vec<_> = clusters.map(|(_, place)| *place).chain([*place]).collect();
                self.give_back(state, &rest)?;
                return Err(error);
            }
        }
        Ok(data.end)
    }

    /// A place for the cluster of the disk that begins at byte `start`: that which it has already
    /// but does not show, or a new one.
    fn place_for(&self, state: &mut State, start: u64) -> io::Result<Place> {
        match state.metadata.mapping(self.medium(), start / self.cluster)? {
            Mapping::Zeros(Some(at)) => Ok(Place { at, is_fresh: false, is_new: false }),
            _ => state.metadata.allocate(self.medium()),
        }
    }

    fn give_back(&self, state: &mut State, places: &[Place]) -> io::Result<()> {
        for place in places.iter().filter(|place| place.is_new) {
            state.metadata.give_back(self.medium(), place.at)?;
        }
        Ok(())
    }

    /// Writes what comes next in `from` to the part `data` of the clusters `whole` at `place`, and
    /// around it what was there before.
    fn fill(
        &self,
        state: &mut State,
        from: &mut Remaining<'_, '_>,
        data: &Range<u64>,
        whole: Range<u64>,
        place: Place,
    ) -> io::Result<()> {
        let mut head = self.old(state, whole.start..data.start, place)?;
        let mut tail = self.old(state, data.end..whole.end, place)?;
        let start = data.start - head.len() as u64;
        let part = from.next_bytes(data.end - data.start)?;
        let mut all = vec![VolatileSlice::from(&mut head[..])];
        all.extend(part);
        all.push(VolatileSlice::from(&mut tail[..]));
        self.medium.write(&all, place.at + (start - whole.start))
    }

    /// What the disk has in `range`, which is within a cluster; nothing where a new place has the
    /// same zeros.
    fn old(&self, state: &mut State, range: Range<u64>, place: Place) -> io::Result<Vec<u8>> {
        if range.is_empty() || place.is_fresh && self.is_zero(state, range.start)? {
            return Ok(Vec::new());
        }
        let len = usize::try_from(range.end - range.start).map_err(io::Error::other)?;
        let mut bytes = vec![0; len];
        self.read_from(state, &[VolatileSlice::from(&mut bytes[..])], range.start)?;
        Ok(bytes)
    }

    /// Whether the cluster that byte `at` is in is known to be zeros.
    fn is_zero(&self, state: &mut State, at: u64) -> io::Result<bool> {
        Ok(match state.metadata.mapping(self.medium(), at / self.cluster)? {
            Mapping::Zeros(_) => true,
            Mapping::Hole => self.backing.is_none(),
            Mapping::Data { .. } | Mapping::Compressed(_) => false,
        })
    }

    /// The clusters that are wholly in `range`. The last one of the disk may be shorter.
    fn whole_clusters(&self, range: &Range<u64>) -> Range<u64> {
        let end = match range.end >= self.len {
            true => range.end.div_ceil(self.cluster),
            false => range.end / self.cluster,
        };
        range.start.div_ceil(self.cluster)..end
    }

    /// Does `change` to each of `clusters`, which may fill second-level tables.
    fn each_cluster(
        &self,
        state: &mut State,
        clusters: Range<u64>,
        mut change: impl FnMut(&mut State, u64) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut cluster = clusters.start;
        while cluster < clusters.end {
            if self.backing.is_none() {
                let skipped = state.metadata.without_table(cluster)?;
                if skipped > 0 {
                    cluster += skipped;
                    continue;
                }
            }
            state.metadata.make_room(self.medium())?;
            change(state, cluster)?;
            cluster += 1;
        }
        Ok(())
    }

    /// Has a whole cluster read as zeros. `keep`: it keeps its place. Without zero clusters it is
    /// written.
    fn zero_cluster(&self, state: &mut State, cluster: u64, keep: bool) -> io::Result<()> {
        let mapping = state.metadata.mapping(self.medium(), cluster)?;
        let entry = match mapping {
            Mapping::Zeros(None) => return Ok(()),
            Mapping::Zeros(Some(_)) if keep => return Ok(()),
            Mapping::Hole if self.backing.is_none() => return Ok(()),
            _ if !self.has_zero_clusters && (keep || self.backing.is_some()) => {
                let start = cluster * self.cluster;
                return self.write_zeros(state, &(start..(start + self.cluster).min(self.len)));
            }
            Mapping::Data { at, is_own: true } if keep => at | COPIED | ZERO,
            _ if self.backing.is_none() => 0,
            _ => ZERO,
        };
        state.metadata.set_entry(self.medium(), cluster, entry)
    }

    fn write_zeros(&self, state: &mut State, range: &Range<u64>) -> io::Result<()> {
        let len = usize::try_from(range.end - range.start).map_err(io::Error::other)?;
        let mut zeros = vec![0; len];
        self.write_to(state, &[VolatileSlice::from(&mut zeros[..])], range.start)
    }
}

impl Image for Qcow2 {
    fn len(&self) -> u64 {
        self.len
    }

    fn read(&self, to: &[VolatileSlice<'_>], offset: u64) -> io::Result<()> {
        self.read_from(&mut self.state(), to, offset)
    }

    fn write(&self, from: &[VolatileSlice<'_>], offset: u64) -> io::Result<()> {
        self.write_to(&mut self.state(), from, offset)
    }

    fn flush(&self) -> io::Result<()> {
        self.state().metadata.commit(self.medium())
    }

    fn discard(&self, range: &Range<u64>) -> io::Result<()> {
        let mut state = self.state();
        self.each_cluster(&mut state, self.whole_clusters(range), |state, cluster| {
            match self.has_zero_clusters || self.backing.is_none() {
                true => self.zero_cluster(state, cluster, false),
                false => Ok(()),
            }
        })
    }

    fn write_zeroes(&self, range: &Range<u64>, may_unmap: bool) -> io::Result<()> {
        let mut state = self.state();
        let whole = self.whole_clusters(range);
        let edges = match whole.is_empty() {
            true => [range.start..range.start, range.clone()],
            false => [
                range.start..whole.start * self.cluster,
                (whole.end * self.cluster).min(range.end)..range.end,
            ],
        };
        for edge in edges {
            // Without a whole cluster, the range can be in two.
            let mut at = edge.start;
            while at < edge.end {
                let end = self.cluster_end(at).min(edge.end);
                if !self.is_zero(&mut state, at)? {
                    self.write_zeros(&mut state, &(at..end))?;
                }
                at = end;
            }
        }
        self.each_cluster(&mut state, whole, |state, cluster| {
            self.zero_cluster(state, cluster, !may_unmap)
        })
    }
}

fn damaged(problem: String) -> io::Error {
    Failure::new(problem, "chukka disk check shows details").into()
}

#[cfg(test)]
mod tests;
