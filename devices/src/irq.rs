//! Interrupt lines, as devices see them.
//!
//! Edge-triggered lines are pulsed; level-triggered lines are driven high or low; message-signaled
//! interrupts are sent. In the VMM this
//! is an ioctl on the thread that accesses the device, so that the interrupt is pending before the
//! CPU continues. In tests, lines record what happens to them.

use std::convert::Infallible;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// An edge-triggered interrupt line.
pub trait IrqLine: Send {
    /// Raises the line and lowers it again. Errors are ignored, because the device could not handle
    /// them.
    fn pulse(&self);
}

/// A level-triggered interrupt line, active high.
pub trait LevelLine: Send {
    /// Drives the line high or low. Has no effect if the line already has that level.
    fn set(&self, high: bool);
}

/// A message-signaled interrupt: a write of `data` to `address` (PCI Local Bus Specification 3.0,
/// 6.8).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MsiMessage {
    /// Physical address, which selects the CPU.
    pub address: u64,
    /// The value, which selects the vector.
    pub data: u32,
}

/// Sends message-signaled interrupts.
pub trait MsiSender: Send {
    /// Delivers the message. Errors are ignored, because the device could not handle them.
    fn send(&self, message: MsiMessage);
}

/// A sender that records its messages, for tests. Clones share the record.
#[derive(Clone, Debug, Default)]
pub struct RecordingSender(Arc<Mutex<Vec<MsiMessage>>>);

impl RecordingSender {
    /// The messages since the last call.
    pub fn take(&self) -> Vec<MsiMessage> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl MsiSender for RecordingSender {
    fn send(&self, message: MsiMessage) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(message);
    }
}

/// A level-triggered line that remembers its level, for tests. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct RecordingLine(Arc<AtomicBool>);

impl RecordingLine {
    /// Whether the line is high.
    pub fn is_high(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

impl LevelLine for RecordingLine {
    fn set(&self, high: bool) {
        self.0.store(high, Ordering::SeqCst);
    }
}

/// A line that counts its pulses, for tests. Clones share the count.
#[derive(Clone, Debug, Default)]
pub struct CountingLine(Arc<AtomicUsize>);

impl CountingLine {
    /// Number of pulses so far.
    pub fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl IrqLine for CountingLine {
    fn pulse(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Adapts a line to vm-superio's `Trigger` trait.
pub(crate) struct LineTrigger(pub(crate) Box<dyn IrqLine>);

impl vm_superio::Trigger for LineTrigger {
    type E = Infallible;

    fn trigger(&self) -> Result<(), Infallible> {
        self.0.pulse();
        Ok(())
    }
}

impl fmt::Debug for LineTrigger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LineTrigger")
    }
}

#[cfg(test)]
mod tests {
    use vm_superio::Trigger;

    use super::*;

    #[test]
    fn counts_pulses_when_triggered_by_vm_superio() {
        let line = CountingLine::default();
        let trigger = LineTrigger(Box::new(line.clone()));

        trigger.trigger().unwrap();
        line.pulse();

        assert_eq!(line.count(), 2);
    }
}
