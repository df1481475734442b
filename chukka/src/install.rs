//! An unattended installation from an install tree to a disk that boots: what `chukka install`
//! does.
//!
//! The installer's kernel is booted first. If it resets the machine, the disk is booted, as a
//! machine would do it. Nothing is called installed unless the guest ended by itself, wrote to its
//! disk, and left something there that boots: [`verdict`].
//!
//! | module | what it owns |
//! |---|---|
//! | [`needs`] | memory, CPUs and disk by installer |
//! | [`media`] | `--disk` |
//! | [`template`] | `--template`: a file with what the options say |
//! | [`provision`] | the disks of XCP's templates |
//! | [`words`] | what installers and installed systems print |
//! | [`watch`] | the console's log: its last line, known words, the time limit |
//! | [`verdict`] | whether the disk boots, and so whether the installation has succeeded |
//! | [`saved_guest`] | the guest, as it is recorded for `chukka start` |

pub mod media;
pub mod needs;
pub mod provision;
pub mod saved_guest;
pub mod template;
pub mod verdict;
pub mod watch;
pub mod words;

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use guest_memory::hint::Hint;
use location::Place;
use vmm::config::{CharBackend, CharFile, OnReset};
use vmm::host::signals::Signals;
use vmm::outcome::Outcome;

use crate::args::ArgsError;
use crate::bootdisk;
use crate::error::RunError;
use crate::guest::{self, Ended};
use crate::install_state::{InstallState, Phase, StateError};
use crate::location_server;
use crate::report;
use crate::request::{Confinement, Request};
use crate::run_report::RunReport;
use saved_guest::SavedGuest;
use verdict::Verdict;
use watch::{Heard, Watch};

/// The exit status of an installation whose guest ended in an orderly way, but is not installed.
pub const NOT_INSTALLED: u8 = 123;
/// That of one that had not ended in time, as of [`Outcome::TimeOut`].
const TIMED_OUT: u8 = 124;
/// The file in the state's directory with what the guest printed on its first serial port.
pub const LOG: &str = "console.log";

/// How an installation is run.
#[derive(Clone, Copy, Debug)]
pub struct Course {
    /// How long it may take in all; `None`: as long as it likes.
    pub limit: Option<Duration>,
    /// Whether the installer's reset ends it, instead of booting the disk.
    pub no_reboot: bool,
    /// Whether the console goes only into the log.
    pub only_log: bool,
}

/// How an installation ended.
#[derive(Debug)]
pub struct Result {
    /// One sentence.
    pub message: String,
    /// What the user can do about it.
    pub hint: Option<String>,
    /// The exit status; `None`: chukka dies of the signal.
    pub status: std::result::Result<u8, i32>,
}

/// Runs the installer of `state`, then its disk if the installer reboots, and records the result.
///
/// # Errors
/// A guest cannot be started, or the phase cannot be written.
pub fn run(state: &mut InstallState, guest: &SavedGuest, course: Course) -> Fallible<Result> {
    let began = Instant::now();
    let log = state.directory().join(LOG);
    File::create(&log).map_err(|source| StateError::Write { path: log.clone(), source })?;
    state.forget_failure()?;
    let watch = Watch::new(&log, began, course);
    if state.phase() == Phase::Pending {
        let request = installer(state, guest, course)?;
        let (ended, heard) = one_boot(&request, &watch, watch::Stage::Installer)?;
        let verdict = verdict::of_installer(&ended, &heard, guest, state.directory(), course);
        match verdict {
            Verdict::Installed => state.set_phase(Phase::Installed)?,
            Verdict::Rebooted => state.set_phase(Phase::Rebooted)?,
            Verdict::Not { .. } => {}
        }
        if let Verdict::Rebooted = verdict {
            report::message("the installer has reset the machine: its disk boots now", None);
        } else {
            return Ok(told(verdict, state, began));
        }
    }
    let request = disk(state.directory(), guest, course, false, &[])?;
    let (ended, heard) = one_boot(&request, &watch, watch::Stage::Disk)?;
    let verdict = verdict::of_disk(&ended, &heard, course);
    if let Verdict::Installed = verdict {
        state.set_phase(Phase::Installed)?;
    }
    Ok(told(verdict, state, began))
}

/// The errors of chukka, not of the guest.
pub type Fallible<T> = std::result::Result<T, RunError>;

/// Runs a guest while its console is watched.
fn one_boot(request: &Request, watch: &Watch, stage: watch::Stage) -> Fallible<(Ended, Heard)> {
    let mut watching = None;
    let ended = guest::run(request, &mut RunReport::default(), |remote| {
        // The thread that watches must not take a signal: it is the run that ends by one.
        let signals = Signals::listen();
        watching = Some((watch.start(stage, remote), signals));
    });
    let heard = watching.map(|(watching, _)| watching.finish()).unwrap_or_default();
    let mut ended = ended?;
    // The disk tells whether a silent installer has done its work.
    if let Outcome::Mute(own) = ended.outcome {
        ended.outcome = *own;
    }
    Ok((ended, heard))
}

/// What boots the installer.
fn installer(state: &InstallState, guest: &SavedGuest, course: Course) -> Fallible<Request> {
    let mut boot = state.installer(&[])?;
    boot.served = guest.served.clone().map(Place::Local);
    let request = guest.request(state.directory(), &[], Some(boot))?;
    let mut request = with_log(location_server::attach(request), state.directory(), course);
    request.vm.on_reset = OnReset::Exit;
    request.confinement = Confinement::BeforeAnother;
    Ok(request)
}

/// What boots the disk: by firmware, or directly by its boot menu. `words` are further options of
/// the user.
///
/// # Errors
/// A word is wrong.
pub fn disk(
    directory: &Path,
    guest: &SavedGuest,
    course: Course,
    directly: bool,
    words: &[std::ffi::OsString],
) -> Fallible<Request> {
    let mut all = words.to_vec();
    if let (true, Some(disk)) = (directly, guest.disks.first()) {
        all.extend(["-bootdisk".into(), disk.path_in(directory).into()]);
    }
    let request = bootdisk::attach(guest.request(directory, &all, None)?);
    if request.vm.serial[0].as_ref().is_some_and(|port| port.log.is_some()) {
        let why = format!("the log of COM1 is '{}'", directory.join(LOG).display());
        return Err(ArgsError::unsupported("logfile=", why, "leave logfile= out").into());
    }
    Ok(with_log(request, directory, course))
}

fn with_log(mut request: Request, directory: &Path, course: Course) -> Request {
    if course.only_log {
        request.vm.serial[0] = Some(CharBackend::Null.into());
    }
    if let Some(port) = &mut request.vm.serial[0] {
        port.log = Some(CharFile { path: directory.join(LOG), append: true });
    }
    request.installs_in = Some(directory.to_owned());
    request
}

/// A verdict in words. Records why there is no installation.
fn told(verdict: Verdict, state: &mut InstallState, began: Instant) -> Result {
    if let Verdict::Not { why, .. } = &verdict {
        // The user has to hear the reason, whatever becomes of the record.
        if let Err(error) = state.set_failure(why) {
            report::message(&report::with_sources(&error), error.hint().as_deref());
        }
    }
    let directory = state.directory();
    let (shown, elapsed) = (directory.display(), began.elapsed().as_secs_f64());
    match verdict {
        Verdict::Installed => Result {
            message: format!(
                "installed (after {elapsed:.1} s): chukka start {shown} boots the disk"
            ),
            hint: None,
            status: Ok(0),
        },
        Verdict::Rebooted => Result {
            message: format!(
                "not finished (after {elapsed:.1} s): chukka start {shown} goes on with it"
            ),
            hint: None,
            status: Ok(NOT_INSTALLED),
        },
        Verdict::Not { why, status, advice } => Result {
            message: format!("not installed: {why} (after {elapsed:.1} s)"),
            hint: Some(format!(
                "{}{}{} has the console's output; chukka install --restart-install --state {shown} starts over",
                advice.unwrap_or_default(),
                if advice.is_some() { "; " } else { "" },
                directory.join(LOG).display()
            )),
            status,
        },
    }
}

/// Prints a result and returns the process' exit status.
///
/// # Errors
/// The signal to die of.
pub fn report(result: &Result) -> std::result::Result<u8, i32> {
    if result.status.is_err() {
        report::hurry();
    }
    report::last_message(&result.message, result.hint.as_deref());
    result.status
}

/// Makes the disks that are not there.
///
/// # Errors
/// One cannot be created: those that were are removed again.
pub fn create_disks(directory: &Path, guest: &SavedGuest) -> Fallible<Vec<PathBuf>> {
    let mut made = Vec::new();
    for disk in guest.disks.iter().filter(|disk| disk.created) {
        let path = disk.path_in(directory);
        let done = storage::disk::create(&path, disk.format(), disk.size);
        if let Err(error) = done {
            remove(&made);
            return Err(error.into());
        }
        made.push(path);
    }
    Ok(made)
}

/// Removes files that this process made.
pub fn remove(files: &[PathBuf]) {
    for file in files {
        let _ = fs::remove_file(file);
    }
}

/// Makes everything begin again: the disks that chukka created are empty, the next run boots the
/// installer.
///
/// # Errors
/// A disk cannot be made, or the phase cannot be written.
pub fn restart(state: &mut InstallState, guest: &SavedGuest) -> Fallible<()> {
    // First, so that whatever comes next, nothing half-done is called installed.
    state.set_phase(Phase::Pending)?;
    for disk in guest.disks.iter().filter(|disk| disk.created) {
        let path = disk.path_in(state.directory());
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(StateError::Write { path, source: error }.into());
            }
            _ => {}
        }
    }
    create_disks(state.directory(), guest).map(drop)
}

/// Ends the process' line of progress on a terminal.
fn clear_line() {
    let _ = write!(io::stderr(), "\r\x1b[K");
}

/// The words of an error, with those of its causes, and its hint.
#[must_use]
pub fn refusal(error: &RunError) -> (String, Option<String>) {
    (report::with_sources(error), error.hint().map(Into::into))
}

/// Whether the guest ended by itself, in an orderly way.
fn is_own_end(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::PowerOff | Outcome::Reset)
}
