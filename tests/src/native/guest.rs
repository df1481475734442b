//! The tiny guest: a 64-bit ELF kernel of some hundred bytes that does one thing after the other, as told by letters.
//!
//! It needs no more of a processor than plain instructions, so that it runs on any KVM, software back-ends included. It
//! first takes the letters that were built into it; then it prints `ready` and takes what it is sent on COM1. A letter
//! that means nothing is printed as it is.
//!
//! | letter | |
//! |---|---|
//! | `P` | powers off by ACPI |
//! | `N` | ends by isa-debug-exit at 0xf4 with the value 0x1234, twice over, and triple-faults |
//! | `Y` | the same one port too low and 32 bits wide: the value is 0x22 |
//! | `R`, `A` | resets by the keyboard controller, by ACPI |
//! | `S` | asks for a reset again and again |
//! | `B` | has all other CPUs print dots for ever |
//! | `C` | counts boots in the CMOS, prints the count, powers off at the third |
//! | `T` | triple-faults |
//! | `E` | executes `fld dword ptr [rax]` on an address without memory, which no KVM can emulate |
//! | `J` | jumps to an address without memory |
//! | `L` | prints the line of a panicking Linux |
//! | `K` | the same, and halts |
//! | `H` | halts |
//! | `D` | prints `done` |
//! | `F` | prints lines for ever |
//! | `G` | runs fw_cfg DMA operations of every kind at addresses of every kind, and says `done`; wants `-m 64M` |
//! | `U` | has fw_cfg write to every page of the initrd by DMA, and says `done` |
//! | `V` | selects every fw_cfg key by port, reads 80 bytes of each, and says `done` |
//! | `Q` | has all other CPUs read from fw_cfg for ever, by port and by DMA |
//! | `O` | reads and writes every port but those that reset |
//! | `W` | the same in all widths, also by string instructions, up to 0x7ff and at the end |
//! | `X` | reads and writes addresses without memory in all widths; wants `-m 64M` |
//! | `I` | reads every page of the initrd, and says `done` |
//! | `M` | reads the 20 MiB from its own start, and says `done` |
//! | `Z` | writes to every page of 16 MiB from 1 MiB after its own start |
#![expect(unsafe_code, reason = "the program lies between two symbols of the assembler")]

use std::arch::global_asm;

/// Where it is loaded.
pub const ADDRESS: u64 = 16 << 20;
/// Where it lies in its file: at a page's start, so that it can be mapped.
pub const OFFSET: u64 = 0x1000;

/// The kernel file: the program, the letters `script`, and zeros to fill it up to `size` bytes of memory.
#[must_use]
pub fn kernel_of(script: &str, size: u64) -> Vec<u8> {
    let mut memory = [program(), script.as_bytes(), &[0]].concat();
    let size = usize::try_from(size).unwrap_or_default();
    memory.resize(memory.len().max(size), 0);
    let mut file = elf_header(62, memory.len() as u64);
    file.resize(0x1000, 0);
    file.extend(memory);
    file
}

/// The kernel file with the letters `script`.
#[must_use]
pub fn kernel(script: &str) -> Vec<u8> {
    kernel_of(script, 0)
}

/// The headers of a 64-bit ELF executable for `machine` (x86-64 is 62) with one segment of `size` bytes.
#[must_use]
pub fn elf_header(machine: u16, size: u64) -> Vec<u8> {
    let mut file = b"\x7fELF\x02\x01\x01".to_vec();
    file.resize(16, 0);
    // e_type EXEC, e_machine, e_version, e_entry, e_phoff
    file.extend(2u16.to_le_bytes());
    file.extend(machine.to_le_bytes());
    file.extend(1u32.to_le_bytes());
    [ADDRESS, 64, 0].iter().for_each(|field| file.extend(field.to_le_bytes()));
    // e_flags, then e_ehsize, e_phentsize, e_phnum, and no sections
    file.extend(0u32.to_le_bytes());
    [64u16, 56, 1, 0, 0, 0].iter().for_each(|field| file.extend(field.to_le_bytes()));
    // p_type LOAD, p_flags RWX; offset, virtual and physical address, size in the file and in memory, alignment
    [1u32, 7].iter().for_each(|field| file.extend(field.to_le_bytes()));
    let fields = [OFFSET, ADDRESS, ADDRESS, size, size, 0x1000];
    fields.iter().for_each(|field| file.extend(field.to_le_bytes()));
    file
}

/// The program's bytes.
fn program() -> &'static [u8] {
    unsafe extern "C" {
        static chukka_tiny_guest_start: u8;
        static chukka_tiny_guest_end: u8;
    }
    let (start, end) = (&raw const chukka_tiny_guest_start, &raw const chukka_tiny_guest_end);
    // SAFETY: both symbols bound one run of constant bytes, which is never written.
    unsafe { std::slice::from_raw_parts(start, end.addr() - start.addr()) }
}

global_asm!(include_str!("guest.s"));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_follows_the_program() {
        let file = kernel("PQ");
        assert!(file.ends_with(b"ever\r\n\0PQ\0"));
        assert_eq!(&file[0x1000..0x1003], [0x49, 0x89, 0xf7], "mov r15, rsi");
        assert_eq!(file.len() - 0x1000, program().len() + 3);
    }
}
