//! Which system calls are blocked, by seccomp filters.
//!
//! The whole process gets a list of what is forbidden, as under QEMU's `-sandbox on`
//! (softmmu/qemu-seccomp.c): what its main, disk and network threads need depends on the host's C
//! library, name service and TLS. A vCPU's thread runs none of these, and gets a list of what is
//! allowed.

mod filter;
mod lists;

use std::io;

use libc::c_ulong;
use seccompiler::{BpfProgram, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompRule};

use filter::Filter;
#[cfg(test)]
pub(super) use filter::X32;
pub(super) use lists::FORBIDDEN;
use lists::{COMMON, READER, SERVER_CALLS, VCPU};

/// Restricts a process that reads images and, if it has `servers`, talks to those. It has one
/// thread.
pub(super) fn restrict_reader(servers: bool) -> io::Result<()> {
    let further = if servers { client()? } else { reader()? };
    for filter in [forbidden(FAMILIES)?, further] {
        seccompiler::apply_filter(&filter).map_err(io::Error::other)?;
    }
    Ok(())
}

fn client() -> io::Result<BpfProgram> {
    // Outlive its parent; let other processes trace it.
    let undo = [libc::PR_SET_PDEATHSIG, libc::PR_SET_DUMPABLE];
    let undo = undo.map(|option| {
        rule(vec![argument(0, SeccompCmpOp::Eq, u64::from(option.cast_unsigned()))?])
    });
    Filter::blocking(&[SERVER_CALLS])
        .when(libc::SYS_prctl, undo.into_iter().collect::<io::Result<_>>()?)
        .program()
}

fn reader() -> io::Result<BpfProgram> {
    let size = argument(1, SeccompCmpOp::Eq, BLKGETSIZE64)?;
    // Its own death, by abort(3).
    let own = argument(0, SeccompCmpOp::Eq, std::process::id().into())?;
    let names = [PR_GET_NAME, PR_SET_NAME, PR_SET_VMA];
    let names = names.map(|option| rule(vec![argument(0, SeccompCmpOp::Eq, option)?]));
    without_code(Filter::allowing(&[COMMON, READER]))?
        .when(libc::SYS_ioctl, vec![rule(vec![size])?])
        .when(libc::SYS_tgkill, vec![rule(vec![own])?])
        .when(libc::SYS_prctl, names.into_iter().collect::<io::Result<_>>()?)
        .program()
}

/// Restricts all threads, for good. A process that `connects` later makes UNIX sockets.
pub(super) fn restrict_process(connects: bool) -> io::Result<()> {
    let families: Vec<_> =
        FAMILIES.iter().copied().chain(connects.then_some(libc::AF_UNIX)).collect();
    seccompiler::apply_filter_all_threads(&forbidden(&families)?).map_err(io::Error::other)
}

/// Restricts this thread, for good.
pub(super) fn restrict_vcpu() -> io::Result<()> {
    seccompiler::apply_filter(&vcpu()?).map_err(io::Error::other)
}

fn forbidden(families: &[libc::c_int]) -> io::Result<BpfProgram> {
    let own = || u64::from(std::process::id());
    // A thread, but not another process. The C library asks so since clone3 is not there.
    let flag = c_ulong::from(libc::CLONE_THREAD.cast_unsigned());
    let another = rule(vec![argument(0, SeccompCmpOp::MaskedEq(flag), 0)?])?;
    // Access another process's memory. Its own it accesses so, to get an error instead of a signal.
    let another_s = || rule(vec![argument(0, SeccompCmpOp::Ne, own())?]);
    // Limits of another process, such as one on its CPU time, which ends it. 0 is this process too.
    let limits =
        rule(vec![argument(0, SeccompCmpOp::Ne, 0)?, argument(0, SeccompCmpOp::Ne, own())?])?;
    // Let others access a file.
    let modes = [USER_READS, USER_READS_AND_WRITES];
    let modes = modes.map(|mode| argument(1, SeccompCmpOp::Ne, mode));
    let modes = rule(modes.into_iter().collect::<io::Result<_>>()?)?;
    // A pair of datagram sockets: either can be connected to another socket later.
    let datagrams = rule(vec![argument(1, SeccompCmpOp::MaskedEq(SOCKET_TYPE), DATAGRAMS)?])?;
    // Another process that gets a signal when something can be read.
    let owner = rule(vec![
        argument(1, SeccompCmpOp::Eq, F_SETOWN)?,
        argument(2, SeccompCmpOp::Ne, own())?,
    ])?;
    let owner_thread = rule(vec![argument(1, SeccompCmpOp::Eq, F_SETOWN_EX)?])?;
    // Type on the terminal, as if the user did.
    let request = |request| rule(vec![argument(1, SeccompCmpOp::Eq, request)?]);
    let requests = [libc::TIOCSTI, TIOCLINUX, FIOSETOWN, SIOCSPGRP].map(request);
    Filter::blocking(&[FORBIDDEN])
        // clone3 has its flags in memory, where a filter cannot look.
        .without(libc::SYS_clone3)
        .when(libc::SYS_clone, vec![another])
        .when(libc::SYS_process_vm_readv, vec![another_s()?])
        .when(libc::SYS_process_vm_writev, vec![another_s()?])
        .when(libc::SYS_kill, vec![another_s()?])
        .when(libc::SYS_tgkill, vec![another_s()?])
        .when(libc::SYS_prlimit64, vec![limits])
        .when(libc::SYS_fchmod, vec![modes])
        .when(libc::SYS_fcntl, vec![owner, owner_thread])
        .when(libc::SYS_socketpair, vec![datagrams])
        .when(libc::SYS_ioctl, requests.into_iter().collect::<io::Result<_>>()?)
        .with_families(families)
        .program()
}

fn vcpu() -> io::Result<BpfProgram> {
    without_code(Filter::allowing(&[COMMON, VCPU]))?.program()
}

/// Allows memory, but not to execute it.
fn without_code(filter: Filter) -> io::Result<Filter> {
    let no_exec = || rule(vec![argument(2, SeccompCmpOp::MaskedEq(EXEC), 0)?]);
    Ok(filter.when(libc::SYS_mmap, vec![no_exec()?]).when(libc::SYS_mprotect, vec![no_exec()?]))
}

/// The bit of mmap's and mprotect's `prot` for memory with code.
const EXEC: u64 = libc::PROT_EXEC as u64;
/// `PR_GET_NAME`, for the message about a call that is blocked (include/uapi/linux/prctl.h).
const PR_GET_NAME: u64 = libc::PR_GET_NAME as u64;
/// `PR_SET_NAME`, of a new thread (include/uapi/linux/prctl.h).
const PR_SET_NAME: u64 = libc::PR_SET_NAME as u64;
/// `PR_SET_VMA`: the C library names its memory (include/uapi/linux/prctl.h).
const PR_SET_VMA: u64 = libc::PR_SET_VMA as u64;
/// The mode of a file in the cache (`location::fetch`).
const USER_READS: u64 = 0o400;
/// The mode of a copy that only the user may read.
const USER_READS_AND_WRITES: u64 = 0o600;
/// include/uapi/linux/fs.h
const BLKGETSIZE64: u64 = 0x8008_1272;
/// include/uapi/asm-generic/ioctls.h
const TIOCLINUX: c_ulong = 0x541c;
/// include/uapi/asm-generic/sockios.h
const FIOSETOWN: c_ulong = 0x8901;
/// include/uapi/asm-generic/sockios.h
const SIOCSPGRP: c_ulong = 0x8902;
/// include/uapi/asm-generic/fcntl.h
const F_SETOWN: u64 = 8;
/// include/uapi/asm-generic/fcntl.h
const F_SETOWN_EX: u64 = 15;
/// `SOCK_DGRAM` (include/linux/net.h).
const DATAGRAMS: u64 = libc::SOCK_DGRAM as u64;
/// `SOCK_TYPE_MASK` (include/linux/net.h): without flags.
const SOCKET_TYPE: u64 = 0xf;
/// The address families for the guest's connections and for servers, and netlink, by which
/// getaddrinfo(3) lists this host's addresses. UNIX sockets are not among them: services behind
/// them do for root, or for the user, what this process may not, and Landlock does not restrict
/// connecting to them. The other families expose large parts of the kernel.
const FAMILIES: &[libc::c_int] = &[libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK];

fn argument(index: u8, operator: SeccompCmpOp, value: u64) -> io::Result<SeccompCondition> {
    SeccompCondition::new(index, SeccompCmpArgLen::Dword, operator, value).map_err(io::Error::other)
}

fn rule(conditions: Vec<SeccompCondition>) -> io::Result<SeccompRule> {
    SeccompRule::new(conditions).map_err(io::Error::other)
}
