//! Network namespaces of a test's own, and Ethernet interfaces in them.
#![expect(unsafe_code, reason = "system calls without a wrapper in the standard library")]

use std::fs::{File, OpenOptions};
use std::io;
use std::net::UdpSocket;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;

use super::check;

/// Moves the calling thread into a new network namespace. Sockets that it opens and programs that
/// it starts from now on are in there, and nothing else is. Needs `CAP_SYS_ADMIN`.
///
/// # Errors
/// What unshare(2) says.
pub fn enter_new_network() -> io::Result<()> {
    // SAFETY: the flag concerns this thread's network namespace alone.
    check(unsafe { libc::unshare(libc::CLONE_NEWNET) }.into()).map(drop)
}

/// Makes the interface `name` in the calling thread's network namespace. What is written to the
/// file is received there, and what is sent there is read from it: one Ethernet frame at a time. It
/// does not block. Needs `CAP_NET_ADMIN`.
///
/// # Errors
/// What open(2) and ioctl(2) say.
pub fn tap(name: &str) -> io::Result<File> {
    let flags = libc::O_NONBLOCK | libc::O_CLOEXEC;
    let file =
        OpenOptions::new().read(true).write(true).custom_flags(flags).open("/dev/net/tun")?;
    // SAFETY: a structure of integers and arrays of them; all zeros is a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes().take(libc::IFNAMSIZ - 1)) {
        *to = from.cast_signed();
    }
    let flags = libc::IFF_TAP | libc::IFF_NO_PI;
    request.ifr_ifru.ifru_flags = i16::try_from(flags).map_err(io::Error::other)?;
    // SAFETY: the request lives through the call, which reads and writes an ifreq.
    check(unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &raw mut request) }.into())?;
    Ok(file)
}

/// A socket for ICMP echo requests, which `net.ipv4.ping_group_range` must allow (icmp(7)). Its
/// datagrams are ICMP messages.
///
/// # Errors
/// What socket(2) says.
pub fn ping_socket() -> io::Result<UdpSocket> {
    let kind = libc::SOCK_DGRAM | libc::SOCK_CLOEXEC;
    // SAFETY: integers only; the result is checked.
    let fd = check(unsafe { libc::socket(libc::AF_INET, kind, libc::IPPROTO_ICMP) }.into())?;
    let fd = i32::try_from(fd).map_err(io::Error::other)?;
    // SAFETY: the descriptor was just made and has no other owner.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) }.into())
}
