//! The transfer engine: whatever is moved, by whichever method, guest memory holds it afterwards
//! and nothing else has changed.
#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]
#![expect(
    unsafe_code,
    reason = "kinds of memory that vm-memory does not create itself, and signals"
)]

mod changing_files;
mod copying;
mod lost_pages;
mod mapping;
mod memories;
mod support;
