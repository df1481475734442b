//! `-bios`, `-L`, `-option-rom`, `-boot`.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::error::ArgsError;
use super::network_boot::Absent;
use super::options::Options;
use super::refusals::{Refusals, all};
use super::value::{Pair, RawPair, integer, pairs, raw, raw_pairs, texts};
use vmm::config::{
    BootClass, BootOptions, BootOrder, BootOrderError, FirmwareConfig, MachineKind, OptionRomConfig,
};

/// How many `-option-rom` there can be: QEMU's `MAX_OPTION_ROMS`.
const OPTION_ROMS: usize = 16;

/// Why there is firmware without `-bios`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    /// It is in flash chips.
    pub in_flash: bool,
    /// There is a disk, a CD or a network to boot from, and no kernel.
    pub for_disk: bool,
}

/// The firmware, if `-bios` names one or it is in flash chips. The last `-bios` counts, `-L` and
/// `-option-rom` are lists.
///
/// Without either, a disk, a CD or a network to boot from and no kernel choose SeaBIOS.
///
/// QEMU always has firmware; here an option ROM without firmware would do nothing, so it is
/// refused. `-L` alone is harmless.
pub(super) fn firmware(
    options: &Options,
    machine: MachineKind,
    own_option_rom: bool,
    wanted: Wanted,
    warnings: &mut Vec<String>,
) -> Result<Option<FirmwareConfig>, ArgsError> {
    let search = raw(&options.firmware_dirs).map(|path| match path {
        [] => Err(ArgsError::EmptyPath { option: "L" }),
        path => Ok(PathBuf::from(OsStr::from_bytes(path))),
    });
    let mut refusals = Refusals::default();
    let search = refusals.value(all(search));
    let option_roms = refusals.value(all(raw(&options.option_roms).map(option_rom)));
    if options.bios.as_ref().is_some_and(|bios| bios.is_empty()) {
        refusals.add(ArgsError::EmptyPath { option: "bios" });
    }
    if !refusals.is_empty() {
        return refusals.finish(None);
    }
    if option_roms.len() > OPTION_ROMS {
        let given = format!("-option-rom, given {} times", option_roms.len());
        return Err(ArgsError::bad(given, format!("at most {OPTION_ROMS} of them"))
            .with_hint("leave some out"));
    }
    let (bios, for_disk) = match &options.bios {
        Some(bios) => {
            if wanted.for_disk && machine == MachineKind::Microvm && has_timer(bios) {
                warnings.push(TIMER_WARNING.into());
            }
            (Some(bios.clone()), false)
        }
        None if wanted.in_flash => (None, false),
        None if wanted.for_disk => {
            let bios = match machine {
                MachineKind::Microvm => "seabios-microvm",
                MachineKind::Pc => "seabios",
            };
            (Some(bios.into()), true)
        }
        None => {
            return match option_roms.first() {
                Some(rom) => Err(needs_firmware(format!("-option-rom {}", rom.path.display()))),
                None => Ok(None),
            };
        }
    };
    let network_rom = None;
    Ok(Some(FirmwareConfig { bios, search, own_option_rom, option_roms, network_rom, for_disk }))
}

/// Whether this is one of the images of SeaBIOS that use the timer's interrupt
/// (`CONFIG_HARDWARE_IRQ`). They leave the 8259 and the PIT running. Linux's real-mode code masks
/// the 8259 (`mask_all_interrupts`, arch/x86/boot/pm.c), but GRUB enters the kernel after that
/// code, and on a machine with hardware-reduced ACPI the kernel itself leaves the 8259 alone: it
/// takes the first tick for a double fault.
fn has_timer(bios: &OsStr) -> bool {
    let name = Path::new(bios).file_name();
    ["seabios", "bios-256k.bin", "bios.bin"]
        .into_iter()
        .any(|image| name == Some(OsStr::new(image)))
}

const TIMER_WARNING: &str = "Linux from a disk may crash early with this image of SeaBIOS on \
                             microvm; use -bios seabios-microvm, or leave -bios out";

fn needs_firmware(given: String) -> ArgsError {
    let why = "chukka enters the kernel directly, without firmware that could do this";
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
            "bootindex" => bootindex = boot_index(&pair, option)?,
            _ => return Err(ArgsError::bad(pair.shown(option), "FILE or FILE,bootindex=N")),
        }
    }
    let path = path.ok_or(ArgsError::EmptyPath { option })?;
    Ok(OptionRomConfig { path, bootindex })
}

/// `bootindex=N` of `option`; QEMU's -1 is "none".
pub(super) fn boot_index(pair: &RawPair, option: &'static str) -> Result<Option<u32>, ArgsError> {
    let pair = pair.text(option)?;
    match integer(pair.value(option)?) {
        Some(-1) => Ok(None),
        Some(index @ 0..=0x7fff_ffff) => Ok(u32::try_from(index).ok()),
        _ => Err(ArgsError::bad(pair.shown(option), "a number from 0 to 2147483647")),
    }
}

/// Checks the boot indices of disks, CDs, network cards and option ROMs: as in QEMU, each can be
/// given once. Without firmware they have no effect.
pub(super) fn check_boot_indices(
    firmware: Option<&FirmwareConfig>,
    media: impl Iterator<Item = Option<u32>>,
    cards: impl Iterator<Item = Option<u32>>,
    warnings: &mut Vec<String>,
) -> Result<(), ArgsError> {
    let roms = firmware.map_or(&[][..], |firmware| &firmware.option_roms);
    let roms = roms.iter().filter_map(|rom| rom.bootindex);
    let of_devices: Vec<_> = media.chain(cards).flatten().collect();
    if firmware.is_none() && !of_devices.is_empty() {
        warnings.push(format!("bootindex= has no effect: {NO_FIRMWARE}"));
    }
    let mut seen = BTreeSet::new();
    match of_devices.into_iter().chain(roms).find(|index| !seen.insert(*index)) {
        Some(index) => Err(ArgsError::bad(format!("bootindex={index}"), "each bootindex once")),
        None => Ok(()),
    }
}

const NO_FIRMWARE: &str = "chukka enters the kernel itself, without firmware";

/// What there is to boot from, beside disks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bootable {
    /// Whether there is firmware to boot it.
    pub firmware: bool,
    /// Whether there is a CD drive.
    pub cd: bool,
    /// Whether there is a network card to boot from, or why not.
    pub network: Result<(), Absent>,
}

/// `-boot`, merged key by key. What asks for a device that is not there is refused, and without
/// firmware everything is that would make a difference. An order without firmware is only warned
/// of: with a kernel it makes no difference in QEMU either.
pub(super) fn boot_options(
    options: &Options,
    bootable: Bootable,
    warnings: &mut Vec<String>,
) -> Result<BootOptions, ArgsError> {
    let mut boot = BootOptions::default();
    for pair in
        texts(&options.boot_options, "boot")?.into_iter().flat_map(|text| pairs(text, "order"))
    {
        if let "order" | "once" = &*pair.key {
            let order = boot_order(&pair, bootable, warnings)?;
            match &*pair.key {
                "once" => boot.once = Some(order),
                _ => boot.order = order,
            }
            continue;
        }
        let effective = boot_option(&mut boot, &pair)?;
        if effective && !bootable.firmware {
            return Err(needs_firmware(pair.shown("boot")));
        }
    }
    Ok(boot)
}

/// `order=` or `once=`. An order is refused if nothing in it can be booted; letters of devices that
/// are not there have no effect.
fn boot_order(
    pair: &Pair,
    bootable: Bootable,
    warnings: &mut Vec<String>,
) -> Result<BootOrder, ArgsError> {
    let shown = pair.shown("boot");
    let order = BootOrder::from_letters(pair.value("boot")?).map_err(|error| match error {
        BootOrderError::Letter(letter) => {
            ArgsError::bad(format!("{shown} ('{letter}')"), "the letters a, b, c, d or n")
        }
        BootOrderError::Twice(letter) => {
            ArgsError::bad(format!("{shown} ('{letter}')"), "each letter once")
        }
        BootOrderError::TooMany(_) => ArgsError::bad(&*shown, "at most three letters"),
    })?;
    let (mut absent, mut present) = (Vec::new(), Vec::new());
    let mut hint = "use -boot order=c to boot from a disk, or -cdrom FILE with -boot order=d";
    for class in order.classes() {
        match class {
            BootClass::Disk => present.push("'c', the disk"),
            BootClass::Cd if bootable.cd => present.push("'d', the CD"),
            BootClass::Floppy => absent.push("no floppy drive"),
            BootClass::Cd => absent.push("no CD drive"),
            BootClass::Network => match bootable.network {
                Ok(()) => present.push("'n', the network"),
                // No order has an effect then.
                Err(Absent::Pci) if !bootable.firmware => present.push("'n', the network"),
                Err(why) => {
                    absent.push(why.what());
                    hint = why.hint();
                }
            },
        }
    }
    let absent = absent.join(" and ");
    if present.is_empty() {
        let why = if absent.is_empty() {
            "no device is named".into()
        } else {
            format!("the guest has {absent}")
        };
        return Err(ArgsError::unsupported(shown, why, hint));
    }
    if !bootable.firmware {
        warnings.push(format!("{shown} has no effect: {NO_FIRMWARE}"));
    } else if !absent.is_empty() {
        let effect = if present.len() > 1 { "have an effect" } else { "has an effect" };
        let present = present.join(" and ");
        warnings.push(format!("{shown}: the guest has {absent}; only {present}, {effect}"));
    }
    Ok(order)
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
        "splash" => {
            let why = "chukka has no screen to show a picture on";
            Err(ArgsError::unsupported(shown(), why, "leave it out"))
        }
        _ => {
            let expected = "order=, once=, menu=, splash-time=, reboot-timeout= or strict=";
            Err(ArgsError::bad(shown(), expected))
        }
    }
}
