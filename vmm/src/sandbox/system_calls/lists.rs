//! Lists of system calls that the filters in `system_calls` are made of.

use libc::c_long;

/// `fchmodat2` (arch/x86/entry/syscalls/syscall_64.tbl), since Linux 6.6.
const SYS_FCHMODAT2: c_long = 452;

/// What no thread does.
pub(in crate::sandbox) const FORBIDDEN: &[c_long] = &[
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
    // Signals to others; kill and tgkill are for this process.
    libc::SYS_tkill,
    libc::SYS_rt_sigqueueinfo,
    libc::SYS_rt_tgsigqueueinfo,
    libc::SYS_pidfd_send_signal,
    // Permissions, owners and times of files: Landlock has no rights for those, and a descriptor to
    // read is enough. The process's filter decides which fchmod.
    libc::SYS_chmod,
    libc::SYS_fchmodat,
    SYS_FCHMODAT2,
    libc::SYS_chown,
    libc::SYS_lchown,
    libc::SYS_fchown,
    libc::SYS_fchownat,
    libc::SYS_setxattr,
    libc::SYS_lsetxattr,
    libc::SYS_fsetxattr,
    libc::SYS_removexattr,
    libc::SYS_lremovexattr,
    libc::SYS_fremovexattr,
    libc::SYS_utime,
    libc::SYS_utimes,
    libc::SYS_futimesat,
    libc::SYS_utimensat,
    // Lengths of files by their names: Landlock has a right for that only since Linux 6.2.
    libc::SYS_truncate,
    // Priorities, CPUs and memory of this process and of others; prlimit64 is for this process.
    libc::SYS_setpriority,
    libc::SYS_ioprio_set,
    libc::SYS_migrate_pages,
    libc::SYS_move_pages,
    libc::SYS_sched_setaffinity,
    libc::SYS_sched_setparam,
    libc::SYS_sched_setscheduler,
    libc::SYS_sched_setattr,
];

/// What both a vCPU's thread and a process that reads images do. The process's filter decides which
/// clone is a thread.
pub(super) const COMMON: &[c_long] = &[
    // Files and sockets that are open, and files that Landlock allows.
    libc::SYS_openat,
    libc::SYS_close,
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_pread64,
    libc::SYS_preadv,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_pwrite64,
    libc::SYS_lseek,
    libc::SYS_fstat,
    libc::SYS_statx,
    libc::SYS_fcntl,
    libc::SYS_ftruncate,
    libc::SYS_fallocate,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_sendto,
    libc::SYS_sendmsg,
    libc::SYS_poll,
    libc::SYS_ppoll,
    // Threads that wait for each other, or copy together.
    libc::SYS_clone,
    libc::SYS_clone3,
    libc::SYS_futex,
    libc::SYS_set_robust_list,
    libc::SYS_rseq,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_gettid,
    libc::SYS_getpid,
    libc::SYS_exit,
    libc::SYS_exit_group,
    // Clocks and random numbers.
    libc::SYS_nanosleep,
    libc::SYS_clock_nanosleep,
    libc::SYS_clock_gettime,
    libc::SYS_gettimeofday,
    libc::SYS_getrandom,
    // Signals.
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_restart_syscall,
    // Memory, but not to execute it: see `without_code`.
    libc::SYS_brk,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
];

/// What a vCPU's thread does as well: it runs the guest, and its devices access files, sockets and
/// guest memory that exist.
pub(super) const VCPU: &[c_long] = &[
    // KVM_RUN and the like.
    libc::SYS_ioctl,
    // The process's filter decides whose memory.
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_pwritev,
    libc::SYS_preadv2,
    libc::SYS_pwritev2,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_epoll_ctl,
    libc::SYS_eventfd2,
    // The guest sets its watchdog.
    libc::SYS_timerfd_settime,
    libc::SYS_tgkill,
    libc::SYS_prctl,
    // Which pages of an initrd are in the page cache.
    libc::SYS_mincore,
];

/// What a process that reads images does as well: it looks for files, and writes what it has found
/// to files in memory.
pub(super) const READER: &[c_long] = &[
    libc::SYS_open,
    libc::SYS_openat2,
    libc::SYS_readlink,
    libc::SYS_readlinkat,
    libc::SYS_getdents64,
    libc::SYS_stat,
    libc::SYS_lstat,
    libc::SYS_newfstatat,
    libc::SYS_fstatfs,
    libc::SYS_flock,
    libc::SYS_fadvise64,
    libc::SYS_sendfile,
    libc::SYS_copy_file_range,
    libc::SYS_memfd_create,
    libc::SYS_geteuid,
    libc::SYS_getcwd,
];

/// What a process that asks servers does not do either. The C library's name service and the TLS of
/// a host decide what else it does.
pub(super) const SERVER_CALLS: &[c_long] = &[
    // Be a server.
    libc::SYS_listen,
    libc::SYS_accept,
    libc::SYS_accept4,
    // Signals for other processes of the same user, and their memory.
    libc::SYS_kill,
    libc::SYS_pidfd_open,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    // Memory and queues that other processes see.
    libc::SYS_shmget,
    libc::SYS_shmat,
    libc::SYS_msgget,
    libc::SYS_semget,
    libc::SYS_mq_open,
    // Files of other kinds.
    libc::SYS_mknod,
    libc::SYS_mknodat,
];
