//! A virtual machine monitor on KVM, as a library: it takes open files and returns how the guest
//! ended.
//!
//! Data flows one way: [`config::VmConfig`] and a kernel → [`run::Vm`] → [`outcome::Outcome`].
//!
//! Each module may use those above it in this table, never those below.
//!
//! | module | what it owns |
//! |---|---|
//! | [`config`] | one run as plain, checked data; credentials; CPU features by name |
//! | [`outcome`] | how a run ended |
//! | [`host`] | terminal, standard input, signals, clock, notices to the main thread |
//! | [`memory`] | guest memory and the firmware's ROM |
//! | [`bus`] | the I/O ports: which device answers |
//! | [`kvm`] | the VM; its CPUs: CPUID, initial registers, the run loop of a vCPU |
//! | [`error`] | why a guest could not start |
//! | [`boot`] | what is booted: a kernel directly, or firmware |
//! | [`sandbox`] | what the process gives up before the guest runs |
//! | [`machine`] | the list of devices; fw_cfg's items and its trace |
//! | [`gdb`] | the server for gdb: registers, memory, breakpoints, steps |
//! | [`core_dump`] | the guest's memory and registers as an ELF core |
//! | [`timeline`] | the phases of a run, by its exits |
//! | [`monitor`] | QMP and the human monitor: clients that control the run |
//! | [`run`] | one run: boots, reboots, threads, the event loop |

pub mod boot;
pub mod bus;
pub mod config;
pub mod core_dump;
pub mod error;
pub mod gdb;
pub mod host;
pub mod kvm;
mod lock;
pub mod machine;
pub mod memory;
pub mod mmio_bus;
pub mod monitor;
pub mod outcome;
pub mod run;
pub mod sandbox;
pub mod timeline;

#[cfg(test)]
mod tests;
