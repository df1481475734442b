//! The measurements as tables: ratios first.

use std::fmt::Write;

use super::case::{DESTINATIONS, destination};
use super::{Measured, Origin, Until, figures};
use crate::rivals::Rival;
use crate::table::{Table, bytes, times};

/// All there is to say, in Markdown.
#[must_use]
pub fn report(all: &[Measured]) -> String {
    let mut text = format!("{}\n", figures::table(all));
    for origin in Origin::ALL {
        let of: Vec<&Measured> = all.iter().filter(|one| one.case.origin == origin).collect();
        if of.is_empty() {
            continue;
        }
        for until in [Until::Moved, Until::Read] {
            let title = match until {
                Until::Moved => "to the end of the operation",
                Until::Read => "until every byte has been read",
            };
            // Writing to a string does not fail.
            let _ = writeln!(text, "{}, {title}:\n\n{}", capital(origin), table(&of, until));
        }
    }
    text
}

fn capital(origin: Origin) -> String {
    let text = origin.to_string();
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// A row for each size. For each destination chukka as a multiple of the best peer, of QEMU and of
/// memcpy; then chukka's and the best peer's absolute speed.
fn table(of: &[&Measured], until: Until) -> Table {
    let headings = DESTINATIONS.map(|(pages, before)| destination(pages, before));
    let speeds = headings.map(|heading| format!("GB/s: {heading}"));
    let first = "× best · QEMU · memcpy".to_string();
    let mut table = Table::new([first].into_iter().chain(headings.map(String::from)).chain(speeds));
    let mut sizes: Vec<usize> = of.iter().map(|one| one.case.size).collect();
    sizes.sort_unstable();
    sizes.dedup();
    for size in sizes {
        let cells = DESTINATIONS.map(|(pages, before)| {
            of.iter().find(|one| {
                (one.case.size, one.case.pages, one.case.before) == (size, pages, before)
            })
        });
        let ratios = cells.map(|one| one.map_or_else(String::new, |one| ratios(one, until)));
        let speeds = cells.map(|one| one.map_or_else(String::new, |one| speeds_of(one, until)));
        table.row([bytes(size)].into_iter().chain(ratios).chain(speeds));
    }
    table
}

fn ratios(one: &Measured, until: Until) -> String {
    let text = |ratio: Option<f64>| ratio.map_or_else(|| "-".into(), times);
    let best = one.ratio_to_best(until).map(|(ratio, _)| ratio);
    let others = [Rival::Qemu, Rival::Memcpy].map(|rival| one.ratio(rival, until));
    format!("{} · {} · {}", text(best), text(others[0]), text(others[1]))
}

/// chukka's, and the best peer's in brackets.
fn speeds_of(one: &Measured, until: Until) -> String {
    let ours = one.speed(Rival::Chukka, until);
    let best = one.ratio_to_best(until).and_then(|(_, peer)| one.speed(peer, until));
    let text = |speed: Option<f64>| speed.map_or_else(|| "-".into(), times);
    format!("{} ({})", text(ours), text(best))
}
