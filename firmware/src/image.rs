//! What kind of kernel a file holds, found by its content and before anything is loaded.

mod bzimage;
mod elf;

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

pub(crate) use bzimage::ENTRY_64;
pub use bzimage::{BzImage, BzImageError};
pub use elf::{Elf, ElfError, Segment};

use crate::source_file::{SourceError, SourceFile};

/// Bytes of a file that are looked at to tell what it is: a bzImage's header ends below 0x290, ELF's program headers and a
/// foreign kernel's magic lie below this too.
const PROBE: usize = 4096;

/// A kernel file and what was found in it.
#[derive(Debug)]
pub struct KernelImage {
    /// The file.
    pub source: SourceFile,
    /// What it holds.
    pub kind: KernelKind,
}

/// The kinds of kernel chukka boots.
#[derive(Debug)]
pub enum KernelKind {
    /// A bzImage, whatever its compression: it unpacks itself.
    BzImage(BzImage),
    /// An uncompressed 64-bit ELF image: vmlinux.
    Elf(Elf),
}

/// Why a file is no kernel for chukka.
#[derive(Debug, Error)]
pub enum ImageError {
    /// The file itself.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// It could not be read.
    #[error("Cannot read the kernel '{}'", path.display())]
    Read {
        /// Its name.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is something else, known or not.
    #[error("The kernel '{}' is {found}, expected an x86-64 bzImage or vmlinux", path.display())]
    Foreign {
        /// Its name.
        path: PathBuf,
        /// What it is.
        found: String,
        /// What to do.
        hint: &'static str,
    },
    /// A bzImage that does not hold together, or not for this machine.
    #[error("The kernel '{}' {reason}", path.display())]
    BzImage {
        /// Its name.
        path: PathBuf,
        /// What is wrong.
        reason: BzImageError,
    },
    /// An ELF file that does not hold together, or not for this machine.
    #[error("The kernel '{}' {reason}", path.display())]
    Elf {
        /// Its name.
        path: PathBuf,
        /// What is wrong.
        reason: ElfError,
    },
}

impl ImageError {
    /// What the user can do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::Source(error) => error.hint(),
            Self::Read { .. } => "is the medium it lies on in order?".into(),
            Self::Foreign { hint, .. } => (*hint).into(),
            Self::BzImage { reason, .. } => reason.hint().into(),
            Self::Elf { reason, .. } => reason.hint().into(),
        }
    }
}

impl KernelImage {
    /// Opens `path` and finds out what it holds. Reads no more than the headers.
    ///
    /// # Errors
    /// [`ImageError`]: no such file, no kernel, a kernel for another machine, or a damaged one.
    pub fn open(path: &Path) -> Result<Self, ImageError> {
        Self::of(SourceFile::open(path, "kernel")?)
    }

    /// The same of a file that is open already.
    ///
    /// # Errors
    /// As of [`KernelImage::open`].
    pub fn of(source: SourceFile) -> Result<Self, ImageError> {
        let path = source.path().to_owned();
        let read_error = |source| ImageError::Read { path: path.clone(), source };
        let head = source.head::<PROBE>().map_err(read_error)?;
        let kind = if head.starts_with(b"\x7fELF") {
            let elf = Elf::parse(&source, &head).map_err(read_error)?;
            KernelKind::Elf(elf.map_err(|reason| ImageError::Elf { path: path.clone(), reason })?)
        } else if let Some(parsed) = BzImage::parse(&head, source.len()) {
            KernelKind::BzImage(
                parsed.map_err(|reason| ImageError::BzImage { path: path.clone(), reason })?,
            )
        } else {
            let (found, hint) = recognize(&head);
            return Err(ImageError::Foreign { path, found, hint });
        };
        Ok(Self { source, kind })
    }
}

/// Names what a file is that is no kernel of ours, from its first bytes, and says what to do with it.
fn recognize(head: &[u8]) -> (String, &'static str) {
    const UNPACK: &str =
        "chukka takes a bzImage as it is (it unpacks itself); unpack anything else first";
    /// (offset, magic, what it is, what to do)
    type Known = (usize, &'static [u8], &'static str, &'static str);
    const KNOWN: [Known; 16] = [
        (
            0x38,
            b"ARM\x64",
            "an arm64 Image",
            "this is a kernel for another processor; take the x86-64 one",
        ),
        (
            0x24,
            b"\x18\x28\x6f\x01",
            "an ARM zImage",
            "this is a kernel for another processor; take the x86-64 one",
        ),
        (
            0x38,
            b"RSC\x05",
            "a RISC-V Image",
            "this is a kernel for another processor; take the x86-64 one",
        ),
        (
            0,
            b"\x27\x05\x19\x56",
            "a U-Boot uImage",
            "this is a kernel for another machine; take arch/x86/boot/bzImage",
        ),
        (0, b"\x1f\x8b", "gzip data", "unpack it with gunzip, or take arch/x86/boot/bzImage"),
        (0, b"\xfd7zXZ\0", "xz data", "unpack it with unxz, or take arch/x86/boot/bzImage"),
        (
            0,
            b"\x28\xb5\x2f\xfd",
            "zstd data",
            "unpack it with unzstd, or take arch/x86/boot/bzImage",
        ),
        (0, b"BZh", "bzip2 data", "unpack it with bunzip2, or take arch/x86/boot/bzImage"),
        (0, b"\x02\x21\x4c\x18", "lz4 data", "unpack it with unlz4, or take arch/x86/boot/bzImage"),
        (0, b"\x04\x22\x4d\x18", "lz4 data", "unpack it with unlz4, or take arch/x86/boot/bzImage"),
        (0, b"0707", "a cpio archive", "an initramfs goes to -initrd"),
        (
            0,
            b"!<arch>\n",
            "a Debian package or ar archive",
            "unpack it with dpkg-deb -x; the kernel is boot/vmlinuz-*",
        ),
        (0, b"#!", "a script", UNPACK),
        (0, b"<!", "an HTML page", "a server answered with it for the kernel: curl --fail"),
        (0, b"<html", "an HTML page", "a server answered with it for the kernel: curl --fail"),
        (
            0,
            b"MZ",
            "an EFI program without a bzImage header",
            "a unified kernel image: pass the .linux and .initrd sections separately",
        ),
    ];
    let at = |offset: usize, magic: &[u8]| {
        head.get(offset..).is_some_and(|rest| rest.starts_with(magic))
    };
    if let Some((_, _, found, hint)) =
        KNOWN.into_iter().find(|(offset, magic, ..)| at(*offset, magic))
    {
        return (found.into(), hint);
    }
    let first: Vec<String> = head.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    let found = format!(
        "neither ELF nor bzImage (its first bytes are {}, and there is no 'HdrS' at 0x202)",
        first.join(" ")
    );
    (found, UNPACK)
}

#[cfg(test)]
pub(crate) mod tests;
