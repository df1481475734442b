//! Paths of this host.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use storage::{Directory, FileError, FileTree, LocalFile, Opener, image};

/// What a path of this host names, open.
#[derive(Debug)]
pub(crate) enum Local {
    File(LocalFile),
    Directory(Directory),
}

impl Local {
    /// Opens a regular file, a block device or a directory.
    pub fn open(path: &Path) -> Result<Self, FileError> {
        match LocalFile::open(path) {
            Err(FileError::Kind { found: "a directory", .. }) => {
                Directory::open(path).map(Self::Directory)
            }
            file => file.map(Self::File),
        }
    }

    /// The directory, or what is in the image.
    pub fn into_tree(self) -> Result<Box<dyn FileTree>, FileError> {
        match self {
            Self::File(file) => image::open(Arc::new(file)),
            Self::Directory(directory) => Ok(Box::new(directory)),
        }
    }

    /// The file or block device.
    pub fn into_file(self) -> Result<LocalFile, FileError> {
        match self {
            Self::File(file) => Ok(file),
            Self::Directory(directory) => Err(FileError::Kind {
                name: directory.name().to_owned(),
                found: "a directory",
                expected: "a regular file or a block device",
            }),
        }
    }

    fn try_clone(&self) -> Result<Self, FileError> {
        match self {
            Self::File(file) => file.try_clone().map(Self::File).map_err(|source| {
                let name = storage::RandomAccess::name(file).to_owned();
                FileError::Io { name, source }
            }),
            Self::Directory(directory) => Ok(Self::Directory(directory.clone())),
        }
    }
}

/// Paths of this host that were opened before a process gave up the right to open them.
#[derive(Debug, Default)]
pub struct PreopenedPaths(BTreeMap<PathBuf, Result<Local, FileError>>);

impl PreopenedPaths {
    /// Opens them. What is in a directory is opened later, by the opener that `asked` makes for it
    /// where this process may not.
    pub fn open(
        paths: impl IntoIterator<Item = PathBuf>,
        asked: impl Fn(&Path) -> Arc<dyn Opener>,
    ) -> Self {
        let open = |path: PathBuf| {
            let opened = match Local::open(&path) {
                Ok(Local::Directory(directory)) => {
                    Ok(Local::Directory(directory.with_opener(asked(&path))))
                }
                other => other,
            };
            (path, opened)
        };
        Self(paths.into_iter().map(open).collect())
    }

    /// What was opened; another path is opened now.
    pub(crate) fn get(&self, path: &Path) -> Result<Local, FileError> {
        match self.0.get(path) {
            Some(Ok(local)) => local.try_clone(),
            Some(Err(error)) => Err(error.again()),
            None => Local::open(path),
        }
    }
}
