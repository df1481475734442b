//! Boots by SeaBIOS: chukka against QEMU. Prints ratios; `--help` tells the rest.
#![expect(clippy::print_stdout, reason = "a command prints")]

use std::process::ExitCode;
use std::time::Duration;

use chukka_benches::boot::{self, Boot, Case, Stage};
use chukka_benches::peer::{self, Guest, Peer};
use chukka_benches::stats::{Summary, count_ratio, ms, ratio};
use chukka_benches::table::Table;
use chukka_benches::words::{self, Words};
use chukka_benches::{Error, native};
use chukka_tests::assets;
use chukka_tests::guest::{self, MARKER};

const HELP: &str = "\
usage: bench-firmware [ROUNDS] [--lab | --native] [--once] [--ours] [--also CHUKKA]...

Boots of Debian's cloud kernel by Debian's SeaBIOS, 256 MiB of memory, one processor: from exec to the kernel's first line,
which its real-mode code prints as soon as it is entered, and to the first line of userspace.
In the lab on a clock that counts instructions, with the VM exits on the way: each VMM has an outer machine of its own, and is
measured twice to see that the numbers are the same. Then natively on this machine's /dev/kvm by the wall clock, to the
kernel's first line only: ROUNDS times (default 3) all VMMs in turn.
--lab and --native do only one of the two, --once measures once in the lab, --ours leaves out QEMU, --also measures another
chukka along: what was before a change.";

/// The kernel's first words, before anything else that it does (`main` in arch/x86/boot/main.c).
const ENTRY: &str = "early console in setup code";

/// How many rounds the native part makes unless told otherwise.
const ROUNDS: usize = 3;

fn main() -> ExitCode {
    let flags = ["--lab", "--native", "--once", "--ours"];
    words::run("bench-firmware", HELP, &flags, Some(ROUNDS), run)
}

fn run(words: &Words) -> Result<(), Error> {
    let guest = |append| -> Result<Guest, Error> {
        Ok(Guest { kernel: assets::cloud()?.vmlinuz, initrd: guest::initrd()?, append })
    };
    let entry =
        Stage { guest: guest("console=ttyS0 earlyprintk=ttyS0 debug panic=-1")?, mark: ENTRY };
    let userspace = Stage { guest: guest("console=ttyS0 quiet panic=-1")?, mark: MARKER };
    if !words.has("--native") {
        // First as bench-boot does it, so that its numbers can be compared with these.
        in_the_lab(peers(words)?, &[userspace, entry.clone()], words.has("--once"))?;
    }
    if !words.has("--lab") {
        natively(&peers(words)?, &entry, words.rounds.unwrap_or(ROUNDS))?;
    }
    Ok(())
}

/// QEMU comes first: everything is told as a multiple of its `-M pc`.
fn peers(words: &Words) -> Result<Vec<Peer>, Error> {
    let mut peers = if words.has("--ours") { Vec::new() } else { peer::qemu_with_seabios()? };
    peers.extend(peer::with_seabios(&peer::chukka()?));
    for path in &words.also {
        peers.extend(peer::with_seabios(&peer::another_chukka(path)?));
    }
    Ok(peers)
}

fn in_the_lab(peers: Vec<Peer>, stages: &[Stage], once: bool) -> Result<(), Error> {
    let case = |peer| Case { peer, stages: stages.to_vec() };
    let cases: Vec<Case> = peers.into_iter().map(case).collect();
    let boots = boot::all(&cases, if once { 1 } else { 2 })?;
    let titles = ["exec to userspace", "exec to the kernel's first line"];
    for (at, title) in titles.into_iter().enumerate().rev() {
        let stage: Vec<&Boot> = boots.cases.iter().filter_map(|case| case.get(at)).collect();
        println!("{}", lab_table(title, &cases, &stage));
    }
    boots.remarks.iter().for_each(|remark| println!("{remark}"));
    Ok(())
}

fn lab_table(title: &str, cases: &[Case], boots: &[&Boot]) -> Table {
    let mut headings =
        [title, "virtual ms", "× of first", "VM exits", "× of first"].map(String::from).to_vec();
    headings.extend(Boot::kind_headings());
    let mut table = Table::new(headings);
    for (case, boot) in cases.iter().zip(boots) {
        let mut row = vec![case.peer.name.clone(), ms(boot.time), ratio(boot.time, boots[0].time)];
        row.extend([boot.exits.to_string(), count_ratio(boot.exits, boots[0].exits)]);
        row.extend(boot.kinds());
        table.row(row);
    }
    table
}

fn natively(peers: &[Peer], stage: &Stage, rounds: usize) -> Result<(), Error> {
    let mut times: Vec<Vec<Duration>> = vec![Vec::new(); peers.len()];
    for _ in 0..rounds {
        for (peer, times) in peers.iter().zip(&mut times) {
            let time = native::boot(peer, stage)?;
            // A round takes minutes.
            eprintln!("{}: {} ms", peer.name, ms(time));
            times.push(time);
        }
    }
    let times: Vec<Summary> = times.iter().filter_map(|times| Summary::of(times)).collect();
    let headings = ["natively to the kernel's first line", "median ms", "× of first", "all"];
    let mut table = Table::new(headings);
    for (peer, time) in peers.iter().zip(&times) {
        let name = peer.name.clone();
        let all = format!("{}-{}", ms(time.least), ms(time.most));
        table.row([name, ms(time.median), ratio(time.median, times[0].median), all]);
    }
    println!("{rounds} rounds, in turn\n{table}");
    Ok(())
}
