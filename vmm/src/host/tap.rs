//! Tap interfaces of the host: Ethernet frames of an interface as a file
//! (Documentation/networking/tuntap.rst in Linux).
//!
//! Each frame in the file has a `struct virtio_net_hdr_v1` before it, 12 bytes.

#![expect(unsafe_code, reason = "ioctls, and descriptors that the user names by number")]

use std::ffi::CString;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;

use vmm_sys_util::ioctl::{ioctl_with_mut_ref, ioctl_with_ref, ioctl_with_val};

use ioctls::{TUNGETIFF, TUNSETIFF, TUNSETOFFLOAD, TUNSETVNETHDRSZ};

/// The ioctls of linux/if_tun.h.
mod ioctls {
    use vmm_sys_util::{ioctl_ior_nr, ioctl_iow_nr};

    ioctl_iow_nr!(TUNSETIFF, 0x54, 202, std::os::raw::c_int);
    ioctl_iow_nr!(TUNSETOFFLOAD, 0x54, 208, std::os::raw::c_uint);
    ioctl_ior_nr!(TUNGETIFF, 0x54, 210, std::os::raw::c_uint);
    ioctl_iow_nr!(TUNSETVNETHDRSZ, 0x54, 216, std::os::raw::c_int);
}

const TUN_F_CSUM: u64 = 1;
const TUN_F_TSO4: u64 = 2;
const TUN_F_TSO6: u64 = 4;

/// Bytes of the header before each frame.
const HEADER_SIZE: i32 = 12;
const FLAGS: i32 = libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_VNET_HDR;

/// Opens the interface `name`, which exists. Reads and writes do not block.
///
/// # Errors
/// There is no /dev/net/tun, or the interface is not a tap interface, is not the user's
/// (`EPERM`), or is in use (`EBUSY`).
pub fn open(name: &str) -> io::Result<File> {
    let mut request = empty_request();
    let text = CString::new(name)?;
    let bytes = text.as_bytes_with_nul();
    if bytes.len() > request.ifr_name.len() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    for (to, from) in request.ifr_name.iter_mut().zip(bytes) {
        *to = libc::c_char::from_ne_bytes([*from]);
    }
    request.ifr_ifru.ifru_flags = libc::c_short::try_from(FLAGS).unwrap_or_default();
    let mut options = OpenOptions::new();
    let file =
        options.read(true).write(true).custom_flags(libc::O_NONBLOCK).open("/dev/net/tun")?;
    // SAFETY: the kernel reads and writes a `struct ifreq`, which this is.
    check(unsafe { ioctl_with_mut_ref(&file, TUNSETIFF(), &mut request) })?;
    prepare(file)
}

/// Takes over a tap interface that the parent process has opened with `IFF_VNET_HDR`.
///
/// # Errors
/// The descriptor is not open, or is not one of a tap interface with headers; the message says what
/// it is instead.
pub fn from_fd(fd: RawFd) -> io::Result<File> {
    // SAFETY: fcntl with F_GETFD takes no pointer.
    check(unsafe { libc::fcntl(fd, libc::F_GETFD) })?;
    // SAFETY: it is open. The user gives it to chukka, which uses each number once.
    let file = unsafe { File::from_raw_fd(fd) };
    let mut request = empty_request();
    // SAFETY: the kernel writes a `struct ifreq`, which this is.
    let result = check(unsafe { ioctl_with_mut_ref(&file, TUNGETIFF(), &mut request) });
    // SAFETY: every bit pattern is valid for this field of the union.
    let flags = i32::from(unsafe { request.ifr_ifru.ifru_flags });
    if let Err(error) = result {
        // It stays open: it is not what the user meant.
        std::mem::forget(file);
        return Err(match error.raw_os_error() {
            Some(libc::ENOTTY) => io::Error::other("it is not a tap interface"),
            Some(libc::EBADFD) => {
                io::Error::other("it is /dev/net/tun without an interface (TUNSETIFF is missing)")
            }
            _ => error,
        });
    }
    if let Some(what) = unsuitable(flags) {
        return Err(io::Error::other(what));
    }
    // SAFETY: F_SETFL takes no pointer.
    check(unsafe {
        libc::fcntl(file.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK | libc::O_RDWR)
    })?;
    prepare(file)
}

/// What is wrong with an interface of these flags. `IFF_NO_PI` is not among them: the kernel
/// returns `IFF_NOFILTER` in the same bit (drivers/net/tun.c, `TUNGETIFF`).
fn unsuitable(flags: i32) -> Option<&'static str> {
    if flags & libc::IFF_TAP == 0 {
        Some("it is a tun interface, which has no Ethernet frames: open it with IFF_TAP")
    } else if flags & libc::IFF_VNET_HDR == 0 {
        Some("it is a tap interface without IFF_VNET_HDR")
    } else {
        None
    }
}

/// Says what may be left undone in frames from the interface.
///
/// # Errors
/// The kernel does not know it.
pub fn set_offloads(file: &File, checksum: bool, tso4: bool, tso6: bool) -> io::Result<()> {
    let bit = |on: bool, bit: u64| if on { bit } else { 0 };
    let bits = bit(checksum, TUN_F_CSUM) | bit(tso4, TUN_F_TSO4) | bit(tso6, TUN_F_TSO6);
    // SAFETY: this ioctl takes a number.
    check(unsafe { ioctl_with_val(file, TUNSETOFFLOAD(), bits) })
}

fn prepare(file: File) -> io::Result<File> {
    // SAFETY: the kernel reads an `int`, which this is.
    check(unsafe { ioctl_with_ref(&file, TUNSETVNETHDRSZ(), &HEADER_SIZE) })?;
    set_offloads(&file, false, false, false)?;
    Ok(file)
}

fn empty_request() -> libc::ifreq {
    // SAFETY: `struct ifreq` consists of numbers, for which zeros are valid.
    unsafe { std::mem::zeroed() }
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// IFNAMSIZ (include/uapi/linux/if.h) is 16, with the byte that ends the name.
    #[test]
    fn names_longer_than_the_kernel_s_are_refused() {
        let error = open("0123456789abcdef").unwrap_err();
        assert_eq!((error.kind(), error.raw_os_error()), (io::ErrorKind::InvalidInput, None));
    }

    #[test]
    fn what_is_no_interface_has_no_offloads() {
        let file = File::open("/dev/null").unwrap();
        let error = set_offloads(&file, true, true, true).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENOTTY));
    }
}
