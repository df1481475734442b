use super::*;
use guest_memory::hint::Hint;
use std::ffi::OsString;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::args;

/// A directory of its own, removed at the end.
struct Folder(PathBuf);

impl Folder {
    /// With a state, of a kernel and an initrd that are no such things.
    fn new(phase: Phase, line: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("chukka-state-{}-{count}", std::process::id());
        let folder = Self(std::env::temp_dir().join(name));
        fs::create_dir(&folder.0).unwrap();
        let kept = |name: &str| {
            fs::write(folder.0.join(name), name).unwrap();
            SavedFile { from: name.into(), sha256: sha256(&folder.0.join(name)).unwrap() }
        };
        let record = Record {
            version: VERSION,
            phase,
            location: "http://host/tree".into(),
            rule: ".treeinfo".into(),
            command_line: line.into(),
            kernel: kept("kernel"),
            initrd: Some(kept("initrd")),
            failure: None,
            guest: None,
        };
        let directory = folder.0.clone();
        InstallState { directory, record, has_disk: false, _lock: None }.write().unwrap();
        folder
    }

    fn request(&self, words: &[&str]) -> Request {
        let words = ["-state", self.0.to_str().unwrap()].into_iter().chain(words.iter().copied());
        match args::parse(words.map(OsString::from)) {
            Ok(args::Invocation::Boot(request)) => *request,
            other => panic!("{other:?}"),
        }
    }

    fn phase(&self) -> Phase {
        InstallState::load(&self.0).unwrap().record.phase
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

fn panicked() -> Outcome {
    Outcome::Panic("Kernel panic".into())
}

#[test]
fn an_installer_ends_with_the_guest_s_reset_and_has_its_own_words_behind_the_user_s() {
    for (append, whole) in [
        ("", "console=ttyS0 file=/p  --- quiet"),
        ("debug", "debug console=ttyS0 file=/p --- quiet"),
        ("console=tty0 --- x", "console=tty0 file=/p quiet --- x"),
    ] {
        let folder = Folder::new(Phase::Pending, "console=ttyS0 file=/p  --- quiet");
        let request = folder.request(&["-append", append, "-bootdisk", "D", "-entry", "1"]);
        let (request, state) = begin(request).unwrap();
        state.unwrap();
        let boot = request.boot.unwrap();
        assert_eq!(String::from_utf8(boot.cmdline).unwrap(), whole);
        let local = |name: &str| Place::Local(folder.0.join(name));
        let (kernel, initrd) = (local("kernel"), Some(local("initrd")));
        assert_eq!(boot.files, BootFiles::Named { kernel, initrd });
        assert_eq!(request.vm.on_reset, OnReset::Exit);
    }
}

#[test]
fn only_a_guest_that_ends_by_itself_is_installed() {
    for (outcome, phase) in [
        (Some(Outcome::PowerOff), Phase::Installed),
        (Some(Outcome::Reset), Phase::Installed),
        (Some(panicked()), Phase::Pending),
        (Some(Outcome::TripleFault(Box::default())), Phase::Pending),
        (Some(Outcome::DebugExit(1)), Phase::Pending),
        (Some(Outcome::Quit), Phase::Pending),
        (Some(Outcome::Signal(15)), Phase::Pending),
        (None, Phase::Pending),
    ] {
        let folder = Folder::new(Phase::Pending, "");
        let state = begin(folder.request(&[])).unwrap().1.unwrap();
        assert_eq!(folder.phase(), Phase::Pending, "before the end nothing is written");
        let ended = outcome.map(|outcome| Ended { outcome, changes: Some(1) });
        let said = state.finish(ended.as_ref()).unwrap().unwrap();
        assert_eq!(folder.phase(), phase, "{ended:?}");
        let is = if phase == Phase::Pending { "is still pending: " } else { "is installed: " };
        assert!(said.contains(is), "{said}");
    }
}

#[test]
fn a_guest_that_wrote_nothing_to_its_disk_has_installed_nothing() {
    for (changes, phase) in [
        (Some(0), Phase::Pending),
        (Some(1), Phase::Installed),
        // It has no disk that keeps anything.
        (None, Phase::Installed),
    ] {
        let folder = Folder::new(Phase::Pending, "");
        let state = begin(folder.request(&[])).unwrap().1.unwrap();
        let said = state.finish(Some(&Ended { outcome: Outcome::PowerOff, changes })).unwrap();
        let said = said.unwrap();
        assert_eq!(folder.phase(), phase, "{said}");
        let because = "is still pending, as the guest wrote nothing to its disk";
        assert_eq!(said.contains(because), phase == Phase::Pending, "{said}");
    }
}

#[test]
fn what_is_installed_boots_its_disk_however_that_ends() {
    let folder = Folder::new(Phase::Installed, "x");
    let request = folder.request(&["-bootdisk", "D", "-append", "y"]);
    let (after, state) = begin(request.clone()).unwrap();
    let state = state.unwrap();
    assert_eq!(after, request);
    assert_eq!(state.finish(Some(&Ended { outcome: panicked(), changes: None })).unwrap(), None);
    assert_eq!(folder.phase(), Phase::Installed);
    let error = begin(folder.request(&[])).unwrap_err();
    assert!(matches!(error, StateError::NoDisk { .. }), "{error}");
    assert_eq!(restart(&folder.0).unwrap(), Phase::Installed);
    assert_eq!(restart(&folder.0).unwrap(), Phase::Pending);
    begin(folder.request(&[])).unwrap().1.unwrap();
}

#[test]
fn one_chukka_at_a_time() {
    let folder = Folder::new(Phase::Pending, "");
    let state = begin(folder.request(&[])).unwrap();
    for error in [
        begin(folder.request(&[])).map(drop).unwrap_err(),
        restart(&folder.0).map(drop).unwrap_err(),
    ] {
        assert!(matches!(error, StateError::InUse { .. }), "{error}");
    }
    // Only looking is allowed.
    let said = look(folder.request(&[])).unwrap().1.unwrap();
    assert!(said.ends_with("', pending: the installer from http://host/tree"), "{said}");
    drop(state);
    begin(folder.request(&[])).unwrap();
}

#[test]
fn what_is_damaged_is_told() {
    let why = |content: &[u8]| {
        let folder = Folder::new(Phase::Pending, "");
        fs::write(folder.0.join(RECORD), content).unwrap();
        let error = begin(folder.request(&[])).unwrap_err();
        assert!(error.hint().unwrap().starts_with("remove "), "{error}");
        assert!(matches!(check_vacant(&folder.0), Err(StateError::Damaged { .. })));
        error.to_string()
    };
    let folder = Folder::new(Phase::Pending, "its words");
    let whole = fs::read_to_string(folder.0.join(RECORD)).unwrap();
    for end in 0..whole.trim_end().len() {
        assert!(why(&whole.as_bytes()[..end]).contains("/install.json' is damaged: "), "{end}");
    }
    let with = |from: &str, to: &str| why(whole.replace(from, to).as_bytes());
    assert!(with("\"version\": 1", "\"version\": 2").ends_with("its version is 2, not 1"));
    assert!(with("pending", "begun").contains("unknown variant `begun`"));
    assert!(with("its words", "\\u0000").ends_with("contains a NUL"));
    assert!(why(&vec![b' '; 1 << 21]).contains("not a file of up to 1048576 bytes"));
    assert!(why(b"\xff\xfe").contains("damaged"));
    fs::write(folder.0.join("initrd"), "other").unwrap();
    let error = begin(folder.request(&[])).unwrap_err().to_string();
    assert!(error.contains("/initrd' is damaged: its sha256 is "), "{error}");
}

#[test]
fn where_there_is_no_state_nothing_is_written() {
    let folder = Folder::new(Phase::Pending, "");
    fs::remove_file(folder.0.join(RECORD)).unwrap();
    check_vacant(&folder.0).unwrap();
    let error = begin(folder.request(&[])).unwrap_err();
    assert!(matches!(error, StateError::Absent { .. }), "{error}");
    assert!(!folder.0.join(LOCK).exists());
}

#[test]
fn a_failed_write_leaves_the_state_unchanged() {
    let folder = Folder::new(Phase::Pending, "");
    let mut state = InstallState::open(&folder.0).unwrap();
    state.set_failure("it panicked").unwrap();
    let whole = fs::read(folder.0.join(RECORD)).unwrap();
    let aside = folder.0.with_extension("aside");
    fs::rename(&folder.0, &aside).unwrap();
    let failed =
        [state.set_phase(Phase::Installed), state.set_failure("it hangs"), state.forget_failure()];
    fs::rename(&aside, &folder.0).unwrap();
    for result in failed {
        assert!(matches!(result, Err(StateError::Write { .. })), "{result:?}");
    }
    assert_eq!((state.phase(), state.failure()), (Phase::Pending, Some("it panicked")));
    assert_eq!(fs::read(folder.0.join(RECORD)).unwrap(), whole);
    state.set_phase(Phase::Installed).unwrap();
    assert_eq!((state.phase(), state.failure()), (Phase::Installed, None));
}
