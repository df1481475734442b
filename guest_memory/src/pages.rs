//! Page sizes, of x86 and of the host.

/// Size of a small page in bytes.
pub(crate) const PAGE_SIZE: u64 = 4096;
/// Size of a huge page in bytes.
pub(crate) const HUGE_PAGE: u64 = 2 << 20;
