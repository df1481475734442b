//! The sandbox of a real run, as the kernel shows it in /proc. What it prevents is tried from
//! inside by the unit tests of `vmm::sandbox`.
#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

use std::collections::BTreeMap;
use std::fs;

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
        let filters = if name.starts_with("vcpu") { 3 } else { 2 };
        let expected = Held { capabilities: 0, no_new_privileges: true, filters };
        assert_eq!(*held, expected, "{name}: {threads:?}");
    }
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
