//! The requests of a queue, as a device takes and answers them.

use std::collections::VecDeque;
use std::sync::atomic::{Ordering, fence};
use std::time::{Duration, Instant};

use thiserror::Error;
use virtio_bindings::virtio_ring::VRING_AVAIL_F_NO_INTERRUPT;
use virtio_queue::{Queue, QueueOwnedT, QueueT};
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

use super::chain::{Chain, Table};
use crate::buffers::put;

/// How long answers may wait for their interrupt while there are more requests. It is checked after
/// each one: where each takes longer, so that waiting would matter, none waits for the next.
const COALESCING_TIME: Duration = Duration::from_micros(100);
/// The same where requests take less than [`QUICK`] on average, as those that the page cache
/// answers.
const QUICK_COALESCING_TIME: Duration = Duration::from_micros(300);
/// See [`QUICK_COALESCING_TIME`].
const QUICK: Duration = Duration::from_micros(25);
/// Answers are due when there are this many for each request that is left. The device serves the
/// rest while the driver takes them and makes new requests, so that it needs no notification.
const ANSWERS_FOR_EACH_LEFT: u32 = 3;

/// Why a queue cannot go on.
#[derive(Debug, Error)]
pub(super) enum QueueError {
    /// The ring is not usable: its size, its addresses, or an index in it.
    #[error("{0}")]
    Ring(virtio_queue::Error),
    /// Part of the ring is not in memory.
    #[error("the rings are not in memory")]
    Memory,
    /// The driver makes a request available that cannot be: its first descriptor does not exist, so
    /// that it cannot be answered.
    #[error("request {0} does not exist")]
    Head(u16),
}

impl From<virtio_queue::Error> for QueueError {
    fn from(error: virtio_queue::Error) -> Self {
        Self::Ring(error)
    }
}

/// The resources for serving a queue.
pub(super) struct Service<'a> {
    pub memory: &'a GuestMemoryMmap,
    /// VIRTIO_F_EVENT_IDX was negotiated.
    pub event_idx: bool,
    /// VIRTIO_F_INDIRECT_DESC was negotiated.
    pub indirect: bool,
    /// Whether the queue is still to be served. It is asked before each request.
    pub may_go_on: &'a dyn Fn() -> bool,
    /// Serves requests, and returns whether the device waits for more of them.
    pub serve: &'a dyn Fn(&mut Requests<'_>) -> bool,
    /// Interrupts the driver.
    pub interrupt: &'a dyn Fn(),
}

/// A request that was taken and is not answered yet.
#[derive(Debug, Default)]
pub(super) struct Held {
    head: u16,
    chain: Chain,
}

/// The requests of a queue in service.
///
/// A device either answers them in turn ([`Self::answer_each`]), or takes some and holds them until
/// it has answers ([`Self::hold`], [`Self::answer`]). What it holds it still holds at the next
/// service of the queue; a reset takes it away.
pub struct Requests<'a> {
    pub(super) ring: &'a mut Queue,
    pub(super) held: &'a mut VecDeque<Held>,
    /// A chain whose memory is used again.
    pub(super) spare: &'a mut Chain,
    /// The used index that the driver was last interrupted for, or did not want to be.
    pub(super) signalled: &'a mut u16,
    pub(super) service: &'a Service<'a>,
    pub(super) failed: Option<QueueError>,
}

impl std::fmt::Debug for Requests<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Requests").field("held", &self.held).finish_non_exhaustive()
    }
}

impl Requests<'_> {
    /// Answers each request, those that are held first, with the number of bytes that `answer`
    /// wrote, until there are none, or the queue's service has to end. Where `answer` has none, the
    /// request is held, and those behind it wait. Returns whether none is held. One interrupt is
    /// for several answers, so that a busy driver is not interrupted by each: see `Batch`.
    pub fn answer_each(&mut self, mut answer: impl FnMut(&Chain) -> Option<u32>) -> bool {
        let mut batch = Batch::begin();
        while let Some(written) = self.held.front().map(|request| answer(&request.chain)) {
            let Some(written) = written else { return false };
            self.answer(&[written]);
        }
        while let Some(request) = self.next() {
            let Some(written) = answer(&request.chain) else {
                self.held.push_back(request);
                self.interrupt();
                return false;
            };
            *self.spare = request.chain;
            self.put_used([(request.head, written)].into_iter());
            batch.answers += 1;
            if batch.is_most(self.left()) || batch.is_late() {
                self.interrupt();
                batch = Batch::begin();
            }
        }
        self.interrupt();
        true
    }

    /// How many requests are available and not taken.
    fn left(&self) -> u16 {
        let available = self.ring.avail_idx(self.service.memory, Ordering::Relaxed);
        // A ring that cannot be read fails with the next request.
        available.map_or(0, |index| index.0.wrapping_sub(self.ring.next_avail()))
    }

    /// Takes one more request and holds it. False: there is none, or the queue's service has to
    /// end.
    pub fn hold(&mut self) -> bool {
        let next = self.next();
        next.is_some_and(|request| {
            self.held.push_back(request);
            true
        })
    }

    /// The requests held, the oldest first.
    pub fn held(&self) -> impl ExactSizeIterator<Item = &Chain> {
        self.held.iter().map(|held| &held.chain)
    }

    /// How many requests can be held at once: as many as there are descriptors.
    pub fn limit(&self) -> usize {
        self.ring.size().into()
    }

    /// Answers the oldest requests that are held, one for each number of bytes in `written`. The
    /// driver sees all of the answers or none.
    pub fn answer(&mut self, written: &[u32]) {
        let count = written.len().min(self.held.len());
        let answered: Vec<_> =
            self.held.iter().zip(written).map(|(held, written)| (held.head, *written)).collect();
        if let Some(last) = self.held.drain(..count).next_back() {
            *self.spare = last.chain;
        }
        self.put_used(answered.into_iter());
    }

    /// Takes the next request. One that breaks a rule is given back unanswered: a driver that has
    /// one flag wrong loses this request and no more.
    fn next(&mut self) -> Option<Held> {
        while self.failed.is_none() && (self.service.may_go_on)() {
            let head = match next_head(self.ring, self.service.memory) {
                Ok(head) => head?,
                Err(error) => {
                    self.failed = Some(error);
                    return None;
                }
            };
            let mut chain = std::mem::take(self.spare);
            let table = Table {
                at: GuestAddress(self.ring.desc_table()),
                count: self.ring.size().into(),
                may_be_indirect: self.service.indirect,
            };
            // A driver that makes a request available twice cannot have more of them held than
            // there are descriptors.
            let has_room = self.held.len() < self.limit();
            if chain.read(self.service.memory, table, head).is_ok() && has_room {
                return Some(Held { head, chain });
            }
            *self.spare = chain;
            self.put_used([(head, 0)].into_iter());
            self.interrupt();
        }
        None
    }

    /// Puts requests into the used ring: head and number of bytes written.
    fn put_used(&mut self, used: impl Iterator<Item = (u16, u32)>) {
        if self.failed.is_none() {
            self.failed = put_used(self.ring, self.service.memory, used).err();
        }
    }

    /// Interrupts the driver if it wants to hear of what was used since the last time.
    pub(super) fn interrupt(&mut self) {
        if self.failed.is_some() || self.ring.next_used() == *self.signalled {
            return;
        }
        let before = std::mem::replace(self.signalled, self.ring.next_used());
        match wants_interrupt(self.ring, self.service.memory, before) {
            Ok(true) => (self.service.interrupt)(),
            Ok(false) => {}
            Err(error) => self.failed = Some(error),
        }
    }
}

/// Answers that share an interrupt.
struct Batch {
    since: Instant,
    answers: u32,
}

impl Batch {
    fn begin() -> Self {
        Self { since: Instant::now(), answers: 0 }
    }

    /// Whether there are so many that the driver should take them before the device has done those
    /// that are `left`.
    fn is_most(&self, left: u16) -> bool {
        self.answers >= ANSWERS_FOR_EACH_LEFT * u32::from(left)
    }

    /// Whether the first answer has waited long enough.
    fn is_late(&self) -> bool {
        let waited = self.since.elapsed();
        let is_quick = waited < QUICK * self.answers;
        waited >= if is_quick { QUICK_COALESCING_TIME } else { COALESCING_TIME }
    }
}

/// The next request that the driver has made available.
fn next_head(ring: &mut Queue, memory: &GuestMemoryMmap) -> Result<Option<u16>, QueueError> {
    let head = ring.iter(memory)?.next().map(|chain| chain.head_index());
    match head {
        Some(head) if head >= ring.size() => Err(QueueError::Head(head)),
        head => Ok(head),
    }
}

/// Puts requests into the used ring, and then moves its index once: virtio-queue's `add_used` moves
/// it for each, but the parts of a frame must become visible together (virtio 1.2, 5.1.6.4.1).
fn put_used(
    ring: &mut Queue,
    memory: &GuestMemoryMmap,
    used: impl Iterator<Item = (u16, u32)>,
) -> Result<(), QueueError> {
    const INDEX: u64 = 2;
    const ELEMENTS: u64 = 4;
    const ELEMENT_SIZE: u64 = 8;
    let mut index = ring.next_used();
    // The ring was found to be in memory, so the sums do not overflow.
    for (head, written) in used {
        let offset = ELEMENTS + ELEMENT_SIZE * u64::from(index % ring.size());
        // le32 id, le32 len
        let element = u64::from(head) | u64::from(written) << 32;
        let at = GuestAddress(ring.used_ring().wrapping_add(offset));
        put(memory, at, element.to_le()).ok_or(QueueError::Memory)?;
        index = index.wrapping_add(1);
    }
    ring.set_next_used(index);
    let at = GuestAddress(ring.used_ring().wrapping_add(INDEX));
    memory.store(index.to_le(), at, Ordering::Release).map_err(|_| QueueError::Memory)
}

/// Whether the driver wants to hear of what was used since the used index was `before` (virtio 1.2,
/// 2.7.7.2 and 2.7.10).
fn wants_interrupt(
    ring: &Queue,
    memory: &GuestMemoryMmap,
    before: u16,
) -> Result<bool, QueueError> {
    // The used index has to be visible before the driver's wish is read.
    fence(Ordering::SeqCst);
    let load = |offset: u64| {
        let at = GuestAddress(ring.avail_ring().wrapping_add(offset));
        let value = memory.load::<u16>(at, Ordering::Relaxed).map_err(|_| QueueError::Memory);
        value.map(u16::from_le)
    };
    if ring.event_idx_enabled() {
        let event = load(4 + 2 * u64::from(ring.size()))?;
        let used = ring.next_used();
        return Ok(used.wrapping_sub(event).wrapping_sub(1) < used.wrapping_sub(before));
    }
    Ok(u32::from(load(0)?) & VRING_AVAIL_F_NO_INTERRUPT == 0)
}

#[cfg(test)]
mod tests;
