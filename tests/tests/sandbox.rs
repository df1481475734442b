//! The sandbox of a real run, as the kernel shows it in /proc. What it prevents is tried from
//! inside by the unit tests of `vmm::sandbox`.
#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

use chukka_tests::native::{self, Chukka, Scratch, Start};

/// What the kernel says of one thread.
#[derive(Debug, PartialEq, Eq)]
struct Held {
    capabilities: u64,
    no_new_privileges: bool,
    /// How many seccomp filters it has.
    filters: u32,
}

/// Each thread by its name. KVM's threads for the VM are the kernel's own.
fn threads(pid: i32) -> BTreeMap<String, Held> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let held = |task: fs::DirEntry| {
        let status = fs::read_to_string(task.path().join("status")).ok()?;
        let field = |name: &str| {
            let value = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            value.unwrap_or_else(|| panic!("no {name}: {status}")).trim().to_owned()
        };
        let held = Held {
            capabilities: u64::from_str_radix(&field("CapEff"), 16).unwrap()
                | u64::from_str_radix(&field("CapPrm"), 16).unwrap(),
            no_new_privileges: field("NoNewPrivs") == "1",
            filters: field("Seccomp_filters").parse().unwrap(),
        };
        Some((field("Name"), held)).filter(|(name, _)| !name.starts_with("kvm"))
    };
    tasks.filter_map(|task| held(task.unwrap())).collect()
}

/// A guest with two CPUs, a disk and a network card, which waits for input.
fn running(words: &[&str]) -> (Chukka, Scratch) {
    let scratch = Scratch::new();
    let disk = scratch.file("disk", &[0; 1 << 20]);
    let drive = format!("file={},format=raw", disk.display());
    let start = Start::guest("D").args(["-smp", "2", "-nic", "user", "-drive", &drive]);
    let chukka = start.args(words).start();
    chukka.wait_for("done");
    (chukka, scratch)
}

#[test]
fn every_thread_is_confined_and_those_of_the_cpus_further() {
    if !native::kvm() {
        return;
    }
    let (chukka, _scratch) = running(&[]);
    let threads = threads(chukka.pid());
    assert!(threads.len() >= 5, "two CPUs, a disk, a network card, the main thread: {threads:?}");
    for (name, held) in &threads {
        let filters = if name.starts_with("vcpu") { 2 } else { 1 };
        let expected = Held { capabilities: 0, no_new_privileges: true, filters };
        assert_eq!(*held, expected, "{name}: {threads:?}");
    }
}

#[test]
fn a_guest_runs_as_the_user_that_is_asked_for() {
    if !native::kvm() {
        return;
    }
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        return chukka_tests::skip("only root can become another user");
    }
    for words in [
        &["-run-with", "user=12345:12346"][..],
        &["-run-with", "user=12345:12346", "-sandbox", "off"],
    ] {
        let (chukka, _scratch) = running(words);
        for task in fs::read_dir(format!("/proc/{}/task", chukka.pid())).unwrap() {
            let status = fs::read_to_string(task.unwrap().path().join("status")).unwrap();
            let has = |line: &str| status.lines().any(|found| found == line);
            if status.starts_with("Name:\tkvm") {
                continue;
            }
            assert!(has("Uid:\t12345\t12345\t12345\t12345"), "{status}");
            assert!(has("Gid:\t12346\t12346\t12346\t12346"), "{status}");
            assert!(has("Groups:\t12346 "), "{status}");
            assert!(has("CapEff:\t0000000000000000"), "{status}");
        }
    }
    // It resets twice, and powers off in its third boot.
    let ended = Start::guest("CR").args(["-run-with", "user=12345:12346"]).run();
    assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);
}

#[test]
fn without_a_sandbox_no_thread_is_confined() {
    if !native::kvm() {
        return;
    }
    let (chukka, _scratch) = running(&["-sandbox", "off"]);
    let before = threads(i32::try_from(std::process::id()).unwrap());
    let before = before.into_values().next().unwrap();
    for (name, held) in threads(chukka.pid()) {
        assert_eq!(held, before, "{name}: as the process that started it");
    }
}

/// chukka with these words and the URL of a server that takes its request and does not answer; the
/// server.
fn stalled(words: &[&str]) -> (Chukka, TcpListener) {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/tree/", server.local_addr().unwrap());
    let chukka = native::start(words).args([&url]).start();
    let (connection, _) = server.accept().unwrap();
    // It stays open, unanswered, with the server's process.
    std::mem::forget(connection);
    (chukka, server)
}

/// chukka with such a location; the server; the process that has asked.
fn asking(words: &[&str]) -> (Chukka, TcpListener, Option<i32>) {
    let words = [words, &["-fetch", "cache=off", "-location"]].concat();
    let (chukka, server) = stalled(&words);
    let children = |task: fs::DirEntry| fs::read_to_string(task.path().join("children")).ok();
    let tasks = fs::read_dir(format!("/proc/{}/task", chukka.pid())).unwrap();
    let child = tasks.filter_map(|task| children(task.unwrap())).find_map(|pids| {
        let first = pids.split_whitespace().next()?;
        Some(first.parse().unwrap())
    });
    (chukka, server, child)
}

#[test]
fn a_confined_process_reads_a_location() {
    let (chukka, _server, child) = asking(&[]);
    let reader = child.expect("it has a process that reads");
    let threads = threads(reader);
    // CAP_DAC_READ_SEARCH and CAP_NET_BIND_SERVICE, where root has started it.
    let capabilities = threads.values().next().unwrap().capabilities;
    assert_eq!(capabilities & !(1 << 2 | 1 << 10), 0);
    for (name, held) in &threads {
        let expected = Held { capabilities, no_new_privileges: true, filters: 2 };
        assert_eq!(*held, expected, "{name}");
    }
    let limits = fs::read_to_string(format!("/proc/{reader}/limits")).unwrap();
    for (limit, value) in [("Max core file size", "0"), ("Max open files", "256")] {
        let line = limits.lines().find_map(|line| line.strip_prefix(limit)).unwrap();
        assert_eq!(line.split_whitespace().next(), Some(value), "{limit}");
    }
    let environment = fs::read(format!("/proc/{reader}/environ"));
    // Nobody but root may look into it.
    if let Ok(environment) = environment {
        let mut variables = environment.split(|byte| *byte == 0);
        assert!(!variables.any(|variable| variable.starts_with(b"PATH=")), "it has no secrets");
    }
    // It does not outlive chukka.
    chukka.signal(libc::SIGTERM);
    assert_eq!(chukka.wait().signal(), Some(libc::SIGTERM));
    let ends = Instant::now() + Duration::from_secs(10);
    while fs::read_to_string(format!("/proc/{reader}/stat"))
        .is_ok_and(|stat| !stat.contains(") Z "))
    {
        assert!(Instant::now() < ends, "the process that reads still runs");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn chukka_bootloader_is_confined_before_it_reads() {
    let (chukka, _server) = stalled(&["bootloader", "--list"]);
    let threads = threads(chukka.pid());
    // CAP_DAC_OVERRIDE and CAP_NET_BIND_SERVICE, where root has started it.
    let capabilities = threads.values().next().unwrap().capabilities;
    assert_eq!(capabilities & !(1 << 1 | 1 << 10), 0);
    for (name, held) in &threads {
        let expected = Held { capabilities, no_new_privileges: true, filters: 2 };
        assert_eq!(*held, expected, "{name}");
    }
}

#[test]
fn how_the_reading_process_died_is_told() {
    let (chukka, _server, child) = asking(&[]);
    chukka_tests::sys::kill(child.unwrap(), libc::SIGKILL).unwrap();
    let ended = chukka.wait();
    assert_eq!(ended.code(), Some(125));
    let expected = "The process that reads images and servers' answers was killed by signal 9\n\
                    hint: the host may have run out of memory: see dmesg";
    assert!(ended.stderr.contains(expected), "{}", ended.stderr);
}

#[test]
fn without_a_sandbox_no_other_process_reads() {
    let (_chukka, _server, child) = asking(&["-sandbox", "off"]);
    assert_eq!(child, None);
}
