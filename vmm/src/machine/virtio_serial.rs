//! The guest's virtio-serial devices: consoles and ports, what they are connected to, and the
//! threads that serve them. Each port has one, as a write to standard output or a file may block,
//! and so do the control messages.

mod ends;
mod server;

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use acpi_tables::Aml;
use devices::console::{ConsoleEvents, ConsoleSink};
use devices::panic_watch::PanicWatch;
use devices::virtio::console::{
    CONTROL_RECEIVE, CONTROL_TRANSMIT, Console, PortBackend, PortConfig, queues_of,
};
use kvm_ioctls::VmFd;
use vmm_sys_util::signal::Killable;

use super::outputs::{self, Inputs};
use super::parts::Parts;
use super::threads;
use super::virtio::{Plugged, Slots};
use crate::config::VirtioSerial;
use crate::error::{HostError, StartError};
use crate::host::chardev::Opened;
use crate::host::notices::Notifier;
use crate::host::{signals, terminal};
use crate::lock::{lock, try_lock};
use ends::{ConsoleOutput, Input, PortOutput};
use server::{LAST_TURNS, Server};

/// How long to wait for a thread before it is kicked again.
const KICK_AGAIN: Duration = Duration::from_micros(200);

/// The devices. They live as long as the process does.
#[derive(Debug, Default)]
pub struct VirtioSerials {
    devices: Vec<Device>,
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// What the threads share.
#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    /// No thread may begin to serve a queue.
    hold: AtomicBool,
}

impl Shared {
    /// Keeps the threads from serving queues until [`Self::release`]. Returns whether none of them
    /// still does. A thread that is kicked out of a write meanwhile must not begin the next one, so
    /// this stays in effect if it fails.
    fn hold<'a>(&self, mut busy: impl Iterator<Item = &'a Arc<AtomicBool>>) -> bool {
        self.hold.store(true, Ordering::SeqCst);
        !busy.any(|busy| busy.load(Ordering::SeqCst))
    }

    fn release(&self) {
        self.hold.store(false, Ordering::SeqCst);
    }
}

struct Device {
    console: Arc<Console>,
    plugged: Plugged,
    numbers: Vec<u32>,
    /// The console on the terminal.
    on_terminal: Option<u32>,
    sinks: Vec<Arc<Mutex<ConsoleSink>>>,
    notifier: Notifier,
    /// Whether the thread of each port, and that of the control messages, serves a queue.
    busy: Vec<Arc<AtomicBool>>,
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Device").field("console", &self.console).finish_non_exhaustive()
    }
}

impl VirtioSerials {
    /// Gives the devices places in the machine, and their ports what was `opened` for them. Those
    /// that get input are added to `inputs`.
    ///
    /// # Errors
    /// There is no place.
    pub fn new(
        parts: &Parts<'_>,
        opened: Vec<Vec<Opened>>,
        slots: &mut Slots,
        inputs: &mut Inputs,
    ) -> Result<Self, StartError> {
        let mut this = Self::default();
        for (config, opened) in parts.config.virtio_serial.iter().zip(opened) {
            this.devices.push(Device::new(config, opened, parts, slots, inputs)?);
        }
        this.resize();
        Ok(this)
    }

    /// Their DSDT entries.
    pub fn descriptions(&self) -> impl Iterator<Item = &dyn Aml> {
        self.devices.iter().filter_map(|device| device.plugged.description())
    }

    /// Has KVM wake the threads itself.
    pub fn connect(&self, vm: &VmFd) {
        self.devices.iter().for_each(|device| device.plugged.connect(vm));
    }

    /// The size of the terminal may have changed.
    pub fn resize(&self) {
        for device in &self.devices {
            if let (Some(number), Some([columns, rows])) = (device.on_terminal, terminal::size()) {
                device.console.set_size(number, columns, rows);
                device.wake(CONTROL_RECEIVE);
            }
        }
    }

    /// Writes out what consoles have buffered. While the guest runs, a console whose thread is
    /// writing is left for later, as that may block: others must not wait for it.
    pub fn flush(&self) {
        let has_ended = self.shared.stop.load(Ordering::SeqCst);
        for device in &self.devices {
            for sink in &device.sinks {
                match if has_ended { Some(lock(sink)) } else { try_lock(sink) } {
                    Some(mut sink) => sink.flush_now(),
                    None => device.notifier.flush_soon(),
                }
            }
        }
    }

    /// Writes out what is left in the queues of the ports. Call this after the end of the threads,
    /// which give up a write that blocks. May block until somebody reads; what a peer on a socket
    /// does not take is lost.
    pub fn write_rest(&self) {
        // A console's buffer that is full would hold the queue.
        self.flush();
        self.devices.iter().for_each(Device::serve_rest);
        self.flush();
    }

    /// Interrupts writes that may be blocking threads.
    pub fn kick(&self) {
        for thread in lock(&self.threads).iter() {
            // Fails if the thread has ended.
            let _ = thread.kill(signals::kick_number());
        }
    }

    /// Resets the devices while no vCPU runs. Returns false, without resetting any, if a thread
    /// serves a queue: it may wait for a reader of its output. Kick it, and try again: no thread
    /// serves anything until the reset has succeeded.
    #[must_use]
    pub fn try_reset(&self) -> bool {
        if !self.shared.hold(self.devices.iter().flat_map(|device| &device.busy)) {
            return false;
        }
        self.devices.iter().for_each(|device| device.plugged.reset());
        self.shared.release();
        // For notifications that arrived meanwhile.
        self.devices.iter().for_each(Device::wake_all);
        true
    }

    /// Starts the threads. Dropping what is returned ends them.
    ///
    /// # Errors
    /// The host is out of descriptors or threads.
    pub fn start(&self, notifier: &Notifier) -> Result<Running<'_>, StartError> {
        let running = Running(self);
        for device in &self.devices {
            let ports = device.numbers.iter().map(|number| (queues_of(*number), Some(*number)));
            let control = ([CONTROL_TRANSMIT, CONTROL_RECEIVE], None);
            for ((queues, number), busy) in ports.chain([control]).zip(&device.busy) {
                let server = Server::new(device, queues, number, busy, &self.shared)
                    .map_err(HostError::descriptors)?;
                let what = "a virtio serial port's thread";
                let thread = threads::start("port".into(), what, notifier, move || server.run());
                lock(&self.threads).push(thread.map_err(StartError::host("a thread"))?);
            }
        }
        Ok(running)
    }
}

impl Device {
    fn new(
        config: &VirtioSerial,
        opened: Vec<Opened>,
        parts: &Parts<'_>,
        slots: &mut Slots,
        inputs: &mut Inputs,
    ) -> Result<Self, StartError> {
        let (mut ports, mut sinks, mut rest) = (Vec::new(), Vec::new(), Vec::new());
        for (port, Opened { out, line, is_stdio }) in config.ports.iter().zip(opened) {
            let notifier = parts.notifier.clone();
            let backend: Box<dyn PortBackend> = if port.is_console {
                let watch = PanicWatch::new().with_problems(parts.config.fail_on);
                let sink = outputs::sink(parts, outputs::heard(parts, out)).with_watch(watch);
                let sink = Arc::new(Mutex::new(sink));
                sinks.push(Arc::clone(&sink));
                Box::new(ConsoleOutput { sink, notifier })
            } else {
                let stopping = Arc::clone(parts.stopping);
                Box::new(PortOutput { out: Mutex::new(Some(out)), stopping, notifier })
            };
            let (number, is_console) = (port.number, port.is_console);
            rest.push((number, is_console, is_stdio, line));
            ports.push(PortConfig { number, is_console, name: port.name.clone(), backend });
        }
        let console = Arc::new(Console::new(config.max_ports, ports));
        let plugged = slots.plug(Arc::<Console>::clone(&console))?;
        let wake = |queue: u16| plugged.wakes().get(usize::from(queue)).map(Arc::clone);
        let mut on_terminal = None;
        let numbers: Vec<_> = rest.iter().map(|(number, ..)| *number).collect();
        for (number, is_console, is_stdio, line) in rest {
            if line.is_none() {
                // A file or the terminal is always there.
                console.set_connected(number, true);
            }
            if is_console && is_stdio {
                on_terminal = Some(number);
            }
            let [receive, transmit] = queues_of(number);
            if let (Some(receive), Some(transmit), Some(control)) =
                (wake(receive), wake(transmit), wake(CONTROL_RECEIVE))
            {
                let console = Arc::clone(&console);
                let input = Input { console, number, receive, transmit, control };
                inputs.add(Arc::new(input), is_stdio, line);
            }
        }
        let busy = (0..=numbers.len()).map(|_| Arc::default()).collect();
        let notifier = parts.notifier.clone();
        Ok(Self { console, plugged, numbers, on_terminal, sinks, notifier, busy })
    }

    /// Serves what is left in the queues of the ports.
    fn serve_rest(&self) {
        for number in &self.numbers {
            let [_, transmit] = queues_of(*number);
            for _ in 0..LAST_TURNS {
                self.plugged.state().serve(transmit);
                // All is written, or there is no room for more.
                if !self.console.is_behind(*number) {
                    break;
                }
            }
        }
    }

    fn wake(&self, queue: u16) {
        if let Some(wake) = self.plugged.wakes().get(usize::from(queue)) {
            // A full counter means that the thread has been woken already.
            let _ = wake.write(1);
        }
    }

    fn wake_all(&self) {
        for wake in self.plugged.wakes() {
            let _ = wake.write(1);
        }
    }
}

/// The devices while the guest runs. Once it is dropped, nothing is in service.
#[derive(Debug)]
pub struct Running<'a>(&'a VirtioSerials);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.shared.stop.store(true, Ordering::SeqCst);
        self.0.devices.iter().for_each(Device::wake_all);
        while lock(&self.0.threads).iter().any(|thread| !thread.is_finished()) {
            self.0.kick();
            thread::sleep(KICK_AGAIN);
        }
        for thread in std::mem::take(&mut *lock(&self.0.threads)) {
            // One that has panicked has been reported.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::mpsc::{RecvTimeoutError, channel};

    use vm_memory::{GuestAddress, GuestMemoryMmap};

    use super::super::virtio::Connections;
    use super::*;
    use crate::config::{CharBackend, MachineKind, VirtioPort};
    use crate::machine::irq::IrqChip;
    use crate::mmio_bus::MmioBus;
    use crate::tests::Guest;
    use crate::tests::machine;

    const PATIENCE: Duration = Duration::from_secs(20);

    /// An output that notes what is written to it.
    #[derive(Clone, Default)]
    struct Noted(Arc<Mutex<Vec<u8>>>);

    impl Write for Noted {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            lock(&self.0).write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A device with consoles that have a prompt to write out to these places.
    fn with_prompts(outputs: &[Noted], notifier: &Notifier) -> VirtioSerials {
        let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 0x1000)]).unwrap();
        let connections =
            Connections { memory, mmio_bus: MmioBus::default(), irq_chip: IrqChip::default() };
        let console = Arc::new(Console::new(1, Vec::new()));
        let plugged = Slots::new(connections, None).plug(Arc::<Console>::clone(&console)).unwrap();
        let sink = |out: &Noted| {
            let mut sink = ConsoleSink::new(Box::new(out.clone()), Box::new(()), Arc::default());
            sink.write_all(b"login: ").unwrap();
            Arc::new(Mutex::new(sink))
        };
        let device = Device {
            console,
            plugged,
            numbers: Vec::new(),
            on_terminal: None,
            sinks: outputs.iter().map(sink).collect(),
            notifier: notifier.clone(),
            busy: Vec::new(),
        };
        VirtioSerials { devices: vec![device], ..VirtioSerials::default() }
    }

    #[test]
    fn a_console_that_blocks_is_left_for_later_until_the_end() {
        let (outputs, notifier) = ([Noted::default(), Noted::default()], Notifier::new().unwrap());
        let written = || outputs.each_ref().map(|out| lock(&out.0).clone());
        let serials = with_prompts(&outputs, &notifier);
        let blocked = lock(&serials.devices[0].sinks[0]);
        thread::scope(|scope| {
            let (done, is_done) = channel();
            let flush = || {
                let (serials, done) = (&serials, done.clone());
                scope.spawn(move || {
                    serials.flush();
                    let _ = done.send(());
                });
            };
            flush();
            let waited = is_done.recv_timeout(PATIENCE);
            assert_eq!((waited, written()), (Ok(()), [vec![], b"login: ".to_vec()]));
            assert!(notifier.take().flush, "it is asked for again");
            // At the end there is no later.
            serials.shared.stop.store(true, Ordering::SeqCst);
            flush();
            let waited = is_done.recv_timeout(Duration::from_millis(50));
            assert_eq!(waited, Err(RecvTimeoutError::Timeout));
            drop(blocked);
            assert_eq!(is_done.recv_timeout(PATIENCE), Ok(()));
            assert_eq!(written(), [b"login: ".to_vec(), b"login: ".to_vec()]);
            assert!(!notifier.take().flush);
        });
    }

    #[test]
    fn a_thread_kicked_out_of_a_write_begins_nothing_before_the_reset() {
        let shared = Shared::default();
        let busy = Arc::new(AtomicBool::new(true));
        assert!(!shared.hold([&busy].into_iter()), "it serves a queue");
        assert!(shared.hold.load(Ordering::SeqCst), "but not the next one");
        busy.store(false, Ordering::SeqCst);
        assert!(shared.hold([&busy].into_iter()));
        shared.release();
        assert!(!shared.hold.load(Ordering::SeqCst));
    }

    #[test]
    fn a_reset_waits_for_the_threads_that_serve_a_queue() {
        let mut serials = with_prompts(&[], &Notifier::new().unwrap());
        let busy = Arc::new(AtomicBool::new(true));
        serials.devices[0].busy.push(Arc::clone(&busy));
        assert!(!serials.try_reset());
        busy.store(false, Ordering::SeqCst);
        assert!(serials.try_reset());
        assert!(!serials.shared.hold.load(Ordering::SeqCst), "they may go on");
        assert_eq!(serials.descriptions().count(), 1);
    }

    #[test]
    fn the_threads_of_the_ports_end_with_the_run() {
        let notifier = Notifier::new().unwrap();
        let mut serials = with_prompts(&[], &notifier);
        serials.devices[0].busy.push(Arc::default());
        signals::prepare_kick().unwrap();
        let running = serials.start(&notifier).unwrap();
        assert_eq!(lock(&serials.threads).len(), 1);
        drop(running);
        assert!(lock(&serials.threads).is_empty() && serials.shared.stop.load(Ordering::SeqCst));
    }

    /// The notification of queue 0 is a write of 0 to the register at 0x50 (virtio 1.2, 4.2.2).
    #[test]
    fn kvm_wakes_the_thread_itself() {
        let Some(mut guest) = Guest::new(&[]) else { return };
        let serials = with_prompts(&[], &Notifier::new().unwrap());
        serials.connect(&guest.vm);
        let wake = &serials.devices[0].plugged.wakes()[0];
        guest.write(0xfeb0_0050, 0);
        wake.write(1).unwrap();
        assert_eq!(wake.read().unwrap(), 2, "one of them is the guest's");
    }

    #[test]
    fn the_console_on_the_terminal_is_the_one_whose_size_counts() {
        for (backend, is_console, expected) in [
            (CharBackend::Stdio, true, Some(1)),
            (CharBackend::Stdio, false, None),
            (CharBackend::Null, true, None),
        ] {
            let machine = machine(MachineKind::Microvm, |config| {
                let chardev = backend.into();
                let port = VirtioPort { number: 1, is_console, name: String::new(), chardev };
                config.virtio_serial = vec![VirtioSerial { max_ports: 2, ports: vec![port] }];
            });
            let devices = machine.devices().virtio_serials.devices;
            let found: Vec<_> = devices.iter().map(|device| device.on_terminal).collect();
            assert_eq!(found, [expected]);
        }
    }

    #[test]
    fn threads_are_woken_by_their_queues_or_all_at_once() {
        let serials = with_prompts(&[], &Notifier::new().unwrap());
        let device = &serials.devices[0];
        device.wake(CONTROL_RECEIVE);
        device.wake_all();
        for (queue, wake) in (0..).zip(device.plugged.wakes()) {
            assert_eq!(wake.read().unwrap(), if queue == CONTROL_RECEIVE { 2 } else { 1 });
        }
    }
}
