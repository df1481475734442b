//! New images, and larger ones.

use std::io;

use super::super::medium::{Medium, write_bytes};
use super::header::{Header, L1_AT, MAX_L1_ENTRIES, SIZE_AT};
use super::metadata::Metadata;

/// log2 of the clusters of a new image, as in QEMU: 64 KiB.
const CLUSTER_BITS: u32 = 16;
/// Bytes of the header of version 3, with the compression type.
const HEADER_LEN: u32 = 112;

/// Writes an image of an empty disk: a header, a refcount table and a block of reference counts.
/// The disk gets its size by [`resize`].
///
/// # Errors
/// As of [`Medium::write`].
pub(in super::super) fn create_empty(medium: &dyn Medium) -> io::Result<()> {
    let cluster = 1u64 << CLUSTER_BITS;
    let mut header = Vec::new();
    for field in [0x5146_49fb, 3] {
        header.extend(u32::to_be_bytes(field));
    }
    // No backing file.
    header.extend([0; 12]);
    header.extend(CLUSTER_BITS.to_be_bytes());
    // Size 0, not encrypted, no L1 table.
    header.extend([0; 24]);
    header.extend(cluster.to_be_bytes());
    header.extend(1u32.to_be_bytes());
    // No snapshots, and no features.
    header.extend([0; 36]);
    // 16-bit reference counts.
    header.extend(4u32.to_be_bytes());
    header.extend(HEADER_LEN.to_be_bytes());
    // Compression by zlib; no extensions.
    header.extend([0; 16]);
    let mut table = (2 * cluster).to_be_bytes();
    let mut block = vec![0; 1 << CLUSTER_BITS];
    for count in block.chunks_exact_mut(2).take(3) {
        count.copy_from_slice(&1u16.to_be_bytes());
    }
    write_bytes(medium, &mut block, 2 * cluster)?;
    write_bytes(medium, &mut table, cluster)?;
    write_bytes(medium, &mut header, 0)
}

/// Bytes of the largest disk that an image with this header can have.
pub(in super::super) fn largest(header: &Header) -> u64 {
    let table = MAX_L1_ENTRIES << header.l2_bits();
    table.checked_shl(header.cluster_bits).unwrap_or(u64::MAX).min(i64::MAX as u64)
}

/// Bytes of the largest disk that [`create_empty`] and [`resize`] can make.
pub(in super::super) fn largest_new() -> u64 {
    MAX_L1_ENTRIES << (CLUSTER_BITS - 3) << CLUSTER_BITS
}

/// Makes the disk of an image larger. The caller has checked that `size` is not too large.
///
/// # Errors
/// As of [`Medium::write`].
pub(super) fn resize(medium: &dyn Medium, metadata: &mut Metadata, size: u64) -> io::Result<()> {
    metadata.commit(medium)?;
    let entries = metadata.header.l1_needed(size);
    if entries > metadata.header.l1_entries {
        let new = metadata.new_l1(medium, entries)?;
        let count = u32::try_from(entries).map_err(io::Error::other)?;
        let mut field = [count.to_be_bytes().as_slice(), &new.to_be_bytes()].concat();
        write_bytes(medium, &mut field, L1_AT)?;
        medium.sync()?;
        metadata.use_l1(medium, new, entries)?;
    }
    write_bytes(medium, &mut size.to_be_bytes(), SIZE_AT)?;
    medium.sync()?;
    metadata.header.size = size;
    Ok(())
}
