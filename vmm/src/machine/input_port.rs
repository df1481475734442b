//! The main thread's interface to devices that take bytes from the host.

use std::sync::Mutex;

use devices::serial::Serial;

use crate::lock::{lock, try_lock};

/// A device that takes bytes from the host. Nothing here waits.
pub trait InputPort: Send + Sync {
    /// Takes bytes from the front of `typed`, as many as the guest has room for. When there is room
    /// again, the device asks for input ([`crate::host::notices::Notices::input_wanted`]). Returns
    /// false if the device is busy; try again soon.
    fn take_input(&self, typed: &mut Vec<u8>) -> bool;

    /// Holds input back until the guest listens. For standard input other than a terminal.
    fn await_listener(&self) {}

    /// Somebody has connected to the other end, or has left.
    fn peer_changed(&self, _is_there: bool) {}

    /// Output that could not be written can be written now.
    fn output_ready(&self) {}
}

/// A device that only writes: what is typed to it is dropped.
#[derive(Debug)]
pub struct OutputOnly;

impl InputPort for OutputOnly {
    fn take_input(&self, typed: &mut Vec<u8>) -> bool {
        typed.clear();
        true
    }
}

impl InputPort for Mutex<Serial> {
    fn take_input(&self, typed: &mut Vec<u8>) -> bool {
        let Some(mut serial) = try_lock(self) else { return false };
        let taken = serial.enqueue(typed);
        typed.drain(..taken);
        true
    }

    fn await_listener(&self) {
        lock(self).await_listener();
    }
}
