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
    use kvm_bindings::{kvm_regs, kvm_sregs};

    use super::*;
    use crate::tests::Guest;

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

    #[test]
    fn the_state_of_a_cpu_has_its_mode_and_the_bytes_of_its_instruction() {
        let code: Vec<u8> = (1..=20).collect();
        let Some(mut guest) = Guest::new(&code) else { return };
        let mut shown = |change: fn(&mut kvm_sregs), rip| {
            let fd = &mut guest.vcpus[0].fd;
            let mut sregs = fd.get_sregs().unwrap();
            change(&mut sregs);
            fd.set_sregs(&sregs).unwrap();
            fd.set_regs(&kvm_regs { rip, rflags: 2, ..Default::default() }).unwrap();
            let CpuSnapshot { linear, mode, protected, bytes, .. } = take(fd, 3, &guest.ram);
            (mode, protected, linear, bytes)
        };
        let whole = code[..15].to_vec();
        assert_eq!(shown(|_| (), 0x1000), (16, false, 0x1000, whole.clone()));
        assert_eq!(shown(|s| s.cs.base = 0x800, 0x802), (16, false, 0x1002, code[2..17].to_vec()));
        // Addresses have 32 bits; no memory is at the end of the 4 GiB.
        let at_end = shown(|s| s.cs.base = 0xffff_0000, 0xfff0);
        assert_eq!(at_end, (16, false, 0xffff_fff0, Vec::new()));
        let wrapped = shown(|s| s.cs.base = 0xffff_f000, 0x2000);
        assert_eq!(wrapped, (16, false, 0x1000, whole.clone()));
        let protected = |s: &mut kvm_sregs| (s.cr0, s.cs.base, s.cs.db) = (s.cr0 | 1, 0, 1);
        assert_eq!(shown(protected, 0x1000), (32, true, 0x1000, whole));
    }

    #[test]
    fn in_64_bit_mode_the_bytes_end_at_a_page_that_is_not_there() {
        let Some(mut guest) = Guest::new(&[]) else { return };
        const KERNEL: u64 = 0xffff_ffff_8100_0000;
        guest.map(&[(KERNEL, 0x5000)]);
        guest.set_memory(0x5ffd, &[7, 8, 9]);
        let fd = &mut guest.vcpus[0].fd;
        let rip = KERNEL + 0xffd;
        fd.set_regs(&kvm_regs { rip, rflags: 2, ..Default::default() }).unwrap();
        let found = take(fd, 0, &guest.ram);
        let bytes = vec![7, 8, 9];
        let wanted = CpuSnapshot { cpu: 0, rip, linear: rip, mode: 64, protected: true, bytes };
        assert_eq!(found, wanted);
        // CS.L decides, in long mode.
        let mut sregs = fd.get_sregs().unwrap();
        (sregs.cs.l, sregs.cs.db) = (0, 1);
        fd.set_sregs(&sregs).unwrap();
        assert_eq!(take(fd, 0, &guest.ram).mode, 32);
    }
}
