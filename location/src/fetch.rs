//! Getting what is in a place onto this host, once.
//!
//! What comes from another host is kept: its bytes under their own checksum (`content/`), and what each place said of its files, and
//! when (`places/`). A place that was asked less than [`FRESH`] ago is not asked again; an older one is, and what it says has not
//! changed is not fetched again. A file that came in part (`partial/`) is gone on with. Whatever process is killed at whatever moment:
//! bytes get their name in `content/` when all of them are there, and a record replaces the one before it as a whole.

pub mod cache;
mod cached;
mod housekeeping;
mod partial;
mod places;
mod progress;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::place::{Place, PlaceError};
use crate::remote::Net;
use storage::{FileTree, RandomAccess, TreePath};

pub use housekeeping::{CacheEntry, Pruned};
pub use places::without_password;
pub use progress::{FetchProgress, NoProgress};

use cache::Cache;
use cached::{Cached, Shared};
use places::Record;

/// So long what a place said counts without asking it again: between two runs of somebody who tries something, no release comes out.
pub const FRESH: Duration = Duration::from_secs(3600);

/// The bytes of an image at most that has to be fetched whole, as it cannot be read in places: the largest media have 16 GB.
const IMAGE: u64 = 16 << 30;

/// How things are got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How other hosts are talked to.
    pub net: Net,
    /// Not at all: only what is kept counts, whatever its age.
    pub offline: bool,
    /// Nothing that is kept counts, it is all asked and fetched again.
    pub refresh: bool,
    /// Bytes of one file, at most.
    pub limit: u64,
    /// Where things are kept.
    pub cache: Keep,
}

impl Default for Settings {
    fn default() -> Self {
        let (net, cache) = (Net::default(), Keep::default());
        Self { net, offline: false, refresh: false, limit: 4 << 30, cache }
    }
}

/// Where things are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Keep {
    /// In the user's cache: [`cache::directory`].
    #[default]
    Usual,
    /// In this directory.
    In(PathBuf),
    /// Nowhere: they are in the host's memory as long as they are used.
    No,
}

/// Gets things.
#[derive(Debug)]
pub struct Fetcher {
    settings: Settings,
    watch: Arc<dyn FetchProgress>,
}

impl Fetcher {
    /// Of these settings, with nobody watching.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self::with_progress(settings, Arc::new(NoProgress))
    }

    /// The same, with somebody who is told of all that comes.
    #[must_use]
    pub fn with_progress(settings: Settings, watch: Arc<dyn FetchProgress>) -> Self {
        Self { settings, watch }
    }

    /// A place to look into. What is opened in it is got when its bytes are asked for: a little of it where a little is asked for,
    /// the whole, which is then kept, by [`RandomAccess::stream`] and [`RandomAccess::into_file`]. A place on this host is not kept.
    ///
    /// # Errors
    /// It is not there, or not what can be looked into; of a place on another host that may be told later, by the first look.
    pub fn place(&self, place: &Place) -> Result<Box<dyn FileTree>, PlaceError> {
        if !place.is_remote() {
            return place.open(&self.settings.net, &|file| file.into_file());
        }
        let shared = self.shared(place);
        shared.begin()?;
        Ok(Box::new(Cached::of(shared)))
    }

    /// A file by its own URL or path.
    ///
    /// # Errors
    /// It is not there.
    pub fn file(&self, place: &Place) -> Result<Box<dyn RandomAccess>, PlaceError> {
        if !place.is_remote() {
            return place.open_file(&self.settings.net);
        }
        Ok(Cached::of(self.shared(place)).open(&TreePath::root())?)
    }

    /// What a place said led to nothing: the next run asks it again, and fetches what it needs.
    pub fn forget(&self, place: &Place) {
        if let Some(cache) = self.cache().filter(|_| place.is_remote() && !self.settings.offline) {
            Record::forget(&cache, &without_password(&place.to_string()));
        }
    }

    fn shared(&self, place: &Place) -> Arc<Shared> {
        Arc::new(Shared::new(place, &self.settings, Arc::clone(&self.watch), self.cache()))
    }

    /// Where things are kept. If nothing can be, that is no reason not to boot.
    fn cache(&self) -> Option<Cache> {
        let directory = match &self.settings.cache {
            Keep::No => return None,
            Keep::In(directory) => Some(directory.clone()),
            Keep::Usual => cache::directory(),
        };
        let opened = match directory {
            Some(directory) => Cache::open(directory),
            None => Err(io::Error::other("neither XDG_CACHE_HOME nor HOME is set")),
        };
        let unusable = |error| {
            self.watch.note(&format!("warning: no cache, downloads are not kept: {error}"));
        };
        opened.map_err(unusable).ok()
    }
}
