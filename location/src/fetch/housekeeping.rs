//! What is kept, told and removed.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::cache::{self, Cache};
use super::partial::PartOf;
use super::places::{self, Answer, Record, now};

/// What came of a file that nobody goes on with for so long is removed.
const STALE: Duration = Duration::from_secs(7 * 86_400);

/// A file that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheEntry {
    /// The place it is from.
    pub place: String,
    /// Its path there; `/`: the place is the file.
    pub path: String,
    /// Bytes of it that are here.
    pub here: u64,
    /// Bytes it has, if they are not all here.
    pub of: Option<u64>,
    /// How long ago its place was last asked for it.
    pub age: Duration,
    /// Where it is.
    pub file: PathBuf,
}

/// What was removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files that are in use, by a guest or a transfer, and stay.
    pub in_use: u64,
}

impl Cache {
    /// All cached files, sorted by location and path.
    ///
    /// # Errors
    /// The cache cannot be read.
    pub fn list(&self) -> io::Result<Vec<CacheEntry>> {
        let mut all = Vec::new();
        for (_, record) in self.records()? {
            let place = record.place;
            for (path, answer) in record.answers {
                let Answer::File(about) = answer.said else { continue };
                let Some(sha256) = about.sha256 else { continue };
                let (file, age) = (self.content(&sha256), age(answer.asked));
                if self.has(&sha256, about.len) {
                    let (place, here) = (place.clone(), about.len);
                    all.push(CacheEntry { place, path, here, of: None, age, file });
                }
            }
        }
        for file in files(&self.partials())? {
            let part = PartOf::read(&file.with_extension("json"));
            let Some(PartOf { place, path, len, .. }) = part.filter(|_| file.extension().is_none())
            else {
                continue;
            };
            let here = fs::metadata(&file)?.len();
            all.push(CacheEntry {
                place,
                path,
                here,
                of: Some(len),
                age: unchanged_for(&file),
                file,
            });
        }
        all.sort_by(|a, b| (&a.place, &a.path).cmp(&(&b.place, &b.path)));
        Ok(all)
    }

    /// Removes what is of no use any more: parts that nobody goes on with, bytes that no place is
    /// known to have, and what was not asked for as long as `older_than`. What is in use stays.
    ///
    /// # Errors
    /// The cache cannot be read, or not be written to.
    pub fn prune(&self, older_than: Option<Duration>) -> io::Result<Pruned> {
        let mut pruned = Pruned::default();
        let _lock = self.lock()?;
        for directory in [self.contents(), self.places(), self.partials(), self.checked()] {
            for entry in fs::read_dir(directory)? {
                cache::clear(&entry?.path())?;
            }
        }
        let too_old = |age: Duration| older_than.is_some_and(|limit| age >= limit);
        let mut known = HashSet::new();
        for (path, mut record) in self.records()? {
            record.answers.retain(|_, answer| !too_old(age(answer.asked)));
            if record.answers.is_empty() {
                fs::remove_file(&path)?;
                continue;
            }
            places::write(&path, &record)?;
            known.extend(record.answers.into_values().filter_map(|answer| match answer.said {
                Answer::File(about) => Some(self.content(&about.sha256?)),
                _ => None,
            }));
        }
        for file in files(&self.places())? {
            // What a process left that was killed, or no record.
            if places::read(&file).is_none() {
                pruned.remove(&file)?;
            }
        }
        for file in files(&self.contents())?.into_iter().filter(|file| !known.contains(file)) {
            pruned.remove(&file)?;
        }
        for record in files(&self.checked())? {
            let name = record.file_name().unwrap_or_default();
            if !self.contents().join(name).exists() {
                fs::remove_file(&record)?;
            }
        }
        self.prune_partials(older_than.unwrap_or(STALE).min(STALE), &mut pruned)?;
        Ok(pruned)
    }

    fn prune_partials(&self, older_than: Duration, pruned: &mut Pruned) -> io::Result<()> {
        for file in files(&self.partials())? {
            if file.extension().is_some() && file.with_extension("").exists() {
                continue;
            }
            let lock_name = file.with_extension("lock");
            let lock = File::options().write(true).open(&lock_name).ok();
            if lock.as_ref().is_some_and(|lock| lock.try_lock().is_err()) {
                pruned.in_use += u64::from(file.extension().is_none());
            } else if unchanged_for(&file) >= older_than {
                pruned.remove(&file)?;
                for name in [file.with_extension("json"), lock_name] {
                    let _ = fs::remove_file(name);
                }
            }
        }
        Ok(())
    }

    fn records(&self) -> io::Result<Vec<(PathBuf, Record)>> {
        let read = |path: PathBuf| places::read(&path).map(|record| (path, record));
        Ok(files(&self.places())?.into_iter().filter_map(read).collect())
    }
}

impl Pruned {
    fn remove(&mut self, path: &Path) -> io::Result<()> {
        let file = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            file => file?,
        };
        if file.try_lock().is_err() {
            self.in_use += 1;
            return Ok(());
        }
        let len = file.metadata()?.len();
        fs::remove_file(path)?;
        self.files += 1;
        self.bytes += len;
        Ok(())
    }
}

/// The regular files in a directory.
fn files(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            files.push(entry.path());
        }
    }
    files.sort();
    Ok(files)
}

fn age(asked: u64) -> Duration {
    Duration::from_micros(now().saturating_sub(asked))
}

fn unchanged_for(file: &Path) -> Duration {
    let changed = fs::metadata(file).and_then(|about| about.modified()).unwrap_or(UNIX_EPOCH);
    SystemTime::now().duration_since(changed).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Temp;

    #[test]
    fn a_file_that_is_gone_is_nothing_to_remove_and_one_that_cannot_be_opened_is_an_error() {
        let temp = Temp::of(&["file"]);
        let mut pruned = Pruned::default();
        pruned.remove(&temp.path().join("absent")).unwrap();
        assert_eq!(pruned, Pruned::default());
        let error = pruned.remove(&temp.path().join("file/below")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotADirectory);
    }
}
