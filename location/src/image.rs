//! Images: files that have files in them, or disks with partitions that have. Recognized by their content, read in place.

mod btrfs;
mod ext;
mod fat;
mod filesystem;
#[cfg(test)]
mod making;
mod pages;
mod partitions;
mod qcow2;
mod squashfs;
mod xfs;

use std::rc::Rc;

use crate::source::{RandomAccess, Source, SourceError};

/// As many bytes from the beginning tell what an image is.
pub(crate) const TELLING: usize = 68 << 10;

/// What a file is by its first bytes, for messages: "an ISO 9660 image"; `None`: no image.
pub(crate) fn kind(_head: &[u8]) -> Option<&'static str> {
    None
}

/// Looks into an image: disk formats, partitions and file systems, one in the other.
///
/// # Errors
/// It is none that is known, or it is damaged.
#[expect(clippy::needless_pass_by_value, reason = "what is in the image keeps it open")]
pub(crate) fn open(file: Rc<dyn RandomAccess>) -> Result<Box<dyn Source>, SourceError> {
    Err(SourceError::Kind { name: file.name().into(), found: "a file", expected: "a directory" })
}
