//! A virtual machine monitor on KVM, as a library: it is handed open files and says how the guest ended.
//!
//! Data flows one way: [`config::VmConfig`] and a kernel → [`run::Vm`] → [`outcome::Outcome`].
//!
//! | module | what it owns |
//! |---|---|
//! | [`cpu_model`] | what CPUs can be had |
//! | [`config`], [`credential`] | one run, as plain checked data |
//! | [`run`], [`boot`], [`publish`] | one run: boots, reboots, threads; what is booted; what the guest is told by fw_cfg |
//! | [`machine`], [`bus`], [`flusher`] | the list of devices, ports and interrupts; the serial ports' output |
//! | [`memory`], [`rom`] | guest memory, files placed in it; the firmware's ROM |
//! | [`kvm`], [`cpuid`], [`vcpu_state`], [`vcpu`], [`snapshot`] | the VM, what its CPUs are, where they start, what they do |
//! | [`event_loop`], [`notices`], [`input`], [`keys`], [`signals`], [`terminal`] | the main thread: the user and the host |
//! | [`trace`] | `-trace fw_cfg` |
//! | [`outcome`], [`error`] | how it ended, or why it did not begin |

pub mod boot;
pub mod bus;
pub mod config;
pub mod cpu_model;
pub mod cpuid;
pub mod credential;
pub mod error;
pub mod event_loop;
pub mod flusher;
pub mod input;
pub mod keys;
pub mod kvm;
pub mod machine;
pub mod memory;
pub mod notices;
pub mod outcome;
pub mod publish;
pub mod rom;
pub mod rtc_clock;
pub mod run;
pub mod signals;
pub mod snapshot;
pub mod terminal;
pub mod trace;
pub mod vcpu;
pub mod vcpu_state;
