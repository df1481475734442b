//! A model of the device, as simple as possible: docs/specs/fw_cfg.rst and `fw_cfg_dma_transfer` of
//! hw/nvram/fw_cfg.c in QEMU, step by step and byte by byte, without any of the device's own code.
//!
//! Where they do not define the contents of memory (after an ERROR, any of the bytes may have been
//! written), neither does the model: see [`Uncertain`].

use std::collections::BTreeMap;

use fw_cfg::event::{DmaError, DmaKind};

/// Bits of the control field.
const READ: u32 = 0x02;
const SKIP: u32 = 0x04;
const SELECT: u32 = 0x08;
const WRITE: u32 = 0x10;

/// Guest memory: (address, bytes) of each region, without overlap.
#[derive(Clone, Debug, Default)]
pub struct Memory(pub Vec<(u64, Vec<u8>)>);

impl Memory {
    /// The region that contains an address, and the offset into it.
    fn find(&mut self, at: u64) -> Option<(&mut Vec<u8>, usize)> {
        self.0.iter_mut().find_map(|(start, bytes)| {
            let place = usize::try_from(at.checked_sub(*start)?).ok()?;
            (place < bytes.len()).then_some((bytes, place))
        })
    }

    /// The byte at an address.
    pub fn byte(&mut self, at: u64) -> Option<&mut u8> {
        self.find(at).map(|(bytes, place)| &mut bytes[place])
    }

    /// Whether `count` addresses from `at` are memory. Memory ends at 2^64.
    pub fn holds(&mut self, mut at: u64, mut count: u64) -> bool {
        while count > 0 {
            let Some((bytes, place)) = self.find(at) else { return false };
            let here = count.min((bytes.len() - place) as u64);
            count -= here;
            at = match at.checked_add(here) {
                Some(next) => next,
                None => return count == 0,
            };
        }
        true
    }

    /// Reads `count` bytes from `at`, if all of them are memory.
    pub fn read(&mut self, at: u64, count: u64) -> Option<Vec<u8>> {
        self.holds(at, count).then(|| (0..count).map(|i| *self.byte(at + i).unwrap()).collect())
    }

    /// Writes bytes at `at`, where there is memory.
    pub fn write(&mut self, at: u64, bytes: &[u8]) {
        for (i, new) in (0..).zip(bytes) {
            if let Some(old) = at.checked_add(i).and_then(|at| self.byte(at)) {
                *old = *new;
            }
        }
    }
}

/// An item.
#[derive(Clone, Debug)]
pub struct Item {
    /// The name, if it is a file.
    pub name: Option<String>,
    /// All its bytes.
    pub bytes: Vec<u8>,
    /// How many of them the host can read: fewer than all if its file has shrunk.
    pub readable: usize,
    /// Whether the guest may write to it.
    pub writable: bool,
}

/// Bytes that a failed operation may or may not have written, each independently: from `address`,
/// first `bytes`, then zeros from offset `item` up to `length`.
#[derive(Clone, Debug, Default)]
pub struct Uncertain {
    pub address: u64,
    pub bytes: Vec<u8>,
    pub item: u64,
    pub length: u64,
}

/// How a DMA operation ended.
#[derive(Clone, Debug)]
pub struct Done {
    pub at: u64,
    /// Control, length and address.
    pub descriptor: Option<(u32, u32, u64)>,
    pub selected: bool,
    pub kind: DmaKind,
    /// Offsets before and after the operation.
    pub range: (usize, usize),
    pub zeros: u64,
    /// The possible results. More than one if several things are wrong.
    pub results: Vec<Result<(), DmaError>>,
    pub uncertain: Uncertain,
    /// Offset and length of a write to the item.
    pub written: Option<(usize, usize)>,
    /// How many bytes of control are in memory.
    pub control: u64,
}

impl Done {
    /// Whether memory may hold `byte` at `address`, although the model has another value there.
    pub fn may_hold(&self, address: u64, byte: u8) -> bool {
        // Control is written last. It is undefined if it is not all in memory.
        if let Some(place @ 0..4) = address.checked_sub(self.at) {
            return self.control < 4 && byte == u8::from(place == 3);
        }
        let open = &self.uncertain;
        match address.checked_sub(open.address) {
            Some(place) if place < open.item => open.bytes.get(place as usize) == Some(&byte),
            Some(place) if place < open.length => byte == 0,
            _ => false,
        }
    }
}

/// The device and guest memory.
#[derive(Clone, Debug)]
pub struct Model {
    pub memory: Memory,
    /// By key, without the ignored bit.
    items: BTreeMap<u16, Item>,
    /// The number of keys in each table.
    limit: u16,
    /// The selected key, as the guest wrote it.
    key: u16,
    offset: usize,
    dma_address: u64,
}

impl Model {
    /// A device with items of well-known keys, files, and a directory of `slots` entries.
    pub fn new(
        memory: Memory,
        keyed: BTreeMap<u16, Item>,
        files: BTreeMap<String, Item>,
        slots: u16,
    ) -> Self {
        let read_only =
            |bytes: Vec<u8>| Item { name: None, readable: bytes.len(), bytes, writable: false };
        let mut directory = (files.len() as u32).to_be_bytes().to_vec();
        let mut items = keyed;
        items.insert(0, read_only(b"QEMU".to_vec()));
        items.insert(1, read_only(vec![3, 0, 0, 0]));
        for (key, (name, item)) in (0x20..).zip(files) {
            directory.extend((item.bytes.len() as u32).to_be_bytes());
            directory.extend([(key >> 8) as u8, key as u8, 0, 0]);
            directory.extend(name.bytes());
            directory.resize(directory.len() + 56 - name.len(), 0);
            items.insert(key, item);
        }
        directory.resize(4 + 64 * usize::from(slots), 0);
        items.insert(0x19, read_only(directory));
        Self { memory, items, limit: 0x20 + slots, key: 0, offset: 0, dma_address: 0 }
    }

    /// The selected key, its item, and the offset into it.
    pub fn current(&self) -> (u16, Option<&Item>, usize) {
        (self.key, self.item(self.key), self.offset)
    }

    /// The item of a key. Bit 14 is ignored, bit 15 selects the table.
    pub fn item(&self, key: u16) -> Option<&Item> {
        (key & 0x3fff < self.limit).then(|| self.items.get(&(key & 0xbfff)))?
    }

    /// The key of a file.
    pub fn key_of(&self, name: &str) -> Option<u16> {
        let found = self.items.iter().find(|(_, item)| item.name.as_deref() == Some(name));
        found.map(|(key, _)| *key)
    }

    pub fn reset(&mut self) {
        self.select(0);
        self.dma_address = 0;
    }

    pub fn select(&mut self, key: u16) {
        self.key = key;
        self.offset = 0;
    }

    /// Reads the data register `count` times. Returns the bytes, how many of them come from the
    /// item, and whether the host failed to read it.
    pub fn read_data(&mut self, count: usize) -> (Vec<u8>, usize, bool) {
        let start = self.offset;
        let (mut read, mut failed) = (Vec::new(), false);
        if let Some(item) = self.item(self.key) {
            let end = item.bytes.len().min(start + count);
            failed = end > item.readable && end > start;
            read = item.bytes[start..end].to_vec();
            self.offset = end;
        }
        let given = read.len();
        read.resize(count, 0);
        (read, given, failed)
    }

    /// Writes the DMA address register. Returns whether that starts an operation.
    pub fn write_register(&mut self, offset: usize, bytes: &[u8]) -> bool {
        let value = bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte));
        match (offset, bytes.len()) {
            (0, 4) => self.dma_address = value << 32,
            (4, 4) => self.dma_address |= value,
            (0, 8) => self.dma_address = value,
            _ => {}
        }
        matches!((offset, bytes.len()), (4, 4) | (0, 8))
    }

    /// Runs the operation whose descriptor's address is in the register.
    pub fn run_dma(&mut self) -> Done {
        let at = std::mem::take(&mut self.dma_address);
        let mut done = Done {
            at,
            descriptor: None,
            selected: false,
            kind: DmaKind::Nothing,
            range: (self.offset, self.offset),
            zeros: 0,
            results: vec![Err(DmaError::Descriptor)],
            uncertain: Uncertain::default(),
            written: None,
            control: (0..4)
                .filter(|i| at.checked_add(*i).is_some_and(|at| self.memory.holds(at, 1)))
                .count() as u64,
        };
        if let Some(bytes) = self.memory.read(at, 16) {
            let number = |range: std::ops::Range<usize>| {
                bytes[range].iter().fold(0, |value, byte| value << 8 | u64::from(*byte))
            };
            let (control, length, address) =
                (number(0..4) as u32, number(4..8) as u32, number(8..16));
            done.descriptor = Some((control, length, address));
            self.transfer(control, length, address, &mut done);
            done.range.1 = self.offset;
        }
        if done.control == 4 {
            let control = u32::from(done.results[0].is_err());
            self.memory.write(at, &control.to_be_bytes());
        }
        done
    }

    fn transfer(&mut self, control: u32, length: u32, address: u64, done: &mut Done) {
        if control & SELECT != 0 {
            self.select((control >> 16) as u16);
            done.selected = true;
        }
        done.range.0 = self.offset;
        done.results = vec![Ok(())];
        let has = self.item(self.key).map_or(0, |item| item.bytes.len());
        let count = (length as usize).min(has - self.offset);
        if control & READ != 0 {
            done.kind = DmaKind::Read;
            self.read(length, address, count, done);
        } else if control & WRITE != 0 {
            done.kind = DmaKind::Write;
            self.write(length, address, count, done);
        } else if control & SKIP != 0 {
            done.kind = DmaKind::Skip;
            self.offset += count;
        }
    }

    /// Copies the item to memory, then zeros.
    fn read(&mut self, length: u32, address: u64, count: usize, done: &mut Done) {
        let start = self.offset;
        self.offset += count;
        let length = u64::from(length);
        let item = self.item(self.key);
        let readable = item.map_or(0, |item| item.readable.clamp(start, start + count));
        let bytes = item.map_or(vec![], |item| item.bytes[start..readable].to_vec());
        let host_fails = readable < start + count;
        let in_memory = self.memory.holds(address, length);
        if !host_fails && in_memory {
            self.memory.write(address, &bytes);
            (count as u64..length).for_each(|i| *self.memory.byte(address + i).unwrap() = 0);
            done.zeros = length - count as u64;
            return;
        }
        done.results.clear();
        if host_fails {
            done.results.push(Err(DmaError::Host));
        }
        if !in_memory {
            done.results.push(Err(DmaError::Address));
        }
        done.uncertain = Uncertain { address, bytes, item: count as u64, length };
    }

    /// Copies memory to the item, all bytes or none.
    fn write(&mut self, length: u32, address: u64, count: usize, done: &mut Done) {
        if length == 0 {
            return;
        }
        let start = self.offset;
        self.offset += count;
        let source = self.memory.read(address, u64::from(length).min(1 << 20));
        let found =
            self.items.get_mut(&(self.key & 0xbfff)).filter(|_| self.key & 0x3fff < self.limit);
        let error = match (found, source) {
            (None, _) => DmaError::BeyondEnd,
            (Some(item), _) if !item.writable => DmaError::ReadOnly,
            _ if count < length as usize => DmaError::BeyondEnd,
            (_, None) => DmaError::Address,
            (Some(item), Some(source)) => {
                item.bytes[start..start + count].copy_from_slice(&source);
                done.written = Some((start, count));
                return;
            }
        };
        done.results = vec![Err(error)];
    }
}
