//! The thread that writes out buffered output of the serial ports.
//!
//! The main thread must not do this: a write may block until someone reads the output, and the main
//! thread handles the event that cancels it.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{self, Builder, JoinHandle};
use std::time::Duration;

use vmm_sys_util::signal::Killable;

use crate::host::signals;
use crate::machine::Devices;

/// A handle to the flusher thread. Dropping it ends the thread: a write that blocks is given up, so
/// the guest must have been told to stop.
#[derive(Debug)]
pub struct Flusher {
    /// `None` once the thread is to end.
    asked: Option<SyncSender<()>>,
    /// `None` once it has.
    thread: Option<JoinHandle<()>>,
    devices: Arc<Devices>,
}

impl Flusher {
    /// Starts the thread.
    ///
    /// # Errors
    /// The host cannot create a thread.
    pub fn start(devices: Arc<Devices>) -> io::Result<Self> {
        let (asked, requests) = sync_channel(1);
        let writing = Arc::clone(&devices);
        let thread = Builder::new().name("flush".into()).spawn(move || {
            while requests.recv().is_ok() {
                writing.flush();
            }
        })?;
        Ok(Self { asked: Some(asked), thread: Some(thread), devices })
    }

    /// Asks the thread to write out all buffered output. Returns at once.
    pub fn flush(&self) {
        // If the channel is full, a request is already pending.
        let _ = self.asked.as_ref().map(|asked| asked.try_send(()));
    }

    /// Interrupts a write that may be blocking the thread, or that of a virtio port.
    pub fn kick(&self) {
        self.devices.virtio_serials.kick();
        self.kick_own();
    }

    fn kick_own(&self) {
        // Fails if the thread has panicked; its message has been printed.
        let _ = self.thread.as_ref().map(|thread| thread.kill(signals::kick_number()));
    }
}

impl Drop for Flusher {
    fn drop(&mut self) {
        self.asked = None;
        while self.thread.as_ref().is_some_and(|thread| !thread.is_finished()) {
            self.kick_own();
            thread::sleep(Duration::from_micros(200));
        }
        let _ = self.thread.take().map(JoinHandle::join);
    }
}
