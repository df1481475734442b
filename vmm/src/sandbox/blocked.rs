//! What happens when a filter blocks a system call: the kernel sends SIGSYS to the thread, and the
//! process ends with a message that names both.

use std::io::{self, Write};

use syscalls::Sysno;

use crate::host::fatal_signal;

/// Installs the handler.
pub(super) fn listen() -> io::Result<()> {
    fatal_signal::handle(libc::SIGSYS, on_sigsys)
}

/// Where `si_syscall` is in a `siginfo_t` of SIGSYS, as an index of 32-bit words: after signo,
/// errno, code, padding and an address of 64 bits (include/uapi/asm-generic/siginfo.h).
const NUMBER: usize = 6;

#[expect(unsafe_code, reason = "a signal handler")]
extern "C" fn on_sigsys(_: i32, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: the kernel passes a handler with SA_SIGINFO a valid siginfo_t, which is longer.
    let number = unsafe { *info.cast::<i32>().add(NUMBER) };
    let mut thread = [0_u8; 16];
    // SAFETY: PR_GET_NAME writes at most 16 bytes, with a zero at their end.
    unsafe { libc::prctl(libc::PR_GET_NAME, thread.as_mut_ptr()) };
    let thread = thread.split(|&byte| byte == 0).next().unwrap_or_default();
    let name =
        usize::try_from(number).ok().and_then(Sysno::new).map_or("unknown", |call| call.name());
    // Nothing here allocates: the thread may have been in the middle of that.
    fatal_signal::end(|error| {
        let _ = error.write_all(b"\nchukka: the sandbox has blocked the system call '");
        let _ = error.write_all(name.as_bytes());
        let _ = write!(error, "' ({number}) of the thread '");
        let _ = error.write_all(thread);
        let _ = error.write_all(
            b"'\nhint: this is a mistake in chukka, or an attack on it: please report it; -sandbox off runs without\n",
        );
    })
}
