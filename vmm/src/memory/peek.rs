//! Guest memory as a debugger sees it: whatever is there now, read and written by system calls.
#![expect(unsafe_code, reason = "process_vm_readv(2) and process_vm_writev(2) have no safe form")]

/// Ranges of guest-physical memory, RAM and ROMs: address, size in bytes, host address. They are
/// mapped as long as the guest exists.
#[derive(Clone, Debug, Default)]
pub struct Slots {
    /// Those that can be written.
    pub ram: Vec<(u64, u64, u64)>,
    /// Those that can only be read.
    pub rom: Vec<(u64, u64, u64)>,
}

impl Slots {
    /// Reads memory from guest-physical address `at`. Returns how many bytes there were.
    pub fn read(&self, at: u64, data: &mut [u8]) -> usize {
        let Some((host, len)) = place(self.ram.iter().chain(&self.rom), at, data.len()) else {
            return 0;
        };
        read_host(host, &mut data[..len])
    }

    /// Writes to RAM from guest-physical address `at` on. Returns how many bytes were written.
    pub fn write(&self, at: u64, data: &[u8]) -> usize {
        let Some((host, len)) = place(self.ram.iter(), at, data.len()) else { return 0 };
        let local = libc::iovec { iov_base: data.as_ptr().cast_mut().cast(), iov_len: len };
        let remote = libc::iovec { iov_base: host, iov_len: len };
        // SAFETY: the kernel only reads `data`, and writes at most `len` bytes of guest memory,
        // which the guest can change at any time as well.
        let written = unsafe {
            libc::process_vm_writev(libc::getpid(), &raw const local, 1, &raw const remote, 1, 0)
        };
        usize::try_from(written).unwrap_or_default()
    }
}

/// Reads memory of this process from an address on, which may be anything. Returns how many bytes
/// there were.
///
/// The system call fails where a mapped file was truncated; a plain read would raise SIGBUS.
pub fn read_host(host: *const libc::c_void, data: &mut [u8]) -> usize {
    let local = libc::iovec { iov_base: data.as_mut_ptr().cast(), iov_len: data.len() };
    let remote = libc::iovec { iov_base: host.cast_mut(), iov_len: data.len() };
    // SAFETY: the kernel writes at most as many bytes as `data` has, and only reads the remote
    // side, if it is there.
    let read = unsafe {
        libc::process_vm_readv(libc::getpid(), &raw const local, 1, &raw const remote, 1, 0)
    };
    usize::try_from(read).unwrap_or_default()
}

/// The host address of a guest-physical one, and how many of `len` bytes are in the same slot.
fn place<'a>(
    mut slots: impl Iterator<Item = &'a (u64, u64, u64)>,
    at: u64,
    len: usize,
) -> Option<(*mut libc::c_void, usize)> {
    let inside = |(start, size, _): &&(u64, u64, u64)| at >= *start && at - start < *size;
    let (start, size, host) = slots.find(inside)?;
    let offset = at - start;
    let host = usize::try_from(host + offset).ok()?;
    let len = len.min(usize::try_from(size - offset).ok()?);
    Some((std::ptr::with_exposed_provenance_mut(host), len))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accesses_end_where_memory_does() {
        let mut memory = *b"0123456789abcdef";
        let host = memory.as_mut_ptr().expose_provenance() as u64;
        let slots = Slots { ram: vec![(0x1000, 8, host)], rom: vec![(0x2000, 8, host + 8)] };
        let mut data = [0; 4];
        assert_eq!((slots.read(0x1002, &mut data), &data), (4, b"2345"));
        assert_eq!((slots.read(0x1006, &mut data), &data), (2, b"6745"));
        assert_eq!((slots.read(0x2004, &mut data), &data), (4, b"cdef"));
        assert_eq!((slots.read(0x1008, &mut data), slots.read(0xfff, &mut data)), (0, 0));
        assert_eq!(slots.read(0x2008, &mut data), 0, "nothing is behind the last byte");
        assert_eq!((slots.write(0x1006, b"XYZ"), slots.write(0x2000, b"X")), (2, 0));
        assert_eq!(&memory, b"012345XY89abcdef");
    }
}
