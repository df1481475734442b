//! The session leader of a terminal: it acts as chukka's shell, in one small process.
#![expect(unsafe_code, reason = "what runs between fork and exec is system calls")]

use std::io;
use std::sync::atomic::{AtomicI32, Ordering};

/// chukka's process, in its leader's memory.
static CHUKKA: AtomicI32 = AtomicI32::new(0);

/// Splits this new process in two. One leads a session with `terminal` and reports on `out` what
/// happens to the other. The other returns, to become chukka.
pub(super) fn become_session(terminal: i32, out: i32, foreground: bool) -> io::Result<()> {
    let check = |result: i32| if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) };
    // SAFETY: every call is async-signal-safe and takes no pointer but those to values that live
    // through it.
    unsafe {
        check(libc::setsid())?;
        check(libc::ioctl(terminal, libc::TIOCSCTTY, 0))?;
        let child = check(libc::fork())?;
        if child > 0 {
            lead(child, terminal, out);
        }
        check(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL))?;
        check(libc::setpgid(0, 0))?;
        if foreground {
            let mut set = std::mem::zeroed::<libc::sigset_t>();
            libc::sigaddset(&raw mut set, libc::SIGTTOU);
            check(libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()))?;
            check(libc::tcsetpgrp(terminal, libc::getpid()))?;
            check(libc::sigprocmask(libc::SIG_UNBLOCK, &raw const set, std::ptr::null_mut()))?;
        }
    }
    Ok(())
}

/// The session's leader: it waits, and hands the terminal over when SIGUSR1 and SIGUSR2 say so.
fn lead(child: i32, terminal: i32, out: i32) -> ! {
    // SAFETY: as in `become_session`; nothing of this process but these calls runs any more.
    unsafe {
        CHUKKA.store(child, Ordering::Relaxed);
        libc::signal(libc::SIGTTOU, libc::SIG_IGN);
        let hand_over = hand_over as extern "C" fn(i32) as libc::sighandler_t;
        libc::signal(libc::SIGUSR1, hand_over);
        libc::signal(libc::SIGUSR2, hand_over);
        // Descriptor 0 is what the handler knows the terminal by. Whoever waits for chukka's start
        // waits for the rest to close.
        libc::dup2(terminal, 0);
        libc::dup2(out, 1);
        libc::syscall(libc::SYS_close_range, 2, u32::MAX, 0);
        let tell = |number: i32| libc::write(1, (&raw const number).cast(), 4);
        tell(child);
        loop {
            let mut status = 0;
            let waited = libc::waitpid(child, &raw mut status, libc::WUNTRACED | libc::WCONTINUED);
            if waited == child {
                tell(status);
            } else if *libc::__errno_location() != libc::EINTR {
                libc::pause();
            }
        }
    }
}

extern "C" fn hand_over(signal: i32) {
    // SAFETY: neither call takes a pointer.
    unsafe {
        let ours = libc::getpgrp();
        let group = if signal == libc::SIGUSR1 { ours } else { CHUKKA.load(Ordering::Relaxed) };
        libc::tcsetpgrp(0, group);
    }
}
