//! Child processes: what happens between fork and exec, signals, and how they ended.
#![expect(unsafe_code, reason = "system calls without a wrapper in the standard library")]

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::check;

/// Nanoseconds of the monotonic clock; async-signal-safe.
pub(super) fn monotonic_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a live timespec. The call cannot fail for this clock.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    let part = |value: i64| u64::try_from(value).unwrap_or(0);
    part(time.tv_sec) * 1_000_000_000 + part(time.tv_nsec)
}

/// A number that a child writes just before its exec and the parent reads afterwards.
#[derive(Debug)]
pub(crate) struct ExecClock(*mut AtomicU64);

// SAFETY: the pointer is to a shared anonymous mapping that is only used atomically.
unsafe impl Send for ExecClock {}
// SAFETY: as above.
unsafe impl Sync for ExecClock {}

impl ExecClock {
    /// Maps a page that is shared over fork.
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: a fresh anonymous mapping of one page; no existing memory is touched.
        let page = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                size_of::<AtomicU64>(),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if page == libc::MAP_FAILED {
            Err(io::Error::last_os_error())
        } else {
            Ok(Self(page.cast()))
        }
    }

    fn cell(&self) -> &AtomicU64 {
        // SAFETY: the mapping is page-aligned, zeroed at first and lives as long as self.
        unsafe { &*self.0 }
    }

    /// The moment of the exec, in nanoseconds of the monotonic clock.
    pub(crate) fn read(&self) -> u64 {
        self.cell().load(Ordering::Acquire)
    }
}

impl Drop for ExecClock {
    fn drop(&mut self) {
        // SAFETY: this is the mapping made by `new`, and nobody borrows it any more.
        unsafe { libc::munmap(self.0.cast(), size_of::<AtomicU64>()) };
    }
}

/// What a child is to do between fork and exec.
#[derive(Debug, Default)]
pub(crate) struct Prepare {
    /// Make standard input the controlling terminal.
    pub terminal: bool,
    /// Resource limits: number and value.
    pub limits: Vec<(u32, u64)>,
    /// User and group to become.
    pub user: Option<u32>,
    /// Wait this long right before the exec.
    pub delay: Duration,
}

/// Has the command start in a session of its own, prepared as asked, and note the moment of its
/// exec.
pub(crate) fn prepare(command: &mut Command, clock: &ExecClock, what: Prepare) {
    let clock = clock.0 as usize;
    let delay = libc::timespec {
        tv_sec: libc::time_t::try_from(what.delay.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: what.delay.subsec_nanos().into(),
    };
    let hook = move || {
        // SAFETY: these calls are async-signal-safe and the pointers are to live values.
        unsafe {
            check(libc::setsid().into())?;
            if what.terminal {
                check(libc::ioctl(0, libc::TIOCSCTTY, 0).into())?;
            }
            for &(resource, value) in &what.limits {
                let limit = libc::rlimit { rlim_cur: value, rlim_max: value };
                check(libc::setrlimit(resource, &raw const limit).into())?;
            }
            if let Some(user) = what.user {
                check(libc::setgroups(0, std::ptr::null()).into())?;
                check(libc::setgid(user).into())?;
                check(libc::setuid(user).into())?;
            }
            // A signal cuts the wait short, and then nobody needs it.
            libc::nanosleep(&raw const delay, std::ptr::null_mut());
            (*(clock as *const AtomicU64)).store(monotonic_ns(), Ordering::Release);
        }
        Ok(())
    };
    // SAFETY: the hook only makes async-signal-safe calls and does not allocate.
    unsafe { command.pre_exec(hook) };
}

/// Has the child killed as soon as the *thread* that spawns it ends, however it ends. Signals that
/// the tests' own parent has set to be ignored, as nohup(1) does, are not to it.
pub fn die_with_parent_thread(command: &mut Command) {
    // SAFETY: getpid takes nothing.
    let parent = unsafe { libc::getpid() };
    let hook = move || {
        // SAFETY: signal and prctl with PR_SET_PDEATHSIG take integers; all calls are
        // async-signal-safe.
        unsafe {
            for signal in [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM] {
                libc::signal(signal, libc::SIG_DFL);
            }
            check(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL).into())?;
            // The parent may have gone before the call above.
            if libc::getppid() == parent { Ok(()) } else { Err(io::ErrorKind::BrokenPipe.into()) }
        }
    };
    // SAFETY: the hook only makes async-signal-safe calls and does not allocate.
    unsafe { command.pre_exec(hook) };
}

/// What a process used.
#[derive(Debug, Clone, Copy, Default)]
pub struct Usage {
    /// The status word of wait(2).
    pub status: i32,
    /// The largest resident size, in KiB.
    pub max_rss_kib: u64,
    /// Processor time in user mode, in microseconds.
    pub user_us: u64,
    /// Processor time in the kernel, in microseconds.
    pub system_us: u64,
}

fn wait4(pid: i32) -> io::Result<Usage> {
    let mut status = 0;
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: both pointers are to live memory of the right size.
    let result = unsafe { libc::wait4(pid, &raw mut status, 0, usage.as_mut_ptr()) };
    check(result.into())?;
    // SAFETY: zeroed memory is a valid rusage, and the successful call filled it in.
    let usage = unsafe { usage.assume_init() };
    let number = |value: i64| u64::try_from(value).unwrap_or(0);
    let micros = |time: libc::timeval| number(time.tv_sec) * 1_000_000 + number(time.tv_usec);
    Ok(Usage {
        status,
        max_rss_kib: number(usage.ru_maxrss),
        user_us: micros(usage.ru_utime),
        system_us: micros(usage.ru_stime),
    })
}

/// Waits until a child has ended, and reaps it.
///
/// # Errors
/// What wait4(2) says.
pub fn wait(pid: i32) -> io::Result<Usage> {
    loop {
        match wait4(pid) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// Sends a signal to a process.
///
/// # Errors
/// What kill(2) says.
pub fn kill(pid: i32, signal: i32) -> io::Result<()> {
    // SAFETY: kill takes no pointers.
    check(unsafe { libc::kill(pid, signal) }.into()).map(drop)
}

/// Kills a process group; one that is gone already is no matter.
pub fn kill_group(leader: i32) {
    // SAFETY: kill takes no pointers.
    unsafe { libc::kill(-leader, libc::SIGKILL) };
}

/// The session that a process belongs to.
#[must_use]
pub fn session_of(pid: i32) -> Option<i32> {
    // SAFETY: getsid takes no pointers.
    let session = unsafe { libc::getsid(pid) };
    (session > 0).then_some(session)
}

fn owned(result: libc::c_long) -> io::Result<OwnedFd> {
    let fd = i32::try_from(check(result)?).map_err(io::Error::other)?;
    // SAFETY: the kernel just made this descriptor for us; it has no other owner.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// A descriptor that becomes readable when the process ends.
///
/// # Errors
/// What pidfd_open(2) says.
pub fn pidfd(pid: i32) -> io::Result<OwnedFd> {
    // SAFETY: pidfd_open takes no pointers.
    owned(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })
}

/// A copy of a descriptor of another process.
///
/// # Errors
/// What pidfd_getfd(2) says.
pub fn pidfd_getfd(process: BorrowedFd<'_>, fd: i32) -> io::Result<OwnedFd> {
    // SAFETY: pidfd_getfd takes no pointers.
    owned(unsafe { libc::syscall(libc::SYS_pidfd_getfd, process.as_raw_fd(), fd, 0) })
}

/// Kills the process of such a descriptor; unlike a number, it cannot mean another process by now.
///
/// # Errors
/// What pidfd_send_signal(2) says.
pub fn pidfd_kill(process: BorrowedFd<'_>) -> io::Result<()> {
    let none: *const libc::siginfo_t = std::ptr::null();
    // SAFETY: the descriptor is open, and no details of the signal are given.
    let result = unsafe {
        libc::syscall(libc::SYS_pidfd_send_signal, process.as_raw_fd(), libc::SIGKILL, none, 0)
    };
    check(result).map(drop)
}

/// Has the child keep a descriptor under the number it has here. The descriptor must stay open
/// until the start.
pub fn keep_open(command: &mut Command, fd: BorrowedFd<'_>) {
    let fd = fd.as_raw_fd();
    let hook = move || {
        // SAFETY: F_SETFD takes an integer; the call is async-signal-safe.
        check(unsafe { libc::fcntl(fd, libc::F_SETFD, 0) }.into()).map(drop)
    };
    // SAFETY: the hook only makes an async-signal-safe call and does not allocate.
    unsafe { command.pre_exec(hook) };
}

/// Has this thread see the network that a process sees.
///
/// # Errors
/// See setns(2): it is only for root.
pub fn enter_network_of(pid: i32) -> io::Result<()> {
    let network = std::fs::File::open(format!("/proc/{pid}/ns/net"))?;
    // SAFETY: the descriptor is open; only this thread changes.
    check(unsafe { libc::setns(network.as_raw_fd(), libc::CLONE_NEWNET) }.into()).map(drop)
}
