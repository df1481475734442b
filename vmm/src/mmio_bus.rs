//! Memory-mapped registers: which device answers at an address that is not RAM.
//!
//! Unlike ports, these places move while the guest runs: PCI functions answer where the guest puts
//! their BARs. Where two overlap, as they may for a moment, the device that was added first
//! answers.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use vm_device::DeviceMmio;
use vm_device::bus::MmioAddress;

/// Value read from an address that no device drives.
const FLOATING: u8 = 0xff;

type Device = Arc<dyn DeviceMmio + Send + Sync>;

struct Region {
    at: Option<u64>,
    size: u64,
    device: Device,
}

/// The devices and their places. Clones share them.
#[derive(Clone, Default)]
pub struct MmioBus(Arc<RwLock<Vec<Region>>>);

impl MmioBus {
    /// Adds `size` bytes of registers, which are nowhere at first.
    pub fn add(&self, size: u32, device: Device) -> MmioPlace {
        let mut regions = self.0.write().unwrap_or_else(PoisonError::into_inner);
        regions.push(Region { at: None, size: size.into(), device });
        MmioPlace { bus: self.clone(), index: regions.len() - 1 }
    }

    /// Adds `size` bytes of registers at the guest-physical address `at`, where they stay.
    pub fn add_fixed(&self, at: u64, size: u32, device: Device) {
        self.add(size, device).set(Some(at));
    }

    /// Reads from an address that is not RAM: all ones if there is no device.
    pub fn read(&self, at: u64, data: &mut [u8]) {
        match self.find(at, data.len()) {
            Some((base, device)) => device.mmio_read(MmioAddress(base), at - base, data),
            None => data.fill(FLOATING),
        }
    }

    /// Writes to an address that is not RAM: dropped if there is no device.
    pub fn write(&self, at: u64, data: &[u8]) {
        if let Some((base, device)) = self.find(at, data.len()) {
            device.mmio_write(MmioAddress(base), at - base, data);
        }
    }

    /// Lets go of all devices. Some of them hold their places on the bus, and so the bus itself:
    /// without this neither would ever be dropped.
    pub fn clear(&self) {
        let regions = std::mem::take(&mut *self.0.write().unwrap_or_else(PoisonError::into_inner));
        // Not while the lock is held.
        drop(regions);
    }

    /// The device that has all bytes of an access, and where it begins. The places are not locked
    /// while it answers, because it may move them.
    fn find(&self, at: u64, width: usize) -> Option<(u64, Device)> {
        let width = u64::try_from(width).ok()?;
        let regions = self.0.read().unwrap_or_else(PoisonError::into_inner);
        regions.iter().find_map(|region| {
            let base = region.at?;
            let end = at.checked_sub(base)?.checked_add(width)?;
            (end <= region.size).then(|| (base, Arc::clone(&region.device)))
        })
    }
}

impl fmt::Debug for MmioBus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MmioBus")
    }
}

/// The place of a device's registers.
#[derive(Debug)]
pub struct MmioPlace {
    bus: MmioBus,
    index: usize,
}

impl MmioPlace {
    /// Moves the registers to the guest-physical address `at`, or nowhere.
    pub fn set(&self, at: Option<u64>) {
        let is_there =
            |regions: &[Region]| regions.get(self.index).is_none_or(|region| region.at == at);
        if is_there(&self.bus.0.read().unwrap_or_else(PoisonError::into_inner)) {
            return;
        }
        let mut regions = self.bus.0.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(region) = regions.get_mut(self.index) {
            region.at = at;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use vm_device::MutDeviceMmio;
    use vm_device::bus::MmioAddressOffset;

    use super::*;

    /// Reads return the name plus the offset; writes are recorded.
    struct Latch(u8, Vec<(u64, usize)>);

    impl MutDeviceMmio for Latch {
        fn mmio_read(&mut self, _: MmioAddress, offset: MmioAddressOffset, data: &mut [u8]) {
            data.fill(self.0 + offset.to_le_bytes()[0]);
        }

        fn mmio_write(&mut self, _: MmioAddress, offset: MmioAddressOffset, data: &[u8]) {
            self.1.push((offset, data.len()));
        }
    }

    fn latch(name: u8) -> Arc<Mutex<Latch>> {
        Arc::new(Mutex::new(Latch(name, Vec::new())))
    }

    fn read(bus: &MmioBus, at: u64) -> u8 {
        let mut data = [0];
        bus.read(at, &mut data);
        data[0]
    }

    #[test]
    fn accesses_follow_the_place() {
        let bus = MmioBus::default();
        let place = bus.add(0x10, latch(0x20));
        assert_eq!(read(&bus, 0), 0xff, "nowhere");
        place.set(Some(0x1000));
        assert_eq!(
            [0xfff, 0x1000, 0x100f, 0x1010].map(|at| read(&bus, at)),
            [0xff, 0x20, 0x2f, 0xff]
        );
        place.set(Some(0x8000_0000_0000));
        assert_eq!([0x1000, 0x8000_0000_0001].map(|at| read(&bus, at)), [0xff, 0x21]);
        place.set(None);
        assert_eq!(read(&bus, 0x8000_0000_0001), 0xff);
    }

    #[test]
    fn the_first_of_two_at_one_place_answers() {
        let bus = MmioBus::default();
        let places = [0x20, 0x40].map(|name| bus.add(0x10, latch(name)));
        places[1].set(Some(0x1008));
        places[0].set(Some(0x1000));
        assert_eq!([0x1008, 0x1010].map(|at| read(&bus, at)), [0x28, 0x48]);
        places[0].set(None);
        assert_eq!(read(&bus, 0x1008), 0x40);
    }

    #[test]
    fn an_access_beyond_the_end_reaches_nobody() {
        let bus = MmioBus::default();
        let (edge, top) = (latch(0), latch(0));
        bus.add_fixed(0x1000, 0x10, edge.clone());
        bus.add_fixed(u64::MAX - 3, 0x10, top.clone());
        bus.write(0x100e, &[0; 4]);
        bus.write(0xffe, &[0; 4]);
        bus.write(0x100c, &[0; 4]);
        bus.write(u64::MAX, &[0]);
        assert_eq!(edge.lock().unwrap().1, [(12, 4)]);
        assert_eq!(top.lock().unwrap().1, [(3, 1)]);
    }
}
