//! A client of gdb's remote protocol, as small as the tests need it.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::LIMIT;

/// The offset of pc among the registers, in bytes, and their size in all.
const PC: usize = 16 * 8;

/// A connection to a server for gdb.
#[derive(Debug)]
pub struct Remote {
    socket: UnixStream,
    received: Vec<u8>,
}

impl Remote {
    /// Connects, as soon as somebody listens.
    ///
    /// # Panics
    /// If nobody does in [`LIMIT`].
    #[must_use]
    #[expect(clippy::panic, reason = "this is how a test fails")]
    pub fn connect(path: &Path) -> Self {
        let until = Instant::now() + LIMIT;
        loop {
            match UnixStream::connect(path) {
                Ok(socket) => {
                    drop(socket.set_read_timeout(Some(LIMIT)));
                    return Self { socket, received: Vec::new() };
                }
                Err(_) if Instant::now() < until => thread::sleep(Duration::from_millis(5)),
                Err(error) => panic!("{}: {error}", path.display()),
            }
        }
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// The connection is closed.
    pub fn send_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.socket.write_all(bytes)
    }

    /// Sends a packet, without waiting for its answer.
    ///
    /// # Panics
    /// The connection is closed.
    #[expect(clippy::panic, reason = "this is how a test fails")]
    pub fn send(&mut self, packet: &str) {
        let sum = packet.bytes().fold(0u8, u8::wrapping_add);
        let sent = self.send_raw(format!("${packet}#{sum:02x}").as_bytes());
        sent.unwrap_or_else(|error| panic!("{packet}: {error}"));
    }

    /// The next packet; `None` if the connection is closed.
    ///
    /// # Panics
    /// If there is none in [`LIMIT`].
    #[expect(clippy::panic, reason = "this is how a test fails")]
    pub fn receive(&mut self) -> Option<String> {
        loop {
            if let Some(packet) = self.take_packet() {
                drop(self.send_raw(b"+"));
                return Some(packet);
            }
            let mut bytes = [0; 4096];
            match self.socket.read(&mut bytes) {
                Ok(0) => return None,
                Ok(count) => self.received.extend(&bytes[..count]),
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("no packet: {error}; so far {:?}", self.received),
            }
        }
    }

    fn take_packet(&mut self) -> Option<String> {
        let start = self.received.iter().position(|byte| *byte == b'$')? + 1;
        let len = self.received[start..].iter().position(|byte| *byte == b'#')?;
        let end = start + len;
        if self.received.len() < end + 3 {
            return None;
        }
        let packet = String::from_utf8_lossy(&self.received[start..end]).into_owned();
        self.received.drain(..end + 3);
        // Run-length encoding: a character, '*', and 29 more than how often it comes again.
        let mut plain = String::new();
        let mut bytes = packet.chars();
        while let Some(next) = bytes.next() {
            match (next, plain.chars().last()) {
                ('*', Some(last)) => {
                    let count = bytes.next().map_or(0, |c| u32::from(c).saturating_sub(29));
                    plain.extend((0..count).map(|_| last));
                }
                _ => plain.push(next),
            }
        }
        Some(plain)
    }

    /// Sends a packet and returns its answer.
    ///
    /// # Panics
    /// If there is none.
    pub fn ask(&mut self, packet: &str) -> String {
        self.send(packet);
        self.receive().expect("the connection is closed instead of an answer")
    }

    /// All registers of a CPU, from 0.
    ///
    /// # Panics
    /// If they are not sent.
    pub fn registers(&mut self, cpu: usize) -> Vec<u8> {
        assert_eq!(self.ask(&format!("Hg{:x}", cpu + 1)), "OK");
        bytes(&self.ask("g"))
    }

    /// The address of the next instruction of a CPU.
    ///
    /// # Panics
    /// If it is not sent.
    pub fn pc(&mut self, cpu: usize) -> u64 {
        number(&self.registers(cpu)[PC..])
    }

    /// A general register of CPU 0: 0 is RAX, 1 RBX, 4 RSI, 15 R15.
    ///
    /// # Panics
    /// If it is not sent.
    pub fn general(&mut self, number_of: usize) -> u64 {
        number(&self.registers(0)[number_of * 8..])
    }

    /// Memory, or what the server says instead.
    ///
    /// # Panics
    /// If nothing is sent.
    pub fn memory(&mut self, at: u64, len: usize) -> Vec<u8> {
        bytes(&self.ask(&format!("m{at:x},{len:x}")))
    }
}

/// Bytes from hexadecimal digits; those of an error are none.
fn bytes(digits: &str) -> Vec<u8> {
    let byte = |at| digits.get(at..at + 2).and_then(|byte| u8::from_str_radix(byte, 16).ok());
    (0..digits.len()).step_by(2).map_while(byte).collect()
}

fn number(bytes: &[u8]) -> u64 {
    bytes.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}
