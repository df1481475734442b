//! A location on another host, with its cached answers and files. Everything else is requested from
//! the host.

use std::fs::File;
use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use super::cache::{Cache, Kept};
use super::partial::{self, Partial};
use super::places::{
    Answer, FileInfo, LABEL, Record, RecordedAnswer, key, list_key, now, without_password,
};
use super::progress::FetchProgress;
use super::{IMAGE, RAISE_LIMIT, Settings};
use crate::place::{Place, PlaceError};
use storage::sync::lock;
use storage::{Entry, Failure, FileError, FileTree, LocalFile, RandomAccess, Skipped, TreePath};

/// A file of up to this size in bytes is cached as a whole, because a part would cost as much.
const SMALL: u64 = 64 << 10;

/// What a place and the files of it share.
#[derive(Debug)]
pub(super) struct Shared {
    place: Place,
    name: String,
    settings: Settings,
    watch: Arc<dyn FetchProgress>,
    cache: Option<Cache>,
    record: Mutex<Record>,
    /// When this run began to ask, in microseconds since 1970.
    began: u64,
    /// Whether the record has what was not written yet.
    changed: AtomicBool,
    /// The place itself, once it is asked.
    opened: OnceLock<Box<dyn FileTree>>,
}

impl Shared {
    /// Nothing is sent yet.
    pub fn new(
        place: &Place,
        settings: &Settings,
        watch: Arc<dyn FetchProgress>,
        cache: Option<Cache>,
    ) -> Self {
        let name = without_password(&place.to_string());
        let mut record = match &cache {
            Some(cache) => Record::load(cache, &name),
            None => Record::of(&name),
        };
        let began = now();
        if settings.offline {
            // All that was ever said counts.
            record.asked = 0;
        } else if settings.refresh {
            record = Record::of(&name);
        } else if !record.is_fresh() {
            record.asked = began;
        }
        let (place, settings) = (place.clone(), settings.clone());
        let is_offline = settings.offline;
        let files = record.fetched().filter(|_| !is_offline);
        let files: Vec<_> = files.map(|(key, about)| (key.clone(), about.clone())).collect();
        let (record, changed, opened) =
            (Mutex::new(record), AtomicBool::default(), OnceLock::new());
        let shared = Self { place, name, settings, watch, cache, record, began, changed, opened };
        // What replaces it could be of another version than the others.
        if files.iter().any(|(key, about)| shared.content(key, about).is_none()) {
            shared.ask_again();
        }
        shared
    }

    /// Trusts no answer from before this run any more: files that belong together must be of one
    /// version.
    fn ask_again(&self) {
        if !self.settings.offline {
            let mut record = lock(&self.record);
            record.asked = record.asked.max(self.began);
            self.changed.store(true, Ordering::Relaxed);
        }
    }

    fn is_current(&self, key: &str) -> bool {
        lock(&self.record).current(key).is_some()
    }

    /// Opens the place itself, unless there is something that it said already.
    ///
    /// # Errors
    /// See [`Place::open`].
    pub fn begin(&self) -> Result<(), PlaceError> {
        let record = lock(&self.record);
        let known = record.answers.keys().any(|path| record.current(path).is_some());
        drop(record);
        if known {
            return Ok(());
        }
        self.not_offline(&self.name)?;
        self.opened().map(drop)
    }

    fn opened(&self) -> Result<&dyn FileTree, PlaceError> {
        if let Some(source) = self.opened.get() {
            return Ok(&**source);
        }
        let source = self.place.open(&self.settings.net, &|file| self.image(&*file))?;
        self.note(LABEL, Answer::Label(source.label().map(str::to_owned)));
        Ok(&**self.opened.get_or_init(|| source))
    }

    fn shown(&self, path: &TreePath) -> String {
        if *path == TreePath::root() { self.name.clone() } else { format!("{}/{path}", self.name) }
    }

    fn note(&self, key: &str, said: Answer) {
        lock(&self.record).note(key, said);
        self.changed.store(true, Ordering::Relaxed);
    }

    /// Nothing more than what is kept may be asked for.
    fn not_offline(&self, name: &str) -> Result<(), FileError> {
        if !self.settings.offline {
            return Ok(());
        }
        let problem = "not in the cache, and -offline forbids fetching";
        Err(FileError::failure(name, problem, "run it once without -offline"))
    }

    /// What is known of a file that the place has just told of; its content too, if that did not
    /// change.
    fn about(&self, key: &str, file: &dyn RandomAccess) -> FileInfo {
        let (len, version, sequential) = (file.len(), file.version(), file.is_sequential());
        let is_cut = file.is_cut();
        let mut about = FileInfo { len, version, sequential, is_cut, sha256: None };
        let before = lock(&self.record).answers.get(key).cloned();
        match before {
            Some(RecordedAnswer { said: Answer::File(before), .. }) if before.is_same(&about) => {
                if self.content(key, &before).is_some() {
                    about.sha256 = before.sha256;
                }
            }
            // The others can have changed with it, or while there was no answer about it.
            _ => self.ask_again(),
        }
        self.note(key, Answer::File(about.clone()));
        about
    }

    /// The bytes, if cached and intact.
    fn content(&self, key: &str, about: &FileInfo) -> Option<File> {
        match self.cache.as_ref()?.find(about.sha256.as_deref()?, about.len) {
            Kept::Intact(file) => Some(file),
            Kept::Absent => None,
            Kept::Damaged => {
                let name = self.shown(&TreePath::new(key));
                let problem = "the cached copy was damaged and is removed";
                self.watch.note(&format!("warning: {name}: {problem}"));
                None
            }
        }
    }

    /// All of an image that cannot be read in places.
    fn image(&self, file: &dyn RandomAccess) -> io::Result<File> {
        let key = key(&TreePath::root());
        let about = self.about(&key, file);
        let limit = self.settings.limit.max(IMAGE);
        self.whole(&key, &about, limit, &|| Ok(file)).map(|(file, _)| file)
    }

    /// All of a file: what is kept of it, or else `opened`, which is then kept; with its SHA-256 if
    /// it was counted on the way.
    fn whole<'a>(
        &self,
        key: &str,
        about: &FileInfo,
        limit: u64,
        opened: &dyn Fn() -> io::Result<&'a dyn RandomAccess>,
    ) -> io::Result<(File, Option<String>)> {
        if let Some(file) = self.content(key, about) {
            return Ok((file, about.sha256.clone()));
        }
        if about.len > limit {
            let problem = format!("it has {} bytes; the limit is {limit}", about.len);
            return Err(Failure::new(problem, RAISE_LIMIT).into());
        }
        let asked = now();
        let file = opened()?;
        let Some(cache) = &self.cache else {
            return Ok((partial::in_memory(file, &*self.watch)?, None));
        };
        let part = Partial::lock(cache, &self.name, key, &*self.watch)?;
        if let Some(file) = self.fetched_meanwhile(cache, key, about, asked) {
            return Ok((file, None));
        }
        if self.settings.refresh {
            part.forget();
        }
        let (sha256, file) = part.fill(file, &*self.watch)?;
        self.note(key, Answer::File(FileInfo { sha256: Some(sha256.clone()), ..about.clone() }));
        self.save();
        Ok((file, Some(sha256)))
    }

    /// What another process has fetched while this one waited for it.
    fn fetched_meanwhile(
        &self,
        cache: &Cache,
        key: &str,
        about: &FileInfo,
        asked: u64,
    ) -> Option<File> {
        let record = Record::load(cache, &self.name);
        let RecordedAnswer { asked: when, said: Answer::File(theirs) } = record.answers.get(key)?
        else {
            return None;
        };
        let counts = *when >= asked || (!self.settings.refresh && theirs.is_same(about));
        let file = self.content(key, theirs).filter(|_| counts && theirs.len == about.len)?;
        self.note(key, Answer::File(theirs.clone()));
        Some(file)
    }

    /// Writes down what the place said.
    fn save(&self) {
        let Some(cache) = &self.cache else { return };
        match lock(&self.record).save(cache) {
            Ok(()) => self.changed.store(false, Ordering::Relaxed),
            Err(error) => {
                let problem = "cannot write to the cache; the next run will ask the server again";
                self.watch.note(&format!("warning: {problem}: {error}"));
            }
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if self.changed.load(Ordering::Relaxed) {
            self.save();
        }
    }
}

/// A place on another host.
#[derive(Debug)]
pub(super) struct Cached {
    shared: Arc<Shared>,
    label: OnceLock<Option<String>>,
}

impl Cached {
    /// What is known of it is `shared`.
    pub fn of(shared: Arc<Shared>) -> Self {
        Self { shared, label: OnceLock::new() }
    }

    /// Asks the place itself.
    fn ask(&self, path: &TreePath, most: Option<u64>) -> Result<Box<dyn RandomAccess>, FileError> {
        self.shared.not_offline(&self.shared.shown(path))?;
        if *path == TreePath::root() {
            return Ok(self.shared.place.open_file(&self.shared.settings.net, most)?);
        }
        self.shared.opened()?.open_up_to(path, most)
    }
}

impl FileTree for Cached {
    fn name(&self) -> &str {
        &self.shared.name
    }

    fn label(&self) -> Option<&str> {
        let label = || match lock(&self.shared.record).current(LABEL) {
            Some(Answer::Label(label)) => label.clone(),
            _ => None,
        };
        self.label.get_or_init(label).as_deref()
    }

    fn skipped(&self) -> &[Skipped] {
        self.shared.opened.get().map(|source| source.skipped()).unwrap_or_default()
    }

    fn list(&self, directory: &TreePath) -> Result<Vec<Entry>, FileError> {
        let shared = &*self.shared;
        let (name, key) = (shared.shown(directory), list_key(directory));
        match lock(&shared.record).current(&key) {
            Some(Answer::List(pairs)) => {
                let entry = |(name, is_directory): &(String, bool)| Entry {
                    name: name.clone(),
                    is_directory: *is_directory,
                };
                return Ok(pairs.iter().map(entry).collect());
            }
            Some(said) => {
                if let Some(error) = said.error(&name, "a directory") {
                    return Err(error);
                }
            }
            None => {}
        }
        shared.not_offline(&name)?;
        let listed = shared.opened()?.list(directory);
        let said = match &listed {
            Ok(entries) => Some(Answer::of_list(entries)),
            Err(error) => Answer::of_error(error),
        };
        if let Some(said) = said {
            shared.note(&key, said);
        }
        listed
    }

    fn open(&self, path: &TreePath) -> Result<Box<dyn RandomAccess>, FileError> {
        self.opened(path, None)
    }

    fn open_short(&self, path: &TreePath, most: u64) -> Result<Box<dyn RandomAccess>, FileError> {
        self.opened(path, Some(most))
    }
}

impl Cached {
    /// Opens a file, which is of no use if it has more than `most` bytes.
    fn opened(
        &self,
        path: &TreePath,
        most: Option<u64>,
    ) -> Result<Box<dyn RandomAccess>, FileError> {
        let shared = &self.shared;
        let (name, key) = (shared.shown(path), key(path));
        let said = lock(&shared.record).current(&key).cloned();
        if let Some(error) = said.as_ref().and_then(|said| said.error(&name, "a regular file")) {
            return Err(error);
        }
        let file = |about, opened| {
            let (whole, path) = (OnceLock::new(), path.clone());
            let shared = Arc::clone(shared);
            Box::new(CachedFile {
                shared,
                path,
                key: key.clone(),
                name: name.clone(),
                about,
                opened,
                whole,
            })
        };
        if let Some(Answer::File(about)) = said
            && about.is_enough_for(most)
            && (about.sha256.is_none() || shared.content(&key, &about).is_some())
        {
            return Ok(file(about, OnceLock::new()));
        }
        match self.ask(path, most) {
            Ok(opened) => Ok(file(shared.about(&key, &*opened), OnceLock::from(opened))),
            Err(error) => {
                if let Some(said) = Answer::of_error(&error) {
                    shared.note(&key, said);
                }
                Err(error)
            }
        }
    }
}

/// A file in such a place.
#[derive(Debug)]
struct CachedFile {
    shared: Arc<Shared>,
    path: TreePath,
    /// Its name in the record.
    key: String,
    name: String,
    about: FileInfo,
    /// The file itself, once it is asked.
    opened: OnceLock<Box<dyn RandomAccess>>,
    /// All of it on this host.
    whole: OnceLock<LocalFile>,
}

impl CachedFile {
    fn opened(&self) -> io::Result<&dyn RandomAccess> {
        if let Some(file) = self.opened.get() {
            return Ok(&**file);
        }
        let most = self.about.is_cut.then(|| self.about.len.saturating_sub(1));
        let file = Cached::of(Arc::clone(&self.shared)).ask(&self.path, most).map_err(into_io)?;
        if file.len() != self.about.len || file.version() != self.about.version {
            self.shared.about(&self.key, &*file);
            let problem = match (file.len(), self.about.len) {
                (now, before) if now == before => {
                    "it changed on the server, which has another version of it now".into()
                }
                (now, before) => {
                    format!("it changed on the server: it has {now} bytes now, and had {before}")
                }
            };
            let hint = "try again: all files of the location will be asked for again";
            return Err(Failure::new(problem, hint).into());
        }
        Ok(&**self.opened.get_or_init(|| file))
    }

    fn whole(&self) -> io::Result<&LocalFile> {
        if let Some(file) = self.whole.get() {
            return Ok(file);
        }
        let mut about = self.about.clone();
        if !self.shared.is_current(&self.key) {
            // Another file of the place had to be asked for since this one was opened. What is cached
            // may be of another version now.
            about = self.shared.about(&self.key, self.opened()?);
        }
        let limit = self.shared.settings.limit;
        let (file, sha256) = self.shared.whole(&self.key, &about, limit, &|| self.opened())?;
        let file = LocalFile::new(file, self.name.clone())?.with_sha256(sha256);
        Ok(self.whole.get_or_init(|| file))
    }

    /// Whether a piece of it costs as much as all of it, or nothing.
    fn is_best_whole(&self) -> bool {
        self.about.len <= SMALL
            || self.about.sequential
            || self.shared.content(&self.key, &self.about).is_some()
    }
}

impl RandomAccess for CachedFile {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> u64 {
        self.about.len
    }

    fn read_at(&self, to: &mut [u8], at: u64) -> io::Result<usize> {
        if self.whole.get().is_some() || self.is_best_whole() {
            return self.whole()?.read_at(to, at);
        }
        self.opened()?.read_at(to, at)
    }

    fn stream(&self, from: u64) -> io::Result<Box<dyn Read + '_>> {
        self.whole()?.stream(from)
    }

    fn sha256(&self) -> io::Result<Option<String>> {
        self.whole()?.sha256()
    }

    fn is_cut(&self) -> bool {
        self.about.is_cut
    }

    fn version(&self) -> String {
        self.about.version.clone()
    }

    fn into_file(self: Box<Self>) -> io::Result<File> {
        self.whole()?;
        match self.whole.into_inner() {
            Some(file) => Box::new(file).into_file(),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

/// The same error where only that of a system is told.
fn into_io(error: FileError) -> io::Error {
    match error {
        FileError::Io { source, .. } => source,
        error => Failure::new(error.to_string(), "it was there before; try again").into(),
    }
}

#[cfg(test)]
mod tests;
