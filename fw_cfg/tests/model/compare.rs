//! Runs the same operations on the model and the device, and compares everything visible.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock, Mutex};

use fw_cfg::dma::Descriptor;
use fw_cfg::event::{DmaError, DmaKind, Event, ItemName};
use fw_cfg::{Data, FwCfg, Items, Part};
use guest_memory::FileRange;
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

use crate::case::{Case, FILE, Item, Key, Length, Operation, PAGE, Place, Register};
use crate::model::{self, Done, Memory, Model};

/// Capacity of the file directory.
const SLOTS: u16 = 16;

type Checked<T = ()> = Result<T, TestCaseError>;

/// Classifies DMA operations, for counting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// It failed.
    Failed(DmaError),
    /// It did this, and none of the following applies.
    Done(DmaKind),
    /// It read the item and zeros after it.
    Zeros,
    /// It read to more than one region.
    Regions,
    /// It read at least two whole pages of the host's file to congruent pages of memory.
    Pages,
}

/// Records the device's events.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Heard {
    Select(Name),
    Port { item: Name, range: (u64, u64), zeros: u64 },
    Dma(Box<HeardDma>),
    HostError(Name),
    Written { bytes: Vec<u8>, start: usize, count: usize },
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct HeardDma {
    at: u64,
    descriptor: Option<(u32, u32, u64)>,
    selected: bool,
    item: Name,
    kind: DmaKind,
    range: (u64, u64),
    zeros: u64,
    result: Result<(), DmaError>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Name {
    key: u16,
    file: Option<String>,
    exists: bool,
}

impl From<ItemName<'_>> for Name {
    fn from(name: ItemName<'_>) -> Self {
        Self { key: name.key, file: name.file.map(str::to_owned), exists: name.exists }
    }
}

type Log = Arc<Mutex<Vec<Heard>>>;

fn hear(log: &Log, event: &Event<'_>) {
    let heard = match event {
        Event::Select(item) => Heard::Select((*item).into()),
        Event::PortRead { item, range, zeros } => {
            Heard::Port { item: (*item).into(), range: (range.start, range.end), zeros: *zeros }
        }
        Event::Dma(event) => Heard::Dma(Box::new(HeardDma {
            at: event.at,
            descriptor: event.descriptor.map(|d| (d.control, d.length, d.address)),
            selected: event.selected,
            item: event.item.into(),
            kind: event.kind,
            range: (event.range.start, event.range.end),
            zeros: event.zeros,
            result: event.result,
        })),
        Event::HostError { item, .. } => Heard::HostError((*item).into()),
    };
    log.lock().unwrap().push(heard);
}

/// Bytes of which no two places look alike. They differ by `salt`.
fn pattern(len: u64, salt: u8) -> Vec<u8> {
    static PATTERN: LazyLock<Vec<u8>> =
        LazyLock::new(|| (0..2 * FILE).map(|i| (i ^ (i >> 8).wrapping_mul(5)) as u8).collect());
    let first = usize::from(salt) * 17;
    PATTERN[first..first + len as usize].to_vec()
}

/// The bytes of the host's file.
static FILE_BYTES: LazyLock<Vec<u8>> = LazyLock::new(|| pattern(FILE, 0x33));
thread_local! {
    /// The file itself. It never changes.
    static HOST_FILE: File = {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("model-{}-{count}", std::process::id());
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::write(&path, &*FILE_BYTES).unwrap();
        let file = File::open(&path).unwrap();
        std::fs::remove_file(path).unwrap();
        file
    };
}

/// A separate descriptor, because an engine that maps takes a lease on it.
fn host_file() -> File {
    HOST_FILE.with(|file| File::open(format!("/proc/self/fd/{}", file.as_raw_fd())).unwrap())
}

/// File names, not sorted.
fn name(name: u8) -> String {
    match name {
        0 => "opt/b".into(),
        1 => "opt/a".into(),
        2 => "x".repeat(55),
        3 => "etc/e820".into(),
        4 => "opt/B".into(),
        _ => "opt/ä".into(),
    }
}

/// Model and device, side by side.
struct Pair<M: guest_memory::Memory> {
    model: Model,
    /// Offsets in the host's file of the items that are parts of it, by name.
    parts: BTreeMap<String, u64>,
    /// Keys of the case's items, in order.
    keys: Vec<u16>,
    regions: Vec<(u64, u64)>,
    memory: GuestMemoryMmap,
    device: FwCfg<M>,
    log: Log,
    /// Buffer for the contents of a region.
    found: Vec<u8>,
}

/// Runs a case on the model and on the device from `build`. Calls `seen` for each DMA operation.
pub fn run<M: guest_memory::Memory>(
    case: &Case,
    build: impl Fn(Items, GuestMemoryMmap) -> FwCfg<M>,
    seen: impl Fn(What),
) -> Checked {
    let Some(mut pair) = Pair::new(case, build) else { return Ok(()) };
    for operation in &case.operations {
        if let Some(done) = pair.perform(operation)? {
            seen(pair.what(&done));
        }
        if !matches!(operation, Operation::Dma { .. }) {
            pair.compare_memory(None)?;
        }
    }
    // The rest of the selected item, and every other item.
    pair.read_port(0x3000)?;
    for key in pair.keys.clone() {
        pair.select(key)?;
        pair.read_port(0x40)?;
    }
    let mut file = vec![0; FILE_BYTES.len()];
    HOST_FILE.with(|host| host.read_exact_at(&mut file, 0)).unwrap();
    prop_assert!(file == *FILE_BYTES, "the host's file has changed");
    Ok(())
}

impl<M: guest_memory::Memory> Pair<M> {
    /// `None` if the memory would extend beyond 2^64.
    fn new(case: &Case, build: impl Fn(Items, GuestMemoryMmap) -> FwCfg<M>) -> Option<Self> {
        let mut end = case.start;
        let mut regions = Vec::new();
        for region in &case.regions {
            let start = if regions.is_empty() { end } else { end.checked_add(region.gap)? };
            end = start.checked_add(region.size)?;
            regions.push((start, region.size));
        }
        let ranges: Vec<_> =
            regions.iter().map(|(start, size)| (GuestAddress(*start), *size as usize)).collect();
        let memory: GuestMemoryMmap = GuestMemoryMmap::from_ranges(&ranges).unwrap();
        let mut copy = Memory::default();
        for (start, size) in &regions {
            let bytes = pattern(*size, 0x80 ^ (start >> 12) as u8);
            memory.write_slice(&bytes, GuestAddress(*start)).unwrap();
            copy.0.push((*start, bytes));
        }
        let log = Log::default();
        let mut items = Items::with_file_slots(SLOTS);
        let (mut keyed, mut files) = (BTreeMap::new(), BTreeMap::new());
        let mut parts = BTreeMap::new();
        for item in &case.items {
            publish(item, &mut items, &mut keyed, &mut files, &mut parts, &log);
        }
        let model = Model::new(copy, keyed, files, SLOTS);
        let key = |item: &Item| match item {
            Item::Keyed { key, .. } => Some(*key),
            Item::File { name: n, .. }
            | Item::Writable { name: n, .. }
            | Item::Range { name: n, .. }
            | Item::Parts { name: n, .. } => model.key_of(&name(*n)),
        };
        let keys = case.items.iter().filter_map(key).collect();
        let mut device = build(items, memory.clone());
        let told = Arc::clone(&log);
        device.observe(Box::new(move |event: &Event<'_>| hear(&told, event)));
        let found = vec![0; regions.iter().map(|(_, size)| *size as usize).max()?];
        Some(Self { model, parts, keys, regions, memory, device, log, found })
    }

    /// Runs an operation. Returns its class, if it is a DMA operation.
    fn perform(&mut self, operation: &Operation) -> Checked<Option<Done>> {
        if let Operation::Dma { at, control, key, length, address, register } = operation {
            let control = u32::from(self.key(*key)) << 16 | u32::from(*control);
            let length = self.length(*length, control);
            let address = self.address(*address, control);
            let request = Descriptor { control, length, address };
            return self.dma(self.address(*at, 0), request, *register);
        }
        self.perform_other(operation).map(|()| None)
    }

    fn perform_other(&mut self, operation: &Operation) -> Checked {
        match operation {
            Operation::Select(key) => self.select(self.key(*key)),
            Operation::Port(count) => self.read_port((*count).into()),
            Operation::Dma { .. } => Ok(()),
            Operation::Register { offset, bytes } => {
                self.write_register((*offset).into(), bytes).map(drop)
            }
            Operation::Signature { offset, count } => {
                let mut read = vec![0xff; usize::from(*count)];
                self.device.read_dma_register((*offset).into(), &mut read);
                let all = [b"QEMU CFG".as_slice(), &[0; 32]].concat();
                prop_assert_eq!(&read[..], &all[usize::from(*offset)..][..read.len()]);
                Ok(())
            }
            Operation::Poke { at, byte, count } => {
                let (at, bytes) = (self.address(*at, 0), vec![*byte; (*count).into()]);
                self.poke(at, &bytes);
                Ok(())
            }
            Operation::Reset => {
                self.device.reset();
                self.model.reset();
                self.heard(&[])
            }
        }
    }

    /// Writes to guest memory, where there is any.
    fn poke(&mut self, at: u64, bytes: &[u8]) {
        for (start, size) in &self.regions {
            // The part of `bytes` in this region.
            let from = start.saturating_sub(at).min(bytes.len() as u64);
            let to = (start + size).saturating_sub(at).min(bytes.len() as u64);
            if from < to && at.checked_add(to).is_some() {
                let part = &bytes[from as usize..to as usize];
                self.memory.write_slice(part, GuestAddress(at + from)).unwrap();
            }
        }
        self.model.memory.write(at, bytes);
    }

    fn is_range(&self, key: u16) -> bool {
        let name = self.model.item(key).and_then(|item| item.name.as_ref());
        name.is_some_and(|name| self.parts.contains_key(name))
    }

    fn key(&self, key: Key) -> u16 {
        match key {
            Key::Item(index, bit) => {
                let count = self.keys.len().max(1);
                let key = self.keys.get(usize::from(index) % count).copied().unwrap_or(0);
                if bit { key | 0x4000 } else { key }
            }
            Key::Writable => self
                .keys
                .iter()
                .copied()
                .find(|key| self.model.item(*key).is_some_and(|item| item.writable))
                .unwrap_or(0),
            Key::Range => self.keys.iter().copied().find(|key| self.is_range(*key)).unwrap_or(0),
            Key::Raw(key) => key,
        }
    }

    /// The item that an operation with this control uses, and the offset into it.
    fn about(&self, control: u32) -> (Option<&model::Item>, usize) {
        let (_, item, offset) = self.model.current();
        if control & 8 == 0 { (item, offset) } else { (self.model.item((control >> 16) as u16), 0) }
    }

    fn length(&self, length: Length, control: u32) -> u32 {
        match length {
            Length::Raw(length) => length,
            Length::Rest(more, less) => {
                let (item, offset) = self.about(control);
                let rest = item.map_or(0, |item| item.bytes.len() - offset) as u32;
                (rest + more).saturating_sub(less)
            }
        }
    }

    fn address(&self, place: Place, control: u32) -> u64 {
        let region = |index: u8| self.regions[usize::from(index) % self.regions.len()];
        match place {
            Place::Raw(address) => address,
            Place::Start(index, bytes) => region(index).0.wrapping_add(bytes),
            Place::End(index, bytes) => {
                let (start, size) = region(index);
                (start + size).wrapping_sub(bytes)
            }
            Place::Congruent(index, page) => {
                let (item, offset) = self.about(control);
                let part = item.and_then(|item| self.parts.get(item.name.as_ref()?));
                let in_file = part.map_or(0, |start| (start + offset as u64) % PAGE);
                let first = region(index).0.wrapping_add(PAGE - 1) & !(PAGE - 1);
                first.wrapping_add(page * PAGE).wrapping_add(in_file)
            }
        }
    }

    fn select(&mut self, key: u16) -> Checked {
        self.device.select(key);
        self.model.select(key);
        self.heard(&[Heard::Select(self.selected())])
    }

    /// `count` reads of the data port at once: `rep insb`.
    fn read_port(&mut self, count: usize) -> Checked {
        let mut read = vec![0xff; count];
        self.device.read_data(&mut read);
        let start = self.model.current().2 as u64;
        let (expected, given, failed) = self.model.read_data(count);
        if failed {
            // Either the item's bytes or zeros.
            let known = read.iter().zip(&expected).all(|(read, byte)| *read == 0 || read == byte);
            prop_assert!(known, "a port read of a file that is too short");
        } else {
            prop_assert!(read == expected, "a port read of {} bytes", count);
        }
        let item = self.selected();
        let range = (start, start + given as u64);
        let port = Heard::Port { item: item.clone(), range, zeros: (count - given) as u64 };
        if failed { self.heard(&[Heard::HostError(item), port]) } else { self.heard(&[port]) }
    }

    fn selected(&self) -> Name {
        let (key, item, _) = self.model.current();
        Name { key, file: item.and_then(|item| item.name.clone()), exists: item.is_some() }
    }

    fn dma(&mut self, at: u64, request: Descriptor, register: Register) -> Checked<Option<Done>> {
        self.poke(at, &request.to_bytes());
        let bytes = at.to_be_bytes();
        match register {
            Register::Low => self.write_register(4, &bytes[4..]),
            Register::Whole => self.write_register(0, &bytes),
            Register::Halves => {
                self.write_register(0, &bytes[..4])?;
                self.write_register(4, &bytes[4..])
            }
        }
    }

    /// Checks the DMA operation that a register write has started.
    fn write_register(&mut self, offset: usize, bytes: &[u8]) -> Checked<Option<Done>> {
        self.device.write_dma_register(offset, bytes);
        if !self.model.write_register(offset, bytes) {
            return self.heard(&[]).map(|()| None);
        }
        let done = self.model.run_dma();
        self.compare_memory(Some(&done))?;
        self.check_events(&done)?;
        Ok(Some(done))
    }

    fn what(&self, done: &Done) -> What {
        if let Err(error) = done.results[0] {
            return What::Failed(error);
        }
        let (_, length, address) = done.descriptor.unwrap_or_default();
        if done.kind != DmaKind::Read || length == 0 {
            return What::Done(done.kind);
        }
        let region = |at: u64| {
            self.regions.iter().position(|(start, size)| (*start..start + size).contains(&at))
        };
        let (_, item, _) = self.model.current();
        let part = item.and_then(|item| self.parts.get(item.name.as_ref()?));
        let congruent =
            part.is_some_and(|part| (part + done.range.0 as u64) % PAGE == address % PAGE);
        let moved = (done.range.1 - done.range.0) as u64;
        let pages = (address + moved) / PAGE >= address.div_ceil(PAGE) + 2;
        match done.kind {
            _ if congruent && pages => What::Pages,
            _ if region(address) != region(address + u64::from(length) - 1) => What::Regions,
            _ if moved > 0 && done.zeros > 0 => What::Zeros,
            kind => What::Done(kind),
        }
    }

    /// Checks that memory is as in the model. Where the model allows two values, it takes over the
    /// device's, if that is one of them.
    fn compare_memory(&mut self, done: Option<&Done>) -> Checked {
        for (start, bytes) in &mut self.model.memory.0 {
            let found = &mut self.found[..bytes.len()];
            self.memory.read_slice(found, GuestAddress(*start)).unwrap();
            if found == bytes {
                continue;
            }
            for (i, (found, expected)) in found.iter().zip(bytes).enumerate() {
                let (at, found) = (*start + i as u64, *found);
                if found != *expected && !done.is_some_and(|done| done.may_hold(at, found)) {
                    let expected = *expected;
                    prop_assert!(
                        false,
                        "memory at {at:#x} holds {found:#x}, expected {expected:#x}"
                    );
                }
                *expected = found;
            }
        }
        Ok(())
    }

    fn check_events(&mut self, done: &Done) -> Checked {
        let mut log = std::mem::take(&mut *self.log.lock().unwrap());
        let Some(Heard::Dma(heard)) = log.pop() else {
            return Err(TestCaseError::fail("no event of a DMA operation"));
        };
        prop_assert!(
            done.results.contains(&heard.result),
            "{:?}, expected {:?}",
            heard.result,
            done.results
        );
        let expected = HeardDma {
            at: done.at,
            descriptor: done.descriptor,
            selected: done.selected,
            item: self.selected(),
            kind: done.kind,
            range: (done.range.0 as u64, done.range.1 as u64),
            // How far a failed operation came is not defined.
            zeros: if heard.result.is_ok() { done.zeros } else { heard.zeros },
            result: heard.result,
        };
        prop_assert_eq!(&*heard, &expected);
        let mut before = Vec::new();
        if heard.result == Err(DmaError::Host) {
            before.push(Heard::HostError(self.selected()));
        }
        if let Some((start, count)) = done.written {
            let bytes = self.model.current().1.unwrap().bytes.clone();
            before.push(Heard::Written { bytes, start, count });
        }
        prop_assert_eq!(log, before);
        Ok(())
    }

    /// The events since the last call.
    fn heard(&self, expected: &[Heard]) -> Checked {
        let log = std::mem::take(&mut *self.log.lock().unwrap());
        prop_assert_eq!(&log[..], expected);
        Ok(())
    }
}

/// Adds an item to both. The device refuses a duplicate name or key, the model ignores it.
fn publish(
    item: &Item,
    items: &mut Items,
    keyed: &mut BTreeMap<u16, model::Item>,
    files: &mut BTreeMap<String, model::Item>,
    parts: &mut BTreeMap<String, u64>,
    log: &Log,
) {
    let of = |name: Option<String>, bytes: Vec<u8>| model::Item {
        name,
        readable: bytes.len(),
        bytes,
        writable: false,
    };
    match *item {
        Item::Keyed { key, size } => {
            let bytes = pattern(size as u64, key as u8);
            let taken = keyed.contains_key(&key);
            assert_eq!(items.set(key, bytes.clone()).is_err(), taken);
            keyed.entry(key).or_insert(of(None, bytes));
        }
        Item::File { name: n, size } => {
            let bytes = pattern(size as u64, n);
            let taken = files.contains_key(&name(n));
            assert_eq!(items.add_file(&name(n), bytes.clone()).is_err(), taken);
            files.entry(name(n)).or_insert(of(Some(name(n)), bytes));
        }
        Item::Writable { name: n, size } => {
            let bytes = pattern(size as u64, n);
            let log = Arc::clone(log);
            let on_write = move |bytes: &[u8], start, count| {
                log.lock().unwrap().push(Heard::Written { bytes: bytes.to_vec(), start, count });
            };
            let taken = files.contains_key(&name(n));
            assert_eq!(
                items.add_writable_file(&name(n), bytes.clone(), Box::new(on_write)).is_err(),
                taken
            );
            files
                .entry(name(n))
                .or_insert(model::Item { writable: true, ..of(Some(name(n)), bytes) });
        }
        Item::Parts { name: n, bytes, zeros, start, size } => {
            let first = pattern(bytes as u64, n);
            let range = start as usize..(start + size) as usize;
            let whole = [&first, vec![0; zeros as usize].as_slice(), &FILE_BYTES[range]].concat();
            let file = FileRange::new(host_file(), start..start + size);
            let parts = vec![Part::Bytes(first), Part::Zeros(zeros), Part::File(file)];
            let taken = files.contains_key(&name(n));
            assert_eq!(items.add_file(&name(n), Data::Parts(parts)).is_err(), taken);
            files.entry(name(n)).or_insert(of(Some(name(n)), whole));
        }
        Item::Range { name: n, start, size } => {
            let range = FileRange::new(host_file(), start..start + size);
            let taken = files.contains_key(&name(n));
            assert_eq!(items.add_file(&name(n), range).is_err(), taken);
            if !taken {
                let end = (start + size).min(FILE).max(start);
                let readable = FILE_BYTES.get(start as usize..end as usize).unwrap_or_default();
                let mut bytes = readable.to_vec();
                // Bytes beyond the end of the file.
                bytes.resize(size as usize, 0xee);
                let item = model::Item { readable: readable.len(), ..of(Some(name(n)), bytes) };
                files.insert(name(n), item);
                parts.insert(name(n), start);
            }
        }
    }
}
