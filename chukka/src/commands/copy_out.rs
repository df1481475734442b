//! Copies of kernel and initrd in a directory of the user's (`chukka fetch --output`).
//!
//! Their names come from a tree, so a name must not decide which of the user's files is replaced. A
//! copy has its SHA-256 in an extended attribute; only a file that still has the bytes of its
//! attribute was written here, and is replaced. Where a file system has no such attributes, a file
//! with the same bytes is.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Permissions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use firmware::SourceFile;
use location::checksum;
use rustix::fs::{XattrFlags, fgetxattr, fsetxattr};
use storage::LocalFile;

use crate::error::CopyError;

/// The attribute of a copy.
const WRITTEN: &str = "user.chukka.sha256";

/// A file to copy.
pub(super) struct Original<'a> {
    /// Its bytes.
    pub file: &'a SourceFile,
    /// Its path in the tree; only the last name counts.
    pub path: &'a Path,
    /// "kernel", "initrd".
    pub role: &'static str,
    /// Whether it may hold the user's secrets: then only the user can read the copy.
    pub is_secret: bool,
}

/// Copies files into a directory, each under its own name. Returns their paths.
///
/// # Errors
/// A file cannot be written, or there is another one of its name.
pub(super) fn copy(
    directory: &Path,
    originals: &[Original<'_>],
) -> Result<Vec<PathBuf>, CopyError> {
    let names = names(originals);
    let targets: Vec<_> = names.iter().map(|name| directory.join(name)).collect();
    let failed = |target: &PathBuf| {
        let path = target.clone();
        move |source| CopyError::Create { path, source }
    };
    fs::create_dir_all(directory).map_err(failed(&directory.to_owned()))?;
    // Before anything is written.
    for (original, target) in originals.iter().zip(&targets) {
        if !is_replaceable(target, original).map_err(failed(target))? {
            return Err(CopyError::Taken { path: target.clone() });
        }
    }
    for (original, target) in originals.iter().zip(&targets) {
        place(original, target).map_err(failed(target))?;
    }
    Ok(targets)
}

/// A name for each: its own, unless that is hidden, has control characters (a line break looks like
/// another line of the answer) or is none; with its role in front where another file has it, too.
fn names(originals: &[Original<'_>]) -> Vec<OsString> {
    let mut names: Vec<OsString> = Vec::new();
    for Original { path, role, .. } in originals {
        let own = path.file_name().unwrap_or_default();
        let bytes = own.as_bytes();
        let has_control = bytes.iter().any(u8::is_ascii_control);
        let is_usable = !bytes.is_empty() && !bytes.starts_with(b".") && !has_control;
        let mut name = if is_usable { own.to_owned() } else { OsString::from(role) };
        while names.contains(&name) {
            let mut longer = OsString::from(role);
            longer.push("-");
            longer.push(&name);
            name = longer;
        }
        names.push(name);
    }
    names
}

/// Whether nothing has this name, or a copy that was written here and has not changed, or one of
/// the same bytes.
fn is_replaceable(target: &Path, original: &Original<'_>) -> io::Result<bool> {
    match fs::symlink_metadata(target) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        Err(error) => return Err(error),
        Ok(about) if !about.is_file() => return Ok(false),
        Ok(_) => {}
    }
    let file = File::open(target)?;
    let mut written = [0; 64];
    let is_marked = fgetxattr(&file, WRITTEN, &mut written) == Ok(written.len());
    let sum_of_target = sum(file)?;
    Ok(is_marked && sum_of_target.as_bytes() == written || sum_of_target == sum(original.open()?)?)
}

impl Original<'_> {
    /// From its beginning, wherever the descriptor is.
    fn open(&self) -> io::Result<File> {
        File::open(format!("/proc/self/fd/{}", self.file.file().as_raw_fd()))
    }
}

fn sum(file: File) -> io::Result<String> {
    checksum::sha256(&LocalFile::new(file, "the copy")?)
}

/// Writes the file under another name first, so that its name has all of it or none.
fn place(original: &Original<'_>, target: &Path) -> io::Result<()> {
    let directory = target.parent().filter(|parent| *parent != OsStr::new(""));
    let mode = if original.is_secret { 0o600 } else { 0o666 };
    let mut new = tempfile::Builder::new()
        .prefix(".chukka-")
        .permissions(Permissions::from_mode(mode))
        .tempfile_in(directory.unwrap_or(Path::new(".")))?;
    io::copy(&mut original.open()?, new.as_file_mut())?;
    let sum = sum(new.reopen()?)?;
    // Without the attribute the copy is never replaced.
    let _ = fsetxattr(new.as_file(), WRITTEN, sum.as_bytes(), XattrFlags::empty());
    new.as_file().sync_all()?;
    let placed = if target.symlink_metadata().is_ok() {
        new.persist(target)
    } else {
        new.persist_noclobber(target)
    };
    placed.map(drop).map_err(|error| error.error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn original<'a>(file: &'a SourceFile, path: &'a str, role: &'static str) -> Original<'a> {
        Original { file, path: Path::new(path), role, is_secret: role == "initrd" }
    }

    #[test]
    fn the_user_s_files_stay_and_own_copies_are_replaced() {
        let scratch = tempfile::tempdir().unwrap();
        let source = |name: &str, bytes: &[u8]| {
            fs::write(scratch.path().join(name), bytes).unwrap();
            SourceFile::open(&scratch.path().join(name), "kernel").unwrap()
        };
        let (one, two) = (source("one", b"one"), source("two", b"two"));
        let out = scratch.path().join("out");
        let copied = |kernel: &SourceFile| {
            let originals =
                [original(kernel, "a/linux", "kernel"), original(&two, "b/linux", "initrd")];
            copy(&out, &originals)
        };
        let paths = copied(&one).unwrap();
        assert_eq!(paths, [out.join("linux"), out.join("initrd-linux")]);
        assert_eq!(fs::read(&paths[0]).unwrap(), b"one");
        assert_eq!(fs::read(&paths[1]).unwrap(), b"two");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&paths[0]) & 0o600, mode(&paths[1])), (0o600, 0o600));
        assert_ne!(mode(&paths[0]), 0o600, "a plain kernel is as readable as any file");
        copied(&two).unwrap();
        assert_eq!(fs::read(&paths[0]).unwrap(), b"two", "a copy of ours");
        fs::write(&paths[0], b"mine").unwrap();
        assert!(matches!(copied(&one), Err(CopyError::Taken { path }) if path == paths[0]));
        assert_eq!(fs::read(&paths[0]).unwrap(), b"mine", "changed by the user");
        fs::remove_file(&paths[0]).unwrap();
        fs::write(&paths[0], b"one").unwrap();
        copied(&one).unwrap();
        assert_eq!(fs::read(&paths[0]).unwrap(), b"one", "without the attribute, but the same");
        fs::remove_file(&paths[0]).unwrap();
        std::os::unix::fs::symlink(scratch.path().join("one"), &paths[0]).unwrap();
        assert!(matches!(copied(&two), Err(CopyError::Taken { .. })), "a link of the user's");
        assert_eq!(fs::read(scratch.path().join("one")).unwrap(), b"one");
        assert_eq!(fs::read_dir(&out).unwrap().count(), 2, "nothing is left behind");
    }

    #[test]
    fn every_file_has_a_plain_name_of_its_own() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("k");
        fs::write(&path, b"k").unwrap();
        let file = SourceFile::open(&path, "kernel").unwrap();
        for (kernel, initrd, expected) in [
            ("a/linux", "a/initrd.gz", ["linux", "initrd.gz"]),
            ("a/x", "b/x", ["x", "initrd-x"]),
            ("a/.bashrc", "/", ["kernel", "initrd"]),
            ("initrd", "b/.x", ["initrd", "initrd-initrd"]),
            ("a/vmlinuz\ninitrd x", "b/\x1b[2J", ["kernel", "initrd"]),
        ] {
            let found =
                names(&[original(&file, kernel, "kernel"), original(&file, initrd, "initrd")]);
            assert_eq!(found, expected);
        }
    }
}
