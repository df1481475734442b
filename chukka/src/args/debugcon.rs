//! `-debugcon`, `-device`, `-global`: the debug console in QEMU's three spellings, and
//! the other devices that are there to be asked for.

use super::ahci;
use super::cdrom;
use super::chardev::{self, Chardevs};
use super::console;
use super::debug_exit::debug_exit;
use super::drive;
use super::error::ArgsError;
use super::network;
use super::options::Options;
use super::refusals::{Refusals, in_every_case};
use super::rng;
use super::value::{RawPair, integer, raw, raw_pairs, texts};
use super::virtio_serial;
use vmm::config::{DEBUGCON_PORT, DebugExit, Debugcon, LostTicks, MachineKind};

/// The devices of `-device`.
pub(super) const DEVICES: &str = "virtio-blk, virtio-scsi, scsi-cd, ahci, ide-hd, ide-cd, \
    virtio-net, virtio-rng, virtio-serial, virtconsole, virtserialport, isa-serial, isa-debugcon, \
    isa-debug-exit, pc-testdev, pvpanic, i6300esb and vmcoreinfo";

/// What `-device` and its relatives ask for.
#[derive(Debug, Default)]
pub(super) struct Devices {
    pub debugcon: Option<Debugcon>,
    pub debug_exit: Option<DebugExit>,
    pub vmcoreinfo: bool,
    pub pc_testdev: bool,
    pub pvpanic: bool,
    pub watchdog: bool,
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

/// Reads them all, as one may refer to another that comes later; `kinds`: the machine, or all that
/// it may be.
pub(super) fn devices(
    options: &Options,
    kinds: &[MachineKind],
    chardevs: &mut Chardevs,
    warnings: &mut Vec<String>,
) -> Result<Devices, ArgsError> {
    let mut refusals = Refusals::default();
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
    for given in &options.debugcon {
        if let Some(out) = refusals.value(chardevs.short("debugcon", given, chardev::EXPECTED)) {
            let port = port.unwrap_or(DEBUGCON_PORT);
            refusals.value(devices.add_debugcon(Debugcon { port, out }));
        }
    }
    for given in raw(&options.devices) {
        let port = port.unwrap_or(DEBUGCON_PORT);
        refusals.value(device(&mut devices, given, port, chardevs));
    }
    refusals.value(watchdogs(options, &mut devices.watchdog));
    refusals.value(in_every_case(kinds, |kind| check_watchdog(&devices, *kind)));
    if port.is_some() && devices.debugcon.is_none() {
        warnings.push(
            "-global isa-debugcon has no effect: there is no debug console; -debugcon stdio adds one"
                .into(),
        );
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
    chardevs: &mut Chardevs,
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
        Some("i6300esb") => plain_device("i6300esb", &mut devices.watchdog, &pairs),
        Some("ib700") => Err(other_watchdog("-device ib700".into())),
        Some("pvpanic-pci") => {
            let why = "chukka has the ISA variant only";
            let hint = "use -device pvpanic; Linux's pvpanic driver knows both";
            Err(ArgsError::unsupported("-device pvpanic-pci", why, hint))
        }
        // Read with the drives and networks they attach.
        Some(name) if drive::DEVICES.contains(&name) || cdrom::is_device(name) => Ok(()),
        Some(console::ISA_SERIAL) => Ok(()),
        Some(name) if ahci::is_device(name) || virtio_serial::is_device(name) => Ok(()),
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

/// `-watchdog`, the old form of `-device`.
fn watchdogs(options: &Options, present: &mut bool) -> Result<(), ArgsError> {
    for given in texts(&options.watchdogs, "watchdog")? {
        match given {
            "i6300esb" => plain_device("i6300esb", present, &[])?,
            _ => return Err(other_watchdog(format!("-watchdog {given}"))),
        }
    }
    Ok(())
}

fn other_watchdog(given: String) -> ArgsError {
    ArgsError::unsupported(given, "chukka has one watchdog, i6300esb", "use -device i6300esb")
}

/// Refuses a watchdog on a machine without PCI.
fn check_watchdog(devices: &Devices, machine: MachineKind) -> Result<(), ArgsError> {
    match machine {
        MachineKind::Microvm if devices.watchdog => Err(ArgsError::unsupported(
            "-device i6300esb",
            "microvm has no PCI",
            "use -machine pc, or leave out -machine",
        )),
        _ => Ok(()),
    }
}

/// A device that can be there once only.
fn twice(name: &str) -> ArgsError {
    ArgsError::bad(format!("-device {name}, given twice"), "one of them").with_hint("leave one out")
}

fn isa_debugcon<'a>(
    properties: impl Iterator<Item = &'a RawPair>,
    mut port: u16,
    chardevs: &mut Chardevs,
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
    let example = "-chardev file,id=log,path=log -device isa-debugcon,chardev=log";
    let Some(id) = chardev else {
        return Err(ArgsError::bad("-device isa-debugcon", "chardev=ID, where its output goes")
            .with_hint(format!("for example: {example}")));
    };
    let given = format!("-device isa-debugcon,chardev={id}");
    Ok(Debugcon { port, out: chardevs.take(&id, given, example)? })
}
