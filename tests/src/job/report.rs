//! What a job did.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::bytes;

/// How a job ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Status {
    /// It exited with this status.
    Exit(i32),
    /// This signal ended it.
    Signal(i32),
    /// It was killed because its time was over.
    Timeout,
    /// It could not be started.
    NotStarted(String),
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exit(status) => write!(f, "exit status {status}"),
            Self::Signal(signal) => write!(f, "ended by signal {signal}"),
            Self::Timeout => write!(f, "killed: its time was over"),
            Self::NotStarted(why) => write!(f, "not started: {why}"),
        }
    }
}

/// Where output came from. A job in a terminal has only `Out`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

/// A piece of output, as it was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chunk {
    /// Nanoseconds since the job's exec.
    pub ns: u64,
    /// Where it came from.
    pub stream: Stream,
    /// What was printed.
    #[serde(with = "bytes")]
    pub bytes: Vec<u8>,
}

/// The moment at which something was seen.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The text, or the name a step gave.
    pub name: String,
    /// Nanoseconds since the job's exec.
    pub ns: u64,
    /// KVM's counters of the job's virtual machines since their start; those that are zero are left
    /// out.
    pub counters: BTreeMap<String, u64>,
    /// The flags of the job's terminal, if it has one.
    pub terminal: Option<String>,
    /// The files below `/proc/PID/` that the job asked for.
    pub proc_files: BTreeMap<String, String>,
}

/// The flags of a job's terminal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TerminalFlags {
    /// Before the job.
    pub before: String,
    /// After the job.
    pub after: String,
}

/// Everything about a job that has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// How it ended.
    pub status: Status,
    /// From its exec to its end.
    pub elapsed: Duration,
    /// All it printed, in order.
    pub output: Vec<Chunk>,
    /// The marks, in the order in which they were seen.
    pub marks: Vec<Mark>,
    /// How many steps were not taken, because what they wait for was never seen.
    pub steps_left: usize,
    /// KVM's counters of the job's virtual machines over their whole lives.
    pub counters: BTreeMap<String, u64>,
    /// The largest resident size of the job's own process, in KiB.
    pub max_rss_kib: u64,
    /// Processor time in user mode, guest time included.
    pub user: Duration,
    /// Processor time in the kernel.
    pub system: Duration,
    /// The terminal's flags, if it had one.
    pub terminal: Option<TerminalFlags>,
}

impl Report {
    /// A report on a job that did not start.
    #[must_use]
    pub fn not_started(why: impl Into<String>) -> Self {
        Self {
            status: Status::NotStarted(why.into()),
            elapsed: Duration::ZERO,
            output: Vec::new(),
            marks: Vec::new(),
            steps_left: 0,
            counters: BTreeMap::new(),
            max_rss_kib: 0,
            user: Duration::ZERO,
            system: Duration::ZERO,
            terminal: None,
        }
    }

    /// All that was printed to one stream.
    #[must_use]
    pub fn bytes(&self, stream: Stream) -> Vec<u8> {
        let chunks = self.output.iter().filter(|chunk| chunk.stream == stream);
        chunks.flat_map(|chunk| chunk.bytes.iter().copied()).collect()
    }

    /// Standard output as text.
    #[must_use]
    pub fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.bytes(Stream::Out)).into_owned()
    }

    /// Standard error as text.
    #[must_use]
    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.bytes(Stream::Err)).into_owned()
    }

    /// Both, in the order in which they were read.
    #[must_use]
    pub fn merged(&self) -> String {
        let all: Vec<u8> =
            self.output.iter().flat_map(|chunk| chunk.bytes.iter().copied()).collect();
        String::from_utf8_lossy(&all).into_owned()
    }

    /// The lines of standard output, each with the time at which its end was seen.
    #[must_use]
    pub fn lines(&self) -> Vec<(Duration, String)> {
        let (mut lines, mut line) = (Vec::new(), Vec::new());
        let mut last = Duration::ZERO;
        for chunk in self.output.iter().filter(|chunk| chunk.stream == Stream::Out) {
            last = Duration::from_nanos(chunk.ns);
            for &byte in &chunk.bytes {
                if byte == b'\n' {
                    lines.push((last, text(&line)));
                    line.clear();
                } else {
                    line.push(byte);
                }
            }
        }
        if !line.is_empty() {
            lines.push((last, text(&line)));
        }
        lines
    }

    /// The mark of this name, if it was seen.
    #[must_use]
    pub fn mark(&self, name: &str) -> Option<&Mark> {
        self.marks.iter().find(|mark| mark.name == name)
    }
}

fn text(line: &[u8]) -> String {
    String::from_utf8_lossy(line).trim_end_matches('\r').to_owned()
}
