//! The control queue: task management, and asynchronous notifications, of which there are none
//! (virtio 1.2, 5.6.6.2).
//!
//! A command is in service for as long as the host takes to read. When a function is answered, no
//! command is; those that are still in the queue have not begun, and are served later. So there is
//! nothing to abort.

use vm_memory::{GuestMemoryMmap, Permissions};

use super::{Response, Scsi};
use crate::buffers::Buffers;
use crate::virtio::chain::Chain;

/// Types of requests: `VIRTIO_SCSI_T_*`.
const TASK_MANAGEMENT: u32 = 0;
const QUERY_NOTIFICATIONS: u32 = 1;
const SUBSCRIBE_TO_NOTIFICATIONS: u32 = 2;
/// Functions: `VIRTIO_SCSI_T_TMF_*`.
const ABORT_TASK: u32 = 0;
const ABORT_TASK_SET: u32 = 1;
const CLEAR_TASK_SET: u32 = 3;
const NEXUS_RESET: u32 = 4;
const UNIT_RESET: u32 = 5;
const QUERY_TASK: u32 = 6;
const QUERY_TASK_SET: u32 = 7;

/// Bytes of `struct virtio_scsi_ctrl_tmf`: type and function, 32 bits each, address and tag, 64
/// bits each.
const FUNCTION_SIZE: usize = 24;
/// Bytes of `struct virtio_scsi_ctrl_an`: type, 32 bits, address, 64 bits, events, 32 bits.
const NOTIFICATION_SIZE: usize = 16;

impl Scsi {
    /// Serves a request, and returns how many bytes it wrote. `None`: it is too short, or not in
    /// memory.
    pub(super) fn control(&self, memory: &GuestMemoryMmap, chain: &Chain) -> Option<usize> {
        let request = Buffers::new(memory, chain.readable(), Permissions::Read)?;
        let response = Buffers::new(memory, chain.writable(), Permissions::Write)?;
        let mut bytes = [0; FUNCTION_SIZE];
        let length = request.copy_to(&mut bytes);
        let [t0, t1, t2, t3, f0, f1, f2, f3, a0, a1, a2, a3, a4, a5, a6, a7, ..] = bytes;
        let answer = match u32::from_le_bytes([t0, t1, t2, t3]) {
            TASK_MANAGEMENT if length == FUNCTION_SIZE => {
                let function = u32::from_le_bytes([f0, f1, f2, f3]);
                let address = [a0, a1, a2, a3, a4, a5, a6, a7];
                vec![self.alone(|| self.manage(function, address)).code()]
            }
            // No events are supported: four bytes of them, and the response.
            QUERY_NOTIFICATIONS | SUBSCRIBE_TO_NOTIFICATIONS if length >= NOTIFICATION_SIZE => {
                vec![0, 0, 0, 0, Response::Ok.code()]
            }
            _ => return None,
        };
        (response.len() >= answer.len()).then(|| response.copy_from(&answer))
    }

    fn manage(&self, function: u32, address: [u8; 8]) -> Response {
        let found = self.find(address);
        match function {
            NEXUS_RESET => {
                // The target's number only.
                if let Some(target) = self.targets.get(usize::from(address[1])) {
                    target.reset();
                }
                Response::Ok
            }
            ABORT_TASK | ABORT_TASK_SET | CLEAR_TASK_SET | UNIT_RESET | QUERY_TASK
            | QUERY_TASK_SET => match found {
                None => Response::BadTarget,
                Some((_, lun)) if lun != 0 => Response::IncorrectLun,
                Some((target, _)) => {
                    if function == UNIT_RESET {
                        target.reset();
                    }
                    Response::Ok
                }
            },
            _ => Response::FunctionRejected,
        }
    }
}
