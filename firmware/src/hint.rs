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
