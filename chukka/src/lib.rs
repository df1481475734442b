//! chukka's front end: from argv to a guest that runs, and a line that says how it ended.
//!
//! Data flows one way: argv → [`args`] → [`request::Request`] → [`resolve`] → [`vmm::run::Vm`] →
//! [`vmm::outcome::Outcome`].
//!
//! | module | what it owns |
//! |---|---|
//! | [`args`] | argv, in QEMU's spelling |
//! | [`request`] | what argv asks for, as plain checked data |
//! | [`resolve`], [`plan`], [`progress`], [`interruptible`] | kernel and initrd, named or found by the crate `location`; `-dry-run`; how the fetching goes |
//! | [`reader`] | the process that reads images, boot menus and servers' answers |
//! | [`disks`], [`bootdisk`], [`disk_names`] | the guest's disks: images opened and locked, as devices; that of `-bootdisk`; what Linux calls them |
//! | [`networks`] | what the guest's network cards are connected to |
//! | [`location_server`] | `-location` for the guest: HTTP on its user network |
//! | [`confinement`] | what the sandbox leaves open |
//! | [`flash`] | the flash chips with the firmware: images opened and locked |
//! | [`guest`], [`ending`] | one run of a guest; how chukka ends after it |
//! | [`timeline`] | `-timeline`: a table, JSON or a picture |
//! | [`run_report`], [`core_file`], [`outputs`], [`own_file`] | what `-json` and `-vmcore` write; checking outputs before a run; overwriting only chukka's own files |
//! | [`install_state`], [`whole_file`] | an installer that is booted until it has finished; atomic writes |
//! | [`install`] | an installation, from its start to a disk that boots |
//! | [`commands`] | the commands: `chukka fetch`, `restart-install`, `bootloader`, `cache` |
//! | [`error`], [`report`] | why a guest could not be started; printing messages and warnings |

pub mod args;
pub mod bootdisk;
pub mod cdrom;
pub mod commands;
pub mod confinement;
pub mod core_file;
pub mod disk_names;
pub mod disks;
pub mod ending;
pub mod error;
pub mod flash;
pub mod guest;
pub mod install;
pub mod install_state;
pub mod interruptible;
pub mod location_server;
pub mod networks;
pub mod outputs;
pub mod own_file;
pub mod pid_file;
pub mod plan;
pub mod progress;
pub mod reader;
pub mod report;
pub mod request;
pub mod resolve;
pub mod run_report;
pub mod sata;
pub mod timeline;
pub mod whole_file;
