//! The guest of `bench-disk`: a firmware image of ours (`disk/image.S`) that reads or writes a
//! virtio disk, and runs unchanged in chukka and in QEMU.
//!
//! It keeps a number of requests in flight, checks what it reads, and tells how often it notified
//! the device and was interrupted. It prints "begin" and "end" around its requests.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chukka_tests::job::{Job, Report, Status};
use chukka_tests::native::Scratch;
use chukka_tests::{exec, lab};

use crate::Error;
use crate::boot::OUTER_MEMORY;

static IMAGE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/disk.rom"));

/// What both VMMs are told.
const WORDS: &str = "-nodefaults -no-user-config -display none -no-reboot -m 64 -debugcon stdio \
     -device isa-debug-exit,iobase=0xf4,iosize=0x4";
/// What QEMU is told beside that. An I/O thread serves the disk, as a thread of its own does in
/// chukka.
const QEMU: &str = "-accel kvm -global virtio-mmio.force-legacy=false -object iothread,id=thread";

/// Virtual seconds in the lab, or those on the wall.
const ENOUGH_SECS: u64 = 120;

/// How the guest finds the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Machine {
    /// `-machine pc`: virtio-pci with MSI-X.
    Pc,
    /// `-machine microvm`: virtio-mmio.
    Microvm,
}

impl Machine {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Pc, Self::Microvm];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pc => "pc",
            Self::Microvm => "microvm",
        }
    }
}

/// A VMM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vmm {
    /// What it is called.
    pub name: String,
    /// Its program.
    pub program: PathBuf,
    /// Whether it is QEMU.
    pub is_qemu: bool,
}

impl Vmm {
    /// Its command line for a disk, and this image as firmware.
    fn words(&self, machine: Machine, rom: &Path, disk: &Path) -> Vec<String> {
        let (machine, device) = match (self.is_qemu, machine) {
            (false, machine) => (machine.name(), "virtio-blk,drive=disk"),
            (true, Machine::Pc) => {
                ("pc", "virtio-blk-pci,drive=disk,disable-legacy=on,addr=4,iothread=thread")
            }
            // Without the second I/O APIC the disk's interrupt is the same as in chukka.
            (true, Machine::Microvm) => {
                ("microvm,ioapic2=off", "virtio-blk-device,drive=disk,iothread=thread")
            }
        };
        let words = WORDS.split_whitespace();
        let words = words.chain(if self.is_qemu { QEMU } else { "" }.split_whitespace());
        let mut words: Vec<String> = words.map(String::from).collect();
        let drive = format!("file={},format=raw,if=none,id=disk", disk.display());
        words.extend(["-M", machine, "-drive", &drive, "-device", device].map(String::from));
        words.extend(["-bios".into(), rom.to_string_lossy().into_owned()]);
        words
    }
}

/// What the guest does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Work {
    /// Requests in flight, at most 32.
    pub depth: u32,
    /// Requests in all.
    pub requests: u32,
    /// Bytes of a request, at most 128 KiB.
    pub bytes: u32,
    /// Whether they are writes.
    pub writes: bool,
    /// Whether it polls for answers; otherwise, it takes interrupts.
    pub polls: bool,
}

/// What was measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// From the first request to the last answer.
    pub time: Duration,
    /// Notifications of the device.
    pub notifications: u64,
    /// Interrupts of the guest.
    pub interrupts: u64,
    /// VM exits over the whole run, where the host's KVM shows its counters.
    pub exits: Option<u64>,
}

/// A disk whose sectors have their numbers, and the images that use it.
#[derive(Debug)]
pub struct Disk {
    path: PathBuf,
    bytes: u32,
    folder: Scratch,
}

/// Bytes of a sector.
const SECTOR: u32 = 512;

impl Disk {
    /// Writes a disk of as many bytes.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn new(bytes: u32) -> Result<Self, Error> {
        let folder = Scratch::new();
        let path = folder.path("disk.raw");
        let mut file = BufWriter::with_capacity(4 << 20, File::create(&path)?);
        let mut sector = [0; SECTOR as usize];
        for number in 0..bytes / SECTOR {
            sector[..4].copy_from_slice(&number.to_le_bytes());
            file.write_all(&sector)?;
        }
        // Nothing is left to be done while something is measured.
        file.into_inner().map_err(|error| error.into_error())?.sync_all()?;
        Ok(Self { path, bytes, folder })
    }

    /// The disk's file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The job of a VMM whose guest does the work.
    fn job(&self, vmm: &Vmm, machine: Machine, work: Work) -> Job {
        let asked = [
            u32::from(machine == Machine::Pc),
            work.depth,
            work.requests,
            work.bytes / SECTOR,
            u32::from(work.writes),
            u32::from(work.polls),
            self.bytes / work.bytes * work.bytes / SECTOR,
        ];
        let mut image = asked.map(u32::to_le_bytes).concat();
        let name = format!("{asked:?}.rom");
        image.extend(&IMAGE[image.len()..]);
        let rom = self.folder.file(&name, &image);
        let words = vmm.words(machine, &rom, &self.path);
        let command = [vmm.program.to_string_lossy().into_owned()].into_iter().chain(words);
        let job = Job::new(command).need(&vmm.program).need(&rom).need(&self.path);
        job.timeout_secs(ENOUGH_SECS)
    }

    /// Runs it on this machine's KVM.
    ///
    /// # Errors
    /// If the guest does not come to its end, or reads something wrong; with what was said.
    pub fn run(&self, vmm: &Vmm, machine: Machine, work: Work) -> Result<Run, Error> {
        let job = self.job(vmm, machine, work);
        let report = exec::run(&job, &mut |_| {});
        Run::of(&report).map_err(|error| format!("{}: {error}", job.line()).into())
    }

    /// Whether the first and the last sector of each request of a run of writes have been written.
    ///
    /// # Errors
    /// If the disk cannot be read.
    pub fn is_written(&self, work: Work) -> Result<bool, Error> {
        let sectors = work.bytes / SECTOR;
        let last = (self.bytes / work.bytes).min(work.requests);
        let file = File::open(&self.path)?;
        let mut number = [0; 4];
        for request in 0..last {
            for sector in [request * sectors, request * sectors + sectors - 1] {
                file.read_exact_at(&mut number, u64::from(sector) * u64::from(SECTOR))?;
                if u32::from_le_bytes(number) != !sector {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// Runs it in the lab on a clock that counts instructions, all in one outer machine.
    ///
    /// # Errors
    /// As [`Self::run`], or if the lab fails.
    pub fn count(&self, vmm: &Vmm, machine: Machine, works: &[Work]) -> Result<Vec<Run>, Error> {
        let jobs: Vec<Job> = works.iter().map(|work| self.job(vmm, machine, *work)).collect();
        let reports = lab::icount(&jobs, OUTER_MEMORY)?;
        let runs = reports.iter().zip(&jobs);
        let run = |(report, job): (&Report, &Job)| {
            Run::of(report).map_err(|error| format!("{}: {error}", job.line()).into())
        };
        runs.map(run).collect()
    }
}

/// The value with which the image ends when all went well; the other values, and why it ended. As
/// in `disk/image.S`.
const DONE: u8 = 0x10;
const FAILURES: [(u8, &str); 5] = [
    (0x11, "there is no virtio disk"),
    (0x12, "the disk does not accept the features"),
    (0x13, "a request failed"),
    (0x14, "a sector has the wrong content"),
    (0x15, "the processor took an exception"),
];

/// What a VMM ends with when the guest writes a value to isa-debug-exit.
fn status(value: u8) -> Status {
    Status::Exit(i32::from(value << 1 | 1))
}

impl Run {
    fn of(report: &Report) -> Result<Self, Error> {
        if report.status != status(DONE) {
            let failure = FAILURES.iter().find(|(value, _)| report.status == status(*value));
            let why = failure.map_or("the guest did not end", |(_, why)| why);
            return Err(format!("{}: {why}\n{}", report.status, report.merged()).into());
        }
        let lines = report.lines();
        let find = |word: &str| lines.iter().find(|(_, line)| line.split(' ').next() == Some(word));
        let (Some((begin, _)), Some((end, told))) = (find("begin"), find("end")) else {
            return Err(format!("nothing was printed:\n{}", report.merged()).into());
        };
        let mut counts = told.split(' ').skip(1).map(|count| u64::from_str_radix(count, 16));
        let mut count = || counts.next().ok_or("a count is missing")?.map_err(Error::from);
        Ok(Self {
            time: end.saturating_sub(*begin),
            notifications: count()?,
            interrupts: count()?,
            exits: report.counters.get("exits").copied(),
        })
    }

    /// What the requests cost that this run has more than another one, which is otherwise the same.
    #[must_use]
    pub fn beyond(&self, other: &Self) -> Self {
        Self {
            time: self.time.saturating_sub(other.time),
            notifications: self.notifications.saturating_sub(other.notifications),
            interrupts: self.interrupts.saturating_sub(other.interrupts),
            exits: self.exits.zip(other.exits).map(|(all, less)| all.saturating_sub(less)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_image_ends_with_a_jump_to_its_start() {
        assert_eq!(IMAGE.len(), 64 << 10);
        assert_eq!(IMAGE[0xfff0], 0xea, "ljmp");
        assert_eq!(IMAGE[0xfff3..0xfff5], [0x00, 0xf0]);
    }

    #[test]
    fn a_failure_of_the_guest_is_explained() {
        let mut report = Report::not_started("");
        report.status = Status::Exit(41);
        let error = Run::of(&report).unwrap_err().to_string();
        assert!(error.contains("a sector has the wrong content"), "{error}");
    }
}
