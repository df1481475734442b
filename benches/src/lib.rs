//! Measurements of chukka against its peers: `make bench`, `make bench-start`, `make bench-boot`,
//! `make bench-firmware`, `make bench-guest`, `make bench-disk`, `make bench-network`,
//! `make bench-location` and `make bench-install`.
//!
//! What is printed are ratios between programs that do the same work in the same run.
//! `docs/performance.md` has the figures and says what each of them means.

pub mod allocations;
pub mod boot;
pub mod disk;
pub mod disk_boot;
pub mod document;
pub mod guest;
pub mod heap;
pub mod install;
mod launch;
mod listener;
pub mod location;
pub mod machine;
pub mod material;
pub mod native;
pub mod network;
pub mod operations;
pub mod peer;
pub mod resident;
pub mod rivals;
pub mod stats;
pub mod table;
pub mod transfer;
pub mod words;

pub use launch::{Start, start};

/// An error that a measurement ends with.
pub type Error = Box<dyn std::error::Error>;
