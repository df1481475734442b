//! Kernel, initrd and command line, out of files the user named or a place they are found in.

mod words;

use std::fmt::Write;

use firmware::direct::DirectBoot;
use firmware::{KernelImage, SourceFile};
use location::fetch::Settings;
use location::source::LocalFile;
use location::tree::{Installer, Part, Release, Sum};
use location::{Fetcher, Injected, Place, RandomAccess, Tree, Wanted, inject, tree};

use crate::config::{BootFiles, BootSource, VmConfig};
use crate::error::StartError;

/// What is booted, with its files open, and how it came to be.
#[derive(Debug)]
pub struct Gathered {
    /// Kernel, initrd and the whole command line.
    pub boot: DirectBoot,
    /// How they were found; `None`: the user named the files.
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
    /// Where was looked, in order.
    pub looks: Vec<tree::Look>,
    /// By which rule they were found.
    pub rule: String,
    /// What starts from them.
    pub installer: Installer,
    /// What the tree says it is.
    pub release: Release,
    /// The words its boot loader has for the kernel.
    pub arguments: Vec<String>,
    /// What a guest is told of it.
    pub home: words::Home,
    /// What the tree's checksums said of the kernel.
    pub kernel_sum: Option<Sum>,
    /// And of each initrd: its name, its bytes, the verdict.
    pub initrds: Vec<(String, u64, Option<Sum>)>,
}

/// Files that are open, and how they were found.
type Opened = (KernelImage, Option<SourceFile>, Option<Found>);

impl Gathered {
    /// Finds and opens everything that `config` boots; `None`: it names no kernel.
    ///
    /// # Errors
    /// Something is not there, or not what it is to be.
    pub fn open(config: &VmConfig) -> Result<Option<Self>, StartError> {
        let Some(source) = &config.boot else { return Ok(None) };
        let mut injected = Vec::new();
        for injection in &source.injections {
            injected.push(Injected::open(&injection.path)?);
        }
        let (kernel, initrd, found) = open_files(source, config.memory)?;
        let initrd = with_injected(initrd, &mut injected)?;
        let (cmdline, advice) = words::command_line(source, &injected, found.as_ref());
        let injected = injected.iter().map(|file| {
            (file.name().to_owned(), file.path().display().to_string(), file.size().into())
        });
        let injected = injected.collect();
        Ok(Some(Self { boot: DirectBoot { kernel, initrd, cmdline }, found, injected, advice }))
    }
}

fn open_files(source: &BootSource, memory: u64) -> Result<Opened, StartError> {
    let fetcher = Fetcher::new(Settings::default());
    let elsewhere: tree::Elsewhere<'_> = &|place| fetcher.file(place);
    match &source.files {
        BootFiles::Named { kernel, initrd } => {
            let url = |place, role| opened(tree::open_url(place, role, elsewhere)?, role);
            let kernel = match kernel {
                Place::Local(path) => KernelImage::open(path)?,
                place => KernelImage::of(url(place, "kernel")?)?,
            };
            let initrd = match initrd {
                None => None,
                Some(Place::Local(path)) => Some(SourceFile::open(path, "initrd")?),
                Some(place) => Some(url(place, "initrd")?),
            };
            Ok((kernel, initrd, None))
        }
        BootFiles::Location { place, kernel, initrd } => {
            let files = fetcher.place(place)?;
            let (kernel, initrd) = (kernel.as_deref(), initrd.as_deref());
            let tree = Tree::find(&*files, Wanted { kernel, initrd, memory, elsewhere })?;
            let initrds = tree.initrds.iter();
            let initrds = initrds
                .map(|part| (part.bytes.name().to_owned(), part.bytes.len(), part.sum.clone()));
            let found = Found {
                place: files.name().to_owned(),
                initrds: initrds.collect(),
                home: words::Home::of(place, files.label(), &tree),
                kernel_sum: tree.kernel.sum,
                looks: tree.looks,
                rule: tree.rule,
                installer: tree.installer,
                release: tree.release,
                arguments: tree.arguments,
            };
            let kernel = KernelImage::of(opened(tree.kernel.bytes, "kernel")?)?;
            Ok((kernel, joined(tree.initrds)?, Some(found)))
        }
    }
}

/// A file of this host with these bytes, for guest memory to be filled from.
fn opened(bytes: Box<dyn RandomAccess>, role: &'static str) -> Result<SourceFile, StartError> {
    let name = bytes.name().to_owned();
    let file = bytes.into_file();
    let file = file.map_err(|source| StartError::Fetch { name: name.clone(), source })?;
    Ok(SourceFile::opened(file, name, role)?)
}

/// One initrd of all there are, as a boot loader would put them into memory.
fn joined(mut initrds: Vec<Part>) -> Result<Option<SourceFile>, StartError> {
    if initrds.len() < 2 {
        return initrds.pop().map(|part| opened(part.bytes, "initrd")).transpose();
    }
    let all: Vec<_> = initrds.iter().map(|part| &*part.bytes).collect();
    let file = inject::compose(&all, &mut [])?;
    let names: Vec<_> = all.iter().map(|bytes| bytes.name()).collect();
    Ok(Some(SourceFile::opened(file, names.join(" + "), "initrd")?))
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
    let first: Vec<_> = first.iter().map(|file| -> &dyn RandomAccess { file }).collect();
    let file = inject::compose(&first, files)?;
    for file in files {
        // Writing to a String cannot fail.
        let _ = write!(name, " + /{}", file.name());
    }
    Ok(Some(SourceFile::opened(file, name, "initrd")?))
}
