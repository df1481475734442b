//! Kernel and initrd as open files.

use std::ffi::OsStr;
use std::fmt::Write;
use std::sync::Arc;

use firmware::image::KernelKind;
use firmware::payload::Module;
use firmware::{KernelImage, SourceFile};
use location::checksum::{self, Checked};
use location::fetch::FetchProgress;
use location::tree::{self, Mismatch, TreeError};
use location::{Fetcher, Injected, Place, Query, RandomAccess, Tree, inject, menu};
use storage::LocalFile;

use super::{Found, disk, words};
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
        memory: u64,
        watch: Arc<dyn FetchProgress>,
    ) -> Result<Self, ResolveError> {
        let fetcher = Fetcher::with_progress(source.fetch.clone(), watch);
        let files = Self::open(source, memory, &fetcher).and_then(|files| {
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

    fn open(source: &BootSource, memory: u64, fetcher: &Fetcher) -> Result<Self, ResolveError> {
        match &source.files {
            BootFiles::Named { kernel, initrd } => Self::named(fetcher, kernel, initrd.as_ref()),
            BootFiles::Disk { place, choice } => disk::find(fetcher, place, choice),
            BootFiles::Location { place, kernel, initrd } => {
                let (kernel, initrd) = (kernel.as_deref(), initrd.as_deref());
                let elsewhere: tree::OpenUrl<'_> = &|place| fetcher.file(place);
                Self::find(fetcher, place, Query { kernel, initrd, memory, elsewhere })
            }
        }
    }

    fn named(
        fetcher: &Fetcher,
        kernel: &Place,
        initrd: Option<&Place>,
    ) -> Result<Self, ResolveError> {
        let elsewhere: tree::OpenUrl<'_> = &|place| fetcher.file(place);
        let url = |place, role| opened(tree::open_url(place, role, elsewhere)?, role);
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

    /// Finds them in a place.
    fn find(fetcher: &Fetcher, place: &Place, query: Query<'_>) -> Result<Self, ResolveError> {
        let files = fetcher.place(place)?;
        let tree = Tree::find(&*files, query)?;
        let initrds = tree.initrds.iter();
        let initrds =
            initrds.map(|part| (part.bytes.name().to_owned(), part.bytes.len(), part.sum.clone()));
        let found = Found {
            place: files.name().to_owned(),
            initrds: initrds.collect(),
            install_source: words::InstallSource::of(place, files.label(), &tree),
            kernel_sum: tree.kernel.sum,
            attempts: tree.attempts,
            warnings: tree.warnings,
            rule: tree.rule,
            installer: tree.installer,
            release: tree.release,
            arguments: tree.arguments,
        };
        let kernel = KernelImage::of(opened(tree.kernel.bytes, "kernel")?)?;
        let initrds = tree.initrds.into_iter().map(|part| part.bytes).collect();
        Ok(Self { kernel, initrd: joined(initrds)?, modules: Vec::new(), found: Some(found) })
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

/// A file of this host with these bytes, for guest memory to be filled from.
pub(super) fn opened(
    bytes: Box<dyn RandomAccess>,
    role: &'static str,
) -> Result<SourceFile, ResolveError> {
    let name = bytes.name().to_owned();
    let file = bytes.into_file();
    let file = file.map_err(|source| ResolveError::Fetch { name: name.clone(), source })?;
    Ok(SourceFile::opened(file, name, role)?)
}

/// One initrd of all there are, as a boot loader would put them into memory.
pub(super) fn joined(
    initrds: Vec<Box<dyn RandomAccess>>,
) -> Result<Option<SourceFile>, ResolveError> {
    let names: Vec<_> = initrds.iter().map(|initrd| initrd.name().to_owned()).collect();
    let joined = menu::joined(initrds);
    let joined =
        joined.map_err(|source| ResolveError::Fetch { name: names.join(" + "), source })?;
    joined.map(|initrd| opened(initrd, "initrd")).transpose()
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
