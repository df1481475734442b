//! UDP sockets of the host.

#![expect(unsafe_code, reason = "a socket option without a wrapper in rustix")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Has a socket keep the errors that ICMP reports about its datagrams (`IP_RECVERR` in ip(7), or
/// `IPV6_RECVERR` for `is_ipv6`).
///
/// # Errors
/// What setsockopt(2) says.
pub fn keep_errors(socket: BorrowedFd<'_>, is_ipv6: bool) -> io::Result<()> {
    let (level, option) = if is_ipv6 {
        (libc::IPPROTO_IPV6, libc::IPV6_RECVERR)
    } else {
        (libc::IPPROTO_IP, libc::IP_RECVERR)
    };
    let on: libc::c_int = 1;
    let length = libc::socklen_t::try_from(size_of_val(&on)).unwrap_or_default();
    // SAFETY: the kernel reads an integer, which lives through the call.
    let result = unsafe {
        libc::setsockopt(socket.as_raw_fd(), level, option, (&raw const on).cast(), length)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
