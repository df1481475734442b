//! Where a serial port's output goes: bytes are collected and passed on in runs.
//!
//! A guest writes one byte at a time. A [`ConsoleSink`] passes them on at the end of a line, when
//! its buffer of [`CAPACITY`] bytes is full, and when the VMM calls [`ConsoleSink::flush_now`]; so
//! a line costs one write(2), and a prompt appears after the VMM's timer, which the sink asks for
//! when it is needed.
//!
//! `Write::flush` does nothing: vm-superio calls it after each byte.
//!
//! An output that fails (closed pipe, full disk) is reported once and what follows is dropped. The
//! writer underneath may block; so that it cannot hold up the end of the VMM, a write that a signal
//! interrupts while the VMM is stopping is not repeated. Then, and when a writer says `WouldBlock`,
//! the bytes stay in the buffer; what does not fit into it is dropped, but for the run that was
//! being written when the VMM stopped the guest: it may go on.

use std::fmt;
use std::io::{self, ErrorKind, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::panic_watch::{ConsoleEvent, PanicWatch};

/// How many bytes a sink holds back at most.
pub const CAPACITY: usize = 4096;

/// What a [`ConsoleSink`] tells the VMM. It is called on a vCPU's thread with the device locked: it
/// should note, wake and return.
pub trait ConsoleEvents: Send {
    /// There are bytes that no end of line has passed on: call [`ConsoleSink::flush_now`] in about
    /// 10 ms. Not called again before that.
    fn flush_soon(&self) {}

    /// The output failed with `error`; the guest's output is dropped from now on. Called once.
    fn output_lost(&self, _error: &io::Error) {}

    /// The guest's kernel said something about its end.
    fn guest_said(&self, _event: ConsoleEvent) {}
}

/// Tells nobody.
impl ConsoleEvents for () {}

/// Collects a serial port's output and passes it on in runs.
pub struct ConsoleSink {
    out: Box<dyn Write + Send>,
    events: Box<dyn ConsoleEvents>,
    stopping: Arc<AtomicBool>,
    watch: Option<PanicWatch>,
    buffer: Vec<u8>,
    flush_due: bool,
    lost: bool,
}

impl ConsoleSink {
    /// A sink that writes to `out` and tells `events`. Once `stopping` is set, a write that is
    /// interrupted is not repeated.
    pub fn new(
        out: Box<dyn Write + Send>,
        events: Box<dyn ConsoleEvents>,
        stopping: Arc<AtomicBool>,
    ) -> Self {
        let buffer = Vec::with_capacity(CAPACITY);
        Self { out, events, stopping, watch: None, buffer, flush_due: false, lost: false }
    }

    /// A sink that drops everything.
    pub fn null() -> Self {
        Self::new(Box::new(io::sink()), Box::new(()), Arc::default())
    }

    /// Has `watch` read along, even when the output is lost.
    #[must_use]
    pub fn with_watch(mut self, watch: PanicWatch) -> Self {
        self.watch = Some(watch);
        self
    }

    /// Whether there are bytes that have not been passed on.
    pub fn needs_flush(&self) -> bool {
        !self.buffer.is_empty()
    }

    /// Passes on what there is. To be called when the time of [`ConsoleEvents::flush_soon`] has
    /// come and at the very end.
    pub fn flush_now(&mut self) {
        self.flush_due = false;
        self.pass_on();
        self.ask_for_flush();
    }

    /// Takes a run without an end of line except as its last byte, as much of it as fits.
    fn take(&mut self, run: &[u8]) {
        if let Some(watch) = &mut self.watch {
            watch.feed(run, |event| self.events.guest_said(event));
        }
        let mut rest = run;
        while !rest.is_empty() && self.buffer.len() < CAPACITY {
            let (now, later) = rest.split_at(rest.len().min(CAPACITY - self.buffer.len()));
            self.buffer.extend_from_slice(now);
            rest = later;
            if now.ends_with(b"\n") || self.buffer.len() == CAPACITY {
                self.pass_on();
            }
        }
        // The guest may only be made to stand still for a moment: one run of a CPU more is not lost
        // by that.
        if self.stopping.load(Ordering::SeqCst) && !self.lost {
            self.buffer.extend_from_slice(rest);
        }
        self.ask_for_flush();
    }

    fn ask_for_flush(&mut self) {
        if self.needs_flush() && !self.flush_due {
            self.flush_due = true;
            self.events.flush_soon();
        }
    }

    /// Empties the buffer, except for what a writer that would block does not take.
    fn pass_on(&mut self) {
        let mut passed = 0;
        while passed < self.buffer.len() && !self.lost {
            match self.out.write(&self.buffer[passed..]) {
                Ok(0) => self.lose(&ErrorKind::WriteZero.into()),
                Ok(count) => passed += count,
                Err(error) if self.is_for_later(&error) => {
                    self.buffer.drain(..passed);
                    return;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => self.lose(&error),
            }
        }
        self.buffer.clear();
    }

    fn is_for_later(&self, error: &io::Error) -> bool {
        match error.kind() {
            ErrorKind::WouldBlock => true,
            ErrorKind::Interrupted => self.stopping.load(Ordering::SeqCst),
            _ => false,
        }
    }

    fn lose(&mut self, error: &io::Error) {
        self.lost = true;
        self.events.output_lost(error);
    }
}

impl Write for ConsoleSink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for run in bytes.split_inclusive(|&byte| byte == b'\n') {
            self.take(run);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Debug for ConsoleSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("ConsoleSink");
        debug.field("buffered", &self.buffer.len()).field("lost", &self.lost);
        debug.finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(crate) mod tests;
