//! Breakpoints and watchpoints: those in the CPUs' debug registers, and those in memory.

use std::collections::BTreeMap;

use gdbstub::target::ext::breakpoints::WatchKind;
use kvm_bindings::{
    KVM_GUESTDBG_ENABLE, KVM_GUESTDBG_USE_HW_BP, KVM_GUESTDBG_USE_SW_BP, kvm_guest_debug,
};

/// The instruction INT3.
pub const INT3: u8 = 0xcc;

/// Number of address registers, DR0 to DR3.
const REGISTERS: usize = 4;
/// DR7 with nothing enabled: bit 10 is always 1, and bit 9 (GE) makes old processors report exactly
/// (Intel SDM vol. 3, 18.2.4).
const DR7: u64 = 0x600;

/// What a debug register watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HardwarePoint {
    /// A linear address.
    pub address: u64,
    /// The size in bytes of what is watched: 1, 2, 4 or 8.
    pub size: u64,
    /// What kind of access; `None`: execution.
    pub watch: Option<WatchKind>,
}

impl HardwarePoint {
    /// Its fields R/W and LEN of DR7, or `None` if the processor cannot do that: it watches whole
    /// units of 1, 2, 4 or 8 bytes, and cannot tell reads from writes.
    fn condition(self) -> Option<u64> {
        let access = match self.watch {
            None => 0,
            Some(WatchKind::Write) => 1,
            Some(WatchKind::ReadWrite) => 3,
            Some(WatchKind::Read) => return None,
        };
        let length = match self.size {
            1 => 0,
            2 => 1,
            4 => 3,
            8 => 2,
            _ => return None,
        };
        self.address.is_multiple_of(self.size).then_some(access | length << 2)
    }
}

/// What has been overwritten by an INT3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overwritten {
    /// Where: a guest-physical address. The guest's page tables may change meanwhile.
    pub physical: u64,
    /// The byte that was there.
    pub byte: u8,
}

/// The breakpoints and watchpoints of a session.
#[derive(Debug, Default)]
pub struct Breakpoints {
    hardware: [Option<HardwarePoint>; REGISTERS],
    /// By linear address.
    pub software: BTreeMap<u64, Overwritten>,
}

impl Breakpoints {
    /// Adds a breakpoint or watchpoint. Returns false if the processor cannot watch that, or has no
    /// register left.
    pub fn add(&mut self, point: HardwarePoint) -> bool {
        if point.condition().is_none() {
            return false;
        }
        if self.hardware.contains(&Some(point)) {
            return true;
        }
        let free = self.hardware.iter_mut().find(|register| register.is_none());
        free.map(|register| *register = Some(point)).is_some()
    }

    /// Removes it. Returns false if it is not there.
    pub fn remove(&mut self, point: HardwarePoint) -> bool {
        let found = self.hardware.iter_mut().find(|register| **register == Some(point));
        found.map(|register| *register = None).is_some()
    }

    /// Forgets those in debug registers.
    pub fn clear_hardware(&mut self) {
        self.hardware = [None; REGISTERS];
    }

    /// The first of those that DR6 names.
    pub fn hit(&self, dr6: u64) -> Option<HardwarePoint> {
        let mut registers = self.hardware.iter().enumerate();
        registers.find_map(|(n, register)| register.filter(|_| dr6 & 1 << n != 0))
    }

    /// What KVM needs to know of them.
    pub fn control(&self) -> kvm_guest_debug {
        let mut debug = kvm_guest_debug::default();
        if !self.software.is_empty() {
            debug.control |= KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_SW_BP;
        }
        let mut dr7 = DR7;
        for (n, point) in self.hardware.iter().enumerate() {
            let Some((point, condition)) = point.and_then(|p| p.condition().map(|c| (p, c))) else {
                continue;
            };
            debug.control |= KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP;
            debug.arch.debugreg[n] = point.address;
            // The global enable bit, and the condition.
            dr7 |= 2 << (2 * n) | condition << (16 + 4 * n);
        }
        debug.arch.debugreg[7] = dr7;
        debug
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(address: u64, size: u64, watch: Option<WatchKind>) -> HardwarePoint {
        HardwarePoint { address, size, watch }
    }

    #[test]
    fn there_are_four_debug_registers() {
        let mut points = Breakpoints::default();
        assert!((0..4).all(|n| points.add(point(n, 1, None))));
        assert!(points.add(point(3, 1, None)), "it is there already");
        assert!(!points.add(point(4, 1, None)));
        assert!(points.remove(point(1, 1, None)) && !points.remove(point(1, 1, None)));
        assert!(points.add(point(4, 1, None)));
        assert_eq!(points.hit(0b10), Some(point(4, 1, None)), "the free register was taken");
        assert_eq!(points.hit(0), None);
    }

    #[test]
    fn what_the_processor_cannot_watch_is_refused() {
        let mut points = Breakpoints::default();
        for (address, size, kind) in [
            (0, 8, WatchKind::Read),
            (1, 2, WatchKind::Write),
            (4, 8, WatchKind::Write),
            (0, 3, WatchKind::Write),
            (0, 16, WatchKind::Write),
            (0, 0, WatchKind::Write),
        ] {
            assert!(!points.add(point(address, size, Some(kind))), "{address} {size} {kind:?}");
        }
    }

    #[test]
    fn dr7_is_as_in_the_manual() {
        let mut points = Breakpoints::default();
        assert_eq!(points.control().control, 0, "nothing costs nothing");
        points.add(point(0x1000, 1, None));
        points.add(point(0x2000, 8, Some(WatchKind::Write)));
        points.add(point(0x3000, 4, Some(WatchKind::ReadWrite)));
        let debug = points.control();
        assert_eq!(debug.control, KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP);
        assert_eq!(debug.arch.debugreg[..3], [0x1000, 0x2000, 0x3000]);
        // G0, G1, G2; LEN1 10, R/W1 01; LEN2 11, R/W2 11
        assert_eq!(debug.arch.debugreg[7], 0x600 | 0b10_1010 | 0b1111_1001_0000 << 16);
        points.add(point(0x4002, 2, Some(WatchKind::Write)));
        let debug = points.control();
        assert_eq!(debug.control, KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP);
        // G3; LEN3 01, R/W3 01
        assert_eq!(debug.arch.debugreg[7], 0x600 | 0b1010_1010 | 0b0101_1111_1001_0000 << 16);
    }

    #[test]
    fn breakpoints_in_memory_and_in_registers_work_together() {
        let mut points = Breakpoints::default();
        points.software.insert(0x5000, Overwritten { physical: 0x5000, byte: 0x90 });
        let software = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_SW_BP;
        assert_eq!(points.control().control, software);
        points.add(point(0x1000, 1, None));
        assert_eq!(points.control().control, software | KVM_GUESTDBG_USE_HW_BP);
        points.clear_hardware();
        assert_eq!(points.control().control, software);
    }
}
