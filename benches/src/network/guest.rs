//! The guest's side of one TCP connection: as little as a network needs to send and receive as fast
//! as it can. It neither loses nor reorders frames, and no network here does but passt, which drops
//! frames while its socket is full.

use std::time::{Duration, Instant};

use super::Direction;

const MAC: [u8; 6] = [0x52, 0x54, 0, 0x12, 0x34, 0x56];
const ADDRESS: [u8; 4] = [10, 0, 2, 15];
const GATEWAY: [u8; 4] = [10, 0, 2, 2];
const FROM_PORT: u16 = 50_000;
const HEADERS: usize = 14 + 20 + 20;
/// Our window is this many times 65,535 bytes, if the network knows the option (RFC 7323).
const WINDOW_SHIFT: u8 = 6;
/// After so long without progress all that is not acknowledged is sent again, or asked for.
const PATIENCE: Duration = Duration::from_millis(200);

const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const PUSH: u8 = 8;
const ACK: u8 = 16;

/// What the connection is about to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The gateway's Ethernet address is not known.
    Resolving,
    /// The SYN has been sent.
    Connecting,
    Connected,
    Reset,
}

/// A guest with a connection.
#[derive(Debug)]
pub struct Guest {
    state: State,
    direction: Direction,
    port: u16,
    /// Of a segment's payload.
    mss: usize,
    gateway: [u8; 6],
    /// The next number to send, and the first that is not acknowledged.
    next: u32,
    unacknowledged: u32,
    /// Bytes that may be sent still, the ones that are not acknowledged included.
    left: u64,
    peer_window: u32,
    peer_shift: u8,
    /// The next number to receive.
    expected: u32,
    must_acknowledge: bool,
    progress: Instant,
    /// When the connection was made.
    pub started: Option<Instant>,
    /// Bytes received in order, or acknowledged.
    pub moved: u64,
    /// Frames with payload, in the direction of the transfer.
    pub segments: u64,
    payload: Vec<u8>,
}

impl Guest {
    /// A guest that moves `bytes` over a connection to `port` of the gateway.
    #[must_use]
    pub fn new(direction: Direction, port: u16, mss: usize, bytes: u64) -> Self {
        Self {
            state: State::Resolving,
            direction,
            port,
            mss,
            gateway: [0xff; 6],
            next: 1000,
            unacknowledged: 1000,
            left: if direction == Direction::Sent { bytes } else { 0 },
            peer_window: 0,
            peer_shift: 0,
            expected: 0,
            must_acknowledge: false,
            progress: Instant::now(),
            started: None,
            moved: 0,
            segments: 0,
            payload: vec![0xa5; mss],
        }
    }

    /// Whether the network has reset the connection.
    #[must_use]
    pub fn is_reset(&self) -> bool {
        self.state == State::Reset
    }

    /// The first frame: an ARP request for the gateway.
    #[must_use]
    pub fn hello(&self) -> Vec<u8> {
        arp(1, [0xff; 6], GATEWAY)
    }

    /// Takes a frame. Whatever it does not know is ignored.
    pub fn take(&mut self, frame: &[u8], put: &mut impl FnMut(&[u8], &[u8])) {
        match frame.get(12..14) {
            Some([8, 6]) if frame.len() >= 42 => self.take_arp(frame, put),
            Some([8, 0]) if frame.len() >= HEADERS && frame[23] == 6 => self.take_tcp(frame),
            _ => {}
        }
    }

    fn take_arp(&mut self, frame: &[u8], put: &mut impl FnMut(&[u8], &[u8])) {
        let (sender, address) = (&frame[22..28], &frame[28..32]);
        if frame[21] == 1 && frame[38..42] == ADDRESS {
            let mut to = [0; 6];
            to.copy_from_slice(sender);
            put(&arp(2, to, GATEWAY), &[]);
        }
        if self.state == State::Resolving && frame[21] == 2 && *address == GATEWAY {
            self.gateway.copy_from_slice(sender);
            self.state = State::Connecting;
            // MSS, and the window's scale.
            let [high, low] = u16::try_from(self.mss).unwrap_or(u16::MAX).to_be_bytes();
            let options = [2, 4, high, low, 1, 3, 3, WINDOW_SHIFT];
            let number = self.next;
            self.put(SYN, number, &options, false, put);
            self.next = self.next.wrapping_add(1);
            self.unacknowledged = self.next;
        }
    }

    fn take_tcp(&mut self, frame: &[u8]) {
        let total = 14 + usize::from(u16::from_be_bytes([frame[16], frame[17]]));
        let word = |at: usize| {
            u32::from_be_bytes([frame[at], frame[at + 1], frame[at + 2], frame[at + 3]])
        };
        let (sequence, acknowledged, flags) = (word(38), word(42), frame[47]);
        let header = usize::from(frame[46] >> 4) * 4;
        let payload = total.min(frame.len()).saturating_sub(34 + header);
        if flags & RST != 0 {
            self.state = State::Reset;
            return;
        }
        if flags & SYN != 0 {
            if self.state == State::Connecting {
                self.state = State::Connected;
                self.expected = sequence.wrapping_add(1);
                let options = frame.get(54..34 + header).unwrap_or_default();
                self.peer_shift = scale(options).unwrap_or(0);
                self.started = Some(Instant::now());
                self.must_acknowledge = true;
                self.progress = Instant::now();
            }
        } else if payload > 0 || flags & FIN != 0 {
            if sequence == self.expected {
                self.expected = sequence.wrapping_add(u32::try_from(payload).unwrap_or(0));
                self.moved += payload as u64;
                self.progress = Instant::now();
                self.segments += u64::from(payload > 0);
            }
            self.must_acknowledge = true;
        }
        let fresh = acknowledged.wrapping_sub(self.unacknowledged);
        if self.direction == Direction::Sent && fresh <= self.in_flight() {
            self.unacknowledged = acknowledged;
            self.left -= u64::from(fresh);
            self.moved += u64::from(fresh);
            if fresh > 0 {
                self.progress = Instant::now();
            }
        }
        let window = u32::from(u16::from_be_bytes([frame[48], frame[49]]));
        let shift = if flags & SYN == 0 { self.peer_shift } else { 0 };
        self.peer_window = window << shift;
    }

    fn in_flight(&self) -> u32 {
        self.next.wrapping_sub(self.unacknowledged)
    }

    /// Sends what it may, `most` segments at once, and the acknowledgement of what has been taken.
    /// Called when all frames that are there have been taken.
    pub fn act(&mut self, most: usize, put: &mut impl FnMut(&[u8], &[u8])) {
        if self.state != State::Connected {
            return;
        }
        if self.progress.elapsed() > PATIENCE {
            self.progress = Instant::now();
            self.next = self.unacknowledged;
            // Duplicates ask for what was lost (RFC 5681 section 3.2).
            let duplicates = if self.direction == Direction::Received { 3 } else { 0 };
            for _ in 0..duplicates {
                self.put(ACK, self.next, &[], true, put);
            }
        }
        for _ in 0..most {
            let in_flight = self.in_flight();
            let room = u64::from(self.peer_window.saturating_sub(in_flight));
            let wanted = (self.left - u64::from(in_flight)).min(self.mss as u64);
            // No smaller segments than Ethernet's, but for the last one.
            let bytes = wanted.min(room);
            if bytes == 0 || bytes < wanted.min(1460) {
                break;
            }
            let length = usize::try_from(bytes).unwrap_or(self.mss);
            let payload = std::mem::take(&mut self.payload);
            let number = self.next;
            self.put(PUSH | ACK, number, &payload[..length], true, put);
            self.payload = payload;
            self.next = self.next.wrapping_add(u32::try_from(length).unwrap_or(0));
            self.segments += 1;
            self.must_acknowledge = false;
        }
        if self.must_acknowledge {
            self.must_acknowledge = false;
            let number = self.next;
            self.put(ACK, number, &[], true, put);
        }
    }

    /// Sends a segment. Without `is_payload`, `tail` are options.
    fn put(
        &self,
        flags: u8,
        number: u32,
        tail: &[u8],
        is_payload: bool,
        put: &mut impl FnMut(&[u8], &[u8]),
    ) {
        let mut head = [0; HEADERS];
        head[..6].copy_from_slice(&self.gateway);
        head[6..12].copy_from_slice(&MAC);
        head[12] = 8;
        let length = u16::try_from(40 + tail.len()).unwrap_or(u16::MAX);
        head[14] = 0x45;
        head[16..18].copy_from_slice(&length.to_be_bytes());
        (head[20], head[22], head[23]) = (0x40, 64, 6);
        head[26..30].copy_from_slice(&ADDRESS);
        head[30..34].copy_from_slice(&GATEWAY);
        let ip = finish(sum(&head[14..34], 0));
        head[24..26].copy_from_slice(&ip);
        head[34..36].copy_from_slice(&FROM_PORT.to_be_bytes());
        head[36..38].copy_from_slice(&self.port.to_be_bytes());
        head[38..42].copy_from_slice(&number.to_be_bytes());
        let acknowledged = if flags & ACK == 0 { 0 } else { self.expected };
        head[42..46].copy_from_slice(&acknowledged.to_be_bytes());
        let options = if is_payload { 0 } else { tail.len() };
        head[46] = u8::try_from((20 + options) * 4).unwrap_or(0x50);
        head[47] = flags;
        head[48..50].copy_from_slice(&u16::MAX.to_be_bytes());
        let pseudo = sum(&head[26..34], 6 + u64::from(length - 20));
        let check = finish(sum(tail, sum(&head[34..], pseudo)));
        head[50..52].copy_from_slice(&check);
        put(&head, tail);
    }
}

/// The window scale among the options of a SYN.
fn scale(mut options: &[u8]) -> Option<u8> {
    loop {
        match options {
            [3, 3, shift, ..] => return Some(*shift),
            [1, rest @ ..] => options = rest,
            [0, ..] | [] | [_] => return None,
            [_, length, ..] => options = options.get(usize::from(*length).max(2)..)?,
        }
    }
}

fn arp(operation: u8, to: [u8; 6], address: [u8; 4]) -> Vec<u8> {
    let mut frame = [&to[..], &MAC, &[8, 6, 0, 1, 8, 0, 6, 4, 0, operation], &MAC].concat();
    frame.extend(ADDRESS);
    frame.extend(if operation == 1 { [0; 6] } else { to });
    frame.extend(address);
    frame
}

/// The Internet checksum's sum (RFC 1071), eight bytes at a time.
fn sum(bytes: &[u8], start: u64) -> u64 {
    let (words, rest) = bytes.as_chunks::<4>();
    let mut total: u64 = start;
    for word in words {
        total += u64::from(u32::from_be_bytes(*word));
    }
    let mut last = [0; 4];
    last[..rest.len()].copy_from_slice(rest);
    total + u64::from(u32::from_be_bytes(last))
}

fn finish(mut total: u64) -> [u8; 2] {
    while total > 0xffff {
        total = (total & 0xffff) + (total >> 16);
    }
    (!u16::try_from(total).unwrap_or(0)).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_have_the_checksums_of_rfc_1071() {
        // An example with a known sum: the IPv4 header of Wikipedia's article.
        let header = [
            0x45, 0, 0, 0x73, 0, 0, 0x40, 0, 0x40, 0x11, 0, 0, 0xc0, 0xa8, 0, 1, 0xc0, 0xa8, 0,
            0xc7,
        ];
        assert_eq!(finish(sum(&header, 0)), [0xb8, 0x61]);
        assert_eq!(sum(&[1, 2, 3], 0), 0x0102_0300);
    }

    #[test]
    fn the_windows_scale_is_found_behind_other_options() {
        assert_eq!(scale(&[2, 4, 5, 0xb4, 1, 3, 3, 7]), Some(7));
        assert_eq!(scale(&[2, 4, 5, 0xb4]), None);
        assert_eq!(scale(&[8, 0]), None);
    }
}
