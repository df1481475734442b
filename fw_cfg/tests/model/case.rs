//! Random cases: a machine and the operations of its guest. Interesting values are frequent:
//! addresses at the ends of regions, lengths near the item's and near whole pages, and file items
//! whose pages are congruent with those of guest memory.

use proptest::prelude::*;

/// Bytes of a page.
pub const PAGE: u64 = 4096;
/// Length of the host's file in bytes. File items are parts of it.
pub const FILE: u64 = 12 * PAGE + 0x123;

/// A machine and the operations of its guest.
#[derive(Clone, Debug)]
pub struct Case {
    /// Address of the lowest byte of memory.
    pub start: u64,
    pub regions: Vec<Region>,
    pub items: Vec<Item>,
    pub operations: Vec<Operation>,
}

/// A memory region and the gap before it, both in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Region {
    pub gap: u64,
    pub size: u64,
}

/// An item.
#[derive(Clone, Debug)]
pub enum Item {
    Keyed {
        key: u16,
        size: usize,
    },
    File {
        name: u8,
        size: usize,
    },
    Writable {
        name: u8,
        size: usize,
    },
    Range {
        name: u8,
        start: u64,
        size: u64,
    },
    /// Bytes, zeros, and whole or part pages of the host's file, one after the other.
    Parts {
        name: u8,
        bytes: usize,
        zeros: u64,
        start: u64,
        size: u64,
    },
}

/// An address, relative to the machine's memory.
#[derive(Clone, Copy, Debug)]
pub enum Place {
    /// This many bytes after the start of a region (index modulo their number).
    Start(u8, u64),
    /// This many bytes before the end of a region.
    End(u8, u64),
    /// This many pages into a region, at an address that agrees with the selected item's offset in
    /// the host's file modulo the page size.
    Congruent(u8, u64),
    /// This value.
    Raw(u64),
}

/// A key.
#[derive(Clone, Copy, Debug)]
pub enum Key {
    /// The key of an item (index modulo their number), with or without bit 14.
    Item(u8, bool),
    /// The key of the first writable item.
    Writable,
    /// The key of the first item that is part of the host's file.
    Range,
    /// This value.
    Raw(u16),
}

/// A number of bytes.
#[derive(Clone, Copy, Debug)]
pub enum Length {
    /// This value.
    Raw(u32),
    /// The rest of the item, plus the first number, minus the second.
    Rest(u32, u32),
}

/// One thing the guest does.
#[derive(Clone, Debug)]
pub enum Operation {
    /// Selects by port.
    Select(Key),
    /// Reads the data port this many times.
    Port(u16),
    /// Runs a DMA operation.
    Dma { at: Place, control: u16, key: Key, length: Length, address: Place, register: Register },
    /// Writes to the DMA address register, with valid and invalid offsets and widths.
    Register { offset: u8, bytes: Vec<u8> },
    /// Reads the DMA address register.
    Signature { offset: u8, count: u8 },
    /// Fills guest memory with one byte.
    Poke { at: Place, byte: u8, count: u16 },
    /// Resets the machine.
    Reset,
}

/// How the guest writes the descriptor's address.
#[derive(Clone, Copy, Debug)]
pub enum Register {
    /// Only the low half, as SeaBIOS does.
    Low,
    /// First the high half, then the low half, as Linux does.
    Halves,
    /// All 8 bytes at once.
    Whole,
}

/// Cases of 1 to `operations` operations.
pub fn case(operations: usize) -> impl Strategy<Value = Case> {
    (
        prop_oneof![
            6 => Just(0),
            2 => (0..16u64).prop_map(|page| page * PAGE),
            1 => 0..0x3000u64,
            1 => Just((1 << 32) - 2 * PAGE),
            1 => Just(u64::MAX - 8 * PAGE),
        ],
        prop::collection::vec(region(), 1..=4),
        prop::collection::vec(item(), 0..=4),
        prop::collection::vec(operation(), 1..=operations),
    )
        .prop_map(|(start, regions, items, operations)| Case {
            start,
            regions,
            items,
            operations,
        })
}

fn region() -> impl Strategy<Value = Region> {
    let gap = prop_oneof![
        4 => Just(0),
        2 => (1..4u64).prop_map(|pages| pages * PAGE),
        1 => 1..0x1800u64,
        1 => Just(1 << 32),
    ];
    let size = prop_oneof![
        6 => (1..=8u64).prop_map(|pages| pages * PAGE),
        2 => 1..0x2800u64,
        1 => 1..40u64,
    ];
    (gap, size).prop_map(|(gap, size)| Region { gap, size })
}

fn item() -> impl Strategy<Value = Item> {
    let size = || prop_oneof![3 => 0..64usize, 1 => 0..0x2200usize];
    let keys = prop::sample::select(vec![0x02, 0x05, 0x11, 0x18, 0x1f, 0x8000, 0x8003, 0x801f]);
    let name = || 0..6u8;
    let range = prop_oneof![
        // Whole pages, and slightly more or less.
        5 => (0..8u64, 2..=5u64, 0..3u64).prop_map(|(page, pages, less)| (page * PAGE, pages * PAGE - less)),
        2 => (0..8 * PAGE, 0..4 * PAGE),
        // To the end of the file and beyond it.
        1 => (8 * PAGE..13 * PAGE, 0..4 * PAGE),
    ];
    prop_oneof![
        1 => (keys, size()).prop_map(|(key, size)| Item::Keyed { key, size }),
        1 => (name(), size()).prop_map(|(name, size)| Item::File { name, size }),
        2 => (name(), size()).prop_map(|(name, size)| Item::Writable { name, size }),
        3 => (name(), range).prop_map(|(name, (start, size))| Item::Range { name, start, size }),
        2 => (name(), size(), 0..0x2200u64, 0..8 * PAGE, 0..4 * PAGE).prop_map(
            |(name, bytes, zeros, start, size)| Item::Parts { name, bytes, zeros, start, size }
        ),
    ]
}

fn place() -> impl Strategy<Value = Place> {
    let near = || prop_oneof![3 => 0..40u64, 2 => (0..4u64).prop_map(|pages| pages * PAGE), 1 => 0..0x3000u64];
    prop_oneof![
        4 => (0..4u8, near()).prop_map(|(region, bytes)| Place::Start(region, bytes)),
        4 => (0..4u8, near()).prop_map(|(region, bytes)| Place::End(region, bytes)),
        4 => (0..4u8, 0..4u64).prop_map(|(region, page)| Place::Congruent(region, page)),
        1 => prop_oneof![Just(u64::MAX), u64::MAX - 32..=u64::MAX, any::<u64>()].prop_map(Place::Raw),
    ]
}

fn key() -> impl Strategy<Value = Key> {
    let known = vec![
        0, 1, 2, 0x19, 0x20, 0x21, 0x23, 0x3f, 0x40, 0x3fff, 0x4000, 0x4019, 0x8000, 0xc003,
        0x8019, 0xffff,
    ];
    prop_oneof![
        12 => (any::<u8>(), prop::bool::weighted(0.1)).prop_map(|(item, bit)| Key::Item(item, bit)),
        4 => prop::sample::select(known).prop_map(Key::Raw),
        1 => any::<u16>().prop_map(Key::Raw),
    ]
}

fn length() -> impl Strategy<Value = Length> {
    let extremes = vec![0x7fff_ffff, 0x8000_0000, 0xffff_f000, u32::MAX];
    prop_oneof![
        4 => (0..80u32).prop_map(Length::Raw),
        4 => (1..5u32, -1..=1i32).prop_map(|(pages, more)| Length::Raw((pages * 4096).wrapping_add_signed(more))),
        4 => (0..20u32, 0..2u32).prop_map(|(more, less)| Length::Rest(more, less)),
        1 => (0..0x5000u32).prop_map(Length::Raw),
        1 => prop::sample::select(extremes).prop_map(Length::Raw),
    ]
}

fn operation() -> impl Strategy<Value = Operation> {
    // SELECT is 8; READ 2, WRITE 16, SKIP 4, ERROR 1.
    let controls = vec![
        0x0a, 0x0a, 0x0a, 0x02, 0x02, 0x02, 0x18, 0x10, 0x0c, 0x04, 0x04, 0x08, 0, 0x1e, 0x14, 0x0b,
    ];
    let control = prop_oneof![12 => prop::sample::select(controls), 1 => any::<u16>()];
    let register = prop::sample::select(vec![Register::Halves, Register::Low, Register::Whole]);
    let descriptor = prop_oneof![
        12 => (0..4u8, 16..64u64).prop_map(|(region, bytes)| Place::End(region, bytes)),
        1 => place(),
    ];
    let any_key = (control, key(), length(), place());
    // Rare by chance: successful writes, and whole pages.
    let write = (
        prop::sample::select(vec![0x18, 0x18, 0x10]),
        Just(Key::Writable),
        prop_oneof![
            (0..20u32).prop_map(Length::Raw),
            (0..2u32).prop_map(|less| Length::Rest(0, less))
        ],
        place(),
    );
    let pages = (
        prop::sample::select(vec![0x0a, 0x0a, 0x0a, 0x02]),
        Just(Key::Range),
        prop_oneof![
            (2..5u32, -1..=1i32)
                .prop_map(|(n, more)| Length::Raw((n * 4096).wrapping_add_signed(more))),
            (0..2u32).prop_map(|more| Length::Rest(more, 0)),
        ],
        (0..4u8, 0..2u64).prop_map(|(region, page)| Place::Congruent(region, page)),
    );
    let request = prop_oneof![5 => any_key, 1 => write, 3 => pages];
    let dma = (descriptor, request, register).prop_map(
        |(at, (control, key, length, address), register)| Operation::Dma {
            at,
            control,
            key,
            length,
            address,
            register,
        },
    );
    let register = (0..9u8, prop::collection::vec(any::<u8>(), 0..=8))
        .prop_map(|(offset, bytes)| Operation::Register { offset, bytes });
    let high = any::<bool>()
        .prop_map(|far| Operation::Register { offset: 0, bytes: vec![0, 0, 0, u8::from(far)] });
    prop_oneof![
        24 => dma,
        4 => key().prop_map(Operation::Select),
        4 => prop_oneof![0..20u16, 0..0x2000u16].prop_map(Operation::Port),
        3 => (place(), any::<u8>(), 0..0x1100u16).prop_map(|(at, byte, count)| Operation::Poke { at, byte, count }),
        1 => register,
        1 => high,
        1 => (0..9u8, 0..9u8).prop_map(|(offset, count)| Operation::Signature { offset, count }),
        1 => Just(Operation::Reset),
    ]
}
