//! What the fuzzer runs: the doors by which the bytes of others come into chukka.
//!
//! | target | what comes in | format of an input |
//! |---|---|---|
//! | [`device`] | a guest's accesses to fw_cfg: ports, descriptors, memory layouts | [`device::Input`] |
//! | [`loader_script`] | what our linker-loader scripts make a firmware do, run as SeaBIOS runs them | [`loader_script::Input`] |
//! | [`kernel`] | kernel files, by direct boot and through fw_cfg | a header of 8 bytes, the command line, the file |
//! | [`cmdline`] | chukka's command line | one word a line |
//! | [`image`] | images: media, disks, file systems | [`image`], an image without most of its zeros |
//! | [`boot_config`] | boot loaders' configurations and `.treeinfo` | which file it is, and the file |
//!
//! A target panics where what it looks at is not as it must be. That an allocation or the time is not bounded is found by the
//! fuzzer's own limits (`run.sh`), and what is out of bounds by the address sanitizer.
//!
//! The inputs under `seeds/` are real accesses: `cargo run --example seeds` writes them. `cargo test` runs each of them once.
#![forbid(unsafe_code)]

pub mod boot_config;
pub mod cmdline;
pub mod device;
pub mod image;
pub mod kernel;
pub mod loader_script;
mod scratch;
mod wire;

pub use wire::Wire;
