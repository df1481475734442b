//! A console device (virtio 1.2, 5.3): up to [`MOST_PORTS`] ports of bytes in both directions, each
//! with two queues, and two control queues by which driver and device tell each other which ports
//! there are, their names, whether they are open, and how large a console's screen is.
//!
//! What the device keeps is bounded: [`INPUT`] bytes of input for each port, and a set, not a
//! queue, of the control messages that are due. If the driver makes no buffers available, input
//! waits at its source. If a backend has no room, the request is held.

mod control;

use std::collections::VecDeque;
use std::fmt::Debug;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use virtio_bindings::virtio_ids::VIRTIO_ID_CONSOLE;
use vm_memory::{GuestMemoryMmap, Permissions};

use super::chain::Chain;
use super::device::{VirtioDevice, read_bytes};
use super::requests::Requests;
use crate::buffers::Buffers;
use control::Due;

/// Most ports of a device: as many as QEMU's virtio-serial has by default.
pub const MOST_PORTS: u32 = 31;
/// The queue of control messages for the driver.
pub const CONTROL_RECEIVE: u16 = 2;
/// The queue of control messages for the device.
pub const CONTROL_TRANSMIT: u16 = 3;
/// Bytes of input that a port keeps until the driver takes them.
pub const INPUT: usize = 4096;

/// Descriptors of a port's queue and of a control queue, as QEMU has it
/// (`virtio_serial_device_realize`, hw/char/virtio-serial-bus.c).
const PORT_QUEUE: u16 = 128;
const CONTROL_QUEUE: u16 = 32;
/// How much of a request is passed on at once.
const PIECE: usize = 4096;
/// How many pieces are passed on before others get their turn, a reset of the device among them.
const PIECES: usize = 16;

/// `VIRTIO_CONSOLE_F_SIZE`: the device reports the size of consoles.
const F_SIZE: u64 = 1;
/// `VIRTIO_CONSOLE_F_MULTIPORT`: there are control queues.
const F_MULTIPORT: u64 = 1 << 1;
/// `VIRTIO_CONSOLE_F_EMERG_WRITE`: the driver can write a character to configuration space.
const F_EMERG_WRITE: u64 = 1 << 2;
/// Its offset there.
const EMERG_WRITE: u64 = 8;

/// What a port is connected to. A vCPU's thread calls `write` for an emergency write, and otherwise
/// the thread that serves the port.
pub trait PortBackend: Debug + Send + Sync {
    /// Takes what the guest has written, as much as there is room for, and returns how much. If
    /// that is less, the port's transmit queue must be served again when there is room.
    fn write(&self, bytes: &[u8]) -> usize;

    /// The guest can take input again, which it could not the last time. Called while the device
    /// is locked: it should only wake another thread.
    fn has_room(&self);
}

/// A port, as the user wants it.
#[derive(Debug)]
pub struct PortConfig {
    /// Its number; each number once, and below the device's number of ports.
    pub number: u32,
    /// Whether it is a console (Linux: `hvc0`), or a port for programs (`vport0p1`).
    pub is_console: bool,
    /// Its name; may be empty.
    pub name: String,
    /// What it is connected to.
    pub backend: Box<dyn PortBackend>,
}

/// A console device.
#[derive(Debug)]
pub struct Console {
    max_ports: u32,
    ports: Vec<Port>,
    queue_sizes: Vec<u16>,
    has_size: AtomicBool,
    features: Mutex<u64>,
}

#[derive(Debug)]
struct Port {
    config: PortConfig,
    state: Mutex<PortState>,
    /// How many bytes of the request that is held have been passed on.
    sent: AtomicUsize,
    is_behind: AtomicBool,
    /// The peer has left: the rest of the request that it has got a part of is not for the next
    /// one.
    abandons: AtomicBool,
}

#[derive(Debug, Default)]
struct PortState {
    /// The control messages that are due.
    due: Due,
    /// The guest has the port open.
    is_open: bool,
    /// Somebody is at the other end.
    is_connected: bool,
    input: VecDeque<u8>,
    /// There was more input than room.
    is_hungry: bool,
    /// Columns and rows, if they are known.
    size: Option<[u16; 2]>,
}

/// What a queue is for.
enum Role<'a> {
    Receive(Option<&'a Port>),
    Transmit(Option<&'a Port>),
    ControlReceive,
    ControlTransmit,
}

/// The queues of a port: receive and transmit.
#[must_use]
pub fn queues_of(number: u32) -> [u16; 2] {
    let first = match u16::try_from(number.min(MOST_PORTS)).unwrap_or_default() {
        0 => 0,
        number => 2 * number + 2,
    };
    [first, first + 1]
}

impl Console {
    /// A device that has `ports`, and places for `max_ports`.
    #[must_use]
    pub fn new(max_ports: u32, ports: Vec<PortConfig>) -> Self {
        let max_ports = max_ports.clamp(1, MOST_PORTS);
        let mut queue_sizes = vec![PORT_QUEUE; 2 + 2 * max_ports as usize];
        queue_sizes[usize::from(CONTROL_RECEIVE)] = CONTROL_QUEUE;
        queue_sizes[usize::from(CONTROL_TRANSMIT)] = CONTROL_QUEUE;
        let port = |config: PortConfig| Port {
            // Nobody has to be there for a console's output (`virtconsole_realize`,
            // hw/char/virtio-console.c in QEMU).
            state: Mutex::new(PortState {
                is_connected: config.is_console,
                ..PortState::default()
            }),
            config,
            sent: AtomicUsize::new(0),
            is_behind: AtomicBool::new(false),
            abandons: AtomicBool::new(false),
        };
        Self {
            max_ports,
            ports: ports.into_iter().map(port).collect(),
            queue_sizes,
            has_size: AtomicBool::new(false),
            features: Mutex::new(0),
        }
    }

    fn port(&self, number: u32) -> Option<&Port> {
        self.ports.iter().find(|port| port.config.number == number)
    }

    /// Gives a port input. Returns how many bytes it takes; if that is not all, the port asks for
    /// more when there is room. Its receive queue must be served then.
    pub fn enqueue(&self, number: u32, bytes: &[u8]) -> usize {
        let Some(port) = self.port(number) else { return bytes.len() };
        let mut state = lock(&port.state);
        // Read while the state is locked: the driver that comes next sees that the port is hungry.
        let features = *lock(&self.features);
        // A driver that knows one port only does not open it.
        let listens =
            if features & F_MULTIPORT != 0 { state.is_open } else { features != 0 && number == 0 };
        let room = if listens { INPUT - state.input.len() } else { 0 };
        let taken = room.min(bytes.len());
        state.input.extend(&bytes[..taken]);
        state.is_hungry = taken < bytes.len();
        taken
    }

    /// Somebody has connected to the other end of a port, or has left. The queue
    /// [`CONTROL_RECEIVE`] must be served then.
    pub fn set_connected(&self, number: u32, is_connected: bool) {
        let Some(port) = self.port(number).filter(|port| !port.config.is_console) else { return };
        let mut state = lock(&port.state);
        if state.is_connected != is_connected {
            state.is_connected = is_connected;
            state.due.add_peer(is_connected);
            if !is_connected {
                port.abandons.store(true, Ordering::SeqCst);
            }
        }
    }

    /// The size of a console, in columns and rows. Once the driver has chosen its features, the
    /// queue [`CONTROL_RECEIVE`] must be served then.
    pub fn set_size(&self, number: u32, columns: u16, rows: u16) {
        let Some(port) = self.port(number).filter(|port| port.config.is_console) else { return };
        self.has_size.store(true, Ordering::SeqCst);
        let mut state = lock(&port.state);
        if state.size.replace([columns, rows]) != Some([columns, rows]) {
            state.due.add_if_ready(Due::SIZE);
        }
    }

    /// Whether a port's transmit queue must be served again at once.
    pub fn is_behind(&self, number: u32) -> bool {
        self.port(number).is_some_and(|port| port.is_behind.load(Ordering::SeqCst))
    }

    fn has(&self, feature: u64) -> bool {
        *lock(&self.features) & feature != 0
    }

    fn role(&self, queue: u16) -> Role<'_> {
        match queue {
            CONTROL_RECEIVE => Role::ControlReceive,
            CONTROL_TRANSMIT => Role::ControlTransmit,
            _ => {
                let number = if queue < 2 { 0 } else { u32::from(queue / 2) - 1 };
                let port = self.port(number);
                if queue.is_multiple_of(2) { Role::Receive(port) } else { Role::Transmit(port) }
            }
        }
    }
}

impl Port {
    /// Gives the driver input until there is none, or it has no buffers. Returns whether more
    /// buffers are needed.
    fn receive(&self, memory: &GuestMemoryMmap, requests: &mut Requests<'_>) -> bool {
        loop {
            if lock(&self.state).input.is_empty() {
                return false;
            }
            if requests.held().len() == 0 && !requests.hold() {
                return true;
            }
            let mut state = lock(&self.state);
            let buffers = requests
                .held()
                .next()
                .and_then(|chain| Buffers::new(memory, chain.writable(), Permissions::Write));
            // A buffer that is not in memory is given back empty.
            let written = buffers.map_or(0, |buffers| {
                let count = buffers.len().min(state.input.len());
                buffers.copy_from(&state.input.make_contiguous()[..count])
            });
            state.input.drain(..written);
            if written > 0 && std::mem::take(&mut state.is_hungry) {
                self.config.backend.has_room();
            }
            drop(state);
            requests.answer(&[u32::try_from(written).unwrap_or(0)]);
        }
    }

    /// Passes on a request of the driver. `None`: not all of it yet.
    fn transmit(&self, memory: &GuestMemoryMmap, chain: &Chain) -> Option<u32> {
        self.is_behind.store(false, Ordering::SeqCst);
        let sent = self.sent.swap(0, Ordering::SeqCst);
        let buffers = Buffers::new(memory, chain.readable(), Permissions::Read);
        // What is written while nobody is there is lost, as in QEMU (`handle_output`,
        // hw/char/virtio-serial-bus.c); so is what is not in memory.
        let is_connected = lock(&self.state).is_connected;
        let Some(mut rest) = buffers.filter(|_| is_connected).and_then(|mut b| b.split_off(sent))
        else {
            return Some(0);
        };
        let whole = sent + rest.len();
        let mut bytes = [0; PIECE];
        for _ in 0..PIECES {
            let piece = rest.len().min(PIECE);
            if piece == 0 {
                return Some(0);
            }
            if self.abandons.swap(false, Ordering::SeqCst) && rest.len() < whole {
                return Some(0);
            }
            let count = rest.copy_to(&mut bytes[..piece]);
            let taken = self.config.backend.write(&bytes[..count]).min(count);
            rest = rest.split_off(taken)?;
            if taken < piece {
                self.sent.store(whole - rest.len(), Ordering::SeqCst);
                return None;
            }
        }
        if rest.is_empty() {
            return Some(0);
        }
        self.sent.store(whole - rest.len(), Ordering::SeqCst);
        self.is_behind.store(true, Ordering::SeqCst);
        None
    }
}

impl VirtioDevice for Console {
    fn device_id(&self) -> u32 {
        VIRTIO_ID_CONSOLE
    }

    fn features(&self) -> u64 {
        let size = if self.has_size.load(Ordering::SeqCst) { F_SIZE } else { 0 };
        F_MULTIPORT | F_EMERG_WRITE | size
    }

    fn queue_sizes(&self) -> &[u16] {
        &self.queue_sizes
    }

    /// `struct virtio_console_config` (virtio 1.2, 5.3.4), little-endian: columns and rows of the
    /// console that is port 0, the number of ports, and the emergency write.
    fn read_config(&self, offset: u64, data: &mut [u8]) {
        let size = self.port(0).and_then(|port| lock(&port.state).size).unwrap_or_default();
        let mut config = [0; 12];
        config[..2].copy_from_slice(&size[0].to_le_bytes());
        config[2..4].copy_from_slice(&size[1].to_le_bytes());
        config[4..8].copy_from_slice(&self.max_ports.to_le_bytes());
        read_bytes(&config, offset, data);
    }

    fn write_config(&self, offset: u64, data: &[u8]) {
        if offset == EMERG_WRITE
            && let (Some(port), [character, ..]) = (self.port(0), data)
        {
            // One that cannot be written is lost.
            let _ = port.config.backend.write(&[*character]);
        }
    }

    fn negotiated(&self, features: u64) {
        *lock(&self.features) = features;
        for port in &self.ports {
            if std::mem::take(&mut lock(&port.state).is_hungry) {
                port.config.backend.has_room();
            }
        }
    }

    /// Whoever is at the other end stays there; what the guest has not read is lost.
    fn reset(&self) {
        *lock(&self.features) = 0;
        for port in &self.ports {
            let mut state = lock(&port.state);
            state.input.clear();
            state.due = Due::default();
            state.is_open = false;
            port.sent.store(0, Ordering::SeqCst);
            port.is_behind.store(false, Ordering::SeqCst);
            port.abandons.store(false, Ordering::SeqCst);
            // The source of what was not taken tries again.
            if std::mem::take(&mut state.is_hungry) {
                port.config.backend.has_room();
            }
        }
    }

    fn serve(&self, queue: u16, memory: &GuestMemoryMmap, chain: &Chain) -> Option<u32> {
        match self.role(queue) {
            Role::Transmit(Some(port)) => port.transmit(memory, chain),
            Role::ControlTransmit => {
                self.listen(memory, chain);
                Some(0)
            }
            Role::Transmit(None) | Role::Receive(_) | Role::ControlReceive => Some(0),
        }
    }

    fn serve_queue(
        &self,
        queue: u16,
        memory: &GuestMemoryMmap,
        requests: &mut Requests<'_>,
    ) -> bool {
        match self.role(queue) {
            Role::Receive(Some(port)) => port.receive(memory, requests),
            Role::Receive(None) => false,
            Role::ControlReceive => self.tell(memory, requests),
            Role::Transmit(_) | Role::ControlTransmit => {
                requests.answer_each(|chain| self.serve(queue, memory, chain))
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
