//! `-debugcon`, `-chardev`, `-device`, `-global`: the debug console in QEMU's three spellings, and
//! the other devices that are there to be asked for.

use super::ahci;
use super::cdrom;
use super::debug_exit::debug_exit;
use super::drive;
use super::error::ArgsError;
use super::network;
use super::options::Options;
use super::refusals::Refusals;
use super::rng;
use super::value::{Pair, RawPair, id, integer, raw, raw_pairs};
use vmm::config::{DEBUGCON_PORT, DebugExit, Debugcon, LostTicks, SerialBackend};

/// The devices of `-device`.
pub(super) const DEVICES: &str = "virtio-blk, virtio-scsi, scsi-cd, ahci, ide-hd, ide-cd, virtio-net, virtio-rng, isa-debugcon, isa-debug-exit, pc-testdev, pvpanic and vmcoreinfo";

/// What `-device` and its relatives ask for.
#[derive(Debug, Default)]
pub(super) struct Devices {
    pub debugcon: Option<Debugcon>,
    pub debug_exit: Option<DebugExit>,
    pub vmcoreinfo: bool,
    pub pc_testdev: bool,
    pub pvpanic: bool,
    pub lost_ticks: LostTicks,
}

/// What a `-global` sets.
enum Global {
    /// The port of the debug console.
    DebugconPort(u16),
    LostTicks(LostTicks),
    /// What is the case anyway.
    Nothing,
}

/// A `-chardev`.
struct Chardev {
    id: String,
    out: SerialBackend,
}

/// Reads them all, as one may refer to another that comes later.
pub(super) fn devices(options: &Options, warnings: &mut Vec<String>) -> Result<Devices, ArgsError> {
    let mut chardevs: Vec<Chardev> = Vec::new();
    let mut refusals = Refusals::default();
    for given in raw(&options.chardevs) {
        match chardev(given) {
            Ok(chardev) if chardevs.iter().any(|earlier| earlier.id == chardev.id) => refusals.add(
                ArgsError::bad(format!("-chardev id={}", chardev.id), "each id once")
                    .with_hint("give each -chardev an id of its own"),
            ),
            Ok(chardev) => chardevs.push(chardev),
            Err(error) => {
                refusals.add(error);
                // A device that names it is not wrong.
                let id = id(&raw_pairs(given, "backend")).unwrap_or_default();
                chardevs.push(Chardev { id, out: SerialBackend::Null });
            }
        }
    }
    let mut devices = Devices::default();
    let mut port = None;
    for given in raw(&options.global) {
        match global(given) {
            Ok(Global::DebugconPort(given)) => port = Some(given),
            Ok(Global::LostTicks(policy)) => devices.lost_ticks = policy,
            Ok(Global::Nothing) => {}
            Err(error) => refusals.add(error),
        }
    }
    for given in raw(&options.debugcon) {
        if let Some(out) = refusals.value(debugcon(given)) {
            let port = port.unwrap_or(DEBUGCON_PORT);
            refusals.value(devices.add_debugcon(Debugcon { port, out }));
        }
    }
    for given in raw(&options.devices) {
        let port = port.unwrap_or(DEBUGCON_PORT);
        refusals.value(device(&mut devices, given, port, &mut chardevs));
    }
    if port.is_some() && devices.debugcon.is_none() {
        warnings.push(
            "-global isa-debugcon has no effect: there is no debug console; -debugcon stdio adds one"
                .into(),
        );
    }
    for chardev in chardevs {
        warnings.push(format!("-chardev id={}: no device uses it", chardev.id));
    }
    refusals.finish(devices)
}

impl Devices {
    fn add_debugcon(&mut self, debugcon: Debugcon) -> Result<(), ArgsError> {
        if self.debugcon.is_some() {
            let given = "-debugcon or -device isa-debugcon, more than once";
            let why = "chukka has one debug console";
            return Err(ArgsError::unsupported(given, why, "use only one of them"));
        }
        self.debugcon = Some(debugcon);
        Ok(())
    }
}

/// `-debugcon DEV`: where its output goes.
fn debugcon(given: &[u8]) -> Result<Option<SerialBackend>, ArgsError> {
    match given {
        b"none" => Ok(None),
        b"null" => Ok(Some(SerialBackend::Null)),
        b"stdio" => Ok(Some(SerialBackend::Stdio)),
        [b'f', b'i', b'l', b'e', b':', path @ ..] if !path.is_empty() => {
            let path = RawPair { key: String::new(), value: Some(path.to_vec()) };
            Ok(Some(SerialBackend::File(path.path("debugcon")?)))
        }
        _ => {
            let given = format!("-debugcon {}", String::from_utf8_lossy(given));
            Err(ArgsError::bad(given, "stdio, file:PATH, null or none"))
        }
    }
}

/// `-chardev BACKEND,id=ID[,…]`.
fn chardev(given: &[u8]) -> Result<Chardev, ArgsError> {
    let option = "chardev";
    let shown = || format!("-chardev {}", String::from_utf8_lossy(given));
    let (mut backend, mut id, mut path) = (String::new(), None, None);
    for pair in raw_pairs(given, "backend") {
        let unsupported = |why, hint| Err(ArgsError::unsupported(pair.shown(option), why, hint));
        match (pair.key.as_str(), pair.bytes(option)?) {
            ("backend", _) => pair.text(option)?.value(option)?.clone_into(&mut backend),
            ("id", _) => id = Some(identifier(&pair.text(option)?)?),
            ("path", _) => path = Some(pair.path(option)?),
            ("signal", _) => drop(pair.text(option)?.switch(option)?),
            ("mux" | "append", _) if !pair.text(option)?.switch(option)? => {}
            ("append", _) => {
                return unsupported(
                    "chukka always truncates the file",
                    "use append=off and a new file",
                );
            }
            ("mux", _) => {
                return unsupported(
                    "chukka's monitors do not share the terminal",
                    "leave mux=on out",
                );
            }
            _ => {
                let expected = "stdio,id=ID, file,id=ID,path=PATH or null,id=ID";
                return Err(ArgsError::bad(pair.shown(option), expected));
            }
        }
    }
    let missing = |what| Err(ArgsError::bad(shown(), what));
    let out = match (backend.as_str(), path) {
        ("stdio", _) => SerialBackend::Stdio,
        ("null", _) => SerialBackend::Null,
        ("file", Some(path)) => SerialBackend::File(path),
        ("file", None) => return missing("the file's name: file,id=ID,path=PATH"),
        _ => {
            return Err(ArgsError::bad(shown(), "stdio, file or null").with_hint(
                "chukka's debug console only writes: to a file, for example, file,id=ID,path=PATH",
            ));
        }
    };
    match id {
        Some(id) => Ok(Chardev { id, out }),
        None => missing("an id for devices to name it by: id=ID"),
    }
}

/// QEMU's `id_wellformed` (util/id.c).
fn identifier(pair: &Pair) -> Result<String, ArgsError> {
    let id = pair.value("chardev")?;
    let letter = |letter: char| letter.is_ascii_alphanumeric() || "-._".contains(letter);
    if id.starts_with(|first: char| first.is_ascii_alphabetic()) && id.chars().all(letter) {
        return Ok(id.to_owned());
    }
    let expected = "a letter, and letters, digits, '-', '.' or '_' after it";
    Err(ArgsError::bad(pair.shown("chardev"), expected))
}

/// `-global DRIVER.PROPERTY=VALUE`, or `driver=DRIVER,property=PROPERTY,value=VALUE`.
fn global(given: &[u8]) -> Result<Global, ArgsError> {
    let shown = format!("-global {}", String::from_utf8_lossy(given));
    let text = String::from_utf8_lossy(given);
    let short = text.split_once('=').and_then(|(name, value)| {
        let (driver, property) = name.split_once('.')?;
        Some((driver.to_owned(), property.to_owned(), value.to_owned()))
    });
    let (driver, property, value) = match short {
        Some(short) => short,
        None => {
            let [mut driver, mut property, mut value] = [const { None }; 3];
            for pair in raw_pairs(given, "") {
                let place = match pair.key.as_str() {
                    "driver" => &mut driver,
                    "property" => &mut property,
                    "value" => &mut value,
                    _ => return Err(ArgsError::bad(shown, "DRIVER.PROPERTY=VALUE")),
                };
                *place = Some(pair.text("global")?.value("global")?.to_owned());
            }
            let (Some(driver), Some(property), Some(value)) = (driver, property, value) else {
                return Err(ArgsError::bad(shown, "DRIVER.PROPERTY=VALUE"));
            };
            (driver, property, value)
        }
    };
    match (driver.as_str(), property.as_str()) {
        ("isa-debugcon", "iobase") => port(shown, &value).map(Global::DebugconPort),
        ("isa-debugcon", "readback") => readback(shown, &value).map(|()| Global::Nothing),
        ("kvm-pit", "lost_tick_policy") => match value.as_str() {
            "delay" => Ok(Global::LostTicks(LostTicks::Delay)),
            "discard" => Ok(Global::LostTicks(LostTicks::Discard)),
            _ => Err(ArgsError::bad(shown, "delay (default) or discard")),
        },
        _ => {
            let why = "chukka does not have this property";
            let hint = "it has isa-debugcon.iobase=PORT and kvm-pit.lost_tick_policy=delay|discard";
            Err(ArgsError::unsupported(shown, why, hint))
        }
    }
}

fn port(shown: String, value: &str) -> Result<u16, ArgsError> {
    integer(value).and_then(|port| u16::try_from(port).ok()).ok_or_else(|| {
        ArgsError::bad(shown, "an I/O port, 0 to 0xffff").with_hint("SeaBIOS's log goes to 0x402")
    })
}

/// What a guest finds when it looks whether there is a debug console.
fn readback(shown: String, value: &str) -> Result<(), ArgsError> {
    if integer(value) == Some(0xe9) {
        return Ok(());
    }
    let why = "chukka's debug console always reads back 0xe9";
    Err(ArgsError::unsupported(shown, why, "leave readback out"))
}

/// `-device [driver=]NAME[,…]`.
fn device(
    devices: &mut Devices,
    given: &[u8],
    default_port: u16,
    chardevs: &mut Vec<Chardev>,
) -> Result<(), ArgsError> {
    let pairs = raw_pairs(given, "driver");
    let driver = pairs.iter().rev().find(|pair| pair.key == "driver");
    let driver = driver.map(|pair| pair.text("device")).transpose()?;
    let properties = pairs.iter().filter(|pair| !matches!(pair.key.as_str(), "driver" | "id"));
    match driver.as_ref().and_then(|pair| pair.value.as_deref()) {
        Some("isa-debugcon") => {
            let debugcon = isa_debugcon(properties, default_port, chardevs)?;
            devices.add_debugcon(debugcon)
        }
        Some("isa-debug-exit") => {
            let wanted = debug_exit(properties)?;
            match devices.debug_exit.replace(wanted) {
                Some(_) => Err(twice("isa-debug-exit")),
                None => Ok(()),
            }
        }
        Some("vmcoreinfo") => plain_device("vmcoreinfo", &mut devices.vmcoreinfo, &pairs),
        Some("pc-testdev") => plain_device("pc-testdev", &mut devices.pc_testdev, &pairs),
        Some("pvpanic") => plain_device("pvpanic", &mut devices.pvpanic, &pairs),
        Some("pvpanic-pci") => {
            let why = "chukka has the ISA variant only";
            let hint = "use -device pvpanic; Linux's pvpanic driver knows both";
            Err(ArgsError::unsupported("-device pvpanic-pci", why, hint))
        }
        // Read with the drives and networks they attach.
        Some(name) if drive::DEVICES.contains(&name) || cdrom::is_device(name) => Ok(()),
        Some(name) if ahci::is_device(name) => Ok(()),
        Some(name) if network::DEVICES.contains(&name) || rng::DEVICES.contains(&name) => Ok(()),
        Some(name) if network::OTHER_CARDS.contains(&name) => {
            let hint = "use -device virtio-net,netdev=ID";
            let why = "chukka has virtio network cards only";
            Err(ArgsError::unsupported(format!("-device {name}"), why, hint))
        }
        Some(
            name @ ("ide-drive" | "scsi-hd" | "scsi-disk" | "nvme" | "lsi" | "megasas"
            | "usb-storage"),
        ) => {
            let hint = "use -device virtio-blk,drive=ID; the guest sees the disk as /dev/vda";
            let why = "chukka has virtio and SATA disks only";
            Err(ArgsError::unsupported(format!("-device {name}"), why, hint))
        }
        Some(name @ ("floppy" | "isa-fdc")) => {
            let why = "chukka has no floppy drive";
            Err(ArgsError::unsupported(format!("-device {name}"), why, "leave it out"))
        }
        name => {
            let name = name.unwrap_or_default();
            let why = "chukka does not have this device";
            let hint = format!("chukka's devices are {DEVICES}");
            Err(ArgsError::unsupported(format!("-device {name}"), why, hint))
        }
    }
}

/// A device without properties that can be there once.
fn plain_device(
    name: &'static str,
    present: &mut bool,
    pairs: &[RawPair],
) -> Result<(), ArgsError> {
    if let Some(pair) = pairs.iter().find(|pair| !matches!(&*pair.key, "driver" | "id")) {
        return Err(ArgsError::bad(pair.shown("device"), format!("{name} alone")));
    }
    if std::mem::replace(present, true) { Err(twice(name)) } else { Ok(()) }
}

/// A device that can be there once only.
fn twice(name: &str) -> ArgsError {
    ArgsError::bad(format!("-device {name}, given twice"), "one of them").with_hint("leave one out")
}

fn isa_debugcon<'a>(
    properties: impl Iterator<Item = &'a RawPair>,
    mut port: u16,
    chardevs: &mut Vec<Chardev>,
) -> Result<Debugcon, ArgsError> {
    let mut chardev = None;
    for pair in properties {
        let text = pair.text("device")?;
        let value = text.value("device")?;
        match pair.key.as_str() {
            "iobase" => port = self::port(pair.shown("device"), value)?,
            "readback" => readback(pair.shown("device"), value)?,
            "chardev" => chardev = Some(value.to_owned()),
            _ => {
                let expected = "isa-debugcon,iobase=PORT,chardev=ID";
                return Err(ArgsError::bad(pair.shown("device"), expected));
            }
        }
    }
    let example = "for example: -chardev file,id=log,path=log -device isa-debugcon,chardev=log";
    let Some(id) = chardev else {
        return Err(ArgsError::bad("-device isa-debugcon", "chardev=ID, where its output goes")
            .with_hint(example));
    };
    // Removed: a second device cannot have it, and what remains is reported as unused.
    let Some(at) = chardevs.iter().position(|chardev| chardev.id == id) else {
        let given = format!("-device isa-debugcon,chardev={id}");
        return Err(ArgsError::bad(given, "the id of a -chardev that no other device has")
            .with_hint(example));
    };
    Ok(Debugcon { port, out: chardevs.swap_remove(at).out })
}
