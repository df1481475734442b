//! Tests of chukka on this host, without the lab: its error messages, its handling of the terminal,
//! and runs with tiny guests, which work on any KVM.

pub mod changing;
mod collect;
mod confine;
pub mod flash_guest;
pub mod gdb;
pub mod guest;
pub mod image;
mod leader;
mod process;
mod refusal;
mod scratch;
mod session;
mod settings;
mod start;

pub use collect::Collected;
pub use confine::{Confinement, Mount};
pub use process::{Chukka, Ended};
pub use refusal::Refusal;
pub use scratch::Scratch;
pub use session::Session;
pub use settings::Settings;
pub use start::{Input, Output, Start, start};

use std::path::Path;
use std::time::Duration;

/// Time limit of each process: then it is killed, and the test fails.
pub const LIMIT: Duration = Duration::from_secs(60);

/// Whether a process has a file mapped, privately and for writing, as guest memory is.
#[must_use]
pub fn maps(pid: i32, path: &Path) -> bool {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
    let path = path.to_string_lossy();
    maps.lines().any(|line| line.contains(" rw-p ") && line.ends_with(&*path))
}

/// Whether a vCPU of a process runs: otherwise its thread waits in futex(2) for it (proc(5)).
///
/// # Panics
/// The process has gone.
fn runs_vcpus(pid: i32) -> bool {
    let futex = libc::SYS_futex.to_string();
    let threads = std::fs::read_dir(format!("/proc/{pid}/task"));
    threads.expect("it runs").flatten().map(|thread| thread.path()).any(|thread| {
        let read = |name| std::fs::read_to_string(thread.join(name)).unwrap_or_default();
        read("comm").starts_with("vcpu") && read("syscall").split(' ').next() != Some(&futex)
    })
}

/// Whether a process has a file open.
fn has_open(pid: i32, path: &Path) -> bool {
    let fds = std::fs::read_dir(format!("/proc/{pid}/fd"));
    let mut links = fds.into_iter().flatten().flatten().map(|fd| std::fs::read_link(fd.path()));
    links.any(|link| link.is_ok_and(|link| link == path))
}

/// Whether this machine has KVM. If not, prints that the test is skipped.
#[must_use]
pub fn kvm() -> bool {
    match std::fs::File::options().read(true).write(true).open("/dev/kvm") {
        Ok(_) => true,
        Err(error) => {
            crate::skip(&format!("/dev/kvm cannot be used here: {error}"));
            false
        }
    }
}
