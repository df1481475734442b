//! A chukka that is started in the background (`chukka … &`): the terminal is somebody else's.

use std::os::unix::process::ExitStatusExt;

use chukka_tests::native::{self, Start};

use crate::assert_restored;

#[test]
fn it_does_not_touch_the_terminal_and_runs_its_guest() {
    if !native::kvm() {
        return;
    }
    let mut session = Start::guest("DP").in_background();
    session.wait_for("done");
    assert_eq!(session.wait().code(), Some(0), "not stopped on the way");
    assert_restored(&session);
}

#[test]
fn it_does_not_take_what_is_typed_and_ends_by_a_signal() {
    if !native::kvm() {
        return;
    }
    let mut session = Start::guest("").in_background();
    session.wait_for("ready");
    assert_restored(&session);
    session.type_in(b"\x01xP\n");
    std::thread::sleep(std::time::Duration::from_millis(100));
    session.signal(libc::SIGTERM);
    assert_eq!(session.wait().signal(), Some(libc::SIGTERM));
    assert_restored(&session);
}
