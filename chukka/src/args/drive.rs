//! `-drive`, `-hda` to `-hdd`, `-cdrom`, and the disks of `-device`, in QEMU's spelling.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use devices::disk::OnError;
use location::Place;
use storage::disk::{CacheMode, DiskFormat, DiskOptions};
use vmm::config::MachineKind;

use super::ahci::Sata;
use super::cdrom::Controller;
use super::disk_errors;
use super::drive_device::DriveDevice;
use super::drive_interface::{self, Interface, OldDisk};
use super::error::ArgsError;
use super::options::{DriveArg, Options};
use super::pflash;
use super::refusals::Refusals;
use super::value::{Pair, RawPair, driver, id, number, raw, raw_pairs, size};
use crate::request::{BootFiles, BootSource, DiskConfig};

/// The names of the disk device: on microvm, on pc, and the machine's own.
pub(super) const DEVICES: [&str; 3] = [ON_MICROVM, ON_PC, "virtio-blk"];
const ON_MICROVM: &str = "virtio-blk-device";
const ON_PC: &str = "virtio-blk-pci";
const EXAMPLE: &str = "for example: -drive file=disk.raw,format=raw,if=virtio";

/// What is attached to the machine.
#[derive(Debug, Default)]
pub(super) struct Drives {
    /// The disks, in the order in which the guest finds them.
    pub disks: Vec<DiskConfig>,
    /// The CD drives; `None` without a controller for them.
    pub cds: Option<Vec<DiskConfig>>,
    /// The CD drives of the SATA controller; `None` without that controller.
    pub sata_cds: Option<Vec<DiskConfig>>,
}

/// A `-drive` or `-hda`.
#[derive(Debug)]
pub(super) struct Drive {
    /// How messages show it, without the dash.
    shown: String,
    id: Option<String>,
    interface: Interface,
    index: Option<u32>,
    is_cd: bool,
    pub disk: DiskConfig,
}

impl Drive {
    /// A drive in place of one that is refused: devices can name it.
    fn stand_in(given: &DriveArg) -> Self {
        let pairs = match given {
            DriveArg::Drive(value) => raw_pairs(value.as_bytes(), "file"),
            DriveArg::Hd(..) => Vec::new(),
        };
        let interface = Interface::None;
        let disk = DiskConfig::default();
        Self { shown: String::new(), id: id(&pairs), interface, index: None, is_cd: false, disk }
    }

    /// Its `index=`.
    pub fn index(&self) -> Option<u32> {
        self.index
    }

    /// How messages show it.
    pub fn shown(&self) -> String {
        format!("-{}", self.shown)
    }

    /// Checks that it can be a SATA drive: ATA has no disks that cannot be written to.
    pub fn check_sata(&self) -> Result<(), ArgsError> {
        if self.is_cd || !self.disk.options.read_only {
            return Ok(());
        }
        let hint = "use if=virtio for a read-only disk, snapshot=on to discard the guest's \
                    writes, or media=cdrom for a CD";
        Err(ArgsError::unsupported(self.shown(), "a SATA disk cannot be read-only", hint))
    }

    /// The drive with a CD in it, which is never written to.
    ///
    /// # Errors
    /// Read errors of it would not be reported.
    pub fn into_cd(mut self) -> Result<Self, ArgsError> {
        if self.disk.errors.read != OnError::Report {
            let given = format!("-{}", self.shown);
            let why = "read errors of a CD are always reported to the guest";
            return Err(ArgsError::unsupported(given, why, "leave out rerror="));
        }
        self.is_cd = true;
        self.disk.options.read_only = true;
        self.disk.options.snapshot = false;
        Ok(self)
    }
}

/// The drives that devices name.
#[derive(Debug, Default)]
pub(super) struct Named {
    drives: Vec<Drive>,
    /// The ids of those that are attached.
    taken: Vec<String>,
}

impl Named {
    /// Takes the drive that the device `name` wants. No other device can have it then.
    pub fn take(
        &mut self,
        name: &str,
        wanted: Option<String>,
        example: &'static str,
    ) -> Result<Drive, ArgsError> {
        let Some(wanted) = wanted else {
            let error = ArgsError::bad(format!("-device {name}"), "a drive: drive=ID");
            return Err(error.with_hint(example));
        };
        let shown = format!("-device {name},drive={wanted}");
        if self.taken.contains(&wanted) {
            let hint = "give the drive if=none where a -device names it";
            return Err(ArgsError::bad(shown, "a drive that no other device has").with_hint(hint));
        }
        let at = self.drives.iter().position(|drive| drive.id.as_deref() == Some(&*wanted));
        let Some(at) = at else {
            return Err(ArgsError::bad(shown, "the id of a -drive").with_hint(example));
        };
        self.taken.push(wanted);
        Ok(self.drives.remove(at))
    }
}

/// Reads all drives and the devices that attach them.
///
/// # Errors
/// A value that is wrong or that chukka cannot do; a drive without a device, or a device without a
/// drive.
pub(super) fn disks(
    options: &Options,
    machine: MachineKind,
    warnings: &mut Vec<String>,
) -> Result<Drives, ArgsError> {
    let mut refusals = Refusals::default();
    let mut drives = Vec::new();
    for given in &options.drives {
        let read = match given {
            DriveArg::Drive(value) if pflash::is_flash(&raw_pairs(value.as_bytes(), "file")) => {
                continue;
            }
            DriveArg::Drive(value) => drive(value.as_bytes(), machine),
            DriveArg::Hd(name, path) => hd(name, path),
        };
        match read.and_then(|drive| check_other_drives(&drive, &drives).map(|()| drive)) {
            Ok(drive) => drives.push(drive),
            Err(error) => {
                refusals.add(error);
                drives.push(Drive::stand_in(given));
            }
        }
    }
    let (old_cds, old): (Vec<_>, Vec<_>) =
        take_old(&mut drives).into_iter().partition(|(_, drive)| drive.is_cd);
    let (mut sata_drives, drives): (Vec<_>, Vec<_>) =
        drives.into_iter().partition(|drive| drive.interface == Interface::Sata);
    let mut sata = Sata::default();
    refusals.value(sata.attach_all(&mut sata_drives));
    let (mut disks, named): (Vec<_>, Vec<_>) =
        drives.into_iter().partition(|drive| drive.interface == Interface::Virtio);
    let attached = disks.iter().chain(&sata_drives);
    let taken = attached.filter_map(|drive| drive.id.clone()).collect();
    let mut named = Named { drives: named, taken };
    let mut cds: Vec<_> = old_cds.into_iter().map(|(_, drive)| drive).collect();
    let mut controller = Controller::default();
    for given in raw(&options.devices) {
        refusals.value(controller.read(given, machine));
        refusals.value(sata.read(given, machine));
    }
    for given in raw(&options.devices) {
        if let Some(disk) = refusals.value(device(given, machine, &mut named)) {
            disks.push(disk);
        } else if let Some(drive) = refusals.value(sata.drive(given, machine, &mut named)) {
            sata_drives.push(drive);
        } else if let Some(cd) = refusals.value(controller.drive(given, cds.len(), &mut named)) {
            cds.push(cd);
        }
    }
    if !refusals.is_empty() {
        return refusals.finish(Drives::default());
    }
    if let Some(drive) = named.drives.first() {
        let device = if drive.is_cd { "scsi-cd" } else { "virtio-blk" };
        let (given, device) = match &drive.id {
            Some(id) => (format!("-drive id={id},if=none"), format!("-device {device},drive={id}")),
            None => ("-drive if=none without an id".into(), "if=virtio instead of if=none".into()),
        };
        return Err(ArgsError::unsupported(given, "no device uses it", format!("add {device}")));
    }
    let cmdline = options.boot.append.as_ref().map(|text| text.as_bytes()).unwrap_or_default();
    let shown: Vec<_> = old
        .iter()
        .map(|(index, drive)| OldDisk {
            shown: &drive.shown,
            path: &drive.disk.path,
            index: *index,
        })
        .collect();
    let (sata_cds, sata_disks): (Vec<_>, Vec<_>) =
        sata_drives.into_iter().partition(|drive| drive.is_cd);
    let others = if disks.is_empty() { sata_disks.first().map(|_| "SATA") } else { Some("virtio") };
    warnings.extend(drive_interface::check(&shown, others, cmdline)?);
    disks.extend(old.into_iter().map(|(_, drive)| drive));
    disks.extend(sata_disks);
    let mut disks: Vec<_> = disks.into_iter().map(|drive| drive.disk).collect();
    if options.snapshot {
        disks.iter_mut().for_each(|disk| disk.options.snapshot = true);
    }
    let cds: Vec<_> = cds.into_iter().map(|drive| drive.disk).collect();
    let cds = (controller.is_given || !cds.is_empty()).then_some(cds);
    let sata_cds =
        sata.is_there().then(|| sata_cds.into_iter().map(|cd| cd.disk).collect::<Vec<_>>());
    Ok(Drives { disks, cds, sata_cds })
}

/// Checks that no two drives have the same id or place.
fn check_other_drives(drive: &Drive, others: &[Drive]) -> Result<(), ArgsError> {
    if drive.id.is_some() && others.iter().any(|other| other.id == drive.id) {
        let given = format!("-drive id={}", drive.id.as_deref().unwrap_or_default());
        return Err(ArgsError::bad(given, "each id once"));
    }
    let same = |other: &&Drive| other.interface == drive.interface && other.index == drive.index;
    if let Some(other) = drive.index.and_then(|_| others.iter().find(same)) {
        let expected = format!("another index than -{}", other.shown);
        let error = ArgsError::bad(format!("-{}", drive.shown), expected);
        return Err(match drive.is_cd {
            true => error.with_hint("for another CD drive: -drive file=FILE,media=cdrom"),
            false => error,
        });
    }
    Ok(())
}

/// The boot indices of those that are not SATA drives.
pub(super) fn virtio_boot_indices(drives: &[DiskConfig]) -> Vec<Option<u32>> {
    let virtio = drives.iter().filter(|drive| drive.sata_port.is_none());
    virtio.map(|drive| drive.boot_index).collect()
}

/// The disk that `-bootdisk` names, if it is a path of this host.
pub(super) fn boot_disk(boot: &BootSource, snapshot: bool) -> Option<DiskConfig> {
    let BootFiles::Disk { place: Place::Local(path), .. } = &boot.files else { return None };
    let options = DiskOptions { snapshot, ..DiskOptions::default() };
    Some(DiskConfig { path: path.clone(), options, ..DiskConfig::default() })
}

/// Removes the drives that are IDE or SCSI disks in QEMU, and returns them by their index, in its
/// order. One without an index gets the first that is free, as in QEMU (`drive_new`, blockdev.c);
/// unlike there, the index of a later drive counts as taken.
fn take_old(drives: &mut Vec<Drive>) -> BTreeMap<u32, Drive> {
    let (old, others): (Vec<_>, Vec<_>) =
        std::mem::take(drives).into_iter().partition(|drive| drive.interface == Interface::Old);
    *drives = others;
    let mut taken: BTreeSet<_> = old.iter().filter_map(|drive| drive.index).collect();
    let mut by_index = BTreeMap::new();
    for drive in old {
        let free = (0..).find(|index| !taken.contains(index)).unwrap_or_default();
        let index = drive.index.unwrap_or(free);
        taken.insert(index);
        by_index.insert(index, drive);
    }
    by_index
}

/// `-hda PATH` to `-hdd PATH`: QEMU's `-drive file=PATH,index=N,media=disk`, but for the commas in
/// the path; `-cdrom PATH` is `-hdc` with `media=cdrom`.
fn hd(name: &str, path: &OsStr) -> Result<Drive, ArgsError> {
    let letters = [("hda", 0), ("hdb", 1), ("hdc", 2), ("hdd", 3), ("cdrom", 2)];
    let (option, index) =
        letters.into_iter().find(|(letter, _)| *letter == name).unwrap_or(letters[0]);
    if path.is_empty() {
        return Err(ArgsError::EmptyPath { option });
    }
    let shown = format!("{name} {}", path.display());
    let disk = DiskConfig { path: path.into(), ..DiskConfig::default() };
    let interface = Interface::Old;
    let drive = Drive { shown, id: None, interface, index: Some(index), is_cd: false, disk };
    if option == "cdrom" { drive.into_cd() } else { Ok(drive) }
}

/// `-drive file=PATH,if=virtio,…`.
fn drive(given: &[u8], machine: MachineKind) -> Result<Drive, ArgsError> {
    let option = "drive";
    let (mut path, mut id, mut index, mut is_cd) = (None, None, None, false);
    let mut interface = Interface::Old;
    let mut disk = DiskConfig::default();
    for pair in raw_pairs(given, "file") {
        match pair.key.as_str() {
            "file" => path = Some(pair.path(option)?),
            "id" => id = Some(pair.text(option)?.value(option)?.to_owned()),
            "if" => interface = drive_interface::interface(&pair.text(option)?, machine)?,
            "index" => index = Some(self::index(&pair.text(option)?, machine)?),
            "serial" => disk.serial = pair_text(&pair, option)?,
            "size" => disk.size = Some(disk_size(&pair.text(option)?)?),
            "werror" | "rerror" => {
                disk_errors::read(&pair.text(option)?, option, &mut disk.errors)?;
            }
            "backing.file.filename" => disk.backing = Some(pair.path(option)?),
            "media" => {
                is_cd = match &*pair_text(&pair, option)? {
                    "cdrom" => true,
                    "disk" => false,
                    _ => return Err(ArgsError::bad(pair.shown(option), "disk or cdrom")),
                }
            }
            _ => property(&pair.text(option)?, &mut disk.options)?,
        }
    }
    let shown = format!("drive {}", String::from_utf8_lossy(given));
    disk.path = path.ok_or_else(|| {
        ArgsError::bad(format!("-{shown}"), "a file: file=PATH").with_hint(EXAMPLE)
    })?;
    if is_cd && interface == Interface::Virtio {
        let why = "with if=virtio the guest would have a disk, and firmware would not boot the CD";
        let hint = "leave if=virtio out; or, for a disk, say media=disk,readonly=on";
        return Err(ArgsError::unsupported(format!("-{shown}"), why, hint));
    }
    if is_cd && (disk.size.is_some() || disk.backing.is_some()) {
        let why = "a CD is neither created nor written to";
        let hint = "leave out size= and backing.file.filename=";
        return Err(ArgsError::unsupported(format!("-{shown}"), why, hint));
    }
    let drive = Drive { shown, id, interface, index, is_cd, disk };
    if is_cd { drive.into_cd() } else { Ok(drive) }
}

/// `index=`: a place among the IDE disks. Virtio disks are in the order of the command line, as in
/// QEMU, where no two of them may have the same index either. There are as many places as the
/// machine has room for disks.
fn index(pair: &Pair, machine: MachineKind) -> Result<u32, ArgsError> {
    let index = number(pair.value("drive")?).and_then(|index| u32::try_from(index).ok());
    let slots = u32::from(machine.virtio_slots());
    index.filter(|index| *index < slots).ok_or_else(|| {
        let expected = format!(
            "a number from 0 to {}: -machine {} has room for {slots} disks",
            slots - 1,
            machine.name()
        );
        ArgsError::bad(pair.shown("drive"), expected)
    })
}

/// `size=`: how large the disk becomes if the file does not exist.
fn disk_size(pair: &Pair) -> Result<u64, ArgsError> {
    let size = disk_bytes(pair.value("drive")?);
    size.ok_or_else(|| ArgsError::bad(pair.shown("drive"), "a size with a unit, such as 20G"))
}

/// The bytes of a disk. The unit is required: without one QEMU's options mean MiB, and qemu-img
/// means bytes.
pub(crate) fn disk_bytes(text: &str) -> Option<u64> {
    let has_unit = text.ends_with(|letter: char| letter.is_ascii_alphabetic());
    size(text).filter(|size| has_unit && *size > 0 && size.is_multiple_of(512))
}

/// What a drive can say beside file, id and interface.
pub(super) fn property(pair: &Pair, options: &mut DiskOptions) -> Result<(), ArgsError> {
    let option = "drive";
    let value = pair.value(option)?;
    let unsupported = |why, hint| Err(ArgsError::unsupported(pair.shown(option), why, hint));
    match (pair.key.as_str(), value) {
        ("format", name) => {
            let Some(format) = DiskFormat::by_name(name) else {
                let hint = "convert it: qemu-img convert -O qcow2 FROM TO";
                return unsupported("chukka has raw and qcow2 disks", hint);
            };
            options.format = Some(format);
        }
        // Disks have read the errors' options already. Flash chips have no others.
        ("media", "disk") | ("aio", "threads") | ("werror" | "rerror", "report") => {}
        ("media", _) => return unsupported("this drive has no CDs", "use media=disk"),
        ("aio", _) => return unsupported("chukka reads and writes by threads", "use aio=threads"),
        ("werror" | "rerror", _) => {
            let hint = "use report, or leave it out";
            return unsupported("errors of flash chips always reach the firmware", hint);
        }
        ("readonly" | "read-only", _) => options.read_only = pair.switch(option)?,
        ("cache", _) => {
            let expected = "writeback, none, writethrough, directsync or unsafe";
            let mode = CacheMode::by_name(value);
            options.cache = mode.ok_or_else(|| ArgsError::bad(pair.shown(option), expected))?;
        }
        ("discard", "unmap" | "on") => options.unmap = true,
        ("discard", "ignore" | "off") => options.unmap = false,
        ("discard", _) => return Err(ArgsError::bad(pair.shown(option), "unmap or ignore")),
        ("snapshot", _) => options.snapshot = pair.switch(option)?,
        ("bus" | "unit", _) => {
            return unsupported("chukka has no IDE or SCSI buses", "use index=N");
        }
        _ => {
            let expected = "file, if, index, media, format, size, readonly, snapshot, cache, discard, werror, rerror, serial, id";
            return Err(ArgsError::bad(pair.shown(option), expected).with_hint(EXAMPLE));
        }
    }
    Ok(())
}

/// `-device virtio-blk,drive=ID[,serial=TEXT][,bootindex=N][,werror=…][,rerror=…]`; `None`: another
/// device.
fn device(
    given: &[u8],
    machine: MachineKind,
    named: &mut Named,
) -> Result<Option<Drive>, ArgsError> {
    let pairs = raw_pairs(given, "driver");
    let driver = driver(&pairs);
    let Some(name) = DEVICES.iter().find(|name| driver == Some(name.as_bytes())) else {
        return Ok(None);
    };
    let (other, why) = match machine {
        MachineKind::Microvm => (ON_PC, "microvm has no PCI"),
        MachineKind::Pc => (ON_MICROVM, "on pc, disks are PCI devices"),
    };
    if *name == other {
        let hint = "use -device virtio-blk, the name that works on both machines";
        return Err(ArgsError::unsupported(format!("-device {name}"), why, hint));
    }
    let mut device = DriveDevice::default();
    for pair in &pairs {
        if !device.read_disk(pair)? {
            let expected =
                format!("{name},drive=ID,serial=TEXT,bootindex=N,werror=ACTION,rerror=ACTION");
            return Err(ArgsError::bad(pair.shown("device"), expected));
        }
    }
    device.take(name, named, DEVICE_EXAMPLE).map(Some)
}

const DEVICE_EXAMPLE: &str =
    "for example: -drive file=disk.raw,format=raw,if=none,id=d0 -device virtio-blk,drive=d0";

pub(super) fn pair_text(pair: &RawPair, option: &'static str) -> Result<String, ArgsError> {
    pair.text(option)?.value(option).map(str::to_owned)
}
