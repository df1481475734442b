//! Large initrds: beyond 2 and beyond 4 GiB, and many guests sharing one. These tests need much
//! memory, so they are alone in a binary and run one after the other.

#![expect(clippy::unwrap_used, clippy::panic, reason = "this is how a test fails")]

mod shared;
mod sizes;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// For the one test that runs.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}
