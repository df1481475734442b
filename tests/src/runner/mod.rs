//! Runs guests on this host if its KVM runs a stock kernel, and in the lab otherwise. A test does
//! not see the difference.

mod guest;
mod probe;
mod run;

pub use guest::Guest;
pub use probe::{HostKvm, host_kvm};
pub use run::Run;

use std::io::Write;
use std::sync::OnceLock;

use crate::job::{Chunk, Job, Report};
use crate::lab::{self, Pool};
use crate::{Error, Result, exec, skip};

/// The place where guests run.
#[derive(Debug)]
pub struct Runner {
    lab: Option<Pool>,
    why: String,
}

impl Runner {
    /// The runner of this process, started by the first test that asks. `None` without set-up: the
    /// skip has then been reported, and the test returns.
    ///
    /// # Panics
    /// chukka does not build or start, or the lab fails.
    #[expect(clippy::panic, reason = "this is how a test fails")]
    pub fn get() -> Option<&'static Self> {
        static RUNNER: OnceLock<Result<Runner>> = OnceLock::new();
        match RUNNER.get_or_init(Self::start) {
            Ok(runner) => Some(runner),
            Err(error @ Error::Missing(_)) => {
                skip(&error.to_string());
                None
            }
            Err(error) => panic!("no runner: {error}"),
        }
    }

    /// Finds out where guests can run, and starts a lab if necessary. `CHUKKA_LAB=1` forces the
    /// lab, `CHUKKA_LAB=0` this host.
    ///
    /// # Errors
    /// Neither is available.
    pub fn start() -> Result<Self> {
        let (lab, why) = match host_kvm()? {
            HostKvm::Works => (None, "KVM on this host runs a stock kernel".into()),
            HostKvm::Unusable(why) => (Some(Pool::start()?), why),
        };
        Ok(Self { lab, why })
    }

    /// Whether guests run in the lab.
    #[must_use]
    pub fn is_lab(&self) -> bool {
        self.lab.is_some()
    }

    /// The address at which chukka, where it runs, finds servers that listen on this host's
    /// loopback.
    #[must_use]
    pub fn host(&self) -> &'static str {
        if self.is_lab() { lab::HOST } else { "127.0.0.1" }
    }

    /// Why guests run where they run.
    #[must_use]
    pub fn why(&self) -> &str {
        &self.why
    }

    /// Runs a job; hands its output to `sink` as it comes.
    ///
    /// # Errors
    /// If the lab fails: never for what the job does.
    pub fn run_job(&self, job: &Job, sink: &mut dyn FnMut(&Chunk)) -> Result<Report> {
        match &self.lab {
            Some(lab) => lab.run(job, sink),
            None => Ok(exec::run(job, sink)),
        }
    }

    /// Runs jobs one after the other, in the lab on a clock that counts instructions.
    ///
    /// # Panics
    /// If the lab fails.
    #[must_use]
    #[expect(clippy::panic, reason = "this is how a test fails")]
    pub fn run_counted(&self, jobs: &[Job]) -> Vec<Run> {
        let reports = match &self.lab {
            Some(_) => lab::icount(jobs, lab::usual_memory_mib()),
            None => Ok(jobs.iter().map(|job| exec::run(job, &mut |_| {})).collect()),
        };
        match reports {
            Ok(reports) => {
                jobs.iter().zip(reports).map(|(job, report)| Run::new(job, report)).collect()
            }
            Err(error) => panic!("{error}"),
        }
    }

    /// Runs a job to its end, as a test wants it.
    ///
    /// # Panics
    /// If the lab fails.
    #[must_use]
    #[expect(clippy::panic, reason = "this is how a test fails")]
    pub fn run(&self, job: &Job) -> Run {
        match self.run_job(job, &mut |_| {}) {
            Ok(report) => Run::new(job, report),
            Err(error) => panic!("{}\n{error}", job.line()),
        }
    }
    /// The same for a job that takes long: its output is shown as it comes.
    ///
    /// # Panics
    /// If the lab fails.
    #[must_use]
    #[expect(clippy::panic, reason = "this is how a test fails")]
    pub fn run_shown(&self, job: &Job) -> Run {
        let mut show = |chunk: &Chunk| {
            let _ = std::io::stderr().write_all(&chunk.bytes);
        };
        match self.run_job(job, &mut show) {
            Ok(report) => Run::new(job, report),
            Err(error) => panic!("{}\n{error}", job.line()),
        }
    }
}
