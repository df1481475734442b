//! The registers that gdb sees, in the order of `target.xml`, and how they are read from a vCPU and
//! written to it.

use gdbstub::arch::{Arch, Registers};
use kvm_bindings::{kvm_fpu, kvm_regs, kvm_segment, kvm_sregs};
use kvm_ioctls::VcpuFd;

/// x86-64, whatever mode a CPU is in: gdb cannot change the architecture of a connection.
#[derive(Debug)]
pub enum X86 {}

impl Arch for X86 {
    type Usize = u64;
    type Registers = CpuRegisters;
    type BreakpointKind = usize;
    type RegId = ();

    fn target_description_xml() -> Option<&'static str> {
        Some(include_str!("target.xml"))
    }
}

/// The size of all registers in a `g` packet, in bytes.
const SIZE: usize = 16 * 8 + 8 + 4 + 6 * 4 + 8 * 10 + 8 * 4 + 16 * 16 + 4 + 2 * 8 + 6 * 8;

/// The registers of a CPU.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CpuRegisters {
    /// RAX, RBX, RCX, RDX, RSI, RDI, RBP, RSP, R8 to R15.
    pub general: [u64; 16],
    /// The linear address of the next instruction: RIP, plus the base of CS in modes that use it.
    /// gdb knows nothing of segments; only with linear addresses does it recognize its breakpoints.
    pub pc: u64,
    /// RFLAGS, of which the upper half is reserved.
    pub eflags: u32,
    /// The selectors of CS, SS, DS, ES, FS and GS.
    pub selectors: [u16; 6],
    /// ST0 to ST7.
    pub st: [[u8; 10]; 8],
    /// Control, status and tag word, instruction and operand pointer, opcode of the x87, in gdb's
    /// order.
    pub fpu: [u32; 8],
    /// XMM0 to XMM15.
    pub xmm: [[u8; 16]; 16],
    /// MXCSR.
    pub mxcsr: u32,
    /// The bases of FS and GS.
    pub bases: [u64; 2],
    /// CR0, CR2, CR3, CR4, CR8 and EFER.
    pub system: [u64; 6],
}

impl Registers for CpuRegisters {
    type ProgramCounter = u64;

    fn pc(&self) -> u64 {
        self.pc
    }

    fn gdb_serialize(&self, mut write_byte: impl FnMut(Option<u8>)) {
        let mut put = |bytes: &[u8]| bytes.iter().for_each(|byte| write_byte(Some(*byte)));
        self.general.iter().chain([&self.pc]).for_each(|value| put(&value.to_le_bytes()));
        put(&self.eflags.to_le_bytes());
        self.selectors.iter().for_each(|value| put(&u32::from(*value).to_le_bytes()));
        self.st.iter().for_each(|value| put(value));
        self.fpu.iter().for_each(|value| put(&value.to_le_bytes()));
        self.xmm.iter().for_each(|value| put(value));
        put(&self.mxcsr.to_le_bytes());
        self.bases.iter().chain(&self.system).for_each(|value| put(&value.to_le_bytes()));
    }

    fn gdb_deserialize(&mut self, bytes: &[u8]) -> Result<(), ()> {
        if bytes.len() != SIZE {
            return Err(());
        }
        let mut rest = bytes;
        self.general = std::array::from_fn(|_| u64::from_le_bytes(take(&mut rest)));
        self.pc = u64::from_le_bytes(take(&mut rest));
        self.eflags = u32::from_le_bytes(take(&mut rest));
        self.selectors = std::array::from_fn(|_| {
            let [low, high, ..] = take::<4>(&mut rest);
            u16::from_le_bytes([low, high])
        });
        self.st = std::array::from_fn(|_| take(&mut rest));
        self.fpu = std::array::from_fn(|_| u32::from_le_bytes(take(&mut rest)));
        self.xmm = std::array::from_fn(|_| take(&mut rest));
        self.mxcsr = u32::from_le_bytes(take(&mut rest));
        self.bases = std::array::from_fn(|_| u64::from_le_bytes(take(&mut rest)));
        self.system = std::array::from_fn(|_| u64::from_le_bytes(take(&mut rest)));
        Ok(())
    }
}

/// Takes `N` bytes from the front; zeros if there are fewer.
fn take<const N: usize>(rest: &mut &[u8]) -> [u8; N] {
    match rest.split_first_chunk() {
        Some((bytes, after)) => {
            *rest = after;
            *bytes
        }
        None => [0; N],
    }
}

/// EFER.LMA: long mode is active.
const LONG_MODE_ACTIVE: u64 = 1 << 10;

/// What is added to RIP for a linear address.
pub fn code_base(sregs: &kvm_sregs) -> u64 {
    let long = sregs.efer & LONG_MODE_ACTIVE != 0 && sregs.cs.l != 0;
    if long { 0 } else { sregs.cs.base }
}

impl CpuRegisters {
    /// Reads the registers of a stopped vCPU.
    ///
    /// # Errors
    /// KVM refused.
    pub fn read(fd: &VcpuFd) -> Result<Self, kvm_ioctls::Error> {
        let registers = Self::of(&fd.get_regs()?, &fd.get_sregs()?, &fd.get_fpu()?);
        // KVM_GET_FPU leaves MXCSR out; it is in the legacy area of XSAVE, from byte 24 on.
        let mxcsr = fd.get_xsave()?.region[6];
        Ok(Self { mxcsr, ..registers })
    }

    fn of(regs: &kvm_regs, sregs: &kvm_sregs, fpu: &kvm_fpu) -> Self {
        let r = regs;
        let segments = [&sregs.cs, &sregs.ss, &sregs.ds, &sregs.es, &sregs.fs, &sregs.gs];
        let [ip, dp] = [fpu.last_ip, fpu.last_dp].map(|at| at.to_le_bytes());
        let low = |bytes: [u8; 8]| u32::from_le_bytes(take(&mut &bytes[..4]));
        let tags = (0..8).filter(|n| fpu.ftwx & 1 << n == 0).fold(0, |tags, n| tags | 3 << (2 * n));
        Self {
            general: [
                r.rax, r.rbx, r.rcx, r.rdx, r.rsi, r.rdi, r.rbp, r.rsp, r.r8, r.r9, r.r10, r.r11,
                r.r12, r.r13, r.r14, r.r15,
            ],
            pc: code_base(sregs).wrapping_add(r.rip),
            eflags: u32::from_le_bytes(take(&mut &r.rflags.to_le_bytes()[..])),
            selectors: segments.map(|segment| segment.selector),
            st: fpu.fpr.map(|value| take(&mut &value[..])),
            fpu: [
                fpu.fcw.into(),
                fpu.fsw.into(),
                tags,
                0,
                low(ip),
                0,
                low(dp),
                fpu.last_opcode.into(),
            ],
            xmm: fpu.xmm,
            mxcsr: 0,
            bases: [sregs.fs.base, sregs.gs.base],
            system: [sregs.cr0, sregs.cr2, sregs.cr3, sregs.cr4, sregs.cr8, sregs.efer],
        }
    }

    /// Writes the registers of a stopped vCPU. Of those that differ: pointers and opcode of the x87
    /// stay as they are, and a selector can change in real mode only.
    ///
    /// # Errors
    /// KVM refused, or MXCSR or a selector of protected mode would change.
    pub fn write(&self, fd: &VcpuFd) -> Result<(), kvm_ioctls::Error> {
        let (mut sregs, mut fpu) = (fd.get_sregs()?, fd.get_fpu()?);
        let before = Self::read(fd)?;
        if before.mxcsr != self.mxcsr {
            return Err(kvm_ioctls::Error::new(libc::EINVAL));
        }
        if (before.selectors, before.bases, before.system)
            != (self.selectors, self.bases, self.system)
        {
            self.change_system(&before, &mut sregs)?;
            fd.set_sregs(&sregs)?;
        }
        if (before.st, before.fpu, before.xmm) != (self.st, self.fpu, self.xmm) {
            self.change_fpu(&mut fpu);
            fd.set_fpu(&fpu)?;
        }
        let [rax, rbx, rcx, rdx, rsi, rdi, rbp, rsp, r8, r9, r10, r11, r12, r13, r14, r15] =
            self.general;
        let rip = self.pc.wrapping_sub(code_base(&sregs));
        let rflags = self.eflags.into();
        fd.set_regs(&kvm_regs {
            rax,
            rbx,
            rcx,
            rdx,
            rsi,
            rdi,
            rbp,
            rsp,
            r8,
            r9,
            r10,
            r11,
            r12,
            r13,
            r14,
            r15,
            rip,
            rflags,
        })
    }

    fn change_system(&self, before: &Self, sregs: &mut kvm_sregs) -> Result<(), kvm_ioctls::Error> {
        let real = sregs.cr0 & 1 == 0;
        let kvm_sregs { cs, ss, ds, es, fs, gs, .. } = sregs;
        let segments: [&mut kvm_segment; 6] = [cs, ss, ds, es, fs, gs];
        for (segment, selector) in segments.into_iter().zip(self.selectors) {
            if segment.selector == selector {
                continue;
            }
            if !real {
                return Err(kvm_ioctls::Error::new(libc::EINVAL));
            }
            segment.selector = selector;
            segment.base = u64::from(selector) << 4;
        }
        if self.bases != before.bases {
            [sregs.fs.base, sregs.gs.base] = self.bases;
        }
        [sregs.cr0, sregs.cr2, sregs.cr3, sregs.cr4, sregs.cr8, sregs.efer] = self.system;
        Ok(())
    }

    fn change_fpu(&self, fpu: &mut kvm_fpu) {
        for (to, from) in fpu.fpr.iter_mut().zip(self.st) {
            to[..10].copy_from_slice(&from);
        }
        let low = |value: u32| {
            let [low, high, ..] = value.to_le_bytes();
            u16::from_le_bytes([low, high])
        };
        let [control, status, tags, ..] = self.fpu;
        (fpu.fcw, fpu.fsw) = (low(control), low(status));
        fpu.ftwx = (0..8).filter(|n| tags >> (2 * n) & 3 != 3).fold(0, |bits, n| bits | 1 << n);
        fpu.xmm = self.xmm;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::Guest;

    fn bytes(registers: &CpuRegisters) -> Vec<u8> {
        let mut bytes = Vec::new();
        registers.gdb_serialize(|byte| bytes.extend(byte));
        bytes
    }

    #[test]
    fn what_gdb_reads_it_can_write_back() {
        let regs = kvm_regs { rax: 1, r15: 15, rip: 0xfff0, rflags: 2, ..Default::default() };
        let mut sregs = kvm_sregs { cr0: 0x10, cr3: 0x9000, ..Default::default() };
        (sregs.cs.selector, sregs.cs.base) = (0xf000, 0xf_0000);
        let fpu = kvm_fpu { fcw: 0x37f, ftwx: 0b101, mxcsr: 0x1f80, ..Default::default() };
        let registers = CpuRegisters::of(&regs, &sregs, &fpu);
        assert_eq!(registers.pc, 0xf_fff0, "a linear address in real mode");
        assert_eq!(registers.fpu[2], 0xffcc, "two bits for each register: 3 is empty");
        let sent = bytes(&registers);
        assert_eq!(sent.len(), SIZE);
        let mut back = CpuRegisters::default();
        assert_eq!(back.gdb_deserialize(&sent), Ok(()));
        assert_eq!(back, registers);
        assert_eq!(back.gdb_deserialize(&sent[1..]), Err(()));
        (back.fpu[0], back.fpu[1], back.fpu[2]) = (0x27f, 0x3800, 0x3ffc);
        (back.st[7], back.xmm[15]) = ([7; 10], [15; 16]);
        let mut changed = fpu;
        back.change_fpu(&mut changed);
        assert_eq!((changed.ftwx, changed.fcw, changed.fsw), (0b1000_0001, 0x27f, 0x3800));
        assert_eq!((&changed.fpr[7][..10], changed.xmm[15]), (&[7; 10][..], [15; 16]));
    }

    #[test]
    fn the_description_has_as_many_bits_as_a_packet() {
        let xml = X86::target_description_xml().unwrap();
        let bits = xml.split("bitsize=\"").skip(1).map(|rest| rest.split('"').next().unwrap());
        assert_eq!(bits.map(|bits| bits.parse::<usize>().unwrap()).sum::<usize>(), SIZE * 8);
    }

    #[test]
    fn in_64_bit_mode_the_base_of_cs_does_not_count() {
        let mut sregs = kvm_sregs { efer: LONG_MODE_ACTIVE, ..Default::default() };
        (sregs.cs.base, sregs.cs.l) = (0x1000, 1);
        assert_eq!(code_base(&sregs), 0);
        sregs.cs.l = 0;
        assert_eq!(code_base(&sregs), 0x1000);
        // CS.L counts in long mode only.
        (sregs.efer, sregs.cs.l) = (0, 1);
        assert_eq!(code_base(&sregs), 0x1000);
    }

    #[test]
    fn selectors_change_in_real_mode_only() {
        let before = CpuRegisters::default();
        let wanted = CpuRegisters { selectors: [0x1234, 0, 0, 0, 0, 0], ..before.clone() };
        let mut sregs = kvm_sregs::default();
        assert!(wanted.change_system(&before, &mut sregs).is_ok());
        assert_eq!((sregs.cs.selector, sregs.cs.base), (0x1234, 0x1_2340));
        let mut sregs = kvm_sregs { cr0: 1, ..Default::default() };
        assert!(wanted.change_system(&before, &mut sregs).is_err());
    }

    #[test]
    fn bases_of_fs_and_gs_change_alone_or_with_their_selectors() {
        let before = CpuRegisters::default();
        let mut sregs = kvm_sregs::default();
        let wanted = CpuRegisters { bases: [0x5000, 0x6000], ..before.clone() };
        assert!(wanted.change_system(&before, &mut sregs).is_ok());
        assert_eq!((sregs.fs.base, sregs.gs.base), (0x5000, 0x6000));
        // gdb writes all registers: bases that it has not changed follow the selectors.
        let mut sregs = kvm_sregs::default();
        let wanted = CpuRegisters { selectors: [0, 0, 0, 0, 0x10, 0x20], ..before.clone() };
        assert!(wanted.change_system(&before, &mut sregs).is_ok());
        assert_eq!((sregs.fs.base, sregs.gs.base), (0x100, 0x200));
    }

    #[test]
    fn registers_of_a_cpu_are_read_and_written() {
        let Some(guest) = Guest::new(&[]) else { return };
        let fd = &guest.vcpus[0].fd;
        let before = CpuRegisters::read(fd).unwrap();
        assert_eq!((before.pc(), before.mxcsr), (0x1000, 0x1f80), "as after a reset");
        let write = |change: fn(&mut CpuRegisters)| {
            let mut wanted = before.clone();
            change(&mut wanted);
            wanted.write(fd).unwrap();
            assert_eq!(CpuRegisters::read(fd).unwrap(), wanted);
            before.write(fd).unwrap();
            assert_eq!(CpuRegisters::read(fd).unwrap(), before);
        };
        write(|registers| (registers.general[3], registers.eflags) = (0x1234, 0x202));
        write(|registers| (registers.xmm[1], registers.st[2]) = ([7; 16], [9; 10]));
        write(|registers| registers.bases = [0x5000, 0x6000]);
        write(|registers| registers.pc = 0x1234);
        let mut wanted = before.clone();
        wanted.mxcsr = 0x1fa0;
        assert!(wanted.write(fd).is_err(), "KVM_SET_FPU has no MXCSR");
        // gdb's pc is a linear address, wherever CS begins.
        (wanted.mxcsr, wanted.selectors[0], wanted.pc) = (before.mxcsr, 0x80, 0x1010);
        wanted.write(fd).unwrap();
        assert_eq!((fd.get_regs().unwrap().rip, fd.get_sregs().unwrap().cs.base), (0x810, 0x800));
    }
}
