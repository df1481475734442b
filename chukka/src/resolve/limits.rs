//! How long files may be that are copied out of a place.

use std::fs::File;
use std::io::{self, Write};

use firmware::SourceFile;
use location::fetch::RAISE_LIMIT;
use location::{RandomAccess, menu};
use storage::{Failure, head, host_file};

use super::Purpose;
use crate::error::ResolveError;

/// The most bytes of a file for another boot loader: the largest initrds have a few hundred MB.
pub const BOOT_LOADER_LIMIT: u64 = 1 << 30;

/// How long a file may be that is copied out of a place. An image can have files that are far
/// longer than itself.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    /// The user's limit (`-fetch limit=`), in bytes.
    pub limit: u64,
    /// What the files are for: a guest's memory, for example, limits their length.
    pub purpose: Purpose,
}

impl Limits {
    /// A file of this host with these bytes, for guest memory to be filled from.
    pub fn opened(
        self,
        bytes: Box<dyn RandomAccess>,
        role: &'static str,
    ) -> Result<SourceFile, ResolveError> {
        let name = bytes.name().to_owned();
        let failed = |source| ResolveError::Fetch { name: name.clone(), source };
        let file = self.check(bytes.len()).and_then(|()| {
            if role == "kernel" && self.purpose != Purpose::BootLoader {
                let head = head(&*bytes, firmware::image::HEAD)?;
                if !firmware::image::could_be_kernel(&head) {
                    // The beginning is enough to tell what it is instead.
                    return in_memory(&head);
                }
            }
            bytes.into_file()
        });
        Ok(SourceFile::opened(file.map_err(failed)?, name, role)?)
    }

    /// Refuses a length that no file may have that is copied.
    pub fn check(self, len: u64) -> io::Result<()> {
        let failure = match self.purpose {
            Purpose::BootLoader if len > BOOT_LOADER_LIMIT => Failure::new(
                format!("it has {len} bytes; the limit is {BOOT_LOADER_LIMIT}"),
                "check that this is a kernel or initrd: those are smaller",
            ),
            _ if len > self.limit => Failure::new(
                format!("it has {len} bytes; the limit is {}", self.limit),
                RAISE_LIMIT,
            ),
            _ => return self.check_memory(len),
        };
        Err(failure.into())
    }

    /// Refuses a length that the guest's memory cannot hold.
    pub fn check_memory(self, len: u64) -> io::Result<()> {
        match self.purpose {
            Purpose::Guest(memory) if len > memory => Err(Failure::new(
                format!("it has {len} bytes, and the guest {memory} bytes of memory"),
                "give the guest more memory: -m SIZE",
            )
            .into()),
            _ => Ok(()),
        }
    }

    /// One initrd of all there are, as a boot loader would put them into memory.
    pub fn joined(
        self,
        initrds: Vec<Box<dyn RandomAccess>>,
    ) -> Result<Option<SourceFile>, ResolveError> {
        let names: Vec<_> = initrds.iter().map(|initrd| initrd.name().to_owned()).collect();
        let joined = menu::joined(initrds);
        let joined =
            joined.map_err(|source| ResolveError::Fetch { name: names.join(" + "), source })?;
        joined.map(|initrd| self.opened(initrd, "initrd")).transpose()
    }
}

/// A file with these bytes.
fn in_memory(bytes: &[u8]) -> io::Result<File> {
    let mut file = host_file::in_memory()?;
    file.write_all(bytes)?;
    host_file::read_only(&file)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use guest_memory::hint::Hint;

    /// A file of an image that is far longer than the image. Counts what is read of it.
    #[derive(Debug)]
    struct Expanding<'a>(u64, &'a AtomicU64);

    impl RandomAccess for Expanding<'_> {
        fn name(&self) -> &'static str {
            "x.squashfs/vmlinuz"
        }

        fn len(&self) -> u64 {
            self.0
        }

        fn read_at(&self, to: &mut [u8], at: u64) -> io::Result<usize> {
            let count = to.len().min(usize::try_from(self.0 - at).unwrap());
            to[..count].fill(0);
            self.1.fetch_add(count as u64, Ordering::Relaxed);
            Ok(count)
        }
    }

    #[test]
    fn a_file_that_expands_is_refused_before_it_is_read() {
        static READ: AtomicU64 = AtomicU64::new(0);
        let limits = Limits { limit: 1 << 20, purpose: Purpose::Guest(1 << 19) };
        let opened = |limits: Limits, len, role| {
            READ.store(0, Ordering::Relaxed);
            let error = limits.opened(Box::new(Expanding(len, &READ)), role).map(drop);
            (error, READ.load(Ordering::Relaxed))
        };
        for (len, problem, hint) in [
            ((1 << 20) + 1, "it has 1048577 bytes; the limit is 1048576", "--limit SIZE"),
            (1 << 20, "it has 1048576 bytes, and the guest 524288 bytes of memory", "-m SIZE"),
        ] {
            for role in ["kernel", "initrd"] {
                let (error, read) = opened(limits, len, role);
                let error = error.unwrap_err();
                let text = crate::report::with_sources(&error);
                assert_eq!(text, format!("Cannot read 'x.squashfs/vmlinuz': {problem}"));
                assert!(error.hint().unwrap().contains(hint));
                assert_eq!(read, 0, "{role}");
            }
        }
        // Another boot loader starts other kernels too, so it gets whole files, but none that long.
        let other = Limits { limit: 1 << 40, purpose: Purpose::BootLoader };
        let (error, read) = opened(other, BOOT_LOADER_LIMIT + 1, "kernel");
        assert!(error.is_err() && read == 0, "{read}: {error:?}");
        let (error, read) = opened(other, 1 << 24, "kernel");
        assert!(error.is_ok() && read == 1 << 24, "{read}: {error:?}");
        let large = Limits { limit: 1 << 40, purpose: Purpose::Copies };
        let (error, read) = opened(large, 1 << 39, "kernel");
        assert!(error.is_ok() && read <= firmware::image::HEAD as u64, "{read}: {error:?}");
        let (error, read) = opened(limits, 1 << 19, "initrd");
        assert!(error.is_ok() && read == 1 << 19, "{read}: {error:?}");
    }
}
