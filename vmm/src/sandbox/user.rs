//! Another user, whose rights a process has: the one of `-run-with user=` while the guest runs, and
//! one without any while root has images read.

use std::io;

use rustix::process::geteuid;
use rustix::thread::{Gid, Uid, set_thread_groups, set_thread_res_gid, set_thread_res_uid};

use crate::error::HostError;

/// A user of the host, by numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostUser {
    /// The user's number.
    pub uid: u32,
    /// The number of the user's own group.
    pub gid: u32,
    /// The numbers of all groups that the user is in.
    pub groups: Vec<u32>,
}

/// The user and group ID of the process that reads images for root. No account has this ID, so it
/// owns no other process and no file: 65520 to 65533 are unused (docs/UIDS-GIDS.md of systemd), and
/// reserved in Debian's policy (9.2.2). It exists in containers, which have at least 65536 IDs.
const READER_UID: u32 = 65_520;

/// Switches a process of root to an unprivileged user. A process of another user keeps it, as does
/// root in a container without other users, or where root may not switch users.
///
/// # Errors
/// As of [`HostUser::assume`].
pub(super) fn leave_root() -> io::Result<()> {
    if !geteuid().is_root() {
        return Ok(());
    }
    match (HostUser { uid: READER_UID, gid: READER_UID, groups: Vec::new() }).assume() {
        Err(error) if matches!(error.raw_os_error(), Some(libc::EPERM | libc::EINVAL)) => Ok(()),
        done => done,
    }
}

impl HostUser {
    /// As [`Self::assume`].
    ///
    /// # Errors
    /// The process may not: only root may become another user.
    pub(crate) fn enter(&self) -> Result<(), HostError> {
        self.assume().map_err(HostError::user)
    }

    /// Gives this thread, and those that it starts, the rights of this user, for good. Files that
    /// are open stay open.
    ///
    /// # Errors
    /// As of setgroups(2), setresgid(2) and setresuid(2).
    pub fn assume(&self) -> io::Result<()> {
        let groups: Vec<_> = self.groups.iter().map(|group| Gid::from_raw(*group)).collect();
        set_thread_groups(&groups)?;
        let (user, group) = (Uid::from_raw(self.uid), Gid::from_raw(self.gid));
        set_thread_res_gid(group, group, group)?;
        set_thread_res_uid(user, user, user)?;
        Ok(())
    }
}
