//! The protocol, corner by corner: what QEMU does, what SeaBIOS and linuxboot_dma rely on, and what others got wrong.

#![expect(
    clippy::cast_possible_truncation,
    clippy::unwrap_used,
    reason = "this is how a test fails, in its helpers too"
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
