//! A lease that the kernel breaks because chukka did not release it in time: the run ends with an
//! error that names the file, not by a signal.
//!
//! The time limit (`/proc/sys/fs/lease-break-time`) is global to the machine, so these tests are
//! alone in their binary and take turns.

#![expect(clippy::unwrap_used, reason = "this is how a test fails")]

use std::fs;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use chukka_tests::native::changing::{CHANGES, Change, Initrd, LONG, Way};
use chukka_tests::native::{self, Chukka, Ended, Input, Scratch, Start};
use chukka_tests::sys::StoppedThread;

const LEASE_BREAK_TIME: &str = "/proc/sys/fs/lease-break-time";

/// While it lives, leases are broken after a second.
struct ShortLeases {
    before: String,
    _turn: MutexGuard<'static, ()>,
}

impl ShortLeases {
    /// `None`: skipped, as this user may not change it.
    fn new() -> Option<Self> {
        static TURN: Mutex<()> = Mutex::new(());
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let before = fs::read_to_string(LEASE_BREAK_TIME).unwrap();
        match fs::write(LEASE_BREAK_TIME, "1") {
            Ok(()) => Some(Self { before, _turn: turn }),
            Err(error) => {
                chukka_tests::skip(&format!("{LEASE_BREAK_TIME} cannot be written to: {error}"));
                None
            }
        }
    }
}

impl Drop for ShortLeases {
    fn drop(&mut self) {
        // Without it the machine is as good as before; nothing here can be done about it.
        let _ = fs::write(LEASE_BREAK_TIME, &self.before);
    }
}

/// The words of chukka's that a run whose file was changed so ends with.
fn assert_told(ended: &Ended, initrd: &Initrd, how: Change) {
    let what = match how {
        Change::Cut => {
            "was truncated while the guest ran: the guest was given 20971520 bytes of it, and it now has 1048576"
        }
        Change::Emptied => {
            "was truncated while the guest ran: the guest was given 20971520 bytes of it, and it now has 3"
        }
        Change::Rewritten => "was written to while the guest ran, before chukka could copy",
    };
    let said = format!("chukka: '{}' {what}", initrd.path.display());
    assert_eq!(ended.code(), Some(125), "{how:?}: {ended:?}");
    assert!(ended.stderr.contains(&said), "{how:?}: {ended:?}");
    assert!(ended.stderr.contains("\nhint: do not write to a file"), "{how:?}: {ended:?}");
}

#[test]
fn by_a_chukka_that_is_stopped_all_along() {
    if !native::kvm() {
        return;
    }
    let Some(_short) = ShortLeases::new() else { return };
    for (way, how) in CHANGES
        .map(|how| (Way::Direct, how))
        .into_iter()
        .chain([(Way::Builtin, Change::Cut), (Way::Builtin, Change::Rewritten)])
    {
        let scratch = Scratch::new();
        let initrd = Initrd::new(&scratch);
        let Some(start) = way.start("") else { return };
        let chukka = start.args(initrd.words()).args(["-smp", "2"]).input(Input::Pipe).start();
        chukka.wait_for("ready");
        assert!(chukka.maps(&initrd.path), "{way:?}");
        chukka.signal(libc::SIGSTOP);
        initrd.change(how);
        chukka.signal(libc::SIGCONT);
        assert_told(&chukka.wait(), &initrd, how);
    }
}

#[test]
fn by_a_chukka_that_was_stopped_and_a_file_that_did_not_change_nothing_is_lost() {
    if !native::kvm() {
        return;
    }
    let Some(_short) = ShortLeases::new() else { return };
    let scratch = Scratch::new();
    let initrd = Initrd::new(&scratch);
    let mut chukka = Start::guest("").args(initrd.words()).input(Input::Pipe).start();
    chukka.wait_for("ready");
    chukka.signal(libc::SIGSTOP);
    drop(fs::File::options().write(true).open(&initrd.path).unwrap());
    chukka.signal(libc::SIGCONT);
    chukka.send(b"=P");
    let ended = chukka.wait();
    assert_eq!(ended.code(), Some(0), "{ended:?}");
    assert_eq!(ended.text(), format!("ready\r\n{}", initrd.sum), "{ended:?}");
}

/// Runs a guest that comes to the initrd's pages for ever, by its own accesses or a device's, has
/// the thread that would copy them stand still, and cuts the file.
fn while_only_the_guest_runs(script: &str) -> (Chukka, Initrd) {
    let scratch = Scratch::new();
    let initrd = Initrd::new(&scratch);
    let chukka = Start::guest(script).args(initrd.words()).start();
    chukka.wait_for("done\r\ndone");
    let stopped = StoppedThread::new(chukka.pid()).unwrap();
    initrd.change(Change::Cut);
    // The guest's CPU has ended, or the device has been to every page once more.
    let before = chukka.printed();
    while chukka.runs_vcpus() && chukka.printed() < before + 3 * "done\r\n".len() {
        thread::sleep(Duration::from_millis(5));
    }
    drop(stopped);
    (chukka, initrd)
}

#[test]
fn by_a_main_thread_that_stands_still_and_the_guest_comes_to_a_page() {
    if !native::kvm() {
        return;
    }
    let Some(_short) = ShortLeases::new() else { return };
    let (chukka, initrd) = while_only_the_guest_runs("I*");
    assert_told(&chukka.wait_within(LONG), &initrd, Change::Cut);
}

#[test]
fn by_a_main_thread_that_stands_still_and_a_device_comes_to_a_page() {
    if !native::kvm() {
        return;
    }
    let Some(_short) = ShortLeases::new() else { return };
    let (chukka, initrd) = while_only_the_guest_runs("U*");
    let ended = chukka.wait_within(LONG);
    assert_told(&ended, &initrd, Change::Cut);
    assert!(
        ended.stderr.contains("a file's page in guest memory can no longer be read"),
        "{ended:?}"
    );
}
