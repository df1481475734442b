//! `-serial`, `-device isa-serial`, and the options that switch off QEMU devices that chukka does
//! not have.

use std::ffi::OsString;

use super::chardev::Chardevs;
use super::error::ArgsError;
use super::options::{AbsentDevices, Options};
use super::refusals::Refusals;
use super::value::{RawPair, driver, raw, raw_pairs, texts};
use vmm::config::{CharBackend, Chardev, InterruptKey, SERIAL_PORTS, VirtioSerial};

/// A serial port as a device.
pub(super) const ISA_SERIAL: &str = "isa-serial";
/// What `-serial` takes.
const EXPECTED: &str =
    "stdio, mon:stdio, file:PATH, pty, unix:PATH, tcp:HOST:PORT, chardev:ID, null or none";

/// The serial ports.
///
/// Each `-serial` is the next port, `none` leaves one out (as QEMU does since 9.0; before, the
/// next `-serial` took its place). Without `-serial`, COM1 is on the terminal, as with QEMU's
/// `-nographic` (`qemu_create_default_devices`, system/vl.c), and with `-nodefaults` there is no
/// port. In the background (`-daemonize`) nobody sees COM1, as if it were in a window of QEMU's.
pub(super) fn serial(
    options: &Options,
    chardevs: &mut Chardevs,
) -> Result<[Option<Chardev>; SERIAL_PORTS], ArgsError> {
    let mut ports = [const { None }; SERIAL_PORTS];
    let values = &options.serial;
    if values.len() > SERIAL_PORTS {
        let given = format!("-serial, given {} times", values.len());
        return Err(ArgsError::bad(
            given,
            format!("at most {SERIAL_PORTS} times, for COM1 to COM4"),
        ));
    }
    let mut refusals = Refusals::default();
    for (port, value) in ports.iter_mut().zip(values) {
        *port = if value == "mon:stdio" {
            chardevs.interrupt = InterruptKey::GoesToGuest;
            Some(CharBackend::Stdio.into())
        } else {
            refusals.value(chardevs.short("serial", value, EXPECTED))
        };
    }
    if ports.iter().flatten().filter(|port| port.is_stdio()).count() > 1 {
        let hint = "give the other port a file: -serial file:PATH";
        return Err(ArgsError::bad(
            "-serial stdio, given more than once",
            "at most one port on the terminal",
        )
        .with_hint(hint));
    }
    for pairs in isa_serials(options) {
        refusals.value(isa_serial(&pairs, &mut ports, chardevs));
    }
    refusals.finish(ports)
}

/// Every `-device isa-serial`.
fn isa_serials(options: &Options) -> impl Iterator<Item = Vec<RawPair>> {
    let devices = raw(&options.devices).map(|given| raw_pairs(given, "driver"));
    devices.filter(|pairs| driver(pairs) == Some(ISA_SERIAL.as_bytes()))
}

/// `-device isa-serial,chardev=ID[,index=N]`: a serial port as libvirt names it.
fn isa_serial(
    pairs: &[RawPair],
    ports: &mut [Option<Chardev>; SERIAL_PORTS],
    chardevs: &mut Chardevs,
) -> Result<(), ArgsError> {
    let option = "device";
    let (mut chardev, mut index) = (CharBackend::Null.into(), None);
    for raw in pairs {
        let pair = raw.text(option)?;
        match pair.key.as_str() {
            "driver" | "id" => {}
            "chardev" => {
                let given = format!("-device {ISA_SERIAL},chardev={}", pair.value(option)?);
                let example = "-chardev stdio,id=c -device isa-serial,chardev=c";
                chardev = chardevs.take(pair.value(option)?, given, example)?;
            }
            "index" => {
                let number = pair.value(option)?.parse().ok();
                let number = number.filter(|number| *number < SERIAL_PORTS);
                let bad = || ArgsError::bad(pair.shown(option), "0 to 3, for COM1 to COM4");
                index = Some(number.ok_or_else(bad)?);
            }
            _ => {
                let expected = "isa-serial,chardev=ID,index=N";
                return Err(ArgsError::bad(pair.shown(option), expected));
            }
        }
    }
    let index = index.or_else(|| ports.iter().position(Option::is_none));
    let place = index.and_then(|index| ports.get_mut(index)).filter(|port| port.is_none());
    let why = "another device has that serial port";
    let hint = "give each an index of its own: index=0 to index=3";
    *place.ok_or_else(|| ArgsError::unsupported("-device isa-serial", why, hint))? = Some(chardev);
    Ok(())
}

/// Decides which device has the terminal: without `-serial`, it is COM1, unless a virtio port has
/// the terminal. The output of COM1 is then dropped.
pub(super) fn settle_terminal(
    options: &Options,
    serial: &mut [Option<Chardev>; SERIAL_PORTS],
    devices: &[VirtioSerial],
    chardevs: &mut Chardevs,
) -> Result<(), ArgsError> {
    let ports = devices.iter().flat_map(|device| &device.ports);
    let on_stdio = ports.filter(|port| port.chardev.is_stdio()).count();
    let is_default = options.serial.is_empty() && isa_serials(options).next().is_none();
    if is_default && !options.no_defaults {
        let is_seen = on_stdio == 0 && !options.daemonize;
        // QEMU shares the terminal with its monitor, unless there is none; only a shared terminal
        // has its signals turned off.
        if is_seen && options.monitor.is_empty() && options.mon.is_empty() {
            chardevs.interrupt = InterruptKey::GoesToGuest;
        }
        let backend = if is_seen { CharBackend::Stdio } else { CharBackend::Null };
        serial[0] = Some(backend.into());
    }
    if on_stdio + serial.iter().flatten().filter(|port| port.is_stdio()).count() > 1 {
        let given = "standard input for more than one serial or virtio port";
        return Err(ArgsError::bad(given, "at most one port on the terminal")
            .with_hint("leave -serial out, or use -serial none or -serial file:PATH"));
    }
    Ok(())
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
