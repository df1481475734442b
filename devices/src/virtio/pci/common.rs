//! The common configuration, `struct virtio_pci_common_cfg` (virtio 1.2, 4.1.4.3), 56 bytes,
//! little-endian.
//!
//! Fields are read in any width. Each is written in its own width, and the 64-bit addresses in
//! halves, too (4.1.3.1); other writes are dropped.

use super::super::registers::{Half, Ring};
use super::VirtioPci;

const SIZE: usize = 56;

impl VirtioPci {
    pub(super) fn read_common(&self, offset: u64, data: &mut [u8]) {
        data.fill(0);
        let bytes = self.common();
        let rest = usize::try_from(offset).ok().and_then(|offset| bytes.get(offset..));
        for (to, from) in data.iter_mut().zip(rest.unwrap_or_default()) {
            *to = *from;
        }
    }

    fn common(&self) -> [u8; SIZE] {
        let registers = &self.registers;
        let queue = registers.queue();
        let (device_half, driver_half) = registers.selected_features();
        let exists = registers.max_queue_size() != 0;
        let number = if exists { registers.selected_queue() } else { 0 };
        let queues = u16::try_from(registers.state().queue_count()).unwrap_or(u16::MAX);
        let enabled = u16::from(registers.is_queue_enabled());
        let [generation, ..] = registers.generation().to_le_bytes();
        let mut bytes = [0; SIZE];
        let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
        put(0x00, &device_half.to_le_bytes());
        put(0x04, &registers.device_features().to_le_bytes());
        put(0x08, &driver_half.to_le_bytes());
        put(0x0c, &registers.driver_features().to_le_bytes());
        put(0x10, &self.interrupt.config_vector().to_le_bytes());
        put(0x12, &queues.to_le_bytes());
        put(0x14, &[registers.status(), generation]);
        put(0x16, &registers.selected_queue().to_le_bytes());
        put(0x18, &queue.size.to_le_bytes());
        put(0x1a, &self.interrupt.queue_vector(registers.selected_queue()).to_le_bytes());
        put(0x1c, &enabled.to_le_bytes());
        put(0x1e, &number.to_le_bytes());
        put(0x20, &queue.descriptors.to_le_bytes());
        put(0x28, &queue.available.to_le_bytes());
        put(0x30, &queue.used.to_le_bytes());
        bytes
    }

    pub(super) fn write_common(&mut self, offset: u64, data: &[u8]) {
        match *data {
            [value] => self.write_common_8(offset, value),
            [a, b] => self.write_common_16(offset, u16::from_le_bytes([a, b])),
            [a, b, c, d] => self.write_common_32(offset, u32::from_le_bytes([a, b, c, d])),
            [a, b, c, d, e, f, g, h]
                if (0x20..0x38).contains(&offset) && offset.is_multiple_of(8) =>
            {
                self.write_common_32(offset, u32::from_le_bytes([a, b, c, d]));
                self.write_common_32(offset + 4, u32::from_le_bytes([e, f, g, h]));
            }
            _ => {}
        }
    }

    fn write_common_8(&mut self, offset: u64, value: u8) {
        match (offset, value) {
            (0x14, 0) => self.reset_device(),
            (0x14, status) => self.registers.set_status(status),
            _ => {}
        }
    }

    fn write_common_16(&mut self, offset: u64, value: u16) {
        let queue = self.registers.selected_queue();
        match offset {
            0x10 => self.interrupt.set_config_vector(value),
            0x16 => self.registers.select_queue(value),
            0x18 => self.registers.set_queue_size(value),
            0x1a => self.interrupt.set_queue_vector(queue, value),
            // Only a reset takes a queue out of service (4.1.4.3.2).
            0x1c if value == 1 => self.registers.enable_queue(),
            _ => {}
        }
    }

    fn write_common_32(&mut self, offset: u64, value: u32) {
        let registers = &mut self.registers;
        match offset {
            0x00 => registers.select_device_features(value),
            0x08 => registers.select_driver_features(value),
            0x0c => registers.set_driver_features(value),
            0x20 => registers.set_ring(Ring::Descriptors, Half::Low, value),
            0x24 => registers.set_ring(Ring::Descriptors, Half::High, value),
            0x28 => registers.set_ring(Ring::Available, Half::Low, value),
            0x2c => registers.set_ring(Ring::Available, Half::High, value),
            0x30 => registers.set_ring(Ring::Used, Half::Low, value),
            0x34 => registers.set_ring(Ring::Used, Half::High, value),
            _ => {}
        }
    }
}
