//! QEMU's firmware configuration device, fw_cfg: the protocol as a library for any virtual machine
//! monitor.
//!
//! The host publishes *items*, sequences of bytes that each have a 16-bit *key*. The guest selects
//! a key and reads the item from its first byte, either byte by byte from a data register or by
//! DMA. Firmware finds the memory map, ACPI tables, option ROMs, kernel and initrd this way, and a
//! Linux driver shows the items under /sys/firmware/qemu_fw_cfg.
//!
//! # Items
//!
//! Keys below 0x20 are [well known](key): the signature, the number of CPUs, the parts of a kernel
//! and so on. Keys with bit 15 set belong to a second table, for the architecture. From 0x20 there
//! are *files*: items with a name of up to 55 bytes, listed in a directory that is itself an item.
//! Files are numbered in the order of their names, so their keys are known only once all files are.
//! That is why the host first builds [`Items`] and then moves all of them into the device.
//!
//! An item consists of bytes, or of a [range of an open file](guest_memory::FileRange), which is
//! read when the guest asks for it and is never on the heap. The [transfer engine](guest_memory)
//! moves it into guest memory. The guest can overwrite [writable files](Items::add_writable_file),
//! within their length, to tell the host something.
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
//! The user of this library connects the registers to I/O ports, or to memory-mapped registers on
//! other architectures.
//!
//! # DMA
//!
//! The DMA address is that of a [descriptor](dma::Descriptor) of 16 bytes: control, length and
//! address, all big-endian. The device selects an item if control asks for it, moves the bytes, and
//! writes control back as 0 or [`dma::ERROR`]. Bytes beyond the end of an item read as zeros, which
//! is not an error: firmware reads items that may be absent into uninitialised variables. If
//! control asks for several operations, read takes precedence over write, and write over skip.
//!
//! Nothing a guest does makes the device panic, allocate a length of the guest's choice, or leave
//! control unwritten, as long as control is in guest memory.
//!
//! # Example
//!
//! A machine with 1 MiB of memory, and a guest that reads a file by DMA as SeaBIOS does.
//!
//! ```
//! use fw_cfg::dma::{Descriptor, READ, SELECT};
//! use fw_cfg::{FwCfg, Items, key};
//! use guest_memory::Engine;
//! use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};
//!
//! let mut items = Items::new();
//! items.set(key::NB_CPUS, 4u16)?;
//! items.add_file("opt/org.example/greeting", b"Hello".to_vec())?;
//!
//! let memory: GuestMemoryMmap = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 1 << 20)])?;
//! let mut device = FwCfg::new(items, Engine::new(memory.clone()));
//!
//! // The guest has learned from the directory that the file's key is 0x20.
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
//! // Reading by port.
//! device.select(key::NB_CPUS);
//! let mut cpus = [0; 2];
//! device.read_data(&mut cpus);
//! assert_eq!(u16::from_le_bytes(cpus), 4);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Sources: docs/specs/fw_cfg.rst and hw/nvram/fw_cfg.c in QEMU (where they differ, the code
//! decides); src/fw/paravirt.c in SeaBIOS and drivers/firmware/qemu_fw_cfg.c in Linux for what
//! guests rely on.

#![forbid(unsafe_code)]

mod data;
mod device;
pub mod dma;
pub mod event;
mod items;
pub mod key;
pub mod loader;
mod operation;
pub mod x86;

pub use data::{Data, Part};
pub use device::{DMA_SIGNATURE, FwCfg};
pub use items::{DEFAULT_FILE_SLOTS, ItemError, Items, MAX_FILE_SLOTS, MAX_NAME, OnWrite};
