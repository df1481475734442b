//! Tables that are whole in memory: the first-level table and the refcount table.

use std::collections::BTreeSet;
use std::io;

use super::super::medium::{Medium, read_bytes, write_bytes};

/// Reads `count` big-endian entries from byte `at` on. The caller has checked that the image has
/// them.
///
/// # Errors
/// As of [`Medium::read`].
pub(super) fn read_table(medium: &dyn Medium, at: u64, count: u64) -> io::Result<Vec<u64>> {
    let mut bytes = vec![0; usize::try_from(count * 8).map_err(io::Error::other)?];
    read_bytes(medium, &mut bytes, at)?;
    let (entries, _) = bytes.as_chunks();
    Ok(entries.iter().map(|entry| u64::from_be_bytes(*entry)).collect())
}

/// Writes the entries of `dirty`, which then has none.
///
/// # Errors
/// As of [`Medium::write`]. What was not written stays in `dirty`.
pub(super) fn write_entries(
    medium: &dyn Medium,
    at: u64,
    table: &[u64],
    dirty: &mut BTreeSet<u64>,
) -> io::Result<()> {
    while let Some(index) = dirty.first().copied() {
        let entry = usize::try_from(index).ok().and_then(|index| table.get(index));
        if let Some(entry) = entry {
            write_bytes(medium, &mut entry.to_be_bytes(), at + index * 8)?;
        }
        dirty.remove(&index);
    }
    Ok(())
}
