//! Files that hold a kernel: gzip'd ones, and unified kernel images. What is in them is copied to files in memory.

use std::fs::File;
use std::io::{self, Read, Write};
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;

use flate2::read::MultiGzDecoder;
use rustix::fs::{MemfdFlags, memfd_create};

use crate::source_file::SourceFile;

/// The largest kernel that is unpacked, in bytes. Xen has 4 MiB, a vmlinux with all its symbols some hundred.
const UNPACKED_MAX: u64 = 512 << 20;
/// The unpacked bytes by which a kernel is recognized before the rest is unpacked.
const PEEK: u64 = 64 << 10;
/// Bytes that are copied at a time.
const CHUNK: usize = 256 << 10;

/// The file that a kernel was found in, and what else is in it.
#[derive(Debug)]
pub struct Container {
    /// The file.
    pub file: SourceFile,
    /// What it is.
    pub kind: ContainerKind,
    /// The initrd in it, with microcode updates before it.
    pub initrd: Option<SourceFile>,
    /// The command line in it; empty without one.
    pub cmdline: Vec<u8>,
}

/// What a file is that holds a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContainerKind {
    /// gzip data.
    Gzip,
    /// A unified kernel image: an EFI program with a kernel, an initrd and a command line in its sections.
    UnifiedKernelImage,
}

/// A copy of parts of a file, one after the other; `None` where they are empty. The copy's name is the file's and `part`.
pub(super) fn copy(
    source: &SourceFile,
    ranges: &[Range<u64>],
    part: &str,
    role: &'static str,
) -> io::Result<Option<SourceFile>> {
    let mut file = memory_file()?;
    let mut buffer = vec![0; CHUNK];
    for range in ranges {
        let mut at = range.start;
        while at < range.end {
            let count = usize::try_from(range.end - at).unwrap_or(CHUNK).min(CHUNK);
            source.file().read_exact_at(&mut buffer[..count], at)?;
            file.write_all(&buffer[..count])?;
            at += count as u64;
        }
    }
    let name = format!("{} ({part})", source.path().display());
    // An empty file is refused, and nothing else can be wrong with this one.
    Ok(SourceFile::opened(read_only(&file)?, name, role).ok())
}

/// The first bytes that are packed in a gzip file; fewer or none where it is damaged.
pub(super) fn peek(source: &SourceFile) -> Vec<u8> {
    let mut bytes = Vec::new();
    // What was unpacked before an error is kept.
    let _ = decoder(source).take(PEEK).read_to_end(&mut bytes);
    bytes
}

/// A gzip file, unpacked.
///
/// # Errors
/// It is damaged, or larger than [`UNPACKED_MAX`].
pub(super) fn unpack(source: &SourceFile) -> io::Result<SourceFile> {
    let mut file = memory_file()?;
    let mut unpacked = decoder(source).take(UNPACKED_MAX + 1);
    let mut buffer = vec![0; CHUNK];
    let mut size = 0;
    loop {
        let count = match unpacked.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        file.write_all(&buffer[..count])?;
        size += count as u64;
    }
    if size > UNPACKED_MAX {
        return Err(io::Error::other(format!("it unpacks to more than {UNPACKED_MAX} bytes")));
    }
    SourceFile::opened(read_only(&file)?, source.path(), "kernel").map_err(io::Error::other)
}

fn decoder(source: &SourceFile) -> MultiGzDecoder<Reader<'_>> {
    MultiGzDecoder::new(Reader { file: source.file(), at: 0 })
}

/// A file read from its start, whatever the descriptor's own position.
struct Reader<'a> {
    file: &'a File,
    at: u64,
}

impl Read for Reader<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(to, self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}

fn memory_file() -> io::Result<File> {
    Ok(File::from(memfd_create("chukka-kernel", MemfdFlags::CLOEXEC)?))
}

/// The same file, for reading only: a file that is open for writing is not mapped into the guest.
fn read_only(file: &File) -> io::Result<File> {
    File::open(format!("/proc/self/fd/{}", file.as_raw_fd()))
}
