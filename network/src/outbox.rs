//! The bounded queue of frames for the guest.

use std::collections::VecDeque;

use crate::frame::{Frame, MAX_FRAME};

/// At this many frames in the queue, no socket is read any more.
const BULK: usize = 64;
/// Nor at this many bytes: more would not fit into a CPU's cache.
const BULK_BYTES: usize = 1 << 20;
/// Answers to the guest's own frames are queued up to this many frames, and dropped beyond: each of
/// their protocols repeats what is lost.
const MOST: usize = 256;
/// Frames of at most this many bytes are small.
const SMALL: usize = 2048;
/// Buffers kept for the next small frames, and for large ones.
const SPARE: usize = 64;
const SPARE_LARGE: usize = 16;

/// Frames that the guest has not taken yet.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    frames: VecDeque<Frame>,
    bytes: usize,
    spare: Vec<Vec<u8>>,
    large: Vec<Vec<u8>>,
    dropped: u64,
}

impl Outbox {
    /// Whether what comes from sockets may be queued.
    pub fn has_room(&self) -> bool {
        self.frames.len() < BULK && self.bytes < BULK_BYTES
    }

    /// An empty buffer with room for a frame of `length` bytes.
    pub fn buffer(&mut self, length: usize) -> Vec<u8> {
        let (pool, room) =
            if length > SMALL { (&mut self.large, MAX_FRAME) } else { (&mut self.spare, SMALL) };
        pool.pop().unwrap_or_else(|| Vec::with_capacity(room))
    }

    /// Takes a buffer back.
    pub fn recycle(&mut self, mut buffer: Vec<u8>) {
        let (pool, most) = match buffer.capacity() {
            SMALL..MAX_FRAME => (&mut self.spare, SPARE),
            MAX_FRAME..=BULK_BYTES => (&mut self.large, SPARE_LARGE),
            _ => return,
        };
        if pool.len() < most {
            buffer.clear();
            pool.push(buffer);
        }
    }

    pub fn push(&mut self, frame: Frame) {
        if self.frames.len() < MOST {
            self.bytes += frame.bytes.len();
            self.frames.push_back(frame);
        } else {
            self.dropped += 1;
            self.recycle(frame.bytes);
        }
    }

    pub fn pop(&mut self) -> Option<Frame> {
        let frame = self.frames.pop_front()?;
        self.bytes -= frame.bytes.len();
        Some(frame)
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
    fn large_frames_fill_the_queue_by_their_bytes() {
        let mut outbox = Outbox::default();
        for _ in 0..BULK_BYTES / 65_536 {
            assert!(outbox.has_room());
            outbox.push(Frame { bytes: vec![0; 65_536], offload: None });
        }
        assert!(!outbox.has_room());
        outbox.pop();
        assert!(outbox.has_room());
    }

    #[test]
    fn buffers_are_used_again_and_bounded() {
        let mut outbox = Outbox::default();
        for _ in 0..1000 {
            outbox.recycle(Vec::with_capacity(60));
            outbox.recycle(Vec::with_capacity(SMALL));
            outbox.recycle(Vec::with_capacity(MAX_FRAME));
        }
        assert_eq!((outbox.spare.len(), outbox.large.len()), (SPARE, SPARE_LARGE));
        assert!(outbox.buffer(60).capacity() >= SMALL);
        assert!(outbox.buffer(SMALL + 1).capacity() >= MAX_FRAME);
    }
}
