//! The files of a place that were asked for: each once, however many rules name it.

use std::collections::BTreeMap;
use std::io;

use super::TreeError;
use storage::{FileError, FileTree, RandomAccess, TreePath, read_whole};

/// What is in the way of using a file that does not exist.
pub(super) const NOT_THERE: &str = "not there";

/// What was asked for, and what came of it.
pub(super) struct FileCache<'a> {
    source: &'a dyn FileTree,
    files: BTreeMap<TreePath, State>,
    texts: BTreeMap<TreePath, Result<String, String>>,
}

/// What is known of a path.
enum State {
    /// It is there; open, unless it was taken.
    There(Option<Box<dyn RandomAccess>>),
    /// It is not, or cannot be used; as messages have it.
    Not(String),
}

impl<'a> FileCache<'a> {
    pub fn of(source: &'a dyn FileTree) -> Self {
        Self { source, files: BTreeMap::new(), texts: BTreeMap::new() }
    }

    /// What is in the way of using a file; `None`: nothing, it is there.
    ///
    /// # Errors
    /// The place as a whole cannot be read.
    pub fn problem(&mut self, path: &TreePath) -> Result<Option<&str>, TreeError> {
        Ok(match self.look(path, None)? {
            State::There(_) => None,
            State::Not(why) => Some(why),
        })
    }

    /// Opens a file; `None`: it is not there, or cannot be used.
    ///
    /// # Errors
    /// The place as a whole cannot be read.
    pub fn take(&mut self, path: &TreePath) -> Result<Option<Box<dyn RandomAccess>>, TreeError> {
        Ok(match self.look_again(path, None)? {
            State::There(file) => file.take(),
            State::Not(_) => None,
        })
    }

    /// The text of a file that has `limit` bytes at most; else why there is none.
    ///
    /// # Errors
    /// The place as a whole cannot be read.
    pub fn text(&mut self, path: &TreePath, limit: usize) -> Result<Result<&str, &str>, TreeError> {
        if !self.texts.contains_key(path) {
            let text = self.read(path, limit)?;
            self.texts.insert(path.clone(), text);
        }
        let text = self.texts.get(path).map_or(Err(""), |text| match text {
            Ok(text) => Ok(text.as_str()),
            Err(why) => Err(why.as_str()),
        });
        Ok(text)
    }

    fn read(&mut self, path: &TreePath, limit: usize) -> Result<Result<String, String>, TreeError> {
        let file = match self.look_again(path, Some(limit as u64))? {
            State::There(file) => file.take(),
            State::Not(why) => return Ok(Err(why.clone())),
        };
        let Some(file) = file else { return Ok(Err(NOT_THERE.into())) };
        let read = |source| TreeError::Read { name: file.name().into(), source };
        Ok(match read_whole(&*file, limit).map_err(read)? {
            Some(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
            None => Err(format!("longer than {limit} bytes, not used")),
        })
    }

    /// The same as [`Self::look`]; a file that was taken is opened again.
    fn look_again(&mut self, path: &TreePath, most: Option<u64>) -> Result<&mut State, TreeError> {
        if let State::There(None) = self.look(path, most)? {
            self.files.remove(path);
        }
        self.look(path, most)
    }

    /// Opens a file at the first look, which is of no use if it has more than `most` bytes. Whoever
    /// says that takes it.
    fn look(&mut self, path: &TreePath, most: Option<u64>) -> Result<&mut State, TreeError> {
        if !self.files.contains_key(path) {
            let state = match self.source.open_up_to(path, most) {
                Ok(file) => State::There(Some(file)),
                Err(error) if error.is_missing() => State::Not(NOT_THERE.into()),
                Err(error) if ends_the_search(&error) => return Err(TreeError::Source(error)),
                Err(error) => State::Not(with_source(&error)),
            };
            self.files.insert(path.clone(), state);
        }
        Ok(self.files.entry(path.clone()).or_insert(State::Not(String::new())))
    }
}

/// Whether what failed for one file would for the next: a host that does not answer, a medium that
/// cannot be read.
fn ends_the_search(error: &FileError) -> bool {
    let FileError::Io { source, .. } = error else { return false };
    let of_this_path = [rustix::io::Errno::LOOP, rustix::io::Errno::NAMETOOLONG];
    let of_this_path = of_this_path.map(|errno| Some(errno.raw_os_error()));
    source.kind() != io::ErrorKind::PermissionDenied
        && !of_this_path.contains(&source.raw_os_error())
}

/// An error with its cause, in one line.
pub(super) fn with_source(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}
