//! The lab: an emulated machine with a genuine KVM, for hosts whose own KVM cannot run a stock kernel.
//!
//! `qemu-system-x86_64 -accel tcg -cpu max,+svm` starts Debian's cloud kernel; in it, `lab-agent` loads `kvm-amd`
//! and runs jobs. A [`Lab`] takes jobs one by one while it runs, and shows their output as it comes. [`icount`]
//! boots a machine of its own for a list of jobs, on a clock that counts instructions: the same jobs take the
//! same time, to the nanosecond, on every run.

mod icount;
mod initramfs;
mod link;
mod memory;
mod outer;
mod pool;

pub mod wire;

/// The host as the machine sees it: what listens on the host's loopback, and nothing else.
pub const HOST: &str = "10.0.2.2";

pub use icount::icount;
pub use link::Lab;
pub use memory::usual_memory_mib;
pub use pool::Pool;
