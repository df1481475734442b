//! `-qmp` and `-monitor`: where clients control the run.

use std::ffi::OsString;

use super::error::ArgsError;
use super::listen::{Listen, listen};
use super::options::Options;
use super::refusals::{Refusals, all};
use super::value::texts;
use vmm::config::{MonitorConfig, MonitorLanguage, MonitorPlace, SerialBackend};

const EXPECTED: &str = "unix:PATH, tcp:HOST:PORT, stdio or none";

/// All monitors. Each option adds one; `none` and `null` add nothing, as nobody could reach it.
pub(super) fn monitors(
    options: &Options,
    serial: &[SerialBackend],
) -> Result<Vec<MonitorConfig>, ArgsError> {
    let mut refusals = Refusals::default();
    let mut monitors = Vec::new();
    let kinds: [(_, &[OsString], _); 2] = [
        ("qmp", &options.qmp, MonitorLanguage::Qmp),
        ("monitor", &options.monitor, MonitorLanguage::Human),
    ];
    for (option, values, language) in kinds {
        let read = texts(values, option)
            .and_then(|values| all(values.into_iter().map(|it| monitor(option, it, language))));
        monitors.extend(refusals.value(read).into_iter().flatten());
    }
    if !refusals.is_empty() {
        return refusals.finish(Vec::new());
    }
    let at_stdio = monitors.iter().filter(|monitor| monitor.place == MonitorPlace::Stdio);
    let serial = serial.iter().filter(|port| **port == SerialBackend::Stdio);
    if at_stdio.count() > 1 {
        let expected = "one monitor at standard input";
        return Err(ArgsError::bad("-qmp stdio and -monitor stdio, more than one", expected)
            .with_hint("give the other one a socket: unix:PATH,server=on,wait=off"));
    }
    let has_stdio = monitors.iter().any(|monitor| monitor.place == MonitorPlace::Stdio);
    if has_stdio && serial.count() > 0 {
        let why = "COM1 has standard input";
        let hint = "add -serial file:PATH or -serial none, or use unix:PATH,server=on,wait=off";
        return Err(ArgsError::unsupported("-qmp or -monitor stdio", why, hint));
    }
    Ok(monitors)
}

fn monitor(
    option: &'static str,
    value: &str,
    language: MonitorLanguage,
) -> Result<Option<MonitorConfig>, ArgsError> {
    let config = |place, wait| Some(MonitorConfig { language, place, wait });
    match value {
        "none" | "null" => return Ok(None),
        "stdio" => return Ok(config(MonitorPlace::Stdio, false)),
        _ => {}
    }
    let Listen { address, wait, server } = listen(option, value, EXPECTED)?;
    if !server {
        let why = "chukka listens for a client, and does not connect to one";
        let hint = "add ,server=on,wait=off";
        return Err(ArgsError::unsupported(format!("-{option} {value}"), why, hint));
    }
    Ok(config(MonitorPlace::Socket(address), wait))
}

#[cfg(test)]
mod tests {
    use super::*;
    use vmm::config::SocketAddress;

    fn parse(qmp: &[&str], monitor: &[&str]) -> Result<Vec<MonitorConfig>, ArgsError> {
        let words = |values: &[&str]| values.iter().map(Into::into).collect();
        let options = Options { qmp: words(qmp), monitor: words(monitor), ..Options::default() };
        monitors(&options, &[])
    }

    #[test]
    fn addresses_are_read_as_qemu_reads_them() {
        let unix = |path: &str| MonitorPlace::Socket(SocketAddress::Unix(path.into()));
        let tcp = MonitorPlace::Socket(SocketAddress::Tcp { host: "127.0.0.1".into(), port: 9 });
        for (value, place, wait) in [
            ("unix:/tmp/q,server=on,wait=off", unix("/tmp/q"), false),
            ("unix:/tmp/q,server,nowait", unix("/tmp/q"), false),
            ("unix:q,server", unix("q"), true),
            ("tcp::9,server=on,wait=on", tcp, true),
            ("stdio", MonitorPlace::Stdio, false),
        ] {
            let expected = MonitorConfig { language: MonitorLanguage::Qmp, place, wait };
            assert_eq!(
                parse(&[value], &[]).as_deref(),
                Ok([expected.clone()].as_slice()),
                "{value}"
            );
            let expected = MonitorConfig { language: MonitorLanguage::Human, ..expected };
            assert_eq!(parse(&[], &[value]).unwrap(), [expected], "{value}");
        }
        assert_eq!(parse(&["none"], &["null", "none"]), Ok(Vec::new()));
    }

    #[test]
    fn what_is_no_server_is_refused() {
        for value in ["", "vc", "unix:/tmp/q", "tcp:localhost:9", "unix:q,server=off", "pty"] {
            assert!(parse(&[value], &[]).is_err(), "{value}");
        }
        assert!(parse(&["stdio"], &["stdio"]).is_err(), "one standard input");
    }
}
