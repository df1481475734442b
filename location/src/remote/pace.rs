//! The least speed of a transfer: what comes byte by byte would never be given up by a time-out for
//! each byte.

use std::io;
use std::time::{Duration, Instant};

use super::address::unanswered;
use storage::Failure;

/// The fewest bytes that are taken for progress in one idle timeout. By default that is 17 bytes a
/// second.
const LEAST: u64 = 512;

/// How fast a transfer is.
#[derive(Debug)]
pub(super) struct Pace {
    idle: Duration,
    /// When the current period began.
    began: Instant,
    /// Bytes that came in it.
    bytes: u64,
}

impl Pace {
    /// A transfer that begins now. `idle` is the idle timeout.
    pub fn new(idle: Duration) -> Self {
        Self { idle, began: Instant::now(), bytes: 0 }
    }

    /// Counts bytes that came.
    ///
    /// # Errors
    /// There were too few since the idle timeout began.
    pub fn took(&mut self, count: usize) -> io::Result<()> {
        self.bytes = self.bytes.saturating_add(count as u64);
        if self.began.elapsed() < self.idle {
            return Ok(());
        }
        if self.bytes < LEAST {
            return Err(too_slow(self.idle, self.bytes));
        }
        *self = Self::new(self.idle);
        Ok(())
    }
}

/// A point in time by which an answer must be there as a whole.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline {
    at: Instant,
    idle: Duration,
}

impl Deadline {
    /// One idle timeout from now.
    pub fn new(idle: Duration) -> Self {
        Self { at: Instant::now() + idle, idle }
    }

    /// How long it is until then, for the time-out of a socket.
    ///
    /// # Errors
    /// It is over.
    pub fn left(self) -> io::Result<Duration> {
        let left = self.at.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(unanswered(self.idle)) } else { Ok(left) }
    }
}

fn too_slow(idle: Duration, bytes: u64) -> io::Error {
    let problem = format!("the server sent only {bytes} bytes in {} s", idle.as_secs_f32());
    Failure::new(problem, "use another server, or allow more time: -fetch timeout=SECONDS").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transfer_needs_some_bytes_in_every_period() {
        let idle = Duration::from_millis(20);
        let mut pace = Pace::new(idle);
        for _ in 0..3 {
            std::thread::sleep(idle);
            pace.took(512).unwrap();
        }
        pace.took(1).unwrap();
        std::thread::sleep(idle);
        let error = pace.took(1).unwrap_err();
        assert_eq!(error.to_string(), "the server sent only 2 bytes in 0.02 s");
        let deadline = Deadline::new(idle);
        assert!(deadline.left().unwrap() <= idle);
        std::thread::sleep(idle);
        assert_eq!(
            deadline.left().unwrap_err().to_string(),
            "the server sent no complete answer within 0.02 s"
        );
    }
}
