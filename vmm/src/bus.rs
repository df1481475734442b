//! The I/O ports and memory-mapped registers: which device handles each one, and what happens if
//! none does.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use devices::fw_cfg::StringPort;
use vm_device::DevicePio;
use vm_device::bus::{PioAddress, PioRange};
use vm_device::device_manager::{IoManager, PioManager};

use crate::lock::lock;
use crate::mmio_bus::MmioBus;

/// Value read from a port that no device drives.
const FLOATING: u8 = 0xff;

/// The machine's I/O ports. Built once, then only read, from every vCPU thread.
pub struct Bus {
    ports: IoManager,
    mmio: MmioBus,
    /// Ports whose string reads are handled in one call.
    strings: Vec<(u16, Arc<dyn StringPort>)>,
    /// Accesses to ports without a device, per port, if they are counted.
    unanswered: Option<Mutex<BTreeMap<u16, u64>>>,
}

impl std::fmt::Debug for Bus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Bus")
    }
}

impl Bus {
    /// Creates a bus with the given devices at `(first port, number of ports)`.
    ///
    /// # Errors
    /// Two devices overlap.
    pub fn new(
        devices: impl IntoIterator<Item = (u16, u16, Arc<dyn DevicePio + Send + Sync>)>,
    ) -> Result<Self, vm_device::bus::Error> {
        let mut ports = IoManager::new();
        for (first, count, device) in devices {
            ports.register_pio(PioRange::new(PioAddress(first), count)?, device)?;
        }
        Ok(Self { ports, mmio: MmioBus::default(), strings: Vec::new(), unanswered: None })
    }

    /// Makes `device` handle each `rep insb` from `port` in one call.
    #[must_use]
    pub fn with_string_port(mut self, port: u16, device: Arc<dyn StringPort>) -> Self {
        self.strings.push((port, device));
        self
    }

    /// Adds the memory-mapped registers.
    #[must_use]
    pub fn with_mmio(mut self, mmio: MmioBus) -> Self {
        self.mmio = mmio;
        self
    }

    /// Lets go of all devices with memory-mapped registers, once no vCPU runs any more.
    pub fn clear_mmio(&self) {
        self.mmio.clear();
    }

    /// Reads from an address that is not RAM: all ones if there is no device.
    pub fn mmio_read(&self, at: u64, data: &mut [u8]) {
        self.mmio.read(at, data);
    }

    /// Writes to an address that is not RAM: dropped if there is no device.
    pub fn mmio_write(&self, at: u64, data: &[u8]) {
        self.mmio.write(at, data);
    }

    /// Whether a device of ours has this port. KVM has more (`KVM_PORTS` in the list of devices).
    pub fn has_port(&self, port: u16) -> bool {
        self.ports.pio_device(PioAddress(port)).is_some()
    }

    /// Counts accesses to ports without a device.
    #[must_use]
    pub fn counting_unanswered(mut self) -> Self {
        self.unanswered = Some(Mutex::default());
        self
    }

    /// The ports without a device that were accessed and the number of accesses; empty unless
    /// counting is enabled.
    pub fn unanswered(&self) -> BTreeMap<u16, u64> {
        let counts = self.unanswered.as_ref();
        counts.map(|counts| lock(counts).clone()).unwrap_or_default()
    }

    /// Handles `IN` and `REP INS`: fills `data` with accesses of `width` bytes.
    pub fn read(&self, port: u16, width: usize, data: &mut [u8]) {
        if width == 1
            && data.len() > 1
            && let Some((_, device)) = self.strings.iter().find(|(first, _)| *first == port)
        {
            device.read_string(data);
            return;
        }
        data.chunks_mut(width.max(1)).for_each(|bytes| self.port_read(port, bytes));
    }

    /// Handles `OUT` and `REP OUTS`: writes `data` in accesses of `width` bytes.
    pub fn write(&self, port: u16, width: usize, data: &[u8]) {
        data.chunks(width.max(1)).for_each(|bytes| self.port_write(port, bytes));
    }

    fn count_unanswered(&self, port: u16) {
        if let Some(counts) = &self.unanswered {
            *lock(counts).entry(port).or_default() += 1;
        }
    }

    /// One access of 1, 2 or 4 bytes. Ports without a device read as all ones.
    fn port_read(&self, port: u16, data: &mut [u8]) {
        if self.ports.pio_read(PioAddress(port), data).is_ok() {
            return;
        }
        match data {
            [byte] => {
                *byte = FLOATING;
                self.count_unanswered(port);
            }
            // No single device covers all ports: as on the ISA bus, read each port's byte
            // separately.
            bytes => {
                for (offset, byte) in (0..).zip(bytes) {
                    *byte = FLOATING;
                    if let Some(port) = port.checked_add(offset) {
                        self.port_read(port, std::slice::from_mut(byte));
                    }
                }
            }
        }
    }

    /// One access of 1, 2 or 4 bytes. Writes to ports without a device are dropped.
    fn port_write(&self, port: u16, data: &[u8]) {
        if self.ports.pio_write(PioAddress(port), data).is_ok() {
            return;
        }
        if data.len() <= 1 {
            return self.count_unanswered(port);
        }
        for (port, byte) in (port..=u16::MAX).zip(data) {
            self.port_write(port, std::slice::from_ref(byte));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vm_device::MutDevicePio;
    use vm_device::bus::PioAddressOffset;

    /// Reads return the offset; writes are recorded.
    struct Latch(Vec<(u16, Vec<u8>)>);

    impl MutDevicePio for Latch {
        fn pio_read(&mut self, _: PioAddress, offset: PioAddressOffset, data: &mut [u8]) {
            data.fill(offset.to_le_bytes()[0]);
        }
        fn pio_write(&mut self, _: PioAddress, offset: PioAddressOffset, data: &[u8]) {
            self.0.push((offset, data.to_vec()));
        }
    }

    #[test]
    fn an_access_that_straddles_a_device_is_split() {
        let latch = Arc::new(Mutex::new(Latch(Vec::new())));
        let bus = Bus::new([(0x100, 2, latch.clone() as _)]).unwrap();
        let mut data = [0; 4];
        bus.port_read(0x101, &mut data);
        assert_eq!(data, [1, 0xff, 0xff, 0xff]);
        bus.port_read(0xffff, &mut data);
        assert_eq!(data, [0xff; 4]);
        bus.port_write(0xff, &[7, 8]);
        bus.port_write(0x100, &[1, 2]);
        assert_eq!(latch.lock().unwrap().0, [(0, vec![8]), (0, vec![1, 2])]);
    }

    /// Fills strings with 0x55.
    struct Text;

    impl StringPort for Text {
        fn read_string(&self, to: &mut [u8]) {
            to.fill(0x55);
        }
    }

    #[test]
    fn only_strings_of_bytes_are_read_in_one_call() {
        let latch = Arc::new(Mutex::new(Latch(Vec::new())));
        let bus = Bus::new([(0x510, 4, latch as _)]).unwrap();
        let bus = bus.with_string_port(0x511, Arc::new(Text));
        // The latch returns the offset of the port: 0x511 has 1, 0x512 has 2.
        for (port, width, expected) in [
            (0x511, 1, &[0x55; 4][..]),
            (0x511, 1, &[0x55; 2]),
            (0x511, 1, &[1]),
            (0x511, 2, &[1; 4]),
            (0x511, 2, &[1; 2]),
            (0x512, 1, &[2; 4]),
        ] {
            let mut data = vec![0; expected.len()];
            bus.read(port, width, &mut data);
            assert_eq!(data, expected, "{port:#x}, {width} bytes at a time");
        }
    }

    #[test]
    fn accesses_that_no_device_answers_are_counted_for_each_port() {
        let devices = || {
            let latch = Arc::new(Mutex::new(Latch(Vec::new())));
            [(0x100, 2, latch as Arc<dyn DevicePio + Send + Sync>)]
        };
        let uncounted = Bus::new(devices()).unwrap();
        uncounted.write(0x80, 1, &[0]);
        assert_eq!(uncounted.unanswered(), BTreeMap::new());
        let bus = Bus::new(devices()).unwrap().counting_unanswered();
        bus.read(0x80, 1, &mut [0; 3]);
        bus.write(0x80, 1, &[0]);
        bus.write(0xffff, 2, &[0, 0]);
        bus.read(0x101, 2, &mut [0; 2]);
        bus.write(0x101, 1, &[0]);
        assert_eq!(bus.unanswered(), [(0x80, 4), (0xffff, 1), (0x102, 1)].into());
    }

    #[test]
    fn overlapping_devices_are_rejected() {
        let latch = || Arc::new(Mutex::new(Latch(Vec::new()))) as _;
        assert!(Bus::new([(0x100, 8, latch()), (0x107, 1, latch())]).is_err());
    }
}
