//! The bzImage: real-mode setup code with the setup header, followed by the protected-mode kernel.
//!
//! Source of each rule: Documentation/arch/x86/boot.rst in Linux ("The Real-Mode Kernel Header",
//! "32-bit Boot Protocol", "64-bit Boot Protocol"). A field is valid from the protocol version that
//! introduced it; in older headers the same bytes are code or data.

use linux_loader::bootparam::{XLF_CAN_BE_LOADED_ABOVE_4G, XLF_KERNEL_64, setup_header};
use thiserror::Error;
use vm_memory::ByteValued;

use crate::layout;

/// File offset of `struct setup_header`.
const HEADER: usize = 0x1f1;
/// File offset of the byte that determines the header's end: the displacement of the jump over it.
const JUMP_LENGTH: usize = 0x201;
/// File offset of the magic number.
const MAGIC: usize = 0x202;
/// Protocol 2.02: `cmd_line_ptr`, without which the 32-bit entry point has no command line.
const PROTOCOL_2_02: u16 = 0x202;
/// Protocol 2.03: `initrd_addr_max`.
const PROTOCOL_2_03: u16 = 0x203;
/// Protocol 2.04: `syssize` is 32 bits wide.
const PROTOCOL_2_04: u16 = 0x204;
/// Protocol 2.06: `cmdline_size`.
const PROTOCOL_2_06: u16 = 0x206;
/// Protocol 2.08: `payload_offset` and `payload_length`.
const PROTOCOL_2_08: u16 = 0x208;
/// Protocol 2.10: `pref_address` and `init_size`.
const PROTOCOL_2_10: u16 = 0x20a;
/// Protocol 2.12: `xloadflags`, which declares the 64-bit entry point; Linux 3.8.
const PROTOCOL_2_12: u16 = 0x20c;
/// `loadflags`: the protected-mode kernel is loaded at 1 MiB.
const LOADED_HIGH: u8 = 1;
/// Offset of the 64-bit entry point from the start of the protected-mode kernel.
pub(crate) const ENTRY_64: u64 = 0x200;
/// `initrd_addr_max` of kernels that do not have the field (boot.rst).
const OLD_INITRD_ADDR_MAX: u64 = 0x37ff_ffff;
/// `cmdline_size` of kernels that do not have the field (boot.rst).
const OLD_CMDLINE_SIZE: u64 = 255;
/// Maximum length of the version string in messages, in bytes.
const VERSION_MAX: usize = 64;
/// Programs that use the bzImage format only for its real-mode entry point, identified by the start
/// of their version string.
const REAL_MODE_PROGRAMS: [&str; 5] = ["MEMDISK", "wimboot", "iPXE", "gPXE", "Etherboot"];

/// The setup header of a bzImage.
#[derive(Clone, Debug)]
pub struct BzImage {
    header: setup_header,
    payload: u64,
    file_len: u64,
    version_text: String,
}

/// How a bzImage is entered without firmware.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinuxEntry {
    /// In long mode, `ENTRY_64` bytes after the load address.
    Long,
    /// In 32-bit protected mode, at the load address.
    Protected,
}

/// Why a bzImage cannot be booted.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum BzImageError {
    /// The file ends inside the header.
    #[error(
        "is a truncated bzImage: it ends at byte {found}, inside its setup header, which ends at byte {expected}"
    )]
    HeaderCut {
        /// Bytes in the file.
        found: u64,
        /// Bytes up to the header's end.
        expected: u64,
    },
    /// The file ends inside the setup code or the kernel.
    #[error("is a truncated bzImage: it has {found} bytes; its header says {expected}")]
    BodyCut {
        /// Bytes in the file.
        found: u64,
        /// Size declared by the header, in bytes.
        expected: u64,
    },
    /// The protocol is too old for a 32-bit entry point, or the kernel is a zImage.
    #[error(
        "has no 32-bit entry point (boot protocol {}.{:02}{})",
        protocol >> 8, protocol & 0xff, if *low { ", a zImage, loaded below 640 KiB" } else { "" }
    )]
    RealModeOnly {
        /// Boot protocol version: major in the high byte.
        protocol: u16,
        /// Whether it is loaded below 640 KiB.
        low: bool,
    },
    /// A program, not a kernel, that uses the bzImage format to start in real mode.
    #[error("is a real-mode program{}, which needs a BIOS", quoted(.0))]
    RealModeProgram(String),
    /// A header field is inconsistent with the rest.
    #[error("is a bzImage with an invalid header: {field} is {value:#x}")]
    Nonsense {
        /// The field's name in boot.rst.
        field: &'static str,
        /// Its value.
        value: u64,
    },
}

impl BzImageError {
    /// What the user can do about it.
    pub(crate) fn hint(&self) -> &'static str {
        match self {
            Self::HeaderCut { .. } | Self::BodyCut { .. } => {
                "copy or download it again, and compare its size and checksum"
            }
            Self::RealModeOnly { .. } | Self::RealModeProgram(_) => {
                "boot it through a BIOS: -bios seabios (on -machine pc)"
            }
            Self::Nonsense { .. } => {
                "a BIOS does not read this field: -bios seabios; or build, copy or download the file again"
            }
        }
    }
}

impl BzImage {
    /// Reads the setup header from the first bytes of a file of `file_len` bytes. Returns `None` if
    /// the file is not a bzImage.
    ///
    /// Checks only what all boot methods need.
    pub(crate) fn parse(head: &[u8], file_len: u64) -> Option<Result<Self, BzImageError>> {
        // The magic number itself may be cut off: such a file still begins like a kernel.
        let magic = head.get(MAGIC..MAGIC + 4);
        if magic.is_some_and(|found| found != b"HdrS") {
            return None;
        }
        if magic.is_none() {
            // A file of 512 bytes is a boot sector.
            let boot_flag =
                head.get(0x1fe..0x200).is_some_and(|flag| flag == [0x55, 0xaa]) && file_len > 0x200;
            let stub = head.starts_with(b"MZ") && head.len() >= 0x40;
            return (boot_flag || stub)
                .then_some(Err(BzImageError::HeaderCut { found: file_len, expected: 0x26c }));
        }
        Some(Self::parse_header(head, file_len))
    }

    fn parse_header(head: &[u8], file_len: u64) -> Result<Self, BzImageError> {
        let end = MAGIC + usize::from(head.get(JUMP_LENGTH).copied().unwrap_or_default());
        // The kernel's part of the header, zero-extended: fields newer than the kernel read as 0.
        let mut bytes = [0; size_of::<setup_header>()];
        let present = end.clamp(HEADER, HEADER + bytes.len());
        let found = head
            .get(HEADER..present)
            .ok_or(BzImageError::HeaderCut { found: file_len, expected: present as u64 })?;
        bytes[..found.len()].copy_from_slice(found);
        let mut header = setup_header::default();
        header.as_mut_slice().copy_from_slice(&bytes);

        let sectors = if header.setup_sects == 0 { 4 } else { u64::from(header.setup_sects) };
        let payload = (sectors + 1) * 512;
        // syssize counts 16-byte paragraphs; linkers may leave the last one short.
        let syssize = if header.version < PROTOCOL_2_04 { 0 } else { u64::from(header.syssize) };
        let expected = payload + (syssize * 16).max(16) - 15;
        if file_len < expected {
            return Err(BzImageError::BodyCut { found: file_len, expected });
        }
        let version_text = version_text(head, header.kernel_version);
        Ok(Self { header, payload, file_len, version_text })
    }

    /// How to enter the kernel without firmware: at 64 bits if it has such an entry point.
    ///
    /// # Errors
    /// It only has the real-mode entry point, or the fields required for the entry are invalid.
    pub fn direct_entry(&self) -> Result<LinuxEntry, BzImageError> {
        if !self.has_64_bit_entry() {
            self.check_32_bit_entry()?;
            return Ok(LinuxEntry::Protected);
        }
        let (init_size, alignment) = (self.init_size(), self.header.kernel_alignment);
        let promised = (u64::from(self.header.syssize) * 16).min(self.payload_len());
        self.check_load_address()?;
        nonsense("loadflags", self.header.loadflags.into(), self.is_loaded_high())?;
        nonsense("init_size", init_size, init_size >= promised.max(1))?;
        nonsense("kernel_alignment", alignment.into(), alignment.is_power_of_two())?;
        Ok(LinuxEntry::Long)
    }

    /// Checks that the kernel can be entered in 32-bit protected mode at its load address.
    ///
    /// # Errors
    /// It only has the real-mode entry point, or its load address is invalid.
    pub fn check_32_bit_entry(&self) -> Result<(), BzImageError> {
        let named = REAL_MODE_PROGRAMS.iter().any(|name| self.version_text.starts_with(name));
        // Linux sets its load address from 2.00; iPXE sets 0 because it has no 32-bit code.
        let no_code32 = self.header.code32_start == 0 && self.protocol() < PROTOCOL_2_10;
        if named || (no_code32 && self.protocol() >= PROTOCOL_2_02) {
            return Err(BzImageError::RealModeProgram(self.version_text.clone()));
        }
        if self.protocol() < PROTOCOL_2_02 || !self.is_loaded_high() {
            let (protocol, low) = (self.protocol(), !self.is_loaded_high());
            return Err(BzImageError::RealModeOnly { protocol, low });
        }
        self.check_load_address()
    }

    fn check_load_address(&self) -> Result<(), BzImageError> {
        let address = self.load_address();
        nonsense("pref_address", address, (layout::HIGH_RAM..1 << 32).contains(&address))
    }

    /// Whether `xloadflags` declares a 64-bit entry point.
    pub fn has_64_bit_entry(&self) -> bool {
        self.protocol() >= PROTOCOL_2_12 && self.header.xloadflags & XLF_KERNEL_64 != 0
    }

    /// The kernel's description of itself, cut off after 64 bytes and safe to print; empty if there
    /// is none.
    pub fn version_text(&self) -> &str {
        &self.version_text
    }

    /// File offset of the compressed kernel in bytes, from protocol 2.08 on.
    pub(super) fn compressed_offset(&self) -> Option<u64> {
        let is_there = self.protocol() >= PROTOCOL_2_08 && self.header.payload_length > 0;
        is_there.then(|| self.payload + u64::from(self.header.payload_offset))
    }

    /// Boot protocol version: major in the high byte, minor in the low one.
    pub fn protocol(&self) -> u16 {
        self.header.version
    }

    /// Whether the protected-mode kernel is loaded at 1 MiB or above, unlike a zImage.
    pub fn is_loaded_high(&self) -> bool {
        self.header.loadflags & LOADED_HIGH != 0
    }

    /// The setup header, to copy into the zero page.
    pub fn header(&self) -> setup_header {
        self.header
    }

    /// File offset of the protected-mode kernel, in bytes.
    pub fn payload_offset(&self) -> u64 {
        self.payload
    }

    /// Size of the protected-mode kernel in bytes: the rest of the file, as in GRUB, kexec and
    /// QEMU. `syssize` may be less: some kernels have data after it, or set it to 0. A trailing
    /// signature is loaded too, which is harmless.
    pub fn payload_len(&self) -> u64 {
        self.file_len - self.payload
    }

    /// Guest-physical load address of a kernel entered at 32 or 64 bits: `pref_address`, or 1 MiB.
    pub fn load_address(&self) -> u64 {
        if self.pref_address() == 0 { layout::HIGH_RAM } else { self.pref_address() }
    }

    /// `pref_address`; 0 if the kernel has none.
    pub fn pref_address(&self) -> u64 {
        if self.protocol() < PROTOCOL_2_10 { 0 } else { self.header.pref_address }
    }

    /// Bytes of memory the kernel needs from its load address before it has read the memory map; 0
    /// if it does not declare that.
    pub fn init_size(&self) -> u64 {
        if self.protocol() < PROTOCOL_2_10 { 0 } else { self.header.init_size.into() }
    }

    /// Bytes from the load address that nothing else may use: [`BzImage::init_size`], or the size
    /// of the kernel in the file if that is larger.
    pub fn room(&self) -> u64 {
        self.init_size().max(self.payload_len())
    }

    /// Maximum command line length in bytes, without the terminating NUL.
    pub fn cmdline_size(&self) -> u64 {
        match u64::from(self.header.cmdline_size) {
            size if self.protocol() >= PROTOCOL_2_06 && size != 0 => size,
            _ => OLD_CMDLINE_SIZE,
        }
    }

    /// First address that an initrd must not reach, for the entry point that
    /// [`BzImage::direct_entry`] returns.
    pub fn initrd_limit(&self) -> u64 {
        match (self.above_4g(), self.has_64_bit_entry()) {
            (true, true) => u64::MAX,
            (true, false) => 1 << 32,
            (false, _) => self.initrd_addr_max() + 1,
        }
    }

    /// Last address that an initrd may occupy, ignoring [`BzImage::above_4g`].
    pub fn initrd_addr_max(&self) -> u64 {
        match u64::from(self.header.initrd_addr_max) {
            max if self.protocol() >= PROTOCOL_2_03 && max != 0 => max,
            _ => OLD_INITRD_ADDR_MAX,
        }
    }

    /// Whether initrd, command line and zero page can be anywhere, including above 4 GiB
    /// (`XLF_CAN_BE_LOADED_ABOVE_4G`).
    pub fn above_4g(&self) -> bool {
        self.protocol() >= PROTOCOL_2_12 && self.header.xloadflags & XLF_CAN_BE_LOADED_ABOVE_4G != 0
    }
}

/// Formats a version string for a message; empty if there is none.
fn quoted(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(" ('{text}')") }
}

fn nonsense(field: &'static str, value: u64, good: bool) -> Result<(), BzImageError> {
    if good { Ok(()) } else { Err(BzImageError::Nonsense { field, value }) }
}

/// The string that `kernel_version` points to (boot.rst: an offset from 0x200, 0 for none), safe to
/// print.
fn version_text(head: &[u8], pointer: u16) -> String {
    let text = head.get(usize::from(pointer) + 0x200..).filter(|_| pointer != 0);
    let text = text.unwrap_or_default().iter().take_while(|byte| **byte != 0).take(VERSION_MAX);
    text.map(|byte| if byte.is_ascii_graphic() || *byte == b' ' { char::from(*byte) } else { '?' })
        .collect()
}
