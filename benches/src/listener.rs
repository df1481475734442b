//! Hears of a process's first `KVM_RUN` without slowing down the system calls before it: a seccomp
//! filter lets everything pass but that one ioctl, which waits until the listener has answered
//! (seccomp_unotify(2)).
#![expect(
    unsafe_code,
    reason = "seccomp and descriptor passing have no safe wrapper in the standard library"
)]

use std::io;
use std::mem::{MaybeUninit, offset_of, zeroed};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

/// `_IO(KVMIO, 0x80)`, include/uapi/linux/kvm.h.
const KVM_RUN: u32 = 0xae80;
/// AUDIT_ARCH_X86_64, include/uapi/linux/audit.h.
const X86_64: u32 = 0xc000_003e;

/// Nanoseconds of the monotonic clock; async-signal-safe.
pub(crate) fn now_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a live timespec. The call cannot fail for this clock.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    let part = |value: i64| u64::try_from(value).unwrap_or(0);
    part(time.tv_sec) * 1_000_000_000 + part(time.tv_nsec)
}

fn check(result: libc::c_long) -> io::Result<i32> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        i32::try_from(result).map_err(io::Error::other)
    }
}

/// What the child does last before its exec: installs the filter, and sends the listener and the
/// time to `to`. Async-signal-safe.
pub(crate) fn install(to: RawFd) -> io::Result<()> {
    let statement = |code: u32, k: u32| libc::sock_filter { code: low16(code), jt: 0, jf: 0, k };
    let equal = |k: u32, jt, jf| libc::sock_filter {
        code: low16(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K),
        jt,
        jf,
        k,
    };
    let load = |offset: usize| statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, low32(offset));
    let give = |action| statement(libc::BPF_RET | libc::BPF_K, action);
    let ioctl = u32::try_from(libc::SYS_ioctl).unwrap_or_default();
    let mut filter = [
        load(offset_of!(libc::seccomp_data, nr)),
        equal(ioctl, 0, 5),
        load(offset_of!(libc::seccomp_data, arch)),
        equal(X86_64, 0, 3),
        // The lower half of the second argument; ioctl(2) takes 32 bits.
        load(offset_of!(libc::seccomp_data, args) + 8),
        equal(KVM_RUN, 0, 1),
        give(libc::SECCOMP_RET_USER_NOTIF),
        give(libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: 8, filter: filter.as_mut_ptr() };
    let flags = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER | libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW;
    // SAFETY: prctl takes integers here; the program and its filter live through the call.
    let listener = unsafe {
        check(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0).into())?;
        check(libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            flags,
            &raw const program,
        ))?
    };
    send(to, listener)
}

#[expect(clippy::cast_possible_truncation, reason = "BPF instruction codes are 16 bits wide")]
const fn low16(code: u32) -> u16 {
    code as u16
}

#[expect(clippy::cast_possible_truncation, reason = "offsets in a struct of 64 bytes")]
const fn low32(offset: usize) -> u32 {
    offset as u32
}

/// Room for one control message with one descriptor.
#[repr(C, align(8))]
struct Control([u8; 24]);

const FD_SIZE: u32 = 4; // a RawFd is an int
const _: () = assert!(size_of::<RawFd>() == 4);

/// Sends a descriptor, together with the time of sending.
fn send(to: RawFd, fd: RawFd) -> io::Result<()> {
    let mut control = Control([0; 24]);
    let mut time = 0_u64.to_ne_bytes();
    // SAFETY: the header's pointers are to live buffers of the given lengths, and the control
    // buffer has room for one message with one descriptor (CMSG_SPACE of 4 is 24). All calls are
    // async-signal-safe.
    unsafe {
        let mut part = libc::iovec { iov_base: time.as_mut_ptr().cast(), iov_len: time.len() };
        let mut message: libc::msghdr = zeroed();
        (message.msg_iov, message.msg_iovlen) = (&raw mut part, 1);
        (message.msg_control, message.msg_controllen) = (control.0.as_mut_ptr().cast(), 24);
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        (*header).cmsg_level = libc::SOL_SOCKET;
        (*header).cmsg_type = libc::SCM_RIGHTS;
        (*header).cmsg_len = libc::CMSG_LEN(FD_SIZE) as usize;
        libc::CMSG_DATA(header).cast::<RawFd>().write_unaligned(fd);
        // Through the pointer, for `part` has it.
        part.iov_base.cast::<u64>().write_unaligned(now_ns());
        check(libc::sendmsg(to, &raw const message, 0) as libc::c_long)?;
    }
    Ok(())
}

/// Receives what [`install`] sent: the listener, and when the child was about to exec.
pub(crate) fn receive(from: &UnixDatagram) -> io::Result<(Listener, u64)> {
    let mut control = Control([0; 24]);
    let mut time = 0_u64;
    // SAFETY: as in `send`; a control message is only read if it is one with a descriptor, which is
    // then ours alone.
    unsafe {
        let mut part = libc::iovec { iov_base: (&raw mut time).cast(), iov_len: 8 };
        let mut message: libc::msghdr = zeroed();
        (message.msg_iov, message.msg_iovlen) = (&raw mut part, 1);
        (message.msg_control, message.msg_controllen) = (control.0.as_mut_ptr().cast(), 24);
        check(libc::recvmsg(from.as_raw_fd(), &raw mut message, libc::MSG_CMSG_CLOEXEC) as _)?;
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        if header.is_null() || (*header).cmsg_type != libc::SCM_RIGHTS {
            return Err(io::Error::other("the child sent no listener"));
        }
        let fd = libc::CMSG_DATA(header).cast::<RawFd>().read_unaligned();
        Ok((Listener(OwnedFd::from_raw_fd(fd)), time))
    }
}

/// Hears of the first `KVM_RUN`.
#[derive(Debug)]
pub(crate) struct Listener(OwnedFd);

impl Listener {
    /// Waits for the call, which then waits for an answer that never comes; says when it was heard
    /// of. `None`: the process ended without it, or the time is over.
    pub(crate) fn wait(&self, most: Duration) -> io::Result<Option<u64>> {
        let mut poll = libc::pollfd { fd: self.0.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        let timeout = i32::try_from(most.as_millis()).unwrap_or(i32::MAX);
        // SAFETY: the pointer is to one live pollfd.
        let ready = unsafe { check(libc::poll(&raw mut poll, 1, timeout).into()) }?;
        let now = now_ns();
        if ready == 0 || poll.revents & libc::POLLIN == 0 {
            return Ok(None);
        }
        let mut notice = MaybeUninit::<libc::seccomp_notif>::zeroed();
        // SAFETY: the pointer is to a zeroed struct of the size that the kernel this was built for
        // fills in.
        unsafe {
            check(
                libc::ioctl(self.0.as_raw_fd(), SECCOMP_IOCTL_NOTIF_RECV, notice.as_mut_ptr())
                    .into(),
            )?;
        }
        Ok(Some(now))
    }
}

/// `SECCOMP_IOWR(0, struct seccomp_notif)`, include/uapi/linux/seccomp.h: '!' is its magic.
const SECCOMP_IOCTL_NOTIF_RECV: libc::c_ulong =
    3 << 30 | (size_of::<libc::seccomp_notif>() as libc::c_ulong) << 16 | 0x21 << 8;

const _: () = assert!(SECCOMP_IOCTL_NOTIF_RECV == 0xc050_2100);
