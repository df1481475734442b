//! What a run of chukka did, and assertions on it that show what happened when they fail.

use std::ops::Deref;
use std::time::Duration;

use crate::guest::MARKER;
use crate::job::{Job, Mark, Report, Status, Stream};

/// How many lines of output a failed assertion shows.
const TAIL: usize = 60;

/// A job that has ended: a [`Report`] with assertions.
#[derive(Debug, Clone)]
pub struct Run {
    line: String,
    report: Report,
    /// Standard output as text.
    pub stdout: String,
    /// Standard error as text.
    pub stderr: String,
}

impl Deref for Run {
    type Target = Report;

    fn deref(&self) -> &Report {
        &self.report
    }
}

impl Run {
    pub(super) fn new(job: &Job, report: Report) -> Self {
        Self { line: job.line(), stdout: report.stdout(), stderr: report.stderr(), report }
    }

    /// Fails with what happened, unless this holds.
    ///
    /// # Panics
    /// If it does not hold.
    #[track_caller]
    #[expect(clippy::panic, reason = "this is how a test fails")]
    pub fn assert(&self, holds: bool, what: &str) -> &Self {
        if !holds {
            panic!("{what}\n{}", self.story());
        }
        self
    }

    /// It ended with this exit status.
    ///
    /// # Panics
    /// If it did not.
    #[track_caller]
    pub fn assert_exit(&self, status: i32) -> &Self {
        self.assert(self.status == Status::Exit(status), &format!("expected exit status {status}"))
    }

    /// The guest reached userspace.
    ///
    /// # Panics
    /// If it did not.
    #[track_caller]
    pub fn assert_userspace(&self) -> &Self {
        self.assert(self.boots() > 0, "expected the guest to reach userspace")
    }

    /// This was printed to standard output.
    ///
    /// # Panics
    /// If it was not.
    #[track_caller]
    pub fn assert_stdout(&self, text: &str) -> &Self {
        self.assert(self.stdout.contains(text), &format!("expected {text:?} on standard output"))
    }

    /// This was printed to standard error.
    ///
    /// # Panics
    /// If it was not.
    #[track_caller]
    pub fn assert_stderr(&self, text: &str) -> &Self {
        self.assert(self.stderr.contains(text), &format!("expected {text:?} on standard error"))
    }

    /// chukka wrote its report to standard error (`-json -`), and it says this: the outcome, how
    /// the run went on then, the status, and the start of the line that is the evidence.
    ///
    /// # Panics
    /// If there is none, or it says something else.
    #[track_caller]
    pub fn assert_json(&self, outcome: &str, status: u64, line: &str) -> &Self {
        let text = self.stderr.find("\n{\n").map(|at| &self.stderr[at..]);
        let report = serde_json::from_str::<serde_json::Value>(text.unwrap_or_default());
        let report = report.unwrap_or_default();
        let found = (report["outcome"].as_str(), report["status"].as_u64());
        self.assert(found == (Some(outcome), Some(status)), &format!("a report on a {outcome}"));
        let evidence = report["evidence"]["line"].as_str().unwrap_or_default();
        self.assert(evidence.starts_with(line), &format!("{line:?} is the evidence"));
        let cpus = report["evidence"]["cpus"].as_array().map_or(0, Vec::len);
        self.assert(cpus > 0 && report["boots"] == 1, "its CPUs and its boots are counted")
    }

    /// It took no longer than this.
    ///
    /// # Panics
    /// If it did.
    #[track_caller]
    pub fn assert_within(&self, time: Duration) -> &Self {
        self.assert(self.elapsed <= time, &format!("expected an end within {time:?}"))
    }

    /// How many times the guest reached userspace.
    #[must_use]
    pub fn boots(&self) -> usize {
        self.stdout.matches(MARKER).count()
    }

    /// The moment of reaching userspace.
    #[must_use]
    pub fn userspace(&self) -> Option<&Mark> {
        self.mark(MARKER)
    }

    /// What the guest reported under this name (`guest.run=info`): `nproc`, `memtotal_kib`,
    /// `cmdline`, `kernel`, `clocksource`, `epoch`, `uptime`.
    #[must_use]
    pub fn info(&self, key: &str) -> Option<String> {
        let start = format!("{key}=");
        self.section("info")?.lines().find_map(|line| line.strip_prefix(&start)).map(String::from)
    }

    /// A section that the guest printed: with `guest.run=info` there are `info`, `warnings`,
    /// `machine` (the kernel's words on e820 and serial ports), `acpi`, `interrupts` and `cpuinfo`;
    /// `dmesg`, `iomem`, `ioports` and `meminfo` are asked for by their own names.
    #[must_use]
    pub fn section(&self, name: &str) -> Option<String> {
        let text = self.stdout.replace('\r', "");
        let (_, text) = text.split_once(&format!("chukka-guest: begin {name}\n"))?;
        let (text, _) = text.split_once(&format!("chukka-guest: end {name}\n"))?;
        Some(text.into())
    }

    /// What happened, for a person to read.
    #[must_use]
    pub fn story(&self) -> String {
        let mut story =
            format!("--- command\n{}\n--- {} after {:?}\n", self.line, self.status, self.elapsed);
        for mark in &self.marks {
            story +=
                &format!("--- saw {:?} after {:?}\n", mark.name, Duration::from_nanos(mark.ns));
        }
        if self.steps_left > 0 {
            story += &format!("--- {} step(s) never came\n", self.steps_left);
        }
        for (name, stream) in [("output", Stream::Out), ("errors", Stream::Err)] {
            let text = String::from_utf8_lossy(&self.bytes(stream)).into_owned();
            let lines: Vec<&str> = text.lines().collect();
            let from = lines.len().saturating_sub(TAIL);
            story += &format!("--- {name}, last {} of {} lines\n", lines.len() - from, lines.len());
            for line in &lines[from..] {
                story += &format!("{line}\n");
            }
        }
        story + "---"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec;

    fn run(shell: &str) -> Run {
        let job = Job::shell(shell).mark(MARKER);
        Run::new(&job, exec::run(&job, &mut |_| {}))
    }

    #[test]
    fn reads_what_the_guest_tells() {
        let run = run(
            "printf 'x\\r\\nchukka-guest: begin info\\r\\nnproc=4\\r\\nchukka-guest: end info\\r\\n'",
        );
        assert_eq!(run.info("nproc").as_deref(), Some("4"));
        assert_eq!(run.info("absent"), None);
        assert_eq!(run.section("dmesg"), None);
        assert_eq!(run.boots(), 0);
    }

    #[test]
    fn a_failed_assertion_shows_command_and_console() {
        let run = run("echo out; echo bad >&2; exit 3");
        run.assert_exit(3)
            .assert_stdout("out")
            .assert_stderr("bad")
            .assert_within(Duration::from_secs(9));
        let story = std::panic::catch_unwind(|| run.assert_exit(0).boots()).unwrap_err();
        let story = story.downcast_ref::<String>().unwrap();
        for part in ["expected exit status 0", "exit 3", "--- exit status 3", "\nout\n", "\nbad\n"]
        {
            assert!(story.contains(part), "{part} is missing in {story}");
        }
    }
}
