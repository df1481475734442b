//! What is read from images, boot menus and servers for one boot: plain data, so that a process of
//! its own can do it ([`crate::reader`]).

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use firmware::SourceFile;
use location::fetch::{FetchProgress, Keep, Settings};
use location::menu::Choice;
use location::place::{self, PreopenedPaths};
use location::tree::{self, TreeError};
use location::{Fetcher, Place, Query, Tree};
use serde::{Deserialize, Serialize};

use super::limits::Limits;
use super::{Found, MenuAnswer, MenuQuery, Purpose, boot_menu, disk, words};
use crate::error::ResolveError;
use crate::request::{BootFiles, BootSource};

/// What is to be found.
#[derive(Debug, Serialize, Deserialize)]
pub struct Job {
    what: What,
    /// Where the guest finds the place if it is served to it.
    served_at: Option<String>,
    purpose: Purpose,
    /// How it is fetched.
    pub fetch: Settings,
    /// The user and group ID of the process that does it. `None`:
    /// [`vmm::sandbox::ReaderSandbox`].
    user: Option<u32>,
}

#[derive(Debug, Serialize, Deserialize)]
enum What {
    /// Files by their URLs or paths.
    Files { kernel: Option<Place>, initrd: Option<Place> },
    /// [`BootFiles::Location`].
    Location { place: Place, kernel: Option<OsString>, initrd: Option<OsString> },
    /// [`BootFiles::Disk`].
    Disk { place: Place, choice: Choice },
    /// A disk's boot menus, or those of the file system at byte `offset` of it.
    Menu { place: Place, offset: Option<u64>, query: MenuQuery },
    /// The text of a menu, and an entry of it.
    Config { place: Place, entry: Option<String> },
}

/// What has been found, with its files open.
#[derive(Debug, Default)]
pub struct Opened {
    /// The kernel, which has not been looked into.
    pub kernel: Option<SourceFile>,
    /// The initrd.
    pub initrd: Option<SourceFile>,
    /// How they were found; `None`: by their URLs.
    pub found: Option<Found>,
    /// What a disk's boot menus have.
    pub menu: Option<MenuAnswer>,
}

impl Job {
    /// What `source` takes; `None` if the user named files of this host.
    #[must_use]
    pub fn of(source: &BootSource, purpose: Purpose) -> Option<Self> {
        let path = |path: &Option<_>| path.as_ref().map(|path: &PathBuf| path.into());
        let what = match &source.files {
            BootFiles::Named { kernel, initrd } => {
                let url = |place: &Place| place.is_remote().then(|| place.clone());
                let (kernel, initrd) = (url(kernel), initrd.as_ref().and_then(url));
                if kernel.is_none() && initrd.is_none() {
                    return None;
                }
                What::Files { kernel, initrd }
            }
            BootFiles::Location { place, kernel, initrd } => {
                What::Location { place: place.clone(), kernel: path(kernel), initrd: path(initrd) }
            }
            BootFiles::Disk { place, choice } => {
                What::Disk { place: place.clone(), choice: choice.clone() }
            }
        };
        let (served_at, fetch) = (source.served_at.clone(), source.fetch.clone());
        Some(Self { what, served_at, purpose, fetch, user: None })
    }

    /// The boot menus of a disk, or of the file system at byte `offset` of it.
    #[must_use]
    pub fn of_menu(place: Place, offset: Option<u64>, query: MenuQuery) -> Self {
        Self::for_boot_loader(What::Menu { place, offset, query })
    }

    /// The text of a boot menu that stands alone. `entry` is one of it; otherwise, it is the first.
    #[must_use]
    pub fn of_config(place: Place, entry: Option<String>) -> Self {
        Self::for_boot_loader(What::Config { place, entry })
    }

    /// A kernel and an initrd by their URLs or paths.
    #[must_use]
    pub fn of_files(kernel: Place, initrd: Option<Place>) -> Self {
        Self::for_boot_loader(What::Files { kernel: Some(kernel), initrd })
    }

    /// What an install tree boots. `kernel` and `initrd` are paths in it, or URLs.
    #[must_use]
    pub fn of_tree(place: Place, kernel: Option<OsString>, initrd: Option<OsString>) -> Self {
        Self::for_boot_loader(What::Location { place, kernel, initrd })
    }

    fn for_boot_loader(what: What) -> Self {
        let (purpose, fetch) = (Purpose::BootLoader, Settings::default());
        Self { what, served_at: None, purpose, fetch, user: None }
    }

    /// The same, done by a process of the user `uid`, if one is given. That user may not use this
    /// user's cache.
    #[must_use]
    pub fn as_user(mut self, uid: Option<u32>) -> Self {
        self.user = uid;
        if uid.is_some() {
            self.fetch.cache = Keep::No;
        }
        self
    }

    /// The user and group ID of the process that does it, if it is to have certain ones.
    #[must_use]
    pub fn user(&self) -> Option<u32> {
        self.user
    }

    /// All places that are read.
    pub fn places(&self) -> impl Iterator<Item = Place> {
        let (place, other, urls) = match &self.what {
            What::Files { kernel, initrd } => (kernel.as_ref(), initrd.as_ref(), [None, None]),
            What::Location { place, kernel, initrd } => {
                (Some(place), None, [kernel.as_ref(), initrd.as_ref()])
            }
            What::Disk { place, .. } | What::Menu { place, .. } | What::Config { place, .. } => {
                (Some(place), None, [None, None])
            }
        };
        let urls = urls.map(|path| place::url(Path::new(path?))?.ok());
        [place, other].map(Option::<&Place>::cloned).into_iter().chain(urls).flatten()
    }

    /// The paths of this host among them.
    pub fn paths(&self) -> impl Iterator<Item = PathBuf> {
        self.places().filter_map(|place| match place {
            Place::Local(path) => Some(path),
            _ => None,
        })
    }

    /// Does it. What is not `held` is opened now.
    ///
    /// # Errors
    /// There is nothing to boot, or it cannot be read.
    pub fn run(
        &self,
        watch: Arc<dyn FetchProgress>,
        held: PreopenedPaths,
    ) -> Result<Opened, ResolveError> {
        let fetcher = Fetcher::with_progress(self.fetch.clone(), watch).with_held(held);
        let opened = self.open(&fetcher);
        if let Err(error) = &opened {
            self.forget(&fetcher, error);
        }
        opened
    }

    /// Has the next run ask again whatever led to this error.
    pub fn forget(&self, fetcher: &Fetcher, error: &ResolveError) {
        if matches!(error, ResolveError::Tree(error) if !matches!(error, TreeError::Read { .. })) {
            self.places().for_each(|place| fetcher.forget(&place));
        }
    }

    fn open(&self, fetcher: &Fetcher) -> Result<Opened, ResolveError> {
        let limits = Limits { limit: self.fetch.limit, purpose: self.purpose };
        let elsewhere: tree::OpenUrl<'_> = &|place| fetcher.file(place);
        match &self.what {
            What::Files { kernel, initrd } => {
                let url = |place: &Option<Place>, role| {
                    let place = place.as_ref();
                    let file = |place| limits.opened(tree::open_url(place, role, elsewhere)?, role);
                    place.map(file).transpose()
                };
                let (kernel, initrd) = (url(kernel, "kernel")?, url(initrd, "initrd")?);
                Ok(Opened { kernel, initrd, ..Opened::default() })
            }
            What::Disk { place, choice } => disk::find(fetcher, place, choice, limits),
            What::Menu { place, offset, query } => {
                boot_menu::ask(fetcher, place, *offset, query, limits)
            }
            What::Config { place, entry } => boot_menu::of_config(fetcher, place, entry.as_deref()),
            What::Location { place, kernel, initrd } => {
                let path = |path: &Option<OsString>| path.as_ref().map(PathBuf::from);
                let (kernel, initrd) = (path(kernel), path(initrd));
                let (kernel, initrd) = (kernel.as_deref(), initrd.as_deref());
                let query = Query { kernel, initrd, memory: self.purpose.memory(), elsewhere };
                self.find(fetcher, place, query, limits)
            }
        }
    }

    /// Finds kernel and initrd in a place.
    fn find(
        &self,
        fetcher: &Fetcher,
        place: &Place,
        query: Query<'_>,
        limits: Limits,
    ) -> Result<Opened, ResolveError> {
        let files = fetcher.place(place)?;
        let tree = Tree::find(&*files, query)?;
        let initrds = tree.initrds.iter();
        let initrds =
            initrds.map(|part| (part.bytes.name().to_owned(), part.bytes.len(), part.sum.clone()));
        let served_at = self.served_at.as_deref();
        let found = Found {
            place: files.name().to_owned(),
            initrds: initrds.collect(),
            install_source: words::InstallSource::of(place, served_at, files.label(), &tree),
            kernel_is_private: tree.kernel.bytes.is_private(),
            initrd_is_private: tree.initrds.iter().any(|part| part.bytes.is_private()),
            kernel_sum: tree.kernel.sum,
            attempts: tree.attempts,
            warnings: tree.warnings,
            rule: tree.rule,
            installer: tree.installer,
            release: tree.release,
            arguments: tree.arguments,
        };
        let kernel = Some(limits.opened(tree.kernel.bytes, "kernel")?);
        let initrds = tree.initrds.into_iter().map(|part| part.bytes).collect();
        let initrd = limits.joined(initrds)?;
        Ok(Opened { kernel, initrd, found: Some(found), menu: None })
    }
}
