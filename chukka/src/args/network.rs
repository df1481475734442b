//! `-nic`, `-netdev` with `-device virtio-net`, and `-net`: the guest's network cards, in QEMU's
//! spelling.

use devices::virtio::net::OPTIONAL;
use vmm::config::MachineKind;

use super::error::ArgsError;
use super::firmware;
use super::options::Options;
use super::refusals::Refusals;
use super::rng;
use super::user_network;
use super::value::{Pair, RawPair, driver, id, raw, raw_pairs};
use super::wire;
use crate::request::{BootRom, CardConfig, DumpConfig, NetworkConfig};

/// The names of the network card: on microvm, on pc, and the machine's own.
pub(super) const DEVICES: [&str; 3] = [ON_MICROVM, ON_PC, "virtio-net"];
const ON_MICROVM: &str = "virtio-net-device";
const ON_PC: &str = "virtio-net-pci";

/// Cards that QEMU has and chukka does not.
pub(super) const OTHER_CARDS: [&str; 12] = [
    "e1000", "e1000e", "rtl8139", "ne2k_pci", "ne2k_isa", "pcnet", "i82551", "i82557b", "i82559er",
    "vmxnet3", "tulip", "igb",
];
const EXAMPLE: &str = "for example: -nic user,hostfwd=tcp:127.0.0.1:2222-:22";
const PAIR_EXAMPLE: &str = "for example: -netdev user,id=n0 -device virtio-net,netdev=n0";

/// The first address that a card gets; the next ones count up, as in QEMU
/// (`qemu_macaddr_default_if_unset`, net/net.c).
const FIRST_MAC: [u8; 6] = [0x52, 0x54, 0x00, 0x12, 0x34, 0x56];

/// A network with the id by which a card names it.
struct Netdev {
    id: String,
    network: NetworkConfig,
}

/// A card that may not have an address yet.
struct Card {
    /// The id of its network.
    id: Option<String>,
    mac: Option<[u8; 6]>,
    network: NetworkConfig,
    /// The features that the card does not offer, as a mask.
    withheld: u64,
    dump: Option<DumpConfig>,
    boot_index: Option<u32>,
    boot_rom: BootRom,
}

impl Card {
    fn new(id: Option<String>, mac: Option<[u8; 6]>, network: NetworkConfig) -> Self {
        Self {
            id,
            mac,
            network,
            withheld: 0,
            dump: None,
            boot_index: None,
            boot_rom: BootRom::Usual,
        }
    }
}

/// Reads all cards, in the order in which the guest finds them: those of `-nic` and `-net` first,
/// as in QEMU.
///
/// # Errors
/// A value that is wrong or that chukka cannot do; a network without a card, or a card without a
/// network.
pub(super) fn cards(options: &Options, machine: MachineKind) -> Result<Vec<CardConfig>, ArgsError> {
    let mut refusals = Refusals::default();
    let mut cards = Vec::new();
    for given in raw(&options.nics) {
        cards.extend(refusals.value(nic(given, machine)));
    }
    cards.extend(refusals.value(old_cards(options, machine)));
    let mut netdevs: Vec<Netdev> = Vec::new();
    for given in raw(&options.netdevs) {
        match netdev(given) {
            Ok(netdev) if netdevs.iter().any(|other| other.id == netdev.id) => refusals.add(
                ArgsError::bad(format!("-netdev id={}", netdev.id), "each id once")
                    .with_hint("give each -netdev an id of its own"),
            ),
            Ok(netdev) => netdevs.push(netdev),
            Err(error) => {
                refusals.add(error);
                // A device that names it is not wrong.
                let id = id(&raw_pairs(given, "type")).unwrap_or_default();
                netdevs.push(Netdev { id, network: NetworkConfig::stand_in() });
            }
        }
    }
    for given in raw(&options.devices) {
        cards.extend(refusals.value(device(given, machine, &mut netdevs)));
    }
    if !refusals.is_empty() {
        return refusals.finish(Vec::new());
    }
    if let Some(Netdev { id, .. }) = netdevs.first() {
        let hint = format!("add -device virtio-net,netdev={id}, or use -nic instead of -netdev");
        return Err(ArgsError::unsupported(format!("-netdev id={id}"), "no device uses it", hint));
    }
    for given in raw(&options.objects).filter(|given| !rng::is_object(given)) {
        record(given, &mut cards)?;
    }
    with_addresses(cards)
}

/// Records the frames of the card that `-object filter-dump` names by its network.
fn record(given: &[u8], cards: &mut [Card]) -> Result<(), ArgsError> {
    let (netdev, dump) = wire::filter_dump(given)?;
    let shown = format!("-object filter-dump,netdev={netdev}");
    let Some(card) = cards.iter_mut().find(|card| card.id.as_ref() == Some(&netdev)) else {
        let error = ArgsError::bad(shown, "the id of a -netdev or -nic");
        return Err(error.with_hint(wire::DUMP_EXAMPLE));
    };
    if card.dump.replace(dump).is_some() {
        let why = "chukka records the frames of a network once";
        return Err(ArgsError::unsupported(shown, why, "leave all but one out"));
    }
    Ok(())
}

/// Gives each card an address that no other one has.
fn with_addresses(cards: Vec<Card>) -> Result<Vec<CardConfig>, ArgsError> {
    let mut taken: Vec<_> = cards.iter().filter_map(|card| card.mac).collect();
    for (index, mac) in taken.iter().enumerate() {
        if taken[..index].contains(mac) {
            let given = format!("mac={}, given twice", shown_mac(*mac));
            return Err(ArgsError::bad(given, "each address once"));
        }
    }
    let mut free = (FIRST_MAC[5]..=u8::MAX).map(|last| {
        let mut mac = FIRST_MAC;
        mac[5] = last;
        mac
    });
    let mut finished = Vec::new();
    for card in cards {
        let mac = card.mac.or_else(|| free.find(|mac| !taken.contains(mac)));
        // There are fewer places for cards than addresses.
        let mac = mac.unwrap_or(FIRST_MAC);
        taken.push(mac);
        let Card { network, withheld, dump, boot_index, boot_rom, .. } = card;
        finished.push(CardConfig { mac, network, withheld, dump, boot_index, boot_rom });
    }
    Ok(finished)
}

/// An Ethernet address, as options spell it.
pub(crate) fn shown_mac(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

/// `-nic TYPE[,model=virtio][,mac=MAC][,…]`; `none`: no card.
fn nic(given: &[u8], machine: MachineKind) -> Result<Option<Card>, ArgsError> {
    let option = "nic";
    let (mut mac, mut id) = (None, None);
    let mut rest = Vec::new();
    for pair in raw_pairs(given, "type") {
        match pair.key.as_str() {
            "model" => check_model(&pair.text(option)?, option, machine)?,
            "mac" => mac = Some(self::mac(&pair.text(option)?, option)?),
            "id" => id = Some(pair.text(option)?.value(option)?.to_owned()),
            "vlan" | "netdev" => return Err(ArgsError::bad(pair.shown(option), EXPECTED_NIC)),
            _ => rest.push(pair),
        }
    }
    if kind(&rest, option)? == "none" {
        return Ok(None);
    }
    Ok(Some(Card::new(id, mac, network(&rest, option)?)))
}

const EXPECTED_NIC: &str = "user, with model=virtio and mac=MAC where wanted, or none";

/// `-net nic -net user`, as old scripts write it. QEMU connects everything that is given like this;
/// here there can be one card and one network.
fn old_cards(options: &Options, machine: MachineKind) -> Result<Option<Card>, ArgsError> {
    let option = "net";
    let (mut card, mut other_end) = (None, None);
    for given in raw(&options.nets) {
        let pairs = raw_pairs(given, "type");
        let shown = || format!("-net {}", String::from_utf8_lossy(given));
        let place = match kind(&pairs, option)?.as_str() {
            "none" => continue,
            "nic" => {
                let mac = old_nic(&pairs, machine)?;
                if card.replace(mac).is_some() {
                    let why = "chukka connects one card by -net";
                    return Err(ArgsError::unsupported(shown(), why, SEVERAL));
                }
                continue;
            }
            _ => network(&pairs, option)?,
        };
        if other_end.replace(place).is_some() {
            let why = "chukka connects one network by -net";
            return Err(ArgsError::unsupported(shown(), why, SEVERAL));
        }
    }
    match (card, other_end) {
        (None, None) => Ok(None),
        (Some(mac), Some(network)) => Ok(Some(Card::new(None, mac, network))),
        (Some(_), None) => {
            let why = "the card is not connected to a network";
            Err(ArgsError::unsupported("-net nic", why, "add -net user, or use -nic user"))
        }
        (None, Some(_)) => {
            let why = "no card is connected to the network";
            Err(ArgsError::unsupported("-net user", why, "add -net nic, or use -nic user"))
        }
    }
}

const SEVERAL: &str = "for several cards: -nic user, once for each";

/// `-net nic[,model=virtio][,macaddr=MAC]`.
fn old_nic(pairs: &[RawPair], machine: MachineKind) -> Result<Option<[u8; 6]>, ArgsError> {
    let option = "net";
    let mut mac = None;
    for pair in pairs {
        match pair.key.as_str() {
            "type" | "name" => {}
            "model" => check_model(&pair.text(option)?, option, machine)?,
            "macaddr" => mac = Some(self::mac(&pair.text(option)?, option)?),
            _ => {
                let expected = "nic,model=virtio,macaddr=MAC";
                return Err(ArgsError::bad(pair.shown(option), expected));
            }
        }
    }
    Ok(mac)
}

/// `-netdev TYPE,id=ID[,…]`.
fn netdev(given: &[u8]) -> Result<Netdev, ArgsError> {
    let option = "netdev";
    let (ids, rest): (Vec<_>, Vec<_>) =
        raw_pairs(given, "type").into_iter().partition(|pair| pair.key == "id");
    let network = network(&rest, option)?;
    let Some(id) = ids.last() else {
        let given = format!("-netdev {}", String::from_utf8_lossy(given));
        return Err(ArgsError::bad(given, "an id for -device: id=ID").with_hint(PAIR_EXAMPLE));
    };
    Ok(Netdev { id: id.text(option)?.value(option)?.to_owned(), network })
}

/// The type of a network.
fn kind(pairs: &[RawPair], option: &'static str) -> Result<String, ArgsError> {
    let kind = pairs.iter().rev().find(|pair| pair.key == "type");
    let kind = kind.map(|pair| pair.text(option)).transpose()?.and_then(|pair| pair.value);
    Ok(kind.unwrap_or_default())
}

/// A network, by its type.
fn network(pairs: &[RawPair], option: &'static str) -> Result<NetworkConfig, ArgsError> {
    let kind = kind(pairs, option)?;
    let properties: Vec<_> = pairs.iter().filter(|pair| pair.key != "type").collect();
    match kind.as_str() {
        "user" => user_network::config(&properties, option),
        "tap" => wire::tap(&properties, option),
        "stream" => wire::stream(&properties, option),
        "bridge" | "vde" | "l2tpv3" | "dgram" | "socket" | "vhost-user" | "vhost-vdpa"
        | "af-xdp" | "hubport" | "netmap" => {
            let given = format!("-{option} {kind}");
            let why = "chukka does not have this network";
            Err(ArgsError::unsupported(
                given,
                why,
                "use the user network, which needs no privilege",
            ))
        }
        _ => {
            let given = format!("-{option} {kind}");
            Err(ArgsError::bad(given, "user, tap, stream or none").with_hint(EXAMPLE))
        }
    }
}

/// `-device virtio-net,netdev=ID[,mac=MAC][,bootindex=N][,romfile=FILE]`; `None`: another device.
fn device(
    given: &[u8],
    machine: MachineKind,
    netdevs: &mut Vec<Netdev>,
) -> Result<Option<Card>, ArgsError> {
    let option = "device";
    let pairs = raw_pairs(given, "driver");
    let driver = driver(&pairs);
    let Some(name) = DEVICES.iter().find(|name| driver == Some(name.as_bytes())) else {
        return Ok(None);
    };
    check_machine(&format!("-device {name}"), name, machine)?;
    let (mut wanted, mut mac, mut withheld) = (None, None, 0);
    let (mut boot_index, mut boot_rom) = (None, BootRom::Usual);
    for pair in &pairs {
        if let Some((_, bit)) = OPTIONAL.iter().find(|(name, _)| *name == pair.key) {
            let is_on = pair.text(option)?.switch(option)?;
            withheld = withheld & !(1 << bit) | u64::from(!is_on) << bit;
            continue;
        }
        match pair.key.as_str() {
            "driver" | "id" => {}
            "netdev" => wanted = Some(pair.text(option)?.value(option)?.to_owned()),
            "mac" => mac = Some(self::mac(&pair.text(option)?, option)?),
            "bootindex" => boot_index = firmware::boot_index(pair, option)?,
            // QEMU's way to leave out the ROM that boots from the network.
            "romfile" if pair.value.as_deref() == Some(b"") => boot_rom = BootRom::None,
            "romfile" => boot_rom = BootRom::File(pair.path(option)?),
            _ => {
                let expected = format!("{name},netdev=ID,mac=MAC,bootindex=N,romfile=FILE");
                return Err(ArgsError::bad(pair.shown(option), expected));
            }
        }
    }
    let Some(wanted) = wanted else {
        let error = ArgsError::bad(format!("-device {name}"), "a network: netdev=ID");
        return Err(error.with_hint(PAIR_EXAMPLE));
    };
    let Some(at) = netdevs.iter().position(|netdev| netdev.id == wanted) else {
        let given = format!("-device {name},netdev={wanted}");
        let expected = "the id of a -netdev that no other device has";
        return Err(ArgsError::bad(given, expected).with_hint(PAIR_EXAMPLE));
    };
    let Netdev { id, network } = netdevs.remove(at);
    Ok(Some(Card { withheld, boot_index, boot_rom, ..Card::new(Some(id), mac, network) }))
}

/// Checks `model=`.
fn check_model(pair: &Pair, option: &'static str, machine: MachineKind) -> Result<(), ArgsError> {
    let model = pair.value(option)?;
    if model == "virtio" || DEVICES.contains(&model) {
        return check_machine(&pair.shown(option), model, machine);
    }
    let why = "chukka has virtio network cards only";
    Err(ArgsError::unsupported(pair.shown(option), why, "use model=virtio, or leave it out"))
}

/// Refuses the name of a card that the machine does not have.
fn check_machine(given: &str, name: &str, machine: MachineKind) -> Result<(), ArgsError> {
    let (other, why) = match machine {
        MachineKind::Microvm => (ON_PC, "microvm has no PCI"),
        MachineKind::Pc => (ON_MICROVM, "on pc, network cards are PCI devices"),
    };
    if name == other {
        let hint = "use virtio-net, the name that works on both machines";
        return Err(ArgsError::unsupported(given, why, hint));
    }
    Ok(())
}

/// An Ethernet address: six numbers in hexadecimal, separated by colons or dashes.
fn mac(pair: &Pair, option: &'static str) -> Result<[u8; 6], ArgsError> {
    let text = pair.value(option)?;
    let bytes: Option<Vec<u8>> = text
        .split([':', '-'])
        .map(|byte| {
            let is_hex =
                (1..=2).contains(&byte.len()) && byte.bytes().all(|b| b.is_ascii_hexdigit());
            u8::from_str_radix(byte, 16).ok().filter(|_| is_hex)
        })
        .collect();
    let mac = bytes.and_then(|bytes| <[u8; 6]>::try_from(bytes).ok());
    let error = || ArgsError::bad(pair.shown(option), "an address such as 52:54:00:12:34:56");
    let mac = mac.ok_or_else(error)?;
    // The lowest bit of the first byte marks groups of cards (IEEE 802).
    if mac[0] & 1 != 0 || mac == [0; 6] {
        let hint = "the first byte must be even, for example 52";
        return Err(
            ArgsError::bad(pair.shown(option), "the address of a single card").with_hint(hint)
        );
    }
    Ok(mac)
}
