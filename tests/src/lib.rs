//! Integration tests of chukka, and the lab they run in.

pub mod agent;
pub mod assets;
pub mod binaries;
pub mod cpio;
mod error;
pub mod exec;
pub mod guest;
pub mod job;
pub mod lab;
pub mod modules;
pub mod native;
pub mod pack;
pub mod runner;
mod skip;
pub mod sys;

pub use error::{Doing, Error, Result};
pub use skip::skip;
