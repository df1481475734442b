//! How to start chukka: plain data, so that it can be repeated.

use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, OnceLock};

use super::confine::Confinement;
use super::guest;
use super::process::{Chukka, Ended};
use super::refusal::Refusal;
use super::scratch::Scratch;
use super::session::Session;
use crate::binaries;

/// What standard input is.
#[derive(Clone, Debug, Default)]
pub enum Input {
    /// `/dev/null`.
    #[default]
    Null,
    /// A pipe, for [`Chukka::send`].
    Pipe,
    /// A file.
    File(PathBuf),
    /// Nothing: the descriptor is closed.
    Closed,
}

/// What standard output is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Output {
    /// A pipe that is read.
    #[default]
    Collected,
    /// A full pipe without a reader.
    Full,
    /// A pipe whose other end is closed.
    Broken,
    /// Nothing: the descriptor is closed.
    Closed,
}

/// One way to start chukka.
#[derive(Clone, Debug, Default)]
pub struct Start {
    pub(super) words: Vec<OsString>,
    /// The name it is called by; `None`: its own path.
    pub(super) name: Option<&'static str>,
    pub(super) input: Input,
    pub(super) output: Output,
    pub(super) confinement: Confinement,
    /// Where its files are, for as long as it may be started or runs.
    pub(super) scratch: Option<Arc<Scratch>>,
}

/// chukka with these words on its command line.
#[must_use]
pub fn start<S: AsRef<OsStr>>(words: impl IntoIterator<Item = S>) -> Start {
    Start::default().args(words)
}

impl Start {
    /// chukka with the tiny guest, which does what `script` says ([`guest`]), in 64 MiB of memory.
    #[must_use]
    pub fn guest(script: &str) -> Self {
        let scratch = Scratch::new();
        let start = Self::kernel(&scratch.file("guest", &guest::kernel(script)));
        Self { scratch: Some(Arc::new(scratch)), ..start }.args(["-m", "64M"])
    }

    /// The same, as a bzImage.
    #[must_use]
    pub fn bzimage(script: &str) -> Self {
        let scratch = Scratch::new();
        let start = Self::kernel(&scratch.file("guest", &guest::bzimage(script)));
        Self { scratch: Some(Arc::new(scratch)), ..start }.args(["-m", "64M"])
    }

    /// chukka with this kernel.
    #[must_use]
    pub fn kernel(path: &Path) -> Self {
        start(["-kernel"]).args([path])
    }

    /// More words.
    #[must_use]
    pub fn args<S: AsRef<OsStr>>(mut self, words: impl IntoIterator<Item = S>) -> Self {
        self.words.extend(words.into_iter().map(|word| word.as_ref().to_owned()));
        self
    }

    /// Called by another name, as by a symbolic link.
    #[must_use]
    pub fn called(self, name: &'static str) -> Self {
        Self { name: Some(name), ..self }
    }

    /// Another standard input.
    #[must_use]
    pub fn input(self, input: Input) -> Self {
        Self { input, ..self }
    }

    /// Another standard output.
    #[must_use]
    pub fn output(self, output: Output) -> Self {
        Self { output, ..self }
    }

    /// A host that lacks something.
    #[must_use]
    pub fn confined(self, confinement: Confinement) -> Self {
        Self { confinement, ..self }
    }

    /// Starts it.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn start(&self) -> Chukka {
        Chukka::start(self)
    }

    /// Starts it and waits for its end.
    ///
    /// # Panics
    /// If it does not start, or does not end in [`super::LIMIT`].
    #[must_use]
    pub fn run(&self) -> Ended {
        self.start().wait()
    }

    /// Runs it, and checks that it refuses to run a guest as it should refuse anything: see
    /// [`Refusal`].
    ///
    /// # Panics
    /// If it does not.
    #[must_use]
    pub fn refused(&self) -> Refusal {
        Refusal::of(self)
    }

    /// Starts it on a terminal of its own, in the foreground.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn on_terminal(&self) -> Session {
        Session::start(self, true)
    }

    /// Starts it on a terminal of its own, in the background.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn in_background(&self) -> Session {
        Session::start(self, false)
    }

    /// The command, without its standard streams; and a folder that has to stay until it has ended.
    pub(super) fn command(&self) -> (Command, Option<Scratch>) {
        // Another user may not get to where this one builds.
        let copy = self.confinement.nobody.then(|| {
            let scratch = Scratch::new();
            // By another program: a file that this one has open for writing may be inherited by
            // what it starts meanwhile, and cannot be executed then.
            let copied = Command::new("cp").arg(program()).arg(scratch.path("chukka")).status();
            assert!(copied.as_ref().is_ok_and(ExitStatus::success), "cp: {copied:?}");
            scratch
        });
        let path = copy.as_ref().map_or_else(|| program().into(), |copy| copy.path("chukka"));
        let mut command = Command::new(path);
        if let Some(name) = self.name {
            command.arg0(name);
        }
        command.args(&self.words).stderr(Stdio::piped());
        (command, copy)
    }
}

/// The program to test.
#[expect(clippy::panic, reason = "this is how a test fails")]
fn program() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| binaries::chukka().unwrap_or_else(|error| panic!("{error}")))
}
