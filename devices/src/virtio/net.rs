//! A network card (virtio 1.2, 5.1): one queue for receiving, one for transmitting.
//!
//! What it offers: a MAC address, the link's status, an MTU where one is set, and mergeable receive
//! buffers; where the backend has them, checksums and TCP segments in both directions are left to
//! it. There is no control queue: the card passes every frame that the backend hands it, and Linux
//! filters by itself.
//!
//! What it promises: a frame reaches the driver whole or not at all. While the driver has no room,
//! one frame waits here and the others wait in the backend. The checksum and segmentation fields of
//! the driver's frames are checked before the backend sees them, and a frame that breaks a rule is
//! dropped.

mod header;

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use virtio_bindings::virtio_net as bindings;
use vm_memory::{GuestMemoryMmap, Permissions};

use super::chain::Chain;
use super::device::{VirtioDevice, read_bytes};
use super::requests::Requests;
use crate::buffers::Buffers;
use crate::counter::{Count, Counter};
pub use virtio_bindings::virtio_ids::VIRTIO_ID_NET;

pub use header::{HEADER_SIZE, Offload, Segments, TcpVersion, decode, encode};

/// Descriptors of each queue, as QEMU has it.
pub const QUEUE_SIZE: u16 = 256;
/// Minimum length in bytes of a frame: its Ethernet header.
pub const MIN_FRAME: usize = 14;
/// Maximum length in bytes of a frame: an Ethernet header with a VLAN tag, and an IP packet of
/// 65,535 bytes.
pub const MAX_FRAME: usize = 18 + 65_535;
/// The queue on which the driver receives. The other one is [`TRANSMIT`].
pub const RECEIVE: u16 = 0;
/// The queue on which the driver transmits.
pub const TRANSMIT: u16 = 1;
/// How many frames the driver gets before it is the other queue's turn.
const BUDGET: usize = 256;

/// The features that a card can be without, each by the name of QEMU's property and by its bit.
pub const OPTIONAL: [(&str, u32); 7] = [
    ("csum", bindings::VIRTIO_NET_F_CSUM),
    ("guest_csum", bindings::VIRTIO_NET_F_GUEST_CSUM),
    ("guest_tso4", bindings::VIRTIO_NET_F_GUEST_TSO4),
    ("guest_tso6", bindings::VIRTIO_NET_F_GUEST_TSO6),
    ("host_tso4", bindings::VIRTIO_NET_F_HOST_TSO4),
    ("host_tso6", bindings::VIRTIO_NET_F_HOST_TSO6),
    ("mrg_rxbuf", bindings::VIRTIO_NET_F_MRG_RXBUF),
];

/// Length in bytes of a MAC address.
pub const MAC_SIZE: usize = 6;

/// A frame for the driver.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    /// The frame, from the destination address on, without frame check sequence.
    pub bytes: Vec<u8>,
    /// The work left to the card. `None`: the frame is complete.
    pub offload: Option<Offload>,
}

/// What the driver accepts when it receives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offloads {
    /// Frames with a partial checksum (GUEST_CSUM).
    pub checksum: bool,
    /// TCP segments over IPv4 of up to 64 KiB (GUEST_TSO4).
    pub tso4: bool,
    /// TCP segments over IPv6 of up to 64 KiB (GUEST_TSO6).
    pub tso6: bool,
}

/// What is at the other end of the wire. None of its methods waits.
pub trait NetBackend: fmt::Debug + Send + Sync {
    /// Whether checksums and TCP segmentation can be left undone in frames to and from it.
    fn has_offloads(&self) -> bool;

    /// The driver accepts this from now on. After a reset it is nothing.
    fn set_offloads(&self, offloads: Offloads);

    /// Takes a frame of [`MIN_FRAME`] to [`MAX_FRAME`] bytes from the driver. `offload` is the work
    /// left to it, checked.
    fn send(&self, frame: &[u8], offload: Option<&Offload>);

    /// The next frame for the driver, of [`MIN_FRAME`] to [`MAX_FRAME`] bytes.
    fn receive(&self) -> Option<Frame>;

    /// Takes a frame back that the driver has, so that its memory can be used again.
    fn recycle(&self, frame: Frame) {
        drop(frame);
    }
}

/// The frames of a card, from the guest's point of view. Bytes are those of the frames, without the
/// virtio header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Those that the guest has received, and those dropped because it could not receive them.
    pub received: Count,
    /// Those that the guest has transmitted, and those dropped because they broke a rule.
    pub transmitted: Count,
}

/// A network card.
#[derive(Debug)]
pub struct Net {
    backend: Arc<dyn NetBackend>,
    mac: [u8; MAC_SIZE],
    mtu: Option<u16>,
    /// Features that are not offered.
    withheld: u64,
    link_is_up: AtomicBool,
    /// The features the driver has accepted.
    features: AtomicU64,
    /// The frame that the driver gets next.
    pending: Mutex<Option<Frame>>,
    /// Memory for the frame that is transmitted.
    transmitted: Mutex<Vec<u8>>,
    /// The driver may have room for more frames, but it was the other queue's turn.
    is_behind: AtomicBool,
    received: Counter,
    sent: Counter,
}

/// What became of a frame for the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Placed {
    /// The driver has it.
    Done,
    /// The driver never can have it.
    Dropped,
    /// It waits until the driver has room.
    Waits,
}

impl Net {
    /// Creates a card with the address `mac`, and says what MTU the network has if it is known.
    pub fn new(backend: Arc<dyn NetBackend>, mac: [u8; MAC_SIZE], mtu: Option<u16>) -> Self {
        Self {
            backend,
            mac,
            mtu,
            withheld: 0,
            link_is_up: AtomicBool::new(true),
            features: AtomicU64::new(0),
            pending: Mutex::default(),
            transmitted: Mutex::default(),
            is_behind: AtomicBool::new(false),
            received: Counter::default(),
            sent: Counter::default(),
        }
    }

    /// What it has done so far.
    pub fn counts(&self) -> Counts {
        Counts { received: self.received.get(), transmitted: self.sent.get() }
    }

    /// The same card without some of its [`OPTIONAL`] features: a mask of their bits. Segmentation
    /// is not offered without the checksums that it needs (virtio 1.2, 5.1.3.1).
    #[must_use]
    pub fn without(self, features: u64) -> Self {
        let has = |bit: u32| features & (1 << bit) != 0;
        let mut withheld = features;
        if has(bindings::VIRTIO_NET_F_CSUM) {
            withheld |=
                1 << bindings::VIRTIO_NET_F_HOST_TSO4 | 1 << bindings::VIRTIO_NET_F_HOST_TSO6;
        }
        if has(bindings::VIRTIO_NET_F_GUEST_CSUM) {
            withheld |=
                1 << bindings::VIRTIO_NET_F_GUEST_TSO4 | 1 << bindings::VIRTIO_NET_F_GUEST_TSO6;
        }
        Self { withheld, ..self }
    }

    /// The address.
    pub fn mac(&self) -> [u8; MAC_SIZE] {
        self.mac
    }

    /// Plugs the cable in or out. Returns whether that is a change, of which the driver must be
    /// told ([`super::state::VirtioState::config_changed`]).
    pub fn set_link(&self, is_up: bool) -> bool {
        self.link_is_up.swap(is_up, Ordering::SeqCst) != is_up
    }

    /// Whether the receive queue must be served again at once.
    pub fn is_behind(&self) -> bool {
        self.is_behind.load(Ordering::SeqCst)
    }

    fn has(&self, feature: u32) -> bool {
        self.features.load(Ordering::SeqCst) & 1 << feature != 0
    }

    /// The next frame that the driver can have.
    fn next_frame(&self) -> Option<Frame> {
        let features = self.features.load(Ordering::SeqCst);
        loop {
            let frame = self.backend.receive()?;
            let is_accepted =
                frame.offload.is_none_or(|offload| offload.is_accepted_by_driver(features));
            let is_valid = (MIN_FRAME..=MAX_FRAME).contains(&frame.bytes.len());
            // The driver may have been reset since the backend made it.
            if is_accepted && is_valid {
                return Some(frame);
            }
            self.received.add_failed();
            self.backend.recycle(frame);
        }
    }

    /// Gives the driver frames until there are none, or it has no more room. Returns whether more
    /// room is needed.
    fn receive(&self, memory: &GuestMemoryMmap, requests: &mut Requests<'_>) -> bool {
        self.is_behind.store(false, Ordering::SeqCst);
        let mut pending = lock(&self.pending);
        for _ in 0..BUDGET {
            if pending.is_none() {
                *pending = self.next_frame();
            }
            let Some(frame) = pending.as_ref() else { return false };
            match self.place(frame, memory, requests) {
                Placed::Done => self.received.add_done(frame.bytes.len() as u64),
                Placed::Dropped => self.received.add_failed(),
                Placed::Waits => return true,
            }
            if let Some(frame) = pending.take() {
                self.backend.recycle(frame);
            }
        }
        self.is_behind.store(true, Ordering::SeqCst);
        false
    }

    /// Gives the driver a frame.
    fn place(
        &self,
        frame: &Frame,
        memory: &GuestMemoryMmap,
        requests: &mut Requests<'_>,
    ) -> Placed {
        let length = HEADER_SIZE + frame.bytes.len();
        let mergeable = self.has(bindings::VIRTIO_NET_F_MRG_RXBUF);
        let (mut room, mut count) = (0usize, 0usize);
        while room < length && (mergeable || count == 0) {
            if count == requests.held().len() && !requests.hold() {
                // All descriptors there are would not be enough.
                let is_hopeless = count >= requests.limit();
                return if is_hopeless { Placed::Dropped } else { Placed::Waits };
            }
            room = room.saturating_add(requests.held().nth(count).map_or(0, writable));
            count += 1;
        }
        if room < length {
            return Placed::Dropped;
        }
        let header = encode(frame.offload.as_ref(), u16::try_from(count).unwrap_or(u16::MAX));
        let written = write(memory, requests.held().take(count), &header, &frame.bytes);
        // Buffers that are not in memory are given back empty, and the frame is lost.
        let placed = if written.is_some() { Placed::Done } else { Placed::Dropped };
        requests.answer(&written.unwrap_or_else(|| vec![0; count]));
        placed
    }

    /// Takes a frame of the driver, and returns its length. One that breaks a rule is dropped.
    fn transmit(&self, memory: &GuestMemoryMmap, chain: &Chain) -> Option<u64> {
        let mut header = Buffers::new(memory, chain.readable(), Permissions::Read)?;
        let frame = header.split_off(HEADER_SIZE)?;
        if !(MIN_FRAME..=MAX_FRAME).contains(&frame.len()) {
            return None;
        }
        let mut fields = [0; HEADER_SIZE];
        header.copy_to(&mut fields);
        let features = self.features.load(Ordering::SeqCst);
        let offload = decode(&fields, frame.len(), features)?;
        let mut bytes = lock(&self.transmitted);
        bytes.resize(frame.len(), 0);
        frame.copy_to(&mut bytes);
        self.backend.send(&bytes, offload.as_ref());
        Some(bytes.len() as u64)
    }
}

/// Bytes that a request has room for.
fn writable(chain: &Chain) -> usize {
    chain.writable().iter().map(|segment| segment.len as usize).sum()
}

/// Writes header and frame to buffers, and returns how much is in each.
fn write<'a>(
    memory: &GuestMemoryMmap,
    chains: impl Iterator<Item = &'a Chain>,
    header: &[u8; HEADER_SIZE],
    mut frame: &[u8],
) -> Option<Vec<u32>> {
    let mut written = Vec::with_capacity(chains.size_hint().0);
    for (index, chain) in chains.enumerate() {
        let mut buffers = Buffers::new(memory, chain.writable(), Permissions::Write)?;
        let mut count = 0;
        if index == 0 {
            let rest = buffers.split_off(HEADER_SIZE)?;
            count += buffers.copy_from(header);
            buffers = rest;
        }
        let copied = buffers.copy_from(frame);
        frame = &frame[copied..];
        written.push(u32::try_from(count + copied).ok()?);
    }
    Some(written)
}

impl VirtioDevice for Net {
    fn device_id(&self) -> u32 {
        VIRTIO_ID_NET
    }

    fn features(&self) -> u64 {
        let mut bits = vec![
            bindings::VIRTIO_NET_F_MAC,
            bindings::VIRTIO_NET_F_STATUS,
            bindings::VIRTIO_NET_F_MRG_RXBUF,
        ];
        if self.backend.has_offloads() {
            bits.extend([
                bindings::VIRTIO_NET_F_CSUM,
                bindings::VIRTIO_NET_F_GUEST_CSUM,
                bindings::VIRTIO_NET_F_HOST_TSO4,
                bindings::VIRTIO_NET_F_HOST_TSO6,
                bindings::VIRTIO_NET_F_GUEST_TSO4,
                bindings::VIRTIO_NET_F_GUEST_TSO6,
            ]);
        }
        bits.extend(self.mtu.map(|_| bindings::VIRTIO_NET_F_MTU));
        bits.into_iter().fold(0, |mask, bit| mask | 1 << bit) & !self.withheld
    }

    fn queue_sizes(&self) -> &[u16] {
        &[QUEUE_SIZE; 2]
    }

    /// `struct virtio_net_config` (virtio 1.2, 5.1.4), little-endian: the address, the status, the
    /// number of pairs of queues, and the MTU.
    fn read_config(&self, offset: u64, data: &mut [u8]) {
        let status = u16::from(self.link_is_up.load(Ordering::SeqCst));
        let mut config = [0; 12];
        config[..6].copy_from_slice(&self.mac);
        config[6..8].copy_from_slice(&status.to_le_bytes());
        config[8..10].copy_from_slice(&1u16.to_le_bytes());
        config[10..].copy_from_slice(&self.mtu.unwrap_or_default().to_le_bytes());
        read_bytes(&config, offset, data);
    }

    fn write_config(&self, _: u64, _: &[u8]) {}

    fn negotiated(&self, features: u64) {
        self.features.store(features, Ordering::SeqCst);
        self.backend.set_offloads(header::accepted_by_driver(features));
    }

    fn reset(&self) {
        self.features.store(0, Ordering::SeqCst);
        *lock(&self.pending) = None;
        self.is_behind.store(false, Ordering::SeqCst);
        self.backend.set_offloads(Offloads::default());
    }

    fn serve(&self, _: u16, memory: &GuestMemoryMmap, chain: &Chain) -> Option<u32> {
        // The driver does not learn what becomes of a frame.
        match self.transmit(memory, chain) {
            Some(bytes) => self.sent.add_done(bytes),
            None => self.sent.add_failed(),
        }
        Some(0)
    }

    fn serve_queue(
        &self,
        queue: u16,
        memory: &GuestMemoryMmap,
        requests: &mut Requests<'_>,
    ) -> bool {
        if queue == RECEIVE {
            return self.receive(memory, requests);
        }
        requests.answer_each(|chain| self.serve(queue, memory, chain))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
