//! The guest's network: frames of a guest that may do anything.
//!
//! The input is a list of operations, each a byte that says which, a byte for its length, and so
//! many bytes:
//!
//! | operation | bytes |
//! |---|---|
//! | 0 | a frame as it is, into a network with `restrict=on`: nothing leaves this process |
//! | 1 | an IPv4 packet to the gateway or the DNS server: protocol, which of them, fragment field (2), payload |
//! | 2 | a TCP segment of the connection: flags, sequence and acknowledgement number (2 each, relative to what is next), window (2), length of the payload in units of 64, options |
//! | 3 | milliseconds that pass (2) |
//! | 4 | a DHCP message's options |
//! | 5 | a TFTP message |
//! | 6 | a DNS query |
//! | 7 | what the far end of the connection sends, or its end if it is nothing |
//! | 8 | an IPv6 packet: next header, payload |
//! | 9 | the offloads of the guest's card: bits |
//!
//! Packets of operations other than 0 go to servers of this target on the loopback interface, and
//! nowhere else.

use std::cell::RefCell;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use network::{BootConfig, Checksum, Config, Offloads, Resolver, UserNetwork};

const HEADER: [u8; 12] = [0x52, 0x55, 10, 0, 2, 2, 0x52, 0x54, 0, 0x12, 0x34, 0x56];
const GUEST: [u8; 4] = [10, 0, 2, 15];
const PORT: u16 = 5000;
/// Frames that a network may hold for a guest that takes none.
const MOST_FRAMES: usize = 256;

/// Servers that live as long as the process.
struct Servers {
    tcp: TcpListener,
    dns: UdpSocket,
}

thread_local! {
    static SERVERS: RefCell<Option<Servers>> = const { RefCell::new(None) };
}

impl Servers {
    fn new() -> std::io::Result<Self> {
        let (tcp, dns) = (TcpListener::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?);
        tcp.set_nonblocking(true)?;
        dns.set_nonblocking(true)?;
        Ok(Self { tcp, dns })
    }
}

/// What an input reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reached {
    /// Frames that came back.
    pub answers: usize,
    /// Bytes that reached the far end of the connection.
    pub delivered: usize,
}

struct Guest<'a> {
    servers: &'a Servers,
    open: UserNetwork,
    closed: UserNetwork,
    now: Instant,
    /// What the guest sends next, and what it has acknowledged.
    seq: u32,
    ack: u32,
    far_end: Option<TcpStream>,
    reached: Reached,
}

/// Runs an input.
///
/// # Panics
/// A property does not hold: more is queued or open than may be, a frame is longer than one can be,
/// or time goes backwards.
pub fn run(bytes: &[u8]) -> Reached {
    SERVERS.with_borrow_mut(|servers| {
        if servers.is_none() {
            *servers = Servers::new().ok();
        }
        servers.as_ref().map_or_else(Reached::default, |servers| attempt(servers, bytes))
    })
}

fn attempt(servers: &Servers, bytes: &[u8]) -> Reached {
    let Ok(resolver) = servers.dns.local_addr() else { return Reached::default() };
    let boot = BootConfig {
        hostname: Some("guest".into()),
        search: vec!["a.example".into()],
        boot_file: Some("file".into()),
        ..BootConfig::default()
    };
    let config = Config {
        resolver: Resolver::Server(resolver),
        tftp: Some(concat!(env!("CARGO_MANIFEST_DIR"), "/seeds").into()),
        boot,
        ..Config::default()
    };
    let restricted = Config { restrict: true, ..config.clone() };
    let (Ok(open), Ok(closed)) = (UserNetwork::new(&config), UserNetwork::new(&restricted)) else {
        return Reached::default();
    };
    let mut guest = Guest {
        servers,
        open,
        closed,
        now: Instant::now(),
        seq: u32::MAX - 10,
        ack: 0,
        far_end: None,
        reached: Reached::default(),
    };
    let mut rest = bytes;
    while let [operation, length, tail @ ..] = rest {
        let (body, tail) = tail.split_at(usize::from(*length).min(tail.len()));
        guest.operation(*operation, body);
        guest.settle();
        rest = tail;
    }
    guest.reached
}

fn checksum(parts: &[&[u8]]) -> [u8; 2] {
    let mut sum: u32 = 0;
    for part in parts {
        for pair in part.chunks(2) {
            sum += u32::from(pair[0]) << 8 | pair.get(1).copied().map_or(0, u32::from);
        }
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    u16::try_from(!sum & 0xffff).unwrap_or(0).to_be_bytes()
}

/// An IPv4 packet in a frame.
fn ipv4(to: [u8; 4], protocol: u8, fragment: [u8; 2], payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(20 + payload.len()).unwrap_or(u16::MAX).to_be_bytes();
    let mut header =
        vec![0x45, 0, length[0], length[1], 0, 7, fragment[0], fragment[1], 64, protocol, 0, 0];
    header.extend(GUEST);
    header.extend(to);
    let sum = checksum(&[&header]);
    header[10..12].copy_from_slice(&sum);
    [&HEADER[..], &[8, 0], &header, payload].concat()
}

fn udp(to: [u8; 4], ports: (u16, u16), payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(8 + payload.len()).unwrap_or(u16::MAX);
    let header: Vec<u8> =
        [ports.0, ports.1, length, 0].iter().flat_map(|it| it.to_be_bytes()).collect();
    ipv4(to, 17, [0, 0], &[&header[..], payload].concat())
}

fn word(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([
        bytes.get(at).copied().unwrap_or(0),
        bytes.get(at + 1).copied().unwrap_or(0),
    ])
}

impl Guest<'_> {
    fn operation(&mut self, operation: u8, body: &[u8]) {
        let host = Ipv4Addr::new(10, 0, 2, 2).octets();
        match operation % 10 {
            0 => self.closed.send(body, Checksum::Complete, self.now),
            1 => {
                let [protocol, which, a, b, payload @ ..] = body else { return };
                let mut to = host;
                to[3] += which & 1;
                let mut payload = payload.to_vec();
                // Ports other than our servers' would reach programs of this host. A first fragment
                // without ports ends the packet, and later ones cannot change them.
                let first = a & 0x1f == 0 && *b == 0;
                if matches!(protocol, 6 | 17) && first && payload.len() >= 4 {
                    let port = self.port(*protocol == 6, to);
                    payload[2..4].copy_from_slice(&port.to_be_bytes());
                }
                let frame = ipv4(to, *protocol, [a & 0x3f, *b], &payload);
                self.open.send(&frame, Checksum::Partial, self.now);
            }
            2 => self.segment(body),
            3 => self.now += Duration::from_millis(word(body, 0).into()),
            4 => {
                let mut message = vec![1, 1, 6, 0, 1, 2, 3, 4];
                message.resize(28, 0);
                message.extend(&HEADER[6..]);
                message.resize(236, 0);
                message.extend([99, 130, 83, 99]);
                message.extend(body);
                self.open.send(&udp([255; 4], (68, 67), &message), Checksum::Complete, self.now);
            }
            5 => self.open.send(&udp(host, (2000, 69), body), Checksum::Complete, self.now),
            6 => {
                self.open.send(&udp([10, 0, 2, 3], (3000, 53), body), Checksum::Complete, self.now)
            }
            7 => self.far_end_sends(body),
            8 => {
                let [next, payload @ ..] = body else { return };
                let length = u16::try_from(payload.len()).unwrap_or(0).to_be_bytes();
                let mut frame = HEADER.to_vec();
                frame.extend([0x86, 0xdd, 0x60, 0, 0, 0, length[0], length[1], *next, 255]);
                for last in [0x15, 2] {
                    frame.extend([0xfe, 0xc0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last]);
                }
                frame.extend(payload);
                self.closed.send(&frame, Checksum::Partial, self.now);
            }
            _ => {
                let bits = body.first().copied().unwrap_or(0);
                let offloads =
                    Offloads { checksum: bits & 1 != 0, tso4: bits & 2 != 0, tso6: bits & 4 != 0 };
                self.open.set_offloads(offloads);
            }
        }
    }

    /// The port of a server of ours.
    fn port(&self, tcp: bool, to: [u8; 4]) -> u16 {
        match (tcp, to[3]) {
            (true, 2) => self.servers.tcp.local_addr().map_or(9, |at| at.port()),
            (true, _) => 54,
            (false, 2) => 69,
            (false, _) => 53,
        }
    }

    fn segment(&mut self, body: &[u8]) {
        let flags = body.first().copied().unwrap_or(0);
        let relative =
            |value: u32, at| value.wrapping_add_signed(word(body, at).cast_signed().into());
        let (seq, ack) = (relative(self.seq, 1), relative(self.ack, 3));
        let length = usize::from(body.get(7).copied().unwrap_or(0)) * 64;
        let options = body.get(8..).unwrap_or_default();
        let options = &options[..options.len().min(40) & !3];
        let offset = u8::try_from(20 + options.len()).unwrap_or(20) << 2;
        let to = Ipv4Addr::new(10, 0, 2, 2).octets();
        let mut segment = Vec::new();
        segment.extend(PORT.to_be_bytes());
        segment.extend(self.port(true, to).to_be_bytes());
        segment.extend(seq.to_be_bytes());
        segment.extend(ack.to_be_bytes());
        segment.extend([offset, flags]);
        segment.extend(word(body, 5).to_be_bytes());
        segment.extend([0; 4]);
        segment.extend(options);
        segment.resize(segment.len() + length, 0x55);
        self.open.send(&ipv4(to, 6, [0, 0], &segment), Checksum::Partial, self.now);
    }

    fn far_end_sends(&mut self, body: &[u8]) {
        if let Some(stream) = &mut self.far_end {
            // A full buffer or a reset is fine.
            if body.is_empty() {
                let _ = stream.shutdown(std::net::Shutdown::Write);
            } else {
                let _ = stream.write(&body.repeat(32));
            }
        }
    }

    /// Lets both networks do what they can, takes their frames, and lets the servers read.
    fn settle(&mut self) {
        if let Ok((stream, _)) = self.servers.tcp.accept() {
            let _ = stream.set_nonblocking(true);
            self.far_end = Some(stream);
        }
        self.open.poll(self.now);
        self.closed.poll(self.now);
        let mut frames = 0;
        while let Some(frame) = self.open.receive() {
            frames += 1;
            assert!(frame.bytes.len() <= network::MAX_FRAME, "{} bytes", frame.bytes.len());
            self.learn(&frame.bytes);
            self.open.recycle(frame);
        }
        while let Some(frame) = self.closed.receive() {
            frames += 1;
            self.closed.recycle(frame);
        }
        assert!(frames <= 2 * MOST_FRAMES, "{frames} frames at once");
        self.reached.answers += frames;
        let closed = self.closed.counters();
        assert_eq!((closed.tcp_flows, closed.udp_flows), (0, 0), "restrict=on has no way out");
        let mut bytes = [0; 4096];
        if let Some(stream) = &mut self.far_end {
            self.reached.delivered += stream.read(&mut bytes).unwrap_or(0);
        }
        if let Ok((length, from)) = self.servers.dns.recv_from(&mut bytes) {
            let _ = self.servers.dns.send_to(&bytes[..length], from);
        }
    }

    /// Takes the numbers of a segment to the guest, so that the next one fits.
    fn learn(&mut self, frame: &[u8]) {
        if frame.len() < 54 || frame[12..14] != [8, 0] || frame[23] != 6 {
            return;
        }
        let number = |at: usize| {
            u32::from_be_bytes([frame[at], frame[at + 1], frame[at + 2], frame[at + 3]])
        };
        let length =
            u32::try_from(frame.len() - 14 - 20 - usize::from(frame[46] >> 4) * 4).unwrap_or(0);
        let syn = u32::from(frame[47] & 2 != 0);
        self.ack = number(38).wrapping_add(length).wrapping_add(syn);
        if frame[47] & 0x10 != 0 {
            self.seq = number(42);
        }
    }
}
