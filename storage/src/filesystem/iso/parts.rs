//! A file that is fragmented on its medium.

use std::io::{self, Read};

use crate::{RandomAccess, Slice, Unread};

/// Parts, one behind the other.
#[derive(Debug)]
pub(super) struct Parts {
    parts: Vec<Slice>,
    name: String,
    len: u64,
}

impl Parts {
    /// Of these, in order; `name` is for messages.
    pub(super) fn new(parts: Vec<Slice>, name: String) -> Self {
        let len = parts.iter().map(RandomAccess::len).sum();
        Self { parts, name, len }
    }
}

impl RandomAccess for Parts {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, to: &mut [u8], mut at: u64) -> io::Result<usize> {
        for part in &self.parts {
            if at < part.len() {
                return part.read_at(to, at);
            }
            at -= part.len();
        }
        Ok(0)
    }

    fn stream(&self, from: u64) -> io::Result<Box<dyn Read + '_>> {
        let mut at = from;
        for (number, part) in self.parts.iter().enumerate() {
            if at < part.len() {
                // What follows is asked for when it is wanted.
                let next = from - at + part.len();
                let rest = Unread::of(self, next);
                let last = number + 1 == self.parts.len();
                let part = part.stream(at)?;
                return Ok(if last { part } else { Box::new(part.chain(rest)) });
            }
            at -= part.len();
        }
        Ok(Box::new(io::empty()))
    }

    fn is_sequential(&self) -> bool {
        self.parts.iter().any(RandomAccess::is_sequential)
    }

    fn version(&self) -> String {
        self.parts.first().map(RandomAccess::version).unwrap_or_default()
    }
}
