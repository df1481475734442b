//! Kernel, initrd and command line, out of files the user named or a place they are found in.

mod boot_menu;
mod disk;
mod files;
mod job;
mod limits;
mod silent_console;
mod words;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;

use firmware::payload::Payload;
use location::fetch::{FetchProgress, NoProgress};
use location::tree::{self, Installer, Release, Sum};
use location::{Injected, Place};
use serde::{Deserialize, Serialize};

use crate::disk_names::OldName;
use crate::error::{ResolveError, RunError};
use crate::interruptible;
use crate::progress::Progress;
use crate::reader::{self, Reader};
use crate::request::{BootFiles, BootSource, Confinement};
pub use boot_menu::{ChooseBy, Chosen, MenuAnswer, MenuQuery};
use files::{Files, Reading};
pub use job::{Job, Opened};
pub use limits::BOOT_LOADER_LIMIT;
use limits::Limits;
use vmm::config::VmConfig;

/// What is booted, with its files open, and how it came to be.
#[derive(Debug)]
pub struct Resolved {
    /// Kernel, initrd and the whole command line.
    pub boot: Payload,
    /// How they were found; `None`: the user named the files.
    pub found: Option<Found>,
    /// The initrd's own name, without what was put into it.
    pub initrd_name: Option<PathBuf>,
    /// Whether the kernel, or the image that it is in, is a file that not everyone on this host may
    /// read: then nobody else may read a copy of it.
    pub kernel_is_private: bool,
    /// The same for the initrd, which also may have the user's own files in it.
    pub initrd_is_private: bool,
    /// The files that were put into the initrd: name in there, path, bytes.
    pub injected: Vec<(String, String, u64)>,
    /// What the user should know before the guest runs, one line each.
    pub warnings: Vec<String>,
}

/// How kernel and initrd were found: what [`location::Tree`] says, but for the files.
#[derive(Debug, Serialize, Deserialize)]
pub struct Found {
    /// What messages call the place.
    pub place: String,
    /// Where was looked, in order.
    pub attempts: Vec<tree::Attempt>,
    /// What was not understood on the way, one line each.
    pub warnings: Vec<String>,
    /// By which rule they were found.
    pub rule: String,
    /// The installer that they start.
    pub installer: Installer,
    /// The release, by what the tree says.
    pub release: Release,
    /// The words its boot loader has for the kernel.
    pub arguments: Vec<String>,
    /// What a guest can be told about it.
    pub install_source: words::InstallSource,
    /// Whether not everyone on this host may read the kernel.
    pub kernel_is_private: bool,
    /// The same for an initrd.
    pub initrd_is_private: bool,
    /// What the tree's checksums said of the kernel.
    pub kernel_sum: Option<Sum>,
    /// And of each initrd: its name, its bytes, the verdict.
    pub initrds: Vec<(String, u64, Option<Sum>)>,
}

/// What files are found for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Purpose {
    /// A guest with this much memory in bytes.
    Guest(u64),
    /// The user, who has them copied.
    Copies,
    /// Another program, which boots any kind of kernel, and not only what chukka does.
    BootLoader,
}

impl Purpose {
    /// The memory to choose a kernel by. It matters only to Solaris, whose 64-bit kernel needs the
    /// amount that is assumed where no guest is known.
    fn memory(self) -> u64 {
        match self {
            Self::Guest(memory) => memory,
            Self::Copies | Self::BootLoader => 1 << 30,
        }
    }
}

/// Has a process of its own do `job` ([`crate::reader`]), and shows by `progress` how the fetching
/// goes. A signal that ends chukka ends that process too.
///
/// # Errors
/// What the job leads to; a signal came.
pub fn read(job: Job, progress: Progress) -> Result<Opened, RunError> {
    interruptibly(progress, move |watch, reader| reader::read(&job, &watch, &reader))
}

/// Whether kernel and initrd are, or are in, files of this host that not everyone may read. What is
/// in a directory has permissions of its own.
fn are_private(files: &BootFiles) -> (bool, bool) {
    let is_private = |place: &Place| {
        let Place::Local(path) = place else { return false };
        fs::metadata(path).is_ok_and(|about| !about.is_dir() && about.mode() & 0o004 == 0)
    };
    match files {
        BootFiles::Named { kernel, initrd } => {
            (is_private(kernel), initrd.as_ref().is_some_and(is_private))
        }
        BootFiles::Location { place, .. } | BootFiles::Disk { place, .. } => {
            (is_private(place), is_private(place))
        }
    }
}

/// Does work that may take long, with its progress shown and its process, if it starts one, ended
/// by a signal that ends chukka.
fn interruptibly<T: Send + 'static>(
    progress: Progress,
    work: impl FnOnce(Arc<dyn FetchProgress>, Reader) -> Result<T, ResolveError> + Send + 'static,
) -> Result<T, RunError> {
    let (progress, reader) = (Arc::new(progress), Reader::default());
    let (watch, child) = (Arc::<Progress>::clone(&progress), reader.clone());
    interruptible::run(
        move || work(watch, child),
        || {
            reader.stop();
            progress.stop()
        },
    )
}

impl Resolved {
    /// What the user should know if the guest has printed nothing for some seconds.
    #[must_use]
    pub fn advice(resolved: Option<&Self>, config: &VmConfig) -> String {
        silent_console::advice(resolved.map(|resolved| &resolved.boot), config)
    }

    /// A warning if the kernel is going to print nothing where the user sees it.
    #[must_use]
    pub fn silent_console(&self, config: &VmConfig) -> Option<String> {
        silent_console::warning(&self.boot, config)
    }

    /// Finds and opens everything that `source` names, for `purpose`. Images, boot menus and
    /// servers' answers are read by a process of their own ([`crate::reader`]), unless
    /// `confinement` is off. A signal that ends chukka ends that too.
    ///
    /// # Errors
    /// A file is missing, or is not what it should be.
    pub fn open(
        source: &BootSource,
        purpose: Purpose,
        confinement: Confinement,
    ) -> Result<Self, RunError> {
        let is_remote = source.files.is_remote();
        let job = Job::of(source, purpose);
        let limits = Limits { limit: source.fetch.limit, purpose };
        if job.is_none() || (confinement == Confinement::Off && !is_remote) {
            let (watch, reader) = (Arc::new(NoProgress), Reader::default());
            let reading = Reading { job, confinement, limits, watch, reader };
            return Ok(Self::read(source, &reading)?);
        }
        let source = source.clone();
        interruptibly(Progress::new(), move |watch, reader| {
            Self::read(&source, &Reading { job, confinement, limits, watch, reader })
        })
    }

    fn read(source: &BootSource, reading: &Reading) -> Result<Self, ResolveError> {
        let mut injected = Vec::new();
        for injection in &source.injections {
            injected.push(Injected::open(&injection.path)?);
        }
        let Files { mut kernel, initrd, modules, found } = Files::get(source, reading)?;
        // The user's -initrd and -append replace what a unified kernel image has.
        let mut own = source.clone();
        let (mut kernel_is_private, mut initrd_is_private) = are_private(&own.files);
        if let Some(found) = &found {
            kernel_is_private |= found.kernel_is_private;
            initrd_is_private |= found.initrd_is_private;
        }
        let initrd = initrd.or_else(|| {
            initrd_is_private |= kernel_is_private;
            kernel.container.as_mut()?.initrd.take()
        });
        initrd_is_private |= !injected.is_empty();
        if let (true, Some(container)) = (own.cmdline.is_empty(), &kernel.container) {
            own.cmdline.clone_from(&container.cmdline);
        }
        let source = &own;
        let initrd_name = initrd.as_ref().map(|initrd| initrd.path().to_owned());
        let initrd = files::with_injected(initrd, &mut injected, reading.limits)?;
        let (cmdline, advice) = words::command_line(source, &injected, found.as_ref());
        let injected = injected.iter().map(|file| {
            (file.name().to_owned(), file.path().display().to_string(), file.size().into())
        });
        let injected = injected.collect();
        let warnings = found.iter().flat_map(|found| found.warnings.iter().cloned());
        let old =
            OldName::find(&cmdline).filter(|_| matches!(source.files, BootFiles::Disk { .. }));
        let old = old.map(|old| {
            let renamed = old.renamed(0);
            format!("{}: the guest sees the disk as /dev/vda; add -append {renamed}", old.word)
        });
        let foreign = found.as_ref().map(|found| words::foreign_answers(source, found));
        let warnings = warnings.chain(foreign.flatten()).chain(advice).chain(old).collect();
        let boot = Payload { kernel, initrd, modules, cmdline };
        Ok(Self {
            boot,
            found,
            initrd_name,
            kernel_is_private,
            initrd_is_private,
            injected,
            warnings,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_is_in_an_image_is_as_private_as_the_image() {
        let scratch = tempfile::tempdir().unwrap();
        let image = scratch.path().join("image");
        fs::write(&image, "x").unwrap();
        let files = |path: &std::path::Path| BootFiles::Location {
            place: Place::Local(path.into()),
            kernel: None,
            initrd: None,
        };
        for (mode, expected) in [(0o644, false), (0o640, true), (0o600, true)] {
            fs::set_permissions(&image, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(are_private(&files(&image)), (expected, expected), "{mode:o}");
        }
        // Of a directory this says only who can list it.
        fs::set_permissions(scratch.path(), fs::Permissions::from_mode(0o700)).unwrap();
        assert_eq!(are_private(&files(scratch.path())), (false, false));
        let named = BootFiles::Named {
            kernel: Place::Http("http://host/vmlinuz".into()),
            initrd: Some(Place::Local(image)),
        };
        assert_eq!(are_private(&named), (false, true));
    }
}
