//! cloud-hypervisor: by way of the heap.
//!
//! `dma_read_content` in devices/src/legacy/fw_cfg.rs at commit ae44c297: a `vec![0u8; size]`,
//! which the kernel clears page by page, `read_exact` from the file (or from the item's bytes) into
//! it, and then vm-memory's `write` of it to the guest. Both kernel and initrd are files that stay
//! open.

use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

use super::{Content, Way, operation};
use crate::Error;
use crate::transfer::{Case, Source};

pub fn way(case: &Case, source: &Source, memory: &GuestMemoryMmap) -> Result<Way, Error> {
    let memory = memory.clone();
    let content = Content::new(case, source)?;
    Ok(Box::new(move |slot| {
        operation(&memory, slot.descriptor, |descriptor| {
            let size = content.size()?.min(descriptor.length.into());
            let mut buffer = vec![0; usize::try_from(size)?];
            content.read_exact(&mut buffer)?;
            memory.write(&buffer, GuestAddress(descriptor.address))?;
            Ok(())
        })
    }))
}
