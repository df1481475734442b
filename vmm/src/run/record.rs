//! What is known of a run when it is over, for `-json`.

use std::io;
use std::time::{Duration, Instant};

use devices::virtio::net;

use crate::core_dump::Written;
use crate::kvm::examine::CpuReport;
use crate::kvm::exit_log::ExitCounts;
use crate::outcome::Outcome;

/// How a run ended, and what is known of it.
#[derive(Debug)]
pub struct Ended {
    /// How it ended.
    pub outcome: Outcome,
    /// What is known of it.
    pub record: RunRecord,
    /// What was written to the core file; `None` if nothing was to be.
    pub core: Option<io::Result<Written>>,
}

/// What is known of a run.
#[derive(Clone, Debug, Default)]
pub struct RunRecord {
    started: Option<Instant>,
    /// How often the guest was started: 1, and 1 more for each reboot.
    pub boots: u32,
    /// The time since its first instruction.
    pub guest_time: Duration,
    /// Whether it printed anything on a serial port or the debug console.
    pub has_printed: bool,
    /// The vCPUs' exits of all boots, if they were recorded.
    pub exits: Option<ExitCounts>,
    /// What each network card did, in all boots.
    pub cards: Vec<net::Counts>,
    /// What each vCPU was doing at the end, if the exits were recorded, in their order.
    pub cpus: Vec<CpuReport>,
}

impl RunRecord {
    /// The record of a run that starts now.
    #[must_use]
    pub fn new() -> Self {
        Self { started: Some(Instant::now()), ..Self::default() }
    }

    /// Adds a boot of the guest that is over, and what its vCPUs were doing then. Only the last
    /// boot's vCPUs are kept.
    pub fn add_boot(&mut self, cpus: impl IntoIterator<Item = CpuReport>) {
        self.boots += 1;
        self.cpus = cpus.into_iter().collect();
        self.cpus.sort_by_key(|report| report.at.cpu);
        for cpu in &self.cpus {
            self.exits = Some(self.exits.unwrap_or_default().plus(cpu.counts));
        }
    }

    /// The run is over.
    pub fn end(&mut self) {
        self.guest_time = self.started.map(|started| started.elapsed()).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_has_the_time_since_the_start() {
        let mut record = RunRecord::new();
        std::thread::sleep(Duration::from_millis(2));
        assert_eq!(record.guest_time, Duration::ZERO, "it is not over");
        record.end();
        assert!(record.guest_time >= Duration::from_millis(2));
        let mut never = RunRecord::default();
        never.end();
        assert_eq!(never.guest_time, Duration::ZERO);
    }
}
