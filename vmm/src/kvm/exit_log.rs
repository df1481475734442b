//! What a vCPU left the guest for, recorded for a report on a guest that hangs. Only a vCPU whose
//! exits are recorded has a log: the others pay nothing for it.

use std::time::{Duration, Instant};

/// What a vCPU left the guest for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// `IN` from this port.
    PortRead(u16),
    /// `OUT` to this port.
    PortWrite(u16),
    /// `OUT` to this port, for which the guest was not left: see
    /// [`CoalescedWrites`](crate::kvm::coalesced::CoalescedWrites).
    CoalescedWrite(u16),
    /// A read from this guest-physical address, which is not RAM.
    MemoryRead(u64),
    /// A write to this guest-physical address.
    MemoryWrite(u64),
}

/// Exits listed in a report.
const RECENT: usize = 8;
/// Most places that a loop which polls one of them accesses.
const LOOP: usize = 4;
/// Fewer reads are not called polling.
const POLLS: u64 = 32;

/// How often vCPUs left the guest, by the reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExitCounts {
    /// `IN` from a port.
    pub port_reads: u64,
    /// `OUT` to a port.
    pub port_writes: u64,
    /// Writes to a console that KVM collected without leaving the guest: no exits. They are known
    /// for the whole run, not for each vCPU.
    pub coalesced_writes: u64,
    /// A read from an address that is not RAM.
    pub memory_reads: u64,
    /// A write to an address that is not RAM.
    pub memory_writes: u64,
}

impl ExitCounts {
    fn add(&mut self, access: Access) {
        let count = match access {
            Access::PortRead(_) => &mut self.port_reads,
            Access::PortWrite(_) => &mut self.port_writes,
            Access::CoalescedWrite(_) => return,
            Access::MemoryRead(_) => &mut self.memory_reads,
            Access::MemoryWrite(_) => &mut self.memory_writes,
        };
        *count += 1;
    }

    /// The sum of both.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            port_reads: self.port_reads + other.port_reads,
            port_writes: self.port_writes + other.port_writes,
            coalesced_writes: self.coalesced_writes + other.coalesced_writes,
            memory_reads: self.memory_reads + other.memory_reads,
            memory_writes: self.memory_writes + other.memory_writes,
        }
    }
}

/// The exits of one vCPU since the log was made.
#[derive(Clone, Debug)]
pub struct ExitLog {
    since: Instant,
    exits: u64,
    counts: ExitCounts,
    last: Option<Instant>,
    recent: Vec<Access>,
    /// The position in `recent` of the oldest one, once it is full.
    oldest: usize,
    /// The places accessed since `loop_since`, at most [`LOOP`], and how often.
    accessed: Vec<(Access, u64)>,
    loop_since: Instant,
}

impl ExitLog {
    /// An empty log.
    pub fn new() -> Self {
        let now = Instant::now();
        Self {
            since: now,
            exits: 0,
            counts: ExitCounts::default(),
            last: None,
            recent: Vec::with_capacity(RECENT),
            oldest: 0,
            accessed: Vec::with_capacity(LOOP),
            loop_since: now,
        }
    }

    /// Adds an exit, or a write without one.
    pub fn record(&mut self, access: Access) {
        self.counts.add(access);
        let now = Instant::now();
        if !matches!(access, Access::CoalescedWrite(_)) {
            self.record_exit(access, now);
        }
        if let Some((_, count)) = self.accessed.iter_mut().find(|(known, _)| *known == access) {
            *count += 1;
            return;
        }
        if self.accessed.len() == LOOP {
            self.accessed.clear();
            self.loop_since = now;
        }
        self.accessed.push((access, 1));
    }

    fn record_exit(&mut self, access: Access, now: Instant) {
        self.exits += 1;
        self.last = Some(now);
        if let Some(oldest) = self.recent.get_mut(self.oldest).filter(|_| self.exits > 8) {
            *oldest = access;
            self.oldest = (self.oldest + 1) % RECENT;
        } else {
            self.recent.push(access);
        }
    }

    /// The number of exits, and the time that they took place in.
    pub fn exits(&self) -> (u64, Duration) {
        (self.exits, self.since.elapsed())
    }

    /// The exits by their reason.
    pub fn counts(&self) -> ExitCounts {
        self.counts
    }

    /// The time since the last exit, or since the log was made.
    pub fn quiet(&self) -> Duration {
        self.last.unwrap_or(self.since).elapsed()
    }

    /// The last exits, the oldest first.
    pub fn recent(&self) -> impl Iterator<Item = Access> {
        let (newer, older) = self.recent.split_at(self.oldest);
        older.iter().chain(newer).copied()
    }

    /// The place that the vCPU polls: what it reads, how often it has, and for how long. That is,
    /// it has accessed next to nothing else in that time.
    pub fn polled(&self) -> Option<(Access, u64, Duration)> {
        let all: u64 = self.accessed.iter().map(|(_, count)| count).sum();
        let is_read = |access| matches!(access, Access::PortRead(_) | Access::MemoryRead(_));
        let reads = self.accessed.iter().filter(|(access, _)| is_read(*access));
        let (access, count) = reads.max_by_key(|(_, count)| *count)?;
        let time = self.last?.duration_since(self.loop_since);
        // A loop that does something with each answer writes as often as it reads.
        (*count >= POLLS && *count > all / 2).then_some((*access, *count, time))
    }
}

impl Default for ExitLog {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(accesses: impl IntoIterator<Item = Access>) -> ExitLog {
        let mut log = ExitLog::new();
        accesses.into_iter().for_each(|access| log.record(access));
        log
    }

    #[test]
    fn the_last_exits_are_in_their_order() {
        let ports = |range: std::ops::Range<u16>| range.map(Access::PortRead).collect::<Vec<_>>();
        for count in [0, 1, 7, 8, 9, 15, 16, 17, 30] {
            let expected = ports(count.max(8) - 8..count);
            assert_eq!(log(ports(0..count)).recent().collect::<Vec<_>>(), expected, "{count}");
        }
    }

    #[test]
    fn a_port_that_is_read_again_and_again_is_polled() {
        let timer = Access::PortRead(0x608);
        assert!(log([timer; 31]).polled().is_none());
        assert!(matches!(log([timer; 32]).polled(), Some((found, 32, _)) if found == timer));
        // Whatever came before, and what little comes with it.
        let before = (0..1000).map(Access::PortWrite);
        let loop_of = [timer, Access::PortRead(0x80), timer, Access::PortWrite(0x80), timer];
        let found = log(before.chain(loop_of.into_iter().cycle().take(1000))).polled();
        assert!(matches!(found, Some((found, 550.., _)) if found == timer), "{found:?}");
    }

    #[test]
    fn a_coalesced_write_is_not_counted_as_an_exit() {
        let log = log([Access::PortRead(0x3fd), Access::CoalescedWrite(0x3f8)]);
        assert_eq!(log.recent().collect::<Vec<_>>(), [Access::PortRead(0x3fd)]);
        assert_eq!((log.exits().0, log.counts().port_writes), (1, 0));
    }

    #[test]
    fn exits_are_counted_by_their_reason_and_added_up() {
        let counted = |n: usize, access| vec![access; n];
        let log = log([
            counted(1, Access::PortRead(1)),
            counted(2, Access::PortWrite(1)),
            counted(3, Access::MemoryRead(1)),
            counted(4, Access::MemoryWrite(1)),
            counted(5, Access::CoalescedWrite(1)),
        ]
        .concat());
        let counts = ExitCounts {
            port_reads: 1,
            port_writes: 2,
            coalesced_writes: 0,
            memory_reads: 3,
            memory_writes: 4,
        };
        assert_eq!(log.counts(), counts);
        let (exits, time) = log.exits();
        assert!(exits == 10 && time > Duration::ZERO && time < Duration::from_secs(60));
        let other = ExitCounts {
            port_reads: 10,
            port_writes: 20,
            coalesced_writes: 7,
            memory_reads: 30,
            memory_writes: 40,
        };
        let sum = ExitCounts {
            port_reads: 11,
            port_writes: 22,
            coalesced_writes: 7,
            memory_reads: 33,
            memory_writes: 44,
        };
        assert_eq!((counts.plus(other), other.plus(counts)), (sum, sum));
    }

    #[test]
    fn a_guest_that_prints_or_probes_does_not_poll() {
        let status = Access::PortRead(0x3fd);
        for data in [Access::PortWrite(0x3f8), Access::CoalescedWrite(0x3f8)] {
            assert!(log([status, data].into_iter().cycle().take(1000)).polled().is_none());
        }
        assert!(log((0..1000).map(Access::PortRead)).polled().is_none());
        assert!(log([]).polled().is_none());
    }
}
