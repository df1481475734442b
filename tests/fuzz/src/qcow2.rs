//! qcow2 images that are written to: damaged ones give errors, and whole ones hold what was
//! written, and stay whole.
//!
//! An input is a number of operations (u8), those ([`Step`], 4 bytes each), and an image as of
//! [`crate::image`].

use std::io;

use storage::disk::{CacheMode, CheckReport, Disk, DiskFormat, DiskOptions, check};
use vm_memory::VolatileSlice;

use crate::image::{quietly, whole};
use crate::scratch::Scratch;

/// Bytes of the disk that are used.
const MOST: u64 = 1 << 20;
/// Bytes of an image at most.
const MOST_IMAGE: u64 = 4 << 20;

/// What a guest does to the disk: which kind of request, and its sectors.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// 0: write; 1: read; 2: flush; 3: discard; 4 and 5: zeros, keeping the space or not.
    pub kind: u8,
    /// The first sector.
    pub sector: u16,
    /// How many sectors.
    pub count: u8,
}

/// How far an input came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reached {
    /// The image is one, and could be opened for writing.
    pub opened: bool,
    /// Nothing was wrong with it.
    pub whole: bool,
}

/// An input.
pub fn input(steps: &[Step], image: &[u8]) -> Vec<u8> {
    let mut bytes = vec![steps.len() as u8];
    for step in steps {
        let [low, high] = step.sector.to_le_bytes();
        bytes.extend([step.kind, low, high, step.count]);
    }
    bytes.extend(crate::image::packed(image));
    bytes
}

/// Does what the input says.
///
/// # Panics
/// A whole image has lost something, or is damaged afterwards.
pub fn run(bytes: &[u8]) -> Reached {
    quietly(|| run_once(bytes).unwrap_or_default())
}

fn run_once(bytes: &[u8]) -> io::Result<Reached> {
    let Some((count, rest)) = bytes.split_first() else { return Ok(Reached::default()) };
    let (steps, image) = rest.split_at((usize::from(*count) * 4).min(rest.len()));
    let file = Scratch::new()?;
    file.fill(&whole(image, MOST_IMAGE), 0)?;
    let path = file.path();
    let checked = || check(&path, Some(DiskFormat::Qcow2)).ok().flatten();
    let is_whole = checked().is_some_and(|report| report.corruptions == 0);
    let options = DiskOptions {
        unmap: true,
        cache: CacheMode::Unsafe,
        format: Some(DiskFormat::Qcow2),
        ..DiskOptions::default()
    };
    let disk = match Disk::open(&path, options) {
        Ok(disk) => disk,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return Ok(Reached::default());
        }
    };
    let reached = Reached { opened: true, whole: is_whole };
    let used = disk.len().min(MOST);
    // Compressed data may be damaged though all tables are right.
    let Ok(mut model) = read(&disk, 0, used) else {
        steps.as_chunks().0.iter().for_each(|step| drop(apply(&disk, used, *step, None)));
        return Ok(Reached { whole: false, ..reached });
    };
    for step in steps.as_chunks().0 {
        let done = apply(&disk, used, *step, is_whole.then_some(&mut model));
        assert!(done.is_ok() || !is_whole, "{step:?}: {done:?}");
    }
    let flushed = disk.flush();
    if is_whole {
        flushed?;
        assert!(read(&disk, 0, used)? == model, "the disk has something else");
        drop(disk);
        let report = checked();
        let is_right = report.as_ref().is_some_and(|report: &CheckReport| report.corruptions == 0);
        assert!(is_right, "{report:?}");
    }
    Ok(reached)
}

fn read(disk: &Disk, at: u64, len: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; len as usize];
    disk.read(&[VolatileSlice::from(&mut bytes[..])], at)?;
    Ok(bytes)
}

fn apply(disk: &Disk, used: u64, step: [u8; 4], model: Option<&mut Vec<u8>>) -> io::Result<()> {
    let [kind, low, high, count] = step;
    let start = u64::from(u16::from_le_bytes([low, high])) * 512 % used;
    let end = (start + (u64::from(count) + 1) * 512).min(used);
    let mut bytes = vec![count ^ low | 1; (end - start) as usize];
    match kind % 6 {
        0 => disk.write(&[VolatileSlice::from(&mut bytes[..])], start)?,
        1 => bytes = read(disk, start, end - start)?,
        2 => {
            disk.flush()?;
            return Ok(());
        }
        3 => {
            disk.discard(start..end)?;
            bytes = read(disk, start, end - start)?;
        }
        kind => {
            disk.write_zeroes(start..end, kind == 4)?;
            bytes.fill(0);
        }
    }
    if let Some(model) = model {
        let there = &mut model[start as usize..end as usize];
        assert!(kind % 6 != 1 || *there == bytes, "{step:?} reads something else");
        there.copy_from_slice(&bytes);
    }
    Ok(())
}
