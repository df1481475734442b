//! Kernel files, valid and invalid, made byte by byte.

use std::ops::Range;

/// A bzImage with the setup header fields that chukka checks. It passes every check, but contains
/// no code.
///
/// Fields and offsets: Documentation/arch/x86/boot.rst in Linux.
#[derive(Clone, Copy, Debug)]
pub struct BzImage {
    /// Boot protocol.
    pub version: u16,
    /// Bit 0: there is a 64-bit entry point. Bit 1: the initrd can be anywhere.
    pub xloadflags: u16,
    /// Longest command line, without its zero.
    pub cmdline_size: u32,
    /// Last address of an initrd.
    pub initrd_addr_max: u32,
    /// Preferred load address.
    pub pref_address: u64,
    /// Memory needed there in bytes.
    pub init_size: u32,
}

impl Default for BzImage {
    fn default() -> Self {
        Self {
            version: 0x20f,
            xloadflags: 0b11,
            cmdline_size: 2047,
            initrd_addr_max: 0x7fff_ffff,
            pref_address: 16 << 20,
            init_size: 8 << 20,
        }
    }
}

impl BzImage {
    /// Number of setup sectors after the first.
    const SETUP_SECTORS: u8 = 4;
    /// Offset of the protected-mode kernel in the file.
    pub const PAYLOAD_OFFSET: usize = (Self::SETUP_SECTORS as usize + 1) * 512;
    /// Bytes of the protected-mode kernel.
    const PAYLOAD: usize = 64 << 10;

    /// The file.
    #[must_use]
    pub fn file(self) -> Vec<u8> {
        let mut file = vec![0; Self::PAYLOAD_OFFSET + Self::PAYLOAD];
        let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, b"MZ");
        put(0x1f1, &[Self::SETUP_SECTORS]);
        put(0x1f4, &u32::try_from(Self::PAYLOAD / 16).unwrap_or_default().to_le_bytes());
        put(0x1fe, &[0x55, 0xaa]);
        put(0x200, &[0xeb, 0x6a]); // jmp 0x26c
        put(0x202, b"HdrS");
        put(0x206, &self.version.to_le_bytes());
        put(0x211, &[1]); // LOADED_HIGH
        put(0x22c, &self.initrd_addr_max.to_le_bytes());
        put(0x230, &(2u32 << 20).to_le_bytes());
        put(0x234, &[1, 21]); // relocatable, min_alignment
        put(0x236, &self.xloadflags.to_le_bytes());
        put(0x238, &self.cmdline_size.to_le_bytes());
        put(0x258, &self.pref_address.to_le_bytes());
        put(0x260, &self.init_size.to_le_bytes());
        file
    }
}

/// Offset of each field of the setup header, and the end of the last one in protocol 2.15.
pub const HEADER_FIELDS: [usize; 42] = [
    0x1f1, 0x1f2, 0x1f4, 0x1f8, 0x1fa, 0x1fc, 0x1fe, 0x200, 0x202, 0x206, 0x208, 0x20c, 0x20e,
    0x210, 0x211, 0x212, 0x214, 0x218, 0x21c, 0x220, 0x224, 0x226, 0x227, 0x228, 0x22c, 0x230,
    0x234, 0x235, 0x236, 0x238, 0x23c, 0x240, 0x248, 0x24c, 0x250, 0x258, 0x260, 0x264, 0x268,
    0x26c, 0x26d, 0x280,
];

/// Offset of a bzImage's protected-mode kernel, according to its header.
#[must_use]
pub fn payload(bzimage: &[u8]) -> Range<usize> {
    let start = (usize::from(bzimage[0x1f1]) + 1) * 512;
    let paragraphs = bzimage[0x1f4..0x1f8].iter().rev().fold(0, |n, b| n << 8 | usize::from(*b));
    start..start + paragraphs * 16
}

/// The headers of an arm64 `Image` (Documentation/arch/arm64/booting.rst).
#[must_use]
pub fn arm64_image() -> Vec<u8> {
    let mut file = b"MZ\x40\xfa".to_vec(); // the EFI stub's "MZ" is an instruction
    file.resize(0x38, 0);
    file.extend(b"ARM\x64");
    file.resize(64 << 10, 0);
    file
}

/// The headers of an ARM `zImage` (arch/arm/boot/compressed/head.S).
#[must_use]
pub fn arm_zimage() -> Vec<u8> {
    let mut file = [0x00, 0x00, 0xa0, 0xe1].repeat(9); // mov r0, r0
    file.extend(0x016f_2818u32.to_le_bytes());
    file.resize(64 << 10, 0);
    file
}

/// The header of a 32-bit ELF executable for `machine` (i386 is 3, ARM is 40).
#[must_use]
pub fn elf32(machine: u16) -> Vec<u8> {
    let mut file = b"\x7fELF\x01\x01\x01".to_vec();
    file.resize(16, 0);
    file.extend(2u16.to_le_bytes());
    file.extend(machine.to_le_bytes());
    file.extend(1u32.to_le_bytes());
    file.resize(4096, 0);
    file
}

/// A flat Multiboot 1 kernel: its header has these flags, and it is loaded at `load`, with `memory`
/// bytes in all.
#[must_use]
pub fn multiboot(flags: u32, load: u32, memory: u32) -> Vec<u8> {
    let sum = 0u32.wrapping_sub(0x1bad_b002u32.wrapping_add(flags));
    let (end, entry) = (load + memory, load + 32);
    let header = [0x1bad_b002, flags, sum, load, load, 0, end, entry];
    let mut file: Vec<u8> = header.iter().flat_map(|word| word.to_le_bytes()).collect();
    file.resize(64, 0xf4);
    file
}

/// A PE file for x86-64, without an entry point, of sections with these names: a unified kernel image, or
/// an EFI program. Names have at most 8 bytes. Each section begins at a page of the file, and is to be loaded
/// at the same offset.
///
/// Fields: Microsoft's PE Format, "COFF File Header" and "Section Table".
#[must_use]
pub fn pe(sections: &[(&str, &[u8])]) -> Vec<u8> {
    const HEADER: usize = 0x80;
    const PAGE: usize = 0x1000;
    let word = |value: usize| u32::try_from(value).unwrap_or_default().to_le_bytes();
    let mut file = b"MZ".to_vec();
    file.resize(0x3c, 0);
    file.extend(word(HEADER));
    file.resize(HEADER, 0);
    file.extend(b"PE\0\0\x64\x86");
    file.extend(u16::try_from(sections.len()).unwrap_or_default().to_le_bytes());
    // The rest of the COFF header; there is no optional header.
    file.resize(HEADER + 24, 0);
    let mut at = PAGE;
    for (name, content) in sections {
        file.extend(name.bytes().chain([0; 8]).take(8));
        // VirtualSize, VirtualAddress, SizeOfRawData, PointerToRawData
        file.extend([content.len(), at, content.len(), at].map(word).concat());
        file.extend([0; 16]);
        at += content.len().next_multiple_of(PAGE);
    }
    for (_, content) in sections {
        file.resize(file.len().next_multiple_of(PAGE), 0);
        file.extend(*content);
    }
    file
}

/// gzip data as written by gzip(1), truncated; it is never unpacked.
#[must_use]
pub fn gzip() -> Vec<u8> {
    let mut file = b"\x1f\x8b\x08\0\0\0\0\0\x02\x03".to_vec();
    file.resize(4096, 0x5a);
    file
}
