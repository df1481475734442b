//! Kernel, initrd and command line, out of files the user named or a place they are found in.

mod disk;

use std::ffi::OsStr;
use std::fmt::Write;
use std::sync::Arc;

use firmware::direct::DirectBoot;
use firmware::{KernelImage, SourceFile};
use location::checksum::{self, Checked};
use location::fetch::{Nobody, Watch};
use location::source::LocalFile;
use location::tree::{Installer, Mismatch, Release, TreeError};
use location::{Fetcher, Injected, Place, RandomAccess, Tree, Wanted, arguments, inject};

use crate::config::{Answers, BootFiles, BootSource, Checksum, Injection};
use crate::error::StartError;
use crate::interruptible;
use crate::progress::Progress;

/// What is booted, with its files open, and how it came to be.
#[derive(Debug)]
pub struct Gathered {
    /// Kernel, initrd and the whole command line.
    pub boot: DirectBoot,
    /// How they were found; `None`: the user named files of this host.
    pub found: Option<Found>,
    /// The files that were put into the initrd: name in there, path, bytes.
    pub injected: Vec<(String, String, u64)>,
    /// What the user should know before it runs.
    pub advice: Option<String>,
}

/// How kernel and initrd were found: what [`Tree`] says, but for the files.
#[derive(Debug)]
pub struct Found {
    /// What messages call the place.
    pub place: String,
    /// The tree; its files are in [`Gathered::boot`].
    pub looks: Vec<location::tree::Look>,
    /// By which rule.
    pub rule: String,
    /// What starts from them.
    pub installer: Installer,
    /// What the tree says it is.
    pub release: Release,
    /// What the tree's checksums said of kernel and initrd.
    pub checked: [Option<Checked>; 2],
}

impl Gathered {
    /// Finds and opens everything. What is on another host is fetched; a signal that ends chukka then ends that.
    ///
    /// # Errors
    /// Something is not there, or not what it is to be.
    pub fn open(source: &BootSource) -> Result<Self, StartError> {
        match &source.files {
            BootFiles::Location { place, .. } | BootFiles::Disk { place, .. }
                if place.is_remote() =>
            {
                let progress = Arc::new(Progress::new());
                let (watch, source) = (Arc::clone(&progress), source.clone());
                interruptible::run(move || Self::watched(&source, watch), || progress.stop())
            }
            _ => Self::watched(source, Arc::new(Nobody)),
        }
    }

    fn watched(source: &BootSource, watch: Arc<dyn Watch>) -> Result<Self, StartError> {
        let mut injected = Vec::new();
        for injection in &source.injections {
            injected.push(Injected::open(&injection.path)?);
        }
        let Files { kernel, initrd, found, of_tree } = Files::get(source, watch)?;
        let initrd = with_injected(initrd, &mut injected)?;
        let release = found.as_ref().map(|found| found.release.clone()).unwrap_or_default();
        let words = [of_tree, words(&source.injections, &injected, &release)].concat();
        let cmdline = arguments::command_line(&source.cmdline, &words);
        let advice = found.as_ref().and_then(|found| advice(found, &cmdline));
        let injected = injected.iter().map(|file| {
            (file.name().to_owned(), file.path().display().to_string(), file.size().into())
        });
        let injected = injected.collect();
        Ok(Self { boot: DirectBoot { kernel, initrd, cmdline }, found, injected, advice })
    }
}

/// Kernel and initrd as they are where they come from.
struct Files {
    kernel: KernelImage,
    initrd: Option<SourceFile>,
    found: Option<Found>,
    /// Words for the command line.
    of_tree: Vec<String>,
}

impl Files {
    fn get(source: &BootSource, watch: Arc<dyn Watch>) -> Result<Self, StartError> {
        match &source.files {
            BootFiles::Named { kernel, initrd } => {
                let kernel = KernelImage::open(kernel)?;
                let initrd = initrd.as_deref().map(|path| SourceFile::open(path, "initrd"));
                let files =
                    Self { kernel, initrd: initrd.transpose()?, found: None, of_tree: Vec::new() };
                files.check(&source.checksums)?;
                Ok(files)
            }
            BootFiles::Disk { place, choice } => {
                let files =
                    disk::find(&Fetcher::watched(source.fetch.clone(), watch), place, choice)?;
                files.check(&source.checksums)?;
                Ok(files)
            }
            BootFiles::Location { place, kernel, initrd } => {
                let fetcher = Fetcher::watched(source.fetch.clone(), watch);
                let wanted = Wanted { kernel: kernel.as_deref(), initrd: initrd.as_deref() };
                let files = Self::find(&fetcher, place, wanted).and_then(|files| {
                    files.check(&source.checksums)?;
                    Ok(files)
                });
                if let Err(StartError::Tree(error)) = &files
                    && !matches!(error, TreeError::Read { .. })
                {
                    fetcher.forget(place);
                }
                files
            }
        }
    }

    /// Finds them in a place.
    fn find(fetcher: &Fetcher, place: &Place, wanted: Wanted<'_>) -> Result<Self, StartError> {
        let source = fetcher.place(place)?;
        let tree = Tree::find(&*source, wanted)?;
        let of_tree = arguments::of_entry(&tree.arguments);
        let mut checked = [tree.kernel.checked, None];
        let kernel = KernelImage::of(opened(tree.kernel.bytes, "kernel")?)?;
        let initrd = match tree.initrd {
            None => None,
            Some(part) => {
                checked[1] = part.checked;
                Some(opened(part.bytes, "initrd")?)
            }
        };
        let (looks, rule, installer, release) =
            (tree.looks, tree.rule, tree.installer, tree.release);
        let place = source.name().to_owned();
        let found = Found { place, looks, rule, installer, release, checked };
        Ok(Self { kernel, initrd, found: Some(found), of_tree })
    }

    /// Checks them against the user's sums.
    fn check(&self, sums: &[Checksum]) -> Result<(), StartError> {
        let initrd = self.initrd.as_ref().map(|initrd| ("initrd", initrd));
        let files = [Some(("kernel", &self.kernel.source)), initrd].into_iter().flatten();
        for Checksum { of, sum } in sums {
            let is_meant = |(role, file): &(&str, &SourceFile)| {
                role == of || file.path().file_name().is_some_and(|name| name == OsStr::new(of))
            };
            let Some((role, file)) = files.clone().find(is_meant) else {
                let names: Vec<_> =
                    files.map(|(_, file)| file.path().display().to_string()).collect();
                return Err(StartError::NothingToCheck {
                    of: of.clone(),
                    there: names.join(" and "),
                });
            };
            let name = file.path().display().to_string();
            let read = |source| StartError::Fetch { name: name.clone(), source };
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
fn opened(bytes: Box<dyn RandomAccess>, role: &'static str) -> Result<SourceFile, StartError> {
    let name = bytes.name().to_owned();
    let file = bytes.into_file();
    let file = file.map_err(|source| StartError::Fetch { name: name.clone(), source })?;
    Ok(SourceFile::opened(file, name, role)?)
}

/// The initrd with the user's files in it; as it was where there are none.
fn with_injected(
    initrd: Option<SourceFile>,
    files: &mut [Injected],
) -> Result<Option<SourceFile>, StartError> {
    if files.is_empty() {
        return Ok(initrd);
    }
    let mut name = match &initrd {
        Some(initrd) => initrd.path().display().to_string(),
        None => "initrd".to_owned(),
    };
    // A copy of the descriptor: nobody takes a lease on this one.
    let first = initrd.map(|initrd| LocalFile::new(initrd.file().try_clone()?, name.clone()));
    let fetch = |source| StartError::Fetch { name: name.clone(), source };
    let first = first.transpose().map_err(fetch)?;
    let first = first.as_ref().map(|file| -> &dyn RandomAccess { file });
    let file = inject::compose(first, files)?;
    for file in files {
        // Writing to a String cannot fail.
        let _ = write!(name, " + /{}", file.name());
    }
    Ok(Some(SourceFile::opened(file, name, "initrd")?))
}

/// What the command line has to say of the injected files.
fn words(injections: &[Injection], injected: &[Injected], release: &Release) -> Vec<String> {
    let word = |(injection, file): (&Injection, &Injected)| match injection.answers {
        Answers::None => None,
        Answers::Preseed => Some(arguments::preseed(file.name())),
        Answers::Kickstart => Some(arguments::kickstart(file.name(), release)),
    };
    injections.iter().zip(injected).filter_map(word).collect()
}

/// What is going to be missing once it runs.
fn advice(found: &Found, cmdline: &[u8]) -> Option<String> {
    if found.installer == Installer::DebianMedium {
        return Some(format!(
            "{} looks for its packages on a medium, and the guest has none: the tree for the network (netboot) has one that does not",
            found.installer
        ));
    }
    let source = arguments::package_source(found.installer, &found.release)?;
    (!source.is_in(cmdline)).then(|| {
        format!(
            "{} has to be told where its packages are, by -append '{}': a directory of this host has no URL for the guest",
            found.installer, source.form
        )
    })
}
