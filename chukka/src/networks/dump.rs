//! A recording of a card's frames in pcap format, for Wireshark and tcpdump.
//!
//! The file begins with 24 bytes: a magic number, the version 2.4, and the type of link, Ethernet.
//! Before each frame are 16 bytes: seconds and microseconds, the number of bytes recorded, and the
//! length of the frame (draft-ietf-opsawg-pcap). All numbers are little-endian.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use devices::virtio::net::{Frame, NetBackend, Offload, Offloads};
use vmm::host::output_file;
use vmm::machine::cards::CardBackend;

use super::NetworkError;
use crate::report;
use crate::request::DumpConfig;

const MAGIC: u32 = 0xa1b2_c3d4;
const VERSION: [u16; 2] = [2, 4];
const ETHERNET: u32 = 1;

/// A network whose frames are recorded.
#[derive(Debug)]
pub struct Dump {
    inner: Arc<dyn CardBackend>,
    config: DumpConfig,
    /// `None` after an error.
    file: Mutex<Option<BufWriter<File>>>,
}

/// Checks that the file of a recording can be created or truncated. Changes nothing.
///
/// # Errors
/// As of [`Dump::new`].
pub fn check(config: &DumpConfig) -> Result<(), NetworkError> {
    let failed = |source| NetworkError::Dump { path: config.path.clone(), source };
    output_file::check(&config.path).map_err(failed)
}

impl Dump {
    /// Records the frames of `inner` in a file that is created or truncated.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn new(inner: Arc<dyn CardBackend>, config: &DumpConfig) -> Result<Self, NetworkError> {
        let failed = |source| NetworkError::Dump { path: config.path.clone(), source };
        let mut file = BufWriter::new(File::create(&config.path).map_err(failed)?);
        file.write_all(&head(config.max_length)).and_then(|()| file.flush()).map_err(failed)?;
        Ok(Self { inner, config: config.clone(), file: Mutex::new(Some(file)) })
    }

    fn file(&self) -> MutexGuard<'_, Option<BufWriter<File>>> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes to the file. The first error ends the recording and is reported.
    fn write(&self, write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>) {
        let mut file = self.file();
        if let Some(Err(error)) = file.as_mut().map(write) {
            *file = None;
            let path = self.config.path.display();
            report::warnings([format!("the recording '{path}' ends here: {error}")]);
        }
    }

    fn record(&self, frame: &[u8]) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let kept = frame.len().min(usize::try_from(self.config.max_length).unwrap_or(usize::MAX));
        let number = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
        // The format ends in 2106.
        let seconds = u32::try_from(now.as_secs()).unwrap_or(u32::MAX);
        let fields = [seconds, now.subsec_micros(), number(kept), number(frame.len())];
        self.write(|file| {
            file.write_all(&fields.map(u32::to_le_bytes).concat())?;
            file.write_all(&frame[..kept])
        });
    }
}

fn head(max_length: u32) -> Vec<u8> {
    let version = VERSION.map(u16::to_le_bytes).concat();
    let rest = [0, 0, max_length, ETHERNET].map(u32::to_le_bytes).concat();
    [&MAGIC.to_le_bytes()[..], &version, &rest].concat()
}

impl NetBackend for Dump {
    fn has_offloads(&self) -> bool {
        self.inner.has_offloads()
    }

    fn set_offloads(&self, offloads: Offloads) {
        self.inner.set_offloads(offloads);
    }

    fn send(&self, frame: &[u8], offload: Option<&Offload>) {
        self.record(frame);
        self.inner.send(frame, offload);
    }

    fn receive(&self) -> Option<Frame> {
        let frame = self.inner.receive()?;
        self.record(&frame.bytes);
        Some(frame)
    }

    fn recycle(&self, frame: Frame) {
        self.inner.recycle(frame);
    }
}

impl CardBackend for Dump {
    fn event(&self) -> io::Result<OwnedFd> {
        self.inner.event()
    }

    fn poll(&self, now: Instant) {
        // The file is complete whenever the card is idle.
        self.write(BufWriter::flush);
        self.inner.poll(now);
    }

    fn deadline(&self) -> Option<Instant> {
        self.inner.deadline()
    }

    fn is_busy(&self) -> bool {
        self.inner.is_busy()
    }

    fn has_link(&self) -> bool {
        self.inner.has_link()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A network that answers each frame with itself.
    #[derive(Debug, Default)]
    struct Echo(Mutex<Vec<Frame>>);

    impl NetBackend for Echo {
        fn has_offloads(&self) -> bool {
            false
        }

        fn set_offloads(&self, _: Offloads) {}

        fn send(&self, frame: &[u8], _: Option<&Offload>) {
            self.0.lock().unwrap().push(Frame { bytes: frame.to_vec(), offload: None });
        }

        fn receive(&self) -> Option<Frame> {
            self.0.lock().unwrap().pop()
        }
    }

    impl CardBackend for Echo {
        fn event(&self) -> io::Result<OwnedFd> {
            Err(io::ErrorKind::Unsupported.into())
        }

        fn poll(&self, _: Instant) {}
    }

    #[test]
    fn frames_in_both_directions_are_recorded() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let config = DumpConfig { path: file.path().into(), max_length: 64 };
        let dump = Dump::new(Arc::new(Echo::default()), &config).unwrap();
        dump.send(&[7; 100], None);
        assert_eq!(dump.receive().unwrap().bytes, [7; 100]);
        dump.poll(Instant::now());
        let bytes = std::fs::read(file.path()).unwrap();
        assert_eq!(bytes.len(), 24 + 2 * (16 + 64));
        assert_eq!(bytes[..8], [0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0]);
        assert_eq!(bytes[16..24], [64, 0, 0, 0, 1, 0, 0, 0]);
        for at in [24, 24 + 80] {
            assert_eq!(bytes[at + 8..at + 16], [64, 0, 0, 0, 100, 0, 0, 0]);
            assert_eq!(bytes[at + 16..at + 80], [7; 64]);
        }
    }

    #[test]
    fn a_full_disk_ends_the_recording_and_not_the_network() {
        let config = DumpConfig { path: "/dev/full".into(), max_length: 65_536 };
        let error = Dump::new(Arc::new(Echo::default()), &config).unwrap_err();
        assert!(error.to_string().contains("/dev/full"));
        let file = File::options().write(true).open(&config.path).unwrap();
        let inner = Arc::new(Echo::default());
        let dump = Dump { inner, config, file: Mutex::new(Some(BufWriter::new(file))) };
        dump.send(&[7; 100], None);
        dump.poll(Instant::now());
        assert!(dump.file().is_none());
        assert_eq!(dump.receive().unwrap().bytes, [7; 100]);
    }
}
