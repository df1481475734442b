//! The state of a CPU that cannot continue: mode, RIP and the code bytes there.

use kvm_ioctls::VcpuFd;
use vm_memory::{GuestAddress, GuestMemoryBackend};

use crate::memory::{Ram, peek};
use crate::outcome::CpuSnapshot;

/// Maximum length of an x86 instruction, in bytes.
const LONGEST_INSTRUCTION: u64 = 15;

/// Reads the CPU's state; unreadable parts are omitted.
pub fn take(fd: &mut VcpuFd, cpu: u8, ram: &Ram) -> CpuSnapshot {
    let (Ok(regs), Ok(sregs)) = (fd.get_regs(), fd.get_sregs()) else {
        return CpuSnapshot { cpu, ..Default::default() };
    };
    const LONG_MODE_ACTIVE: u64 = 1 << 10;
    let mode = match (sregs.efer & LONG_MODE_ACTIVE != 0 && sregs.cs.l != 0, sregs.cs.db) {
        (true, _) => 64,
        (false, 0) => 16,
        (false, _) => 32,
    };
    let linear = if mode == 64 { regs.rip } else { (sregs.cs.base + regs.rip) & 0xffff_ffff };
    let bytes = (0..LONGEST_INSTRUCTION)
        .map_while(|i| {
            let physical =
                fd.translate_gva(linear + i).ok().filter(|t| t.valid != 0)?.physical_address;
            read_byte(ram, physical)
        })
        .collect();
    CpuSnapshot { cpu, rip: regs.rip, linear, mode, protected: sregs.cr0 & 1 != 0, bytes }
}

/// The snapshot of a CPU that triple-faulted. AMD processors do not preserve their state in that
/// case, and KVM resets it (`shutdown_interception`, arch/x86/kvm/svm/svm.c): no snapshot is better
/// than a misleading one.
pub fn unless_reset(found: Box<CpuSnapshot>) -> Box<CpuSnapshot> {
    const RESET_VECTOR: u64 = 0xffff_fff0;
    if found.linear == RESET_VECTOR && !found.protected {
        return Box::new(CpuSnapshot { cpu: found.cpu, ..Default::default() });
    }
    found
}

/// Reads a byte of guest memory, if it is there.
fn read_byte(ram: &Ram, at: u64) -> Option<u8> {
    let slice = ram.memory().get_slice(GuestAddress(at), 1).ok()?;
    let mut byte = [0];
    (peek::read_host(slice.ptr_guard().as_ptr().cast(), &mut byte) == 1).then_some(byte[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cpu_that_kvm_has_reset_shows_nothing() {
        let at = |linear, protected| {
            let rip = linear & 0xffff;
            Box::new(CpuSnapshot { cpu: 3, rip, linear, mode: 16, protected, bytes: vec![0xea] })
        };
        let nothing = CpuSnapshot { cpu: 3, ..CpuSnapshot::default() };
        assert_eq!(*unless_reset(at(0xffff_fff0, false)), nothing);
        for found in [at(0xffff_fff0, true), at(0xffff_fff1, false), at(0x1000, true)] {
            assert_eq!(unless_reset(found.clone()), found);
        }
    }
}
