//! Places on other hosts. Nothing is asked before something is looked for.

pub(crate) mod address;
pub(crate) mod ftp;
pub(crate) mod http;
pub(crate) mod nfs;
mod pace;
pub(crate) mod tftp;
mod traffic;
mod unannounced;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use traffic::traffic;

/// How other hosts are talked to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Net {
    /// A transfer in which so long not one byte came is given up; so is a connection that is not
    /// made in that time.
    pub idle: Duration,
    /// As often something is tried again that may be better the next time: a connection that broke,
    /// a server that was busy.
    pub retries: u32,
    /// Bytes that are taken from a server that does not say how many there are, at most.
    pub unannounced: u64,
}

impl Default for Net {
    fn default() -> Self {
        Self { idle: Duration::from_secs(30), retries: 3, unannounced: 4 << 30 }
    }
}
