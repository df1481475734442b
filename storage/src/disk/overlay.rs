//! The writes of a guest whose disk is to stay as it is (`snapshot=on`): in a temporary file
//! without a name, sector by sector.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::{PoisonError, RwLock};

use rustix::fs::{Mode, OFlags};

use super::SECTOR;

/// Sectors of a group. Only groups with written sectors take memory.
const GROUP: u64 = 2048;
const BITS: u64 = u64::BITS as u64;

type Group = [u64; (GROUP / BITS) as usize];

/// A temporary file, and which of its sectors hold something.
#[derive(Debug)]
pub(super) struct Overlay {
    file: File,
    written: RwLock<HashMap<u64, Group>>,
}

impl Overlay {
    /// An overlay for `len` bytes, in a file in `directory` that is gone when this process is.
    ///
    /// # Errors
    /// The file cannot be created.
    pub fn new(directory: &Path, len: u64) -> io::Result<Self> {
        let file = temporary_file(directory)?;
        file.set_len(len)?;
        Ok(Self { file, written: RwLock::default() })
    }

    pub fn file(&self) -> &File {
        &self.file
    }

    /// Notes that the sectors of `range` are in the file, once they are.
    pub fn mark(&self, range: &Range<u64>) {
        let mut written = self.written.write().unwrap_or_else(PoisonError::into_inner);
        for sector in range.start / SECTOR..range.end.div_ceil(SECTOR) {
            let group = written.entry(sector / GROUP).or_default();
            let (word, bit) = place(sector);
            if let Some(word) = group.get_mut(word) {
                *word |= bit;
            }
        }
    }

    /// The first part of `range` of which all is in the file, or nothing: its end, and which.
    pub fn run(&self, range: &Range<u64>) -> (u64, bool) {
        let written = self.written.read().unwrap_or_else(PoisonError::into_inner);
        let is_written = |sector: u64| {
            let (word, bit) = place(sector);
            let group = written.get(&(sector / GROUP));
            group.and_then(|group| group.get(word)).is_some_and(|word| word & bit != 0)
        };
        let sectors = range.start / SECTOR..range.end.div_ceil(SECTOR);
        let first = is_written(sectors.start);
        let end = sectors.clone().find(|sector| is_written(*sector) != first);
        (end.map_or(range.end, |sector| sector * SECTOR), first)
    }
}

/// Where the bit of a sector is in its group.
fn place(sector: u64) -> (usize, u64) {
    let index = sector % GROUP;
    (usize::try_from(index / BITS).unwrap_or(usize::MAX), 1 << (index % BITS))
}

/// A file without a name. Some file systems cannot make one: there it has a name for a moment.
fn temporary_file(directory: &Path) -> io::Result<File> {
    let mode = Mode::RUSR | Mode::WUSR;
    let flags = OFlags::RDWR | OFlags::CLOEXEC;
    match rustix::fs::open(directory, flags | OFlags::TMPFILE, mode) {
        Ok(file) => return Ok(file.into()),
        Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::ISDIR) => {}
        Err(error) => return Err(error.into()),
    }
    for attempt in 0..1000 {
        let path = directory.join(format!("chukka-snapshot-{}-{attempt}", std::process::id()));
        match rustix::fs::open(&path, flags | OFlags::CREATE | OFlags::EXCL, mode) {
            Ok(file) => {
                std::fs::remove_file(&path)?;
                return Ok(file.into());
            }
            Err(rustix::io::Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_end_where_the_origin_of_the_sectors_changes() {
        let overlay = Overlay::new(&std::env::temp_dir(), 4 << 20).unwrap();
        let all = 0..4 << 20;
        assert_eq!(overlay.run(&all), (4 << 20, false));
        overlay.mark(&(1024..2048));
        // Across the border of two groups.
        overlay.mark(&(GROUP * SECTOR - 512..GROUP * SECTOR + 512));
        assert_eq!(overlay.run(&all), (1024, false));
        assert_eq!(overlay.run(&(1024..4096)), (2048, true));
        assert_eq!(overlay.run(&(1536..2048)), (2048, true));
        assert_eq!(overlay.run(&(2048..4 << 20)), (GROUP * SECTOR - 512, false));
        assert_eq!(overlay.run(&(GROUP * SECTOR - 512..4 << 20)), (GROUP * SECTOR + 512, true));
        assert_eq!(overlay.written.read().unwrap().len(), 2);
    }
}
