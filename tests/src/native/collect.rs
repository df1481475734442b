//! Collects the output of a process in a thread, so that the process never blocks.

use std::fs::File;
use std::io::Read;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The output of a descriptor so far.
#[derive(Debug)]
pub struct Collected {
    shared: Arc<(Mutex<Vec<u8>>, Condvar)>,
    reader: Option<JoinHandle<()>>,
}

impl Collected {
    /// Collects from `file` to its end.
    #[must_use]
    pub fn from(mut file: File) -> Self {
        let shared = Arc::<(Mutex<Vec<u8>>, Condvar)>::default();
        let ours = Arc::clone(&shared);
        let reader = std::thread::spawn(move || {
            let mut piece = [0; 4096];
            // A terminal reports its end as an error: EIO.
            while let Ok(count @ 1..) = file.read(&mut piece) {
                ours.0
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .extend_from_slice(&piece[..count]);
                ours.1.notify_all();
            }
        });
        Self { shared, reader: Some(reader) }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<u8>> {
        self.shared.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The output so far.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        self.lock().clone()
    }

    /// The end of it as text, for a message.
    #[must_use]
    pub fn tail(&self) -> String {
        let bytes = self.lock();
        String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(2000)..]).into_owned()
    }

    /// Waits until `text` has come, at most so long. Says whether it has.
    #[must_use]
    pub fn wait_for(&self, text: &[u8], limit: Duration) -> bool {
        let until = Instant::now() + limit;
        let mut bytes = self.lock();
        loop {
            if bytes.windows(text.len()).any(|window| window == text) {
                return true;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let waited = self.shared.1.wait_timeout(bytes, left);
            bytes = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// All of it, once the other end has been closed.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        if let Some(reader) = self.reader.take() {
            // A reader does not panic.
            let _ = reader.join();
        }
        self.bytes()
    }
}
