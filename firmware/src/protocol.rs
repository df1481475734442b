//! How a kernel is entered: what each boot protocol wants in memory and in the registers.

pub mod boot_state;
pub(crate) mod linux;
pub(crate) mod placement;
pub(crate) mod pvh;
