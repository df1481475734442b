//! Whether an output file can be opened, found out before the run and without a trace.

use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use rustix::fs::{Access, AtFlags, CWD, accessat};
use rustix::io::Errno;

/// Checks that the file at `path` can be opened for writing, and created if it does not exist.
/// Creates and changes nothing.
///
/// # Errors
/// What open(2) would say.
pub fn check(path: &Path) -> io::Result<()> {
    match fs::metadata(path) {
        Ok(about) if about.is_dir() => Err(Errno::ISDIR.into()),
        Ok(about) if about.is_file() => File::options().write(true).open(path).map(drop),
        Ok(about) if about.file_type().is_socket() => Err(Errno::NXIO.into()),
        // Opening a FIFO waits for its reader, and a device may do something when it is opened.
        Ok(_) => Ok(accessat(CWD, path, Access::WRITE_OK, AtFlags::EACCESS)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => match fs::read_link(path) {
            // The file is created where the link leads. A loop is an error of its own.
            Ok(target) => check(&path.parent().unwrap_or(Path::new("")).join(target)),
            Err(_) => check_new(path),
        },
        Err(error) => Err(error),
    }
}

/// Checks that a file that does not exist can be created.
///
/// # Errors
/// What open(2) would say.
pub fn check_new(path: &Path) -> io::Result<()> {
    if path.as_os_str().as_bytes().ends_with(b"/") {
        return Err(Errno::ISDIR.into());
    }
    let directory = match path.parent() {
        None => return Err(Errno::NOENT.into()),
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
    };
    Ok(accessat(CWD, directory, Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS)?)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    use super::*;

    /// What opening a file for output says, and what the check said before.
    fn both(path: &Path) -> [Option<i32>; 2] {
        let checked = check(path).err().map(|error| error.raw_os_error().unwrap());
        let opened = File::options().write(true).create(true).truncate(false).open(path);
        [checked, opened.err().map(|error| error.raw_os_error().unwrap())]
    }

    #[test]
    fn it_says_what_opening_the_file_would_say_and_creates_nothing() {
        let scratch = tempfile::tempdir().unwrap();
        let at = |name: &str| scratch.path().join(name);
        fs::write(at("file"), "kept").unwrap();
        let _listener = UnixListener::bind(at("socket")).unwrap();
        symlink("missing/file", at("link-to-missing")).unwrap();
        symlink("loop", at("loop")).unwrap();
        let long = "x".repeat(300);
        for (name, expected) in [
            ("file", None),
            ("missing/file", Some(libc::ENOENT)),
            ("file/file", Some(libc::ENOTDIR)),
            (".", Some(libc::EISDIR)),
            ("new/", Some(libc::EISDIR)),
            ("socket", Some(libc::ENXIO)),
            ("link-to-missing", Some(libc::ENOENT)),
            ("loop", Some(libc::ELOOP)),
            (&long, Some(libc::ENAMETOOLONG)),
        ] {
            assert_eq!(both(&at(name)), [expected; 2], "{name}");
        }
        assert_eq!(both(Path::new("")), [Some(libc::ENOENT); 2]);
        assert_eq!(both(Path::new("/dev/null")), [None; 2]);
        assert_eq!(fs::read(at("file")).unwrap(), b"kept");
        symlink("new", at("link-to-new")).unwrap();
        for name in ["new", "link-to-new"] {
            check(&at(name)).unwrap();
            assert!(!at("new").exists(), "{name}");
            assert_eq!(both(&at(name)), [None; 2]);
            fs::remove_file(at("new")).unwrap();
        }
    }
}
