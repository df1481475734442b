//! What the fuzzer runs: every place where untrusted bytes enter chukka.
//!
//! | target | input | format |
//! |---|---|---|
//! | [`device`] | a guest's accesses to fw_cfg: ports, descriptors, memory layouts | [`device::Input`] |
//! | [`loader_script`] | what our linker-loader scripts make a firmware do, run as SeaBIOS runs them | [`loader_script::Input`] |
//! | [`kernel`] | kernel files, by direct boot and through fw_cfg | a header of 8 bytes, the command line, the file |
//! | [`headers`] | kernel files of the right outer form: multiboot headers, ELF notes, PE sections | [`headers`] |
//! | [`cmdline`] | chukka's command line | one word a line |
//! | [`image`] | images: media, disks, file systems | [`image`], an image without most of its zeros |
//! | [`network`] | frames and packets of a guest, and what a far end sends | a list of operations ([`network`]) |
//! | [`qcow2`] | qcow2 images, and what a guest does to the disk | [`qcow2`], operations and an image |
//! | [`virtio_disk`] | a guest's virtio disk, by both transports | [`virtio_disk::Input`] |
//! | [`virtio_rings`] | a guest's network card or CD drive, likewise | [`virtio_rings::Input`] |
//! | [`ahci`] | a guest's SATA controller: registers, and memory that it reads | operations of six bytes |
//! | [`boot_config`] | boot loaders' configurations and `.treeinfo` | which file it is, and the file |
//!
//! A target panics when a property does not hold. Unbounded allocations and run times are found by
//! the fuzzer's limits (`run.sh`), accesses out of bounds by the address sanitizer.
//!
//! The inputs under `seeds/` are real accesses: `cargo run -p chukka-fuzz --example seeds` writes
//! them. `cargo test` runs each once.
#![forbid(unsafe_code)]

pub mod ahci;
pub mod boot_config;
pub mod cmdline;
pub mod device;
pub mod headers;
pub mod image;
pub mod kernel;
pub mod loader_script;
mod medium;
pub mod network;
pub mod qcow2;
mod scratch;
pub mod virtio;
pub mod virtio_disk;
pub mod virtio_rings;
mod wire;

pub use wire::Wire;
