//! `-pidfile`: a file with chukka's process id while the guest runs.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use thiserror::Error;
use vmm::host::output_file;

/// The file. It is locked, as QEMU's is (`qemu_write_pidfile`, util/oslib-posix.c), and removed in
/// the end.
#[derive(Debug)]
pub struct PidFile {
    path: PathBuf,
    _locked: File,
}

/// The file cannot be made.
#[derive(Debug, Error)]
#[error("Cannot write the process id to '{}'", path.display())]
pub struct PidFileError {
    path: PathBuf,
    source: io::Error,
}

impl PidFileError {
    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self.source.kind() {
            io::ErrorKind::WouldBlock => "another chukka runs with this file; use another one",
            _ => "check that its directory exists and is writable",
        }
    }
}

impl PidFile {
    /// Writes the file.
    ///
    /// # Errors
    /// It cannot be written, or another process holds it.
    pub fn create(path: &Path) -> Result<Self, PidFileError> {
        let write = || {
            let mut file = File::options().write(true).create(true).truncate(false).open(path)?;
            file.try_lock()?;
            file.set_len(0)?;
            writeln!(file, "{}", std::process::id())?;
            Ok(file)
        };
        let path = path.to_owned();
        match write() {
            Ok(file) => Ok(Self { path, _locked: file }),
            Err(source) => Err(PidFileError { path, source }),
        }
    }

    /// Checks that [`Self::create`] can write the file. Creates and changes nothing.
    ///
    /// # Errors
    /// As of [`Self::create`].
    pub fn check(path: &Path) -> Result<(), PidFileError> {
        let check = || {
            output_file::check(path)?;
            if path.is_file() {
                File::options().write(true).open(path)?.try_lock()?;
            }
            Ok(())
        };
        check().map_err(|source| PidFileError { path: path.to_owned(), source })
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_has_the_id_is_locked_and_goes_in_the_end() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pid");
        fs::write(&path, "a leftover that is longer\n").unwrap();
        PidFile::check(&path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "a leftover that is longer\n");
        let file = PidFile::create(&path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{}\n", std::process::id()));
        for error in [PidFile::check(&path).unwrap_err(), PidFile::create(&path).unwrap_err()] {
            assert_eq!(error.hint(), "another chukka runs with this file; use another one");
        }
        drop(file);
        assert!(!path.exists());
        PidFile::check(&path).unwrap();
        assert!(!path.exists(), "a check creates nothing");
    }
}
