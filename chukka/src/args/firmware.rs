//! `-bios`, `-L`, `-option-rom`, `-boot`.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use super::error::ArgsError;
use super::options::Options;
use super::value::{Pair, RawPair, integer, pairs, raw, raw_pairs, texts};
use vmm::config::{BootOptions, FirmwareConfig, OptionRomConfig};

/// How many `-option-rom` there can be: QEMU's `MAX_OPTION_ROMS`.
const OPTION_ROMS: usize = 16;

/// The firmware, if `-bios` names one or it is in flash chips. The last `-bios` counts, `-L` and
/// `-option-rom` are lists.
///
/// QEMU always has firmware; here an option ROM without firmware would do nothing, so it is refused.
/// `-L` alone is harmless.
pub(super) fn firmware(
    options: &Options,
    own_option_rom: bool,
    is_in_flash: bool,
) -> Result<Option<FirmwareConfig>, ArgsError> {
    let search = raw(&options.firmware_dirs).map(|path| match path {
        [] => Err(ArgsError::EmptyPath { option: "L" }),
        path => Ok(PathBuf::from(OsStr::from_bytes(path))),
    });
    let search = search.collect::<Result<_, _>>()?;
    let option_roms: Vec<_> =
        raw(&options.option_roms).map(option_rom).collect::<Result<_, _>>()?;
    if option_roms.len() > OPTION_ROMS {
        let given = format!("-option-rom, given {} times", option_roms.len());
        return Err(ArgsError::bad(given, format!("at most {OPTION_ROMS} of them"))
            .with_hint("leave some out"));
    }
    match &options.bios {
        Some(bios) if bios.is_empty() => Err(ArgsError::EmptyPath { option: "bios" }),
        bios if bios.is_some() || is_in_flash => {
            Ok(Some(FirmwareConfig { bios: bios.clone(), search, own_option_rom, option_roms }))
        }
        _ => match option_roms.first() {
            Some(rom) => Err(needs_firmware(format!("-option-rom {}", rom.path.display()))),
            None => Ok(None),
        },
    }
}

fn needs_firmware(given: String) -> ArgsError {
    let why = "only firmware does that, and chukka enters the kernel without any";
    ArgsError::unsupported(given, why, "add -bios seabios")
}

/// `[romfile=]FILE[,bootindex=N]`; documents on QEMU also have `file=`.
fn option_rom(value: &[u8]) -> Result<OptionRomConfig, ArgsError> {
    let option = "option-rom";
    let mut path = None;
    let mut bootindex = None;
    for pair in raw_pairs(value, "romfile") {
        match pair.key.as_str() {
            "romfile" | "file" => path = Some(pair.path(option)?),
            "bootindex" => bootindex = boot_index(&pair)?,
            _ => return Err(ArgsError::bad(pair.shown(option), "FILE or FILE,bootindex=N")),
        }
    }
    let path = path.ok_or(ArgsError::EmptyPath { option })?;
    Ok(OptionRomConfig { path, bootindex })
}

/// QEMU's -1 is "none".
fn boot_index(pair: &RawPair) -> Result<Option<i32>, ArgsError> {
    let pair = pair.text("option-rom")?;
    let index = integer(pair.value("option-rom")?).and_then(|index| i32::try_from(index).ok());
    match index {
        Some(-1) => Ok(None),
        Some(0..) => Ok(index),
        _ => Err(ArgsError::bad(pair.shown("option-rom"), "a number from 0 to 2147483647")),
    }
}

/// `-boot`, merged key by key. What asks for a disk, a network or a screen is refused, and without
/// firmware everything is that would make a difference.
pub(super) fn boot_options(
    options: &Options,
    with_firmware: bool,
) -> Result<BootOptions, ArgsError> {
    let mut boot = BootOptions::default();
    for pair in
        texts(&options.boot_options, "boot")?.into_iter().flat_map(|text| pairs(text, "order"))
    {
        let effective = boot_option(&mut boot, &pair)?;
        if effective && !with_firmware {
            return Err(needs_firmware(pair.shown("boot")));
        }
    }
    Ok(boot)
}

/// Takes one key in. Whether it is something else than the default.
fn boot_option(options: &mut BootOptions, pair: &Pair) -> Result<bool, ArgsError> {
    let shown = || pair.shown("boot");
    let value = pair.value("boot")?;
    match pair.key.as_str() {
        "menu" => {
            options.menu = pair.switch("boot")?;
            Ok(options.menu)
        }
        "strict" => {
            options.strict = pair.switch("boot")?;
            Ok(options.strict)
        }
        "splash-time" => {
            let time = integer(value).and_then(|time| u16::try_from(time).ok());
            let expected = "milliseconds, 0 to 65535";
            options.splash_time = Some(time.ok_or_else(|| ArgsError::bad(shown(), expected))?);
            Ok(true)
        }
        "reboot-timeout" => {
            let time = integer(value).and_then(|time| i32::try_from(time).ok());
            let time = time.filter(|time| (-1..=0xffff).contains(time));
            let expected = "milliseconds, 0 to 65535, or -1 for never";
            options.reboot_timeout = Some(time.ok_or_else(|| ArgsError::bad(shown(), expected))?);
            Ok(options.reboot_timeout != Some(-1))
        }
        "order" | "once" => {
            let why = "chukka has no boot order";
            let hint = "leave it out: firmware boots what -kernel names, or the first disk";
            Err(ArgsError::unsupported(shown(), why, hint))
        }
        "splash" => {
            let why = "chukka has no screen to show a picture on";
            Err(ArgsError::unsupported(shown(), why, "leave it out"))
        }
        _ => Err(ArgsError::bad(shown(), "menu=, splash-time=, reboot-timeout= or strict=")),
    }
}
