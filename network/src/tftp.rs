//! The TFTP server (RFC 1350, 2347, 2348, 2349, 7440): reads below one directory, for boot loaders.
//!
//! Paths are resolved by openat2(2) with the directory as their root, so that neither `..` nor any
//! link leads out of it. Like QEMU's, the server answers from port 69.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::Path as FilePath;
use std::time::{Duration, Instant};

use rustix::fs::{self, CWD, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::{self, Errno};
use smoltcp::wire::EthernetAddress;

use crate::link::{Link, Path};

/// The server's port.
pub(crate) const PORT: u16 = 69;
/// Transfers at a time; the one that was idle for longest gives way.
const TRANSFERS: usize = 16;
/// Block size in bytes without an option, and its bounds. A block fits into a frame, as boot ROMs
/// ask for more than they can put together; libslirp has the same limit.
const BLOCK: usize = 512;
const BLOCKS: std::ops::RangeInclusive<usize> = 8..=1428;
/// Blocks sent before an acknowledgement, at most.
const WINDOW: usize = 64;
/// How long an acknowledgement may take without an option.
const TIMEOUT: Duration = Duration::from_secs(2);
/// As often the same blocks are sent without an acknowledgement.
const ATTEMPTS: u32 = 6;

/// Operations.
mod op {
    pub const READ: u16 = 1;
    pub const WRITE: u16 = 2;
    pub const DATA: u16 = 3;
    pub const ACK: u16 = 4;
    pub const ERROR: u16 = 5;
    pub const OPTIONS: u16 = 6;
}

/// Error codes.
mod code {
    pub const OTHER: u16 = 0;
    pub const NOT_FOUND: u16 = 1;
    pub const ACCESS: u16 = 2;
    pub const ILLEGAL: u16 = 4;
}

/// A transfer to the guest.
#[derive(Debug)]
struct Transfer {
    guest: SocketAddr,
    server: SocketAddr,
    mac: EthernetAddress,
    file: OwnedFd,
    size: u64,
    block: usize,
    window: usize,
    timeout: Duration,
    /// Number of blocks acknowledged, not wrapped around.
    acked: u64,
    /// Number of blocks sent.
    sent: u64,
    /// The options that are to be acknowledged first.
    options: Option<Vec<u8>>,
    due: Instant,
    attempts: u32,
}

/// The server.
#[derive(Debug)]
pub(crate) struct Server {
    root: OwnedFd,
    transfers: Vec<Transfer>,
    buffer: Vec<u8>,
}

/// An open file, or the error that the guest is told.
type Opened = Result<(OwnedFd, u64), (u16, &'static str)>;

impl Server {
    pub fn new(directory: &FilePath) -> Result<Self, Errno> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = fs::openat(CWD, directory, flags, Mode::empty())?;
        Ok(Self { root, transfers: Vec::new(), buffer: Vec::new() })
    }

    fn resolve(&self, path: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
        let flags = flags | OFlags::CLOEXEC;
        // EAGAIN: a directory on the way was moved meanwhile. A guest cannot do that for ever;
        // others could.
        for _ in 0..16 {
            match fs::openat2(&self.root, path, flags, Mode::empty(), ResolveFlags::IN_ROOT) {
                Err(Errno::AGAIN | Errno::INTR) => {}
                done => return done,
            }
        }
        Err(Errno::AGAIN)
    }

    fn open(&self, name: &str) -> Opened {
        let fail = |error| match error {
            Errno::ACCESS | Errno::PERM => (code::ACCESS, "access denied"),
            Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG | Errno::LOOP => {
                (code::NOT_FOUND, "file not found")
            }
            _ => (code::OTHER, "the file cannot be read"),
        };
        // Windows' boot loaders write backslashes.
        let name = name.replace('\\', "/");
        let name = name.trim_start_matches('/');
        let name = if name.is_empty() { "." } else { name };
        // Opening a device can do something to it, and opening a pipe waits: the kind comes first.
        let regular = |file: &OwnedFd| {
            let about = fs::fstat(file).map_err(fail)?;
            let size = u64::try_from(about.st_size).unwrap_or(0);
            match FileType::from_raw_mode(about.st_mode) {
                FileType::RegularFile => Ok(size),
                _ => Err((code::ACCESS, "not a regular file")),
            }
        };
        regular(&self.resolve(name, OFlags::PATH).map_err(fail)?)?;
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = self.resolve(name, flags).map_err(fail)?;
        let size = regular(&file)?; // it may be another one by now
        Ok((file, size))
    }

    /// Takes a datagram to port 69.
    pub fn datagram(
        &mut self,
        (mac, guest, server): (EthernetAddress, SocketAddr, SocketAddr),
        payload: &[u8],
        link: &mut Link,
        now: Instant,
    ) {
        let &[a, b, ref rest @ ..] = payload else { return };
        match u16::from_be_bytes([a, b]) {
            op::READ => self.read((mac, guest, server), rest, link, now),
            op::WRITE => error(link, (mac, guest, server), code::ACCESS, "the server is read-only"),
            op::ACK => {
                let &[a, b, ..] = rest else { return };
                self.acknowledge(guest, u16::from_be_bytes([a, b]), link, now);
            }
            op::ERROR => self.transfers.retain(|transfer| transfer.guest != guest),
            _ => error(link, (mac, guest, server), code::ILLEGAL, "illegal operation"),
        }
    }

    fn read(
        &mut self,
        (mac, guest, server): (EthernetAddress, SocketAddr, SocketAddr),
        request: &[u8],
        link: &mut Link,
        now: Instant,
    ) {
        // A request that is repeated begins again.
        self.transfers.retain(|transfer| transfer.guest != guest);
        let ends = (mac, guest, server);
        let mut words = request.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word));
        let (Some(name), Some(mode)) = (words.next(), words.next()) else { return };
        // The file goes as it is in every mode; netascii would ask for line ends of a terminal.
        if !request.ends_with(&[0])
            || !["octet", "netascii"].iter().any(|it| mode.eq_ignore_ascii_case(it))
        {
            return error(link, ends, code::ILLEGAL, "unknown transfer mode");
        }
        let (file, size) = match self.open(&name) {
            Ok(opened) => opened,
            Err((code, text)) => return error(link, ends, code, text),
        };
        let mut transfer = Transfer {
            guest,
            server,
            mac,
            file,
            size,
            block: BLOCK,
            window: 1,
            timeout: TIMEOUT,
            acked: 0,
            sent: 0,
            options: None,
            due: now,
            attempts: 0,
        };
        let mut answer = Vec::new();
        while let (Some(option), Some(value)) = (words.next(), words.next()) {
            if let Some(value) = transfer.option(&option, &value)
                && answer.len() < 256
            {
                for word in [option.to_ascii_lowercase(), value.to_string()] {
                    answer.extend_from_slice(word.as_bytes());
                    answer.push(0);
                }
            }
        }
        transfer.options = (!answer.is_empty()).then_some(answer);
        if self.transfers.len() == TRANSFERS {
            let idle = self.transfers.iter().enumerate().min_by_key(|(_, transfer)| transfer.due);
            if let Some(at) = idle.map(|(at, _)| at) {
                self.transfers.remove(at);
            }
        }
        transfer.send(&mut self.buffer, link, now);
        self.transfers.push(transfer);
    }

    fn acknowledge(&mut self, guest: SocketAddr, block: u16, link: &mut Link, now: Instant) {
        let Some(at) = self.transfers.iter().position(|transfer| transfer.guest == guest) else {
            return;
        };
        let transfer = &mut self.transfers[at];
        if transfer.options.is_some() {
            if block == 0 {
                transfer.options = None;
                transfer.attempts = 0;
                transfer.send(&mut self.buffer, link, now);
            }
            return;
        }
        // Numbers wrap around; the one meant is among those that are on the way.
        let low = u64::from(block);
        let acked = (transfer.acked..=transfer.sent).find(|number| number & 0xffff == low);
        match acked {
            // An old acknowledgement again is not answered (RFC 1123 section 4.2.3.1), one of a
            // block in the window means that those behind were lost (RFC 7440).
            Some(acked) if acked > transfer.acked => {
                transfer.acked = acked;
                transfer.attempts = 0;
                if acked == transfer.blocks() {
                    self.transfers.remove(at);
                } else {
                    transfer.send(&mut self.buffer, link, now);
                }
            }
            _ => {}
        }
    }

    /// Sends again what was not acknowledged in time. Returns when that is due next.
    pub fn expire(&mut self, link: &mut Link, now: Instant) -> Option<Instant> {
        let buffer = &mut self.buffer;
        self.transfers.retain_mut(|transfer| {
            if transfer.due <= now {
                transfer.attempts += 1;
                if transfer.attempts < ATTEMPTS {
                    transfer.send(buffer, link, now);
                }
            }
            transfer.attempts < ATTEMPTS
        });
        self.transfers.iter().map(|transfer| transfer.due).min()
    }
}

impl Transfer {
    /// Takes an option of the request. Returns its value in the answer, if it is answered.
    fn option(&mut self, name: &str, value: &str) -> Option<u64> {
        let number: u64 = value.parse().ok()?;
        let size = usize::try_from(number).ok()?;
        match name.to_ascii_lowercase().as_str() {
            "blksize" if size >= *BLOCKS.start() => {
                self.block = size.min(*BLOCKS.end());
                u64::try_from(self.block).ok()
            }
            "tsize" => Some(self.size),
            "timeout" if (1..=255).contains(&number) => {
                self.timeout = Duration::from_secs(number);
                Some(number)
            }
            "windowsize" if size >= 1 => {
                self.window = size.min(WINDOW);
                u64::try_from(self.window).ok()
            }
            _ => None,
        }
    }

    /// Number of blocks: the last one is shorter than the others, and may be empty.
    fn blocks(&self) -> u64 {
        self.size / u64::try_from(self.block).unwrap_or(1) + 1
    }

    /// Sends the acknowledgement of the options, or the next window of blocks.
    fn send(&mut self, buffer: &mut Vec<u8>, link: &mut Link, now: Instant) {
        self.due = now + self.timeout;
        let path = Path { mac: self.mac, from: self.server.ip(), to: self.guest.ip() };
        let mut emit = |bytes: &[u8]| link.udp(&path, PORT, self.guest.port(), bytes);
        if let Some(options) = &self.options {
            return emit(&[&op::OPTIONS.to_be_bytes()[..], options].concat());
        }
        self.sent = self.acked;
        for _ in 0..self.window {
            if self.sent == self.blocks() {
                break;
            }
            let start = self.sent * u64::try_from(self.block).unwrap_or(0);
            let length = usize::try_from(self.size - start).unwrap_or(usize::MAX).min(self.block);
            let number = u16::try_from((self.sent + 1) & 0xffff).unwrap_or(0);
            buffer.clear();
            buffer.extend_from_slice(&op::DATA.to_be_bytes());
            buffer.extend_from_slice(&number.to_be_bytes());
            buffer.resize(4 + length, 0);
            let mut read = 0;
            while read < length {
                let at = start + u64::try_from(read).unwrap_or(0);
                match io::pread(&self.file, &mut buffer[4 + read..], at) {
                    Ok(0) | Err(Errno::IO) => {
                        // The file became shorter than its announced size.
                        self.attempts = ATTEMPTS;
                        let text = b"\0\x05\0\0the file cannot be read\0";
                        return emit(text);
                    }
                    Ok(count) => read += count,
                    Err(_) => return, // again when it is due
                }
            }
            emit(buffer);
            self.sent += 1;
        }
    }
}

fn error(
    link: &mut Link,
    (mac, guest, server): (EthernetAddress, SocketAddr, SocketAddr),
    code: u16,
    text: &str,
) {
    let mut message = op::ERROR.to_be_bytes().to_vec();
    message.extend_from_slice(&code.to_be_bytes());
    message.extend_from_slice(text.as_bytes());
    message.push(0);
    let path = Path { mac, from: server.ip(), to: guest.ip() };
    link.udp(&path, PORT, guest.port(), &message);
}
