//! Connects the interrupt lines of devices to KVM's interrupt controllers.

use std::sync::{Arc, PoisonError, RwLock};

use devices::irq::{IrqLine, LevelLine};
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
