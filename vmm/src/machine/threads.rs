//! The threads of devices.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::{Builder, JoinHandle};

use crate::host::notices::Notifier;
use crate::outcome::Outcome;

/// Starts a thread that does a device's `work` until the run ends. If it panics or fails before,
/// that is a bug in chukka, and the run ends: the guest would wait forever. `what` is the thread in
/// the message, and `name` that of the host.
///
/// # Errors
/// The host cannot create a thread.
pub(super) fn start(
    name: String,
    what: &'static str,
    notifier: &Notifier,
    work: impl FnOnce() -> io::Result<()> + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    let notifier = notifier.clone();
    Builder::new().name(name).spawn(move || {
        if !matches!(catch_unwind(AssertUnwindSafe(work)), Ok(Ok(()))) {
            notifier.end(Outcome::Defect(what));
        }
    })
}
