//! What firmware reads from fw_cfg: a description of the machine, and the kernel to boot.

pub mod error;
mod initrd;
pub mod kernel;
pub mod kernel_error;
pub mod linux;
mod memory_image;
mod multiboot;
pub mod platform;
mod pvh;
