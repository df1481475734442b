//! What is done to the bytes on their way out: copies in a log, and the time before each line.

use std::fs::File;
use std::io::{self, Write};
use std::time::Instant;

/// An output with a copy in a file. If the file cannot be written, the copy ends; the output goes
/// on, as in QEMU (`qemu_chr_write_log`, chardev/char.c).
pub(super) struct Logged<L = File> {
    out: Box<dyn Write + Send>,
    log: Option<L>,
    /// The part of the last write that is still to be copied: a write to a FIFO can be interrupted.
    pending: Vec<u8>,
}

impl<L: Write> Logged<L> {
    pub fn new(out: Box<dyn Write + Send>, log: L) -> Self {
        Self { out, log: Some(log), pending: Vec::new() }
    }

    /// # Errors
    /// The write was interrupted: it may block, so it is left to the caller to try again.
    fn copy(&mut self) -> io::Result<()> {
        while let Some(log) = self.log.as_mut().filter(|_| !self.pending.is_empty()) {
            match log.write(&self.pending) {
                Ok(count @ 1..) => drop(self.pending.drain(..count)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => return Err(error),
                Ok(0) | Err(_) => self.log = None,
            }
        }
        self.pending.clear();
        Ok(())
    }
}

impl<L: Write> Write for Logged<L> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.copy()?;
        let written = self.out.write(bytes)?;
        self.pending.extend(bytes.get(..written).unwrap_or_default());
        // What is interrupted here is copied before the next write.
        let _ = self.copy();
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// An output whose lines begin with the time since it was opened, in the form of the debug console:
/// `[    1.234567] `.
pub(super) struct Stamped {
    out: Box<dyn Write + Send>,
    begun: Instant,
    at_line_start: bool,
    /// The part of a time that is still to be written.
    stamp: Vec<u8>,
}

impl Stamped {
    pub fn new(out: Box<dyn Write + Send>) -> Self {
        Self { out, begun: Instant::now(), at_line_start: true, stamp: Vec::new() }
    }
}

impl Write for Stamped {
    /// Writes at most one line.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(line) = bytes.split_inclusive(|byte| *byte == b'\n').next() else { return Ok(0) };
        if std::mem::take(&mut self.at_line_start) {
            let now = self.begun.elapsed();
            let stamp = format!("[{:5}.{:06}] ", now.as_secs(), now.subsec_micros());
            self.stamp = stamp.into_bytes();
        }
        while !self.stamp.is_empty() {
            let written = self.out.write(&self.stamp)?;
            if written == 0 {
                return Ok(0);
            }
            self.stamp.drain(..written);
        }
        let written = self.out.write(line)?;
        self.at_line_start = written == line.len() && line.ends_with(b"\n");
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// Takes at most three bytes at once, and nothing every other time.
    struct Slow(Arc<Mutex<Vec<u8>>>, bool);

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.1 = !self.1;
            if self.1 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            let count = bytes.len().min(3);
            self.0.lock().unwrap().extend(&bytes[..count]);
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A log that fails in different ways.
    #[derive(Clone)]
    struct Log(Arc<Mutex<(Vec<u8>, Option<io::ErrorKind>)>>);

    impl Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut log = self.0.lock().unwrap();
            match log.1 {
                Some(error) => Err(error.into()),
                None => log.0.write(bytes),
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_log_that_fails_does_not_cost_the_output() {
        let found = Arc::new(Mutex::new((Vec::new(), None)));
        let (out, log) = (Log(Arc::default()), Log(Arc::clone(&found)));
        let mut logged = Logged::new(Box::new(out.clone()), log);
        assert_eq!(logged.write(b"one ").unwrap(), 4);
        found.lock().unwrap().1 = Some(io::ErrorKind::Interrupted);
        assert_eq!(logged.write(b"two ").unwrap(), 4);
        let interrupted = logged.write(b"three ").expect_err("a kick ends it");
        assert_eq!(interrupted.kind(), io::ErrorKind::Interrupted);
        found.lock().unwrap().1 = None;
        assert_eq!(logged.write(b"three ").unwrap(), 6);
        assert_eq!(found.lock().unwrap().0, b"one two three ");
        found.lock().unwrap().1 = Some(io::ErrorKind::StorageFull);
        assert_eq!(logged.write(b"four ").unwrap(), 5);
        found.lock().unwrap().1 = None;
        assert_eq!(logged.write(b"five").unwrap(), 4);
        assert_eq!(out.0.lock().unwrap().0, b"one two three four five");
        assert_eq!(found.lock().unwrap().0, b"one two three ", "a copy without gaps");
    }

    #[test]
    fn each_line_begins_with_the_time_however_slowly_it_is_taken() {
        let found = Arc::new(Mutex::new(Vec::new()));
        let mut out = Stamped::new(Box::new(Slow(Arc::clone(&found), false)));
        let mut text = &b"first line\nsecond\n\nno end"[..];
        while !text.is_empty() {
            match out.write(text) {
                Ok(count) => text = &text[count..],
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
            }
        }
        let found = String::from_utf8(found.lock().unwrap().clone()).unwrap();
        let lines: Vec<_> = found.lines().collect();
        let rest: Vec<_> = lines.iter().map(|line| &line[15..]).collect();
        assert_eq!(rest, ["first line", "second", "", "no end"], "{found}");
        for line in lines {
            assert!(line.starts_with("[    0.") && line[13..].starts_with("] "), "{line}");
        }
    }
}
