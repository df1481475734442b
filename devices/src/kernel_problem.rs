//! Problems that a Linux kernel reports on its console and survives: oopses, KASAN errors, lockdep
//! reports and warnings.
//!
//! Sources: arch/x86/kernel/dumpstack.c, arch/x86/mm/fault.c and arch/x86/kernel/traps.c (oops),
//! mm/kasan/report.c, kernel/locking/lockdep.c, kernel/panic.c (`__warn`).

/// A kind of problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KernelProblem {
    /// The kernel hit a bug and killed the task: an oops or a `BUG()`.
    Oops,
    /// The address sanitizer found an invalid access.
    Kasan,
    /// The lock validator found a locking error.
    Lockdep,
    /// A `WARN_ON()`.
    Warning,
}

impl KernelProblem {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::Oops, Self::Kasan, Self::Lockdep, Self::Warning];

    /// Its short name, as the user writes it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Oops => "oops",
            Self::Kasan => "kasan",
            Self::Lockdep => "lockdep",
            Self::Warning => "warn",
        }
    }

    /// What lines that report it begin with, after a time stamp.
    fn beginnings(self) -> &'static [&'static [u8]] {
        match self {
            Self::Oops => &[
                b"BUG: unable to handle",
                b"BUG: kernel NULL pointer dereference",
                b"Oops: ",
                b"kernel BUG at ",
                b"general protection fault",
                b"invalid opcode: ",
                b"divide error: ",
                b"stack segment: ",
            ],
            Self::Kasan => &[b"BUG: KASAN: "],
            Self::Lockdep => &[
                b"WARNING: possible circular locking dependency detected",
                b"WARNING: possible recursive locking detected",
                b"WARNING: possible irq lock inversion dependency detected",
                b"WARNING: HARDIRQ-",
                b"WARNING: SOFTIRQ-",
                b"WARNING: inconsistent lock state",
                b"WARNING: suspicious RCU usage",
                b"WARNING: bad unlock balance detected!",
                b"WARNING: bad contention detected!",
                b"WARNING: held lock freed!",
                b"WARNING: lock held when returning to user space!",
                b"WARNING: Nested lock was not taken",
                b"[ BUG: Invalid wait context ]",
            ],
            Self::Warning => &[b"WARNING: CPU: "],
        }
    }

    /// Whether `line`, without what comes before it, reports this problem.
    fn begins(self, line: &[u8]) -> bool {
        // Since Linux 6.18: `WARNING: FILE:LINE at FUNCTION, CPU#0: TASK/PID`.
        let is_new_warning =
            || line.starts_with(b"WARNING: ") && line.windows(6).any(|window| window == b", CPU#");
        self.beginnings().iter().any(|words| line.starts_with(words))
            || self == Self::Warning && is_new_warning()
    }
}

/// A set of kinds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KernelProblems(u8);

impl KernelProblems {
    /// Adds a kind.
    pub fn insert(&mut self, kind: KernelProblem) {
        self.0 |= 1 << kind as u8;
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether it has this kind.
    #[must_use]
    pub fn contains(self, kind: KernelProblem) -> bool {
        self.0 & 1 << kind as u8 != 0
    }

    /// The problem of this set that `line` reports, and the offset of the report in the line.
    #[must_use]
    pub fn find(self, line: &[u8]) -> Option<(KernelProblem, usize)> {
        if self.is_empty() {
            return None;
        }
        let is_start = |at: usize| at == 0 || matches!(line[at - 1], b' ' | b']' | b'>' | b'\t');
        (0..line.len()).filter(|at| is_start(*at)).find_map(|at| {
            let kinds = KernelProblem::ALL.into_iter().filter(|kind| self.contains(*kind));
            let found = kinds.into_iter().find(|kind| kind.begins(&line[at..]))?;
            Some((found, at))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> KernelProblems {
        let mut all = KernelProblems::default();
        // Inserting a kind again changes nothing.
        KernelProblem::ALL.into_iter().chain(KernelProblem::ALL).for_each(|kind| all.insert(kind));
        all
    }

    #[test]
    fn lines_of_linux_are_recognised() {
        use KernelProblem::{Kasan, Lockdep, Oops, Warning};
        for (line, kind) in [
            ("[    1.5] BUG: kernel NULL pointer dereference, address: 0000000000000000", Oops),
            ("BUG: unable to handle page fault for address: ffffb0", Oops),
            ("<1>[ 1.5] Oops: 0002 [#1] PREEMPT SMP", Oops),
            ("[ 1.5] Oops: general protection fault, probably for non-canonical address", Oops),
            ("general protection fault: 0000 [#1] SMP", Oops),
            ("[ 1.5] kernel BUG at lib/test.c:12!", Oops),
            ("invalid opcode: 0000 [#1] SMP", Oops),
            ("[ 2.0] BUG: KASAN: slab-out-of-bounds in f+0x1/0x2", Kasan),
            ("[ 2.0] WARNING: possible circular locking dependency detected", Lockdep),
            ("WARNING: suspicious RCU usage", Lockdep),
            ("[ 2.0] WARNING: CPU: 0 PID: 1 at kernel/fork.c:1 f+0x1/0x2", Warning),
            ("WARNING: kernel/fork.c:1 at f+0x1/0x2, CPU#1: swapper/1", Warning),
        ] {
            let found = all().find(line.as_bytes());
            assert_eq!(found.map(|(kind, _)| kind), Some(kind), "{line}");
        }
    }

    #[test]
    fn other_lines_are_not_problems() {
        for line in [
            "",
            "[ 1.0] tsc: WARNING",
            "[ 1.0] WARNING: unmet direct dependencies",
            "DEBUG: KASAN: shadow mapping",
            "[ 1.0] debug: unable to handle",
            "[ 1.0] kasan: KernelAddressSanitizer initialized",
            "[ 0.1] Lock dependency validator: Copyright (c) 2006 Red Hat",
        ] {
            assert_eq!(all().find(line.as_bytes()), None, "{line}");
        }
    }

    #[test]
    fn only_kinds_of_the_set_are_found() {
        let mut set = KernelProblems::default();
        assert_eq!(set.find(b"Oops: 0000 [#1]"), None);
        set.insert(KernelProblem::Kasan);
        assert_eq!(set.find(b"Oops: 0000 [#1]"), None);
        assert_eq!(set.find(b"[1] BUG: KASAN: x"), Some((KernelProblem::Kasan, 4)));
    }
}
