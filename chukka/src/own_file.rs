//! Output files that chukka overwrites only if it wrote them in an earlier run: the word after an
//! option may be the user's kernel.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::Path;

/// Creates a file, or empties one whose first `length` bytes satisfy `is_own`, and opens it for
/// reading and writing. Fewer bytes are passed if the file is shorter. A file that is not a regular
/// one, such as /dev/null, is opened as it is. `what` names the file's kind in an error.
///
/// # Errors
/// What the system says. [`io::ErrorKind::AlreadyExists`]: it is something else, and is unchanged.
pub fn create(
    path: &Path,
    what: &str,
    length: usize,
    is_own: impl FnOnce(&[u8]) -> bool,
) -> io::Result<File> {
    let file = File::options().read(true).write(true).create(true).truncate(false).open(path)?;
    if !file.metadata()?.is_file() {
        return Ok(file);
    }
    let mut beginning = Vec::new();
    (&file).take(length as u64).read_to_end(&mut beginning)?;
    if !beginning.is_empty() && !is_own(&beginning) {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, format!("it is not {what}")));
    }
    (&file).rewind()?;
    file.set_len(0)?;
    Ok(file)
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
        let create = || create(&path, "ours", 4, |beginning| beginning == b"ours");
        for content in ["", "ours", "ours, and more"] {
            fs::write(&path, content).unwrap();
            create().unwrap().write_all(b"new").unwrap();
            assert_eq!(fs::read(&path).unwrap(), b"new", "{content}: written from the start");
        }
        for content in ["our", "theirs"] {
            fs::write(&path, content).unwrap();
            let error = create().unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
            assert_eq!(error.to_string(), "it is not ours");
            assert_eq!(fs::read_to_string(&path).unwrap(), content);
        }
        fs::remove_file(&path).unwrap();
        assert_eq!(create().unwrap().metadata().unwrap().len(), 0);
    }
}
