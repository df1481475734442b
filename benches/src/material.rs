//! What the guests are made of.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use chukka_tests::assets;

use crate::Error;

/// Size of the initrd for measuring the start.
const INITRD_BYTES: usize = 64 << 20;

/// An initrd of 64 MiB that no compression or merging of pages makes smaller. It is made once and only ever loaded:
/// no guest comes to look at it.
///
/// # Errors
/// Where it cannot be written.
pub fn big_initrd() -> Result<PathBuf, Error> {
    let path = assets::work_folder()?.join("initrd-64MiB.random");
    noise_file(&path, INITRD_BYTES)?;
    Ok(path)
}

/// Makes a file of as many pseudo-random bytes, if it is not there, and writes it to the disk: nothing is left to be done later.
///
/// # Errors
/// Where it cannot be written.
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
