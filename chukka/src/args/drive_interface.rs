//! What a disk is attached to: virtio, or what scripts say that only have IDE or SCSI disks in
//! mind.
//!
//! All disks are virtio disks here. A `-hda`, and a `-drive` with `if=ide`, `if=scsi` or no `if=`,
//! becomes one too, with a warning that says what the guest calls it. Where that would break a
//! script in silence, it is refused: a kernel that is told `root=/dev/sda1` would wait for a disk
//! that never comes, and beside disks with `if=virtio` the names would be other ones than in QEMU.

use std::path::Path;

use super::error::ArgsError;
use super::value::Pair;
use crate::disk_names::{OldName, disk_name};

/// How a drive is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Interface {
    /// As a virtio disk.
    Virtio,
    /// By a `-device`.
    None,
    /// As an IDE or SCSI disk in QEMU.
    Old,
}

/// `if=`.
pub(super) fn interface(pair: &Pair) -> Result<Interface, ArgsError> {
    let (why, hint) = match pair.value("drive")? {
        "virtio" => return Ok(Interface::Virtio),
        "none" => return Ok(Interface::None),
        "ide" | "scsi" => return Ok(Interface::Old),
        "floppy" => ("chukka has no floppy drive", "leave it out"),
        "sd" | "mtd" | "xen" => ("chukka has virtio disks only", "use if=virtio"),
        _ => return Err(ArgsError::bad(pair.shown("drive"), "virtio, none, ide or scsi")),
    };
    Err(ArgsError::unsupported(pair.shown("drive"), why, hint))
}

/// A disk that a script takes for an IDE or SCSI disk.
pub(super) struct OldDisk<'a> {
    /// The option, as messages show it.
    pub shown: &'a str,
    /// Its image.
    pub path: &'a Path,
    /// Its place among the IDE disks, from 0.
    pub index: u32,
}

/// Checks the disks that scripts take for IDE or SCSI disks, in the order in which the guest finds
/// them, and says what they are called. `cmdline` is the guest's command line as far as argv has
/// it.
///
/// # Errors
/// The guest has other disks too (`has_others`), or its kernel is told such a disk's name.
pub(super) fn check(
    disks: &[OldDisk<'_>],
    has_others: bool,
    cmdline: &[u8],
) -> Result<Option<String>, ArgsError> {
    let Some(first) = disks.first() else { return Ok(None) };
    if has_others {
        let given = format!("-{} beside a virtio disk", first.shown);
        let why = "all of chukka's disks are virtio disks, and the guest would find them under \
                   other names than in QEMU";
        let hint = "give each disk if=virtio, in the order in which the guest is to find them: \
                    /dev/vda, /dev/vdb, …";
        return Err(ArgsError::unsupported(given, why, hint));
    }
    if let Some(old) = OldName::find(cmdline) {
        let at = disks.iter().position(|disk| disk.index == old.index).filter(|_| old.is_ide);
        let at = at.unwrap_or(usize::try_from(old.index).unwrap_or(0));
        let why = "all of chukka's disks are virtio disks: the guest has no such device";
        return Err(ArgsError::unsupported(
            format!("-append {}", old.word),
            why,
            format!("say {}", old.renamed(at)),
        ));
    }
    let names = disks
        .iter()
        .enumerate()
        .map(|(at, disk)| format!("'{}' as {}", disk.path.display(), disk_name(at)));
    let names = names.collect::<Vec<_>>().join(", ");
    Ok(Some(format!("disks are virtio disks here: the guest sees {names}")))
}
