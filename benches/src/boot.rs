//! One boot in the lab, on a clock that counts instructions.

use std::fmt;
use std::time::Duration;

use chukka_tests::guest::MARKER;
use chukka_tests::job::Job;
use chukka_tests::lab;

use crate::Error;
use crate::peer::{Guest, Peer};

/// Memory of the outer machine, in MiB.
const OUTER_MEMORY: u32 = 3072;
/// In virtual time: several times what the slowest needs.
const ENOUGH_SECS: u64 = 30;

/// KVM's counters that tell exits apart, with what they are called here. KVM on AMD counts accesses to the interrupt
/// controllers, MSRs and CPUID in none of them.
pub const KINDS: [(&str, &str); 4] = [
    ("ports", "io_exits"),
    ("interrupts", "irq_exits"),
    ("page faults", "pf_taken"),
    ("halts", "halt_exits"),
];

/// What a boot cost up to the first line of userspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Boot {
    /// Since exec.
    pub time: Duration,
    /// All VM exits.
    pub exits: u64,
    /// Those of each of [`KINDS`].
    pub kinds: [u64; KINDS.len()],
}

impl Boot {
    /// Exits of no kind that KVM counts apart.
    #[must_use]
    pub fn other(&self) -> u64 {
        self.exits.saturating_sub(self.kinds.iter().sum())
    }
}

impl fmt::Display for Boot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ns, {} exits", self.time.as_nanos(), self.exits)
    }
}

/// Boots a guest in an outer machine of its own.
///
/// # Errors
/// Where the lab fails, or userspace is not reached; then with what was printed.
pub fn boot(peer: &Peer, guest: &Guest) -> Result<Boot, Error> {
    let program = peer.program.to_string_lossy().into_owned();
    let mut job = Job::new([program].into_iter().chain(peer.args(guest)));
    job = job.mark(MARKER).timeout_secs(ENOUGH_SECS);
    job = job.need(&peer.program).need(&guest.kernel).need(&guest.initrd);
    let reports = lab::icount(&[job], OUTER_MEMORY)?;
    let report = reports.first().ok_or("the lab gave no report")?;
    let Some(mark) = report.mark(MARKER) else {
        let said = report.merged();
        return Err(format!("{}: no userspace: {}\n{said}", peer.name, report.status).into());
    };
    let count = |name: &str| mark.counters.get(name).copied().unwrap_or(0);
    if count("exits") == 0 {
        return Err(format!("{}: KVM's counters were not found", peer.name).into());
    }
    Ok(Boot {
        time: Duration::from_nanos(mark.ns),
        exits: count("exits"),
        kinds: KINDS.map(|(_, counter)| count(counter)),
    })
}
