//! Output of a serial port: bytes are buffered and written in batches.
//!
//! A guest writes one byte at a time. A [`ConsoleSink`] writes its buffer out at the end of a line,
//! when the buffer of [`CAPACITY`] bytes is full, and when the VMM calls
//! [`ConsoleSink::flush_now`]. So a line costs one write(2). A prompt, which has no line end,
//! appears when the VMM's timer expires; the sink asks for the timer when it needs one.
//!
//! `Write::flush` does nothing, because vm-superio calls it after each byte.
//!
//! If the output fails (closed pipe, full disk), the sink reports the error once and drops
//! everything that follows. The underlying writer may block. So that it cannot delay the VMM's
//! exit, a write interrupted by a signal while the VMM is stopping is not retried. In that case,
//! and when the writer returns `WouldBlock`, the bytes stay in the buffer and bytes that do not fit
//! are dropped. The one exception is the run being written when the VMM stopped the guest: it may
//! complete, with up to [`CAPACITY`] more bytes.

use std::fmt;
use std::io::{self, ErrorKind, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::panic_watch::{ConsoleEvent, PanicWatch};

/// Most bytes a sink buffers.
pub const CAPACITY: usize = 4096;

/// Notifications from a [`ConsoleSink`] to the VMM. The methods are called on a vCPU thread with
/// the device locked: they should record the event, wake another thread and return.
pub trait ConsoleEvents: Send {
    /// The buffer holds an incomplete line: call [`ConsoleSink::flush_now`] in about 10 ms. Not
    /// called again before that.
    fn flush_soon(&self) {}

    /// The output failed with `error`; all further output of the guest is dropped. Called once.
    fn output_lost(&self, _error: &io::Error) {}

    /// The guest's kernel announced a panic, a restart or a shutdown.
    fn guest_said(&self, _event: ConsoleEvent) {}
}

/// Ignores all notifications.
impl ConsoleEvents for () {}

/// Buffers a serial port's output and writes it in batches.
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
    /// Creates a sink that writes to `out` and notifies `events`. Once `stopping` is set,
    /// interrupted writes are not retried.
    pub fn new(
        out: Box<dyn Write + Send>,
        events: Box<dyn ConsoleEvents>,
        stopping: Arc<AtomicBool>,
    ) -> Self {
        let buffer = Vec::with_capacity(CAPACITY);
        Self { out, events, stopping, watch: None, buffer, flush_due: false, lost: false }
    }

    /// Creates a sink that drops everything.
    pub fn null() -> Self {
        Self::new(Box::new(io::sink()), Box::new(()), Arc::default())
    }

    /// Lets `watch` see all output, even when writing it fails.
    #[must_use]
    pub fn with_watch(mut self, watch: PanicWatch) -> Self {
        self.watch = Some(watch);
        self
    }

    /// Whether the buffer holds unwritten bytes.
    pub fn needs_flush(&self) -> bool {
        !self.buffer.is_empty()
    }

    /// Whether the VMM is stopping the guest and the buffer is full: a device that can hold its
    /// output back should do so, as the guest may only be paused.
    pub fn should_wait(&self) -> bool {
        self.stopping.load(Ordering::SeqCst) && !self.lost && self.buffer.len() >= CAPACITY
    }

    /// Writes out the buffer. Call this when the time given by [`ConsoleEvents::flush_soon`] has
    /// passed, and once at the very end.
    pub fn flush_now(&mut self) {
        self.flush_due = false;
        self.pass_on();
        self.ask_for_flush();
    }

    /// Buffers as much of a run as fits. Only the last byte of a run may be a line end.
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
        // Stopping may only pause the guest, so a run that a vCPU is writing must not be lost. It
        // is at most a page (KVM's buffer for string instructions).
        if self.stopping.load(Ordering::SeqCst) && !self.lost {
            let spare = (2 * CAPACITY).saturating_sub(self.buffer.len());
            self.buffer.extend_from_slice(&rest[..rest.len().min(spare)]);
        }
        self.ask_for_flush();
    }

    fn ask_for_flush(&mut self) {
        if self.needs_flush() && !self.flush_due {
            self.flush_due = true;
            self.events.flush_soon();
        }
    }

    /// Writes out the buffer, except for bytes the writer cannot take without blocking.
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
