//! Connects the interrupt lines of devices to KVM's interrupt controllers.

use std::sync::{Arc, PoisonError, RwLock};

use devices::irq::{IrqLine, LevelLine, MsiMessage, MsiSender};
use kvm_bindings::kvm_msi;
use kvm_ioctls::VmFd;

/// The interrupt controllers of the current VM; a reboot replaces the VM.
#[derive(Clone, Debug, Default)]
pub struct IrqChip(Arc<RwLock<Option<Arc<VmFd>>>>);

impl IrqChip {
    /// Connects all lines to `vm` and disconnects them from the previous VM.
    pub fn connect(&self, vm: Arc<VmFd>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(vm);
    }

    /// Edge-triggered interrupt line `irq` for a device. A device can have more than one.
    pub fn line(&self, irq: u8) -> Box<dyn IrqLine> {
        Box::new(KvmLine { chip: self.clone(), irq: irq.into() })
    }

    /// Level-triggered interrupt line `irq`.
    pub fn level_line(&self, irq: u8) -> Box<dyn LevelLine> {
        Box::new(KvmLine { chip: self.clone(), irq: irq.into() })
    }

    /// Sends message-signaled interrupts.
    pub fn message_sender(&self) -> Box<dyn MsiSender> {
        Box::new(KvmMessages(self.clone()))
    }

    /// The current VM, if there is one yet.
    pub fn vm(&self) -> Option<Arc<VmFd>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Message-signaled interrupts by KVM_SIGNAL_MSI, from the thread that serves the device. That is
/// one system call for each, like a write to an irqfd, and needs no table of routes in the kernel,
/// which would have to follow each change of a vector.
struct KvmMessages(IrqChip);

impl MsiSender for KvmMessages {
    fn send(&self, message: MsiMessage) {
        if let Some(vm) = &*self.0.0.read().unwrap_or_else(PoisonError::into_inner) {
            let MsiMessage { address, data } = message;
            let [address_lo, address_hi] =
                [address & 0xffff_ffff, address >> 32].map(|half| half.try_into().unwrap_or(0));
            // It fails where the message reaches no CPU: the guest's mistake.
            let _ = vm.signal_msi(kvm_msi { address_lo, address_hi, data, ..Default::default() });
        }
    }
}

/// A line into the VM's interrupt controllers. The thread that uses the device raises it with
/// KVM_IRQ_LINE, so that the interrupt is pending before the CPU continues, as on a PC. With an
/// irqfd, a worker of the host's kernel would raise it some time later.
struct KvmLine {
    chip: IrqChip,
    irq: u32,
}

impl IrqLine for KvmLine {
    fn pulse(&self) {
        if let Some(vm) = &*self.chip.0.read().unwrap_or_else(PoisonError::into_inner) {
            // This fails only without interrupt controllers, when no CPU waits for the interrupt
            // anyway.
            let _ = vm.set_irq_line(self.irq, true).and_then(|()| vm.set_irq_line(self.irq, false));
        }
    }
}

impl LevelLine for KvmLine {
    fn set(&self, high: bool) {
        if let Some(vm) = &*self.chip.0.read().unwrap_or_else(PoisonError::into_inner) {
            let _ = vm.set_irq_line(self.irq, high); // as in `pulse`
        }
    }
}
