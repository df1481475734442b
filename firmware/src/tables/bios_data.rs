//! What a BIOS leaves in low memory, for kernels that are started without one: the interrupt
//! vectors and the BIOS data area.
//!
//! Some kernels read the data area to find the end of low RAM, or call the BIOS in real mode even
//! if their loader has given them a memory map. Xen does both (xen/arch/x86/boot/head.S,
//! trampoline.S). Every BIOS call fails: the carry flag is set and no register changes, as for a
//! function that a BIOS does not have.

use vm_memory::{Bytes, GuestAddress, GuestMemoryBackend, GuestMemoryError};

use crate::layout;

/// Real mode has 256 interrupt vectors, each with a u16 offset and a u16 segment.
const VECTORS: usize = 256;
/// Offsets in page 0, in IBM's layout of the BIOS data area (SeaBIOS, src/std/bda.h). u16: segment
/// of the extended BIOS data area.
const EBDA_SEGMENT: usize = 0x40e;
/// u16: equipment.
const EQUIPMENT: usize = 0x410;
/// Equipment, bit 1: there is a floating-point unit.
const HAS_FPU: u16 = 1 << 1;
/// u16: KiB of low RAM.
const LOW_RAM_KIB: usize = 0x413;
/// Real-mode code. Sets the carry flag of the interrupted code, which is on the stack.
const FAILING_CALL: [u8; 9] = [
    0x55, // push bp
    0x89, 0xe5, // mov bp, sp
    0x80, 0x4e, 0x06, 0x01, // or byte [bp + 6], 1: IP is at 2, CS at 4, FLAGS at 6
    0x5d, // pop bp
    0xcf, // iret
];

/// Writes them. Below [`layout::LOW_PAGES`], that is page 0 up to [`layout::GDT`].
///
/// # Errors
/// The guest has less than 1 MiB of RAM.
pub fn write<M: GuestMemoryBackend>(memory: &M) -> Result<(), GuestMemoryError> {
    let handler = GuestAddress(layout::BIOS_CALL);
    memory.write_slice(&FAILING_CALL, handler)?;
    memory.write_slice(&page_0(), GuestAddress(0))?;
    // u8: its size in KiB.
    let mut ebda = [0; 1 << 10];
    ebda[0] = 1;
    memory.write_slice(&ebda, GuestAddress(layout::EBDA))
}

/// The vectors and the data area.
fn page_0() -> Vec<u8> {
    let [segment, offset] = [layout::BIOS_CALL >> 4 & 0xf000, layout::BIOS_CALL & 0xffff].map(word);
    let mut page = [offset, segment].concat().repeat(VECTORS);
    page.resize(usize::try_from(layout::GDT).unwrap_or_default(), 0);
    let mut put = |at: usize, value: [u8; 2]| page[at..at + 2].copy_from_slice(&value);
    put(EBDA_SEGMENT, word(layout::EBDA >> 4));
    put(EQUIPMENT, HAS_FPU.to_le_bytes());
    put(LOW_RAM_KIB, word(layout::EBDA >> 10));
    page
}

/// The low 16 bits.
fn word(value: u64) -> [u8; 2] {
    let [low, high, ..] = value.to_le_bytes();
    [low, high]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemoryMap;
    use crate::testing::TestRam;

    #[test]
    fn low_memory_ends_at_the_extended_bios_data_area() {
        let ram = TestRam::new(&MemoryMap::new(1 << 20));
        ram.memory().write_slice(&[0xaa; 0x500], GuestAddress(0)).unwrap();
        write(ram.memory()).unwrap();
        assert_eq!(ram.bytes(0x40e, 2), 0x9fc0u16.to_le_bytes());
        assert_eq!(ram.bytes(0x413, 2), 639u16.to_le_bytes());
        assert_eq!(ram.bytes(0x9_fc00, 2), [1, 0]);
        assert_eq!(ram.bytes(0x4f0, 0x10), [0; 0x10], "nothing is left of a previous boot");
    }

    #[test]
    fn every_vector_points_to_the_handler() {
        let page = page_0();
        for vector in page[..0x400].chunks(4) {
            let [offset, segment] = [[vector[0], vector[1]], [vector[2], vector[3]]]
                .map(|bytes| u64::from(u16::from_le_bytes(bytes)));
            assert_eq!(segment * 16 + offset, layout::BIOS_CALL);
        }
    }
}
