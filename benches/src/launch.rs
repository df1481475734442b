//! Starts a VMM and waits for its first `KVM_RUN`.
#![expect(unsafe_code, reason = "pre_exec: the child installs its own filter")]

use std::io::Read;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::Error;
use crate::listener::{self, Listener};
use crate::peer::{Guest, Peer};
use crate::resident::{self, Resident};

/// Every VMM is there in a fraction of this.
const ENOUGH: Duration = Duration::from_secs(20);
/// What `-m 256` means.
const MEMORY: u64 = 256 << 20;

/// One start of a VMM.
#[derive(Debug, Clone, Copy)]
pub struct Start {
    /// From its exec to its first `KVM_RUN`.
    pub time: Duration,
    /// What it has in memory at that moment beside the guest's.
    pub resident: Resident,
}

/// Starts a VMM, stops it at its first `KVM_RUN`, and ends it.
///
/// # Errors
/// If it does not come that far; with what it said.
pub fn start(peer: &Peer, guest: &Guest) -> Result<Start, Error> {
    let (ours, theirs) = UnixDatagram::pair()?;
    let mut command = Command::new(&peer.program);
    command.args(peer.args(guest));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let to = theirs.as_raw_fd();
    // SAFETY: the hook only makes async-signal-safe calls and does not allocate; `theirs` is open
    // until after spawn.
    unsafe { command.pre_exec(move || listener::install(to)) };
    let mut child = command.spawn().map_err(|e| format!("{}: {e}", peer.program.display()))?;
    drop(theirs);
    let measured = measure(&ours, &child, guest);
    // Ended already is as good. The waiting call ends by a kill.
    drop(child.kill());
    match measured {
        Ok(Some(start)) => {
            child.wait()?;
            Ok(start)
        }
        Ok(None) => {
            Err(format!("{} made no KVM_RUN: {}", peer.name, last_words(&mut child)).into())
        }
        Err(error) => Err(format!("{}: {error}", peer.name).into()),
    }
}

fn measure(ours: &UnixDatagram, child: &Child, guest: &Guest) -> Result<Option<Start>, Error> {
    let (listener, begin): (Listener, u64) = listener::receive(ours)?;
    let Some(end) = listener.wait(ENOUGH)? else { return Ok(None) };
    let resident = resident::beyond_guest(child.id(), guest, MEMORY)?;
    Ok(Some(Start { time: Duration::from_nanos(end.saturating_sub(begin)), resident }))
}

fn last_words(child: &mut Child) -> String {
    let mut text = String::new();
    if let Some(mut stderr) = child.stderr.take() {
        // What is not text or cannot be read tells nothing.
        drop(stderr.read_to_string(&mut text));
    }
    let status = child.wait().map_or_else(|error| error.to_string(), |status| status.to_string());
    format!("{status}\n{text}")
}
