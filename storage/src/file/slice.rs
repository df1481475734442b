//! A part of a file.

use std::io::{self, Read};
use std::ops::Range;
use std::sync::Arc;

use super::RandomAccess;

/// A range of another file's bytes: a partition, or a contiguous file of a medium.
#[derive(Debug)]
pub struct Slice {
    of: Arc<dyn RandomAccess>,
    name: String,
    at: u64,
    len: u64,
}

impl Slice {
    /// The `len` bytes of `of` from `at` on, truncated at its end. `name` is for messages.
    pub fn new(of: Arc<dyn RandomAccess>, at: u64, len: u64, name: impl Into<String>) -> Self {
        let at = at.min(of.len());
        let len = len.min(of.len() - at);
        Self { of, name: name.into(), at, len }
    }
}

impl RandomAccess for Slice {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, to: &mut [u8], at: u64) -> io::Result<usize> {
        let rest = self.len.saturating_sub(at);
        let most = usize::try_from(rest).map_or(to.len(), |rest| rest.min(to.len()));
        if most == 0 {
            return Ok(0);
        }
        self.of.read_at(&mut to[..most], self.at + at)
    }

    fn stream(&self, from: u64) -> io::Result<Box<dyn Read + '_>> {
        self.stream_range(from..self.len)
    }

    fn stream_range(&self, range: Range<u64>) -> io::Result<Box<dyn Read + '_>> {
        let end = range.end.min(self.len);
        let from = range.start.min(end);
        self.of.stream_range(self.at + from..self.at + end)
    }

    fn is_sequential(&self) -> bool {
        self.of.is_sequential()
    }

    fn version(&self) -> String {
        self.of.version()
    }

    fn is_private(&self) -> bool {
        self.of.is_private()
    }
}
