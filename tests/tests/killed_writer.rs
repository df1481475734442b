//! kill -9 while a disk is written to: what was flushed is there, and a qcow2 image is not damaged.
//!
//! The writer is this program itself, started once more. It writes pieces whose place and content
//! follow from their number, flushes now and then, and prints what it has done. `CHUKKA_SOAK=1`
//! does 50 rounds for each format.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use chukka_tests::native::Scratch;
use chukka_tests::{assets, pack};
use storage::disk::{Disk, DiskFormat, DiskOptions, check, create};
use vm_memory::VolatileSlice;

/// Tells the writer the image.
const IMAGE: &str = "CHUKKA_KILLED_WRITER";
const SECTORS: u64 = (32 << 20) / 512;
const NAME: &str = "what_was_flushed_survives_kill_9_and_the_image_is_whole";

fn main() -> ExitCode {
    if let Some(path) = std::env::var_os(IMAGE) {
        write_for_ever(Path::new(&path));
    }
    println!("\nrunning 1 test");
    let missing = || chukka_tests::Error::Missing("qemu-img (package qemu-utils)".into());
    let qemu_img = assets::or_skip(pack::which("qemu-img").ok_or_else(missing));
    let rounds = if std::env::var_os("CHUKKA_SOAK").is_some() { 50 } else { 3 };
    let started = std::time::Instant::now();
    for round in 0..rounds {
        for format in [DiskFormat::Raw, DiskFormat::Qcow2] {
            let delay = Duration::from_millis(30 + 37 * (round % 9));
            self::round(format, delay, qemu_img.as_deref());
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    println!("test {NAME} ... ok <{seconds:.3}s>");
    println!("\ntest result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out");
    ExitCode::SUCCESS
}

/// The sectors of piece `number`: few different ones, so that they are written more than once.
fn place(number: u64) -> std::ops::Range<u64> {
    let random = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
    let start = (random % 97) * (SECTORS / 97) + random / 97 % 40;
    start..start + 1 + random / 4000 % 300
}

fn write_for_ever(path: &Path) {
    let disk = Disk::open(path, DiskOptions::default()).expect("the image is right");
    for number in 1u64.. {
        let sectors = place(number);
        let count = usize::try_from(sectors.end - sectors.start).expect("it is small");
        let mut bytes = number.to_le_bytes().repeat(64 * count);
        disk.write(&[VolatileSlice::from(&mut bytes[..])], sectors.start * 512).expect("written");
        println!("w {number}");
        if number % 8 == 0 {
            disk.flush().expect("flushed");
            println!("f {number}");
        }
        std::io::stdout().flush().expect("the parent reads");
    }
}

fn round(format: DiskFormat, delay: Duration, qemu_img: Option<&Path>) {
    let scratch = Scratch::new();
    let path: PathBuf = scratch.path("disk");
    create(&path, format, SECTORS * 512).expect("there is room");
    let mut writer = Command::new(std::env::current_exe().expect("it runs"))
        .env(IMAGE, &path)
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut output = BufReader::new(writer.stdout.take().expect("it is a pipe"));
    let mut first = String::new();
    output.read_line(&mut first).expect("it writes");
    let reader = std::thread::spawn(move || output.lines().map_while(Result::ok).collect());
    std::thread::sleep(delay);
    writer.kill().expect("it runs");
    writer.wait().expect("it was started here");
    let lines: Vec<String> = reader.join().expect("it only reads");
    let last = |word: &str| {
        let all = lines.iter().chain([&first]).filter_map(|line| line.trim().strip_prefix(word));
        all.filter_map(|number| number.parse::<u64>().ok()).max().unwrap_or_default()
    };
    let (written, flushed) = (last("w "), last("f "));
    assert!(written > 0, "{first}");
    // A raw image keeps every write that was answered.
    let kept = if format == DiskFormat::Raw { written } else { flushed };
    if format == DiskFormat::Qcow2 {
        assert_whole(&path, qemu_img);
    }
    // The last piece may be there though nothing was printed about it.
    let mut pieces: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    for number in 1..=written + 1 {
        place(number).for_each(|sector| pieces.entry(sector).or_default().push(number));
    }
    let disk = Disk::open(&path, DiskOptions { read_only: true, ..DiskOptions::default() })
        .expect("nobody has it");
    for (sector, numbers) in pieces {
        let mut bytes = [0; 512];
        disk.read(&[VolatileSlice::from(&mut bytes[..])], sector * 512).expect("it is there");
        let number = u64::from_le_bytes(bytes[..8].try_into().expect("8 bytes"));
        assert!(bytes.chunks(8).all(|part| part == &bytes[..8]), "sector {sector} is mixed");
        let durable = numbers.iter().rposition(|number| *number <= kept);
        let allowed = &numbers[durable.unwrap_or(0)..];
        let is_right = allowed.contains(&number) || number == 0 && durable.is_none();
        assert!(is_right, "{format:?}, sector {sector}: {number}, expected one of {allowed:?}");
    }
}

/// Clusters that are counted and not used are allowed, and nothing else.
fn assert_whole(path: &Path, qemu_img: Option<&Path>) {
    let report = check(path, None).expect("it can be read").expect("it has tables");
    assert_eq!(report.corruptions, 0, "{:?}", report.described);
    if let Some(program) = qemu_img {
        let mut command = Command::new(program);
        let output = command.args(["check", "-f", "qcow2"]).arg(path).output().expect("it runs");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(matches!(output.status.code(), Some(0 | 3)), "{said}");
    }
}
