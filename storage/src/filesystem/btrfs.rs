//! btrfs is recognized, but not read: its crates are experimental.

use std::sync::Arc;

use crate::{FileError, FileTree, RandomAccess};

/// Reports that this file system is not supported.
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
