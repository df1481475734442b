//! A tap interface as the card wants it.

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::OwnedFd;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use devices::virtio::net::{
    Frame, HEADER_SIZE, MAX_FRAME, NetBackend, Offload, Offloads, decode, encode,
};
use vmm::host::tap;
use vmm::machine::cards::CardBackend;

use super::NetworkError;
use super::wire::Edges;
use crate::request::TapConfig;

/// A tap interface.
#[derive(Debug)]
pub struct Tap {
    file: File,
    edges: Edges,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// There may be frames to read.
    is_readable: bool,
    /// Memory for the next frame.
    buffer: Vec<u8>,
}

impl Tap {
    /// Opens an interface.
    ///
    /// # Errors
    /// It does not exist, or the user may not use it.
    pub fn new(config: &TapConfig) -> Result<Self, NetworkError> {
        let failed = |source| NetworkError::Tap { tap: config.clone(), source };
        let file = match config {
            TapConfig::Name(name) => {
                exists(name).map_err(failed)?;
                tap::open(name)
            }
            TapConfig::Descriptor(fd) => tap::from_fd(*fd),
        };
        let (file, edges) = (file.map_err(failed)?, Edges::new().map_err(failed)?);
        edges.add(&file).map_err(failed)?;
        let state = Mutex::new(State { is_readable: true, buffer: Vec::new() });
        Ok(Self { file, edges, state })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether an interface exists: the kernel would make one for a privileged user, which nobody has
/// configured.
fn exists(name: &str) -> io::Result<()> {
    let socket = rustix::net::socket(
        rustix::net::AddressFamily::INET,
        rustix::net::SocketType::DGRAM,
        None,
    )?;
    rustix::net::netdevice::name_to_index(&socket, name)?;
    Ok(())
}

impl NetBackend for Tap {
    fn has_offloads(&self) -> bool {
        true
    }

    fn set_offloads(&self, Offloads { checksum, tso4, tso6 }: Offloads) {
        // Without it, frames come complete, which every driver takes.
        let _ = tap::set_offloads(&self.file, checksum, tso4, tso6);
    }

    fn send(&self, frame: &[u8], offload: Option<&Offload>) {
        let header = encode(offload, 0);
        // A full queue, or an interface that is down, loses the frame, as a cable does.
        let _ = (&self.file).write_vectored(&[IoSlice::new(&header), IoSlice::new(frame)]);
    }

    fn receive(&self) -> Option<Frame> {
        let mut state = self.state();
        while state.is_readable {
            let mut header = [0; HEADER_SIZE];
            let mut bytes = std::mem::take(&mut state.buffer);
            bytes.resize(MAX_FRAME, 0);
            let parts = &mut [IoSliceMut::new(&mut header), IoSliceMut::new(&mut bytes)];
            let length = match (&self.file).read_vectored(parts) {
                Ok(length) => length.saturating_sub(HEADER_SIZE),
                Err(error) => {
                    state.is_readable = error.kind() == io::ErrorKind::Interrupted;
                    state.buffer = bytes;
                    continue;
                }
            };
            bytes.truncate(length);
            // The kernel leaves undone only what it was told to.
            if let Some(offload) = decode(&header, length, u64::MAX) {
                return Some(Frame { bytes, offload });
            }
            state.buffer = bytes;
        }
        None
    }

    fn recycle(&self, frame: Frame) {
        self.state().buffer = frame.bytes;
    }
}

impl CardBackend for Tap {
    fn event(&self) -> io::Result<OwnedFd> {
        self.edges.descriptor()
    }

    fn poll(&self, _: Instant) {
        if self.edges.take() {
            self.state().is_readable = true;
        }
    }
}

#[cfg(test)]
mod tests;
