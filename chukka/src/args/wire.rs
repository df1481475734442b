//! The properties of `-netdev tap` and `-netdev stream`, and `-object filter-dump`.

use super::error::ArgsError;
use super::value::{Pair, RawPair, integer, raw_pairs};
use crate::request::{DumpConfig, NetworkConfig, StreamAddress, StreamConfig, TapConfig};

/// The longest name of an interface (`IFNAMSIZ` without the NUL).
const MAX_NAME: usize = 15;
/// How much of a frame is recorded, as in QEMU (net/dump.c).
const MAX_RECORDED: u32 = 65_536;

/// `tap,ifname=NAME` or `tap,fd=N`.
///
/// # Errors
/// A value that is wrong or that chukka cannot do.
pub(super) fn tap(
    properties: &[&RawPair],
    option: &'static str,
) -> Result<NetworkConfig, ArgsError> {
    let mut tap = None;
    for raw in properties {
        let pair = raw.text(option)?;
        let value = pair.value(option)?;
        match pair.key.as_str() {
            "ifname" if (1..=MAX_NAME).contains(&value.len()) && !value.contains(['/', '\0']) => {
                tap = Some(TapConfig::Name(value.to_owned()));
            }
            "ifname" => {
                return Err(ArgsError::bad(pair.shown(option), "a name of 1 to 15 bytes"));
            }
            "fd" => {
                // The first three are standard input, output and error.
                let fd = value.parse().ok().filter(|fd| *fd > 2);
                let error = || ArgsError::bad(pair.shown(option), "an open descriptor from 3 on");
                tap = Some(TapConfig::Descriptor(fd.ok_or_else(error)?));
            }
            "script" | "downscript" if matches!(value, "no" | "") => {}
            "vhost" | "vnet_hdr" if pair.switch(option)? == (pair.key == "vnet_hdr") => {}
            "queues" if value == "1" => {}
            _ => return Err(unsupported_tap(&pair, option)),
        }
    }
    tap.map(NetworkConfig::Tap).ok_or_else(|| {
        ArgsError::bad(format!("-{option} tap"), "an interface: ifname=NAME or fd=N").with_hint(
            "make one: ip tuntap add dev tap0 mode tap user $USER && ip link set tap0 up",
        )
    })
}

fn unsupported_tap(pair: &Pair, option: &'static str) -> ArgsError {
    let (why, hint) = match pair.key.as_str() {
        "script" | "downscript" => {
            ("chukka runs no scripts", "set the interface up before, and use script=no")
        }
        "vhost" | "vhostforce" | "vhostfd" | "vhostfds" => {
            ("chukka does not use vhost", "leave it out")
        }
        "queues" | "fds" => ("chukka's cards have one pair of queues", "leave it out"),
        "vnet_hdr" => ("chukka always uses the interface's offloads", "leave it out"),
        "br" | "helper" => {
            ("chukka runs no helper", "add an interface to the bridge: ip link set tap0 master br0")
        }
        _ => {
            let expected = "ifname=NAME or fd=N, script=no, downscript=no";
            return ArgsError::bad(pair.shown(option), expected);
        }
    };
    ArgsError::unsupported(pair.shown(option), why, hint)
}

/// `stream,addr.type=unix,addr.path=PATH[,server=on]`, or `addr.type=inet,addr.host=,addr.port=`.
///
/// # Errors
/// A value that is wrong or that chukka cannot do.
pub(super) fn stream(
    properties: &[&RawPair],
    option: &'static str,
) -> Result<NetworkConfig, ArgsError> {
    let (mut is_server, mut kind) = (false, String::new());
    let (mut path, mut host, mut port) = (None, None, None);
    for raw in properties {
        if raw.key == "addr.path" {
            path = Some(raw.path(option)?);
            continue;
        }
        let pair = raw.text(option)?;
        let value = pair.value(option)?;
        match pair.key.as_str() {
            "server" => is_server = pair.switch(option)?,
            "addr.type" if matches!(value, "unix" | "inet") => value.clone_into(&mut kind),
            "addr.type" => {
                return Err(ArgsError::bad(pair.shown(option), "unix or inet"));
            }
            "addr.host" => host = Some(value.to_owned()),
            "addr.port" => {
                let number = value.parse().ok().filter(|port| *port != 0);
                let error = || ArgsError::bad(pair.shown(option), "a port from 1 to 65535");
                port = Some(number.ok_or_else(error)?);
            }
            "reconnect" | "reconnect-ms" if value == "0" => {}
            "reconnect" | "reconnect-ms" => {
                let why = "chukka does not connect again";
                let hint = "leave it out; with server=on it waits for the other end to do so";
                return Err(ArgsError::unsupported(pair.shown(option), why, hint));
            }
            _ => {
                let expected = "server=on, addr.type=unix, addr.path=PATH, or addr.type=inet, \
                    addr.host=HOST, addr.port=PORT";
                return Err(ArgsError::bad(pair.shown(option), expected));
            }
        }
    }
    let address = match (kind.as_str(), path, host, port) {
        ("unix", Some(path), None, None) => StreamAddress::Unix(path),
        ("inet", None, Some(host), Some(port)) => StreamAddress::Inet(host, port),
        _ => {
            let expected = "an address: addr.type=unix,addr.path=PATH or \
                addr.type=inet,addr.host=HOST,addr.port=PORT";
            return Err(ArgsError::bad(format!("-{option} stream"), expected)
                .with_hint("for passt: -nic stream,addr.type=unix,addr.path=/tmp/passt_1.socket"));
        }
    };
    Ok(NetworkConfig::Stream(StreamConfig { is_server, address }))
}

/// `-object filter-dump,id=ID,netdev=ID,file=PATH[,maxlen=N]`: the network, and the recording.
///
/// # Errors
/// Another object, or a value that is wrong.
pub(super) fn filter_dump(given: &[u8]) -> Result<(String, DumpConfig), ArgsError> {
    let option = "object";
    let (mut netdev, mut path, mut max_length) = (None, None, MAX_RECORDED);
    for raw in raw_pairs(given, "qom-type") {
        if raw.key == "file" {
            path = Some(raw.path(option)?);
            continue;
        }
        let pair = raw.text(option)?;
        let value = pair.value(option)?;
        match pair.key.as_str() {
            "qom-type" if value == "filter-dump" => {}
            "qom-type" => {
                let why = "chukka does not have this object";
                let hint = "it has filter-dump and rng-random; guest memory needs none: -m SIZE";
                return Err(ArgsError::unsupported(format!("-object {value}"), why, hint));
            }
            "id" => {}
            "netdev" => netdev = Some(value.to_owned()),
            "maxlen" => {
                let number = integer(value).and_then(|number| u32::try_from(number).ok());
                let number = number.filter(|number| *number > 0);
                let error = || ArgsError::bad(pair.shown(option), "a number of bytes");
                max_length = number.ok_or_else(error)?;
            }
            _ => {
                let expected = "filter-dump,id=ID,netdev=ID,file=PATH,maxlen=BYTES";
                return Err(ArgsError::bad(pair.shown(option), expected));
            }
        }
    }
    let (Some(netdev), Some(path)) = (netdev, path) else {
        let given = format!("-object {}", String::from_utf8_lossy(given));
        let expected = "a network and a file: netdev=ID,file=PATH";
        return Err(ArgsError::bad(given, expected).with_hint(DUMP_EXAMPLE));
    };
    Ok((netdev, DumpConfig { path, max_length }))
}

/// How frames are recorded.
pub(super) const DUMP_EXAMPLE: &str =
    "for example: -nic user,id=n0 -object filter-dump,id=f0,netdev=n0,file=net.pcap";
