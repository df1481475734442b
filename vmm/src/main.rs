//! The `chukka` binary.
fn main() {}
