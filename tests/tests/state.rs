//! One boot, then the disk: `chukka fetch --state`, `-state` and `chukka restart-install`. An
//! installer boots until its guest has powered off or reset the machine, and its disk boots from
//! then on. Nothing else marks it as installed.

#![expect(clippy::unwrap_used, reason = "this is how a test fails")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use chukka_tests::binaries;
use chukka_tests::native::guest::bzimage;
use chukka_tests::native::{self, Ended, Input, Scratch, Start, start};

const TREE: &str = "current/images/netboot/debian-installer/amd64";

/// A tree of Debian's shape whose kernel does what the script says.
fn tree(scratch: &Scratch, script: &str) -> PathBuf {
    let root = scratch.path("tree");
    fs::create_dir_all(root.join(TREE)).unwrap();
    fs::write(root.join(TREE).join("linux"), bzimage(script)).unwrap();
    fs::write(root.join(TREE).join("initrd.gz"), b"initrd").unwrap();
    root
}

/// A disk, here a directory, with a boot menu and a kernel that says `disk`.
fn disk(scratch: &Scratch) -> PathBuf {
    let root = scratch.path("disk");
    fs::create_dir_all(root.join("boot/extlinux")).unwrap();
    let menu = "default linux\nlabel linux\n  kernel /boot/vmlinuz\n  append root=/dev/vda1 console=ttyS0\n";
    fs::write(root.join("boot/extlinux/extlinux.conf"), menu).unwrap();
    fs::write(root.join("boot/vmlinuz"), bzimage("diskP")).unwrap();
    root
}

/// A state, not yet there.
struct State(PathBuf);

impl State {
    /// One whose installer does what the script says.
    fn made(scratch: &Scratch, script: &str) -> Self {
        let state = Self(scratch.path("state"));
        let ended = state.fetch(&tree(scratch, script)).run();
        assert_eq!(ended.code(), Some(0), "{ended:?}");
        state
    }

    fn fetch(&self, place: &Path) -> Start {
        let start = start(["fetch", "--cache", "off", "--append", "console=ttyS0", "--state"]);
        start.args([&self.0, place])
    }

    fn run(&self, words: &[&str]) -> Start {
        start(["-m", "64M", "-state"]).args([&self.0]).args(words)
    }

    fn with_disk(&self, disk: &Path) -> Start {
        self.run(&["-bootdisk"]).args([disk])
    }

    fn restart(&self) -> Ended {
        start(["restart-install"]).args([&self.0]).run()
    }

    fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&fs::read(self.0.join("install.json")).unwrap()).unwrap()
    }

    #[track_caller]
    fn assert_is(&self, phase: &str) {
        assert_eq!(self.json()["phase"], phase);
    }
}

/// The last thing that was said.
fn last_line(ended: &Ended) -> &str {
    ended.stderr.lines().last().unwrap_or_default()
}

#[test]
fn fetch_makes_a_state_that_says_where_everything_comes_from() {
    let scratch = Scratch::new();
    let (root, state) = (tree(&scratch, "P"), State(scratch.path("some/state")));
    let preseed = scratch.file("my.cfg", b"d-i x");
    let ended = state.fetch(&root).args(["--preseed".as_ref(), preseed.as_path()]).run();
    assert_eq!((ended.code(), ended.stderr.as_str()), (Some(0), ""));
    let shown = state.0.display();
    let args = "console=ttyS0 preseed/file=/my.cfg";
    assert_eq!(
        ended.text(),
        format!("kernel {shown}/kernel\ninitrd {shown}/initrd\nargs {args}\n")
    );
    assert_eq!(fs::read(state.0.join("kernel")).unwrap(), bzimage("P"));
    assert!(fs::read(state.0.join("initrd")).unwrap().starts_with(b"initrd"));
    let json = state.json();
    let told = ["phase", "location", "rule", "command_line"].map(|key| json[key].as_str().unwrap());
    let place = root.to_str().unwrap();
    assert_eq!(told, ["pending", place, "the layout of Debian (as in osinfo, virt-install)", args]);
    assert_eq!(json["kernel"]["from"], format!("{place}/{TREE}/linux"));
    assert_eq!(json["kernel"]["sha256"].as_str().unwrap().len(), 64);
    let mut names: Vec<_> =
        fs::read_dir(&state.0).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["initrd", "install.json", "kernel", "lock"]);
    let there = format!("'{shown}' already has an installer, pending, from {place}");
    state.fetch(&root).refused().says(&there).hints(&format!("chukka restart-install {shown}"));
}

#[test]
fn no_space_leaves_nothing_half_done() {
    let scratch = Scratch::new();
    let (root, state) = (tree(&scratch, "P"), scratch.path("state"));
    fs::write(root.join(TREE).join("initrd.gz"), vec![1; 200_000]).unwrap();
    // 128 KiB for each file, which the kernel has room in, and no signal for what is longer
    // (setrlimit(2)).
    let output = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 256; exec \"$@\"", "sh"])
        .arg(binaries::chukka().unwrap())
        .args(["fetch", "--cache", "off", "--state"])
        .args([&state, &root])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(125), "{said}");
    let error = format!("chukka: Cannot write '{}/initrd': File too large", state.display());
    assert!(said.starts_with(&error) && said.contains("the disk is not full"), "{said}");
    let left: Vec<_> =
        fs::read_dir(&state).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["lock"]);
    // The next one makes it.
    assert_eq!(State(state).fetch(&root).run().code(), Some(0));
}

#[test]
fn one_command_line_installs_and_then_boots_the_disk() {
    if !native::kvm() {
        return;
    }
    for script in ["installP", "installR", "installA"] {
        let scratch = Scratch::new();
        let (state, disk) = (State::made(&scratch, script), disk(&scratch));
        let shown = state.0.display();
        let plan = state.with_disk(&disk).args(["-append", "quiet", "-dry-run"]).run();
        let place = scratch.path("tree");
        let first =
            format!("state         '{shown}', pending: the installer from {}\n", place.display());
        assert!(plan.text().starts_with(&first), "{plan:?}");
        assert!(plan.text().contains("\ncommand line  quiet console=ttyS0\n"), "{plan:?}");
        let ended = state.with_disk(&disk).run();
        assert_eq!((ended.code(), ended.text().as_str()), (Some(0), "install"), "{ended:?}");
        let said =
            format!("chukka: '{shown}' is installed: the same command line boots the disk now");
        assert_eq!(last_line(&ended), said, "{ended:?}");
        assert_eq!(ended.stderr.lines().count(), 2, "{ended:?}");
        state.assert_is("installed");
        for _ in 0..2 {
            let ended = state.with_disk(&disk).run();
            assert_eq!((ended.code(), ended.text().as_str()), (Some(0), "disk"), "{ended:?}");
            assert_eq!(ended.stderr.lines().count(), 1, "{ended:?}");
        }
        let restarted = state.restart();
        assert_eq!(
            (restarted.code(), restarted.text()),
            (Some(0), format!("'{shown}' is pending again\n"))
        );
        assert_eq!(state.with_disk(&disk).run().text(), "install");
    }
}

#[test]
fn firmware_boots_both_too() {
    if !native::kvm() {
        return;
    }
    let scratch = Scratch::new();
    let (state, disk) = (State::made(&scratch, "installR"), disk(&scratch));
    for text in ["install", "disk"] {
        let ended = state.with_disk(&disk).args(["-bios", "builtin"]).run();
        assert_eq!((ended.code(), ended.text().as_str()), (Some(0), text), "{ended:?}");
    }
}

#[test]
fn a_guest_that_fails_leaves_it_pending() {
    if !native::kvm() {
        return;
    }
    for (script, words, status) in [
        ("K", &[][..], 120),
        ("LP", &[], 120),
        ("T", &[], 121),
        ("E", &[], 122),
        ("N", &["-device", "isa-debug-exit,iobase=0xf4"], 0x69),
        ("P", &["-serial", "file:/no/such/directory/file"], 125),
    ] {
        let scratch = Scratch::new();
        let state = State::made(&scratch, script);
        let ended = state.run(words).run();
        assert_eq!(ended.code(), Some(status), "{ended:?}");
        let shown = state.0.display();
        let said = format!(
            "chukka: '{shown}' is still pending: the next run with -state boots the installer again"
        );
        assert_eq!(last_line(&ended), said, "{ended:?}");
        state.assert_is("pending");
    }
}

#[test]
fn a_run_that_is_ended_leaves_it_pending() {
    if !native::kvm() {
        return;
    }
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGKILL] {
        let scratch = Scratch::new();
        let state = State::made(&scratch, "");
        let running = state.run(&[]).start();
        running.wait_for("ready");
        running.signal(signal);
        let ended = running.wait();
        assert_eq!(ended.signal(), Some(signal), "{ended:?}");
        assert_eq!(last_line(&ended).contains("is still pending"), signal != libc::SIGKILL);
        state.assert_is("pending");
    }
    let scratch = Scratch::new();
    let state = State::made(&scratch, "");
    let mut session = state.run(&[]).on_terminal();
    session.wait_for("ready");
    session.type_in(b"\x01x");
    assert_eq!(session.wait().code(), Some(0));
    session.wait_for("is still pending");
    state.assert_is("pending");
    // It can still be installed.
    let mut running = state.run(&[]).input(Input::Pipe).start();
    running.wait_for("ready");
    running.send(b"R");
    let ended = running.wait();
    let shown = state.0.display();
    let next = format!(
        "installed: chukka -state {shown} -bootdisk DISK boots the disk that it was installed on"
    );
    assert!(last_line(&ended).ends_with(&next), "{ended:?}");
    state.assert_is("installed");
}

#[test]
fn one_run_at_a_time() {
    if !native::kvm() {
        return;
    }
    let scratch = Scratch::new();
    let state = State::made(&scratch, "");
    let running = state.run(&[]).start();
    running.wait_for("ready");
    let in_use = format!("'{}' is in use by another chukka", state.0.display());
    for second in [state.run(&[]), start(["restart-install"]).args([&state.0])] {
        second.refused().says(&in_use).hints("wait until it ends");
    }
    assert_eq!(state.run(&["-dry-run"]).run().code(), Some(0));
    running.signal(libc::SIGKILL);
    assert_eq!(running.wait().signal(), Some(libc::SIGKILL));
    assert!(state.restart().text().ends_with("was already pending\n"));
}

#[test]
fn an_end_that_cannot_be_written_down_is_an_error() {
    if !native::kvm() {
        return;
    }
    let scratch = Scratch::new();
    let state = State::made(&scratch, "");
    let mut running = state.run(&[]).input(Input::Pipe).start();
    running.wait_for("ready");
    fs::remove_dir_all(&state.0).unwrap();
    running.send(b"P");
    let ended = running.wait();
    assert_eq!(ended.code(), Some(125), "{ended:?}");
    assert!(ended.stderr.starts_with("chukka: the guest powered off"), "{ended:?}");
    let error = format!("chukka: Cannot write '{}/install.json': ", state.0.display());
    assert!(ended.stderr.contains(&error), "{ended:?}");
    assert!(last_line(&ended).starts_with("hint: check that its directory is "), "{ended:?}");
}

#[test]
fn what_cannot_be_used_is_refused() {
    let scratch = Scratch::new();
    let state = State::made(&scratch, "P");
    let shown = state.0.display();
    for option in ["-kernel", "-initrd", "-location", "-preseed", "-initrd-inject"] {
        let refusal = state.run(&[option, "x"]).refused();
        refusal.says(&format!("-state with {option}")).hints("chukka fetch --state DIR LOCATION");
    }
    state.run(&["-entry", "0"]).refused().says("there is no -bootdisk");
    start(["-state", ""]).refused().says("-state was given an empty path");
    let absent = State(scratch.path("absent"));
    let make = format!("chukka fetch --state {} LOCATION", absent.0.display());
    absent.run(&[]).refused().says("there is no install.json in it").hints(&make);
    start(["restart-install"]).args([&absent.0]).refused().says("no install.json").hints(&make);
    assert!(!absent.0.exists());
    // No place, no state.
    absent.fetch(&scratch.path("nowhere")).refused().says("is not there");
    assert!(!absent.0.exists());

    let json = fs::read_to_string(state.0.join("install.json")).unwrap();
    let put = |text: &str| fs::write(state.0.join("install.json"), text).unwrap();
    put(&json.replace("pending", "installed"));
    let no_disk = state.run(&[]).refused().says("is installed, but no -bootdisk is given");
    no_disk.hints(&format!("-bootdisk DISK, or run chukka restart-install {shown}"));
    put(&json[..json.len() / 2]);
    let again = format!("remove {shown} and create it again");
    for start in [state.run(&[]), start(["restart-install"]).args([&state.0])] {
        start.refused().says("/install.json' is damaged: EOF while parsing").hints(&again);
    }
    put(&json);
    fs::write(state.0.join("kernel"), bzimage("R")).unwrap();
    state.run(&[]).refused().says("/kernel' is damaged: its sha256 is ").hints(&again);
    fs::remove_file(state.0.join("kernel")).unwrap();
    state.run(&[]).refused().says("Cannot read '").hints("check that it exists");
    state.assert_is("pending");
}
