//! The timer of a CPU's local APIC, by which Linux usually has its clock (Intel SDM, volume 3,
//! section 11.5.4).

use kvm_bindings::{Msrs, kvm_lapic_state, kvm_msr_entry};
use kvm_ioctls::VcpuFd;

/// Offsets of 32-bit registers: the timer's entry in the local vector table, and its initial count.
const LVT_TIMER: usize = 0x320;
const INITIAL_COUNT: usize = 0x380;
/// The bit of the entry that masks the interrupt, and the two for the mode.
const MASKED: u32 = 1 << 16;
const MODE: u32 = 0b11 << 17;
/// The mode in which an MSR has the time, 0 if none is set.
const TSC_DEADLINE: u32 = 0b10 << 17;
/// `IA32_TSC_DEADLINE`.
const DEADLINE_MSR: u32 = 0x6e0;

/// Whether the timer will interrupt its CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timer {
    /// It may, as far as KVM says.
    On,
    /// It will not: it is masked, or has no time.
    Off,
}

impl Timer {
    /// The timer of this vCPU, which must be stopped.
    pub fn of(vcpu: &VcpuFd) -> Self {
        let Ok(apic) = vcpu.get_lapic() else { return Self::On };
        let deadline = || {
            let entry = kvm_msr_entry { index: DEADLINE_MSR, ..Default::default() };
            let mut msrs = Msrs::from_entries(&[entry]).ok()?;
            let read = vcpu.get_msrs(&mut msrs).unwrap_or_default();
            msrs.as_slice().first().filter(|_| read == 1).map(|msr| msr.data)
        };
        Self::read(&apic, deadline)
    }

    /// `deadline` reads the MSR, if KVM has it.
    fn read(apic: &kvm_lapic_state, deadline: impl Fn() -> Option<u64>) -> Self {
        let register = |at: usize| {
            let bytes = apic.regs.get(at..).and_then(<[_]>::first_chunk::<4>);
            bytes.map_or(0, |bytes| u32::from_le_bytes(bytes.map(i8::cast_unsigned)))
        };
        let entry = register(LVT_TIMER);
        let has_time = match entry & MODE {
            TSC_DEADLINE => deadline() != Some(0),
            _ => register(INITIAL_COUNT) != 0,
        };
        if entry & MASKED == 0 && has_time { Self::On } else { Self::Off }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timer_is_off_if_it_is_masked_or_has_no_time() {
        const PERIODIC: u32 = 1 << 17;
        for (entry, count, deadline, expected) in [
            (MASKED, 0, None, Timer::Off),
            (0xec, 0, None, Timer::Off),
            (0xec, 1000, None, Timer::On),
            (0xec | PERIODIC, 1000, None, Timer::On),
            (0xec | PERIODIC | MASKED, 1000, None, Timer::Off),
            (0xec | TSC_DEADLINE, 0, Some(0), Timer::Off),
            (0xec | TSC_DEADLINE, 0, Some(1 << 40), Timer::On),
            (0xec | TSC_DEADLINE, 0, None, Timer::On),
        ] {
            let mut apic = kvm_lapic_state::default();
            for (at, value) in [(LVT_TIMER, entry), (INITIAL_COUNT, count)] {
                apic.regs[at..at + 4].copy_from_slice(&value.to_le_bytes().map(u8::cast_signed));
            }
            assert_eq!(Timer::read(&apic, || deadline), expected, "{entry:#x} {count}");
        }
    }

    #[test]
    fn the_deadline_of_a_cpu_is_read() {
        let Some(guest) = crate::tests::Guest::new(&[]) else { return };
        let fd = &guest.vcpus[0].fd;
        assert_eq!(Timer::of(fd), Timer::Off, "it is masked");
        let mut apic = fd.get_lapic().unwrap();
        let entry = 0xec | TSC_DEADLINE;
        apic.regs[LVT_TIMER..LVT_TIMER + 4]
            .copy_from_slice(&entry.to_le_bytes().map(u8::cast_signed));
        fd.set_lapic(&apic).unwrap();
        let mut msrs =
            Msrs::from_entries(&[kvm_msr_entry { index: DEADLINE_MSR, ..Default::default() }])
                .unwrap();
        // A host without the mode has no such MSR.
        let has_deadline = fd.get_msrs(&mut msrs).unwrap_or_default() == 1;
        assert_eq!(Timer::of(fd), if has_deadline { Timer::Off } else { Timer::On });
    }
}
