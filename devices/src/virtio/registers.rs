//! The registers of the common configuration, which each transport shows in a layout of its own
//! (virtio 1.2, 4.1.4.3 and 4.2.2).

use std::sync::Arc;

use super::queue::QueueSetup;
use super::state::{FEATURES_OK, VirtioState};

/// Which half of a 64-bit register a 32-bit access means.
#[derive(Clone, Copy, Debug)]
pub(super) enum Half {
    Low,
    High,
}

/// A ring's address, as a register.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ring {
    Descriptors,
    Available,
    Used,
}

/// The values the driver has written for a queue.
#[derive(Clone, Copy, Debug)]
struct QueueRegisters {
    setup: QueueSetup,
    enabled: bool,
}

/// The registers, and the device behind them.
#[derive(Debug)]
pub(super) struct Registers {
    state: Arc<VirtioState>,
    device_features_select: u32,
    driver_features_select: u32,
    driver_features: u64,
    queue_select: u16,
    queues: Vec<QueueRegisters>,
}

impl Registers {
    pub fn new(state: Arc<VirtioState>) -> Self {
        let sizes = state.device().queue_sizes().iter();
        let queue = |&size| QueueRegisters {
            setup: QueueSetup { size, ..Default::default() },
            enabled: false,
        };
        let queues = sizes.map(queue).collect();
        Self {
            state,
            device_features_select: 0,
            driver_features_select: 0,
            driver_features: 0,
            queue_select: 0,
            queues,
        }
    }

    pub fn state(&self) -> &Arc<VirtioState> {
        &self.state
    }

    /// The reset by the driver or of the machine: device, queues and registers.
    pub fn reset(&mut self) {
        self.state.reset();
        *self = Self::new(Arc::clone(&self.state));
    }

    pub fn select_device_features(&mut self, half: u32) {
        self.device_features_select = half;
    }

    pub fn select_driver_features(&mut self, half: u32) {
        self.driver_features_select = half;
    }

    /// One of the two 32-bit halves of the features that the device offers.
    pub fn device_features(&self) -> u32 {
        half(self.state.offered(), self.device_features_select)
    }

    /// Takes 32 feature bits of the driver's. Once the device has agreed to the features they stay
    /// until the reset.
    pub fn set_driver_features(&mut self, bits: u32) {
        if self.state.features() != 0 {
            return;
        }
        match self.driver_features_select {
            0 => self.driver_features = with_half(self.driver_features, Half::Low, bits),
            1 => self.driver_features = with_half(self.driver_features, Half::High, bits),
            _ => {}
        }
    }

    pub fn status(&self) -> u8 {
        self.state.status()
    }

    /// The driver's steps. 0 is the reset. What comes in which order is left to the driver, as some
    /// skip steps; what counts is that FEATURES_OK becomes set, and later DRIVER_OK.
    pub fn set_status(&mut self, status: u8) {
        if status == 0 {
            self.reset();
            return;
        }
        let wants_features = status & FEATURES_OK != 0 && self.state.features() == 0;
        if wants_features && !self.state.negotiate(self.driver_features) {
            self.state.set_status(status & !FEATURES_OK);
        } else {
            self.state.set_status(status);
        }
    }

    pub fn generation(&self) -> u32 {
        self.state.generation()
    }

    pub fn select_queue(&mut self, queue: u16) {
        self.queue_select = queue;
    }

    /// Maximum size of the selected queue; 0 if the queue does not exist.
    pub fn max_queue_size(&self) -> u16 {
        let sizes = self.state.device().queue_sizes();
        sizes.get(usize::from(self.queue_select)).copied().unwrap_or(0)
    }

    /// The selected queue's size and addresses; all 0 if the queue does not exist.
    pub fn queue(&self) -> QueueSetup {
        let queue = self.queues.get(usize::from(self.queue_select));
        queue.map_or_else(QueueSetup::default, |queue| queue.setup)
    }

    /// Which queue is selected, whether or not it exists.
    pub fn selected_queue(&self) -> u16 {
        self.queue_select
    }

    /// Which half of the device's and of the driver's features is selected.
    pub fn selected_features(&self) -> (u32, u32) {
        (self.device_features_select, self.driver_features_select)
    }

    /// One of the two 32-bit halves of the features that the driver has written.
    pub fn driver_features(&self) -> u32 {
        half(self.driver_features, self.driver_features_select)
    }

    /// The size that the driver has chosen. One that cannot be shows when the queue is enabled.
    pub fn set_queue_size(&mut self, size: u16) {
        self.change_queue(|setup| setup.size = size);
    }

    /// Half of the address of a ring.
    pub fn set_ring(&mut self, ring: Ring, half: Half, bits: u32) {
        self.change_queue(|setup| {
            let address = match ring {
                Ring::Descriptors => &mut setup.descriptors,
                Ring::Available => &mut setup.available,
                Ring::Used => &mut setup.used,
            };
            *address = with_half(*address, half, bits);
        });
    }

    pub fn is_queue_enabled(&self) -> bool {
        self.queues.get(usize::from(self.queue_select)).is_some_and(|queue| queue.enabled)
    }

    /// Takes the selected queue into service. It is only once.
    pub fn enable_queue(&mut self) {
        let index = usize::from(self.queue_select);
        if let Some(queue) = self.queues.get_mut(index)
            && !queue.enabled
        {
            queue.enabled = self.state.start_queue(index, &queue.setup);
        }
    }

    /// Takes the selected queue out of service, once the request in service is answered.
    pub fn disable_queue(&mut self) {
        let index = usize::from(self.queue_select);
        if let Some(queue) = self.queues.get_mut(index) {
            self.state.stop_queue(index);
            queue.enabled = false;
        }
    }

    /// Changes the selected queue, unless it is in service.
    fn change_queue(&mut self, change: impl FnOnce(&mut QueueSetup)) {
        if let Some(queue) = self.queues.get_mut(usize::from(self.queue_select))
            && !queue.enabled
        {
            change(&mut queue.setup);
        }
    }
}

/// 32 bits of 64, by their number. There are two halves; all others are 0.
fn half(bits: u64, number: u32) -> u32 {
    let [low, high] = [bits & 0xffff_ffff, bits >> 32].map(|half| u32::try_from(half).unwrap_or(0));
    match number {
        0 => low,
        1 => high,
        _ => 0,
    }
}

fn with_half(value: u64, half: Half, bits: u32) -> u64 {
    match half {
        Half::Low => value >> 32 << 32 | u64::from(bits),
        Half::High => value & 0xffff_ffff | u64::from(bits) << 32,
    }
}
