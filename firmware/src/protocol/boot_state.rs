//! The initial registers of the boot CPU as plain data, which every boot method passes to the vCPU.

use vm_memory::{Bytes, GuestAddress, GuestMemoryBackend, GuestMemoryError};

use crate::layout;

/// A segment register with its hidden part, in the form of a descriptor (Intel SDM vol. 3, 3.4.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Visible selector.
    pub selector: u16,
    /// First linear address.
    pub base: u32,
    /// Last offset in bytes, granularity already applied.
    pub limit: u32,
    /// Descriptor type, 4 bits; with `system` false, bit 3 is "code".
    pub kind: u8,
    /// A system segment (here: the TSS), as opposed to code or data.
    pub system: bool,
    /// 64-bit code (L).
    pub long: bool,
    /// 32-bit default operand size (D/B).
    pub big: bool,
    /// The limit is in pages, not bytes (G).
    pub pages: bool,
}

impl Segment {
    const fn flat(selector: u16, kind: u8, long: bool) -> Self {
        Self {
            selector,
            base: 0,
            limit: u32::MAX,
            kind,
            system: false,
            long,
            big: !long,
            pages: true,
        }
    }

    /// A real-mode segment after reset: 64 KiB.
    const fn real(selector: u16, kind: u8) -> Self {
        Self { limit: 0xffff, big: false, pages: false, ..Self::flat(selector, kind, false) }
    }

    /// The 8-byte descriptor for this segment (Intel SDM vol. 3, figure 3-8).
    pub fn descriptor(&self) -> u64 {
        let limit = u64::from(if self.pages { self.limit >> 12 } else { self.limit });
        let base = u64::from(self.base);
        let flags =
            u64::from(self.pages) << 3 | u64::from(self.big) << 2 | u64::from(self.long) << 1;
        let access = 0x80 | u64::from(!self.system) << 4 | u64::from(self.kind);
        (limit & 0xffff)
            | (base & 0xff_ffff) << 16
            | access << 40
            | (limit >> 16 & 0xf) << 48
            | flags << 52
            | (base >> 24) << 56
    }
}

/// Code segment, accessed, readable.
const CODE: u8 = 0xb;
/// Data segment, accessed, writable.
const DATA: u8 = 0x3;
/// Busy 32-bit (or, in long mode, 64-bit) task state segment.
const BUSY_TSS: u8 = 0xb;

/// CR0: protection enable.
const CR0_PE: u64 = 1;
/// CR0: extension type, always 1.
const CR0_ET: u64 = 1 << 4;
/// CR0: not write-through; set by a reset.
const CR0_NW: u64 = 1 << 29;
/// CR0: cache disable; set by a reset.
const CR0_CD: u64 = 1 << 30;
/// CR0: paging.
const CR0_PG: u64 = 1 << 31;
/// CR4: physical address extension.
const CR4_PAE: u64 = 1 << 5;
/// EFER: long mode enabled and active.
const EFER_LME_LMA: u64 = 1 << 8 | 1 << 10;

/// Registers of the boot CPU at its first instruction. Registers not listed here are zero or have
/// their reset values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BootState {
    /// First instruction.
    pub rip: u64,
    /// RAX: the loader's magic in the multiboot protocols.
    pub rax: u64,
    /// RSI: the zero page in the Linux boot protocol.
    pub rsi: u64,
    /// RBX: the start info in the PVH boot protocol, the boot information in the multiboot
    /// protocols.
    pub rbx: u64,
    /// Code segment.
    pub cs: Segment,
    /// DS, ES, FS, GS and SS.
    pub data: Segment,
    /// Task register; VM entry requires a busy TSS.
    pub tr: Segment,
    /// CR0.
    pub cr0: u64,
    /// CR3: physical address of the top page table.
    pub cr3: u64,
    /// CR4.
    pub cr4: u64,
    /// IA32_EFER.
    pub efer: u64,
    /// Guest-physical address of the GDT.
    pub gdt_base: u64,
    /// Offset of the last byte of the GDT.
    pub gdt_limit: u16,
    /// Offset of the last byte of the IDT, which is at address 0.
    pub idt_limit: u16,
}

impl BootState {
    /// Long mode with paging enabled, as required by the 64-bit Linux boot protocol
    /// (Documentation/arch/x86/boot.rst, "64-bit Boot Protocol"): `__BOOT_CS` 0x10, `__BOOT_DS`
    /// 0x18, interrupts disabled, RSI points to the zero page.
    pub fn linux64(entry: u64, zero_page: u64) -> Self {
        Self {
            rip: entry,
            rsi: zero_page,
            cs: Segment::flat(0x10, CODE, true),
            cr0: CR0_PE | CR0_ET | CR0_PG,
            cr3: layout::PML4,
            cr4: CR4_PAE,
            efer: EFER_LME_LMA,
            ..Self::protected(entry)
        }
    }

    /// 32-bit protected mode without paging, as required by PVH (Xen's docs/misc/pvh.pandoc): EBX
    /// points to the start info.
    pub fn pvh(entry: u32, start_info: u64) -> Self {
        Self { rbx: start_info, ..Self::protected(u64::from(entry)) }
    }

    /// 32-bit protected mode without paging, as required by the 32-bit Linux boot protocol
    /// (boot.rst, "32-bit Boot Protocol"): `__BOOT_CS` 0x10, `__BOOT_DS` 0x18, interrupts disabled,
    /// ESI points to the zero page; EBP, EDI and EBX are 0.
    pub fn linux32(entry: u64, zero_page: u64) -> Self {
        Self { rsi: zero_page, ..Self::protected(entry) }
    }

    /// 32-bit protected mode without paging, as required by Multiboot (specification 0.6.96, 3.2
    /// "Machine state"; 2.0, 3.3): EAX is the loader's magic number, EBX points to the boot
    /// information.
    pub fn multiboot(entry: u32, magic: u32, information: u64) -> Self {
        Self { rax: magic.into(), rbx: information, ..Self::protected(u64::from(entry)) }
    }

    /// Moves the GDT to `address`, for a kernel that is loaded over its usual location.
    #[must_use]
    pub fn with_gdt_at(self, address: u64) -> Self {
        Self { gdt_base: address, ..self }
    }

    fn protected(rip: u64) -> Self {
        let tr = Segment {
            selector: 0x20,
            limit: 0x67,
            big: false,
            pages: false,
            system: true,
            ..Segment::flat(0, BUSY_TSS, false)
        };
        Self {
            rip,
            rax: 0,
            rsi: 0,
            rbx: 0,
            cs: Segment::flat(0x10, CODE, false),
            data: Segment::flat(0x18, DATA, false),
            tr,
            cr0: CR0_PE | CR0_ET,
            cr3: 0,
            cr4: 0,
            efer: 0,
            gdt_base: layout::GDT,
            gdt_limit: 5 * 8 - 1,
            idt_limit: 0,
        }
    }

    /// The state of a processor after reset (Intel SDM vol. 3, table 10-1): real mode, at
    /// [`layout::HIGH_RESET_VECTOR`], which is in the last 16 bytes of the firmware's ROM. It needs
    /// no tables.
    pub fn reset_vector() -> Self {
        const SELECTOR: u16 = 0xf000;
        const OFFSET: u64 = 0xfff0;
        let base = u32::try_from(layout::HIGH_RESET_VECTOR - OFFSET).unwrap_or_default();
        let cs = Segment { base, ..Segment::real(SELECTOR, CODE) };
        let tr = Segment { system: true, ..Segment::real(0, BUSY_TSS) };
        Self {
            rip: OFFSET,
            cs,
            data: Segment::real(0, DATA),
            tr,
            cr0: CR0_ET | CR0_NW | CR0_CD,
            gdt_base: 0,
            gdt_limit: 0xffff,
            idt_limit: 0xffff,
            ..Self::protected(OFFSET)
        }
    }

    /// Writes the tables the registers point to into guest memory: the GDT and, if paging is
    /// enabled, the identity map of 4 GiB.
    ///
    /// # Errors
    /// Guest memory is too small for the tables.
    pub fn write_tables<M: GuestMemoryBackend>(&self, memory: &M) -> Result<(), GuestMemoryError> {
        let gdt = [0, 0, self.cs.descriptor(), self.data.descriptor(), self.tr.descriptor()];
        write_u64s(memory, self.gdt_base, &gdt)?;
        if self.cr0 & CR0_PG == 0 {
            return Ok(());
        }
        const PRESENT_WRITABLE: u64 = 0b11;
        const HUGE: u64 = 1 << 7;
        let pdpt: Vec<u64> = (0..layout::PAGE_DIRECTORY_COUNT)
            .map(|i| (layout::PAGE_DIRECTORIES + i * layout::PAGE_SIZE) | PRESENT_WRITABLE)
            .collect();
        let directories: Vec<u64> = (0..layout::PAGE_DIRECTORY_COUNT * 512)
            .map(|i| i << 21 | HUGE | PRESENT_WRITABLE)
            .collect();
        write_page(memory, layout::PML4, &[layout::PDPT | PRESENT_WRITABLE])?;
        write_page(memory, layout::PDPT, &pdpt)?;
        write_u64s(memory, layout::PAGE_DIRECTORIES, &directories)
    }
}

fn write_u64s<M: GuestMemoryBackend>(
    memory: &M,
    at: u64,
    values: &[u64],
) -> Result<(), GuestMemoryError> {
    let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    memory.write_slice(&bytes, GuestAddress(at))
}

/// Writes a whole page: `values`, then zeros (the page may still contain data of a previous boot).
fn write_page<M: GuestMemoryBackend>(
    memory: &M,
    at: u64,
    values: &[u64],
) -> Result<(), GuestMemoryError> {
    let mut page = [0; 512];
    page[..values.len()].copy_from_slice(values);
    write_u64s(memory, at, &page)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::memory_map::MemoryMap;
    use crate::testing::TestRam;

    #[test]
    fn descriptors_are_those_linux_uses() {
        // arch/x86/boot/compressed/head_64.S, gdt64: __KERNEL_CS 0x00af9a.., __KERNEL_DS 0x00cf92..
        // (plus the accessed bit)
        let state = BootState::linux64(0x100_0200, layout::ZERO_PAGE);
        assert_eq!(state.cs.descriptor(), 0x00af_9b00_0000_ffff);
        assert_eq!(state.data.descriptor(), 0x00cf_9300_0000_ffff);
        assert_eq!(state.tr.descriptor(), 0x0000_8b00_0000_0067);
        assert_eq!(BootState::pvh(0, 0).cs.descriptor(), 0x00cf_9b00_0000_ffff);
    }

    #[test]
    fn base_and_limit_are_spread_over_a_descriptor() {
        let segment = Segment {
            base: 0x1234_5678,
            limit: 0x9_abcd,
            pages: false,
            ..Segment::flat(8, CODE, false)
        };
        assert_eq!(segment.descriptor(), 0x1249_9b34_5678_abcd);
    }

    #[test]
    fn kernels_start_in_protected_mode_and_linux_at_64_bits_with_paging() {
        let (long, protected) = (BootState::linux64(0, 0), BootState::pvh(0, 0));
        assert_eq!((long.cr0, long.cr4, long.efer), (0x8000_0011, 0x20, 0x500));
        assert_eq!((protected.cr0, protected.cr4, protected.efer), (0x11, 0, 0));
        assert_eq!((long.gdt_limit, protected.gdt_limit), (39, 39), "five descriptors");
    }

    #[test]
    fn identity_map_covers_the_first_4_gib() {
        let ram = TestRam::new(&MemoryMap::new(1 << 20));
        let state = BootState::linux64(0, 0);
        ram.memory().write_slice(&[0xff; 4096], GuestAddress(layout::PML4)).unwrap();
        state.write_tables(ram.memory()).unwrap();
        let word = |at: u64| u64::from_le_bytes(ram.bytes(at, 8).try_into().unwrap());
        for address in [0u64, 0x20_0000, 0x3fff_ffff, 0x8000_0000, 0xffff_ffff] {
            let pdpt = word(state.cr3 + (address >> 39) * 8) & !0xfff;
            let directory = word(pdpt + (address >> 30) * 8) & !0xfff;
            let entry = word(directory + (address >> 21 & 511) * 8);
            assert_eq!(entry & 0x83, 0x83, "present, writable, 2 MiB");
            assert_eq!(entry & !0xfff, address & !0x1f_ffff);
        }
        assert_eq!(word(state.cr3 + 8), 0, "nothing is left of what the page held before");
    }

    #[test]
    fn a_reset_starts_16_bytes_below_4_gib_in_real_mode() {
        let state = BootState::reset_vector();
        assert_eq!(u64::from(state.cs.base) + state.rip, 0xffff_fff0);
        assert_eq!((state.cs.selector, state.cs.limit, state.cs.big), (0xf000, 0xffff, false));
        assert_eq!((state.cr0, state.cr4, state.efer), (0x6000_0010, 0, 0));
    }

    #[test]
    fn pvh_needs_no_page_tables() {
        let ram = TestRam::new(&MemoryMap::new(1 << 20));
        BootState::pvh(0x100_0000, layout::PVH_START_INFO).write_tables(ram.memory()).unwrap();
        assert_eq!(ram.bytes(layout::PML4, 16), [0; 16]);
    }
}
