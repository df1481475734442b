//! Booting from the network: when the cards get a boot ROM, and on which machine.
//!
//! QEMU's cards always have a ROM. Here they have one if it is asked for, as the ROM costs seconds
//! at each boot: by `n` in `-boot order=` or `once=`, by `bootindex=` or `romfile=` of a card, or
//! because there is nothing else to boot.

use std::ffi::{OsStr, OsString};

use vmm::config::{BootClass, BootOptions, DEFAULT_NETWORK_ROM, MachineKind};

use super::boot;
use super::error::ArgsError;
use super::network;
use super::options::Options;
use super::pflash;
use super::value::{driver, pairs, raw, raw_pairs};
use crate::request::{BootRom, CardConfig};

/// The machine that runs these options without `-machine`: microvm, but for what only pc has. That
/// is a card's boot ROM, flash chips, a watchdog, and devices with PCI in their names.
pub(super) fn machine(options: &Options) -> MachineKind {
    let boots =
        !boot::has_kernel(&options.boot) && (is_asked_for(options) || is_all_there_is(options));
    let has_pci = !options.watchdogs.is_empty() || raw(&options.devices).any(is_on_pci);
    if boots || pflash::is_wanted(options) || has_pci {
        MachineKind::Pc
    } else {
        MachineKind::Microvm
    }
}

/// Whether this is a device of a machine with PCI.
fn is_on_pci(given: &[u8]) -> bool {
    driver(&raw_pairs(given, "driver"))
        .is_some_and(|name| name.ends_with(b"-pci") || name == b"i6300esb")
}

/// Whether the guest is to boot from the network. What is wrong with a value is reported where it
/// is read.
fn is_asked_for(options: &Options) -> bool {
    let orders = options.boot_options.iter().filter_map(|text| text.to_str());
    let mut orders = orders.flat_map(|text| pairs(text, "order"));
    let in_order = orders.any(|pair| {
        matches!(&*pair.key, "order" | "once") && pair.value.is_some_and(|it| it.contains('n'))
    });
    in_order
        || raw(&options.devices).any(|given| {
            let pairs = raw_pairs(given, "driver");
            let driver = driver(&pairs);
            network::DEVICES.iter().any(|name| driver == Some(name.as_bytes()))
                && pairs.iter().any(|pair| match pair.key.as_str() {
                    "bootindex" => pair.value.as_deref() != Some(b"-1"),
                    "romfile" => pair.value.as_ref().is_some_and(|value| !value.is_empty()),
                    _ => false,
                })
        })
}

/// Whether there are a card and nothing else to boot from.
fn is_all_there_is(options: &Options) -> bool {
    let is_some = |values: &[OsString]| values.iter().any(|value| value != OsStr::new("none"));
    let has_card =
        [&options.nics, &options.netdevs, &options.nets].into_iter().any(|it| is_some(it));
    has_card && options.drives.is_empty() && options.bios.is_none() && options.pflash.is_empty()
}

/// Why a guest with cards cannot boot from any of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Absent {
    Cards,
    Pci,
    Roms,
}

impl Absent {
    /// What the guest does not have.
    pub fn what(self) -> &'static str {
        match self {
            Self::Cards => "no network",
            Self::Pci => "no PCI, which booting from the network needs",
            Self::Roms => "no network card with a boot ROM",
        }
    }

    /// What the user can do about it.
    pub fn hint(self) -> &'static str {
        match self {
            Self::Cards => "add -nic user,tftp=DIR,bootfile=FILE to boot from the network",
            Self::Pci => "use -machine pc, or leave out -machine",
            Self::Roms => "leave out romfile= to use iPXE's ROM",
        }
    }
}

/// Whether the guest can boot from one of its cards.
pub(super) fn check(machine: MachineKind, cards: &[CardConfig]) -> Result<(), Absent> {
    if cards.is_empty() {
        Err(Absent::Cards)
    } else if machine == MachineKind::Microvm {
        Err(Absent::Pci)
    } else if cards.iter().all(|card| card.boot_rom == BootRom::None) {
        Err(Absent::Roms)
    } else {
        Ok(())
    }
}

/// The boot ROM that the cards of a guest with firmware get, if any. `nothing_else`: there is
/// neither a kernel nor a medium to boot.
///
/// # Errors
/// A card that cannot be booted from has a boot index, or two cards have different ROMs: SeaBIOS
/// gets one ROM for all of them.
pub(super) fn rom(
    cards: &[CardConfig],
    network: Result<(), Absent>,
    boot: &BootOptions,
    nothing_else: bool,
    warnings: &mut Vec<String>,
) -> Result<Option<OsString>, ArgsError> {
    let indexed = cards.iter().find_map(|card| Some((card.boot_index?, &card.boot_rom)));
    let mut files = cards.iter().filter_map(|card| match &card.boot_rom {
        BootRom::File(path) => Some(path),
        _ => None,
    });
    let file = files.next();
    let shown = match (indexed, file) {
        (Some((index, _)), _) => format!("-device bootindex={index}"),
        (None, Some(path)) => format!("-device romfile={}", path.display()),
        (None, None) => String::new(),
    };
    match network {
        Err(absent) if !shown.is_empty() => {
            let why = format!("the guest has {}", absent.what());
            return Err(ArgsError::unsupported(shown, why, absent.hint()));
        }
        Err(_) => return Ok(None),
        Ok(()) => {}
    }
    let mut orders = [Some(boot.order), boot.once].into_iter().flatten();
    let in_order = orders.any(|order| order.classes().any(|class| class == BootClass::Network));
    if !(in_order || nothing_else || !shown.is_empty()) {
        return Ok(None);
    }
    if let (Some(file), Some(other)) = (file, files.find(|other| Some(*other) != file)) {
        let given = format!("-device romfile={} and romfile={}", file.display(), other.display());
        let why = "all cards of a guest have the same boot ROM";
        return Err(ArgsError::unsupported(given, why, "use one ROM"));
    }
    if cards.iter().any(|card| card.boot_rom == BootRom::None) {
        warnings.push(
            "romfile= has no effect: the guest boots from the network, and the boot ROM is that of all \
             cards; bootindex= of a card selects it"
                .into(),
        );
    }
    Ok(Some(file.map_or(DEFAULT_NETWORK_ROM.into(), |path| path.clone().into_os_string())))
}
