//! Why firmware cannot boot a kernel.

use std::io;
use std::ops::Range;
use std::path::PathBuf;

use fw_cfg::ItemError;
use thiserror::Error;

use crate::image::BzImageError;
use crate::payload::LoadError;
use crate::source_file::SourceFile;

/// Why firmware cannot boot a kernel.
#[derive(Debug, Error)]
pub enum KernelError {
    /// Firmware has no way to enter this kind of kernel.
    #[error(
        "The kernel '{}' is a {kind}, expected a bzImage, a PVH or a Multiboot 1 kernel: firmware cannot start other kernels",
        kernel.display()
    )]
    NotForFirmware {
        /// The kernel's file name.
        kernel: PathBuf,
        /// Its format.
        kind: &'static str,
    },
    /// Other firmware could.
    #[error("The kernel '{}' is a {kind}, expected {expected}: {why}", kernel.display())]
    NotForThisFirmware {
        /// The kernel's file name.
        kernel: PathBuf,
        /// Its format.
        kind: &'static str,
        /// The formats that work.
        expected: &'static str,
        /// What the firmware lacks.
        why: &'static str,
    },
    /// The built-in firmware enters kernels at 32 bits, which this one does not support.
    #[error("-bios builtin cannot start the kernel '{}': it {reason}", kernel.display())]
    NoProtectedEntry {
        /// The kernel's file name.
        kernel: PathBuf,
        /// What is wrong.
        reason: BzImageError,
    },
    /// The kernel is linked to memory that firmware uses until it starts the kernel.
    #[error(
        "The kernel '{}' is loaded at {:#x}-{:#x}, which the firmware uses; expected {expected}",
        kernel.display(), range.start, range.end - 1
    )]
    Taken {
        /// The kernel's file name.
        kernel: PathBuf,
        /// Guest-physical addresses, including those of its modules.
        range: Range<u64>,
        /// Where it may be.
        expected: &'static str,
    },
    /// Two of its segments are loaded to the same address.
    #[error("The kernel '{}' has two segments at {address:#x}, expected one", kernel.display())]
    Overlap {
        /// The kernel's file name.
        kernel: PathBuf,
        /// The first address of both.
        address: u64,
    },
    /// Its setup code leaves no room for heap and stack.
    #[error("The kernel '{}' has {found} bytes of setup code, expected {expected} at most", kernel.display())]
    SetupTooBig {
        /// The kernel's file name.
        kernel: PathBuf,
        /// Size of the setup code in bytes.
        found: u64,
        /// Available size in bytes.
        expected: u64,
    },
    /// A zImage is loaded below its setup code, and this one is too long for that.
    #[error("The kernel '{}' is a zImage of {found} bytes, expected {expected} at most", kernel.display())]
    ZImageTooBig {
        /// The kernel's file name.
        kernel: PathBuf,
        /// Size of the protected-mode kernel in bytes.
        found: u64,
        /// Available size in bytes.
        expected: u64,
    },
    /// The command line's `vga=`, which the boot loader handles, is not a video mode.
    #[error(
        "The kernel command line has vga={value}, expected normal, ext, ask or a number up to 65535"
    )]
    VideoMode {
        /// Its value.
        value: String,
    },
    /// The command line, kernel or initrd does not fit.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A file cannot be read.
    #[error("Cannot read '{}'", path.display())]
    Read {
        /// Its path.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// A key is already in use.
    #[error(transparent)]
    Item(#[from] ItemError),
}

impl KernelError {
    /// What the user can do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::NotForFirmware { kind: "vmlinux", .. } => {
                "boot it directly, without -bios, or give the bzImage (arch/x86/boot/bzImage, /boot/vmlinuz-*)".into()
            }
            Self::NotForThisFirmware { .. } => {
                "boot it directly, without -bios, or through SeaBIOS: -bios seabios".into()
            }
            Self::NotForFirmware { .. } => "boot it directly, without -bios".into(),
            Self::Taken { .. } => "link it at 1 MiB or above, or boot it directly, without -bios".into(),
            Self::Overlap { .. } => "the file is damaged or wrongly linked; build it again".into(),
            Self::NoProtectedEntry { reason, .. } => reason.hint().into(),
            Self::SetupTooBig { .. } | Self::ZImageTooBig { .. } => "the file is damaged; build, copy or download it again".into(),
            Self::VideoMode { .. } => "leave vga= out: a guest on a serial console needs no video mode".into(),
            Self::Load(error) => error.hint(),
            Self::Read { .. } => "read error: check the disk".into(),
            Self::Item(_) => "this is a bug in chukka; please report it".into(),
        }
    }
}

pub(super) fn read_error(source: &SourceFile, error: io::Error) -> KernelError {
    KernelError::Read { path: source.path().into(), source: error }
}

/// Converts an address or size to fw_cfg's 32 bits; rejects larger values.
pub(super) fn narrow(name: &str, value: u64) -> Result<u32, ItemError> {
    u32::try_from(value).map_err(|_| ItemError::TooBig { name: name.into(), len: value })
}
