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
