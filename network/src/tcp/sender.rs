//! The half of a connection that sends to the guest: what it has not acknowledged, when it is
//! repeated, and how much may be on the way (RFC 9293, 6298, 5681, 6582).

use std::ops::Range;
use std::time::{Duration, Instant};

use super::segment::Segment;
use super::seq::Seq;

/// Bounds of the retransmission timeout. The guest is near, but it may be a slow emulation.
const RTO_MIN: Duration = Duration::from_millis(250);
const RTO_INITIAL: Duration = Duration::from_secs(1);
const RTO_MAX: Duration = Duration::from_secs(60);
/// After as many timeouts in a row, the guest counts as gone: more than four minutes.
const RETRIES: u32 = 10;
/// Duplicate acknowledgements that mean a loss (RFC 5681 section 3.2).
const DUPLICATES: u32 = 3;

/// Bytes that an empty buffer keeps when memory is short.
const SMALL: usize = 16 << 10;

/// Bytes for the guest, from the first that it has not acknowledged on.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    start: usize,
}

impl Buffer {
    pub fn len(&self) -> usize {
        self.bytes.len() - self.start
    }

    pub fn get(&self, range: Range<usize>) -> &[u8] {
        let range = self.start + range.start..self.start + range.end;
        self.bytes.get(range).unwrap_or_default()
    }

    /// The bytes behind the last, to append to. `count`: how many will be at most.
    pub fn tail(&mut self, count: usize) -> &mut Vec<u8> {
        // Moved to the front when that frees half of it, so that each byte is moved about once.
        if self.start > 0 && self.start >= self.len() {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
        self.bytes.reserve_exact(count);
        &mut self.bytes
    }

    fn consume(&mut self, count: usize) {
        self.start = (self.start + count).min(self.bytes.len());
        if self.start == self.bytes.len() {
            self.start = 0;
            self.bytes.clear();
        }
    }

    /// Gives memory back that was used once.
    pub fn shrink(&mut self) {
        if self.bytes.is_empty() {
            self.bytes.shrink_to(SMALL);
        }
    }
}

/// What is to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub seq: Seq,
    /// Of the buffer.
    pub payload: Range<usize>,
    pub fin: bool,
}

/// The sending half.
#[derive(Debug)]
pub(crate) struct Sender {
    /// First number not acknowledged. The buffer starts there once the SYN is acknowledged.
    una: Seq,
    /// Next number to send.
    next: Seq,
    /// Behind the highest number ever sent.
    highest: Seq,
    pub buffer: Buffer,
    /// Nothing follows what is in the buffer but a FIN.
    pub closing: bool,
    pub fin_acked: bool,
    window: usize,
    /// Sequence and acknowledgement number of the segment that said the window last.
    window_from: (Seq, Seq),
    pub scale: u8,
    pub mss: usize,
    congestion: usize,
    threshold: usize,
    duplicates: u32,
    /// A loss is being repaired up to here.
    recover: Option<Seq>,
    repeat_first: bool,
    probe: bool,
    rto: Duration,
    smoothed: Option<(Duration, Duration)>,
    timed: Option<(Seq, Instant)>,
    pub timer: Option<Instant>,
    pub retries: u32,
}

impl Sender {
    /// `una`: the number of the SYN.
    pub fn new(una: Seq) -> Self {
        Self {
            una,
            next: una,
            highest: una,
            buffer: Buffer::default(),
            closing: false,
            fin_acked: false,
            window: 0,
            window_from: (Seq(0), Seq(0)),
            scale: 0,
            mss: 536,
            // The path is this host's memory: nothing between can be congested until the guest
            // loses a frame.
            congestion: usize::MAX / 2,
            threshold: usize::MAX / 2,
            duplicates: 0,
            recover: None,
            repeat_first: false,
            probe: false,
            rto: RTO_INITIAL,
            smoothed: None,
            timed: None,
            timer: None,
            retries: 0,
        }
    }

    /// The number behind all that was ever sent, for segments without data.
    pub fn end(&self) -> Seq {
        self.highest
    }

    /// The SYN, if it is to be sent now.
    pub fn syn(&mut self, now: Instant) -> Option<Seq> {
        if self.next != self.una {
            return None;
        }
        self.next = self.una.plus(1);
        if self.highest == self.una {
            self.timed = Some((self.next, now));
        }
        self.highest = self.next;
        self.timer = Some(now + self.rto);
        Some(self.una)
    }

    /// The SYN is sent again.
    pub fn repeat_syn(&mut self) {
        self.next = self.una;
        self.timed = None;
    }

    /// Whether `ack` acknowledges something that was sent and is not acknowledged.
    pub fn is_new(&self, ack: Seq) -> bool {
        ack.since(self.una) > 0 && ack.since(self.highest) <= 0
    }

    /// Whether `ack` acknowledges what was never sent.
    pub fn is_beyond(&self, ack: Seq) -> bool {
        ack.since(self.highest) > 0
    }

    /// The guest has acknowledged the SYN.
    pub fn syn_acked(&mut self, segment: &Segment, ack: Seq, now: Instant) {
        self.una = ack;
        self.next = ack;
        self.sample(ack, now);
        self.retries = 0;
        self.timer = None;
        self.set_window(segment, ack);
    }

    fn set_window(&mut self, segment: &Segment, ack: Seq) {
        let scale = if segment.syn { 0 } else { self.scale };
        self.window = usize::from(segment.window) << scale;
        self.window_from = (segment.seq, ack);
    }

    /// Takes the acknowledgement and the window of a segment.
    pub fn acknowledge(&mut self, segment: &Segment, ack: Seq, now: Instant) {
        let flight = self.highest.after(self.una);
        let before = self.window;
        let (seq, last) = self.window_from;
        let newer = segment.seq.since(seq) > 0 || (segment.seq == seq && ack.since(last) >= 0);
        if newer {
            self.set_window(segment, ack);
            if before == 0 && self.window > 0 {
                self.timer = if flight > 0 { Some(now + self.rto) } else { None };
                self.retries = 0;
                self.rto = self.base_rto();
            }
        }
        if self.is_new(ack) {
            self.advance(ack, now);
        } else if ack == self.una && flight > 0 && segment.length() == 0 && self.window == before {
            self.duplicate(flight);
        }
        // The guest lives, though it may take nothing.
        if self.window == 0 {
            self.retries = 0;
        }
    }

    fn advance(&mut self, ack: Seq, now: Instant) {
        let count = ack.after(self.una);
        self.sample(ack, now);
        if count > self.buffer.len() {
            self.fin_acked = true; // `highest` is behind the FIN only if it was sent
        }
        self.buffer.consume(count.min(self.buffer.len()));
        self.una = ack;
        if self.next.since(ack) < 0 {
            self.next = ack;
        }
        self.duplicates = 0;
        self.retries = 0;
        match self.recover {
            Some(recover) if ack.since(recover) < 0 => self.repeat_first = true,
            Some(_) => {
                self.recover = None;
                self.congestion = self.threshold;
            }
            // Slow start, then one segment a round trip.
            None if self.congestion < self.threshold => self.congestion += count,
            None => {
                let more = self.mss * count / self.congestion.max(1);
                self.congestion = self.congestion.saturating_add(more.max(1)).min(usize::MAX / 2);
            }
        }
        let outstanding = self.highest.after(ack) > 0;
        self.timer = outstanding.then_some(now + self.rto);
    }

    fn duplicate(&mut self, flight: usize) {
        self.duplicates += 1;
        if self.duplicates == DUPLICATES && self.recover.is_none() {
            self.recover = Some(self.highest);
            self.threshold = (flight / 2).max(2 * self.mss);
            self.congestion = self.threshold + 3 * self.mss;
            self.repeat_first = true;
            self.timed = None;
        } else if self.duplicates > DUPLICATES {
            self.congestion = self.congestion.saturating_add(self.mss).min(usize::MAX / 2);
        }
    }

    /// Measures a round trip (RFC 6298 section 2).
    fn sample(&mut self, ack: Seq, now: Instant) {
        let Some((seq, sent)) = self.timed else { return };
        if ack.since(seq) < 0 {
            return;
        }
        self.timed = None;
        let measured = now.saturating_duration_since(sent);
        self.smoothed = Some(match self.smoothed {
            None => (measured, measured / 2),
            Some((mean, variance)) => {
                let difference = mean.abs_diff(measured);
                (mean * 7 / 8 + measured / 8, variance * 3 / 4 + difference / 4)
            }
        });
        self.rto = self.base_rto();
    }

    fn base_rto(&self) -> Duration {
        let (mean, variance) = self.smoothed.unwrap_or((RTO_INITIAL, Duration::ZERO));
        (mean + 4 * variance).clamp(RTO_MIN, RTO_MAX)
    }

    /// The timer is over. Returns whether the guest counts as gone.
    pub fn timeout(&mut self, now: Instant) -> bool {
        self.retries += 1;
        self.rto = (self.rto * 2).min(RTO_MAX);
        self.timer = Some(now + self.rto);
        self.timed = None;
        if self.highest == self.una || self.window == 0 {
            self.probe = true;
        }
        if self.highest != self.una {
            let flight = self.highest.after(self.una);
            self.threshold = (flight / 2).max(2 * self.mss);
            self.congestion = self.mss;
            self.duplicates = 0;
            self.recover = None;
            self.repeat_first = false;
            self.next = self.una;
        }
        self.retries > RETRIES
    }

    /// Asks the guest for its window, or whether it lives.
    pub fn probe(&mut self) {
        self.probe = true;
    }

    /// The next piece to send. `longest`: payload in bytes that one frame takes.
    pub fn piece(&mut self, longest: usize, now: Instant) -> Option<Piece> {
        if std::mem::take(&mut self.probe) {
            // An old number: every TCP answers it with an acknowledgement.
            let seq = Seq(self.una.0.wrapping_sub(1));
            return Some(Piece { seq, payload: 0..0, fin: false });
        }
        let repeat = std::mem::take(&mut self.repeat_first);
        let sent = if repeat { 0 } else { self.next.after(self.una) };
        let unsent = self.buffer.len().saturating_sub(sent);
        let fin_left = self.closing && !self.fin_acked && sent <= self.buffer.len();
        let allowed =
            if repeat { self.mss } else { self.window.min(self.congestion).saturating_sub(sent) };
        let mut count = unsent.min(allowed).min(longest);
        if count < unsent && count < self.mss && sent > 0 && !repeat {
            count = 0; // wait for a larger window (RFC 9293 section 3.8.6.2.1)
        }
        let fin = fin_left && count == unsent && allowed > count;
        if count == 0 && !fin {
            if (unsent > 0 || fin_left) && self.timer.is_none() {
                self.timer = Some(now + self.rto); // the window is closed: probe it
            }
            return None;
        }
        let seq = self.una.plus(sent);
        let end = seq.plus(count + usize::from(fin));
        if !repeat {
            self.next = end;
        }
        if end.since(self.highest) > 0 {
            if self.timed.is_none() && seq == self.highest {
                self.timed = Some((end, now));
            }
            self.highest = end;
        } else {
            self.timed = None;
        }
        if self.timer.is_none() {
            self.timer = Some(now + self.rto);
        }
        Some(Piece { seq, payload: sent..sent + count, fin })
    }
}
