//! Why a transfer fails.

use std::io;

use thiserror::Error;

/// Why a transfer failed. Some of the bytes may already have been moved.
#[derive(Debug, Error)]
pub enum TransferError {
    /// The guest-physical address range is not entirely guest memory.
    #[error("the address range is not entirely guest memory")]
    Guest,
    /// The host's file cannot be read, ends too early, or was modified.
    #[error(transparent)]
    Host(#[from] io::Error),
}
