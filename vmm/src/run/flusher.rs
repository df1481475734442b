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

/// A handle to the flusher thread. The thread ends when the handle is dropped, after its current
/// write.
#[derive(Debug)]
pub struct Flusher {
    asked: SyncSender<()>,
    thread: JoinHandle<()>,
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
        Ok(Self { asked, thread, devices })
    }

    /// Asks the thread to write out all buffered output. Returns at once.
    pub fn flush(&self) {
        // If the channel is full, a request is already pending.
        let _ = self.asked.try_send(());
    }

    /// Ends the thread, once the guest has been told to stop: a write that blocks is given up.
    pub fn finish(self) {
        let Self { asked, thread, .. } = self;
        drop(asked);
        while !thread.is_finished() {
            // Fails if the thread has just ended.
            let _ = thread.kill(signals::kick_number());
            thread::sleep(Duration::from_micros(200));
        }
        let _ = thread.join();
    }

    /// Interrupts a write that may be blocking the thread, or that of a virtio port.
    pub fn kick(&self) {
        self.devices.virtio_serials.kick();
        // A thread that has panicked is gone; its message has been printed.
        let _ = self.thread.kill(signals::kick_number());
    }
}
