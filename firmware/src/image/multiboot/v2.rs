//! The Multiboot 2 header: at a multiple of 8 in the first 32 KiB, followed by tags.

use super::{Addresses, Found, Header, MultibootError, SEARCHED, Version};

const MAGIC: u32 = 0xe852_50d6;
/// Sizes in bytes of the header before its tags, and of a tag before its content.
const FIXED: usize = 16;
const TAG: usize = 8;
/// 32-bit protected mode of i386.
const ARCHITECTURE_I386: u32 = 0;
/// A tag's flag: the loader may ignore it.
const OPTIONAL: u16 = 1;
/// Console flags: at least one of the consoles that the kernel supports must be available.
const CONSOLE_REQUIRED: u32 = 1;
/// The last information type that the specification defines (load base address). A kernel may
/// require any of them: as in GRUB, information that does not apply to a machine without EFI, video
/// or a BIOS is absent.
const LAST_INFORMATION: u32 = 21;

/// The first header in `head`.
pub(super) fn find(head: &[u8]) -> Found<Header> {
    let head = &head[..head.len().min(SEARCHED)];
    let is_header = |at: &usize| {
        let words = [0, 4, 8, 12].map(|offset| word(head, at + offset));
        let sum = words.into_iter().try_fold(0u32, |sum, word| Some(sum.wrapping_add(word?)));
        words[0] == Some(MAGIC) && sum == Some(0)
    };
    let at = (0..head.len()).step_by(8).find(is_header)?;
    Some(parse(head, at))
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
}

fn parse(head: &[u8], at: usize) -> Result<Header, MultibootError> {
    let field = |offset: usize| word(head, at + offset).unwrap_or_default();
    let (architecture, length) = (field(4), field(8));
    if architecture != ARCHITECTURE_I386 {
        return Err(MultibootError::Architecture(architecture));
    }
    let wrong = |field, value: u32| MultibootError::Nonsense { field, value: value.into() };
    let end = usize::try_from(length).ok().and_then(|length| at.checked_add(length));
    let tags = end.and_then(|end| head.get(at + FIXED..end));
    let mut tags = tags.ok_or(wrong("header_length", length))?;
    let mut header =
        Header { version: Version::Two, addresses: None, entry: None, relocatable: false };
    while let (Some(kinds), Some(size)) = (word(tags, 0), word(tags, 4)) {
        let (kind, flags) = (kinds & 0xffff, (kinds >> 16) as u16);
        if kind == 0 {
            break;
        }
        let length = usize::try_from(size).unwrap_or(usize::MAX);
        let content = tags.get(TAG..length).ok_or(wrong("a tag's size", size))?;
        header.take(kind, flags & OPTIONAL != 0, content, at as u64)?;
        tags = tags.get(length.next_multiple_of(8)..).unwrap_or_default();
    }
    Ok(header)
}

impl Header {
    fn take(
        &mut self,
        kind: u32,
        optional: bool,
        content: &[u8],
        offset: u64,
    ) -> Result<(), MultibootError> {
        let field = |index: usize| word(content, index * 4).unwrap_or_default();
        let unsupported = |feature: String| match optional {
            true => Ok(()),
            false => Err(MultibootError::Unsupported { version: Version::Two, feature }),
        };
        match kind {
            1 => {
                let mut wanted = content.chunks_exact(4).filter_map(|bytes| word(bytes, 0));
                match wanted.find(|kind| *kind > LAST_INFORMATION) {
                    Some(kind) => unsupported(format!("information of the unknown type {kind}")),
                    None => Ok(()),
                }
            }
            2 => {
                self.addresses = Some(Addresses {
                    offset,
                    header: field(0),
                    load: field(1),
                    load_end: field(2),
                    bss_end: field(3),
                });
                Ok(())
            }
            3 => {
                self.entry = Some(field(0));
                Ok(())
            }
            4 if field(0) & CONSOLE_REQUIRED != 0 => unsupported("a text console".into()),
            5 => unsupported("a framebuffer".into()),
            // Module alignment is always provided. EFI's boot services and entry points concern EFI
            // loaders.
            4 | 6..=9 => Ok(()),
            10 => {
                self.relocatable = true;
                Ok(())
            }
            unknown => unsupported(format!("what its tag of the unknown type {unknown} says")),
        }
    }
}
