//! The sandbox of a process that reads what strangers have written: disk images, boot menus,
//! servers' answers. It is confined before it reads their first byte.

use std::io;
use std::path::PathBuf;

use rustix::process::{
    DumpableBehavior, Resource, Rlimit, Signal, set_dumpable_behavior,
    set_parent_process_death_signal, setrlimit,
};
use rustix::thread::CapabilitySet;

use super::{Confined, blocked, failed, files, keep_capabilities, system_calls};
use crate::error::HostError;

/// Most bytes of memory that it maps.
const MEMORY: u64 = 8 << 30;
/// Most files and sockets that it has open.
const DESCRIPTORS: u64 = 256;
/// Most seconds of a processor's time.
const CPU_TIME: u64 = 3600;

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
}

impl ReaderSandbox {
    /// Confines this process, which has one thread and no descriptors above 2 that it needs. It is
    /// killed when the thread ends that has started it.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn enter(&self) -> Result<Confined, HostError> {
        let confine = || -> io::Result<Confined> {
            close_inherited()?;
            set_parent_process_death_signal(Some(Signal::KILL))?;
            let confined = self.confine(CapabilitySet::DAC_READ_SEARCH)?;
            system_calls::restrict_reader(self.servers)?;
            Ok(confined)
        };
        confine().map_err(failed)
    }

    /// Confines a program that reads images and writes files by itself: it keeps its descriptors,
    /// may outlive the process that started it, and may make and remove files in `write`. It has one thread.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn enter_in_place(&self) -> Result<Confined, HostError> {
        let confine = || -> io::Result<Confined> {
            let confined = self.confine(CapabilitySet::DAC_OVERRIDE)?;
            system_calls::restrict_writer(self.servers)?;
            Ok(confined)
        };
        confine().map_err(failed)
    }

    /// Restricts memory, files and capabilities. Root keeps `files`, a capability to access users'
    /// files: Landlock says which, and the system call that would get around that
    /// (open_by_handle_at) is blocked.
    fn confine(&self, files: CapabilitySet) -> io::Result<Confined> {
        // No other process of this user may look into it, or be given its memory as a file.
        set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
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
        let confined = files::restrict(&self.read, &self.write, &[])?;
        let mut kept = files;
        // NFS servers may answer only clients with a port below 1024.
        kept.set(CapabilitySet::NET_BIND_SERVICE, self.servers);
        keep_capabilities(kept)?;
        blocked::listen()?;
        Ok(confined)
    }
}

/// Lowers a limit of this process, for good.
fn limit(resource: Resource, most: u64) -> io::Result<()> {
    let maximum = rustix::process::getrlimit(resource).maximum;
    let most = Some(maximum.map_or(most, |maximum| maximum.min(most)));
    Ok(setrlimit(resource, Rlimit { current: most, maximum: most })?)
}

/// Closes what the process has been given beside its standard input, output and error.
#[expect(unsafe_code, reason = "close_range(2) has no safe form")]
fn close_inherited() -> io::Result<()> {
    // SAFETY: nothing in this process has opened one of these descriptors: it has just started.
    let result = unsafe { libc::close_range(3, libc::c_uint::MAX, 0) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
