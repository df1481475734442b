//! Measures what the table has.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use chukka_benches::boot::{Boot, OUTER_MEMORY, Stage};
use chukka_benches::peer::{self, Guest, Peer};
use chukka_tests::guest::{self, MARKER};
use chukka_tests::native::guest as tiny;
use chukka_tests::{Result, assets, binaries, lab};

use crate::samples::Samples;

/// How often the boots of a tiny kernel are measured; the least counts. A huge page more or less is
/// 2 MiB. And KVM_CREATE_VM starts a kernel thread, which waits for an RCU grace period, so for a
/// tick of the scheduler: how long depends on where between two ticks a process starts. Each round
/// starts them at another point, and in another order.
const ROUNDS: u32 = 8;
/// How often Debian's kernel is booted up to userspace; the median counts. Once in some fifty starts
/// its interrupts are 250 fewer, or its MSRs are accessed 800 times more, and the same jobs in a new
/// machine do the same again. So each boot starts at another point between two ticks.
const USERSPACE_BOOTS: u32 = 3;
/// Between two ticks of the host's scheduler: Debian's kernels have `CONFIG_HZ=250`.
const TICK: Duration = Duration::from_millis(4);
/// How much later the boots of the next attempt start: not a part of a tick that another start has.
const LATER: Duration = Duration::from_micros(230);
/// Bytes of the tiny kernels: about what Debian's cloud kernel has.
const TINY: u64 = 14 << 20;
/// The tiny kernels' first word.
const READY: &str = "ready";

/// A boot of a chukka, and the section it is in.
struct Row {
    section: &'static str,
    peer: Peer,
    stage: Stage,
}

/// Everything, by the names of the table. Each attempt starts the boots at other points between two
/// ticks.
pub fn measure(attempt: u32) -> Result<Samples> {
    let mut samples = Samples::default();
    for (key, value) in environment()? {
        samples.text(format!("environment.{key}"), &value);
    }
    let chukka = binaries::chukka()?;
    samples.count("binary.bytes".into(), fs::metadata(&chukka).unwrap().len());
    for (row, boot) in boots(LATER * attempt)? {
        let mut put = |key: &str, value| samples.count(format!("{}.{key}", row.section), value);
        put("us", u64::try_from(boot.time.as_micros()).unwrap());
        put("exits", boot.exits);
        if row.section.starts_with("entry.") {
            put("resident", boot.resident_kib);
        } else {
            for (kind, count) in boot.by_kind() {
                put(kind.rsplit(' ').next().unwrap(), count);
            }
        }
    }
    Ok(samples)
}

/// Boots all, in two outer machines at once, each job so much later. Each machine always has the
/// same boots in the same order: their numbers depend on it.
fn boots(later: Duration) -> Result<Vec<(Row, Boot)>> {
    let mut first = Vec::new();
    for round in 0..ROUNDS {
        let mut entries = entries()?;
        let first_row = round as usize % entries.len();
        entries.rotate_left(first_row);
        first.extend(entries.into_iter().map(|row| (later + TICK * round / ROUNDS, row)));
    }
    // About the same work for both.
    let mut second = Vec::new();
    for round in 0..USERSPACE_BOOTS {
        let point = later + TICK * round / USERSPACE_BOOTS;
        second.extend(userspace()?.into_iter().map(|row| (point, row)));
    }
    thread::scope(|scope| {
        let other = scope.spawn(|| batch(second));
        let mut done = batch(first)?;
        done.extend(other.join().unwrap()?);
        Ok(done)
    })
}

/// Boots each row in one outer machine, after the wait that stands before it.
fn batch(rows: Vec<(Duration, Row)>) -> Result<Vec<(Row, Boot)>> {
    let jobs: Vec<_> =
        rows.iter().map(|(wait, row)| row.stage.job(&row.peer).delay(*wait)).collect();
    let reports = lab::icount(&jobs, OUTER_MEMORY)?;
    let boot = |((_, row), report): ((_, Row), _)| {
        let boot = Boot::of(&report, &row.stage, &row.peer);
        let boot = boot.unwrap_or_else(|error| panic!("{}: {error}", row.section));
        (row, boot)
    };
    Ok(rows.into_iter().zip(reports).map(boot).collect())
}

/// A tiny kernel, booted in every way.
fn entries() -> Result<Vec<Row>> {
    let bzimage = kernel("costs.bzimage", &tiny::bzimage_of("", TINY))?;
    let vmlinux = kernel("costs.vmlinux", &tiny::kernel_of("", TINY))?;
    let chukka = peer::chukka().unwrap();
    let builtin = peer::with_builtin(&chukka);
    let mut seabios = peer::with_seabios(&chukka).into_iter();
    let (pc, microvm) = (seabios.next().unwrap(), seabios.next().unwrap());
    let initrd = guest::initrd()?;
    let row = |section, peer, kernel: &Path| {
        let guest =
            Guest { kernel: kernel.into(), initrd: initrd.clone(), append: "console=ttyS0" };
        Row { section, peer, stage: Stage { guest, mark: READY } }
    };
    Ok(vec![
        row("entry.bzimage", chukka.clone(), &bzimage),
        row("entry.vmlinux", chukka, &vmlinux),
        row("entry.builtin", builtin, &bzimage),
        row("entry.seabios-microvm", microvm, &bzimage),
        row("entry.seabios-pc", pc, &bzimage),
    ])
}

/// Debian's kernel, booted directly.
fn userspace() -> Result<Vec<Row>> {
    let cloud = assets::cloud()?;
    let row = |section, kernel: PathBuf| -> Result<Row> {
        let append = "console=ttyS0 quiet panic=-1";
        let guest = Guest { kernel, initrd: guest::initrd()?, append };
        let peer = peer::chukka().unwrap();
        Ok(Row { section, peer, stage: Stage { guest, mark: MARKER } })
    };
    Ok(vec![row("userspace.bzimage", cloud.vmlinuz)?, row("userspace.vmlinux", cloud.vmlinux)?])
}

fn kernel(name: &str, content: &[u8]) -> Result<PathBuf> {
    let path = assets::work_folder()?.join(name);
    fs::write(&path, content).unwrap();
    Ok(path)
}

/// What the numbers depend on besides chukka.
fn environment() -> Result<BTreeMap<&'static str, String>> {
    let kernel = assets::cloud()?.vmlinuz.with_file_name("release");
    Ok(BTreeMap::from([
        ("kernel", fs::read_to_string(kernel).unwrap().trim().into()),
        ("qemu", first_line("qemu-system-x86_64", "--version")),
        ("seabios", checksum(&assets::firmware("bios-256k.bin")?)),
        ("initrd", checksum(&guest::initrd()?)),
        ("libc", first_line("ldd", "--version")),
        ("rustc", first_line("rustc", "--version")),
    ]))
}

fn first_line(program: &str, word: &str) -> String {
    let output = Command::new(program).arg(word).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}"));
    String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or_default().into()
}

/// FNV-1a: tells files apart, protects nothing.
fn checksum(path: &Path) -> String {
    let bytes = fs::read(path).unwrap();
    let sum = bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum: u64, &byte| {
        (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{sum:016x}")
}
