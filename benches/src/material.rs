//! What the guests are made of.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use chukka_tests::assets;

use crate::Error;

/// Size of the initrd for measuring the start.
const INITRD_BYTES: usize = 64 << 20;

/// An initrd of 64 MiB that no compression or merging of pages makes smaller. It is made once and
/// only ever loaded: no guest comes to look at it.
///
/// # Errors
/// If it cannot be written.
pub fn big_initrd() -> Result<PathBuf, Error> {
    let path = assets::work_folder()?.join("initrd-64MiB.random");
    noise_file(&path, INITRD_BYTES)?;
    Ok(path)
}

/// Makes a file of as many pseudo-random bytes, if it is not there, and writes it to the disk:
/// nothing is left to be done later.
///
/// # Errors
/// If it cannot be written.
pub fn noise_file(path: &Path, bytes: usize) -> Result<(), Error> {
    if fs::metadata(path).is_ok_and(|about| about.len() == bytes as u64) {
        return Ok(());
    }
    let draft = path.with_extension("draft");
    let mut file = File::create(&draft)?;
    file.write_all(&noise(bytes))?;
    file.sync_all()?;
    fs::rename(&draft, path)?;
    Ok(())
}

/// Size of a page in bytes.
const PAGE: u32 = 4096;

/// As what the host's page cache has a file: that is decided by how it was written, and by the file
/// system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cached {
    /// In huge pages, where the file system knows such (XFS, ext4 since Linux 6.16, btrfs since
    /// 6.17): written 4 MiB at a time.
    Huge,
    /// In pages of 64 KiB at most: written 64 KiB at a time, as compressors and cpio do.
    Small,
}

impl Cached {
    fn write_size(self) -> usize {
        match self {
            Self::Huge => 4 << 20,
            Self::Small => 64 << 10,
        }
    }
}

/// An initrd of numbered pages: each is full of a word of its own.
#[derive(Debug)]
pub struct Pages {
    /// The file.
    pub path: PathBuf,
    /// Its size in MiB.
    pub mib: u32,
    /// How it is cached.
    pub cached: Cached,
    /// The sum of the first words of its pages, modulo 2^32.
    pub sum: u32,
}

/// An initrd of `mib` MiB of numbered pages, in the page cache.
///
/// # Errors
/// If it cannot be written.
pub fn numbered_pages(mib: u32, cached: Cached) -> Result<Pages, Error> {
    let path = assets::work_folder()?.join(format!("initrd-{mib}MiB-{cached:?}.pages"));
    // Anew each time, as it may have left the page cache, and would come back in other pages.
    // Another process or thread may be at it: the last one's file stays, and is the same.
    let (process, thread) = (std::process::id(), std::thread::current().id());
    let draft = path.with_extension(format!("draft-{process}-{thread:?}"));
    write_pages(&draft, mib, cached)?;
    fs::rename(&draft, &path)?;
    Ok(Pages { path, mib, cached, sum: sum(mib) })
}

/// Writes it to the disk, too, so that this does not go on while others measure.
fn write_pages(path: &Path, mib: u32, cached: Cached) -> io::Result<()> {
    let mut file = BufWriter::with_capacity(cached.write_size(), File::create(path)?);
    for page in 0..pages(mib) {
        let word = page_word(page).to_le_bytes();
        (0..PAGE / 4).try_for_each(|_| file.write_all(&word))?;
    }
    file.into_inner()?.sync_all()
}

fn pages(mib: u32) -> u32 {
    (mib << 20) / PAGE
}

fn sum(mib: u32) -> u32 {
    (0..pages(mib)).map(page_word).fold(0, u32::wrapping_add)
}

/// The word that a page is full of: a multiple of an odd number, so that no two pages have the
/// same.
fn page_word(page: u32) -> u32 {
    page.wrapping_mul(0x9e37_79b1).wrapping_add(1)
}

/// Pseudo-random bytes, the same on every machine.
fn noise(bytes: usize) -> Vec<u8> {
    words().take(bytes / 8).flat_map(u64::to_le_bytes).collect()
}

/// Pseudo-random words, the same on every machine: xorshift64* (Vigna, 2014).
pub fn words() -> impl Iterator<Item = u64> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    std::iter::repeat_with(move || {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        state.wrapping_mul(0x2545_f491_4f6c_dd1d)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `bench-guest`'s image inverts words before a transfer that is to bring them back.
    #[test]
    fn the_sum_tells_that_pages_have_been_spoilt() {
        for mib in [1, 16, 128, 512] {
            let last = pages(mib) - 1;
            let invert =
                |sum: u32, page| sum.wrapping_sub(page_word(page)).wrapping_add(!page_word(page));
            assert_ne!(invert(sum(mib), 0), sum(mib), "{mib}");
            assert_ne!(invert(sum(mib), last), sum(mib), "{mib}");
            assert_ne!(invert(invert(sum(mib), 0), last), sum(mib), "{mib}");
            assert_ne!((0..=last).fold(sum(mib), invert), sum(mib), "{mib}");
        }
    }

    #[test]
    fn numbered_pages_are_full_of_their_words() {
        let path = std::env::temp_dir().join(format!("chukka-pages-{}", std::process::id()));
        write_pages(&path, 1, Cached::Small).unwrap();
        let bytes = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        assert_eq!(bytes.len(), 1 << 20);
        assert!(bytes[..4096].chunks(4).all(|word| word == [1, 0, 0, 0]));
        assert!(bytes[4096..8192].chunks(4).all(|word| word == 0x9e37_79b2u32.to_le_bytes()));
        let words =
            bytes.chunks(4096).map(|page| u32::from_le_bytes(page[..4].try_into().unwrap()));
        assert_eq!(words.fold(0, u32::wrapping_add), sum(1));
    }

    #[test]
    fn noise_is_the_same_each_time_and_does_not_repeat() {
        let bytes = noise(8192);
        assert_eq!(bytes, noise(8192));
        let mut words: Vec<_> = bytes.chunks(8).collect();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), 1024);
    }
}
