//! A download in progress.

use std::fs::{self, File, Permissions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::thread;

use ring::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};

use super::cache::{self, Cache, Kept, about, clear, is_at, name_of, writable};
use super::places;
use super::progress::FetchProgress;
use crate::checksum::hex;
use storage::host_file;
use storage::{Failure, RandomAccess};

/// Size of each read in bytes.
const PIECE: usize = 256 << 10;

/// The lock for fetching one file into the cache. Others who want the same file wait until this is
/// dropped.
#[derive(Debug)]
pub(super) struct Partial<'a> {
    cache: &'a Cache,
    place: &'a str,
    path: &'a str,
    /// Path in the directory of partial files, without an extension.
    stem: PathBuf,
    /// The partial file is useless to the next run, and may be what fills the disk.
    useless: AtomicBool,
    /// Open and locked.
    _lock: File,
}

/// Identifies the file of a partial download; written before its first byte.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PartOf {
    /// The location.
    pub place: String,
    /// Path in the location.
    pub path: String,
    version: String,
    /// Length of the complete file in bytes.
    pub len: u64,
    /// Boot id of the host: data that was not yet on the disk when the host crashed may now be
    /// zeros.
    boot: String,
}

impl PartOf {
    /// Most bytes of such a file: a URL and a path, and some numbers.
    const LONGEST: u64 = 1 << 20;

    /// Reads one. `None` if the file is not a valid one.
    pub fn read(path: &Path) -> Option<Self> {
        serde_json::from_slice(&cache::read(path, Self::LONGEST).ok()?).ok()
    }
}

impl<'a> Partial<'a> {
    /// Waits until no other process fetches the file.
    ///
    /// # Errors
    /// The cache cannot be written to.
    pub fn lock(
        cache: &'a Cache,
        place: &'a str,
        path: &'a str,
        watch: &dyn FetchProgress,
    ) -> io::Result<Self> {
        let stem = cache.partials().join(name_of(&format!("{place}\0{path}")));
        let name = stem.with_extension("lock");
        let mut told = false;
        let lock = loop {
            let lock = writable(&name).map_err(|error| about(&name, &error))?;
            if lock.try_lock().is_err() {
                if !told {
                    watch.note(&format!(
                        "{place}: waiting for another chukka that is fetching {path}"
                    ));
                    told = true;
                }
                lock.lock()?;
            }
            // The previous holder has removed it.
            if is_at(&lock, &name) {
                break lock;
            }
        };
        Ok(Self { cache, place, path, stem, useless: AtomicBool::new(false), _lock: lock })
    }

    /// Fetches `file`, or the missing rest of it. Returns its SHA-256 and the file itself.
    ///
    /// # Errors
    /// It cannot be read to its end, its length is not what it reported, or there is no space left.
    /// The partial file stays if the next run can resume it.
    pub fn fill(
        &self,
        file: &dyn RandomAccess,
        watch: &dyn FetchProgress,
    ) -> io::Result<(String, File)> {
        let about_it = self.stem.with_extension("json");
        let part_of = PartOf {
            place: self.place.into(),
            path: self.path.into(),
            version: file.version(),
            len: file.len(),
            boot: fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default(),
        };
        let known = PartOf::read(&about_it);
        let goes_on = known.as_ref() == Some(&part_of) && !part_of.version.is_empty();
        let local = |error| self.local(&error);
        let mut data = writable(&self.stem).map_err(local)?;
        if !goes_on || data.metadata().map_err(local)?.len() > part_of.len {
            data.set_len(0).map_err(local)?;
            places::write(&about_it, &part_of).map_err(local)?;
        }
        let already = data.seek(SeekFrom::End(0)).map_err(local)?;
        watch.begin(file.name(), part_of.len, already, !part_of.version.is_empty());
        let done = self.receive(file, already..part_of.len, &data, watch);
        drop(data);
        let done = done.and_then(|sha256| self.finish(&sha256, part_of.len));
        if done.is_err() && (self.useless.load(Ordering::Relaxed) || part_of.version.is_empty()) {
            self.forget();
        }
        watch.end(done.is_ok());
        done
    }

    /// Appends the missing rest to `data` and writes it to the disk. The checksum is computed
    /// meanwhile, so that the network, the checksum and the disk do not wait for each other.
    fn receive(
        &self,
        file: &dyn RandomAccess,
        range: Range<u64>,
        mut data: &File,
        watch: &dyn FetchProgress,
    ) -> io::Result<String> {
        let local = |error| self.local(&error);
        thread::scope(|scope| {
            let (here, told) = mpsc::channel();
            let adder = thread::Builder::new().name("sha256".into());
            let adder = adder.spawn_scoped(scope, move || add(data, &told)).map_err(local)?;
            let mut at = range.start;
            // The hasher stops early only if it cannot read, and reports that at the end.
            let _ = here.send(at);
            let done = file.stream(at).and_then(|mut stream| {
                exactly(&mut stream, range, watch, &self.useless, |piece| {
                    data.write_all(piece).map_err(local)?;
                    at += piece.len() as u64;
                    let _ = here.send(at);
                    Ok(())
                })
            });
            let done = done.and_then(|()| data.sync_all().map_err(local));
            drop(here);
            let sum = adder.join().map_err(|_| io::Error::other("the checksum thread panicked"))?;
            done.and_then(|()| sum.map_err(local))
        })
    }

    /// Moves the complete file to its name.
    fn finish(&self, sha256: &str, len: u64) -> io::Result<(String, File)> {
        let local = |error| self.local(&error);
        let path = self.cache.content(sha256);
        // Already cached, from another location or by another name. It stays, because a guest may
        // use it.
        let file = match self.cache.find(sha256, len) {
            Kept::Intact(file) => file,
            Kept::Damaged | Kept::Absent => {
                let file = File::open(&self.stem).map_err(local)?;
                file.set_permissions(Permissions::from_mode(0o400)).map_err(local)?;
                file.try_lock_shared().map_err(|error| local(error.into()))?;
                clear(&path).and_then(|()| fs::rename(&self.stem, &path)).map_err(local)?;
                // So that the name survives a crash of the host.
                File::open(self.cache.contents())?.sync_all().map_err(local)?;
                file
            }
        };
        self.forget();
        Ok((sha256.to_owned(), file))
    }

    /// Removes all files of this download except the one in `content/`.
    pub fn forget(&self) {
        let _ = fs::remove_file(&self.stem);
        let _ = fs::remove_file(self.stem.with_extension("json"));
    }

    /// An error of the cache's file system.
    fn local(&self, error: &io::Error) -> io::Error {
        let root = self.cache.root().display();
        // The last one means that the process's file size limit is reached (setrlimit(2)).
        let full = [ErrorKind::StorageFull, ErrorKind::QuotaExceeded, ErrorKind::FileTooLarge];
        if full.contains(&error.kind()) {
            self.useless.store(true, Ordering::Relaxed);
            return Failure::new(
                format!("no space left in the cache '{root}': {error}"),
                "free space (chukka cache prune), or use another directory: -fetch cache=DIR or XDG_CACHE_HOME",
            )
            .into();
        }
        Failure::new(
            format!("cannot write to the cache '{root}': {error}"),
            "make it writable, or use another directory: -fetch cache=DIR or XDG_CACHE_HOME",
        )
        .into()
    }
}

/// The next process creates a new one: the name belongs to the process that fetches.
impl Drop for Partial<'_> {
    fn drop(&mut self) {
        let _ = fs::remove_file(self.stem.with_extension("lock"));
    }
}

/// The SHA-256 of a growing file, up to the length last reported.
fn add(file: &File, told: &Receiver<u64>) -> io::Result<String> {
    let (mut digest, mut buffer, mut at) = (Context::new(&SHA256), vec![0; PIECE], 0);
    for end in told {
        while at < end {
            let most = usize::try_from(end - at).map_or(PIECE, |rest| rest.min(PIECE));
            match file.read_at(&mut buffer[..most], at) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => {
                    digest.update(&buffer[..count]);
                    at += count as u64;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(hex(digest.finish().as_ref()))
}

/// Fetches a file into the host's memory, if there is no cache.
///
/// # Errors
/// See [`Partial::fill`].
pub(super) fn in_memory(file: &dyn RandomAccess, watch: &dyn FetchProgress) -> io::Result<File> {
    let mut memory = host_file::in_memory()?;
    watch.begin(file.name(), file.len(), 0, false);
    let done = file.stream(0).and_then(|mut stream| {
        let useless = AtomicBool::new(true);
        exactly(&mut stream, 0..file.len(), watch, &useless, |piece| memory.write_all(piece))
    });
    let done = done.and_then(|()| host_file::read_only(&memory));
    watch.end(done.is_ok());
    done
}

/// Passes all bytes of `stream`, which must be those of `range`, to `take`. Sets `useless` if they
/// belong to another version of the file.
fn exactly(
    stream: &mut dyn Read,
    range: Range<u64>,
    watch: &dyn FetchProgress,
    useless: &AtomicBool,
    mut take: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let mut buffer = vec![0; PIECE];
    let Range { start: mut at, end } = range;
    loop {
        let count = match stream.read(&mut buffer) {
            Ok(0) if at == end => return Ok(()),
            Ok(0) => {
                let problem = format!("it ended after {at} bytes, expected {end}");
                return Err(Failure::new(
                    problem,
                    "try again; if this repeats, the file on the server is damaged",
                )
                .into());
            }
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        at += count as u64;
        if at > end {
            useless.store(true, Ordering::Relaxed);
            let problem = format!("it is longer than the announced {end} bytes");
            return Err(
                Failure::new(problem, "was it changed during the download? try again").into()
            );
        }
        take(&buffer[..count])?;
        watch.advance(count as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fetch::NoProgress;

    /// A connection that a signal interrupts before each piece.
    struct Interrupted<'a> {
        rest: &'a [u8],
        is_interrupted: bool,
    }

    impl Read for Interrupted<'_> {
        fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
            self.is_interrupted = !self.is_interrupted;
            if self.is_interrupted {
                Err(ErrorKind::Interrupted.into())
            } else {
                self.rest.read(to)
            }
        }
    }

    #[test]
    fn an_interrupted_read_is_tried_again() {
        let mut stream = Interrupted { rest: b"0123", is_interrupted: false };
        let (useless, mut all) = (AtomicBool::new(false), Vec::new());
        let take = |piece: &[u8]| {
            all.extend_from_slice(piece);
            Ok(())
        };
        exactly(&mut stream, 3..7, &NoProgress, &useless, take).unwrap();
        assert_eq!(all, b"0123");
    }
}
