//! What a transfer moves.

use std::ops::Range;

use crate::file::FileRange;

/// What to move into guest memory.
#[derive(Clone, Debug)]
pub enum Source<'a> {
    /// These bytes.
    Bytes(&'a [u8]),
    /// A part of a file range.
    File {
        /// The file range.
        file: &'a FileRange,
        /// Which bytes of the file range, counted from its start.
        part: Range<u64>,
    },
    /// This many zero bytes.
    Zeros(u64),
}
