//! Process start to the first instruction of the guest: chukka against QEMU. Prints ratios;
//! `--help` tells the rest.
#![expect(clippy::print_stdout, reason = "a command prints")]

use std::process::ExitCode;
use std::time::Duration;

use chukka_benches::peer::{self, Guest, Peer};
use chukka_benches::resident::Resident;
use chukka_benches::stats::{Summary, ms, ratio};
use chukka_benches::table::Table;
use chukka_benches::words::{self, Words};
use chukka_benches::{Error, Start, material, start};
use chukka_tests::assets;

const HELP: &str = "\
usage: bench-start [ROUNDS] [--also CHUKKA]...

Time from exec to the first KVM_RUN, on this machine's /dev/kvm: Debian's cloud kernel, an initrd of 64 MiB, 256 MiB of
memory, one processor, files in the page cache. Each round (default 20) starts every VMM once, in turn.
--also measures another chukka along: what was before a change.";

/// How many rounds there are unless told otherwise.
const ROUNDS: usize = 20;

fn main() -> ExitCode {
    words::run("bench-start", HELP, &[], Some(ROUNDS), run)
}

fn run(words: &Words) -> Result<(), Error> {
    let rounds = words.rounds.unwrap_or(ROUNDS);
    let guest = Guest {
        kernel: assets::cloud()?.vmlinuz,
        initrd: material::big_initrd()?,
        append: "console=ttyS0 quiet",
    };
    let mut peers = vec![peer::chukka()?];
    for path in &words.also {
        peers.push(peer::another_chukka(path)?);
    }
    peers.extend([peer::qemu_microvm()?, peer::qemu_pc()?]);
    let mut starts: Vec<Vec<Start>> = vec![Vec::new(); peers.len()];
    // The first round warms the page cache and does not count.
    for round in 0..=rounds {
        for (peer, starts) in peers.iter().zip(&mut starts) {
            let one = start(peer, &guest)?;
            if round > 0 {
                starts.push(one);
            }
        }
    }
    report(rounds, &peers, &starts)?;
    let size = std::fs::metadata(&peers[0].program)?.len();
    println!("release binary: {:.2} MiB ({size} bytes)", mib(size >> 10));
    Ok(())
}

fn report(rounds: usize, peers: &[Peer], starts: &[Vec<Start>]) -> Result<(), Error> {
    let summary = |starts: &[Start]| {
        let times: Vec<Duration> = starts.iter().map(|start| start.time).collect();
        Summary::of(&times).ok_or("no rounds, no numbers")
    };
    let ours = summary(&starts[0])?.median;
    let mut table = Table::new([
        "exec to KVM_RUN",
        "chukka is × of it",
        "median ms",
        "middle half",
        "all",
        "resident beyond guest, MiB",
        "of it its share",
    ]);
    for (peer, starts) in peers.iter().zip(starts) {
        let times = summary(starts)?;
        let resident = middle(starts);
        table.row([
            peer.name.clone(),
            ratio(ours, times.median),
            ms(times.median),
            format!("{}-{}", ms(times.lower), ms(times.upper)),
            format!("{}-{}", ms(times.least), ms(times.most)),
            format!("{:.1}", mib(resident.rss)),
            format!("{:.1}", mib(resident.pss)),
        ]);
    }
    println!("{rounds} rounds, in turn\n{table}");
    Ok(())
}

/// The median of the sizes.
fn middle(starts: &[Start]) -> Resident {
    let mut sizes: Vec<Resident> = starts.iter().map(|start| start.resident).collect();
    sizes.sort_unstable();
    sizes.get(sizes.len() / 2).copied().unwrap_or_default()
}

#[expect(clippy::cast_precision_loss, reason = "a size for a person to read")]
fn mib(kib: u64) -> f64 {
    kib as f64 / 1024.0
}
