//! `-run-with user=`: another user, whose rights the process has while the guest runs.

use std::io;

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
