//! Determines the kind of kernel in a file by its content, before anything is loaded.

mod bzimage;
mod compression;
mod container;
mod efi;
mod elf;
mod foreign;
pub(crate) mod multiboot;
mod pe;

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

pub(crate) use bzimage::ENTRY_64;
pub use bzimage::{BzImage, BzImageError, LinuxEntry};
pub use compression::compression;
pub use container::{Container, ContainerKind};
pub use elf::{Class, Elf, ElfError, Segment};
pub use multiboot::{Multiboot, MultibootError, Version as MultibootVersion};

use crate::source_file::{SourceError, SourceFile};
use efi::Efi;
use elf::Parsed;

/// Number of bytes read to recognize a file: the area searched for multiboot headers. All other
/// headers end before that.
pub const HEAD: usize = multiboot::SEARCHED;

/// A kernel file and what was found in it.
#[derive(Debug)]
pub struct KernelImage {
    /// The kernel: the file itself, or the kernel extracted from it, decompressed.
    pub source: SourceFile,
    /// The kind of kernel.
    pub kind: KernelKind,
    /// The file the kernel was extracted from, if any.
    pub container: Option<Container>,
}

/// The kernel formats that chukka boots.
#[derive(Debug)]
pub enum KernelKind {
    /// A bzImage with any compression: it decompresses itself.
    BzImage(BzImage),
    /// An ELF image with a PVH entry point, or a 64-bit Linux vmlinux.
    Elf(Elf),
    /// A multiboot kernel, ELF or flat.
    Multiboot(Multiboot),
}

impl KernelKind {
    /// Its name, for messages.
    pub fn name(&self) -> &'static str {
        match self {
            Self::BzImage(_) => "bzImage",
            Self::Elf(Elf { class: Class::Bits32, .. }) => "32-bit PVH kernel",
            Self::Elf(_) => "vmlinux",
            Self::Multiboot(Multiboot { version: MultibootVersion::One, .. }) => "multiboot kernel",
            Self::Multiboot(_) => "multiboot2 kernel",
        }
    }
}

/// Why a file is not a supported kernel.
#[derive(Debug, Error)]
pub enum ImageError {
    /// The file itself.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// It could not be read.
    #[error("Cannot read the kernel '{}'", path.display())]
    Read {
        /// Its path.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// It is not a kernel; its format may be known or unknown.
    #[error("The kernel '{}' is {found}, expected an x86-64 bzImage or vmlinux", path.display())]
    Foreign {
        /// Its path.
        path: PathBuf,
        /// What it is.
        found: String,
        /// A hint.
        hint: &'static str,
    },
    /// A bzImage that is damaged, or not for this machine.
    #[error("The kernel '{}' {reason}", path.display())]
    BzImage {
        /// Its path.
        path: PathBuf,
        /// The reason.
        reason: BzImageError,
    },
    /// An ELF file that is damaged, not for this machine, or not a kernel.
    #[error("The kernel '{}' {reason}", path.display())]
    Elf {
        /// Its path.
        path: PathBuf,
        /// The reason.
        reason: ElfError,
    },
    /// A multiboot kernel that is damaged, or requires an unsupported feature.
    #[error("The kernel '{}' {reason}", path.display())]
    Multiboot {
        /// Its path.
        path: PathBuf,
        /// The reason.
        reason: MultibootError,
    },
}

impl ImageError {
    /// What the user can do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::Source(error) => error.hint(),
            Self::Read { .. } => "read error: check the disk".into(),
            Self::Foreign { hint, .. } => (*hint).into(),
            Self::BzImage { reason, .. } => reason.hint().into(),
            Self::Elf { reason, .. } => reason.hint().into(),
            Self::Multiboot { reason, .. } => reason.hint().into(),
        }
    }
}

impl KernelImage {
    /// Opens `path` and identifies its contents. Reads only the headers, unless the kernel must be
    /// decompressed.
    ///
    /// # Errors
    /// [`ImageError`]: no such file, not a kernel, a kernel for another machine, or a damaged one.
    pub fn open(path: &Path) -> Result<Self, ImageError> {
        Self::of(SourceFile::open(path, "kernel")?)
    }

    /// Identifies the contents of a file that is already open.
    ///
    /// # Errors
    /// As for [`KernelImage::open`].
    pub fn of(source: SourceFile) -> Result<Self, ImageError> {
        let head = head(&source)?;
        if head.starts_with(b"\x1f\x8b") {
            return Self::of_gzip(source, &head);
        }
        if head.starts_with(b"MZ") && BzImage::parse(&head, source.len()).is_none() {
            match Efi::read(&source, &head).map_err(read_error(&source))? {
                Some(Efi::Unified { kernel, container }) => {
                    return Self::plain(kernel, Some(container));
                }
                Some(Efi::Foreign { found, hint }) => {
                    return Err(ImageError::Foreign { path: source.path().into(), found, hint });
                }
                None => {}
            }
        }
        Self::plain(source, None)
    }

    /// The file that the user named: the kernel, or the file that contains it.
    pub fn file(&self) -> &SourceFile {
        self.container.as_ref().map_or(&self.source, |container| &container.file)
    }

    /// Decompresses a gzip-compressed kernel, and rejects any other gzip file without decompressing
    /// it.
    fn of_gzip(packed: SourceFile, packed_head: &[u8]) -> Result<Self, ImageError> {
        let path = packed.path().to_owned();
        let head = container::peek(&packed);
        let elf = head.starts_with(b"\x7fELF") || multiboot::Header::find(&head).is_some();
        if !elf && !has_linux_magic(&head) {
            let (found, hint) = match foreign::recognize(&head) {
                (found, hint) if found.starts_with('a') => {
                    (format!("gzip data with {found}"), hint)
                }
                _ => foreign::recognize(packed_head),
            };
            return Err(ImageError::Foreign { path, found, hint });
        }
        let source = container::unpack(&packed, container::UNPACKED_MAX).map_err(|error| {
            ImageError::Foreign {
                path,
                found: format!("gzip data that cannot be unpacked ({error})"),
                hint: "copy or download it again, and test it with gunzip -t",
            }
        })?;
        let kind = ContainerKind::Gzip;
        Self::plain(
            source,
            Some(Container {
                file: packed,
                kind,
                sections: Vec::new(),
                initrd: None,
                cmdline: Vec::new(),
            }),
        )
    }

    /// A kernel that is not inside another file.
    fn plain(source: SourceFile, container: Option<Container>) -> Result<Self, ImageError> {
        let head = head(&source)?;
        let kind = KernelKind::of(&source, &head)?;
        Ok(Self { source, kind, container })
    }
}

impl KernelKind {
    /// Checks for Linux's header first, then multiboot's, then the PVH note: the order of QEMU's
    /// `x86_load_linux`.
    fn of(source: &SourceFile, head: &[u8]) -> Result<Self, ImageError> {
        let path = || source.path().to_owned();
        let bzimage = |reason| ImageError::BzImage { path: path(), reason };
        if head.starts_with(b"\x7fELF") {
            return Self::of_elf(source, head);
        }
        let parsed = BzImage::parse(head, source.len());
        if let Some(Ok(image)) = parsed {
            return Ok(Self::BzImage(image));
        }
        let multiboot = |reason| ImageError::Multiboot { path: path(), reason };
        if let Some(header) = multiboot::Header::find(head) {
            let kernel = header.and_then(|header| header.flat(source.len()));
            return kernel.map(Self::Multiboot).map_err(multiboot);
        }
        match parsed {
            Some(Err(reason)) => Err(bzimage(reason)),
            _ => {
                let (found, hint) = foreign::recognize_file(source, head);
                Err(ImageError::Foreign { path: path(), found, hint })
            }
        }
    }

    /// Identifies an ELF file. As in QEMU, a multiboot header is preferred to the PVH note in
    /// 32-bit files; 64-bit files with both are entered by PVH, which is made for them, unless the
    /// version 1 header gives load addresses.
    fn of_elf(source: &SourceFile, head: &[u8]) -> Result<Self, ImageError> {
        let path = || source.path().to_owned();
        let elf_error = |reason| ImageError::Elf { path: path(), reason };
        let multiboot_error = |reason| ImageError::Multiboot { path: path(), reason };
        let header = multiboot::Header::find(head);
        if let Some(Ok(header)) = &header
            && header.has_addresses()
            && header.version() == MultibootVersion::One
        {
            return header.flat(source.len()).map(Self::Multiboot).map_err(multiboot_error);
        }
        let parsed = Parsed::read(source, head).map_err(read_error(source))?.map_err(elf_error)?;
        let preferred = |header: &multiboot::Header| {
            parsed.elf.class == Class::Bits32 && header.version() == MultibootVersion::One
        };
        let without_pvh = parsed.elf.pvh_entry.is_none();
        match header {
            Some(header) if without_pvh || header.as_ref().is_ok_and(preferred) => {
                let kernel = header.and_then(|header| match header.has_addresses() {
                    true => header.flat(source.len()),
                    false => header.elf(parsed.elf.entry, parsed.elf.segments),
                });
                kernel.map(Self::Multiboot).map_err(multiboot_error)
            }
            _ => {
                let elf = parsed.into_elf(source).map_err(read_error(source))?;
                elf.map(Self::Elf).map_err(elf_error)
            }
        }
    }
}

/// Whether a file that begins with `head`, its first [`HEAD`] bytes, can be a kernel. Any other
/// file is refused by these bytes alone.
#[must_use]
pub fn could_be_kernel(head: &[u8]) -> bool {
    let beginnings = [&b"\x7fELF"[..], b"MZ", b"\x1f\x8b"];
    // Kernels without Linux's magic, as old as protocol 2.00, have the flag of a boot sector.
    let is_boot_sector = head.get(0x1fe..0x200).is_some_and(|flag| flag == b"\x55\xaa");
    beginnings.iter().any(|beginning| head.starts_with(beginning))
        || is_boot_sector
        || has_linux_magic(head)
        || multiboot::Header::find(head).is_some()
}

fn has_linux_magic(head: &[u8]) -> bool {
    head.get(0x202..0x206).is_some_and(|magic| magic == b"HdrS")
}

fn head(source: &SourceFile) -> Result<Vec<u8>, ImageError> {
    source.head::<HEAD>().map_err(read_error(source))
}

fn read_error(source: &SourceFile) -> impl FnOnce(io::Error) -> ImageError + use<> {
    let path = source.path().to_owned();
    move |source| ImageError::Read { path, source }
}

#[cfg(test)]
pub(crate) mod tests;
