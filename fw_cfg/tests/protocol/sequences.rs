//! The accesses of SeaBIOS and linuxboot_dma.bin, one by one.

use fw_cfg::dma::{Descriptor, READ, SKIP};
use fw_cfg::x86::{E820_FILE, e820};
use fw_cfg::{Items, key};
use guest_memory::FileRange;

use crate::guest::{Guest, file, pattern};

/// The stack of SeaBIOS and the option ROM, with descriptors and variables.
const STACK: u64 = 0x6f00;
const RAM: usize = 0x40_0000;
const E820: [(u64, u64, u32); 3] =
    [(0, 0xa_0000, 1), (0x10_0000, 0x7ff0_0000, 1), (0xfeff_c000, 0x4000, 2)];
const SETUP: u64 = 0x1_0000;
const CMDLINE: u64 = 0x2_0000;
const KERNEL: u64 = 0x10_0000;
const INITRD: u64 = 0x30_0000;
const KERNEL_SIZE: usize = 0x12_3457;
const INITRD_SIZE: usize = 0x2_1001;

fn guest(more: impl FnOnce(&mut Items)) -> Guest {
    let mut items = Items::new();
    items.set(key::NB_CPUS, 2u16).unwrap();
    items.set(key::NOGRAPHIC, 0u16).unwrap();
    items.add_file("bootorder", b"/rom@genroms/linuxboot_dma.bin\0".to_vec()).unwrap();
    items.add_file(E820_FILE, e820(E820)).unwrap();
    items.add_file("etc/boot-fail-wait", u32::MAX).unwrap();
    more(&mut items);
    Guest::new(items, &[(0, RAM)])
}

/// `qemu_cfg_dma_transfer`: writes only the low half, polls control until all bits except ERROR are
/// clear, and ignores ERROR.
fn transfer(guest: &mut Guest, control: u32, length: u32, address: u64) {
    guest.poke(STACK, &Descriptor { control, length, address }.to_bytes());
    guest.outl(0x518, (STACK as u32).swap_bytes());
    assert_eq!(guest.control(STACK) & !1, 0, "the guest would poll forever");
}

/// `qemu_cfg_read`: reads to an uninitialised variable on the stack.
fn variable(guest: &mut Guest, control: u32, length: u32) -> Vec<u8> {
    guest.poke(STACK + 16, &vec![0xee; length as usize]);
    transfer(guest, control, length, STACK + 16);
    guest.peek(STACK + 16, length as usize)
}

/// `qemu_cfg_read_entry`.
fn entry(guest: &mut Guest, key: u16, length: u32) -> Vec<u8> {
    variable(guest, Guest::select_and(key, READ), length)
}

fn u32_of(guest: &mut Guest, key: u16) -> u32 {
    u32::from_le_bytes(entry(guest, key, 4).try_into().unwrap())
}

/// Detects the device by port, byte by byte.
fn detect(guest: &mut Guest) {
    guest.outw(0x510, 0x0000);
    assert_eq!(guest.insb(4), *b"QEMU");
    guest.outw(0x510, 0x0001);
    assert_eq!(guest.insb(4)[0] & 2, 2, "DMA is available");
}

#[test]
fn seabios_detects_the_device_and_finds_the_memory_map() {
    let mut guest = guest(|_| {});
    detect(&mut guest);
    // `qemu_early_e820`: reads the directory until it finds the name.
    let count = u32::from_be_bytes(entry(&mut guest, 0x19, 4).try_into().unwrap());
    let found = (0..count).find_map(|_| {
        let file = variable(&mut guest, READ, 64);
        file[8..].starts_with(b"etc/e820\0").then_some(file)
    });
    let found = found.unwrap();
    let size = u32::from_be_bytes(found[..4].try_into().unwrap());
    let select = u16::from_be_bytes(found[4..6].try_into().unwrap());
    assert_eq!(size, 60);
    // Selects by port, reads by DMA without SELECT.
    guest.outw(0x510, select);
    let entries: Vec<_> = (0..size / 20).map(|_| variable(&mut guest, READ, 20)).collect();
    assert_eq!(entries.concat(), e820(E820));
}

#[test]
fn seabios_reads_absent_legacy_items_as_zero_counts() {
    let mut guest = guest(|_| {});
    for (key, length) in [(0x0d, 8), (0x0f, 2), (0x8000, 2), (0x8001, 2), (0x04, 2), (0x0e, 2)] {
        assert_eq!(entry(&mut guest, key, length), vec![0; length as usize], "{key:#x}");
    }
    assert_eq!(entry(&mut guest, 0x05, 2), [2, 0]);
}

#[test]
fn seabios_walks_legacy_acpi_and_smbios_items_with_reads_and_skips() {
    let acpi = [b"\x02\0\x04\0AAAA".as_slice(), b"\x03\0BBB"].concat();
    let smbios =
        [b"\x02\0".as_slice(), b"\x09\0\x01\x02\x03\x04xyz", b"\x06\0\x05\x06\x07\x08"].concat();
    let mut guest = guest(|items| {
        items.set(key::ACPI_TABLES, acpi).unwrap();
        items.set(key::SMBIOS_ENTRIES, smbios).unwrap();
    });
    // Skips each table once to learn its size, and reads it later from its offset.
    assert_eq!(entry(&mut guest, 0x8000, 2), [2, 0]);
    let mut sizes = Vec::new();
    for _ in 0..2 {
        let len = u16::from_le_bytes(variable(&mut guest, READ, 2).try_into().unwrap());
        transfer(&mut guest, SKIP, u32::from(len), 0);
        sizes.push(len);
    }
    assert_eq!(sizes, [4, 3]);
    transfer(&mut guest, Guest::select_and(0x8000, SKIP), 10, 0);
    assert_eq!(variable(&mut guest, READ, 3), *b"BBB");

    assert_eq!(entry(&mut guest, 0x8001, 2), [2, 0]);
    assert_eq!(variable(&mut guest, READ, 6), *b"\x09\0\x01\x02\x03\x04");
    transfer(&mut guest, SKIP, 9 - 6, 0);
    assert_eq!(variable(&mut guest, READ, 6), *b"\x06\0\x05\x06\x07\x08");
}

#[test]
fn seabios_lists_the_files_and_loads_each() {
    let mut guest = guest(|_| {});
    let count = u32::from_be_bytes(entry(&mut guest, 0x19, 4).try_into().unwrap());
    let files: Vec<_> = (0..count).map(|_| variable(&mut guest, READ, 64)).collect();
    assert_eq!(entry(&mut guest, 0x04, 2), [0, 0]);
    let names: Vec<_> =
        files.iter().map(|file| file[8..].split(|b| *b == 0).next().unwrap()).collect();
    let expected = [b"bootorder".as_slice(), b"etc/boot-fail-wait", b"etc/e820"];
    assert_eq!(names, expected);
    let mut contents = Vec::new();
    for file in files {
        let size = u32::from_be_bytes(file[..4].try_into().unwrap());
        let select = u16::from_be_bytes(file[4..6].try_into().unwrap());
        // `qemu_cfg_read_file` at offset 0 still requests a skip, of length 0.
        transfer(&mut guest, Guest::select_and(select, SKIP), 0, 0);
        contents.push(variable(&mut guest, READ, size));
    }
    assert_eq!(contents[0], b"/rom@genroms/linuxboot_dma.bin\0");
    assert_eq!(contents[1], [0xff; 4]);
    assert_eq!(contents[2], e820(E820));
}

/// A setup header with the fields that the option ROM reads: protocol 2.15, initrd below
/// 0x7fffffff.
fn setup() -> Vec<u8> {
    let mut setup = pattern(0x3e00);
    setup[0x206..0x208].copy_from_slice(&0x020fu16.to_le_bytes());
    setup[0x22c..0x230].copy_from_slice(&0x7fff_ffffu32.to_le_bytes());
    setup
}

fn direct_kernel(items: &mut Items) {
    let image = [setup(), pattern(KERNEL_SIZE)].concat();
    let (image, initrd) = (file(&image), file(&pattern(INITRD_SIZE)));
    let payload = 0x3e00..(0x3e00 + KERNEL_SIZE) as u64;
    items.set(key::SETUP_ADDR, SETUP as u32).unwrap();
    items.set(key::SETUP_SIZE, 0x3e00u32).unwrap();
    items.set(key::SETUP_DATA, setup()).unwrap();
    items.set(key::INITRD_ADDR, INITRD as u32).unwrap();
    items.set(key::INITRD_SIZE, INITRD_SIZE as u32).unwrap();
    items.set(key::INITRD_DATA, FileRange::new(initrd, 0..INITRD_SIZE as u64)).unwrap();
    items.set(key::KERNEL_ADDR, KERNEL as u32).unwrap();
    items.set(key::KERNEL_SIZE, KERNEL_SIZE as u32).unwrap();
    items.set(key::KERNEL_DATA, FileRange::new(image, payload)).unwrap();
    items.set(key::CMDLINE_ADDR, CMDLINE as u32).unwrap();
    items.set(key::CMDLINE_SIZE, 14u32).unwrap();
    items.set(key::CMDLINE_DATA, b"console=ttyS0\0".to_vec()).unwrap();
}

/// Loads one part as the option ROM does: address, size, data. Returns address and size.
fn load(guest: &mut Guest, [address, size, data]: [u16; 3]) -> (u64, u32) {
    let address = u64::from(u32_of(guest, address));
    let size = u32_of(guest, size);
    transfer(guest, Guest::select_and(data, READ), size, address);
    (address, size)
}

#[test]
fn linuxboot_dma_loads_a_kernel_in_twelve_operations() {
    let mut guest = guest(direct_kernel);
    assert_eq!(load(&mut guest, [0x16, 0x17, 0x18]), (SETUP, 0x3e00));
    assert_eq!(guest.peek(SETUP, 0x3e00), setup());
    assert!(guest.peek(SETUP + 0x206, 2) >= vec![0x03, 0x02]);

    // The option ROM computes the initrd's address itself, below the end of memory.
    let address = u32_of(&mut guest, 0x0a);
    let size = u32_of(&mut guest, 0x0b);
    let end = (address + size) & !4095;
    let max = guest.peek_u32(SETUP + 0x22c) & !4095;
    assert!(end != 0 && max != 0 && end != max);
    let address = (RAM as u64 - u64::from(size)) & !4095;
    guest.poke(SETUP + 0x218, &(address as u32).to_le_bytes());
    transfer(&mut guest, Guest::select_and(0x12, READ), size, address);
    assert!(guest.peek(address, INITRD_SIZE) == pattern(INITRD_SIZE));

    assert_eq!(load(&mut guest, [0x07, 0x08, 0x11]), (KERNEL, KERNEL_SIZE as u32));
    assert!(guest.peek(KERNEL, KERNEL_SIZE) == pattern(KERNEL_SIZE));
    assert_eq!(load(&mut guest, [0x13, 0x14, 0x15]), (CMDLINE, 14));
    assert_eq!(guest.peek(CMDLINE, 15), *b"console=ttyS0\0\xaa");
}

#[test]
fn linuxboot_dma_works_without_an_initrd() {
    let mut guest = guest(|_| {});
    let zero_page = guest.peek(0, 64);
    // Absent items read as address 0 and size 0. The option ROM still runs the operation.
    assert_eq!(load(&mut guest, [0x0a, 0x0b, 0x12]), (0, 0));
    assert_eq!(guest.peek(0, 64), zero_page);
}

#[test]
fn linuxboot_by_port_reads_the_same_bytes() {
    let mut guest = guest(direct_kernel);
    detect(&mut guest);
    for (key, expected) in [(0x18, setup()), (0x12, pattern(INITRD_SIZE))] {
        guest.outw(0x510, key);
        assert!(guest.insb(expected.len()) == expected);
    }
    guest.outw(0x510, 0x11);
    assert!(guest.insb(0x2000) == pattern(0x2000));
}
