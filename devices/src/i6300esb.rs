//! The watchdog of an Intel 6300ESB: QEMU's `i6300esb`. A guest that has enabled it and no longer
//! reloads it is reset.
//!
//! Source: Intel 6300ESB I/O Controller Hub data sheet, chapter 16 ("Watch Dog Timer"); QEMU's
//! hw/watchdog/wdt_i6300esb.c; Linux' drivers/watchdog/i6300esb.c.
//!
//! PCI function 8086:25ab, without an interrupt. Each register answers accesses of its own width
//! only, as in QEMU:
//!
//! | where | width | register | |
//! |---|---|---|---|
//! | configuration space, 0x60 | 16 | configuration | bit 2: ticks of 2^5 instead of 2^15 PCI clocks; bit 5: no reset; bits 1:0: stored |
//! | configuration space, 0x68 | 8 | lock | bit 0: this register can no longer be written; bit 1: enabled; bit 2: begin again after the second stage |
//! | BAR 0, 0x00 and 0x04 | 32 | timer 1 and 2 | ticks of the first and second stage, 20 bits, write-only |
//! | BAR 0, 0x0c | 16 | reload | bit 8: begin again; bits 9 and 12 (Linux): it has reset the machine, cleared by writing 1 |
//!
//! The registers in memory take one write after 0x80 and 0x86 have been written to 0x0c.
//!
//! A PCI clock takes 30 ns. Bits 1:0 of the configuration select the interrupt after the first
//! stage, which is not sent: QEMU sends none.

use std::fmt;
use std::time::Duration;

use crate::pci::bar::{MemoryBar, MemoryBars};
use crate::pci::bar_space::BarSpace;
use crate::pci::bus::Devfn;
use crate::pci::function::{ConfigSpace, Identity, PciFunction};

/// The function's address on the bus: beside those of the PIIX, where no other device is.
pub const PLACE: Devfn = Devfn::new(1, 4);
/// BAR 0: the registers.
pub const REGISTER_BAR: MemoryBar = MemoryBar { number: 0, size: 0x10, is_64_bit: false };

const IDENTITY: Identity = Identity {
    vendor: 0x8086,
    device: 0x25ab,
    revision: 0,
    class: 0x08_80_00,
    subsystem_vendor: 0x1af4,
    subsystem: 0x1100,
};

const CONFIGURATION: u8 = 0x60;
const LOCK: u8 = 0x68;
const TIMER_1: u64 = 0x00;
const TIMER_2: u64 = 0x04;
const RELOAD: u64 = 0x0c;

const INTERRUPT_BITS: u16 = 0b11;
const FAST: u16 = 1 << 2;
const NO_RESET: u16 = 1 << 5;

const LOCKED: u8 = 1 << 0;
const ENABLED: u8 = 1 << 1;
const FREE_RUNNING: u8 = 1 << 2;

const BEGIN_AGAIN: u32 = 1 << 8;
const HAS_RESET: u32 = 1 << 9 | 1 << 12;

const UNLOCK_1: u32 = 0x80;
const UNLOCK_2: u32 = 0x86;

/// The bits of a timer, and its value after a reset.
const TICKS: u32 = 0xf_ffff;
const PCI_CLOCK: Duration = Duration::from_nanos(30);
/// The shortest stage: a guest cannot keep the timer expiring.
const SHORTEST: Duration = Duration::from_millis(1);

/// The timer that the device sets.
pub trait Countdown: Send {
    /// Has [`I6300Esb::elapsed`] called after `time`, which replaces an earlier setting; `None`:
    /// never.
    fn set(&self, time: Option<Duration>);
}

/// How far the registers in memory are unlocked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unlocking {
    Locked,
    Half,
    Unlocked,
}

/// The registers, which a reset sets.
#[derive(Clone, Copy, Debug)]
struct Registers {
    configuration: u16,
    lock: u8,
    timers: [u32; 2],
    unlocking: Unlocking,
    /// Whether the second stage runs.
    is_second_stage: bool,
}

const AFTER_RESET: Registers = Registers {
    configuration: 0,
    lock: 0,
    timers: [TICKS; 2],
    unlocking: Unlocking::Locked,
    is_second_stage: false,
};

/// The watchdog.
pub struct I6300Esb {
    config: BarSpace,
    countdown: Box<dyn Countdown>,
    registers: Registers,
    /// It has expired since the guest last cleared this: a reset does not clear it.
    has_reset: bool,
}

impl I6300Esb {
    /// Creates a watchdog that is not enabled.
    pub fn new(countdown: Box<dyn Countdown>) -> Self {
        let config = REGISTER_BAR.add_to(ConfigSpace::type_0(&IDENTITY));
        let config = BarSpace::new(config, &[REGISTER_BAR]);
        Self { config, countdown, registers: AFTER_RESET, has_reset: false }
    }

    /// The configuration space, which places the BAR.
    pub fn config_mut(&mut self) -> &mut BarSpace {
        &mut self.config
    }

    /// The time of the [`Countdown`] has elapsed. Returns whether the watchdog has expired, and the
    /// machine must be reset.
    #[must_use]
    pub fn elapsed(&mut self) -> bool {
        if self.registers.lock & ENABLED == 0 {
            return false;
        }
        if !self.registers.is_second_stage {
            self.begin(true);
            return false;
        }
        let expires = self.registers.configuration & NO_RESET == 0;
        let begins_again = self.registers.lock & FREE_RUNNING != 0;
        if expires {
            self.has_reset = true;
            self.registers = AFTER_RESET;
        } else if begins_again {
            self.begin(false);
        }
        expires
    }

    /// Begins a stage, if the watchdog is enabled.
    fn begin(&mut self, second_stage: bool) {
        if self.registers.lock & ENABLED == 0 {
            return;
        }
        self.registers.is_second_stage = second_stage;
        let shift = if self.registers.configuration & FAST == 0 { 15 } else { 5 };
        let ticks = self.registers.timers[usize::from(second_stage)];
        let clocks = u64::from(ticks) << shift;
        let nanoseconds = u64::from(PCI_CLOCK.subsec_nanos()) * clocks;
        self.countdown.set(Some(Duration::from_nanos(nanoseconds).max(SHORTEST)));
    }

    fn write_lock(&mut self, value: u8) {
        if self.registers.lock & LOCKED != 0 {
            return;
        }
        let was_enabled = self.registers.lock & ENABLED != 0;
        self.registers.lock = value & (LOCKED | ENABLED | FREE_RUNNING);
        match (was_enabled, value & ENABLED != 0) {
            (false, true) => self.begin(false),
            (_, false) => self.countdown.set(None),
            (true, true) => {}
        }
    }

    fn write_register(&mut self, offset: u64, width: usize, value: u32) {
        let unlocking = self.registers.unlocking;
        match (offset, value) {
            (RELOAD, UNLOCK_1) => self.registers.unlocking = Unlocking::Half,
            (RELOAD, UNLOCK_2) if unlocking == Unlocking::Half => {
                self.registers.unlocking = Unlocking::Unlocked;
            }
            _ if unlocking == Unlocking::Unlocked && width > 1 => {
                self.registers.unlocking = Unlocking::Locked;
                match (offset, width) {
                    (TIMER_1, 4) => self.registers.timers[0] = value & TICKS,
                    (TIMER_2, 4) => self.registers.timers[1] = value & TICKS,
                    (RELOAD, 2) => {
                        self.has_reset &= value & HAS_RESET == 0;
                        if value & BEGIN_AGAIN != 0 {
                            self.begin(false);
                        }
                    }
                    _ => {}
                }
            }
            _ => {}
        }
    }
}

impl MemoryBars for I6300Esb {
    fn read_bar(&mut self, _: u8, offset: u64, data: &mut [u8]) {
        data.fill(0);
        if let (RELOAD, [low, high]) = (offset, data)
            && self.has_reset
        {
            let [a, b, ..] = HAS_RESET.to_le_bytes();
            (*low, *high) = (a, b);
        }
    }

    fn write_bar(&mut self, _: u8, offset: u64, data: &[u8]) {
        let mut value = [0; 4];
        if let (1 | 2 | 4, Some(bytes)) = (data.len(), value.get_mut(..data.len())) {
            bytes.copy_from_slice(data);
            self.write_register(offset, data.len(), u32::from_le_bytes(value));
        }
    }
}

impl PciFunction for I6300Esb {
    fn read_config(&mut self, offset: u8, data: &mut [u8]) {
        match (offset, &mut *data) {
            (CONFIGURATION, [_, _]) => {
                data.copy_from_slice(&self.registers.configuration.to_le_bytes());
            }
            (LOCK, [byte]) => *byte = self.registers.lock,
            _ => self.config.read_config(offset, data),
        }
    }

    fn write_config(&mut self, offset: u8, data: &[u8]) {
        match (offset, data) {
            (CONFIGURATION, &[low, high]) => {
                let value = u16::from_le_bytes([low, high]);
                self.registers.configuration = value & (INTERRUPT_BITS | FAST | NO_RESET);
            }
            (LOCK, &[value]) => self.write_lock(value),
            _ => {
                self.config.write_config(offset, data);
                self.config.place();
            }
        }
    }

    fn reset(&mut self) {
        self.countdown.set(None);
        self.registers = AFTER_RESET;
        self.config.reset();
        self.config.place();
    }
}

impl fmt::Debug for I6300Esb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("I6300Esb");
        debug.field("registers", &self.registers).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// The time that was last set.
    #[derive(Clone, Default)]
    struct Last(Arc<Mutex<Option<Duration>>>);

    impl Countdown for Last {
        fn set(&self, time: Option<Duration>) {
            *self.0.lock().unwrap() = time;
        }
    }

    struct Guest {
        device: I6300Esb,
        last: Last,
    }

    impl Guest {
        fn new() -> Self {
            let last = Last::default();
            Self { device: I6300Esb::new(Box::new(last.clone())), last }
        }

        fn write(&mut self, offset: u64, data: &[u8]) {
            self.device.write_bar(0, offset, data);
        }

        fn unlock(&mut self) {
            self.write(RELOAD, &[0x80]);
            self.write(RELOAD, &[0x86]);
        }

        /// As Linux does: half the time for each stage, in ticks of about a millisecond.
        fn enable(&mut self, ticks: u32) {
            self.device.write_config(CONFIGURATION, &[3, 0]);
            for timer in [TIMER_1, TIMER_2] {
                self.unlock();
                self.write(timer, &ticks.to_le_bytes());
            }
            self.unlock();
            self.write(RELOAD, &[0, 1]);
            self.device.write_config(LOCK, &[ENABLED]);
        }

        fn set(&self) -> Option<Duration> {
            *self.last.0.lock().unwrap()
        }

        fn lock(&mut self) -> u8 {
            let mut byte = [0];
            self.device.read_config(LOCK, &mut byte);
            byte[0]
        }

        fn reload(&mut self) -> u16 {
            let mut word = [0; 2];
            self.device.read_bar(0, RELOAD, &mut word);
            u16::from_le_bytes(word)
        }
    }

    #[test]
    fn the_guest_finds_the_function_that_linux_looks_for() {
        let mut config = [0; 16];
        let mut guest = Guest::new();
        for (offset, chunk) in (0..).step_by(4).zip(config.chunks_mut(4)) {
            guest.device.read_config(offset, chunk);
        }
        assert_eq!(config[..4], [0x86, 0x80, 0xab, 0x25]);
        assert_eq!(config[9..12], [0, 0x80, 0x08], "a system device");
        guest.device.write_config(0x10, &[0xff; 4]);
        guest.device.read_config(0x10, &mut config[..4]);
        assert_eq!(config[..4], [0xf0, 0xff, 0xff, 0xff], "16 bytes of registers");
    }

    #[test]
    fn a_guest_that_does_not_reload_it_is_reset_after_two_stages() {
        let mut guest = Guest::new();
        assert_eq!(guest.set(), None, "it costs nothing");
        guest.enable(1 << 10);
        let stage = Duration::from_nanos((1 << 25) * 30);
        assert_eq!(guest.set(), Some(stage));
        assert!(!guest.device.elapsed(), "the first stage");
        assert_eq!((guest.set(), guest.reload()), (Some(stage), 0));
        assert!(guest.device.elapsed(), "the second");
        assert_eq!((guest.reload(), guest.lock()), (0x1200, 0));
        assert!(!guest.device.elapsed(), "it is off");
        guest.device.reset();
        assert_eq!((guest.reload(), guest.set()), (0x1200, None), "the next boot sees why");
        guest.unlock();
        guest.write(RELOAD, &[0, 0x10]);
        assert_eq!(guest.reload(), 0);
    }

    #[test]
    fn a_reload_begins_the_first_stage_again() {
        let mut guest = Guest::new();
        guest.enable(100);
        assert!(!guest.device.elapsed());
        guest.unlock();
        guest.write(RELOAD, &[0, 1]);
        assert!(!guest.device.elapsed(), "the first stage again");
        assert!(guest.device.elapsed());
    }

    #[test]
    fn registers_in_memory_are_locked_and_have_a_width() {
        let mut guest = Guest::new();
        guest.enable(7);
        let stage = guest.set();
        // Locked; half unlocked; unlocked for one write only; another width.
        guest.write(TIMER_1, &[9, 0, 0, 0]);
        guest.write(RELOAD, &[0x86]);
        guest.write(TIMER_1, &[9, 0, 0, 0]);
        guest.unlock();
        guest.write(TIMER_2, &[7, 0, 0, 0]);
        guest.write(TIMER_1, &[9, 0, 0, 0]);
        guest.unlock();
        guest.write(TIMER_1, &[9, 0]);
        guest.unlock();
        guest.write(RELOAD, &[0, 1, 0, 0]);
        guest.write(0xfff0, &[1; 8]);
        guest.unlock();
        guest.write(RELOAD, &[0, 1]);
        assert_eq!(guest.set(), stage);
        // 0x80 and 0x86 may be of any width. A timer has 20 bits.
        guest.write(RELOAD, &[0x80, 0]);
        guest.write(RELOAD, &[0x86, 0, 0, 0]);
        guest.write(TIMER_1, &[9, 0, 0xf0, 0xff]);
        guest.unlock();
        guest.write(RELOAD, &[0, 1]);
        assert_eq!(guest.set(), Some(Duration::from_nanos((9 << 15) * 30)));
    }

    #[test]
    fn the_lock_register_is_final_once_it_is_locked() {
        let mut guest = Guest::new();
        guest.enable(5);
        guest.device.write_config(LOCK, &[0]);
        assert_eq!((guest.set(), guest.lock()), (None, 0), "disabled");
        guest.device.write_config(LOCK, &[0xff]);
        assert_eq!(guest.lock(), LOCKED | ENABLED | FREE_RUNNING);
        guest.device.write_config(LOCK, &[0]);
        assert_eq!(guest.lock(), LOCKED | ENABLED | FREE_RUNNING);
        guest.device.write_config(LOCK, &[0, 0]);
        assert!(guest.set().is_some(), "another width");
        guest.device.reset();
        assert_eq!(guest.lock(), 0);
    }

    #[test]
    fn the_configuration_register_sets_the_ticks_and_what_follows() {
        let mut guest = Guest::new();
        guest.enable(1 << 16);
        guest.device.write_config(LOCK, &[0]);
        guest.device.write_config(CONFIGURATION, &[0xff, 0xff]);
        let mut word = [0; 2];
        guest.device.read_config(CONFIGURATION, &mut word);
        assert_eq!(word, [0x27, 0]);
        guest.device.write_config(LOCK, &[ENABLED | FREE_RUNNING]);
        let stage = Some(Duration::from_nanos((1 << 21) * 30));
        assert_eq!(guest.set(), stage);
        for _ in 0..2 {
            assert!(!guest.device.elapsed());
            guest.last.set(None);
            assert!(!guest.device.elapsed(), "without a reset it only begins again");
            assert_eq!((guest.set(), guest.reload()), (stage, 0));
        }
        for timer in [TIMER_1, TIMER_2] {
            guest.unlock();
            guest.write(timer, &[0; 4]);
        }
        guest.unlock();
        guest.write(RELOAD, &[0, 1]);
        assert_eq!(guest.set(), Some(SHORTEST), "no time at all");
    }

    /// `i6300esb_timer_expired` and `i6300esb_restart_timer` in QEMU's hw/watchdog/wdt_i6300esb.c.
    #[test]
    fn a_watchdog_that_is_disabled_neither_runs_nor_expires() {
        let mut guest = Guest::new();
        guest.unlock();
        guest.write(RELOAD, &[0, 1]);
        assert_eq!(guest.set(), None, "it is not enabled yet");
        guest.enable(100);
        assert!(!guest.device.elapsed());
        guest.device.write_config(LOCK, &[0]);
        assert!(!guest.device.elapsed(), "the second stage is over, but it is disabled");
    }

    #[test]
    fn without_a_reset_it_ends_after_the_second_stage_unless_it_runs_freely() {
        let mut guest = Guest::new();
        guest.enable(100);
        guest.device.write_config(CONFIGURATION, &[0x20, 0]);
        assert!(!guest.device.elapsed());
        guest.last.set(None);
        assert!(!guest.device.elapsed());
        assert_eq!(guest.set(), None);
    }

    #[test]
    fn a_reload_clears_only_what_its_bits_name() {
        let mut guest = Guest::new();
        guest.enable(100);
        assert!(!guest.device.elapsed());
        assert!(guest.device.elapsed());
        guest.unlock();
        guest.write(RELOAD, &[0, 1]);
        assert_eq!(guest.reload(), 0x1200, "only a write of bit 9 or 12 clears it");
        guest.device.write_config(LOCK, &[ENABLED]);
        guest.last.set(None);
        guest.unlock();
        guest.write(RELOAD, &[0, 2]);
        assert_eq!((guest.reload(), guest.set()), (0, None), "bit 8 alone begins again");
    }

    /// `i6300esb_mem_writeb` in QEMU knows only the unlock sequence.
    #[test]
    fn a_byte_does_not_use_up_the_unlocking() {
        let mut guest = Guest::new();
        guest.enable(7);
        guest.unlock();
        guest.write(RELOAD, &[0]);
        guest.write(TIMER_1, &[9, 0, 0, 0]);
        guest.unlock();
        guest.write(RELOAD, &[0, 1]);
        assert_eq!(guest.set(), Some(Duration::from_nanos((9 << 15) * 30)));
    }
}
