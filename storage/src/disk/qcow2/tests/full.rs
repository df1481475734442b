//! A full file system: writes fail, some after a part, and succeed when they are tried again.

use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Mutex;

use vm_memory::VolatileSlice;

use crate::disk::SECTOR_BYTES;
use crate::disk::buffers::{Remaining, byte_count};
use crate::disk::image::Image;
use crate::disk::medium::{self, HostFile, Medium};
use crate::disk::qcow2::{Access, Header, Qcow2, check};
use crate::making::Random;
use crate::testing::Temp;

use super::model::{qemu_check, qemu_create};

/// A file on a file system that is full every now and then.
#[derive(Debug)]
struct SometimesFull {
    file: HostFile,
    random: Mutex<Random>,
}

impl SometimesFull {
    fn open(path: &Path, seed: u64) -> Self {
        let file = medium::open(path, false, 0).unwrap();
        let file = HostFile::new(path, file, false, false, true).unwrap();
        Self { file, random: Mutex::new(Random(seed)) }
    }
}

impl Medium for SometimesFull {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, to: &[VolatileSlice<'_>], offset: u64) -> io::Result<usize> {
        self.file.read(to, offset)
    }

    fn write(&self, from: &[VolatileSlice<'_>], offset: u64) -> io::Result<()> {
        let mut random = self.random.lock().unwrap();
        if random.below(3) > 0 {
            return self.file.write(from, offset);
        }
        let sectors = byte_count(from) / SECTOR_BYTES;
        let part = random.below(sectors + 1) * SECTOR_BYTES;
        self.file.write(&Remaining::new(from).next_bytes(part as u64)?, offset)?;
        Err(io::ErrorKind::StorageFull.into())
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }

    fn grows(&self) -> bool {
        true
    }

    fn zero(&self, range: &Range<u64>) -> io::Result<()> {
        self.file.zero(range)
    }

    fn punch(&self, range: &Range<u64>) -> io::Result<bool> {
        self.file.punch(range)
    }
}

/// Tries it until it succeeds, as a disk with `werror=enospc` does.
fn until_it_succeeds(refusals: &mut u32, mut attempt: impl FnMut() -> io::Result<()>) {
    while let Err(error) = attempt() {
        assert_eq!(error.kind(), io::ErrorKind::StorageFull, "{error}");
        *refusals += 1;
    }
}

#[test]
fn requests_that_fail_for_want_of_space_succeed_later_and_leave_a_clean_image() {
    for (seed, options) in (1..).zip([
        &["-o", "cluster_size=512"][..],
        &["-o", "cluster_size=2k"],
        &["-o", "compat=0.10,cluster_size=1k"],
    ]) {
        let temp = Temp::new();
        let path = qemu_create(&temp, "image", options, "512k");
        let medium = SometimesFull::open(&path, seed);
        let header = Header::read(&path, &medium).unwrap();
        let access = Access::ReadWrite { unmap: false };
        let mut refusals = 0;
        let image = Qcow2::open(&path, Box::new(medium), header, access, None).unwrap();
        let mut model = vec![0u8; 512 << 10];
        let mut random = Random(seed + 100);
        for step in 0..400u32 {
            let first = random.below(1024);
            let count = 1 + random.below(20.min(1024 - first));
            let bytes = first * 512..(first + count) * 512;
            let range = bytes.start as u64..bytes.end as u64;
            match random.below(8) {
                0 => until_it_succeeds(&mut refusals, || image.flush()),
                1 => {
                    until_it_succeeds(&mut refusals, || image.write_zeroes(&range, step % 2 == 0));
                    model[bytes].fill(0);
                }
                _ => {
                    let fill = u8::try_from(step % 255 + 1).unwrap();
                    let mut data = vec![fill; count * 512];
                    until_it_succeeds(&mut refusals, || {
                        image.write(&[VolatileSlice::from(&mut data[..])], range.start)
                    });
                    model[bytes].fill(fill);
                }
            }
        }
        until_it_succeeds(&mut refusals, || image.flush());
        assert!(refusals > 100, "{refusals}");
        let mut found = vec![0xee; model.len()];
        image.read(&[VolatileSlice::from(&mut found[..])], 0).unwrap();
        assert!(found == model, "{options:?}");
        drop(image);
        let medium = SometimesFull::open(&path, seed);
        let report = check(&medium, &Header::read(&path, &medium).unwrap()).unwrap();
        assert_eq!((report.leaks, report.corruptions), (0, 0), "{:?}", report.described);
        assert_eq!(qemu_check(&path), (0, 0));
    }
}
