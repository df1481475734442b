//! Partition tables: MBR with logical partitions, GPT, and Solaris' slices.
//!
//! This is a small reader of our own: the existing crates expect writable disks and trust the
//! lengths in the tables. It follows the rules of Linux (block/partitions/{msdos,efi}.c) and the
//! layouts of the UEFI specification, chapter 5, and of illumos (sys/dktp/fdisk.h, sys/vtoc.h).

use std::io;
use std::sync::Arc;

use crate::bytes::{le16, le32, le64};
use crate::{FileError, PartitionId, PartitionRole, PartitionTable, RandomAccess, Slice, head};

/// Sector size in bytes of an MBR and of the addresses in it.
const SECTOR: u64 = 512;
/// Maximum number of logical partitions; Linux stops at 100 too.
const LOGICAL: usize = 100;
/// Maximum size in bytes of the entries of a GPT, which are usually 16 KiB.
const ENTRIES: u64 = 1 << 20;

/// The kind of an EFI system partition.
const EFI_SYSTEM: &str = "EFI system";
/// The kind of an extended boot partition.
const EXTENDED_BOOT: &str = "Linux extended boot";

/// A partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Partition {
    /// The number that Linux gives it: 1 to 4 in an MBR, from 5 on for logical partitions, followed
    /// by slices; the position of the entry in a GPT.
    pub number: u32,
    /// Which one it is for boot loaders: a slice is behind the partition that it is in.
    pub id: Vec<PartitionId>,
    /// Offset on the disk in bytes.
    pub at: u64,
    /// Length in bytes; the partition ends within the disk.
    pub len: u64,
    /// Whether it is marked as active (bootable).
    pub active: bool,
    /// What it contains according to the table, for messages.
    pub kind: String,
}

/// All partitions of a disk, sorted by number; empty if there is no partition table. Partitions
/// that begin beyond the end of the disk are left out, and those that end there are truncated.
///
/// # Errors
/// The disk cannot be read, or the MBR announces a GPT, but neither of its two copies is intact.
pub(crate) fn list(disk: &Arc<dyn RandomAccess>) -> Result<Vec<Partition>, FileError> {
    let disk = Disk(disk);
    let fail = |source| FileError::Io { name: disk.0.name().into(), source };
    let Some(slots) = disk.slots(0).map_err(fail)? else { return Ok(Vec::new()) };
    // A hybrid MBR repeats some of the GPT's partitions.
    if slots.iter().any(|slot| slot.kind == 0xee) {
        for sector in [512, 4096] {
            if let Some(found) = disk.gpt(sector).map_err(fail)? {
                return Ok(found);
            }
        }
        if slots.iter().all(|slot| slot.kind == 0xee || slot.is_empty()) {
            return Err(FileError::failure(
                disk.0.name(),
                "both copies of its partition table (GPT) are damaged",
                "is the copy complete? `sgdisk --verify` shows details",
            ));
        }
    }
    disk.mbr(&slots).map_err(fail)
}

struct Disk<'a>(&'a Arc<dyn RandomAccess>);

/// One of the four entries of an MBR or of an extended boot record.
struct Slot {
    active: bool,
    kind: u8,
    /// In sectors.
    start: u64,
    count: u64,
}

impl Slot {
    fn is_empty(&self) -> bool {
        self.kind == 0 || self.count == 0
    }

    fn is_extended(&self) -> bool {
        matches!(self.kind, 0x05 | 0x0f | 0x85)
    }
}

impl Disk<'_> {
    /// Reads `len` bytes from offset `at`; fewer at the end of the disk.
    fn bytes(&self, at: u64, len: usize) -> io::Result<Vec<u8>> {
        head(&Slice::new(Arc::clone(self.0), at, len as u64, self.0.name()), len)
    }

    /// The entries of the sector at byte `at`. `None` if it is not a partition table: a FAT's first
    /// sector has the same signature at its end, but text instead of entries.
    fn slots(&self, at: u64) -> io::Result<Option<Vec<Slot>>> {
        let sector = self.bytes(at, 512)?;
        let (Some(entries), Some([0x55, 0xaa])) = (sector.get(446..510), sector.get(510..512))
        else {
            return Ok(None);
        };
        let slot = |entry: &[u8]| Slot {
            active: entry[0] == 0x80,
            kind: entry[4],
            start: u64::from(le32(entry, 8)),
            count: u64::from(le32(entry, 12)),
        };
        let is_table = entries.chunks(16).all(|entry| matches!(entry[0], 0 | 0x80));
        Ok(is_table.then(|| entries.chunks(16).map(slot).collect()))
    }

    /// Adds a partition, given in bytes, if it begins within the disk.
    fn add(&self, found: &mut Vec<Partition>, partition: Partition) {
        let rest = self.0.len().saturating_sub(partition.at);
        if rest != 0 && partition.len != 0 {
            found.push(Partition { len: partition.len.min(rest), ..partition });
        }
    }

    fn mbr(&self, slots: &[Slot]) -> io::Result<Vec<Partition>> {
        let mut found = Vec::new();
        let mut next = 5;
        for (number, slot) in (1..).zip(slots) {
            if !slot.is_empty() && !slot.is_extended() && slot.kind != 0xee {
                self.add(&mut found, of_slot(number, 0, slot));
            }
        }
        for slot in slots.iter().filter(|slot| !slot.is_empty() && slot.is_extended()) {
            self.logical(slot.start, &mut next, &mut found)?;
        }
        for index in 0..found.len() {
            if found[index].kind.starts_with("Solaris") {
                let solaris = found[index].clone();
                self.slices(&solaris, &mut next, &mut found)?;
            }
        }
        Ok(found)
    }

    /// Follows the chain of extended boot records. Each has an entry for a logical partition and
    /// one for the next record, relative to the first. Stops at a record that is damaged or was
    /// visited before.
    fn logical(&self, first: u64, next: &mut u32, found: &mut Vec<Partition>) -> io::Result<()> {
        let mut seen = Vec::new();
        let mut at = first;
        while seen.len() < LOGICAL && !seen.contains(&at) {
            seen.push(at);
            let Some(slots) = self.slots(at * SECTOR)? else { return Ok(()) };
            for slot in slots.iter().filter(|slot| !slot.is_empty() && !slot.is_extended()) {
                self.add(found, of_slot(*next, at, slot));
                *next += 1;
            }
            match slots.iter().find(|slot| !slot.is_empty() && slot.is_extended()) {
                Some(slot) => at = first + slot.start,
                None => return Ok(()),
            }
        }
        Ok(())
    }

    /// The slices of a Solaris partition, whose table (VTOC) is in the second sector. Types 0x82
    /// and 0xbf have other uses too.
    fn slices(
        &self,
        solaris: &Partition,
        next: &mut u32,
        found: &mut Vec<Partition>,
    ) -> io::Result<()> {
        let Partition { at, len, .. } = *solaris;
        let sector = self.bytes(at + SECTOR, 512)?;
        if sector.len() < 512 || le16(&sector, 508) != 0xdabe || le32(&sector, 12) != 0x600d_deee {
            return Ok(());
        }
        let count = usize::from(le16(&sector, 30)).min(16);
        for (index, slice) in (1..).zip(sector[72..264].chunks(12).take(count)) {
            let (tag, from) = (le16(slice, 0), u64::from(le32(slice, 4)) * SECTOR);
            // Tag 5 is the whole disk, tag 0 is unassigned.
            if tag == 0 || tag == 5 || from >= len {
                continue;
            }
            let slice_len = (u64::from(le32(slice, 8)) * SECTOR).min(len - from);
            let kind = match tag {
                2 => "root slice of Solaris".into(),
                tag => format!("slice of Solaris, tag {tag}"),
            };
            let number = *next;
            let at = at + from;
            let own = id(PartitionTable::Solaris, index, PartitionRole::Other);
            let id = [&solaris.id[..], &own].concat();
            self.add(found, Partition { number, id, at, len: slice_len, active: tag == 2, kind });
            *next += 1;
        }
        Ok(())
    }

    /// Reads the GPT after the first sector of `sector` bytes, or else its copy in the last sector.
    fn gpt(&self, sector: u64) -> io::Result<Option<Vec<Partition>>> {
        let last = (self.0.len() / sector).saturating_sub(1);
        for lba in [1, last] {
            if let Some(entries) = self.gpt_entries(sector, lba)? {
                let mut found = Vec::new();
                for (number, entry) in (1..).zip(entries.1.chunks_exact(entries.0)) {
                    self.add_entry(&mut found, sector, number, entry);
                }
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// The length of an entry, and all entries. `None` if sector `lba` has no header of an intact
    /// GPT.
    fn gpt_entries(&self, sector: u64, lba: u64) -> io::Result<Option<(usize, Vec<u8>)>> {
        let header = self.bytes(lba * sector, 512)?;
        let len = usize::try_from(le32(&header, 12)).unwrap_or(usize::MAX);
        if !header.starts_with(b"EFI PART") || !(92..=header.len()).contains(&len) {
            return Ok(None);
        }
        let mut summed = header[..len].to_vec();
        summed[16..20].fill(0);
        let (count, size) = (u64::from(le32(&header, 80)), u64::from(le32(&header, 84)));
        if crc32fast::hash(&summed) != le32(&header, 16)
            || le64(&header, 24) != lba
            || !(128..=4096).contains(&size)
            || count * size > ENTRIES
        {
            return Ok(None);
        }
        let Some(at) = le64(&header, 72).checked_mul(sector) else { return Ok(None) };
        let (Ok(size), Ok(all)) = (usize::try_from(size), usize::try_from(count * size)) else {
            return Ok(None);
        };
        let entries = self.bytes(at, all)?;
        let is_whole = entries.len() == all && crc32fast::hash(&entries) == le32(&header, 88);
        Ok(is_whole.then_some((size, entries)))
    }

    fn add_entry(&self, found: &mut Vec<Partition>, sector: u64, index: u32, entry: &[u8]) {
        let (first, last) = (le64(entry, 32), le64(entry, 40));
        let bytes =
            last.checked_sub(first).and_then(|count| count.checked_add(1)?.checked_mul(sector));
        if let (false, Some(at), Some(len)) =
            (entry[..16].iter().all(|byte| *byte == 0), first.checked_mul(sector), bytes)
        {
            // Attribute 2: a BIOS may boot from it.
            let active = entry[48] & 1 << 2 != 0;
            let kind = gpt_kind(&entry[..16]);
            let role = match &*kind {
                EFI_SYSTEM => PartitionRole::EfiSystem,
                EXTENDED_BOOT => PartitionRole::ExtendedBoot,
                _ => PartitionRole::Other,
            };
            let id = id(PartitionTable::Gpt, index, role);
            self.add(found, Partition { number: index, id, at, len, active, kind });
        }
    }
}

fn of_slot(number: u32, base: u64, slot: &Slot) -> Partition {
    let kind = match slot.kind {
        0x01 | 0x04 | 0x06 | 0x0b | 0x0c | 0x0e => "FAT".into(),
        0x07 => "NTFS or exFAT".into(),
        0x82 => "Solaris or Linux swap".into(),
        0x83 => "Linux".into(),
        0x8e => "Linux LVM".into(),
        0xbf => "Solaris".into(),
        0xea => EXTENDED_BOOT.into(),
        0xef => EFI_SYSTEM.into(),
        0xfd => "Linux RAID".into(),
        other => format!("type 0x{other:02x}"),
    };
    // The Boot Loader Specification (UAPI.1) has both types.
    let role = match slot.kind {
        0xea => PartitionRole::ExtendedBoot,
        0xef => PartitionRole::EfiSystem,
        _ => PartitionRole::Other,
    };
    let id = id(PartitionTable::Mbr, number, role);
    let (at, len) = ((base + slot.start) * SECTOR, slot.count * SECTOR);
    Partition { number, id, at, len, active: slot.active, kind }
}

fn id(table: PartitionTable, number: u32, role: PartitionRole) -> Vec<PartitionId> {
    vec![PartitionId { table, number, role }]
}

/// Names of common partition types, by GUID in its text form. On the disk, its first three parts
/// are little-endian.
fn gpt_kind(guid: &[u8]) -> String {
    let text = format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        le32(guid, 0),
        le16(guid, 4),
        le16(guid, 6),
        guid[8..10].iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
        guid[10..16].iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
    );
    match &*text {
        "c12a7328-f81f-11d2-ba4b-00a0c93ec93b" => EFI_SYSTEM.into(),
        "21686148-6449-6e6f-744e-656564454649" => "BIOS boot".into(),
        "0fc63daf-8483-4772-8e79-3d69d8477de4" => "Linux".into(),
        "4f68bce3-e8cd-4db1-96e7-fbcaf984b709" => "Linux root, x86-64".into(),
        "bc13c2ff-59e6-4262-a352-b275fd6f7172" => EXTENDED_BOOT.into(),
        "0657fd6d-a4ab-43c4-84e5-0933c84b4f4f" => "Linux swap".into(),
        "e6d6d379-f507-44c2-a23c-238f2a3df928" => "Linux LVM".into(),
        "a19d880f-05fc-4d3b-a006-743f0f84911e" => "Linux RAID".into(),
        "ebd0a0a2-b9e5-4433-87c0-68b6b72699c7" => "Microsoft basic data".into(),
        "6a82cb45-1dd2-11b2-99a6-080020736631" => "Solaris boot".into(),
        "6a85cf4d-1dd2-11b2-99a6-080020736631" => "Solaris root".into(),
        _ => format!("type {text}"),
    }
}

#[cfg(test)]
mod tests;
