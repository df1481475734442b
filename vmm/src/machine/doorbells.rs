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

#[cfg(test)]
mod tests {
    use vmm_sys_util::eventfd::EFD_NONBLOCK;

    use super::*;
    use crate::tests::Guest;

    /// How often each has been rung when the guest has written 1.
    fn rung(guest: &mut Guest, bells: &[Doorbell], at: u64) -> Vec<u64> {
        guest.write(at, 1);
        bells.iter().map(|bell| bell.wake.read().unwrap_or(0)).collect()
    }

    #[test]
    fn kvm_rings_where_the_bells_are_and_nowhere_else() {
        let (Some(mut guest), Some(mut next)) = (Guest::new(&[]), Guest::new(&[])) else { return };
        const DEVICE: u64 = 0xfeb0_0000;
        const OTHER: u64 = 0xfeb0_1000;
        let bell = |offset, value| Doorbell {
            offset,
            value,
            wake: Arc::new(EventFd::new(EFD_NONBLOCK).unwrap()),
        };
        let bells = [bell(0, Some(0)), bell(0, Some(1)), bell(4, None)];
        let irq_chip = IrqChip::default();
        let doorbells = Doorbells::new(irq_chip.clone(), bells.to_vec());
        doorbells.place(Some(DEVICE));
        doorbells.connect(&guest.vm);
        irq_chip.connect(Arc::clone(&guest.vm));
        assert_eq!(rung(&mut guest, &bells, DEVICE), [0, 1, 0], "by the value");
        assert_eq!(rung(&mut guest, &bells, DEVICE + 4), [0, 0, 1], "by the address");
        assert_eq!(rung(&mut guest, &bells, OTHER), [0, 0, 0]);
        doorbells.place(Some(OTHER));
        assert_eq!(rung(&mut guest, &bells, OTHER), [0, 1, 0]);
        assert_eq!(rung(&mut guest, &bells, DEVICE), [0, 0, 0], "they have moved");
        doorbells.connect(&next.vm);
        assert_eq!(rung(&mut next, &bells, OTHER), [0, 1, 0], "the VM of the next boot");
        doorbells.place(None);
        assert_eq!(rung(&mut guest, &bells, OTHER), [0, 0, 0]);
    }
}
