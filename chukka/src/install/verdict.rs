//! Whether an installation has succeeded.
//!
//! An installer can power off at any moment, so its orderly end alone says nothing. It must have
//! written to a disk, must not have said that it failed, and the first disk must boot: the boot
//! menu of a file system on it names a kernel that is there; or, where no file system shows a Linux
//! system, its first sector has boot code.

use std::path::Path;

use location::Place;
use location::fetch::{Fetcher, Settings};
use location::menu::{self, Choice, Volume};
use storage::TreePath;
use storage::disk::{Disk, DiskFormat, DiskOptions};
use vm_memory::VolatileSlice;
use vmm::outcome::Outcome;

use super::saved_guest::{SavedDisk, SavedGuest};
use super::watch::Heard;
use super::{Course, NOT_INSTALLED, TIMED_OUT, is_own_end};
use crate::guest::Ended;

/// How an installation stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It has finished.
    Installed,
    /// The installer has reset the machine, and what is on the disk goes on.
    Rebooted,
    /// It has failed.
    Not {
        /// Why, for a sentence.
        why: String,
        /// The exit status, or the signal to die of.
        status: Result<u8, i32>,
        /// What the user can do about it, besides starting over.
        advice: Option<&'static str>,
    },
}

/// For a guest that had no use for its disk.
const NOT_VIRTIO: &str = "nothing was written to the disk: an installer without a driver for \
    virtio disks finds it with --machine pc --disk bus=sata";
const NOT_SATA: &str = "nothing was written to the disk: an installer without a driver for SATA \
    disks (AHCI) finds it without bus=sata";

impl Verdict {
    fn not(why: impl Into<String>) -> Self {
        Self::Not { why: why.into(), status: Ok(NOT_INSTALLED), advice: None }
    }
}

/// After the installer's kernel has run.
#[must_use]
pub fn of_installer(
    ended: &Ended,
    heard: &Heard,
    guest: &SavedGuest,
    directory: &Path,
    course: Course,
) -> Verdict {
    let Some(disk) = guest.disks.first() else { return Verdict::not("the guest has no disk") };
    let is_untouched = ended.changes == Some(0);
    if let Some(mut verdict) = of_end(ended, heard, course) {
        let has_searched = heard.failure.is_some() || heard.timed_out;
        if let (Verdict::Not { advice, .. }, true) = (&mut verdict, is_untouched && has_searched) {
            *advice = Some(driver_advice(disk));
        }
        return verdict;
    }
    if is_untouched {
        let why = format!("{}, and wrote nothing to its disk", ended_how(ended));
        return Verdict::Not { why, status: Ok(NOT_INSTALLED), advice: Some(driver_advice(disk)) };
    }
    if let Err(why) = boots(&disk.path_in(directory), disk.given_format()) {
        return Verdict::not(format!("{}, and its disk does not boot: {why}", ended_how(ended)));
    }
    match ended.outcome {
        Outcome::Reset if !course.no_reboot => Verdict::Rebooted,
        _ => Verdict::Installed,
    }
}

fn driver_advice(disk: &SavedDisk) -> &'static str {
    if disk.is_sata() { NOT_SATA } else { NOT_VIRTIO }
}

/// After the disk has run, whose installer had reset the machine.
#[must_use]
pub fn of_disk(ended: &Ended, heard: &Heard, course: Course) -> Verdict {
    if heard.login && matches!(ended.outcome, Outcome::PowerOff | Outcome::Quit | Outcome::Reset) {
        return Verdict::Installed;
    }
    of_end(ended, heard, course).unwrap_or(Verdict::Installed)
}

/// What the end of the run alone decides.
fn of_end(ended: &Ended, heard: &Heard, course: Course) -> Option<Verdict> {
    if heard.timed_out {
        let limit = course.limit.unwrap_or_default().as_secs();
        let why = format!("it had not ended after {limit} s (--wait)");
        return Some(Verdict::Not { why, status: Ok(TIMED_OUT), advice: None });
    }
    if let Some(words) = &heard.failure {
        let why = format!("the installer said \"{words}\"");
        let status = match &ended.outcome {
            Outcome::Signal(signal) => Err(*signal),
            _ => Ok(NOT_INSTALLED),
        };
        return Some(Verdict::Not { why, status, advice: None });
    }
    if is_own_end(&ended.outcome) {
        return None;
    }
    let status = match &ended.outcome {
        Outcome::Signal(signal) => Err(*signal),
        Outcome::Quit => Ok(NOT_INSTALLED),
        other => Ok(other.status().filter(|status| *status != 0).unwrap_or(NOT_INSTALLED)),
    };
    let text = ended.outcome.to_string();
    let why = match (&ended.outcome, text.strip_prefix("ended by ")) {
        (Outcome::Signal(_) | Outcome::Quit, Some(what)) => format!("interrupted by {what}"),
        _ => text,
    };
    Some(Verdict::Not { why, status, advice: None })
}

fn ended_how(ended: &Ended) -> &'static str {
    match ended.outcome {
        Outcome::Reset => "the guest asked for a reset",
        _ => "the guest powered off",
    }
}

/// Whether a disk boots. An error says what is missing.
fn boots(path: &Path, format: Option<DiskFormat>) -> Result<(), String> {
    let fetcher = Fetcher::new(Settings::default());
    let volumes = menu::volumes(&fetcher, &Place::Local(path.to_owned())).unwrap_or_default();
    if menu::pick(&volumes, &Choice::Default).is_ok() {
        return Ok(());
    }
    if volumes.iter().any(has_system) {
        return Err("a system is on it, but no boot menu with a kernel".into());
    }
    match has_boot_code(path, format) {
        Ok(true) => Ok(()),
        Ok(false) => Err("it has neither a boot menu nor boot code in its first sector".into()),
        Err(error) => Err(format!("it cannot be read: {error}")),
    }
}

/// Whether a Linux system's files are there (os-release(5)).
fn has_system(volume: &Volume) -> bool {
    ["etc/os-release", "usr/lib/os-release", "etc/fstab"]
        .into_iter()
        .any(|path| volume.source.open(&TreePath::new(path)).is_ok())
}

/// Whether a BIOS would boot the first sector, and find code there.
fn has_boot_code(path: &Path, format: Option<DiskFormat>) -> Result<bool, String> {
    let options = DiskOptions { read_only: true, format, ..DiskOptions::default() };
    let disk = Disk::open(path, options).map_err(|error| error.to_string())?;
    let mut sector = [0; 512];
    disk.read(&[VolatileSlice::from(&mut sector[..])], 0).map_err(|error| error.to_string())?;
    // The code ends before the disk's signature and the partition table.
    Ok(sector.ends_with(&[0x55, 0xaa]) && sector[..440].iter().any(|byte| *byte != 0))
}

#[cfg(test)]
mod tests;
