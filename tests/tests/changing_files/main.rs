//! Files that change while their guest runs: it never sees that, and no later boot takes other
//! bytes than the first (docs/exit-codes.md).

#![expect(clippy::unwrap_used, reason = "this is how a test fails")]

mod before;
mod running;
mod together;
