//! virtio-serial devices and their ports (`-device virtio-serial`, `virtconsole`,
//! `virtserialport`).

use super::Chardev;

/// A device with ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VirtioSerial {
    /// How many ports it has places for: 1 to [`devices::virtio::console::MOST_PORTS`].
    pub max_ports: u32,
    /// Its ports, by their numbers.
    pub ports: Vec<VirtioPort>,
}

/// A port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VirtioPort {
    /// Its number, below the device's `max_ports`; each number once.
    pub number: u32,
    /// Whether it is a console (Linux: `/dev/hvc0`) or a port for programs (`/dev/vport0p1`).
    pub is_console: bool,
    /// Its name, which Linux shows in `/sys/class/virtio-ports`; may be empty.
    pub name: String,
    /// What it is connected to.
    pub chardev: Chardev,
}
