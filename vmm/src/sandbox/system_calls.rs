//! Which system calls are blocked, by seccomp filters.
//!
//! The whole process gets a list of what is forbidden, as under QEMU's `-sandbox on`
//! (softmmu/qemu-seccomp.c): what its main, disk and network threads need depends on the host's C
//! library, name service and TLS. A vCPU's thread runs none of these, and gets a list of what is
//! allowed.

use std::collections::BTreeMap;
use std::io;

use libc::{c_long, c_ulong};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

/// What no thread does.
pub(super) const FORBIDDEN: &[c_long] = &[
    // Start a program, or another process.
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_fork,
    libc::SYS_vfork,
    // Look into another process, or take its files.
    libc::SYS_ptrace,
    libc::SYS_process_madvise,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    // Become another user.
    libc::SYS_setuid,
    libc::SYS_setgid,
    libc::SYS_setreuid,
    libc::SYS_setregid,
    libc::SYS_setresuid,
    libc::SYS_setresgid,
    libc::SYS_setfsuid,
    libc::SYS_setfsgid,
    libc::SYS_setgroups,
    // Change the file system that the process sees.
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_mount_setattr,
    libc::SYS_open_by_handle_at,
    libc::SYS_name_to_handle_at,
    // Enter namespaces.
    libc::SYS_unshare,
    libc::SYS_setns,
    // Control the host.
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_syslog,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_iopl,
    libc::SYS_ioperm,
    libc::SYS_vhangup,
    // Large parts of the kernel that nothing here needs.
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_fanotify_init,
    libc::SYS_modify_ldt,
    libc::SYS_personality,
    libc::SYS_uselib,
    libc::SYS__sysctl,
    libc::SYS_nfsservctl,
    // Priorities of this process and of others.
    libc::SYS_sched_setparam,
    libc::SYS_sched_setscheduler,
    libc::SYS_sched_setattr,
];

/// What a vCPU's thread does: it runs the guest, and its devices read and write files, sockets and
/// guest memory that exist.
const VCPU: &[c_long] = &[
    // KVM_RUN and the like.
    libc::SYS_ioctl,
    // Files and sockets that are open.
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_readv,
    libc::SYS_writev,
    libc::SYS_pread64,
    libc::SYS_pwrite64,
    libc::SYS_preadv,
    libc::SYS_pwritev,
    libc::SYS_preadv2,
    libc::SYS_pwritev2,
    libc::SYS_lseek,
    libc::SYS_fstat,
    libc::SYS_statx,
    libc::SYS_fcntl,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_ftruncate,
    libc::SYS_fallocate,
    libc::SYS_close,
    // Files that Landlock allows: which pages of an initrd are in the page cache.
    libc::SYS_openat,
    libc::SYS_recvfrom,
    libc::SYS_sendto,
    libc::SYS_recvmsg,
    libc::SYS_sendmsg,
    libc::SYS_poll,
    libc::SYS_ppoll,
    libc::SYS_epoll_ctl,
    libc::SYS_eventfd2,
    // Threads that wait for each other, or copy guest memory together.
    libc::SYS_futex,
    libc::SYS_clone,
    libc::SYS_set_robust_list,
    libc::SYS_rseq,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_nanosleep,
    libc::SYS_clock_nanosleep,
    libc::SYS_clock_gettime,
    libc::SYS_gettimeofday,
    libc::SYS_getrandom,
    libc::SYS_gettid,
    libc::SYS_getpid,
    libc::SYS_tgkill,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_restart_syscall,
    libc::SYS_prctl,
    libc::SYS_exit,
    libc::SYS_exit_group,
    // Memory, but not to execute it: see `vcpu`.
    libc::SYS_brk,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_mincore,
];

/// Restricts all threads, for good.
pub(super) fn restrict_process() -> io::Result<()> {
    // Two filters: one has one answer for all that it matches.
    seccompiler::apply_filter_all_threads(&no_clone3()?).map_err(io::Error::other)?;
    seccompiler::apply_filter_all_threads(&forbidden()?).map_err(io::Error::other)
}

/// Restricts this thread, for good.
pub(super) fn restrict_vcpu() -> io::Result<()> {
    seccompiler::apply_filter(&vcpu()?).map_err(io::Error::other)
}

fn forbidden() -> io::Result<BpfProgram> {
    let mut rules: BTreeMap<_, _> = FORBIDDEN.iter().map(|&call| (call, Vec::new())).collect();
    // A thread, but not another process. The C library asks so since clone3 is not there.
    let flag = c_ulong::from(libc::CLONE_THREAD.cast_unsigned());
    let other_process = argument(0, SeccompCmpOp::MaskedEq(flag), 0)?;
    rules.insert(libc::SYS_clone, vec![rule(vec![other_process])?]);
    // Access another process's memory. Its own it accesses so, to get an error instead of a signal.
    for call in [libc::SYS_process_vm_readv, libc::SYS_process_vm_writev] {
        let other_process = argument(0, SeccompCmpOp::Ne, std::process::id().into())?;
        rules.insert(call, vec![rule(vec![other_process])?]);
    }
    // Type on the terminal, as if the user did.
    let types = |request| rule(vec![argument(1, SeccompCmpOp::Eq, request)?]);
    rules.insert(libc::SYS_ioctl, vec![types(libc::TIOCSTI)?, types(TIOCLINUX)?]);
    filter(rules, SeccompAction::Allow, SeccompAction::Trap)
}

/// clone3 has its flags in memory, where a filter cannot look. If it does not exist, the C library
/// uses clone.
fn no_clone3() -> io::Result<BpfProgram> {
    let rules = BTreeMap::from([(libc::SYS_clone3, Vec::new())]);
    filter(rules, SeccompAction::Allow, SeccompAction::Errno(libc::ENOSYS.cast_unsigned()))
}

fn vcpu() -> io::Result<BpfProgram> {
    let mut rules: BTreeMap<_, _> = VCPU.iter().map(|&call| (call, Vec::new())).collect();
    let no_exec = || argument(2, SeccompCmpOp::MaskedEq(EXEC), 0);
    rules.insert(libc::SYS_mmap, vec![rule(vec![no_exec()?])?]);
    rules.insert(libc::SYS_mprotect, vec![rule(vec![no_exec()?])?]);
    // The process's filter has the say on these.
    rules.insert(libc::SYS_process_vm_readv, Vec::new());
    rules.insert(libc::SYS_process_vm_writev, Vec::new());
    rules.insert(libc::SYS_clone3, Vec::new());
    filter(rules, SeccompAction::Trap, SeccompAction::Allow)
}

/// The bit of mmap's and mprotect's `prot` for memory with code.
const EXEC: u64 = libc::PROT_EXEC as u64;
/// include/uapi/asm-generic/ioctls.h
const TIOCLINUX: c_ulong = 0x541c;

fn argument(index: u8, operator: SeccompCmpOp, value: u64) -> io::Result<SeccompCondition> {
    SeccompCondition::new(index, SeccompCmpArgLen::Dword, operator, value).map_err(io::Error::other)
}

fn rule(conditions: Vec<SeccompCondition>) -> io::Result<SeccompRule> {
    SeccompRule::new(conditions).map_err(io::Error::other)
}

fn filter(
    rules: BTreeMap<c_long, Vec<SeccompRule>>,
    mismatch: SeccompAction,
    matched: SeccompAction,
) -> io::Result<BpfProgram> {
    let filter = SeccompFilter::new(rules, mismatch, matched, TargetArch::x86_64);
    filter.and_then(BpfProgram::try_from).map_err(io::Error::other)
}
