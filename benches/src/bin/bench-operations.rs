//! Latency and allocations of small accesses to fw_cfg. Prints a table; `--help` tells the rest.
#![expect(clippy::print_stdout, reason = "a command prints")]

use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use chukka_benches::allocations::{self, Counting};
use chukka_benches::operations::{Machine, Operation};
use chukka_benches::table::Table;
use chukka_benches::words::{self, Words};
use chukka_benches::{Error, document, machine};
use chukka_tests::assets;
use criterion::Criterion;

const HELP: &str = "\
usage: bench-operations [--quick] [--write]

Small accesses to fw_cfg as SeaBIOS makes them, from the VM exit on, by criterion: a read of 4 bytes by DMA, the list of files, 4 KiB
by the data port. How long each takes, and how often it allocates. --quick takes a second for each, --write puts the table into docs/.";

/// "A few hundred nanoseconds" at most, for an operation of one exit.
const FEW_HUNDRED: f64 = 500.0;

/// What is measured allocates by this one.
#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() -> ExitCode {
    words::run("bench-operations", HELP, &["--quick", "--write"], None, run)
}

fn run(words: &Words) -> Result<(), Error> {
    if words.has("--quick") && words.has("--write") {
        return Err("--write is for whole runs".into());
    }
    let folder = assets::workspace().join("target/bench/criterion");
    let seconds = if words.has("--quick") { 1 } else { 5 };
    let mut criterion = Criterion::default()
        .output_directory(&folder)
        .without_plots()
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(seconds));
    let guest = Machine::new()?;
    for operation in Operation::ALL {
        // Wrong bytes end this before anything is measured.
        guest.run(operation)?;
        criterion.bench_function(&id(operation), |bencher| {
            bencher.iter(|| black_box(guest.run(operation).is_ok()));
        });
    }
    let machine = machine::describe();
    let text = format!("{machine}.\n\n{}", table(&guest, &folder)?);
    println!("{text}");
    if words.has("--write") {
        document::write("operations", &text)?;
    }
    Ok(())
}

/// Criterion's name for it, which is also a folder's.
fn id(operation: Operation) -> String {
    format!("{operation:?}")
}

fn table(guest: &Machine, folder: &Path) -> Result<Table, Error> {
    let mut table =
        Table::new(["from the exit on", "exits", "ns an exit", "ns in all", "allocations", "met"]);
    for operation in Operation::ALL {
        let mut run = Ok(());
        let allocations = allocations::during(|| run = guest.run(operation));
        run?;
        let nanos = median(&folder.join(id(operation)))?;
        let exits = operation.exits();
        #[expect(clippy::cast_precision_loss, reason = "a time for a person to read")]
        let each = nanos / exits as f64;
        // What is large in itself is not judged by its time.
        let met = allocations == 0 && (operation == Operation::PortString || each <= FEW_HUNDRED);
        table.row([
            operation.name().into(),
            exits.to_string(),
            format!("{each:.0}"),
            format!("{nanos:.0}"),
            allocations.to_string(),
            if met { "met" } else { "missed" }.to_string(),
        ]);
    }
    Ok(table)
}

/// The median that criterion has estimated, in nanoseconds.
fn median(folder: &Path) -> Result<f64, Error> {
    let path = folder.join("new/estimates.json");
    let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let estimates: serde_json::Value = serde_json::from_str(&text)?;
    let median = estimates["median"]["point_estimate"].as_f64();
    Ok(median.ok_or("criterion has left no median")?)
}
