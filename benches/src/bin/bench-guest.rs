//! fw_cfg DMA transfers of an initrd, timed by the guest: chukka against QEMU. Prints ratios;
//! `--help` tells the rest.
#![expect(clippy::print_stdout, reason = "a command prints")]

use std::path::PathBuf;
use std::process::ExitCode;

use chukka_benches::Error;
use chukka_benches::guest::{Before, Guest, MACHINES, Round, Run};
use chukka_benches::material::{self, Cached, Pages};
use chukka_benches::peer;
use chukka_benches::stats::{count_ratio, median};
use chukka_benches::table::Table;
use chukka_benches::words::{self, Words};

const HELP: &str = "\
usage: bench-guest [ROUNDS] [--also CHUKKA]...

On this machine's /dev/kvm a guest of ours, the same firmware image in chukka and in QEMU, by the same words, moves its initrd
of 1, 16, 128 and 512 MiB by one fw_cfg DMA operation, then reads a word of every page, 7 times over, and times both with the
TSC. One processor, 1 GiB of memory, files in the page cache, in huge pages and, of two sizes, in small ones. Each round (default 6) starts every VMM once for each machine and
size, in turn, each time another one first; a run before them does not count: it gets the memory from a host that is itself
a guest. What is moved is checked.
--also measures another chukka along: what was before a change.";

/// How many rounds there are unless told otherwise.
const ROUNDS: usize = 6;
/// How many transfers a guest makes: one to memory that nobody has touched, three each of the other
/// kinds.
const TRANSFERS: usize = 7;
/// Sizes of the initrd, in MiB, and how the host has it.
const INITRDS: [(u32, Cached); 6] = [
    (1, Cached::Huge),
    (16, Cached::Huge),
    (128, Cached::Huge),
    (512, Cached::Huge),
    (16, Cached::Small),
    (128, Cached::Small),
];

/// What is measured: after what, and whether reading the pages counts.
const COLUMNS: [(Before, bool, &str); 6] = [
    (Before::Untouched, false, "untouched: DMA"),
    (Before::Untouched, true, "and read"),
    (Before::Read, false, "again: DMA"),
    (Before::Read, true, "and read"),
    (Before::Written, false, "after writes: DMA"),
    (Before::Written, true, "and read"),
];

/// A VMM: what it is called, and its program.
type Vmm = (String, PathBuf);

/// A machine and an initrd, and for each VMM its runs.
struct Case {
    machine: &'static str,
    mib: u32,
    cached: Cached,
    runs: Vec<Vec<Run>>,
}

fn main() -> ExitCode {
    words::run("bench-guest", HELP, &[], Some(ROUNDS), run)
}

fn run(words: &Words) -> Result<(), Error> {
    let rounds = words.rounds.unwrap_or(ROUNDS);
    let vmms = vmms(words)?;
    let guest = Guest::new();
    let initrds = INITRDS.into_iter().map(|(mib, cached)| material::numbered_pages(mib, cached));
    let initrds = initrds.collect::<Result<Vec<_>, _>>()?;
    let mut cases = cases(&initrds, vmms.len());
    for round in 0..rounds {
        for (case, initrd) in cases.iter_mut().zip(initrds.iter().cycle()) {
            // Memory that has been free for a while may have gone back to the host's own host, and
            // who is first to use it again waits for it.
            guest.run(&vmms[round % vmms.len()].1, case.machine, initrd, 1)?;
            for at in 0..vmms.len() {
                let at = (at + round) % vmms.len();
                case.runs[at].push(guest.run(&vmms[at].1, case.machine, initrd, TRANSFERS)?);
            }
        }
        eprintln!("round {} of {rounds}", round + 1);
    }
    println!("{rounds} rounds of {TRANSFERS} transfers, in turn; medians\n");
    println!("{}\n{}", ratios(&vmms, &cases), cycles(&vmms, &cases));
    Ok(())
}

/// QEMU comes last: the others are told as a multiple of it.
fn vmms(words: &Words) -> Result<Vec<Vmm>, Error> {
    let mut vmms = vec![peer::chukka()?];
    for path in &words.also {
        vmms.push(peer::another_chukka(path)?);
    }
    let mut vmms: Vec<Vmm> = vmms.into_iter().map(|peer| (peer.name, peer.program)).collect();
    vmms.push(("QEMU".into(), peer::qemu_program()?));
    Ok(vmms)
}

/// Each machine with each initrd, those in their order.
fn cases(initrds: &[Pages], vmms: usize) -> Vec<Case> {
    let of = |machine| {
        initrds.iter().map(move |initrd| Case {
            machine,
            mib: initrd.mib,
            cached: initrd.cached,
            runs: vec![Vec::new(); vmms],
        })
    };
    MACHINES.into_iter().flat_map(of).collect()
}

impl Case {
    /// Samples of a VMM, of what a column is about.
    fn samples(&self, vmm: usize, (before, and_read, _): (Before, bool, &str)) -> Vec<u64> {
        let cost = |round: &Round| round.transfer + if and_read { round.read } else { 0 };
        self.rounds(vmm).filter(|round| round.before == before).map(cost).collect()
    }

    fn rounds(&self, vmm: usize) -> impl Iterator<Item = &Round> {
        self.runs[vmm].iter().flat_map(|run| &run.rounds)
    }

    fn name(&self, vmm: &Vmm) -> String {
        let cached = if self.cached == Cached::Small { " in small pages" } else { "" };
        format!("{} {}, {} MiB{cached}", vmm.0, self.machine, self.mib)
    }
}

/// The claim: each chukka's cycles as a multiple of QEMU's.
fn ratios(vmms: &[Vmm], cases: &[Case]) -> Table {
    let headings = COLUMNS.map(|(_, _, heading)| heading);
    let mut table = Table::new(["× of QEMU's cycles"].into_iter().chain(headings));
    let qemu = vmms.len() - 1;
    for (at, vmm) in vmms[..qemu].iter().enumerate() {
        for case in cases {
            let ratio = |column| {
                let of = median(&case.samples(at, column)).unwrap_or_default();
                count_ratio(of, median(&case.samples(qemu, column)).unwrap_or_default())
            };
            table.row([case.name(vmm)].into_iter().chain(COLUMNS.map(ratio)));
        }
    }
    table
}

/// What the ratios are made of.
fn cycles(vmms: &[Vmm], cases: &[Case]) -> Table {
    let headings = COLUMNS.map(|(_, _, heading)| heading);
    let more = ["reading again", "DMA of 4 bytes", "VM exits"];
    let mut table = Table::new(["million cycles"].into_iter().chain(headings).chain(more));
    for case in cases {
        for (at, vmm) in vmms.iter().enumerate() {
            let exits: Vec<u64> = case.runs[at].iter().filter_map(|run| run.exits).collect();
            let mut row = vec![case.name(vmm)];
            row.extend(COLUMNS.map(|column| spread(&case.samples(at, column))));
            row.push(middle(&case.rounds(at).map(|round| round.again).collect::<Vec<_>>()));
            row.push(middle(&case.rounds(at).map(|round| round.empty).collect::<Vec<_>>()));
            // KVM's counters are not to be seen everywhere.
            row.push(median(&exits).map_or("-".into(), |exits| exits.to_string()));
            table.row(row);
        }
    }
    table
}

/// The median, and from the least to the most.
fn spread(samples: &[u64]) -> String {
    let end = |end: Option<&u64>| end.map_or("-".into(), |cycles| millions(*cycles));
    format!("{} ({}-{})", middle(samples), end(samples.iter().min()), end(samples.iter().max()))
}

fn middle(samples: &[u64]) -> String {
    median(samples).map_or("-".into(), millions)
}

#[expect(clippy::cast_precision_loss, reason = "a number for a person to read")]
fn millions(cycles: u64) -> String {
    format!("{:.2}", cycles as f64 / 1e6)
}
