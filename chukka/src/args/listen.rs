//! Where a server of chukka's listens, in QEMU's spelling of sockets (`-gdb`, `-qmp`, `-monitor`).

use super::error::ArgsError;
use super::value::{Pair, pairs};
use vmm::config::SocketAddress;

/// A server's socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listen {
    pub address: SocketAddress,
    /// Whether the guest waits for the first client: QEMU's default for a server.
    pub wait: bool,
    /// Whether chukka is the server.
    pub server: bool,
}

/// `tcp:[HOST]:PORT` or `unix:PATH`, and QEMU's properties of sockets. `expected` names what
/// `option` takes.
pub(super) fn listen(
    option: &'static str,
    value: &str,
    expected: &'static str,
) -> Result<Listen, ArgsError> {
    let bad = || ArgsError::bad(format!("-{option} {value}"), expected);
    let (place, properties) = match value.split_once(',') {
        Some((place, properties)) => (place, pairs(properties, "")),
        None => (value, Vec::new()),
    };
    let address = match place.split_once(':').ok_or_else(bad)? {
        ("unix", path) if !path.is_empty() => SocketAddress::Unix(path.into()),
        ("tcp", place) => {
            let (host, port) = place.rsplit_once(':').ok_or_else(bad)?;
            let port = port.parse().ok().filter(|port| *port > 0).ok_or_else(bad)?;
            let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
            // A client can do anything to the guest, so nobody else reaches it unasked.
            let host = if host.is_empty() { "127.0.0.1" } else { host }.to_owned();
            SocketAddress::Tcp { host, port }
        }
        _ => return Err(bad()),
    };
    let mut listen = Listen { address, wait: true, server: false };
    for pair in &properties {
        property(&mut listen, option, pair)?;
    }
    Ok(listen)
}

fn property(listen: &mut Listen, option: &'static str, pair: &Pair) -> Result<(), ArgsError> {
    let value = pair.value.as_deref();
    // A word without a key is one that is on.
    let (key, value) = match (pair.key.as_str(), value) {
        ("", Some(word)) => (word, None),
        (key, value) => (key, value),
    };
    let on = match value {
        None | Some("on" | "yes") => true,
        Some("off" | "no") => false,
        Some(_) => return Err(ArgsError::bad(pair.shown(option), "on or off")),
    };
    match key {
        "server" => listen.server = on,
        "wait" => listen.wait = on,
        "nowait" => listen.wait = !on,
        "nodelay" => {}
        _ => return Err(ArgsError::bad(pair.shown(option), "server=on, wait=off or nodelay=on")),
    }
    Ok(())
}
