//! What is particular to the transport of memory-mapped registers.

use std::sync::Arc;

use acpi_tables::Aml;
use virtio_bindings::virtio_mmio::*;

use super::super::testing::{AVAILABLE, DESCRIPTORS, Driver, Echo, USED, VERSION_1, WRITE};
use super::*;

fn driver() -> Driver {
    Driver::new(Arc::<Echo>::default())
}

fn started(features: u64) -> Driver {
    Driver::started(Arc::<Echo>::default(), features, 8)
}

/// A request that is answered: four bytes there and back.
fn assert_answers(driver: &mut Driver) {
    driver.put(0x1_0000, b"ping");
    assert_eq!(driver.request(&[(0x1_0000, 4, 0), (0x1_0010, 8, WRITE)]), Some(4));
    assert_eq!(driver.get(0x1_0010), *b"ping");
}

#[test]
fn identifies_itself_as_version_2() {
    let mut driver = driver();
    let registers = [VIRTIO_MMIO_MAGIC_VALUE, VIRTIO_MMIO_VERSION, VIRTIO_MMIO_DEVICE_ID];
    assert_eq!(registers.map(|register| driver.read(register)), [0x7472_6976, 2, 4]);
    assert_eq!(driver.read(VIRTIO_MMIO_VENDOR_ID).to_le_bytes(), *b"QEMU");
    assert_eq!(driver.read(VIRTIO_MMIO_SHM_LEN_LOW), u32::MAX);
}

#[test]
fn registers_are_accessed_by_four_bytes() {
    let mut driver = driver();
    for (offset, width) in [(0, 1), (0, 2), (1, 4), (2, 4), (0, 8)] {
        let mut data = [0xaa; 8];
        driver.transport.registers.mmio_read(MmioAddress(0), offset, &mut data[..width]);
        assert_eq!(data[..width], [0; 8][..width], "{width} bytes at {offset}");
    }
    driver.transport.registers.mmio_write(MmioAddress(0), VIRTIO_MMIO_STATUS.into(), &[1]);
    assert_eq!(driver.status(), 0);
    let mut config = [0; 2];
    driver.transport.registers.mmio_read(MmioAddress(0), 0x107, &mut config);
    assert_eq!(config, [7; 2]);
}

#[test]
fn a_queue_can_be_taken_out_of_service_and_starts_over() {
    let mut driver = started(VERSION_1);
    assert_answers(&mut driver);
    driver.write(VIRTIO_MMIO_QUEUE_READY, 0);
    assert_eq!(driver.read(VIRTIO_MMIO_QUEUE_READY), 0, "Linux waits for it");
    assert_eq!(driver.request(&[(0x1_0000, 4, 0)]), None);
    driver.set_up_queue(0, 4);
    assert_answers(&mut driver);
}

#[test]
fn an_interrupt_stays_in_the_status_until_it_is_acknowledged() {
    let mut driver = started(VERSION_1);
    assert_answers(&mut driver);
    driver.state().config_changed();
    assert_eq!(driver.read(VIRTIO_MMIO_INTERRUPT_STATUS), 3);
    driver.write(VIRTIO_MMIO_INTERRUPT_ACK, VIRTIO_MMIO_INT_VRING);
    assert_eq!(driver.read(VIRTIO_MMIO_INTERRUPT_STATUS), 2);
    assert_eq!(driver.interrupts(), 2);
}

#[test]
fn a_queue_s_number_and_size_have_32_bits() {
    let mut driver = started(VERSION_1);
    for queue in [0x1_0000, u32::MAX] {
        driver.write(VIRTIO_MMIO_QUEUE_SEL, queue);
        assert_eq!(driver.read(VIRTIO_MMIO_QUEUE_NUM_MAX), 0);
        driver.write(VIRTIO_MMIO_QUEUE_NOTIFY, queue);
        driver.serve_notified();
    }
    assert_answers(&mut driver);
    driver.negotiate(VERSION_1);
    driver.place_queue(0, 0x1_0008, [DESCRIPTORS, AVAILABLE, USED]);
    assert_eq!(driver.read(VIRTIO_MMIO_QUEUE_READY), 0);
}

#[test]
fn is_described_in_the_form_that_linux_and_seabios_read() {
    let mut aml = Vec::new();
    VirtioMmioDescription { index: 3, base: 0xfeb0_0600, gsi: 19 }.to_aml_bytes(&mut aml);
    let has = |bytes: &[u8]| aml.windows(bytes.len()).any(|window| window == bytes);
    assert!(has(b"VR03"));
    assert!(has(b"\x08_HID\x0dLNRO0005\0"), "SeaBIOS compares these bytes");
    assert!(has(b"\x08_UID\x0a\x03"));
    assert!(has(b"\x08_CCA\x01"));
    assert!(has(b"\x86\x09\x00\x01\x00\x06\xb0\xfe\x00\x02\x00\x00"), "Memory32Fixed");
    assert!(has(b"\x89\x06\x00\x03\x01\x13\x00\x00\x00"), "Interrupt: consumer, edge, high");
}

#[test]
fn a_ring_beyond_memory_is_refused_whichever_it_is() {
    let rings = [DESCRIPTORS, AVAILABLE, USED];
    for ring in 0..rings.len() {
        let mut driver = driver();
        driver.negotiate(VERSION_1);
        let mut places = rings;
        places[ring] |= 1 << 32;
        driver.place_queue(0, 8, places);
        assert_eq!(driver.read(VIRTIO_MMIO_QUEUE_READY), 0, "ring {ring}");
        driver.negotiate(VERSION_1);
        driver.place_queue(0, 8, rings);
        assert_eq!(driver.read(VIRTIO_MMIO_QUEUE_READY), 1, "ring {ring}");
    }
}
