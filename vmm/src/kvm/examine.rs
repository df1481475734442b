//! What a stopped vCPU was doing.

use std::fmt;
use std::time::Duration;

use kvm_bindings::{KVM_MP_STATE_HALTED, KVM_MP_STATE_INIT_RECEIVED, KVM_MP_STATE_UNINITIALIZED};

use super::apic_timer::Timer;
use super::exit_log::{Access, ExitCounts, ExitLog};
use super::port_names::port_name;
use super::snapshot;
use super::vcpu::Vcpu;
use crate::outcome::CpuSnapshot;

/// The IF flag in RFLAGS.
const INTERRUPT_FLAG: u64 = 1 << 9;
/// A CPU that has run for less time without an exit may just be busy.
const SPINNING: Duration = Duration::from_millis(300);

/// What a vCPU was doing when it was stopped: for a report on a guest that hangs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CpuReport {
    /// Where it was.
    pub at: CpuSnapshot,
    /// Whether it takes interrupts.
    pub interrupts: bool,
    /// What it did.
    pub activity: Activity,
    /// Its last exits, the oldest first, in words.
    pub exits: Vec<String>,
    /// All its exits that were recorded.
    pub counts: ExitCounts,
}

/// What a vCPU did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Activity {
    /// It waits for another CPU to start it.
    NotStarted,
    /// It executed HLT, and its own timer will wake it, or not.
    Halted(Timer),
    /// It reads the same place again and again: which, how often, for how long.
    Polls(String, u64, Duration),
    /// It has executed instructions for this time without leaving the guest.
    Spins(Duration),
    /// It left the guest this often in this time.
    Runs(u64, Duration),
}

impl Vcpu {
    /// What this vCPU, which must be stopped, was doing.
    pub fn examine(&mut self) -> CpuReport {
        let at = snapshot::take(&mut self.fd, self.cpu, &self.ram);
        let flags = self.fd.get_regs().map(|regs| regs.rflags).unwrap_or_default();
        let log = self.log.as_deref();
        let activity = match self.fd.get_mp_state().map(|state| state.mp_state) {
            Ok(KVM_MP_STATE_UNINITIALIZED | KVM_MP_STATE_INIT_RECEIVED) => Activity::NotStarted,
            Ok(KVM_MP_STATE_HALTED) => Activity::Halted(Timer::of(&self.fd)),
            _ => log.map_or(Activity::Runs(0, Duration::ZERO), |log| self.running(log)),
        };
        let exits = log.into_iter().flat_map(ExitLog::recent).map(|exit| self.name(exit)).collect();
        let counts = log.map(ExitLog::counts).unwrap_or_default();
        CpuReport { at, interrupts: flags & INTERRUPT_FLAG != 0, activity, exits, counts }
    }

    fn running(&self, log: &ExitLog) -> Activity {
        let quiet = log.quiet();
        if quiet >= SPINNING {
            return Activity::Spins(quiet);
        }
        if let Some((access, count, time)) = log.polled() {
            return Activity::Polls(self.name(access), count, time);
        }
        let (exits, time) = log.exits();
        Activity::Runs(exits, time)
    }

    /// An exit in words, with what is there.
    fn name(&self, access: Access) -> String {
        let port = |port: u16| match port_name(port) {
            _ if !self.bus.has_port(port) => format!("port {port:#x} (no device)"),
            Some(name) => format!("port {port:#x} ({name})"),
            None => format!("port {port:#x}"),
        };
        match access {
            Access::PortRead(at) => port(at),
            Access::PortWrite(at) | Access::CoalescedWrite(at) => format!("write to {}", port(at)),
            Access::MemoryRead(at) => format!("address {at:#x}"),
            Access::MemoryWrite(at) => format!("write to address {at:#x}"),
        }
    }
}

impl CpuReport {
    /// What the vCPU did, as a sentence.
    #[must_use]
    pub fn sentence(&self) -> String {
        let cpu = self.at.cpu;
        let off = if self.interrupts { "" } else { ", with interrupts off" };
        let seconds = |time: &Duration| format!("{:.1} s", time.as_secs_f64());
        match &self.activity {
            Activity::NotStarted => format!("CPU {cpu} has not been started by the guest"),
            Activity::Halted(timer) if self.interrupts => {
                let off = if *timer == Timer::Off { ", and its timer is off" } else { "" };
                format!("CPU {cpu} is halted until the next interrupt{off}")
            }
            Activity::Halted(_) => {
                format!("CPU {cpu} is halted with interrupts off: only an NMI or a reset wakes it")
            }
            Activity::Polls(place, count, time) => {
                format!("CPU {cpu} has polled {place} for {}: {count} reads{off}", seconds(time))
            }
            Activity::Spins(time) => {
                let time = seconds(time);
                format!("CPU {cpu} has run for {time} without leaving the guest{off}")
            }
            Activity::Runs(_, Duration::ZERO) => format!("CPU {cpu} runs{off}"),
            Activity::Runs(exits, time) => {
                format!("CPU {cpu} runs: it left the guest {exits} times in {}{off}", seconds(time))
            }
        }
    }
}

impl fmt::Display for CpuReport {
    /// The details, after [`Self::sentence`].
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.at)?;
        let mut exits = self.exits.iter().peekable();
        let mut separator = "; last exits: ";
        while let Some(exit) = exits.next() {
            let mut count = 1;
            while exits.next_if_eq(&exit).is_some() {
                count += 1;
            }
            write!(f, "{separator}{exit}")?;
            if count > 1 {
                write!(f, ", {count} times")?;
            }
            separator = "; ";
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(activity: Activity, interrupts: bool) -> CpuReport {
        let at =
            CpuSnapshot { cpu: 3, rip: 0x1000, mode: 64, bytes: vec![0xf4], ..Default::default() };
        CpuReport { at, interrupts, activity, exits: Vec::new(), counts: ExitCounts::default() }
    }

    #[test]
    fn each_activity_has_its_sentence() {
        let time = Duration::from_millis(9_810);
        let place = || "port 0x608 (ACPI timer)".to_owned();
        for (activity, interrupts, expected) in [
            (Activity::NotStarted, false, "CPU 3 has not been started by the guest"),
            (Activity::Halted(Timer::On), true, "CPU 3 is halted until the next interrupt"),
            (
                Activity::Halted(Timer::Off),
                true,
                "CPU 3 is halted until the next interrupt, and its timer is off",
            ),
            (
                Activity::Halted(Timer::Off),
                false,
                "CPU 3 is halted with interrupts off: only an NMI or a reset wakes it",
            ),
            (
                Activity::Polls(place(), 700, time),
                true,
                "CPU 3 has polled port 0x608 (ACPI timer) for 9.8 s: 700 reads",
            ),
            (
                Activity::Spins(time),
                false,
                "CPU 3 has run for 9.8 s without leaving the guest, with interrupts off",
            ),
            (Activity::Runs(7, time), true, "CPU 3 runs: it left the guest 7 times in 9.8 s"),
        ] {
            assert_eq!(report(activity, interrupts).sentence(), expected);
        }
    }

    #[test]
    fn equal_exits_are_counted() {
        let mut report = report(Activity::Halted(Timer::On), true);
        report.exits = ["a", "a", "b", "a"].map(str::to_owned).to_vec();
        let text = report.to_string();
        assert!(text.ends_with("bytes f4; last exits: a, 2 times; b; a"), "{text}");
    }

    #[test]
    fn a_report_has_the_interrupt_flag_and_names_of_ports() {
        let Some(mut guest) = crate::tests::Guest::new(&[]) else { return };
        let vcpu = &mut guest.vcpus[0];
        for (rflags, interrupts) in [(0x2, false), (0x202, true), (0x102, false)] {
            let mut regs = vcpu.fd.get_regs().unwrap();
            regs.rflags = rflags;
            vcpu.fd.set_regs(&regs).unwrap();
            assert_eq!(vcpu.examine().interrupts, interrupts, "{rflags:x}");
        }
        assert!(vcpu.name(Access::PortRead(0x3f8)).starts_with("port 0x3f8 ("));
        assert_ne!(vcpu.name(Access::PortRead(0x3f8)), "port 0x3f8 (no device)");
        assert_eq!(vcpu.name(Access::PortWrite(0x608)), "write to port 0x608 (no device)");
        assert_eq!(vcpu.name(Access::MemoryWrite(0xfeb0_0000)), "write to address 0xfeb00000");
    }
}
