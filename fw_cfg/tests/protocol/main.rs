//! The protocol, corner case by corner case: what QEMU does, what SeaBIOS and linuxboot_dma rely
//! on, and the defects of other implementations.

#![expect(
    clippy::cast_possible_truncation,
    clippy::unwrap_used,
    reason = "helpers of tests fail as tests do"
)]

mod directory;
mod dma_address;
mod dma_table;
mod dma_write;
mod events;
mod files;
mod guest;
mod hostile;
mod known_defects;
mod port;
mod sequences;
