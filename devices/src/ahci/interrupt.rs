//! The controller's interrupt: GHC.IE and IS, shown by INTA or sent as a message (AHCI 1.3.1, 3.1.2,
//! 3.1.3 and 10.7).

use std::fmt;

use crate::irq::{LevelLine, MsiMessage, MsiSender};

/// The interrupt of all ports.
pub(super) struct Interrupt {
    /// GHC.IE.
    enabled: bool,
    /// IS: ports that have, or have had, something pending.
    status: u32,
    /// Ports that have something pending.
    pending: u32,
    pin: Box<dyn LevelLine>,
    is_pin_high: bool,
    is_pin_disabled: bool,
    sender: Box<dyn MsiSender>,
    message: Option<MsiMessage>,
}

impl Interrupt {
    pub fn new(pin: Box<dyn LevelLine>, sender: Box<dyn MsiSender>) -> Self {
        Self {
            enabled: false,
            status: 0,
            pending: 0,
            pin,
            is_pin_high: false,
            is_pin_disabled: false,
            sender,
            message: None,
        }
    }

    pub fn is_enabled(&self) -> bool {
        self.enabled
    }

    pub fn status(&self) -> u32 {
        self.status
    }

    /// Whether the status register in configuration space shows an interrupt.
    pub fn is_shown(&self) -> bool {
        self.enabled && self.status != 0 && self.message.is_none()
    }

    /// GHC.IE.
    pub fn set_enabled(&mut self, on: bool) {
        let was_on = std::mem::replace(&mut self.enabled, on);
        self.update(!was_on);
    }

    /// A port has something pending, or has not any more.
    pub fn set_pending(&mut self, port: u8, is_pending: bool) {
        let bit = 1u32 << port;
        let is_new = is_pending && self.status & bit == 0;
        if is_pending {
            self.pending |= bit;
            self.status |= bit;
        } else {
            self.pending &= !bit;
        }
        self.update(is_new);
    }

    /// IS: writing 1 clears a bit, unless its port still has something pending. Then there is
    /// another message.
    pub fn clear(&mut self, bits: u32) {
        self.status = self.status & !bits | self.pending;
        self.update(true);
    }

    /// What configuration space says.
    pub fn set_control(&mut self, message: Option<MsiMessage>, is_pin_disabled: bool) {
        let is_new = self.message.is_none() && message.is_some();
        (self.message, self.is_pin_disabled) = (message, is_pin_disabled);
        self.update(is_new);
    }

    /// The reset of the controller, which leaves configuration space alone.
    pub fn reset(&mut self) {
        (self.enabled, self.status, self.pending) = (false, 0, 0);
        self.update(false);
    }

    /// Drives the pin, or sends the message if there is something new.
    fn update(&mut self, is_new: bool) {
        let is_wanted = self.enabled && self.status != 0;
        let high = is_wanted && self.message.is_none() && !self.is_pin_disabled;
        if high != self.is_pin_high {
            self.is_pin_high = high;
            self.pin.set(high);
        }
        if let (true, true, Some(message)) = (is_wanted, is_new, self.message) {
            self.sender.send(message);
        }
    }
}

impl fmt::Debug for Interrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = f.debug_struct("Interrupt");
        text.field("enabled", &self.enabled).field("status", &self.status).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::irq::{RecordingLine, RecordingSender};

    const MESSAGE: MsiMessage = MsiMessage { address: 0xfee0_0000, data: 0x41 };

    fn interrupt() -> (Interrupt, RecordingLine, RecordingSender) {
        let (pin, sender) = (RecordingLine::default(), RecordingSender::default());
        (Interrupt::new(Box::new(pin.clone()), Box::new(sender.clone())), pin, sender)
    }

    #[test]
    fn the_pin_is_high_until_the_port_and_the_controller_are_cleared() {
        let (mut interrupt, pin, _) = interrupt();
        interrupt.set_pending(2, true);
        assert!(!pin.is_high() && !interrupt.is_shown());
        interrupt.set_enabled(true);
        assert!(pin.is_high() && interrupt.is_shown());
        interrupt.clear(4);
        assert!(pin.is_high(), "the port still has it");
        interrupt.clear(1);
        assert_eq!(interrupt.status(), 4, "another port");
        interrupt.set_pending(2, false);
        assert_eq!((interrupt.status(), pin.is_high()), (4, true));
        interrupt.clear(1);
        assert!(pin.is_high(), "another port");
        interrupt.clear(4);
        assert!(!pin.is_high());
        interrupt.set_pending(0, true);
        interrupt.set_control(None, true);
        assert!(!pin.is_high(), "disabled");
        assert!(interrupt.is_shown(), "in configuration space all the same");
        interrupt.set_control(None, false);
        assert!(pin.is_high());
        interrupt.reset();
        assert!(!pin.is_high());
        interrupt.set_enabled(true);
        assert!(!interrupt.is_shown(), "nothing is pending");
    }

    #[test]
    fn a_message_is_for_what_is_new_and_for_what_is_left() {
        let (mut interrupt, pin, sender) = interrupt();
        interrupt.set_enabled(true);
        interrupt.set_control(Some(MESSAGE), false);
        interrupt.set_pending(1, true);
        interrupt.set_pending(1, true);
        assert_eq!(sender.take(), [MESSAGE]);
        interrupt.set_pending(3, true);
        assert_eq!(sender.take(), [MESSAGE]);
        interrupt.set_pending(1, false);
        interrupt.clear(0b1010);
        assert_eq!((sender.take(), interrupt.status()), (vec![MESSAGE], 0b1000));
        interrupt.set_pending(3, false);
        interrupt.clear(0b1000);
        assert_eq!(sender.take(), []);
        assert!(!pin.is_high());
    }

    #[test]
    fn a_message_is_sent_for_what_is_pending_when_it_is_enabled() {
        let (mut interrupt, pin, sender) = interrupt();
        interrupt.set_pending(1, true);
        interrupt.set_pending(1, true);
        interrupt.set_enabled(true);
        interrupt.set_control(Some(MESSAGE), false);
        assert_eq!(sender.take(), [MESSAGE]);
        assert!(!interrupt.is_shown() && !pin.is_high());
        interrupt.set_control(Some(MESSAGE), true);
        interrupt.set_enabled(true);
        assert_eq!(sender.take(), [], "it was enabled already");
        interrupt.set_enabled(false);
        assert_eq!(sender.take(), []);
        interrupt.set_enabled(true);
        assert_eq!(sender.take(), [MESSAGE]);
        interrupt.clear(2);
        assert_eq!((sender.take(), interrupt.status()), (vec![MESSAGE], 2), "it is still pending");
    }
}
