//! QEMU: one memmove from what the item holds to guest memory.
//!
//! `fw_cfg_dma_transfer` in hw/nvram/fw_cfg.c calls `dma_memory_write` with all that is asked for
//! at once; that ends, by `address_space_write` and `flatview_write`, in
//! `flatview_write_continue_step` of system/physmem.c: one `memmove` for what lies in one block of
//! RAM. The item is (`x86_load_linux` in hw/i386/x86-common.c)
//!
//! - the kernel: read to the heap at QEMU's start by `fread`, as `-fw_cfg file=` by
//!   `g_file_get_contents`;
//! - the initrd: mapped at QEMU's start by `g_mapped_file_new`, which is mmap(2) of the whole file
//!   with `PROT_READ` and `MAP_PRIVATE` (glib/gmappedfile.c). Nothing reads it before the operation
//!   does.
//!
//! What an item does not have is filled by `dma_memory_set`, which is `address_space_set` in
//! system/physmem.c: a write each of 512 zeros. Read at commits 99fb11df (fw_cfg.c), 02825d1e
//! (physmem.c), 04ddbb13 (x86-common.c) and 056d39c9 of glib.
//!
//! The `fread` at the start is not counted here, though no peer has it: only the operation is.
#![expect(unsafe_code, reason = "mmap(2), munmap(2) and memmove(3)")]

use std::io;
use std::os::fd::AsRawFd;
use std::ptr::{self, null_mut};

use vm_memory::{Bytes, GuestAddress, GuestMemoryBackend, GuestMemoryMmap};

use super::{Way, operation};
use crate::Error;
use crate::transfer::{Case, Origin, Source};

/// `FILLBUF_SIZE`.
const FILL: usize = 512;

pub fn way(case: &Case, source: &Source, memory: &GuestMemoryMmap) -> Result<Way, Error> {
    let memory = memory.clone();
    Ok(match case.origin {
        Origin::Memory | Origin::Copied => {
            let from = source.bytes(case)?;
            Box::new(move |slot| {
                operation(&memory, slot.descriptor, |d| write(&memory, d.address, from))
            })
        }
        Origin::Mapped => {
            let file = MappedFile::new(source)?;
            let len = case.size;
            Box::new(move |slot| {
                operation(&memory, slot.descriptor, |d| {
                    write(&memory, d.address, &file.bytes()[..len])
                })
            })
        }
        Origin::Zeros => Box::new(move |slot| {
            operation(&memory, slot.descriptor, |d| fill(&memory, d.address, d.length))
        }),
    })
}

fn write(memory: &GuestMemoryMmap, address: u64, from: &[u8]) -> Result<(), Error> {
    let to = memory.get_slice(GuestAddress(address), from.len())?;
    // SAFETY: both are `from.len()` bytes; no reference to guest memory exists.
    unsafe { ptr::copy(from.as_ptr(), to.ptr_guard_mut().as_ptr(), from.len()) };
    Ok(())
}

fn fill(memory: &GuestMemoryMmap, mut address: u64, length: u32) -> Result<(), Error> {
    let zeros = [0; FILL];
    let mut left = usize::try_from(length)?;
    while left > 0 {
        let count = left.min(FILL);
        memory.write_slice(&zeros[..count], GuestAddress(address))?;
        address += count as u64;
        left -= count;
    }
    Ok(())
}

/// `GMappedFile`.
#[derive(Debug)]
struct MappedFile {
    at: *mut libc::c_void,
    len: usize,
}

impl MappedFile {
    fn new(source: &Source) -> Result<Self, Error> {
        let file = source.open()?;
        let len = usize::try_from(file.metadata()?.len())?;
        let (prot, flags) = (libc::PROT_READ, libc::MAP_PRIVATE);
        // SAFETY: a new mapping, where there was none.
        let at = unsafe { libc::mmap(null_mut(), len, prot, flags, file.as_raw_fd(), 0) };
        if at == libc::MAP_FAILED {
            return Err(io::Error::last_os_error().into());
        }
        Ok(Self { at, len })
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: mapped until `self` is dropped; nobody writes to the file.
        unsafe { std::slice::from_raw_parts(self.at.cast(), self.len) }
    }
}

impl Drop for MappedFile {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and no reference to it is left.
        unsafe { libc::munmap(self.at, self.len) };
    }
}
