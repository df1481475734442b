//! What writes to the outside: the serial ports, the debug console, the trace.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use devices::clock::HostStopwatch;
use devices::console::ConsoleSink;
use devices::debugcon::Debugcon;
use devices::panic_watch::PanicWatch;
use devices::serial::{ComPort, Serial};

use super::irq::IrqChip;
use super::parts::Parts;
use super::share;
use crate::config::SerialBackend;
use crate::error::StartError;
use crate::machine::trace::FwCfgTrace;

/// A serial port that is there.
#[derive(Debug)]
pub(super) struct SerialPort {
    pub com: ComPort,
    pub chip: Arc<Mutex<Serial>>,
    /// Whether it is the user's console.
    pub on_stdio: bool,
}

/// COM1 to COM4, as far as the user wants them.
pub(super) fn serial_ports(
    parts: &Parts<'_>,
    irq_chip: &IrqChip,
) -> Result<Vec<SerialPort>, StartError> {
    let &Parts { config, notifier, stopping, .. } = parts;
    let mut present = Vec::new();
    for (com, backend) in ComPort::ALL.into_iter().zip(&config.serial) {
        let Some(out) = output(backend, "-serial")? else { continue };
        let sink = ConsoleSink::new(out, Box::new(notifier.clone()), Arc::clone(stopping))
            .with_watch(PanicWatch::new());
        let wake = notifier.clone();
        let on_room = move || wake.note(|n| n.input_wanted = true);
        let line = irq_chip.line(com.irq());
        let chip = share(Serial::new(line, sink, on_room));
        present.push(SerialPort { com, chip, on_stdio: *backend == SerialBackend::Stdio });
    }
    Ok(present)
}

/// The port that firmware writes its log to, where somebody wants it.
pub(super) fn debugcon(parts: &Parts<'_>) -> Result<Option<Debugcon>, StartError> {
    let &Parts { config, notifier, stopping, .. } = parts;
    let Some(wanted) = &config.debugcon else { return Ok(None) };
    let Some(out) = output(&wanted.out, "the debug console")? else { return Ok(None) };
    let sink = ConsoleSink::new(out, Box::new(notifier.clone()), Arc::clone(stopping));
    let chip = Debugcon::new(sink);
    let stamps = config.timestamps.then(|| Box::new(HostStopwatch::start()));
    Ok(Some(match stamps {
        Some(clock) => chip.with_stamps(clock),
        None => chip,
    }))
}

/// The trace of fw_cfg on standard error, where it is asked for.
pub(super) fn trace(parts: &Parts<'_>) -> Result<Option<FwCfgTrace>, StartError> {
    let &Parts { config, notifier, stopping, .. } = parts;
    if !config.trace.fw_cfg {
        return Ok(None);
    }
    let stderr = io::stderr().as_fd().try_clone_to_owned().map_err(StartError::event)?;
    let out = Box::new(File::from(stderr));
    let sink = ConsoleSink::new(out, Box::new(notifier.clone()), Arc::clone(stopping));
    Ok(Some(FwCfgTrace::new(Instant::now(), sink)))
}

/// Where the output of `of` goes. `None`: there is no such port.
fn output(
    backend: &SerialBackend,
    of: &'static str,
) -> Result<Option<Box<dyn Write + Send>>, StartError> {
    Ok(match backend {
        SerialBackend::None => None,
        SerialBackend::Null => Some(Box::new(io::sink())),
        SerialBackend::Stdio => {
            // A descriptor of its own: std's standard output holds lines back and a lock that a stuck write would keep.
            let stdout = io::stdout().as_fd().try_clone_to_owned().map_err(StartError::event)?;
            Some(Box::new(File::from(stdout)))
        }
        SerialBackend::File(path) => {
            let create_error = |source| StartError::Output { of, path: path.clone(), source };
            Some(Box::new(File::create(path).map_err(create_error)?))
        }
    })
}
