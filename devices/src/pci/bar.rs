//! Memory base address registers (BARs): where the guest places a function's registers.
//!
//! Source: PCI Local Bus Specification 3.0, 6.2.5.1; QEMU's `pci_bar_address` (hw/pci/pci.c).

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use vm_device::DeviceMmio;
use vm_device::bus::{MmioAddress, MmioAddressOffset};

use super::function::{BASE_ADDRESS_0, COMMAND_MEMORY, ConfigSpace};

/// Type bits of a 64-bit BAR whose reads have no side effects that matter.
const MEMORY_64_PREFETCHABLE: u32 = 0b1100;

/// What a memory BAR is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryBar {
    /// Its number, from 0 to 5. A 64-bit BAR has the next number, too.
    pub number: u8,
    /// Bytes that it covers: a power of two, at least 16.
    pub size: u32,
    /// Whether it is 64 bits wide and prefetchable, rather than 32 bits and not prefetchable.
    pub is_64_bit: bool,
}

impl MemoryBar {
    fn register(self) -> u8 {
        BASE_ADDRESS_0 + 4 * self.number
    }

    /// The address bits of the lower register.
    fn mask(self) -> u32 {
        !(self.size - 1)
    }

    /// Adds the register to a function, with the address 0.
    #[must_use]
    pub fn add_to(self, space: ConfigSpace) -> ConfigSpace {
        let (register, mask) = (self.register(), self.mask().to_le_bytes());
        if !self.is_64_bit {
            return space.with_writable(register, &mask);
        }
        space
            .with(register, &MEMORY_64_PREFETCHABLE.to_le_bytes())
            .with_writable(register, &mask)
            .with_writable(register + 4, &[0xff; 4])
    }

    /// Places the BAR, a multiple of its size, now and after each reset.
    #[must_use]
    pub fn preset(self, space: ConfigSpace, address: u32) -> ConfigSpace {
        let kind = if self.is_64_bit { MEMORY_64_PREFETCHABLE } else { 0 };
        space.with(self.register(), &(address & self.mask() | kind).to_le_bytes())
    }

    /// The guest-physical address at which the BAR is answered. `None` while memory accesses are
    /// off, and for values that are no place: 0, and all ones, which a guest writes to find out
    /// the size.
    pub fn address(self, space: &ConfigSpace) -> Option<u64> {
        let low = space.dword(self.register()) & self.mask();
        let high = if self.is_64_bit { space.dword(self.register() + 4) } else { 0 };
        let address = u64::from(high) << 32 | u64::from(low);
        let is_place = address != 0 && low != self.mask() && high != u32::MAX;
        (space.command() & COMMAND_MEMORY != 0 && is_place).then_some(address)
    }
}

/// The room for memory BARs where nobody but the machine assigns them, filled from the top down.
#[derive(Clone, Copy, Debug)]
pub struct MemoryWindow {
    first: u32,
    end: u32,
}

impl MemoryWindow {
    /// The addresses from `first` to `last`, which is followed by a multiple of every BAR's size.
    pub fn new(first: u32, last: u32) -> Self {
        Self { first, end: last.saturating_add(1) }
    }

    /// An address for a BAR; `None` if there is no room.
    pub fn take(&mut self, bar: MemoryBar) -> Option<u32> {
        let start = self.end.checked_sub(bar.size)? & bar.mask();
        (start >= self.first).then(|| {
            self.end = start;
            start
        })
    }
}

/// What follows the BARs of one function: the machine's memory bus.
pub trait BarDecoder: Send {
    /// The BAR is answered at the guest-physical address `at` from now on, or nowhere.
    fn place(&self, bar: u8, at: Option<u64>);
}

/// A function that has registers in memory.
pub trait MemoryBars: Send {
    /// Reads from `offset` in a BAR.
    fn read_bar(&mut self, bar: u8, offset: u64, data: &mut [u8]);

    /// Writes to `offset` in a BAR.
    fn write_bar(&mut self, bar: u8, offset: u64, data: &[u8]);
}

/// One BAR of a function, as the memory bus accesses it.
pub struct BarAccess {
    /// The function.
    pub function: Arc<Mutex<dyn MemoryBars>>,
    /// The BAR's number.
    pub bar: u8,
}

impl DeviceMmio for BarAccess {
    fn mmio_read(&self, _: MmioAddress, offset: MmioAddressOffset, data: &mut [u8]) {
        let mut function = self.function.lock().unwrap_or_else(PoisonError::into_inner);
        function.read_bar(self.bar, offset, data);
    }

    fn mmio_write(&self, _: MmioAddress, offset: MmioAddressOffset, data: &[u8]) {
        let mut function = self.function.lock().unwrap_or_else(PoisonError::into_inner);
        function.write_bar(self.bar, offset, data);
    }
}

impl fmt::Debug for BarAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BarAccess({})", self.bar)
    }
}

#[cfg(test)]
mod tests {
    use super::super::function::tests::{read, write};
    use super::super::function::{COMMAND, Identity};
    use super::*;

    const SMALL: MemoryBar = MemoryBar { number: 1, size: 0x1000, is_64_bit: false };
    const WIDE: MemoryBar = MemoryBar { number: 4, size: 0x4000, is_64_bit: true };

    fn space() -> ConfigSpace {
        let identity = Identity {
            vendor: 0x1af4,
            device: 0x1042,
            revision: 1,
            class: 0x01_00_00,
            subsystem_vendor: 0x1af4,
            subsystem: 0x1100,
        };
        WIDE.add_to(SMALL.add_to(ConfigSpace::type_0(&identity)))
    }

    #[test]
    fn size_and_kind_can_be_found_out() {
        let mut space = space();
        for register in [0x14, 0x20, 0x24] {
            write(&mut space, register, u32::MAX);
        }
        let found = [0x10, 0x14, 0x18, 0x20, 0x24].map(|register| read(&mut space, register));
        assert_eq!(found, [0, 0xffff_f000, 0, 0xffff_c00c, 0xffff_ffff]);
    }

    #[test]
    fn address_is_that_of_the_registers_while_memory_is_on() {
        let mut space = space();
        write(&mut space, 0x14, 0xfebf_f000);
        write(&mut space, 0x20, 0x8000_4000);
        write(&mut space, 0x24, 0x12);
        assert_eq!([SMALL, WIDE].map(|bar| bar.address(&space)), [None, None]);
        write(&mut space, COMMAND, COMMAND_MEMORY.into());
        assert_eq!(SMALL.address(&space), Some(0xfebf_f000));
        assert_eq!(WIDE.address(&space), Some(0x12_8000_4000));
    }

    #[test]
    fn zero_and_all_ones_are_no_place() {
        let mut space = space();
        write(&mut space, COMMAND, COMMAND_MEMORY.into());
        for (low, high) in [(0, 0), (u32::MAX, 0), (u32::MAX, u32::MAX), (0x4000, u32::MAX)] {
            write(&mut space, 0x14, low & !0x4000);
            write(&mut space, 0x20, low);
            write(&mut space, 0x24, high);
            assert_eq!(WIDE.address(&space), None, "{low:#x} {high:#x}");
        }
        assert_eq!(SMALL.address(&space), None);
    }

    #[test]
    fn window_is_filled_from_the_top_until_it_is_full() {
        let mut window = MemoryWindow::new(0xfebf_0000, 0xfebf_ffff);
        let taken = [SMALL, WIDE, SMALL, WIDE].map(|bar| window.take(bar));
        assert_eq!(
            taken,
            [Some(0xfebf_f000), Some(0xfebf_8000), Some(0xfebf_7000), Some(0xfebf_0000)]
        );
        assert_eq!(window.take(SMALL), None);
        let mut space = WIDE.preset(space(), 0xfebf_8000);
        assert_eq!(read(&mut space, 0x20), 0xfebf_800c);
    }

    #[derive(Default)]
    struct Bytes(Vec<(u8, u64, u8)>);

    impl MemoryBars for Bytes {
        fn read_bar(&mut self, bar: u8, offset: u64, data: &mut [u8]) {
            data.fill(bar + u8::try_from(offset).unwrap());
        }

        fn write_bar(&mut self, bar: u8, offset: u64, data: &[u8]) {
            self.0.push((bar, offset, data[0]));
        }
    }

    #[test]
    fn the_memory_bus_accesses_one_bar_of_a_function() {
        let function = Arc::new(Mutex::new(Bytes::default()));
        let access = BarAccess { function: function.clone(), bar: 4 };
        let mut data = [0; 2];
        access.mmio_read(MmioAddress(0x1000), 3, &mut data);
        access.mmio_write(MmioAddress(0x1000), 8, &[9]);
        assert_eq!((data, &function.lock().unwrap().0[..]), ([7; 2], &[(4, 8, 9)][..]));
    }
}
