//! `-trace fw_cfg`: one line per guest operation on the fw_cfg device, and a summary at the end.
//!
//! ```text
//!    3.1 ms  DMA READ   etc/e820 [0..80) -> 0x000f5e40
//! ```
//!
//! Reads through the data port are combined until the guest does something else, so that reading a
//! string byte by byte gives a single line.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write as _};
use std::io::Write as _;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use devices::console::ConsoleSink;
use fw_cfg::event::{DmaEvent, DmaKind, Event, ItemName, Observer};

use crate::host::printable::printable;
use crate::lock::lock;

/// Number of failed operations listed in the summary. Bounded, because the guest can cause any
/// number.
const ERRORS_SHOWN: usize = 8;

/// The data for the summary.
#[derive(Debug, Default)]
struct Totals {
    /// Keys of items that were read.
    read: BTreeSet<u16>,
    /// Keys that were selected but do not exist: at most 65536.
    missing: BTreeSet<u16>,
    by_port: u64,
    port_reads: u64,
    by_dma: u64,
    operations: u64,
    errors: u64,
    /// The first [`ERRORS_SHOWN`] failed operations.
    error_lines: Vec<String>,
}

/// Consecutive reads through the data port.
#[derive(Debug)]
struct PortRun {
    key: u16,
    name: String,
    range: Range<u64>,
    zeros: u64,
}

#[derive(Debug)]
struct State {
    started: Instant,
    out: ConsoleSink,
    totals: Totals,
    run: Option<PortRun>,
}

/// A handle to the trace. All clones share the same state: the device's observer holds one, and the
/// code that requests the summary holds another.
#[derive(Clone, Debug)]
pub struct FwCfgTrace(Arc<Mutex<State>>);

impl FwCfgTrace {
    /// Creates a trace that writes to `out`, with times relative to `started`.
    pub fn new(started: Instant, out: ConsoleSink) -> Self {
        let state = State { started, out, totals: Totals::default(), run: None };
        Self(Arc::new(Mutex::new(state)))
    }

    /// Writes the summary: the amount of data transferred and how, which of `items` were never
    /// read, which missing items were requested, accesses to ports without a device (`unanswered`:
    /// port and number of accesses), and failed operations.
    pub fn finish<'a>(
        &self,
        items: impl Iterator<Item = ItemName<'a>>,
        unanswered: &BTreeMap<u16, u64>,
    ) {
        let mut state = lock(&self.0);
        state.end_run();
        let text = state.totals.summary(items, unanswered);
        // The sink buffers or drops what it cannot write; there is nowhere else to report the
        // error.
        let _ = state.out.write_all(text.as_bytes());
        state.out.flush_now();
    }
}

impl Observer for FwCfgTrace {
    fn observe(&mut self, event: &Event<'_>) {
        lock(&self.0).observe(event);
    }
}

impl State {
    fn observe(&mut self, event: &Event<'_>) {
        if let Event::PortRead { item, range, zeros } = event {
            self.port_read(*item, range, *zeros);
            return;
        }
        self.end_run();
        match event {
            Event::Select(item) => {
                self.totals.asked_for(*item);
                self.line(format_args!("port SELECT {item}{}", absent(*item)));
            }
            Event::Dma(dma) => {
                self.totals.dma(dma);
                self.line(format_args!("{}", DmaLine(dma)));
            }
            Event::HostError { item, error } => {
                self.line(format_args!("cannot read {item}: {error}"));
            }
            Event::PortRead { .. } => {}
        }
    }

    fn port_read(&mut self, item: ItemName<'_>, range: &Range<u64>, zeros: u64) {
        self.totals.by_port += range.end - range.start + zeros;
        self.totals.port_reads += 1;
        if range.start < range.end {
            self.totals.read.insert(item.key);
        }
        match &mut self.run {
            Some(run) if run.key == item.key && run.range.end == range.start => {
                run.range.end = range.end;
                run.zeros += zeros;
            }
            _ => {
                self.end_run();
                let (key, name) = (item.key, item.to_string());
                self.run = Some(PortRun { key, name, range: range.clone(), zeros });
            }
        }
    }

    fn end_run(&mut self) {
        if let Some(PortRun { name, range, zeros, .. }) = self.run.take() {
            let zeros = Zeros(zeros);
            self.line(format_args!("port READ   {name} [{}..{}){zeros}", range.start, range.end));
        }
    }

    fn line(&mut self, what: fmt::Arguments<'_>) {
        let ms = self.started.elapsed().as_secs_f64() * 1000.0;
        let what = what.to_string();
        let line = format!("{ms:8.1} ms  {}\n", printable(&what));
        let _ = self.out.write_all(line.as_bytes());
    }
}

impl Totals {
    fn asked_for(&mut self, item: ItemName<'_>) {
        if !item.exists {
            self.missing.insert(item.key);
        }
    }

    fn dma(&mut self, dma: &DmaEvent<'_>) {
        self.operations += 1;
        if dma.selected {
            self.asked_for(dma.item);
        }
        let moved = dma.range.end - dma.range.start;
        match (dma.kind, &dma.result) {
            (DmaKind::Read, Ok(())) => {
                self.by_dma += moved + dma.zeros;
                if moved > 0 {
                    self.read.insert(dma.item.key);
                }
            }
            (DmaKind::Write, Ok(())) => self.by_dma += moved,
            (_, Ok(())) => {}
            (_, Err(_)) => {
                self.errors += 1;
                if self.error_lines.len() < ERRORS_SHOWN {
                    self.error_lines.push(DmaLine(dma).to_string());
                }
            }
        }
    }

    fn summary<'a>(
        &self,
        items: impl Iterator<Item = ItemName<'a>>,
        unanswered: &BTreeMap<u16, u64>,
    ) -> String {
        let mut text = String::from("\nfw_cfg summary\n");
        let mut row = |name: &str, what: String| {
            if !what.is_empty() {
                text += &wrapped(name, &what);
            }
        };
        row("by DMA", format!("{} bytes in {} operations", self.by_dma, self.operations));
        row("by port", format!("{} bytes in {} reads", self.by_port, self.port_reads));
        let never: Vec<_> = items.filter(|item| !self.read.contains(&item.key)).collect();
        row("never read", list(never.iter()));
        let missing = self.missing.iter();
        row(
            "asked for, not there",
            list(missing.map(|key| ItemName { key: *key, file: None, exists: false })),
        );
        let ports = unanswered.iter().map(|(port, count)| format!("{port:#x} ({count})"));
        row("ports nobody answered", list(ports));
        row("failed", self.errors.to_string());
        for line in &self.error_lines {
            let _ = writeln!(text, "    {}", printable(line));
        }
        text
    }
}

/// The first column of a summary row's text and the last column it may reach. Longer lists continue
/// on the next line.
const COLUMNS: (usize, usize) = (24, 100);

/// Formats a summary row: its name, then its text, wrapped between list entries.
fn wrapped(name: &str, what: &str) -> String {
    let (start, end) = COLUMNS;
    let mut text = String::new();
    let mut line = format!("  {name:<width$}", width = start - 2);
    for entry in what.split_inclusive(", ") {
        if line.len() + entry.trim_end().len() > end && line.len() > start {
            let _ = writeln!(text, "{}", line.trim_end());
            line = " ".repeat(start);
        }
        line += entry;
    }
    text + line.trim_end() + "\n"
}

/// Maximum number of list entries shown.
const LISTED: usize = 24;

fn list(entries: impl Iterator<Item = impl fmt::Display>) -> String {
    let entries: Vec<_> = entries.map(|entry| printable(&entry.to_string()).into_owned()).collect();
    let more = entries.len().saturating_sub(LISTED);
    let mut text = entries[..entries.len() - more].join(", ");
    if more > 0 {
        let _ = write!(text, " and {more} more");
    }
    text
}

fn absent(item: ItemName<'_>) -> &'static str {
    if item.exists { "" } else { " (not there)" }
}

/// Number of zero bytes read past the end of an item.
struct Zeros(u64);

impl fmt::Display for Zeros {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 > 0 { write!(f, " + {} zeros", self.0) } else { Ok(()) }
    }
}

/// One line describing a DMA operation: kind, item, byte range and address; plus the descriptor if
/// it failed.
struct DmaLine<'a>(&'a DmaEvent<'a>);

impl fmt::Display for DmaLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dma = self.0;
        let (Range { start, end }, item) = (&dma.range, dma.item);
        write!(f, "DMA {:<7} {item}{}", dma.kind.to_string(), absent(item))?;
        let address = dma.descriptor.map_or(0, |descriptor| descriptor.address);
        match dma.kind {
            DmaKind::Read => {
                write!(f, " [{start}..{end}){} -> {address:#010x}", Zeros(dma.zeros))?;
            }
            DmaKind::Write => write!(f, " [{start}..{end}) <- {address:#010x}")?,
            DmaKind::Skip => write!(f, " [{start}..{end})")?,
            DmaKind::Nothing => {}
        }
        let Err(error) = dma.result else { return Ok(()) };
        write!(f, "  ERROR: {error}; descriptor at {:#x}", dma.at)?;
        if let Some(descriptor) = dma.descriptor {
            let (control, length) = (descriptor.control, descriptor.length);
            write!(f, ": control {control:#x}, length {length:#x}, address {address:#x}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use fw_cfg::dma::Descriptor;
    use fw_cfg::event::DmaError;

    use super::*;

    #[test]
    fn a_long_list_wraps_between_entries() {
        let ports: Vec<String> = (0..30).map(|port| format!("{port:#05x} (1)")).collect();
        let text = wrapped("ports nobody answered", &ports.join(", "));
        assert!(text.lines().count() > 3);
        assert!(text.lines().all(|line| line.len() <= 100), "{text}");
        assert!(text.lines().skip(1).all(|line| line.starts_with(&" ".repeat(24))), "{text}");
        assert_eq!(wrapped("failed", "0"), "  failed                0\n");
    }

    #[test]
    fn a_line_reaches_column_100_and_no_further() {
        let fits = wrapped("failed", &format!("{}, {}", "a".repeat(40), "b".repeat(34)));
        assert_eq!(fits.lines().map(str::len).collect::<Vec<_>>(), [100]);
        let wraps = wrapped("failed", &format!("{}, {}", "a".repeat(40), "b".repeat(35)));
        assert_eq!(wraps.lines().map(str::len).collect::<Vec<_>>(), [65, 59]);
        // An entry that is too long for any line is not behind an empty one.
        assert_eq!(wrapped("failed", &"a".repeat(90)).lines().count(), 1);
    }

    /// What is written can be read while the trace is there.
    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            lock(&self.0).write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn item(key: u16, file: Option<&str>) -> ItemName<'_> {
        ItemName { key, file, exists: key < 0x4000 }
    }

    /// The trace of `events`, without the times, and its summary. The machine has the items 0x20
    /// to 0x22.
    fn traced(events: &[Event<'_>], unanswered: &BTreeMap<u16, u64>) -> (Vec<String>, String) {
        let shared = Shared::default();
        let out = ConsoleSink::new(Box::new(shared.clone()), Box::new(()), Arc::default());
        let begun = Instant::now().checked_sub(Duration::from_secs(10)).unwrap();
        let mut trace = FwCfgTrace::new(begun, out);
        for event in events {
            trace.observe(event);
        }
        let items =
            [0x20, 0x21, 0x22].map(|key| item(key, Some(["a", "b", "c"][key as usize - 0x20])));
        trace.finish(items.into_iter(), unanswered);
        let text = String::from_utf8(lock(&shared.0).clone()).unwrap();
        let (lines, summary) = text.split_once("\nfw_cfg summary\n").unwrap();
        let what = |line: &str| {
            let (time, what) = line.split_once(" ms  ").unwrap();
            let ms: f64 = time.trim().parse().unwrap();
            assert!((10_000.0..70_000.0).contains(&ms), "{line}");
            what.to_owned()
        };
        (lines.lines().map(what).collect(), summary.to_owned())
    }

    fn dma(
        kind: DmaKind,
        range: Range<u64>,
        zeros: u64,
        result: Result<(), DmaError>,
    ) -> DmaEvent<'static> {
        let descriptor = Some(Descriptor { control: 0x20_000a, length: 8, address: 0x1000 });
        let item = item(0x20, Some("a"));
        DmaEvent { at: 0xf00, descriptor, selected: true, item, kind, range, zeros, result }
    }

    #[test]
    fn reads_through_the_port_are_one_line_until_something_else_happens() {
        let read = |key, range: Range<u64>, zeros| {
            let item = item(key, (key == 0x20).then_some("a"));
            Event::PortRead { item, range, zeros }
        };
        let (lines, summary) = traced(
            &[
                Event::Select(item(0x20, Some("a"))),
                read(0x20, 0..1, 0),
                read(0x20, 1..4, 0),
                read(0x20, 4..4, 2),
                read(0x20, 4..4, 3),
                read(0x20, 2..3, 0),
                read(0x21, 3..4, 0),
                Event::Select(item(0x7fff, None)),
                read(0x7fff, 0..0, 4),
                read(0x22, 0..0, 1),
            ],
            &[(0x80, 3)].into(),
        );
        assert_eq!(
            lines,
            [
                "port SELECT a",
                "port READ   a [0..4) + 5 zeros",
                "port READ   a [2..3)",
                "port READ   0x0021 [3..4)",
                "port SELECT 0x7fff (not there)",
                "port READ   0x7fff [0..0) + 4 zeros",
                "port READ   0x0022 [0..0) + 1 zeros",
            ]
        );
        assert_eq!(
            summary,
            "  by DMA                0 bytes in 0 operations\n\
             \x20 by port               16 bytes in 8 reads\n\
             \x20 never read            c\n\
             \x20 asked for, not there  0x7fff\n\
             \x20 ports nobody answered 0x80 (3)\n\
             \x20 failed                0\n"
        );
    }

    #[test]
    fn each_operation_by_dma_is_a_line_and_failed_ones_are_in_the_summary() {
        let events = [
            dma(DmaKind::Read, 0..8, 0, Ok(())),
            dma(DmaKind::Read, 8..12, 5, Ok(())),
            DmaEvent { item: item(0x21, Some("b")), ..dma(DmaKind::Read, 4..4, 2, Ok(())) },
            dma(DmaKind::Write, 2..5, 0, Ok(())),
            dma(DmaKind::Skip, 5..9, 0, Ok(())),
            dma(DmaKind::Nothing, 0..0, 0, Ok(())),
            dma(DmaKind::Write, 0..0, 0, Err(DmaError::ReadOnly)),
            DmaEvent {
                item: item(0x4321, None),
                descriptor: None,
                ..dma(DmaKind::Nothing, 0..0, 0, Err(DmaError::Descriptor))
            },
        ];
        let events: Vec<_> = events.iter().map(Event::Dma).collect();
        let (lines, summary) = traced(&events, &BTreeMap::new());
        let read_only = "DMA WRITE   a [0..0) <- 0x00001000  ERROR: the item is read-only; descriptor at 0xf00: \
                         control 0x20000a, length 0x8, address 0x1000";
        let lost = "DMA SELECT  0x4321 (not there)  ERROR: the descriptor is not in memory; descriptor at 0xf00";
        assert_eq!(
            lines,
            [
                "DMA READ    a [0..8) -> 0x00001000",
                "DMA READ    a [8..12) + 5 zeros -> 0x00001000",
                "DMA READ    b [4..4) + 2 zeros -> 0x00001000",
                "DMA WRITE   a [2..5) <- 0x00001000",
                "DMA SKIP    a [5..9)",
                "DMA SELECT  a",
                read_only,
                lost,
            ]
        );
        assert_eq!(
            summary,
            format!(
                "  by DMA                22 bytes in 8 operations\n\
                 \x20 by port               0 bytes in 0 reads\n\
                 \x20 never read            b, c\n\
                 \x20 asked for, not there  0x4321\n\
                 \x20 failed                2\n\
                 \x20   {read_only}\n\
                 \x20   {lost}\n"
            )
        );
    }

    /// The guest can cause any number of errors.
    #[test]
    fn the_summary_counts_all_errors_and_lists_the_first_eight() {
        let failed = dma(DmaKind::Read, 0..0, 0, Err(DmaError::Address));
        let events: Vec<_> = (0..20).map(|_| Event::Dma(&failed)).collect();
        let (_, summary) = traced(&events, &BTreeMap::new());
        assert!(summary.contains("  failed                20\n"), "{summary}");
        assert_eq!(summary.matches("ERROR").count(), 8, "{summary}");
        assert!(
            summary.contains("never read            a, b, c\n"),
            "nothing was moved: {summary}"
        );
    }

    #[test]
    fn what_the_host_cannot_read_is_a_line() {
        let error = std::io::Error::other("gone");
        let lost = Event::HostError { item: item(0x21, Some("b\x1b[m")), error: &error };
        let (lines, _) = traced(&[lost], &BTreeMap::new());
        assert_eq!(lines.len(), 1);
        assert!(lines[0].starts_with("cannot read b") && lines[0].ends_with(": gone"), "{lines:?}");
        assert!(!lines[0].contains('\x1b'), "nothing reaches the terminal: {lines:?}");
    }

    #[test]
    fn a_truncated_list_ends_with_the_number_of_omitted_entries() {
        assert_eq!(list(["a", "b"].iter()), "a, b");
        assert!(list(0..30).ends_with("23 and 6 more"));
    }
}
