//! Adds files of the user to the initrd, as an archive of their own behind it.
//!
//! The kernel unpacks one archive after the other
//! (Documentation/driver-api/early-userspace/buffer-format.rst), each compressed or not, so the
//! first one is left as it is. A plain archive begins at a multiple of four bytes, zeros may stand
//! before it. A file is found in the root directory under its own name, as virt-install's
//! `--initrd-inject` has it; it replaces one that the initrd has there.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use cpio::newc;
use rustix::fs::OFlags;
use thiserror::Error;

use storage::host_file::{in_memory, read_only};
use storage::{RandomAccess, copy_exactly};

/// The name that ends an archive.
const TRAILER: &str = "TRAILER!!!";

/// A file to be put into the initrd.
#[derive(Debug)]
pub struct Injected {
    path: PathBuf,
    name: String,
    file: File,
    /// Bytes it has; newc has 32 bits for it.
    size: u32,
    /// Its permission bits, 0o777 at most.
    mode: u32,
}

/// Why a file cannot be put into the initrd.
#[derive(Debug, Error)]
pub enum InjectError {
    /// It cannot be opened or read.
    #[error("Cannot read '{}' for the initrd", path.display())]
    Read {
        /// Its path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is not a regular file.
    #[error("'{}' cannot go into the initrd: it is not a regular file", path.display())]
    Kind {
        /// Its path.
        path: PathBuf,
    },
    /// It has 4 GiB or more.
    #[error("'{}' has {size} bytes, expected at most 4294967295 (4 GiB - 1)", path.display())]
    TooBig {
        /// Its path.
        path: PathBuf,
        /// Bytes it has.
        size: u64,
    },
    /// Its name cannot stand in the archive.
    #[error("'{}' has a name that is not valid UTF-8", path.display())]
    Name {
        /// Its path.
        path: PathBuf,
    },
    /// Two files of one name.
    #[error("'{}' and '{}' would both be /{name} in the initrd", first.display(), second.display())]
    Twice {
        /// One.
        first: PathBuf,
        /// The other.
        second: PathBuf,
        /// What they are called.
        name: String,
    },
    /// The initrd could not be put together.
    #[error("Cannot compose the initrd in memory")]
    Compose(#[source] io::Error),
}

impl InjectError {
    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Read { .. } => {
                "check the path; a relative one starts at the current directory".into()
            }
            Self::Kind { .. } => {
                "name a regular file; use -initrd-inject once for each file".into()
            }
            Self::TooBig { .. } => "let the guest download it, or put it on a disk".into(),
            Self::Name { .. } => "give it another name".into(),
            Self::Twice { .. } => "give one of them another name".into(),
            Self::Compose(_) => {
                "free some of the host's memory, where chukka composes the initrd".into()
            }
        }
    }
}

impl Injected {
    /// Opens a file; never blocks.
    ///
    /// # Errors
    /// It cannot be opened, is not a regular file, or has a name or size that no archive can hold.
    pub fn open(path: &Path) -> Result<Self, InjectError> {
        let read = |source| InjectError::Read { path: path.into(), source };
        let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits();
        let flags = i32::try_from(flags).unwrap_or(0);
        let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(read)?;
        let about = file.metadata().map_err(read)?;
        if !about.is_file() {
            return Err(InjectError::Kind { path: path.into() });
        }
        let size = u32::try_from(about.len())
            .map_err(|_| InjectError::TooBig { path: path.into(), size: about.len() })?;
        let name = path.file_name().and_then(|name| name.to_str()).filter(|name| *name != TRAILER);
        let name = name.ok_or_else(|| InjectError::Name { path: path.into() })?.to_owned();
        Ok(Self { path: path.into(), name, file, size, mode: about.mode() & 0o777 })
    }

    /// Its name in the root directory of the initrd.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it is on the host.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes it has.
    #[must_use]
    pub fn size(&self) -> u32 {
        self.size
    }

    fn write(&mut self, inode: u32, to: &mut impl Write) -> Result<(), InjectError> {
        const REGULAR: u32 = 0o100_000;
        let read = |source| InjectError::Read { path: self.path.clone(), source };
        self.file.rewind().map_err(read)?;
        let mut content = (&self.file).take(self.size.into());
        let entry = newc::Builder::new(&self.name).ino(inode).mode(REGULAR | self.mode);
        let mut entry = entry.write(to, self.size);
        let copied = io::copy(&mut content, &mut entry).map_err(read)?;
        if copied < self.size.into() {
            return Err(read(io::ErrorKind::UnexpectedEof.into()));
        }
        entry.finish().map_err(InjectError::Compose)?;
        Ok(())
    }
}

/// How many bytes [`compose`] makes of these, before anything is read of them.
#[must_use]
pub fn composed_len(initrds: &[&dyn RandomAccess], files: &[Injected]) -> u64 {
    let initrds = initrds.iter().map(|initrd| padded(initrd.len()));
    let entries = files.iter().map(|file| entry_len(&file.name, file.size.into()));
    let trailer = (!files.is_empty()).then(|| entry_len(TRAILER, 0));
    initrds.chain(entries).chain(trailer).fold(0, u64::saturating_add)
}

/// How many bytes an archive has for a file: a header of 110 bytes and the name with its NUL, then
/// the content, each padded.
fn entry_len(name: &str, size: u64) -> u64 {
    padded(110 + name.len() as u64 + 1) + padded(size)
}

fn padded(len: u64) -> u64 {
    len.checked_next_multiple_of(4).unwrap_or(u64::MAX)
}

/// Makes one file of `initrds` and an archive of `files` behind them, each at a multiple of four
/// bytes as boot loaders have it. It is in the host's memory, has no name, and cannot be written
/// to.
///
/// # Errors
/// Two of the files have one name; something cannot be read; there is no memory.
pub fn compose(initrds: &[&dyn RandomAccess], files: &mut [Injected]) -> Result<File, InjectError> {
    for (index, second) in files.iter().enumerate() {
        if let Some(first) = files[..index].iter().find(|first| first.name == second.name) {
            let (first, second) = (first.path.clone(), second.path.clone());
            let name = files[index].name.clone();
            return Err(InjectError::Twice { first, second, name });
        }
    }
    let mut memory = in_memory().map_err(InjectError::Compose)?;
    for initrd in initrds {
        let read = |source| InjectError::Read { path: initrd.name().into(), source };
        copy_exactly(*initrd, &mut memory).map_err(read)?;
        let padding = padded(initrd.len()).saturating_sub(initrd.len());
        let zeros = &[0; 3][..usize::try_from(padding).unwrap_or(0)];
        memory.write_all(zeros).map_err(InjectError::Compose)?;
    }
    if !files.is_empty() {
        for (inode, file) in (1..).zip(files) {
            file.write(inode, &mut memory)?;
        }
        newc::trailer(&mut memory).map_err(InjectError::Compose)?;
    }
    read_only(&memory).map_err(InjectError::Compose)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Temp;
    use crate::{FileTree, TreePath};

    /// Names, modes and contents of an archive.
    fn entries(mut bytes: &[u8]) -> Vec<(String, u32, Vec<u8>)> {
        let mut entries = Vec::new();
        loop {
            let mut reader = newc::Reader::new(bytes).unwrap();
            let entry = reader.entry();
            if entry.is_trailer() {
                return entries;
            }
            let (name, mode) = (entry.name().to_owned(), entry.mode());
            let mut content = Vec::new();
            reader.read_to_end(&mut content).unwrap();
            entries.push((name, mode, content));
            bytes = reader.finish().unwrap();
        }
    }

    fn whole(mut file: File) -> Vec<u8> {
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn files_follow_the_initrd_aligned_to_four_bytes() {
        use std::os::unix::fs::PermissionsExt;
        let temp = Temp::of(&["initrd", "dir/ks.cfg", "run.sh"]);
        let script = temp.path().join("run.sh");
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::set_permissions(
            temp.path().join("dir/ks.cfg"),
            std::fs::Permissions::from_mode(0o600),
        )
        .unwrap();
        let initrd = temp.source().open(&TreePath::new("initrd")).unwrap();
        let mut files =
            ["dir/ks.cfg", "run.sh"].map(|path| Injected::open(&temp.path().join(path)).unwrap());
        let composed = composed_len(&[&*initrd], &files);
        assert_eq!(composed, compose(&[&*initrd], &mut files).unwrap().metadata().unwrap().len());
        // Twice: composing reads the files from their beginning.
        for _ in 0..2 {
            let bytes = whole(compose(&[&*initrd], &mut files).unwrap());
            assert_eq!((&bytes[..8], bytes.len() % 4), (&b"initrd\0\0"[..], 0));
            let expected = [
                ("ks.cfg".to_owned(), 0o100_600, b"dir/ks.cfg".to_vec()),
                ("run.sh".to_owned(), 0o100_755, b"run.sh".to_vec()),
            ];
            assert_eq!(entries(&bytes[8..]), expected);
        }
        let alone = whole(compose(&[], &mut files[..1]).unwrap());
        assert_eq!(entries(&alone).len(), 1);
    }

    #[test]
    fn several_initrds_are_concatenated() {
        let temp = Temp::of(&["first", "second", "four"]);
        let open = |path: &str| temp.source().open(&TreePath::new(path)).unwrap();
        let all = ["first", "second", "four"].map(open);
        let all: Vec<_> = all.iter().map(|file| &**file).collect();
        let bytes = whole(compose(&all, &mut []).unwrap());
        assert_eq!(composed_len(&all, &[]), bytes.len() as u64);
        assert_eq!(bytes, b"first\0\0\0second\0\0four");
    }

    #[test]
    fn the_composed_initrd_is_read_only() {
        let temp = Temp::of(&["a"]);
        let mut files = [Injected::open(&temp.path().join("a")).unwrap()];
        let file = compose(&[], &mut files).unwrap();
        assert!((&file).write_all(b"x").is_err());
    }

    #[test]
    fn unsuitable_files_are_reported_by_name() {
        let temp = Temp::of(&["a/ks", "b/ks", "TRAILER!!!"]);
        let open = |path: &str| Injected::open(&temp.path().join(path));
        let mut files = [open("a/ks").unwrap(), open("b/ks").unwrap()];
        let error = compose(&[], &mut files).unwrap_err();
        assert!(error.to_string().ends_with("would both be /ks in the initrd"), "{error}");
        for (path, word) in
            [("a", "not a regular file"), ("absent", "Cannot read"), ("TRAILER!!!", "a name")]
        {
            let error = open(path).unwrap_err();
            assert!(error.to_string().contains(word), "{error}");
            assert!(!error.hint().is_empty());
        }
    }

    #[test]
    fn a_file_that_shrinks_is_an_error() {
        let temp = Temp::of(&["file"]);
        let mut files = [Injected::open(&temp.path().join("file")).unwrap()];
        temp.file("file", b"x");
        assert!(matches!(compose(&[], &mut files), Err(InjectError::Read { .. })));
    }

    #[test]
    fn a_file_is_opened_with_its_name_and_size() {
        let temp = Temp::of(&["dir/ks.cfg"]);
        let path = temp.path().join("dir/ks.cfg");
        let file = Injected::open(&path).unwrap();
        assert_eq!((file.name(), file.path(), file.size()), ("ks.cfg", path.as_path(), 10));
    }

    #[test]
    fn hints_fit_what_is_wrong() {
        let temp = Temp::of(&["a/ks", "TRAILER!!!"]);
        for (path, hint) in [
            ("a", "name a regular file"),
            ("absent", "check the path"),
            ("TRAILER!!!", "another name"),
        ] {
            let error = Injected::open(&temp.path().join(path)).unwrap_err();
            assert!(error.hint().contains(hint), "{path}: {}", error.hint());
        }
    }

    /// Nobody writes to it: opening it must not wait for that.
    #[test]
    fn a_named_pipe_is_refused_at_once() {
        let temp = Temp::new();
        let path = temp.path().join("pipe");
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        let (said, heard) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let _ = said.send(matches!(Injected::open(&path), Err(InjectError::Kind { .. })));
        });
        assert_eq!(heard.recv_timeout(std::time::Duration::from_secs(20)), Ok(true));
    }
}
