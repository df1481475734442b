//! The Multiboot 1 header: at a multiple of 4 in the first 8 KiB.

use super::{Addresses, Found, Header, MultibootError, Version};

const MAGIC: u32 = 0x1bad_b002;
/// QEMU requires all twelve words of the longest header to be below 8 KiB.
const LAST: usize = 8192 - 48;
/// Modules must be page-aligned: ours always are.
const PAGE_ALIGN: u32 = 1 << 0;
/// Memory information: always provided.
const MEMORY_INFO: u32 = 1 << 1;
/// A preferred video mode. GRUB sets one; QEMU and chukka have no screen and start the kernel
/// anyway.
const VIDEO_MODE: u32 = 1 << 2;
/// The low half of the flags: features a loader must support.
const REQUIRED: u32 = 0xffff;
/// The address fields are valid.
const ADDRESSES: u32 = 1 << 16;

/// The first header in `head`.
pub(super) fn find(head: &[u8]) -> Found<Header> {
    let word = |at: usize| {
        let bytes = head.get(at..).and_then(|rest| rest.first_chunk());
        bytes.map(|bytes| u32::from_le_bytes(*bytes))
    };
    let is_header = |at: &usize| {
        let sum = word(at + 4)?.wrapping_add(word(at + 8)?).wrapping_add(MAGIC);
        (word(*at)? == MAGIC && sum == 0).then_some(())
    };
    let at = (0..LAST).step_by(4).find(|at| is_header(at).is_some())?;
    let flags = word(at + 4)?;
    let unknown = flags & REQUIRED & !(PAGE_ALIGN | MEMORY_INFO | VIDEO_MODE);
    if unknown != 0 {
        let feature = format!("flags {unknown:#x}, unknown to the specification");
        return Some(Err(MultibootError::Unsupported { version: Version::One, feature }));
    }
    let field = |index: usize| word(at + index * 4).unwrap_or_default();
    let with_addresses = flags & ADDRESSES != 0;
    let addresses = Addresses {
        offset: at as u64,
        header: field(3),
        load: field(4),
        load_end: field(5),
        bss_end: field(6),
    };
    Some(Ok(Header {
        version: Version::One,
        addresses: with_addresses.then_some(addresses),
        entry: with_addresses.then(|| field(7)),
        relocatable: false,
    }))
}
