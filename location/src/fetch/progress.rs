//! Who is told how the fetching goes.

use std::fmt::Debug;

/// Who is told how the fetching goes. One file is fetched at a time.
pub trait FetchProgress: Debug + Send + Sync {
    /// A file of `total` bytes begins to come, of which `already` are here. `resumes`: if it is
    /// broken off, the next run goes on from there.
    fn begin(&self, name: &str, total: u64, already: u64, resumes: bool);

    /// So many bytes more have come.
    fn advance(&self, bytes: u64);

    /// It is here, or it is given up, and an error follows.
    fn end(&self, whole: bool);

    /// Something the user should know: a complete line without its end.
    fn note(&self, text: &str);
}

/// Reports nothing.
#[derive(Clone, Copy, Debug)]
pub struct NoProgress;

impl FetchProgress for NoProgress {
    fn begin(&self, _: &str, _: u64, _: u64, _: bool) {}

    fn advance(&self, _: u64) {}

    fn end(&self, _: bool) {}

    fn note(&self, _: &str) {}
}
