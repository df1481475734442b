//! Whether this host's KVM runs a stock kernel: found out by having it run one.

use std::env;
use std::fs::{self, File};
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::job::{Act, Job, Report, Status};
use crate::{Doing, Error, Result, assets, binaries, exec, guest};

/// A machine with hardware help takes well under a second.
const ENOUGH: Duration = Duration::from_secs(10);

/// What KVM on this host is good for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum HostKvm {
    /// A stock kernel reaches userspace.
    Works,
    /// It does not, for this reason.
    Unusable(String),
}

/// An answer that holds until the next boot, or the next chukka.
#[derive(Serialize, Deserialize)]
struct Answer {
    question: String,
    answer: HostKvm,
}

/// Whether this host's KVM runs a stock kernel. The answer is kept until the next boot of the host
/// or the next build of chukka. `CHUKKA_LAB` (1 or 0) overrules it.
///
/// # Errors
/// If chukka cannot be built or run at all: that says nothing about KVM.
pub fn host_kvm() -> Result<HostKvm> {
    match env::var("CHUKKA_LAB").as_deref() {
        Ok("1") => return Ok(HostKvm::Unusable("CHUKKA_LAB=1 asks for the lab".into())),
        Ok("0") => return Ok(HostKvm::Works),
        _ => {}
    }
    if let Err(error) = File::options().read(true).write(true).open("/dev/kvm") {
        return Ok(HostKvm::Unusable(format!("/dev/kvm cannot be used here: {error}")));
    }
    let chukka = binaries::chukka()?;
    let kept = assets::work_folder()?.join("host-kvm.json");
    let question = question(&chukka)?;
    if let Some(answer) = recall(&kept, &question) {
        return Ok(answer);
    }
    let answer = judge(&exec::run(&job(&chukka)?, &mut |_| {}))?;
    let text = serde_json::to_vec(&Answer { question, answer: answer.clone() })?;
    fs::write(&kept, text).doing_with("Writing", &kept)?;
    Ok(answer)
}

fn question(chukka: &Path) -> Result<String> {
    let boot = Path::new("/proc/sys/kernel/random/boot_id");
    let boot = fs::read_to_string(boot).doing_with("Reading", boot)?;
    let about = fs::metadata(chukka).doing_with("Looking at", chukka)?;
    let time = about.modified().doing_with("Looking at", chukka)?;
    Ok(format!("boot {} {} {} {time:?}", boot.trim(), chukka.display(), about.len()))
}

fn recall(kept: &Path, question: &str) -> Option<HostKvm> {
    let answer: Answer = serde_json::from_slice(&fs::read(kept).ok()?).ok()?;
    (answer.question == question).then_some(answer.answer)
}

fn job(chukka: &Path) -> Result<Job> {
    let (kernel, initrd) = (assets::cloud()?.vmlinuz, guest::initrd()?);
    let path = |path: &Path| path.to_string_lossy().into_owned();
    let mut job = Job::new([&path(chukka), "-kernel", &path(&kernel), "-initrd", &path(&initrd)])
        .mark(guest::MARKER)
        .when(guest::MARKER, Act::Signal(libc::SIGTERM));
    let rest = ["-append", "console=ttyS0 quiet panic=-1", "-m", "256", "-nographic", "-no-reboot"];
    job.command.extend(rest.map(String::from));
    job.timeout = ENOUGH;
    Ok(job)
}

/// chukka's own complaints end with this status, before the guest runs.
const COMPLAINT: i32 = 125;

fn judge(report: &Report) -> Result<HostKvm> {
    if report.mark(guest::MARKER).is_some() {
        return Ok(HostKvm::Works);
    }
    let said = report.stderr();
    let said = said.trim();
    Ok(HostKvm::Unusable(match &report.status {
        // The host's KVM may lack what chukka needs; any other complaint is about chukka or the
        // tests.
        Status::Exit(COMPLAINT) if said.to_lowercase().contains("kvm") => {
            format!(
                "chukka does not take this host's KVM: {}",
                said.lines().next().unwrap_or_default()
            )
        }
        Status::Exit(COMPLAINT) => {
            return Err(Error::Other(format!(
                "chukka refuses to boot Debian's cloud kernel:\n{said}"
            )));
        }
        Status::NotStarted(why) => {
            return Err(Error::Other(format!("chukka does not start: {why}")));
        }
        Status::Timeout => {
            format!("Debian's cloud kernel did not reach userspace within {} s", ENOUGH.as_secs())
        }
        status => {
            let last = said.lines().last().unwrap_or("no message");
            format!("Debian's cloud kernel did not reach userspace: {status}: {last}")
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{Chunk, Mark, Stream};

    fn report(status: Status, stderr: &str) -> Report {
        let chunk = Chunk { ns: 1, stream: Stream::Err, bytes: stderr.into() };
        Report { status, output: vec![chunk], ..Report::not_started("") }
    }

    #[test]
    fn only_the_marker_counts_as_working() {
        let mut works = report(Status::Signal(15), "");
        works.marks.push(Mark { name: guest::MARKER.into(), ..Mark::default() });
        assert_eq!(judge(&works).unwrap(), HostKvm::Works);
        assert!(matches!(judge(&report(Status::Exit(0), "")).unwrap(), HostKvm::Unusable(_)));
        assert!(matches!(judge(&report(Status::Timeout, "")).unwrap(), HostKvm::Unusable(_)));
    }

    #[test]
    fn a_complaint_that_is_not_about_kvm_is_an_error() {
        let about_kvm =
            judge(&report(Status::Exit(125), "KVM lacks capability 42\nhint: …")).unwrap();
        assert_eq!(
            about_kvm,
            HostKvm::Unusable(
                "chukka does not take this host's KVM: KVM lacks capability 42".into()
            )
        );
        let error = judge(&report(Status::Exit(125), "unknown option -kernel")).unwrap_err();
        assert!(error.to_string().contains("unknown option -kernel"), "{error}");
    }
}
