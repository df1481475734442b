//! Power cuts: a medium that forgets what was not synced, cut at every point.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use vm_memory::VolatileSlice;

use crate::disk::Disk;
use crate::disk::image::Image;
use crate::disk::medium::Medium;
use crate::disk::qcow2::{Access, Header, Qcow2, check};
use crate::making::{Random, noise, run, text};
use crate::testing::Temp;

use super::model::{options, qemu_check, qemu_create};

#[derive(Clone, Debug)]
enum Change {
    Write(u64, Vec<u8>),
    Punch(Range<u64>),
    Sync,
}

/// An image in memory, and all that was done to it.
#[derive(Clone, Debug, Default)]
struct Recorded(Arc<Mutex<(Vec<u8>, Vec<Change>)>>);

impl Recorded {
    fn changes(&self) -> usize {
        self.0.lock().unwrap().1.len()
    }
}

fn apply(bytes: &mut Vec<u8>, at: u64, data: &[u8]) {
    let at = usize::try_from(at).unwrap();
    bytes.resize(bytes.len().max(at + data.len()), 0);
    bytes[at..at + data.len()].copy_from_slice(data);
}

impl Medium for Recorded {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().unwrap().0.len() as u64)
    }

    fn read(&self, to: &[VolatileSlice<'_>], offset: u64) -> io::Result<usize> {
        let state = self.0.lock().unwrap();
        let mut rest = state.0.get(usize::try_from(offset).unwrap()..).unwrap_or_default();
        let mut done = 0;
        for slice in to {
            let count = slice.len().min(rest.len());
            slice.copy_from(&rest[..count]);
            rest = &rest[count..];
            done += count;
        }
        Ok(done)
    }

    fn write(&self, from: &[VolatileSlice<'_>], offset: u64) -> io::Result<()> {
        let mut state = self.0.lock().unwrap();
        let mut data = vec![0; from.iter().map(VolatileSlice::len).sum()];
        let mut at = 0;
        for slice in from {
            at += slice.copy_to(&mut data[at..]);
        }
        apply(&mut state.0, offset, &data);
        state.1.push(Change::Write(offset, data));
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.0.lock().unwrap().1.push(Change::Sync);
        Ok(())
    }

    fn grows(&self) -> bool {
        true
    }

    fn zero(&self, range: &Range<u64>) -> io::Result<()> {
        let mut zeros = vec![0; usize::try_from(range.end - range.start).unwrap()];
        self.write(&[VolatileSlice::from(&mut zeros[..])], range.start)
    }

    fn punch(&self, range: &Range<u64>) -> io::Result<bool> {
        let mut state = self.0.lock().unwrap();
        let end = state.0.len().min(usize::try_from(range.end).unwrap());
        state.0[usize::try_from(range.start).unwrap()..end].fill(0);
        state.1.push(Change::Punch(range.clone()));
        Ok(true)
    }
}

/// What is on the medium after a power cut before change `cut`: what was synced, and any sectors of
/// what was not.
fn after_cut(start: &[u8], changes: &[Change], cut: usize, random: &mut Random) -> Vec<u8> {
    let synced = changes[..cut].iter().rposition(|change| matches!(change, Change::Sync));
    let mut bytes = start.to_vec();
    // Everything, nothing, or some of it.
    let odds = random.below(4);
    for (number, change) in changes[..cut].iter().enumerate() {
        let is_durable = synced.is_some_and(|synced| number < synced);
        let mut is_kept = || is_durable || odds == 3 || odds > 0 && random.below(2) == 0;
        match change {
            Change::Write(at, data) => {
                let first = 512 - usize::try_from(*at % 512).unwrap();
                let mut at = *at;
                let (head, rest) = data.split_at(first.min(data.len()));
                for sector in std::iter::once(head).chain(rest.chunks(512)) {
                    if is_kept() {
                        apply(&mut bytes, at, sector);
                    }
                    at += sector.len() as u64;
                }
            }
            Change::Punch(range) => {
                let end = usize::try_from(range.end).unwrap().min(bytes.len());
                if is_kept() {
                    bytes[usize::try_from(range.start).unwrap().min(end)..end].fill(0);
                }
            }
            Change::Sync => {}
        }
    }
    bytes
}

fn opened(medium: Recorded, access: Access) -> Qcow2 {
    let path = Path::new("image");
    let header = Header::read(path, &medium).unwrap();
    Qcow2::open(path, Box::new(medium), header, access, None).unwrap()
}

/// The version of each sector: the number in it. 0: never written, or zeros.
fn versions(image: &Qcow2) -> Vec<u64> {
    let mut bytes = vec![0; usize::try_from(image.len()).unwrap()];
    image.read(&[VolatileSlice::from(&mut bytes[..])], 0).unwrap();
    let sectors = bytes.chunks(512);
    sectors
        .map(|sector| {
            let version = u64::from_le_bytes(sector[..8].try_into().unwrap());
            let expected = if version == 0 { vec![0; 512] } else { filled(version) };
            assert!(sector == expected, "a sector of two versions, or of something else");
            version
        })
        .collect()
}

fn filled(version: u64) -> Vec<u8> {
    [&version.to_le_bytes()[..], &noise(version, 504)].concat()
}

/// An image of a disk of which every third sector is filled, with a snapshot.
fn with_snapshot(temp: &Temp, size: u64) -> PathBuf {
    let path = qemu_create(temp, "image", &["-o", "cluster_size=512"], &size.to_string());
    let disk = Disk::open(&path, options(false)).unwrap();
    for sector in (0..size / 512).step_by(3) {
        let mut data = filled(1_000_000 + sector);
        disk.write(&[VolatileSlice::from(&mut data[..])], sector * 512).unwrap();
    }
    disk.flush().unwrap();
    drop(disk);
    run("qemu-img", &["snapshot", "-c", "before", text(&path)]);
    path
}

fn campaign(temp: &Temp, path: &Path, steps: u64, seed: u64) {
    let start = std::fs::read(path).unwrap();
    let medium = Recorded::default();
    medium.0.lock().unwrap().0 = start.clone();
    let image = opened(medium.clone(), Access::ReadWrite { unmap: true });
    let mut random = Random(seed);
    // Of each sector: after how many changes it got which version. And when flushes had ended.
    let mut history: Vec<_> =
        versions(&image).into_iter().map(|version| vec![(0, version)]).collect();
    let sectors = history.len();
    let mut flushed = vec![0];
    for version in 1..=steps {
        let first = random.below(sectors);
        let count = 1 + random.below(20.min(sectors - first));
        let range = first as u64 * 512..(first + count) as u64 * 512;
        let before = medium.changes();
        let kind = random.below(8);
        match kind {
            0..5 => {
                let mut data: Vec<u8> = filled(version).repeat(count);
                image.write(&[VolatileSlice::from(&mut data[..])], range.start).unwrap();
            }
            5 => image.write_zeroes(&range, random.below(2) == 0).unwrap(),
            6 => image.discard(&range).unwrap(),
            _ => {
                image.flush().unwrap();
                flushed.push(medium.changes());
            }
        }
        let new = match kind {
            0..5 => version,
            5 | 6 => 0,
            _ => continue,
        };
        // A discard leaves some sectors: both are right.
        history[first..first + count].iter_mut().for_each(|sector| sector.push((before, new)));
        if kind == 6 {
            let now = versions(&image);
            for (sector, now) in history[first..first + count].iter_mut().zip(&now[first..]) {
                sector.push((before, *now));
            }
        }
    }
    image.flush().unwrap();
    flushed.push(medium.changes());
    let changes = medium.0.lock().unwrap().1.clone();
    // Before a sync most can be lost: those points are tried more than once.
    let tries = |cut: usize| if matches!(changes.get(cut), Some(Change::Sync)) { 6 } else { 1 };
    for cut in (0..=changes.len()).flat_map(|cut| std::iter::repeat_n(cut, tries(cut))) {
        let bytes = after_cut(&start, &changes, cut, &mut random);
        let after = Recorded::default();
        after.0.lock().unwrap().0 = bytes;
        let header = Header::read(Path::new("image"), &after).unwrap();
        let report = check(&after, &header).unwrap();
        assert_eq!(report.corruptions, 0, "cut {cut}: {:?}", report.described);
        if cut % 200 == 0 {
            temp.file("after", &after.0.lock().unwrap().0);
            let qemu = qemu_check(&temp.path().join("after"));
            assert_eq!(qemu, (report.leaks, 0), "cut {cut}");
        }
        let durable = flushed.iter().rfind(|end| **end <= cut).copied().unwrap();
        let there = versions(&opened(after, Access::ReadOnly));
        for (sector, (history, there)) in history.iter().zip(&there).enumerate() {
            // The last version that was flushed, or any later one.
            let first = history.iter().rposition(|(at, _)| *at < durable).unwrap_or(0);
            let is_right = history[first..].iter().any(|(_, version)| version == there)
                || history[..first].iter().any(|(at, version)| {
                    // Several at once: a discard and what it left.
                    *at == history[first].0 && version == there
                });
            assert!(
                is_right,
                "cut {cut}, sector {sector}: {there}, expected {:?}",
                &history[first..]
            );
        }
    }
}

#[test]
fn after_a_power_cut_at_any_point_nothing_that_was_flushed_is_lost() {
    for (seed, (options, size, steps)) in (1..).zip([
        (&["-o", "cluster_size=512"][..], "256k", 120),
        (&["-o", "cluster_size=512,refcount_bits=64"], "128k", 120),
        (&["-o", "cluster_size=2k"], "256k", 120),
        (&["-o", "compat=0.10,cluster_size=1k"], "256k", 80),
    ]) {
        let temp = Temp::new();
        campaign(&temp, &qemu_create(&temp, "image", options, size), steps, seed);
    }
}

#[test]
fn after_a_power_cut_an_image_with_a_snapshot_is_whole() {
    let temp = Temp::new();
    let path = with_snapshot(&temp, 256 << 10);
    campaign(&temp, &path, 100, 5);
}
