//! What a lab is asked to run, and what it tells about it: plain data, the same on the host, in the
//! outer machine, and on the wire between them.

pub mod bytes;
mod report;

pub use report::{Chunk, Mark, Report, Status, Stream, TerminalFlags};

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// One command with its surroundings.
///
/// ```
/// use chukka_tests::job::Job;
/// let job = Job::shell("echo hello; exit 3").timeout_secs(5);
/// assert_eq!(job.command.last().map(String::as_str), Some("echo hello; exit 3"));
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// The program and its arguments.
    pub command: Vec<String>,
    /// Environment variables beside `PATH`, `HOME` and `TERM`.
    pub env: BTreeMap<String, String>,
    /// The folder to run in.
    pub folder: Option<String>,
    /// How long its process waits right before the exec, from where all times count.
    pub delay: Duration,
    /// After this time the job and its whole process group are killed.
    pub timeout: Duration,
    /// What standard input is.
    pub input: Input,
    /// What to do when, one after the other.
    pub steps: Vec<Step>,
    /// Texts whose first appearance in the output is recorded, in any order.
    pub marks: Vec<String>,
    /// Files below `/proc/PID/` to keep with each mark, such as `smaps_rollup`.
    pub proc_files: Vec<String>,
    /// Files to write before the start.
    pub files: Vec<NewFile>,
    /// User and group to become.
    pub user: Option<u32>,
    /// Resource limits, such as `("nofile", 16)`: see setrlimit(2).
    pub limits: Vec<(String, u64)>,
    /// Files of the host that must be there under the same path; for a program its libraries too.
    #[serde(skip)]
    pub needs: Vec<PathBuf>,
}

/// What a job has as its standard input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Input {
    /// Nothing: `/dev/null`.
    Null,
    /// A pipe with these bytes, closed after them.
    Bytes(#[serde(with = "bytes")] Vec<u8>),
    /// A pipe that stays open, for `Act::Send`.
    Open,
    /// A terminal, which is standard output and standard error too.
    Terminal,
}

/// Something to do once something was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// The text to wait for, after the place where the step before found its own; empty: do not
    /// wait.
    pub see: String,
    /// How long to wait then.
    pub after: Duration,
    /// What to do then.
    pub act: Act,
}

/// What a step does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Act {
    /// Write to standard input.
    Send(#[serde(with = "bytes")] Vec<u8>),
    /// Send a signal to the program.
    Signal(i32),
    /// Close standard input.
    Close,
    /// Take a mark of this name.
    Mark(String),
}

/// A file to write.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewFile {
    /// Where; folders are made.
    pub path: String,
    /// What.
    #[serde(with = "bytes")]
    pub content: Vec<u8>,
    /// Its permissions.
    pub mode: u32,
}

impl Job {
    /// A job that runs a program directly.
    pub fn new<S: Into<String>>(command: impl IntoIterator<Item = S>) -> Self {
        Self {
            command: command.into_iter().map(Into::into).collect(),
            env: BTreeMap::new(),
            folder: None,
            delay: Duration::ZERO,
            timeout: Duration::from_secs(120),
            input: Input::Null,
            steps: Vec::new(),
            marks: Vec::new(),
            proc_files: Vec::new(),
            files: Vec::new(),
            user: None,
            limits: Vec::new(),
            needs: Vec::new(),
        }
    }

    /// A job that runs a line of shell.
    #[must_use]
    pub fn shell(line: &str) -> Self {
        Self::new(["/bin/sh", "-c", line])
    }

    /// Has the process wait right before its exec.
    #[must_use]
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Sets the time after which the job is killed.
    #[must_use]
    pub fn timeout_secs(mut self, seconds: u64) -> Self {
        self.timeout = Duration::from_secs(seconds);
        self
    }

    /// Sets standard input.
    #[must_use]
    pub fn input(mut self, input: Input) -> Self {
        self.input = input;
        self
    }

    /// Runs in a terminal of its own.
    #[must_use]
    pub fn terminal(self) -> Self {
        self.input(Input::Terminal)
    }

    /// Adds a step: once `see` was printed, do `act`. Sending needs an input: it becomes an open
    /// pipe unless there is one already.
    #[must_use]
    pub fn when(self, see: &str, act: Act) -> Self {
        self.when_after(see, Duration::ZERO, act)
    }

    /// Adds a step: once `see` was printed and `after` has passed, do `act`.
    #[must_use]
    pub fn when_after(mut self, see: &str, after: Duration, act: Act) -> Self {
        if matches!(act, Act::Send(_)) && self.input == Input::Null {
            self.input = Input::Open;
        }
        self.steps.push(Step { see: see.into(), after, act });
        self
    }

    /// Notes the moment, the exits and the memory when this text is first printed.
    #[must_use]
    pub fn mark(mut self, text: &str) -> Self {
        self.marks.push(text.into());
        self
    }

    /// Names a file of the host that the job needs at the same path.
    #[must_use]
    pub fn need(mut self, path: &Path) -> Self {
        self.needs.push(path.to_path_buf());
        self
    }

    /// Adds a file to write before the start.
    #[must_use]
    pub fn file(mut self, path: &str, content: &[u8]) -> Self {
        self.files.push(NewFile { path: path.into(), content: content.to_vec(), mode: 0o644 });
        self
    }

    /// The command as one line that a shell would take.
    #[must_use]
    pub fn line(&self) -> String {
        self.command.iter().map(|word| quote(word)).collect::<Vec<_>>().join(" ")
    }
}

/// A word as a shell takes it.
#[must_use]
pub fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=,:+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.into()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests;
