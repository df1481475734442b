//! alioth: read(2) into guest memory.
//!
//! `dma_read_content` in alioth/src/device/fw_cfg/fw_cfg.rs at commit c78f8bd5 calls `write_range`
//! of src/mem/mapped.rs, which is `read_exact` into the guest's memory as a slice. Both kernel and
//! initrd are files that stay open; an item of bytes is copied by one memcpy.
#![expect(unsafe_code, reason = "guest memory as a slice")]

use vm_memory::{GuestAddress, GuestMemoryBackend, GuestMemoryMmap};

use super::{Content, Way, operation};
use crate::Error;
use crate::transfer::{Case, Source};

pub fn way(case: &Case, source: &Source, memory: &GuestMemoryMmap) -> Result<Way, Error> {
    let memory = memory.clone();
    let content = Content::new(case, source)?;
    Ok(Box::new(move |slot| {
        operation(&memory, slot.descriptor, |descriptor| {
            let size = content.size()?.min(descriptor.length.into());
            let to = memory.get_slice(GuestAddress(descriptor.address), usize::try_from(size)?)?;
            // SAFETY: guest memory of this length; no other reference to it exists while this one
            // does.
            let to =
                unsafe { std::slice::from_raw_parts_mut(to.ptr_guard_mut().as_ptr(), to.len()) };
            content.read_exact(to)
        })
    }))
}
