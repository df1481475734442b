//! A virtio device whatever its transport: status, features, queues and reset (virtio 1.2, 2.1 to
//! 2.4 and 3.1).

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use virtio_bindings::virtio_config::{VIRTIO_CONFIG_S_DRIVER_OK, VIRTIO_F_VERSION_1};
use virtio_bindings::virtio_ring::{VIRTIO_RING_F_EVENT_IDX, VIRTIO_RING_F_INDIRECT_DESC};
use vm_memory::GuestMemoryMmap;

use super::device::{VirtioDevice, VirtioInterrupt};
use super::queue::{QueueSetup, ServedQueue};
use super::requests::Service;

/// Status: the driver is set up and requests may come.
pub(super) const DRIVER_OK: u8 = VIRTIO_CONFIG_S_DRIVER_OK.to_le_bytes()[0];
/// Status: the driver has chosen its features, and the device agrees.
pub(super) const FEATURES_OK: u8 = 8;
/// Status: the device has given up.
pub(super) const NEEDS_RESET: u8 = 64;

const VERSION_1: u64 = 1 << VIRTIO_F_VERSION_1;
const INDIRECT: u64 = 1 << VIRTIO_RING_F_INDIRECT_DESC;
const EVENT_IDX: u64 = 1 << VIRTIO_RING_F_EVENT_IDX;
/// The ring features supported for every device.
const COMMON_FEATURES: u64 = VERSION_1 | INDIRECT | EVENT_IDX;

/// A queue, and how to get it from the thread that serves it.
#[derive(Debug, Default)]
struct QueueSlot {
    queue: Mutex<ServedQueue>,
    /// The queue is wanted back: the thread that serves it ends after the request in service.
    stop: AtomicBool,
}

impl QueueSlot {
    /// Stops the queue, once the request in service is answered.
    fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
        lock(&self.queue).stop();
        self.stop.store(false, Ordering::SeqCst);
    }

    /// Waits for the request in service, if any. No other one is begun meanwhile.
    fn settle(&self) {
        self.stop.store(true, Ordering::SeqCst);
        drop(lock(&self.queue));
        self.stop.store(false, Ordering::SeqCst);
    }
}

/// A device, shared by its transport and the threads that serve its queues.
pub struct VirtioState {
    device: Arc<dyn VirtioDevice>,
    memory: GuestMemoryMmap,
    interrupt: Arc<dyn VirtioInterrupt>,
    status: AtomicU8,
    /// The device may not access memory.
    is_cut_off: AtomicBool,
    /// The features the driver has accepted; 0 before that.
    features: AtomicU64,
    /// How often the configuration space has changed.
    generation: AtomicU32,
    queues: Vec<QueueSlot>,
}

impl VirtioState {
    /// A device after its reset.
    pub fn new(
        device: Arc<dyn VirtioDevice>,
        memory: GuestMemoryMmap,
        interrupt: Arc<dyn VirtioInterrupt>,
    ) -> Self {
        let queues = device.queue_sizes().iter().map(|_| QueueSlot::default()).collect();
        Self {
            device,
            memory,
            interrupt,
            status: AtomicU8::new(0),
            is_cut_off: AtomicBool::new(false),
            features: AtomicU64::new(0),
            generation: AtomicU32::new(0),
            queues,
        }
    }

    /// How many queues there are.
    pub fn queue_count(&self) -> usize {
        self.queues.len()
    }

    /// Serves the requests of a queue: all there are, or all that the device wants. For the queue's
    /// own thread, which is woken by [`super::device::QueueNotifier`]. A queue that is not in
    /// service, or does not exist, has no requests. Returns whether the device holds requests that
    /// it has taken.
    pub fn serve(&self, index: u16) -> bool {
        let Some(slot) = self.queues.get(usize::from(index)) else { return false };
        let mut queue = lock(&slot.queue);
        let features = self.features();
        let served = queue.serve(&Service {
            memory: &self.memory,
            event_idx: features & EVENT_IDX != 0,
            indirect: features & INDIRECT != 0,
            may_go_on: &|| self.is_running() && !slot.stop.load(Ordering::SeqCst),
            serve: &|requests| self.device.serve_queue(index, &self.memory, requests),
            interrupt: &|| self.interrupt.queue_used(index),
        });
        if served.is_err() {
            queue.stop();
            self.fail();
        }
        queue.holds_requests()
    }

    /// Tells the driver that the configuration space has changed.
    pub fn config_changed(&self) {
        self.generation.fetch_add(1, Ordering::SeqCst);
        self.interrupt.config_changed();
    }

    /// The reset by the driver or of the machine: returns once the requests in service are
    /// answered.
    pub(super) fn reset(&self) {
        self.status.store(0, Ordering::SeqCst);
        self.queues.iter().for_each(QueueSlot::stop);
        self.features.store(0, Ordering::SeqCst);
        self.device.reset();
    }

    /// Whether the device may access memory, which a transport can forbid. Once forbidden, it
    /// returns when the requests in service are answered.
    pub(super) fn allow_memory(&self, allowed: bool) {
        self.is_cut_off.store(!allowed, Ordering::SeqCst);
        if !allowed {
            self.queues.iter().for_each(QueueSlot::settle);
        }
    }

    /// The device gives up until it is reset. A driver that is not set up yet reads it from the
    /// status only (virtio 1.2, 2.1.2).
    pub(super) fn fail(&self) {
        let before = self.status.fetch_or(NEEDS_RESET, Ordering::SeqCst);
        if before & (DRIVER_OK | NEEDS_RESET) == DRIVER_OK {
            self.interrupt.config_changed();
        }
    }

    /// Takes the driver's choice of features. False: it is not one that was offered, or not that of
    /// a driver of version 1.
    pub(super) fn negotiate(&self, wanted: u64) -> bool {
        let is_fine = wanted & !self.offered() == 0 && wanted & VERSION_1 != 0;
        if is_fine {
            self.device.negotiated(wanted);
            self.features.store(wanted, Ordering::SeqCst);
        }
        is_fine
    }

    /// Takes a queue into service. False: it cannot be as the driver has set it up, and the device
    /// gives up.
    pub(super) fn start_queue(&self, index: usize, setup: &QueueSetup) -> bool {
        let (Some(slot), Some(&max)) =
            (self.queues.get(index), self.device.queue_sizes().get(index))
        else {
            return false;
        };
        let started = lock(&slot.queue).start(setup, max, &self.memory).is_ok();
        if !started {
            self.fail();
        }
        started
    }

    /// Takes a queue out of service.
    pub(super) fn stop_queue(&self, index: usize) {
        if let Some(slot) = self.queues.get(index) {
            slot.stop();
        }
    }

    pub(super) fn device(&self) -> &dyn VirtioDevice {
        &*self.device
    }

    /// The features the driver can choose from.
    pub(super) fn offered(&self) -> u64 {
        self.device.features() | COMMON_FEATURES
    }

    /// The features the driver has accepted; 0 before that.
    pub(super) fn features(&self) -> u64 {
        self.features.load(Ordering::SeqCst)
    }

    pub(super) fn status(&self) -> u8 {
        self.status.load(Ordering::SeqCst)
    }

    /// Stores the driver's bits of the status; the device's own stays.
    pub(super) fn set_status(&self, status: u8) {
        let change = |old| Some(status & !NEEDS_RESET | old & NEEDS_RESET);
        // The closure never refuses.
        let _ = self.status.fetch_update(Ordering::SeqCst, Ordering::SeqCst, change);
    }

    pub(super) fn generation(&self) -> u32 {
        self.generation.load(Ordering::SeqCst)
    }

    /// The driver is set up, and the device has not given up. Whether FEATURES_OK is still set does
    /// not count: SeaBIOS overwrites it (`virtio_scsi_mmio_init`).
    fn is_running(&self) -> bool {
        self.status() & (DRIVER_OK | NEEDS_RESET) == DRIVER_OK
            && self.features() != 0
            && !self.is_cut_off.load(Ordering::SeqCst)
    }
}

impl fmt::Debug for VirtioState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = f.debug_struct("VirtioState");
        text.field("device", &self.device).field("status", &self.status).finish_non_exhaustive()
    }
}

fn lock(queue: &Mutex<ServedQueue>) -> MutexGuard<'_, ServedQueue> {
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}
