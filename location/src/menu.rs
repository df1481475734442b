//! The menus of the boot loaders in a place.

pub use crate::tree::boot_config::{BootConfig, Entry, Loader, Step};
