//! ISO images that have an install tree.

use std::fs::{self, File};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::tree::Tree;
use crate::Error;

/// Bytes of a sector: files begin with one.
const SECTOR: usize = 2048;
/// Other content of a medium: the number of packages, in directories of ten, and the size of each.
const PACKAGES: u64 = 600;
const PACKAGE: u64 = 1 << 20;

/// An ISO image.
#[derive(Debug)]
pub struct Iso {
    /// Where it is.
    pub path: PathBuf,
    /// How many bytes it has.
    pub len: u64,
    /// Where in it kernel and initrd are.
    pub files: [Range<u64>; 2],
}

impl Iso {
    /// Makes one of `tree` in `folder`, by xorriso; with packages, if it is to have the size of a
    /// medium.
    ///
    /// # Errors
    /// xorriso does not make it, or kernel and initrd are not in it in one piece each.
    pub fn make(tree: &Tree, folder: &Path, name: &str, packages: bool) -> Result<Self, Error> {
        let path = folder.join(name);
        let mut command = Command::new("xorriso");
        command.args(["-as", "mkisofs", "-quiet", "-R", "-J", "-o"]).arg(&path).arg(&tree.root);
        if packages {
            let pool = folder.join("pool");
            for number in 0..PACKAGES {
                let section = pool.join(format!("pool/main/{:02}", number / 10));
                fs::create_dir_all(&section)?;
                let package = File::create(section.join(format!("package-{number}.deb")))?;
                // Zeros will do: nobody is to read them.
                package.set_len(PACKAGE)?;
            }
            command.arg(&pool);
        }
        let output = command.output().map_err(|error| format!("xorriso: {error}"))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(format!("{command:?}: {}\n{said}", output.status).into());
        }
        let [kernel, initrd] = &tree.files;
        let files = [find(&path, kernel)?, find(&path, initrd)?];
        Ok(Self { len: fs::metadata(&path)?.len(), path, files })
    }
}

/// Where a file is in an image.
fn find(path: &Path, wanted: &[u8]) -> Result<Range<u64>, Error> {
    let image = File::open(path)?;
    let head = wanted.get(..SECTOR).ok_or("a file of less than a sector")?;
    let mut sector = [0; SECTOR];
    let mut at = 0;
    while image.read_exact_at(&mut sector, at).is_ok() {
        if sector == head {
            let mut all = vec![0; wanted.len()];
            if image.read_exact_at(&mut all, at).is_ok() && all == wanted {
                return Ok(at..at + wanted.len() as u64);
            }
        }
        at += SECTOR as u64;
    }
    Err(format!("{}: a file is not in it, or not in one piece", path.display()).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use chukka_tests::native::Scratch;

    #[test]
    fn a_file_is_found_where_all_of_it_is() {
        let scratch = Scratch::new();
        let file = [vec![7; SECTOR], vec![8; 100]].concat();
        // First only its first sector, then all of it.
        let image = [vec![0; SECTOR], vec![7; SECTOR], vec![0; SECTOR], file.clone()].concat();
        let path = scratch.file("image", &image);
        let at = 3 * SECTOR as u64;
        assert_eq!(find(&path, &file).unwrap(), at..at + file.len() as u64);
        assert!(find(&path, &[file, vec![1]].concat()).is_err());
    }
}
