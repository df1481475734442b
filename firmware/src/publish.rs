//! What firmware reads from fw_cfg: a description of the machine, and the kernel to boot.

pub mod error;
pub mod linux;
pub mod platform;
