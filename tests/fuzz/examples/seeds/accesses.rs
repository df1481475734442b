//! What guests do with fw_cfg: the accesses of `fw_cfg/tests/protocol/sequences.rs`, and those that
//! go wrong.

use chukka_fuzz::device::{Input, Item, Operation, Place, Region};
use fw_cfg::dma::{READ, SELECT, SKIP, WRITE};
use fw_cfg::key;

use super::Seeds;

/// SeaBIOS's and the option ROM's stack: descriptors and variables.
const STACK: u64 = 0x6f00;
/// A page-aligned place for what is loaded.
const LOAD: u64 = 0x1_0000;

/// Keys of the files below, by their names' order.
const BYTES: u16 = 0x20;
const RANGE: u16 = 0x21;
const WRITABLE: u16 = 0x22;

pub fn seeds() -> Seeds {
    vec![
        ("detect", seed(detect())),
        ("seabios-e820", seed([detect(), directory(), file_by_port(BYTES)].concat())),
        ("seabios-legacy", seed(legacy())),
        ("seabios-files", seed([directory(), load_file(BYTES), load_file(RANGE)].concat())),
        ("linuxboot-dma", seed(linuxboot())),
        ("linuxboot-port", seed([detect(), vec![select(RANGE), string(0x2000)]].concat())),
        ("builtin", seed([vec![signature()], directory(), load_file(RANGE)].concat())),
        ("linux-vmcoreinfo", seed(vmcoreinfo())),
        ("pages", seed(pages())),
        ("straddle", layouts(vec![region(0, 0x1_0000), region(0, 0x8000), region(0, 1)])),
        ("holes", layouts(vec![region(0x1000, 0x4000), region(0x1000, 0x4000)])),
        ("far", layouts(vec![region(0, 0x8000), region(1 << 32, 0x8000)])),
        ("last", layouts(vec![region(u64::MAX - 0xffff, 0xffff)])),
        ("nothing", layouts(vec![])),
        ("wide", seed(wide())),
        ("reset", seed(vec![select(RANGE), string(9), Operation::Reset {}, string(5)])),
    ]
}

fn region(gap: u64, size: u32) -> Region {
    Region { gap, size: size - 1 }
}

fn items() -> Vec<Item> {
    vec![
        Item::Keyed { key: key::NB_CPUS, size: 2 },
        Item::Keyed { key: key::SETUP_DATA, size: 0x3e00 },
        Item::Keyed { key: key::CMDLINE_DATA, size: 14 },
        Item::Keyed { key: key::IRQ0_OVERRIDE, size: 4 },
        Item::File { name: 1, size: 60 },
        Item::Range { name: 2, start: 0x1000, size: 0x8123 },
        Item::Writable { name: 3, size: 16 },
        Item::Range { name: 4, start: 0xc000, size: 0x1000 },
    ]
}

fn seed(operations: Vec<Operation>) -> Vec<u8> {
    let regions = vec![region(0, 0x1_0000), region(0, 0x1_0000), region(0, 0x1_0000)];
    Input { regions, items: items(), operations }.to_bytes()
}

/// Operations at and around the ends of regions.
fn layouts(regions: Vec<Region>) -> Vec<u8> {
    let mut operations = Vec::new();
    for (anchor, value) in
        [(1, 0u64), (2, 0u64.wrapping_sub(20)), (4, 0u64.wrapping_sub(8)), (0, u64::MAX - 7)]
    {
        let at = Place { anchor, value };
        for (key, control) in [(RANGE, READ), (WRITABLE, WRITE), (0xffff, READ)] {
            let control = u32::from(key) << 16 | SELECT | control;
            let address = Place { anchor: 2, value: 0u64.wrapping_sub(10) };
            operations.push(Operation::Dma { at, control, length: 16, address });
        }
    }
    Input { regions, items: items(), operations }.to_bytes()
}

fn at(value: u64) -> Place {
    Place { anchor: 0, value }
}

fn select(key: u16) -> Operation {
    Operation::Out { dma: 0, offset: 0, width: 2, value: key.into() }
}

fn byte() -> Operation {
    Operation::In { dma: 0, offset: 1, width: 1 }
}

fn string(count: u16) -> Operation {
    Operation::InString { count }
}

fn signature() -> Operation {
    Operation::In { dma: 1, offset: 0, width: 4 }
}

/// One operation with its descriptor on the stack.
fn dma(control: u32, length: u32, address: u64) -> Operation {
    Operation::Dma { at: at(STACK), control, length, address: at(address) }
}

/// `qemu_cfg_read_entry` and the like: to a variable on the stack.
fn entry(key: u16, control: u32, length: u32) -> Operation {
    dma(u32::from(key) << 16 | SELECT | control, length, STACK + 16)
}

fn detect() -> Vec<Operation> {
    let mut operations = vec![select(key::SIGNATURE)];
    operations.extend([byte(), byte(), byte(), byte()]);
    operations.extend([select(key::ID), string(4)]);
    operations
}

/// The directory: its count, then an entry after the other.
fn directory() -> Vec<Operation> {
    let next = dma(READ, 64, STACK + 16);
    vec![entry(key::FILE_DIR, READ, 4), next.clone(), next.clone(), next]
}

/// `qemu_early_e820`: selected by port, read by DMA.
fn file_by_port(key: u16) -> Vec<Operation> {
    let next = dma(READ, 20, STACK + 16);
    vec![select(key), next.clone(), next.clone(), next]
}

/// `qemu_cfg_read_file`: an empty skip, then all of it.
fn load_file(key: u16) -> Vec<Operation> {
    vec![entry(key, SKIP, 0), dma(READ, 0x8123, LOAD)]
}

fn legacy() -> Vec<Operation> {
    let mut operations: Vec<Operation> =
        [(0x0d, 8), (0x0f, 2), (0x8000, 2), (0x8001, 2), (0x8002, 4), (0x04, 2), (0x0e, 2)]
            .map(|(key, length)| entry(key, READ, length))
            .into();
    operations.extend([dma(SKIP, 3, 0), dma(READ, 6, STACK + 16), dma(SKIP, u32::MAX, 0)]);
    operations
}

/// Set-up code, initrd and command line: address, size and data of each.
fn linuxboot() -> Vec<Operation> {
    let mut operations = Vec::new();
    for (keys, length, address) in [
        ([key::SETUP_ADDR, key::SETUP_SIZE, key::SETUP_DATA], 0x3e00, LOAD),
        ([key::INITRD_ADDR, key::INITRD_SIZE, RANGE], 0x8123, 2 * LOAD),
        ([key::CMDLINE_ADDR, key::CMDLINE_SIZE, key::CMDLINE_DATA], 14, LOAD + 0x8000),
    ] {
        operations.extend([entry(keys[0], READ, 4), entry(keys[1], READ, 4)]);
        operations.push(dma(u32::from(keys[2]) << 16 | SELECT | READ, length, address));
    }
    operations
}

/// `write_vmcoreinfo` of Linux's drivers/firmware/qemu_fw_cfg.c.
fn vmcoreinfo() -> Vec<Operation> {
    vec![
        Operation::Poke {
            at: at(LOAD),
            bytes: b"\0\0\x01\0\x24\x10\0\0\0\x80\0\x04\0\0\0\0".to_vec(),
        },
        entry(WRITABLE, SKIP, 0),
        dma(u32::from(WRITABLE) << 16 | SELECT | WRITE, 16, LOAD),
        entry(WRITABLE, READ, 16),
    ]
}

/// Whole pages of a file, to pages; the same again after the guest has written there; and what
/// comes after the end.
fn pages() -> Vec<Operation> {
    let read = |skip, length, address| [entry(RANGE, SKIP, skip), dma(READ, length, address)];
    let poke = Operation::Poke { at: at(LOAD + 0x1000), bytes: vec![0x66; 8] };
    let mut operations = read(0, 0x4000, LOAD).to_vec();
    operations.push(poke);
    operations.extend(read(0, 0x4000, LOAD));
    operations.extend(read(0x123, 0x7000, LOAD + 0x123));
    operations.extend(read(0x8000, 0x7000, LOAD));
    operations.extend(read(0, 0x3000, LOAD + 0x800));
    operations
}

/// Accesses of widths that the registers do not have.
fn wide() -> Vec<Operation> {
    let mut operations = Vec::new();
    for width in [1, 2, 4, 8] {
        for offset in [0, 1, 4] {
            let value = 0x0019_0019_0019_0019;
            operations.push(Operation::Out { dma: 0, offset, width, value });
            operations.push(Operation::In { dma: 0, offset, width });
            operations.push(Operation::Out { dma: 1, offset, width, value: 0x006f_0000 });
            operations.push(Operation::In { dma: 1, offset, width });
        }
    }
    operations
}
