//! Boots in the lab, on a clock that counts instructions.

use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use chukka_tests::job::{Job, Report};
use chukka_tests::lab;

use crate::Error;
use crate::peer::{Guest, Peer};
use crate::resident;

/// Memory of the outer machine, in MiB.
pub const OUTER_MEMORY: u32 = 3072;
/// The memory that every peer gives its guest (`-m 256`), in bytes.
const GUEST_MEMORY: u64 = 256 << 20;
/// In virtual time: several times what the slowest needs.
const ENOUGH_SECS: u64 = 15;

/// KVM's counters that tell exits apart, with what they are called here. KVM on AMD counts accesses
/// to the interrupt controllers, MSRs and CPUID in none of them.
const KINDS: [(&str, &str); 4] = [
    ("ports", "io_exits"),
    ("interrupts", "irq_exits"),
    ("page faults", "pf_taken"),
    ("halts", "halt_exits"),
];

/// A guest that is booted until it prints something.
#[derive(Debug, Clone)]
pub struct Stage {
    /// The guest.
    pub guest: Guest,
    /// What it prints.
    pub mark: &'static str,
}

impl Stage {
    /// The job of a VMM that boots the guest; it ends with the mark.
    #[must_use]
    pub fn job(&self, peer: &Peer) -> Job {
        let program = peer.program.to_string_lossy().into_owned();
        let job = Job::new([program].into_iter().chain(peer.args(&self.guest)));
        let job =
            job.mark(self.mark).when(self.mark, chukka_tests::job::Act::Signal(libc::SIGKILL));
        let job = job.need(&peer.program).need(&self.guest.kernel).need(&self.guest.initrd);
        let mut job = peer.files.iter().fold(job, |job, file| job.need(file));
        job.proc_files.push("smaps".into());
        job.timeout_secs(ENOUGH_SECS)
    }
}

/// What a boot cost up to the mark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Boot {
    /// Since exec.
    pub time: Duration,
    /// All VM exits.
    pub exits: u64,
    /// What the VMM has in memory beyond the guest's, in KiB.
    pub resident_kib: u64,
    kinds: [u64; KINDS.len()],
}

impl Boot {
    /// What a stage's job reported.
    ///
    /// # Errors
    /// The mark was not reached, or KVM's counters or the guest's memory were not found.
    pub fn of(report: &Report, stage: &Stage, peer: &Peer) -> Result<Self, Error> {
        let Some(mark) = report.mark(stage.mark) else {
            let (name, said) = (&peer.name, report.merged());
            return Err(format!("{name}: no {:?}: {}\n{said}", stage.mark, report.status).into());
        };
        let count = |name: &str| mark.counters.get(name).copied().unwrap_or(0);
        if count("exits") == 0 {
            return Err(format!("{}: KVM's counters were not found", peer.name).into());
        }
        let smaps = mark.proc_files.get("smaps").map_or("", String::as_str);
        let resident = resident::in_smaps(smaps, &stage.guest, GUEST_MEMORY)
            .map_err(|error| format!("{}: {error}", peer.name))?;
        Ok(Self {
            time: Duration::from_nanos(mark.ns),
            exits: count("exits"),
            resident_kib: resident.rss,
            kinds: KINDS.map(|(_, counter)| count(counter)),
        })
    }

    /// What the cells of [`Boot::kinds`] are about.
    #[must_use]
    pub fn kind_headings() -> Vec<String> {
        KINDS.iter().map(|(kind, _)| *kind).chain(["other"]).map(String::from).collect()
    }

    /// The exits of each kind by name, "other" for those that KVM does not count apart.
    #[must_use]
    pub fn by_kind(&self) -> Vec<(&'static str, u64)> {
        let other = self.exits.saturating_sub(self.kinds.iter().sum());
        let names = KINDS.iter().map(|(kind, _)| *kind);
        names.zip(self.kinds).chain([("other", other)]).collect()
    }

    /// Exits of each kind, and those of no kind that KVM counts apart.
    #[must_use]
    pub fn kinds(&self) -> Vec<String> {
        let other = self.exits.saturating_sub(self.kinds.iter().sum());
        self.kinds.iter().chain([&other]).map(ToString::to_string).collect()
    }
}

impl fmt::Display for Boot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ns, {} exits", self.time.as_nanos(), self.exits)
    }
}

/// A VMM and the stages for which it is measured.
#[derive(Debug)]
pub struct Case {
    /// The VMM.
    pub peer: Peer,
    /// All in one outer machine, one after the other.
    pub stages: Vec<Stage>,
}

impl Case {
    /// The stages, in an outer machine of their own.
    fn boot(&self) -> Result<Vec<Boot>, Error> {
        let jobs: Vec<Job> = self.stages.iter().map(|stage| stage.job(&self.peer)).collect();
        let reports = lab::icount(&jobs, OUTER_MEMORY)?;
        let boots = reports.iter().zip(&self.stages);
        boots.map(|(report, stage)| Boot::of(report, stage, &self.peer)).collect()
    }
}

/// What was measured: the stages of each case, and what was not the same each time.
#[derive(Debug)]
pub struct Boots {
    /// For each case its stages.
    pub cases: Vec<Vec<Boot>>,
    /// Remarks, where a number is not to be relied on.
    pub remarks: Vec<String>,
}

/// Boots every case `times` times, one boot per processor at once: boots do not affect each other's
/// clocks.
///
/// # Errors
/// If the lab fails, or a mark is not reached; then with what was printed.
pub fn all(cases: &[Case], times: usize) -> Result<Boots, Error> {
    let all: Vec<&Case> = cases.iter().flat_map(|case| vec![case; times]).collect();
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some((at, case)) = Some(next.fetch_add(1, Ordering::Relaxed))
                    .and_then(|at| Some((at, all.get(at)?)))
                {
                    let boots = case.boot().map_err(|e| e.to_string());
                    if let Ok(mut done) = done.lock() {
                        done.push((at, boots));
                    }
                }
            });
        }
    });
    let mut done = done.into_inner().map_err(|_| "a boot panicked")?;
    done.sort_by_key(|(at, _)| *at);
    let done = done.into_iter().map(|(_, boots)| boots.map_err(Error::from));
    let done: Vec<Vec<Boot>> = done.collect::<Result<_, _>>()?;
    Ok(gather(cases, &done, times))
}

fn gather(cases: &[Case], done: &[Vec<Boot>], times: usize) -> Boots {
    let mut boots = Boots { cases: Vec::new(), remarks: Vec::new() };
    for (case, same) in cases.iter().zip(done.chunks(times.max(1))) {
        for other in same.iter().skip(1).filter(|other| **other != same[0]) {
            for (one, other) in same[0].iter().zip(other).filter(|(one, other)| one != other) {
                boots.remarks.push(format!("not repeatable: {}: {one}; {other}", case.peer.name));
            }
        }
        boots.cases.push(same[0].clone());
    }
    boots
}
