//! The bytes that are moved: in a file in the page cache, and the same on the heap.

use std::fs::{self, File};
use std::path::PathBuf;

use chukka_tests::assets;

use super::{Case, Origin};
use crate::{Error, material};

/// A file of noise, and its contents in memory.
#[derive(Debug)]
pub struct Source {
    path: PathBuf,
    /// As long as the process lives: an item may hold it without a copy.
    bytes: &'static [u8],
}

impl Source {
    /// Makes the file, or takes that of the last time, and reads it: it is in the page cache then.
    ///
    /// # Errors
    /// It cannot be written or read.
    pub fn new(largest: usize) -> Result<Self, Error> {
        let path = Self::folder()?.join(format!("{}KiB.random", largest >> 10));
        // A page more, so that there is as much from any origin's offset on.
        material::noise_file(&path, largest + super::case::PAGE)?;
        let bytes = fs::read(&path)?.leak();
        Ok(Self { path, bytes })
    }

    /// Where benches put what they make.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn folder() -> Result<PathBuf, Error> {
        let folder = assets::workspace().join("target/bench");
        fs::create_dir_all(&folder)?;
        Ok(folder)
    }

    /// The file, opened anew to be read.
    ///
    /// # Errors
    /// It is gone.
    pub fn open(&self) -> Result<File, Error> {
        Ok(File::open(&self.path)?)
    }

    /// The bytes of a case's item, on the heap.
    ///
    /// # Errors
    /// There are not as many.
    pub fn bytes(&self, case: &Case) -> Result<&'static [u8], Error> {
        let start = usize::try_from(case.origin.offset())?;
        let bytes = self.bytes.get(start..start + case.size);
        bytes.ok_or_else(|| format!("{case}: the source is too short").into())
    }

    /// What [`super::Slot::sum`] has to give.
    ///
    /// # Errors
    /// There are not as many bytes.
    pub fn sum(&self, case: &Case) -> Result<u64, Error> {
        if case.origin == Origin::Zeros {
            return Ok(0);
        }
        let words = self.bytes(case)?.as_chunks().0.iter();
        Ok(words.fold(0, |sum: u64, &word| sum.wrapping_add(u64::from_ne_bytes(word))))
    }
}
