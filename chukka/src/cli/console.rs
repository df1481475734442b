//! `-serial`, and the options that say which of QEMU's other devices are not wanted.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use clap::ArgMatches;

use super::error::CliError;
use super::value::{last, texts};
use vmm::config::{InterruptKey, SERIAL_PORTS, SerialBackend, Terminal};

/// The serial ports and the terminal.
///
/// Each `-serial` is the next port, `none` leaves one out (as QEMU does since 9.0; before, the
/// next `-serial` took its place). Without `-serial`, COM1 is on the terminal, as with QEMU's
/// `-nographic` (`qemu_create_default_devices`, system/vl.c), and with `-nodefaults` there is no
/// port.
pub(super) fn serial(
    matches: &ArgMatches,
) -> Result<([SerialBackend; SERIAL_PORTS], Terminal), CliError> {
    let mut ports = [const { SerialBackend::None }; SERIAL_PORTS];
    let mut terminal = Terminal::default();
    let Some(values) = matches.get_many::<OsString>("serial") else {
        if matches.get_count("nodefaults") == 0 {
            ports[0] = SerialBackend::Stdio;
            // QEMU shares the terminal with its monitor, unless there is none; only a shared
            // terminal has its signals turned off.
            if last(matches, "monitor").is_none() {
                terminal.interrupt = InterruptKey::GoesToGuest;
            }
        }
        return Ok((ports, terminal));
    };
    if values.len() > SERIAL_PORTS {
        let given = format!("-serial, given {} times", values.len());
        return Err(CliError::bad(
            given,
            format!("at most {SERIAL_PORTS} times, for COM1 to COM4"),
        ));
    }
    for (port, value) in ports.iter_mut().zip(values.clone()) {
        *port = backend(value)?;
    }
    if ports.iter().filter(|port| **port == SerialBackend::Stdio).count() > 1 {
        let hint = "give the other port a file: -serial file:PATH";
        return Err(CliError::bad(
            "-serial stdio, given more than once",
            "one port on the terminal",
        )
        .with_hint(hint));
    }
    if values.clone().any(|value| value == "mon:stdio") {
        terminal.interrupt = InterruptKey::GoesToGuest;
    }
    Ok((ports, terminal))
}

fn backend(value: &OsStr) -> Result<SerialBackend, CliError> {
    match value.as_bytes() {
        b"none" => Ok(SerialBackend::None),
        b"null" => Ok(SerialBackend::Null),
        b"stdio" | b"mon:stdio" => Ok(SerialBackend::Stdio),
        [b'f', b'i', b'l', b'e', b':', path @ ..] if !path.is_empty() => {
            Ok(SerialBackend::File(OsStr::from_bytes(path).into()))
        }
        bytes => {
            let given = format!("-serial {}", value.to_string_lossy());
            let expected = "stdio, mon:stdio, file:PATH, null or none";
            let qemu_s = [
                &b"vc"[..],
                b"pty",
                b"tcp:",
                b"telnet:",
                b"unix:",
                b"udp:",
                b"pipe:",
                b"chardev:",
                b"/dev/",
            ];
            let hint = if qemu_s.iter().any(|prefix| bytes.starts_with(prefix)) {
                "this is one of QEMU's that chukka does not have"
            } else {
                ""
            };
            Err(CliError::bad(given, expected).with_hint(hint))
        }
    }
}

/// Options that say that there is no such device, as there never is one here: taken so that scripts
/// work. Anything else than "none" would be ignored without a word, so it is refused.
const ABSENT: [(&str, &[&str], &str, &str); 6] = [
    (
        "display",
        &["none"],
        "chukka has no screen",
        "use -display none and a serial console (-append console=ttyS0)",
    ),
    (
        "vga",
        &["none"],
        "chukka has no graphics card",
        "use -vga none and a serial console (-append console=ttyS0)",
    ),
    (
        "monitor",
        &["none", "null"],
        "chukka has no monitor",
        "use -monitor none; Ctrl-A x on the console ends chukka",
    ),
    ("parallel", &["none"], "chukka has no parallel port", "use -parallel none"),
    ("net", &["none"], "chukka has no network", "use -net none"),
    ("nic", &["none"], "chukka has no network", "use -nic none"),
];

/// QEMU's log items about the emulation's own gaps (`-d help`): with KVM they log next to nothing.
const LOG_ITEMS: [&str; 2] = ["unimp", "guest_errors"];

/// Checks that nothing is asked for that is not there.
pub(super) fn check_absent(matches: &ArgMatches) -> Result<(), CliError> {
    for (option, accepted, why, hint) in ABSENT {
        for value in texts(matches, option)? {
            if !accepted.contains(&value) {
                return Err(CliError::unsupported(format!("-{option} {value}"), why, hint));
            }
        }
    }
    for items in texts(matches, "d")? {
        if let Some(item) = items.split(',').find(|item| !LOG_ITEMS.contains(item)) {
            let why = "chukka does not have this log";
            let hint = "only unimp and guest_errors are taken, and do nothing";
            return Err(CliError::unsupported(format!("-d {item}"), why, hint));
        }
    }
    Ok(())
}
