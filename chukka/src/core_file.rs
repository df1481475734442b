//! `-vmcore`: the file for the guest's memory and registers.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;
use vmm::config::Size;
use vmm::core_dump::Written;

use crate::own_file::Kind;
use crate::report;

/// The file, which is created before the guest starts and removed if nothing was to be written.
#[derive(Debug)]
pub struct CoreFile {
    path: PathBuf,
    file: File,
}

/// The file cannot be made.
#[derive(Debug, Error)]
#[error("Cannot create the core file '{}'", path.display())]
pub struct CoreFileError {
    path: PathBuf,
    source: io::Error,
}

impl CoreFileError {
    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self.source.kind() {
            io::ErrorKind::AlreadyExists => "chukka overwrites only core files: use another name",
            io::ErrorKind::InvalidInput => "use the name of a regular file",
            _ => "check that its directory exists and is writable",
        }
    }
}

/// ELF's magic number, and the type ET_CORE.
const CORE_FILE: Kind = Kind {
    name: "a core file",
    length: 18,
    is_own: |head| head.starts_with(b"\x7fELF") && head.ends_with(b"\x04\0"),
};

impl CoreFile {
    /// Creates the file, or empties the core file of an earlier run.
    ///
    /// # Errors
    /// It cannot be created, or it is something else.
    pub fn create(path: &Path) -> Result<Self, CoreFileError> {
        Self::check(path)?;
        let path = path.to_owned();
        match CORE_FILE.create(&path) {
            Ok(file) => Ok(Self { path, file }),
            Err(source) => Err(CoreFileError { path, source }),
        }
    }

    /// Checks that [`Self::create`] can create the file. Creates and changes nothing.
    ///
    /// # Errors
    /// As of [`Self::create`].
    pub fn check(path: &Path) -> Result<(), CoreFileError> {
        let check = || {
            CORE_FILE.check(path)?;
            // The file may be removed again, which must not happen to a device.
            if path.exists() && !path.is_file() {
                let text = "it is not a regular file";
                return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
            }
            Ok(())
        };
        check().map_err(|source| CoreFileError { path: path.to_owned(), source })
    }

    /// The open file, for the guest's run.
    ///
    /// # Errors
    /// The process is out of descriptors.
    pub fn handle(&self) -> Result<File, CoreFileError> {
        let failed = |source| CoreFileError { path: self.path.clone(), source };
        self.file.try_clone().map_err(failed)
    }

    /// Says what was written to it, or removes it.
    pub fn finish(self, core: Option<io::Result<Written>>) {
        let path = self.path.display();
        match core {
            None => drop(fs::remove_file(&self.path)),
            Some(Ok(Written { data, memory, has_vmcoreinfo })) => {
                let without = if has_vmcoreinfo { "" } else { ", without VMCOREINFO" };
                let (data, memory) = (Size(data), Size(memory));
                let text = format!("the core file '{path}' has {data} of {memory}{without}");
                report::message(&text, None);
            }
            Some(Err(error)) => {
                let text = format!("warning: the core file '{path}' is incomplete: {error}");
                report::message(&text, None);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_core_file_is_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("core");
        CoreFile::create(&path).unwrap().finish(None);
        assert!(!path.exists(), "nothing was to be written");
        fs::write(&path, b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x04\0>\0").unwrap();
        assert_eq!(CoreFile::create(&path).unwrap().handle().unwrap().metadata().unwrap().len(), 0);
        fs::write(&path, b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0>\0").unwrap();
        let error = CoreFile::create(&path).unwrap_err();
        assert_eq!(error.hint(), "chukka overwrites only core files: use another name");
        assert!(path.metadata().unwrap().len() > 0, "a kernel is left alone");
        let error = CoreFile::create(Path::new("/dev/null")).unwrap_err();
        assert_eq!(error.hint(), "use the name of a regular file");
    }
}
