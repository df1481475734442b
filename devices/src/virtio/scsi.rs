//! A SCSI controller (virtio 1.2, 5.6): it carries commands to targets. Targets are numbered from 0
//! and have one logical unit each.
//!
//! | queue | what for |
//! |---|---|
//! | 0, control | task management: answered once the command in service is |
//! | 1, events | nothing ever happens: targets neither come nor go. The driver's buffers stay in it |
//! | 2, requests | commands, one after the other |
//!
//! Where the specification leaves a choice it is QEMU's (hw/scsi/virtio-scsi.c). SeaBIOS sets up
//! queue 2 only, and asks all 256 targets there could be (src/hw/virtio-scsi.c).

mod config;
mod control;
mod request;

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use virtio_bindings::virtio_ids::VIRTIO_ID_SCSI;
use vm_memory::GuestMemoryMmap;

use super::chain::Chain;
use super::device::VirtioDevice;
use super::requests::Requests;
use crate::scsi::target::Target;

/// Descriptors of a queue, as QEMU has it.
pub const QUEUE_SIZE: u16 = 256;
/// How many targets there can be: what a byte of an address can tell apart.
pub const MAX_TARGETS: usize = 256;

const CONTROL: u16 = 0;
const EVENTS: u16 = 1;
const REQUESTS: u16 = 2;

/// How a command or a task management function ended, as far as the controller is concerned
/// (`VIRTIO_SCSI_S_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Response {
    /// A command has a status; a function is complete.
    Ok,
    /// The driver's buffers are smaller than the command's data.
    Overrun,
    /// There is no such target.
    BadTarget,
    /// Anything else.
    Failure,
    /// There is no such function.
    FunctionRejected,
    /// There is no such logical unit.
    IncorrectLun,
}

impl Response {
    /// As the driver sees it.
    fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Overrun => 1,
            Self::BadTarget => 3,
            Self::Failure => 9,
            Self::FunctionRejected => 11,
            Self::IncorrectLun => 12,
        }
    }
}

/// A controller.
#[derive(Debug)]
pub struct Scsi {
    targets: Vec<Arc<Target>>,
    /// Bytes of sense data in a response.
    sense_size: AtomicU32,
    /// Bytes of a command in a request.
    cdb_size: AtomicU32,
    /// Held while a command is in service.
    service: Mutex<()>,
}

impl Scsi {
    /// A controller with these targets, of which [`MAX_TARGETS`] can be reached.
    pub fn new(targets: Vec<Arc<Target>>) -> Self {
        Self {
            targets,
            sense_size: AtomicU32::new(config::SENSE_SIZE),
            cdb_size: AtomicU32::new(config::CDB_SIZE),
            service: Mutex::new(()),
        }
    }

    /// How many targets there are.
    pub fn target_count(&self) -> usize {
        self.targets.len()
    }

    /// The target and the number of the logical unit that an address names: 1, the target, and the
    /// unit by the peripheral or flat space method (virtio 1.2, 5.6.6.1).
    fn find(&self, address: [u8; 8]) -> Option<(&Target, u16)> {
        let [1, target, high @ (0 | 0x40..=0x7f), low, ..] = address else { return None };
        let target = self.targets.get(usize::from(target))?;
        Some((target, u16::from_be_bytes([high & 0x3f, low])))
    }

    /// Runs something while no command is in service.
    fn alone<T>(&self, run: impl FnOnce() -> T) -> T {
        let _alone = self.service.lock().unwrap_or_else(PoisonError::into_inner);
        run()
    }
}

impl VirtioDevice for Scsi {
    fn device_id(&self) -> u32 {
        VIRTIO_ID_SCSI
    }

    fn features(&self) -> u64 {
        // No commands with data in both directions, no hotplug, no changes, no protection
        // information.
        0
    }

    fn queue_sizes(&self) -> &[u16] {
        &[QUEUE_SIZE; 3]
    }

    fn read_config(&self, offset: u64, data: &mut [u8]) {
        let config = config::Config {
            sense_size: self.sense_size.load(Ordering::SeqCst),
            cdb_size: self.cdb_size.load(Ordering::SeqCst),
            targets: self.targets.len(),
        };
        config.read(offset, data);
    }

    fn write_config(&self, offset: u64, data: &[u8]) {
        let Ok(size) = <[u8; 4]>::try_from(data).map(u32::from_le_bytes) else { return };
        match offset {
            config::SENSE_SIZE_AT if size <= config::MAX_SENSE_SIZE => {
                self.sense_size.store(size, Ordering::SeqCst);
            }
            config::CDB_SIZE_AT if size <= config::MAX_CDB_SIZE => {
                self.cdb_size.store(size, Ordering::SeqCst);
            }
            _ => {}
        }
    }

    fn negotiated(&self, _: u64) {}

    fn reset(&self) {
        self.sense_size.store(config::SENSE_SIZE, Ordering::SeqCst);
        self.cdb_size.store(config::CDB_SIZE, Ordering::SeqCst);
        self.targets.iter().for_each(|target| target.reset());
    }

    fn serve(&self, queue: u16, memory: &GuestMemoryMmap, chain: &Chain) -> Option<u32> {
        let answered = match queue {
            CONTROL => self.control(memory, chain),
            REQUESTS => self.alone(|| self.request(memory, chain)),
            _ => None,
        };
        Some(answered.and_then(|written| u32::try_from(written).ok()).unwrap_or(0))
    }

    fn serve_queue(
        &self,
        queue: u16,
        memory: &GuestMemoryMmap,
        requests: &mut Requests<'_>,
    ) -> bool {
        if queue == EVENTS {
            return false;
        }
        requests.answer_each(|chain| self.serve(queue, memory, chain))
    }
}

#[cfg(test)]
mod tests;
