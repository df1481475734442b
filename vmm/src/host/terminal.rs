//! The terminal: raw while the guest uses it, and restored however chukka exits.
#![expect(
    unsafe_code,
    reason = "tcgetattr(3), tcsetattr(3) and the SIGBUS handler have no safe form in std"
)]

use std::io::{self, IsTerminal, Write};
use std::os::fd::AsRawFd;
use std::sync::OnceLock;

use super::{fatal_signal, screen};

/// The settings to restore. Set once, before the first change, so that signal handlers can read it.
static ORIGINAL: OnceLock<libc::termios> = OnceLock::new();

/// Whether Ctrl-C, Ctrl-\ and Ctrl-Z send signals to chukka or are passed to the guest as bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keys {
    /// They are passed to the guest as bytes.
    ToGuest,
    /// They send signals to chukka.
    Signals,
}

/// The terminal on standard input, raw from [`Terminal::acquire`] until it is dropped.
#[derive(Debug)]
pub struct Terminal {
    keys: Keys,
}

impl Terminal {
    /// Makes the terminal raw. Returns `None` if standard input is not a terminal or chukka runs in
    /// the background and must not change it.
    pub fn acquire(keys: Keys) -> Option<Self> {
        let stdin = io::stdin();
        if !stdin.is_terminal() || !in_foreground() {
            return None;
        }
        // SAFETY: all zero is a valid termios, and tcgetattr(3) fills it in.
        let settings = unsafe {
            let mut settings = std::mem::zeroed::<libc::termios>();
            if libc::tcgetattr(stdin.as_raw_fd(), &raw mut settings) != 0 {
                return None;
            }
            settings
        };
        ORIGINAL.get_or_init(|| settings);
        let terminal = Self { keys };
        terminal.make_raw();
        Some(terminal)
    }

    /// Makes the terminal raw again after chukka was stopped and the shell used the terminal.
    /// Returns false if chukka is in the background, so that the shell still owns the terminal.
    pub fn make_raw(&self) -> bool {
        let Some(mut raw) = ORIGINAL.get().copied() else { return false };
        // As in QEMU's stdio character device (chardev/char-stdio.c), output processing stays
        // enabled.
        raw.c_iflag &= !(libc::IGNBRK
            | libc::BRKINT
            | libc::PARMRK
            | libc::ISTRIP
            | libc::INLCR
            | libc::IGNCR
            | libc::ICRNL
            | libc::IXON);
        raw.c_lflag &= !(libc::ECHO | libc::ECHONL | libc::ICANON | libc::IEXTEN);
        if self.keys == Keys::ToGuest {
            raw.c_lflag &= !libc::ISIG;
        }
        raw.c_cflag = (raw.c_cflag & !(libc::CSIZE | libc::PARENB)) | libc::CS8;
        (raw.c_cc[libc::VMIN], raw.c_cc[libc::VTIME]) = (1, 0);
        set(&raw)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        restore();
    }
}

/// Restores the terminal's original settings. Does nothing if they were never changed.
/// Async-signal-safe.
pub fn restore() {
    if let Some(original) = ORIGINAL.get() {
        set(original);
    }
}

/// The size of the terminal on standard input, in columns and rows; `None` if it is not one, or
/// does not know.
pub fn size() -> Option<[u16; 2]> {
    let size = rustix::termios::tcgetwinsize(io::stdin()).ok()?;
    (size.ws_col > 0 && size.ws_row > 0).then_some([size.ws_col, size.ws_row])
}

/// Changes the terminal, unless this process is in the background (`bg`): then the shell owns the
/// terminal and has already restored its settings.
fn set(settings: &libc::termios) -> bool {
    if !in_foreground() {
        return false;
    }
    // SAFETY: tcsetattr(3) only reads the settings; file descriptor 0 is a terminal, or the call
    // fails and changes nothing.
    unsafe { libc::tcsetattr(0, libc::TCSANOW, settings) == 0 }
}

/// Whether this process is in the terminal's foreground process group. A background process that
/// touches the terminal is stopped by SIGTTOU or SIGTTIN.
fn in_foreground() -> bool {
    // SAFETY: both calls only read ids.
    unsafe { libc::tcgetpgrp(0) == libc::getpgrp() }
}

/// Makes a panic or a SIGBUS restore the terminal before the process ends. A SIGBUS on a page of
/// guest memory does not end it (see [`guest_memory::repair`]).
pub fn restore_on_disaster() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        restore();
        screen::reset_modes();
        report(info);
    }));
    // The signal is valid, so this cannot fail.
    let _ = fatal_signal::handle(libc::SIGBUS, on_sigbus);
}

/// Handles an access by chukka itself to a page that is no longer in its file. If the page is guest
/// memory, it is repaired; the guest is notified, or the user by the caller of
/// [`guest_memory::Engine::cut_file`]. Otherwise (for example, on a memory error) the process ends
/// with a message.
extern "C" fn on_sigbus(_: i32, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: the kernel passes a handler with SA_SIGINFO a valid siginfo_t. `si_code` is positive
    // if the kernel itself sent the signal; only then is the address set.
    let (code, address) = unsafe { ((*info).si_code, (*info).si_addr().addr()) };
    if code > 0 && guest_memory::repair(address) {
        return;
    }
    fatal_signal::end(|error| {
        let _ = error.write_all(SIGBUS_MESSAGE);
    })
}

const SIGBUS_MESSAGE: &[u8] = b"\nchukka: a memory access failed on the host (SIGBUS)\n\
hint: check dmesg on the host\n";

#[cfg(test)]
mod tests;
