//! The bounded queue of frames for the guest.

use std::collections::VecDeque;

use crate::frame::{Frame, MAX_FRAME};

/// At this many frames in the queue, no socket is read any more.
const BULK: usize = 64;
/// Answers to the guest's own frames are queued up to this many frames, and dropped beyond: each of their protocols
/// repeats what is lost.
const MOST: usize = 256;
/// Buffers kept for the next frames.
const SPARE: usize = 64;
/// Buffers of more than this many bytes are not kept, except for a few.
const SMALL: usize = 2048;

/// Frames that the guest has not taken yet.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    frames: VecDeque<Frame>,
    spare: Vec<Vec<u8>>,
    dropped: u64,
}

impl Outbox {
    /// Whether what comes from sockets may be queued.
    pub fn has_room(&self) -> bool {
        self.frames.len() < BULK
    }

    /// An empty buffer.
    pub fn buffer(&mut self) -> Vec<u8> {
        self.spare.pop().unwrap_or_default()
    }

    /// Takes a buffer back.
    pub fn recycle(&mut self, mut buffer: Vec<u8>) {
        let keep = if buffer.capacity() > SMALL { SPARE / 8 } else { SPARE };
        if self.spare.len() < keep && buffer.capacity() <= 2 * MAX_FRAME {
            buffer.clear();
            self.spare.push(buffer);
        }
    }

    pub fn push(&mut self, frame: Frame) {
        if self.frames.len() < MOST {
            self.frames.push_back(frame);
        } else {
            self.dropped += 1;
            self.recycle(frame.bytes);
        }
    }

    pub fn pop(&mut self) -> Option<Frame> {
        self.frames.pop_front()
    }

    pub fn front(&self) -> Option<&Frame> {
        self.frames.front()
    }

    /// Number of frames dropped because the guest took none.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_beyond_the_limit_are_dropped_and_counted() {
        let mut outbox = Outbox::default();
        for number in 0..MOST + 3 {
            assert_eq!(outbox.has_room(), number < BULK);
            outbox.push(Frame { bytes: vec![0; 60], offload: None });
        }
        assert_eq!(outbox.dropped(), 3);
        assert_eq!(std::iter::from_fn(|| outbox.pop()).count(), MOST);
    }

    #[test]
    fn buffers_are_used_again_and_bounded() {
        let mut outbox = Outbox::default();
        for _ in 0..1000 {
            outbox.recycle(Vec::with_capacity(60));
        }
        assert_eq!(outbox.spare.len(), SPARE);
        assert!(outbox.buffer().capacity() >= 60);
    }
}
