//! A queue in service: virtio-queue's split ring, and the chain that is read from it.

use std::sync::atomic::Ordering;

use thiserror::Error;
use virtio_bindings::virtio_ring::VRING_AVAIL_F_NO_INTERRUPT;
use virtio_queue::{Queue, QueueOwnedT, QueueT};
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

use super::chain::{Chain, Table};

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

/// The driver's settings for a queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct QueueSetup {
    /// Descriptors.
    pub size: u16,
    /// Guest-physical address of the descriptor table.
    pub descriptors: u64,
    /// Guest-physical address of the ring of available requests.
    pub available: u64,
    /// Guest-physical address of the ring of used ones.
    pub used: u64,
}

/// A queue. While it is not ready there is no ring.
#[derive(Debug, Default)]
pub(super) struct ServedQueue {
    ring: Option<Queue>,
    chain: Chain,
}

impl ServedQueue {
    /// Takes a queue into service, from the beginning of its rings.
    ///
    /// # Errors
    /// The size is 0, not a power of two or more than `max_size`; a ring is not aligned, or not in
    /// memory.
    pub fn start(
        &mut self,
        setup: &QueueSetup,
        max_size: u16,
        memory: &GuestMemoryMmap,
    ) -> Result<(), QueueError> {
        let mut ring = Queue::new(max_size)?;
        ring.try_set_size(setup.size)?;
        ring.try_set_desc_table_address(GuestAddress(setup.descriptors))?;
        ring.try_set_avail_ring_address(GuestAddress(setup.available))?;
        ring.try_set_used_ring_address(GuestAddress(setup.used))?;
        ring.set_ready(true);
        // A ring of available requests at address 0 is one that was not set up, for QEMU as for
        // virtio-queue.
        if !ring.is_valid(memory) || setup.available == 0 {
            return Err(QueueError::Memory);
        }
        self.ring = Some(ring);
        Ok(())
    }

    /// Lets the rings go.
    pub fn stop(&mut self) {
        self.ring = None;
    }

    /// Serves requests until there are none, or the service may not go on.
    ///
    /// # Errors
    /// The ring is broken.
    pub fn serve(&mut self, service: &Service<'_>) -> Result<(), QueueError> {
        let Some(ring) = &mut self.ring else { return Ok(()) };
        ring.set_event_idx(service.event_idx);
        let memory = service.memory;
        while (service.may_go_on)() {
            ring.disable_notification(memory)?;
            while (service.may_go_on)()
                && let Some(head) = next_head(ring, memory)?
            {
                // A chain that breaks a rule is given back unanswered: a driver that has one flag
                // wrong loses this request and no more.
                let chain = self.chain.read(memory, table(ring, service), head);
                let written = chain.map_or(0, |()| (service.answer)(&self.chain));
                ring.add_used(memory, head, written)?;
                if needs_interrupt(ring, memory)? {
                    (service.interrupt)();
                }
            }
            if !ring.enable_notification(memory)? {
                break;
            }
        }
        Ok(())
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
    /// Serves a request, and returns how many bytes were written.
    pub answer: &'a dyn Fn(&Chain) -> u32,
    /// Interrupts the driver.
    pub interrupt: &'a dyn Fn(),
}

fn table(ring: &Queue, service: &Service<'_>) -> Table {
    Table {
        at: GuestAddress(ring.desc_table()),
        count: ring.size().into(),
        may_be_indirect: service.indirect,
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

/// Whether the driver wants to hear of what was used. Without event indices it is a flag (virtio
/// 1.2, 2.7.7.1), which virtio-queue does not look at.
fn needs_interrupt(ring: &mut Queue, memory: &GuestMemoryMmap) -> Result<bool, QueueError> {
    if ring.event_idx_enabled() {
        return Ok(ring.needs_notification(memory)?);
    }
    // The used index has to be visible before the flag is read.
    std::sync::atomic::fence(Ordering::SeqCst);
    let flags = memory.load::<u16>(GuestAddress(ring.avail_ring()), Ordering::Relaxed);
    let flags = u32::from(u16::from_le(flags.map_err(|_| QueueError::Memory)?));
    Ok(flags & VRING_AVAIL_F_NO_INTERRUPT == 0)
}
