//! Whether what was aimed at is met.

use super::{Before, Measured, Origin, Until};
use crate::rivals::Rival;
use crate::table::{Table, times};

/// Two equal ways differ by so much from run to run: QEMU's way of an item in memory is plain
/// memcpy, and comes out within this of it.
const NOISE: f64 = 0.03;
/// Small sizes are told, not judged.
const FROM: usize = 1 << 20;
/// From here on, mapped pages have to pay.
const MAPPED_FROM: usize = 16 << 20;

/// Something to be reached: the least ratio of all cases it is about.
#[derive(Debug)]
struct Figure {
    text: &'static str,
    /// How many times as fast as the rival chukka has to be.
    least: f64,
    /// The case is one of those it is about.
    about: fn(&Measured) -> bool,
    ratio: fn(&Measured) -> Option<f64>,
}

const FIGURES: [Figure; 6] = [
    Figure {
        text: "from 1 MiB on never slower than the best peer, to the end of the operation",
        least: 1.0,
        about: |one| one.case.size >= FROM,
        ratio: |one| Some(one.ratio_to_best(Until::Moved)?.0),
    },
    Figure {
        text: "the same, until every byte has been read",
        least: 1.0,
        about: |one| one.case.size >= FROM,
        ratio: |one| Some(one.ratio_to_best(Until::Read)?.0),
    },
    Figure {
        text: "congruent pages of a file, from 16 MiB on: 10 times QEMU's way to the end of the operation",
        least: 10.0,
        about: |one| one.case.origin == Origin::Mapped && one.case.size >= MAPPED_FROM,
        ratio: |one| one.ratio(Rival::Qemu, Until::Moved),
    },
    Figure {
        text: "the same, not slower than QEMU's way until every byte has been read",
        least: 1.0,
        about: |one| one.case.origin == Origin::Mapped && one.case.size >= MAPPED_FROM,
        ratio: |one| one.ratio(Rival::Qemu, Until::Read),
    },
    Figure {
        text: "item in memory, touched memory, from 1 MiB on: 0.9 of memcpy",
        least: 0.9,
        about: |one| copies(one, Origin::Memory),
        ratio: |one| one.ratio(Rival::Memcpy, Until::Moved),
    },
    Figure {
        text: "item in a file that is copied, touched memory, from 1 MiB on: 0.9 of memcpy",
        least: 0.9,
        about: |one| copies(one, Origin::Copied),
        ratio: |one| one.ratio(Rival::Memcpy, Until::Moved),
    },
];

fn copies(one: &Measured, origin: Origin) -> bool {
    one.case.origin == origin && one.case.before == Before::Touched && one.case.size >= FROM
}

/// All figures that something was measured for, each with its worst case.
#[must_use]
pub fn table(all: &[Measured]) -> Table {
    let mut table = Table::new(["figure", "met", "worst ×", "worst case", "cases below"]);
    for figure in &FIGURES {
        let ratios = all.iter().filter(|one| (figure.about)(one));
        let ratios = ratios.filter_map(|one| Some((one, (figure.ratio)(one)?)));
        let ratios: Vec<_> = ratios.collect();
        let Some((worst, ratio)) = ratios.iter().min_by(|a, b| a.1.total_cmp(&b.1)) else {
            continue;
        };
        let below = ratios.iter().filter(|(_, ratio)| !meets(*ratio, figure.least)).count();
        table.row([
            figure.text.into(),
            if below == 0 { "met" } else { "missed" }.into(),
            times(*ratio),
            worst.case.to_string(),
            format!("{below} of {}", ratios.len()),
        ]);
    }
    table
}

fn meets(ratio: f64, least: f64) -> bool {
    ratio >= least * (1.0 - NOISE)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::stats::Summary;
    use crate::transfer::{Case, Pages, Times};

    fn measured(origin: Origin, size: usize, micros: [u64; 3]) -> Measured {
        let rivals = [Rival::Chukka, Rival::Qemu, Rival::Memcpy];
        let times = rivals.iter().zip(micros).map(|(&rival, micros)| {
            let all = Summary::of(&[Duration::from_micros(micros)]).unwrap();
            Times { rival, moved: all, read: all }
        });
        let case = Case { origin, pages: Pages::Small, before: Before::Touched, size };
        Measured { case, rounds: 1, times: times.collect() }
    }

    fn verdicts(all: &[Measured]) -> Vec<(bool, String)> {
        let table = table(all).to_string();
        let cells = |line: &str| line.split('|').map(|cell| cell.trim().to_string()).collect();
        let rows = table.lines().skip(2).map(cells);
        rows.map(|row: Vec<String>| (row[2] == "met", row[3].clone())).collect()
    }

    #[test]
    fn the_worst_case_decides() {
        let fine = measured(Origin::Memory, 1 << 20, [100, 110, 100]);
        let slow = measured(Origin::Memory, 4 << 20, [100, 90, 85]);
        assert_eq!(
            verdicts(std::slice::from_ref(&fine)),
            [(true, "1.10".into()), (true, "1.10".into()), (true, "1.00".into())]
        );
        assert_eq!(
            verdicts(&[fine, slow]),
            [(false, "0.90".into()), (false, "0.90".into()), (false, "0.85".into())]
        );
    }

    #[test]
    fn mapped_pages_have_to_be_ten_times_as_fast() {
        let verdict = |micros| verdicts(&[measured(Origin::Mapped, 16 << 20, [100, micros, 100])]);
        assert_eq!(verdict(900)[2], (false, "9.00".into()));
        assert_eq!(verdict(1000)[2], (true, "10.0".into()));
        // And too small to be judged.
        assert!(verdicts(&[measured(Origin::Mapped, 4096, [100, 1, 1])]).is_empty());
    }
}
