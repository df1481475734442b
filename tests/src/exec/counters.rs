//! KVM's counters of a job's virtual machines, from debugfs.
//!
//! KVM keeps a folder `PID-FD` for each VM, named after the thread that made it and its descriptor, and takes it
//! away with the VM. So that the counters can still be read when the job has ended, a copy of each VM's
//! descriptor is kept open until then.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use crate::sys;

const KVM: &str = "/sys/kernel/debug/kvm";

/// The counters of the virtual machines of one job.
pub(super) struct Counters {
    /// Readable when a VM was made; none where there is no debugfs to look at.
    pub news: Option<OwnedFd>,
    vms: BTreeMap<PathBuf, OwnedFd>,
    others: BTreeSet<PathBuf>,
}

impl Counters {
    /// Starts to look out for new VMs.
    pub fn watch() -> Self {
        let news = sys::watch_new_directories(KVM).ok();
        Self { news, vms: BTreeMap::new(), others: BTreeSet::new() }
    }

    /// Looks for VMs made by processes of this session.
    pub fn find_new(&mut self, session: i32) {
        let Some(news) = &self.news else { return };
        sys::drain_inotify(news.as_fd());
        for entry in fs::read_dir(KVM).into_iter().flatten().flatten() {
            let path = entry.path();
            if self.vms.contains_key(&path) || self.others.contains(&path) {
                continue;
            }
            if let Some(vm) = entry.file_name().to_str().and_then(|name| open(name, session)) {
                self.vms.insert(path, vm);
            } else if !path.is_dir() {
                self.others.insert(path);
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

/// Copies the descriptor of the VM whose folder has this name, if it belongs to the session.
fn open(name: &str, session: i32) -> Option<OwnedFd> {
    let (thread, fd) = name.split_once('-')?;
    let (thread, fd): (i32, i32) = (thread.parse().ok()?, fd.parse().ok()?);
    if sys::session_of(thread)? != session {
        return None;
    }
    let status = fs::read_to_string(format!("/proc/{thread}/status")).ok()?;
    let process =
        status.lines().find_map(|line| line.strip_prefix("Tgid:"))?.trim().parse().ok()?;
    sys::pidfd_getfd(sys::pidfd(process).ok()?.as_fd(), fd).ok()
}
