//! `-drive` and the disks of `-device`, in QEMU's spelling.

use storage::disk::{CacheMode, DiskOptions};
use vmm::config::MachineKind;

use super::error::ArgsError;
use super::options::Options;
use super::pflash;
use super::value::{Pair, RawPair, raw, raw_pairs};
use crate::request::DiskConfig;

/// The names of the disk device: on microvm, on pc, and the machine's own.
pub(super) const DEVICES: [&str; 3] = [ON_MICROVM, ON_PC, "virtio-blk"];
const ON_MICROVM: &str = "virtio-blk-device";
const ON_PC: &str = "virtio-blk-pci";
const EXAMPLE: &str = "for example: -drive file=disk.raw,format=raw,if=virtio";

/// How a drive is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Interface {
    /// By itself.
    Virtio,
    /// By a `-device`.
    None,
}

/// A `-drive`.
struct Drive {
    id: Option<String>,
    interface: Interface,
    disk: DiskConfig,
}

/// Reads all drives and the devices that attach them: the disks in the order in which the guest
/// finds them.
///
/// # Errors
/// A value that is wrong or that chukka cannot do; a drive without a device, or a device without a
/// drive.
pub(super) fn disks(options: &Options, machine: MachineKind) -> Result<Vec<DiskConfig>, ArgsError> {
    let mut drives = Vec::new();
    for given in raw(&options.drives) {
        if pflash::is_flash(&raw_pairs(given, "file")) {
            continue;
        }
        let drive = drive(given)?;
        if drive.id.is_some() && drives.iter().any(|other: &Drive| other.id == drive.id) {
            let given = format!("-drive id={}", drive.id.unwrap_or_default());
            return Err(ArgsError::bad(given, "each id once"));
        }
        drives.push(drive);
    }
    let (mut disks, mut named): (Vec<_>, Vec<_>) =
        drives.into_iter().partition(|drive| drive.interface == Interface::Virtio);
    for given in raw(&options.devices) {
        if let Some(disk) = device(given, machine, &mut named, &disks)? {
            disks.push(disk);
        }
    }
    if let Some(drive) = named.first() {
        let (given, device) = match &drive.id {
            Some(id) => {
                (format!("-drive id={id},if=none"), format!("-device virtio-blk,drive={id}"))
            }
            None => ("-drive if=none without an id".into(), "if=virtio instead of if=none".into()),
        };
        return Err(ArgsError::unsupported(given, "no device uses it", format!("add {device}")));
    }
    let mut disks: Vec<_> = disks.into_iter().map(|drive| drive.disk).collect();
    if options.snapshot {
        disks.iter_mut().for_each(|disk| disk.options.snapshot = true);
    }
    Ok(disks)
}

/// `-drive file=PATH,if=virtio,…`.
fn drive(given: &[u8]) -> Result<Drive, ArgsError> {
    let option = "drive";
    let (mut path, mut id, mut interface) = (None, None, None);
    let mut options = DiskOptions::default();
    for pair in raw_pairs(given, "file") {
        match pair.key.as_str() {
            "file" => path = Some(pair.path(option)?),
            "id" => id = Some(pair.text(option)?.value(option)?.to_owned()),
            "if" => interface = Some(self::interface(&pair.text(option)?)?),
            _ => property(&pair.text(option)?, &mut options)?,
        }
    }
    let shown = || format!("-drive {}", String::from_utf8_lossy(given));
    let Some(path) = path else {
        return Err(ArgsError::bad(shown(), "a file: file=PATH").with_hint(EXAMPLE));
    };
    let Some(interface) = interface else {
        return Err(ArgsError::unsupported(shown(), IDE, USE_VIRTIO));
    };
    Ok(Drive { id, interface, disk: DiskConfig { path, options, serial: String::new() } })
}

const IDE: &str = "without if= it would be an IDE disk, which chukka does not have";
const USE_VIRTIO: &str = "add if=virtio; the guest sees it as /dev/vda, not /dev/sda";

fn interface(pair: &Pair) -> Result<Interface, ArgsError> {
    let value = pair.value("drive")?;
    match value {
        "virtio" => Ok(Interface::Virtio),
        "none" => Ok(Interface::None),
        "ide" | "scsi" | "floppy" | "sd" | "mtd" | "xen" => Err(ArgsError::unsupported(
            pair.shown("drive"),
            "chukka has virtio disks only",
            "use if=virtio; the guest sees it as /dev/vda, not /dev/sda",
        )),
        _ => Err(ArgsError::bad(pair.shown("drive"), "virtio or none")),
    }
}

/// What a drive can say beside file, id and interface.
pub(super) fn property(pair: &Pair, options: &mut DiskOptions) -> Result<(), ArgsError> {
    let option = "drive";
    let value = pair.value(option)?;
    let unsupported = |why, hint| Err(ArgsError::unsupported(pair.shown(option), why, hint));
    match (pair.key.as_str(), value) {
        ("format", "raw") => options.is_raw = true,
        ("format", _) => {
            let hint = "convert it: qemu-img convert -O raw FROM TO";
            return unsupported("chukka has raw disks only", hint);
        }
        ("media", "disk") | ("aio", "threads") | ("werror" | "rerror", "report") => {}
        ("media", _) => return unsupported("chukka has no CD drive", "use media=disk"),
        ("aio", _) => return unsupported("chukka reads and writes by threads", "use aio=threads"),
        ("werror" | "rerror", _) => {
            let hint = "use werror=report, or leave it out";
            return unsupported("chukka reports errors to the guest, always", hint);
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
        ("serial", _) => {
            let hint = "give the drive if=none,id=ID, and add -device virtio-blk,drive=ID,serial=…";
            return unsupported("the serial number is the device's", hint);
        }
        _ => {
            let expected = "file, if, format, readonly, snapshot, cache, discard, id";
            return Err(ArgsError::bad(pair.shown(option), expected).with_hint(EXAMPLE));
        }
    }
    Ok(())
}

/// `-device virtio-blk,drive=ID[,serial=TEXT]`; `None`: another device.
fn device(
    given: &[u8],
    machine: MachineKind,
    drives: &mut Vec<Drive>,
    attached: &[Drive],
) -> Result<Option<Drive>, ArgsError> {
    let option = "device";
    let pairs = raw_pairs(given, "driver");
    let driver = pairs.iter().rev().find(|pair| pair.key == "driver");
    let driver = driver.and_then(|pair| pair.value.clone()).unwrap_or_default();
    let Some(name) = DEVICES.iter().find(|name| name.as_bytes() == driver) else {
        return Ok(None);
    };
    let (other, why) = match machine {
        MachineKind::Microvm => (ON_PC, "microvm has no PCI"),
        MachineKind::Pc => (ON_MICROVM, "on pc, disks are PCI devices"),
    };
    if *name == other {
        let hint = "use -device virtio-blk, which is the machine's own";
        return Err(ArgsError::unsupported(format!("-device {name}"), why, hint));
    }
    let (mut wanted, mut serial) = (None, String::new());
    for pair in &pairs {
        let value = || pair_text(pair, option);
        match pair.key.as_str() {
            "driver" | "id" => {}
            "drive" => wanted = Some(value()?),
            "serial" => serial = value()?,
            _ => {
                let expected = format!("{name},drive=ID,serial=TEXT");
                return Err(ArgsError::bad(pair.shown(option), expected));
            }
        }
    }
    let Some(wanted) = wanted else {
        let error = ArgsError::bad(format!("-device {name}"), "a drive: drive=ID");
        return Err(error.with_hint(DEVICE_EXAMPLE));
    };
    let shown = format!("-device {name},drive={wanted}");
    let is_wanted = |drive: &Drive| drive.id.as_deref() == Some(&*wanted);
    if attached.iter().any(is_wanted) {
        let hint = "give the drive if=none where a -device names it";
        return Err(ArgsError::bad(shown, "a drive that no other device has").with_hint(hint));
    }
    let Some(at) = drives.iter().position(is_wanted) else {
        return Err(ArgsError::bad(shown, "the id of a -drive").with_hint(DEVICE_EXAMPLE));
    };
    let mut drive = drives.remove(at);
    drive.disk.serial = serial;
    Ok(Some(drive))
}

const DEVICE_EXAMPLE: &str =
    "for example: -drive file=disk.raw,format=raw,if=none,id=d0 -device virtio-blk,drive=d0";

fn pair_text(pair: &RawPair, option: &'static str) -> Result<String, ArgsError> {
    pair.text(option)?.value(option).map(str::to_owned)
}
