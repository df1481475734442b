//! One boot, then the disk (`-state`): a directory with an installer that is booted until it has
//! finished; from then on the disk is booted that it wrote to. `chukka fetch --state` makes it,
//! `chukka restart-install` has it begin again.
//!
//! It holds `kernel`, `initrd`, and `install.json`, which says what they are and how far things
//! are, and is only ever replaced as a whole: whatever ends chukka, the phase is the one before or
//! the one after. `lock` is for one chukka at a time.

use std::borrow::Cow;
use std::fmt;
use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Write};
use std::mem;
use std::path::{Path, PathBuf};

use firmware::SourceFile;
use location::fetch::Settings;
use location::{Place, arguments, checksum};
use serde::{Deserialize, Serialize};
use storage::LocalFile;
use thiserror::Error;

use crate::guest::Ended;
use crate::install::saved_guest::SavedGuest;
use crate::request::{BootFiles, BootSource, Request};
use crate::resolve::Resolved;
use crate::whole_file;
use guest_memory::hint::Hint;
use vmm::config::{OnReset, VmConfig};
use vmm::outcome::Outcome;

/// The file with the [`Record`].
const RECORD: &str = "install.json";
/// The file that is locked.
const LOCK: &str = "lock";
/// The form of the [`Record`] that this chukka reads and writes.
const VERSION: u32 = 1;
/// Most bytes of a [`Record`]; a kernel's command line has a few thousand at most.
const RECORD_LIMIT: u64 = 1 << 20;

/// How far things are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// The next run boots the installer.
    Pending,
    /// The installer has reset the machine, and what is on the disk is to finish: the next run
    /// boots the disk. Only [`crate::install`] makes this difference.
    Rebooted,
    /// The installer has finished: the next run boots the disk.
    Installed,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pending => "pending",
            Self::Rebooted => "rebooted",
            Self::Installed => "installed",
        })
    }
}

/// What `install.json` says.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    version: u32,
    phase: Phase,
    /// Where kernel and initrd come from, for people.
    location: String,
    /// By which rule they were found there, for people.
    rule: String,
    /// The kernel's whole command line.
    command_line: String,
    kernel: SavedFile,
    initrd: Option<SavedFile>,
    /// The guest that `chukka install` installs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    guest: Option<SavedGuest>,
    /// Why the last run of `chukka install` installed nothing; absent if it was killed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    failure: Option<String>,
}

/// A file in the directory.
#[derive(Debug, Serialize, Deserialize)]
struct SavedFile {
    /// What it was called where it comes from, for people.
    from: String,
    /// Its sum, in hexadecimal digits.
    sha256: String,
}

/// The state of an installation.
#[derive(Debug)]
pub struct InstallState {
    directory: PathBuf,
    record: Record,
    /// Whether the run has a disk to boot.
    has_disk: bool,
    /// Held until the end.
    _lock: Option<File>,
}

/// Begins a run: if `request` has a state, locks it and has what its phase says booted.
///
/// # Errors
/// The state cannot be used.
pub fn begin(request: Request) -> Result<(Request, Option<InstallState>), StateError> {
    let Some(config) = &request.state else { return Ok((request, None)) };
    let mut state = InstallState::locked(&config.directory)?;
    Ok((state.apply(request)?, Some(state)))
}

/// The same for a dry run, with a description of the state.
///
/// # Errors
/// The state cannot be used.
pub fn look(request: Request) -> Result<(Request, Option<String>), StateError> {
    let Some(config) = &request.state else { return Ok((request, None)) };
    let directory = config.directory.clone();
    let mut state = InstallState::load(&directory)?;
    let request = state.apply(request)?;
    let phase = match state.record.phase {
        Phase::Pending => format!("pending: the installer from {}", state.record.location),
        Phase::Rebooted => "rebooted: the disk".to_owned(),
        Phase::Installed => "installed: the disk".to_owned(),
    };
    Ok((request, Some(format!("'{}', {phase}", directory.display()))))
}

/// Checks that a directory has no state yet, nor is anything but a directory.
///
/// # Errors
/// It has.
pub fn check_vacant(directory: &Path) -> Result<(), StateError> {
    match InstallState::load(directory) {
        Err(StateError::Absent { .. }) => Ok(()),
        Err(error) => Err(error),
        Ok(state) => Err(StateError::Taken {
            directory: directory.to_owned(),
            phase: state.record.phase,
            location: state.record.location,
        }),
    }
}

/// Makes a state of what was resolved, for `guest` if it is given.
///
/// # Errors
/// There is one already, or it cannot be written.
pub fn keep(
    directory: &Path,
    resolved: &Resolved,
    guest: Option<SavedGuest>,
) -> Result<InstallState, StateError> {
    let written = |source| StateError::Write { path: directory.to_owned(), source };
    let Ok(command_line) = String::from_utf8(resolved.boot.cmdline.clone()) else {
        return Err(StateError::CommandLine);
    };
    fs::create_dir_all(directory).map_err(written)?;
    let lock = lock(directory)?;
    check_vacant(directory)?;
    let made = make(directory, resolved, command_line, guest, lock);
    if made.is_err() {
        for name in ["kernel", "initrd"] {
            let _ = fs::remove_file(directory.join(name));
        }
    }
    made
}

fn make(
    directory: &Path,
    resolved: &Resolved,
    command_line: String,
    guest: Option<SavedGuest>,
    lock: File,
) -> Result<InstallState, StateError> {
    let kernel = &resolved.boot.kernel.source;
    let kernel = saved(directory, "kernel", kernel, resolved.kernel_is_private)?;
    let initrd = resolved.boot.initrd.as_ref();
    let initrd = initrd.map(|file| saved(directory, "initrd", file, resolved.initrd_is_private));
    let initrd = initrd.transpose()?;
    let found = resolved.found.as_ref();
    let (location, rule) =
        found.map_or_else(Default::default, |found| (found.place.clone(), found.rule.clone()));
    let (version, phase) = (VERSION, Phase::Pending);
    let failure = None;
    let record =
        Record { version, phase, location, rule, command_line, kernel, initrd, guest, failure };
    let directory = directory.to_owned();
    let state = InstallState { directory, record, has_disk: false, _lock: Some(lock) };
    state.write()?;
    Ok(state)
}

/// Makes a state pending again. Says which it was.
///
/// # Errors
/// There is none, or it cannot be written.
pub fn restart(directory: &Path) -> Result<Phase, StateError> {
    let mut state = InstallState::locked(directory)?;
    let before = state.record.phase;
    state.set_phase(Phase::Pending)?;
    Ok(before)
}

impl InstallState {
    /// Opens and locks the one in `directory`.
    ///
    /// # Errors
    /// There is none, it is damaged, or another chukka has it.
    pub fn open(directory: &Path) -> Result<Self, StateError> {
        Self::locked(directory)
    }

    /// Where it is.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// How far things are.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.record.phase
    }

    /// The guest that `chukka install` installs; `None`: the state was made by `chukka fetch`.
    #[must_use]
    pub fn guest(&self) -> Option<&SavedGuest> {
        self.record.guest.as_ref()
    }

    /// Records how far things are.
    ///
    /// # Errors
    /// It cannot be written: phase and failure are the ones before.
    pub fn set_phase(&mut self, phase: Phase) -> Result<(), StateError> {
        self.change(phase, None)
    }

    /// Why the last run installed nothing, if that is known.
    #[must_use]
    pub fn failure(&self) -> Option<&str> {
        self.record.failure.as_deref()
    }

    /// Records why a run has installed nothing.
    ///
    /// # Errors
    /// It cannot be written: the failure is the one before.
    pub fn set_failure(&mut self, why: &str) -> Result<(), StateError> {
        self.change(self.record.phase, Some(why.to_owned()))
    }

    /// Clears the recorded failure at the start of a run, which may end without recording one.
    ///
    /// # Errors
    /// It cannot be written: the failure is the one before.
    pub fn forget_failure(&mut self) -> Result<(), StateError> {
        match self.record.failure {
            Some(_) => self.change(self.record.phase, None),
            None => Ok(()),
        }
    }

    /// Kernel and initrd.
    #[must_use]
    pub fn files(&self) -> (PathBuf, Option<PathBuf>) {
        let initrd = self.record.initrd.as_ref().map(|_| self.directory.join("initrd"));
        (self.directory.join("kernel"), initrd)
    }

    fn locked(directory: &Path) -> Result<Self, StateError> {
        // A directory without a state gets no lock.
        Self::load(directory)?;
        let lock = lock(directory)?;
        Ok(Self { _lock: Some(lock), ..Self::load(directory)? })
    }

    fn load(directory: &Path) -> Result<Self, StateError> {
        let path = directory.join(RECORD);
        let damaged = |why: String| StateError::Damaged { path: path.clone(), why };
        let text = match read(&path) {
            Ok(Some(text)) => text,
            Ok(None) => {
                return Err(damaged(format!("it is not a file of up to {RECORD_LIMIT} bytes")));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(StateError::Absent { directory: directory.to_owned() });
            }
            Err(source) => return Err(StateError::Read { path, source }),
        };
        let record: Record =
            serde_json::from_slice(&text).map_err(|error| damaged(error.to_string()))?;
        if record.version != VERSION {
            return Err(damaged(format!("its version is {}, not {VERSION}", record.version)));
        }
        if record.command_line.contains('\0') {
            return Err(damaged("its command line contains a NUL".to_owned()));
        }
        Ok(Self { directory: directory.to_owned(), record, has_disk: false, _lock: None })
    }

    /// Makes `request` boot what the phase says.
    fn apply(&mut self, request: Request) -> Result<Request, StateError> {
        self.has_disk = request.boot.is_some();
        match self.record.phase {
            Phase::Rebooted | Phase::Installed if self.has_disk => Ok(request),
            Phase::Rebooted | Phase::Installed => {
                Err(StateError::NoDisk { directory: self.directory.clone() })
            }
            Phase::Pending => {
                let append = request.state.as_ref().map(|state| state.append.as_slice());
                let boot = Some(self.installer(append.unwrap_or_default())?);
                let vm = VmConfig { on_reset: OnReset::Exit, ..request.vm };
                Ok(Request { vm, boot, ..request })
            }
        }
    }

    /// The installer, with the user's words in front of its own.
    ///
    /// # Errors
    /// Its files are not what was put there.
    pub fn installer(&self, append: &[u8]) -> Result<BootSource, StateError> {
        let (kernel, initrd) = self.files();
        check(&kernel, &self.record.kernel)?;
        if let (Some(path), Some(saved)) = (&initrd, &self.record.initrd) {
            check(path, saved)?;
        }
        let line = &self.record.command_line;
        let cmdline = if append.trim_ascii().is_empty() {
            line.clone().into_bytes()
        } else {
            let words: Vec<_> = line.split_ascii_whitespace().map(str::to_owned).collect();
            arguments::command_line(append, &words)
        };
        let (kernel, initrd) = (Place::Local(kernel), initrd.map(Place::Local));
        Ok(BootSource {
            files: BootFiles::Named { kernel, initrd },
            injections: Vec::new(),
            answers_at: Vec::new(),
            solaris_answers: None,
            served_at: None,
            served: None,
            location_args: true,
            cmdline,
            fetch: Settings::default(),
            checksums: Vec::new(),
        })
    }

    /// Ends a run: an installer whose guest has switched itself off, or reset the machine, has
    /// finished, if it wrote to a disk. Says so, or that nothing has changed, where the installer
    /// ran; `ended` is `None` where chukka failed.
    ///
    /// # Errors
    /// The phase cannot be written: it is the one before.
    pub fn finish(mut self, ended: Option<&Ended>) -> Result<Option<String>, StateError> {
        let shown = self.directory.display().to_string();
        if self.record.phase != Phase::Pending {
            return Ok(None);
        }
        let by_itself =
            ended.filter(|ended| matches!(ended.outcome, Outcome::PowerOff | Outcome::Reset));
        let Some(Ended { changes, .. }) = by_itself else {
            let again = "the next run with -state boots the installer again";
            return Ok(Some(format!("'{shown}' is still pending: {again}")));
        };
        if *changes == Some(0) {
            let again = "the next run with -state boots the installer again";
            let why = "the guest wrote nothing to its disk";
            return Ok(Some(format!("'{shown}' is still pending, as {why}: {again}")));
        }
        self.set_phase(Phase::Installed)?;
        let next = if self.has_disk {
            "the same command line boots the disk now".to_owned()
        } else {
            format!("chukka -state {shown} -bootdisk DISK boots the disk that it was installed on")
        };
        Ok(Some(format!("'{shown}' is installed: {next}")))
    }

    /// Records how far things are and why the last run failed. If that cannot be written, both are
    /// as before, as they are in the directory.
    fn change(&mut self, phase: Phase, failure: Option<String>) -> Result<(), StateError> {
        let Record { phase: old_phase, failure: old_failure, .. } = &mut self.record;
        let before = (mem::replace(old_phase, phase), mem::replace(old_failure, failure));
        self.write().inspect_err(|_| (self.record.phase, self.record.failure) = before)
    }

    /// Only the user can read it: the command line may have passwords in it.
    fn write(&self) -> Result<(), StateError> {
        let path = self.directory.join(RECORD);
        let written = serde_json::to_string_pretty(&self.record).map_err(io::Error::from);
        let written =
            written.and_then(|text| whole_file::write(&path, true, |to| writeln!(to, "{text}")));
        written.map_err(|source| StateError::Write { path, source })
    }
}

/// What a record has; `None`: no record can be like that.
fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    if !fs::metadata(path)?.is_file() {
        return Ok(None);
    }
    let mut text = Vec::new();
    File::open(path)?.take(RECORD_LIMIT + 1).read_to_end(&mut text)?;
    Ok((text.len() as u64 <= RECORD_LIMIT).then_some(text))
}

/// Copies a file into the directory.
fn saved(
    directory: &Path,
    name: &str,
    file: &SourceFile,
    is_secret: bool,
) -> Result<SavedFile, StateError> {
    let path = directory.join(name);
    let copied = whole_file::copy(file.file(), &path, is_secret).and_then(|()| sha256(&path));
    let sha256 = copied.map_err(|source| StateError::Write { path, source })?;
    Ok(SavedFile { from: file.path().display().to_string(), sha256 })
}

/// Checks that a file is what was put there.
fn check(path: &Path, saved: &SavedFile) -> Result<(), StateError> {
    let found =
        sha256(path).map_err(|source| StateError::Read { path: path.to_owned(), source })?;
    if found == saved.sha256 {
        return Ok(());
    }
    let why = format!("its sha256 is {found}, {RECORD} has {}", saved.sha256);
    Err(StateError::Damaged { path: path.to_owned(), why })
}

fn sha256(path: &Path) -> io::Result<String> {
    checksum::sha256(&LocalFile::new(File::open(path)?, path.display().to_string())?)
}

fn lock(directory: &Path) -> Result<File, StateError> {
    let path = directory.join(LOCK);
    let file = File::options().write(true).create(true).truncate(false).open(&path);
    let file = file.map_err(|source| StateError::Write { path: path.clone(), source })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StateError::InUse { directory: directory.to_owned() }),
        Err(TryLockError::Error(source)) => Err(StateError::Write { path, source }),
    }
}

/// Why a state cannot be used.
#[derive(Debug, Error)]
pub enum StateError {
    /// There is none.
    #[error("'{}' has no saved installer: there is no {RECORD} in it", directory.display())]
    Absent {
        /// Where.
        directory: PathBuf,
    },
    /// There is one already.
    #[error("'{}' already has an installer, {phase}, from {location}", directory.display())]
    Taken {
        /// Where.
        directory: PathBuf,
        /// How far it is.
        phase: Phase,
        /// Where it comes from.
        location: String,
    },
    /// Another chukka has it.
    #[error("'{}' is in use by another chukka", directory.display())]
    InUse {
        /// Where.
        directory: PathBuf,
    },
    /// It is installed, and there is no disk to boot.
    #[error("'{}' is installed, but no -bootdisk is given", directory.display())]
    NoDisk {
        /// Where.
        directory: PathBuf,
    },
    /// A file in it is not what was put there.
    #[error("'{}' is damaged: {why}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// A file in it cannot be read.
    #[error("Cannot read '{}'", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file in it cannot be written.
    #[error("Cannot write '{}'", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The command line is not text.
    #[error("The command line cannot be saved: it is not UTF-8")]
    CommandLine,
}

impl Hint for StateError {
    fn hint(&self) -> Option<Cow<'_, str>> {
        let hint: String = match self {
            Self::Absent { directory } => {
                format!("create it: chukka fetch --state {} LOCATION", directory.display())
            }
            Self::Taken { directory, .. } => {
                let shown = directory.display();
                format!(
                    "chukka restart-install {shown} boots it again; remove {shown} to save another one there"
                )
            }
            Self::InUse { .. } => "wait until it ends, or end it".into(),
            Self::NoDisk { directory } => {
                let shown = directory.display();
                format!(
                    "add -bootdisk DISK, or run chukka restart-install {shown} to boot the installer again"
                )
            }
            Self::Damaged { path, .. } => {
                let directory = path.parent().unwrap_or(path).display();
                format!(
                    "remove {directory} and create it again: chukka fetch --state {directory} LOCATION"
                )
            }
            Self::Read { .. } => "check that it exists and is readable".into(),
            Self::Write { .. } => {
                "check that its directory is writable and that the disk is not full".into()
            }
            Self::CommandLine => "give -append text in UTF-8".into(),
        };
        Some(hint.into())
    }
}

#[cfg(test)]
mod tests;
