//! `-sandbox`: what chukka gives up before the guest's first instruction.
//!
//! By then every file is open, so the process needs little. What it gives up, for all its threads
//! and for good:
//!
//! | fence | what it prevents |
//! |---|---|
//! | `no_new_privs`, no capabilities | gaining rights by a program; using those of root |
//! | Landlock (`files`) | opening, making, renaming or removing any file but those listed |
//! | a seccomp filter (`system_calls`) | starting programs, tracing, mounting, changing users, and every other system call that nothing here makes |
//! | a second one for each vCPU's thread | every system call that running a guest does not take |
//!
//! Images, boot menus and servers' answers are read by another process, before that: `reader`.
//!
//! The guest reaches chukka by its vCPUs, its disks and its network, so an attacker who has taken
//! over a thread finds these fences around it. A system call that a filter blocks ends the process
//! with a message (`blocked`).

mod blocked;
mod files;
mod reader;
mod system_calls;
#[cfg(test)]
mod tests;
mod user;

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::thread::{CapabilitySet, CapabilitySets};

use crate::error::HostError;
pub use reader::ReaderSandbox;
pub use user::HostUser;

/// The files that a run still opens, makes or removes after its start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sandbox {
    /// Files, and directories with all they have, that may be read.
    pub read: Vec<PathBuf>,
    /// Files that may be written, and directories in which files may be made, written and removed.
    pub write: Vec<PathBuf>,
    /// Directories from which files may be removed.
    pub remove: Vec<PathBuf>,
    /// Whether this process will start another guest, and open files for that as its user can.
    pub keeps_capabilities: bool,
}

/// How far the host's kernel confines this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confined {
    /// As far as described here.
    Fully,
    /// Without Landlock, which the kernel does not have (before Linux 5.13) or has switched off.
    WithoutLandlock,
}

/// Whether the process has its filters.
static IS_RESTRICTED: AtomicBool = AtomicBool::new(false);

/// Whether the process is confined: it cannot start another one.
#[must_use]
pub fn is_entered() -> bool {
    IS_RESTRICTED.load(Ordering::Acquire)
}

impl Sandbox {
    /// Confines the process. Threads that it has already started do not lose their capabilities,
    /// nor their access to files: there should be none.
    ///
    /// # Errors
    /// The kernel refuses.
    pub(crate) fn enter(&self) -> Result<Confined, HostError> {
        rustix::thread::set_no_new_privs(true).map_err(failed)?;
        let confined = files::restrict(&self.read, &self.write, &self.remove);
        let confined = confined.map_err(failed)?;
        if !self.keeps_capabilities {
            keep_capabilities(CapabilitySet::empty()).map_err(failed)?;
        }
        // For good, so once is enough for a process that runs one guest after the other.
        if !IS_RESTRICTED.swap(true, Ordering::AcqRel) {
            blocked::listen().map_err(failed)?;
            system_calls::restrict_process(self.keeps_capabilities).map_err(failed)?;
        }
        Ok(confined)
    }
}

/// Confines this thread, a vCPU's, further.
///
/// # Errors
/// The kernel refuses.
pub(crate) fn enter_vcpu() -> Result<(), HostError> {
    system_calls::restrict_vcpu().map_err(failed)
}

fn failed(source: impl Into<io::Error>) -> HostError {
    HostError::sandbox(source.into())
}

/// Gives up all capabilities but `kept`, of this thread and those that it starts.
fn keep_capabilities(kept: CapabilitySet) -> io::Result<()> {
    let held = rustix::thread::capabilities(None)?.permitted.intersection(kept);
    let inheritable = CapabilitySet::empty();
    let sets = CapabilitySets { effective: held, permitted: held, inheritable };
    Ok(rustix::thread::set_capabilities(None, sets)?)
}
