//! Directories that a job names, of which chukka opens what the process that reads may not: root's
//! own files, as that is another user (`vmm::sandbox::ReaderSandbox`).

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use storage::{Directory, TreePath, Wanted};

use crate::resolve::Job;

/// The directories of a job, by their paths, and once they are needed.
pub(super) struct Directories(HashMap<OsString, Option<Directory>>);

impl Directories {
    pub fn of(job: &Job) -> Self {
        Self(job.paths().map(|path| (path.into(), None)).collect())
    }

    /// Opens a path of one of them. No path leads out of it.
    ///
    /// # Errors
    /// The job does not name this directory: it is not chukka that asks. Within: the number of an
    /// error of the system.
    pub fn open(
        &mut self,
        directory: &OsStr,
        path: &OsStr,
        wanted: Wanted,
    ) -> io::Result<Result<OwnedFd, i32>> {
        let unknown = || io::Error::other("a file of a directory that it was not to read");
        let open = self.0.get_mut(directory).ok_or_else(unknown)?;
        let open = match open {
            Some(open) => open,
            None => open.insert(Directory::open(Path::new(directory)).map_err(io::Error::other)?),
        };
        let file = open.open_for(&TreePath::new(path), wanted);
        Ok(file.map_err(|error| error.raw_os_error().unwrap_or(libc::EACCES)))
    }
}
