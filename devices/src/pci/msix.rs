//! MSI-X: a table of messages, one for each vector, and a bit for each that is pending.
//!
//! Source: PCI Local Bus Specification 3.0, 6.8.2; QEMU's `hw/pci/msix.c`, whose layout this is:
//! one BAR of 4 KiB with the table at its start and the pending bits at 0x800.
//!
//! | offset in an entry | | after reset |
//! |---|---|---|
//! | 0, 4 | address of the message, low and high | 0 |
//! | 8 | its data | 0 |
//! | 12 | bit 0: the vector is masked | 1 |

use std::fmt;

use crate::irq::{MsiMessage, MsiSender};

/// Size of the BAR in bytes.
pub const BAR_SIZE: u32 = 0x1000;
/// Where the pending bits are in the BAR.
pub const PENDING_BITS: u64 = 0x800;
/// Most vectors that the table has room for.
pub const MAX_VECTORS: u16 = 128;
/// Identifier of the capability.
pub const CAPABILITY: u8 = 0x11;
/// Message control, second byte: MSI-X is on, and the pin is not used.
pub const ENABLE: u8 = 1 << 7;
/// Message control, second byte: every vector is masked.
pub const MASK_ALL: u8 = 1 << 6;

const ENTRY_SIZE: u64 = 16;
const MASKED: u32 = 1;

#[derive(Clone, Copy, Debug)]
struct Vector {
    message: MsiMessage,
    masked: bool,
    pending: bool,
}

const AFTER_RESET: Vector =
    Vector { message: MsiMessage { address: 0, data: 0 }, masked: true, pending: false };

/// The vectors of a function.
pub struct Msix {
    vectors: Vec<Vector>,
    enabled: bool,
    all_masked: bool,
    sender: Box<dyn MsiSender>,
}

impl Msix {
    /// Creates a table of `count` vectors, at most [`MAX_VECTORS`].
    pub fn new(count: u16, sender: Box<dyn MsiSender>) -> Self {
        let vectors = vec![AFTER_RESET; count.clamp(1, MAX_VECTORS).into()];
        Self { vectors, enabled: false, all_masked: false, sender }
    }

    /// How many vectors there are.
    pub fn count(&self) -> u16 {
        self.vectors.len().try_into().unwrap_or(MAX_VECTORS)
    }

    /// The capability after its link, with the table in BAR `bar`.
    pub fn capability(&self, bar: u8) -> [u8; 10] {
        let mut body = [0; 10];
        body[..2].copy_from_slice(&(self.count() - 1).to_le_bytes());
        body[2..6].copy_from_slice(&u32::from(bar).to_le_bytes());
        let pending = u32::try_from(PENDING_BITS).unwrap_or_default();
        body[6..].copy_from_slice(&(pending | u32::from(bar)).to_le_bytes());
        body
    }

    /// Whether the function uses messages instead of its pin.
    pub fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// The guest has written the second byte of message control.
    pub fn set_control(&mut self, control: u8) {
        self.enabled = control & ENABLE != 0;
        self.all_masked = control & MASK_ALL != 0;
        self.deliver();
    }

    /// Sends the message of a vector, or makes it pending if it is masked. A vector that does not
    /// exist has no message.
    pub fn signal(&mut self, vector: u16) {
        let (enabled, all_masked) = (self.enabled, self.all_masked);
        if let Some(vector) = self.vectors.get_mut(usize::from(vector))
            && enabled
        {
            if all_masked || vector.masked {
                vector.pending = true;
            } else {
                self.sender.send(vector.message);
            }
        }
    }

    /// Forgets what is pending: the interrupts' causes are gone.
    pub fn clear_pending(&mut self) {
        self.vectors.iter_mut().for_each(|vector| vector.pending = false);
    }

    /// The reset of the function.
    pub fn reset(&mut self) {
        self.vectors.fill(AFTER_RESET);
        (self.enabled, self.all_masked) = (false, false);
    }

    /// Reads the BAR: 4 or 8 bytes, aligned. Everything else reads as 0.
    pub fn read(&self, offset: u64, data: &mut [u8]) {
        let is_valid = is_aligned(offset, data.len());
        for (at, bytes) in (offset..).step_by(4).zip(data.chunks_mut(4)) {
            let value = if is_valid { self.dword(at) } else { 0 };
            bytes.copy_from_slice(&value.to_le_bytes()[..bytes.len()]);
        }
    }

    /// Writes the BAR: 4 or 8 bytes of the table, aligned. Everything else is dropped.
    pub fn write(&mut self, offset: u64, data: &[u8]) {
        if is_aligned(offset, data.len()) {
            for (at, bytes) in (offset..).step_by(4).zip(data.chunks(4)) {
                let mut value = [0; 4];
                value.copy_from_slice(bytes);
                self.set_dword(at, u32::from_le_bytes(value));
            }
        }
        self.deliver();
    }

    fn dword(&self, offset: u64) -> u32 {
        if let Some(first) = offset.checked_sub(PENDING_BITS) {
            let first = usize::try_from(first * 8).unwrap_or(usize::MAX);
            let vectors = self.vectors.iter().skip(first).take(32);
            return (0..)
                .zip(vectors)
                .fold(0, |bits, (bit, vector)| bits | u32::from(vector.pending) << bit);
        }
        let Some(vector) =
            usize::try_from(offset / ENTRY_SIZE).ok().and_then(|i| self.vectors.get(i))
        else {
            return 0;
        };
        let MsiMessage { address, data } = vector.message;
        let low_and_high = [address & 0xffff_ffff, address >> 32];
        match offset % ENTRY_SIZE {
            0 => u32::try_from(low_and_high[0]).unwrap_or_default(),
            4 => u32::try_from(low_and_high[1]).unwrap_or_default(),
            8 => data,
            _ => vector.masked.into(),
        }
    }

    fn set_dword(&mut self, offset: u64, value: u32) {
        let index = usize::try_from(offset / ENTRY_SIZE).ok();
        let Some(vector) = index.and_then(|index| self.vectors.get_mut(index)) else { return };
        let message = &mut vector.message;
        match offset % ENTRY_SIZE {
            0 => message.address = message.address >> 32 << 32 | u64::from(value),
            4 => message.address = message.address & 0xffff_ffff | u64::from(value) << 32,
            8 => message.data = value,
            _ => vector.masked = value & MASKED != 0,
        }
    }

    /// Sends what is pending and no longer masked.
    fn deliver(&mut self) {
        if !self.enabled || self.all_masked {
            return;
        }
        for vector in self.vectors.iter_mut().filter(|vector| vector.pending && !vector.masked) {
            vector.pending = false;
            self.sender.send(vector.message);
        }
    }
}

fn is_aligned(offset: u64, width: usize) -> bool {
    matches!(width, 4 | 8) && offset.is_multiple_of(4)
}

impl fmt::Debug for Msix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = f.debug_struct("Msix");
        text.field("vectors", &self.vectors).field("enabled", &self.enabled).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::irq::RecordingSender;

    fn msix(count: u16) -> (Msix, RecordingSender) {
        let sender = RecordingSender::default();
        (Msix::new(count, Box::new(sender.clone())), sender)
    }

    fn read(msix: &Msix, offset: u64) -> u32 {
        let mut data = [0xaa; 4];
        msix.read(offset, &mut data);
        u32::from_le_bytes(data)
    }

    fn write(msix: &mut Msix, offset: u64, value: u32) {
        msix.write(offset, &value.to_le_bytes());
    }

    /// Vector 1 with a message, not masked.
    fn set_up(msix: &mut Msix) -> MsiMessage {
        write(msix, 16, 0xfee0_1000);
        write(msix, 20, 1);
        write(msix, 24, 0x4031);
        write(msix, 28, 0);
        MsiMessage { address: 0x1_fee0_1000, data: 0x4031 }
    }

    #[test]
    fn table_is_read_back_and_masked_after_reset() {
        let (mut msix, _) = msix(2);
        let entry = |msix: &Msix| [16, 20, 24, 28].map(|offset| read(msix, offset));
        assert_eq!(entry(&msix), [0, 0, 0, 1]);
        set_up(&mut msix);
        assert_eq!(entry(&msix), [0xfee0_1000, 1, 0x4031, 0]);
        let mut wide = [0; 8];
        msix.read(16, &mut wide);
        assert_eq!(u64::from_le_bytes(wide), 0x1_fee0_1000);
        msix.reset();
        assert_eq!(entry(&msix), [0, 0, 0, 1]);
    }

    #[test]
    fn accesses_that_are_none_read_zero_and_change_nothing() {
        let (mut msix, _) = msix(2);
        set_up(&mut msix);
        for (offset, width) in [(16, 1), (17, 4), (24, 2), (18, 8), (32, 4), (0x7fc, 8), (0xffc, 4)]
        {
            msix.write(offset, &[0xff; 8][..width]);
            let mut data = [0xaa; 8];
            msix.read(offset, &mut data[..width]);
            assert_eq!(data[..width], [0; 8][..width], "{width} bytes at {offset:#x}");
        }
        write(&mut msix, PENDING_BITS, u32::MAX);
        assert_eq!(read(&msix, PENDING_BITS), 0, "read-only");
        assert_eq!(read(&msix, 16), 0xfee0_1000);
    }

    #[test]
    fn a_vector_is_sent_only_while_messages_are_on() {
        let (mut msix, sender) = msix(2);
        let message = set_up(&mut msix);
        msix.signal(1);
        msix.set_control(ENABLE);
        assert_eq!(sender.take(), []);
        msix.signal(1);
        msix.signal(2);
        msix.signal(0xffff);
        assert_eq!(sender.take(), [message]);
    }

    #[test]
    fn what_was_signaled_while_masked_is_sent_once_when_unmasked() {
        let (mut msix, sender) = msix(2);
        let message = set_up(&mut msix);
        msix.set_control(ENABLE | MASK_ALL);
        msix.signal(1);
        msix.signal(1);
        assert_eq!((read(&msix, PENDING_BITS), sender.take()), (2, vec![]));
        write(&mut msix, 28, 1);
        msix.set_control(ENABLE);
        assert_eq!((read(&msix, PENDING_BITS), sender.take()), (2, vec![]));
        write(&mut msix, 28, 0);
        assert_eq!((read(&msix, PENDING_BITS), sender.take()), (0, vec![message]));
    }

    #[test]
    fn capability_names_size_and_places() {
        assert_eq!(msix(2).0.capability(1), [1, 0, 1, 0, 0, 0, 1, 8, 0, 0]);
        assert_eq!(msix(500).0.count(), MAX_VECTORS);
    }

    #[test]
    fn the_halves_of_an_address_are_written_in_any_order() {
        let (mut msix, _) = msix(1);
        write(&mut msix, 4, 0x12);
        write(&mut msix, 0, 0xfee0_0000);
        assert_eq!((read(&msix, 0), read(&msix, 4)), (0xfee0_0000, 0x12));
    }

    #[test]
    fn what_is_pending_is_not_sent_while_messages_are_off_and_can_be_forgotten() {
        let (mut msix, sender) = msix(40);
        for at in [16, 33 * 16] {
            write(&mut msix, at + 12, 0);
        }
        msix.set_control(ENABLE | MASK_ALL);
        msix.signal(1);
        msix.signal(33);
        assert_eq!([0, 4, 8].map(|at| read(&msix, PENDING_BITS + at)), [2, 2, 0]);
        write(&mut msix, 0, 1);
        msix.set_control(0);
        assert_eq!(sender.take(), []);
        msix.clear_pending();
        msix.set_control(ENABLE);
        assert_eq!((sender.take(), read(&msix, PENDING_BITS)), (vec![], 0));
    }
}
