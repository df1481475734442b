//! `-device virtio-serial`, `virtconsole` and `virtserialport`: consoles and ports of the guest, in
//! QEMU's spelling.

use devices::virtio::console::MOST_PORTS;
use vmm::config::{CharBackend, Chardev, MachineKind, VirtioPort, VirtioSerial};

use super::chardev::Chardevs;
use super::error::ArgsError;
use super::options::Options;
use super::refusals::Refusals;
use super::rng::check_machine;
use super::value::{RawPair, driver, id, raw, raw_pairs};

const ON_MICROVM: &str = "virtio-serial-device";
const ON_PC: &str = "virtio-serial-pci";
/// The names of the device that has ports: on microvm, on pc, and the machine's own.
const BUSES: [&str; 3] = [ON_MICROVM, ON_PC, "virtio-serial"];
const CONSOLE: &str = "virtconsole";
const PORT: &str = "virtserialport";

/// Whether a device is one of these.
pub(super) fn is_device(name: &str) -> bool {
    BUSES.contains(&name) || name == CONSOLE || name == PORT
}

/// A device, as it is put together.
struct Bus {
    /// What `bus=` calls it.
    name: String,
    /// `None`: as many as there are ports, as none can be added later.
    max_ports: Option<u32>,
    ports: Vec<VirtioPort>,
}

impl Bus {
    fn limit(&self) -> u32 {
        self.max_ports.unwrap_or(MOST_PORTS)
    }

    fn has(&self, number: u32) -> bool {
        self.ports.iter().any(|port| port.number == number)
    }
}

/// The devices with their ports, in the order of argv.
pub(super) fn devices(
    options: &Options,
    machine: MachineKind,
    chardevs: &mut Chardevs,
) -> Result<Vec<VirtioSerial>, ArgsError> {
    let all: Vec<_> = raw(&options.devices).map(|given| raw_pairs(given, "driver")).collect();
    let named = all.iter().filter_map(|pairs| {
        let name = driver(pairs).and_then(|name| std::str::from_utf8(name).ok())?;
        is_device(name).then_some((name, pairs))
    });
    let mut refusals = Refusals::default();
    let mut buses = Vec::new();
    for (name, pairs) in named.clone().filter(|(name, _)| BUSES.contains(name)) {
        let checked = check_machine(name, [ON_MICROVM, ON_PC], "virtio-serial", machine);
        refusals.value(checked);
        let bus = bus(name, pairs, buses.len()).unwrap_or_else(|error| {
            refusals.add(error);
            // A port that names it is not wrong.
            Bus { name: bus_name(id(pairs), buses.len()), max_ports: None, ports: Vec::new() }
        });
        buses.push(bus);
    }
    for (name, pairs) in named.filter(|(name, _)| !BUSES.contains(name)) {
        refusals.value(port(name, pairs, &mut buses, chardevs));
    }
    let devices = buses.into_iter().map(|mut bus| {
        bus.ports.sort_by_key(|port| port.number);
        let used = bus.ports.last().map_or(1, |port| port.number + 1);
        VirtioSerial { max_ports: bus.max_ports.unwrap_or(used), ports: bus.ports }
    });
    refusals.finish(devices.collect())
}

/// What `bus=` calls a device: QEMU's `qbus_init` (hw/core/bus.c).
fn bus_name(id: Option<String>, index: usize) -> String {
    id.map_or_else(|| format!("virtio-serial-bus.{index}"), |id| format!("{id}.0"))
}

/// `virtio-serial[,id=ID][,max_ports=N]`.
fn bus(name: &str, pairs: &[RawPair], index: usize) -> Result<Bus, ArgsError> {
    let option = "device";
    let (mut id, mut max_ports) = (None, None);
    for raw in pairs {
        let pair = raw.text(option)?;
        match pair.key.as_str() {
            "driver" => {}
            "id" => id = Some(pair.value(option)?.to_owned()),
            "max_ports" => {
                let number = pair.value(option)?.parse().ok();
                let number = number.filter(|number| (1..=MOST_PORTS).contains(number));
                let expected = format!("1 to {MOST_PORTS}");
                max_ports =
                    Some(number.ok_or_else(|| ArgsError::bad(pair.shown(option), expected))?);
            }
            _ => {
                let expected = format!("{name},id=ID,max_ports=N");
                return Err(ArgsError::bad(pair.shown(option), expected));
            }
        }
    }
    Ok(Bus { name: bus_name(id, index), max_ports, ports: Vec::new() })
}

/// `virtconsole` or `virtserialport`, with `chardev=ID`, `name=NAME`, `nr=N` and `bus=ID.0`.
fn port(
    device: &str,
    pairs: &[RawPair],
    buses: &mut [Bus],
    chardevs: &mut Chardevs,
) -> Result<(), ArgsError> {
    let option = "device";
    let is_console = device == CONSOLE;
    let (mut number, mut wanted_bus, mut name) = (None, None, String::new());
    let mut chardev: Chardev = CharBackend::Null.into();
    for raw in pairs {
        let pair = raw.text(option)?;
        match pair.key.as_str() {
            "driver" | "id" => {}
            "name" => pair.value(option)?.clone_into(&mut name),
            "bus" => wanted_bus = Some(pair.clone()),
            "nr" => {
                let parsed = pair.value(option)?.parse::<u32>().ok();
                let bad = || ArgsError::bad(pair.shown(option), "a port number");
                number = Some(parsed.ok_or_else(bad)?);
            }
            "chardev" => {
                let example = "-chardev socket,id=c,path=PATH,server=on,wait=off \
                               -device virtio-serial -device virtserialport,chardev=c";
                let given = format!("-device {device},chardev={}", pair.value(option)?);
                chardev = chardevs.take(pair.value(option)?, given, example)?;
            }
            _ => {
                let expected = format!("{device},chardev=ID,name=NAME,nr=N,bus=ID.0");
                return Err(ArgsError::bad(pair.shown(option), expected));
            }
        }
    }
    let bus = match &wanted_bus {
        None => buses.first_mut().ok_or_else(|| {
            let why = "there is no virtio-serial device for it";
            let hint = "add -device virtio-serial";
            ArgsError::unsupported(format!("-device {device}"), why, hint)
        })?,
        Some(pair) => {
            let bus = buses.iter_mut().find(|bus| Some(&bus.name) == pair.value.as_ref());
            let bad = || {
                ArgsError::bad(pair.shown(option), "ID.0 of a -device virtio-serial,id=ID")
                    .with_hint("for example: -device virtio-serial,id=ser0, and here bus=ser0.0")
            };
            bus.ok_or_else(bad)?
        }
    };
    let number = free_number(device, number, bus)?;
    bus.ports.push(VirtioPort { number, is_console, name, chardev });
    Ok(())
}

/// The number that the user wants, or the first free one. Number 0 is for a console, as drivers
/// that know only one port expect (`virtser_port_device_plug`, hw/char/virtio-serial-bus.c).
fn free_number(device: &str, wanted: Option<u32>, bus: &Bus) -> Result<u32, ArgsError> {
    let is_console = device == CONSOLE;
    let shown = |number: u32| format!("-device {device},nr={number}");
    match wanted {
        Some(0) if !is_console => {
            let why = "port 0 is for a console";
            Err(ArgsError::unsupported(shown(0), why, "use nr=1, or leave nr out"))
        }
        Some(number) if number >= bus.limit() => {
            let expected = format!("a number below {}, the device's max_ports", bus.limit());
            Err(ArgsError::bad(shown(number), expected))
        }
        Some(number) if bus.has(number) => {
            let expected = "a number that no other port has";
            Err(ArgsError::bad(shown(number), expected))
        }
        Some(number) => Ok(number),
        None if is_console && !bus.has(0) => Ok(0),
        None => (1..bus.limit()).find(|number| !bus.has(*number)).ok_or_else(|| {
            let why = "the device has no free port";
            let hint = "add a second -device virtio-serial,id=ID, and use bus=ID.0";
            ArgsError::unsupported(format!("-device {device}"), why, hint)
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::super::refusals::Refusals;
    use super::*;

    fn parse(devices_: &[&str], machine: MachineKind) -> Result<Vec<VirtioSerial>, ArgsError> {
        let words = |values: &[&str]| values.iter().map(Into::into).collect();
        let options = Options {
            devices: words(devices_),
            chardevs: words(&["null,id=a", "stdio,id=b"]),
            ..Options::default()
        };
        let mut chardevs = Chardevs::read(&options, &mut Refusals::default());
        devices(&options, machine, &mut chardevs)
    }

    /// A port: number, whether it is a console, and the name.
    type Port = (u32, bool, String);

    /// The number of places of each device, and its ports.
    fn ports(devices: &[&str]) -> Vec<(u32, Vec<Port>)> {
        let found = parse(devices, MachineKind::Pc).expect("it is right");
        let ports = |device: VirtioSerial| {
            let ports = device.ports.into_iter();
            let ports = ports.map(|port| (port.number, port.is_console, port.name)).collect();
            (device.max_ports, ports)
        };
        found.into_iter().map(ports).collect()
    }

    #[test]
    fn ports_are_numbered_as_in_qemu() {
        let none = String::new();
        assert_eq!(ports(&["virtio-serial"]), [(1, vec![])]);
        // libvirt's and LAVA's spelling.
        let found = ports(&[
            "virtio-serial-pci,id=virtio-serial0,max_ports=16",
            "virtserialport,bus=virtio-serial0.0,nr=2,chardev=a,id=channel0,name=org.qemu.guest_agent.0",
            "virtconsole,chardev=b,id=console0",
            "virtserialport",
            "virtconsole",
        ]);
        let expected = vec![
            (0, true, none.clone()),
            (1, false, none.clone()),
            (2, false, "org.qemu.guest_agent.0".into()),
            (3, true, none.clone()),
        ];
        assert_eq!(found, [(16, expected)]);
        let found =
            ports(&["virtconsole,bus=virtio-serial-bus.1", "virtio-serial,id=x", "virtio-serial"]);
        assert_eq!(found, [(1, vec![]), (1, vec![(0, true, none)])]);
    }

    #[test]
    fn invalid_ports_are_refused() {
        for devices in [
            &["virtconsole"][..],
            &["virtio-serial", "virtserialport,nr=0"],
            &["virtio-serial", "virtconsole,nr=31"],
            &["virtio-serial,max_ports=1", "virtserialport"],
            &["virtio-serial,max_ports=0"],
            &["virtio-serial,max_ports=32"],
            &["virtio-serial,vectors=4"],
            &["virtio-serial", "virtconsole,nr=1", "virtserialport,nr=1"],
            &["virtio-serial", "virtconsole,bus=x.0"],
            &["virtio-serial", "virtconsole,chardev=c"],
            &["virtio-serial", "virtconsole,chardev=a", "virtconsole,chardev=a"],
            &["virtio-serial", "virtconsole,foo=1"],
            &["virtio-serial-device"],
        ] {
            assert!(parse(devices, MachineKind::Pc).is_err(), "{devices:?}");
        }
        assert!(parse(&["virtio-serial-pci"], MachineKind::Microvm).is_err());
    }
}
