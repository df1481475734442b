//! Pseudo-terminals, and the flags of a terminal as text.
#![expect(unsafe_code, reason = "system calls without a wrapper in the standard library")]

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use super::check;

/// The two ends of a pseudo-terminal.
#[derive(Debug)]
pub struct Pty {
    /// The end that plays the user.
    pub master: OwnedFd,
    /// The end that a program has as its terminal.
    pub slave: OwnedFd,
}

impl Pty {
    /// Opens a pseudo-terminal with the kernel's usual settings and 80 by 24 characters.
    ///
    /// # Errors
    /// What openpty(3) says.
    pub fn open() -> io::Result<Self> {
        let (mut master, mut slave) = (-1, -1);
        let mut size = libc::winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
        // SAFETY: the two integers and the size live through the call; name and settings may be
        // null.
        let result = unsafe {
            libc::openpty(
                &raw mut master,
                &raw mut slave,
                std::ptr::null_mut(),
                std::ptr::null_mut(),
                &raw mut size,
            )
        };
        check(result.into())?;
        // SAFETY: both descriptors were just made and have no other owner.
        let pty = unsafe {
            Self { master: OwnedFd::from_raw_fd(master), slave: OwnedFd::from_raw_fd(slave) }
        };
        for fd in [&pty.master, &pty.slave] {
            // SAFETY: F_SETFD takes an integer.
            check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFD, libc::FD_CLOEXEC) }.into())?;
        }
        Ok(pty)
    }
}

/// The flags of a terminal that matter to a program in raw mode, as stty(1) writes them: `icanon
/// echo …`, a cleared one with a dash.
///
/// # Errors
/// What tcgetattr(3) says: the descriptor may not be a terminal.
pub fn describe(fd: BorrowedFd<'_>) -> io::Result<String> {
    let mut settings = MaybeUninit::<libc::termios>::uninit();
    // SAFETY: the pointer is to memory of the right size.
    check(unsafe { libc::tcgetattr(fd.as_raw_fd(), settings.as_mut_ptr()) }.into())?;
    // SAFETY: the successful call filled it in.
    let settings = unsafe { settings.assume_init() };
    let flags = [
        ("isig", settings.c_lflag & libc::ISIG),
        ("icanon", settings.c_lflag & libc::ICANON),
        ("echo", settings.c_lflag & libc::ECHO),
        ("iexten", settings.c_lflag & libc::IEXTEN),
        ("icrnl", settings.c_iflag & libc::ICRNL),
        ("ixon", settings.c_iflag & libc::IXON),
        ("brkint", settings.c_iflag & libc::BRKINT),
        ("istrip", settings.c_iflag & libc::ISTRIP),
        ("opost", settings.c_oflag & libc::OPOST),
        ("onlcr", settings.c_oflag & libc::ONLCR),
    ];
    let words = flags.map(|(name, set)| if set == 0 { format!("-{name}") } else { name.into() });
    Ok(words.join(" "))
}
