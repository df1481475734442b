//! The transfer engine: moves bytes, parts of files and zeros into guest memory, each in the
//! cheapest way.
//!
//! - Bytes are copied.
//! - Part of a file is read with pread(2) straight into guest memory; from 8 MiB, on one thread per
//!   CPU.
//! - Part of a file used as data, from [`MappingOptions::from`] bytes, is mapped privately over the
//!   guest's pages, where file offset and host address agree modulo the page size. Incomplete pages
//!   are read, and so are [small pages](MappingOptions::small_pages) unless the options ask for
//!   them.
//! - Zeros, from 4 MiB, are made by returning whole huge pages to the host. The rest is written.
//!
//! docs/decisions/0007-transfer.md has the measurements behind these choices.
//!
//! # Example
//!
//! ```
//! use std::fs::File;
//!
//! use guest_memory::{Engine, FileRange, Source, TransferError};
//! use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};
//!
//! let memory: GuestMemoryMmap = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 1 << 20)])?;
//! let engine = Engine::new(memory.clone());
//!
//! engine.transfer(Source::Bytes(b"console=ttyS0\0"), GuestAddress(0x2000))?;
//!
//! let file = FileRange::new(File::open("/proc/self/exe")?, 0..4096);
//! engine.transfer(Source::File { file: &file, part: 0..4096 }, GuestAddress(0x3000))?;
//! let mut magic = [0; 4];
//! memory.read_slice(&mut magic, GuestAddress(0x3000))?;
//! assert_eq!(&magic, b"\x7fELF");
//!
//! // Memory ends at 1 MiB.
//! let ended = engine.transfer(Source::Zeros(4096), GuestAddress(0xf_f800));
//! assert!(matches!(ended, Err(TransferError::Guest)));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # A mapping behaves like a copy
//!
//! DMA copies: the guest must not see later changes to the file. A private mapping keeps the
//! guest's writes out of the file, but it shows the guest what others write to the file, and its
//! pages disappear when the file is truncated.
//!
//! So the engine maps a file only while it holds a *read lease* on it (`F_SETLEASE`, fcntl(2)).
//! A process that opens the file for writing, or truncates it, is blocked by the kernel until the
//! engine releases the lease. [`Engine::detach`] first replaces every mapped page by a copy, while
//! the guest is stopped, and then releases it. Where the kernel grants no lease (another process
//! has the file open for writing, another user owns it, or the file system does not support
//! leases), the engine reads the file instead. Either way, the guest only ever sees the bytes that
//! the file had when it was opened.
//!
//! Two things can still go wrong. The kernel breaks a lease that is not released in time
//! (/proc/sys/fs/lease-break-time, 45 s), for example because the process is stopped. And a disk
//! can fail under a mapped file. When the guest touches a lost page, `KVM_RUN` returns `EFAULT`;
//! when the host does, it gets a SIGBUS. [`Engine::cut_file`] and [`Engine::changed_file`] name the
//! file, and [`repair`] is for the signal handler.

mod discard;
mod engine;
mod error;
mod file;
pub mod hint;
mod host;
mod mapped;
mod mapping;
mod memory;
mod page_cache;
mod pages;
mod parallel;
mod reservation;
mod sigbus;
mod source;

pub use engine::Engine;
pub use error::TransferError;
pub use file::{Content, FileRange, HostFile};
pub use mapped::Leases;
pub use mapping::MappingOptions;
pub use memory::{Memory, Region};
pub use sigbus::repair;
pub use source::Source;
