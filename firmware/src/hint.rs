//! Implements [`Hint`] for this crate's errors. The text is in each error's module.

use std::borrow::Cow;

use guest_memory::hint::Hint;

use crate::flash::FlashError;
use crate::image::ImageError;
use crate::payload::LoadError;
use crate::publish::kernel_error::KernelError;
use crate::rom::RomError;
use crate::smbios::SmbiosError;
use crate::source_file::SourceError;

impl Hint for FlashError {
    fn hint(&self) -> Option<Cow<'_, str>> {
        Some(Self::hint(self).into())
    }
}

impl Hint for ImageError {
    fn hint(&self) -> Option<Cow<'_, str>> {
        Some(Self::hint(self).into())
    }
}

impl Hint for LoadError {
    fn hint(&self) -> Option<Cow<'_, str>> {
        Some(Self::hint(self).into())
    }
}

impl Hint for KernelError {
    fn hint(&self) -> Option<Cow<'_, str>> {
        Some(Self::hint(self).into())
    }
}

impl Hint for RomError {
    fn hint(&self) -> Option<Cow<'_, str>> {
        Some(Self::hint(self).into())
    }
}

impl Hint for SmbiosError {
    fn hint(&self) -> Option<Cow<'_, str>> {
        Some(Self::hint(self).into())
    }
}

impl Hint for SourceError {
    fn hint(&self) -> Option<Cow<'_, str>> {
        Some(Self::hint(self).into())
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::path::PathBuf;

    use super::*;
    use crate::image::{ElfError, MultibootError};

    #[test]
    fn every_error_has_a_hint() {
        let path = || PathBuf::from("file");
        let elf = ImageError::Elf { path: path(), reason: ElfError::Malformed("it is damaged") };
        let multiboot =
            ImageError::Multiboot { path: path(), reason: MultibootError::Architecture(4) };
        let unreadable = ImageError::Read { path: path(), source: io::Error::other("I/O error") };
        let vmlinux =
            "pass vmlinux from the top of the kernel's build tree, or arch/x86/boot/bzImage";
        let errors: [(&dyn Hint, &str); 9] = [
            (
                &FlashError::TooBig { found: 1 },
                "use an unmodified firmware image, such as OVMF_CODE.fd or OVMF_VARS.fd",
            ),
            (&unreadable, "read error: check the disk"),
            (&elf, vmlinux),
            (&multiboot, "use the x86 build"),
            (
                &LoadError::NoLowMemory { kernel: path() },
                "link the kernel at 1 MiB or above; small parts, such as code for other CPUs, may be below 636 KiB",
            ),
            (
                &KernelError::VideoMode { value: "nice".into() },
                "leave vga= out: a guest on a serial console needs no video mode",
            ),
            (
                &RomError::OptionRomSize { path: path(), found: 2 },
                "the download or copy may be incomplete",
            ),
            (&SmbiosError::Empty { what: "serial" }, "leave out the option that gives it"),
            (
                &SourceError::Empty { role: "kernel", path: path() },
                "the download or copy may be incomplete",
            ),
        ];
        for (error, hint) in errors {
            assert_eq!(error.hint().as_deref(), Some(hint), "{error}");
        }
    }
}
