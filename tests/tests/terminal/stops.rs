//! Ctrl-Z, fg and bg.

use std::os::unix::process::ExitStatusExt;

use chukka_tests::native::changing::{CHANGES, Initrd};
use chukka_tests::native::{self, Scratch, Session, Start};

use crate::{assert_restored, running};

/// Stops it by Ctrl-Z, as the shell's user does.
fn stopped() -> Session {
    let mut session = running(&["-serial", "stdio"]);
    session.type_in(b"\x1a");
    session.wait_until_stopped();
    session
}

#[test]
fn while_stopped_it_is_as_it_was_and_afterwards_raw_again() {
    if !native::kvm() {
        return;
    }
    let mut session = stopped();
    for round in 0..3 {
        assert_restored(&session);
        session.go_on();
        session.wait_until_raw();
        session.type_in(format!("round {round}").as_bytes());
        session.wait_for(&format!("round {round}"));
        session.signal(libc::SIGTSTP);
        assert_eq!(session.wait_until_stopped(), libc::SIGSTOP);
    }
    assert_restored(&session);
    session.go_on();
    session.wait_until_raw();
    session.type_in(b"P");
    assert_eq!(session.wait().code(), Some(0));
    assert_restored(&session);
}

#[test]
fn continued_in_the_background_it_leaves_the_terminal_to_the_shell() {
    if !native::kvm() {
        return;
    }
    let mut session = stopped();
    session.put_into_foreground(false);
    session.go_on();
    session.type_in(b"for the shell\n");
    std::thread::sleep(std::time::Duration::from_millis(100));
    // Its end shows that it went on; a touch of the terminal, reading from it too, would have
    // stopped it.
    session.signal(libc::SIGTERM);
    assert_eq!(session.wait().signal(), Some(libc::SIGTERM));
    assert_restored(&session);
}

#[test]
fn brought_back_from_the_background_it_is_raw_again() {
    if !native::kvm() {
        return;
    }
    let mut session = stopped();
    session.put_into_foreground(false);
    session.go_on();
    assert_restored(&session);
    session.put_into_foreground(true);
    session.signal(libc::SIGCONT);
    session.wait_until_raw();
    session.type_in(b"back");
    session.wait_for("back");
    session.type_in(b"\x01x");
    assert_eq!(session.wait().code(), Some(0));
    assert_restored(&session);
}

#[test]
fn told_to_end_while_stopped_it_ends_when_it_goes_on() {
    if !native::kvm() {
        return;
    }
    let mut session = stopped();
    session.signal(libc::SIGTERM);
    assert_restored(&session);
    session.go_on();
    assert_eq!(session.wait().signal(), Some(libc::SIGTERM));
    assert_restored(&session);
}

#[test]
fn while_stopped_it_keeps_nobody_from_its_initrd_and_its_guest_has_it_afterwards() {
    if !native::kvm() {
        return;
    }
    for how in CHANGES {
        let scratch = Scratch::new();
        let initrd = Initrd::new(&scratch);
        let start = Start::guest("").args(["-serial", "stdio"]).args(initrd.words());
        let mut session = start.on_terminal();
        session.wait_for("ready");
        assert!(native::maps(session.pid(), &initrd.path), "{how:?}");
        session.type_in(b"\x1a");
        session.wait_until_stopped();
        initrd.change(how);
        session.go_on();
        session.wait_until_raw();
        session.type_in(b"=");
        session.wait_for(&initrd.sum);
        session.type_in(b"P");
        assert_eq!(session.wait().code(), Some(0), "{how:?}: {}", session.shown());
        assert_restored(&session);
    }
}

#[test]
fn a_guest_that_resets_for_ever_can_be_stopped_every_time() {
    if !native::kvm() {
        return;
    }
    // Stop and reset may come together: then the guest is booted again before it is stopped.
    let mut session = Start::guest("DS").args(["-serial", "stdio"]).on_terminal();
    session.wait_for("done\r\r\ndone");
    for _ in 0..20 {
        session.signal(libc::SIGTSTP);
        session.wait_until_stopped();
        session.go_on();
        session.wait_until_raw();
    }
    session.signal(libc::SIGTERM);
    assert_eq!(session.wait().signal(), Some(libc::SIGTERM));
    assert_restored(&session);
}
