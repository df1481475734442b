//! Tests of chukka on this very machine, without the lab: what it says of bad input, how it treats its terminal, and what
//! it does with tiny guests of ours, which run on any KVM.

mod collect;
mod confine;
pub mod guest;
pub mod image;
mod leader;
mod process;
mod refusal;
mod scratch;
mod session;
mod settings;
mod start;

pub use collect::Collected;
pub use confine::{Confinement, Mount};
pub use process::{Chukka, Ended};
pub use refusal::Refusal;
pub use scratch::Scratch;
pub use session::Session;
pub use settings::Settings;
pub use start::{Input, Output, Start, start};

use std::time::Duration;

/// No process of these tests lives longer: then it is killed, and the test fails.
pub const LIMIT: Duration = Duration::from_secs(60);

/// Whether this machine has a KVM. Where it has none, the test has been skipped loudly and returns.
#[must_use]
pub fn kvm() -> bool {
    match std::fs::File::options().read(true).write(true).open("/dev/kvm") {
        Ok(_) => true,
        Err(error) => {
            crate::skip(&format!("/dev/kvm cannot be used here: {error}"));
            false
        }
    }
}
