//! Every way out restores the terminal.

use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};

use chukka_tests::native::{self, Output, Start};

use crate::{assert_restored, running};

/// Types `letter` to the guest, and checks that chukka then ends with `status`.
fn guest_ends(letter: &[u8], words: &[&str], status: i32, verdict: &str) {
    if !native::kvm() {
        return;
    }
    let mut session = running(words);
    session.type_in(letter);
    assert_eq!(session.wait().code(), Some(status));
    assert_restored(&session);
    session.wait_for(verdict);
}

#[test]
fn a_guest_that_powers_off_gives_it_back() {
    guest_ends(b"P", &[], 0, "the guest powered off");
}

#[test]
fn a_guest_that_resets_gives_it_back() {
    guest_ends(b"R", &["-no-reboot"], 0, "asked for a reset");
}

#[test]
fn a_guest_that_panics_gives_it_back() {
    guest_ends(b"K", &[], 120, "the guest's kernel panicked: Kernel panic - not syncing: test");
}

#[test]
fn a_guest_that_triple_faults_gives_it_back() {
    guest_ends(b"T", &[], 121, "the guest triple-faulted");
}

#[test]
fn a_kvm_that_cannot_go_on_gives_it_back() {
    guest_ends(b"E", &[], 122, "KVM could not go on");
}

#[test]
fn it_stays_raw_over_a_reboot() {
    if !native::kvm() {
        return;
    }
    let mut session = running(&[]);
    session.type_in(b"R");
    session.wait_for("\nready"); // the second
    assert!(session.settings().is_raw());
    session.type_in(b"P");
    assert_eq!(session.wait().code(), Some(0));
    assert_restored(&session);
}

#[test]
fn an_error_at_the_start_leaves_it_alone() {
    let mut session = Start::kernel("/nonexistent/kernel".as_ref()).on_terminal();
    assert_eq!(session.wait().code(), Some(125));
    assert_restored(&session);
    session.wait_for("Cannot open the kernel '/nonexistent/kernel'");
    session.wait_for("\r\nhint: "); // a line begins at the left
}

#[test]
fn a_signal_gives_it_back_and_chukka_dies_of_it() {
    if !native::kvm() {
        return;
    }
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT] {
        let mut session = running(&[]);
        session.signal(signal);
        assert_eq!(session.wait().signal(), Some(signal));
        assert_restored(&session);
        session.wait_for(&format!("chukka: ended by signal {signal} (after "));
    }
}

#[test]
fn a_sigbus_gives_it_back_and_says_what_it_means() {
    if !native::kvm() {
        return;
    }
    let mut session = running(&[]);
    session.signal(libc::SIGBUS);
    assert_eq!(session.wait().code(), Some(125));
    assert_restored(&session);
    session.wait_for("a memory access failed on the host (SIGBUS)");
    session.wait_for("\r\nhint: ");
}

#[test]
fn ctrl_a_x_gives_it_back_while_nobody_reads_the_output() {
    if !native::kvm() {
        return;
    }
    for script in ["D", "xH"] {
        let mut session = Start::guest(script).output(Output::Full).on_terminal();
        session.wait_until_it_waits_to_write();
        assert!(session.settings().is_raw());
        session.type_in(b"\x01x");
        assert_eq!(session.wait().code(), Some(0));
        assert_restored(&session);
    }
}

#[test]
fn without_a_port_on_it_it_is_left_alone() {
    if !native::kvm() {
        return;
    }
    let scratch = native::Scratch::new();
    let log = scratch.path("log");
    let words = ["-serial", &format!("file:{}", log.display())];
    let mut session = Start::guest("D").args(words).on_terminal();
    let begun = Instant::now();
    while !std::fs::read_to_string(&log).is_ok_and(|text| text.contains("ready")) {
        assert!(begun.elapsed() < native::LIMIT, "the guest is never ready");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_restored(&session);
    session.type_in(b"\x03");
    assert_eq!(session.wait().signal(), Some(libc::SIGINT));
    assert_restored(&session);
}
