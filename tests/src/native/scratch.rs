//! Folders for the files of one test.

use std::ffi::CString;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// A folder that everybody may look into, removed with all it holds when it is dropped.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    /// A new, empty one.
    ///
    /// # Panics
    /// If it cannot be made.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "it makes a folder, which is no default")]
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("chukka-{}-{count}", std::process::id()));
        let made = fs::create_dir(&path)
            .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(0o755)));
        assert!(made.is_ok(), "{}: {made:?}", path.display());
        Self(path)
    }

    /// The path of a file in it, which need not be there.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// A new file that everybody may read.
    ///
    /// # Panics
    /// If it cannot be written.
    #[must_use]
    pub fn file(&self, name: &str, content: &[u8]) -> PathBuf {
        self.file_with_mode(name, content, 0o644)
    }

    /// A new file with these permissions.
    ///
    /// # Panics
    /// If it cannot be written.
    #[must_use]
    pub fn file_with_mode(&self, name: &str, content: &[u8], mode: u32) -> PathBuf {
        let path = self.path(name);
        let made = fs::write(&path, content)
            .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(mode)));
        assert!(made.is_ok(), "{}: {made:?}", path.display());
        path
    }

    /// A new named pipe.
    ///
    /// # Panics
    /// If it cannot be made.
    #[must_use]
    #[expect(unsafe_code, reason = "mkfifo(3) is not in the standard library")]
    pub fn fifo(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        let text = CString::new(path.as_os_str().as_bytes()).unwrap_or_default();
        // SAFETY: mkfifo(3) only reads the name, which ends with a zero.
        let result = unsafe { libc::mkfifo(text.as_ptr(), 0o644) };
        assert_eq!(result, 0, "{}: {}", path.display(), std::io::Error::last_os_error());
        path
    }
}

impl AsRef<Path> for Scratch {
    fn as_ref(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed is left: no test depends on it.
        let _ = fs::remove_dir_all(&self.0);
    }
}
