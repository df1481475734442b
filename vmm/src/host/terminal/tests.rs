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
    set_unusual();
    let before = settings();
    restore_on_disaster();
    let terminal = Terminal::acquire(Keys::ToGuest).unwrap();
    assert_ne!(settings(), before, "raw");
    assert_eq!(settings(), raw_of(before), "as QEMU's chardev/char-stdio.c has it");
    assert_eq!(size(), Some([132, 43]));
    assert!(std::thread::spawn(|| panic!("on purpose")).join().is_err());
    assert_eq!(settings(), before, "restored, while the terminal is still in use");
    drop(terminal);
    assert_eq!(settings(), before);
    for (ws_col, ws_row) in [(0, 43), (132, 0), (0, 0)] {
        let unknown = libc::winsize { ws_col, ws_row, ws_xpixel: 0, ws_ypixel: 0 };
        // SAFETY: the call reads the structure that it is given.
        assert_eq!(unsafe { libc::ioctl(0, libc::TIOCSWINSZ, &raw const unknown) }, 0);
        assert_eq!(size(), None, "a terminal that does not know its size");
    }
}

/// Settings of which a raw terminal changes as many as it can, and the size.
fn set_unusual() {
    let [mut input, mut local, mut control] = [0, 0, 0];
    for flag in RAW_INPUT {
        input |= flag;
    }
    for flag in RAW_LOCAL {
        local |= flag;
    }
    for flag in [libc::PARENB, libc::CS7, libc::CREAD] {
        control |= flag;
    }
    let size = libc::winsize { ws_col: 132, ws_row: 43, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: all zero is a valid termios; the calls read and write the structures they are given.
    unsafe {
        let mut of = std::mem::zeroed::<libc::termios>();
        assert_eq!(libc::tcgetattr(0, &raw mut of), 0);
        (of.c_iflag, of.c_lflag) = (input | libc::IXANY, local | libc::TOSTOP);
        of.c_cflag = of.c_cflag & !libc::CSIZE | control;
        (of.c_cc[libc::VMIN], of.c_cc[libc::VTIME]) = (3, 5);
        assert_eq!(libc::tcsetattr(0, libc::TCSANOW, &raw const of), 0);
        assert_eq!(libc::ioctl(0, libc::TIOCSWINSZ, &raw const size), 0);
    }
}

/// What a raw terminal clears (termios(3)).
const RAW_INPUT: [libc::tcflag_t; 8] = [
    libc::IGNBRK,
    libc::BRKINT,
    libc::PARMRK,
    libc::ISTRIP,
    libc::INLCR,
    libc::IGNCR,
    libc::ICRNL,
    libc::IXON,
];
const RAW_LOCAL: [libc::tcflag_t; 5] =
    [libc::ECHO, libc::ECHONL, libc::ICANON, libc::IEXTEN, libc::ISIG];

/// The settings in raw mode.
fn raw_of(before: Settings) -> Settings {
    let ([input, output, control, local], mut characters) = before;
    let input = RAW_INPUT.iter().fold(input, |input, flag| input & !flag);
    let local = RAW_LOCAL.iter().fold(local, |local, flag| local & !flag);
    (characters[libc::VMIN], characters[libc::VTIME]) = (1, 0);
    // The kernel keeps a pseudo-terminal at 8 bits without parity, whatever is asked for.
    let control = control & !(libc::CSIZE | libc::PARENB) | libc::CS8;
    ([input, output, control, local], characters)
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

type Settings = ([libc::tcflag_t; 4], [libc::cc_t; libc::NCCS]);

/// The terminal's flags and control characters.
fn settings() -> Settings {
    // SAFETY: all zero is a valid termios, and tcgetattr(3) fills it in.
    let of = unsafe {
        let mut settings = std::mem::zeroed::<libc::termios>();
        assert_eq!(libc::tcgetattr(0, &raw mut settings), 0);
        settings
    };
    ([of.c_iflag, of.c_oflag, of.c_cflag, of.c_lflag], of.c_cc)
}
