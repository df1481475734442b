//! `-qmp`, `-monitor` and `-mon`: where clients control the run.

use std::ffi::OsString;

use super::chardev::Chardevs;
use super::error::ArgsError;
use super::options::Options;
use super::refusals::Refusals;
use super::value::pairs;
use super::value::texts;
use vmm::config::{CharBackend, CharSocket, Chardev, MonitorConfig, MonitorLanguage};

const EXPECTED: &str = "unix:PATH, tcp:HOST:PORT, stdio, chardev:ID or none";

/// All monitors. Each option adds one; `none` and `null` add nothing, as nobody could reach it.
/// `serial` are the devices that may have standard input.
pub(super) fn monitors<'a>(
    options: &Options,
    chardevs: &mut Chardevs,
    mut serial: impl Iterator<Item = &'a Chardev>,
) -> Result<Vec<MonitorConfig>, ArgsError> {
    let mut refusals = Refusals::default();
    let mut monitors = Vec::new();
    let is_taken = serial.any(Chardev::is_stdio);
    let kinds: [(_, &[OsString], _); 2] = [
        ("qmp", &options.qmp, MonitorLanguage::Qmp),
        ("monitor", &options.monitor, MonitorLanguage::Human),
    ];
    for (option, values, language) in kinds {
        for value in values {
            let given = || format!("-{option} {}", value.to_string_lossy());
            let read = chardevs.short(option, value, EXPECTED).and_then(|chardev| match chardev {
                Some(chardev) => monitor(given(), chardev, language),
                None => Ok(None),
            });
            monitors.extend(refusals.value(read));
        }
    }
    for value in refusals.value(texts(&options.mon, "mon")) {
        monitors.extend(refusals.value(mon(value, chardevs, is_taken)));
    }
    if !refusals.is_empty() {
        return refusals.finish(Vec::new());
    }
    let at_stdio = monitors.iter().filter(|monitor| monitor.chardev.is_stdio()).count();
    if at_stdio > 1 {
        let expected = "one monitor at standard input";
        return Err(ArgsError::bad("-qmp stdio and -monitor stdio, more than one", expected)
            .with_hint("give the other one a socket: unix:PATH,server=on,wait=off"));
    }
    if at_stdio > 0 && is_taken {
        let why = "COM1 has standard input";
        let hint = "add -serial file:PATH or -serial none, or use unix:PATH,server=on,wait=off";
        return Err(ArgsError::unsupported("-qmp or -monitor stdio", why, hint));
    }
    Ok(monitors)
}

/// `-mon [chardev=]ID[,mode=readline|control]`. `has_keys`: a port has standard input, and with it
/// the keys after Ctrl-A.
fn mon(
    value: &str,
    chardevs: &mut Chardevs,
    has_keys: bool,
) -> Result<Option<MonitorConfig>, ArgsError> {
    let option = "mon";
    let given = || format!("-mon {value}");
    let (mut id, mut language) = (None, MonitorLanguage::Human);
    for pair in pairs(value, "chardev") {
        match (pair.key.as_str(), pair.value(option)?) {
            ("chardev", value) => id = Some(value.to_owned()),
            ("id", _) => {}
            ("mode", "readline") => language = MonitorLanguage::Human,
            ("mode", "control") => language = MonitorLanguage::Qmp,
            ("mode", _) => {
                return Err(ArgsError::bad(pair.shown(option), "readline (default) or control"));
            }
            ("pretty", _) if !pair.switch(option)? => {}
            ("pretty", _) => {
                let why = "chukka sends each QMP message on one line";
                return Err(ArgsError::unsupported(pair.shown(option), why, "leave it out"));
            }
            _ => {
                return Err(ArgsError::bad(pair.shown(option), "chardev=ID,mode=readline|control"));
            }
        }
    }
    let example = "-chardev socket,id=mon,path=PATH,server=on,wait=off -mon chardev=mon";
    let Some(id) = id.filter(|id| !id.is_empty()) else {
        return Err(
            ArgsError::bad(given(), "chardev=ID").with_hint(format!("for example: {example}"))
        );
    };
    if language == MonitorLanguage::Human && chardevs.is_shared(&id) {
        // As with -serial mon:stdio, the commands after Ctrl-A take its place.
        if has_keys {
            return Ok(None);
        }
        let why = "the device that has this -chardev gets no input";
        let hint = "use it for a serial port, -serial chardev:ID, or give the monitor its own";
        return Err(ArgsError::unsupported(given(), why, hint));
    }
    let chardev = chardevs.take(&id, given(), example)?;
    monitor(given(), chardev, language)
}

/// A monitor at `chardev`, unless that is null.
fn monitor(
    given: String,
    chardev: Chardev,
    language: MonitorLanguage,
) -> Result<Option<MonitorConfig>, ArgsError> {
    match &chardev.backend {
        CharBackend::Null => return Ok(None),
        CharBackend::Socket(CharSocket { server: false, .. }) => {
            let why = "a monitor waits for clients, and does not connect to a server";
            return Err(ArgsError::unsupported(given, why, "add ,server=on,wait=off"));
        }
        CharBackend::File(_) | CharBackend::Pty => return Err(ArgsError::bad(given, EXPECTED)),
        CharBackend::Stdio | CharBackend::Socket(_) => {}
    }
    if chardev.log.is_some() || chardev.timestamps {
        let why = "a monitor has no log";
        return Err(ArgsError::unsupported(given, why, "leave logfile= and timestamp= out"));
    }
    Ok(Some(MonitorConfig { language, chardev }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use vmm::config::SocketAddress;

    fn parse(qmp: &[&str], monitor: &[&str]) -> Result<Vec<MonitorConfig>, ArgsError> {
        let words = |values: &[&str]| values.iter().map(Into::into).collect();
        let options = Options { qmp: words(qmp), monitor: words(monitor), ..Options::default() };
        monitors(&options, &mut Chardevs::default(), [].iter())
    }

    #[test]
    fn addresses_are_read_as_qemu_reads_them() {
        let socket =
            |address, wait| CharBackend::Socket(CharSocket { address, server: true, wait });
        let unix = |path: &str, wait| socket(SocketAddress::Unix(path.into()), wait);
        let tcp = socket(SocketAddress::Tcp { host: "127.0.0.1".into(), port: 9 }, true);
        for (value, backend) in [
            ("unix:/tmp/q,server=on,wait=off", unix("/tmp/q", false)),
            ("unix:/tmp/q,server,nowait", unix("/tmp/q", false)),
            ("unix:q,server", unix("q", true)),
            ("tcp::9,server=on,wait=on", tcp),
            ("stdio", CharBackend::Stdio),
        ] {
            let expected =
                MonitorConfig { language: MonitorLanguage::Qmp, chardev: backend.into() };
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
