use std::fs;
use std::time::Duration;

use super::super::saved_guest::SavedDisk;
use super::*;

/// A guest with a raw disk that begins with `sector`, in a folder of its own.
struct Folder(std::path::PathBuf);

impl Folder {
    fn new(name: &str, sector: &[u8]) -> Self {
        let path =
            std::env::temp_dir().join(format!("chukka-verdict-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        let mut disk = sector.to_vec();
        disk.resize(1 << 20, 0);
        fs::write(path.join("disk.raw"), disk).unwrap();
        Self(path)
    }

    fn guest() -> SavedGuest {
        let (path, options) = ("disk.raw".into(), "format=raw".into());
        let disk = SavedDisk { path, options, size: 1 << 20, created: true };
        SavedGuest { arguments: Vec::new(), disks: vec![disk], served: None }
    }

    fn verdict(&self, outcome: Outcome, changes: u64, heard: &Heard, no_reboot: bool) -> Verdict {
        let ended = Ended { outcome, changes: Some(changes) };
        let course = Course { limit: Some(Duration::from_secs(5)), no_reboot, only_log: false };
        of_installer(&ended, heard, &Self::guest(), &self.0, course)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

/// A first sector with code and the mark that a BIOS looks for.
fn sector() -> Vec<u8> {
    let mut sector = vec![0; 512];
    sector[0] = 0xf4;
    sector[510..].copy_from_slice(&[0x55, 0xaa]);
    sector
}

#[track_caller]
fn assert_not(verdict: Verdict, said: &str, with: Result<u8, i32>) {
    let Verdict::Not { why, status, .. } = verdict else { panic!("{verdict:?}") };
    assert!(why.contains(said), "{why}");
    assert_eq!(status, with, "{why}");
}

#[test]
fn a_disk_that_was_written_to_and_boots_is_installed() {
    let folder = Folder::new("boots", &sector());
    let heard = Heard::default();
    let verdict = |outcome, no_reboot| folder.verdict(outcome, 1, &heard, no_reboot);
    assert_eq!(verdict(Outcome::PowerOff, false), Verdict::Installed);
    assert_eq!(verdict(Outcome::Reset, false), Verdict::Rebooted);
    assert_eq!(verdict(Outcome::Reset, true), Verdict::Installed);
    assert_not(
        folder.verdict(Outcome::PowerOff, 0, &heard, false),
        "the guest powered off, and wrote nothing to its disk",
        Ok(NOT_INSTALLED),
    );
}

#[test]
fn a_disk_that_does_not_boot_is_not_installed() {
    let mut no_code = sector();
    no_code[0] = 0;
    // A partition is not code.
    no_code[446] = 0x80;
    let mut no_mark = sector();
    no_mark[511] = 0;
    for (name, sector) in [("code", no_code), ("mark", no_mark), ("empty", Vec::new())] {
        let folder = Folder::new(name, &sector);
        for outcome in [Outcome::PowerOff, Outcome::Reset] {
            let verdict = folder.verdict(outcome, 1, &Heard::default(), false);
            assert_not(verdict, "its disk does not boot: it has neither", Ok(NOT_INSTALLED));
        }
    }
}

#[test]
fn another_end_is_not_installed_whatever_is_on_the_disk() {
    let folder = Folder::new("end", &sector());
    for (outcome, status) in [
        (Outcome::Panic("Kernel panic".into()), Ok(120)),
        (Outcome::TripleFault(Box::default()), Ok(121)),
        (Outcome::DebugExit(1), Ok(1)),
        (Outcome::DebugExit(0), Ok(NOT_INSTALLED)),
        (Outcome::Quit, Ok(NOT_INSTALLED)),
        (Outcome::Signal(2), Err(2)),
    ] {
        let said = outcome.to_string().replace("ended by Ctrl", "interrupted by Ctrl");
        let said = said.replace("ended by signal", "interrupted by signal");
        assert_not(folder.verdict(outcome, 9, &Heard::default(), false), &said, status);
    }
    let failure = Some("Installation step failed".into());
    let heard = Heard { failure, ..Heard::default() };
    let verdict = folder.verdict(Outcome::PowerOff, 9, &heard, false);
    assert_not(verdict, "the installer said \"Installation step failed\"", Ok(NOT_INSTALLED));
    let heard = Heard { timed_out: true, ..Heard::default() };
    let verdict = folder.verdict(Outcome::Quit, 9, &heard, false);
    assert_not(verdict, "it had not ended after 5 s (--wait)", Ok(TIMED_OUT));
}

#[test]
fn a_disk_that_boots_on_is_installed_once_it_powers_off_or_asks_for_a_login() {
    let course = Course { limit: None, no_reboot: false, only_log: true };
    let of = |outcome, login| {
        let heard = Heard { login, ..Heard::default() };
        of_disk(&Ended { outcome, changes: Some(0) }, &heard, course)
    };
    assert_eq!(of(Outcome::PowerOff, false), Verdict::Installed);
    assert_eq!(of(Outcome::Quit, true), Verdict::Installed);
    assert_not(of(Outcome::Quit, false), "Ctrl-A x", Ok(NOT_INSTALLED));
    assert_not(of(Outcome::Panic("Kernel panic".into()), true), "panic", Ok(120));
}
