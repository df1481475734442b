//! Interrupt lines, as a device sees them: something to pulse.
//!
//! All devices here use edge-triggered lines, so one method is enough. In the VMM a pulse is an
//! ioctl on the thread that accesses the device, so that the interrupt is pending before the CPU
//! continues; in tests a line counts its pulses.

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// An edge-triggered interrupt line.
pub trait IrqLine: Send {
    /// Raises the line and lowers it again. A line that cannot be raised stays silent: the device
    /// has nobody to tell.
    fn pulse(&self);
}

/// A line that counts its pulses, for tests. Clones share the count.
#[derive(Clone, Debug, Default)]
pub struct CountingLine(Arc<AtomicUsize>);

impl CountingLine {
    /// How often the line was pulsed.
    pub fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl IrqLine for CountingLine {
    fn pulse(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// A line in the shape that vm-superio wants.
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
