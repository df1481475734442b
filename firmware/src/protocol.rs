//! How a kernel is entered: what each boot protocol requires in memory and in the registers.

pub mod boot_state;
pub(crate) mod linux;
pub(crate) mod multiboot;
pub(crate) mod placement;
pub(crate) mod pvh;
