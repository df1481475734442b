//! Each forbidden act, tried from inside: by this test program, started once more.
#![expect(unsafe_code, reason = "makes system calls by number")]

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use rustix::process::{Resource, Rlimit, prlimit};

use super::*;

/// What the child does, in its environment.
const ACT: &str = "CHUKKA_TEST_ACT";
/// A directory that it may read, or make files in, in its environment.
const DIRECTORY: &str = "CHUKKA_TEST_DIRECTORY";

/// Does what the environment says, in a sandbox. Prints "done" if it could.
#[test]
#[ignore = "the others start it in a process of its own"]
fn act() {
    let act = std::env::var(ACT).unwrap();
    let directory = std::env::var_os(DIRECTORY).map(PathBuf::from).unwrap_or_default();
    let read = vec![directory.join("read"), "/proc/self".into()];
    let write = vec![directory.join("write")];
    let remove = vec![directory.join("remove")];
    // As a process that reads images, or servers as well; else as one that runs a guest.
    let role = act.split_once(": ").map(|(role, _)| role.to_owned());
    let act = act.rsplit(": ").next().unwrap();
    if role.as_deref() == Some("stranger") {
        // Neither Landlock nor a filter.
        reader::drop_root().unwrap();
    } else if let Some(role) = &role {
        let servers = role == "client";
        let reader = ReaderSandbox { read, write, servers, longest_file: 1 << 20, user: None };
        reader.enter().unwrap();
    } else {
        let sandbox = Sandbox { read, write, remove, keeps_capabilities: false };
        sandbox.enter().unwrap();
    }
    let (act, argument) = act.split_once(' ').unwrap();
    let number = || argument.parse().unwrap();
    let done = match act {
        "call" => call(number(), [0; 3]),
        "vcpu" => std::thread::spawn({
            let number = number();
            move || {
                enter_vcpu().unwrap();
                call(number, [0; 3])
            }
        })
        .join()
        .unwrap(),
        "code" | "memory" => {
            let exec = if act == "memory" { 0 } else { libc::PROT_EXEC };
            let is_reader = role.is_some();
            std::thread::spawn(move || {
                if !is_reader {
                    enter_vcpu().unwrap();
                }
                let protection = libc::PROT_READ | exec;
                call(libc::SYS_mmap, [0, 4096, protection.into()])
            })
            .join()
            .unwrap()
        }
        "type" => call(libc::SYS_ioctl, [0, libc::TIOCSTI.cast_signed(), 0]),
        "socket" => call(libc::SYS_socket, [number(), libc::SOCK_DGRAM.into(), 0]),
        "pair" => pair(number()),
        "owner" => call(libc::SYS_fcntl, [0, libc::F_SETOWN.into(), number()]),
        "receiver" => call(libc::SYS_ioctl, [0, 0x8901, number()]),
        "prctl" => call(libc::SYS_prctl, [number(), 0, 0]),
        "thread" => std::thread::spawn(|| Ok(())).join().unwrap(),
        "read" => fs::read(argument).map(drop),
        "list" => fs::read_dir(argument).map(drop),
        "make" => fs::write(argument, "new"),
        "fill" => fs::File::create(directory.join("write/long"))
            .and_then(|file| file.set_len(number().unsigned_abs())),
        "reserve" => {
            Vec::<u8>::new().try_reserve_exact(argument.parse().unwrap()).map_err(io::Error::other)
        }
        "remove" => fs::remove_file(argument),
        "write" => fs::OpenOptions::new().write(true).open(argument).map(drop),
        "chmod" => fs::set_permissions(argument, fs::Permissions::from_mode(0o777)),
        "fchmod" => fs::File::open(directory.join("read/file")).and_then(|file| {
            let mode = u32::from_str_radix(argument, 8).unwrap();
            file.set_permissions(fs::Permissions::from_mode(mode))
        }),
        "limit" => {
            let pid = rustix::process::Pid::from_raw(argument.parse().unwrap());
            let none = Rlimit { current: Some(0), maximum: Some(0) };
            prlimit(pid, Resource::Core, none).map(drop).map_err(Into::into)
        }
        // By the numbers of include/uapi/linux/ptrace.h and signal.h.
        "seize" => call(libc::SYS_ptrace, [libc::PTRACE_SEIZE.into(), number(), 0]),
        "signal" => call(libc::SYS_kill, [number(), 0, 0]),
        "become" => call(libc::SYS_setuid, [number(), 0, 0]),
        other => panic!("{other}"),
    };
    println!("\n{}", done.map_or_else(|error| format!("refused: {error}"), |()| "done".into()));
}

/// A pair of UNIX sockets of this type.
fn pair(of: i64) -> io::Result<()> {
    let mut both = [0_i32; 2];
    // SAFETY: the kernel writes two descriptors.
    let result =
        unsafe { libc::syscall(libc::SYS_socketpair, libc::AF_UNIX, of, 0, &raw mut both) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn call(number: i64, arguments: [i64; 3]) -> io::Result<()> {
    let [first, second, third] = arguments;
    // SAFETY: a call that is not blocked gets no pointer and no descriptor that is valid, but for
    // mmap, which makes a mapping that nobody uses.
    let result = unsafe {
        libc::syscall(number, first, second, third, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0)
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn child(act: &str, directory: &Path) -> Output {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--ignored", "--exact", "sandbox::tests::act", "--nocapture"]);
    command.env(ACT, act).env(DIRECTORY, directory).output().unwrap()
}

#[track_caller]
fn assert_blocked(act: &str, name: &str, thread: &str) {
    let ended = child(act, Path::new("/nowhere"));
    let stderr = String::from_utf8_lossy(&ended.stderr);
    let expected = format!("chukka: the sandbox has blocked the system call '{name}' (");
    assert!(stderr.contains(&expected), "{act}: {name}: {stderr}");
    assert!(stderr.contains(thread), "{act}: {stderr}");
    assert_eq!(ended.status.code(), Some(125), "{act}");
}

#[track_caller]
fn assert_prints(act: &str, directory: &Path, expected: &str) {
    let ended = child(act, directory);
    let stdout = String::from_utf8_lossy(&ended.stdout);
    assert!(stdout.contains(expected), "{act}: {stdout}{}", String::from_utf8_lossy(&ended.stderr));
}

#[test]
fn each_forbidden_system_call_ends_the_process_with_its_name() {
    for &call in system_calls::FORBIDDEN {
        let name = syscalls::Sysno::new(usize::try_from(call).unwrap()).unwrap().name();
        assert_blocked(&format!("call {call}"), name, "of the thread 'sandbox::tests");
    }
}

#[test]
fn another_process_and_typing_on_the_terminal_are_blocked_but_threads_are_not() {
    // clone with no flags is fork.
    assert_blocked(&format!("call {}", libc::SYS_clone), "clone", "(56)");
    assert_blocked(&format!("call {}", libc::SYS_process_vm_readv), "process_vm_readv", "(310)");
    assert_blocked(&format!("call {}", libc::SYS_process_vm_writev), "process_vm_writev", "(311)");
    assert_blocked("type ", "ioctl", "(16)");
    // By its second number, of the x32 ABI.
    let execve = i64::from(system_calls::X32) + libc::SYS_execve;
    assert_blocked(&format!("call {execve}"), "unknown", "of the thread");
    assert_prints("thread ", Path::new("/nowhere"), "\ndone\n");
}

#[test]
fn a_vcpu_s_thread_makes_no_socket_and_no_code() {
    for (call, name) in [
        (libc::SYS_socket, "socket"),
        (libc::SYS_connect, "connect"),
        (libc::SYS_unlink, "unlink"),
        (libc::SYS_kill, "kill"),
        (libc::SYS_execve, "execve"),
        (libc::SYS_shmget, "shmget"),
    ] {
        assert_blocked(&format!("vcpu {call}"), name, "of the thread");
    }
    assert_blocked("code ", "mmap", "(9)");
    assert_prints("memory ", Path::new("/nowhere"), "\ndone\n");
}

#[test]
fn only_the_listed_files_can_be_opened_made_or_removed() {
    let scratch = std::env::temp_dir().join(format!("chukka-sandbox-{}", std::process::id()));
    for directory in ["read", "write", "remove", "other"] {
        fs::create_dir_all(scratch.join(directory)).unwrap();
        fs::write(scratch.join(directory).join("file"), "text").unwrap();
    }
    let refused = "refused: Permission denied";
    for (act, path, expected) in [
        ("read", "read/file", "\ndone\n"),
        ("list", "read", "\ndone\n"),
        ("make", "read/new", refused),
        ("make", "read/file", refused),
        ("remove", "read/file", refused),
        ("read", "remove/file", refused),
        ("make", "remove/new", refused),
        ("remove", "remove/file", "\ndone\n"),
        ("read", "other/file", refused),
        ("list", "other", refused),
        ("make", "other/new", refused),
        ("remove", "other/file", refused),
        ("read", "/etc/passwd", refused),
        ("make", "write/new", "\ndone\n"),
        ("read", "write/file", "\ndone\n"),
        ("remove", "write/file", "\ndone\n"),
    ] {
        // An absolute path replaces the directory.
        let act = format!("{act} {}", scratch.join(path).display());
        assert_prints(&act, &scratch, expected);
    }
    fs::remove_dir_all(scratch).unwrap();
}

#[test]
fn a_process_that_reads_images_makes_no_socket_no_process_and_no_code() {
    for (call, name) in [
        (libc::SYS_socket, "socket"),
        (libc::SYS_connect, "connect"),
        (libc::SYS_execve, "execve"),
        (libc::SYS_ptrace, "ptrace"),
        (libc::SYS_mount, "mount"),
        (libc::SYS_kill, "kill"),
        (libc::SYS_unlink, "unlink"),
        (libc::SYS_rename, "rename"),
        (libc::SYS_prlimit64, "prlimit64"),
        (libc::SYS_shmget, "shmget"),
        (libc::SYS_open_by_handle_at, "open_by_handle_at"),
        (libc::SYS_clone, "clone"),
    ] {
        assert_blocked(&format!("reader: call {call}"), name, "of the thread");
    }
    assert_blocked("reader: code ", "mmap", "(9)");
    assert_blocked("reader: type ", "ioctl", "(16)");
    assert_prints("reader: memory ", Path::new("/nowhere"), "\ndone\n");
}

#[test]
fn a_process_that_asks_servers_is_no_server_and_sends_no_signals() {
    for (call, name) in [
        (libc::SYS_listen, "listen"),
        (libc::SYS_accept4, "accept4"),
        (libc::SYS_kill, "kill"),
        (libc::SYS_tgkill, "tgkill"),
        (libc::SYS_execve, "execve"),
        (libc::SYS_ptrace, "ptrace"),
        (libc::SYS_fchown, "fchown"),
        (libc::SYS_open_by_handle_at, "open_by_handle_at"),
        (libc::SYS_clone, "clone"),
    ] {
        assert_blocked(&format!("client: call {call}"), name, "of the thread");
    }
    let socket = format!("client: call {}", libc::SYS_socket);
    assert_prints(&socket, Path::new("/nowhere"), "\nrefused: ");
    assert_prints("client: thread ", Path::new("/nowhere"), "\ndone\n");
}

#[test]
fn a_process_that_reads_has_its_files_and_limits_only() {
    let scratch = std::env::temp_dir().join(format!("chukka-reader-{}", std::process::id()));
    for directory in ["read", "write", "other"] {
        fs::create_dir_all(scratch.join(directory)).unwrap();
        fs::write(scratch.join(directory).join("file"), "text").unwrap();
    }
    let refused = "refused: Permission denied";
    for (act, path, expected) in [
        ("reader: read", "read/file", "\ndone\n"),
        ("reader: list", "read", "\ndone\n"),
        ("reader: make", "read/file", refused),
        ("reader: read", "other/file", refused),
        ("reader: read", "/etc/passwd", refused),
        ("client: make", "write/new", "\ndone\n"),
        ("client: remove", "write/new", "\ndone\n"),
        ("client: make", "other/new", refused),
        ("client: read", "/etc/passwd", refused),
        ("client: reserve", "17179869184", "refused: memory allocation failed"),
    ] {
        // An absolute path replaces the directory.
        let argument = if act.ends_with("reserve") { path.into() } else { scratch.join(path) };
        let act = format!("{act} {}", argument.display());
        assert_prints(&act, &scratch, expected);
    }
    let long = child(&format!("client: fill {}", 2 << 20), &scratch);
    assert_eq!(long.status.signal(), Some(libc::SIGXFSZ), "{long:?}");
    fs::remove_dir_all(scratch).unwrap();
}

#[test]
fn without_landlock_too_root_s_process_that_reads_images_has_no_rights_of_root() {
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        let why = "only a process of root becomes another user";
        assert!(
            std::env::var_os("CHUKKA_NO_SKIP").is_none(),
            "CHUKKA_NO_SKIP allows no skip: {why}"
        );
        eprintln!("SKIPPED: {why}");
        return;
    }
    let scratch = std::env::temp_dir().join(format!("chukka-stranger-{}", std::process::id()));
    fs::create_dir_all(&scratch).unwrap();
    fs::set_permissions(&scratch, fs::Permissions::from_mode(0o755)).unwrap();
    for (name, mode) in [("secret", 0o600), ("open", 0o644), ("of a group", 0o660)] {
        fs::write(scratch.join(name), "text").unwrap();
        fs::set_permissions(scratch.join(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    let this = std::process::id();
    let at = |act: &str, name: &str| format!("stranger: {act} {}", scratch.join(name).display());
    for act in [
        at("read", "secret"),
        at("write", "secret"),
        at("read", "of a group"),
        at("write", "open"),
        at("make", "new"),
        at("remove", "open"),
        at("read", &format!("/proc/{this}/mem")),
        at("list", &format!("/proc/{this}/fd")),
    ] {
        assert_prints(&act, &scratch, "refused: Permission denied");
    }
    for act in [
        at("chmod", "open"),
        format!("stranger: seize {this}"),
        format!("stranger: signal {this}"),
        "stranger: become 0".to_owned(),
    ] {
        assert_prints(&act, &scratch, "refused: Operation not permitted");
    }
    // What everybody may.
    assert_prints(&at("read", "open"), &scratch, "\ndone\n");
    fs::remove_dir_all(scratch).unwrap();
}

#[test]
fn no_thread_reaches_services_or_other_processes_by_sockets_signals_and_owners_of_files() {
    let nowhere = Path::new("/nowhere");
    let this = std::process::id();
    // As a process that runs a guest, and one that asks servers.
    for role in ["", "client: "] {
        for family in [libc::AF_UNIX, libc::AF_VSOCK, libc::AF_PACKET, libc::AF_ALG] {
            let refused = "refused: Address family not supported";
            assert_prints(&format!("{role}socket {family}"), nowhere, refused);
        }
        for family in [libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK] {
            assert_prints(&format!("{role}socket {family}"), nowhere, "\ndone\n");
        }
    }
    for role in ["", "client: ", "reader: "] {
        assert_blocked(&format!("{role}owner {this}"), "fcntl", "(72)");
        assert_blocked(&format!("{role}receiver {this}"), "ioctl", "(16)");
        assert_blocked(&format!("{role}signal {this}"), "kill", "(62)");
        assert_blocked(&format!("{role}call {}", libc::SYS_tgkill), "tgkill", "(234)");
    }
    // Those without servers make no socket at all, which another test shows.
    // By a pair of which one is connected to another later.
    assert_blocked(&format!("pair {}", libc::SOCK_DGRAM), "socketpair", "(53)");
    let flags = i64::from(libc::SOCK_DGRAM | libc::SOCK_CLOEXEC);
    assert_blocked(&format!("pair {flags}"), "socketpair", "(53)");
    assert_prints(&format!("pair {}", libc::SOCK_STREAM), nowhere, "\ndone\n");
}

#[test]
fn no_process_limits_another_or_takes_its_cpus_and_priority() {
    let nowhere = Path::new("/nowhere");
    let this = std::process::id();
    for role in ["", "client: ", "reader: "] {
        assert_blocked(&format!("{role}limit {this}"), "prlimit64", "(302)");
        for (call, name) in [
            (libc::SYS_setpriority, "setpriority"),
            (libc::SYS_ioprio_set, "ioprio_set"),
            (libc::SYS_sched_setaffinity, "sched_setaffinity"),
            (libc::SYS_migrate_pages, "migrate_pages"),
            (libc::SYS_move_pages, "move_pages"),
        ] {
            assert_blocked(&format!("{role}call {call}"), name, "of the thread");
        }
    }
    // Its own, which the C library asks for.
    for role in ["", "client: "] {
        assert_prints(&format!("{role}limit 0"), nowhere, "\ndone\n");
    }
}

#[test]
fn a_file_that_is_only_read_keeps_its_permissions_owner_and_length() {
    let scratch = std::env::temp_dir().join(format!("chukka-modes-{}", std::process::id()));
    let file = scratch.join("read/file");
    fs::create_dir_all(scratch.join("read")).unwrap();
    fs::write(&file, "text").unwrap();
    for role in ["", "client: ", "reader: "] {
        for mode in ["666", "640", "4600", "0"] {
            let ended = child(&format!("{role}fchmod {mode}"), &scratch);
            let stderr = String::from_utf8_lossy(&ended.stderr);
            assert!(stderr.contains("system call 'fchmod' (91)"), "{role}{mode}: {stderr}");
        }
        for (call, name) in [
            (libc::SYS_fchown, "fchown"),
            (libc::SYS_fsetxattr, "fsetxattr"),
            (libc::SYS_fremovexattr, "fremovexattr"),
            (libc::SYS_truncate, "truncate"),
        ] {
            assert_blocked(&format!("{role}call {call}"), name, "of the thread");
        }
    }
    // Modes that let nobody else in, as of files in the cache and of secret copies.
    for role in ["", "client: "] {
        for mode in ["400", "600"] {
            assert_prints(&format!("{role}fchmod {mode}"), &scratch, "\ndone\n");
            assert_eq!(
                fs::metadata(&file).unwrap().mode() & 0o7777,
                u32::from_str_radix(mode, 8).unwrap()
            );
        }
    }
    fs::remove_dir_all(scratch).unwrap();
}

#[test]
fn what_confines_a_process_that_asks_servers_cannot_be_undone() {
    for option in [libc::PR_SET_PDEATHSIG, libc::PR_SET_DUMPABLE] {
        assert_blocked(&format!("client: prctl {option}"), "prctl", "(157)");
        assert_blocked(&format!("reader: prctl {option}"), "prctl", "(157)");
    }
}

#[test]
fn its_own_memory_is_not_written_by_its_file_and_later_system_calls_are_not_there() {
    // Which would let a vCPU's thread write code.
    let act = "write /proc/self/mem";
    for role in ["", "client: ", "reader: "] {
        let act = format!("{role}{act}");
        assert_prints(&act, Path::new("/nowhere"), "refused: Permission denied");
    }
    // open_tree_attr and file_setattr, of Linux 6.15 and 6.17.
    for later in [467, 469] {
        let act = format!("call {later}");
        assert_prints(&act, Path::new("/nowhere"), "refused: Function not implemented");
    }
}
