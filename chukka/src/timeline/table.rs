//! The timeline as a table, for standard error.

use std::fmt::Write;

use vmm::host::printable::printable;
use vmm::timeline::{Mark, Recorded};

/// The table's text: when each phase and moment began, how long it took, and its exits.
pub(super) fn text(recorded: &Recorded) -> String {
    let mut rows: Vec<(Mark, String, Option<Mark>)> = Vec::new();
    for span in &recorded.phases {
        rows.push((span.begin, span.name.clone(), Some(span.end)));
    }
    for span in &recorded.items {
        rows.push((span.begin, format!("  fw_cfg {}", printable(&span.name)), Some(span.end)));
    }
    rows.extend(recorded.moments.iter().map(|(name, mark)| (*mark, format!("* {name}"), None)));
    rows.sort_by_key(|(begin, ..)| begin.time);
    if let Some(last) = recorded.phases.last() {
        rows.push((last.end, "* end".into(), None));
    }
    let mut text = String::from("\n   ms from start         ms      exits\n");
    for (begin, name, end) in rows {
        let at = begin.time.as_secs_f64() * 1e3;
        let (took, exits) = match end {
            Some(end) => {
                let took = end.time.saturating_sub(begin.time).as_secs_f64() * 1e3;
                (format!("{took:.3}"), (end.exits - begin.exits).to_string())
            }
            None => (String::new(), String::new()),
        };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{at:>16.3} {took:>10} {exits:>10}  {name}");
    }
    text
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use super::*;
    use vmm::timeline::Span;

    /// A recorded run for tests.
    pub(in super::super) fn recorded() -> Recorded {
        let mark = |ms: u64| Mark { time: Duration::from_millis(ms), exits: ms * 20 };
        let span = |name: &str, begin, end, bytes| Span {
            name: name.into(),
            begin: mark(begin),
            end: mark(end),
            bytes,
        };
        Recorded {
            phases: vec![
                span("preparation", 0, 5, 0),
                span("firmware", 5, 20, 0),
                span("option ROM", 20, 40, 0),
                span("kernel", 40, 90, 0),
                span("userspace", 90, 100, 0),
            ],
            items: vec![span("etc/\"odd\" <&>", 7, 8, 4096), span("etc/e820", 8, 9, 20)],
            moments: vec![
                ("kernel entry", mark(40)),
                ("first console byte", mark(41)),
                ("init", mark(90)),
            ],
        }
    }

    #[test]
    fn the_rows_are_in_the_order_of_time() {
        let text = text(&recorded());
        let names: Vec<_> = text.lines().skip(2).map(|line| line[39..].trim()).collect();
        let expected = [
            "preparation",
            "firmware",
            "fw_cfg etc/\"odd\" <&>",
            "fw_cfg etc/e820",
            "option ROM",
            "kernel",
            "* kernel entry",
            "* first console byte",
            "userspace",
            "* init",
            "* end",
        ];
        assert_eq!(names, expected, "{text}");
        assert!(text.contains("           5.000     15.000        300  firmware\n"), "{text}");
    }
}
