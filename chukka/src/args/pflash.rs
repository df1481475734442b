//! `-pflash` and `-drive if=pflash`: the flash chips with the firmware, in QEMU's spelling.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use firmware::flash::MAX_FLASH_IMAGES;
use storage::disk::DiskOptions;
use vmm::config::MachineKind;

use super::drive;
use super::error::ArgsError;
use super::options::{DriveArg, Options};
use super::refusals::all;
use super::value::{RawPair, integer, raw, raw_pairs};
use crate::request::DiskConfig;

const EXAMPLE: &str = "for example: -drive if=pflash,format=raw,readonly=on,file=OVMF_CODE.fd \
                       -drive if=pflash,format=raw,file=my-OVMF_VARS.fd";

/// Whether a `-drive` is a flash chip, which is none of the guest's disks.
pub(super) fn is_flash(pairs: &[RawPair]) -> bool {
    let interface = pairs.iter().rev().find(|pair| pair.key == "if");
    interface.and_then(|pair| pair.value.as_deref()) == Some(b"pflash")
}

/// Whether there are flash chips.
pub(super) fn is_wanted(options: &Options) -> bool {
    let mut drives = options.drives.iter();
    !options.pflash.is_empty()
        || drives.any(|drive| match drive {
            DriveArg::Drive(given) => is_flash(&raw_pairs(given.as_bytes(), "file")),
            DriveArg::Hd(..) => false,
        })
}

/// A flash chip, and its place if the user gave one.
struct Chip {
    config: DiskConfig,
    unit: Option<usize>,
}

/// The flash chips in the order of their units. Those without a unit get the lowest free one, as in
/// QEMU (`drive_new`, blockdev.c).
///
/// # Errors
/// A value is invalid, two chips have the same unit, there is no unit 0, the machine has no flash
/// chips, or `-bios` gives other firmware.
pub(super) fn chips(options: &Options, machine: MachineKind) -> Result<Vec<DiskConfig>, ArgsError> {
    let drives = options.drives.iter().filter_map(|given| {
        let DriveArg::Drive(given) = given else { return None };
        let pairs = raw_pairs(given.as_bytes(), "file");
        is_flash(&pairs).then(|| chip(given.as_bytes(), &pairs))
    });
    let mut chips = all(drives)?;
    for path in raw(&options.pflash) {
        if path.is_empty() {
            return Err(ArgsError::EmptyPath { option: "pflash" });
        }
        let path = PathBuf::from(OsStr::from_bytes(path));
        let config = DiskConfig { path, ..DiskConfig::default() };
        chips.push(Chip { config, unit: None });
    }
    if chips.is_empty() {
        return Ok(Vec::new());
    }
    if machine == MachineKind::Microvm {
        let why = "the machine microvm has no flash chips";
        return Err(ArgsError::unsupported("-drive if=pflash", why, "add -machine pc"));
    }
    if let Some(bios) = &options.bios {
        let why = "the flash chips of -drive if=pflash have the firmware";
        let given = format!("-bios {}", bios.to_string_lossy());
        return Err(ArgsError::unsupported(given, why, "leave one of them out"));
    }
    let mut units = in_units(chips)?;
    if options.snapshot {
        units.iter_mut().for_each(|chip| chip.options.snapshot = true);
    }
    Ok(units)
}

/// `-drive if=pflash,file=PATH,…`.
fn chip(given: &[u8], pairs: &[RawPair]) -> Result<Chip, ArgsError> {
    let option = "drive";
    let (mut path, mut unit) = (None, None);
    let mut options = DiskOptions::default();
    for pair in pairs {
        match pair.key.as_str() {
            "file" => path = Some(pair.path(option)?),
            "if" | "id" => {}
            "unit" => unit = Some(self::unit(pair)?),
            _ => drive::property(&pair.text(option)?, &mut options)?,
        }
    }
    let Some(path) = path else {
        let shown = format!("-drive {}", String::from_utf8_lossy(given));
        return Err(ArgsError::bad(shown, "a file: file=PATH").with_hint(EXAMPLE));
    };
    Ok(Chip { config: DiskConfig { path, options, ..DiskConfig::default() }, unit })
}

fn unit(pair: &RawPair) -> Result<usize, ArgsError> {
    let pair = pair.text("drive")?;
    let unit = integer(pair.value("drive")?).and_then(|unit| usize::try_from(unit).ok());
    unit.filter(|unit| *unit < MAX_FLASH_IMAGES)
        .ok_or_else(|| ArgsError::bad(pair.shown("drive"), "0, the code, or 1, the variables"))
}

/// Gives each chip a unit.
fn in_units(chips: Vec<Chip>) -> Result<Vec<DiskConfig>, ArgsError> {
    let mut units = [const { None }; MAX_FLASH_IMAGES];
    let (placed, others): (Vec<_>, Vec<_>) =
        chips.into_iter().partition(|chip| chip.unit.is_some());
    for Chip { config, unit } in placed.into_iter().chain(others) {
        let free = units.iter().position(Option::is_none);
        let place = unit.or(free).and_then(|unit| units.get_mut(unit));
        match place {
            Some(place @ None) => *place = Some(config),
            _ => {
                let given = format!("-drive if=pflash,file={}", config.path.display());
                let expected = format!("at most {MAX_FLASH_IMAGES} flash chips, each unit once");
                return Err(ArgsError::bad(given, expected).with_hint(EXAMPLE));
            }
        }
    }
    if let [None, Some(config)] = &units {
        let given = format!("-drive if=pflash,unit=1,file={}", config.path.display());
        return Err(ArgsError::bad(given, "a unit 0 with the firmware's code").with_hint(EXAMPLE));
    }
    Ok(units.into_iter().flatten().collect())
}
