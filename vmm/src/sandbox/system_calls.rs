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
    SeccompRule, TargetArch, sock_filter,
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

/// What a process that reads images does: it reads files, and writes what it has found to files in
/// memory and to the socket of the process that has asked.
const READER: &[c_long] = &[
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_pread64,
    libc::SYS_preadv,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_pwrite64,
    libc::SYS_lseek,
    libc::SYS_sendfile,
    libc::SYS_copy_file_range,
    libc::SYS_sendto,
    libc::SYS_recvfrom,
    libc::SYS_sendmsg,
    libc::SYS_recvmsg,
    libc::SYS_poll,
    libc::SYS_ppoll,
    // Files that Landlock allows, and what the kernel knows of them.
    libc::SYS_open,
    libc::SYS_openat,
    libc::SYS_openat2,
    libc::SYS_readlink,
    libc::SYS_readlinkat,
    libc::SYS_getdents64,
    libc::SYS_stat,
    libc::SYS_fstat,
    libc::SYS_lstat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_fstatfs,
    libc::SYS_fcntl,
    libc::SYS_flock,
    libc::SYS_fadvise64,
    libc::SYS_close,
    libc::SYS_memfd_create,
    libc::SYS_ftruncate,
    libc::SYS_fallocate,
    libc::SYS_futex,
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
    libc::SYS_geteuid,
    libc::SYS_getcwd,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_restart_syscall,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_brk,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    // Threads: clone3 does not exist, see `no_clone3`; `forbidden` has the say on clone.
    libc::SYS_clone,
    libc::SYS_clone3,
];

/// What a process that asks servers does not do either. The C library's name service and the TLS of
/// a host decide what else it does.
const NOT_FOR_CLIENTS: &[c_long] = &[
    // Be a server.
    libc::SYS_listen,
    libc::SYS_accept,
    libc::SYS_accept4,
    // Signals and limits for other processes of the same user.
    libc::SYS_kill,
    libc::SYS_tkill,
    libc::SYS_rt_sigqueueinfo,
    libc::SYS_rt_tgsigqueueinfo,
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_send_signal,
    libc::SYS_setpriority,
    libc::SYS_ioprio_set,
    libc::SYS_migrate_pages,
    libc::SYS_move_pages,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    // Memory and queues that other processes see.
    libc::SYS_shmget,
    libc::SYS_shmat,
    libc::SYS_msgget,
    libc::SYS_semget,
    libc::SYS_mq_open,
    // Files of other kinds, and their owners.
    libc::SYS_mknod,
    libc::SYS_mknodat,
    libc::SYS_chown,
    libc::SYS_fchown,
    libc::SYS_lchown,
    libc::SYS_fchownat,
    libc::SYS_setxattr,
    libc::SYS_lsetxattr,
    libc::SYS_fsetxattr,
];

/// Restricts a process that reads images and, if it has `servers`, talks to those. It has one
/// thread.
pub(super) fn restrict_reader(servers: bool) -> io::Result<()> {
    let further = if servers { client()? } else { reader()? };
    for filter in [&forbidden()?, &further] {
        seccompiler::apply_filter(filter).map_err(io::Error::other)?;
    }
    Ok(())
}

fn client() -> io::Result<BpfProgram> {
    let mut rules: BTreeMap<_, _> =
        NOT_FOR_CLIENTS.iter().map(|&call| (call, Vec::new())).collect();
    rules.extend(other_process()?);
    filter(rules, SeccompAction::Allow, SeccompAction::Trap)
}

fn reader() -> io::Result<BpfProgram> {
    let mut rules: BTreeMap<_, _> = READER.iter().map(|&call| (call, Vec::new())).collect();
    let no_exec = || argument(2, SeccompCmpOp::MaskedEq(EXEC), 0);
    rules.insert(libc::SYS_mmap, vec![rule(vec![no_exec()?])?]);
    rules.insert(libc::SYS_mprotect, vec![rule(vec![no_exec()?])?]);
    let size = argument(1, SeccompCmpOp::Eq, BLKGETSIZE64)?;
    rules.insert(libc::SYS_ioctl, vec![rule(vec![size])?]);
    // Its own death, by abort(3).
    let own = argument(0, SeccompCmpOp::Eq, std::process::id().into())?;
    rules.insert(libc::SYS_tgkill, vec![rule(vec![own])?]);
    let name = argument(0, SeccompCmpOp::Eq, PR_GET_NAME)?;
    let label = argument(0, SeccompCmpOp::Eq, PR_SET_VMA)?;
    let new_name = argument(0, SeccompCmpOp::Eq, PR_SET_NAME)?;
    let names = [name, label, new_name].map(|condition| rule(vec![condition]));
    rules.insert(libc::SYS_prctl, names.into_iter().collect::<io::Result<_>>()?);
    filter(rules, SeccompAction::Trap, SeccompAction::Allow)
}

/// Signals and limits of another process than this.
fn other_process() -> io::Result<[(c_long, Vec<SeccompRule>); 2]> {
    let own = || u64::from(std::process::id());
    let thread = rule(vec![argument(0, SeccompCmpOp::Ne, own())?])?;
    // 0 is this process as well.
    let limits =
        rule(vec![argument(0, SeccompCmpOp::Ne, 0)?, argument(0, SeccompCmpOp::Ne, own())?])?;
    Ok([(libc::SYS_tgkill, vec![thread]), (libc::SYS_prlimit64, vec![limits])])
}

/// Restricts all threads, for good.
pub(super) fn restrict_process() -> io::Result<()> {
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
    let mut program = no_clone3()?;
    program.extend(filter(rules, SeccompAction::Allow, SeccompAction::Trap)?);
    Ok(program)
}

/// clone3 has its flags in memory, where a filter cannot look. If it does not exist, the C library
/// uses clone. A filter of seccompiler has one answer for all that it matches, so this answer is
/// put before it.
fn no_clone3() -> io::Result<BpfProgram> {
    let instruction = |code: u32, jf, k: i64| {
        let (code, k) = (u16::try_from(code), u32::try_from(k));
        let (code, k) = (code.map_err(io::Error::other)?, k.map_err(io::Error::other)?);
        Ok(sock_filter { code, jt: 0, jf, k })
    };
    let answer = libc::SECCOMP_RET_ERRNO | libc::ENOSYS.cast_unsigned();
    [
        // The number is the first word of `seccomp_data`.
        instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0),
        instruction(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 1, libc::SYS_clone3),
        instruction(libc::BPF_RET | libc::BPF_K, 0, answer.into()),
    ]
    .into_iter()
    .collect()
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
/// `PR_GET_NAME`, for the message about a call that is blocked (include/uapi/linux/prctl.h).
const PR_GET_NAME: u64 = libc::PR_GET_NAME as u64;
/// `PR_SET_NAME`, of a new thread (include/uapi/linux/prctl.h).
const PR_SET_NAME: u64 = libc::PR_SET_NAME as u64;
/// `PR_SET_VMA`: the C library names its memory (include/uapi/linux/prctl.h).
const PR_SET_VMA: u64 = libc::PR_SET_VMA as u64;
/// include/uapi/linux/fs.h
const BLKGETSIZE64: u64 = 0x8008_1272;
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
