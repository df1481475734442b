//! The control messages of a console device (virtio 1.2, 5.3.6.2): le32 port, le16 event, le16
//! value, and, for some, more bytes.

use vm_memory::{GuestMemoryMmap, Permissions};

use super::{Console, F_SIZE, Port, lock};
use crate::buffers::Buffers;
use crate::virtio::chain::Chain;
use crate::virtio::requests::Requests;

const DEVICE_READY: u16 = 0;
const DEVICE_ADD: u16 = 1;
const PORT_READY: u16 = 3;
const CONSOLE_PORT: u16 = 4;
const RESIZE: u16 = 5;
const PORT_OPEN: u16 = 6;
const PORT_NAME: u16 = 7;

/// Bytes of a message without what follows.
const HEADER: usize = 8;

/// The messages about a port that are due to the driver: a set, so that it does not grow, however
/// often the driver asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Due {
    messages: u8,
    /// The driver knows the port: changes are told from now on.
    is_ready: bool,
}

impl Due {
    /// There is such a port.
    pub const ADD: u8 = 1;
    /// It is a console.
    pub const CONSOLE: u8 = 1 << 1;
    /// Its size.
    pub const SIZE: u8 = 1 << 2;
    /// Its name.
    pub const NAME: u8 = 1 << 3;
    /// Nobody is at the other end any more.
    pub const CLOSED: u8 = 1 << 4;
    /// Somebody is at the other end. If another one has left just before, the driver hears of both.
    pub const OPEN: u8 = 1 << 5;

    /// Adds a message about a change, unless the driver does not know the port yet.
    pub fn add_if_ready(&mut self, message: u8) {
        if self.is_ready {
            self.messages |= message;
        }
    }

    /// Adds the message that somebody is at the other end, or that nobody is any more.
    pub fn add_peer(&mut self, is_there: bool) {
        if !is_there {
            self.messages &= !Self::OPEN;
        }
        self.add_if_ready(if is_there { Self::OPEN } else { Self::CLOSED });
    }

    /// The first message.
    fn first(self) -> Option<u8> {
        (self.messages != 0).then(|| 1 << self.messages.trailing_zeros())
    }
}

impl Console {
    /// Takes a message of the driver. One that is not known, or about no port, is dropped.
    pub(super) fn listen(&self, memory: &GuestMemoryMmap, chain: &Chain) {
        let Some(buffers) = Buffers::new(memory, chain.readable(), Permissions::Read) else {
            return;
        };
        let mut message = [0; HEADER];
        if buffers.copy_to(&mut message) < HEADER {
            return;
        }
        let [p0, p1, p2, p3, e0, e1, v0, v1] = message;
        let number = u32::from_le_bytes([p0, p1, p2, p3]);
        let (event, value) = (u16::from_le_bytes([e0, e1]), u16::from_le_bytes([v0, v1]));
        match (event, self.port(number)) {
            (DEVICE_READY, _) if value == 1 => {
                for port in &self.ports {
                    lock(&port.state).due.messages |= Due::ADD;
                }
            }
            (PORT_READY, Some(port)) if value == 1 => self.introduce(port),
            (PORT_OPEN, Some(port)) => {
                let mut state = lock(&port.state);
                state.is_open = value != 0;
                if state.is_open && std::mem::take(&mut state.is_hungry) {
                    port.config.backend.has_room();
                }
            }
            _ => {}
        }
    }

    /// What there is to tell about a port, in QEMU's order (`handle_control_message`,
    /// hw/char/virtio-serial-bus.c).
    fn introduce(&self, port: &Port) {
        let mut state = lock(&port.state);
        state.due.is_ready = true;
        let messages = [
            (port.config.is_console, Due::CONSOLE),
            (state.size.is_some() && self.has(F_SIZE), Due::SIZE),
            (!port.config.name.is_empty(), Due::NAME),
            (state.is_connected, Due::OPEN),
        ];
        for (_, message) in messages.into_iter().filter(|(is_due, _)| *is_due) {
            state.due.messages |= message;
        }
    }

    /// Sends what is due, until the driver has no buffers. Returns whether more are needed.
    pub(super) fn tell(&self, memory: &GuestMemoryMmap, requests: &mut Requests<'_>) -> bool {
        for port in &self.ports {
            while lock(&port.state).due.first().is_some() {
                if requests.held().len() == 0 && !requests.hold() {
                    return true;
                }
                let mut state = lock(&port.state);
                let Some(first) = state.due.first() else { break };
                state.due.messages &= !first;
                let size = state.size.unwrap_or_default();
                drop(state);
                let message = port.message(first, size);
                let buffers = requests
                    .held()
                    .next()
                    .and_then(|chain| Buffers::new(memory, chain.writable(), Permissions::Write));
                // What does not fit into the driver's buffer is cut, as in QEMU.
                let written = buffers.map_or(0, |buffers| buffers.copy_from(&message));
                requests.answer(&[u32::try_from(written).unwrap_or(0)]);
            }
        }
        false
    }
}

impl Port {
    fn message(&self, message: u8, [columns, rows]: [u16; 2]) -> Vec<u8> {
        let (event, value, more) = match message {
            Due::ADD => (DEVICE_ADD, 1, Vec::new()),
            Due::CONSOLE => (CONSOLE_PORT, 1, Vec::new()),
            // Rows come first, unlike in the configuration and in virtio 1.2: so Linux and the BSDs
            // read it (`handle_control_message`, drivers/char/virtio_console.c).
            Due::SIZE => (RESIZE, 1, [rows.to_le_bytes(), columns.to_le_bytes()].concat()),
            // Without a NUL at its end.
            Due::NAME => (PORT_NAME, 1, self.config.name.clone().into_bytes()),
            _ => (PORT_OPEN, u16::from(message == Due::OPEN), Vec::new()),
        };
        let mut bytes = self.config.number.to_le_bytes().to_vec();
        bytes.extend(event.to_le_bytes());
        bytes.extend(value.to_le_bytes());
        bytes.extend(more);
        bytes
    }
}
