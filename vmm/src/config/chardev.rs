//! Character devices (`-chardev`): where the bytes of a serial port, a virtio port, the debug
//! console or a monitor go, and where they come from.

use std::fmt;
use std::path::PathBuf;

use super::SocketAddress;

/// A character device of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chardev {
    /// Its `id=`, by which users and scripts know a pseudo-terminal.
    pub id: Option<String>,
    /// What it is.
    pub backend: CharBackend,
    /// A file that records what the guest writes.
    pub log: Option<CharFile>,
    /// Whether each line that the guest writes begins with the host's time since the device was
    /// opened.
    pub timestamps: bool,
}

/// What a character device is connected to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CharBackend {
    /// Nothing: output is dropped, and there is no input.
    Null,
    /// chukka's standard input and output. At most one device gets the input.
    Stdio,
    /// A file for the output. There is no input.
    File(CharFile),
    /// A new pseudo-terminal of the host.
    Pty,
    /// A socket.
    Socket(CharSocket),
}

/// A file for output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CharFile {
    /// Its path.
    pub path: PathBuf,
    /// Whether what it contains stays; otherwise it is truncated.
    pub append: bool,
}

/// A socket with one peer at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CharSocket {
    /// Where.
    pub address: SocketAddress,
    /// Whether chukka listens. Otherwise it connects, once.
    pub server: bool,
    /// Whether the guest does not start before somebody has connected, if chukka listens.
    pub wait: bool,
}

impl From<CharBackend> for Chardev {
    fn from(backend: CharBackend) -> Self {
        Self { id: None, backend, log: None, timestamps: false }
    }
}

impl Chardev {
    /// Whether it is standard input and output.
    #[must_use]
    pub fn is_stdio(&self) -> bool {
        self.backend == CharBackend::Stdio
    }

    /// Whether its output goes anywhere.
    #[must_use]
    pub fn is_seen(&self) -> bool {
        self.backend != CharBackend::Null || self.log.is_some()
    }

    /// The socket in the file system that chukka makes for it, if any.
    #[must_use]
    pub fn socket_path(&self) -> Option<&std::path::Path> {
        match &self.backend {
            CharBackend::Socket(CharSocket {
                address: SocketAddress::Unix(path),
                server: true,
                ..
            }) => Some(path),
            _ => None,
        }
    }
}

impl fmt::Display for CharBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Stdio => f.write_str("standard input"),
            Self::File(file) => write!(f, "'{}'", file.path.display()),
            Self::Pty => f.write_str("a pseudo-terminal"),
            Self::Socket(socket) => write!(f, "{}", socket.address),
        }
    }
}
