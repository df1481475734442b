//! NFS.

use super::Net;
use crate::source::{Source, SourceError};

/// The files below a path that a host exports; its root is the path itself. Nothing is asked yet. `host` may have `:PORT` behind it: where the
/// NFS server is, without asking the host's port mapper.
///
/// # Errors
/// The host's name is none.
pub(crate) fn tree(host: &str, path: &str, _net: &Net) -> Result<Box<dyn Source>, SourceError> {
    let name = format!("nfs:{host}:{path}");
    Err(SourceError::failure(name, "chukka reads no nfs: locations yet", "copy it to this host"))
}
