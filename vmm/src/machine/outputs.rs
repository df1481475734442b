//! Devices with host outputs: the serial ports, the debug console and the trace.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use devices::clock::HostStopwatch;
use devices::console::ConsoleSink;
use devices::debugcon::Debugcon;
use devices::panic_watch::PanicWatch;
use devices::serial::{self, ComPort, Serial};

use super::irq::IrqChip;
use super::list::{Attached, DeviceList};
use super::parts::Parts;
use super::trace::FwCfgTrace;
use crate::config::SerialBackend;
use crate::error::{DeviceError, HostError, StartError};
use crate::host::notices::Notifier;
use crate::host::screen::GuestOutput;

/// Attaches the configured serial ports, COM1 to COM4. Returns the one on standard input and
/// output.
pub(super) fn attach_serial_ports(
    list: &mut DeviceList,
    parts: &Parts<'_>,
    irq_chip: &IrqChip,
) -> Result<Option<Arc<Mutex<Serial>>>, StartError> {
    let mut terminal = None;
    for (com, backend) in ComPort::ALL.into_iter().zip(&parts.config.serial) {
        let Some(mut out) = output(backend, "-serial")? else { continue };
        if let (ComPort::Com1, Some(path)) = (com, &parts.config.serial_log) {
            out = Box::new(Logged { out, log: log_file(path)? });
        }
        let out = heard(parts, out);
        let watch = PanicWatch::new().with_problems(parts.config.fail_on);
        let sink = sink(parts, out).with_watch(watch);
        let notifier = parts.notifier.clone();
        let on_room = move || notifier.note(|n| n.input_wanted = true);
        let chip = Arc::new(Mutex::new(Serial::new(irq_chip.line(com.irq()), sink, on_room)));
        if *backend == SerialBackend::Stdio {
            terminal = Some(Arc::clone(&chip));
        }
        list.attach(
            Attached::shared("serial port", chip)
                .ports(com.base_port(), serial::PORT_COUNT)
                .described(com)
                .buffers_output()
                .coalesced(),
        )?;
    }
    Ok(terminal)
}

/// Attaches the debug console, to which firmware writes its log, if configured.
pub(super) fn attach_debugcon(list: &mut DeviceList, parts: &Parts<'_>) -> Result<(), StartError> {
    let Some(wanted) = &parts.config.debugcon else { return Ok(()) };
    let Some(out) = output(&wanted.out, "the debug console")? else { return Ok(()) };
    let mut device = Debugcon::new(sink(parts, heard(parts, out)));
    if parts.config.timestamps {
        device = device.with_stamps(Box::new(HostStopwatch::start()));
    }
    let device = Attached::new("The debug console", device)
        .ports(wanted.port, 1)
        .port_hint("SeaBIOS writes its log to port 0x402: iobase=0x402")
        .buffers_output();
    // A coalesced line would have the time at which it was read from the ring.
    list.attach(if parts.config.timestamps { device } else { device.coalesced() })?;
    Ok(())
}

/// Creates the fw_cfg trace on standard error, if configured.
pub(super) fn trace(parts: &Parts<'_>) -> Result<Option<FwCfgTrace>, StartError> {
    if !parts.config.trace.fw_cfg {
        return Ok(None);
    }
    let stderr = io::stderr().as_fd().try_clone_to_owned().map_err(HostError::descriptors)?;
    let out = Box::new(File::from(stderr));
    // The trace is not the guest's output.
    let events = Box::new(parts.notifier.clone().with_timeline(None));
    let sink = ConsoleSink::new(out, events, Arc::clone(parts.stopping));
    Ok(Some(FwCfgTrace::new(Instant::now(), sink)))
}

/// Has the notifier hear of each write: a guest that never prints anything ends with a status of
/// its own.
fn heard(parts: &Parts<'_>, out: Box<dyn Write + Send>) -> Box<dyn Write + Send> {
    Box::new(Heard { out, notifier: parts.notifier.clone() })
}

/// An output that is watched.
struct Heard {
    out: Box<dyn Write + Send>,
    notifier: Notifier,
}

impl Write for Heard {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.notifier.hear();
        self.out.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// An output with a copy in a file.
struct Logged {
    out: Box<dyn Write + Send>,
    log: File,
}

impl Write for Logged {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.log.write_all(bytes.get(..written).unwrap_or_default())?;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

fn log_file(path: &Path) -> Result<File, StartError> {
    let log = File::options().append(true).create(true).open(path);
    let of = "the log of the console";
    Ok(log.map_err(|source| DeviceError::Output { of, path: path.to_owned(), source })?)
}

fn sink(parts: &Parts<'_>, out: Box<dyn Write + Send>) -> ConsoleSink {
    ConsoleSink::new(out, Box::new(parts.notifier.clone()), Arc::clone(parts.stopping))
}

/// Opens the output of `of`. Returns `None` if the port does not exist.
fn output(
    backend: &SerialBackend,
    of: &'static str,
) -> Result<Option<Box<dyn Write + Send>>, StartError> {
    Ok(match backend {
        SerialBackend::None => None,
        SerialBackend::Null => Some(Box::new(io::sink())),
        SerialBackend::Stdio => {
            Some(Box::new(GuestOutput::open().map_err(HostError::descriptors)?))
        }
        SerialBackend::File(path) => {
            let create_error = |source| DeviceError::Output { of, path: path.clone(), source };
            Some(Box::new(File::create(path).map_err(create_error)?))
        }
    })
}
