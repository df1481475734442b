//! `-gdb`, `-s`, `-S`: the server that gdb connects to.

use super::error::ArgsError;
use super::listen::listen;
use super::options::Options;
use super::value::text;
use vmm::config::{GdbConfig, SocketAddress};

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
        // A client of a monitor starts the guest.
        None if options.hold && has_monitor(options) => Ok(None),
        None if options.hold => {
            let why = "nothing could start the guest";
            Err(ArgsError::unsupported(
                "-S without -gdb",
                why,
                "add -s, and attach gdb, or -qmp unix:PATH,server=on,wait=off",
            ))
        }
        None => Ok(None),
        Some(address) => Ok(Some(GdbConfig { address, hold: options.hold })),
    }
}

/// Whether there is a monitor. What is wrong with it is reported where it is read.
fn has_monitor(options: &Options) -> bool {
    let mut values = options.qmp.iter().chain(&options.monitor).chain(&options.mon);
    values.any(|value| value != "none" && value != "null")
}

/// A socket that chukka listens on: what QEMU's properties of sockets say is the case anyway.
fn address(value: &str) -> Result<SocketAddress, ArgsError> {
    let shown = || format!("-gdb {value}");
    let listen = listen("gdb", value, EXPECTED)?;
    if value.contains("server=") && !listen.server {
        let why = "chukka is the server that gdb connects to";
        return Err(ArgsError::unsupported(shown(), why, "leave server=off out"));
    }
    if value.contains("wait=") && listen.wait {
        let why = "the guest does not wait for a connection";
        return Err(ArgsError::unsupported(shown(), why, "use -S: gdb starts the guest"));
    }
    Ok(listen.address)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(values: &[&str], hold: bool) -> Result<Option<GdbConfig>, ArgsError> {
        let gdb = values.iter().map(Into::into).collect();
        super::gdb(&Options { gdb, hold, ..Options::default() })
    }

    fn tcp(host: &str, port: u16) -> SocketAddress {
        SocketAddress::Tcp { host: host.into(), port }
    }

    #[test]
    fn addresses_are_read_as_qemu_reads_them() {
        for (value, expected) in [
            ("tcp::1234", tcp("127.0.0.1", 1234)),
            ("tcp::1234,server,nowait", tcp("127.0.0.1", 1234)),
            ("tcp:0.0.0.0:9", tcp("0.0.0.0", 9)),
            ("tcp:[::1]:9,server=on,wait=off", tcp("::1", 9)),
            ("unix:/tmp/g,server=on,wait=off", SocketAddress::Unix("/tmp/g".into())),
            ("unix:g,server,nowait", SocketAddress::Unix("g".into())),
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
