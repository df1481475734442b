//! The control connection to an FTP server (RFC 959): commands and replies, and the data
//! connections that they open (RFC 2428).
//!
//! Every reply is bounded, in bytes and in time: a server can send lines without end (4.2: a reply
//! can have many lines).

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use crate::remote::address::{connect, is_stall, limit, stalled, unanswered, unreached};
use crate::remote::pace::{Deadline, Pace};
use storage::Failure;

/// The most bytes of a reply: banners have a few screens.
const REPLY: usize = 64 << 10;

/// Why something did not work.
#[derive(Debug)]
pub(super) enum FtpError {
    /// The connection, or what came by it.
    Connection(io::Error),
    /// The server refuses, or says something else than expected.
    Unexpected(Reply),
    /// It is no FTP.
    BadReply,
}

impl From<io::Error> for FtpError {
    fn from(error: io::Error) -> Self {
        Self::Connection(error)
    }
}

/// A reply.
#[derive(Debug)]
pub(super) struct Reply {
    /// Its three digits.
    pub code: u16,
    /// All of it, also the digits.
    pub text: Vec<u8>,
}

impl Reply {
    /// The last line without the code.
    pub fn words(&self) -> String {
        let text = String::from_utf8_lossy(&self.text);
        let line = text.trim_end().rsplit('\n').next().unwrap_or_default();
        line.get(4..).unwrap_or_default().trim().to_owned()
    }

    /// Whether the server does not know the command.
    pub fn is_unknown(&self) -> bool {
        matches!(self.code, 500 | 502 | 504)
    }

    /// The reply, if its code begins with this digit.
    pub fn expect(self, first: u16) -> Result<Self, FtpError> {
        if self.code / 100 == first { Ok(self) } else { Err(FtpError::Unexpected(self)) }
    }
}

/// A control connection.
#[derive(Debug)]
pub(super) struct Control {
    stream: TcpStream,
    peer: IpAddr,
    idle: Duration,
    /// Bytes that came and were not used yet.
    rest: Vec<u8>,
    /// Whether the server does not know EPSV.
    is_passive: bool,
}

/// A data connection.
#[derive(Debug)]
pub(super) struct Transfer {
    stream: TcpStream,
    pace: Pace,
    idle: Duration,
}

impl Control {
    /// Connects, and reads the greeting.
    pub fn connect(addresses: &[SocketAddr], idle: Duration) -> Result<Self, FtpError> {
        let stream = connect(addresses, idle)?;
        let peer = stream.peer_addr()?.ip();
        let mut control = Self { stream, peer, idle, rest: Vec::new(), is_passive: false };
        control.reply()?.expect(2)?;
        Ok(control)
    }

    /// Sends a command and takes its reply. The caller has no line breaks in it.
    pub fn command(&mut self, command: &str) -> Result<Reply, FtpError> {
        self.stream
            .write_all(format!("{command}\r\n").as_bytes())
            .map_err(|error| self.of(error))?;
        self.reply()
    }

    /// Has the server open a data connection for a command. `Err` in it: what the server says
    /// instead.
    pub fn transfer(
        &mut self,
        command: &str,
        from: u64,
    ) -> Result<Result<Transfer, Reply>, FtpError> {
        let port = self.data_port()?;
        // Whatever address the server names: its data come from itself.
        let to = SocketAddr::new(self.peer, port);
        let stream = TcpStream::connect_timeout(&to, self.idle);
        let stream = stream.map_err(|error| unreached(to, self.idle, &error))?;
        limit(&stream, self.idle)?;
        if from > 0 {
            self.command(&format!("REST {from}"))?.expect(3)?;
        }
        let reply = self.command(command)?;
        if reply.code / 100 != 1 {
            return Ok(Err(reply));
        }
        Ok(Ok(Transfer { stream, pace: Pace::new(self.idle), idle: self.idle }))
    }

    /// Closes a data connection, and takes the server's last word about it within `limit`.
    pub fn finish(&mut self, transfer: Transfer, limit: Duration) -> Result<(), FtpError> {
        drop(transfer);
        self.reply_within(Deadline::new(limit))?.expect(2).map(drop)
    }

    /// EPSV, or PASV from 1985 where the server does not know it.
    fn data_port(&mut self) -> Result<u16, FtpError> {
        if !self.is_passive {
            let reply = self.command("EPSV")?;
            if reply.code / 100 == 2 {
                return extended_port(&reply.words()).ok_or(FtpError::BadReply);
            }
            if !reply.is_unknown() && !matches!(reply.code, 501 | 522) {
                return Err(FtpError::Unexpected(reply));
            }
            self.is_passive = true;
        }
        let reply = self.command("PASV")?.expect(2)?;
        passive_port(&reply.words()).ok_or(FtpError::BadReply)
    }

    fn reply(&mut self) -> Result<Reply, FtpError> {
        self.reply_within(Deadline::new(self.idle))
    }

    fn reply_within(&mut self, deadline: Deadline) -> Result<Reply, FtpError> {
        let mut text = self.line(deadline, REPLY)?;
        let digits = text.get(..3).filter(|digits| digits.iter().all(u8::is_ascii_digit));
        let digits = digits.ok_or(FtpError::BadReply)?.to_vec();
        let code = digits.iter().fold(0, |code, digit| code * 10 + u16::from(digit - b'0'));
        if !matches!(text.get(3), None | Some(b' ' | b'-' | b'\r' | b'\n')) {
            return Err(FtpError::BadReply);
        }
        if text.get(3) == Some(&b'-') {
            loop {
                let line = self.line(deadline, REPLY - text.len())?;
                let is_last = line.starts_with(&digits) && line.get(3) != Some(&b'-');
                text.extend(line);
                if is_last {
                    break;
                }
            }
        }
        Ok(Reply { code, text })
    }

    /// The next line, of at most `most` bytes, with its end.
    fn line(&mut self, deadline: Deadline, most: usize) -> Result<Vec<u8>, FtpError> {
        let mut searched = 0;
        loop {
            if let Some(end) = self.rest[searched..].iter().position(|byte| *byte == b'\n') {
                let rest = self.rest.split_off(searched + end + 1);
                let line = std::mem::replace(&mut self.rest, rest);
                return if line.len() > most { Err(too_long()) } else { Ok(line) };
            }
            searched = self.rest.len();
            if searched > most {
                return Err(too_long());
            }
            self.stream.set_read_timeout(Some(deadline.left()?))?;
            let mut piece = [0; 4096];
            match self.stream.read(&mut piece) {
                Ok(0) => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
                Ok(count) => self.rest.extend_from_slice(&piece[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.of(error).into()),
            }
        }
    }

    fn of(&self, error: io::Error) -> io::Error {
        if is_stall(&error) { unanswered(self.idle) } else { error }
    }
}

impl Transfer {
    /// The idle timeout.
    pub fn idle(&self) -> Duration {
        self.idle
    }
}

impl Read for Transfer {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let count = match self.stream.read(to) {
            Err(error) if is_stall(&error) => return Err(stalled(self.idle)),
            read => read?,
        };
        if count > 0 {
            self.pace.took(count)?;
        }
        Ok(count)
    }
}

fn too_long() -> FtpError {
    let problem = format!("the server's reply has more than {REPLY} bytes");
    FtpError::Connection(Failure::new(problem, "is it an FTP server?").into())
}

/// `Entering Extended Passive Mode (|||PORT|)`, with any delimiter (RFC 2428, 3).
fn extended_port(words: &str) -> Option<u16> {
    let (_, inner) = words.rsplit_once('(')?;
    let delimiter = inner.chars().next()?;
    inner.split(delimiter).nth(3)?.parse().ok().filter(|port| *port != 0)
}

/// `Entering Passive Mode (H1,H2,H3,H4,P1,P2)`; servers differ in what is around the numbers (RFC
/// 1123, 4.1.2.6).
fn passive_port(words: &str) -> Option<u16> {
    let is_number = |c: char| c.is_ascii_digit() || c == ',';
    let numbers = words.split(|c| !is_number(c)).find(|part| part.matches(',').count() == 5)?;
    let mut numbers = numbers.split(',').map(|number| number.parse::<u8>().ok());
    let (high, low) = (numbers.nth(4)??, numbers.next()??);
    Some(u16::from_be_bytes([high, low])).filter(|port| *port != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_found_in_replies() {
        for (words, port) in [
            ("Entering Extended Passive Mode (|||6446|)", Some(6446)),
            ("go (!!!21!)", Some(21)),
            ("(|||0|)", None),
            ("(|||65536|)", None),
            ("(|||)", None),
            ("no", None),
            ("", None),
        ] {
            assert_eq!(extended_port(words), port, "{words}");
        }
        for (words, port) in [
            ("Entering Passive Mode (10,9,8,7,4,1)", Some(1025)),
            ("=127,0,0,1,0,21.", Some(21)),
            ("(1,2,3,4,0,0)", None),
            ("(1,2,3,4,256,1)", None),
            ("(1,2,3,4,5)", None),
            ("", None),
        ] {
            assert_eq!(passive_port(words), port, "{words}");
        }
    }
}
