//! UDP sockets of the host: the errors that ICMP reports about their datagrams.

#![expect(unsafe_code, reason = "a socket option and ancillary data without a wrapper in rustix")]

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

/// Takes the oldest message from the error queue of a socket, without waiting (recvmsg(2) with
/// `MSG_ERRQUEUE`): `address` gets the sockaddr where the datagram went, `data` the datagram's
/// payload and `control` the control messages, all in the kernel's layout. Returns how many bytes
/// each of the three has; what does not fit is cut off.
///
/// # Errors
/// What recvmsg(2) says: [`io::ErrorKind::WouldBlock`] if the queue is empty.
pub fn take_error(
    socket: BorrowedFd<'_>,
    address: &mut [u8],
    data: &mut [u8],
    control: &mut [u8],
) -> io::Result<[usize; 3]> {
    let mut part = libc::iovec { iov_base: data.as_mut_ptr().cast(), iov_len: data.len() };
    // SAFETY: a structure of integers and pointers; all zeros is a value.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_name = address.as_mut_ptr().cast();
    message.msg_namelen = libc::socklen_t::try_from(address.len()).unwrap_or(libc::socklen_t::MAX);
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = control.len();
    let flags = libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC;
    // SAFETY: the kernel writes to the three slices, within their lengths, and to `message`. All
    // live through the call.
    let received = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, flags) };
    let received = usize::try_from(received).map_err(|_| io::Error::last_os_error())?;
    // The length of an address is the whole one's, even if it was cut off.
    let address = address.len().min(message.msg_namelen as usize);
    Ok([address, received, message.msg_controllen])
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn each_error_has_its_own_number_and_datagram() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        keep_errors(socket.as_fd(), false).unwrap();
        // One byte more than IPv4 allows. The kernel gives no port for its own errors.
        assert!(socket.send_to(&[0; 65_508], "127.0.0.1:9").is_err());
        let refused = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        socket.send_to(b"hello", refused).unwrap();
        // The socket itself only has the latest error.
        let error = socket.take_error().unwrap().unwrap();
        assert_eq!(error.raw_os_error(), Some(libc::ECONNREFUSED));
        for (errno, port, expected) in
            [(libc::EMSGSIZE, 0, &b""[..]), (libc::ECONNREFUSED, refused.port(), b"hello")]
        {
            let (mut address, mut data, mut control) = ([0; 28], [0; 64], [0; 256]);
            let taken = take_error(socket.as_fd(), &mut address, &mut data, &mut control).unwrap();
            let [address_length, data_length, control_length] = taken;
            assert_eq!((address_length, &address[2..4]), (16, &port.to_be_bytes()[..]));
            assert_eq!(&data[..data_length], expected);
            let fields = [libc::SOL_IP, libc::IP_RECVERR, errno].map(i32::to_ne_bytes).concat();
            assert_eq!(control[8..20], fields, "{control_length}");
        }
        let error = take_error(socket.as_fd(), &mut [], &mut [], &mut []).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    }
}
