//! `-serial`, and the options that switch off QEMU devices chukka does not have.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use super::error::ArgsError;
use super::options::{AbsentDevices, Options};
use super::refusals::{Refusals, all};
use super::value::texts;
use vmm::config::{InterruptKey, SERIAL_PORTS, SerialBackend, Terminal};

/// The serial ports and the terminal.
///
/// Each `-serial` is the next port, `none` leaves one out (as QEMU does since 9.0; before, the
/// next `-serial` took its place). Without `-serial`, COM1 is on the terminal, as with QEMU's
/// `-nographic` (`qemu_create_default_devices`, system/vl.c), and with `-nodefaults` there is no
/// port. In the background (`-daemonize`) nobody sees COM1, as if it were in a window of QEMU's.
pub(super) fn serial(
    options: &Options,
) -> Result<([SerialBackend; SERIAL_PORTS], Terminal), ArgsError> {
    let mut ports = [const { SerialBackend::None }; SERIAL_PORTS];
    let mut terminal = Terminal::default();
    let values = &options.serial;
    if values.is_empty() {
        if options.daemonize && !options.no_defaults {
            ports[0] = SerialBackend::Null;
        } else if !options.no_defaults {
            ports[0] = SerialBackend::Stdio;
            // QEMU shares the terminal with its monitor, unless there is none; only a shared
            // terminal has its signals turned off.
            if options.monitor.is_empty() {
                terminal.interrupt = InterruptKey::GoesToGuest;
            }
        }
        return Ok((ports, terminal));
    }
    if values.len() > SERIAL_PORTS {
        let given = format!("-serial, given {} times", values.len());
        return Err(ArgsError::bad(
            given,
            format!("at most {SERIAL_PORTS} times, for COM1 to COM4"),
        ));
    }
    for (port, backend) in ports.iter_mut().zip(all(values.iter().map(|value| backend(value)))?) {
        *port = backend;
    }
    if ports.iter().filter(|port| **port == SerialBackend::Stdio).count() > 1 {
        let hint = "give the other port a file: -serial file:PATH";
        return Err(ArgsError::bad(
            "-serial stdio, given more than once",
            "at most one port on the terminal",
        )
        .with_hint(hint));
    }
    if values.iter().any(|value| value == "mon:stdio") {
        terminal.interrupt = InterruptKey::GoesToGuest;
    }
    Ok((ports, terminal))
}

fn backend(value: &OsStr) -> Result<SerialBackend, ArgsError> {
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
                "QEMU has this backend, chukka does not"
            } else {
                ""
            };
            Err(ArgsError::bad(given, expected).with_hint(hint))
        }
    }
}

/// One option for a device that QEMU has and chukka does not.
struct Absent {
    option: &'static str,
    values: fn(&AbsentDevices) -> &Vec<OsString>,
    accepted: &'static [&'static str],
    why: &'static str,
    hint: &'static str,
}

/// Scripts pass these options to say that a device is not wanted. Anything but "none" would be
/// silently ignored, so it is refused.
static ABSENT: [Absent; 4] = [
    Absent {
        option: "display",
        values: |absent| &absent.display,
        accepted: &["none"],
        why: "chukka has no screen",
        hint: "use -display none and a serial console (-append console=ttyS0)",
    },
    Absent {
        option: "vnc",
        values: |absent| &absent.vnc,
        accepted: &["none"],
        why: "chukka has no screen",
        hint: "use -vnc none and a serial console (-append console=ttyS0)",
    },
    Absent {
        option: "vga",
        values: |absent| &absent.vga,
        accepted: &["none"],
        why: "chukka has no graphics card",
        hint: "use -vga none and a serial console (-append console=ttyS0)",
    },
    Absent {
        option: "parallel",
        values: |absent| &absent.parallel,
        accepted: &["none"],
        why: "chukka has no parallel port",
        hint: "use -parallel none",
    },
];

/// QEMU's log items for gaps in its emulation (`-d help`): with KVM they log next to nothing.
const LOG_ITEMS: [&str; 2] = ["unimp", "guest_errors"];

/// Refuses devices and logs that chukka does not have.
pub(super) fn check_absent(absent: &AbsentDevices) -> Result<(), ArgsError> {
    let mut refusals = Refusals::default();
    for Absent { option, values, accepted, why, hint } in &ABSENT {
        for value in refusals.value(texts(values(absent), option)) {
            if !accepted.contains(&value) {
                refusals.add(ArgsError::unsupported(format!("-{option} {value}"), *why, *hint));
            }
        }
    }
    for items in refusals.value(texts(&absent.log, "d")) {
        if let Some(item) = items.split(',').find(|item| !LOG_ITEMS.contains(item)) {
            let why = "chukka does not have this log";
            let hint = "only unimp and guest_errors are accepted, and they have no effect";
            refusals.add(ArgsError::unsupported(format!("-d {item}"), why, hint));
        }
    }
    refusals.finish(())
}
