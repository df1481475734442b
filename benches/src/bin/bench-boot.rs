//! Exec to the first line of userspace, and the VM exits on the way: chukka against QEMU, in the
//! lab, on a clock that counts instructions. `--help` tells the rest.
#![expect(clippy::print_stdout, reason = "a command prints")]

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use chukka_benches::Error;
use chukka_benches::boot::{self, Boot, Case, Stage};
use chukka_benches::peer::{self, Guest, Peer};
use chukka_benches::stats::{ms, ratio};
use chukka_benches::table::Table;
use chukka_benches::words::{self, Words};
use chukka_tests::assets;
use chukka_tests::guest::{self, MARKER};

const HELP: &str = "\
usage: bench-boot [--once] [--ours] [--also CHUKKA]...

Time from exec to the first line of userspace, and the VM exits on the way, in the lab on a clock that counts
instructions: Debian's cloud kernel, 256 MiB of memory, one processor. Each boot has an outer machine of its own, and is
made twice to see that the numbers are the same.
--once makes each boot once, --ours leaves out QEMU, --also measures another chukka along: what was before a change.";

fn main() -> ExitCode {
    words::run("bench-boot", HELP, &["--once", "--ours"], None, run)
}

fn run(words: &Words) -> Result<(), Error> {
    let ours = || -> Result<Vec<Peer>, Error> {
        let also = words.also.iter();
        [peer::chukka()].into_iter().chain(also.map(|path| peer::another_chukka(path))).collect()
    };
    let (mut bzimage, mut vmlinux) = (ours()?, ours()?);
    if !words.has("--ours") {
        bzimage.extend([peer::qemu_pc()?, peer::qemu_microvm()?]);
        vmlinux.push(peer::qemu_pc()?);
    }
    let kernel = assets::cloud()?;
    compare("bzImage", bzimage, &kernel.vmlinuz, words.has("--once"))?;
    compare("vmlinux (PVH)", vmlinux, &kernel.vmlinux, words.has("--once"))
}

fn compare(what: &str, peers: Vec<Peer>, kernel: &Path, once: bool) -> Result<(), Error> {
    let append = "console=ttyS0 quiet panic=-1";
    let guest = Guest { kernel: kernel.into(), initrd: guest::initrd()?, append };
    let stage = Stage { guest, mark: MARKER };
    let case = |peer| Case { peer, stages: vec![stage.clone()] };
    let cases: Vec<Case> = peers.into_iter().map(case).collect();
    let boots = boot::all(&cases, if once { 1 } else { 2 })?;
    println!("{}", table(what, &cases, &boots.cases));
    boots.remarks.iter().for_each(|remark| println!("{remark}"));
    Ok(())
}

fn table(what: &str, cases: &[Case], boots: &[Vec<Boot>]) -> Table {
    let boots: Vec<&Boot> = boots.iter().flatten().collect();
    let ours = boots.first().map_or(Duration::ZERO, |boot| boot.time);
    let mut headings =
        [what, "chukka is × of it", "virtual ms", "VM exits"].map(String::from).to_vec();
    headings.extend(Boot::kind_headings());
    let mut table = Table::new(headings);
    for (case, boot) in cases.iter().zip(boots) {
        let mut row = vec![case.peer.name.clone(), ratio(ours, boot.time), ms(boot.time)];
        row.push(boot.exits.to_string());
        row.extend(boot.kinds());
        table.row(row);
    }
    table
}
