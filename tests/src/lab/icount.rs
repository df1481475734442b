//! Boots with a counted cost: the outer machine's clock counts instructions.

use std::fs;
use std::io::Write;
use std::time::Duration;

use super::{initramfs, outer};
use crate::job::{Job, Report};
use crate::{Doing, Result, assets, guest};

/// One instruction per nanosecond; time passes only by instructions.
const CLOCK: [&str; 8] = [
    "-accel",
    "tcg,thread=single",
    "-icount",
    "shift=0,sleep=off",
    "-rtc",
    "base=2024-01-01,clock=vm",
    // Makes the processor's random numbers the same on each run.
    "-seed",
    "1",
];

/// A machine that uses this much processor time for one job has stopped: now and then an emulated
/// processor stays at one instruction for ever. A whole batch takes less.
const QUIET: Duration = Duration::from_secs(120);
/// After that, the same jobs are tried again as often, each a bit later: at the same time, the
/// machine would stop at the same instruction. A batch that stops once may do so again: with two
/// retries, one was seen to need both.
const RETRIES: u32 = 4;
/// How much later.
const LATER: Duration = Duration::from_micros(130);

/// Runs jobs one after the other in a new machine with such a clock, which all times in the reports
/// refer to. There is no output until the last job has ended.
///
/// # Errors
/// If something that the lab needs is missing, or it fails; then with the end of its console.
pub fn icount(jobs: &[Job], memory_mib: u32) -> Result<Vec<Report>> {
    let mut retry = 0;
    loop {
        let later = |job: &Job| Job { delay: job.delay + LATER * retry, ..job.clone() };
        let jobs: Vec<_> = jobs.iter().map(later).collect();
        match once(&jobs, memory_mib)? {
            Err(error) if retry < RETRIES => {
                // Straight to the descriptor: a test harness would capture it.
                drop(writeln!(
                    std::io::stderr().lock(),
                    "{error}\nTrying again in a new lab, with each job a bit later"
                ));
                retry += 1;
            }
            ended => return ended,
        }
    }
}

/// Runs jobs in one machine. The inner error is that the machine has stopped.
fn once(jobs: &[Job], memory_mib: u32) -> Result<Result<Vec<Report>>> {
    let stem =
        assets::work_folder()?.join(format!("icount-{}-{:x}", std::process::id(), guest::stamp()));
    let (initramfs, reports) = (stem.with_extension("cpio"), stem.with_extension("json"));
    initramfs::batch(jobs, &initramfs)?;
    let mut command =
        outer::command(&initramfs, memory_mib, "max,+svm", "nokaslr mitigations=off")?;
    command.args(CLOCK).arg("-serial").arg(format!("file:{}", reports.display()));
    let outer = outer::Outer::start(command)?;
    let ended = outer.wait(QUIET);
    let text = fs::read(&reports);
    for file in [&initramfs, &reports] {
        // A leftover in a temporary directory is harmless.
        drop(fs::remove_file(file));
    }
    if !ended {
        return Ok(Err(outer.error("has stopped")));
    }
    let text = text.doing_with("Reading", &reports)?;
    serde_json::from_slice(&text)
        .map(Ok)
        .map_err(|error| outer.error(&format!("ended without reports ({error})")))
}
