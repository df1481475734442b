//! `-bios`, `-L`, `-option-rom`, `-boot`.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use clap::ArgMatches;

use super::error::CliError;
use super::value::{Pair, RawPair, integer, last, pairs, raw, raw_pairs, texts};
use vmm::config::{BootOptions, FirmwareConfig, OptionRomConfig};

/// How many `-option-rom` there can be: QEMU's `MAX_OPTION_ROMS`.
const OPTION_ROMS: usize = 16;

/// The firmware, if `-bios` names one. The last `-bios` counts, `-L` and `-option-rom` are lists.
///
/// QEMU always has firmware; here an option ROM without it would do nothing, so that is refused. `-L`
/// alone says where something is that nobody looks for, which harms nobody.
pub(super) fn firmware(
    matches: &ArgMatches,
    own_option_rom: bool,
) -> Result<Option<FirmwareConfig>, CliError> {
    let search = raw(matches, "L").map(|path| match path {
        [] => Err(CliError::EmptyPath { option: "L" }),
        path => Ok(PathBuf::from(OsStr::from_bytes(path))),
    });
    let search = search.collect::<Result<_, _>>()?;
    let option_roms: Vec<_> =
        raw(matches, "option-rom").map(option_rom).collect::<Result<_, _>>()?;
    if option_roms.len() > OPTION_ROMS {
        let given = format!("-option-rom, given {} times", option_roms.len());
        return Err(CliError::bad(given, format!("at most {OPTION_ROMS} of them"))
            .with_hint("leave some out"));
    }
    match last(matches, "bios") {
        Some(bios) if bios.is_empty() => Err(CliError::EmptyPath { option: "bios" }),
        Some(bios) => {
            Ok(Some(FirmwareConfig { bios: bios.clone(), search, own_option_rom, option_roms }))
        }
        None => match option_roms.first() {
            Some(rom) => Err(needs_firmware(format!("-option-rom {}", rom.path.display()))),
            None => Ok(None),
        },
    }
}

fn needs_firmware(given: String) -> CliError {
    let why = "only firmware does that, and chukka enters the kernel without any";
    CliError::unsupported(given, why, "add -bios seabios")
}

/// `[romfile=]FILE[,bootindex=N]`; documents on QEMU also have `file=`.
fn option_rom(value: &[u8]) -> Result<OptionRomConfig, CliError> {
    let option = "option-rom";
    let mut path = None;
    let mut bootindex = None;
    for pair in raw_pairs(value, "romfile") {
        match pair.key.as_str() {
            "romfile" | "file" => path = Some(pair.path(option)?),
            "bootindex" => bootindex = boot_index(&pair)?,
            _ => return Err(CliError::bad(pair.shown(option), "FILE or FILE,bootindex=N")),
        }
    }
    let path = path.ok_or(CliError::EmptyPath { option })?;
    Ok(OptionRomConfig { path, bootindex })
}

/// QEMU's -1 is "none".
fn boot_index(pair: &RawPair) -> Result<Option<i32>, CliError> {
    let pair = pair.text("option-rom")?;
    let index = integer(pair.value("option-rom")?).and_then(|index| i32::try_from(index).ok());
    match index {
        Some(-1) => Ok(None),
        Some(0..) => Ok(index),
        _ => Err(CliError::bad(pair.shown("option-rom"), "a number from 0 to 2147483647")),
    }
}

/// `-boot`, merged key by key. What asks for a disk, a network or a screen is refused, and without
/// firmware everything is that would make a difference.
pub(super) fn boot_options(
    matches: &ArgMatches,
    with_firmware: bool,
) -> Result<BootOptions, CliError> {
    let mut options = BootOptions::default();
    for pair in texts(matches, "boot")?.into_iter().flat_map(|text| pairs(text, "order")) {
        let effective = boot_option(&mut options, &pair)?;
        if effective && !with_firmware {
            return Err(needs_firmware(pair.shown("boot")));
        }
    }
    Ok(options)
}

/// Takes one key in. Whether it is something else than the default.
fn boot_option(options: &mut BootOptions, pair: &Pair) -> Result<bool, CliError> {
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
            options.splash_time = Some(time.ok_or_else(|| CliError::bad(shown(), expected))?);
            Ok(true)
        }
        "reboot-timeout" => {
            let time = integer(value).and_then(|time| i32::try_from(time).ok());
            let time = time.filter(|time| (-1..=0xffff).contains(time));
            let expected = "milliseconds, 0 to 65535, or -1 for never";
            options.reboot_timeout = Some(time.ok_or_else(|| CliError::bad(shown(), expected))?);
            Ok(options.reboot_timeout != Some(-1))
        }
        "order" | "once" => {
            let why = "chukka has no boot order";
            let hint = "leave it out: firmware boots what -kernel names, or the first disk";
            Err(CliError::unsupported(shown(), why, hint))
        }
        "splash" => {
            let why = "chukka has no screen to show a picture on";
            Err(CliError::unsupported(shown(), why, "leave it out"))
        }
        _ => Err(CliError::bad(shown(), "menu=, splash-time=, reboot-timeout= or strict=")),
    }
}
