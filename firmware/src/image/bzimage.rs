//! The bzImage: real-mode set-up code with the set-up header, then the protected-mode kernel, which unpacks itself.
//!
//! Source of each rule: Documentation/arch/x86/boot.rst in Linux ("The Real-Mode Kernel Header", "64-bit Boot Protocol").

use linux_loader::bootparam::{XLF_CAN_BE_LOADED_ABOVE_4G, XLF_KERNEL_64, setup_header};
use thiserror::Error;
use vm_memory::ByteValued;

/// File offset of `struct setup_header`.
const HEADER: usize = 0x1f1;
/// File offset of the byte that tells where the header ends: the displacement of the jump over it.
const JUMP_LENGTH: usize = 0x201;
/// File offset of the magic.
const MAGIC: usize = 0x202;
/// Protocol 2.12: the first to say whether there is a 64-bit entry (`xloadflags`); Linux 3.8.
const PROTOCOL_2_12: u16 = 0x20c;
/// `loadflags`: the protected-mode kernel goes to 1 MiB.
const LOADED_HIGH: u8 = 1;
/// Offset of the 64-bit entry point from the start of the protected-mode kernel.
pub(crate) const ENTRY_64: u64 = 0x200;

/// What a bzImage's set-up header says.
#[derive(Clone, Copy, Debug)]
pub struct BzImage {
    header: setup_header,
    payload: u64,
    file_len: u64,
}

/// Why a bzImage cannot be booted.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum BzImageError {
    /// The file ends inside the header.
    #[error(
        "is a bzImage cut short: it ends at byte {found}, inside its set-up header, which ends at byte {expected}"
    )]
    HeaderCut {
        /// Bytes there are.
        found: u64,
        /// Bytes there have to be.
        expected: u64,
    },
    /// The file ends inside set-up code or kernel.
    #[error("is a bzImage cut short: it has {found} bytes, its header promises {expected}")]
    BodyCut {
        /// Bytes there are.
        found: u64,
        /// Bytes there have to be.
        expected: u64,
    },
    /// There is no 64-bit entry.
    #[error("is a 32-bit kernel (boot protocol {}.{:02}, no 64-bit entry point), expected a 64-bit one", protocol >> 8, protocol & 0xff)]
    Only32Bit {
        /// Boot protocol version: major in the high byte.
        protocol: u16,
    },
    /// The header contradicts itself.
    #[error("is a bzImage whose header makes no sense: {field} is {value:#x}")]
    Nonsense {
        /// The field's name in boot.rst.
        field: &'static str,
        /// What it holds.
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
            Self::Only32Bit { .. } => {
                "take the distribution's amd64/x86_64 kernel, or build with CONFIG_64BIT=y (Linux 3.8 or later)"
            }
            Self::Nonsense { .. } => "the file is damaged; build, copy or download it again",
        }
    }
}

impl BzImage {
    /// Reads the set-up header from the first bytes of a file of `file_len` bytes. `None`: not a bzImage at all.
    pub(crate) fn parse(head: &[u8], file_len: u64) -> Option<Result<Self, BzImageError>> {
        // The magic may be what was cut off: a boot sector whose magic is cut short still begins like a kernel.
        let magic = head.get(MAGIC..MAGIC + 4);
        if magic.is_some_and(|found| found != b"HdrS") {
            return None;
        }
        if magic.is_none() {
            let boot_flag = head.get(0x1fe..0x200).is_some_and(|flag| flag == [0x55, 0xaa]);
            let stub = head.starts_with(b"MZ") && head.len() >= 0x40;
            return (boot_flag || stub)
                .then_some(Err(BzImageError::HeaderCut { found: file_len, expected: 0x26c }));
        }
        Some(Self::parse_header(head, file_len))
    }

    fn parse_header(head: &[u8], file_len: u64) -> Result<Self, BzImageError> {
        let end = MAGIC + usize::from(head.get(JUMP_LENGTH).copied().unwrap_or_default());
        // What the kernel has of the header, in the place the whole of it takes: newer fields read as 0, as they should.
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
        let expected = payload + (u64::from(header.syssize) * 16).max(16) - 15;
        if file_len < expected {
            return Err(BzImageError::BodyCut { found: file_len, expected });
        }
        if header.version < PROTOCOL_2_12 || header.xloadflags & XLF_KERNEL_64 == 0 {
            return Err(BzImageError::Only32Bit { protocol: header.version });
        }
        let image = Self { header, payload, file_len };
        for (field, value, good) in [
            (
                "loadflags",
                header.loadflags.into(),
                header.loadflags & LOADED_HIGH != 0, // a zImage, which is loaded below 640 KiB, is never a 64-bit kernel
            ),
            (
                "pref_address",
                header.pref_address,
                header.pref_address >= crate::layout::HIGH_RAM && header.pref_address < 1 << 32,
            ),
            (
                "init_size",
                u64::from(header.init_size),
                u64::from(header.init_size) >= image.payload_len(),
            ),
            (
                "kernel_alignment",
                u64::from(header.kernel_alignment),
                header.kernel_alignment.is_power_of_two(),
            ),
        ] {
            if !good {
                return Err(BzImageError::Nonsense { field, value });
            }
        }
        Ok(image)
    }

    /// The set-up header, to be copied into the zero page.
    pub fn header(&self) -> setup_header {
        self.header
    }

    /// File offset of the protected-mode kernel, in bytes.
    pub fn payload_offset(&self) -> u64 {
        self.payload
    }

    /// Bytes of the protected-mode kernel. What a signature added after it is part of the file, not of this.
    pub fn payload_len(&self) -> u64 {
        (u64::from(self.header.syssize) * 16).min(self.file_len - self.payload)
    }

    /// Where the kernel wants to be, and where it goes to when it may choose.
    pub fn pref_address(&self) -> u64 {
        self.header.pref_address
    }

    /// Bytes of memory, from where it is loaded, that the kernel needs before it has looked at the memory map.
    pub fn init_size(&self) -> u64 {
        self.header.init_size.into()
    }

    /// Longest command line, in bytes without the terminator.
    pub fn cmdline_size(&self) -> u64 {
        self.header.cmdline_size.into()
    }

    /// First address an initrd may not reach any more.
    pub fn initrd_limit(&self) -> u64 {
        if self.above_4g() { u64::MAX } else { self.initrd_addr_max() + 1 }
    }

    /// Last address an initrd may occupy, as a loader reads it that does not know of [`BzImage::above_4g`].
    pub fn initrd_addr_max(&self) -> u64 {
        self.header.initrd_addr_max.into()
    }

    /// Whether initrd, command line and zero page may lie anywhere, above 4 GiB too (`XLF_CAN_BE_LOADED_ABOVE_4G`).
    pub fn above_4g(&self) -> bool {
        self.header.xloadflags & XLF_CAN_BE_LOADED_ABOVE_4G != 0
    }
}
