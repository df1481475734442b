//! Page sizes, of x86 and of the host.

/// Bytes of a small page.
pub(crate) const PAGE_SIZE: u64 = 4096;
/// Bytes of a huge page.
pub(crate) const HUGE_PAGE: u64 = 2 << 20;
