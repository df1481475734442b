//! What a run writes to and listens on, checked before anything is opened: by a run, so that one
//! that is refused leaves no trace, and by a dry run.

use vmm::host::listener::SocketChecks;
use vmm::run;

use crate::core_file::CoreFile;
use crate::error::RunError;
use crate::networks;
use crate::pid_file::PidFile;
use crate::request::Request;
use crate::timeline::TimelineConfig;

/// Checks that all files and sockets that `request` names for output can be opened. Creates nothing
/// and connects to nobody. The report (`-json`) is not among them: it exists already, as it also
/// tells what was refused.
///
/// # Errors
/// Those of the run.
pub fn check(request: &Request) -> Result<(), RunError> {
    let mut sockets = SocketChecks::default();
    networks::check_outputs(&request.cards, &mut sockets)?;
    run::check_outputs(&request.vm, &mut sockets)?;
    request.core_file.as_deref().map(CoreFile::check).transpose()?;
    request.timeline.as_ref().map(TimelineConfig::check).transpose()?;
    request.pid_file.as_deref().map(PidFile::check).transpose()?;
    Ok(())
}
