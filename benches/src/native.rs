//! Boots on this machine's /dev/kvm, by the wall clock, up to what the kernel prints.

use std::time::Duration;

use chukka_tests::exec;

use crate::Error;
use crate::boot::Stage;
use crate::peer::Peer;

/// A KVM that emulates real-mode code takes some ten seconds.
const ENOUGH_SECS: u64 = 120;

/// From exec to the stage's mark.
///
/// # Errors
/// If the guest does not come that far; with what it said.
pub fn boot(peer: &Peer, stage: &Stage) -> Result<Duration, Error> {
    let report = exec::run(&stage.job(peer).timeout_secs(ENOUGH_SECS), &mut |_| {});
    match report.mark(stage.mark) {
        Some(mark) => Ok(Duration::from_nanos(mark.ns)),
        None => {
            let (name, said) = (&peer.name, report.merged());
            Err(format!("{name}: no {:?}: {}\n{said}", stage.mark, report.status).into())
        }
    }
}
