//! Random requests, against the bytes that the disk should have.

use std::ops::Range;
use std::path::{Path, PathBuf};

use vm_memory::VolatileSlice;

use crate::disk::{CacheMode, Disk, DiskFormat, DiskOptions, check};
use crate::making::{Random, noise, run, text};
use crate::testing::Temp;

/// A disk and the bytes that it should have.
pub(super) struct Model {
    pub disk: Disk,
    pub bytes: Vec<u8>,
    pub random: Random,
}

impl Model {
    fn range(&mut self, longest: usize) -> Range<usize> {
        let sectors = self.bytes.len() / 512;
        let start = self.random.below(sectors);
        let count = 1 + self.random.below((longest / 512).min(sectors - start));
        start * 512..(start + count) * 512
    }

    /// Does something that the guest could do.
    pub fn step(&mut self, longest: usize) {
        let range = self.range(longest);
        let (start, end) = (range.start as u64, range.end as u64);
        match self.random.below(16) {
            0..7 => {
                let mut data = noise(self.random.next(), range.len());
                let at = self.random.below(data.len() + 1);
                self.bytes[range].copy_from_slice(&data);
                let (first, second) = data.split_at_mut(at);
                let slices = [VolatileSlice::from(first), VolatileSlice::from(second)];
                self.disk.write(&slices, start).unwrap();
            }
            7..11 => self.compare(range),
            11 | 12 => {
                self.disk.write_zeroes(start..end, self.random.below(2) == 0).unwrap();
                self.bytes[range].fill(0);
            }
            13 | 14 => {
                self.disk.discard(start..end).unwrap();
                // Clusters that are wholly in the range are zeros now, the rest is as it was.
                let there = self.read(range.clone());
                for (now, was) in there.chunks(512).zip(self.bytes[range.clone()].chunks(512)) {
                    assert!(now == was || now.iter().all(|byte| *byte == 0));
                }
                self.bytes[range].copy_from_slice(&there);
            }
            _ => self.disk.flush().unwrap(),
        }
    }

    fn read(&self, range: Range<usize>) -> Vec<u8> {
        let mut there = vec![0xee; range.len()];
        self.disk.read(&[VolatileSlice::from(&mut there[..])], range.start as u64).unwrap();
        there
    }

    fn compare(&self, range: Range<usize>) {
        assert!(self.read(range.clone()) == self.bytes[range.clone()], "{range:?}");
    }
}

pub(super) fn options(read_only: bool) -> DiskOptions {
    let format = Some(DiskFormat::Qcow2);
    // Durability is the subject of other tests.
    let cache = CacheMode::Unsafe;
    DiskOptions { read_only, unmap: true, cache, format, ..DiskOptions::default() }
}

/// What `qemu-img check` says: leaks and corruptions.
pub(super) fn qemu_check(path: &Path) -> (u64, u64) {
    let mut command = std::process::Command::new("/usr/bin/qemu-img");
    let output = command.args(["check", "-f", "qcow2", "--output=json", text(path)]).output();
    let output = output.unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let number = |key: &str| {
        let line = said.lines().find(|line| line.contains(&format!("\"{key}\":")));
        let value = line.and_then(|line| line.split(':').nth(1));
        value.map_or(0, |value| value.trim().trim_end_matches(',').parse().unwrap())
    };
    assert!(said.contains("check-errors"), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(number("check-errors"), 0, "{said}");
    (number("leaks"), number("corruptions"))
}

/// Both checks find nothing, and QEMU reads the same bytes.
pub(super) fn assert_clean(path: &Path, bytes: &[u8], temp: &Temp) {
    let report = check(path, Some(DiskFormat::Qcow2)).unwrap().unwrap();
    assert_eq!((report.leaks, report.corruptions), (0, 0), "{:?}", report.described);
    assert_eq!(qemu_check(path), (0, 0));
    temp.file("expected", bytes);
    let expected = temp.path().join("expected");
    let (image, expected) = (text(path), text(&expected));
    run("qemu-img", &["compare", "-f", "qcow2", "-F", "raw", image, expected]);
}

pub(super) fn qemu_create(temp: &Temp, name: &str, options: &[&str], size: &str) -> PathBuf {
    let path = temp.path().join(name);
    run("qemu-img", &[&["create", "-q", "-f", "qcow2"], options, &[text(&path), size]].concat());
    path
}

fn campaign(path: &Path, bytes: Vec<u8>, steps: usize, longest: usize, temp: &Temp, seed: u64) {
    let disk = Disk::open(path, options(false)).unwrap();
    assert_eq!(disk.len(), bytes.len() as u64);
    let mut model = Model { disk, bytes, random: Random(seed) };
    for _ in 0..steps {
        model.step(longest);
    }
    let whole = 0..model.bytes.len();
    model.compare(whole);
    model.disk.flush().unwrap();
    let Model { disk, bytes, .. } = model;
    drop(disk);
    assert_clean(path, &bytes, temp);
}

#[test]
fn random_requests_leave_a_clean_image_with_the_right_bytes() {
    for (seed, (options, size, longest)) in (1..).zip([
        (&["-o", "cluster_size=512"][..], 3 << 20, 40_000),
        (&["-o", "cluster_size=512,refcount_bits=64"], 2 << 20, 9000),
        (&["-o", "cluster_size=4k,refcount_bits=1"], 4 << 20, 60_000),
        (&["-o", "cluster_size=64k,lazy_refcounts=on"], 9 << 20, 200_000),
        (&["-o", "compat=0.10"], 9 << 20, 200_000),
        (&["-o", "cluster_size=2M"], 20 << 20, 500_000),
        (&["-o", "preallocation=metadata"], 9 << 20, 200_000),
        (&["-o", "preallocation=full"], 5 << 20, 200_000),
    ]) {
        let temp = Temp::new();
        let path = qemu_create(&temp, "image", options, &size.to_string());
        campaign(&path, vec![0; size], 150, longest, &temp, seed);
        // And once more on what that left.
        let disk = Disk::open(&path, self::options(true)).unwrap();
        let mut bytes = vec![0; size];
        disk.read(&[VolatileSlice::from(&mut bytes[..])], 0).unwrap();
        drop(disk);
        campaign(&path, bytes, 60, longest, &temp, seed + 100);
    }
}

#[test]
fn compressed_clusters_and_backing_files_are_copied_on_write() {
    let mut old = noise(3, 3 << 20);
    old[1 << 20..2 << 20].fill(0);
    old[(5 << 19) + 512..].fill(0x55);
    for (seed, options) in [
        &["-c"][..],
        &["-c", "-o", "compression_type=zstd,cluster_size=4k"],
        &["-c", "-o", "compat=0.10,cluster_size=512"],
    ]
    .into_iter()
    .enumerate()
    {
        let temp = Temp::new();
        temp.file("raw", &old);
        let (raw, path) = (temp.path().join("raw"), temp.path().join("image"));
        let mut arguments = vec!["convert", "-f", "raw", "-O", "qcow2"];
        arguments.extend(options);
        arguments.extend([text(&raw), text(&path)]);
        run("qemu-img", &arguments);
        let overlay = qemu_create(&temp, "top", &["-b", "image", "-F", "qcow2"], "4M");
        let v2 = ["-b", "raw", "-F", "raw", "-o", "compat=0.10"];
        let old_overlay = qemu_create(&temp, "old", &v2, "4M");
        let (base, raw_base) = (std::fs::read(&path).unwrap(), old.clone());
        let mut longer = old.clone();
        longer.resize(4 << 20, 0);
        campaign(&overlay, longer.clone(), 150, 200_000, &temp, seed as u64);
        campaign(&old_overlay, longer, 150, 200_000, &temp, seed as u64);
        assert!(std::fs::read(&path).unwrap() == base, "the backing file has changed");
        assert!(std::fs::read(&raw).unwrap() == raw_base, "the backing file has changed");
        campaign(&path, old.clone(), 150, 200_000, &temp, seed as u64);
    }
}

#[test]
fn internal_snapshots_keep_their_bytes() {
    let temp = Temp::new();
    let path = qemu_create(&temp, "image", &["-o", "cluster_size=4k"], "4M");
    campaign(&path, vec![0; 4 << 20], 100, 100_000, &temp, 1);
    let read = || {
        let disk = Disk::open(&path, options(true)).unwrap();
        let mut bytes = vec![0; 4 << 20];
        disk.read(&[VolatileSlice::from(&mut bytes[..])], 0).unwrap();
        bytes
    };
    let before = read();
    run("qemu-img", &["snapshot", "-c", "before", text(&path)]);
    campaign(&path, before.clone(), 100, 100_000, &temp, 2);
    assert!(read() != before);
    run("qemu-img", &["snapshot", "-a", "before", text(&path)]);
    assert_clean(&path, &before, &temp);
}
