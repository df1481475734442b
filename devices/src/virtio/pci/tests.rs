use std::sync::Mutex;

use vm_memory::Bytes;
use vm_memory::{GuestAddress, Permissions};

use super::super::chain::Chain;
use super::super::testing::{AVAILABLE, DESCRIPTORS, Notified, USED, VERSION_1, WRITE, memory};
use super::*;
use crate::buffers::Buffers;
use crate::irq::{MsiMessage, RecordingLine, RecordingSender};
use crate::pci::bar::{BarDecoder, MemoryWindow};
use crate::pci::function::PciFunction;
use crate::pci::function::tests::{read, write};

/// A device with one queue that answers with what it is sent.
#[derive(Debug)]
struct Echo;

impl VirtioDevice for Echo {
    fn device_id(&self) -> u32 {
        2
    }

    fn features(&self) -> u64 {
        1 << 5
    }

    fn queue_sizes(&self) -> &[u16] {
        &[8]
    }

    fn read_config(&self, offset: u64, data: &mut [u8]) {
        data.fill(u8::try_from(offset & 0xff).unwrap());
    }

    fn write_config(&self, _: u64, _: &[u8]) {}

    fn negotiated(&self, _: u64) {}

    fn reset(&self) {}

    fn serve(&self, _: u16, memory: &GuestMemoryMmap, chain: &Chain) -> Option<u32> {
        let mut bytes = [0; 64];
        let from = Buffers::new(memory, chain.readable(), Permissions::Read);
        let to = Buffers::new(memory, chain.writable(), Permissions::Write);
        let (Some(from), Some(to)) = (from, to) else { return Some(0) };
        let count = from.copy_to(&mut bytes);
        to.copy_from(&bytes[..count]).try_into().ok()
    }
}

/// A BAR and the address it is decoded at.
type Place = (u8, Option<u64>);

#[derive(Clone, Default)]
struct Places(Arc<Mutex<Vec<Place>>>);

impl BarDecoder for Places {
    fn place(&self, bar: u8, at: Option<u64>) {
        self.0.lock().unwrap().push((bar, at));
    }
}

struct Guest {
    pci: VirtioPci,
    memory: GuestMemoryMmap,
    pin: RecordingLine,
    messages: RecordingSender,
    notified: Notified,
}

impl Guest {
    fn new() -> Self {
        let (memory, pin, messages, notified) =
            (memory(), RecordingLine::default(), RecordingSender::default(), Notified::default());
        let connections = Connections {
            pin: Box::new(pin.clone()),
            messages: Box::new(messages.clone()),
            notifier: Box::new(notified.clone()),
        };
        let pci = VirtioPci::new(Arc::new(Echo), memory.clone(), connections);
        Self { pci, memory, pin, messages, notified }
    }

    fn get(&mut self, offset: u64, width: usize) -> u64 {
        let mut data = [0; 8];
        self.pci.read_bar(4, offset, &mut data[..width]);
        u64::from_le_bytes(data)
    }

    fn put(&mut self, offset: u64, width: usize, value: u64) {
        self.pci.write_bar(4, offset, &value.to_le_bytes()[..width]);
    }

    /// The steps of virtio 1.2, 3.1.1, with bus master on.
    fn start(&mut self) {
        write(&mut self.pci, 4, 6);
        self.put(0x14, 1, 0);
        self.put(0x14, 1, 3);
        self.put(0x08, 4, 1);
        self.put(0x0c, 4, VERSION_1 >> 32);
        self.put(0x14, 1, 11);
        assert_eq!(self.get(0x14, 1), 11);
        self.put(0x16, 2, 0);
        self.put(0x20, 8, DESCRIPTORS);
        self.put(0x28, 4, AVAILABLE);
        self.put(0x30, 4, USED);
        self.put(0x1c, 2, 1);
        self.put(0x14, 1, 15);
    }

    /// Sends one more request, and says how many have been answered.
    fn request(&mut self, number: u16) -> u16 {
        let descriptor = |at: u64, flags: u16| {
            [at.to_le_bytes().as_slice(), &4u32.to_le_bytes(), &flags.to_le_bytes(), &[1, 0]]
                .concat()
        };
        let table = [descriptor(0x1_0000, 1), descriptor(0x1_0010, WRITE)].concat();
        self.memory.write_slice(&table, GuestAddress(DESCRIPTORS)).unwrap();
        self.memory.write_obj(number, GuestAddress(AVAILABLE + 2)).unwrap();
        self.put(NOTIFICATIONS, 2, 0);
        let queues = std::mem::take(&mut *self.notified.0.lock().unwrap());
        for queue in queues {
            self.pci.state().serve(queue);
        }
        self.memory.read_obj(GuestAddress(USED + 2)).unwrap()
    }
}

#[test]
fn configuration_space_is_laid_out_as_qemus() {
    let mut pci = Guest::new().pci;
    let expected = [
        (0x00, 0x1042_1af4),
        (0x04, 0x0010_0000),
        (0x08, 0x0100_0001),
        (0x14, 0),
        (0x20, 0x0000_000c),
        (0x2c, 0x1100_1af4),
        (0x34, 0x0000_0098),
        (0x3c, 0x0000_0100),
        (0x40, 0x0110_0009),
        (0x44, 4),
        (0x48, 0),
        (0x4c, 0x1000),
        (0x50, 0x0310_4009),
        (0x58, 0x1000),
        (0x60, 0x0410_5009),
        (0x68, 0x2000),
        (0x70, 0x0214_6009),
        (0x78, 0x3000),
        (0x80, 4),
        (0x84, 0x0514_7009),
        (0x98, 0x0001_8411),
        (0x9c, 1),
        (0xa0, 0x801),
    ];
    for (offset, value) in expected {
        assert_eq!(read(&mut pci, offset), value, "{offset:#x}");
    }
}

#[test]
fn a_request_raises_the_pin_until_the_status_is_read() {
    let mut guest = Guest::new();
    guest.start();
    assert_eq!(guest.request(1), 1);
    assert!(guest.pin.is_high());
    assert_eq!(read(&mut guest.pci, 4) >> 19 & 1, 1, "status register");
    assert_eq!(guest.get(INTERRUPT_STATUS, 1), 1);
    assert!(!guest.pin.is_high());
    assert_eq!(guest.get(INTERRUPT_STATUS, 1), 0);
}

#[test]
fn with_msix_a_request_sends_the_message_of_its_vector() {
    let mut guest = Guest::new();
    guest.start();
    guest.pci.write_config(0x9b, &[0x80]);
    for (offset, value) in [(16, 0xfee0_0000u32), (24, 0x41), (28, 0)] {
        guest.pci.write_bar(1, offset, &value.to_le_bytes());
    }
    guest.put(0x1a, 2, 2);
    assert_eq!(guest.get(0x1a, 2), 0xffff, "there are two vectors");
    guest.put(0x1a, 2, 1);
    assert_eq!(guest.request(1), 1);
    assert_eq!(guest.messages.take(), [MsiMessage { address: 0xfee0_0000, data: 0x41 }]);
    assert!(!guest.pin.is_high());
}

#[test]
fn a_queue_that_does_not_exist_reads_zero_and_has_no_vector() {
    let mut guest = Guest::new();
    for queue in [1, 2, 0xffff] {
        guest.put(0x16, 2, queue);
        assert_eq!([0x18, 0x1c, 0x1e].map(|offset| guest.get(offset, 2)), [0; 3]);
        guest.put(0x1a, 2, 0);
        assert_eq!(guest.get(0x1a, 2), 0xffff);
        guest.put(0x1c, 2, 1);
        guest.put(NOTIFICATIONS + 4 * queue, 2, queue);
    }
    assert_eq!(guest.get(0x14, 1), 0);
}

#[test]
fn nothing_is_served_while_bus_master_is_off() {
    let mut guest = Guest::new();
    guest.start();
    write(&mut guest.pci, 4, 2);
    assert_eq!(guest.request(1), 0);
    write(&mut guest.pci, 4, 6);
    assert_eq!(*guest.notified.0.lock().unwrap(), [0]);
    assert_eq!(guest.request(1), 1);
}

#[test]
fn registers_are_reached_through_configuration_space() {
    let mut guest = Guest::new();
    write(&mut guest.pci, 0x88, 4);
    write(&mut guest.pci, 0x8c, 0x14);
    write(&mut guest.pci, 0x90, 1);
    write(&mut guest.pci, 0x94, 3);
    assert_eq!(guest.get(0x14, 1), 3);
    assert_eq!(read(&mut guest.pci, 0x94), 3);
    for (bar, offset, length) in [(1, 0x14, 1), (4, 0x14, 3), (4, 0x4000, 4), (4, u32::MAX, 1)] {
        write(&mut guest.pci, 0x88, bar);
        write(&mut guest.pci, 0x8c, offset);
        write(&mut guest.pci, 0x90, length);
        write(&mut guest.pci, 0x94, 0);
        assert_eq!(guest.get(0x14, 1), 3, "{bar} {offset:#x} {length}");
    }
}

#[test]
fn bars_are_decoded_where_the_guest_places_them_and_reset_restores_the_preset() {
    let mut guest = Guest::new();
    let mut window = MemoryWindow::new(0xc000_0000, 0xfebf_ffff);
    assert!(guest.pci.config_mut().preset(&mut window, 11));
    let places = Places::default();
    guest.pci.config_mut().decode_with(Box::new(places.clone()));
    let preset = [(1, Some(0xfebf_f000)), (4, Some(0xfebf_8000))];
    assert_eq!(std::mem::take(&mut *places.0.lock().unwrap()), preset);
    write(&mut guest.pci, 0x14, 0xe000_0000);
    assert_eq!(places.0.lock().unwrap()[0], (1, Some(0xe000_0000)));
    write(&mut guest.pci, 4, 0);
    assert_eq!(*places.0.lock().unwrap().last().unwrap(), (4, None));
    guest.pci.reset();
    assert_eq!(places.0.lock().unwrap().split_off(4), preset);
    assert_eq!(read(&mut guest.pci, 0x3c), 0x010b);
}

#[test]
fn a_reset_by_the_driver_leaves_configuration_space_alone() {
    let mut guest = Guest::new();
    guest.start();
    guest.request(1);
    guest.put(0x10, 2, 0);
    guest.put(0x14, 1, 0);
    assert_eq!([guest.get(0x14, 1), guest.get(0x1c, 2), guest.get(0x10, 2)], [0, 0, 0xffff]);
    assert!(!guest.pin.is_high());
    assert_eq!(read(&mut guest.pci, 4) & 0xffff, 6);
    guest.start();
}

/// `virtio_pci_*_class_init` in QEMU; names by class: `pci_dev_fw_name`.
#[test]
fn functions_have_the_class_and_name_of_their_devices() {
    for (device, class, name) in [
        (1, 0x02_00_00, "ethernet"),
        (2, 0x01_00_00, "scsi"),
        (3, 0x07_80_00, "pci1af4"),
        (4, 0x00_ff_00, "pci1af4"),
        (8, 0x01_00_00, "scsi"),
    ] {
        let space = function::config_space(device, &[0; 10]);
        assert_eq!((space.dword(8) >> 8, node_name(device)), (class, name), "{device}");
    }
}

#[test]
fn the_common_configuration_reads_as_it_was_written() {
    let mut guest = Guest::new();
    for (offset, value) in [(0x00, 1), (0x08, 1), (0x0c, 0x1234_5678)] {
        guest.put(offset, 4, value);
        assert_eq!(guest.get(offset, 4), value, "{offset:#x}");
    }
    guest.put(0x08, 4, 0);
    assert_eq!(guest.get(0x0c, 4), 0, "the other half");
    guest.put(0x10, 2, 1);
    assert_eq!(guest.get(0x10, 2), 1, "the vector of the configuration");
    for offset in [0x20, 0x28, 0x30] {
        guest.put(offset, 8, 0x1_0000_2000);
        assert_eq!(guest.get(offset, 8), 0x1_0000_2000, "{offset:#x}");
        guest.put(offset + 4, 4, 0x12);
        guest.put(offset, 4, 0x3000);
        assert_eq!(guest.get(offset, 8), 0x12_0000_3000, "{offset:#x}");
    }
    // 8 bytes are for the addresses, and aligned.
    for (offset, width) in [(0x00, 8), (0x24, 8), (0x34, 8), (0x20, 2), (0x18, 4)] {
        let before = [0x00, 0x18, 0x20, 0x28, 0x30].map(|offset| guest.get(offset, 8));
        guest.put(offset, width, u64::MAX);
        assert_eq!([0x00, 0x18, 0x20, 0x28, 0x30].map(|offset| guest.get(offset, 8)), before);
    }
    for value in [0, 2] {
        guest.put(0x1c, 2, value);
        assert_eq!(guest.get(0x1c, 2), 0, "only 1 enables a queue");
    }
    assert_eq!(guest.get(DEVICE + 5, 1), 5);
}

/// Reading the interrupt status clears it, so only reads of the window's data may access BAR 4.
#[test]
fn only_the_data_of_the_window_accesses_the_bar() {
    let mut guest = Guest::new();
    guest.start();
    write(&mut guest.pci, 0x88, 4);
    write(&mut guest.pci, 0x8c, u32::try_from(INTERRUPT_STATUS).unwrap());
    write(&mut guest.pci, 0x90, 1);
    guest.request(1);
    for offset in [0x00, 0x34, 0x84, 0x88, 0x8c, 0x90, 0x98, 0x9c, 0xa0, 0xfc] {
        read(&mut guest.pci, offset);
        assert!(guest.pin.is_high(), "{offset:#x}");
    }
    assert_eq!(read(&mut guest.pci, 0x94), 1);
    assert!(!guest.pin.is_high());
}

#[test]
fn queues_are_notified_only_when_the_function_becomes_bus_master() {
    let mut guest = Guest::new();
    for (command, notified) in [(2, 0), (6, 1), (6, 1), (4, 1), (2, 1), (0, 1), (6, 2)] {
        write(&mut guest.pci, 4, command);
        assert_eq!(guest.notified.0.lock().unwrap().len(), notified, "{command}");
    }
}

#[test]
fn the_messages_are_the_guest_s_until_the_reset_of_the_function() {
    let mut guest = Guest::new();
    let entry = |guest: &mut Guest| {
        let mut data = [0; 8];
        guest.pci.read_bar(1, 16, &mut data);
        u64::from_le_bytes(data)
    };
    guest.pci.write_bar(1, 16, &0xfee0_0000u64.to_le_bytes());
    assert_eq!(entry(&mut guest), 0xfee0_0000);
    guest.put(0x14, 1, 0);
    assert_eq!(entry(&mut guest), 0xfee0_0000, "a reset by the driver leaves them");
    guest.pci.reset();
    assert_eq!(entry(&mut guest), 0);
}

#[test]
fn a_change_of_the_configuration_stays_in_the_status_until_it_is_read() {
    let mut guest = Guest::new();
    guest.start();
    for _ in 0..2 {
        guest.pci.state().config_changed();
    }
    assert_eq!(guest.get(INTERRUPT_STATUS, 1), 2);
}
