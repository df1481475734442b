//! What is asked: every key, and what a guest may do with DMA.

use fw_cfg::key;

use crate::rom::{Operation, READ, SELECT, SKIP, WRITE, select};

/// Keys of items that may be longer than what is read of all keys. They are read to their end, and
/// beyond.
const LONG: [u16; 5] =
    [key::KERNEL_DATA, key::INITRD_DATA, key::CMDLINE_DATA, key::SETUP_DATA, key::FILE_DIR];
/// Bytes read of each of the others.
const SHORT: u32 = 80;
/// Items that are no longer than this are read as a whole.
const WHOLE: u32 = 0xf000;
/// Size of the directory: room for 32 files.
pub const DIRECTORY: u32 = 4 + 64 * 32;
/// Item 0: "QEMU", 4 bytes.
const FOUR: u32 = SELECT;

/// Sizes of the items that the test's own files are published as.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sizes {
    pub setup: u32,
    pub kernel: u32,
    pub initrd: u32,
}

/// All of it.
pub fn operations(sizes: Sizes, ram_end: u64) -> Vec<Operation> {
    let mut operations = keys(sizes);
    operations.extend(dma(ram_end));
    operations
}

fn keys(sizes: Sizes) -> Vec<Operation> {
    let all = (0..=0x1f).chain([0x3f, 0x40, 0x41, 0x1fff, 0x3fff]);
    let arch = (0x8000..=0x801f).chain([0x8020, 0x803f, 0x8040, 0xbfff]);
    // With the bit that is ignored.
    let write = [0x4000, 0x4005, 0x4019, 0x7fff, 0xc000, 0xc002, 0xfffe, 0xffff];
    let short = all.chain(arch).chain(write).filter(|key| !LONG.contains(key));
    let mut operations: Vec<Operation> = short.map(|key| Operation::item(key, SHORT)).collect();
    operations.push(Operation::item(key::FILE_DIR, DIRECTORY + 64));
    operations.push(Operation::item(key::SETUP_DATA, sizes.setup + 64));
    operations.push(Operation::item(key::CMDLINE_DATA, 4096));
    // Of these what comes first, in the middle, and at the end, unless they are short.
    for (key, size) in [(key::KERNEL_DATA, sizes.kernel), (key::INITRD_DATA, sizes.initrd)] {
        if size <= WHOLE {
            operations.push(Operation::item(key, size.max(64) + 64));
            continue;
        }
        operations.push(Operation::item(key, 4096));
        let more = |what: &str, control, length| Operation {
            told: 0,
            ..Operation::new(what, control, length)
        };
        for at in [size / 2, size.saturating_sub(2048)] {
            operations.push(more(&format!("{key:#06x}, skip to {at}"), select(key) | SKIP, at));
            operations.push(Operation::new(format!("{key:#06x} from {at}"), READ, 4096));
        }
    }
    operations
}

/// Operations whose outcome docs/specs/fw_cfg.rst leaves open, or that are easily done wrong.
fn dma(ram_end: u64) -> Vec<Operation> {
    let new = Operation::new;
    let at = Operation::at;
    let missing = select(key::MACHINE_ID);
    let told = |operation: Operation| Operation { told: 64, ..operation };
    vec![
        new("SELECT alone", FOUR, 64),
        told(new("no bits", 0, 4)),
        new("READ goes on", FOUR | READ, 2),
        new("READ to the end and beyond", READ, 16),
        new("READ at the end", READ, 16),
        new("READ of nothing", missing | READ, 64),
        new("READ of no key", select(0xffff) | READ, 64),
        told(new("READ of 0 bytes", FOUR | READ, 0)),
        at("READ of 0 bytes to nowhere", FOUR | READ, 0, 1 << 40),
        new("READ before WRITE and SKIP", FOUR | READ | WRITE | SKIP, 3),
        new("WRITE before SKIP", FOUR | WRITE | SKIP, 3),
        new("WRITE to what is read-only", FOUR | WRITE, 4),
        new("WRITE went on", READ, 4),
        new("WRITE of more than there is", FOUR | WRITE, 5),
        told(new("WRITE of 0 bytes", FOUR | WRITE, 0)),
        new("WRITE to nothing", missing | WRITE, 4),
        new("WRITE to no key", select(0xffff) | WRITE, 4),
        new("WRITE has changed nothing", FOUR | READ, 8),
        told(new("SKIP", FOUR | SKIP, 2)),
        told(new("SKIP goes on", SKIP, 1)),
        told(new("SKIP to the end", FOUR | SKIP, 4)),
        told(new("SKIP beyond the end", FOUR | SKIP, 0xffff_ffff)),
        new("READ after it", READ, 8),
        told(new("SKIP of nothing", missing | SKIP, 8)),
        told(new("SKIP of 0 bytes", FOUR | SKIP, 0)),
        new("unknown bits", FOUR | READ | 0xffe0, 8),
        new("ERROR asked for", FOUR | READ | 1, 8),
        told(Operation {
            address: crate::rom::BUFFER + 3,
            ..new("an odd address", FOUR | READ, 7)
        }),
        at("READ to nowhere", FOUR | READ, 4, 1 << 40),
        new("it counts as read", READ, 8),
        at("READ of nothing to nowhere", missing | READ, 4, 1 << 40),
        at("READ past the end of RAM", FOUR | READ, 64, ram_end - 2),
        new("it counts as read, too", READ, 8),
        at("READ past the end of all addresses", FOUR | READ, 4, u64::MAX - 1),
        at("READ to the hole below 4 GiB", FOUR | READ, 4, 0xf000_0000),
        at("WRITE from nowhere", FOUR | WRITE, 4, 1 << 40),
        at("READ to the last byte below 1 MiB and on", FOUR | READ, 4, 0xf_fffe),
        new("and after all that", FOUR | READ, 8),
    ]
}
