//! What places said of their files: one record each.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::FRESH;
use super::cache::{Cache, name_of};
use storage::{Entry, Failure, FileError, TreePath};

/// A longer record was not written by chukka.
const LONGEST: u64 = 64 << 20;

/// What a place said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    /// The place, without a password.
    pub place: String,
    /// When it was first asked in the round of questions that counts, in microseconds since 1970.
    pub asked: u64,
    /// What it said, by path; of earlier rounds too.
    pub answers: BTreeMap<String, RecordedAnswer>,
}

/// One thing a place said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RecordedAnswer {
    /// When, in microseconds since 1970.
    pub asked: u64,
    /// What.
    pub said: Answer,
}

/// What a place says of a path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Answer {
    /// There is nothing.
    Missing,
    /// It is not given to us: what the place said.
    Refused(String),
    /// There are no lists.
    Unlisted,
    /// It is something else than it was asked for as: what it is.
    Other(String),
    /// A file.
    File(FileInfo),
    /// A directory: names, and whether each is a directory.
    List(Vec<(String, bool)>),
    /// A medium's name, if it has one.
    Label(Option<String>),
}

/// What is known of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FileInfo {
    /// Its length in bytes.
    pub len: u64,
    /// Its version; may be empty.
    pub version: String,
    /// Whether it can be read only from its beginning.
    pub sequential: bool,
    /// Its content, once that was fetched.
    pub sha256: Option<String>,
}

impl FileInfo {
    /// Whether this is the same content, as far as its place can tell.
    pub fn is_same(&self, other: &Self) -> bool {
        !self.version.is_empty() && self.version == other.version && self.len == other.len
    }
}

impl Record {
    /// Nothing was said yet; the questions begin now.
    pub fn of(place: &str) -> Self {
        Self { place: place.to_owned(), asked: now(), answers: BTreeMap::new() }
    }

    /// Whether what was said in the round counts without asking again.
    pub fn is_fresh(&self) -> bool {
        // A time to come: the clock was set back.
        let age = now().checked_sub(self.asked);
        age.is_some_and(|age| Duration::from_micros(age) < FRESH)
    }

    /// The one that is kept of a place; an empty one if there is none, or it cannot be read: then the place is asked again.
    pub fn load(cache: &Cache, place: &str) -> Self {
        let path = cache.places().join(file_name(place));
        let found = read(&path).filter(|record| record.place == place);
        found.unwrap_or_else(|| Self { asked: 0, ..Self::of(place) })
    }

    /// Removes the one that is kept of a place.
    pub fn forget(cache: &Cache, place: &str) {
        if let Ok(_lock) = cache.lock() {
            let _ = fs::remove_file(cache.places().join(file_name(place)));
        }
    }

    /// What was said of `path` in the round that counts.
    pub fn current(&self, path: &str) -> Option<&Answer> {
        let answer = self.answers.get(path)?;
        (answer.asked >= self.asked).then_some(&answer.said)
    }

    /// Notes what was said just now.
    pub fn note(&mut self, path: &str, said: Answer) {
        self.answers.insert(path.to_owned(), RecordedAnswer { asked: now().max(self.asked), said });
    }

    /// Adds what another record of the same place has: what was said last counts.
    fn merge(&mut self, other: Self) {
        self.asked = self.asked.max(other.asked);
        for (path, answer) in other.answers {
            match self.answers.get(&path) {
                Some(ours) if ours.asked > answer.asked => {}
                Some(ours) if ours.asked == answer.asked && !answer.has_content() => {}
                _ => {
                    self.answers.insert(path, answer);
                }
            }
        }
    }

    /// Writes it, with what other processes have written meanwhile.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn save(&self, cache: &Cache) -> io::Result<()> {
        let lock = cache.lock()?;
        let mut record = Self::load(cache, &self.place);
        record.merge(self.clone());
        write(&cache.places().join(file_name(&self.place)), &record)?;
        drop(lock);
        Ok(())
    }
}

impl RecordedAnswer {
    fn has_content(&self) -> bool {
        matches!(&self.said, Answer::File(FileInfo { sha256: Some(_), .. }))
    }
}

/// The record in a file; `None`: it is none.
pub(super) fn read(path: &Path) -> Option<Record> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(LONGEST).read_to_end(&mut bytes).ok()?;
    serde_json::from_slice(&bytes).ok()
}

/// Replaces a file atomically: it is written and synced under another name, and renamed. The caller holds the lock.
pub(super) fn write(path: &Path, what: &impl Serialize) -> io::Result<()> {
    let new = path.with_extension("new");
    let done = (|| {
        let mut file = File::create(&new)?;
        file.write_all(&serde_json::to_vec_pretty(what)?)?;
        file.sync_all()?;
        fs::rename(&new, path)
    })();
    if done.is_err() {
        let _ = fs::remove_file(&new);
    }
    done
}

fn file_name(place: &str) -> String {
    format!("{}.json", name_of(place))
}

/// Microseconds since 1970.
pub(super) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// The path's name in a record.
pub(super) fn key(path: &TreePath) -> String {
    match path.as_path().to_str() {
        Some(_) => path.to_string(),
        None => format!("{:?}", path.as_path()),
    }
}

/// The name in a record of what a directory has: its path may be a file's too, as a page that lists it is.
pub(super) fn list_key(directory: &TreePath) -> String {
    format!("{}/*", key(directory).trim_end_matches('/'))
}

/// The key of a medium's name; no path of a place is like it.
pub(super) const LABEL: &str = "/label";

/// A URL without the password that may be in it (`user:password@`, RFC 3986, section 3.2.1), and without slashes at its end.
#[must_use]
pub fn without_password(url: &str) -> String {
    let url = url.trim_end_matches('/');
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let (host, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let Some((user, host)) = host.rsplit_once('@') else { return url.to_owned() };
    let user = user.split(':').next().unwrap_or_default();
    format!("{scheme}://{user}@{host}{path}")
}

impl Answer {
    /// What an error says, if it says something of the place, and not of the way there.
    pub fn of_error(error: &FileError) -> Option<Self> {
        match error {
            FileError::Missing(_) => Some(Self::Missing),
            FileError::Unlisted(_) => Some(Self::Unlisted),
            FileError::Kind { found, .. } => Some(Self::Other((*found).to_owned())),
            FileError::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                Some(Self::Refused(source.to_string()))
            }
            FileError::Io { .. } => None,
        }
    }

    /// What a list says.
    pub fn of_list(entries: &[Entry]) -> Self {
        let pairs = entries.iter().map(|entry| (entry.name.clone(), entry.is_directory));
        Self::List(pairs.collect())
    }

    /// The error that was noted; `expected` is what is asked for now. `None`: it was none, or none for this question.
    pub fn error(&self, name: &str, expected: &'static str) -> Option<FileError> {
        let name = name.to_owned();
        match self {
            Self::Missing => Some(FileError::Missing(name)),
            Self::Unlisted => Some(FileError::Unlisted(name)),
            Self::Refused(problem) => {
                let failure = Failure::new(problem.clone(), "check the URL");
                let source = io::Error::new(io::ErrorKind::PermissionDenied, failure);
                Some(FileError::Io { name, source })
            }
            Self::Other(found) if found == "a directory" => {
                Some(FileError::Kind { name, found: "a directory", expected })
            }
            Self::Other(_) => Some(FileError::Kind { name, found: "something else", expected }),
            Self::File(_) | Self::List(_) | Self::Label(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_not_kept() {
        for (url, kept) in [
            ("http://h/x/", "http://h/x"),
            ("http://u:secret@h:8/x", "http://u@h:8/x"),
            ("ftp://u@h/x@y:z", "ftp://u@h/x@y:z"),
            ("http://u:a@b@h", "http://u@h"),
            ("http://h?a:b@c", "http://h?a:b@c"),
            ("nfs:h:/a", "nfs:h:/a"),
        ] {
            assert_eq!(without_password(url), kept);
        }
    }
}
