//! One fw_cfg DMA read by chukka's device, over sizes and kinds of memory, against what its peers
//! do and against memcpy. Prints ratios; `--help` tells the rest.
#![expect(clippy::print_stdout, reason = "a command prints")]

use std::fs;
use std::process::ExitCode;
use std::time::Instant;

use chukka_benches::rivals::chukka;
use chukka_benches::table::bytes;
use chukka_benches::transfer::{
    self, Case, DESTINATIONS, Measured, Origin, Pages, Source, plot, report,
};
use chukka_benches::words::{self, Words};
use chukka_benches::{Error, document, heap, machine};

const HELP: &str = "\
usage: bench-transfer [ROUNDS] [--quick] [--memory] [--copied] [--mapped] [--zeros] [--write]

One READ by DMA of an item of 16 bytes to 1 GiB, by chukka's fw_cfg device, by the ways of QEMU, cloud-hypervisor and alioth, and
by memcpy alone: into memory of 4 KiB and of huge pages, untouched and touched. All take turns, in every round.
--memory, --copied, --mapped and --zeros measure only items in memory, in a file whose pages are not congruent with the guest's, in
one whose pages are, and none: zeros. --quick stops at 64 MiB and makes a few rounds; ROUNDS makes as many of each size at least.
Tables are printed, the plot is target/bench/transfer-throughput.svg; --write puts both into docs/, of a whole run only, which
needs 5 GiB of memory and 1 GiB of disk in target/bench.";

const SIZES: [usize; 10] =
    [16, 256, 4 << 10, 64 << 10, 1 << 20, 4 << 20, 16 << 20, 64 << 20, 256 << 20, 1 << 30];

/// Sizes up to here are measured by `--quick`.
const QUICK: usize = 64 << 20;

fn main() -> ExitCode {
    let flags = ["--quick", "--write", "--memory", "--copied", "--mapped", "--zeros"];
    // No usual number of rounds: it depends on the size.
    words::run("bench-transfer", HELP, &flags, Some(0), run)
}

fn run(words: &Words) -> Result<(), Error> {
    let (quick, write) = (words.has("--quick"), words.has("--write"));
    let chosen = |origin: &Origin| words.has(origin.word());
    let mut origins: Vec<Origin> = Origin::ALL.into_iter().filter(chosen).collect();
    if write && (quick || !origins.is_empty()) {
        return Err("--write is for whole runs".into());
    }
    if origins.is_empty() {
        origins = Origin::ALL.to_vec();
    }
    heap::fresh_memory_for_each_large_block()?;
    let rounds = |size| match words.rounds {
        Some(rounds @ 1..) => rounds,
        _ => usual_rounds(size).min(if quick { 5 } else { usize::MAX }),
    };
    let sizes: Vec<usize> = SIZES.into_iter().filter(|&size| !quick || size <= QUICK).collect();
    let cases = cases(&origins, &sizes, transfer::has_huge_pages()?);
    let largest = if quick { QUICK } else { 1 << 30 };
    let source = Source::new(largest)?;
    let maps = chukka::can_map(&source)?;
    let all = measure(&cases, &source, rounds)?;
    let machine = machine::describe();
    let note = if maps { "" } else { " Files cannot be leased there, so that none was mapped." };
    let text = format!("{machine}.{note}\n\n{}", report::report(&all));
    println!("{text}");
    let svg = plot::svg(&all, &machine);
    fs::write(Source::folder()?.join("transfer-throughput.svg"), &svg)?;
    if write {
        document::write("transfer", &text)?;
        document::write_file("transfer-throughput.svg", &svg)?;
    }
    Ok(())
}

/// What takes long is made less often: it varies less, too.
fn usual_rounds(size: usize) -> usize {
    match size >> 20 {
        0 => 31,
        1..16 => 21,
        16..64 => 11,
        64..256 => 7,
        256..1024 => 5,
        _ => 3,
    }
}

fn cases(origins: &[Origin], sizes: &[usize], huge: bool) -> Vec<Case> {
    if !huge {
        eprintln!("bench-transfer: this machine has no huge pages to give: they are left out");
    }
    let mut cases = Vec::new();
    for &origin in origins {
        for &size in sizes {
            let to = DESTINATIONS.into_iter().filter(|&(pages, _)| huge || pages == Pages::Small);
            cases.extend(to.map(|(pages, before)| Case { origin, pages, before, size }));
        }
    }
    cases
}

fn measure(
    cases: &[Case],
    source: &Source,
    rounds: impl Fn(usize) -> usize,
) -> Result<Vec<Measured>, Error> {
    let begin = Instant::now();
    let mut size = None;
    let mut all = Vec::with_capacity(cases.len());
    for &case in cases {
        // Minutes pass in all.
        if size.replace(case.size) != Some(case.size) {
            let seconds = begin.elapsed().as_secs();
            eprintln!("{seconds:>4} s: {} of {}", bytes(case.size), case.origin);
        }
        all.push(transfer::measure(case, source, rounds(case.size))?);
    }
    eprintln!("{:>4} s in all", begin.elapsed().as_secs());
    Ok(all)
}
