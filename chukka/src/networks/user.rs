//! The user network as the card wants it.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use devices::virtio::net::{Frame, NetBackend, Offload, Offloads, Segments, TcpVersion};
use network::{Checksum, Config, ErrorQueue, NetworkError, Service, UserNetwork};
use vmm::host::udp;
use vmm::machine::cards::CardBackend;

/// The first byte of the type in an Ethernet header.
const ETHERTYPE: usize = 12;
const IPV6: [u8; 2] = [0x86, 0xdd];

/// A user network, shared by the card's thread and the vCPUs, which reset it.
#[derive(Debug)]
pub struct User(Mutex<UserNetwork>);

impl User {
    /// Sets the network up.
    ///
    /// # Errors
    /// A port is taken, or the host refuses a socket.
    pub fn new(config: &Config, service: Option<&Arc<dyn Service>>) -> Result<Self, NetworkError> {
        let mut network = UserNetwork::new(config)?;
        network.keep_errors_with(ErrorQueue { keep: udp::keep_errors, take: udp::take_error });
        if let Some(service) = service {
            network.serve(Arc::clone(service));
        }
        Ok(Self(Mutex::new(network)))
    }

    fn network(&self) -> MutexGuard<'_, UserNetwork> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl NetBackend for User {
    fn has_offloads(&self) -> bool {
        true
    }

    fn set_offloads(&self, Offloads { checksum, tso4, tso6 }: Offloads) {
        self.network().set_offloads(network::Offloads { checksum, tso4, tso6 });
    }

    fn send(&self, frame: &[u8], offload: Option<&Offload>) {
        // A large segment is one packet here, so there is nothing to cut.
        let checksum = if offload.is_some() { Checksum::Partial } else { Checksum::Complete };
        self.network().send(frame, checksum, Instant::now());
    }

    fn receive(&self) -> Option<Frame> {
        let network::Frame { bytes, offload } = self.network().receive()?;
        let is_ipv6 = bytes.get(ETHERTYPE..ETHERTYPE + 2) == Some(&IPV6);
        let version = if is_ipv6 { TcpVersion::V6 } else { TcpVersion::V4 };
        let offload = offload.map(|offload| Offload {
            checksum_start: offload.checksum_start,
            checksum_offset: offload.checksum_offset,
            header_length: offload.header_length,
            segments: offload.segment_size.map(|size| Segments { version, size }),
        });
        Some(Frame { bytes, offload })
    }

    fn recycle(&self, frame: Frame) {
        self.network().recycle(network::Frame { bytes: frame.bytes, offload: None });
    }
}

impl CardBackend for User {
    fn event(&self) -> io::Result<OwnedFd> {
        self.network().as_fd().try_clone_to_owned()
    }

    fn poll(&self, now: Instant) {
        self.network().poll(now);
    }

    fn deadline(&self) -> Option<Instant> {
        self.network().deadline()
    }

    fn is_busy(&self) -> bool {
        self.network().is_busy()
    }
}
