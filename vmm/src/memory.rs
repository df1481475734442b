//! Guest memory: anonymous, huge-page-aligned, private; and files placed in it by reading or by mapping.
#![expect(unsafe_code, reason = "mmap(2), munmap(2) and madvise(2) have no safe form")]

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::ptr::{null_mut, without_provenance_mut};
use std::sync::Mutex;
use std::thread::{self, available_parallelism};

use firmware::layout::PAGE_SIZE;
use firmware::{Content, GuestRam, MemoryMap, SourceFile};
use thiserror::Error;
use vm_memory::mmap::MmapRegionError;
use vm_memory::{
    Bytes, GuestAddress, GuestMemoryBackend, GuestMemoryMmap, GuestMemoryRegion, GuestRegionMmap,
    MmapRegion,
};

use crate::config::{TooMuchMemory, check_memory};

/// x86's huge page. KVM maps guest memory by huge pages where host and guest address agree below this.
const HUGE_PAGE: usize = 2 << 20;

/// Data of at least so many bytes is mapped and not read, where file and guest address agree below the page size. Below it a read
/// is as fast, and into huge pages it costs the guest no page faults. Code is always read: mapped, each 4 KiB of it is a page fault
/// when it runs and one more when it is written over (docs/decisions/0003-placing-files.md has the measurements).
const MAP_FROM: u64 = 16 << 20;
/// Reads are shared out to threads in pieces of at least so many bytes: zeroing and filling fresh huge pages keeps a CPU busy.
const READ_PIECE: u64 = 4 << 20;

/// Why guest memory cannot be had.
#[derive(Debug, Error)]
pub enum MemoryError {
    /// More than the host has, RAM and swap together.
    #[error(transparent)]
    BeyondHost(#[from] TooMuchMemory),
    /// The host would not give it.
    #[error("Cannot get {} MiB of memory for the guest", size >> 20)]
    Map {
        /// Bytes asked for.
        size: u64,
        /// What the system said.
        source: io::Error,
    },
    /// vm-memory would not take it.
    #[error("Cannot describe guest memory")]
    Region(#[from] MmapRegionError),
    /// The regions do not fit together.
    #[error("Cannot put guest memory together")]
    Collection(#[from] vm_memory::GuestRegionCollectionError),
}

impl MemoryError {
    /// What the user can do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::BeyondHost(error) => error.hint(),
            _ => "give the guest less memory with -m, or look at ulimit -v".into(),
        }
    }
}

/// The guest's RAM. It lives as long as the process does, over every reboot of the guest.
#[derive(Debug)]
pub struct Ram {
    memory: GuestMemoryMmap,
    /// Files whose pages are mapped into guest memory.
    mapped: Mutex<Vec<MappedFile>>,
}

/// A file whose pages the guest reads from the page cache, and how long it has to stay for that.
#[derive(Debug)]
struct MappedFile {
    path: PathBuf,
    file: File,
    end: u64,
}

impl Ram {
    /// Gets memory for `map`. Nothing of it is touched yet.
    ///
    /// # Errors
    /// [`MemoryError`]: more than the host has, or the host refuses.
    pub fn new(map: &MemoryMap) -> Result<Self, MemoryError> {
        check_memory(map.size(), host_memory())?;
        let regions = map.ram().map(region).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { memory: GuestMemoryMmap::from_regions(regions)?, mapped: Mutex::default() })
    }

    /// The memslots: guest-physical address, size in bytes, host address.
    pub fn slots(&self) -> impl Iterator<Item = (u64, u64, u64)> {
        self.memory.iter().map(|r| (r.start_addr().0, r.len(), r.as_ptr() as u64))
    }

    /// The first mapped file that is shorter now than what the guest was shown of it: its name, the length it had to keep, and
    /// the length it has. The pages that are gone make `KVM_RUN` fail with EFAULT when the guest comes to them.
    pub fn cut_file(&self) -> Option<(PathBuf, u64, u64)> {
        let mapped = self.mapped.lock().ok()?;
        mapped.iter().find_map(|m| {
            let now = m.file.metadata().ok()?.len();
            (now < m.end).then(|| (m.path.clone(), m.end, now))
        })
    }

    /// Maps whole pages of a file over guest memory, privately: the guest's writes go to copies.
    fn map_pages(
        &self,
        source: &SourceFile,
        range: Range<u64>,
        at: GuestAddress,
    ) -> io::Result<()> {
        let len = usize::try_from(range.end - range.start).map_err(io::Error::other)?;
        let offset = i64::try_from(range.start).map_err(io::Error::other)?;
        let slice = self.memory.get_slice(at, len).map_err(io::Error::other)?;
        let file = source.file().try_clone()?;
        // SAFETY: `slice` is guest memory of ours, `len` bytes from a page boundary, which only this mapping takes the place of;
        // guest memory is read and written as volatile bytes, so that no reference to the old contents exists.
        let mapped = unsafe {
            libc::mmap(
                slice.ptr_guard_mut().as_ptr().cast(),
                len,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_FIXED | libc::MAP_NORESERVE,
                file.as_raw_fd(),
                offset,
            )
        };
        if mapped == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        if let Ok(mut files) = self.mapped.lock() {
            files.retain(|m| m.path != source.path());
            files.push(MappedFile { path: source.path().into(), file, end: range.end });
        }
        Ok(())
    }

    /// Reads a part of a file into guest memory, on as many CPUs as there are pieces for.
    fn read(&self, source: &SourceFile, range: Range<u64>, at: GuestAddress) -> io::Result<()> {
        let len = range.end - range.start;
        if len == 0 {
            return Ok(()); // `at` may be the end of memory
        }
        let cpus = available_parallelism().map_or(1, |n| n.get() as u64);
        let pieces = (len / READ_PIECE).clamp(1, cpus);
        // Pieces meet at huge pages, so that no two threads want the same one.
        let step = len.div_ceil(pieces).next_multiple_of(HUGE_PAGE as u64);
        let piece = |start: u64| {
            let offset = range.start + start..range.start + len.min(start + step);
            self.read_piece(source, offset, GuestAddress(at.0 + start))
        };
        thread::scope(|scope| {
            let others: Vec<_> = (1..pieces)
                .map(|i| i * step)
                .filter(|start| *start < len)
                .map(|start| scope.spawn(move || piece(start)))
                .collect();
            let first = piece(0);
            let failed = || io::Error::other("a thread that reads a file has failed");
            others
                .into_iter()
                .fold(first, |all, other| all.and(other.join().unwrap_or_else(|_| Err(failed()))))
        })
    }

    fn read_piece(
        &self,
        source: &SourceFile,
        mut range: Range<u64>,
        at: GuestAddress,
    ) -> io::Result<()> {
        let len = usize::try_from(range.end - range.start).map_err(io::Error::other)?;
        let slice = self.memory.get_slice(at, len).map_err(io::Error::other)?;
        let mut to = slice.ptr_guard_mut().as_ptr();
        while range.start < range.end {
            let left = usize::try_from(range.end - range.start).map_err(io::Error::other)?;
            let offset = i64::try_from(range.start).map_err(io::Error::other)?;
            // SAFETY: `to` and the `left` bytes after it are guest memory of ours, which is only ever accessed as volatile bytes.
            let count = unsafe { libc::pread(source.file().as_raw_fd(), to.cast(), left, offset) };
            match u64::try_from(count) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => {
                    range.start += count;
                    to = to.wrapping_add(usize::try_from(count).map_err(io::Error::other)?);
                }
                Err(_) => {
                    let error = io::Error::last_os_error();
                    if error.kind() != io::ErrorKind::Interrupted {
                        return Err(error);
                    }
                }
            }
        }
        Ok(())
    }
}

impl GuestRam for Ram {
    type Memory = GuestMemoryMmap;

    fn memory(&self) -> &GuestMemoryMmap {
        &self.memory
    }

    fn place(
        &self,
        source: &SourceFile,
        range: Range<u64>,
        at: GuestAddress,
        content: Content,
    ) -> io::Result<()> {
        let now = source.file().metadata()?.len();
        if now < range.end {
            let what = format!("it ends at byte {now}, {} were expected", range.end);
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, what));
        }
        let congruent = at.0 % PAGE_SIZE == range.start % PAGE_SIZE;
        if content == Content::Code || !congruent || range.end - range.start < MAP_FROM {
            return self.read(source, range, at);
        }
        // Whole pages are mapped; what comes before and after them on shared pages is copied.
        let pages = range.start.next_multiple_of(PAGE_SIZE)..range.end & !(PAGE_SIZE - 1);
        let address = |offset: u64| GuestAddress(at.0 + (offset - range.start));
        self.read(source, range.start..pages.start, at)?;
        self.read(source, pages.end..range.end, address(pages.end))?;
        self.map_pages(source, pages.clone(), address(pages.start))
    }

    fn zero(&self, at: GuestAddress, size: u64) -> io::Result<()> {
        static ZEROS: [u8; 1 << 16] = [0; 1 << 16];
        let mut done = 0;
        while done < size {
            let len = (size - done).min(ZEROS.len() as u64);
            let chunk = usize::try_from(len).map_err(io::Error::other)?;
            self.memory
                .write_slice(&ZEROS[..chunk], GuestAddress(at.0 + done))
                .map_err(io::Error::other)?;
            done += len;
        }
        Ok(())
    }
}

/// Anonymous memory for one range of guest-physical addresses, at a host address that agrees with it below 2 MiB.
fn region(range: Range<u64>) -> Result<GuestRegionMmap, MemoryError> {
    let map_error = |source| MemoryError::Map { size: range.end - range.start, source };
    let too_big = || map_error(io::Error::from_raw_os_error(libc::ENOMEM));
    let size = usize::try_from(range.end - range.start).map_err(|_| too_big())?;
    let reserved = size.checked_add(HUGE_PAGE).ok_or_else(too_big)?;
    let (prot, flags) = (
        libc::PROT_READ | libc::PROT_WRITE,
        libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
    );
    // SAFETY: a new mapping, placed by the kernel; it overlaps nothing.
    let start = unsafe { libc::mmap(null_mut(), reserved, prot, flags, -1, 0) };
    if start == libc::MAP_FAILED {
        return Err(map_error(io::Error::last_os_error()));
    }
    let aligned = (start as usize).next_multiple_of(HUGE_PAGE);
    let pointer: *mut u8 = start.cast::<u8>().wrapping_add(aligned - start as usize);
    let (head, tail) = (aligned - start as usize, start as usize + reserved - aligned - size);
    // SAFETY: head and tail are parts of the mapping just made that nothing else knows of; MADV_HUGEPAGE only advises. What
    // fails here costs speed or address space, nothing else.
    unsafe {
        if head > 0 {
            libc::munmap(start, head);
        }
        if tail > 0 {
            libc::munmap(without_provenance_mut(aligned + size), tail);
        }
        libc::madvise(pointer.cast(), size, libc::MADV_HUGEPAGE);
    }
    // SAFETY: `pointer` is `size` bytes of a mapping that lasts as long as the process: nothing unmaps it.
    let mmap = unsafe { MmapRegion::build_raw(pointer, size, prot, flags) }?;
    GuestRegionMmap::new(mmap, GuestAddress(range.start)).ok_or_else(too_big)
}

/// RAM and swap of the host, in bytes.
fn host_memory() -> u64 {
    // SAFETY: sysinfo(2) fills in the struct it is given; all zero is a valid one.
    let info = unsafe {
        let mut info = std::mem::zeroed::<libc::sysinfo>();
        if libc::sysinfo(&raw mut info) != 0 {
            return u64::MAX;
        }
        info
    };
    (info.totalram + info.totalswap).saturating_mul(info.mem_unit.into())
}

#[cfg(test)]
mod tests;
