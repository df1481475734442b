//! `.treeinfo`: the description of a tree, in both generations of the format.
//!
//! The older one (anaconda's, up to about Fedora 20) has `[general]` with family, version and arch.
//! The newer one (productmd's doc/treeinfo-1.2.rst) adds `[release]` and `[tree]`, and still has
//! `[general]`. Both name the files in `[images-ARCH]` and their checksums in `[checksums]`, by
//! path: `sha256:HEX`, or only HEX in the oldest ones.

use storage::TreePath;

/// Its names, in search order: some servers hide files whose names begin with a dot.
pub(crate) const NAMES: [&str; 2] = [".treeinfo", "treeinfo"];

/// Its maximum size in bytes.
pub(crate) const LIMIT: usize = 1 << 20;

/// The contents of a `.treeinfo` file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Treeinfo {
    sections: Vec<(String, Vec<(String, String)>)>,
}

impl Treeinfo {
    /// Parses it. `None` if it has no section, and so is some other file.
    pub fn parse(text: &str) -> Option<Self> {
        let mut sections: Vec<(String, Vec<_>)> = Vec::new();
        for line in text.trim_start_matches('\u{feff}').lines().map(str::trim) {
            if line.starts_with([';', '#']) {
                continue;
            }
            if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                sections.push((name.trim().to_owned(), Vec::new()));
            } else if let (Some((_, keys)), Some((key, value))) =
                (sections.last_mut(), line.split_once('=').or_else(|| line.split_once(':')))
            {
                keys.push((key.trim().to_owned(), value.trim().to_owned()));
            }
        }
        (!sections.is_empty()).then_some(Self { sections })
    }

    /// The value of a key. The last one wins if there are several, as in Python's configparser
    /// without `strict`.
    fn get(&self, section: &str, key: &str) -> Option<&str> {
        let sections = self.sections.iter().rev().filter(|(name, _)| name == section);
        let found = sections
            .flat_map(|(_, keys)| keys.iter().rev())
            .find(|(name, _)| name.eq_ignore_ascii_case(key));
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// The tree's architecture.
    pub fn arch(&self) -> Option<&str> {
        self.get("general", "arch").or_else(|| self.get("tree", "arch"))
    }

    /// Kernel and initrd of the section for `arch`.
    pub fn images(&self, arch: &str) -> Option<(TreePath, TreePath)> {
        let section = format!("images-{arch}");
        let path = |key| self.get(&section, key).map(TreePath::new);
        path("kernel").zip(path("initrd"))
    }

    /// The root file system of the section for `arch`, which CoreOS has in addition to the initrd.
    pub fn rootfs(&self, arch: &str) -> Option<TreePath> {
        self.get(&format!("images-{arch}"), "rootfs").map(TreePath::new)
    }

    /// Whether it names anaconda's second stage.
    pub fn has_stage2(&self) -> bool {
        self.get("stage2", "mainimage").is_some()
    }

    /// The distribution: "Fedora", "Red Hat Enterprise Linux".
    pub fn family(&self) -> Option<&str> {
        self.get("release", "name").or_else(|| self.get("general", "family"))
    }

    /// Its version: "42", "9.4".
    pub fn version(&self) -> Option<&str> {
        self.get("release", "version").or_else(|| self.get("general", "version"))
    }

    /// The expected checksum of a file, as written in the file.
    pub fn checksum(&self, path: &TreePath) -> Option<&str> {
        let sections = self.sections.iter().filter(|(name, _)| name == "checksums");
        let mut keys = sections.flat_map(|(_, keys)| keys);
        keys.find(|(key, _)| TreePath::new(key) == *path).map(|(_, value)| value.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Fedora 8's.
    const OLD: &str = "\
[general]
family = Fedora
timestamp = 1194015344.06
variant = Fedora
totaldiscs = 1
version = 8
discnum = 1
packagedir =
arch = x86_64

[images-x86_64]
kernel = images/pxeboot/vmlinuz
initrd = images/pxeboot/initrd.img
boot.iso = images/boot.iso

[images-xen]
kernel = images/xen/vmlinuz
initrd = images/xen/initrd.img
";

    /// As those of productmd.
    const NEW: &str = "\
[checksums]
images/pxeboot/initrd.img = sha256:AB
./images/pxeboot/vmlinuz = sha256:cd

[general]
; WARNING.0 = This section provides compatibility with pre-productmd treeinfos.
arch = x86_64
family = Fedora-Server
version = 42

[header]
type = productmd.treeinfo
version = 1.2

[images-x86_64]
initrd = images/pxeboot/initrd.img
kernel = images/pxeboot/vmlinuz

[release]
name = Fedora
short = Fedora
version = 42

[tree]
arch = x86_64
platforms = x86_64,xen
";

    #[test]
    fn both_generations_name_their_files() {
        for (text, version, sum) in [(OLD, "8", None), (NEW, "42", Some("sha256:cd"))] {
            let info = Treeinfo::parse(text).unwrap();
            let (kernel, initrd) = info.images("x86_64").unwrap();
            assert_eq!(kernel.to_string(), "images/pxeboot/vmlinuz");
            assert_eq!(initrd.to_string(), "images/pxeboot/initrd.img");
            assert_eq!((info.family(), info.version()), (Some("Fedora"), Some(version)));
            assert_eq!((info.arch(), info.checksum(&kernel)), (Some("x86_64"), sum));
            assert_eq!(info.images("aarch64"), None);
        }
    }

    #[test]
    fn odd_lines_do_no_harm() {
        let text = "\u{feff}\r\nkey = before any section\r\n[ tree ]\r\n# a\r\n;b = c\r\narch: x86_64\r\nnothing\r\n[general]\nVersion=1\nversion = 2\n[x\n";
        let info = Treeinfo::parse(text).unwrap();
        assert_eq!((info.arch(), info.version()), (Some("x86_64"), Some("2")));
        assert_eq!(Treeinfo::parse("<html>404</html>"), None);
        assert_eq!(Treeinfo::parse(""), None);
    }
}
