//! Output files that chukka overwrites only if it wrote them in an earlier run: the word after an
//! option may be the user's kernel.

use std::fs::{self, File};
use std::io::{self, Read, Seek};
use std::path::Path;

use vmm::host::output_file;

/// What an output file of chukka's is.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// What errors call it.
    pub name: &'static str,
    /// The number of bytes by which it is known.
    pub length: usize,
    /// Whether a file that begins with these bytes is one. They are fewer if the file is shorter.
    pub is_own: fn(&[u8]) -> bool,
}

impl Kind {
    /// Creates a file, or empties one of this kind, and opens it for reading and writing. A file
    /// that is not a regular one, such as /dev/null, is opened as it is.
    ///
    /// # Errors
    /// What the system says. [`io::ErrorKind::AlreadyExists`]: it is something else, and is
    /// unchanged.
    pub fn create(&self, path: &Path) -> io::Result<File> {
        let file =
            File::options().read(true).write(true).create(true).truncate(false).open(path)?;
        if !file.metadata()?.is_file() {
            return Ok(file);
        }
        self.examine(&file)?;
        (&file).rewind()?;
        file.set_len(0)?;
        Ok(file)
    }

    /// Checks that [`Self::create`] can create the file. Creates and changes nothing.
    ///
    /// # Errors
    /// As of [`Self::create`].
    pub fn check(&self, path: &Path) -> io::Result<()> {
        output_file::check(path)?;
        if fs::metadata(path).is_ok_and(|about| about.is_file()) {
            self.examine(&File::open(path)?)?;
        }
        Ok(())
    }

    /// Checks that a regular file is empty or of this kind.
    fn examine(&self, file: &File) -> io::Result<()> {
        let mut beginning = Vec::new();
        file.take(self.length as u64).read_to_end(&mut beginning)?;
        if !beginning.is_empty() && !(self.is_own)(&beginning) {
            let text = format!("it is not {}", self.name);
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, text));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;

    use super::*;

    #[test]
    fn only_an_own_file_is_emptied() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("own");
        let kind = Kind { name: "ours", length: 4, is_own: |beginning| beginning == b"ours" };
        let create = || kind.create(&path);
        for content in ["", "ours", "ours, and more"] {
            fs::write(&path, content).unwrap();
            kind.check(&path).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), content, "a check changes nothing");
            create().unwrap().write_all(b"new").unwrap();
            assert_eq!(fs::read(&path).unwrap(), b"new", "{content}: written from the start");
        }
        for content in ["our", "theirs"] {
            fs::write(&path, content).unwrap();
            assert_eq!(kind.check(&path).unwrap_err().to_string(), "it is not ours");
            let error = create().unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
            assert_eq!(error.to_string(), "it is not ours");
            assert_eq!(fs::read_to_string(&path).unwrap(), content);
        }
        fs::remove_file(&path).unwrap();
        kind.check(&path).unwrap();
        assert!(!path.exists(), "a check creates nothing");
        assert_eq!(create().unwrap().metadata().unwrap().len(), 0);
    }
}
