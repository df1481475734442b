//! `-vmcore`: the file for the guest's memory and registers.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use thiserror::Error;
use vmm::config::Size;
use vmm::core_dump::Written;

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
            _ => "check that its directory exists and is writable",
        }
    }
}

impl CoreFile {
    /// Creates the file, or empties the core file of an earlier run.
    ///
    /// # Errors
    /// It cannot be created, or it is something else.
    pub fn create(path: &Path) -> Result<Self, CoreFileError> {
        let create = || {
            let options =
                File::options().read(true).write(true).create(true).truncate(false).open(path);
            let file = options?;
            // ELF's magic number, and the type ET_CORE.
            let mut head = Vec::new();
            (&file).take(18).read_to_end(&mut head)?;
            let is_core = head.starts_with(b"\x7fELF") && head.ends_with(b"\x04\0");
            if !head.is_empty() && !is_core {
                return Err(io::Error::new(io::ErrorKind::AlreadyExists, "it is not a core file"));
            }
            file.set_len(0)?;
            Ok(file)
        };
        let path = path.to_owned();
        match create() {
            Ok(file) => Ok(Self { path, file }),
            Err(source) => Err(CoreFileError { path, source }),
        }
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
    }
}
