//! One run of a guest: from a request to its end.

use std::io::{self, IsTerminal};

use vmm::outcome::Outcome;
use vmm::run::{Remote, Vm};

use crate::error::RunError;
use crate::request::Request;
use crate::resolve::{Purpose, Resolved};
use crate::{cdrom, confinement, disks, flash, location_server, networks, report};

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// How.
    pub outcome: Outcome,
    /// How many of the guest's requests have written data to its disks; `None` if no write to a disk is kept.
    pub changes: Option<u64>,
}

/// Runs a guest to its end. `started` gets what ends the run from another thread, right before the first instruction.
///
/// # Errors
/// The guest cannot be started.
pub fn run(request: &Request, started: impl FnOnce(Remote)) -> Result<Ended, RunError> {
    report::warnings(&request.warnings);
    // Before anything is fetched: a disk that is in use ends the run at once.
    let disks = disks::open(&request.disks)?;
    let cd_drives = cdrom::open(request.cds.as_deref(), &request.cd_net)?;
    let server = location_server::open(request)?;
    let cards = networks::open(&request.cards, server.as_ref())?;
    let flash = flash::open(&request.flash)?;
    let resolved = request.boot.as_ref();
    let resolved = resolved
        .map(|source| Resolved::open(source, Purpose::Guest(request.vm.memory)))
        .transpose()?;
    if let Some(resolved) = &resolved {
        report::warnings(&resolved.warnings);
        if io::stdout().is_terminal() {
            report::warnings(resolved.silent_console(&request.vm));
        }
    }
    let vm = Vm::new(&request.vm, resolved.map(|resolved| resolved.boot), flash)?;
    let vm = vm.with_disks(disks.clone()).with_cd_drives(cd_drives).with_cards(cards);
    let vm = vm.with_sandbox(confinement::of(request));
    report::warnings(vm.warnings());
    started(vm.remote());
    let outcome = vm.run(|message| report::message(&message.to_string(), None))?;
    let kept = request.disks.iter().zip(&disks).filter(|(config, _)| config.keeps_writes());
    let changes = kept.map(|(_, disk)| disk.changes()).reduce(u64::saturating_add);
    Ok(Ended { outcome, changes })
}
