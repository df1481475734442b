//! btrfs is known, and not read: the crates for it are experiments.

use std::sync::Arc;

use crate::source::{RandomAccess, Source, SourceError};

/// Says that the file system in an image is not read here.
///
/// # Errors
/// Always.
#[expect(clippy::needless_pass_by_value, reason = "as of the other file systems")]
pub(crate) fn open(image: Arc<dyn RandomAccess>) -> Result<Box<dyn Source>, SourceError> {
    Err(SourceError::failure(
        image.name(),
        "it is a btrfs file system, which is not read here",
        "have /boot on ext4 or XFS, or name kernel and initrd with -kernel and -initrd",
    ))
}
