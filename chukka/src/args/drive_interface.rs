//! What a disk is attached to: virtio, or what scripts say that only have IDE or SCSI disks in
//! mind.
//!
//! A `-hda`, and a `-drive` with `if=scsi` or no `if=`, is a virtio disk here, with a warning that
//! says what the guest calls it: it is the fastest, and nearly every guest has the drivers. `if=ide`
//! says what is meant, and is a SATA disk on pc; on microvm, which cannot have one, it is a virtio
//! disk too. Where a virtio disk would break a script in silence, it is refused: a kernel that is
//! told `root=/dev/sda1` would wait for a disk that never comes, and beside other disks the names
//! would be other ones than in QEMU.

use std::path::Path;

use vmm::config::MachineKind;

use super::error::ArgsError;
use super::value::Pair;
use crate::disk_names::{OldName, disk_name};

/// How a drive is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Interface {
    /// As a virtio disk.
    Virtio,
    /// As a SATA drive.
    Sata,
    /// By a `-device`.
    None,
    /// As an IDE or SCSI disk in QEMU.
    Old,
}

/// `if=`.
pub(super) fn interface(pair: &Pair, machine: MachineKind) -> Result<Interface, ArgsError> {
    let (why, hint) = match pair.value("drive")? {
        "virtio" => return Ok(Interface::Virtio),
        "none" => return Ok(Interface::None),
        "ide" if machine == MachineKind::Pc => return Ok(Interface::Sata),
        "ide" | "scsi" => return Ok(Interface::Old),
        "floppy" => ("chukka has no floppy drive", "leave it out"),
        "sd" | "mtd" | "xen" => ("chukka has virtio and SATA disks only", "use if=virtio"),
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
/// The guest has other disks too (`others` says of which kind), or its kernel is told such a disk's
/// name.
pub(super) fn check(
    disks: &[OldDisk<'_>],
    others: Option<&str>,
    cmdline: &[u8],
) -> Result<Option<String>, ArgsError> {
    let Some(first) = disks.first() else { return Ok(None) };
    if let Some(kind) = others {
        let given = format!("-{} beside a {kind} disk", first.shown);
        let why = "it is a virtio disk here, so the guest's disk names would differ from those in \
                   QEMU";
        let hint = "give each disk if=virtio, in the order the guest should see them: /dev/vda, \
                    /dev/vdb, …; or, with -machine pc, if=ide: /dev/sda, /dev/sdb, …";
        return Err(ArgsError::unsupported(given, why, hint));
    }
    if let Some(old) = OldName::find(cmdline) {
        let at = disks.iter().position(|disk| disk.index == old.index).filter(|_| old.is_ide);
        let at = at.unwrap_or(usize::try_from(old.index).unwrap_or(0));
        let why = "the disks are virtio disks here: the guest has no such device";
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
