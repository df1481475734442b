//! The transfer engine: whatever is moved, by whatever way, guest memory holds it afterwards, and nothing else has changed.
#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]
#![expect(unsafe_code, reason = "memory of kinds that vm-memory does not make itself, and signals")]

mod changing_files;
mod copying;
mod mapping;
mod memories;
mod support;
