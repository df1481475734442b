//! Exec to the first line of userspace, and the VM exits on the way: chukka against QEMU, in the lab, on a clock that
//! counts instructions. `--help` tells the rest.
#![expect(clippy::print_stdout, reason = "a command prints")]

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use chukka_benches::Error;
use chukka_benches::boot::{self, Boot};
use chukka_benches::peer::{self, Guest, Peer};
use chukka_benches::stats::ratio;
use chukka_benches::table::Table;
use chukka_tests::{assets, guest};

const HELP: &str = "\
usage: bench-boot [--once] [--ours] [--also CHUKKA]...

Time from exec to the first line of userspace, and the VM exits on the way, in the lab on a clock that counts
instructions: Debian's cloud kernel, 256 MiB of memory, one processor. Each boot has an outer machine of its own, and is
made twice to see that the numbers are the same.
--once makes each boot once, --ours leaves out QEMU, --also measures another chukka along: what was before a change.";

#[derive(Default)]
struct Words {
    once: bool,
    ours: bool,
    also: Vec<PathBuf>,
}

fn main() -> ExitCode {
    match words().and_then(|words| run(&words)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench-boot: {error}");
            ExitCode::FAILURE
        }
    }
}

fn words() -> Result<Words, Error> {
    let mut words = Words::default();
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--help" | "-h" => {
                println!("{HELP}");
                std::process::exit(0);
            }
            "--once" => words.once = true,
            "--ours" => words.ours = true,
            "--also" => {
                let path = args.next().ok_or("--also needs a path")?;
                words.also.push(std::path::absolute(path)?);
            }
            _ => return Err(format!("unknown word {arg}\n{HELP}").into()),
        }
    }
    Ok(words)
}

/// One line of a table.
struct Case {
    peer: Peer,
    guest: Guest,
}

fn run(words: &Words) -> Result<(), Error> {
    let ours = || -> Result<Vec<Peer>, Error> {
        let also = words.also.iter();
        let also = also.map(|path| peer::another_chukka(&path.to_string_lossy(), path.clone()));
        Ok([peer::chukka()?].into_iter().chain(also).collect())
    };
    let (mut bzimage, mut vmlinux) = (ours()?, ours()?);
    if !words.ours {
        bzimage.extend([peer::qemu_pc()?, peer::qemu_microvm()?]);
        vmlinux.push(peer::qemu_pc()?);
    }
    let kernel = assets::cloud()?;
    compare("bzImage", bzimage, &kernel.vmlinuz, words.once)?;
    compare("vmlinux (PVH)", vmlinux, &kernel.vmlinux, words.once)
}

fn compare(
    what: &str,
    peers: Vec<Peer>,
    kernel: &std::path::Path,
    once: bool,
) -> Result<(), Error> {
    let guest = Guest {
        kernel: kernel.into(),
        initrd: guest::initrd()?,
        append: "console=ttyS0 quiet panic=-1",
    };
    let cases: Vec<Case> =
        peers.into_iter().map(|peer| Case { peer, guest: guest.clone() }).collect();
    let times = if once { 1 } else { 2 };
    let boots = boot_all(&cases, times)?;
    println!("{}", table(what, &cases, &boots));
    for (case, boots) in cases.iter().zip(boots.chunks(times)) {
        if let [first, second] = boots
            && first != second
        {
            println!("not repeatable: {}: {first}; then {second}", case.peer.name);
        }
    }
    Ok(())
}

/// Makes all boots, each so many times, as many at once as there are processors: no boot's clock sees the others.
fn boot_all(cases: &[Case], times: usize) -> Result<Vec<Boot>, Error> {
    let all: Vec<&Case> = cases.iter().flat_map(|case| vec![case; times]).collect();
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some((at, case)) = Some(next.fetch_add(1, Ordering::Relaxed))
                    .and_then(|at| Some((at, all.get(at)?)))
                {
                    let boot = boot::boot(&case.peer, &case.guest).map_err(|e| e.to_string());
                    if let Ok(mut done) = done.lock() {
                        done.push((at, boot));
                    }
                }
            });
        }
    });
    let mut done = done.into_inner().map_err(|_| "a boot panicked")?;
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, boot)| boot.map_err(Error::from)).collect()
}

fn table(what: &str, cases: &[Case], boots: &[Boot]) -> Table {
    let times = boots.len() / cases.len().max(1);
    let ours = boots.first().map_or(Duration::ZERO, |boot| boot.time);
    let mut headings = vec![what, "chukka is × of it", "virtual ms", "VM exits"];
    headings.extend(boot::KINDS.map(|(kind, _)| kind));
    headings.push("other");
    let mut table = Table::new(headings);
    for (case, boot) in cases.iter().zip(boots.iter().step_by(times.max(1))) {
        let mut row = vec![case.peer.name.clone(), ratio(ours, boot.time)];
        row.push(format!("{:.3}", boot.time.as_secs_f64() * 1000.0));
        row.push(boot.exits.to_string());
        row.extend(boot.kinds.iter().map(ToString::to_string));
        row.push(boot.other().to_string());
        table.row(row);
    }
    table
}
