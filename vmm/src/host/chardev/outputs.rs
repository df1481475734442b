//! What is done to the bytes on their way out: copies in a log, and the time before each line.

use std::fs::File;
use std::io::{self, Write};
use std::time::Instant;

/// An output with a copy in a file.
pub(super) struct Logged {
    out: Box<dyn Write + Send>,
    log: File,
}

impl Logged {
    pub fn new(out: Box<dyn Write + Send>, log: File) -> Self {
        Self { out, log }
    }
}

impl Write for Logged {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.log.write_all(bytes.get(..written).unwrap_or_default())?;
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
