//! Where a kernel and what comes with it are in guest memory.

use std::ops::Range;

/// Guest-physical ranges of what was loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Placement {
    /// The kernel, with the memory it needs to unpack itself.
    pub kernel: Range<u64>,
    /// The initrd.
    pub initrd: Option<Range<u64>>,
}
