//! User networks: in the lab with a guest ([`lab`]), and without a guest, frames on one side and
//! sockets on loopback on the other.
//!
//! There a network is a program behind a Unix socket, where each frame follows its length in four
//! bytes (big-endian): passt; libslirp in a QEMU without a machine; and chukka's crate in a thread,
//! with the same socket. That is fair to all of them, but chukka has no such socket between the
//! card and the network, so the crate is measured without it as well.

pub mod guest;
pub mod lab;
pub mod rival;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread::JoinHandle;
use std::time::Duration;

use crate::Error;

/// In which direction the bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From a socket of the host to the guest.
    Received,
    /// From the guest to a socket of the host.
    Sent,
}

/// What a transfer took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// On the wall.
    pub time: Duration,
    /// Processor time of the network alone; `None` if it has no thread of its own.
    pub processor: Option<Duration>,
    /// Bytes of TCP payload.
    pub bytes: u64,
    /// Frames with payload.
    pub segments: u64,
}

/// A server on loopback that sends, or receives, `bytes` on its only connection. The thread returns
/// how many bytes it has received.
///
/// # Errors
/// There is no port.
pub fn server(direction: Direction, bytes: u64) -> Result<(u16, JoinHandle<u64>), Error> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    let serve = move || {
        let Ok((mut stream, _)) = listener.accept() else { return 0 };
        let mut block = vec![0x5a; 256 << 10];
        let mut moved = 0;
        while moved < bytes {
            let most = block.len().min(usize::try_from(bytes - moved).unwrap_or(usize::MAX));
            let count = match direction {
                Direction::Received => stream.write(&block[..most]),
                Direction::Sent => stream.read(&mut block),
            };
            match count {
                Ok(count) if count > 0 => moved += count as u64,
                _ => break,
            }
        }
        moved
    };
    Ok((port, std::thread::spawn(serve)))
}
