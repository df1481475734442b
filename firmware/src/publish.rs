//! What firmware reads from fw_cfg: a description of the machine, and the kernel it boots.

pub mod error;
pub mod linux;
pub mod platform;
