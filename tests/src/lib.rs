//! Integration tests of chukka, and the lab they run in.
//!
//! A test gets the [`runner::Runner`], describes a [`runner::Guest`] by its differences from the
//! default, runs it, and makes assertions on the [`runner::Run`]. A failed assertion shows the
//! command and the end of the console:
//!
//! ```no_run
//! use chukka_tests::job::Act;
//! use chukka_tests::runner::{Guest, Runner};
//!
//! // `None`, with the reason printed, where guests cannot run without set-up.
//! let Some(runner) = Runner::get() else { return };
//!
//! // Debian's cloud kernel and our initrd; once up, the guest tells about itself and powers off.
//! let run = Guest::new().args(["-smp", "4"]).does("info").run(runner);
//! run.assert_userspace().assert_exit(0);
//! assert_eq!(run.info("nproc").as_deref(), Some("4"));
//!
//! // Any piece of shell, in the guest.
//! let run = Guest::new().memory("128M").shell("free; echo done").run(runner);
//! run.assert_stdout("done");
//!
//! // In a terminal: Ctrl-A x once there is a prompt; the terminal's flags before, at a mark, and after.
//! let run = Guest::new()
//!     .does("shell")
//!     .with(|job| job.terminal())
//!     .when("# ", Act::Send(b"\x01x".to_vec()))
//!     .run(runner);
//! let flags = run.terminal.clone().expect("it had a terminal");
//! run.assert(flags.before == flags.after, "the terminal is as it was");
//!
//! // How long it took, and how many VM exits, from exec to userspace.
//! let mark = run.userspace().expect("it was reached");
//! println!("{} ns, {:?} exits", mark.ns, mark.counters.get("exits"));
//! ```
//!
//! The runner runs chukka on this host if its KVM runs a stock kernel, and in a [`lab`] otherwise;
//! the test is the same. The runner is built on [`job::Job`], anything that can run in either
//! place, and [`job::Report`], its result. [`lab::icount`] runs jobs on a clock that counts
//! instructions: the same job takes the same time on every run.
//!
//! [`native`] runs chukka on this host only, with tiny guests, for tests that do not need a real
//! kernel.

pub mod agent;
pub mod assets;
pub mod binaries;
pub mod cpio;
mod error;
pub mod exec;
pub mod guest;
pub mod job;
pub mod lab;
pub mod modules;
pub mod native;
pub mod pack;
pub mod runner;
pub mod servers;
mod skip;
pub mod sys;

pub use error::{Doing, Error, Result};
pub use skip::skip;
