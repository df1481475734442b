//! Reassembly of the guest's IP fragments (RFC 791 section 3.2, RFC 8200 section 4.5).
//!
//! A guest fragments large UDP datagrams (NFS, DNS with EDNS). Fragments that overlap are an
//! attack, and end the packet (RFC 5722). Everything is bounded: the number of packets, their
//! length, their pieces and their age.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use smoltcp::wire::IpProtocol;

use crate::packet::{Fragment, Packet};

/// Packets that are being put together; the oldest gives way.
const PACKETS: usize = 8;
/// Length in bytes of a whole payload.
const LONGEST: usize = 65_535;
/// How long a packet may take.
const LIFETIME: Duration = Duration::from_secs(15);

#[derive(Debug, PartialEq, Eq)]
struct Key {
    from: IpAddr,
    to: IpAddr,
    protocol: IpProtocol,
    identification: u32,
}

#[derive(Debug)]
struct Partial {
    key: Key,
    since: Instant,
    bytes: Vec<u8>,
    /// Sorted (start, end) pairs of what is there.
    pieces: Vec<(usize, usize)>,
    /// Length of the whole, once the last fragment has come.
    length: Option<usize>,
    header: Vec<u8>,
    bad: bool,
}

/// A packet put together.
#[derive(Debug)]
pub(crate) struct Whole {
    pub header: Vec<u8>,
    pub payload: Vec<u8>,
}

/// The packets that are being put together.
#[derive(Debug, Default)]
pub(crate) struct Fragments {
    partial: Vec<Partial>,
}

impl Fragments {
    /// Takes a fragment; returns the packet if it was the last one missing.
    pub fn add(&mut self, packet: &Packet, fragment: Fragment, now: Instant) -> Option<Whole> {
        self.partial.retain(|partial| now.saturating_duration_since(partial.since) < LIFETIME);
        let key = Key {
            from: packet.from,
            to: packet.to,
            protocol: packet.protocol,
            identification: fragment.identification,
        };
        let at = self.partial.iter().position(|partial| partial.key == key).unwrap_or_else(|| {
            if self.partial.len() == PACKETS {
                self.partial.remove(0);
            }
            self.partial.push(Partial {
                key,
                since: now,
                bytes: Vec::new(),
                pieces: Vec::new(),
                length: None,
                header: Vec::new(),
                bad: false,
            });
            self.partial.len() - 1
        });
        let partial = &mut self.partial[at];
        partial.add(packet, fragment);
        if !partial.is_complete() {
            return None;
        }
        let partial = self.partial.remove(at);
        Some(Whole { header: partial.header, payload: partial.bytes })
    }
}

impl Partial {
    fn add(&mut self, packet: &Packet, fragment: Fragment) {
        let (start, end) = (fragment.offset, fragment.offset + packet.payload.len());
        let exists = self.pieces.contains(&(start, end));
        if self.bad || exists {
            return; // a repetition is harmless
        }
        let ragged = fragment.more && !packet.payload.len().is_multiple_of(8);
        let overlaps = self.pieces.iter().any(|&(a, b)| start < b && a < end);
        let beyond = self.length.is_some_and(|length| end > length || !fragment.more);
        let cuts = !fragment.more && self.pieces.last().is_some_and(|&(_, last)| last > end);
        if packet.payload.is_empty() || end > LONGEST || ragged || overlaps || beyond || cuts {
            self.bad = true;
            self.bytes = Vec::new();
            return;
        }
        if !fragment.more {
            self.length = Some(end);
        }
        if start == 0 {
            self.header = packet.header.to_vec();
        }
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        self.bytes[start..end].copy_from_slice(packet.payload);
        let at = self.pieces.partition_point(|&(other, _)| other < start);
        self.pieces.insert(at, (start, end));
    }

    fn is_complete(&self) -> bool {
        let there: usize = self.pieces.iter().map(|(start, end)| end - start).sum();
        !self.bad && self.length == Some(there)
    }
}
