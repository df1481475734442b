//! Where what was fetched is kept.

use std::env;
use std::path::PathBuf;

/// The user's: `$XDG_CACHE_HOME/chukka`, else `~/.cache/chukka` (XDG Base Directory Specification 0.8, which has relative
/// paths ignored). `None`: there is no home either.
#[must_use]
pub fn directory() -> Option<PathBuf> {
    let absolute = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")))?;
    Some(base.join("chukka"))
}
