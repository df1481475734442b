//! A source of random numbers (virtio 1.2, 5.4): one queue of buffers, which the device fills.

use std::fmt::Debug;

use virtio_bindings::virtio_ids::VIRTIO_ID_RNG;
use vm_memory::{GuestMemoryMmap, Permissions};

use super::chain::Chain;
use super::device::{VirtioDevice, read_bytes};
use crate::buffers::Buffers;

/// Descriptors of the queue, as QEMU has it (hw/virtio/virtio-rng.c).
const QUEUE_SIZE: u16 = 8;
/// The most bytes that one request gets. A driver that wants more asks again; Linux asks for 64.
const LONGEST: usize = 4096;

/// Where random numbers come from.
pub trait EntropySource: Debug + Send + Sync {
    /// Fills the front of `bytes`, and returns how many bytes; 0 if there are none. Does not wait.
    fn fill(&self, bytes: &mut [u8]) -> usize;
}

/// A source of random numbers.
#[derive(Debug)]
pub struct Rng {
    source: Box<dyn EntropySource>,
}

impl Rng {
    /// A device that passes on the numbers of `source`.
    pub fn new(source: Box<dyn EntropySource>) -> Self {
        Self { source }
    }
}

impl VirtioDevice for Rng {
    fn device_id(&self) -> u32 {
        VIRTIO_ID_RNG
    }

    fn features(&self) -> u64 {
        0
    }

    fn queue_sizes(&self) -> &[u16] {
        &[QUEUE_SIZE]
    }

    /// There is no configuration.
    fn read_config(&self, offset: u64, data: &mut [u8]) {
        read_bytes(&[], offset, data);
    }

    fn write_config(&self, _: u64, _: &[u8]) {}

    fn negotiated(&self, _: u64) {}

    fn reset(&self) {}

    fn serve(&self, _: u16, memory: &GuestMemoryMmap, chain: &Chain) -> Option<u32> {
        let Some(buffers) = Buffers::new(memory, chain.writable(), Permissions::Write) else {
            return Some(0);
        };
        let mut bytes = [0; LONGEST];
        let wanted = buffers.len().min(LONGEST);
        let count = self.source.fill(&mut bytes[..wanted]).min(wanted);
        let written = buffers.copy_from(&bytes[..count]);
        Some(u32::try_from(written).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::testing::{Driver, VERSION_1, WRITE};
    use super::*;

    /// Counts, and has 5000 numbers at most for a request.
    #[derive(Debug)]
    struct Counting;

    impl EntropySource for Counting {
        fn fill(&self, bytes: &mut [u8]) -> usize {
            for (byte, number) in bytes.iter_mut().zip((1..=u8::MAX).cycle()) {
                *byte = number;
            }
            bytes.len()
        }
    }

    #[test]
    fn a_request_is_filled_up_to_the_limit_and_in_its_writable_part_only() {
        let mut driver: Driver =
            Driver::started(Arc::new(Rng::new(Box::new(Counting))), VERSION_1, 8);
        driver.put(0x1_0000, &[0xaa; 16]);
        let chain = [(0x1_0000, 4, 0), (0x1_0004, 3, WRITE), (0x1_0008, 2, WRITE)];
        assert_eq!(driver.request(&chain), Some(5));
        let expected = [0xaa, 0xaa, 0xaa, 0xaa, 1, 2, 3, 0xaa, 4, 5, 0xaa];
        assert_eq!(driver.get::<11>(0x1_0000), expected);
        assert_eq!(driver.request(&[(0x1_0000, 0x1_0000, WRITE)]), Some(4096));
        assert_eq!(driver.request(&[(0x1_0000, 4, 0)]), Some(0), "nothing to write to");
        assert_eq!(driver.request(&[(u64::MAX - 8, 4, WRITE)]), Some(0), "not in memory");
    }

    /// Virtio 1.2, 5.4: device 4, without features or a configuration.
    #[test]
    fn the_device_has_one_queue_and_no_features() {
        let rng = Rng::new(Box::new(Counting));
        let mut config = [0xaa; 4];
        rng.read_config(0, &mut config);
        assert_eq!((rng.device_id(), rng.features(), config), (4, 0, [0xff; 4]));
    }
}
