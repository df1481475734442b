//! The terminal: raw while the guest has it, and exactly as it was on every way out.
//!
//! The terminal of these tests has uncommon settings, so that putting back common ones does not
//! pass for restoring it. That it is restored when chukka itself panics is tested in
//! `vmm::host::terminal`: nothing from outside makes it panic.

mod background;
mod keys;
mod stops;
mod tmux;
mod verdict;
mod ways_out;

use chukka_tests::native::{Session, Start};

/// The tiny guest on a terminal, waiting for letters; its console is COM1 on `mon:stdio`, as
/// without `-serial`.
fn running(words: &[&str]) -> Session {
    let session = Start::guest("").args(words).on_terminal();
    session.wait_for("ready");
    assert!(session.settings().is_raw(), "{:?}", session.settings());
    session
}

/// The terminal is as it was before chukka had it.
#[track_caller]
fn assert_restored(session: &Session) {
    assert_eq!(session.settings(), session.before, "the terminal is not as it was");
}
