//! The guest of `bench-guest`: a firmware image of ours (`guest/image.S`) that times fw_cfg DMA
//! transfers of its initrd with the TSC, and runs unchanged in chukka and in QEMU, by the same
//! words.
//!
//! It moves the initrd again and again to the same memory, and reads a word of every page after it.
//! What it measures it tells on the debug console, a record a round; it ends by isa-debug-exit.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use chukka_tests::exec;
use chukka_tests::job::{Job, Status, Stream};
use chukka_tests::native::Scratch;
use chukka_tests::native::image::BzImage;

use crate::Error;
use crate::material::Pages;

/// The machines it runs on.
pub const MACHINES: [&str; 2] = ["pc", "microvm"];

static IMAGE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/guest.rom"));

/// What both VMMs are told. The image maps as much memory as `-m` gives.
const WORDS: &str = "-accel kvm -nodefaults -no-user-config -display none -no-reboot -m 1024 -debugcon stdio \
     -device isa-debug-exit,iobase=0xf4,iosize=0x4";

/// A KVM that runs the image's first instructions in software takes some 30 ms for them; 512 MiB
/// are moved in half a second.
const ENOUGH_SECS: u64 = 120;

/// What the memory that a transfer goes to has been through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Before {
    /// Never touched: it is not allocated yet.
    Untouched,
    /// It has the transfer before, which the guest has only read, but for the first page and the
    /// last.
    Read,
    /// It has the transfer before, and the guest has written to every page.
    Written,
}

/// What the guest measured in one round, in cycles of the TSC, which is the host's in both VMMs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Round {
    /// What the memory had been through.
    pub before: Before,
    /// A DMA operation that moves 4 bytes: what the exit costs.
    pub empty: u64,
    /// The DMA operation that moves the initrd.
    pub transfer: u64,
    /// Reading a word of each page, after it.
    pub read: u64,
    /// Reading them again.
    pub again: u64,
}

/// One run of the guest.
#[derive(Debug, Clone)]
pub struct Run {
    /// Its rounds, in order.
    pub rounds: Vec<Round>,
    /// VM exits over its whole life, where this host's KVM shows its counters.
    pub exits: Option<u64>,
}

/// The guest's files.
#[derive(Debug)]
pub struct Guest {
    image: PathBuf,
    kernel: PathBuf,
    _folder: Scratch,
}

impl Guest {
    /// Writes the files.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "it writes files, which is no default")]
    pub fn new() -> Self {
        let folder = Scratch::new();
        let image = folder.file("guest.rom", IMAGE);
        // Never run: -initrd requires a -kernel.
        let kernel = folder.file("kernel", &BzImage::default().file());
        Self { image, kernel, _folder: folder }
    }

    /// The command line of a VMM.
    fn words(&self, machine: &str, initrd: &Path, rounds: usize) -> Vec<String> {
        let word = |path: &Path| path.to_string_lossy().into_owned();
        let mut words: Vec<String> = WORDS.split_whitespace().map(String::from).collect();
        words.extend(["-M".into(), machine.into(), "-bios".into(), word(&self.image)]);
        words.extend(["-kernel".into(), word(&self.kernel), "-initrd".into(), word(initrd)]);
        words.extend(["-append".into(), rounds.to_string()]);
        words
    }

    /// Runs it in a VMM for `rounds` rounds.
    ///
    /// # Errors
    /// If it does not come to its end, or has found other pages than there are; with what was said.
    pub fn run(
        &self,
        program: &Path,
        machine: &str,
        initrd: &Pages,
        rounds: usize,
    ) -> Result<Run, Error> {
        let words = self.words(machine, &initrd.path, rounds);
        let command = [program.to_string_lossy().into_owned()].into_iter().chain(words);
        let job = Job::new(command).timeout_secs(ENOUGH_SECS);
        let report = exec::run(&job, &mut |_| {});
        let line = job.line();
        if report.status != Status::Exit(status(DONE)) {
            let why = why(&report.status).unwrap_or_default();
            return Err(format!("{line}: {}{why}\n{}", report.status, report.stderr()).into());
        }
        let told = parse(&report.bytes(Stream::Out), initrd.sum);
        let told = told.map_err(|error| format!("{line}: {error}"))?;
        if told.len() != rounds {
            return Err(format!("{line}: {} rounds, not {rounds}", told.len()).into());
        }
        Ok(Run { rounds: told, exits: exits(&report.counters) })
    }
}

fn exits(counters: &BTreeMap<String, u64>) -> Option<u64> {
    counters.get("exits").copied()
}

/// The value with which the image ends when all went well; the other values, and why it ended. As
/// in `guest/image.S`.
const DONE: u8 = 0x10;
const FAILURES: [(u8, &str); 4] = [
    (0x11, "there is no fw_cfg DMA"),
    (0x12, "a DMA operation failed"),
    (0x13, "the initrd is not a whole number of pages, or does not fit"),
    (0x14, "the command line does not begin with a number"),
];

/// What a VMM ends with when the guest writes a value to isa-debug-exit.
fn status(value: u8) -> i32 {
    i32::from(value << 1 | 1)
}

fn why(ended: &Status) -> Option<String> {
    let failure = FAILURES.iter().find(|(value, _)| *ended == Status::Exit(status(*value)));
    failure.map(|(_, why)| format!(": {why}"))
}

/// Bytes of a record.
const RECORD: usize = 48;

/// Reads what the guest has told, of an initrd with this sum of first words.
fn parse(told: &[u8], sum: u32) -> Result<Vec<Round>, Error> {
    let (records, rest) = told.as_chunks::<RECORD>();
    if !rest.is_empty() {
        return Err(format!("{} bytes are not a whole number of records", told.len()).into());
    }
    records.iter().map(|record| round(record, sum)).collect()
}

/// Reads a record: see `record` in `guest/image.S`.
fn round(record: &[u8; RECORD], sum: u32) -> Result<Round, Error> {
    let short = |at: usize| field(record, at).map(u32::from_le_bytes);
    let long = |at: usize| field(record, at).map(u64::from_le_bytes);
    if !record.starts_with(b"TIME") {
        return Err(format!("no record begins with {:x?}", &record[..4]).into());
    }
    let before = match short(4)? {
        0 => Before::Untouched,
        1 => Before::Read,
        2 => Before::Written,
        other => return Err(format!("unknown state {other}").into()),
    };
    for found in [short(40)?, short(44)?] {
        if found != sum {
            let why = "the transfer has not moved them";
            return Err(format!("the sum over the pages is {found:#x}, not {sum:#x}: {why}").into());
        }
    }
    Ok(Round { before, empty: long(8)?, transfer: long(16)?, read: long(24)?, again: long(32)? })
}

fn field<const N: usize>(record: &[u8; RECORD], at: usize) -> Result<[u8; N], Error> {
    let bytes = record.get(at..).and_then(|rest| rest.first_chunk::<N>());
    bytes.copied().ok_or_else(|| "a record is too short".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(state: u32, sums: [u32; 2]) -> Vec<u8> {
        let mut bytes = b"TIME".to_vec();
        bytes.extend(state.to_le_bytes());
        (1..=4u64).for_each(|number| bytes.extend((number << 32).to_le_bytes()));
        sums.iter().for_each(|sum| bytes.extend(sum.to_le_bytes()));
        bytes
    }

    #[test]
    fn records_are_read_as_the_image_writes_them() {
        let told = [record(0, [7, 7]), record(1, [7, 7]), record(2, [7, 7])].concat();
        let rounds = parse(&told, 7).unwrap();
        let before: Vec<Before> = rounds.iter().map(|round| round.before).collect();
        assert_eq!(before, [Before::Untouched, Before::Read, Before::Written]);
        let Round { empty, transfer, read, again, .. } = rounds[2];
        assert_eq!([empty, transfer, read, again], [1 << 32, 2 << 32, 3 << 32, 4 << 32]);
        assert_eq!(parse(&[], 7).unwrap(), []);
    }

    #[test]
    fn a_wrong_sum_is_an_error_the_first_and_the_second_time() {
        for sums in [[8, 7], [7, 8]] {
            let error = parse(&record(0, sums), 7).unwrap_err().to_string();
            assert!(error.starts_with("the sum over the pages is 0x8, not 0x7"), "{error}");
        }
    }

    #[test]
    fn an_invalid_record_is_an_error() {
        let error = |told: &[u8]| parse(told, 7).unwrap_err().to_string();
        assert_eq!(error(&[0; 49]), "49 bytes are not a whole number of records");
        assert_eq!(error(&[0; 48]), "no record begins with [0, 0, 0, 0]");
        assert_eq!(error(&record(3, [7, 7])), "unknown state 3");
    }

    #[test]
    fn the_image_s_own_failures_are_told_by_status() {
        assert_eq!(status(DONE), 33);
        assert_eq!(why(&Status::Exit(37)).as_deref(), Some(": a DMA operation failed"));
        assert_eq!(why(&Status::Exit(1)), None);
    }

    #[test]
    fn the_image_ends_with_a_jump_to_its_start() {
        assert_eq!(IMAGE.len(), 64 << 10);
        assert_eq!(IMAGE[0xfff0..0xfff5], [0xea, 0x00, 0x00, 0x00, 0xf0], "ljmp $0xf000, $0");
    }
}
