//! What an install tree says of itself: the configurations of boot loaders and `.treeinfo`, as
//! [`Tree::find`] reads them.
//!
//! An input is one byte, which file it is (modulo their number), and the file. Kernels and initrds
//! of other names are there too.

use location::{FileError, FileTree, Query, RandomAccess, Tree, TreePath};
use storage::Entry;

use crate::image::Bytes;

/// Which file an input is.
pub const FILES: [&str; 8] = [
    "boot/grub/grub.cfg",
    "isolinux/isolinux.cfg",
    ".treeinfo",
    "boot/grub/menu.lst",
    "loader/entries/a.conf",
    "syslinux.cfg",
    "extlinux.conf",
    "elilo.conf",
];

/// A place with that file, and with something to boot.
#[derive(Debug)]
struct Place<'a> {
    path: TreePath,
    bytes: &'a [u8],
}

impl FileTree for Place<'_> {
    fn name(&self) -> &str {
        "place"
    }

    fn list(&self, directory: &TreePath) -> Result<Vec<Entry>, FileError> {
        if *directory != self.path.parent() {
            return Err(FileError::Missing(directory.to_string()));
        }
        let name = self.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(vec![Entry { name, is_directory: false }])
    }

    fn open(&self, path: &TreePath) -> Result<Box<dyn RandomAccess>, FileError> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if *path == self.path {
            Ok(Box::new(Bytes(self.bytes.to_vec())))
        } else if name == "k" {
            let mut kernel = vec![0; 4096];
            kernel[510..512].copy_from_slice(&[0x55, 0xaa]);
            kernel[0x202..0x206].copy_from_slice(b"HdrS");
            Ok(Box::new(Bytes(kernel)))
        } else if name == "i" {
            Ok(Box::new(Bytes(b"070701".repeat(100))))
        } else {
            Err(FileError::Missing(path.to_string()))
        }
    }
}

/// Looks for a kernel; whether one was found.
///
/// # Panics
/// What is refused is not told.
pub fn run(bytes: &[u8]) -> bool {
    let Some((which, bytes)) = bytes.split_first() else { return false };
    let path = TreePath::new(FILES[usize::from(*which) % FILES.len()]);
    match Tree::find(&Place { path, bytes }, Query::default()) {
        Ok(tree) => !tree.kernel.bytes.is_empty(),
        Err(error) => {
            assert!(!error.to_string().is_empty(), "{error:?}");
            false
        }
    }
}
