use vm_device::MutDevicePio;
use vm_device::bus::{PioAddress, PioAddressOffset};

use super::*;

/// A device with one register, cleared on reset; `flushed` counts flushes.
#[derive(Default)]
struct Latch {
    value: u8,
    flushed: usize,
}

impl MachineDevice for Latch {
    fn reset(&mut self) {
        self.value = 0;
    }

    fn flush(&mut self) {
        self.flushed += 1;
    }
}

impl MutDevicePio for Latch {
    fn pio_read(&mut self, _: PioAddress, _: PioAddressOffset, data: &mut [u8]) {
        data.fill(self.value);
    }

    fn pio_write(&mut self, _: PioAddress, _: PioAddressOffset, data: &[u8]) {
        self.value = data[0];
    }
}

#[test]
fn ports_of_an_attached_device_reach_it() {
    let mut list = DeviceList::default();
    list.attach(Attached::new("a", Latch::default()).ports(0x100, 1).ports(0x104, 2)).unwrap();
    let bus = list.bus().unwrap();
    bus.write(0x105, 1, &[7]);
    let mut data = [0; 3];
    for (port, byte) in (0x0ff..).zip(&mut data) {
        bus.read(port, 1, std::slice::from_mut(byte));
    }
    assert_eq!(data, [0xff, 7, 0xff]);
}

#[test]
fn ports_of_another_device_or_of_kvm_are_rejected() {
    let mut list = DeviceList::default();
    list.attach(Attached::new("a", Latch::default()).ports(0x100, 8)).unwrap();
    for (first, count, taken) in [(0x107, 1, 0x107), (0xf0, 0x20, 0x100), (0x1f, 2, 0x20)] {
        let second = Attached::new("b", Latch::default()).ports(first, count).port_hint("move b");
        let error = list.attach(second).unwrap_err();
        let DeviceError::PortTaken { device, port, hint } = error else { panic!("{error}") };
        assert_eq!((device, port, hint), ("b", taken, Some("move b")));
    }
    list.attach(Attached::new("c", Latch::default()).ports(0x108, 1)).unwrap();
}

#[test]
fn reset_changes_all_devices_or_none() {
    let mut list = DeviceList::default();
    let devices = [(); 2].map(|()| Arc::new(Mutex::new(Latch { value: 7, flushed: 0 })));
    for device in &devices {
        list.attach(Attached::shared("latch", Arc::clone(device))).unwrap();
    }
    let busy = lock(&devices[1]);
    assert!(!list.try_reset());
    drop(busy);
    assert_eq!(devices.each_ref().map(|device| lock(device).value), [7, 7]);
    assert!(list.try_reset());
    assert_eq!(devices.each_ref().map(|device| lock(device).value), [0, 0]);
}

#[test]
fn only_devices_that_buffer_output_are_flushed() {
    let mut list = DeviceList::default();
    let devices = [(); 2].map(|()| Arc::new(Mutex::new(Latch::default())));
    list.attach(Attached::shared("a", Arc::clone(&devices[0]))).unwrap();
    list.attach(Attached::shared("b", Arc::clone(&devices[1])).buffers_output()).unwrap();
    let busy = lock(&devices[0]); // a device that does not buffer cannot hold up the others
    list.flush();
    drop(busy);
    assert_eq!(devices.each_ref().map(|device| lock(device).flushed), [0, 1]);
}

#[test]
fn first_taken_finds_the_lowest_common_port() {
    let taken = || [(0x60, 1), (0x510, 2), (0x514, 8), (0xfffe, 2)].into_iter();
    for (wanted, found) in [
        ((0x60, 1), Some(0x60)),
        ((0x61, 1), None),
        ((0x5f, 1), None),
        ((0x5f, 2), Some(0x60)),
        ((0x501, 2), None),
        ((0x50f, 0x20), Some(0x510)),
        ((0x512, 2), None),
        ((0x512, 3), Some(0x514)),
        ((0x51b, 1), Some(0x51b)),
        ((0x51c, 1), None),
        ((0, 0xffff), Some(0x60)),
        ((0xffff, 1), Some(0xffff)),
    ] {
        assert_eq!(first_taken(wanted, taken()), found, "{wanted:x?}");
    }
}

/// The first of a device's ports is the one for data.
#[test]
fn kvm_collects_the_writes_to_ports_that_are_marked_if_it_may() {
    struct Sender(bool);

    impl MachineDevice for Sender {
        fn reset(&mut self) {}

        fn interrupts_for_writes(&self) -> bool {
            self.0
        }
    }

    impl MutDevicePio for Sender {
        fn pio_read(&mut self, _: PioAddress, _: PioAddressOffset, _: &mut [u8]) {}

        fn pio_write(&mut self, _: PioAddress, _: PioAddressOffset, _: &[u8]) {}
    }

    let mut list = DeviceList::default();
    list.attach(Attached::new("a", Sender(true)).ports(0x100, 8)).unwrap();
    assert!(list.coalesced_writes(true).is_none(), "there is no such port");
    list.attach(Attached::new("b", Sender(true)).ports(0x200, 8).coalesced()).unwrap();
    list.attach(Attached::new("c", Sender(false)).ports(0x300, 1).coalesced()).unwrap();
    assert!(list.coalesced_writes(false).is_none());
    let ports = list.coalesced_writes(true).unwrap().ports().to_vec();
    let port = |data, count| CoalescedPort { data, count };
    assert_eq!(ports, [port(0x200, 8), port(0x300, 1)]);
    let waits = [0x100, 0x200, 0x300, 0x400].map(|port| list.interrupts_for_writes(port));
    assert_eq!(waits, [false, true, false, false]);
}
