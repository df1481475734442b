//! The interrupts of a function: the status and INTA, or MSI-X.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::super::device::VirtioInterrupt;
use crate::irq::{LevelLine, MsiSender};
use crate::pci::msix::Msix;

/// A vector that does not exist: no interrupt (virtio 1.2, 4.1.5.1.2).
const NO_VECTOR: u16 = 0xffff;
/// Status: a request has been answered.
const QUEUE: u8 = 1;
/// Status: the configuration has changed.
const CONFIG: u8 = 2;

struct Interrupts {
    status: u8,
    pin: Box<dyn LevelLine>,
    is_pin_high: bool,
    is_pin_disabled: bool,
    msix: Msix,
    config_vector: u16,
    queue_vectors: Vec<u16>,
}

impl Interrupts {
    /// Drives the pin: it shows the status while MSI-X is off and the pin is not disabled.
    fn update_pin(&mut self) {
        let high = self.status != 0 && !self.msix.is_enabled() && !self.is_pin_disabled;
        if high != self.is_pin_high {
            self.is_pin_high = high;
            self.pin.set(high);
        }
    }

    /// A vector as the driver wants it, or none if the table does not have it.
    fn checked(&self, vector: u16) -> u16 {
        if vector < self.msix.count() { vector } else { NO_VECTOR }
    }
}

/// The interrupts, shared by the function and the threads that serve the queues.
pub(super) struct PciInterrupt(Mutex<Interrupts>);

impl PciInterrupt {
    /// Creates the interrupts of a device with `queues` queues: as many vectors, and one more.
    pub fn new(queues: usize, pin: Box<dyn LevelLine>, messages: Box<dyn MsiSender>) -> Self {
        let count = u16::try_from(queues).unwrap_or(u16::MAX).saturating_add(1);
        Self(Mutex::new(Interrupts {
            status: 0,
            pin,
            is_pin_high: false,
            is_pin_disabled: false,
            msix: Msix::new(count, messages),
            config_vector: NO_VECTOR,
            queue_vectors: vec![NO_VECTOR; queues],
        }))
    }

    pub fn msix_capability(&self) -> [u8; 10] {
        self.lock().msix.capability(super::MSIX_BAR.number)
    }

    /// The registers in configuration space: the second byte of MSI-X's message control, and
    /// whether the command register disables the pin.
    pub fn set_control(&self, msix: u8, is_pin_disabled: bool) {
        let mut interrupts = self.lock();
        interrupts.is_pin_disabled = is_pin_disabled;
        interrupts.msix.set_control(msix);
        interrupts.update_pin();
    }

    /// The status, cleared, which lowers the pin.
    pub fn take_status(&self) -> u8 {
        let mut interrupts = self.lock();
        let status = std::mem::take(&mut interrupts.status);
        interrupts.update_pin();
        status
    }

    /// Whether the status register in configuration space shows an interrupt.
    pub fn is_pending(&self) -> bool {
        let interrupts = self.lock();
        interrupts.status != 0 && !interrupts.msix.is_enabled()
    }

    pub fn read_table(&self, offset: u64, data: &mut [u8]) {
        self.lock().msix.read(offset, data);
    }

    pub fn write_table(&self, offset: u64, data: &[u8]) {
        self.lock().msix.write(offset, data);
    }

    pub fn config_vector(&self) -> u16 {
        self.lock().config_vector
    }

    pub fn set_config_vector(&self, vector: u16) {
        let mut interrupts = self.lock();
        interrupts.config_vector = interrupts.checked(vector);
    }

    pub fn queue_vector(&self, queue: u16) -> u16 {
        let interrupts = self.lock();
        interrupts.queue_vectors.get(usize::from(queue)).copied().unwrap_or(NO_VECTOR)
    }

    pub fn set_queue_vector(&self, queue: u16, vector: u16) {
        let mut interrupts = self.lock();
        let vector = interrupts.checked(vector);
        if let Some(place) = interrupts.queue_vectors.get_mut(usize::from(queue)) {
            *place = vector;
        }
    }

    /// The reset of the device: no vectors, nothing pending.
    pub fn reset_device(&self) {
        let mut interrupts = self.lock();
        interrupts.status = 0;
        interrupts.config_vector = NO_VECTOR;
        interrupts.queue_vectors.fill(NO_VECTOR);
        interrupts.msix.clear_pending();
        interrupts.update_pin();
    }

    /// The reset of the function: the MSI-X table, too.
    pub fn reset(&self) {
        self.reset_device();
        self.lock().msix.reset();
    }

    fn lock(&self) -> MutexGuard<'_, Interrupts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl VirtioInterrupt for PciInterrupt {
    fn queue_used(&self, queue: u16) {
        let mut interrupts = self.lock();
        if interrupts.msix.is_enabled() {
            let vector = interrupts.queue_vectors.get(usize::from(queue)).copied();
            interrupts.msix.signal(vector.unwrap_or(NO_VECTOR));
        } else {
            interrupts.status |= QUEUE;
            interrupts.update_pin();
        }
    }

    fn config_changed(&self) {
        let mut interrupts = self.lock();
        // With MSI-X, too (virtio 1.2, 4.1.4.5.1).
        interrupts.status |= CONFIG;
        if interrupts.msix.is_enabled() {
            let vector = interrupts.config_vector;
            interrupts.msix.signal(vector);
        } else {
            interrupts.update_pin();
        }
    }
}
