//! One run of a guest: from a request to its end.

use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use devices::virtio::scsi::Scsi;
use vmm::host::daemon;
use vmm::outcome::Outcome;
use vmm::run::{Remote, Vm};

use crate::core_file::CoreFile;
use crate::error::RunError;
use crate::pid_file::PidFile;
use crate::report::COULD_NOT_RUN;
use crate::request::Request;
use crate::resolve::{Purpose, Resolved};
use crate::run_report::RunReport;
use crate::timeline::TimelineFile;
use crate::{cdrom, confinement, disks, flash, location_server, networks, outputs, report, sata};

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// How.
    pub outcome: Outcome,
    /// How many of the guest's requests have written data to its disks; `None` if no write to a
    /// disk is kept.
    pub changes: Option<u64>,
}

/// Runs a guest to its end. `run_report` gets what is known of the run. `started` gets what ends
/// the run from another thread, right before the first instruction.
///
/// # Errors
/// The guest cannot be started.
pub fn run(
    request: &Request,
    run_report: &mut RunReport,
    started: impl FnOnce(Remote),
) -> Result<Ended, RunError> {
    let begun = Instant::now();
    report::warnings(&request.warnings);
    outputs::check(request)?;
    // Before anything is fetched: a disk that is in use ends the run at once.
    let disks = disks::open(&request.disks)?;
    let cd_drives = cdrom::open(request.cds.as_deref(), &request.cd_net)?;
    let sata = sata::drives(request, &disks)?;
    let server = location_server::open(request)?;
    let cards = networks::open(&request.cards, server.as_ref())?;
    let flash = flash::open(&request.flash)?;
    let resolved = request.boot.as_ref();
    let resolved = resolved
        .map(|source| {
            Resolved::open(source, Purpose::Guest(request.vm.memory), request.confinement)
        })
        .transpose()?;
    if let Some(resolved) = &resolved {
        report::warnings(&resolved.warnings);
    }
    let silent = resolved.as_ref().and_then(|resolved| resolved.silent_console(&request.vm));
    run_report.set_ran(request, resolved.as_ref());
    let is_watched = request.vm.has_terminal() && io::stdout().is_terminal();
    let advice = is_watched.then(|| Resolved::advice(resolved.as_ref(), &request.vm));
    let vm = Vm::new(&request.vm, resolved.map(|resolved| resolved.boot), flash)?;
    let vm = vm
        .with_disks(sata::virtio_disks(request, &disks))
        .with_cd_drives(cd_drives.map(|targets| Arc::new(Scsi::new(targets))))
        .with_ahci(sata)
        .with_cards(cards)
        .with_advice(advice)
        .with_warning(silent);
    let vm = vm.with_sandbox(confinement::of(request)).with_user(request.user.clone());
    report::warnings(vm.warnings());
    let core_file = request.core_file.as_deref().map(CoreFile::create).transpose()?;
    let vm = vm.with_core_file(core_file.as_ref().map(CoreFile::handle).transpose()?);
    let timeline = request.timeline.as_ref();
    let timeline = timeline.map(|to| TimelineFile::create(to, &request.vm, begun)).transpose()?;
    let vm = vm.with_timeline(timeline.as_ref().map(TimelineFile::timeline));
    let pid_file = request.pid_file.as_deref().map(PidFile::create).transpose()?;
    started(vm.remote());
    let ended = vm.run(|message| report::message(&message.to_string(), None))?;
    drop(pid_file);
    if let Some(core_file) = core_file {
        core_file.finish(ended.core);
    }
    run_report.set_counts(request, &disks, &ended.record.cards);
    run_report.set_record(ended.record);
    let outcome = ended.outcome;
    if let Some(timeline) = timeline {
        timeline.finish(&outcome.to_string());
    }
    let kept = request.disks.iter().zip(&disks).filter(|(config, _)| config.keeps_writes());
    let changes = kept.map(|(_, disk)| disk.changes()).reduce(u64::saturating_add);
    Ok(Ended { outcome, changes })
}

/// With `-daemonize`, goes on in another process. In this one, returns the exit status: 0 once the
/// guest is about to run. Has to be called before there is a second thread; the other process calls
/// [`daemon::finish`] at its end.
pub fn go_to_background(request: &Request) -> Option<ExitCode> {
    if !request.daemonize {
        return None;
    }
    match daemon::begin() {
        Ok(status) => status.map(ExitCode::from),
        Err(error) => {
            let text = format!("Cannot start a process for -daemonize: {error}");
            report::message(&text, Some("check the limit on processes: ulimit -u"));
            Some(ExitCode::from(COULD_NOT_RUN))
        }
    }
}
