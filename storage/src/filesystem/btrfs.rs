//! btrfs is known, and not read: the crates for it are experiments.

use std::sync::Arc;

use crate::{FileError, FileTree, RandomAccess};

/// Says that the file system in an image is not read here.
///
/// # Errors
/// Always.
#[expect(clippy::needless_pass_by_value, reason = "as of the other file systems")]
pub(crate) fn open(image: Arc<dyn RandomAccess>) -> Result<Box<dyn FileTree>, FileError> {
    Err(FileError::failure(
        image.name(),
        "it is a btrfs file system, which is not supported",
        "put /boot on ext4 or XFS, or use -kernel and -initrd",
    ))
}
