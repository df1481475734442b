//! Devices with host outputs: the serial ports, the debug console and the trace.

use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use devices::clock::HostStopwatch;
use devices::console::ConsoleSink;
use devices::debugcon::Debugcon;
use devices::panic_watch::PanicWatch;
use devices::serial::{self, ComPort, Serial};

use super::input_port::{InputPort, OutputOnly};
use super::irq::IrqChip;
use super::list::{Attached, DeviceList};
use super::parts::Parts;
use super::trace::FwCfgTrace;
use crate::config::{Chardev, SERIAL_PORTS, VirtioPort, VmConfig};
use crate::error::{HostError, StartError};
use crate::host::chardev::{self, Line, Opened};
use crate::host::listener::SocketChecks;
use crate::host::notices::Notifier;
use crate::run::lines::Connected;
use crate::run::message::Message;

/// The open character devices of a machine. They are opened first, as that may wait for a client.
#[derive(Debug)]
pub struct Consoles {
    /// Those of COM1 to COM4.
    pub serial: [Option<Opened>; SERIAL_PORTS],
    /// That of the debug console.
    pub debugcon: Option<Opened>,
    /// Those of the ports of each virtio-serial device.
    pub ports: Vec<Vec<Opened>>,
}

impl Consoles {
    /// Opens them all. Calls `tell` with what the user has to know for that.
    ///
    /// # Errors
    /// A file, a socket or a pseudo-terminal cannot be opened.
    pub fn open(config: &VmConfig, tell: &mut dyn FnMut(&Message)) -> Result<Self, StartError> {
        Self::each(config, |wanted, of, label| chardev::open(wanted, of, label, tell))
    }

    /// Checks that [`Self::open`] can open them all, and returns stand-ins that drop all output.
    /// Creates nothing and connects to nobody.
    ///
    /// # Errors
    /// As of [`Self::open`].
    pub fn check(config: &VmConfig, sockets: &mut SocketChecks) -> Result<Self, StartError> {
        Self::each(config, |wanted, of, _| chardev::check(wanted, of, sockets))
    }

    /// All of them by `open`, which is told whose each is and how the user knows it.
    fn each(
        config: &VmConfig,
        mut open: impl FnMut(&Chardev, &'static str, &str) -> Result<Opened, StartError>,
    ) -> Result<Self, StartError> {
        let mut serial = [const { None }; SERIAL_PORTS];
        for (index, (opened, wanted)) in serial.iter_mut().zip(&config.serial).enumerate() {
            if let Some(wanted) = wanted {
                let label = label(wanted, &format!("serial{index}"));
                *opened = Some(open(wanted, "-serial", &label)?);
            }
        }
        let debugcon = config.debugcon.as_ref().map(|debugcon| {
            // The device itself writes the times.
            let wanted = Chardev { timestamps: false, ..debugcon.out.clone() };
            let label = label(&wanted, "debugcon");
            open(&wanted, "the debug console", &label)
        });
        let debugcon = debugcon.transpose()?;
        let mut ports = Vec::new();
        for device in &config.virtio_serial {
            let mut open = |port: &VirtioPort| {
                let default = if port.name.is_empty() { "virtio port" } else { &port.name };
                let label = label(&port.chardev, default);
                open(&port.chardev, "a virtio port", &label)
            };
            ports.push(device.ports.iter().map(&mut open).collect::<Result<_, _>>()?);
        }
        Ok(Self { serial, debugcon, ports })
    }
}

/// What the user knows a character device by: QEMU's `label`, which is the id of a `-chardev`.
fn label(chardev: &Chardev, default: &str) -> String {
    chardev.id.as_deref().unwrap_or(default).to_owned()
}

/// The devices that get input from the host.
#[derive(Default)]
pub struct Inputs {
    /// The one on standard input.
    pub terminal: Option<Arc<dyn InputPort>>,
    /// Those on sockets and pseudo-terminals.
    pub lines: Vec<Connected>,
}

impl fmt::Debug for Inputs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inputs").field("lines", &self.lines).finish_non_exhaustive()
    }
}

impl Inputs {
    /// Adds a device.
    pub fn add(&mut self, port: Arc<dyn InputPort>, is_stdio: bool, line: Option<Arc<Line>>) {
        if is_stdio {
            self.terminal = Some(Arc::clone(&port));
        }
        self.lines.extend(line.map(|line| Connected { line, port }));
    }
}

/// Attaches the configured serial ports, COM1 to COM4. Returns those that get input.
pub(super) fn attach_serial_ports(
    list: &mut DeviceList,
    parts: &Parts<'_>,
    irq_chip: &IrqChip,
    opened: [Option<Opened>; SERIAL_PORTS],
) -> Result<Inputs, StartError> {
    let mut inputs = Inputs::default();
    let wanted = ComPort::ALL.into_iter().zip(&parts.config.serial).zip(opened);
    for ((com, config), opened) in wanted {
        let (Some(config), Some(Opened { out, line, is_stdio })) = (config, opened) else {
            continue;
        };
        let watch = PanicWatch::new().with_problems(parts.config.fail_on);
        let sink = sink(parts, heard(parts, out)).with_watch(watch);
        let notifier = parts.notifier.clone();
        let on_room = move || notifier.note(|n| n.input_wanted = true);
        let chip = Arc::new(Mutex::new(Serial::new(irq_chip.line(com.irq()), sink, on_room)));
        inputs.add(Arc::<Mutex<Serial>>::clone(&chip), is_stdio, line);
        let device = Attached::shared("serial port", chip)
            .ports(com.base_port(), serial::PORT_COUNT)
            .described(com)
            .buffers_output();
        // A coalesced line would have the time at which it was read from the ring.
        list.attach(if config.timestamps { device } else { device.coalesced() })?;
    }
    Ok(inputs)
}

/// Attaches the debug console, to which firmware writes its log, if configured.
pub(super) fn attach_debugcon(
    list: &mut DeviceList,
    parts: &Parts<'_>,
    opened: Option<Opened>,
    inputs: &mut Inputs,
) -> Result<(), StartError> {
    let (Some(wanted), Some(opened)) = (&parts.config.debugcon, opened) else { return Ok(()) };
    inputs.add(Arc::new(OutputOnly), false, opened.line);
    let mut device = Debugcon::new(sink(parts, heard(parts, opened.out)));
    let timestamps = parts.config.timestamps || wanted.out.timestamps;
    if timestamps {
        device = device.with_stamps(Box::new(HostStopwatch::start()));
    }
    let device = Attached::new("The debug console", device)
        .ports(wanted.port, 1)
        .port_hint("SeaBIOS writes its log to port 0x402: iobase=0x402")
        .buffers_output();
    list.attach(if timestamps { device } else { device.coalesced() })?;
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
pub(super) fn heard(parts: &Parts<'_>, out: Box<dyn Write + Send>) -> Box<dyn Write + Send> {
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

/// Buffers an output.
pub(super) fn sink(parts: &Parts<'_>, out: Box<dyn Write + Send>) -> ConsoleSink {
    ConsoleSink::new(out, Box::new(parts.notifier.clone()), Arc::clone(parts.stopping))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{CharBackend, CharFile, MachineKind};
    use crate::tests::{Scratch, machine};

    /// An output that counts.
    #[derive(Default)]
    struct Counting(Arc<Mutex<(usize, usize)>>);

    impl Write for Counting {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().0 += bytes.len();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            self.0.lock().unwrap().1 += 1;
            Ok(())
        }
    }

    #[test]
    fn an_output_is_heard_and_written_to() {
        let counts = Arc::<Mutex<(usize, usize)>>::default();
        let notifier = Notifier::new().unwrap();
        let out = Box::new(Counting(Arc::clone(&counts)));
        let mut heard = Heard { out, notifier: notifier.clone() };
        assert_eq!(heard.write(b"three").unwrap(), 5);
        heard.flush().unwrap();
        assert_eq!(*counts.lock().unwrap(), (5, 1));
        assert!(notifier.last_heard().is_some());
    }

    #[test]
    fn what_a_guest_has_printed_is_in_the_file_once_it_is_flushed() {
        let file = Scratch::new(b"old");
        let path = file.0.clone();
        let devices = machine(MachineKind::Pc, |config| {
            config.serial[0] = Some(CharBackend::File(CharFile { path, append: false }).into());
        })
        .devices();
        devices.bus.write(0x3f8, 1, b"A");
        devices.bus.write(0x3f8, 1, b"B");
        devices.flush();
        assert_eq!(std::fs::read(&file.0).unwrap(), b"AB");
    }
}
