//! Kernel and initrd as open files.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use firmware::image::KernelKind;
use firmware::payload::Module;
use firmware::{KernelImage, SourceFile};
use location::checksum::{self, Checked};
use location::fetch::FetchProgress;
use location::place::PreopenedPaths;
use location::tree::{Mismatch, TreeError};
use location::{Fetcher, Injected, Place, RandomAccess, inject};
use storage::LocalFile;

use super::limits::Limits;
use super::{Found, Job, Opened};
use crate::error::ResolveError;
use crate::reader::{self, Reader, ReaderError};
use crate::request::{BootFiles, BootSource, Checksum, Confinement};

/// Files that are open, and how they were found.
pub(super) struct Files {
    pub kernel: KernelImage,
    pub initrd: Option<SourceFile>,
    /// The modules of a multiboot kernel.
    pub modules: Vec<Module>,
    pub found: Option<Found>,
}

/// What is read from images, boot menus and servers, and by whom.
pub(super) struct Reading {
    /// `None`: the user named files of this host.
    pub job: Option<Job>,
    /// Off: by this process.
    pub confinement: Confinement,
    /// How long files may be that are copied.
    pub limits: Limits,
    pub watch: Arc<dyn FetchProgress>,
    /// The process that reads, to be ended by whoever waits.
    pub reader: Reader,
}

impl Reading {
    fn opened(&self) -> Result<Opened, ResolveError> {
        match &self.job {
            None => Ok(Opened::default()),
            // After a guest, in the second boot of an installation, no process can be started.
            Some(job) if self.confinement == Confinement::Off || vmm::sandbox::is_entered() => {
                job.run(Arc::clone(&self.watch), PreopenedPaths::default())
            }
            Some(job) => reader::read(job, &self.watch, &self.reader),
        }
    }
}

impl Files {
    /// Gets them, and checks them against the user's sums.
    pub fn get(source: &BootSource, reading: &Reading) -> Result<Self, ResolveError> {
        let opened = reading.opened()?;
        let files = Self::of(&source.files, opened)?;
        if let Err(error) = files.check(&source.checksums, reading.limits) {
            if let Some(job) = &reading.job {
                job.forget(&Fetcher::new(job.fetch.clone()), &error);
            }
            return Err(error);
        }
        Ok(files)
    }

    /// What was opened, and the files of this host that the user named.
    fn of(files: &BootFiles, opened: Opened) -> Result<Self, ResolveError> {
        let (local_kernel, local_initrd) = match files {
            BootFiles::Named { kernel, initrd } => (local(kernel), initrd.as_ref().and_then(local)),
            BootFiles::Location { .. } | BootFiles::Disk { .. } => (None, None),
        };
        let Opened { kernel, initrd, found, .. } = opened;
        let kernel = match (local_kernel, kernel) {
            (Some(path), _) => KernelImage::open(path)?,
            (None, Some(file)) => KernelImage::of(file)?,
            (None, None) => return Err(ReaderError::without("kernel").into()),
        };
        // A multiboot kernel's -initrd is a list of modules.
        if let (KernelKind::Multiboot(_), Some(list)) = (&kernel.kind, local_initrd) {
            let modules = Module::open_all(list.as_os_str())?;
            return Ok(Self { kernel, initrd: None, modules, found });
        }
        let initrd = match local_initrd {
            Some(path) => Some(SourceFile::open(path, "initrd")?),
            None => initrd,
        };
        Ok(Self { kernel, initrd, modules: Vec::new(), found })
    }

    /// Checks them against the user's sums. A file that no guest's memory can hold is not even read.
    fn check(&self, sums: &[Checksum], limits: Limits) -> Result<(), ResolveError> {
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
            let bytes = bytes.map_err(read)?;
            limits.check_memory(bytes.len()).map_err(read)?;
            let checked = checksum::check(&bytes, sum).map_err(read)?;
            if let Checked::Wrong { algorithm, found, expected } = checked {
                let by = "-checksum".to_owned();
                let mismatch = Mismatch { role, name, algorithm, found, expected, by };
                return Err(TreeError::Checksum(Box::new(mismatch)).into());
            }
        }
        Ok(())
    }
}

fn local(place: &Place) -> Option<&Path> {
    match place {
        Place::Local(path) => Some(path),
        _ => None,
    }
}

/// The initrd with the user's files in it; as it was where there are none. It is composed in this
/// host's memory, so one that is longer than `limits` is refused before anything is copied.
pub(super) fn with_injected(
    initrd: Option<SourceFile>,
    files: &mut [Injected],
    limits: Limits,
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
    let fits = limits.check(inject::composed_len(&first, files));
    fits.map_err(|source| ResolveError::Compose { name: name.clone(), source })?;
    let file = inject::compose(&first, files)?;
    for file in files {
        // Writing to a String cannot fail.
        let _ = write!(name, " + /{}", file.name());
    }
    Ok(Some(SourceFile::opened(file, name, "initrd")?))
}
