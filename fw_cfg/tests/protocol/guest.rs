//! A small guest: the device's ports and some memory.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use fw_cfg::dma::{Descriptor, READ, SELECT};
use fw_cfg::{FwCfg, Items, key};
use guest_memory::Engine;
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

/// Key of a read-only file, which holds [`DATA_BYTES`].
pub const DATA: u16 = 0x20;
pub const DATA_BYTES: [u8; 16] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16];
/// Key of an empty file.
pub const EMPTY: u16 = 0x21;
/// Key of a writable file, which holds [`WRITABLE_BYTES`].
pub const WRITABLE: u16 = 0x22;
pub const WRITABLE_BYTES: [u8; 8] = *b"unwritte";
/// A key within the tables without an item.
pub const ABSENT: u16 = key::NUMA;
/// A key beyond the tables.
pub const INVALID: u16 = 0x3fff;

/// Address of descriptors.
pub const DESC: u64 = 0x1000;
/// Address of data.
pub const BUFFER: u64 = 0x2000;
/// Memory of [`Guest::standard`] in bytes.
pub const MEMORY: u64 = 0x1_0000;
/// The initial value of every byte of memory.
pub const OLD: u8 = 0xaa;
/// Control after a successful operation.
pub const OK: u32 = 0;
/// Control after a failed operation.
pub const ERROR: u32 = 1;

/// Each call of `on_write`: all bytes of the item, offset, count.
pub type Writes = Arc<Mutex<Vec<(Vec<u8>, usize, usize)>>>;

pub struct Guest {
    pub memory: GuestMemoryMmap,
    pub device: FwCfg<GuestMemoryMmap>,
    pub writes: Writes,
}

impl Guest {
    /// A guest with these items, and memory at these (address, length), filled with [`OLD`].
    pub fn new(items: Items, ranges: &[(u64, usize)]) -> Self {
        let ranges: Vec<_> = ranges.iter().map(|(at, len)| (GuestAddress(*at), *len)).collect();
        let memory = GuestMemoryMmap::from_ranges(&ranges).unwrap();
        for (at, len) in ranges {
            memory.write_slice(&vec![OLD; len], at).unwrap();
        }
        Self {
            device: FwCfg::new(items, Engine::new(memory.clone())),
            memory,
            writes: Writes::default(),
        }
    }

    /// A guest with [`DATA`], [`EMPTY`] and [`WRITABLE`], and [`MEMORY`] bytes at address 0.
    pub fn standard() -> Self {
        Self::with_memory(&[(0, MEMORY as usize)])
    }

    /// A guest with the items of [`Guest::standard`] and other memory.
    pub fn with_memory(ranges: &[(u64, usize)]) -> Self {
        let writes = Writes::default();
        let calls = Arc::clone(&writes);
        let mut items = Items::new();
        items.add_file("opt/a", DATA_BYTES.to_vec()).unwrap();
        items.add_file("opt/b", Vec::new()).unwrap();
        let on_write = move |bytes: &[u8], offset, count| {
            calls.lock().unwrap().push((bytes.to_vec(), offset, count));
        };
        items.add_writable_file("opt/c", WRITABLE_BYTES.to_vec(), Box::new(on_write)).unwrap();
        Self { writes, ..Self::new(items, ranges) }
    }

    pub fn outw(&mut self, port: u16, value: u16) {
        assert_eq!(port, 0x510);
        self.device.select(value);
    }

    pub fn inb(&mut self, port: u16) -> u8 {
        assert_eq!(port, 0x511);
        let mut byte = [0xff];
        self.device.read_data(&mut byte);
        byte[0]
    }

    pub fn outl(&mut self, port: u16, value: u32) {
        self.device.write_dma_register(usize::from(port - 0x514), &value.to_le_bytes());
    }

    pub fn inl(&mut self, port: u16) -> u32 {
        let mut bytes = [0xff; 4];
        self.device.read_dma_register(usize::from(port - 0x514), &mut bytes);
        u32::from_le_bytes(bytes)
    }

    /// Reads `count` bytes by port.
    pub fn insb(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.inb(0x511)).collect()
    }

    pub fn peek(&self, at: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.memory.read_slice(&mut bytes, GuestAddress(at)).unwrap();
        bytes
    }

    pub fn poke(&self, at: u64, bytes: &[u8]) {
        self.memory.write_slice(bytes, GuestAddress(at)).unwrap();
    }

    pub fn peek_u32(&self, at: u64) -> u32 {
        u32::from_le_bytes(self.peek(at, 4).try_into().unwrap())
    }

    /// The control field, big-endian, of the descriptor at `at`.
    pub fn control(&self, at: u64) -> u32 {
        u32::from_be_bytes(self.peek(at, 4).try_into().unwrap())
    }

    /// Writes both halves of the address register.
    pub fn start(&mut self, at: u64) {
        self.outl(0x514, ((at >> 32) as u32).swap_bytes());
        self.outl(0x518, (at as u32).swap_bytes());
    }

    /// Runs one operation with its descriptor at `at`. Returns control afterwards.
    pub fn dma_at(&mut self, at: u64, control: u32, length: u32, address: u64) -> u32 {
        self.poke(at, &Descriptor { control, length, address }.to_bytes());
        self.start(at);
        self.control(at)
    }

    pub fn dma(&mut self, control: u32, length: u32, address: u64) -> u32 {
        self.dma_at(DESC, control, length, address)
    }

    /// A control field that selects `key` first.
    pub fn select_and(key: u16, control: u32) -> u32 {
        u32::from(key) << 16 | SELECT | control
    }

    /// Reads the first bytes of an item with SELECT and READ, to [`BUFFER`].
    pub fn item(&mut self, key: u16, length: u32) -> Vec<u8> {
        assert_eq!(self.dma(Self::select_and(key, READ), length, BUFFER), OK);
        self.peek(BUFFER, length as usize)
    }
}

/// An open, unlinked file with these bytes.
pub fn file(bytes: &[u8]) -> File {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("fw_cfg-{}-{count}", std::process::id());
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let mut file = OpenOptions::new().read(true).write(true).create_new(true).open(&path).unwrap();
    std::fs::remove_file(path).unwrap();
    file.write_all(bytes).unwrap();
    file
}

/// Bytes of which no two places look alike.
pub fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i ^ (i >> 8) ^ (i >> 16)) as u8).collect()
}
