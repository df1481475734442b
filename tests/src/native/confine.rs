//! Simulates hosts that lack something, for one process: another user, a private mount namespace,
//! or a filter on its system calls. Nothing else on the machine is affected.
#![expect(unsafe_code, reason = "system calls without a wrapper in the standard library")]

use std::ffi::{CStr, CString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

/// An unprivileged user.
const NOBODY: u32 = 65534;
/// `KVM_CHECK_EXTENSION` (include/uapi/linux/kvm.h).
const KVM_CHECK_EXTENSION: u32 = 0xae03;
/// `AUDIT_ARCH_X86_64` (include/uapi/linux/audit.h).
const AUDIT_ARCH_X86_64: u32 = 0xc000_003e;

/// What changes for a process.
#[derive(Clone, Debug, Default)]
pub struct Confinement {
    /// It runs as another user; if these tests do not run as root, it already does.
    pub nobody: bool,
    /// The contents of `/dev`.
    pub mount: Option<Mount>,
    /// KVM answers 0 to queries for these capabilities.
    pub without_capabilities: Vec<u32>,
}

/// A change in `/dev`.
#[derive(Clone, Debug)]
pub enum Mount {
    /// It is empty.
    EmptyDev,
    /// This file replaces `/dev/kvm`.
    Kvm(PathBuf),
}

fn root() -> bool {
    // SAFETY: geteuid(2) takes nothing and cannot fail.
    unsafe { libc::geteuid() == 0 }
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

impl Confinement {
    /// Whether this machine allows the change. If not, prints that the test is skipped.
    #[must_use]
    pub fn possible(&self) -> bool {
        let mut command = Command::new("/bin/true");
        self.apply(&mut command);
        match command.status() {
            Ok(_) => true,
            Err(error) => {
                crate::skip(&format!("this machine does not allow {self:?}: {error}"));
                false
            }
        }
    }

    /// Makes `command` start with the change.
    pub(super) fn apply(&self, command: &mut Command) {
        let root = root();
        let nobody = self.nobody && root;
        let mount = self.mount.clone().map(|mount| match mount {
            Mount::EmptyDev => None,
            Mount::Kvm(path) => CString::new(path.as_os_str().as_bytes()).ok(),
        });
        let filter = filter(&self.without_capabilities);
        let filtered = !self.without_capabilities.is_empty();
        let hook = move || {
            if let Some(source) = &mount {
                change_dev(source.as_deref(), root)?;
            }
            // SAFETY: none of the calls takes a pointer but setgroups(2), for which none is null;
            // prctl(2) reads the filter, which the closure owns.
            unsafe {
                if nobody {
                    check(libc::setgroups(0, std::ptr::null()))?;
                    check(libc::setgid(NOBODY))?;
                    check(libc::setuid(NOBODY))?;
                }
                if filtered {
                    let program = libc::sock_fprog {
                        len: u16::try_from(filter.len()).map_err(io::Error::other)?,
                        filter: filter.as_ptr().cast_mut(),
                    };
                    check(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))?;
                    let mode = libc::SECCOMP_MODE_FILTER;
                    check(libc::prctl(libc::PR_SET_SECCOMP, mode, &raw const program))?;
                }
            }
            Ok(())
        };
        // SAFETY: the hook makes system calls only; it allocates nothing.
        unsafe { command.pre_exec(hook) };
    }
}

/// Gives this process a private mount namespace, with `source` over `/dev/kvm`, or with an empty
/// `/dev`.
fn change_dev(source: Option<&CStr>, root: bool) -> io::Result<()> {
    let none = std::ptr::null();
    let user = if root { 0 } else { libc::CLONE_NEWUSER };
    let private = libc::MS_REC | libc::MS_PRIVATE;
    // SAFETY: every pointer is null or to a text that ends with a zero and outlives the call.
    unsafe {
        check(libc::unshare(libc::CLONE_NEWNS | user))?;
        check(libc::mount(none, c"/".as_ptr(), none, private, none.cast()))?;
        check(match source {
            Some(source) => {
                libc::mount(source.as_ptr(), c"/dev/kvm".as_ptr(), none, libc::MS_BIND, none.cast())
            }
            None => {
                let tmpfs = c"tmpfs".as_ptr();
                libc::mount(tmpfs, c"/dev".as_ptr(), tmpfs, 0, none.cast())
            }
        })
    }
}

/// A seccomp filter that answers `ioctl(_, KVM_CHECK_EXTENSION, capability)` with 0 for these
/// capabilities and allows everything else (seccomp(2), struct seccomp_data).
fn filter(capabilities: &[u32]) -> Vec<libc::sock_filter> {
    const LOAD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
    const JUMP_IF_EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
    const RETURN: u16 = 0x06; // BPF_RET | BPF_K
    let line = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    let count = u8::try_from(capabilities.len()).unwrap_or(u8::MAX);
    let ioctl = u32::try_from(libc::SYS_ioctl).unwrap_or(u32::MAX);
    // What does not match skips the rest of the checks.
    let mut filter = vec![
        line(LOAD, 0, 0, 4),
        line(JUMP_IF_EQUAL, 0, count + 5, AUDIT_ARCH_X86_64),
        line(LOAD, 0, 0, 0),
        line(JUMP_IF_EQUAL, 0, count + 3, ioctl),
        line(LOAD, 0, 0, 24),
        line(JUMP_IF_EQUAL, 0, count + 1, KVM_CHECK_EXTENSION),
        line(LOAD, 0, 0, 32),
    ];
    filter.extend(
        (1..=count)
            .rev()
            .zip(capabilities)
            .map(|(to_end, capability)| line(JUMP_IF_EQUAL, to_end, 0, *capability)),
    );
    filter.push(line(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW));
    filter.push(line(RETURN, 0, 0, libc::SECCOMP_RET_ERRNO));
    filter
}
