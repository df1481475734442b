//! Debian's installer, laid out as it is on Debian's servers.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use chukka_tests::assets;

use crate::Error;

/// An install tree in a folder.
#[derive(Debug)]
pub struct Tree {
    /// The folder.
    pub root: PathBuf,
    /// The sums of the two files by their names alone, for `sha256sum -c` beside them.
    pub sums: PathBuf,
    /// The bytes of kernel and initrd.
    pub files: [Vec<u8>; 2],
}

impl Tree {
    /// Kernel and initrd.
    pub const FILES: [&'static str; 2] = [
        "current/images/netboot/debian-installer/amd64/linux",
        "current/images/netboot/debian-installer/amd64/initrd.gz",
    ];

    /// Where its sums are counted from.
    const IMAGES: &'static str = "current/images";

    /// Lays it out in `folder`, which is empty.
    ///
    /// # Errors
    /// Set-up has not brought the installer, or the folder cannot be written to.
    pub fn make(folder: &Path) -> Result<Self, Error> {
        let installer = assets::installer()?;
        let (root, sums) = (folder.join("tree"), folder.join("sums"));
        let images = root.join(Self::IMAGES);
        for (from, to) in [&installer.linux, &installer.initrd].into_iter().zip(Self::FILES) {
            let to = root.join(to);
            fs::create_dir_all(to.parent().unwrap_or(&root))?;
            fs::copy(from, to)?;
        }
        let below = Self::FILES.map(|path| path.replacen(Self::IMAGES, ".", 1));
        sum(&images, &below, &images.join("SHA256SUMS"))?;
        let beside = images.join("netboot/debian-installer/amd64");
        sum(&beside, &["linux".into(), "initrd.gz".into()], &sums)?;
        let files = [fs::read(&installer.linux)?, fs::read(&installer.initrd)?];
        Ok(Self { root, sums, files })
    }

    /// Bytes of kernel and initrd together.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.len() as u64).sum()
    }

    /// Whether these are kernel and initrd.
    ///
    /// # Errors
    /// They are not.
    pub fn check(&self, paths: &[PathBuf; 2]) -> Result<(), Error> {
        for (path, expected) in paths.iter().zip(&self.files) {
            let found = fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
            if found != *expected {
                return Err(format!("{} is not what was served", path.display()).into());
            }
        }
        Ok(())
    }
}

/// Writes the SHA-256 of files in `folder` to a list.
fn sum(folder: &Path, paths: &[String; 2], list: &Path) -> Result<(), Error> {
    let list = File::create(list)?;
    let done = Command::new("sha256sum").args(paths).current_dir(folder).stdout(list).status()?;
    if done.success() { Ok(()) } else { Err(format!("sha256sum: {done}").into()) }
}
