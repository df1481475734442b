//! The disk of `-bootdisk` as a disk of the guest: its kernel looks for its root file system there.

use std::fs::{self, Metadata};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use crate::request::Request;

/// Gives the guest the disk that `-bootdisk` names, as its first one, unless the user gives it that
/// disk himself. A directory, or an image on another host, is no disk.
///
/// A name that leads nowhere is left alone: reading the boot menu reports it.
#[must_use]
pub fn attach(mut request: Request) -> Request {
    let Some(disk) = request.boot_disk.take() else { return request };
    let Ok(about) = fs::metadata(&disk.path) else { return request };
    if !about.is_file() && !about.file_type().is_block_device() {
        return request;
    }
    let is_same = |path: &Path| fs::metadata(path).is_ok_and(|other| same_disk(&about, &other));
    if request.disks.iter().any(|other| is_same(&other.path)) {
        return request;
    }
    request.disks.insert(0, disk);
    request.vm.disk_boot_indices.insert(0, None);
    request
}

/// Whether two paths lead to one disk: one file, or one block device by whatever node.
fn same_disk(one: &Metadata, other: &Metadata) -> bool {
    match (one.file_type().is_block_device(), other.file_type().is_block_device()) {
        (true, true) => one.rdev() == other.rdev(),
        (false, false) => (one.dev(), one.ino()) == (other.dev(), other.ino()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::path::PathBuf;

    use super::*;
    use crate::args::{Invocation, parse};

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("chukka-{name}-{}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn file(&self, name: &str, content: &[u8]) -> PathBuf {
            let path = self.0.join(name);
            fs::write(&path, content).unwrap();
            path
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    /// The request after it: the disks' paths, whether each is a snapshot, and the boot indices.
    fn attached(disk: &Path, words: &[&str]) -> (Request, Vec<(PathBuf, bool)>) {
        let disk = disk.to_str().unwrap();
        let words = [&["-bootdisk", disk], words].concat();
        let Ok(Invocation::Boot(request)) = parse(words.into_iter().map(Into::into)) else {
            panic!("argv is right");
        };
        let request = attach(*request);
        let disks = request.disks.iter().map(|disk| (disk.path.clone(), disk.options.snapshot));
        let disks = disks.collect();
        (request, disks)
    }

    #[test]
    fn the_disk_comes_before_the_user_s_own() {
        let folder = Folder::new("bootdisk-first");
        let disk = folder.file("disk", b"x");
        for machine in ["microvm", "pc"] {
            let (request, disks) = attached(&disk, &["-machine", machine]);
            assert_eq!((disks, request.warnings), (vec![(disk.clone(), false)], vec![]));
        }
        assert_eq!(attached(&disk, &["-snapshot"]).1, [(disk.clone(), true)]);
        let other = ["-drive", "other,if=none,id=o", "-device", "virtio-blk,drive=o,bootindex=3"];
        let (request, disks) = attached(&disk, &other);
        assert_eq!(disks, [(disk, false), ("other".into(), false)]);
        assert_eq!(request.vm.disk_boot_indices, [None, Some(3)]);
    }

    #[test]
    fn a_disk_that_the_user_gives_under_any_name_is_not_given_twice() {
        let folder = Folder::new("bootdisk-twice");
        let disk = folder.file("disk", b"x");
        let (link, hard) = (folder.0.join("link"), folder.0.join("hard"));
        symlink(&disk, &link).unwrap();
        fs::hard_link(&disk, &hard).unwrap();
        for name in [&disk, &link, &hard] {
            let drive = format!("file={},if=virtio,snapshot=on", name.display());
            assert_eq!(attached(&disk, &["-drive", &drive]).1, [(name.clone(), true)]);
            let hda = ["-hda", name.to_str().unwrap()];
            assert_eq!(attached(&disk, &hda).1, [(name.clone(), false)]);
        }
    }

    #[test]
    fn what_is_no_disk_is_not_given() {
        let folder = Folder::new("bootdisk-none");
        for path in [&folder.0, &folder.0.join("absent"), Path::new("http://mirror.example/d")] {
            let (request, disks) = attached(path, &[]);
            assert_eq!((disks, request.warnings), (vec![], vec![]), "{}", path.display());
        }
    }
}
