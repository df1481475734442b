//! What vCPU threads and devices report to the event loop. Bounded: the first of each kind counts
//! until it is taken.

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::{Arc, Mutex, PoisonError};

use devices::console::ConsoleEvents;
use devices::exit::{ExitHandle, ExitRequest};
use devices::panic_watch::ConsoleEvent;
use fw_cfg::x86::VmCoreInfo;
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

use crate::outcome::Outcome;

/// What has happened since the event loop last looked.
#[derive(Debug, Default)]
pub struct Notices {
    /// A CPU, or the firmware, could not go on.
    pub ended: Option<Outcome>,
    /// A device was asked to power off or reset.
    pub exit: Option<ExitRequest>,
    /// The kernel panicked: its message.
    pub panic: Option<String>,
    /// The kernel has printed all of its panic.
    pub panic_end: bool,
    /// A console holds bytes back that have to be flushed soon.
    pub flush: bool,
    /// The guest has read what was typed: there is room for more.
    pub input_wanted: bool,
    /// An output was lost: what the system said.
    pub output_lost: Option<String>,
    /// An item of fw_cfg cannot be read any more: which, and what the system said.
    pub item_lost: Option<String>,
    /// The guest has left its vmcoreinfo note.
    pub vmcoreinfo: Option<VmCoreInfo>,
}

/// The way to the event loop, for any thread.
#[derive(Clone, Debug)]
pub struct Notifier {
    notices: Arc<Mutex<Notices>>,
    event: Arc<EventFd>,
}

impl Notifier {
    /// A notifier without notices.
    ///
    /// # Errors
    /// See eventfd(2).
    pub fn new() -> io::Result<Self> {
        Ok(Self { notices: Arc::default(), event: Arc::new(EventFd::new(EFD_NONBLOCK)?) })
    }

    /// Notes something and wakes the event loop.
    pub fn note(&self, change: impl FnOnce(&mut Notices)) {
        change(&mut self.notices.lock().unwrap_or_else(PoisonError::into_inner));
        // A full counter (EAGAIN) means that the loop has been woken already.
        let _ = self.event.write(1);
    }

    /// Takes all notices.
    pub fn take(&self) -> Notices {
        let _ = self.event.read();
        std::mem::take(&mut self.notices.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Forgets what the guest asked for and said, for the next boot. What is about the host stays:
    /// output to be flushed, or lost.
    pub fn start_over(&self) {
        let mut notices = self.notices.lock().unwrap_or_else(PoisonError::into_inner);
        notices.ended = None;
        notices.exit = None;
        notices.panic = None;
        notices.panic_end = false;
    }

    /// For devices that power off or reset.
    pub fn exit_handle(&self) -> ExitHandle {
        let notifier = self.clone();
        ExitHandle::new(move |request| notifier.note(|n| n.exit = n.exit.or(Some(request))))
    }
}

impl AsRawFd for Notifier {
    fn as_raw_fd(&self) -> RawFd {
        self.event.as_raw_fd()
    }
}

impl ConsoleEvents for Notifier {
    fn flush_soon(&self) {
        self.note(|n| n.flush = true);
    }

    fn output_lost(&self, error: &io::Error) {
        self.note(|n| n.output_lost = Some(error.to_string()));
    }

    fn guest_said(&self, event: ConsoleEvent) {
        match event {
            ConsoleEvent::Panic(message) => {
                self.note(|n| n.panic = n.panic.take().or(Some(message)));
            }
            ConsoleEvent::PanicEnd => self.note(|n| n.panic_end = true),
            ConsoleEvent::Restarting | ConsoleEvent::PowerDown | ConsoleEvent::Halted => {}
        }
    }
}
