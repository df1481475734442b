//! A panic hook is process-wide and the test needs a terminal of its own, so the test re-executes
//! itself on a new terminal.

use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use super::*;

/// Set in the child process that owns the terminal.
const ON_TERMINAL: &str = "CHUKKA_TEST_ON_TERMINAL";

#[test]
fn a_panic_in_any_thread_restores_the_terminal() {
    if std::env::var_os(ON_TERMINAL).is_some() {
        return panic_on_terminal();
    }
    let (_master, slave) = open_pty();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "host::terminal::tests::a_panic_in_any_thread_restores_the_terminal"])
        .env(ON_TERMINAL, "1")
        .stdin(slave)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    // SAFETY: the hook makes two system calls, which take no pointers.
    unsafe {
        command.pre_exec(|| match libc::setsid() {
            -1 => Err(io::Error::last_os_error()),
            _ if libc::ioctl(0, libc::TIOCSCTTY, 0) < 0 => Err(io::Error::last_os_error()),
            _ => Ok(()),
        });
    }
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{output:?}");
}

fn panic_on_terminal() {
    let before = settings();
    restore_on_disaster();
    let terminal = Terminal::acquire(Keys::ToGuest).unwrap();
    assert_ne!(settings(), before, "raw");
    assert!(std::thread::spawn(|| panic!("on purpose")).join().is_err());
    assert_eq!(settings(), before, "restored, while the terminal is still in use");
    drop(terminal);
    assert_eq!(settings(), before);
}

fn open_pty() -> (OwnedFd, OwnedFd) {
    let (mut master, mut slave) = (-1, -1);
    let null = std::ptr::null_mut::<u8>();
    // SAFETY: both integers outlive the call; the other pointers may be null. The descriptors are
    // new and have no other owner.
    unsafe {
        let (name, settings, size) = (null.cast(), null.cast(), null.cast());
        assert_eq!(libc::openpty(&raw mut master, &raw mut slave, name, settings, size), 0);
        (OwnedFd::from_raw_fd(master), OwnedFd::from_raw_fd(slave))
    }
}

/// The terminal's flags and control characters.
fn settings() -> ([libc::tcflag_t; 4], [libc::cc_t; libc::NCCS]) {
    // SAFETY: all zero is a valid termios, and tcgetattr(3) fills it in.
    let of = unsafe {
        let mut settings = std::mem::zeroed::<libc::termios>();
        assert_eq!(libc::tcgetattr(0, &raw mut settings), 0);
        settings
    };
    ([of.c_iflag, of.c_oflag, of.c_cflag, of.c_lflag], of.c_cc)
}
