//! Paths inside a place.

use std::ffi::OsStr;
use std::fmt;
use std::path::{Component, Path, PathBuf};

/// A path from the root of a place: names between single slashes, neither `.` nor `..` among them,
/// no slash in front.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct TreePath(PathBuf);

impl TreePath {
    /// The root itself.
    #[must_use]
    pub fn root() -> Self {
        Self::default()
    }

    /// `path`, seen from the root: a slash in front means the root too, and `..` stops there.
    pub fn new(path: impl AsRef<Path>) -> Self {
        let mut names = PathBuf::new();
        for component in path.as_ref().components() {
            match component {
                Component::Normal(name) => names.push(name),
                Component::ParentDir => {
                    names.pop();
                }
                Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
            }
        }
        Self(names)
    }

    /// The path as such; empty for the root.
    #[must_use]
    pub fn as_path(&self) -> &Path {
        &self.0
    }

    /// The directory it is in; of the root, the root.
    #[must_use]
    pub fn parent(&self) -> Self {
        Self(self.0.parent().unwrap_or(Path::new("")).into())
    }

    /// Its last name; the root has none.
    #[must_use]
    pub fn file_name(&self) -> Option<&OsStr> {
        self.0.file_name()
    }

    /// What is called `name` in it.
    #[must_use]
    pub fn join(&self, name: &str) -> Self {
        Self::new(self.0.join(name))
    }
}

impl fmt::Display for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.as_os_str().is_empty() { f.write_str("/") } else { self.0.display().fmt(f) }
    }
}
