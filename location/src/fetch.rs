//! Fetches files of a location to this host, once.
//!
//! Files from other hosts are cached: their contents under their own checksum (`content/`), and
//! each location's answers about its files with the time (`places/`). Answers younger than
//! [`FRESH`] are trusted; after that, the location is asked again, and unchanged files are not
//! fetched again. An interrupted download (`partial/`) is resumed. Killing a process at any moment
//! is harmless: a file gets its name in `content/` when it is complete, and a record replaces the
//! previous one atomically.

pub mod cache;
mod cached;
mod checks;
mod housekeeping;
mod partial;
mod places;
mod progress;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::path_as_bytes;
use crate::place::{Place, PlaceError, PreopenedPaths};
use crate::remote::Net;
use storage::{FileTree, RandomAccess, TreePath};

pub use housekeeping::{CacheEntry, Pruned};
pub(crate) use places::without_login;
pub use places::without_password;
pub use progress::{FetchProgress, NoProgress};

use cache::Cache;
use cached::{Cached, Shared};
use places::Record;

/// How long cached answers are trusted. Long enough for repeated attempts, too short for a new
/// release to matter.
pub const FRESH: Duration = Duration::from_secs(3600);

/// Default size limit in bytes for an image that must be fetched as a whole, because its server has
/// no random access: the largest media have 16 GB.
const IMAGE: u64 = 16 << 30;

/// What to do about a file that is longer than [`Settings::limit`].
pub const RAISE_LIMIT: &str =
    "to allow it, raise the limit: -fetch limit=SIZE, or --limit SIZE of a command";

/// Settings for fetching.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// Settings for connections to other hosts.
    pub net: Net,
    /// Use only the cache, whatever its age.
    pub offline: bool,
    /// Ignore the cache: ask for and fetch everything again.
    pub refresh: bool,
    /// Maximum size of a file in bytes.
    pub limit: u64,
    /// Where the cache is.
    pub cache: Keep,
}

impl Default for Settings {
    fn default() -> Self {
        let (net, cache) = (Net::default(), Keep::default());
        Self { net, offline: false, refresh: false, limit: 4 << 30, cache }
    }
}

/// Where the cache is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Keep {
    /// The user's cache directory: [`cache::directory`].
    #[default]
    Usual,
    /// This directory.
    In(#[serde(with = "path_as_bytes")] PathBuf),
    /// No cache: files are in the host's memory while in use.
    No,
}

/// Fetches files.
#[derive(Debug)]
pub struct Fetcher {
    settings: Settings,
    watch: Arc<dyn FetchProgress>,
    held: PreopenedPaths,
}

impl Fetcher {
    /// A fetcher with these settings and without progress reports.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self::with_progress(settings, Arc::new(NoProgress))
    }

    /// A fetcher that reports its progress.
    #[must_use]
    pub fn with_progress(settings: Settings, watch: Arc<dyn FetchProgress>) -> Self {
        Self { settings, watch, held: PreopenedPaths::default() }
    }

    /// The same, for a process that has opened its files before.
    #[must_use]
    pub fn with_held(self, held: PreopenedPaths) -> Self {
        Self { held, ..self }
    }

    /// Opens a location. Its files are fetched on demand: parts of them by random access, whole
    /// files, which are then cached, by [`RandomAccess::stream`] and [`RandomAccess::into_file`].
    /// Files on this host are not cached.
    ///
    /// # Errors
    /// The location does not exist, or is neither a directory nor an image. A remote location may
    /// report this later, at the first access.
    pub fn place(&self, place: &Place) -> Result<Box<dyn FileTree>, PlaceError> {
        if let Place::Local(path) = place {
            return Ok(self.held.get(path)?.into_tree()?);
        }
        let shared = self.shared(place);
        shared.begin()?;
        Ok(Box::new(Cached::of(shared)))
    }

    /// Opens a file by its own URL or path.
    ///
    /// # Errors
    /// It does not exist.
    pub fn file(&self, place: &Place) -> Result<Box<dyn RandomAccess>, PlaceError> {
        self.file_up_to(place, None)
    }

    /// The same for a file that is of no use if it has more than `most` bytes
    /// ([`FileTree::open_short`]).
    ///
    /// # Errors
    /// See [`Self::file`].
    pub fn short_file(
        &self,
        place: &Place,
        most: u64,
    ) -> Result<Box<dyn RandomAccess>, PlaceError> {
        self.file_up_to(place, Some(most))
    }

    fn file_up_to(
        &self,
        place: &Place,
        most: Option<u64>,
    ) -> Result<Box<dyn RandomAccess>, PlaceError> {
        if let Place::Local(path) = place {
            return Ok(Box::new(self.held.get(path)?.into_file()?));
        }
        Ok(Cached::of(self.shared(place)).open_up_to(&TreePath::root(), most)?)
    }

    /// Discards the cached answers of a location, because they led to nothing: the next run asks
    /// again and fetches what it needs.
    pub fn forget(&self, place: &Place) {
        // The cache of a local place is not even opened: that would create it.
        if !place.is_remote() || self.settings.offline {
            return;
        }
        if let Some(cache) = self.cache() {
            Record::forget(&cache, &without_password(&place.to_string()));
        }
    }

    fn shared(&self, place: &Place) -> Arc<Shared> {
        Arc::new(Shared::new(place, &self.settings, Arc::clone(&self.watch), self.cache()))
    }

    /// The cache. A boot continues without one if it cannot be created.
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
            self.watch.note(&format!("warning: running without a cache: {error}"));
        };
        opened.map_err(unusable).ok()
    }
}
