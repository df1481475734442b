//! Watches the console's log while a guest runs: a line of progress, known words, the time limit.

use std::fs::File;
use std::io::{self, IsTerminal, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use vmm::host::printable::printable;
use vmm::run::Remote;

use super::words::Listener;
use super::{Course, clear_line};
use crate::report;

/// How often the log is read.
const PERIOD: Duration = Duration::from_millis(250);
/// Where standard error is no terminal, how often there is a line of progress.
const LINE_PERIOD: Duration = Duration::from_secs(60);
/// How long an installer that said it failed may take to end by itself, when nobody is there to
/// answer its question.
const GRACE: Duration = Duration::from_secs(15);
/// How long a system at its login prompt may take to power off after the power button was pressed.
const SHUTDOWN: Duration = Duration::from_secs(120);
/// Most bytes of the log that are read at once.
const PIECE: u64 = 64 << 10;
/// Columns of a line of progress on a terminal.
const COLUMNS: usize = 79;

/// What runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The installer.
    Installer,
    /// What it put on the disk.
    Disk,
}

/// What was noticed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// An installer's own words for its failure.
    pub failure: Option<String>,
    /// The disk's system reached its login prompt.
    pub login: bool,
    /// The time limit ended the run.
    pub timed_out: bool,
}

/// Watches one installation.
#[derive(Clone, Debug)]
pub struct Watch {
    log: PathBuf,
    began: Instant,
    course: Course,
}

/// A run that is being watched.
#[derive(Debug)]
pub struct Watching {
    stop: Sender<()>,
    thread: Option<JoinHandle<Heard>>,
}

impl Watching {
    /// Ends it. Returns what was noticed.
    #[must_use]
    pub fn finish(mut self) -> Heard {
        let _ = self.stop.send(());
        let thread = self.thread.take();
        thread.and_then(|thread| thread.join().ok()).unwrap_or_default()
    }
}

impl Watch {
    /// Of an installation that began then and has its console in this log.
    #[must_use]
    pub fn new(log: &Path, began: Instant, course: Course) -> Self {
        Self { log: log.to_owned(), began, course }
    }

    /// Begins to watch a run, which `remote` ends.
    #[must_use]
    pub fn start(&self, stage: Stage, remote: Remote) -> Watching {
        let (stop, stopped) = mpsc::channel();
        let log = File::open(&self.log).and_then(|mut log| {
            log.seek(SeekFrom::End(0))?;
            Ok(log)
        });
        let mut run = Run {
            log: log.ok(),
            began: self.began,
            course: self.course,
            stage,
            remote,
            listener: Listener::default(),
            heard: Heard::default(),
            failed_at: None,
            button_at: None,
            last_line: (self.began, String::new()),
        };
        let watch = move || loop {
            let ended = !matches!(stopped.recv_timeout(PERIOD), Err(RecvTimeoutError::Timeout));
            run.look(ended);
            if ended {
                return run.heard;
            }
        };
        Watching { stop, thread: thread::Builder::new().name("watch".into()).spawn(watch).ok() }
    }
}

/// The state of the thread that watches.
struct Run {
    log: Option<File>,
    began: Instant,
    course: Course,
    stage: Stage,
    remote: Remote,
    listener: Listener,
    heard: Heard,
    /// When the installer said that it failed.
    failed_at: Option<Instant>,
    /// When the power button was pressed.
    button_at: Option<Instant>,
    /// When the last line of progress was printed, and which.
    last_line: (Instant, String),
}

impl Run {
    /// Reads what is new and acts on it.
    fn look(&mut self, ended: bool) {
        let is_quiet = !self.read();
        match self.stage {
            Stage::Installer => self.heard.failure.clone_from(&self.listener.failure),
            Stage::Disk => self.heard.login |= is_quiet && self.listener.is_at_login(),
        }
        if ended {
            if self.shows_progress() && io::stderr().is_terminal() {
                clear_line();
            }
            return;
        }
        if self.course.limit.is_some_and(|limit| self.began.elapsed() >= limit) {
            self.heard.timed_out = true;
            self.remote.quit();
        }
        if self.course.only_log {
            self.end_what_waits();
            self.show_progress();
        }
    }

    /// Reads what is new in the log. Whether there was something.
    fn read(&mut self) -> bool {
        let Some(log) = &mut self.log else { return false };
        let mut is_new = false;
        loop {
            let mut piece = Vec::new();
            match log.take(PIECE).read_to_end(&mut piece) {
                Ok(1..) => {}
                _ => return is_new,
            }
            self.listener.feed(&piece);
            is_new = true;
        }
    }

    /// Ends a guest that waits for a user, where there is none.
    fn end_what_waits(&mut self) {
        if self.heard.failure.is_some()
            && self.failed_at.get_or_insert_with(Instant::now).elapsed() >= GRACE
        {
            self.remote.quit();
        }
        if self.heard.login {
            match self.button_at {
                None => {
                    self.button_at = Some(Instant::now());
                    self.remote.press_power_button();
                }
                Some(at) if at.elapsed() >= SHUTDOWN => self.remote.quit(),
                Some(_) => {}
            }
        }
    }

    fn shows_progress(&self) -> bool {
        self.course.only_log
    }

    fn show_progress(&mut self) {
        let seconds = self.began.elapsed().as_secs();
        let what = match self.stage {
            Stage::Installer => "installing",
            Stage::Disk => "booting the disk",
        };
        let last = printable(&self.listener.last_line);
        if io::stderr().is_terminal() {
            let line = format!("{what} {}:{:02}  {last}", seconds / 60, seconds % 60);
            let line: String = line.chars().take(COLUMNS).collect();
            // Some terminals flicker.
            if line != self.last_line.1 {
                clear_line();
                let _ = write!(io::stderr(), "{line}");
                self.last_line.1 = line;
            }
        } else if self.last_line.0.elapsed() >= LINE_PERIOD && self.last_line.1 != last {
            report::message(&format!("{what} for {seconds} s: {last}"), None);
            self.last_line = (Instant::now(), last.into_owned());
        }
    }
}
