//! The registers of a stopped vCPU, for a core dump.

use kvm_bindings::{Msrs, kvm_msr_entry, kvm_regs, kvm_sregs};

use super::vcpu::Vcpu;

/// `MSR_KERNEL_GS_BASE` (Linux, asm/msr-index.h).
const KERNEL_GS_BASE: u32 = 0xc000_0102;

/// The registers that a core dump has of a CPU.
#[derive(Clone, Copy, Debug, Default)]
pub struct CoreRegisters {
    /// The CPU's number, from 0.
    pub cpu: u8,
    /// General registers.
    pub general: kvm_regs,
    /// Segments, descriptor tables and control registers.
    pub system: kvm_sregs,
    /// What SWAPGS exchanges with the base of GS.
    pub kernel_gs_base: u64,
}

impl Vcpu {
    /// The registers of this vCPU, which must be stopped; `None` if KVM cannot read them.
    pub fn core_registers(&self) -> Option<CoreRegisters> {
        let general = self.fd.get_regs().ok()?;
        let system = self.fd.get_sregs().ok()?;
        let entry = kvm_msr_entry { index: KERNEL_GS_BASE, ..Default::default() };
        let mut msrs = Msrs::from_entries(&[entry]).ok()?;
        let read = self.fd.get_msrs(&mut msrs).unwrap_or_default();
        let kernel_gs_base =
            msrs.as_slice().first().filter(|_| read == 1).map_or(0, |msr| msr.data);
        Some(CoreRegisters { cpu: self.cpu, general, system, kernel_gs_base })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::Guest;

    #[test]
    fn a_core_dump_has_what_swapgs_exchanges() {
        let Some(guest) = Guest::new(&[]) else { return };
        let vcpu = &guest.vcpus[0];
        let data = 0xffff_8880_1234_5000;
        let entry = kvm_msr_entry { index: 0xc000_0102, data, ..Default::default() };
        vcpu.fd.set_msrs(&Msrs::from_entries(&[entry]).unwrap()).unwrap();
        let registers = vcpu.core_registers().unwrap();
        assert_eq!((registers.cpu, registers.general.rip), (0, 0x1000));
        assert_eq!(registers.kernel_gs_base, data);
    }
}
