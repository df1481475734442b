//! `-timeline`: when the guest passed from one phase to the next, and how often it had left KVM for
//! chukka by then. All is taken from exits: nothing is added to the guest.
//!
//! A run without a timeline pays nothing: its vCPUs do not record their exits
//! ([`crate::kvm::exit_log`]).

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use fw_cfg::event::{DmaKind, Event, ItemName};
use fw_cfg::key;

use crate::kvm::exit_log::Access;
use crate::lock::lock;

/// Boots of the guest that are recorded. A guest can reset itself for ever.
const BOOTS: usize = 16;
/// fw_cfg items that are recorded for each boot.
const ITEMS: usize = 128;

/// A point in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// Since chukka began with the run.
    pub time: Duration,
    /// Exits to chukka by then: accesses to ports, and to memory without RAM.
    pub exits: u64,
}

impl Mark {
    /// Neither earlier nor with fewer exits than `begin`. Marks of different threads, whose time and
    /// exits are not read at once, can be out of order by moments.
    fn at_least(self, begin: Self) -> Self {
        Self { time: self.time.max(begin.time), exits: self.exits.max(begin.exits) }
    }
}

/// A part of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// What happened.
    pub name: String,
    /// When it began.
    pub begin: Mark,
    /// When it ended.
    pub end: Mark,
    /// The bytes that were read, for a fw_cfg item.
    pub bytes: u64,
}

/// What is known of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recorded {
    /// What the run consisted of: each begins where the last one ended.
    pub phases: Vec<Span>,
    /// The fw_cfg items that the guest read, in the order of their first access.
    pub items: Vec<Span>,
    /// Moments within the phases.
    pub moments: Vec<(&'static str, Mark)>,
}

/// What a boot begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BootsBy {
    /// chukka enters the kernel.
    Kernel,
    /// Firmware that runs option ROMs.
    Bios,
    /// Other firmware.
    Firmware,
}

#[derive(Debug)]
struct Boot {
    reset: Mark,
    /// The first KVM_RUN.
    run: Option<Mark>,
    items: Vec<(u16, Span)>,
    first_byte: Option<Mark>,
    init: Option<Mark>,
}

/// Records a run. All clones record the same one.
#[derive(Clone, Debug)]
pub struct Timeline(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    started: Instant,
    exits: AtomicU64,
    /// The time of the last exit, in nanoseconds since `started`: what it is for begins then.
    last_exit: AtomicU64,
    boots: Mutex<Boots>,
}

/// The boots of a run.
#[derive(Debug, Default)]
struct Boots {
    list: Vec<Boot>,
    /// When the last boot of a full list ended. What comes later is not recorded.
    closed: Option<Mark>,
}

impl Timeline {
    /// The timeline of a run that began at `started`.
    #[must_use]
    pub fn new(started: Instant) -> Self {
        let (exits, last_exit, boots) = Default::default();
        Self(Arc::new(Shared { started, exits, last_exit, boots }))
    }

    fn now(&self) -> Mark {
        let exits = self.0.exits.load(Ordering::Relaxed);
        Mark { time: self.0.started.elapsed(), exits }
    }

    /// A vCPU has left the guest.
    pub(crate) fn exit(&self, access: Access) {
        if matches!(access, Access::CoalescedWrite(_)) {
            return;
        }
        let time = u64::try_from(self.0.started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.0.exits.fetch_add(1, Ordering::Relaxed);
        self.0.last_exit.store(time, Ordering::Relaxed);
    }

    /// The guest has reset the machine, or has not run yet.
    pub(crate) fn reset(&self) {
        let (reset, mut boots) = (self.now(), lock(&self.0.boots));
        if boots.list.len() < BOOTS {
            let (items, first_byte, init) = Default::default();
            boots.list.push(Boot { reset, run: None, items, first_byte, init });
        } else {
            boots.closed.get_or_insert(reset);
        }
    }

    /// A vCPU is about to run. The first one counts.
    pub(crate) fn run(&self) {
        let now = self.now();
        self.change(|boot| _ = boot.run.get_or_insert(now));
    }

    /// The guest has written to a console.
    pub(crate) fn prints(&self) {
        let now = self.now();
        self.change(|boot| _ = boot.first_byte.get_or_insert(now));
    }

    /// The guest's kernel has said that it starts its first process.
    pub(crate) fn starts_init(&self) {
        let now = self.now();
        self.change(|boot| _ = boot.init.get_or_insert(now));
    }

    /// The guest has accessed fw_cfg.
    pub(crate) fn fw_cfg(&self, event: &Event<'_>) {
        match event {
            Event::PortRead { item, range, .. } => self.reads(*item, range.end - range.start),
            Event::Dma(dma) if dma.kind == DmaKind::Read => {
                self.reads(dma.item, dma.range.end - dma.range.start);
            }
            _ => {}
        }
    }

    fn reads(&self, item: ItemName<'_>, bytes: u64) {
        let end = self.now();
        let begin = Duration::from_nanos(self.0.last_exit.load(Ordering::Relaxed));
        // Another vCPU can have left the guest since `end`.
        let begin = Mark { time: begin.min(end.time), exits: end.exits.saturating_sub(1) };
        self.change(|boot| {
            if let Some((_, span)) = boot.items.iter_mut().find(|(key, _)| *key == item.key) {
                span.end = end.at_least(span.end);
                span.bytes += bytes;
            } else if item.exists && boot.items.len() < ITEMS {
                boot.items.push((item.key, Span { name: item.to_string(), begin, end, bytes }));
            }
        });
    }

    fn change(&self, change: impl FnOnce(&mut Boot)) {
        let mut boots = lock(&self.0.boots);
        if boots.closed.is_none()
            && let Some(boot) = boots.list.last_mut()
        {
            change(boot);
        }
    }

    /// What is known of a run that is over.
    #[must_use]
    pub fn finish(&self, by: BootsBy) -> Recorded {
        let end = self.now();
        let boots = lock(&self.0.boots);
        let end = boots.closed.unwrap_or(end);
        let mut recorded = Recorded::default();
        for (index, boot) in boots.list.iter().enumerate() {
            let end = boots.list.get(index + 1).map_or(end, |next| next.reset);
            boot.add_to(&mut recorded, by, end);
        }
        recorded
    }
}

/// The items that firmware or an option ROM reads to load a kernel.
fn is_kernels(key: u16) -> bool {
    matches!(key, key::KERNEL_ADDR..=key::KERNEL_SIZE | key::INITRD_ADDR..=key::INITRD_SIZE)
        || matches!(key, key::KERNEL_ENTRY..=key::SETUP_DATA)
}

impl Boot {
    /// Its phases, its items and its moments.
    fn add_to(&self, recorded: &mut Recorded, by: BootsBy, end: Mark) {
        let first = recorded.phases.is_empty();
        let mut begin = if first { Mark::default() } else { self.reset };
        let mut phase = |name: &str, until: Mark| {
            let until = until.at_least(begin);
            let name = name.to_owned();
            recorded.phases.push(Span { name, begin, end: until, bytes: 0 });
            begin = until;
        };
        let run = self.run.unwrap_or(end);
        phase(if first { "preparation" } else { "reset" }, run);
        let kernels = || self.items.iter().filter(|(key, _)| is_kernels(*key));
        let load = kernels().map(|(_, span)| span.begin).min_by_key(|mark| mark.time);
        let entry = kernels().map(|(_, span)| span.end).max_by_key(|mark| mark.time);
        let mut moments = Vec::new();
        match (by, load, entry) {
            (BootsBy::Kernel, ..) => moments.push(("kernel entry", run)),
            (_, Some(load), Some(entry)) => {
                phase("firmware", load);
                phase(if by == BootsBy::Bios { "option ROM" } else { "loading" }, entry);
                moments.push(("kernel entry", entry));
            }
            // It boots from a disk, a CD or the network.
            _ => phase("firmware and boot loader", self.init.unwrap_or(end)),
        }
        if !moments.is_empty() {
            phase("kernel", self.init.unwrap_or(end));
        }
        if let Some(init) = self.init {
            phase("userspace", end);
            moments.push(("init", init));
        }
        moments.extend(self.first_byte.map(|mark| ("first console byte", mark)));
        moments.sort_by_key(|(_, mark)| mark.time);
        recorded.moments.extend(moments);
        recorded.items.extend(self.items.iter().map(|(_, span)| span.clone()));
    }
}

#[cfg(test)]
mod tests {
    use fw_cfg::event::DmaEvent;

    use super::*;

    fn mark(ms: u64) -> Mark {
        Mark { time: Duration::from_millis(ms), exits: ms * 10 }
    }

    fn boot(items: &[(u16, u64, u64)]) -> Boot {
        let item = |&(key, begin, end): &(u16, u64, u64)| {
            (key, Span { name: "item".into(), begin: mark(begin), end: mark(end), bytes: 1 })
        };
        let items = items.iter().map(item).collect();
        let (first_byte, init) = (Some(mark(50)), Some(mark(70)));
        Boot { reset: mark(0), run: Some(mark(5)), items, first_byte, init }
    }

    fn shown(boots: &[(Boot, u64)], by: BootsBy) -> (String, Vec<&'static str>) {
        let mut recorded = Recorded::default();
        boots.iter().for_each(|(boot, end)| boot.add_to(&mut recorded, by, mark(*end)));
        let phases = recorded.phases.iter();
        let shown = phases.map(|s| format!("{} {}", s.name, s.end.time.as_millis()));
        let moments = recorded.moments.iter().map(|(name, _)| *name).collect();
        (shown.collect::<Vec<_>>().join(", "), moments)
    }

    #[test]
    fn the_phases_of_a_boot_by_firmware_follow_the_kernels_items() {
        let items =
            [(key::FILE_DIR, 10, 11), (key::KERNEL_DATA, 30, 40), (key::CMDLINE_DATA, 41, 42)];
        let (phases, moments) = shown(&[(boot(&items), 90)], BootsBy::Bios);
        assert_eq!(phases, "preparation 5, firmware 30, option ROM 42, kernel 70, userspace 90");
        assert_eq!(moments, ["kernel entry", "first console byte", "init"]);
        let (phases, _) = shown(&[(boot(&items), 90)], BootsBy::Firmware);
        assert!(phases.contains("firmware 30, loading 42, kernel 70"), "{phases}");
    }

    #[test]
    fn a_direct_boot_has_no_firmware_and_a_disk_no_kernel_of_ours() {
        let (phases, moments) = shown(&[(boot(&[]), 90)], BootsBy::Kernel);
        assert_eq!(phases, "preparation 5, kernel 70, userspace 90");
        assert_eq!(moments, ["kernel entry", "first console byte", "init"]);
        let (phases, _) = shown(&[(boot(&[]), 90)], BootsBy::Bios);
        assert_eq!(phases, "preparation 5, firmware and boot loader 70, userspace 90");
    }

    #[test]
    fn a_reboot_goes_on_where_the_last_boot_ended() {
        let mut second = boot(&[]);
        (second.reset, second.run, second.init) = (mark(90), Some(mark(95)), None);
        let (phases, _) = shown(&[(boot(&[]), 90), (second, 120)], BootsBy::Kernel);
        assert_eq!(phases, "preparation 5, kernel 70, userspace 90, reset 95, kernel 120");
    }

    #[test]
    fn a_guest_that_resets_for_ever_is_not_recorded_for_ever() {
        let timeline = Timeline::new(Instant::now());
        (0..100).for_each(|_| timeline.reset());
        assert_eq!(lock(&timeline.0.boots).list.len(), BOOTS);
    }

    #[test]
    fn the_last_recorded_boot_ends_with_the_reset_after_it() {
        let timeline = Timeline::new(Instant::now());
        (0..BOOTS).for_each(|_| timeline.reset());
        timeline.run();
        timeline.reset();
        timeline.prints();
        timeline.starts_init();
        read(&timeline);
        timeline.exit(Access::PortWrite(0x80));
        let recorded = timeline.finish(BootsBy::Kernel);
        assert_eq!(recorded.items, []);
        assert_eq!(recorded.moments.iter().filter(|(name, _)| *name != "kernel entry").count(), 0);
        let last = recorded.phases.last().unwrap();
        assert_eq!((last.name.as_str(), last.end.exits), ("kernel", 0));
        assert_eq!(Some(last.end), lock(&timeline.0.boots).closed);
    }

    #[test]
    fn a_phase_never_has_fewer_exits_than_the_one_before_it() {
        let mut late = boot(&[]);
        late.init = Some(Mark { exits: 3, ..mark(70) });
        let mut recorded = Recorded::default();
        late.add_to(&mut recorded, BootsBy::Kernel, mark(90));
        let exits: Vec<_> = recorded.phases.iter().map(|s| (s.begin.exits, s.end.exits)).collect();
        assert_eq!(exits, [(0, 50), (50, 50), (50, 900)]);
    }

    /// The guest reads an item.
    fn read(timeline: &Timeline) {
        let item = ItemName { key: key::SIGNATURE, file: None, exists: true };
        timeline.fw_cfg(&Event::PortRead { item, range: 0..4, zeros: 0 });
    }

    #[test]
    fn exits_are_counted_and_the_first_of_each_moment_counts() {
        let timeline = Timeline::new(Instant::now());
        timeline.reset();
        let exit = |port| timeline.exit(Access::PortWrite(port));
        timeline.run();
        exit(0x80);
        timeline.exit(Access::CoalescedWrite(0x3f8));
        timeline.exit(Access::MemoryRead(1 << 32));
        timeline.prints();
        exit(0x80);
        timeline.starts_init();
        exit(0x80);
        for again in [Timeline::run, Timeline::prints, Timeline::starts_init] {
            again(&timeline);
        }
        exit(0x80);
        let recorded = timeline.finish(BootsBy::Kernel);
        let exits: Vec<_> =
            recorded.phases.iter().map(|s| (s.name.as_str(), s.end.exits)).collect();
        assert_eq!(exits, [("preparation", 0), ("kernel", 3), ("userspace", 5)]);
        let moments: Vec<_> = recorded.moments.iter().map(|(name, at)| (*name, at.exits)).collect();
        assert_eq!(moments, [("kernel entry", 0), ("first console byte", 2), ("init", 3)]);
        let end = recorded.phases[2].end.time;
        assert!(end > Duration::ZERO && end < Duration::from_secs(60));
    }

    #[test]
    fn an_item_has_the_bytes_of_all_its_reads() {
        let timeline = Timeline::new(Instant::now());
        timeline.reset();
        let dma = |kind, range| {
            let item = ItemName { key: key::CMDLINE_DATA, file: None, exists: true };
            let event = DmaEvent {
                at: 0,
                descriptor: None,
                selected: false,
                item,
                kind,
                range,
                zeros: 0,
                result: Ok(()),
            };
            timeline.fw_cfg(&Event::Dma(&event));
        };
        timeline.exit(Access::PortRead(0x511));
        read(&timeline);
        timeline.exit(Access::PortWrite(0x514));
        dma(DmaKind::Read, 2..10);
        dma(DmaKind::Skip, 10..20);
        dma(DmaKind::Read, 20..21);
        let missing = ItemName { key: 0x7fff, file: None, exists: false };
        timeline.fw_cfg(&Event::PortRead { item: missing, range: 0..0, zeros: 4 });
        let items = timeline.finish(BootsBy::Bios).items;
        let shown: Vec<_> = items.iter().map(|s| (s.bytes, s.begin.exits, s.end.exits)).collect();
        assert_eq!(shown, [(4, 0, 1), (9, 1, 2)]);
    }

    /// A guest can read any number of items.
    #[test]
    fn no_more_than_128_items_of_a_boot_are_recorded() {
        let timeline = Timeline::new(Instant::now());
        timeline.reset();
        for key in 0..1000 {
            let item = ItemName { key, file: None, exists: true };
            timeline.fw_cfg(&Event::PortRead { item, range: 0..1, zeros: 0 });
        }
        assert_eq!(timeline.finish(BootsBy::Kernel).items.len(), 128);
    }

    #[test]
    fn an_item_begins_no_later_than_it_ends() {
        let timeline = Timeline::new(Instant::now());
        timeline.reset();
        // A vCPU leaves the guest while another one is reading.
        timeline.0.last_exit.store(1 << 60, Ordering::Relaxed);
        read(&timeline);
        let [item] = &timeline.finish(BootsBy::Kernel).items[..] else { panic!() };
        assert_eq!(item.begin.time, item.end.time);
    }

    #[test]
    fn what_is_read_by_port_counts_its_bytes() {
        let timeline = Timeline::new(Instant::now());
        timeline.reset();
        let item = ItemName { key: 0x20, file: Some("a"), exists: true };
        for range in [0..8, 8..20] {
            timeline.fw_cfg(&Event::PortRead { item, range, zeros: 0 });
        }
        let bytes: Vec<_> =
            lock(&timeline.0.boots).list[0].items.iter().map(|(_, span)| span.bytes).collect();
        assert_eq!(bytes, [20]);
    }
}
