//! Guest memory to move an item to: new for each turn, of the pages that are asked for.
#![expect(unsafe_code, reason = "madvise(2), and the guest's view of its memory")]

use std::fs;
use std::hint::black_box;
use std::io;
use std::ptr::NonNull;

use fw_cfg::dma::{Descriptor, READ, SELECT};
use vm_memory::{Bytes, GuestAddress, GuestMemoryBackend, GuestMemoryMmap};

use super::case::{HUGE_PAGE, PAGE};
use super::{Before, Case, Origin, Pages};
use crate::Error;

/// The key of the item: the initrd's.
pub const KEY: u16 = fw_cfg::key::INITRD_DATA;

/// A guest's memory: descriptors in its first page, and as many destinations behind them.
#[derive(Debug)]
pub struct Guest {
    memory: GuestMemoryMmap,
    slots: Vec<Slot>,
}

/// One operation to be made.
#[derive(Debug)]
pub struct Slot {
    /// Where its descriptor is.
    pub descriptor: GuestAddress,
    /// Where the bytes go.
    pub address: GuestAddress,
    /// The same, as the host sees it.
    pub host: NonNull<u8>,
    /// How many they are.
    pub len: usize,
}

impl Guest {
    /// Memory for a case, with the descriptors of its operations.
    ///
    /// # Errors
    /// There is not enough.
    pub fn new(case: &Case) -> Result<Self, Error> {
        let size = case.count() * case.stride();
        let start = GuestAddress(0);
        let memory: GuestMemoryMmap =
            GuestMemoryMmap::from_ranges(&[(start, size + 2 * HUGE_PAGE)])?;
        let base = memory.get_host_address(start)? as usize;
        // Behind the descriptors' page, on a boundary of the host's huge pages.
        let first = (base + PAGE).next_multiple_of(HUGE_PAGE) - base;
        let mut guest = Self { memory, slots: Vec::with_capacity(case.count()) };
        for at in 0..case.count() {
            guest.add_slot(case, first + at * case.stride(), at * 16)?;
        }
        guest.prepare(first, size, case)?;
        Ok(guest)
    }

    fn add_slot(&mut self, case: &Case, to: usize, descriptor: usize) -> Result<(), Error> {
        let (to, descriptor) = (GuestAddress(to as u64), GuestAddress(descriptor as u64));
        let control = u32::from(KEY) << 16 | SELECT | READ;
        let request = Descriptor { control, length: u32::try_from(case.size)?, address: to.0 };
        self.memory.write_slice(&request.to_bytes(), descriptor)?;
        let host = NonNull::new(self.memory.get_host_address(to)?).ok_or("no memory")?;
        self.slots.push(Slot { descriptor, address: to, host, len: case.size });
        Ok(())
    }

    fn prepare(&self, first: usize, size: usize, case: &Case) -> Result<(), Error> {
        let at = self.memory.get_host_address(GuestAddress(first as u64))?;
        advise(
            at,
            size,
            match case.pages {
                Pages::Small => libc::MADV_NOHUGEPAGE,
                Pages::Huge => libc::MADV_HUGEPAGE,
            },
        )?;
        if case.before == Before::Touched {
            advise(at, size, libc::MADV_POPULATE_WRITE)?;
            // Something that is neither zeros nor the item, in each page.
            for page in (0..size).step_by(PAGE) {
                // SAFETY: within the guest's memory, on a page boundary; nobody else has this
                // memory yet.
                unsafe { at.add(page).cast::<u64>().write(u64::MAX) };
            }
        }
        Ok(())
    }

    /// The guest's memory, from address 0 on.
    #[must_use]
    pub fn memory(&self) -> &GuestMemoryMmap {
        &self.memory
    }

    /// The operations, in order.
    #[must_use]
    pub fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// Whether every operation was ended without an error, as the guest sees it.
    ///
    /// # Errors
    /// A descriptor is out of reach.
    pub fn all_answered(&self) -> Result<bool, Error> {
        for slot in &self.slots {
            if self.memory.read_obj::<u32>(slot.descriptor)? != 0 {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl Slot {
    /// Reads every byte there is: the sum of all words of 8 bytes.
    #[must_use]
    pub fn sum(&self) -> u64 {
        // SAFETY: `len` bytes of guest memory from a page boundary on; nobody writes to them while
        // this runs.
        let words = unsafe { std::slice::from_raw_parts(self.host.as_ptr().cast(), self.len / 8) };
        black_box(sum(words))
    }
}

/// Of words, without a carry.
#[must_use]
pub fn sum(words: &[u64]) -> u64 {
    words.iter().fold(0, |sum, &word| sum.wrapping_add(word))
}

fn advise(at: *mut u8, len: usize, advice: i32) -> io::Result<()> {
    // SAFETY: these advices leave the contents of memory as they are; the range is ours.
    let result = unsafe { libc::madvise(at.cast(), len, advice) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Whether `MADV_HUGEPAGE` gets huge pages here and now: 64 MiB are tried.
///
/// # Errors
/// There is no memory, or the kernel does not tell.
pub fn has_huge_pages() -> Result<bool, Error> {
    let (pages, before) = (Pages::Huge, Before::Touched);
    let before_kib = huge_kib()?;
    let guest = Guest::new(&Case { origin: Origin::Zeros, pages, before, size: 64 << 20 })?;
    let huge = huge_kib()?.saturating_sub(before_kib);
    drop(guest);
    Ok(huge >= 64 << 10)
}

/// KiB of anonymous huge pages that this process has.
fn huge_kib() -> Result<u64, Error> {
    let rollup = fs::read_to_string("/proc/self/smaps_rollup")?;
    let line = rollup.lines().find_map(|line| line.strip_prefix("AnonHugePages:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")).ok_or("no AnonHugePages")?;
    Ok(kib.trim().parse()?)
}
