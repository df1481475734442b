//! Interrupt lines from devices into KVM's interrupt controllers.

use std::sync::{Arc, PoisonError, RwLock};

use devices::irq::IrqLine;
use kvm_ioctls::VmFd;

/// The interrupt controllers of the VM that runs at the moment; a reboot replaces the VM.
#[derive(Clone, Debug, Default)]
pub struct IrqChip(Arc<RwLock<Option<Arc<VmFd>>>>);

impl IrqChip {
    /// Connects all lines to `vm`, and disconnects them from the VM before.
    pub fn connect(&self, vm: Arc<VmFd>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(vm);
    }

    /// Interrupt line `irq`, for a device. A device may have several.
    pub fn line(&self, irq: u8) -> Box<dyn IrqLine> {
        Box::new(KvmLine { chip: self.clone(), irq: irq.into() })
    }
}

/// A line into the VM's interrupt controllers. The thread that has the device raises it with
/// KVM_IRQ_LINE, so that the interrupt is pending before the CPU continues, as on a PC. An irqfd
/// would leave it to a worker of the host's kernel, some time later.
struct KvmLine {
    chip: IrqChip,
    irq: u32,
}

impl IrqLine for KvmLine {
    fn pulse(&self) {
        if let Some(vm) = &*self.chip.0.read().unwrap_or_else(PoisonError::into_inner) {
            // KVM refuses this only without interrupt controllers: then no CPU waits for the
            // interrupt.
            let _ = vm.set_irq_line(self.irq, true).and_then(|()| vm.set_irq_line(self.irq, false));
        }
    }
}
