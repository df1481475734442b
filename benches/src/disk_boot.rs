//! What disks cost a boot, in the lab on a clock that counts instructions: SeaBIOS up to the first
//! words of the GRUB on a disk, and direct boots with a number of disks.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use chukka_tests::job::{Act, Job, Report};
use chukka_tests::native::Scratch;
use chukka_tests::native::guest as tiny;
use chukka_tests::{assets, lab};

use crate::Error;
use crate::boot::OUTER_MEMORY;
use crate::disk::{Machine, Vmm};

/// Virtual seconds; a boot takes less than one.
const ENOUGH_SECS: u64 = 30;
/// What GRUB's first sectors print (boot.S and diskboot.S in grub-core/boot/i386/pc).
const GRUB: &str = "GRUB loading";
/// What the tiny kernel prints.
const READY: &str = "ready";
/// Bytes of the tiny kernel: about what Debian's cloud kernel has.
const KERNEL: u64 = 14 << 20;

/// How often a direct boot is measured. KVM_CREATE_VM waits for a tick of the scheduler, so each
/// start is at another point between two ticks.
const STARTS: u32 = 8;
/// Between two ticks of the host's scheduler: Debian's kernels have `CONFIG_HZ=250`.
const TICK: Duration = Duration::from_millis(4);

/// What it took to print the mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// Since exec: one instruction is a nanosecond.
    pub time: Duration,
    /// VM exits.
    pub exits: u64,
}

/// A VMM with SeaBIOS, and the disk to boot.
#[derive(Debug)]
pub struct Row {
    /// What it is called.
    pub name: String,
    job: Job,
}

/// The first MiB of the Debian disk: the boot sector, and GRUB's core image after it.
#[derive(Debug)]
pub struct Grub {
    folder: Scratch,
}

impl Grub {
    /// Copies it.
    ///
    /// # Errors
    /// If set-up has not made the disk, or qemu-img fails.
    pub fn new() -> Result<Self, Error> {
        let (folder, disk) = (Scratch::new(), assets::disk()?);
        let path = |path: &Path| path.to_string_lossy().into_owned();
        let (from, to) = (path(&disk.image), path(&folder.path("grub.raw")));
        let mut command = Command::new("qemu-img");
        command.args(["dd", "-f", "qcow2", "-O", "raw", "bs=1M", "count=1"]);
        let output = command.args([format!("if={from}"), format!("of={to}")]).output()?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
        }
        Ok(Self { folder })
    }

    /// A VMM that boots it with 256 MiB, with the fewest devices or, for QEMU, those it has anyway.
    ///
    /// # Errors
    /// If SeaBIOS is not installed.
    pub fn row(&self, vmm: &Vmm, machine: Machine, fewest: bool) -> Result<Row, Error> {
        let image = match machine {
            Machine::Pc => "bios-256k.bin",
            Machine::Microvm => "bios-microvm.bin",
        };
        let (image, disk) = (assets::firmware(image)?, self.folder.path("grub.raw"));
        let drive = format!("file={},format=raw,if=virtio", disk.display());
        let mut words: Vec<String> = vec![vmm.program.to_string_lossy().into_owned()];
        // SeaBIOS prints on the serial port.
        let (accelerator, machine) = match (vmm.is_qemu, machine) {
            (true, machine) => (&["-accel", "kvm", "-display", "none"][..], machine.with_serial()),
            (false, machine) => (&["-nographic"][..], machine.name()),
        };
        words.extend(accelerator.iter().map(|word| (*word).into()));
        if fewest {
            words.extend(["-nodefaults", "-no-user-config"].map(String::from));
        }
        let rest = ["-M", machine, "-serial", "stdio", "-m", "256", "-no-reboot", "-drive", &drive];
        words.extend(rest.map(String::from));
        words.extend(["-bios".into(), image.to_string_lossy().into_owned()]);
        let job = Job::new(words).need(&vmm.program).need(&image).need(&disk);
        let all = if vmm.is_qemu && !fewest { ", default devices" } else { "" };
        Ok(Row { name: format!("{} {machine}{all}", vmm.name), job })
    }
}

impl Machine {
    fn with_serial(self) -> &'static str {
        match self {
            Self::Pc => "pc,graphics=off",
            Self::Microvm => "microvm,graphics=off",
        }
    }
}

/// Boots each row in an outer machine of its own.
///
/// # Errors
/// If the lab fails, or GRUB prints nothing.
pub fn grub(rows: &[Row]) -> Result<Vec<Cost>, Error> {
    let cost = |row: &Row| Ok(until(vec![row.job.clone()], GRUB)?[0]);
    rows.iter().map(cost).collect()
}

/// Boots a tiny kernel directly with each number of disks, all in one outer machine: up to its
/// first word. The least of `STARTS` counts.
///
/// # Errors
/// If the lab fails, or the kernel prints nothing.
pub fn direct(vmm: &Vmm, machine: Machine, disks: &[usize]) -> Result<Vec<Cost>, Error> {
    let folder = Scratch::new();
    let kernel = folder.file("kernel", &tiny::kernel_of("", KERNEL));
    let job = |count: &usize| {
        let mut words: Vec<String> = vec![vmm.program.to_string_lossy().into_owned()];
        let rest = ["-nodefaults", "-nographic", "-serial", "stdio", "-m", "256", "-M"];
        words.extend(rest.map(String::from));
        words.extend([machine.name().into(), "-kernel".into(), kernel.display().to_string()]);
        let mut job = Job::new([""]).need(&vmm.program).need(&kernel);
        for number in 0..*count {
            let disk = folder.file(&format!("disk{number}"), &[0; 1 << 20]);
            let drive = format!("file={},format=raw,if=virtio", disk.display());
            words.extend(["-drive".into(), drive]);
            job = job.need(&disk);
        }
        Job { command: words, ..job }
    };
    let mut jobs = Vec::new();
    for start in 0..STARTS {
        jobs.extend(disks.iter().map(|count| job(count).delay(TICK * start / STARTS)));
    }
    let costs = until(jobs, READY)?;
    let rounds = costs.chunks_exact(disks.len());
    let least = |at: usize| rounds.clone().map(|round| round[at]).min_by_key(|cost| cost.time);
    Ok((0..disks.len()).filter_map(least).collect())
}

fn until(jobs: Vec<Job>, mark: &str) -> Result<Vec<Cost>, Error> {
    let job = |job: Job| {
        let job = job.mark(mark).when(mark, Act::Signal(libc::SIGKILL));
        job.timeout_secs(ENOUGH_SECS)
    };
    let jobs: Vec<Job> = jobs.into_iter().map(job).collect();
    let reports = lab::icount(&jobs, OUTER_MEMORY)?;
    reports.iter().zip(&jobs).map(|(report, job)| cost(report, job, mark)).collect()
}

fn cost(report: &Report, job: &Job, name: &str) -> Result<Cost, Error> {
    let Some(mark) = report.mark(name) else {
        let (line, said) = (job.line(), report.merged());
        return Err(format!("{line}: no {name:?}: {}\n{said}", report.status).into());
    };
    let exits = mark.counters.get("exits").copied();
    let exits = exits.ok_or_else(|| format!("{}: KVM's counters were not found", job.line()))?;
    Ok(Cost { time: Duration::from_nanos(mark.ns), exits })
}
