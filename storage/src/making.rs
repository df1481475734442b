//! Images for unit tests, made by the tools that make real ones, and what is done to them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use crate::testing::{Temp, cpu_time};
use crate::{FileError, TreePath};
use crate::{FileTree, LocalFile, RandomAccess, each_piece};

/// Runs a tool that tests/setup.sh installs; what it printed.
pub(crate) fn run(tool: &str, arguments: &[&str]) -> String {
    let mut command = Command::new(tool);
    command.args(arguments).env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C");
    let output = command.output().unwrap_or_else(|error| {
        panic!("{tool} cannot be run (hint: sh tests/setup.sh test): {error}")
    });
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{command:?}: {}", said(&output.stderr));
    said(&output.stdout)
}

/// Bytes that compress little and are the same each time.
pub(crate) fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut random = Random(seed);
    (0..len).map(|_| random.next().to_le_bytes()[3]).collect()
}

/// Numbers that are the same each time: splitmix64, public domain.
#[derive(Debug)]
pub(crate) struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).unwrap()
    }
}

/// A tree as file systems are to hold it: /boot with a kernel of 300,000 bytes, links of each kind,
/// a directory of many names.
pub(crate) fn tree(names: usize) -> Temp {
    let temp = Temp::new();
    let link = |to: &str, at: &str| {
        let at = temp.path().join(at);
        std::fs::create_dir_all(at.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(to, at).unwrap();
    };
    temp.file("boot/vmlinuz-6.1", &kernel());
    temp.file("boot/empty", b"");
    temp.file("a/b/c/deep", b"deep");
    for number in 0..names {
        temp.file(&format!("many/name-{number:04}"), format!("{number}").as_bytes());
    }
    link("vmlinuz-6.1", "boot/vmlinuz");
    link("/boot/vmlinuz", "absolute");
    link("../../../../../boot", "a/b/up");
    link("loop-2", "loop-1");
    link("loop-1", "loop-2");
    link("nowhere", "dangling");
    link(&format!("/boot/{}vmlinuz-6.1", "./".repeat(60)), "long");
    temp
}

/// What is in /boot/vmlinuz-6.1.
pub(crate) fn kernel() -> Vec<u8> {
    noise(1, 300_000)
}

/// What `path` has, read to its end.
pub(crate) fn content(source: &dyn FileTree, path: &str) -> Vec<u8> {
    let file = source.open(&TreePath::new(path)).unwrap();
    let mut bytes = Vec::new();
    each_piece(&*file, |piece| {
        bytes.extend_from_slice(piece);
        Ok(())
    })
    .unwrap();
    assert_eq!(bytes.len() as u64, file.len(), "{path}");
    bytes
}

/// Looks for all of [`tree`] in it.
pub(crate) fn assert_tree(source: &dyn FileTree, names: usize) {
    for path in ["boot/vmlinuz-6.1", "/boot/vmlinuz", "absolute", "a/b/up/vmlinuz", "../long"] {
        assert!(content(source, path) == kernel(), "{path}");
    }
    assert_eq!(content(source, "a/b/c/deep"), b"deep");
    assert_eq!(content(source, "boot/empty"), b"");
    let file = source.open(&TreePath::new("boot/vmlinuz-6.1")).unwrap();
    assert_eq!(file.name(), format!("{}/boot/vmlinuz-6.1", source.name()));
    let kernel = kernel();
    for at in [299_990, 0, 131_071, 4095, 4096, 5, 299_999, 300_000, 1 << 40] {
        let mut some = [0; 7];
        let count = file.read_at(&mut some, at).unwrap();
        let rest = kernel.get(usize::try_from(at).unwrap()..).unwrap_or_default();
        assert_eq!(some[..count], rest[..count], "{at}");
        assert_eq!(count == 0, rest.is_empty(), "{at}");
    }
    let boot = source.list(&TreePath::new("boot")).unwrap();
    let boot: Vec<_> = boot.iter().map(|entry| (&*entry.name, entry.is_directory)).collect();
    assert_eq!(boot, [("empty", false), ("vmlinuz", false), ("vmlinuz-6.1", false)]);
    let root = source.list(&TreePath::root()).unwrap();
    assert!(root.iter().any(|entry| entry.name == "a" && entry.is_directory));
    let many = source.list(&TreePath::new("many")).unwrap();
    assert_eq!(many.len(), names);
    for number in [0, names / 2, names - 1] {
        let text = number.to_string().into_bytes();
        assert_eq!(content(source, &format!("many/name-{number:04}")), text);
    }
    let fails = |path: &str| source.open(&TreePath::new(path)).unwrap_err();
    for path in ["nothing", "boot/nothing", "dangling", "boot/empty/below", "many/name-99999"] {
        assert!(fails(path).is_missing(), "{path}: {:?}", fails(path));
    }
    assert!(matches!(fails("boot"), FileError::Kind { .. }));
    assert!(matches!(fails(""), FileError::Kind { .. }));
    let looped = format!("{:?}", fails("loop-1"));
    assert!(looped.contains("more than 40 symbolic links"), "{looped}");
    let list = source.list(&TreePath::new("boot/empty")).unwrap_err();
    assert!(matches!(list, FileError::Kind { .. }), "{list:?}");
}

/// An image that is in memory.
#[derive(Debug)]
pub(crate) struct Bytes(pub Vec<u8>);

impl RandomAccess for Bytes {
    fn name(&self) -> &'static str {
        "image"
    }

    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_at(&self, to: &mut [u8], at: u64) -> std::io::Result<usize> {
        let rest = usize::try_from(at).ok().and_then(|at| self.0.get(at..)).unwrap_or_default();
        let count = rest.len().min(to.len());
        to[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }
}

/// An image on this host.
pub(crate) fn local(path: &Path) -> Arc<dyn RandomAccess> {
    Arc::new(LocalFile::open(path).unwrap())
}

/// `path` as a tool wants it.
pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// An empty file of this length, which tools make something of.
pub(crate) fn blank(temp: &Temp, name: &str, len: u64) -> PathBuf {
    let path = temp.path().join(name);
    std::fs::File::create(&path).unwrap().set_len(len).unwrap();
    path
}

/// Walks through everything in it, whatever it says: nothing may panic or take long. How many files
/// could be read.
pub(crate) fn walk(source: &dyn FileTree) -> u32 {
    let mut read = 0;
    let mut directories = vec![TreePath::root()];
    let mut looked_at = 0;
    while let Some(directory) = directories.pop() {
        for entry in source.list(&directory).unwrap_or_default() {
            looked_at += 1;
            // A directory that is in itself is endless.
            if looked_at > 300 {
                return read;
            }
            let path = directory.join(&entry.name);
            if entry.is_directory {
                directories.push(path);
            } else if let Ok(file) = source.open(&path) {
                read += u32::from(crate::head(&*file, 1 << 20).is_ok());
                // Whatever it says about its length.
                let _ = file.read_at(&mut [0; 16], file.len().min(1 << 30) / 2);
            }
        }
    }
    read
}

/// Opens an image cut off at each power of two, and with one byte changed, as many `times`, `among`
/// these.
pub(crate) fn abuse(
    image: &[u8],
    among: &[std::ops::Range<usize>],
    times: u32,
    look: impl Fn(Arc<dyn RandomAccess>),
) {
    let started = cpu_time();
    for bits in 0..usize::BITS {
        let Some(part) = image.get(..1 << bits) else { break };
        look(Arc::new(Bytes(part.to_vec())));
    }
    let mut random = Random(5);
    for _ in 0..times {
        let mut image = image.to_vec();
        let range = &among[random.below(among.len())];
        let at = range.start + random.below(range.len());
        image[at] = random.next().to_le_bytes()[0];
        look(Arc::new(Bytes(image)));
    }
    let took = cpu_time() - started;
    assert!(took.as_secs() < 60, "{took:?}");
}
