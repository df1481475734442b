//! Counted costs do not grow unseen: boots in the lab, on a clock that counts instructions, against
//! `benches/costs.toml`.

#![expect(clippy::panic, clippy::unwrap_used, reason = "this is how a test fails")]

mod compare;
mod measure;
mod page;
mod samples;
mod table;

use std::env;
use std::io::Write;

use chukka_benches::document;
use chukka_tests::{Error, skip};

/// How often everything is measured again if something is worse: a real cost is there each time.
const REPEATS: u32 = 2;

#[test]
fn boots_cost_no_more_than_the_table_allows() {
    let mut samples = match measure::measure(0) {
        Err(error @ Error::Missing(_)) => return skip(&error.to_string()),
        measured => measured.unwrap_or_else(|error| panic!("{error}")),
    };
    let more = |attempt| measure::measure(attempt).unwrap_or_else(|error| panic!("{error}"));
    if env::var_os("CHUKKA_COSTS").is_some_and(|value| value == "write") {
        samples.extend(more(1));
        let measured = samples.values();
        table::write(&measured);
        return document::write("costs", &page::text(&measured)).unwrap();
    }
    let loudly = |text: &str| drop(writeln!(std::io::stderr().lock(), "costs: {text}"));
    let mut verdict = compare::compare(&table::read(), &samples.values());
    for attempt in 1..=REPEATS {
        if verdict.worse.is_empty() {
            break;
        }
        loudly(&format!("measuring again: {}", verdict.worse.join("; ")));
        samples.extend(more(attempt));
        verdict = compare::compare(&table::read(), &samples.values());
    }
    for line in &verdict.environment {
        loudly(&format!(
            "10 % instead of 2 % is allowed: {line} (hint: make costs, before your change)"
        ));
    }
    for line in &verdict.better {
        loudly(&format!(
            "better than benches/costs.toml: {line} (hint: make costs, and commit it)"
        ));
    }
    assert!(
        verdict.worse.is_empty(),
        "worse than benches/costs.toml:\n  {}\n\
         hint: find what costs it. If it is worth that, run `make costs`, commit benches/costs.toml and \
         docs/performance.md with the change, and say why in the message",
        verdict.worse.join("\n  ")
    );
}

#[test]
fn the_documents_have_the_figures_of_the_table() {
    let expected = page::text(&table::read());
    assert_eq!(document::read("costs").unwrap().trim(), expected.trim(), "hint: make costs");
}
