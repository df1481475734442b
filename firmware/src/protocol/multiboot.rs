//! The multiboot protocols: the boot information for a kernel entered in 32-bit mode.
//!
//! Sources: Multiboot Specification 0.6.96, 3.3 "Boot information format"; Multiboot2 Specification
//! 2.0, 3.6. Version 1 uses the layout of QEMU's hw/i386/multiboot.c. All integers are
//! little-endian.

use std::ops::Range;

use crate::layout;
use crate::tables::memory_map::MemoryMap;

/// The value of EAX at the entry point, for versions 1 and 2.
pub(crate) const LOADER_MAGIC_1: u32 = 0x2bad_b002;
pub(crate) const LOADER_MAGIC_2: u32 = 0x36d7_6289;
/// `flags` of version 1: memory sizes, boot device, command line, modules, memory map, loader name.
/// QEMU sets these.
const FLAGS_1: u32 = 1 << 0 | 1 << 1 | 1 << 2 | 1 << 3 | 1 << 6 | 1 << 9;
/// `boot_device` of version 1: the first hard disk, no partition.
const BOOT_DEVICE: u32 = 0x8000_ffff;
/// Size of version 1's information in bytes, and the offset of the memory map before it.
const INFO_SIZE: usize = 88;
const INFO_OFFSET: u64 = layout::MULTIBOOT_INFO - layout::MULTIBOOT_MEMORY_MAP;
/// Sizes in bytes of an entry of version 1's module list, of its memory map without the size field,
/// and of version 2's memory map.
const MODULE_1: u64 = 16;
const MAP_ENTRY_1: u32 = 20;
const MAP_ENTRY_2: u32 = 24;
const LOADER_NAME: &[u8] = b"chukka\0";
/// The name that firmware finds: the items for option ROMs are QEMU's interface.
const LOADER_NAME_OF_QEMU: &[u8] = b"qemu\0";

/// A module in guest memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LoadedModule {
    /// Guest-physical addresses.
    pub range: Range<u64>,
    /// Its text, without a terminating NUL.
    pub text: Vec<u8>,
}

/// The contents of the boot information, for either version.
#[derive(Debug)]
pub(crate) struct Information<'a> {
    /// The kernel's command line, without a terminating NUL.
    pub cmdline: &'a [u8],
    /// The modules.
    pub modules: &'a [LoadedModule],
    /// The layout of RAM.
    pub map: &'a MemoryMap,
    /// The bytes of the RSDP.
    pub rsdp: &'a [u8],
    /// The load address, if the kernel is relocatable.
    pub load_base: Option<u64>,
}

impl Information<'_> {
    /// Builds the version 1 information in two parts: the module list with all strings, for
    /// guest-physical address `at`; and the memory map with the information structure, for the page
    /// at `page`. Also returns the structure's address.
    pub fn version_1(&self, at: u64, page: u64) -> (Vec<u8>, Vec<u8>, u64) {
        let (list, mut info) = self.list_1(at, LOADER_NAME);
        let mut map = Vec::new();
        for entry in self.map.e820() {
            put(&mut map, &[MAP_ENTRY_1]);
            map.extend(entry.addr.to_le_bytes());
            map.extend(entry.size.to_le_bytes());
            put(&mut map, &[entry.kind as u32]);
        }
        let (lower, upper) = self.memory_sizes();
        info[1..3].copy_from_slice(&[lower, upper]);
        info[11..13].copy_from_slice(&[low(map.len() as u64), low(page)]);
        map.resize(usize::try_from(INFO_OFFSET).unwrap_or_default(), 0);
        put(&mut map, &info);
        (list, map, page + INFO_OFFSET)
    }

    /// Builds the version 1 information for an option ROM to complete, which knows the BIOS's
    /// memory map: the module list with all strings, for guest-physical address `at`; the
    /// structure, for a memory map at `page`; and the structure's address.
    pub fn version_1_for_firmware(&self, at: u64, page: u64) -> (Vec<u8>, Vec<u8>, u64) {
        let (list, mut info) = self.list_1(at, LOADER_NAME_OF_QEMU);
        info[12] = low(page);
        let mut bytes = Vec::new();
        put(&mut bytes, &info);
        (list, bytes, page + INFO_OFFSET)
    }

    /// The version 1 module list with all strings, for guest-physical address `at`; and the
    /// information without the memory map.
    fn list_1(&self, at: u64, loader_name: &[u8]) -> (Vec<u8>, [u32; INFO_SIZE / 4]) {
        let texts = self.modules.iter().map(|module| module.text.as_slice());
        let mut list = Vec::new();
        let mut strings = Vec::new();
        let strings_at = at + MODULE_1 * self.modules.len() as u64;
        let mut addresses = Vec::new();
        for text in texts.chain([self.cmdline]) {
            addresses.push(low(strings_at + strings.len() as u64));
            strings.extend(text);
            strings.push(0);
        }
        for (module, text) in self.modules.iter().zip(&addresses) {
            put(&mut list, &[low(module.range.start), low(module.range.end), *text, 0]);
        }
        // In QEMU, the loader's name begins after as many bytes as the option had, in which each
        // comma of a module's text was doubled.
        let texts = self.modules.iter().flat_map(|module| &module.text);
        strings.resize(strings.len() + texts.filter(|byte| **byte == b',').count(), 0);
        let loader = low(strings_at + strings.len() as u64);
        strings.extend(loader_name);
        list.extend(strings);
        let cmdline = addresses.last().copied().unwrap_or_default();
        let count = low(self.modules.len() as u64);
        let mut info = [0u32; INFO_SIZE / 4];
        info[..7].copy_from_slice(&[FLAGS_1, 0, 0, BOOT_DEVICE, cmdline, count, low(at)]);
        info[16] = loader;
        (list, info)
    }

    /// Builds the version 2 information: one structure, for an address that is a multiple of 8.
    pub fn version_2(&self) -> Vec<u8> {
        let mut tags = vec![0; 8];
        let zero_terminated = |text: &[u8]| [text, &[0]].concat();
        tag(&mut tags, 1, &zero_terminated(self.cmdline));
        tag(&mut tags, 2, LOADER_NAME);
        for LoadedModule { range, text } in self.modules {
            let mut content = Vec::new();
            put(&mut content, &[low(range.start), low(range.end)]);
            tag(&mut tags, 3, &[content, zero_terminated(text)].concat());
        }
        let mut content = Vec::new();
        let (lower, upper) = self.memory_sizes();
        put(&mut content, &[lower, upper]);
        tag(&mut tags, 4, &content);
        content.clear();
        put(&mut content, &[MAP_ENTRY_2, 0]);
        for entry in self.map.e820() {
            content.extend(entry.addr.to_le_bytes());
            content.extend(entry.size.to_le_bytes());
            put(&mut content, &[entry.kind as u32, 0]);
        }
        tag(&mut tags, 6, &content);
        // Tag 14 would be a revision 0 RSDP with an RSDT, which ours does not have.
        tag(&mut tags, 15, self.rsdp);
        if let Some(base) = self.load_base {
            tag(&mut tags, 21, &low(base).to_le_bytes());
        }
        tag(&mut tags, 0, &[]);
        let size = low(tags.len() as u64);
        tags[..4].copy_from_slice(&size.to_le_bytes());
        tags
    }

    /// RAM in KiB from 0 to the EBDA, and from 1 MiB to the first hole.
    fn memory_sizes(&self) -> (u32, u32) {
        let upper = self.map.below_4g().saturating_sub(layout::HIGH_RAM);
        (low(layout::EBDA.min(self.map.below_4g()) >> 10), low(upper >> 10))
    }
}

/// Appends a version 2 tag: type, size, content, and zeros up to a multiple of 8 bytes.
fn tag(tags: &mut Vec<u8>, kind: u32, content: &[u8]) {
    put(tags, &[kind, low(8 + content.len() as u64)]);
    tags.extend(content);
    tags.resize(tags.len().next_multiple_of(8), 0);
}

fn put(bytes: &mut Vec<u8>, words: &[u32]) {
    bytes.extend(words.iter().flat_map(|word| word.to_le_bytes()));
}

/// All addresses and sizes in these protocols are below 4 GiB.
fn low(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with<T>(check: impl FnOnce(&Information<'_>) -> T) -> T {
        let map = MemoryMap::new(64 << 20);
        let modules = [
            LoadedModule { range: 0x20_1000..0x20_1005, text: b"a one".to_vec() },
            LoadedModule { range: 0x20_2000..0x20_3000, text: b"b".to_vec() },
        ];
        let rsdp = [b'R'; 36];
        let (cmdline, load_base) = (&b"kernel x=1"[..], Some(0x10_0000));
        check(&Information { cmdline, modules: &modules, map: &map, rsdp: &rsdp, load_base })
    }

    fn word(bytes: &[u8], at: usize) -> u32 {
        u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
    }

    #[test]
    fn version_1_is_laid_out_as_qemu_does() {
        let (list, page, info) = with(|information| information.version_1(0x20_0000, 0x9000));
        assert_eq!(info, 0x9500);
        let info = &page[0x500..];
        assert_eq!(info.len(), 88);
        let fields = [0, 4, 8, 12, 20, 24, 48].map(|at| word(info, at));
        assert_eq!(fields, [0x24f, 639, 63 << 10, 0x8000_ffff, 2, 0x20_0000, 0x9000]);
        let text = |at: u32| {
            let at = usize::try_from(at - 0x20_0000).unwrap();
            list[at..].split(|byte| *byte == 0).next().unwrap()
        };
        assert_eq!(text(word(info, 16)), b"kernel x=1");
        assert_eq!(text(word(info, 64)), b"chukka");
        assert_eq!([word(&list, 0), word(&list, 4), word(&list, 12)], [0x20_1000, 0x20_1005, 0]);
        assert_eq!((text(word(&list, 8)), text(word(&list, 24))), (&b"a one"[..], &b"b"[..]));
        // The map: 24 bytes per entry, whose size field does not include itself.
        assert_eq!(word(info, 44), 3 * 24);
        assert_eq!([0, 4, 12, 20].map(|at| word(&page, at)), [20, 0, 0x9_fc00, 1]);
        assert_eq!([24, 28, 36, 44].map(|at| word(&page, at)), [20, 0x9_fc00, 0x6_0400, 2]);
    }

    #[test]
    fn version_2_is_a_sequence_of_tags() {
        let bytes = with(|information| information.version_2());
        assert_eq!(word(&bytes, 0) as usize, bytes.len());
        let (mut at, mut found) = (8, Vec::new());
        while at < bytes.len() {
            let size = word(&bytes, at + 4) as usize;
            found.push((word(&bytes, at), bytes[at + 8..at + size].to_vec()));
            at += size.next_multiple_of(8);
        }
        let kinds: Vec<u32> = found.iter().map(|(kind, _)| *kind).collect();
        assert_eq!(kinds, [1, 2, 3, 3, 4, 6, 15, 21, 0]);
        assert_eq!(found[0].1, b"kernel x=1\0");
        assert_eq!(found[2].1[8..], *b"a one\0");
        assert_eq!((word(&found[2].1, 0), word(&found[2].1, 4)), (0x20_1000, 0x20_1005));
        assert_eq!((word(&found[4].1, 0), word(&found[4].1, 4)), (639, 63 << 10));
        assert_eq!((word(&found[5].1, 0), found[5].1.len()), (24, 8 + 3 * 24));
        assert_eq!(word(&found[7].1, 0), 0x10_0000);
    }
}
