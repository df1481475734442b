//! KVM's counters of a job's virtual machines, from debugfs.
//!
//! KVM keeps a folder `PID-FD` for each VM, named after the thread that made it and its descriptor, and takes it
//! away with the VM. So that the counters can still be read when the job has ended, a copy of each VM's
//! descriptor is kept open until then.

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use crate::sys;

const KVM: &str = "/sys/kernel/debug/kvm";

/// A VM's folder comes a little before its descriptor; look again after this time.
const AGAIN_NS: u64 = 1_000_000;

/// The counters of the virtual machines of one job.
pub(super) struct Counters {
    /// Readable when a VM was made; none where there is no debugfs to look at.
    pub news: Option<OwnedFd>,
    /// When to look again, because a VM was found that is not quite made.
    pub due: Option<u64>,
    vms: BTreeMap<PathBuf, OwnedFd>,
}

impl Counters {
    /// Starts to look out for new VMs.
    pub fn watch() -> Self {
        let news = sys::watch_new_directories(KVM).ok();
        Self { news, due: None, vms: BTreeMap::new() }
    }

    /// Looks for VMs made by processes of this session.
    pub fn find_new(&mut self, session: i32, now: u64) {
        let Some(news) = &self.news else { return };
        sys::drain_inotify(news.as_fd());
        self.due = None;
        for entry in fs::read_dir(KVM).into_iter().flatten().flatten() {
            let path = entry.path();
            let name = entry.file_name();
            let Some((thread, fd)) = name.to_str().and_then(thread_and_fd) else { continue };
            if self.vms.contains_key(&path) || sys::session_of(thread) != Some(session) {
                continue;
            }
            match copy(thread, fd) {
                Some(vm) => drop(self.vms.insert(path, vm)),
                None => self.due = Some(now + AGAIN_NS),
            }
        }
    }

    /// The sums over all VMs; zeros are left out.
    pub fn read(&self) -> BTreeMap<String, u64> {
        let mut sums = BTreeMap::new();
        for folder in self.vms.keys() {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                if let (Some(value), Ok(name)) =
                    (number(&entry.path()), entry.file_name().into_string())
                    && value > 0
                {
                    *sums.entry(name).or_default() += value;
                }
            }
        }
        sums
    }
}

fn number(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// The two numbers in the name of a VM's folder.
fn thread_and_fd(name: &str) -> Option<(i32, i32)> {
    let (thread, fd) = name.split_once('-')?;
    Some((thread.parse().ok()?, fd.parse().ok()?))
}

/// Copies a descriptor of the process that a thread belongs to.
fn copy(thread: i32, fd: i32) -> Option<OwnedFd> {
    let status = fs::read_to_string(format!("/proc/{thread}/status")).ok()?;
    let process = status.lines().find_map(|line| line.strip_prefix("Tgid:"))?.trim().parse().ok()?;
    sys::pidfd_getfd(sys::pidfd(process).ok()?.as_fd(), fd).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_folders_of_vms_have_two_numbers() {
        assert_eq!(thread_and_fd("123-9"), Some((123, 9)));
        assert_eq!(thread_and_fd("exits"), None);
        assert_eq!(thread_and_fd("halt-poll"), None);
    }
}
