//! Writes cpio archives in the format that the kernel takes as an initramfs: "newc", as described
//! in the kernel's `Documentation/driver-api/early-userspace/buffer-format.rst`.
//!
//! The same content gives the same bytes: owner 0, time 0, inodes counted from 1.

use std::collections::BTreeSet;

const FOLDER: u32 = 0o040_000;
const FILE: u32 = 0o100_000;
const LINK: u32 = 0o120_000;

/// An archive under construction.
///
/// ```
/// use chukka_tests::cpio::Cpio;
/// let mut archive = Cpio::new();
/// archive.file("etc/motd", 0o644, b"welcome\n");
/// assert_eq!(&archive.finish()[..6], b"070701");
/// ```
#[derive(Debug, Default)]
pub struct Cpio {
    bytes: Vec<u8>,
    names: BTreeSet<String>,
    inode: u32,
}

impl Cpio {
    /// An empty archive.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a file, and the folders above it. A path that is in the archive already is left as it
    /// is.
    pub fn file(&mut self, path: &str, mode: u32, content: &[u8]) {
        self.entry(path, FILE | mode, content);
    }

    /// Adds a folder, and those above it.
    pub fn folder(&mut self, path: &str) {
        self.entry(path, FOLDER | 0o755, b"");
    }

    /// Adds a symbolic link.
    pub fn link(&mut self, path: &str, target: &str) {
        self.entry(path, LINK | 0o777, target.as_bytes());
    }

    /// The whole archive.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        self.inode = 0;
        self.record("TRAILER!!!", 0, b"");
        self.bytes
    }

    fn entry(&mut self, path: &str, mode: u32, content: &[u8]) {
        let path = path.trim_matches('/');
        if path.is_empty() || self.names.contains(path) {
            return;
        }
        if let Some((parent, _)) = path.rsplit_once('/') {
            self.folder(parent);
        }
        self.names.insert(path.into());
        self.inode += 1;
        self.record(path, mode, content);
    }

    fn record(&mut self, name: &str, mode: u32, content: &[u8]) {
        let links = if mode & FOLDER == FOLDER { 2 } else { 1 };
        let size = content.len();
        let name_size = name.len() + 1;
        // Magic, inode, mode, uid, gid, links, time, size, device (2), special device (2), name
        // size, sum.
        let head = format!(
            "070701{:08x}{mode:08x}{:08x}{:08x}{links:08x}{:08x}{size:08x}{:08x}{:08x}{:08x}{:08x}{name_size:08x}{:08x}",
            self.inode, 0, 0, 0, 0, 0, 0, 0, 0
        );
        self.bytes.extend_from_slice(head.as_bytes());
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::process::{Command, Stdio};

    #[test]
    fn a_record_is_as_the_kernel_reads_it() {
        let mut archive = Cpio::new();
        archive.file("init", 0o755, b"hi");

        let bytes = archive.finish();

        let head = b"07070100000001000081ed000000000000000000000001000000000000000200000000\
                     000000000000000000000000000000050000000";
        assert_eq!(&bytes[..head.len()], head);
        assert_eq!(&bytes[110..124], b"init\0\0hi\0\x00070701"[..].split_at(14).0);
        assert_eq!(bytes.len() % 4, 0);
        assert!(bytes.windows(11).any(|window| window == b"TRAILER!!!\0"));
    }

    #[test]
    fn directories_come_once_and_before_their_contents() {
        let mut archive = Cpio::new();
        archive.file("/a/b/c", 0o644, b"1");
        archive.file("a/b/d", 0o644, b"2");
        archive.file("a/b/d", 0o644, b"again");
        let names: Vec<_> = archive.names.iter().cloned().collect();
        assert_eq!(names, ["a", "a/b", "a/b/c", "a/b/d"]);
        assert_eq!(archive.inode, 4);
    }

    #[test]
    fn cpio_of_the_system_can_read_it() {
        let mut archive = Cpio::new();
        archive.file("x/file", 0o600, &[7; 5]);
        archive.link("x/link", "file");
        let command = Command::new("busybox")
            .args(["cpio", "-t"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let Ok(mut child) = command else {
            crate::skip("busybox is not installed");
            return;
        };
        child.stdin.take().unwrap().write_all(&archive.finish()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "x\nx/file\nx/link\n");
    }
}
