//! Tests that cannot run here.

use std::io::Write;

/// Says loudly that the current test is skipped, and why; the test returns after it. Where `CHUKKA_NO_SKIP` is
/// set, as in CI, that is a failure.
///
/// # Panics
/// With `CHUKKA_NO_SKIP` set.
#[expect(clippy::panic, reason = "this is how a test fails")]
pub fn skip(why: &str) {
    let name = std::thread::current().name().unwrap_or("a test").to_owned();
    if std::env::var_os("CHUKKA_NO_SKIP").is_some() {
        panic!("{name} cannot run, and CHUKKA_NO_SKIP forbids to skip it: {why}");
    }
    // Straight to the descriptor: the test harness keeps what goes through the macros to itself. Nothing can be
    // done where that fails.
    drop(writeln!(std::io::stderr().lock(), "SKIPPED: {name}: {why}"));
}
