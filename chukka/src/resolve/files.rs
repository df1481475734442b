//! Kernel and initrd as open files.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;

use firmware::image::KernelKind;
use firmware::payload::Module;
use firmware::{KernelImage, SourceFile};
use location::checksum::{self, Checked};
use location::fetch::FetchProgress;
use location::tree::{self, Mismatch, TreeError};
use location::{Fetcher, Injected, Place, Query, RandomAccess, Tree, inject, menu};
use storage::{Failure, LocalFile, head, host_file};

use super::{Found, Purpose, disk, words};
use crate::error::ResolveError;
use crate::request::{BootFiles, BootSource, Checksum};

/// Files that are open, and how they were found.
pub(super) struct Files {
    pub kernel: KernelImage,
    pub initrd: Option<SourceFile>,
    /// The modules of a multiboot kernel.
    pub modules: Vec<Module>,
    pub found: Option<Found>,
}

impl Files {
    /// Gets them, and checks them against the user's sums.
    pub fn get(
        source: &BootSource,
        purpose: Purpose,
        watch: Arc<dyn FetchProgress>,
    ) -> Result<Self, ResolveError> {
        let fetcher = Fetcher::with_progress(source.fetch.clone(), watch);
        let limits = Limits { limit: source.fetch.limit, memory: purpose.guest_memory() };
        let files = Self::open(source, purpose.memory(), &fetcher, limits).and_then(|files| {
            files.check(&source.checksums)?;
            Ok(files)
        });
        // Whatever led there is asked again by the next run.
        if let Err(ResolveError::Tree(error)) = &files
            && !matches!(error, TreeError::Read { .. })
        {
            source.files.places().for_each(|place| fetcher.forget(place));
        }
        files
    }

    fn open(
        source: &BootSource,
        memory: u64,
        fetcher: &Fetcher,
        limits: Limits,
    ) -> Result<Self, ResolveError> {
        match &source.files {
            BootFiles::Named { kernel, initrd } => {
                Self::named(fetcher, kernel, initrd.as_ref(), limits)
            }
            BootFiles::Disk { place, choice } => disk::find(fetcher, place, choice, limits),
            BootFiles::Location { place, kernel, initrd } => {
                let (kernel, initrd) = (kernel.as_deref(), initrd.as_deref());
                let elsewhere: tree::OpenUrl<'_> = &|place| fetcher.file(place);
                let query = Query { kernel, initrd, memory, elsewhere };
                Self::find(fetcher, place, source.served_at.as_deref(), query, limits)
            }
        }
    }

    fn named(
        fetcher: &Fetcher,
        kernel: &Place,
        initrd: Option<&Place>,
        limits: Limits,
    ) -> Result<Self, ResolveError> {
        let elsewhere: tree::OpenUrl<'_> = &|place| fetcher.file(place);
        let url = |place, role| limits.opened(tree::open_url(place, role, elsewhere)?, role);
        let kernel = match kernel {
            Place::Local(path) => KernelImage::open(path)?,
            place => KernelImage::of(url(place, "kernel")?)?,
        };
        // A multiboot kernel's -initrd is a list of modules.
        if let (KernelKind::Multiboot(_), Some(Place::Local(list))) = (&kernel.kind, initrd) {
            let modules = Module::open_all(list.as_os_str())?;
            return Ok(Self { kernel, initrd: None, modules, found: None });
        }
        let initrd = match initrd {
            None => None,
            Some(Place::Local(path)) => Some(SourceFile::open(path, "initrd")?),
            Some(place) => Some(url(place, "initrd")?),
        };
        Ok(Self { kernel, initrd, modules: Vec::new(), found: None })
    }

    /// Finds them in a place, which the guest finds at `served_at` if it is served to it.
    fn find(
        fetcher: &Fetcher,
        place: &Place,
        served_at: Option<&str>,
        query: Query<'_>,
        limits: Limits,
    ) -> Result<Self, ResolveError> {
        let files = fetcher.place(place)?;
        let tree = Tree::find(&*files, query)?;
        let initrds = tree.initrds.iter();
        let initrds =
            initrds.map(|part| (part.bytes.name().to_owned(), part.bytes.len(), part.sum.clone()));
        let found = Found {
            place: files.name().to_owned(),
            initrds: initrds.collect(),
            install_source: words::InstallSource::of(place, served_at, files.label(), &tree),
            kernel_sum: tree.kernel.sum,
            attempts: tree.attempts,
            warnings: tree.warnings,
            rule: tree.rule,
            installer: tree.installer,
            release: tree.release,
            arguments: tree.arguments,
        };
        let kernel = KernelImage::of(limits.opened(tree.kernel.bytes, "kernel")?)?;
        let initrds = tree.initrds.into_iter().map(|part| part.bytes).collect();
        Ok(Self {
            kernel,
            initrd: limits.joined(initrds)?,
            modules: Vec::new(),
            found: Some(found),
        })
    }

    /// Checks them against the user's sums.
    fn check(&self, sums: &[Checksum]) -> Result<(), ResolveError> {
        let initrd = self.initrd.as_ref().map(|initrd| ("initrd", initrd));
        let files = [Some(("kernel", self.kernel.file())), initrd].into_iter().flatten();
        for Checksum { of, sum } in sums {
            let is_meant = |(role, file): &(&str, &SourceFile)| {
                role == of || file.path().file_name().is_some_and(|name| name == OsStr::new(of))
            };
            let Some((role, file)) = files.clone().find(is_meant) else {
                let names: Vec<_> =
                    files.map(|(_, file)| file.path().display().to_string()).collect();
                return Err(ResolveError::NothingToCheck {
                    of: of.clone(),
                    there: names.join(" and "),
                });
            };
            let name = file.path().display().to_string();
            let read = |source| ResolveError::Fetch { name: name.clone(), source };
            let bytes = LocalFile::new(file.file().try_clone().map_err(read)?, name.clone());
            let checked = checksum::check(&bytes.map_err(read)?, sum).map_err(read)?;
            if let Checked::Wrong { algorithm, found, expected } = checked {
                let by = "-checksum".to_owned();
                let mismatch = Mismatch { role, name, algorithm, found, expected, by };
                return Err(TreeError::Checksum(Box::new(mismatch)).into());
            }
        }
        Ok(())
    }
}

/// How long a file may be that is copied out of a place. An image can have files that are far longer than itself.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    /// The user's limit (`-fetch limit=`), in bytes.
    limit: u64,
    /// The guest's memory in bytes, if one is to run: a longer file cannot be booted.
    memory: Option<u64>,
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
        let file = self.check(&*bytes).and_then(|()| {
            if role == "kernel" {
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

    fn check(self, bytes: &dyn RandomAccess) -> io::Result<()> {
        let len = bytes.len();
        let failure = match self.memory {
            _ if len > self.limit => Failure::new(
                format!("it has {len} bytes; the limit is {}", self.limit),
                "to allow it, raise the limit: -fetch limit=SIZE",
            ),
            Some(memory) if len > memory => Failure::new(
                format!("it has {len} bytes, and the guest {memory} bytes of memory"),
                "give the guest more memory: -m SIZE",
            ),
            _ => return Ok(()),
        };
        Err(failure.into())
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

/// The initrd with the user's files in it; as it was where there are none.
pub(super) fn with_injected(
    initrd: Option<SourceFile>,
    files: &mut [Injected],
) -> Result<Option<SourceFile>, ResolveError> {
    if files.is_empty() {
        return Ok(initrd);
    }
    let mut name = match &initrd {
        Some(initrd) => initrd.path().display().to_string(),
        None => "initrd".to_owned(),
    };
    // A copy of the descriptor: nobody takes a lease on this one.
    let first = initrd.map(|initrd| LocalFile::new(initrd.file().try_clone()?, name.clone()));
    let fetch = |source| ResolveError::Fetch { name: name.clone(), source };
    let first = first.transpose().map_err(fetch)?;
    let first: Vec<_> = first.iter().map(|file| -> &dyn RandomAccess { file }).collect();
    let file = inject::compose(&first, files)?;
    for file in files {
        // Writing to a String cannot fail.
        let _ = write!(name, " + /{}", file.name());
    }
    Ok(Some(SourceFile::opened(file, name, "initrd")?))
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
        let limits = Limits { limit: 1 << 20, memory: Some(1 << 19) };
        let opened = |limits: Limits, len, role| {
            READ.store(0, Ordering::Relaxed);
            let error = limits.opened(Box::new(Expanding(len, &READ)), role).map(drop);
            (error, READ.load(Ordering::Relaxed))
        };
        for (len, problem, hint) in [
            ((1 << 20) + 1, "it has 1048577 bytes; the limit is 1048576", "-fetch limit=SIZE"),
            (1 << 20, "it has 1048576 bytes, and the guest 524288 bytes of memory", "-m SIZE"),
        ] {
            for role in ["kernel", "initrd"] {
                let (error, read) = opened(limits, len, role);
                let error = error.unwrap_err();
                let text = crate::report::with_sources(&error);
                assert_eq!(text, format!("Cannot read 'x.squashfs/vmlinuz': {problem}"));
                assert!(error.hint().unwrap().ends_with(hint));
                assert_eq!(read, 0, "{role}");
            }
        }
        let large = Limits { limit: 1 << 40, memory: None };
        let (error, read) = opened(large, 1 << 39, "kernel");
        assert!(error.is_ok() && read <= firmware::image::HEAD as u64, "{read}: {error:?}");
        let (error, read) = opened(limits, 1 << 19, "initrd");
        assert!(error.is_ok() && read == 1 << 19, "{read}: {error:?}");
    }
}
