//! The half of a connection that receives from the guest: what this host's socket has not taken,
//! what came out of order, and the window (RFC 9293).

use std::collections::VecDeque;

use super::segment::Segment;
use super::seq::Seq;

/// Segments kept that came out of order.
const HELD: usize = 128;
/// Shift of the window that we announce, if the guest scales windows at all.
pub(crate) const SCALE: u8 = 3;

/// The receiving half.
#[derive(Debug, Default)]
pub(crate) struct Receiver {
    /// Next number expected.
    next: Seq,
    /// Behind the last number that the guest was allowed to send.
    edge: Seq,
    pub scale: u8,
    /// In order, for the socket.
    pub inbox: VecDeque<u8>,
    /// Out of order, sorted by number.
    held: Vec<(Seq, Vec<u8>)>,
    /// The number of the FIN.
    fin: Option<Seq>,
    /// The FIN has come, and all before it.
    pub finished: bool,
    pub ack_due: bool,
}

impl Receiver {
    /// `syn`: the number of the guest's SYN.
    pub fn new(syn: Seq) -> Self {
        Self { next: syn.plus(1), edge: syn.plus(1), ..Self::default() }
    }

    pub fn next(&self) -> Seq {
        self.next
    }

    /// The window field of the next segment. `capacity`: how many bytes may wait for the socket.
    pub fn window(&mut self, capacity: usize, syn: bool) -> u16 {
        let scale = if syn { 0 } else { self.scale };
        let edge = self.next.plus(capacity.saturating_sub(self.inbox.len()));
        // A promise is kept (RFC 9293 section 3.8.6).
        let edge = if edge.since(self.edge) < 0 { self.edge } else { edge };
        let field = u16::try_from(edge.after(self.next) >> scale).unwrap_or(u16::MAX);
        let told = self.next.plus(usize::from(field) << scale);
        if told.since(self.edge) > 0 {
            self.edge = told;
        }
        field
    }

    /// Whether the window has become so much larger that the guest must be told.
    pub fn has_opened(&self, capacity: usize, mss: usize) -> bool {
        let edge = self.next.plus(capacity.saturating_sub(self.inbox.len()));
        let told = self.edge.after(self.next);
        let more = edge.after(self.edge);
        // A guest with a quarter to go is not waiting, and hears it with the next acknowledgement.
        // Not more, as the window of a SYN is not scaled, and its first update would be a segment
        // for nothing.
        !self.finished
            && told + 2 * mss < capacity / 4
            && more >= (capacity / 2).min(2 * mss).max(1)
    }

    /// Whether a segment touches the window (RFC 9293 section 3.10.7.4).
    pub fn is_acceptable(&self, segment: &Segment) -> bool {
        let window = self.edge.since(self.next);
        let offset = segment.seq.since(self.next);
        let length = i32::try_from(segment.length()).unwrap_or(i32::MAX);
        if length == 0 {
            (0..=window).contains(&offset)
        } else {
            offset < window && offset.saturating_add(length) > 0
        }
    }

    /// Whether a number is in the window.
    pub fn is_in_window(&self, seq: Seq) -> bool {
        (0..=self.edge.since(self.next)).contains(&seq.since(self.next))
    }

    /// Takes the payload and the FIN of an acceptable segment. `sink` takes bytes in order, as many
    /// as it can.
    pub fn accept(&mut self, segment: &Segment, sink: &mut dyn FnMut(&[u8]) -> usize) {
        if self.finished || segment.length() == 0 {
            return;
        }
        self.ack_due = true;
        let skip = self.next.after(segment.seq).min(segment.payload.len());
        let start = segment.seq.plus(skip);
        let room = self.edge.after(start);
        let payload = &segment.payload[skip..];
        let kept = &payload[..payload.len().min(room)];
        if segment.fin && kept.len() == payload.len() {
            self.fin = Some(segment.seq.plus(segment.payload.len()));
        }
        if start == self.next {
            self.append(kept, sink);
            self.join(sink);
        } else if !kept.is_empty() {
            self.hold(start, kept);
        }
        if self.fin == Some(self.next) {
            self.next = self.next.plus(1);
            self.finished = true;
            self.held = Vec::new();
        }
    }

    fn append(&mut self, bytes: &[u8], sink: &mut dyn FnMut(&[u8]) -> usize) {
        let taken = if self.inbox.is_empty() { sink(bytes).min(bytes.len()) } else { 0 };
        self.inbox.extend(&bytes[taken..]);
        self.next = self.next.plus(bytes.len());
    }

    fn hold(&mut self, start: Seq, bytes: &[u8]) {
        let at = self.held.partition_point(|(seq, _)| seq.since(start) < 0);
        match self.held.get(at) {
            Some((seq, held)) if *seq == start && held.len() >= bytes.len() => return,
            Some((seq, _)) if *seq == start => {
                self.held[at].1 = bytes.to_vec();
                return;
            }
            _ => {}
        }
        let total: usize = self.held.iter().map(|(_, held)| held.len()).sum();
        // Pieces that overlap could hold more than the window has.
        if self.held.len() < HELD && total + bytes.len() <= self.edge.after(self.next) {
            self.held.insert(at, (start, bytes.to_vec()));
        }
    }

    fn join(&mut self, sink: &mut dyn FnMut(&[u8]) -> usize) {
        while self.held.first().is_some_and(|(seq, _)| seq.since(self.next) <= 0) {
            let (seq, bytes) = self.held.remove(0);
            let skip = self.next.after(seq);
            if let Some(rest) = bytes.get(skip..) {
                self.append(rest, sink);
            }
        }
    }
}
