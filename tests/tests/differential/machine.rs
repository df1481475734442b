//! The two machines, started with the same words.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use chukka_tests::native::{self, Collected};
use chukka_tests::{pack, skip, sys};

/// Longest time for QEMU to tell everything; it takes a second or two.
const PATIENCE: Duration = Duration::from_secs(120);
const QEMU: &str = "qemu-system-x86_64";
/// The QEMU that the list is about: Debian 12's. Another one may publish other things.
const VERSION: &str = "QEMU emulator version 7.2.";

/// Whether both can run here. If not, the test has been skipped loudly and returns.
pub fn both_there() -> bool {
    if pack::which(QEMU).is_none() {
        skip(&format!("{QEMU} (package qemu-system-x86) is missing"));
        return false;
    }
    let output = Command::new(QEMU).arg("-version").output().unwrap().stdout;
    if !output.starts_with(VERSION.as_bytes()) {
        let found = String::from_utf8_lossy(&output);
        skip(&format!("the list of differences is for {VERSION}x, not {found}"));
        return false;
    }
    native::kvm()
}

/// Reads what an image has written. `None`: there is more to come.
pub trait Parse<T>: Fn(&[u8]) -> Option<T> {}
impl<T, F: Fn(&[u8]) -> Option<T>> Parse<T> for F {}

/// What a guest of chukka's is told.
pub fn chukka<T>(words: &[String], parse: impl Parse<T>) -> T {
    let ended = native::start(words).run();
    assert_eq!(ended.code(), Some(0), "{words:?}: {}", ended.stderr);
    let told = parse(&ended.stdout);
    told.unwrap_or_else(|| panic!("chukka {words:?} ended early: {}", ended.stderr))
}

/// What a guest of QEMU's is told. It is ended then: not every host's KVM can do the image's last
/// instructions.
pub fn qemu<T>(words: &[String], parse: impl Parse<T>) -> T {
    let mut command = Command::new(QEMU);
    command.args(words).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    sys::die_with_parent_thread(&mut command);
    let mut child = Killed(command.spawn().expect("QEMU starts"));
    let collect = |fd: OwnedFd| Collected::from(File::from(fd));
    let stdout = collect(child.0.stdout.take().expect("it is piped").into());
    let stderr = collect(child.0.stderr.take().expect("it is piped").into());
    let end = Instant::now() + PATIENCE;
    loop {
        // In this order: what an ended QEMU has written is all there.
        let ended = child.0.try_wait().unwrap().is_some() || Instant::now() > end;
        if ended {
            drop(child.0.kill());
            let told = parse(&stdout.finish());
            return told.unwrap_or_else(|| panic!("QEMU {words:?} ended early: {}", stderr.tail()));
        }
        if let Some(told) = parse(&stdout.bytes()) {
            return told;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A process that does not outlive its test.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// The words that both are started with, before those of a case.
pub fn words(machine: &str, rom: &Path) -> Vec<String> {
    let fixed =
        ["-accel", "kvm", "-nodefaults", "-nographic", "-serial", "mon:stdio", "-no-reboot"];
    let mut words: Vec<String> = fixed.map(String::from).to_vec();
    words.extend(["-M".into(), machine.into(), "-bios".into(), rom.display().to_string()]);
    words
}
