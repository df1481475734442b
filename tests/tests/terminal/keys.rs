//! What the user types.

use chukka_tests::native;

use crate::{assert_restored, running};

#[test]
fn what_is_typed_reaches_the_guest_byte_by_byte() {
    if !native::kvm() {
        return;
    }
    let mut session = running(&[]);
    session.type_in(b"x");
    session.wait_for("\nx");
    // What a terminal that is not raw would keep, change or act on: carriage return, Ctrl-D,
    // Ctrl-S, Ctrl-W, Ctrl-V, 8 bits.
    session.type_in(b"\r\x04\x13\x17\x16\xc3\xa4.");
    session.wait_for("x\r\x04\x13\x17\x16\u{e4}.");
    session.type_in(b"P");
    assert_eq!(session.wait().code(), Some(0));
}

#[test]
fn ctrl_a_x_ends_chukka_with_0() {
    if !native::kvm() {
        return;
    }
    for keys in [&b"\x01x"[..], b"\x01X"] {
        let mut session = running(&[]);
        session.type_in(keys);
        assert_eq!(session.wait().code(), Some(0));
        assert_restored(&session);
        session.wait_for("chukka: ended by Ctrl-A x (after ");
    }
}

#[test]
fn ctrl_a_h_shows_what_there_is_and_the_guest_goes_on() {
    if !native::kvm() {
        return;
    }
    let mut session = running(&[]);
    session.type_in(b"\x01h");
    session.wait_for("\nCtrl-A x ");
    session.wait_for("\nCtrl-A Ctrl-A ");
    session.type_in(b"go on");
    session.wait_for("go on");
}

#[test]
fn ctrl_a_i_reports_what_the_guest_does_and_it_goes_on() {
    if !native::kvm() {
        return;
    }
    let mut session = running(&[]);
    for time in 1..=2 {
        session.type_in(b"\x01i");
        session.wait_for("\nchukka: CPU 0 ");
        session.wait_for("; last exits: port 0x3fd (COM1)");
        let echo = format!("again {time}.");
        session.type_in(echo.as_bytes());
        session.wait_for(&echo);
    }
    session.type_in(b"P");
    assert_eq!(session.wait().code(), Some(0));
    assert_restored(&session);
}

#[test]
fn ctrl_a_ctrl_a_is_one_ctrl_a_for_the_guest() {
    if !native::kvm() {
        return;
    }
    let mut session = running(&[]);
    session.type_in(b"<\x01\x01<");
    session.wait_for("<\x01<");
}

#[test]
fn ctrl_c_reaches_the_guest_on_mon_stdio() {
    if !native::kvm() {
        return;
    }
    for words in [&[][..], &["-nographic"], &["-serial", "mon:stdio"]] {
        let mut session = running(words);
        assert!(!session.settings().has_signals());
        session.type_in(b"<\x03\x1a\x1c<");
        session.wait_for("<\x03\x1a\x1c<");
    }
}

#[test]
fn ctrl_c_ends_chukka_on_stdio() {
    if !native::kvm() {
        return;
    }
    let mut session = running(&["-serial", "stdio"]);
    assert!(session.settings().has_signals());
    session.type_in(b"\x03");
    let status = session.wait();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(libc::SIGINT));
    assert_restored(&session);
}

#[test]
fn ctrl_a_x_ends_chukka_on_stdio_too() {
    if !native::kvm() {
        return;
    }
    let mut session = running(&["-serial", "stdio"]);
    session.type_in(b"\x01x");
    assert_eq!(session.wait().code(), Some(0));
    assert_restored(&session);
}
