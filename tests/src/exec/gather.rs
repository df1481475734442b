//! Gathers output into lines: a console that prints byte by byte would else make a piece of every
//! byte.

use crate::job::{Chunk, Stream};

/// An unfinished line is handed on after this time without news.
const IDLE_NS: u64 = 20_000_000;

/// Maximum output kept in bytes, so that a runaway job cannot exhaust the memory.
const MOST_BYTES: usize = 64 << 20;

/// Collects a job's output and hands it on line by line.
pub(super) struct Gather<'a> {
    sink: &'a mut dyn FnMut(&Chunk),
    done: Vec<Chunk>,
    open: Option<Chunk>,
    bytes: usize,
}

impl<'a> Gather<'a> {
    /// A collector that passes output on to `sink`.
    pub fn new(sink: &'a mut dyn FnMut(&Chunk)) -> Self {
        Self { sink, done: Vec::new(), open: None, bytes: 0 }
    }

    /// Adds a piece.
    pub fn add(&mut self, ns: u64, stream: Stream, bytes: &[u8]) {
        if self.open.as_ref().is_some_and(|open| open.stream != stream) {
            self.flush();
        }
        let open = self.open.get_or_insert_with(|| Chunk { ns, stream, bytes: Vec::new() });
        open.ns = ns;
        open.bytes.extend_from_slice(bytes);
        if bytes.ends_with(b"\n") {
            self.flush();
        }
    }

    /// When to pass on an unfinished line.
    pub fn due(&self) -> Option<u64> {
        self.open.as_ref().map(|open| open.ns + IDLE_NS)
    }

    /// Hands on an unfinished line whose time has come.
    pub fn tick(&mut self, now: u64) {
        if self.due().is_some_and(|due| due <= now) {
            self.flush();
        }
    }

    /// Passes on the output so far.
    pub fn flush(&mut self) {
        if let Some(open) = self.open.take() {
            (self.sink)(&open);
            self.bytes += open.bytes.len();
            if self.bytes <= MOST_BYTES {
                self.done.push(open);
            }
        }
    }

    /// All pieces in order.
    pub fn done(mut self) -> Vec<Chunk> {
        self.flush();
        self.done
    }
}
