//! A virtio disk: chukka against QEMU. Prints ratios; `--help` tells the rest.
#![expect(clippy::print_stdout, reason = "a command prints")]

use std::process::ExitCode;
use std::time::Duration;

use chukka_benches::disk::{Disk, Machine, Run, Vmm, Work};
use chukka_benches::disk_boot::{self, Grub};
use chukka_benches::stats::{Summary, count_ratio, ms, ratio};
use chukka_benches::table::{Table, times};
use chukka_benches::words::{self, Words};
use chukka_benches::{Error, document, machine, peer};

const HELP: &str = "\
usage: bench-disk [ROUNDS] [--requests | --boots | --native] [--write] [--also CHUKKA]...

A guest of ours, the same firmware image in chukka and in QEMU, reads and writes a raw virtio disk that is in the page cache: by
PCI with MSI-X on pc, by registers in memory on microvm. QEMU has an I/O thread for the disk.
In the lab on a clock that counts instructions: what a read of 4 KiB costs with 1 request in flight and with 32, by the difference
between two runs, where the guest takes interrupts; SeaBIOS up to the first words of the GRUB on a disk; and a direct boot with 0, 1
and 4 disks. Then natively by the wall clock, where the guest polls: ROUNDS times (default 5) all VMMs in turn; medians.
--requests, --boots (both in the lab) and --native do only one of these, --write puts the tables into docs/performance.md, --also
measures another chukka along: what was before a change.";

/// How many rounds the native part makes unless told otherwise.
const ROUNDS: usize = 5;
/// Bytes of the disk in the lab, and natively.
const LAB_DISK: u32 = 8 << 20;
const DISK: u32 = 256 << 20;
/// Requests of the shorter run in the lab; the other one makes three times as many.
const COUNTED: u32 = 1024;

/// What is measured natively, and the bytes that are moved by it.
const NATIVE: [(&str, Work); 4] = [
    ("4 KiB, depth 1", work(1, 5000, 4096)),
    ("4 KiB, depth 32", work(32, 100_000, 4096)),
    ("128 KiB reads", work(32, 8000, 128 << 10)),
    ("128 KiB writes", Work { writes: true, ..work(32, 8000, 128 << 10) }),
];

const fn work(depth: u32, requests: u32, bytes: u32) -> Work {
    Work { depth, requests, bytes, writes: false, polls: true }
}

fn main() -> ExitCode {
    let flags = ["--requests", "--boots", "--native", "--write"];
    words::run("bench-disk", HELP, &flags, Some(ROUNDS), run)
}

fn run(words: &Words) -> Result<(), Error> {
    let vmms = vmms(words)?;
    let print = |name: &str, text: &str| {
        println!("{text}");
        if words.has("--write") { document::write(name, text) } else { Ok(()) }
    };
    let is_wanted = |part: &str| {
        words.has(part) || !["--requests", "--boots", "--native"].iter().any(|part| words.has(part))
    };
    if is_wanted("--requests") {
        print("disk-requests", &counted(&vmms)?.to_string())?;
    }
    if is_wanted("--boots") {
        print("disk-grub", &grub(&vmms)?.to_string())?;
        print("disk-boots", &boots(&vmms)?.to_string())?;
    }
    if is_wanted("--native") {
        let table = native(&vmms, words.rounds.unwrap_or(ROUNDS))?;
        print("disk-native", &format!("{}.\n\n{table}", machine::describe()))?;
    }
    Ok(())
}

/// QEMU comes last: the others are told as a multiple of it.
fn vmms(words: &Words) -> Result<Vec<Vmm>, Error> {
    let mut peers = vec![peer::chukka()?];
    for path in &words.also {
        peers.push(peer::another_chukka(path)?);
    }
    let vmm = |peer: peer::Peer| Vmm { name: peer.name, program: peer.program, is_qemu: false };
    let mut vmms: Vec<Vmm> = peers.into_iter().map(vmm).collect();
    vmms.push(Vmm { name: "QEMU".into(), program: peer::qemu_program()?, is_qemu: true });
    Ok(vmms)
}

fn counted(vmms: &[Vmm]) -> Result<Table, Error> {
    let disk = Disk::new(LAB_DISK)?;
    let mut table = Table::new([
        "a read of 4 KiB",
        "in flight",
        "VM exits",
        "notifications",
        "interrupts",
        "instructions",
        "× QEMU's",
    ]);
    for machine in Machine::ALL {
        let mut runs = Vec::new();
        for vmm in vmms {
            runs.push(differences(&disk, vmm, machine)?);
            eprintln!("{} {}", vmm.name, machine.name());
        }
        for (at, depth) in DEPTHS.into_iter().enumerate() {
            for (vmm, run) in vmms.iter().zip(&runs) {
                let least = runs.last().map_or(Duration::ZERO, |qemu| qemu[at].time);
                let mut row = vec![format!("{} {}", vmm.name, machine.name()), depth.to_string()];
                row.extend(costs(&run[at], least));
                table.row(row);
            }
        }
    }
    Ok(table)
}

const DEPTHS: [u32; 2] = [1, 32];

/// For each depth what twice [`COUNTED`] requests cost.
fn differences(disk: &Disk, vmm: &Vmm, machine: Machine) -> Result<Vec<Run>, Error> {
    let counted = |depth, requests| Work { polls: false, ..work(depth, requests, 4096) };
    let works = DEPTHS.map(|depth| [counted(depth, COUNTED), counted(depth, 3 * COUNTED)]);
    let runs = disk.count(vmm, machine, works.as_flattened())?;
    Ok(runs.as_chunks().0.iter().map(|[short, long]| long.beyond(short)).collect())
}

/// A run's costs by request, and its instructions as a multiple of QEMU's.
fn costs(run: &Run, qemu: Duration) -> [String; 5] {
    let each = |count: f64| count / f64::from(2 * COUNTED);
    let number = |count: u64| format!("{:.3}", each(count as f64));
    let instructions = run.time.as_secs_f64() * 1e9;
    [
        run.exits.map_or_else(|| "-".into(), number),
        number(run.notifications),
        number(run.interrupts),
        format!("{:.0}", each(instructions)),
        times(run.time.as_secs_f64() / qemu.as_secs_f64()),
    ]
}

/// SeaBIOS to GRUB; QEMU pc, which comes last, has its default devices and the fewest.
fn grub(vmms: &[Vmm]) -> Result<Table, Error> {
    let disk = Grub::new()?;
    let mut rows = Vec::new();
    for vmm in vmms.iter().filter(|vmm| !vmm.is_qemu) {
        rows.push(disk.row(vmm, Machine::Pc, true)?);
        rows.push(disk.row(vmm, Machine::Microvm, true)?);
    }
    for vmm in vmms.iter().filter(|vmm| vmm.is_qemu) {
        rows.push(disk.row(vmm, Machine::Pc, true)?);
        rows.push(disk.row(vmm, Machine::Pc, false)?);
    }
    let costs = disk_boot::grub(&rows)?;
    let headings = ["to GRUB's first words", "virtual ms", "× of last", "VM exits", "× of last"];
    let mut table = Table::new(headings);
    let Some(last) = costs.last() else { return Ok(table) };
    for (row, cost) in rows.iter().zip(&costs) {
        let (time, exits) = (ratio(cost.time, last.time), count_ratio(cost.exits, last.exits));
        table.row([row.name.clone(), ms(cost.time), time, cost.exits.to_string(), exits]);
    }
    Ok(table)
}

/// Direct boots with disks.
fn boots(vmms: &[Vmm]) -> Result<Table, Error> {
    let headings = ["to the kernel's entry", "disks", "virtual ms", "more, by disk", "VM exits"];
    let mut table = Table::new(headings);
    for vmm in vmms.iter().filter(|vmm| !vmm.is_qemu) {
        for machine in Machine::ALL {
            let costs = disk_boot::direct(vmm, machine, &DISKS)?;
            for (count, cost) in DISKS.into_iter().zip(&costs) {
                let more = (cost.time.as_secs_f64() - costs[0].time.as_secs_f64()) * 1e3;
                let more =
                    if count == 0 { "-".into() } else { format!("{:.2}", more / count as f64) };
                let name = format!("{} {}", vmm.name, machine.name());
                table.row([name, count.to_string(), ms(cost.time), more, cost.exits.to_string()]);
            }
        }
    }
    Ok(table)
}

/// How many disks a direct boot has.
const DISKS: [usize; 3] = [0, 1, 4];

fn native(vmms: &[Vmm], rounds: usize) -> Result<Table, Error> {
    let mut headings = vec![String::from("natively, MB/s (× QEMU's)")];
    headings.extend(NATIVE.map(|(name, _)| name.into()));
    let mut table = Table::new(headings);
    for machine in Machine::ALL {
        let mut columns = Vec::new();
        for (name, work) in NATIVE {
            columns.push(medians(vmms, machine, work, rounds)?);
            eprintln!("{}: {name}", machine.name());
        }
        for (at, vmm) in vmms.iter().enumerate() {
            let mut row = vec![format!("{} {}", vmm.name, machine.name())];
            for ((_, work), times_taken) in NATIVE.iter().zip(&columns) {
                let speed = |time: Duration| {
                    f64::from(work.bytes) * f64::from(work.requests) / 1e6 / time.as_secs_f64()
                };
                let (own, qemu) = (speed(times_taken[at]), speed(times_taken[vmms.len() - 1]));
                row.push(format!("{own:.0} ({})", times(own / qemu)));
            }
            table.row(row);
        }
    }
    Ok(table)
}

/// The median time of each VMM, which take turns.
fn medians(
    vmms: &[Vmm],
    machine: Machine,
    work: Work,
    rounds: usize,
) -> Result<Vec<Duration>, Error> {
    let disk = Disk::new(DISK)?;
    let mut taken: Vec<Vec<Duration>> = vec![Vec::new(); vmms.len()];
    for round in 0..rounds {
        for at in 0..vmms.len() {
            let at = (at + round) % vmms.len();
            taken[at].push(disk.run(&vmms[at], machine, work)?.time);
            if work.writes && !disk.is_written(work)? {
                return Err(format!("{}: not all was written", vmms[at].name).into());
            }
        }
    }
    let median = |times: &Vec<Duration>| Summary::of(times).map(|summary| summary.median);
    taken.iter().map(|times| median(times).ok_or_else(|| "no rounds".into())).collect()
}
