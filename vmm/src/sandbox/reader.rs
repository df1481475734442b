//! The sandbox of a process that reads what strangers have written: disk images, boot menus,
//! servers' answers. It is confined before it reads their first byte.
//!
//! If root started it, it switches to another user, as Xen's pygrub can since advisory XSA-443. It
//! then has none of root's access to files and processes, even if the kernel has no Landlock. A
//! process that talks to servers stays root, without capabilities, because it stores what it
//! fetches in root's cache.

use std::io;
use std::path::PathBuf;

use rustix::process::{
    DumpableBehavior, Resource, Rlimit, Signal, set_dumpable_behavior,
    set_parent_process_death_signal, setrlimit,
};
use rustix::thread::CapabilitySet;

use super::{Confined, HostUser, blocked, failed, files, keep_capabilities, system_calls, user};
use crate::error::HostError;

/// Most bytes of memory that it maps.
const MEMORY: u64 = 8 << 30;
/// Most files and sockets that it has open.
const DESCRIPTORS: u64 = 256;
/// Most seconds of a processor's time.
const CPU_TIME: u64 = 3600;

/// What root keeps to talk to servers: NFS servers may answer only clients with a port below 1024,
/// and the user's files may be readable by their owner only. Landlock says which files these are,
/// and the system call that would get around that (open_by_handle_at) is blocked.
const FOR_SERVERS: CapabilitySet =
    CapabilitySet::DAC_READ_SEARCH.union(CapabilitySet::NET_BIND_SERVICE);

/// What such a process may still do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReaderSandbox {
    /// Files, and directories with all they have, that may be read.
    pub read: Vec<PathBuf>,
    /// Directories in which files may be made, written and removed.
    pub write: Vec<PathBuf>,
    /// Whether it talks to other hosts.
    pub servers: bool,
    /// Most bytes of a file that it writes.
    pub longest_file: u64,
    /// The user ID, and group ID, that it switches to. `None`: see [`ReaderSandbox`].
    pub user: Option<u32>,
}

impl ReaderSandbox {
    /// Closes what this process has been given beside its standard input, output and error: it has
    /// just started, and has opened nothing itself.
    ///
    /// # Errors
    /// The kernel refuses.
    #[expect(unsafe_code, reason = "close_range(2) has no safe form")]
    pub fn close_inherited() -> io::Result<()> {
        // SAFETY: nothing in this process has opened one of these descriptors.
        let result = unsafe { libc::close_range(3, libc::c_uint::MAX, 0) };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    /// Confines this process, which has one thread. Files that are open stay open. It is killed
    /// when the thread ends that has started it.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn enter(&self) -> Result<Confined, HostError> {
        let confine = || -> io::Result<Confined> {
            let confined = self.restrict_memory_and_files()?;
            match self.user {
                Some(uid) => {
                    let user = HostUser { uid, gid: uid, groups: Vec::new() };
                    let failed =
                        |error| io::Error::other(format!("cannot become the user {uid}: {error}"));
                    user.assume().map_err(failed)?;
                    keep_capabilities(CapabilitySet::empty())?;
                }
                None if self.servers => keep_capabilities(FOR_SERVERS)?,
                None => drop_root()?,
            }
            // After the change of the user, which would undo both (prctl(2)).
            hide()?;
            set_parent_process_death_signal(Some(Signal::KILL))?;
            blocked::listen()?;
            system_calls::restrict_reader(self.servers)?;
            Ok(confined)
        };
        confine().map_err(failed)
    }

    fn restrict_memory_and_files(&self) -> io::Result<Confined> {
        for (resource, most) in [
            (Resource::As, MEMORY),
            (Resource::Core, 0),
            (Resource::Cpu, CPU_TIME),
            (Resource::Fsize, self.longest_file),
            (Resource::Nofile, DESCRIPTORS),
        ] {
            limit(resource, most)?;
        }
        rustix::thread::set_no_new_privs(true)?;
        files::restrict(&self.read, &self.write, &[])
    }
}

/// Gives up the rights of root on files and processes.
pub(super) fn drop_root() -> io::Result<()> {
    user::leave_root()?;
    keep_capabilities(CapabilitySet::empty())
}

/// Prevents other processes of this user from tracing this one, and core dumps.
fn hide() -> io::Result<()> {
    Ok(set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}

/// Lowers a limit of this process, for good.
fn limit(resource: Resource, most: u64) -> io::Result<()> {
    let maximum = rustix::process::getrlimit(resource).maximum;
    let most = Some(maximum.map_or(most, |maximum| maximum.min(most)));
    Ok(setrlimit(resource, Rlimit { current: most, maximum: most })?)
}
