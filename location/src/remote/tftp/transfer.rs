//! One file sent by TFTP: RFC 1350, with the options of RFC 2347: blksize (2348), tsize (2349) and
//! windowsize (7440).

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use crate::remote::address::{is_stall, said, stalled};
use crate::remote::pace::Pace;
use storage::Failure;

const RRQ: u16 = 1;
const DATA: u16 = 3;
const ACK: u16 = 4;
const ERROR: u16 = 5;
const OACK: u16 = 6;

/// Bytes of a block where nothing else was agreed.
const BLOCK: usize = 512;
/// What fits into a packet of an Ethernet with its IP and UDP headers.
const ASKED_BLOCK: usize = 1468;
/// Blocks that come without being acknowledged one by one.
const ASKED_WINDOW: u16 = 16;

/// Why there is no transfer, or no more of it.
#[derive(Debug)]
pub(super) enum Stopped {
    /// The server said so.
    Refused(Refused),
    /// Anything else.
    Failed(io::Error),
}

/// What a server says in an error packet (RFC 1350, section 5).
#[derive(Debug)]
pub(super) struct Refused {
    /// 1 is a file that is not there, 2 one that may not be read, 4 a request that is not
    /// understood, 8 an option (RFC 2347).
    pub code: u16,
    text: String,
}

impl Refused {
    /// Whether there is nothing of that name. Some servers have only words for it.
    pub fn is_missing(&self) -> bool {
        let text = self.text.to_ascii_lowercase();
        let words = ["not found", "no such file", "not exist", "not a regular file"];
        self.code == 1 || matches!(self.code, 0 | 2) && words.iter().any(|word| text.contains(word))
    }
}

impl From<io::Error> for Stopped {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}

impl From<Stopped> for io::Error {
    fn from(stopped: Stopped) -> Self {
        match stopped {
            Stopped::Failed(error) => error,
            Stopped::Refused(Refused { code, text }) => {
                let problem = format!("the TFTP server refused: {text} (error {code})");
                Failure::new(problem, "check the file's permissions on the server").into()
            }
        }
    }
}

/// A file that is being sent.
#[derive(Debug)]
pub(super) struct Transfer {
    socket: UdpSocket,
    /// The server's port for this transfer, once it has answered (its TID, RFC 1350, section 4).
    peer: SocketAddr,
    answered: bool,
    idle: Duration,
    pace: Pace,
    block: usize,
    window: u16,
    announced: Option<u64>,
    /// The number of the block that comes next.
    next: u16,
    /// Blocks since the last acknowledgement.
    unacknowledged: u16,
    /// What is sent again when nothing comes.
    last: Vec<u8>,
    /// Whether it was said that a block is missing.
    complained: bool,
    ended: bool,
    /// The last block, and how much of it was taken.
    bytes: Vec<u8>,
    taken: usize,
}

/// Options that were agreed on; without a value where the server did not take one.
#[derive(Debug, Default, PartialEq, Eq)]
struct Options {
    block: Option<usize>,
    window: Option<u16>,
    size: Option<u64>,
}

impl Transfer {
    /// Asks for `file`, with options or without; returns once the server has answered.
    pub fn begin(
        server: SocketAddr,
        file: &str,
        with_options: bool,
        idle: Duration,
    ) -> Result<Self, Stopped> {
        let any: SocketAddr = match server {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let mut transfer = Self {
            socket: UdpSocket::bind(any)?,
            peer: server,
            answered: false,
            idle,
            pace: Pace::new(idle),
            block: BLOCK,
            window: 1,
            announced: None,
            next: 1,
            unacknowledged: 0,
            last: request(file, with_options),
            complained: false,
            ended: false,
            bytes: Vec::new(),
            taken: 0,
        };
        transfer.send_last()?;
        transfer.receive(with_options)?;
        Ok(transfer)
    }

    /// How long the file is, as the server says.
    pub fn announced(&self) -> Option<u64> {
        self.announced
    }

    /// The next bytes; 0: there are no more.
    pub fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        while self.taken == self.bytes.len() {
            if self.ended || to.is_empty() {
                return Ok(0);
            }
            self.receive(false)?;
        }
        let count = to.len().min(self.bytes.len() - self.taken);
        to[..count].copy_from_slice(&self.bytes[self.taken..self.taken + count]);
        self.taken += count;
        Ok(count)
    }

    /// Waits for the next block, or for the answer to the request, which may be the options that
    /// the server takes.
    fn receive(&mut self, options_asked: bool) -> Result<(), Stopped> {
        let begun = Instant::now();
        // RFC 1123, 4.2.3.2: retransmissions back off.
        let mut again = (self.idle / 8).clamp(Duration::from_millis(10), Duration::from_secs(1));
        let mut sent = Instant::now();
        let mut packet = vec![0; 4 + self.block.max(ASKED_BLOCK) + 1];
        loop {
            let Some(left) = self.idle.checked_sub(begun.elapsed()).filter(|left| !left.is_zero())
            else {
                return Err(stalled(self.idle).into());
            };
            let until_again = again.saturating_sub(sent.elapsed());
            if until_again.is_zero() {
                self.send_last()?;
                again = again.saturating_mul(2);
                sent = Instant::now();
                continue;
            }
            self.socket.set_read_timeout(Some(left.min(until_again)))?;
            let (count, from) = match self.socket.recv_from(&mut packet) {
                Ok(received) => received,
                Err(error) if is_stall(&error) || error.kind() == io::ErrorKind::Interrupted => {
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            if self.is_foreign(from) {
                continue;
            }
            if self.take(&packet[..count], from, options_asked)? {
                return Ok(());
            }
        }
    }

    /// Whether it comes from somebody else, who is told so and has no other influence (RFC 1350,
    /// section 4).
    fn is_foreign(&self, from: SocketAddr) -> bool {
        let is_foreign = if self.answered {
            from != self.peer
        } else {
            // The server answers from a port of its choice.
            from.ip() != self.peer.ip()
        };
        if is_foreign {
            // If it is not told, it finds out.
            let _ = self.socket.send_to(&error_packet(5, "unknown transfer"), from);
        }
        is_foreign
    }

    /// One packet of the server's; whether it was what was waited for.
    fn take(&mut self, packet: &[u8], from: SocketAddr, options: bool) -> Result<bool, Stopped> {
        let (Some(kind), Some(number)) = (word(packet, 0), word(packet, 2)) else {
            // Too short for anything.
            return Ok(false);
        };
        match kind {
            DATA => {
                self.answer_from(from);
                self.take_block(number, &packet[4..])
            }
            ERROR => {
                self.answer_from(from);
                // There is nobody any more who could be told.
                self.ended = true;
                let text = packet[4..].split(|byte| *byte == 0).next().unwrap_or_default();
                Err(Stopped::Refused(Refused { code: number, text: said(text) }))
            }
            OACK if options && !self.answered => {
                self.answer_from(from);
                match read_options(&packet[2..]) {
                    Ok(options) => {
                        self.block = options.block.unwrap_or(BLOCK);
                        self.window = options.window.unwrap_or(1);
                        self.announced = options.size;
                        self.acknowledge(0)?;
                        Ok(true)
                    }
                    Err(why) => {
                        self.refuse(8, &why);
                        let problem = format!("unexpected TFTP reply: {why}");
                        let failure = Failure::new(problem, "is it a TFTP server?");
                        Err(Stopped::Failed(failure.into()))
                    }
                }
            }
            _ => Ok(false),
        }
    }

    fn answer_from(&mut self, from: SocketAddr) {
        self.peer = from;
        self.answered = true;
    }

    fn take_block(&mut self, number: u16, bytes: &[u8]) -> Result<bool, Stopped> {
        if bytes.len() > self.block {
            let why = format!("a block of more than the {} bytes agreed on", self.block);
            self.refuse(4, &why);
            let failure = Failure::new(
                format!("the TFTP server sent {why}"),
                "try again, or use another server",
            );
            return Err(Stopped::Failed(failure.into()));
        }
        // Numbers begin again behind 65535 in long files.
        match number.wrapping_sub(self.next) {
            0 => {}
            ahead if ahead < self.window => {
                // RFC 7440, section 4: one on the way is lost; the last that came in order is
                // acknowledged, once.
                if !self.complained {
                    self.complained = true;
                    self.acknowledge(self.next.wrapping_sub(1))?;
                }
                return Ok(false);
            }
            // It was here before. To answer it would have everything sent twice from then on (RFC
            // 1123, 4.2.3.1).
            _ => return Ok(false),
        }
        self.complained = false;
        self.ended = bytes.len() < self.block;
        if !self.ended {
            self.pace.took(bytes.len())?;
        }
        self.bytes.clear();
        self.bytes.extend_from_slice(bytes);
        self.taken = 0;
        self.next = number.wrapping_add(1);
        self.unacknowledged += 1;
        if self.ended || self.unacknowledged >= self.window {
            self.acknowledge(number)?;
        } else {
            // What is sent again when nothing comes.
            self.last = acknowledgement(number);
        }
        Ok(true)
    }

    fn acknowledge(&mut self, number: u16) -> io::Result<()> {
        self.unacknowledged = 0;
        self.last = acknowledgement(number);
        self.send_last()
    }

    fn send_last(&self) -> io::Result<()> {
        self.socket.send_to(&self.last, self.peer).map(drop)
    }

    fn refuse(&mut self, code: u16, why: &str) {
        self.ended = true;
        // If the server does not hear it, it gives up by itself.
        let _ = self.socket.send_to(&error_packet(code, why), self.peer);
    }
}

impl Drop for Transfer {
    fn drop(&mut self) {
        if self.answered && !self.ended {
            self.refuse(0, "no more is wanted");
        }
    }
}

fn request(file: &str, with_options: bool) -> Vec<u8> {
    let mut packet = RRQ.to_be_bytes().to_vec();
    let mut words = vec![file.to_owned(), "octet".into()];
    if with_options {
        let options = [
            ("blksize", ASKED_BLOCK.to_string()),
            ("tsize", "0".into()),
            ("windowsize", ASKED_WINDOW.to_string()),
        ];
        words.extend(options.into_iter().flat_map(|(name, value)| [name.into(), value]));
    }
    for word in words {
        packet.extend_from_slice(word.as_bytes());
        packet.push(0);
    }
    packet
}

fn acknowledgement(number: u16) -> Vec<u8> {
    [ACK.to_be_bytes(), number.to_be_bytes()].concat()
}

fn error_packet(code: u16, text: &str) -> Vec<u8> {
    let mut packet = [ERROR.to_be_bytes(), code.to_be_bytes()].concat();
    packet.extend_from_slice(text.as_bytes());
    packet.push(0);
    packet
}

fn word(packet: &[u8], at: usize) -> Option<u16> {
    let bytes = packet.get(at..at + 2)?;
    Some(u16::from_be_bytes([bytes[0], bytes[1]]))
}

/// What the server takes of what was asked: nothing else, and no more of it.
fn read_options(packet: &[u8]) -> Result<Options, String> {
    let text = packet.strip_suffix(&[0]).unwrap_or(packet);
    let words: Vec<_> = text.split(|byte| *byte == 0).map(said).collect();
    let mut options = Options::default();
    for pair in words.chunks(2) {
        let [name, value] = pair else {
            return Err(format!("the option {} without a value", pair[0]));
        };
        let bad = || format!("the option {name} with the value {value}");
        let number: u64 = value.parse().map_err(|_| bad())?;
        match name.to_ascii_lowercase().as_str() {
            "blksize" => {
                let block = usize::try_from(number).ok();
                options.block =
                    Some(block.filter(|block| (8..=ASKED_BLOCK).contains(block)).ok_or_else(bad)?);
            }
            "windowsize" => {
                let window = u16::try_from(number).ok();
                options.window = Some(
                    window.filter(|window| (1..=ASKED_WINDOW).contains(window)).ok_or_else(bad)?,
                );
            }
            "tsize" => options.size = Some(number),
            _ => return Err(bad()),
        }
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    fn data(number: u16, bytes: &[u8]) -> Vec<u8> {
        [&DATA.to_be_bytes(), &number.to_be_bytes(), bytes].concat()
    }

    fn socket() -> UdpSocket {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        socket
    }

    /// RFC 7440, section 4: when a block of the window is missing, the last one that came in order
    /// is acknowledged, once, and without waiting.
    #[test]
    fn a_missing_block_is_asked_for_at_once_and_once() {
        let (server, stranger) = (socket(), socket());
        let address = server.local_addr().unwrap();
        let reader = thread::spawn(move || {
            let mut transfer =
                Transfer::begin(address, "f", true, Duration::from_secs(30)).unwrap();
            let (mut bytes, mut piece) = (Vec::new(), [0; 100]);
            loop {
                match transfer.read(&mut piece).unwrap() {
                    0 => return bytes,
                    count => bytes.extend_from_slice(&piece[..count]),
                }
            }
        });
        let mut packet = [0; 600];
        let (_, client) = server.recv_from(&mut packet).unwrap();
        let begun = Instant::now();
        let send = |packet: &[u8]| server.send_to(packet, client).unwrap();
        send(&[&OACK.to_be_bytes()[..], b"blksize\x008\0windowsize\x004\0"].concat());
        // What was said up to now: who is no part of the transfer is told so at once.
        let said = || {
            stranger.send_to(&data(1, b""), client).unwrap();
            stranger.recv_from(&mut [0; 100]).unwrap();
            server.set_nonblocking(true).unwrap();
            let (mut said, mut packet) = (Vec::new(), [0; 600]);
            while let Ok((count, _)) = server.recv_from(&mut packet) {
                said.push(packet[..count].to_vec());
            }
            server.set_nonblocking(false).unwrap();
            said
        };
        let mut all = Vec::new();
        // Of no window; then two of this one, behind the missing block.
        for blocks in [&[1, 6][..], &[3], &[4]] {
            for number in blocks {
                send(&data(*number, b"12345678"));
            }
            all.push(said());
        }
        let took = begun.elapsed();
        for number in 2..=4 {
            send(&data(number, b"12345678"));
        }
        send(&data(5, b"1234"));
        assert_eq!(reader.join().unwrap().len(), 36);
        assert!(all[1].contains(&acknowledgement(1)), "{all:?}");
        // Later, what was said last is said again.
        if took < Duration::from_millis(900) {
            let expected = [vec![acknowledgement(0)], vec![acknowledgement(1)], vec![]];
            assert_eq!(all, expected);
        }
    }

    #[test]
    fn options_are_what_was_asked_and_no_more() {
        let all = b"BLKSIZE\x001468\0tsize\x0099\0windowsize\x0016\0";
        let expected = Options { block: Some(1468), window: Some(16), size: Some(99) };
        assert_eq!(read_options(all), Ok(expected));
        for bad in [
            &b"blksize\x001469\0"[..],
            b"blksize\x007\0",
            b"windowsize\x0017\0",
            b"windowsize\x000\0",
            b"tsize\x00-1\0",
            b"tsize\x0018446744073709551616\0",
            b"tsize\0",
            b"timeout\x001\0",
            b"\0\0\0",
        ] {
            assert!(read_options(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn words_tell_of_a_missing_file_where_codes_do_not() {
        let missing = |code, text: &str| Refused { code, text: text.into() }.is_missing();
        assert!(missing(1, "") && missing(0, "File not found") && missing(2, "No such file"));
        assert!(!missing(2, "Access violation") && !missing(3, "File not found"));
    }
}
