//! KVM's counters of a job's virtual machines, from debugfs.
//!
//! KVM keeps a folder `PID-FD` for each VM, named after the thread that made it and its descriptor,
//! with a folder for each vCPU in it, and takes it away with the VM. So that the counters can still
//! be read when the job has ended, a copy of a vCPU's descriptor is kept open until then. The VM's
//! own would do more: KVM takes a VM's irqfds away when the last copy of that is closed, so a copy
//! held here would hide that a program has closed its own too early.
//!
//! A VM that has the numbers of one that is gone is not counted: KVM gives no folder to it as long
//! as the other's is there.

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use crate::sys;

const KVM: &str = "/sys/kernel/debug/kvm";

/// The counters of the virtual machines of one job.
pub(super) struct Counters {
    /// Readable when a VM or a vCPU was made; `None` without debugfs.
    pub news: Option<OwnedFd>,
    vms: BTreeMap<PathBuf, OwnedFd>,
}

impl Counters {
    /// Starts to look out for new VMs.
    pub fn watch() -> Self {
        let news = sys::inotify().ok();
        let news = news.filter(|news| sys::watch_folder(news.as_fd(), Path::new(KVM)).is_ok());
        Self { news, vms: BTreeMap::new() }
    }

    /// Looks for VMs made by processes of this session.
    pub fn find_new(&mut self, session: i32) {
        let Some(news) = &self.news else { return };
        sys::drain_inotify(news.as_fd());
        for entry in fs::read_dir(KVM).into_iter().flatten().flatten() {
            let path = entry.path();
            let thread = entry.file_name().to_str().and_then(thread_of);
            let Some(thread) = thread.filter(|_| !self.vms.contains_key(&path)) else { continue };
            // The first vCPU will be news too. A VM that is gone again has none.
            if sys::session_of(thread) == Some(session)
                && sys::watch_folder(news.as_fd(), &path).is_ok()
                && let Some(vcpu) = copy_vcpu(thread)
            {
                self.vms.insert(path, vcpu);
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

/// The thread in the name of a VM's folder.
fn thread_of(name: &str) -> Option<i32> {
    let (thread, fd) = name.split_once('-')?;
    fd.parse::<i32>().ok()?;
    thread.parse().ok()
}

/// Copies a vCPU's descriptor of the process that a thread belongs to.
fn copy_vcpu(thread: i32) -> Option<OwnedFd> {
    let status = fs::read_to_string(format!("/proc/{thread}/status")).ok()?;
    let process =
        status.lines().find_map(|line| line.strip_prefix("Tgid:"))?.trim().parse().ok()?;
    let mut fds = fs::read_dir(format!("/proc/{process}/fd")).ok()?.flatten();
    let vcpu = fds.find(|fd| {
        let what = fs::read_link(fd.path()).unwrap_or_default();
        what.to_string_lossy().starts_with("anon_inode:kvm-vcpu:")
    })?;
    let fd = vcpu.file_name().to_str()?.parse().ok()?;
    sys::pidfd_getfd(sys::pidfd(process).ok()?.as_fd(), fd).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_folders_of_vms_have_two_numbers() {
        assert_eq!(thread_of("123-9"), Some(123));
        assert_eq!(thread_of("exits"), None);
        assert_eq!(thread_of("1-poll"), None);
    }
}
