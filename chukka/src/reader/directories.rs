//! Opens files below a job's directories for the reading process, which runs as another user and
//! cannot open those that only root may read (`vmm::sandbox::ReaderSandbox`).

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use storage::{Directory, OpenFor, TreePath};

use crate::resolve::Job;

/// The directories of a job, by their paths, and once they are needed.
pub(super) struct JobDirectories {
    directories: HashMap<OsString, Option<Directory>>,
    /// The process runs as a user that was asked for, and gets no more than this user may read.
    refuses: bool,
}

impl JobDirectories {
    pub fn of(job: &Job) -> Self {
        let directories = job.paths().map(|path| (path.into(), None)).collect();
        Self { directories, refuses: job.user().is_some() }
    }

    /// Opens a path of one of them. No path leads out of it.
    ///
    /// # Errors
    /// The job does not name this directory: the process has been taken over. The inner error is an
    /// `errno` value.
    pub fn open(
        &mut self,
        directory: &OsStr,
        path: &OsStr,
        wanted: OpenFor,
    ) -> io::Result<Result<OwnedFd, i32>> {
        let unknown = || io::Error::other("it asked for a file outside the directories of its job");
        let open = self.directories.get_mut(directory).ok_or_else(unknown)?;
        if self.refuses {
            return Ok(Err(libc::EACCES));
        }
        let open = match open {
            Some(open) => open,
            None => open.insert(Directory::open(Path::new(directory)).map_err(io::Error::other)?),
        };
        let file = open.open_for(&TreePath::new(path), wanted);
        Ok(file.map_err(|error| error.raw_os_error().unwrap_or(libc::EACCES)))
    }
}

#[cfg(test)]
mod tests {
    use storage::testing::Temp;

    use super::*;

    #[test]
    fn only_what_is_in_the_directories_of_the_job_is_opened() {
        let temp = Temp::of(&["named/file", "other/file"]);
        let [named, other] = ["named", "other"].map(|name| temp.path().join(name).into_os_string());
        let mut directories =
            JobDirectories { directories: [(named.clone(), None)].into(), refuses: false };
        let mut open = |directory: &OsStr, path: &str| {
            directories.open(directory, OsStr::new(path), OpenFor::Bytes)
        };
        assert!(open(&named, "file").unwrap().is_ok());
        assert_eq!(open(&named, "../other/file").unwrap().unwrap_err(), libc::ENOENT);
        for directory in [&other, temp.path().as_os_str(), OsStr::new("/"), OsStr::new("")] {
            let error = open(directory, "file").unwrap_err();
            assert!(error.to_string().contains("outside the directories"), "{error}");
        }
        directories.refuses = true;
        let refused = directories.open(&named, OsStr::new("file"), OpenFor::Bytes);
        assert_eq!(refused.unwrap().unwrap_err(), libc::EACCES, "for a user that was asked for");
    }
}
