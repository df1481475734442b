//! Tests that cannot run here.

use std::io::Write;

/// Reports that the current test is skipped, and why; the test then returns. With `CHUKKA_NO_SKIP`
/// set, as in CI, it fails instead.
///
/// # Panics
/// With `CHUKKA_NO_SKIP` set.
#[expect(clippy::panic, reason = "this is how a test fails")]
pub fn skip(why: &str) {
    let name = std::thread::current().name().unwrap_or("a test").to_owned();
    if std::env::var_os("CHUKKA_NO_SKIP").is_some() {
        panic!("{name} cannot run, and CHUKKA_NO_SKIP does not allow a skip: {why}");
    }
    // Straight to the descriptor: the test harness captures what the macros print. A failure is
    // ignored.
    drop(writeln!(std::io::stderr().lock(), "SKIPPED: {name}: {why}"));
}
