//! `chukka install` and `chukka start` with tiny installers: what is installed boots, and nothing
//! half-done is ever called installed.

#![expect(clippy::unwrap_used, reason = "this is how a test fails")]

use std::fs;
use std::net::TcpListener;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use chukka_tests::native::guest::bzimage;
use chukka_tests::native::{self, Ended, Input, Scratch, Start, start};

const TREE: &str = "current/images/netboot/debian-installer/amd64";

/// An installer, and the directory where its guest is going to be.
struct Installation {
    scratch: Scratch,
}

impl Installation {
    /// With a kernel that does what the script says; `None` without KVM.
    fn new(script: &str) -> Option<Self> {
        native::kvm().then(|| Self::unchecked(script))
    }

    fn unchecked(script: &str) -> Self {
        let scratch = Scratch::new();
        let tree = scratch.path("tree").join(TREE);
        fs::create_dir_all(&tree).unwrap();
        fs::write(tree.join("linux"), bzimage(script)).unwrap();
        fs::write(tree.join("initrd.gz"), b"initrd").unwrap();
        Self { scratch }
    }

    fn directory(&self) -> PathBuf {
        self.scratch.path("guest")
    }

    fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.directory().join("console.log")).unwrap()).into()
    }

    /// Tiny guests know the disks of microvm only.
    fn install(&self) -> Start {
        start(["install", "--cache", "off", "--machine", "microvm", "--memory", "64"])
            .args(["--disk", "size=1M", "--network", "none", "--state"])
            .args([self.directory(), self.scratch.path("tree")])
    }

    fn restart(&self) -> Start {
        start(["install", "--restart-install", "--state"]).args([self.directory()])
    }

    fn start(&self) -> Start {
        start(["start"]).args([self.directory()])
    }

    #[track_caller]
    fn assert_phase(&self, phase: &str) {
        let text = fs::read(self.directory().join("install.json")).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(json["phase"], phase);
    }

    #[track_caller]
    fn assert_does_not_start(&self, why: &str) {
        let ended = self.start().run();
        assert_eq!(ended.code(), Some(125), "{ended:?}");
        let said = format!("is not installed: {why}");
        assert!(ended.stderr.contains(&said), "{said}: {ended:?}");
    }

    #[track_caller]
    fn assert_not_installed(&self, ended: &Ended, status: u8, why: &str) {
        assert_eq!(ended.code(), Some(status.into()), "{ended:?}");
        let said = format!("chukka: not installed: {why}");
        assert!(ended.stderr.contains(&said), "{ended:?}");
        let hint =
            format!("chukka install --restart-install --state {}", self.directory().display());
        assert!(ended.stderr.contains(&hint), "{ended:?}");
        self.assert_phase("pending");
        self.assert_does_not_start(why);
    }
}

/// SeaBIOS takes its time on a software KVM.
fn with_firmware(start: &Start) -> Ended {
    start.start().wait_within(Duration::from_secs(240))
}

#[test]
fn what_is_installed_boots_from_its_disk() {
    let Some(it) = Installation::new("{the disk boots!\"P") else { return };
    let ended = it.install().run();
    assert_eq!(ended.code(), Some(0), "{ended:?}");
    let shown = it.directory().display().to_string();
    assert!(
        ended.stderr.contains(&format!(": chukka start {shown} boots the disk\n")),
        "{ended:?}"
    );
    assert!(
        ended.stderr.contains(&format!("disk          '{shown}/disk.qcow2' (1M, qcow2), created"))
    );
    it.assert_phase("installed");
    let ended = with_firmware(&it.start());
    assert_eq!(ended.code(), Some(0), "{ended:?}");
    assert!(ended.text().contains("the disk boots"), "{ended:?}");
    // In the background; the report comes at its end.
    let json = it.scratch.path("report.json");
    let started = it.start().args(["--", "-daemonize", "-json"]).args([&json]).run();
    assert_eq!((started.code(), started.stderr.as_str()), (Some(0), ""), "{started:?}");
    let begun = Instant::now();
    let text = loop {
        let text = fs::read_to_string(&json).unwrap();
        if text.ends_with("}\n") {
            break text;
        }
        assert!(begun.elapsed() < Duration::from_secs(240), "{text}");
        thread::sleep(Duration::from_millis(20));
    };
    assert!(text.contains("\"outcome\": \"power-off\""), "{text}");
    let again = it.install().run();
    assert_eq!(again.code(), Some(125), "{again:?}");
    assert!(again.stderr.contains("already has an installer, installed"), "{again:?}");
    assert!(again.stderr.contains("hint: chukka install --restart-install"), "{again:?}");
}

#[test]
fn a_start_that_a_signal_stops_while_it_fetches_is_reported() {
    let Some(it) = Installation::new("{the disk boots!\"P") else { return };
    let ended = it.install().run();
    assert_eq!(ended.code(), Some(0), "{ended:?}");
    // It takes connections, and never answers.
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/vmlinuz", server.local_addr().unwrap());
    let json = it.scratch.path("report.json");
    let words = ["--", "-name", "web", "-kernel", &url, "-json"];
    let running = it.start().args(words).args([&json]).start();
    let client = server.accept().unwrap();
    running.signal(libc::SIGTERM);
    let ended = running.wait();
    assert_eq!(ended.signal(), Some(libc::SIGTERM), "{ended:?}");
    assert!(ended.stderr.contains("chukka: web: Stopped"), "{ended:?}");
    let text = fs::read_to_string(&json).unwrap();
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&report["outcome"], &report["signal"]), (&"signal".into(), &15.into()), "{report}");
    assert_eq!(report["status"], serde_json::Value::Null, "{report}");
    drop(client);
}

#[test]
fn an_installer_that_reboots_is_followed_to_the_disk() {
    let Some(it) = Installation::new("\"first \"{second!\"R") else { return };
    let ended = with_firmware(&it.install().args(["--noautoconsole"]));
    assert_eq!(ended.code(), Some(0), "{ended:?}");
    assert!(ended.stderr.contains("the installer has reset the machine: its disk boots now"));
    assert_eq!(ended.text(), "");
    assert!(it.log().starts_with("first ") && it.log().ends_with("second"), "{}", it.log());
    it.assert_phase("installed");
    let Some(it) = Installation::new("{x!\"R") else { return };
    let ended = it.install().args(["--noreboot"]).run();
    assert_eq!(ended.code(), Some(0), "{ended:?}");
    it.assert_phase("installed");
}

#[test]
fn a_second_phase_that_is_stopped_goes_on_with_the_next_start() {
    let Some(it) = Installation::new("{second\"R") else { return };
    let running = it.install().start();
    running.wait_for("second");
    running.signal(libc::SIGKILL);
    let _ = running.wait();
    it.assert_phase("rebooted");
    for options in [&["--bootdisk"][..], &["--", "-m", "64M"]] {
        let refused = it.start().args(options.iter().copied()).run();
        assert_eq!(refused.code(), Some(125), "{refused:?}");
        assert!(refused.stderr.contains("is not complete"), "{refused:?}");
    }
    let running = it.start().start();
    running.wait_for("second");
    running.signal(libc::SIGTERM);
    let ended = running.wait();
    assert_eq!(ended.signal(), Some(libc::SIGTERM), "{ended:?}");
    it.assert_phase("rebooted");
}

#[test]
fn what_ends_without_an_installation_is_not_installed() {
    for (script, status, why) in [
        ("P", 123, "the guest powered off, and wrote nothing to its disk"),
        ("R", 123, "the guest asked for a reset, and wrote nothing to its disk"),
        ("}x\"P", 123, "the guest powered off, and its disk does not boot: it has neither"),
        ("{x!\"K", 120, "the guest's kernel panicked: "),
        ("{x!\"T", 121, "the guest triple-faulted: "),
        (
            "{x!\"\"An installation step failed.\r\n\"P",
            123,
            "the installer said \"An installation step failed.\"",
        ),
    ] {
        let Some(it) = Installation::new(script) else { return };
        it.assert_not_installed(&it.install().run(), status, why);
    }
}

#[test]
fn an_installer_that_does_not_end_is_ended_by_the_time_limit() {
    let Some(it) = Installation::new("{x!\"") else { return };
    let ended = it.install().args(["--wait", "1", "--noautoconsole"]).run();
    it.assert_not_installed(&ended, 124, "it had not ended after 1 s (--wait)");
}

#[test]
fn an_installation_that_is_ended_is_not_installed_and_starts_over() {
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGKILL] {
        // The boot sector is complete when the installer is killed.
        let Some(it) = Installation::new("{x!\"") else { return };
        let mut running = it.install().input(Input::Pipe).start();
        running.wait_for("ready");
        running.signal(signal);
        let ended = running.wait();
        assert_eq!(ended.signal(), Some(signal), "{ended:?}");
        let interrupted = format!("interrupted by signal {signal}");
        let is_told = ended.stderr.contains(&format!("not installed: {interrupted}"));
        assert_eq!(is_told, signal != libc::SIGKILL, "{ended:?}");
        it.assert_phase("pending");
        it.assert_does_not_start(if is_told { &interrupted } else { "its installer has not" });
        let disk = it.directory().join("disk.qcow2");
        let written = fs::read(&disk).unwrap();
        // It begins with an empty disk, and this time it finishes.
        running = it.restart().input(Input::Pipe).start();
        running.wait_for("ready");
        running.send(b"P");
        assert_eq!(running.wait().code(), Some(0));
        it.assert_phase("installed");
        assert_eq!(fs::read(&disk).unwrap().len(), written.len());
    }
}

#[test]
fn the_keys_of_a_terminal_interrupt_an_installation_and_leave_it_as_it_was() {
    // Ctrl-C is the guest's where it has the terminal, and chukka's where it has not.
    let shown = (&[][..], "ready", &b"\x03\x01x"[..], "interrupted by Ctrl-A x");
    let hidden =
        (&["--noautoconsole"][..], "installing 0:", &b"\x03"[..], "interrupted by signal 2");
    for (words, sign, keys, why) in [shown, hidden] {
        let Some(it) = Installation::new("{x!\"") else { return };
        let mut session = it.install().args(words.iter().copied()).on_terminal();
        session.wait_for(sign);
        assert_eq!(session.settings().is_raw(), words.is_empty());
        session.type_in(keys);
        let ended = session.wait();
        let expected =
            if words.is_empty() { (Some(123), None) } else { (None, Some(libc::SIGINT)) };
        assert_eq!((ended.code(), ended.signal()), expected);
        session.wait_for(&format!("chukka: not installed: {why} (after "));
        assert_eq!(session.settings(), session.before, "the terminal is not as it was");
        // chukka was the guest: nothing else has its disk open.
        let lock = fs::OpenOptions::new().write(true).open(it.directory().join("disk.qcow2"));
        lock.unwrap().try_lock().unwrap();
        it.assert_phase("pending");
        it.assert_does_not_start(why);
        // A run that is killed leaves no reason, not even the one before.
        let running = it.restart().start();
        running.wait_for("ready");
        running.signal(libc::SIGKILL);
        let _ = running.wait();
        it.assert_does_not_start("its installer has not finished");
        let mut running = it.restart().input(Input::Pipe).start();
        running.wait_for("ready");
        running.send(b"P");
        assert_eq!(running.wait().code(), Some(0));
        it.assert_phase("installed");
    }
}

#[test]
fn a_disk_that_cannot_be_used_leaves_nothing_behind() {
    let it = Installation::unchecked("P");
    let odd = it.scratch.file("odd.raw", &[0; 700]).display().to_string();
    for (disk, said) in [
        (&*odd, "has 700 bytes"),
        ("/no/folder/disk.raw", "/no/folder/disk.raw"),
        ("size=99999T", "at most"),
        ("bus=scsi", "--disk bus=scsi: expected virtio or sata"),
        ("bus=sata", "microvm"),
    ] {
        let ended = it.install().args(["--disk", disk]).run();
        assert_eq!(ended.code(), Some(125), "{disk}: {ended:?}");
        assert!(ended.stderr.contains(said), "{disk}: {ended:?}");
        assert!(!ended.stderr.contains("hint: \n"), "{disk}: {ended:?}");
        assert!(!it.directory().exists(), "{disk}");
    }
}

#[test]
fn a_restart_begins_with_an_empty_disk_and_forgets_that_it_was_installed() {
    let Some(it) = Installation::new("{x!\"P") else { return };
    assert_eq!(it.install().run().code(), Some(0));
    // The same installer, which writes nothing this time: as if it failed early.
    let kernel = it.directory().join("kernel");
    let record = it.directory().join("install.json");
    let text = fs::read_to_string(&record).unwrap();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    let other = bzimage("P");
    fs::write(&kernel, &other).unwrap();
    let sum = it.scratch.file("other", &other);
    let output = std::process::Command::new("sha256sum").arg(sum).output().unwrap();
    let sum = String::from_utf8_lossy(&output.stdout)[..64].to_owned();
    fs::write(&record, text.replace(json["kernel"]["sha256"].as_str().unwrap(), &sum)).unwrap();
    let ended = it.restart().run();
    it.assert_not_installed(&ended, 123, "the guest powered off, and wrote nothing to its disk");
    assert!(ended.stderr.contains("hint: nothing was written to the disk: an installer without"));
}

#[test]
fn a_restart_refuses_what_it_would_ignore_and_shows_its_plan() {
    let Some(it) = Installation::new("{x!\"P") else { return };
    assert_eq!(it.install().run().code(), Some(0));
    for words in
        [&["--refresh"][..], &["--memory", "2G"], &["--disk", "size=2"], &["--append", "x"]]
    {
        let ended = it.restart().args(words.iter().copied()).run();
        assert_eq!(ended.code(), Some(125), "{words:?}: {ended:?}");
        let said = format!("chukka: {} cannot be changed by --restart-install", words[0]);
        assert!(ended.stderr.contains(&said), "{words:?}: {ended:?}");
    }
    let plan = it.restart().args(["--dry-run"]).run();
    assert_eq!(plan.code(), Some(0), "{plan:?}");
    let disk = it.directory().join("disk.qcow2");
    let line = format!("disk          '{}' (1M, qcow2), emptied\n", disk.display());
    assert!(plan.text().contains(&line), "{plan:?}");
    it.assert_phase("installed");
}

#[test]
fn one_installation_at_a_time() {
    let Some(it) = Installation::new("") else { return };
    let running = it.install().start();
    running.wait_for("ready");
    let in_use = format!("'{}' is in use by another chukka", it.directory().display());
    for second in [it.restart(), it.start()] {
        let ended = second.run();
        assert_eq!(ended.code(), Some(125), "{ended:?}");
        assert!(ended.stderr.contains(&in_use), "{ended:?}");
    }
    running.signal(libc::SIGKILL);
    let _ = running.wait();
}

#[test]
fn what_cannot_be_installed_is_refused_before_anything_is_made() {
    let it = Installation::unchecked("P");
    for (words, said) in [
        (&["--disk", "none"][..], "an installation needs a disk"),
        (&["--memory", "much"], "--memory much: expected MiB"),
        (&["--vcpus", "0"], "-smp 0"),
        (&["--machine", "none"], "-machine none"),
        (&["--network", "bridge=br0"], "--network bridge=br0: chukka makes no bridges"),
        (&["--os-variant", "debian12"], "--os-variant is an option of virt-install"),
        (&["--graphics", "vnc"], "vnc"),
        (&["--wait", "0"], "--wait 0: expected"),
        (&["--preseed", "/no/such/file"], "/no/such/file"),
    ] {
        let ended = it.install().args(words.iter().copied()).run();
        assert_eq!(ended.code(), Some(125), "{words:?}: {ended:?}");
        assert!(ended.stderr.contains(said), "{words:?}: {ended:?}");
        assert!(!it.directory().exists(), "{words:?}");
    }
    let named = start(["start", "--name"]).args([it.directory()]);
    let nowhere = start(["install", "--state"]).args([it.directory(), it.scratch.path("nowhere")]);
    let nothing = start(["start"]).args([it.directory()]);
    for (refused, said) in [
        (nowhere, "is not there"),
        (start(["install"]), "There is no LOCATION"),
        (nothing, "there is no install.json in it"),
        (named, "there is no install.json in it"),
        (start(["start"]), "'guest' has no saved installer"),
    ] {
        let ended = refused.run();
        assert_eq!(ended.code(), Some(125), "{ended:?}");
        assert!(ended.stderr.contains(said), "{ended:?}");
    }
    assert!(!it.directory().exists());
    let plan = it.install().args(["--dry-run"]).run();
    assert_eq!(plan.code(), Some(0), "{plan:?}");
    assert!(plan.text().contains("\ncommand line  console=ttyS0\n"), "{plan:?}");
    assert!(plan.text().contains("\nmachine       microvm, 64M of memory, 1 CPU\n"), "{plan:?}");
    assert!(!it.directory().exists());
}

#[test]
fn a_tree_on_this_host_is_served_to_the_guest_and_its_installer_gets_what_it_needs() {
    let scratch = Scratch::new();
    let images = scratch.path("tree/images/pxeboot");
    fs::create_dir_all(&images).unwrap();
    fs::write(images.join("vmlinuz"), bzimage("P")).unwrap();
    fs::write(images.join("initrd.img"), b"initrd").unwrap();
    let info = "[general]\nfamily = Fedora\nversion = 42\narch = x86_64\n\
                [images-x86_64]\nkernel = images/pxeboot/vmlinuz\ninitrd = images/pxeboot/initrd.img\n";
    fs::write(scratch.path("tree/.treeinfo"), info).unwrap();
    let plan = |network: &str| {
        let install = start(["install", "--cache", "off", "--dry-run", "--network", network]);
        let ended = install.args(["--state".as_ref(), scratch.path("guest").as_path()]);
        let ended = ended.args([scratch.path("tree")]).run();
        assert_eq!(ended.code(), Some(0), "{ended:?}");
        ended.text()
    };
    let served = plan("user");
    let line = "\ncommand line  console=ttyS0 inst.repo=http://10.0.2.4/tree\n";
    assert!(served.contains(line), "{served}");
    assert!(served.contains("\nmachine       pc, 3G of memory, 1 CPU\n"), "{served}");
    assert!(!plan("none").contains("console=ttyS0 inst.repo="));
}

#[test]
fn a_template_says_what_options_would_and_options_take_precedence() {
    let it = Installation::unchecked("P");
    let tree = it.scratch.path("tree");
    let template = |rest: &str| {
        let text = format!("install-repository = '{}'\n{rest}", tree.display());
        it.scratch.file("web.toml", text.as_bytes())
    };
    let install = |template: PathBuf, words: &[&str]| {
        let install = start(["install", "--dry-run", "--cache", "off", "--template"]);
        install.args([&template]).args(words.iter().copied()).run()
    };
    let disks = "disks = '<provision><disk device=\"0\" size=\"8589934592\" sr=\"\" bootable=\"true\" type=\"system\"/></provision>'";
    let whole = format!("name = 'web'\nmemory = 768\nvcpus = 2\ninstall-args = 'quiet'\n{disks}\n");
    let plan = install(template(&whole), &[]);
    assert_eq!(plan.code(), Some(0), "{plan:?}");
    for line in [
        "\ncommand line  console=ttyS0 quiet\n",
        "\nmachine       pc, 768M of memory, 2 CPUs\n",
        "\ndisk          'web/disk.qcow2' (8G, qcow2), created\n",
    ] {
        assert!(plan.text().contains(line), "{line:?} is not in {plan:?}");
    }
    let plan = install(template(&whole), &["--memory", "512", "--disk", "size=1", "--append", "x"]);
    for line in [
        "\ncommand line  console=ttyS0 x\n",
        "\nmachine       pc, 512M of memory, 2 CPUs\n",
        "\ndisk          'web/disk.qcow2' (1G, qcow2), created\n",
    ] {
        assert!(plan.text().contains(line), "{line:?} is not in {plan:?}");
    }
    for (rest, said) in [
        ("colour = 'red'", "web.toml' is not a template: line 2: unknown field `colour`"),
        ("install-distro = 'debianlike'", "install-distro = \"debianlike\" needs debian-release"),
        (
            "disks = '<provision><disk device=\"0\" size=\"8G\"/></provision>'",
            "size=\"8G\": expected",
        ),
    ] {
        let refused = install(template(rest), &[]);
        assert_eq!(refused.code(), Some(125), "{rest}: {refused:?}");
        assert!(refused.stderr.contains(said), "{rest}: {refused:?}");
    }
    let list = start(["template", "list"]).run();
    assert!(list.text().contains("\ndebian   Debian, "), "{list:?}");
    let shown = start(["template", "show", "debian"]).run();
    assert!(shown.text().contains("\ninstall-distro = \"debianlike\"\n"), "{shown:?}");
}
