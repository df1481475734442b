//! Sets a vCPU's registers. The only place that converts a [`BootState`] into KVM's structs.
//!
//! KVM requires this order: CPUID first, because it determines which MSRs and registers exist; then
//! MSRs, local APIC, special registers and general registers.

use firmware::BootState;
use firmware::boot_state::Segment;
use kvm_bindings::{Msrs, kvm_fpu, kvm_msr_entry, kvm_regs, kvm_segment};
use kvm_ioctls::VcpuFd;

use crate::kvm::KvmError;
use crate::kvm::cpuid::Cpuid;

/// IA32_MISC_ENABLE with its fast-string bit (Intel SDM vol. 4). Linux warns about slow string
/// operations if the bit is clear.
const MISC_ENABLE: (u32, u64) = (0x1a0, 1);
/// IA32_MTRR_DEF_TYPE: MTRRs enabled, all memory write-back, as firmware sets it (Intel SDM vol. 3,
/// 12.11.2.1).
const MTRR_DEF_TYPE: (u32, u64) = (0x2ff, 1 << 11 | 6);

/// Local vector table entries in the APIC's register page (Intel SDM vol. 3, 11.5.1), and delivery
/// modes in bits 8 to 10.
const LVT_LINT0: usize = 0x350;
const LVT_LINT1: usize = 0x360;
const EXTINT: u32 = 0b111 << 8;
const NMI: u32 = 0b100 << 8;

/// Initializes CPUID and MSRs of any CPU. Application processors then wait for their start-up IPI.
///
/// # Errors
/// KVM refused a step.
pub fn configure(vcpu: &VcpuFd, cpu: u8, cpuid: &Cpuid) -> Result<(), KvmError> {
    vcpu.set_cpuid2(&cpuid.of_cpu(cpu)?).map_err(KvmError::ioctl("KVM_SET_CPUID2"))?;
    set_msr(vcpu, MISC_ENABLE)
}

/// Initializes a CPU as firmware would (MTRRs and the local APIC's LINT pins), for boots without
/// firmware or with firmware that does not wake this CPU.
///
/// # Errors
/// KVM refused a step.
pub fn stand_in_for_firmware(vcpu: &VcpuFd) -> Result<(), KvmError> {
    set_msr(vcpu, MTRR_DEF_TYPE)?;
    let mut lapic = vcpu.get_lapic().map_err(KvmError::ioctl("KVM_GET_LAPIC"))?;
    for (register, mode) in [(LVT_LINT0, EXTINT), (LVT_LINT1, NMI)] {
        for (byte, value) in lapic.regs[register..register + 4].iter_mut().zip(mode.to_le_bytes()) {
            *byte = value.cast_signed();
        }
    }
    vcpu.set_lapic(&lapic).map_err(KvmError::ioctl("KVM_SET_LAPIC"))
}

/// Sets an MSR. A processor without it is not an error: KVM then sets nothing and returns 0.
fn set_msr(vcpu: &VcpuFd, (index, data): (u32, u64)) -> Result<(), KvmError> {
    let entry = kvm_msr_entry { index, data, ..Default::default() };
    let msrs = Msrs::from_entries(&[entry]).map_err(|_| KvmError::Ioctl {
        ioctl: "KVM_SET_MSRS",
        source: std::io::ErrorKind::InvalidInput.into(),
    })?;
    vcpu.set_msrs(&msrs).map(drop).map_err(KvmError::ioctl("KVM_SET_MSRS"))
}

/// Sets the boot CPU's registers.
///
/// # Errors
/// KVM refused a step.
pub fn apply(vcpu: &VcpuFd, state: &BootState) -> Result<(), KvmError> {
    let mut sregs = vcpu.get_sregs().map_err(KvmError::ioctl("KVM_GET_SREGS"))?;
    sregs.cs = segment(&state.cs);
    let data = segment(&state.data);
    (sregs.ds, sregs.es, sregs.fs, sregs.gs, sregs.ss) = (data, data, data, data, data);
    sregs.tr = segment(&state.tr);
    (sregs.gdt.base, sregs.gdt.limit) = (state.gdt_base, state.gdt_limit);
    (sregs.idt.base, sregs.idt.limit) = (0, state.idt_limit);
    (sregs.cr0, sregs.cr3, sregs.cr4, sregs.efer) = (state.cr0, state.cr3, state.cr4, state.efer);
    vcpu.set_sregs(&sregs).map_err(KvmError::ioctl("KVM_SET_SREGS"))?;
    // The x87 control word after FINIT and the reset value of MXCSR (Intel SDM vol. 1, 8.1.5 and
    // 10.2.3).
    let fpu = kvm_fpu { fcw: 0x37f, mxcsr: 0x1f80, ..Default::default() };
    vcpu.set_fpu(&fpu).map_err(KvmError::ioctl("KVM_SET_FPU"))?;
    // Bit 1 of RFLAGS is always 1; interrupts are disabled.
    let regs = kvm_regs {
        rip: state.rip,
        rax: state.rax,
        rsi: state.rsi,
        rbx: state.rbx,
        rflags: 2,
        ..Default::default()
    };
    vcpu.set_regs(&regs).map_err(KvmError::ioctl("KVM_SET_REGS"))
}

fn segment(s: &Segment) -> kvm_segment {
    kvm_segment {
        base: s.base.into(),
        limit: s.limit,
        selector: s.selector,
        type_: s.kind,
        present: 1,
        dpl: 0,
        db: s.big.into(),
        s: (!s.system).into(),
        l: s.long.into(),
        g: s.pages.into(),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::Guest;

    fn msr(vcpu: &VcpuFd, index: u32) -> Option<u64> {
        let entry = kvm_msr_entry { index, ..Default::default() };
        let mut msrs = Msrs::from_entries(&[entry]).unwrap();
        let read = vcpu.get_msrs(&mut msrs).unwrap();
        (read == 1).then(|| msrs.as_slice()[0].data)
    }

    #[test]
    fn without_firmware_a_cpu_has_its_mtrrs_and_the_pins_of_its_apic() {
        let Some(guest) = Guest::new(&[]) else { return };
        let vcpu = &guest.vcpus[0].fd;
        assert!(msr(vcpu, 0x1a0).is_none_or(|value| value & 1 == 1), "fast strings");
        stand_in_for_firmware(vcpu).unwrap();
        // Enabled, and write-back by default.
        assert_eq!(msr(vcpu, 0x2ff), Some(0x806));
        let apic = vcpu.get_lapic().unwrap();
        let entry =
            |at: usize| u32::from_le_bytes([0, 1, 2, 3].map(|n| apic.regs[at + n].cast_unsigned()));
        // ExtINT on LINT0 and NMI on LINT1, neither of them masked.
        assert_eq!([entry(0x350), entry(0x360)], [0x700, 0x400]);
    }

    #[test]
    fn segments_are_those_of_the_boot_protocol() {
        let code = Segment {
            selector: 8,
            base: 0,
            limit: u32::MAX,
            kind: 0xb,
            system: false,
            long: true,
            big: false,
            pages: true,
        };
        let system = Segment { system: true, long: false, ..code };
        let [system, code] = [system, code].map(|of| segment(&of));
        assert_eq!((system.s, system.type_, system.present, system.l), (0, 0xb, 1, 0));
        assert_eq!((code.s, code.selector, code.l, code.g, code.db), (1, 8, 1, 1, 0));
    }
}
