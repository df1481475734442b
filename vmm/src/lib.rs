//! chukka, as a library: the only crate that knows KVM, threads, signals and argv.
//!
//! Data flows one way: argv → [`cli`] → [`config::VmConfig`] → [`run::run`] → [`outcome::Outcome`].
//!
//! | module | what it owns |
//! |---|---|
//! | [`cli`], [`cpu_model`] | argv, in QEMU's spelling |
//! | [`config`], [`credential`] | one run, as plain checked data |
//! | [`run`], [`boot`], [`publish`] | one run: boots, reboots, threads; what is booted; what the guest is told by fw_cfg |
//! | [`gather`], [`plan`], [`progress`], [`interruptible`] | kernel and initrd, named or found by the crate `location`; `-dry-run`; how the fetching goes |
//! | [`install_state`], [`whole_file`] | an installer that is kept, and booted until it has finished; files that are there whole or not at all |
//! | [`machine`], [`bus`], [`flusher`] | the list of devices, ports and interrupts; the serial ports' output |
//! | [`memory`], [`rom`] | guest memory, files placed in it; the firmware's ROM |
//! | [`kvm`], [`cpuid`], [`vcpu_state`], [`vcpu`], [`snapshot`] | the VM, what its CPUs are, where they start, what they do |
//! | [`event_loop`], [`notices`], [`input`], [`keys`], [`signals`], [`terminal`] | the main thread: the user and the host |
//! | [`trace`] | `-trace fw_cfg` |
//! | [`commands`] | what is no run of a guest: `chukka fetch`, `chukka restart-install`, `chukka cache` |
//! | [`outcome`], [`error`], [`report`] | how it ended, or why it did not begin |

pub mod boot;
pub mod bus;
pub mod cli;
pub mod commands;
pub mod config;
pub mod cpu_model;
pub mod cpuid;
pub mod credential;
pub mod error;
pub mod event_loop;
pub mod flusher;
pub mod gather;
pub mod input;
pub mod install_state;
pub mod interruptible;
pub mod keys;
pub mod kvm;
pub mod machine;
pub mod memory;
pub mod notices;
pub mod outcome;
pub mod plan;
pub mod progress;
pub mod publish;
pub mod report;
pub mod rom;
pub mod rtc_clock;
pub mod run;
pub mod signals;
pub mod snapshot;
pub mod terminal;
pub mod trace;
pub mod vcpu;
pub mod vcpu_state;
pub mod whole_file;
