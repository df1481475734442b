//! Keyboard input: read from standard input, split into commands and bytes for the guest.

use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;

use event_manager::{EventOps, EventSet, Events};

use crate::host::input::Input;
use crate::host::keys::{Command, Keys};
use crate::machine::Devices;

/// Maximum number of bytes buffered when the user types faster than the guest reads.
const TYPE_AHEAD: usize = 4096;

/// Standard input and the bytes of it that the guest has not read yet.
#[derive(Debug)]
pub struct Typing {
    /// `None` after the end of standard input, or if no serial port uses it.
    input: Option<Input>,
    /// Whether the event manager currently watches `input`.
    watching: bool,
    keys: Keys,
    /// Bytes that the guest has not taken yet.
    pending: Vec<u8>,
    devices: Arc<Devices>,
}

impl Typing {
    /// Reads `input`, if any, for the serial port on standard input.
    pub fn new(input: Option<Input>, devices: Arc<Devices>) -> Self {
        Self { input, watching: false, keys: Keys::default(), pending: Vec::new(), devices }
    }

    /// Whether `fd` is standard input and currently watched.
    pub fn owns(&self, fd: RawFd) -> bool {
        self.watching && self.input.as_ref().is_some_and(|input| fd == input.as_raw_fd())
    }

    /// Whether some bytes have not reached the guest yet.
    pub fn is_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Reads typed input and returns the commands in it. Bytes for the guest are queued for
    /// [`Self::pass_on`].
    pub fn read(&mut self, ops: &mut EventOps<'_>) -> Vec<Command> {
        let Some(input) = &mut self.input else { return Vec::new() };
        let bytes = input.read().unwrap_or_default();
        if bytes.is_empty() {
            // End of file on standard input does not end the run.
            let _ = ops.remove(Events::new(input, EventSet::IN));
            (self.input, self.watching) = (None, false);
            return Vec::new();
        }
        if !input.is_terminal {
            self.pending.extend(bytes);
            return Vec::new();
        }
        let commands = self.keys.feed(&bytes, &mut self.pending);
        self.pending.truncate(TYPE_AHEAD);
        commands
    }

    /// Passes pending bytes to the guest. Returns false if the serial port is busy; try again soon.
    #[must_use]
    pub fn pass_on(&mut self) -> bool {
        self.devices.type_in(&mut self.pending)
    }

    /// Watches standard input only while there is room for its bytes. A terminal is always watched,
    /// so that chukka sees Ctrl-A x, except in the background, where reading would stop chukka.
    pub fn update_watch(&mut self, in_background: bool, ops: &mut EventOps<'_>) {
        let Some(input) = &self.input else { return };
        let wanted = if input.is_terminal { !in_background } else { self.pending.is_empty() };
        if wanted != self.watching {
            let events = Events::new(input, EventSet::IN);
            let changed = if wanted { ops.add(events) } else { ops.remove(events) };
            self.watching = wanted && changed.is_ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::MachineKind;
    use crate::tests::machine;

    #[test]
    fn without_standard_input_nothing_is_typed() {
        let devices = Arc::new(machine(MachineKind::Microvm, |_| ()).devices());
        let mut typing = Typing::new(None, devices);
        assert!(!typing.owns(0) && !typing.is_pending());
        typing.pending.extend(b"typed");
        assert!(typing.is_pending());
        assert!(typing.pass_on(), "no device takes it");
        assert!(!typing.is_pending());
    }
}
