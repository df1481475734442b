//! Multiboot and PVH kernels of every shape.

use std::path::Path;

use chukka_tests::native::Scratch;

use crate::list::Machine;
use crate::{APPEND, CASE, Case, Kind, pattern, same};

const MIB: u32 = 1 << 20;
/// Bytes of memory of each kernel, zeros included, and of its file.
const KERNEL: u32 = 0x6000;
const FILE: u32 = 0x5123;
const PAGE: u32 = 0x1000;

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// A Multiboot 1 header with these flags, and the address fields after it.
fn header(flags: u32, addresses: &[u32]) -> Vec<u8> {
    let sum = 0u32.wrapping_sub(0x1bad_b002u32.wrapping_add(flags));
    words(&[&[0x1bad_b002, flags, sum], addresses].concat())
}

/// `bytes`, then a pattern up to the size of the file.
fn filled(bytes: &[u8]) -> Vec<u8> {
    let mut file = pattern(FILE as usize);
    file[..bytes.len()].copy_from_slice(bytes);
    file
}

/// A flat file with address fields, whose header is at `offset`.
fn flat(flags: u32, offset: u32, load_end: u32) -> Vec<u8> {
    let addresses = [MIB + offset, MIB, load_end, MIB + KERNEL, MIB + offset + 32];
    let mut file = vec![0x90; offset as usize];
    file.extend(header(flags | 1 << 16, &addresses));
    filled(&file)
}

/// A 32-bit ELF file whose entry point is a virtual address in the second of two segments, the
/// lower one; `note`: with a PVH note, otherwise with a Multiboot header.
fn elf(note: bool) -> Vec<u8> {
    let (code, data) = (MIB + 0x2000, MIB);
    let virt = 0xc000_0000 + code;
    let mut file = b"\x7fELF\x01\x01\x01".to_vec();
    file.resize(16, 0);
    file.extend([2, 0, 3, 0]);
    file.extend(words(&[1, virt + 4, 52, 0, 0]));
    file.extend([52u16, 32, 3, 0, 0, 0].iter().flat_map(|word| word.to_le_bytes()));
    file.extend(words(&[1, 0x1000, virt, code, 0x1800, KERNEL - 0x2000, 5, 0x1000]));
    file.extend(words(&[1, 0x5000, 0xc000_0000 + data, data, 0x123, 0x1000, 6, 0x1000]));
    let kind = if note { 4 } else { 0 }; // PT_NOTE, PT_NULL
    file.extend(words(&[kind, 0x300, 0, 0, 20, 20, 4, 4]));
    file.resize(0x300, 0);
    if note {
        file.extend(words(&[4, 4, 18]));
        file.extend(b"Xen\0");
        file.extend(words(&[code]));
    } else {
        file.extend(header(3, &[]));
    }
    filled(&file)
}

/// Compares what is published for `kernel` and `list`, the value of `-initrd`.
fn compare(machine: Machine, kernel: &Path, kind: Kind<'_>, list: Option<&str>) {
    let words: Vec<&str> = list.iter().flat_map(|list| ["-initrd", list]).collect();
    same(Case { machine, kernel: Some(kernel), kind, words: &words, ..CASE });
}

/// `gap`: what no segment fills.
fn multiboot(machine: Machine, file: &[u8], gap: (usize, usize)) {
    let scratch = Scratch::new();
    let kernel = scratch.file("kernel", file);
    let cmdline = format!("{} {}", kernel.display(), APPEND[1]).len() + 1;
    let [end, page] = [KERNEL, PAGE].map(|size| size as usize);
    // The strings follow the kernel, page-aligned, and the loader's name follows them.
    let strings_end = end + cmdline + "qemu".len() + 1;
    let unused = [gap, (strings_end, end + page)];
    compare(machine, &kernel, Kind::Multiboot(KERNEL + PAGE, &unused), None);

    // A list of modules precedes the strings, and the modules follow, each page-aligned.
    let one = scratch.file("one", &pattern(9000)).display().to_string();
    let two = scratch.file("two", b"2").display().to_string();
    let list = format!("{one} first  args,,with,,commas,{two},{one} again");
    let (commas, modules) = (2, 3 * 16);
    let cmdline_end = end + modules + list.len() + 1 - commas + cmdline;
    let loader = cmdline_end + commas;
    let modules = end + page;
    let size = KERNEL + PAGE + 3 * PAGE + PAGE + 3 * PAGE;
    let unused = [
        gap,
        (cmdline_end, loader),
        (loader + "qemu".len() + 1, modules),
        (modules + 9000, modules + 3 * page),
        (modules + 3 * page + 1, modules + 4 * page),
        (modules + 4 * page + 9000, size as usize),
    ];
    compare(machine, &kernel, Kind::Multiboot(size, &unused), Some(&list));
}

#[test]
fn a_flat_multiboot_kernel_with_every_flag_that_is_known() {
    // Page alignment, memory information and video mode; then an optional flag that nobody knows.
    multiboot(Machine::Pc, &flat(0b111, 0, MIB + 0x3001), (0, 0));
    multiboot(Machine::Microvm, &flat(1 << 20, 0x1f00, 0), (0, 0));
}

#[test]
fn a_multiboot_kernel_in_elf() {
    multiboot(Machine::Pc, &elf(false), (0x1000, 0x2000));
}

#[test]
fn a_pvh_kernel() {
    let scratch = Scratch::new();
    let kernel = scratch.file("kernel", &elf(true));
    compare(Machine::Pc, &kernel, Kind::Pvh(KERNEL), None);
    for machine in [Machine::Pc, Machine::Microvm] {
        let case = Case { machine, kernel: Some(&kernel), kind: Kind::Pvh(KERNEL), ..CASE };
        same(Case { initrd: 20_000, ..case });
    }
}
