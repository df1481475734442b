//! Files that contain a kernel: gzip files and unified kernel images. Their contents are copied to
//! in-memory files.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;

use flate2::bufread::GzDecoder;
use rustix::fs::{MemfdFlags, memfd_create};

use crate::source_file::SourceFile;

/// Maximum size of a decompressed kernel in bytes. Xen has 4 MiB, a vmlinux with all its symbols a
/// few hundred.
pub(super) const UNPACKED_MAX: u64 = 512 << 20;
/// Number of bytes decompressed to recognize a kernel before decompressing the rest.
const PEEK: u64 = 64 << 10;
/// Number of bytes copied at a time.
const CHUNK: usize = 256 << 10;

/// The file that contained a kernel, and its other contents.
#[derive(Debug)]
pub struct Container {
    /// The file.
    pub file: SourceFile,
    /// Its format.
    pub kind: ContainerKind,
    /// The sections of a unified kernel image: names and sizes in bytes.
    pub sections: Vec<(String, u64)>,
    /// Its initrd, preceded by microcode updates.
    pub initrd: Option<SourceFile>,
    /// Its command line, or empty.
    pub cmdline: Vec<u8>,
}

/// The format of a file that contains a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContainerKind {
    /// gzip data.
    Gzip,
    /// A unified kernel image: an EFI program with a kernel, an initrd and a command line in its
    /// sections.
    UnifiedKernelImage,
}

/// Copies parts of a file, one after the other. Returns `None` if they are empty. The copy is named
/// after the file and `part`.
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
    // Empty files are rejected, and nothing else can be wrong with this one.
    Ok(SourceFile::opened(read_only(&file)?, name, role).ok())
}

/// Decompresses the first bytes of a gzip file; returns fewer or none if it is damaged.
pub(super) fn peek(source: &SourceFile) -> Vec<u8> {
    let mut bytes = Vec::new();
    // Keep what was decompressed before the error.
    let _ = decoder(source).take(PEEK).read_to_end(&mut bytes);
    bytes
}

/// Decompresses a gzip file.
///
/// # Errors
/// It is damaged, or has more than `max` bytes when it is decompressed.
pub(super) fn unpack(source: &SourceFile, max: u64) -> io::Result<SourceFile> {
    let mut file = memory_file()?;
    let mut unpacked = decoder(source).take(max + 1);
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
    if size > max {
        return Err(io::Error::other(format!("it unpacks to more than {max} bytes")));
    }
    SourceFile::opened(read_only(&file)?, source.path(), "kernel").map_err(io::Error::other)
}

fn decoder(source: &SourceFile) -> Members<'_> {
    Members(Some(GzDecoder::new(BufReader::new(Reader { file: source.file(), at: 0 }))))
}

/// The members of a gzip file, one after the other. Anything else behind them is ignored, such as
/// padding or a signature, as gunzip and GRUB do.
struct Members<'a>(Option<GzDecoder<BufReader<Reader<'a>>>>);

impl Read for Members<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = &mut self.0 {
            let count = member.read(to)?;
            if count > 0 || to.is_empty() {
                return Ok(count);
            }
            self.0 = match self.0.take().map(GzDecoder::into_inner) {
                Some(mut rest) => {
                    let is_member = rest.fill_buf()?.starts_with(b"\x1f\x8b");
                    is_member.then(|| GzDecoder::new(rest))
                }
                None => None,
            };
        }
        Ok(0)
    }
}

/// Reads a file from its start, independent of the descriptor's position.
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

/// Reopens the file read-only: a file that is open for writing is not mapped into the guest.
fn read_only(file: &File) -> io::Result<File> {
    File::open(format!("/proc/self/fd/{}", file.as_raw_fd()))
}
