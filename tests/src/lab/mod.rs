//! The lab: an emulated machine with a genuine KVM, for hosts whose own KVM cannot run a stock
//! kernel.
//!
//! `qemu-system-x86_64 -accel tcg -cpu max,+svm` boots Debian's cloud kernel, in which `lab-agent`
//! loads `kvm-amd` and runs jobs. A [`Lab`] runs jobs one by one and shows their output as it
//! arrives. [`icount`] boots a separate machine for a list of jobs, on a clock that counts
//! instructions: the same jobs take the same time, to the nanosecond, on every run. [`Bochs`] is
//! another emulated machine, slower, for what QEMU's emulation lacks.

mod bochs;
mod icount;
mod initramfs;
mod link;
mod memory;
mod outer;
mod pool;

pub mod wire;

/// The host's address in the machine: servers on the host's loopback, and nothing else.
pub const HOST: &str = "10.0.2.2";

/// The Debian disk ([`crate::assets::disk`]) in a [`Lab`]: a block device with a copy of its own.
pub const DISK: &str = "/dev/vda";

pub use bochs::Bochs;
pub use icount::icount;
pub use link::Lab;
pub use memory::usual_memory_mib;
pub use pool::Pool;
