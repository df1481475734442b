//! A queue in service: virtio-queue's split ring, and what the device has taken from it.

use std::collections::VecDeque;

use virtio_queue::{Queue, QueueT};
use vm_memory::{GuestAddress, GuestMemoryMmap};

use super::chain::Chain;
use super::requests::{Held, QueueError, Requests, Service};

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
    held: VecDeque<Held>,
    spare: Chain,
    /// The used index at the last interrupt that was raised, or not wanted.
    signalled: u16,
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
        self.stop();
        self.ring = Some(ring);
        Ok(())
    }

    /// Lets the rings go, and the requests that the device holds.
    pub fn stop(&mut self) {
        *self = Self::default();
    }

    /// Whether the device has taken requests that it has not answered.
    pub fn holds_requests(&self) -> bool {
        !self.held.is_empty()
    }

    /// Serves requests until there are none, the device wants no more, or the service may not go
    /// on.
    ///
    /// # Errors
    /// The ring is broken.
    pub fn serve(&mut self, service: &Service<'_>) -> Result<(), QueueError> {
        let Some(ring) = &mut self.ring else { return Ok(()) };
        ring.set_event_idx(service.event_idx);
        let memory = service.memory;
        while (service.may_go_on)() {
            ring.disable_notification(memory)?;
            let mut requests = Requests {
                ring: &mut *ring,
                held: &mut self.held,
                spare: &mut self.spare,
                signalled: &mut self.signalled,
                service,
                failed: None,
            };
            let wants_more = (service.serve)(&mut requests);
            requests.interrupt();
            if let Some(error) = requests.failed {
                return Err(error);
            }
            if !wants_more || !ring.enable_notification(memory)? {
                break;
            }
        }
        Ok(())
    }
}
