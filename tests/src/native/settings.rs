//! The settings of a terminal, to be compared.
#![expect(unsafe_code, reason = "tcgetattr(3) and tcsetattr(3) have no safe form")]

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

/// All that tcgetattr(3) says of a terminal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    flags: [u32; 4],
    line: u8,
    characters: [u8; libc::NCCS],
    speeds: [u32; 2],
}

impl Settings {
    /// Whether a key is a byte at once, and not shown: raw enough for a guest.
    #[must_use]
    pub fn is_raw(&self) -> bool {
        self.flags[3] & (libc::ICANON | libc::ECHO) == 0
    }

    /// Whether Ctrl-C is a signal.
    #[must_use]
    pub fn has_signals(&self) -> bool {
        self.flags[3] & libc::ISIG != 0
    }

    /// Those of a terminal now.
    pub(super) fn of(terminal: &OwnedFd) -> io::Result<Self> {
        let of = get(terminal)?;
        Ok(Self {
            flags: [of.c_iflag, of.c_oflag, of.c_cflag, of.c_lflag],
            line: of.c_line,
            characters: of.c_cc,
            speeds: [of.c_ispeed, of.c_ospeed],
        })
    }

    /// Changes things that raw mode touches, and things that it does not, so that it shows who puts
    /// back the usual instead of what was there.
    pub(super) fn make_uncommon(terminal: &OwnedFd) -> io::Result<()> {
        let mut settings = get(terminal)?;
        settings.c_iflag = (settings.c_iflag & !libc::IXON) | libc::IXANY | libc::INLCR;
        settings.c_lflag &= !libc::ECHOKE;
        (settings.c_cc[libc::VMIN], settings.c_cc[libc::VTIME]) = (3, 7);
        settings.c_cc[libc::VERASE] = 8;
        // SAFETY: tcsetattr(3) only reads the settings.
        match unsafe { libc::tcsetattr(terminal.as_raw_fd(), libc::TCSANOW, &raw const settings) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

fn get(terminal: &OwnedFd) -> io::Result<libc::termios> {
    // SAFETY: tcgetattr(3) fills in the struct it is given; all zero is a valid one.
    unsafe {
        let mut settings = std::mem::zeroed::<libc::termios>();
        match libc::tcgetattr(terminal.as_raw_fd(), &raw mut settings) {
            0 => Ok(settings),
            _ => Err(io::Error::last_os_error()),
        }
    }
}
