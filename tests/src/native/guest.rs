//! The tiny guest: a 64-bit kernel of a few hundred bytes that executes a script of letters.
//!
//! It is an ELF file, or a bzImage, which also boots through firmware: at its 32-bit entry through
//! the built-in firmware, in real mode through an option ROM.
//!
//! It uses only plain instructions, so it runs on any KVM, including software back-ends. It first
//! executes its built-in script, then prints `ready` and executes the letters that it receives on
//! COM1. It echoes unknown letters.
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
//! | `=` | prints a sum of the first 8 bytes of every page of the initrd, see [`sum_of_pages`] |
//! | `$` | prints address, size and last 8 bytes of the initrd, wherever it is in 16 GiB |
//! | `@` | has fw_cfg put the initrd where it is once more, and prints what became of it: `0`, or `1` for an error |
//! | `*` | begins its script again |
//! | `"` | prints the bytes of its script up to the next `"` |
//! | `,` | reads bytes from COM1 up to the end of a line |
//! | `{` | writes a boot sector to the first virtio disk of microvm. Booted, it prints the bytes of the script up to the next `"`; a `!` among them powers off |
//! | `}` | writes the same to the second sector, where no BIOS finds it |
//! | `>` | has the first virtio console of microvm print 64 pages, one each of the characters from 0x20 to 0x5f, by one request, and goes on at once |
//! | `&` | has the first network card of microvm ask by ARP who has 10.0.2.2, and waits for the first frame |
//! | `^` | says by pvpanic that its kernel has panicked, and halts |
//! | `%` | sets the watchdog of pc to less than a second, and goes on |
//! | `:` | reads port 0x608 for ever |
//! | `;` | halts with interrupts on and no timer set |
//! | `~` | spins: jumps to the same instruction for ever, with interrupts off |
//!
//! Numbers are printed as 16 hexadecimal digits and a space.
#![expect(unsafe_code, reason = "the program lies between two symbols of the assembler")]

use std::arch::global_asm;

use super::image::BzImage;

/// Where it is loaded.
pub const ADDRESS: u64 = 16 << 20;
/// Its offset in its file, at a page boundary, so that it can be mapped.
pub const OFFSET: u64 = 0x1000;

/// Where a bzImage's set-up code goes on, after its header.
const REAL_MODE_ENTRY: usize = 0x26c;
/// Where a bzImage's 64-bit entry is, after its 32-bit one.
const ENTRY_64: usize = 0x200;

/// The kernel file: the program, the letters `script`, and zeros to fill it up to `size` bytes of
/// memory.
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

/// The same as a bzImage: the real-mode entry, the 32-bit one, the program with the letters
/// `script`.
#[must_use]
pub fn bzimage(script: &str) -> Vec<u8> {
    let mut file = BzImage::default().file();
    let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
    put(REAL_MODE_ENTRY, real_mode_code());
    let start = BzImage::PAYLOAD_OFFSET;
    put(start, protected_mode_code());
    put(start + ENTRY_64, &[program(), script.as_bytes(), &[0]].concat());
    file
}

/// The bzImage of [`bzimage`] with zeros after it, so that `size` bytes are loaded.
#[must_use]
pub fn bzimage_of(script: &str, size: u64) -> Vec<u8> {
    let mut file = bzimage(script);
    let size = usize::try_from(size).unwrap_or_default().next_multiple_of(16);
    file.resize(file.len().max(BzImage::PAYLOAD_OFFSET + size), 0);
    let payload = u32::try_from(file.len() - BzImage::PAYLOAD_OFFSET).unwrap_or_default();
    // syssize in paragraphs, and init_size: Documentation/arch/x86/boot.rst in Linux
    file[0x1f4..0x1f8].copy_from_slice(&(payload / 16).to_le_bytes());
    file[0x260..0x264].copy_from_slice(&payload.max(8 << 20).to_le_bytes());
    file
}

/// What `=` prints for an initrd of these bytes, whole pages.
#[must_use]
pub fn sum_of_pages(initrd: &[u8]) -> String {
    let firsts = initrd.chunks(4096).filter_map(|page| page.first_chunk());
    let sum =
        firsts.fold(0u64, |sum, first| sum.wrapping_add(u64::from_le_bytes(*first)).rotate_left(1));
    format!("{sum:016x} ")
}

/// A note named "Linux", by which chukka recognizes a vmlinux: sizes of name and content, type,
/// name.
const LINUX_NOTE: [u8; 20] = *b"\x06\0\0\0\0\0\0\0\0\x01\0\0Linux\0\0\0";

/// The headers of a 64-bit ELF executable for `machine` (x86-64 is 62) with one segment of `size`
/// bytes, and the note of a vmlinux.
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
    [64u16, 56, 2, 0, 0, 0].iter().for_each(|field| file.extend(field.to_le_bytes()));
    // p_type LOAD, p_flags RWX; offset, virtual and physical address, size in the file and in
    // memory, alignment
    [1u32, 7].iter().for_each(|field| file.extend(field.to_le_bytes()));
    let fields = [OFFSET, ADDRESS, ADDRESS, size, size, 0x1000];
    fields.iter().for_each(|field| file.extend(field.to_le_bytes()));
    // p_type NOTE, p_flags R, and the note itself after this header
    [4u32, 4].iter().for_each(|field| file.extend(field.to_le_bytes()));
    let (note, length) = (64 + 2 * 56, LINUX_NOTE.len() as u64);
    let fields = [note, 0, 0, length, length, 4];
    fields.iter().for_each(|field| file.extend(field.to_le_bytes()));
    file.extend(LINUX_NOTE);
    file
}

/// The bytes between two symbols of the assembler.
macro_rules! bytes_between {
    ($start:ident, $end:ident) => {{
        unsafe extern "C" {
            static $start: u8;
            static $end: u8;
        }
        let (start, end) = (&raw const $start, &raw const $end);
        // SAFETY: both symbols bound one run of constant bytes, which is never written.
        unsafe { std::slice::from_raw_parts(start, end.addr() - start.addr()) }
    }};
}

/// The program's bytes.
fn program() -> &'static [u8] {
    bytes_between!(chukka_tiny_guest_start, chukka_tiny_guest_end)
}

/// A bzImage's real-mode code.
fn real_mode_code() -> &'static [u8] {
    bytes_between!(chukka_tiny_setup_start, chukka_tiny_setup_end)
}

/// A bzImage's code at its 32-bit entry.
fn protected_mode_code() -> &'static [u8] {
    bytes_between!(chukka_tiny_entry32_start, chukka_tiny_entry32_end)
}

global_asm!(include_str!("guest.s"));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bzimage_has_three_entries() {
        let file = bzimage("P");
        assert!(file[0x200..].starts_with(&[0xeb, 0x6a]) && file[0x26c] == 0xfa, "cli");
        assert_eq!(file[0xa00], 0xb8, "mov eax, 0x18");
        assert!(protected_mode_code().len() <= ENTRY_64, "{}", protected_mode_code().len());
        assert_eq!(file[0xc00..0xc03], [0x49, 0x89, 0xf7], "mov r15, rsi");
    }

    #[test]
    fn the_script_follows_the_program() {
        let file = kernel("PQ");
        assert!(file.ends_with(b"ever\r\n\0PQ\0"));
        assert_eq!(&file[0x1000..0x1003], [0x49, 0x89, 0xf7], "mov r15, rsi");
        assert_eq!(file.len() - 0x1000, program().len() + 3);
    }
}
