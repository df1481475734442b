//! chukka's front end: from argv to a guest that runs, and a line that says how it ended.
//!
//! Data flows one way: argv → [`cli`] → [`request::Request`] → [`resolve`] → [`vmm::run::Vm`] → [`vmm::outcome::Outcome`].
//!
//! | module | what it owns |
//! |---|---|
//! | [`cli`] | argv, in QEMU's spelling |
//! | [`request`] | what argv asks for, as plain checked data |
//! | [`resolve`], [`plan`], [`progress`], [`interruptible`] | kernel and initrd, named or found by the crate `location`; `-dry-run`; how the fetching goes |
//! | [`disks`] | the guest's disks: images opened and locked, as devices |
//! | [`install_state`], [`whole_file`] | an installer that is kept, and booted until it has finished; files that are there whole or not at all |
//! | [`commands`] | what is no run of a guest: `chukka fetch`, `chukka restart-install`, `chukka cache` |
//! | [`error`], [`report`] | why it did not begin, and how that is told |

pub mod cli;
pub mod commands;
pub mod disks;
pub mod error;
pub mod install_state;
pub mod interruptible;
pub mod plan;
pub mod progress;
pub mod report;
pub mod request;
pub mod resolve;
pub mod whole_file;
