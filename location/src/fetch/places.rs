//! Records of what locations answered about their files, one per location.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::FRESH;
use super::cache::{self, Cache, name_of};
use storage::{Entry, Failure, FileError, TreePath};

/// Maximum size of a record. chukka never writes a longer one.
const LONGEST: u64 = 64 << 20;

/// The record of a location.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    /// The location, without a password.
    pub place: String,
    /// When the current round of requests began, in microseconds since 1970.
    pub asked: u64,
    /// The answers by path, including those of earlier rounds.
    pub answers: BTreeMap<String, RecordedAnswer>,
}

/// One answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RecordedAnswer {
    /// When it was given, in microseconds since 1970.
    pub asked: u64,
    /// The answer itself.
    pub said: Answer,
}

/// A location's answer about a path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Answer {
    /// It does not exist.
    Missing,
    /// Access is denied: the server's reason.
    Refused(String),
    /// Directories cannot be listed.
    Unlisted,
    /// It is of another type than requested: which type.
    Other(String),
    /// A file.
    File(FileInfo),
    /// A directory: its entries, and whether each is a directory.
    List(Vec<(String, bool)>),
    /// A medium's label, if any.
    Label(Option<String>),
}

/// The metadata of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FileInfo {
    /// Its length in bytes.
    pub len: u64,
    /// Its version; may be empty.
    pub version: String,
    /// Whether it can only be read from its beginning.
    pub sequential: bool,
    /// Whether these are only the first bytes of a longer file.
    #[serde(default)]
    pub is_cut: bool,
    /// The checksum of its content, once fetched.
    pub sha256: Option<String>,
}

impl FileInfo {
    /// Whether this is the same content, if the location can tell.
    pub fn is_same(&self, other: &Self) -> bool {
        !self.version.is_empty() && self.version == other.version && self.len == other.len
    }

    /// Whether it is of use where no more than `most` bytes are; `None`: all are.
    pub fn is_enough_for(&self, most: Option<u64>) -> bool {
        !self.is_cut || most.is_some_and(|most| self.len > most)
    }
}

impl Record {
    /// An empty record; the round begins now.
    pub fn of(place: &str) -> Self {
        Self { place: place.to_owned(), asked: now(), answers: BTreeMap::new() }
    }

    /// Whether the answers of this round are still trusted.
    pub fn is_fresh(&self) -> bool {
        // A time in the future means that the clock was set back.
        let age = now().checked_sub(self.asked);
        age.is_some_and(|age| Duration::from_micros(age) < FRESH)
    }

    /// The cached record of a location; an empty one if there is none or it is unreadable, so that
    /// the location is asked again.
    pub fn load(cache: &Cache, place: &str) -> Self {
        let path = cache.places().join(file_name(place));
        let found = read(&path).filter(|record| record.place == place);
        found.unwrap_or_else(|| Self { asked: 0, ..Self::of(place) })
    }

    /// Removes the cached record of a location.
    pub fn forget(cache: &Cache, place: &str) {
        if let Ok(_lock) = cache.lock() {
            let _ = fs::remove_file(cache.places().join(file_name(place)));
        }
    }

    /// The answer about `path` in the current round.
    pub fn current(&self, path: &str) -> Option<&Answer> {
        let answer = self.answers.get(path)?;
        (answer.asked >= self.asked).then_some(&answer.said)
    }

    /// The files that were fetched, by the answers of the current round, with their keys.
    pub fn fetched(&self) -> impl Iterator<Item = (&String, &FileInfo)> {
        let current = self.answers.iter().filter(|(_, answer)| answer.asked >= self.asked);
        current.filter_map(|(key, answer)| match &answer.said {
            Answer::File(about) if about.sha256.is_some() => Some((key, about)),
            _ => None,
        })
    }

    /// Records an answer given just now.
    pub fn note(&mut self, path: &str, said: Answer) {
        self.answers.insert(path.to_owned(), RecordedAnswer { asked: now().max(self.asked), said });
    }

    /// Merges another record of the same location; the latest answers win.
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

    /// Writes the record, merged with what other processes have written meanwhile.
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

/// Reads a record. `None` if the file is not a valid record.
pub(super) fn read(path: &Path) -> Option<Record> {
    serde_json::from_slice(&cache::read(path, LONGEST).ok()?).ok()
}

/// Replaces a file atomically: writes and syncs it under another name, then renames it. The caller
/// holds the lock.
pub(super) fn write(path: &Path, what: &impl Serialize) -> io::Result<()> {
    let new = path.with_extension("new");
    let done = (|| {
        cache::clear(&new)?;
        cache::clear(path)?;
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

/// A path's key in a record.
pub(super) fn key(path: &TreePath) -> String {
    match path.as_path().to_str() {
        Some(_) => path.to_string(),
        None => format!("{:?}", path.as_path()),
    }
}

/// The key of a directory's entries. It differs from the path's own key, because the path may also
/// be a file, such as a page with the list.
pub(super) fn list_key(directory: &TreePath) -> String {
    format!("{}/*", key(directory).trim_end_matches('/'))
}

/// The key of a medium's label; it cannot be a path.
pub(super) const LABEL: &str = "/label";

/// A URL without its password (`user:password@`, RFC 3986, section 3.2.1) and without trailing
/// slashes.
#[must_use]
pub fn without_password(url: &str) -> String {
    let url = url.trim_end_matches('/');
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let (host, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let Some((user, host)) = host.rsplit_once('@') else { return url.to_owned() };
    let user = user.split(':').next().unwrap_or_default();
    format!("{scheme}://{user}@{host}{path}")
}

/// A text that is no right URL, for a message: only its scheme and what follows its last `@`. Between
/// them may be a password that has a slash or a space in it.
pub(crate) fn without_login(text: &str) -> String {
    let Some((before, rest)) = text.rsplit_once('@') else { return text.to_owned() };
    let scheme = before.split_once(':').map_or("", |(scheme, _)| scheme);
    format!("{scheme}://{rest}")
}

impl Answer {
    /// The answer in an error, if the error is about the location and not about the connection.
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

    /// The answer in a directory listing.
    pub fn of_list(entries: &[Entry]) -> Self {
        let pairs = entries.iter().map(|entry| (entry.name.clone(), entry.is_directory));
        Self::List(pairs.collect())
    }

    /// The recorded answer as an error; `expected` is what is requested now. `None` if the answer
    /// is not an error for this request.
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
    fn passwords_are_not_stored() {
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

    #[test]
    fn nothing_before_the_last_at_sign_of_a_wrong_url_is_shown() {
        for (text, shown) in [
            ("gopher://h/x", "gopher://h/x"),
            ("gopher://u:secret@h/x", "gopher://h/x"),
            ("http://u:sec/ret@h/x", "http://h/x"),
            ("http:u:sec@ret@h", "http://h"),
            ("nfs:u:secret@h:/x", "nfs://h:/x"),
        ] {
            assert_eq!(without_login(text), shown);
        }
    }

    fn at(asked: u64, said: Answer) -> Record {
        let answers = [("linux".to_owned(), RecordedAnswer { asked, said })].into();
        Record { place: "http://h".into(), asked, answers }
    }

    fn file(sha256: Option<&str>) -> Answer {
        let sha256 = sha256.map(str::to_owned);
        let version = "1".into();
        Answer::File(FileInfo { len: 1, version, sequential: false, is_cut: false, sha256 })
    }

    #[test]
    fn the_latest_answer_wins_and_of_two_at_once_the_one_with_a_checksum() {
        for (ours, theirs, wins) in [
            (at(2, Answer::Missing), at(1, file(Some("00"))), Answer::Missing),
            (at(1, Answer::Missing), at(2, file(None)), file(None)),
            (at(1, file(Some("00"))), at(1, file(None)), file(Some("00"))),
            (at(1, file(None)), at(1, file(Some("00"))), file(Some("00"))),
        ] {
            let (mut record, asked) = (ours.clone(), ours.asked.max(theirs.asked));
            record.merge(theirs.clone());
            assert_eq!(record.answers["linux"].said, wins, "{ours:?}, {theirs:?}");
            assert_eq!(record.asked, asked);
        }
    }

    #[test]
    fn a_refusal_is_an_answer_and_a_broken_connection_is_none() {
        let error = |kind: io::ErrorKind| {
            let source = io::Error::new(kind, "403 Forbidden");
            Answer::of_error(&FileError::Io { name: "x".into(), source })
        };
        let refused = Answer::Refused("403 Forbidden".into());
        assert_eq!(error(io::ErrorKind::PermissionDenied), Some(refused));
        assert_eq!(error(io::ErrorKind::ConnectionReset), None);
    }

    #[test]
    fn a_recorded_answer_of_another_type_says_which() {
        for (found, shown) in [("a directory", "a directory"), ("a device", "something else")] {
            let error = Answer::Other(found.into()).error("x", "a regular file").unwrap();
            assert!(matches!(error, FileError::Kind { found, .. } if found == shown), "{error}");
        }
    }
}
