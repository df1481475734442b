//! QEMU's test device for x86 (`pc-testdev`), which kvm-unit-tests uses to provoke accesses that
//! KVM must emulate. Source: QEMU's `hw/misc/pc-testdev.c`.
//!
//! | where | width | what |
//! |---|---|---|
//! | ports 0xe0 to 0xe3, and again 0xe8 to 0xeb | 1, 2, 4 | a latch of 32 bits, little-endian |
//! | port 0xe4 | 4 | write: the guest-physical address of a page whose translations KVM discards |
//! | ports 0x2000 to 0x2017 | 1, 2, 4 | write: each byte drives one of lines 0 to 23 high, or low for 0 |
//! | memory 0xff00_0000 to 0xff00_ffff | 1, 2, 4, 8 | 64 KiB of storage, as registers |
//!
//! QEMU splits a wide write to the lines into bytes (`memory_access_size`, softmmu/physmem.c), and
//! drops a narrow write to port 0xe4. Ports that can only be written read as all ones. Lines above
//! 15 end the process in QEMU. A machine reset does not clear the device, as in QEMU.

use std::fmt;

use vm_device::bus::{MmioAddress, MmioAddressOffset, PioAddress, PioAddressOffset};
use vm_device::{MutDeviceMmio, MutDevicePio};

use crate::device::MachineDevice;
use crate::irq::LevelLine;

/// The ports, as first port and number of ports: the latch, the page to flush, the latch again, the
/// interrupt lines.
pub const PORTS: [(u16, u16); 4] =
    [(LATCH, 4), (FLUSH, 4), (LATCH_BYTES, 4), (LINES, LINE_COUNT as u16)];
/// Guest-physical address of the storage.
pub const MEMORY: u64 = 0xff00_0000;
/// Size of the storage in bytes.
pub const MEMORY_SIZE: u32 = 0x1_0000;
/// Number of interrupt lines: the pins of an I/O APIC.
pub const LINE_COUNT: u8 = 24;

const LATCH: u16 = 0xe0;
const FLUSH: u16 = 0xe4;
const LATCH_BYTES: u16 = 0xe8;
const LINES: u16 = 0x2000;

/// The test device.
pub struct PcTestdev {
    latch: [u8; 4],
    lines: Vec<Box<dyn LevelLine>>,
    storage: Vec<u8>,
    flush: Box<dyn Fn(u64) + Send>,
}

impl PcTestdev {
    /// Creates a device that drives `lines`, from line 0, and calls `flush` with the
    /// guest-physical address of a page. The address is the guest's: any 32-bit value.
    pub fn new(lines: Vec<Box<dyn LevelLine>>, flush: impl Fn(u64) + Send + 'static) -> Self {
        let storage = vec![0; MEMORY_SIZE as usize];
        Self { latch: [0; 4], lines, storage, flush: Box::new(flush) }
    }

    /// The bytes of the latch that an access of `width` bytes covers. The bus splits accesses that
    /// reach beyond the latch.
    fn latch(&mut self, offset: u16, width: usize) -> Option<&mut [u8]> {
        let start = usize::from(offset);
        self.latch.get_mut(start..start + width)
    }

    fn storage(&mut self, offset: u64, width: usize) -> Option<&mut [u8]> {
        let start = usize::try_from(offset).ok()?;
        self.storage.get_mut(start..start.checked_add(width)?)
    }
}

impl MachineDevice for PcTestdev {
    /// QEMU's device keeps its contents too.
    fn reset(&mut self) {}
}

impl MutDevicePio for PcTestdev {
    fn pio_read(&mut self, base: PioAddress, offset: PioAddressOffset, data: &mut [u8]) {
        let latch = match base.0 {
            LATCH | LATCH_BYTES => self.latch(offset, data.len()),
            _ => None,
        };
        match latch {
            Some(bytes) => data.copy_from_slice(bytes),
            None => data.fill(0xff),
        }
    }

    fn pio_write(&mut self, base: PioAddress, offset: PioAddressOffset, data: &[u8]) {
        match (base.0, data) {
            (LATCH | LATCH_BYTES, data) => {
                if let Some(bytes) = self.latch(offset, data.len()) {
                    bytes.copy_from_slice(data);
                }
            }
            (FLUSH, &[a, b, c, d]) => (self.flush)(u32::from_le_bytes([a, b, c, d]).into()),
            (LINES, levels) => {
                let lines = self.lines.iter().skip(offset.into());
                lines.zip(levels).for_each(|(line, level)| line.set(*level != 0));
            }
            _ => {}
        }
    }
}

impl MutDeviceMmio for PcTestdev {
    fn mmio_read(&mut self, _base: MmioAddress, offset: MmioAddressOffset, data: &mut [u8]) {
        match self.storage(offset, data.len()) {
            Some(bytes) => data.copy_from_slice(bytes),
            None => data.fill(0xff),
        }
    }

    fn mmio_write(&mut self, _base: MmioAddress, offset: MmioAddressOffset, data: &[u8]) {
        if let Some(bytes) = self.storage(offset, data.len()) {
            bytes.copy_from_slice(data);
        }
    }
}

impl fmt::Debug for PcTestdev {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PcTestdev").field("latch", &self.latch).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::irq::RecordingLine;

    struct Bench {
        device: PcTestdev,
        lines: Vec<RecordingLine>,
        flushed: Arc<Mutex<Vec<u64>>>,
    }

    fn bench() -> Bench {
        let lines: Vec<_> = (0..LINE_COUNT).map(|_| RecordingLine::default()).collect();
        let boxed = lines.iter().map(|line| Box::new(line.clone()) as Box<dyn LevelLine>);
        let flushed = Arc::new(Mutex::new(Vec::new()));
        let record = Arc::clone(&flushed);
        let device = PcTestdev::new(boxed.collect(), move |page| record.lock().unwrap().push(page));
        Bench { device, lines, flushed }
    }

    fn read<const N: usize>(device: &mut PcTestdev, base: u16, offset: u16) -> [u8; N] {
        let mut data = [0x55; N];
        device.pio_read(PioAddress(base), offset, &mut data);
        data
    }

    /// The accesses of `test_io` in kvm-unit-tests' x86/realmode.c and of x86/emulator.c.
    #[test]
    fn both_latches_are_the_same_32_bits() {
        let Bench { mut device, .. } = bench();
        device.pio_write(PioAddress(LATCH), 0, &0x1234_5678u32.to_le_bytes());
        assert_eq!(read(&mut device, LATCH, 0), 0x1234_5678u32.to_le_bytes());
        device.pio_write(PioAddress(LATCH), 1, &[0xff]);
        device.pio_write(PioAddress(LATCH_BYTES), 2, &[0xab, 0xcd]);
        assert_eq!(read(&mut device, LATCH_BYTES, 0), [0x78, 0xff, 0xab, 0xcd]);
        assert_eq!(read(&mut device, LATCH, 2), [0xab, 0xcd]);
        device.reset();
        assert_eq!(read(&mut device, LATCH, 3), [0xcd]);
    }

    #[test]
    fn a_page_is_flushed_by_a_32_bit_write_only() {
        let Bench { mut device, flushed, .. } = bench();
        device.pio_write(PioAddress(FLUSH), 0, &[1, 2]);
        device.pio_write(PioAddress(FLUSH), 0, &0xffff_f123u32.to_le_bytes());
        assert_eq!(*flushed.lock().unwrap(), [0xffff_f123]);
        assert_eq!(read(&mut device, FLUSH, 0), [0xff; 4]);
    }

    /// `set_irq_line` in kvm-unit-tests' lib/x86/apic.c.
    #[test]
    fn each_port_drives_its_line() {
        let Bench { mut device, lines, .. } = bench();
        for (port, line) in (0..u16::from(LINE_COUNT)).zip(&lines) {
            device.pio_write(PioAddress(LINES), port, &[2]);
            assert!(line.is_high(), "{port}");
            device.pio_write(PioAddress(LINES), port, &[0]);
            assert!(!line.is_high(), "{port}");
        }
        device.pio_write(PioAddress(LINES), LINE_COUNT.into(), &[1]);
        assert!(!lines.iter().any(RecordingLine::is_high));
        assert_eq!(read(&mut device, LINES, 0), [0xff]);
    }

    /// `test_sti_inhibit` in kvm-unit-tests' x86/realmode.c writes 32 bits.
    #[test]
    fn a_wide_write_drives_a_line_for_each_byte() {
        let Bench { mut device, lines, .. } = bench();
        lines[12].set(true);
        device.pio_write(PioAddress(LINES), 11, &1u32.to_le_bytes());
        let high: Vec<_> = (0..lines.len()).filter(|line| lines[*line].is_high()).collect();
        assert_eq!(high, [11]);
    }

    #[test]
    fn storage_is_bytes_that_any_width_reads_and_writes() {
        let Bench { mut device, .. } = bench();
        let (base, last) = (MmioAddress(MEMORY), u64::from(MEMORY_SIZE) - 8);
        device.mmio_write(base, last, &0x0123_4567_89ab_cdefu64.to_le_bytes());
        let mut data = [0; 4];
        device.mmio_read(base, last + 2, &mut data);
        assert_eq!(data, [0xab, 0x89, 0x67, 0x45]);
        // Beyond the end: nothing is written, and all ones are read.
        device.mmio_write(base, last + 6, &[1; 4]);
        device.mmio_read(base, last + 6, &mut data);
        assert_eq!(data, [0xff; 4]);
        device.mmio_read(base, last + 4, &mut data);
        assert_eq!(data, [0x67, 0x45, 0x23, 0x01]);
    }
}
