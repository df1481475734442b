//! Large initrds: beyond 2 and beyond 4 GiB, and many guests on one. Alone in a binary, and one after the other: they take memory.

#![expect(clippy::unwrap_used, clippy::panic, reason = "this is how a test fails")]

mod shared;
mod sizes;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// For the one test that runs.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}
