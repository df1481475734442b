//! The error queue of a UDP socket: the datagrams that ICMP has reported errors about
//! (`IP_RECVERR` in ip(7), struct `sock_extended_err` in linux/errqueue.h).

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;

/// Bytes of an undelivered datagram that are kept: an error message to the guest quotes no more.
const PAYLOAD: usize = 64;
/// Length of a struct `cmsghdr`: its whole length, the level and the type.
const HEADER: usize = 16;
/// Address families in the first two bytes of a sockaddr.
const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;
/// Level and type of the control message with a `sock_extended_err`, for IPv4 and IPv6: `IP_RECVERR`
/// of `SOL_IP`, and `IPV6_RECVERR` of `SOL_IPV6`.
const RECVERR: [(u32, u32); 2] = [(0, 11), (41, 25)];
/// Largest error number of Linux.
const MAX_ERRNO: u32 = 4095;

/// The system calls for error queues. rustix does not have them, and this crate has no unsafe code.
#[derive(Clone, Copy, Debug)]
pub struct ErrorQueue {
    /// Has a UDP socket that is not connected keep the errors that ICMP reports (`IP_RECVERR`, or
    /// `IPV6_RECVERR` for `is_ipv6`).
    pub keep: fn(socket: BorrowedFd<'_>, is_ipv6: bool) -> io::Result<()>,
    /// Takes the oldest error.
    pub take: TakeError,
}

/// Takes the oldest error from the queue of a socket, without waiting, by recvmsg(2) with
/// `MSG_ERRQUEUE`. Returns how many bytes of `address` (a sockaddr), `data` and `control` (control
/// messages) the kernel has set.
pub type TakeError = fn(
    socket: BorrowedFd<'_>,
    address: &mut [u8],
    data: &mut [u8],
    control: &mut [u8],
) -> io::Result<[usize; 3]>;

/// A datagram that did not arrive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Undelivered {
    /// Where it went.
    pub to: SocketAddr,
    /// Why it did not arrive. The error that other calls on the socket return may be about another
    /// datagram.
    pub error: Errno,
    /// Its payload, at most 64 bytes.
    pub payload: Vec<u8>,
}

impl ErrorQueue {
    /// Takes the oldest error from the queue of a socket. `None`: the queue is empty. `Some(None)`:
    /// the error cannot be read.
    pub(crate) fn next(&self, socket: &OwnedFd) -> Option<Option<Undelivered>> {
        let (mut address, mut data, mut control) = ([0; 28], [0; PAYLOAD], [0; 256]);
        let [address_length, data_length, control_length] =
            (self.take)(socket.as_fd(), &mut address, &mut data, &mut control).ok()?;
        let read = || {
            Some(Undelivered {
                to: socket_address(address.get(..address_length)?)?,
                error: extended_error(control.get(..control_length)?)?,
                payload: data.get(..data_length)?.to_vec(),
            })
        };
        Some(read())
    }
}

/// A struct `sockaddr_in` or `sockaddr_in6`.
fn socket_address(bytes: &[u8]) -> Option<SocketAddr> {
    let (family, rest) = bytes.split_first_chunk()?;
    let (port, rest) = rest.split_first_chunk()?;
    let port = u16::from_be_bytes(*port);
    match u16::from_ne_bytes(*family) {
        AF_INET => Some((Ipv4Addr::from(*rest.first_chunk::<4>()?), port).into()),
        AF_INET6 => {
            let (_flow, rest) = rest.split_first_chunk::<4>()?;
            let (address, rest) = rest.split_first_chunk::<16>()?;
            let scope = u32::from_ne_bytes(*rest.first_chunk()?);
            Some(SocketAddrV6::new(Ipv6Addr::from(*address), port, 0, scope).into())
        }
        _ => None,
    }
}

/// The error number of the `sock_extended_err` among control messages (cmsg(3)).
fn extended_error(mut control: &[u8]) -> Option<Errno> {
    loop {
        let length = usize::from_ne_bytes(*control.first_chunk()?);
        let (level, kind) = (word(control, 8)?, word(control, 12)?);
        if RECVERR.contains(&(level, kind)) {
            // ee_errno is the first field.
            let error = word(control.get(HEADER..length)?, 0)?;
            let error = Some(error).filter(|error| (1..=MAX_ERRNO).contains(error))?;
            return i32::try_from(error).ok().map(Errno::from_raw_os_error);
        }
        // Each message begins at a multiple of the size of a pointer.
        control = control.get(length.max(HEADER).checked_next_multiple_of(8)?..)?;
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(level: u32, kind: u32, data: &[u8]) -> Vec<u8> {
        let mut bytes = (HEADER + data.len()).to_ne_bytes().to_vec();
        bytes.extend([level.to_ne_bytes(), kind.to_ne_bytes()].concat());
        bytes.extend(data);
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        bytes
    }

    #[test]
    fn the_error_number_is_that_of_the_extended_error() {
        let refused = [&111_u32.to_ne_bytes()[..], &[2, 3, 3, 0], &[0; 24]].concat();
        for (level, kind) in RECVERR {
            let control = [message(1, 29, &[1; 3]), message(level, kind, &refused)].concat();
            assert_eq!(extended_error(&control), Some(Errno::CONNREFUSED));
            for length in 0..HEADER + 4 {
                assert_eq!(extended_error(&control[24..24 + length]), None, "{length}");
            }
            for error in [0_u32, 4096, u32::MAX] {
                assert_eq!(extended_error(&message(level, kind, &error.to_ne_bytes())), None);
            }
        }
        assert_eq!(extended_error(&[0; 256]), None);
        assert_eq!(extended_error(&[0xff; 256]), None);
    }

    #[test]
    fn addresses_of_both_families_are_read() {
        let ipv4 = [&AF_INET.to_ne_bytes()[..], &[0x12, 0x34, 192, 0, 2, 1]].concat();
        assert_eq!(socket_address(&ipv4), Some("192.0.2.1:4660".parse().unwrap()));
        let mut ipv6 = [&AF_INET6.to_ne_bytes()[..], &[0, 80, 0, 0, 0, 0], &[0; 20]].concat();
        ipv6[23] = 1;
        assert_eq!(socket_address(&ipv6), Some("[::1]:80".parse().unwrap()));
        for bytes in [&ipv4[..7], &ipv6[..27], &[], &[9; 28]] {
            assert_eq!(socket_address(bytes), None);
        }
    }
}
