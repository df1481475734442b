//! The ports of QEMU's fw_cfg device: the selector and data registers, and the DMA address
//! register.
//!
//! Ports 0x510 and 0x511 (a 16-bit selector, written little-endian; reading either byte reads the
//! 8-bit data register) and 0x514 to 0x51b (DMA address, 64 bits, big-endian), no IRQ. Source:
//! hw/nvram/fw_cfg.c in QEMU (`fw_cfg_comb_valid`, `fw_cfg_dma_mem_valid`). The crate [`fw_cfg`]
//! implements the registers.
//!
//! The data register is a [`StringPort`]: `rep insb` is a single read of many bytes.

use std::sync::{Mutex, PoisonError};

use acpi_tables::aml::{Device, IO, Name, Path, ResourceTemplate, Scope};
use acpi_tables::{Aml, AmlSink};
use fw_cfg::FwCfg;
use guest_memory::Memory;
use vm_device::MutDevicePio;
use vm_device::bus::{PioAddress, PioAddressOffset};

use crate::device::MachineDevice;
use crate::pio::FLOATING;

/// The selector's port; the data register's port is the next one.
pub const SELECTOR_PORT: u16 = 0x510;
/// Number of ports of the selector and the data register.
pub const SELECTOR_PORT_COUNT: u16 = 2;
/// The data register.
pub const DATA_PORT: u16 = 0x511;
/// The first port of the DMA address register.
pub const DMA_PORT: u16 = 0x514;
/// Number of ports of the DMA address register.
pub const DMA_PORT_COUNT: u16 = 8;
/// Number of ports the device claims in the DSDT: from the selector to the DMA address, including
/// the gap (`fw_cfg_add_acpi_dsdt`).
const CLAIMED: u8 = 0x0c;

/// A port that string instructions (`rep insb`) read many bytes at a time.
pub trait StringPort: Send + Sync {
    /// Fills `to` with the bytes that one-byte reads would return.
    fn read_string(&self, to: &mut [u8]);
}

/// The device on a port bus.
#[derive(Debug)]
pub struct FwCfgPorts<M> {
    device: FwCfg<M>,
}

impl<M> FwCfgPorts<M> {
    /// Creates the ports for a device.
    pub fn new(device: FwCfg<M>) -> Self {
        Self { device }
    }

    /// The device behind the ports.
    pub fn device(&mut self) -> &mut FwCfg<M> {
        &mut self.device
    }
}

impl<M: Memory + Send> MachineDevice for FwCfgPorts<M> {
    fn reset(&mut self) {
        self.device.reset();
    }
}

impl<M: Memory> MutDevicePio for FwCfgPorts<M> {
    fn pio_read(&mut self, base: PioAddress, offset: PioAddressOffset, data: &mut [u8]) {
        match (base.0, data) {
            (SELECTOR_PORT, data @ [_]) => self.device.read_data(data),
            (DMA_PORT, data) => self.device.read_dma_register(offset.into(), data),
            (_, data) => data.fill(FLOATING),
        }
    }

    fn pio_write(&mut self, base: PioAddress, offset: PioAddressOffset, data: &[u8]) {
        match (base.0, offset, data) {
            (SELECTOR_PORT, 0, &[low, high]) => self.device.select(u16::from_le_bytes([low, high])),
            // QEMU has ignored writes to the data register since version 2.4.
            (DMA_PORT, offset, data) => self.device.write_dma_register(offset.into(), data),
            _ => {}
        }
    }
}

impl<M: Memory + Send> StringPort for Mutex<FwCfgPorts<M>> {
    fn read_string(&self, to: &mut [u8]) {
        self.lock().unwrap_or_else(PoisonError::into_inner).device.read_data(to);
    }
}

/// The device's DSDT entry: `\_SB.FWCF`, QEMU0002, through which Linux's qemu_fw_cfg driver finds
/// it.
#[derive(Clone, Copy, Debug)]
pub struct FwCfgDescription;

impl Aml for FwCfgDescription {
    fn to_aml_bytes(&self, sink: &mut dyn AmlSink) {
        let hid = Name::new(Path::new("_HID"), &"QEMU0002");
        // Present, decoding and functioning, but not shown in a user interface.
        let status = Name::new(Path::new("_STA"), &0x0bu8);
        let ports = IO::new(SELECTOR_PORT, SELECTOR_PORT, 1, CLAIMED);
        let resources = Name::new(Path::new("_CRS"), &ResourceTemplate::new(vec![&ports]));
        let device = Device::new(Path::new("FWCF"), vec![&hid, &status, &resources]);
        Scope::new(Path::new("\\_SB_"), vec![&device]).to_aml_bytes(sink);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fw_cfg::dma::{Descriptor, READ, SELECT};
    use fw_cfg::{Items, key};
    use guest_memory::Engine;
    use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

    const SELECTOR: PioAddress = PioAddress(SELECTOR_PORT);
    const DMA: PioAddress = PioAddress(DMA_PORT);

    fn device() -> (FwCfgPorts<GuestMemoryMmap>, GuestMemoryMmap) {
        let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 0x10000)]).unwrap();
        (FwCfgPorts::new(FwCfg::new(Items::new(), Engine::new(memory.clone()))), memory)
    }

    fn byte(ports: &mut FwCfgPorts<GuestMemoryMmap>, offset: u16) -> u8 {
        let mut byte = [0];
        ports.pio_read(SELECTOR, offset, &mut byte);
        byte[0]
    }

    #[test]
    fn the_signature_is_read_byte_by_byte_from_either_port() {
        let (mut ports, _) = device();
        ports.pio_write(SELECTOR, 0, &key::SIGNATURE.to_le_bytes());
        assert_eq!([1, 0, 1, 0].map(|offset| byte(&mut ports, offset)), *b"QEMU");
        assert_eq!(byte(&mut ports, 1), 0);
    }

    #[test]
    fn a_string_is_read_at_once() {
        let ports = Mutex::new(device().0);
        ports.lock().unwrap().pio_write(SELECTOR, 0, &key::ID.to_le_bytes());
        let mut id = [0xff; 6];
        ports.read_string(&mut id);
        assert_eq!(id, [3, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn only_a_16_bit_write_at_the_first_port_selects() {
        let (mut ports, _) = device();
        ports.pio_write(SELECTOR, 0, &[1]);
        ports.pio_write(SELECTOR, 1, &[1, 0]);
        ports.pio_write(SELECTOR, 0, &[1, 0, 0, 0]);
        assert_eq!(byte(&mut ports, 1), b'Q');
        let mut wide = [0; 2];
        ports.pio_read(SELECTOR, 0, &mut wide);
        assert_eq!(wide, [0xff; 2]);
    }

    #[test]
    fn a_write_of_the_low_half_runs_the_operation() {
        let (mut ports, memory) = device();
        let control = u32::from(key::SIGNATURE) << 16 | SELECT | READ;
        let request = Descriptor { control, length: 4, address: 0x2000 };
        memory.write_slice(&request.to_bytes(), GuestAddress(0x1000)).unwrap();
        ports.pio_write(DMA, 4, &0x1000u32.to_be_bytes());
        let mut read = [0; 4];
        memory.read_slice(&mut read, GuestAddress(0x2000)).unwrap();
        assert_eq!(&read, b"QEMU");
        let mut low = [0; 4];
        ports.pio_read(DMA, 4, &mut low);
        assert_eq!(&low, b" CFG");
    }

    /// `acpi_match_table` in Linux's drivers/firmware/qemu_fw_cfg.c.
    #[test]
    fn linux_finds_the_ports_by_the_acpi_node() {
        let mut aml = Vec::new();
        FwCfgDescription.to_aml_bytes(&mut aml);
        let has = |bytes: &[u8]| aml.windows(bytes.len()).any(|window| window == bytes);
        assert!(has(b"\x08_HID\x0dQEMU0002\0") && has(b"FWCF"));
        let [low, high] = SELECTOR_PORT.to_le_bytes();
        assert!(has(&[0x47, 1, low, high, low, high, 1, CLAIMED]));
    }

    /// `fw_cfg_reset` in QEMU's hw/nvram/fw_cfg.c.
    #[test]
    fn a_reset_selects_the_signature_from_its_start() {
        let (mut ports, _) = device();
        ports.pio_write(SELECTOR, 0, &key::SIGNATURE.to_le_bytes());
        assert_eq!([1, 1].map(|offset| byte(&mut ports, offset)), *b"QE");
        ports.reset();
        assert_eq!(byte(&mut ports, 1), b'Q');
    }
}
