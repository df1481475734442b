//! The sending side of gdb's connection.

use std::fs::File;
use std::io::{self, Write};

use gdbstub::conn::Connection;

/// The most that is sent in one answer, in bytes: many times what gdb asks for.
const ANSWER: usize = 1 << 20;

/// A connection's sending side. An answer is sent as a whole.
#[derive(Debug)]
pub struct Link {
    socket: File,
    answer: Vec<u8>,
}

impl Link {
    /// Sends to `socket`.
    pub fn new(socket: File) -> Self {
        Self { socket, answer: Vec::new() }
    }
}

impl Connection for Link {
    type Error = io::Error;

    fn write(&mut self, byte: u8) -> io::Result<()> {
        if self.answer.len() >= ANSWER {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.answer.push(byte);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        let answer = std::mem::take(&mut self.answer);
        self.socket.write_all(&answer)
    }
}
