//! The sandbox of a real run, as the kernel shows it in /proc. What it prevents is tried from
//! inside by the unit tests of `vmm::sandbox`.
#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use chukka_tests::native::guest::bzimage;
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
    let child = child(&chukka);
    (chukka, server, child)
}

/// The process that chukka has started.
fn child(chukka: &Chukka) -> Option<i32> {
    let children = |task: fs::DirEntry| fs::read_to_string(task.path().join("children")).ok();
    let tasks = fs::read_dir(format!("/proc/{}/task", chukka.pid())).unwrap();
    tasks.filter_map(|task| children(task.unwrap())).find_map(|pids| {
        let first = pids.split_whitespace().next()?;
        Some(first.parse().unwrap())
    })
}

/// The process that reads, once it is confined, and its `/proc/PID/status`.
fn confined_child(chukka: &Chukka) -> (i32, String) {
    let ends = Instant::now() + Duration::from_secs(60);
    loop {
        assert!(Instant::now() < ends, "no process is confined");
        let status = child(chukka).and_then(|reader| {
            let status = fs::read_to_string(format!("/proc/{reader}/status")).ok()?;
            Some((reader, status)).filter(|(_, status)| status.contains("\nSeccomp_filters:\t2\n"))
        });
        match status {
            Some(found) => return found,
            None => std::thread::sleep(Duration::from_millis(1)),
        }
    }
}

/// Whether a process is there, and has not ended.
fn runs(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

#[track_caller]
fn assert_ends(pid: i32) {
    let ends = Instant::now() + Duration::from_secs(10);
    while runs(pid) {
        assert!(Instant::now() < ends, "the process that reads still runs");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// An install tree that only its owner may read. Its initrd has `length` bytes, of which there are
/// none on the disk; the checksum in the tree is right for 64 KiB.
fn owner_s_tree(length: u64) -> Scratch {
    let scratch = Scratch::new();
    let tree = scratch.path("tree");
    let images = tree.join("images/pxeboot");
    fs::create_dir_all(&images).unwrap();
    fs::write(images.join("vmlinuz"), bzimage("D")).unwrap();
    fs::File::create(images.join("initrd.img")).unwrap().set_len(length).unwrap();
    let zeros = "de2f256064a0af797747c2b97505dc0b9f3df0de4f489eac731c23ae9ca9cc31";
    let info = format!(
        "[general]\nfamily = Fedora\narch = x86_64\nversion = 42\n\
         [images-x86_64]\nkernel = images/pxeboot/vmlinuz\ninitrd = images/pxeboot/initrd.img\n\
         [checksums]\nimages/pxeboot/initrd.img = sha256:{zeros}\n"
    );
    fs::write(tree.join(".treeinfo"), info).unwrap();
    for file in [".treeinfo", "images/pxeboot/vmlinuz", "images/pxeboot/initrd.img"] {
        fs::set_permissions(tree.join(file), fs::Permissions::from_mode(0o600)).unwrap();
    }
    for directory in ["images/pxeboot", "images", ""] {
        let mode = fs::Permissions::from_mode(0o700);
        fs::set_permissions(tree.join(directory), mode).unwrap();
    }
    scratch
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
    assert_ends(reader);
}

#[test]
fn images_are_read_by_a_process_without_capabilities_and_root_s_by_another_user() {
    // Its checksum takes seconds, in which the process can be looked at.
    let scratch = owner_s_tree(3 << 30);
    let words = ["-m", "8G", "-dry-run", "-location"];
    let chukka = native::start(words).args([scratch.path("tree")]).start();
    let (reader, status) = confined_child(&chukka);
    let has = |line: &str| assert!(status.lines().any(|found| found == line), "{line}: {status}");
    for sets in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
        has(&format!("{sets}:\t0000000000000000"));
    }
    has("NoNewPrivs:\t1");
    has("Seccomp:\t2");
    let own = fs::metadata("/proc/self").unwrap();
    let (uid, gid) = if own.uid() == 0 { (65520, 65520) } else { (own.uid(), own.gid()) };
    has(&format!("Uid:\t{uid}\t{uid}\t{uid}\t{uid}"));
    has(&format!("Gid:\t{gid}\t{gid}\t{gid}\t{gid}"));
    if own.uid() == 0 {
        has("Groups:\t ");
        // It has no terminal, and no file but those of the tree.
        let opened: Vec<_> = fs::read_dir(format!("/proc/{reader}/fd"))
            .unwrap()
            .filter_map(|entry| fs::read_link(entry.unwrap().path()).ok())
            .filter(|path| !path.starts_with(scratch.path("tree")))
            .collect();
        let is_known = |path: &PathBuf| {
            let name = path.to_string_lossy();
            name.starts_with("socket:") || name.starts_with("pipe:") || name == "/dev/null"
        };
        assert!(opened.iter().all(is_known), "{opened:?}");
    }
    // Nothing is left of chukka that could end it.
    chukka.signal(libc::SIGKILL);
    assert_eq!(chukka.wait().signal(), Some(libc::SIGKILL));
    assert_ends(reader);
}

#[test]
fn files_that_only_the_user_may_read_are_read() {
    let scratch = owner_s_tree(1 << 16);
    let ended = native::start(["-dry-run", "-location"]).args([scratch.path("tree")]).run();
    assert_eq!(ended.code(), Some(0), "{}", ended.stderr);
    // The same in an image, in a directory that is not the user's alone.
    let image = scratch.path("image");
    let made = std::process::Command::new("mksquashfs")
        .args([scratch.path("tree"), image.clone()])
        .args(["-quiet", "-no-progress"])
        .status();
    if !made.is_ok_and(|status| status.success()) {
        return chukka_tests::skip("mksquashfs is not installed");
    }
    fs::set_permissions(&image, fs::Permissions::from_mode(0o600)).unwrap();
    let ended = native::start(["-dry-run", "-location"]).args([&image]).run();
    assert_eq!(ended.code(), Some(0), "{}", ended.stderr);
    // A link out of the tree leads nowhere, though root could follow it.
    fs::remove_file(scratch.path("tree/images/pxeboot/vmlinuz")).unwrap();
    let target = scratch.file_with_mode("outside", &bzimage("D"), 0o600);
    std::os::unix::fs::symlink(&target, scratch.path("tree/images/pxeboot/vmlinuz")).unwrap();
    let ended = native::start(["-dry-run", "-location"]).args([scratch.path("tree")]).run();
    assert_eq!(ended.code(), Some(125), "{}", ended.stderr);
}

/// A squashfs whose menu's kernel takes about a second to copy. `None` if skipped because
/// mksquashfs is missing.
fn slow_image(scratch: &Scratch) -> Option<PathBuf> {
    let root = scratch.path("root");
    fs::create_dir_all(root.join("boot/grub")).unwrap();
    fs::write(root.join("boot/grub/grub.cfg"), "menuentry one { linux /vmlinuz }\n").unwrap();
    let kernel = fs::File::create(root.join("vmlinuz")).unwrap();
    kernel.set_len(384 << 20).unwrap();
    let image = scratch.path("disk.squashfs");
    let made = std::process::Command::new("mksquashfs")
        .args([&root, &image])
        .args(["-quiet", "-no-progress", "-no-sparse"])
        .status();
    if made.is_ok_and(|status| status.success()) {
        return Some(image);
    }
    chukka_tests::skip("mksquashfs is not installed");
    None
}

#[test]
fn with_runas_servers_are_asked_by_that_user() {
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        return chukka_tests::skip("only root can become another user");
    }
    let scratch = Scratch::new();
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let location = format!("--location=http://{}/tree/", server.local_addr().unwrap());
    let out = format!("--output-directory={}", scratch.path("out").display());
    let start = native::start([&location, &out, "--runas=1234"]).called("xenpvnetboot");
    let chukka = start.start();
    let (_connection, _) = server.accept().unwrap();
    let (_, status) = confined_child(&chukka);
    for line in ["Uid:\t1234\t1234\t1234\t1234", "CapEff:\t0000000000000000", "Groups:\t "] {
        assert!(status.lines().any(|found| found == line), "{line}: {status}");
    }
}

/// Boot menus are read by the same kind of process, of the user that `--runas` names.
#[test]
fn boot_menus_are_read_by_a_process_without_rights_too() {
    let scratch = Scratch::new();
    let Some(image) = slow_image(&scratch) else { return };
    let out = scratch.path("out");
    fs::create_dir(&out).unwrap();
    let own = fs::metadata("/proc/self").unwrap().uid();
    let uid = |of_root: u32| if own == 0 { of_root } else { own };
    let directory = format!("--output-directory={}", out.display());
    let pygrub = |words: &[&str]| native::start(words).called("pygrub");
    let mut runs = vec![(native::start(["bootloader"]), uid(65520)), (pygrub(&["-q"]), uid(65520))];
    if own == 0 {
        runs.push((pygrub(&["-q", "--runas=1234"]), 1234));
    }
    for (start, uid) in runs {
        let chukka = start.args([&directory]).args([&image]).start();
        let (_, status) = confined_child(&chukka);
        let has =
            |line: &str| assert!(status.lines().any(|found| found == line), "{line}: {status}");
        for sets in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
            has(&format!("{sets}:\t0000000000000000"));
        }
        has("NoNewPrivs:\t1");
        has(&format!("Uid:\t{uid}\t{uid}\t{uid}\t{uid}"));
        if own == 0 {
            has(&format!("Gid:\t{uid}\t{uid}\t{uid}\t{uid}"));
            has("Groups:\t ");
        }
        let ended = chukka.wait();
        assert_eq!(ended.code(), Some(0), "{}", ended.stderr);
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
