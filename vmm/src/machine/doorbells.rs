//! Notifications of a virtio device that KVM delivers itself: a guest's write wakes the thread that
//! serves the queue, without a return to this process (KVM_IOEVENTFD).

use std::sync::{Arc, Mutex};

use kvm_ioctls::{IoEventAddress, NoDatamatch, VmFd};
use vmm_sys_util::eventfd::EventFd;

use super::irq::IrqChip;
use crate::lock::lock;

/// The notification of a queue.
#[derive(Clone, Debug)]
pub struct Doorbell {
    /// Bytes from the device's first notification.
    pub offset: u64,
    /// The 32-bit value that the guest writes, where queues share an address. `None`: any value,
    /// in any width.
    pub value: Option<u32>,
    /// What is written to.
    pub wake: Arc<EventFd>,
}

/// The notifications of a device, which can move. Where KVM refuses one, the write reaches the
/// device's registers instead, which do the same.
#[derive(Debug)]
pub struct Doorbells {
    irq_chip: IrqChip,
    bells: Vec<Doorbell>,
    at: Mutex<Option<u64>>,
}

impl Doorbells {
    /// Creates the notifications of a device, nowhere at first.
    pub fn new(irq_chip: IrqChip, bells: Vec<Doorbell>) -> Self {
        Self { irq_chip, bells, at: Mutex::new(None) }
    }

    /// Moves them to the guest-physical address `at`, or nowhere.
    pub fn place(&self, at: Option<u64>) {
        let mut current = lock(&self.at);
        if *current == at {
            return;
        }
        if let Some(vm) = self.irq_chip.vm() {
            self.change(&vm, *current, VmFd::unregister_ioevent, VmFd::unregister_ioevent);
            self.change(&vm, at, VmFd::register_ioevent, VmFd::register_ioevent);
        }
        *current = at;
    }

    /// Gives them to a new VM.
    pub fn connect(&self, vm: &VmFd) {
        self.change(vm, *lock(&self.at), VmFd::register_ioevent, VmFd::register_ioevent);
    }

    fn change(&self, vm: &VmFd, at: Option<u64>, any: Change<NoDatamatch>, exact: Change<u32>) {
        let Some(at) = at else { return };
        for bell in &self.bells {
            let address = IoEventAddress::Mmio(at.wrapping_add(bell.offset));
            // The registers take what KVM does not.
            let _ = match bell.value {
                None => any(vm, &bell.wake, &address, NoDatamatch),
                Some(value) => exact(vm, &bell.wake, &address, value),
            };
        }
    }
}

type Change<T> = fn(&VmFd, &EventFd, &IoEventAddress, T) -> Result<(), kvm_ioctls::Error>;
