//! The notes of a core dump: what each CPU had in its registers.
//!
//! Sources: `struct elf_prstatus` in Linux's include/linux/elfcore.h; `QEMUCPUState` in QEMU's
//! target/i386/arch_dump.c.

use kvm_bindings::{kvm_dtable, kvm_segment};

use crate::kvm::core_registers::CoreRegisters;

/// `NT_PRSTATUS` (elf(5)).
const PRSTATUS: u32 = 1;
/// Bytes of a `struct elf_prstatus`, the offset of the process's id, and that of the registers.
const PRSTATUS_SIZE: usize = 336;
const PRSTATUS_PID: usize = 32;
const PRSTATUS_REGISTERS: usize = 112;
/// Bytes of a `QEMUCPUState`, version 1.
const QEMU_STATE_SIZE: u32 = 440;

/// The notes of all CPUs: those that everybody reads, then QEMU's, by which `crash` and drgn find
/// the control registers.
pub(super) fn of_cpus(cpus: &[CoreRegisters]) -> Vec<u8> {
    let mut notes = Vec::new();
    for cpu in cpus {
        push(&mut notes, b"CORE\0", PRSTATUS, &prstatus(cpu));
    }
    for cpu in cpus {
        push(&mut notes, b"QEMU\0", 0, &qemu_state(cpu));
    }
    notes
}

/// Adds a note. Name and descriptor are padded to 4 bytes.
fn push(notes: &mut Vec<u8>, name: &[u8], kind: u32, descriptor: &[u8]) {
    let size = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or_default().to_le_bytes();
    notes.extend(size(name));
    notes.extend(size(descriptor));
    notes.extend(kind.to_le_bytes());
    for part in [name, descriptor] {
        notes.extend(part);
        notes.resize(notes.len().next_multiple_of(4), 0);
    }
}

/// The CPU as a process: its number, from 1, is the process's id, as in QEMU.
fn prstatus(cpu: &CoreRegisters) -> Vec<u8> {
    let (r, s) = (&cpu.general, &cpu.system);
    let selector = |segment: &kvm_segment| u64::from(segment.selector);
    // `struct user_regs_struct` in Linux's asm/user_64.h.
    let registers = [
        r.r15,
        r.r14,
        r.r13,
        r.r12,
        r.rbp,
        r.rbx,
        r.r11,
        r.r10,
        r.r9,
        r.r8,
        r.rax,
        r.rcx,
        r.rdx,
        r.rsi,
        r.rdi,
        u64::MAX,
        r.rip,
        selector(&s.cs),
        r.rflags,
        r.rsp,
        selector(&s.ss),
        s.fs.base,
        s.gs.base,
        selector(&s.ds),
        selector(&s.es),
        selector(&s.fs),
        selector(&s.gs),
    ];
    let mut bytes = vec![0; PRSTATUS_SIZE];
    bytes[PRSTATUS_PID..PRSTATUS_PID + 4].copy_from_slice(&(u32::from(cpu.cpu) + 1).to_le_bytes());
    for (place, register) in bytes[PRSTATUS_REGISTERS..].chunks_exact_mut(8).zip(registers) {
        place.copy_from_slice(&register.to_le_bytes());
    }
    bytes
}

fn qemu_state(cpu: &CoreRegisters) -> Vec<u8> {
    const VERSION: u32 = 1;
    let (r, s) = (&cpu.general, &cpu.system);
    let mut bytes = [VERSION.to_le_bytes(), QEMU_STATE_SIZE.to_le_bytes()].concat();
    let general = [
        r.rax, r.rbx, r.rcx, r.rdx, r.rsi, r.rdi, r.rsp, r.rbp, r.r8, r.r9, r.r10, r.r11, r.r12,
        r.r13, r.r14, r.r15, r.rip, r.rflags,
    ];
    bytes.extend(general.iter().flat_map(|register| register.to_le_bytes()));
    for part in [&s.cs, &s.ds, &s.es, &s.fs, &s.gs, &s.ss, &s.ldt, &s.tr] {
        segment(&mut bytes, part.selector.into(), part.limit, flags(part), part.base);
    }
    for kvm_dtable { base, limit, .. } in [s.gdt, s.idt] {
        segment(&mut bytes, 0, limit.into(), 0, base);
    }
    let control = [s.cr0, 0, s.cr2, s.cr3, s.cr4, cpu.kernel_gs_base];
    bytes.extend(control.iter().flat_map(|register| register.to_le_bytes()));
    bytes
}

/// `QEMUCPUSegment`: four words, the last of them padding, and the base.
fn segment(bytes: &mut Vec<u8>, selector: u32, limit: u32, flags: u32, base: u64) {
    for word in [selector, limit, flags, 0] {
        bytes.extend(word.to_le_bytes());
    }
    bytes.extend(base.to_le_bytes());
}

/// A segment's attributes where its descriptor has them, in the upper word (`DESC_*_SHIFT` in
/// QEMU's target/i386/cpu.h).
fn flags(segment: &kvm_segment) -> u32 {
    let bit = |value: u8, at: u32| u32::from(value) << at;
    bit(segment.type_, 8)
        | bit(segment.s, 12)
        | bit(segment.dpl, 13)
        | bit(segment.present, 15)
        | bit(segment.avl, 20)
        | bit(segment.l, 21)
        | bit(segment.db, 22)
        | bit(segment.g, 23)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_have_the_sizes_and_the_places_of_linux_and_qemu() {
        let mut cpu = CoreRegisters { cpu: 1, ..CoreRegisters::default() };
        cpu.general.rip = 0x1122_3344_5566_7788;
        cpu.system.cr3 = 0xabc0_0000;
        cpu.system.cs =
            kvm_segment { l: 1, type_: 0xb, s: 1, present: 1, g: 1, ..Default::default() };
        cpu.kernel_gs_base = 77;
        let (status, state) = (prstatus(&cpu), qemu_state(&cpu));
        assert_eq!((status.len(), state.len()), (PRSTATUS_SIZE, QEMU_STATE_SIZE as usize));
        assert_eq!(status[32..36], [2, 0, 0, 0]);
        // 16 registers come before RIP; in QEMU's, too, after two words.
        assert_eq!(status[112 + 128..][..8], 0x1122_3344_5566_7788u64.to_le_bytes());
        assert_eq!(state[8 + 128..][..8], 0x1122_3344_5566_7788u64.to_le_bytes());
        assert_eq!(state[152 + 8..][..4], 0x00a0_9b00u32.to_le_bytes(), "a 64-bit code segment");
        assert_eq!(state[392 + 24..][..8], 0xabc0_0000u64.to_le_bytes());
        assert_eq!(state[432..], 77u64.to_le_bytes());
        let notes = of_cpus(&[cpu]);
        assert_eq!(notes.len(), 12 + 8 + PRSTATUS_SIZE + 12 + 8 + 440);
    }
}
