//! Checks that a file is what it should be.

use super::super::error::Mismatch;
use super::super::{Installer, Part, Sum, TreeError, sums};
use super::{Item, Search};
use crate::checksum::{self, Checked};
use storage::{LocalFile, RandomAccess, TreePath, head};

impl Search<'_> {
    /// Checks a file's first bytes, and its checksum if the tree has one.
    pub(super) fn checked(
        &mut self,
        item: Item,
        role: &'static str,
        installer: Installer,
    ) -> Result<Part, TreeError> {
        let Item { path, bytes } = item;
        let name = bytes.name().to_owned();
        let read = |source| TreeError::Read { name: name.clone(), source };
        plausible(&*bytes, role)?;
        let sum = match &path {
            Some(path) => self.sum_of(path, installer)?,
            None => None,
        };
        let Some((sum, by)) = sum else { return Ok(Part { bytes, path, sum: None }) };
        // The whole file is needed now and again later, so fetch it once.
        let sha256 = bytes.sha256().map_err(read)?;
        let is_private = bytes.is_private();
        let file = bytes.into_file().and_then(|file| LocalFile::new(file, name.clone()));
        let file = file.map_err(read)?.with_sha256(sha256).with_privacy(is_private);
        let bytes: Box<dyn RandomAccess> = Box::new(file);
        let checked = checksum::check(&*bytes, &sum).map_err(read)?;
        if let Checked::Wrong { algorithm, found, expected } = checked {
            let mismatch = Mismatch { role, name, algorithm, found, expected, by };
            return Err(TreeError::Checksum(Box::new(mismatch)));
        }
        Ok(Part { bytes, path, sum: Some(Sum { checked, by }) })
    }

    /// The expected checksum of a file, and the file that it comes from: `.treeinfo`, or a list in
    /// the same directory or in one above.
    fn sum_of(
        &mut self,
        path: &TreePath,
        installer: Installer,
    ) -> Result<Option<(String, String)>, TreeError> {
        if let Some(info) = &self.treeinfo {
            let below = path.as_path().strip_prefix(info.root.as_path()).ok();
            let sum = below.and_then(|below| info.content.checksum(&TreePath::new(below)));
            if let Some(sum) = sum {
                return Ok(Some((sum.to_owned(), info.by.clone())));
            }
        }
        for directory in path.as_path().ancestors().skip(1) {
            let below = path.as_path().strip_prefix(directory).unwrap_or(path.as_path());
            for name in sums::lists(installer) {
                let list = TreePath::new(directory).join(name);
                let Ok(text) = self.files.text(&list, sums::LIMIT)? else { continue };
                if let Some(sum) = sums::find(text, &TreePath::new(below)) {
                    return Ok(Some((sum, list.to_string())));
                }
            }
        }
        Ok(None)
    }
}

/// Refuses a file that is obviously neither a kernel nor an initrd.
pub(in super::super) fn plausible(
    file: &dyn RandomAccess,
    role: &'static str,
) -> Result<(), TreeError> {
    const LOOKED_AT: usize = 512;
    let foreign = |found| TreeError::Foreign { role, name: file.name().into(), found };
    if file.is_empty() {
        return Err(foreign("empty (0 bytes)"));
    }
    let head = head(file, LOOKED_AT);
    let head = head.map_err(|source| TreeError::Read { name: file.name().into(), source })?;
    if is_page(&head) { Err(foreign("an HTML or XML page")) } else { Ok(()) }
}

/// Whether a file begins as an initrd does: a cpio archive that Linux reads (init/initramfs.c), or
/// what it unpacks (lib/decompress.c).
pub(super) fn is_archive(file: &dyn RandomAccess) -> Result<bool, TreeError> {
    const MAGICS: [&[u8]; 9] = [
        b"070701",
        b"070702",
        b"\x1f\x8b",
        b"\xfd7zXZ\0",
        b"\x28\xb5\x2f\xfd",
        b"\x02\x21\x4c\x18",
        b"BZh",
        b"\x5d\0\0",
        b"\x89LZO",
    ];
    let head = head(file, 6);
    let head = head.map_err(|source| TreeError::Read { name: file.name().into(), source })?;
    Ok(MAGICS.into_iter().any(|magic| head.starts_with(magic)))
}

/// Whether this is the beginning of an HTML page, or of an object store's XML error.
pub(in super::super) fn is_page(head: &[u8]) -> bool {
    let text = head.trim_ascii_start();
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let begins = |with: &[u8]| text.get(..with.len()).is_some_and(|t| t.eq_ignore_ascii_case(with));
    [&b"<!doctype"[..], b"<html", b"<head", b"<?xml", b"<!--"].into_iter().any(begins)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_told_from_kernels() {
        for page in
            ["<!DOCTYPE html>", "\n  <html lang=en>", "\u{feff}<!doctype x", "<?xml version="]
        {
            assert!(is_page(page.as_bytes()), "{page}");
        }
        for other in [&b"MZ\0\0"[..], b"\x1f\x8b", b"", b"<h"] {
            assert!(!is_page(other));
        }
    }
}
