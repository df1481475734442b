//! User networks: chukka's, QEMU's, passt and libslirp. Prints figures; `--help` tells the rest.
#![expect(clippy::print_stdout, reason = "a command prints")]

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use chukka_benches::network::lab::{self, Cost, Vmm};
use chukka_benches::network::rival::Rival;
use chukka_benches::network::{Direction, Run};
use chukka_benches::table::{Table, times};
use chukka_benches::words::{self, Words};
use chukka_benches::{Error, document, machine, peer};
use chukka_tests::assets;
use chukka_tests::sys::{enter_new_network, tap};

const HELP: &str = "\
usage: bench-network [ROUNDS] [--wire | --guest] [--write] [--also CHUKKA]...

--wire: one TCP connection from frames to a socket on loopback, by chukka's network, passt, and libslirp in QEMU, in segments of
1460 bytes and as large as each takes them; ROUNDS times (default 5) all in turn; medians. It needs root, for a network namespace of
its own.
--guest: what a MiB costs Linux in the lab, on a clock that counts instructions, in chukka and in QEMU with -nic user.
Without --wire or --guest, both run. --write updates the tables in docs/performance.md. --also CHUKKA measures a second chukka
binary for comparison (--guest only).";

const ROUNDS: usize = 5;
/// Payload of a segment: of Ethernet's frames, and of passt's largest frames.
const SIZES: [usize; 2] = [1460, 65_480];
const BYTES: u64 = 256 << 20;
const DIRECTIONS: [Direction; 2] = [Direction::Received, Direction::Sent];

fn main() -> ExitCode {
    words::run("bench-network", HELP, &["--wire", "--guest", "--write"], Some(ROUNDS), run)
}

fn run(words: &Words) -> Result<(), Error> {
    let print = |name: &str, text: &str| {
        println!("{text}");
        if words.has("--write") { document::write(name, text) } else { Ok(()) }
    };
    if words.has("--guest") || !words.has("--wire") {
        print("network-guest", &guests(words)?.to_string())?;
    }
    if words.has("--wire") || !words.has("--guest") {
        let table = wire(words.rounds.unwrap_or(ROUNDS))?;
        print("network-wire", &format!("{}.\n\n{table}", machine::describe()))?;
    }
    Ok(())
}

/// Makes the thread's network namespace one in which passt starts: it wants a default route.
fn enter_network() -> Result<std::fs::File, Error> {
    enter_new_network()?;
    let interface = tap("tap0")?;
    for line in [
        "link set lo up",
        "addr add 192.0.2.1/24 dev tap0",
        "link set tap0 up",
        "route add default via 192.0.2.2",
    ] {
        let status = std::process::Command::new("ip").args(line.split(' ')).status()?;
        if !status.success() {
            return Err(format!("ip {line}: {status}").into());
        }
    }
    Ok(interface)
}

fn wire(rounds: usize) -> Result<Table, Error> {
    let interface = enter_network()?;
    let mut table = Table::new([
        "one connection",
        "segments of",
        "received, Gbit/s",
        "ns a segment",
        "sent, Gbit/s",
        "ns a segment",
    ]);
    for size in SIZES {
        let mut runs = vec![[Vec::new(), Vec::new()]; Rival::ALL.len()];
        // libslirp's segments are those of Ethernet.
        let rivals =
            || Rival::ALL.into_iter().filter(|rival| size == SIZES[0] || *rival != Rival::Libslirp);
        for _ in 0..rounds {
            for (at, rival) in rivals().enumerate() {
                for (direction, runs) in DIRECTIONS.into_iter().zip(&mut runs[at]) {
                    runs.push(run_again(rival, direction, size)?);
                }
            }
        }
        for (rival, runs) in rivals().zip(&runs) {
            let mut row = vec![rival.name().to_owned(), size.to_string()];
            row.extend(runs.iter().flat_map(|runs| cells(runs)));
            table.row(row);
        }
    }
    drop(interface);
    Ok(table)
}

/// Runs a rival, up to three times: a run can stall, above all passt's after it has dropped frames.
fn run_again(rival: Rival, direction: Direction, size: usize) -> Result<Run, Error> {
    for _ in 0..2 {
        match rival.run(direction, size, BYTES) {
            Err(error) => eprintln!("again, as it has stalled: {error}"),
            done => return done,
        }
    }
    rival.run(direction, size, BYTES)
}

/// Speed and processor time of the median runs.
fn cells(runs: &[Run]) -> [String; 2] {
    let middle = |values: &mut Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied()
    };
    let speed = |run: &Run| run.bytes as f64 * 8.0 / 1e9 / run.time.as_secs_f64();
    let each = |run: &Run| {
        run.processor.map(|time: Duration| time.as_secs_f64() * 1e9 / run.segments.max(1) as f64)
    };
    let speed = middle(&mut runs.iter().map(speed).collect());
    let each = middle(&mut runs.iter().filter_map(each).collect());
    [
        speed.map_or_else(|| "-".into(), |speed| format!("{speed:.2}")),
        each.map_or_else(|| "-".into(), |each| format!("{each:.0}")),
    ]
}

/// Words of a VMM with a card on a user network, up to the machine.
const CHUKKA: &str = "-nodefaults -nographic -serial stdio -no-reboot -m 256 -nic user,ipv6=off -M";
const QEMU: &str = "-accel kvm -nodefaults -no-user-config -display none -serial stdio -no-reboot -m 256 \
                    -global virtio-net-pci.romfile= -nic user,ipv6=off,model=virtio -M";

/// chukka on both machines, others of it too, and QEMU, which comes last.
fn vmms(words: &Words) -> Result<Vec<Vmm>, Error> {
    let vmm = |name: &str, program: &Path, words: &str, machine: &str| {
        let program = program.to_string_lossy().into_owned();
        let words = words.split_whitespace().chain([machine]).map(String::from);
        Vmm {
            name: format!("{name} {machine}"),
            words: [program].into_iter().chain(words).collect(),
        }
    };
    let mut vmms = Vec::new();
    for machine in ["pc", "microvm"] {
        vmms.push(vmm("chukka", &peer::chukka()?.program, CHUKKA, machine));
        for path in &words.also {
            let name = path.to_string_lossy();
            vmms.push(vmm(&name, &std::path::absolute(path)?, CHUKKA, machine));
        }
    }
    vmms.push(vmm("QEMU", &peer::qemu_program()?, QEMU, "pc"));
    Ok(vmms)
}

fn guests(words: &Words) -> Result<Table, Error> {
    let (kernel, vmms) = (assets::cloud()?, vmms(words)?);
    let mut costs = Vec::new();
    for vmm in &vmms {
        costs.push(lab::count(vmm, &kernel)?);
        eprintln!("{}", vmm.name);
    }
    let mut table = Table::new([
        "a MiB",
        "VMM's instructions",
        "× QEMU's",
        "all instructions",
        "× QEMU's",
        "VM exits",
        "× QEMU's",
    ]);
    let qemu = costs.last().ok_or("no QEMU")?;
    for (at, name) in ["received", "sent"].into_iter().enumerate() {
        for (vmm, cost) in vmms.iter().zip(&costs) {
            let mut row = vec![format!("{name}, {}", vmm.name)];
            let of: [fn(&Cost) -> f64; 3] = [|cost| cost.vmm, |cost| cost.all, |cost| cost.exits];
            row.extend(of.iter().flat_map(|of| {
                let (own, last) = (of(&cost[at]), of(&qemu[at]));
                [format!("{own:.0}"), times(own / last)]
            }));
            table.row(row);
        }
    }
    Ok(table)
}
