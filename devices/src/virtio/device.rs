//! The interface between a virtio device and its transport.

use std::fmt::Debug;

use vm_memory::GuestMemoryMmap;

use super::chain::Chain;
use super::requests::Requests;

/// A virtio device without its transport.
///
/// Its methods are called from vCPU threads (configuration, negotiation, reset) and from the
/// threads that serve its queues. Two queues may be served at once; one queue never is.
pub trait VirtioDevice: Debug + Send + Sync {
    /// The device type (virtio 1.2, section 5), as `virtio_bindings::virtio_ids` has it.
    fn device_id(&self) -> u32;

    /// The device's own feature bits, as a mask. Those of the rings and VIRTIO_F_VERSION_1 are not
    /// its business.
    fn features(&self) -> u64;

    /// The largest size of each queue, in descriptors; each a power of two.
    fn queue_sizes(&self) -> &[u16];

    /// Reads the device's configuration space. Bytes beyond its end are all ones, as QEMU has it.
    fn read_config(&self, offset: u64, data: &mut [u8]);

    /// Writes the device's configuration space. Writes to read-only fields are dropped.
    fn write_config(&self, offset: u64, data: &[u8]);

    /// The driver has accepted its features, a subset of those offered.
    fn negotiated(&self, features: u64);

    /// The device is reset. No request is in service.
    fn reset(&self);

    /// Serves one request of queue `queue`, and returns how many bytes it wrote to the chain's
    /// writable part. `None`: not now. The request is held, with those behind it, and is tried
    /// again when the queue is served the next time.
    fn serve(&self, queue: u16, memory: &GuestMemoryMmap, chain: &Chain) -> Option<u32>;

    /// Serves the requests of queue `queue`. Returns whether the device waits for more of them;
    /// otherwise the driver need not notify it, and the device's own events lead to the next call.
    ///
    /// Unless a device says otherwise, each request is answered by [`Self::serve`] in turn. A
    /// device that receives something takes requests when it has something to put into them.
    fn serve_queue(
        &self,
        queue: u16,
        memory: &GuestMemoryMmap,
        requests: &mut Requests<'_>,
    ) -> bool {
        requests.answer_each(|chain| self.serve(queue, memory, chain))
    }
}

/// How a device interrupts its driver; the transport implements it.
pub trait VirtioInterrupt: Send + Sync {
    /// A request of `queue` has been answered.
    fn queue_used(&self, queue: u16);

    /// The configuration space has changed, or the device needs a reset.
    fn config_changed(&self);
}

/// Wakes the thread that serves a queue.
pub trait QueueNotifier: Send + Sync {
    /// The driver says that `queue` has requests.
    fn notify(&self, queue: u16);
}

/// Reads from `offset` of a configuration space of these bytes; all ones beyond its end, as
/// [`VirtioDevice::read_config`] promises.
pub(super) fn read_bytes(config: &[u8], offset: u64, data: &mut [u8]) {
    data.fill(0xff);
    let rest = usize::try_from(offset).ok().and_then(|offset| config.get(offset..));
    for (to, from) in data.iter_mut().zip(rest.unwrap_or_default()) {
        *to = *from;
    }
}
