//! Virtio devices, version 1 (virtio 1.2, OASIS): "modern" only, with split rings.
//!
//! | part | module |
//! |---|---|
//! | the interface between a device and its transport | [`device`] |
//! | one request of a driver: a chain of descriptors | [`chain`] |
//! | taking and answering requests | [`requests`] |
//! | status, features, queues and reset, independent of the transport | [`state`] |
//! | the registers that every transport shows in its own layout | `registers` |
//! | transport: memory-mapped registers, version 2 | [`mmio`] |
//! | transport: a PCI function | [`pci`] |
//! | device: disk | [`block`] |
//! | device: consoles and serial ports | [`console`] |
//! | device: network card | [`net`] |
//! | device: random numbers | [`rng`] |
//! | device: SCSI controller | [`scsi`] |
//!
//! A device has two sides. vCPU threads reach its **registers** through a transport, which is one
//! `Mutex` each. A thread of its own **serves** its queues by [`state::VirtioState::serve`]: so a
//! vCPU never waits for a request, only for the end of the one in service when the driver resets
//! the device or stops a queue.
//!
//! A driver that breaks the rules stops its own device and nothing else: the device sets
//! DEVICE_NEEDS_RESET, raises a configuration interrupt and serves nothing until it is reset.

pub mod block;
pub mod chain;
pub mod console;
pub mod device;
pub mod mmio;
pub mod net;
pub mod pci;
mod queue;
mod registers;
pub mod requests;
pub mod rng;
#[cfg(test)]
mod rules;
pub mod scsi;
pub mod state;
#[cfg(test)]
mod testing;
