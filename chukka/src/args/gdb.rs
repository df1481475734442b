//! `-gdb`, `-s`, `-S`: the server that gdb connects to.

use super::error::ArgsError;
use super::options::Options;
use super::value::{Pair, pairs, text};
use vmm::config::{GdbAddress, GdbConfig};

/// The addresses that `-gdb` takes.
const EXPECTED: &str = "tcp::PORT, tcp:HOST:PORT or unix:PATH";

/// The last address counts, as in QEMU; `none` takes it back.
pub(super) fn gdb(options: &Options) -> Result<Option<GdbConfig>, ArgsError> {
    let mut server = None;
    for value in &options.gdb {
        let value = text(value, "gdb")?;
        server = if value == "none" { None } else { Some(address(value)?) };
    }
    match server {
        None if options.hold => {
            let why = "nothing could start the guest";
            Err(ArgsError::unsupported("-S without -gdb", why, "add -s, and attach gdb"))
        }
        None => Ok(None),
        Some(address) => Ok(Some(GdbConfig { address, hold: options.hold })),
    }
}

/// `tcp:[HOST]:PORT` or `unix:PATH`, and the properties of QEMU's sockets that describe this server
/// anyway.
fn address(value: &str) -> Result<GdbAddress, ArgsError> {
    let shown = || format!("-gdb {value}");
    let bad = || ArgsError::bad(shown(), EXPECTED);
    let (place, properties) = match value.split_once(',') {
        Some((place, properties)) => (place, pairs(properties, "")),
        None => (value, Vec::new()),
    };
    properties.iter().try_for_each(check_property)?;
    match place.split_once(':').ok_or_else(bad)? {
        ("unix", path) if !path.is_empty() => Ok(GdbAddress::Unix(path.into())),
        ("tcp", place) => {
            let (host, port) = place.rsplit_once(':').ok_or_else(bad)?;
            let port = port.parse().ok().filter(|port| *port > 0).ok_or_else(bad)?;
            let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
            // A debugger can do anything to the guest, so nobody else reaches it unasked.
            let host = if host.is_empty() { "127.0.0.1" } else { host }.to_owned();
            Ok(GdbAddress::Tcp { host, port })
        }
        _ => Err(bad()),
    }
}

fn check_property(pair: &Pair) -> Result<(), ArgsError> {
    let (key, value) = (pair.key.as_str(), pair.value.as_deref());
    match (key, value) {
        // A word without a key.
        ("", Some("server" | "nowait" | "nodelay")) | ("server" | "nowait" | "nodelay", None) => {
            Ok(())
        }
        ("server" | "nodelay", Some("on" | "yes")) | ("wait", Some("off" | "no")) => Ok(()),
        ("wait", _) => {
            let why = "the guest does not wait for a connection";
            Err(ArgsError::unsupported(pair.shown("gdb"), why, "use -S: gdb starts the guest"))
        }
        ("server", _) => {
            let why = "chukka is the server that gdb connects to";
            Err(ArgsError::unsupported(pair.shown("gdb"), why, "leave it out"))
        }
        _ => Err(ArgsError::bad(pair.shown("gdb"), "server=on or wait=off")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(values: &[&str], hold: bool) -> Result<Option<GdbConfig>, ArgsError> {
        let gdb = values.iter().map(Into::into).collect();
        super::gdb(&Options { gdb, hold, ..Options::default() })
    }

    fn tcp(host: &str, port: u16) -> GdbAddress {
        GdbAddress::Tcp { host: host.into(), port }
    }

    #[test]
    fn addresses_are_read_as_qemu_reads_them() {
        for (value, expected) in [
            ("tcp::1234", tcp("127.0.0.1", 1234)),
            ("tcp::1234,server,nowait", tcp("127.0.0.1", 1234)),
            ("tcp:0.0.0.0:9", tcp("0.0.0.0", 9)),
            ("tcp:[::1]:9,server=on,wait=off", tcp("::1", 9)),
            ("unix:/tmp/g,server=on,wait=off", GdbAddress::Unix("/tmp/g".into())),
            ("unix:g,server,nowait", GdbAddress::Unix("g".into())),
        ] {
            let found = parse(&[value], false).unwrap().unwrap();
            assert_eq!(found, GdbConfig { address: expected, hold: false }, "{value}");
        }
        assert_eq!(parse(&["tcp::1", "none"], false), Ok(None));
        assert_eq!(
            parse(&["tcp::1", "tcp::2"], true).unwrap().unwrap().address,
            tcp("127.0.0.1", 2)
        );
        assert_eq!(parse(&[], false), Ok(None));
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for value in [
            "",
            "tcp",
            "tcp:",
            "tcp:1234",
            "tcp::",
            "tcp::0",
            "tcp::65536",
            "tcp::x",
            "unix:",
            "stdio",
            "/dev/ttyS0",
            "tcp::1,wait=on",
            "tcp::1,server=off",
            "tcp::1,x=y",
            "tcp::1,ipv4",
        ] {
            assert!(parse(&[value], false).is_err(), "{value}");
        }
        assert!(parse(&[], true).is_err(), "-S alone");
        assert!(parse(&["none"], true).is_err());
    }

    #[test]
    fn an_address_is_shown_as_gdb_takes_it() {
        let shown = |value| parse(&[value], false).unwrap().unwrap().address.to_string();
        assert_eq!(shown("tcp::1234"), "127.0.0.1:1234");
        assert_eq!(shown("tcp:[::1]:9"), "[::1]:9");
        assert_eq!(shown("unix:/tmp/g"), "/tmp/g");
    }
}
