//! FTP.

use super::Net;
use crate::source::{Source, SourceError};

/// The files below a URL; its root is the URL itself. Nothing is asked yet.
///
/// # Errors
/// The URL is none.
pub(crate) fn tree(url: &str, _net: &Net) -> Result<Box<dyn Source>, SourceError> {
    Err(SourceError::failure(url, "chukka reads no ftp: locations yet", "copy it to this host"))
}
