//! The guest that is installed, as words of chukka's own command line.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use storage::disk::DiskFormat;

use super::media;
use crate::args::{self, ArgsError, Invocation};
use crate::request::{BootSource, Request};

/// The machine, its network and its disks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedGuest {
    /// Options of chukka, without the disks.
    pub arguments: Vec<String>,
    /// The disks.
    pub disks: Vec<SavedDisk>,
    /// The tree on this host that the installer reads by the guest's network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub served: Option<PathBuf>,
}

/// A disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedDisk {
    /// The image: absolute, or in the state's directory.
    pub path: PathBuf,
    /// Properties of `-drive`.
    pub options: String,
    /// Its bytes, if chukka creates it.
    pub size: u64,
    /// Whether chukka creates it.
    pub created: bool,
}

impl SavedDisk {
    /// Where it is.
    #[must_use]
    pub fn path_in(&self, directory: &Path) -> PathBuf {
        directory.join(&self.path)
    }

    /// Whether it is a SATA disk, and not a virtio disk.
    #[must_use]
    pub fn is_sata(&self) -> bool {
        self.options.split(',').any(|word| word == media::SATA)
    }

    /// The format that the options name.
    #[must_use]
    pub fn given_format(&self) -> Option<DiskFormat> {
        let named = self.options.split(',').find_map(|word| word.strip_prefix("format="));
        named.and_then(DiskFormat::by_name)
    }

    /// The format that it is created in.
    #[must_use]
    pub fn format(&self) -> DiskFormat {
        self.given_format().unwrap_or_else(|| DiskFormat::for_name(&self.path))
    }
}

impl SavedGuest {
    /// What starts it, with further words, and with `boot` instead of what the words boot.
    ///
    /// # Errors
    /// A word is wrong.
    pub fn request(
        &self,
        directory: &Path,
        words: &[OsString],
        boot: Option<BootSource>,
    ) -> Result<Request, ArgsError> {
        let mut all: Vec<OsString> = self.arguments.iter().map(Into::into).collect();
        for disk in &self.disks {
            let mut drive = OsString::from("file=");
            drive.push(doubled_commas(&disk.path_in(directory)));
            if !disk.is_sata() {
                drive.push(",if=virtio");
            }
            if !disk.options.is_empty() {
                drive.push(",");
                drive.push(&disk.options);
            }
            all.extend(["-drive".into(), drive]);
        }
        all.extend(words.iter().cloned());
        if boot.is_some() {
            // A kernel, so that no firmware is chosen; `boot` replaces it.
            all.extend(["-kernel".into(), directory.join("kernel").into()]);
        }
        match args::parse(all)? {
            Invocation::Boot(request) => {
                let boot = boot.or_else(|| request.boot.clone());
                Ok(Request { boot, ..*request })
            }
            Invocation::DryRun(_) | Invocation::Print(_) => Err(ArgsError::NoKernel),
        }
    }
}

/// A path in a value with properties, where two commas are one.
fn doubled_commas(path: &Path) -> OsString {
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    let mut bytes = Vec::new();
    for byte in path.as_os_str().as_bytes() {
        bytes.extend(std::iter::repeat_n(*byte, if *byte == b',' { 2 } else { 1 }));
    }
    OsString::from_vec(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_disks_come_in_their_order_with_their_whole_paths() {
        let disk = |path: &str| SavedDisk {
            path: path.into(),
            options: "format=raw".into(),
            size: 1,
            created: true,
        };
        let guest = SavedGuest {
            arguments: ["-machine", "pc", "-m", "64M"].map(Into::into).into(),
            disks: vec![disk("a,b.raw"), disk("/c")],
            served: None,
        };
        let request = guest.request(Path::new("/d"), &["-smp".into(), "2".into()], None).unwrap();
        let paths: Vec<_> = request.disks.iter().map(|disk| disk.path.clone()).collect();
        assert_eq!(paths, [PathBuf::from("/d/a,b.raw"), PathBuf::from("/c")]);
        assert_eq!((request.vm.cpus, request.vm.memory), (2, 64 << 20));
        assert!(request.vm.firmware.is_some() && request.boot.is_none());
    }
}
