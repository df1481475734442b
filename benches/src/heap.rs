//! The C library's heap, for ways that use it.
#![expect(unsafe_code, reason = "mallopt(3) has no safe form")]

use crate::Error;

/// From now on each block of 128 KiB and more is memory that the kernel has just given, as in a VMM
/// that has just started: left to itself, malloc(3) keeps the first large block that is freed for
/// the next one who asks (`M_MMAP_THRESHOLD` adapts itself until it is set).
///
/// # Errors
/// The C library will not have it.
pub fn fresh_memory_for_each_large_block() -> Result<(), Error> {
    // SAFETY: sets a number that later calls of malloc(3) look at.
    let set = unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, 128 << 10) };
    if set == 1 { Ok(()) } else { Err("mallopt: M_MMAP_THRESHOLD".into()) }
}
