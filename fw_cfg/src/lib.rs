//! QEMU's firmware configuration device, fw_cfg: the protocol, for any virtual machine monitor.
//!
//! The host publishes *items*, blobs of bytes with a 16-bit *key* each. The guest selects a key, and reads the item from its first
//! byte on: a byte at a time from a data register, or any number at once by DMA. Firmware finds the memory map, ACPI tables,
//! option ROMs, kernel and initrd in this way, and Linux has a driver that shows the items under /sys/firmware/qemu_fw_cfg.
//!
//! # Items
//!
//! Keys below 0x20 are [well known](key): the signature, the number of CPUs, the twelve that a kernel is handed over by. Keys with
//! bit 15 are a second table, which belongs to the architecture. From 0x20 on there are *files*: items with a name of up to 55
//! bytes, listed in a directory, which is an item itself. Files are numbered in the order of their names, so their keys are only
//! known when all of them are. That is why [`Items`] is built first, and then moved into the device whole.
//!
//! An item is bytes, or a [range of an open file](guest_memory::FileRange), which is read when the guest asks for it and is never on the heap; how it gets
//! into guest memory is the business of the [transfer engine](guest_memory).
//! Items can be [writable](Items::add_writable_file), within their size: so a guest tells its host something.
//!
//! # Registers
//!
//! | port | width | access | |
//! |---|---|---|---|
//! | 0x510 | 16 | write, little-endian | selector: [`FwCfg::select`] |
//! | 0x511 | 8 | read | data: [`FwCfg::read_data`] |
//! | 0x514 | 32 | write, big-endian | DMA address, high half: [`FwCfg::write_dma_register`] |
//! | 0x518 | 32 | write, big-endian | DMA address, low half; starts the operation |
//! | 0x514 | 64 | read | "QEMU CFG": [`FwCfg::read_dma_register`] |
//!
//! The ports are the business of who uses this library, as are memory-mapped registers on other architectures.
//!
//! # DMA
//!
//! The address is that of a 16-byte [descriptor](dma::Descriptor): control, length, address, all big-endian. The device selects an
//! item where control says so, moves the bytes, and writes control back: 0, or [`dma::ERROR`]. What an item does not have reads as
//! zeros, and is no error: firmware reads items that need not be there into variables it has not set. Reads are done before
//! writes and those before skips where control asks for more than one.
//!
//! Nothing the guest does makes the device allocate by a length of the guest's, panic, or leave control unwritten where there is
//! memory for it.
//!
//! # Example
//!
//! A machine with 1 MiB of memory, and a guest that reads a file by DMA as SeaBIOS does.
//!
//! ```
//! use fw_cfg::dma::{Descriptor, READ, SELECT};
//! use guest_memory::Engine;
//! use fw_cfg::{FwCfg, Items, key};
//! use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};
//!
//! let mut items = Items::new();
//! items.set(key::NB_CPUS, 4u16)?;
//! items.add_file("opt/org.example/greeting", b"Hello".to_vec())?;
//!
//! let memory: GuestMemoryMmap = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 1 << 20)])?;
//! let mut device = FwCfg::new(items, Engine::new(memory.clone()));
//!
//! // The guest: it knows from the directory that the file has the key 0x20.
//! let control = 0x20 << 16 | SELECT | READ;
//! let request = Descriptor { control, length: 8, address: 0x2000 };
//! memory.write_slice(&request.to_bytes(), GuestAddress(0x1000))?;
//! device.write_dma_register(4, &0x1000u32.to_be_bytes());
//!
//! let mut read = [0xff; 8];
//! memory.read_slice(&mut read, GuestAddress(0x2000))?;
//! assert_eq!(&read, b"Hello\0\0\0");
//! assert_eq!(memory.read_obj::<u32>(GuestAddress(0x1000))?, 0); // control: done, no error
//!
//! // The same by the ports.
//! device.select(key::NB_CPUS);
//! let mut cpus = [0; 2];
//! device.read_data(&mut cpus);
//! assert_eq!(u16::from_le_bytes(cpus), 4);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Sources: docs/specs/fw_cfg.rst and hw/nvram/fw_cfg.c in QEMU, which decides where the two differ; src/fw/paravirt.c in SeaBIOS and
//! drivers/firmware/qemu_fw_cfg.c in Linux for what guests rely on.

mod data;
mod device;
pub mod dma;
pub mod event;
mod items;
pub mod key;
pub mod loader;
pub mod x86;

pub use data::Data;
pub use device::{DMA_SIGNATURE, FwCfg};
pub use items::{DEFAULT_FILE_SLOTS, ItemError, Items, MAX_FILE_SLOTS, MAX_NAME, OnWrite};
