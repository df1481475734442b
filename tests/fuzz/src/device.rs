//! The guest side of fw_cfg: sequences of port accesses and DMA operations, in any memory, on items
//! of every kind.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::sync::{Arc, LazyLock, Mutex};

use arbitrary::{Arbitrary, Result, Unstructured};
use devices::device::MachineDevice;
use devices::fw_cfg::{DMA_PORT, FwCfgPorts, SELECTOR_PORT, StringPort};
use fw_cfg::dma::Descriptor;
use fw_cfg::event::{DmaError, Event};
use fw_cfg::{FwCfg, Items, key};
use guest_memory::FileRange;
use guest_memory::{Engine, MappingOptions};
use vm_device::MutDevicePio;
use vm_device::bus::PioAddress;
use vm_memory::{
    Bytes, GuestAddress, GuestMemoryBackend, GuestMemoryMmap, GuestMemoryRegion, GuestRegionMmap,
};

use crate::scratch::Scratch;
use crate::wire::{put_list, take_list, take_rest};
use crate::{Wire, wire_enum, wire_struct};

/// Most bytes of a region of memory, and of an item that is part of a file.
const MOST: u32 = 1 << 16;
/// Most bytes of an item that is bytes.
const MOST_BYTES: u32 = 1 << 14;
/// Size in bytes of the file behind file items: some items extend beyond its end.
const FILE: usize = 0xc123;
/// What memory holds at first.
const OLD: u8 = 0xaa;

/// A machine and what its guest does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// Guest memory, from the lowest address up: at most 4.
    pub regions: Vec<Region>,
    /// At most 8.
    pub items: Vec<Item>,
    /// At most 64; to the end of the input.
    pub operations: Vec<Operation>,
}

/// Memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// Bytes without memory before it.
    pub gap: u64,
    /// Its size in bytes, less 1; modulo 64 KiB.
    pub size: u32,
}

/// An item. Its bytes depend on nothing but the number of them, so that they can be told again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item {
    /// Bytes under a well-known key.
    Keyed {
        /// The key.
        key: u16,
        /// How many bytes, modulo 16 KiB.
        size: u32,
    },
    /// A file of bytes.
    File {
        /// Gives the file its name.
        name: u8,
        /// How many bytes, modulo 16 KiB.
        size: u32,
    },
    /// A file that is part of a file of the host's.
    Range {
        /// Gives the file its name.
        name: u8,
        /// Its first byte, modulo 64 KiB.
        start: u32,
        /// How many bytes, modulo 64 KiB.
        size: u32,
    },
    /// A file that the guest may write to.
    Writable {
        /// Gives the file its name.
        name: u8,
        /// How many bytes, modulo 16 KiB.
        size: u32,
    },
}

/// A guest-physical address: `value`, from 0 on (anchor 0), or from a region's start or end on
/// (anchors 1 and 2 for the lowest, 3 and 4 for the next …).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Modulo 9.
    pub anchor: u8,
    /// Added, in two's complement.
    pub value: u64,
}

/// One thing the guest does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// `out`.
    Out {
        /// Odd: to the DMA address register, even: to selector and data.
        dma: u8,
        /// Offset of the port, modulo 8.
        offset: u8,
        /// Bytes, modulo 9.
        width: u8,
        /// What, little-endian as on the bus.
        value: u64,
    },
    /// `in`.
    In {
        /// As in `Out`.
        dma: u8,
        /// As in `Out`.
        offset: u8,
        /// As in `Out`.
        width: u8,
    },
    /// `rep insb` of the data port.
    InString {
        /// Bytes.
        count: u16,
    },
    /// A write to memory.
    Poke {
        /// Where.
        at: Place,
        /// What.
        bytes: Vec<u8>,
    },
    /// A DMA operation: its descriptor is written to memory as far as there is any, then its
    /// address to the register.
    Dma {
        /// Where the descriptor goes.
        at: Place,
        /// Of the descriptor.
        control: u32,
        /// Of the descriptor.
        length: u32,
        /// Of the descriptor.
        address: Place,
    },
    /// The machine's reset.
    Reset {},
}

wire_struct!(Region { gap, size });
wire_struct!(Place { anchor, value });
wire_enum!(Item, 4 {
    0 => Keyed { key, size },
    1 => File { name, size },
    2 => Range { name, start, size },
    3 => Writable { name, size },
});
wire_enum!(Operation, 6 {
    0 => Out { dma, offset, width, value },
    1 => In { dma, offset, width },
    2 => InString { count },
    3 => Poke { at, bytes },
    4 => Dma { at, control, length, address },
    5 => Reset {},
});

impl<'a> Arbitrary<'a> for Input {
    fn arbitrary(input: &mut Unstructured<'a>) -> Result<Self> {
        Ok(Self {
            regions: take_list(input, 4)?,
            items: take_list(input, 8)?,
            operations: take_rest(input, 64)?,
        })
    }
}

impl Input {
    /// The bytes that [`Arbitrary`] makes it of.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        put_list(&self.regions, &mut bytes);
        put_list(&self.items, &mut bytes);
        self.operations.iter().for_each(|operation| operation.put(&mut bytes));
        bytes
    }
}

/// The device: the one place where it is made. It copies, or maps whatever it can, down to a single
/// page.
fn device(items: Items, memory: GuestMemoryMmap, maps: bool) -> FwCfg<GuestMemoryMmap> {
    let options = MappingOptions { from: 1, small_pages: true, signal: libc::SIGURG };
    let engine = if maps { Engine::mapping(memory, options) } else { Engine::new(memory) };
    FwCfg::new(items, engine)
}

/// Runs a guest.
///
/// # Panics
/// Control is not written back where there is memory for it, or does not say how the operation
/// ended; an item does not hold, in the end, what it was given and what the guest has written to
/// it.
pub fn run(input: &Input) {
    let Some(memory) = memory(&input.regions) else { return };
    let mut items = Items::with_file_slots(0);
    let published: Vec<_> =
        input.items.iter().filter_map(|item| publish(item, &mut items)).collect();
    let ended: Arc<Mutex<Option<Ended>>> = Arc::default();
    let mut device = device(items, memory.clone(), input.items.len() % 2 == 1);
    let heard = Arc::clone(&ended);
    device.observe(Box::new(move |event: &Event<'_>| {
        if let Event::Dma(event) = event {
            *heard.lock().expect("nobody panics") =
                Some(Ended { at: event.at, result: event.result });
        }
    }));
    let ports = Mutex::new(FwCfgPorts::new(device));
    for operation in &input.operations {
        perform(operation, &ports, &memory);
        if let Some(ended) = ended.lock().expect("nobody panics").take() {
            ended.check(&memory);
        }
    }
    let device_keys = keys(&ports);
    for item in &published {
        item.check(&ports, &device_keys);
    }
}

/// How a DMA operation ended, by what the device tells its observer.
struct Ended {
    at: u64,
    result: std::result::Result<(), DmaError>,
}

impl Ended {
    fn check(&self, memory: &GuestMemoryMmap) {
        let mut control = [0; 4];
        if memory.read_slice(&mut control, GuestAddress(self.at)).is_ok() {
            let expected = u32::from(self.result.is_err());
            assert_eq!(u32::from_be_bytes(control), expected, "control at {:#x}", self.at);
        } else {
            assert_eq!(self.result, Err(DmaError::Descriptor), "at {:#x}", self.at);
        }
    }
}

fn memory(regions: &[Region]) -> Option<GuestMemoryMmap> {
    let mut ranges = Vec::new();
    let mut end = 0u64;
    for region in regions {
        let (start, size) = (end.checked_add(region.gap)?, region.size % MOST + 1);
        end = start.checked_add(u64::from(size))?;
        ranges.push((GuestAddress(start), size as usize));
    }
    let memory = GuestMemoryMmap::from_ranges(&ranges).ok()?;
    for (start, size) in ranges {
        memory.write_slice(&[OLD; MOST as usize][..size], start).ok()?;
    }
    Some(memory)
}

/// What an item holds, by the guest's doing too. `None`: a part of the file that is beyond its end.
struct Published {
    name: Option<String>,
    key: u16,
    bytes: Arc<Mutex<Option<Vec<u8>>>>,
}

impl Published {
    /// Reads it by port: its bytes, and zeros after them.
    fn check(&self, ports: &Mutex<FwCfgPorts<GuestMemoryMmap>>, keys: &[(String, u16)]) {
        let bytes = self.bytes.lock().expect("nobody panics");
        let Some(bytes) = bytes.as_ref() else { return };
        let by_name = |name: &String| keys.iter().find(|(other, _)| other == name);
        let key = match &self.name {
            Some(name) => by_name(name).expect("a file that was added is there").1,
            None => self.key,
        };
        ports.lock().expect("nobody panics").pio_write(
            PioAddress(SELECTOR_PORT),
            0,
            &key.to_le_bytes(),
        );
        let mut read = vec![0xff; bytes.len() + 3];
        ports.read_string(&mut read);
        assert!(read.starts_with(bytes) && read.ends_with(&[0; 3]), "item {key:#x}");
    }
}

/// The files' names and keys.
fn keys(ports: &Mutex<FwCfgPorts<GuestMemoryMmap>>) -> Vec<(String, u16)> {
    let mut ports = ports.lock().expect("nobody panics");
    let items = ports.device().items();
    items.filter_map(|item| Some((item.file?.to_owned(), item.key))).collect()
}

/// Puts an item among the others, unless it is refused: a key twice, a name twice.
fn publish(item: &Item, items: &mut Items) -> Option<Published> {
    let bytes: Arc<Mutex<Option<Vec<u8>>>> = Arc::default();
    let hold = |held: Vec<u8>| *bytes.lock().expect("nobody panics") = Some(held);
    let mut published = Published { name: None, key: 0, bytes: Arc::clone(&bytes) };
    match *item {
        Item::Keyed { key, size } => {
            let data = pattern(size % MOST_BYTES).to_vec();
            items.set(key, data.clone()).ok()?;
            hold(data);
            published.key = key;
        }
        Item::File { name, size } => {
            let data = pattern(size % MOST_BYTES).to_vec();
            items.add_file(&file_name(name), data.clone()).ok()?;
            hold(data);
            published.name = Some(file_name(name));
        }
        Item::Range { name, start, size } => {
            let range = u64::from(start % MOST)..u64::from(start % MOST) + u64::from(size % MOST);
            let (first, end) = ((start % MOST) as usize, (start % MOST + size % MOST) as usize);
            items.add_file(&file_name(name), FileRange::new(host_file()?, range)).ok()?;
            if let Some(part) = pattern(FILE as u32).get(first..end) {
                hold(part.to_vec());
            }
            published.name = Some(file_name(name));
        }
        Item::Writable { name, size } => {
            let data = pattern(size % MOST_BYTES).to_vec();
            let shadow = Arc::clone(&bytes);
            let on_write = move |all: &[u8], start: usize, count: usize| {
                assert!(start + count <= all.len(), "{start} + {count} > {}", all.len());
                *shadow.lock().expect("nobody panics") = Some(all.to_vec());
            };
            items.add_writable_file(&file_name(name), data.clone(), Box::new(on_write)).ok()?;
            hold(data);
            published.name = Some(file_name(name));
        }
    }
    Some(published)
}

fn file_name(name: u8) -> String {
    format!("opt/{name}")
}

/// Bytes of which no two places look alike.
fn pattern(size: u32) -> &'static [u8] {
    static PATTERN: LazyLock<Vec<u8>> =
        LazyLock::new(|| (0..MOST).map(|at| (at ^ (at >> 8) ^ 0x5a).to_le_bytes()[0]).collect());
    &PATTERN[..size as usize]
}

/// The file on the host: always the same one.
fn host_file() -> Option<File> {
    thread_local! {
        static FILE_OF_HOST: Option<File> = Scratch::of(pattern(FILE as u32)).ok();
    }
    // A descriptor of its own, as an engine that maps takes a lease on it.
    FILE_OF_HOST
        .with(|file| File::open(format!("/proc/self/fd/{}", file.as_ref()?.as_raw_fd())).ok())
}

impl Place {
    fn address(self, memory: &GuestMemoryMmap) -> u64 {
        let anchor = usize::from(self.anchor % 9);
        let region = |index: usize| memory.iter().nth(index);
        let start = |region: &GuestRegionMmap| region.start_addr().0;
        let base = match anchor {
            0 => 0,
            odd if odd % 2 == 1 => region(odd / 2).map_or(0, start),
            even => region(even / 2 - 1).map_or(0, |region| start(region) + region.len()),
        };
        base.wrapping_add(self.value)
    }
}

fn perform(
    operation: &Operation,
    ports: &Mutex<FwCfgPorts<GuestMemoryMmap>>,
    memory: &GuestMemoryMmap,
) {
    let base = |dma: u8| PioAddress(if dma & 1 == 1 { DMA_PORT } else { SELECTOR_PORT });
    let bus = || ports.lock().expect("nobody panics");
    match operation {
        Operation::Out { dma, offset, width, value } => {
            let value = value.to_le_bytes();
            bus().pio_write(base(*dma), u16::from(offset % 8), &value[..usize::from(width % 9)]);
        }
        Operation::In { dma, offset, width } => {
            let mut value = [0xff; 8];
            let value = &mut value[..usize::from(width % 9)];
            bus().pio_read(base(*dma), u16::from(offset % 8), value);
        }
        Operation::InString { count } => ports.read_string(&mut vec![0xff; usize::from(*count)]),
        Operation::Poke { at, bytes } => {
            // As far as there is memory.
            let _ = memory.write(bytes, GuestAddress(at.address(memory)));
        }
        Operation::Dma { at, control, length, address } => {
            let (control, length) = (*control, *length);
            let request = Descriptor { control, length, address: address.address(memory) };
            let at = at.address(memory);
            let _ = memory.write(&request.to_bytes(), GuestAddress(at));
            let at = at.to_be_bytes();
            bus().pio_write(PioAddress(DMA_PORT), 0, &at[..4]);
            bus().pio_write(PioAddress(DMA_PORT), 4, &at[4..]);
        }
        Operation::Reset {} => {
            bus().reset();
            let mut signature = [0; 4];
            ports.read_string(&mut signature);
            assert_eq!(&signature, b"QEMU");
            bus().pio_write(PioAddress(SELECTOR_PORT), 0, &key::SIGNATURE.to_le_bytes());
        }
    }
}
