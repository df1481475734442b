//! One TCP connection with the guest: a state machine that knows neither sockets nor frames.
//!
//! This side is near (nothing but the guest's card can lose a segment) and never urgent, so of RFC
//! 9293 this has what a connection through memory needs: no SACK, no time stamps. Segments of the
//! guest are acknowledged when this host's socket has them, or a bounded buffer in front of it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::receiver::{Receiver, SCALE};
use super::segment::{Head, Segment};
use super::sender::{Buffer, Sender};
use super::seq::Seq;

/// After as long without a word from the guest, it is asked whether it still lives, and then every
/// `ASK`.
const SILENCE: Duration = Duration::from_secs(600);
const ASK: Duration = Duration::from_secs(60);
/// Questions without an answer after which it counts as gone.
const ASKED: u32 = 5;
/// Retransmissions of a SYN after which nobody is there.
const SYN_RETRIES: u32 = 5;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    SynSent,
    SynReceived,
    Open,
}

/// What a segment means for the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Fine,
    /// The guest has reset the connection.
    Reset,
    /// The segment belongs to no connection here: it is answered by a reset.
    Refused,
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Connection {
    phase: Phase,
    pub sender: Sender,
    pub receiver: Receiver,
    /// The guest's initial number.
    initial: Seq,
    /// Maximum segment size announced to the guest, in bytes.
    announce: u16,
    /// Whether windows are scaled.
    scaling: bool,
    heard: Instant,
    asked: u32,
    /// We have closed first: the guest's last segments may still come.
    pub lingers: bool,
}

impl Connection {
    /// The guest has sent a SYN, which is to be answered. `initial`: our first number. `mss`: for
    /// both directions.
    pub fn accept(syn: &Segment, initial: Seq, mss: u16, now: Instant) -> Self {
        let mut this = Self {
            phase: Phase::SynReceived,
            sender: Sender::new(initial),
            receiver: Receiver::new(syn.seq),
            initial: syn.seq,
            announce: mss,
            scaling: true,
            heard: now,
            asked: 0,
            lingers: false,
        };
        this.negotiate(syn);
        this
    }

    /// A SYN is to be sent to the guest.
    pub fn open(initial: Seq, mss: u16, now: Instant) -> Self {
        Self {
            phase: Phase::SynSent,
            sender: Sender::new(initial),
            receiver: Receiver::default(),
            initial: Seq(0),
            announce: mss,
            scaling: true,
            heard: now,
            asked: 0,
            lingers: false,
        }
    }

    fn negotiate(&mut self, syn: &Segment) {
        // Without the option it is 536 (RFC 9293 section 3.7.1), and nobody can make it absurdly
        // small.
        self.sender.mss = usize::from(syn.mss.unwrap_or(536).clamp(64, self.announce));
        self.scaling = syn.scale.is_some();
        self.sender.scale = syn.scale.unwrap_or(0).min(14);
        self.receiver.scale = if self.scaling { SCALE } else { 0 };
    }

    /// Whether data can be exchanged.
    pub fn is_open(&self) -> bool {
        self.phase == Phase::Open
    }

    /// Whether both sides have closed, and know it.
    pub fn is_over(&self) -> bool {
        self.receiver.finished && self.sender.fin_acked
    }

    /// Frees the memory of a connection that is over: its buffers are empty.
    pub fn forget(&mut self) {
        self.sender.buffer = Buffer::default();
        self.receiver.inbox = VecDeque::new();
    }

    /// Takes a segment of the guest.
    pub fn segment(
        &mut self,
        segment: &Segment,
        sink: &mut dyn FnMut(&[u8]) -> usize,
        now: Instant,
    ) -> Verdict {
        if self.phase == Phase::SynSent {
            return self.answer(segment, now);
        }
        self.heard = now;
        self.asked = 0;
        if segment.rst {
            // In the window, but not exactly next: perhaps forged, so ask (RFC 5961 section 3.2).
            if segment.seq == self.receiver.next() {
                return Verdict::Reset;
            }
            self.receiver.ack_due |= self.receiver.is_in_window(segment.seq);
            return Verdict::Fine;
        }
        if segment.syn {
            if self.phase == Phase::SynReceived && segment.seq == self.initial {
                self.sender.repeat_syn();
            } else {
                self.receiver.ack_due = true; // RFC 5961 section 4.2
            }
            return Verdict::Fine;
        }
        let Some(ack) = segment.ack else { return Verdict::Fine };
        if self.phase == Phase::SynReceived {
            if !self.sender.is_new(ack) {
                return Verdict::Refused;
            }
            self.sender.syn_acked(segment, ack, now);
            self.phase = Phase::Open;
        }
        if !self.receiver.is_acceptable(segment) || self.sender.is_beyond(ack) {
            self.receiver.ack_due = true;
            return Verdict::Fine;
        }
        self.sender.acknowledge(segment, ack, now);
        self.lingers |= self.sender.fin_acked && !self.receiver.finished;
        self.receiver.accept(segment, sink);
        Verdict::Fine
    }

    /// An answer to our SYN.
    fn answer(&mut self, segment: &Segment, now: Instant) -> Verdict {
        let Some(ack) = segment.ack else { return Verdict::Fine };
        if !self.sender.is_new(ack) {
            return if segment.rst { Verdict::Fine } else { Verdict::Refused };
        }
        if segment.rst {
            return Verdict::Reset;
        }
        if !segment.syn {
            return Verdict::Fine;
        }
        self.receiver = Receiver::new(segment.seq);
        self.initial = segment.seq;
        self.negotiate(segment);
        self.sender.syn_acked(segment, ack, now);
        self.receiver.ack_due = true;
        self.phase = Phase::Open;
        self.heard = now;
        Verdict::Fine
    }

    /// The next segment to send, and the range of the sender's buffer that is its payload.
    /// `longest`: payload in bytes that a frame takes, at least the guest's segment size.
    /// `capacity`: of the inbox.
    pub fn next(
        &mut self,
        longest: usize,
        capacity: usize,
        now: Instant,
    ) -> Option<(Head, std::ops::Range<usize>)> {
        if self.phase != Phase::Open {
            let seq = self.sender.syn(now)?;
            let answer = self.phase == Phase::SynReceived;
            let head = Head {
                seq,
                ack: answer.then(|| self.receiver.next()),
                window: if answer { self.receiver.window(capacity, true) } else { u16::MAX },
                syn: true,
                mss: Some(self.announce),
                scale: self.scaling.then_some(SCALE),
                ..Head::default()
            };
            return Some((head, 0..0));
        }
        let piece = self.sender.piece(longest, now);
        if piece.is_none() && !self.receiver.ack_due {
            return None;
        }
        self.receiver.ack_due = false;
        let window = self.receiver.window(capacity, false);
        let ack = Some(self.receiver.next());
        let Some(piece) = piece else {
            return Some((Head { seq: self.sender.end(), ack, window, ..Head::default() }, 0..0));
        };
        let push = piece.payload.end == self.sender.buffer.len() && !piece.payload.is_empty();
        let head = Head { seq: piece.seq, ack, window, fin: piece.fin, push, ..Head::default() };
        Some((head, piece.payload))
    }

    /// A reset, which ends the connection on the guest's side.
    pub fn reset(&self) -> Head {
        Head {
            seq: self.sender.end(),
            ack: (self.phase != Phase::SynSent).then(|| self.receiver.next()),
            rst: true,
            ..Head::default()
        }
    }

    /// When [`Self::tick`] has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        if self.is_over() {
            return None;
        }
        let silence = self.heard + SILENCE + ASK * self.asked;
        Some(self.sender.timer.map_or(silence, |timer| timer.min(silence)))
    }

    /// Time has passed. Returns whether the guest counts as gone.
    pub fn tick(&mut self, now: Instant) -> bool {
        if self.sender.timer.is_some_and(|timer| timer <= now) {
            let gone = self.sender.timeout(now);
            let syn = self.phase != Phase::Open;
            return gone || (syn && self.sender.retries > SYN_RETRIES);
        }
        if self.heard + SILENCE + ASK * self.asked <= now {
            self.asked += 1;
            if self.phase == Phase::Open {
                self.sender.probe();
            }
        }
        self.asked > ASKED
    }
}
