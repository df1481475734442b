//! Small accesses to fw_cfg, as firmware makes them, from the exit on: what chukka does for each,
//! and how often it allocates.
//!
//! The device is where the machine has it: behind its ports and a lock. Nothing of it is measured
//! against a peer, so that these can be criterion's.

use std::fs::File;
use std::sync::{Arc, Mutex, PoisonError};

use devices::fw_cfg::{DATA_PORT, DMA_PORT, FwCfgPorts, SELECTOR_PORT, StringPort};
use fw_cfg::dma::{Descriptor, READ, SELECT};
use fw_cfg::{FwCfg, Items, key};
use guest_memory::FileRange;
use vm_device::MutDevicePio;
use vm_device::bus::PioAddress;
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

use crate::Error;
use crate::rivals::chukka;

/// SeaBIOS's stack, where it has descriptors and variables.
const STACK: GuestAddress = GuestAddress(0x6f00);
/// What it reads goes behind the descriptor.
const VARIABLE: u64 = STACK.0 + 16;
/// Bytes that are read by the data port: as many as SeaBIOS reads of a small table.
pub const PORT_BYTES: usize = 4096;
/// The item they are of.
const PORT_FILE: &str = "opt/org.example/page";

/// The files of a guest with kernel and initrd on `-machine pc`, with as many bytes as they usually
/// have.
const FILES: [(&str, usize); 13] = [
    ("bootorder", 31),
    ("etc/acpi/rsdp", 36),
    ("etc/acpi/tables", 0x2000),
    ("etc/boot-fail-wait", 4),
    ("etc/e820", 80),
    ("etc/smbios/smbios-anchor", 24),
    ("etc/smbios/smbios-tables", 353),
    ("etc/system-states", 6),
    ("etc/table-loader", 0x1000),
    ("etc/tpm/log", 0),
    ("etc/vmcoreinfo", 16),
    ("genroms/linuxboot_dma.bin", 1536),
    (PORT_FILE, PORT_BYTES),
];

/// A guest with a device.
#[derive(Debug)]
pub struct Machine {
    memory: GuestMemoryMmap,
    ports: Arc<Mutex<FwCfgPorts<GuestMemoryMmap>>>,
}

/// What firmware does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// `qemu_cfg_read_entry` of 4 bytes: one DMA operation, SELECT and READ at once.
    SelectRead,
    /// The same of an item that is a file.
    FileRead,
    /// `qemu_cfg_init`'s list of files: their number, then 64 bytes each, a DMA operation for every
    /// one.
    Directory,
    /// 4096 bytes by the data port, one access for each.
    PortBytes,
    /// The same by one `rep insb`.
    PortString,
}

impl Operation {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::SelectRead, Self::FileRead, Self::Directory, Self::PortBytes, Self::PortString];

    /// In a table.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::SelectRead => "DMA: SELECT and READ of 4 bytes",
            Self::FileRead => "DMA: SELECT and READ of 4 bytes of a file",
            Self::Directory => "DMA: SeaBIOS's list of 13 files",
            Self::PortBytes => "data port: 4096 bytes, one by one",
            Self::PortString => "data port: 4096 bytes by rep insb",
        }
    }

    /// How many VM exits it takes: each is an access to the device.
    #[must_use]
    pub fn exits(self) -> usize {
        match self {
            Self::SelectRead | Self::FileRead => 1,
            Self::Directory => 1 + FILES.len(),
            // And one to select the item.
            Self::PortBytes => 1 + PORT_BYTES,
            Self::PortString => 2,
        }
    }
}

impl Machine {
    /// A machine of 1 MiB with the usual files.
    ///
    /// # Errors
    /// There is no memory.
    pub fn new() -> Result<Self, Error> {
        let mut items = Items::new();
        items.set(key::NB_CPUS, 4_u32)?;
        // A file that every process has.
        let file = File::open("/proc/self/exe")?;
        let len = file.metadata()?.len();
        items.set(key::KERNEL_DATA, FileRange::new(file, 0..len))?;
        for (name, size) in FILES {
            items.add_file(name, vec![0x5a; size])?;
        }
        let memory: GuestMemoryMmap = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 1 << 20)])?;
        let device = FwCfg::new(items, chukka::engine(&memory));
        let ports = Arc::new(Mutex::new(FwCfgPorts::new(device)));
        Ok(Self { memory, ports })
    }

    /// Makes an operation once.
    ///
    /// # Errors
    /// The guest would not have got what it asked for.
    pub fn run(&self, operation: Operation) -> Result<(), Error> {
        match operation {
            Operation::SelectRead => {
                self.dma(u32::from(key::NB_CPUS) << 16 | SELECT | READ, 4)?;
                self.expect::<u32>(4)
            }
            Operation::FileRead => {
                self.dma(u32::from(key::KERNEL_DATA) << 16 | SELECT | READ, 4)?;
                self.expect(u32::from_ne_bytes(*b"\x7fELF"))
            }
            Operation::Directory => {
                self.dma(u32::from(key::FILE_DIR) << 16 | SELECT | READ, 4)?;
                let count = u32::from_be(self.memory.read_obj(GuestAddress(VARIABLE))?);
                for _ in 0..count {
                    self.dma(READ, 64)?;
                }
                // The size of the last file.
                self.expect(u32::try_from(PORT_BYTES)?.to_be())
            }
            Operation::PortBytes => {
                self.select_last_file();
                let mut sum = 0;
                for _ in 0..PORT_BYTES {
                    let mut byte = [0];
                    self.with_ports(|ports| {
                        let offset = DATA_PORT - SELECTOR_PORT;
                        ports.pio_read(PioAddress(SELECTOR_PORT), offset, &mut byte);
                    });
                    sum += usize::from(byte[0]);
                }
                if sum == PORT_BYTES * 0x5a { Ok(()) } else { Err("not the file's bytes".into()) }
            }
            Operation::PortString => {
                self.select_last_file();
                let mut bytes = [0; PORT_BYTES];
                self.ports.read_string(&mut bytes);
                if bytes == [0x5a; PORT_BYTES] {
                    Ok(())
                } else {
                    Err("not the file's bytes".into())
                }
            }
        }
    }

    /// `qemu_cfg_dma_transfer`: a descriptor, the low half of its address to the port, and a look
    /// at control.
    fn dma(&self, control: u32, length: u32) -> Result<(), Error> {
        let request = Descriptor { control, length, address: VARIABLE };
        self.memory.write_slice(&request.to_bytes(), STACK)?;
        let low = u32::try_from(STACK.0)?.to_be_bytes();
        self.with_ports(|ports| ports.pio_write(PioAddress(DMA_PORT), 4, &low));
        let control: u32 = self.memory.read_obj(STACK)?;
        if control == 0 { Ok(()) } else { Err("the operation failed".into()) }
    }

    fn expect<T: vm_memory::ByteValued + PartialEq>(&self, value: T) -> Result<(), Error> {
        let read: T = self.memory.read_obj(GuestAddress(VARIABLE))?;
        if read == value { Ok(()) } else { Err("not what the item holds".into()) }
    }

    /// The files are in order, and this one's name comes last.
    fn select_last_file(&self) {
        let key = key::FILE_FIRST + u16::try_from(FILES.len() - 1).unwrap_or(0);
        self.with_ports(|ports| ports.pio_write(PioAddress(SELECTOR_PORT), 0, &key.to_le_bytes()));
    }

    fn with_ports(&self, access: impl FnOnce(&mut FwCfgPorts<GuestMemoryMmap>)) {
        access(&mut self.ports.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
