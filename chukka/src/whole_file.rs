//! Atomic writes: a file is there whole or not at all.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Has `fill` write a file that takes the name `target` when all of it is on the disk; until then,
/// and on an error, what has that name stays as it is. Only the user can read a file that
/// `is_secret`. Two at once on one target are for the caller to keep apart.
///
/// # Errors
/// What `fill` or the system says; the part that was written is removed.
pub fn write(
    target: &Path,
    is_secret: bool,
    fill: impl FnOnce(&mut File) -> io::Result<()>,
) -> io::Result<()> {
    let mut new = target.as_os_str().to_owned();
    new.push(".new");
    let done = (|| {
        // What a killed chukka has left: somebody else may have it open.
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mode = if is_secret { 0o600 } else { 0o666 };
        let mut file = File::options().write(true).create_new(true).mode(mode).open(&new)?;
        fill(&mut file)?;
        file.sync_all()?;
        fs::rename(&new, target)?;
        // The name must survive a power failure too.
        let directory = target.parent().filter(|parent| !parent.as_os_str().is_empty());
        File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
    })();
    if done.is_err() {
        let _ = fs::remove_file(&new);
    }
    done
}

/// Copies a file to `target`, from its beginning, wherever the descriptor is. Only the user can
/// read a copy that `is_secret`.
///
/// # Errors
/// It cannot be read or written.
pub fn copy(file: &File, target: &Path, is_secret: bool) -> io::Result<()> {
    write(target, is_secret, |to| {
        let mut from = File::open(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
        io::copy(&mut from, to).map(drop)
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_fails_leaves_what_was_there() {
        let name = format!("chukka-whole-{}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        fs::create_dir(&directory).unwrap();
        let target = directory.join("file");
        write(&target, false, |file| file.write_all(b"one")).unwrap();
        let failed = write(&target, false, |file| {
            file.write_all(b"two")?;
            Err(io::Error::other("no"))
        });
        assert_eq!(failed.unwrap_err().to_string(), "no");
        assert_eq!(fs::read(&target).unwrap(), b"one");
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 1);
        // The left-over of a run that was killed.
        fs::write(directory.join("secret.new"), b"half").unwrap();
        copy(&File::open(&target).unwrap(), &directory.join("secret"), true).unwrap();
        let mode = fs::metadata(directory.join("secret")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        fs::remove_dir_all(&directory).unwrap();
    }
}
