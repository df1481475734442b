//! Boots with a counted cost: the outer machine's clock counts instructions.

use std::fs;
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

/// Runs jobs one after the other in a new machine with such a clock, which all times in the reports
/// refer to. There is no output until the last job has ended.
///
/// # Errors
/// If something that the lab needs is missing, or it fails; then with the end of its console.
pub fn icount(jobs: &[Job], memory_mib: u32) -> Result<Vec<Report>> {
    let stem =
        assets::work_folder()?.join(format!("icount-{}-{:x}", std::process::id(), guest::stamp()));
    let (initramfs, reports) = (stem.with_extension("cpio"), stem.with_extension("json"));
    initramfs::batch(jobs, &initramfs)?;
    let mut command =
        outer::command(&initramfs, memory_mib, "max,+svm", "nokaslr mitigations=off")?;
    command.args(CLOCK).arg("-serial").arg(format!("file:{}", reports.display()));
    let outer = outer::Outer::start(command)?;
    // The jobs' own timeouts are in virtual time; counting makes the machine about ten times
    // slower.
    let most = jobs.iter().map(|job| job.timeout).sum::<Duration>() * 10 + Duration::from_secs(300);
    let ended = outer.wait(most);
    let text = fs::read(&reports);
    for file in [&initramfs, &reports] {
        // A leftover in a temporary directory is harmless.
        drop(fs::remove_file(file));
    }
    if !ended {
        return Err(outer.error("did not end in time"));
    }
    let text = text.doing_with("Reading", &reports)?;
    serde_json::from_slice(&text)
        .map_err(|error| outer.error(&format!("ended without reports ({error})")))
}
