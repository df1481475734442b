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

#[cfg(test)]
mod tests {
    use kvm_bindings::{KVM_IRQCHIP_PIC_MASTER, KVM_IRQCHIP_PIC_SLAVE, kvm_irqchip};

    use super::*;
    use crate::tests::Guest;

    /// The requests of a PIC that no CPU has taken.
    #[expect(unsafe_code, reason = "the state of a PIC is in a union")]
    fn requests(guest: &Guest, chip_id: u32) -> u8 {
        let mut chip = kvm_irqchip { chip_id, ..Default::default() };
        guest.vm.get_irqchip(&mut chip).unwrap();
        // SAFETY: for the two PICs KVM has filled in `pic`.
        unsafe { chip.chip.pic.irr }
    }

    #[test]
    fn lines_reach_the_pics_of_the_current_vm() {
        let (Some(old), Some(new)) = (Guest::new(&[]), Guest::new(&[])) else { return };
        let chip = IrqChip::default();
        let (edge, level) = (chip.line(4), chip.level_line(11));
        edge.pulse();
        assert!(chip.vm().is_none());
        for guest in [&old, &new] {
            chip.connect(Arc::clone(&guest.vm));
            assert!(chip.vm().is_some_and(|vm| Arc::ptr_eq(&vm, &guest.vm)));
            assert_eq!(requests(guest, KVM_IRQCHIP_PIC_MASTER) & 1 << 4, 0);
            edge.pulse();
            assert_eq!(requests(guest, KVM_IRQCHIP_PIC_MASTER) & 1 << 4, 1 << 4);
            // IRQ 11 is level-triggered: it is requested for as long as the line is high.
            level.set(true);
            assert_eq!(requests(guest, KVM_IRQCHIP_PIC_SLAVE), 1 << 3);
            level.set(false);
            assert_eq!(requests(guest, KVM_IRQCHIP_PIC_SLAVE), 0);
        }
        level.set(true);
        assert_eq!(requests(&old, KVM_IRQCHIP_PIC_SLAVE), 0, "it is disconnected");
    }

    /// Intel SDM vol. 3, 11.11 (messages), and 11.4.1: the spurious-interrupt vector register at
    /// 0xf0, whose bit 8 enables the APIC, and the interrupt request register at 0x200.
    #[test]
    fn messages_reach_the_cpu_that_their_address_names() {
        let Some(guest) = Guest::with(&[], 2, &[]) else { return };
        let chip = IrqChip::default();
        for vcpu in &guest.vcpus {
            let mut apic = vcpu.fd.get_lapic().unwrap();
            apic.regs[0xf1] |= 1;
            vcpu.fd.set_lapic(&apic).unwrap();
        }
        chip.connect(Arc::clone(&guest.vm));
        let requests = || {
            let requested = |vcpu: &crate::kvm::vcpu::Vcpu| {
                vcpu.fd.get_lapic().unwrap().regs[0x220] & 0b110_0000
            };
            guest.vcpus.iter().map(requested).collect::<Vec<_>>()
        };
        let sender = chip.message_sender();
        // Vectors 0x45 and 0x46 are bits 5 and 6 of the third register.
        sender.send(MsiMessage { address: 0xfee0_1000, data: 0x45 });
        assert_eq!(requests(), [0, 1 << 5]);
        sender.send(MsiMessage { address: 0xfee0_0000, data: 0x46 });
        assert_eq!(requests(), [1 << 6, 1 << 5]);
    }
}
