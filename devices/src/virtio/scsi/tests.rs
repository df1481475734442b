use std::io;

use vm_memory::{Bytes, GuestAddress, VolatileSlice};

use super::super::pci::{Connections, NOTIFICATIONS, VirtioPci};
use super::super::testing::{
    AVAILABLE, DESCRIPTORS, Driver, NEXT, Notified, RAM, USED, VERSION_1, WRITE, memory,
};
use super::*;
use crate::irq::{RecordingLine, RecordingSender};
use crate::pci::bar::MemoryBars;
use crate::pci::function::tests::write;
use crate::scsi::cdrom::{BLOCK, CdRom, Disc};

const HEADER: u64 = 0x1_0000;
const RESPONSE: u64 = 0x1_1000;
const DATA: u64 = 0x2_0000;
const HEADER_SIZE: u32 = 19 + 32;
const RESPONSE_SIZE: u32 = 12 + 96;
/// Blocks of the disc.
const BLOCKS: u64 = 20;

/// Each block is filled with its number; block 13 cannot be read.
#[derive(Debug)]
struct Numbered;

impl Disc for Numbered {
    fn len(&self) -> u64 {
        BLOCKS * BLOCK
    }

    fn read(&self, to: &[VolatileSlice<'_>], offset: u64) -> io::Result<()> {
        let mut at = offset;
        for slice in to {
            for index in 0..slice.len() {
                let number = (at / BLOCK).to_le_bytes()[0];
                if number == 13 {
                    return Err(io::ErrorKind::InvalidData.into());
                }
                slice.subslice(index, 1).unwrap().copy_from(&[number]);
                at += 1;
            }
        }
        Ok(())
    }
}

/// A controller with `count` drives.
fn controller(count: usize) -> Arc<Scsi> {
    let drive = || CdRom::new(Box::new(Numbered), String::new());
    Arc::new(Scsi::new((0..count).map(|_| Arc::new(Target::new(Box::new(drive())))).collect()))
}

/// The address of a logical unit.
fn unit(target: u8, lun: u8) -> [u8; 8] {
    [1, target, 0x40, lun, 0, 0, 0, 0]
}

struct Bench(Driver);

impl Bench {
    /// A driver that uses one queue.
    fn new(queue: u32) -> Self {
        let mut driver = Driver::new(controller(2));
        driver.negotiate(VERSION_1);
        driver.set_up_queue(queue, 16);
        driver.write(virtio_bindings::virtio_mmio::VIRTIO_MMIO_STATUS, 15);
        Self(driver)
    }

    fn header(&self, address: [u8; 8], cdb: &[u8]) {
        self.0.put(HEADER, &[0; 300]);
        self.0.put(HEADER, &address);
        self.0.put(HEADER + 19, cdb);
        self.0.put(RESPONSE, &[0xee; 300]);
    }

    /// A command with room for `room` bytes. How many were written, and the response: sense length,
    /// residual count, status and code.
    #[track_caller]
    fn command(&mut self, address: [u8; 8], cdb: &[u8], room: u32) -> (u32, Answer) {
        self.header(address, cdb);
        let written = self.0.request(&[
            (HEADER, HEADER_SIZE, 0),
            (RESPONSE, RESPONSE_SIZE, WRITE),
            (DATA, room, WRITE),
        ]);
        (written.expect("it is answered"), self.answer())
    }

    fn answer(&self) -> Answer {
        let word = |at| u32::from_le_bytes(self.0.get(RESPONSE + at));
        let [status, code] = self.0.get(RESPONSE + 10);
        Answer { sense_len: word(0), residual: word(4), status, code }
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Answer {
    sense_len: u32,
    residual: u32,
    status: u8,
    code: u8,
}

const fn good(residual: u32) -> Answer {
    Answer { sense_len: 0, residual, status: 0, code: 0 }
}

const fn undelivered(residual: u32, code: u8) -> Answer {
    Answer { sense_len: 0, residual, status: 0, code }
}

const READ_TWO: [u8; 10] = [0x28, 0, 0, 0, 0, 4, 0, 0, 2, 0];

#[test]
fn blocks_go_into_the_driver_s_buffers() {
    let mut bench = Bench::new(2);
    let answer = bench.command(unit(1, 0), &READ_TWO, 4096);
    assert_eq!(answer, (RESPONSE_SIZE + 4096, good(0)));
    assert_eq!(bench.0.get::<2048>(DATA), [4; 2048]);
    assert_eq!(bench.0.get::<2048>(DATA + 2048), [5; 2048]);
    // The first way to name a unit, and more room than there is data.
    bench.0.put(DATA, &[0xee; 5000]);
    let answer = bench.command([1, 0, 0, 0, 0, 0, 0, 0], &READ_TWO, 5000);
    assert_eq!(answer, (RESPONSE_SIZE + 4096, good(904)));
    assert_eq!(bench.0.get::<2>(DATA + 4095), [5, 0xee]);
}

#[test]
fn bytes_can_be_divided_among_buffers_in_any_way() {
    let mut bench = Bench::new(2);
    bench.header(unit(0, 0), &READ_TWO);
    let mut buffers = vec![(HEADER, 8, 0), (HEADER + 8, 20, 0), (HEADER + 28, HEADER_SIZE - 28, 0)];
    buffers.extend([(RESPONSE, 5, WRITE), (RESPONSE + 5, RESPONSE_SIZE - 5, WRITE)]);
    buffers.extend([(DATA, 3000, WRITE), (DATA + 0x8000, 1096, WRITE)]);
    assert_eq!(bench.0.request(&buffers), Some(RESPONSE_SIZE + 4096));
    assert_eq!(bench.answer(), good(0));
    assert_eq!(bench.0.get::<952>(DATA + 2048), [5; 952]);
    assert_eq!(bench.0.get::<1096>(DATA + 0x8000), [5; 1096]);
    // All of it in one buffer each way.
    bench.header(unit(0, 0), &READ_TWO);
    let buffers = [(HEADER, HEADER_SIZE, 0), (RESPONSE, RESPONSE_SIZE + 4096, WRITE)];
    assert_eq!(bench.0.request(&buffers), Some(RESPONSE_SIZE + 4096));
    assert_eq!(bench.0.get::<2>(RESPONSE + u64::from(RESPONSE_SIZE) + 2047), [4, 5]);
}

#[test]
fn data_of_a_command_is_cut_to_the_room_there_is() {
    let mut bench = Bench::new(2);
    let inquiry = [0x12, 0, 0, 0, 36, 0];
    assert_eq!(bench.command(unit(0, 0), &inquiry, 36), (RESPONSE_SIZE + 36, good(0)));
    assert_eq!(bench.0.get(DATA), [5, 0x80]);
    assert_eq!(bench.command(unit(0, 0), &inquiry, 20), (RESPONSE_SIZE + 20, good(0)));
    assert_eq!(bench.command(unit(0, 0), &inquiry, 100), (RESPONSE_SIZE + 36, good(64)));
    assert_eq!(bench.command(unit(0, 0), &[0], 0), (RESPONSE_SIZE, good(0)));
}

#[test]
fn a_failed_command_comes_with_sense_data() {
    let mut bench = Bench::new(2);
    for (cdb, sense) in [
        (&[0x28, 0, 0, 0, 0, 20, 0, 0, 1, 0][..], [5, 0x21, 0]),
        (&[0x28, 0, 0, 0, 0, 13, 0, 0, 1, 0], [3, 0x11, 0]),
        (&[0xff], [5, 0x20, 0]),
    ] {
        let answer = bench.command(unit(0, 0), cdb, 2048);
        let expected = Answer { sense_len: 18, residual: 2048, status: 2, code: 0 };
        assert_eq!(answer, (RESPONSE_SIZE, expected), "{cdb:x?}");
        let data: [u8; 18] = bench.0.get(RESPONSE + 12);
        assert_eq!([data[2], data[12], data[13]], sense);
    }
}

#[test]
fn what_cannot_be_delivered_has_no_status() {
    let mut bench = Bench::new(2);
    for (address, cdb, room, code) in [
        (unit(2, 0), &READ_TWO[..], 4096, 3),
        (unit(255, 0), &READ_TWO, 4096, 3),
        ([0; 8], &READ_TWO, 4096, 3),
        ([1, 0, 0x80, 0, 0, 0, 0, 0], &READ_TWO, 4096, 3),
        ([0xc1, 1, 0, 0, 0, 0, 0, 0], &READ_TWO, 4096, 3),
        // Too little room for the blocks.
        (unit(0, 0), &READ_TWO, 4095, 1),
        (unit(0, 0), &READ_TWO, 0, 1),
    ] {
        let answer = bench.command(address, cdb, room);
        assert_eq!(answer, (RESPONSE_SIZE, undelivered(room, code)), "{address:x?} {room}");
    }
    // Another unit of a target that is there: the target says so.
    let answer = bench.command(unit(0, 1), &READ_TWO, 4096).1;
    assert_eq!((answer.status, answer.code), (2, 0));
    // Data in both directions.
    bench.header(unit(0, 0), &READ_TWO);
    let buffers = [
        (HEADER, HEADER_SIZE, 0),
        (DATA, 512, 0),
        (RESPONSE, RESPONSE_SIZE, WRITE),
        (DATA, 512, WRITE),
    ];
    assert_eq!(bench.0.request(&buffers), Some(RESPONSE_SIZE));
    assert_eq!(bench.answer(), undelivered(512, 9));
}

#[test]
fn requests_that_are_cut_short_or_not_in_memory_are_given_back() {
    let mut bench = Bench::new(2);
    bench.header(unit(0, 0), &READ_TWO);
    for buffers in [
        vec![],
        vec![(HEADER, HEADER_SIZE - 1, 0), (RESPONSE, RESPONSE_SIZE, WRITE)],
        vec![(HEADER, HEADER_SIZE, 0), (RESPONSE, RESPONSE_SIZE - 1, WRITE)],
        vec![(HEADER, HEADER_SIZE, 0)],
        vec![(RESPONSE, RESPONSE_SIZE, WRITE)],
        vec![(RAM - 8, HEADER_SIZE, 0), (RESPONSE, RESPONSE_SIZE, WRITE)],
        vec![(HEADER, HEADER_SIZE, 0), (RESPONSE, RESPONSE_SIZE, WRITE), (RAM, 4096, WRITE)],
        vec![(HEADER, HEADER_SIZE, 0), (u64::MAX - 4, RESPONSE_SIZE, WRITE)],
        vec![(HEADER, HEADER_SIZE, 0), (RESPONSE, u32::MAX - 100, WRITE)],
    ] {
        if !buffers.is_empty() {
            assert_eq!(bench.0.request(&buffers), Some(0), "{buffers:x?}");
        }
    }
    let answer = bench.command(unit(0, 0), &READ_TWO, 4096);
    assert_eq!(answer, (RESPONSE_SIZE + 4096, good(0)));
}

#[test]
fn the_driver_chooses_the_sizes_of_commands_and_sense_data() {
    let mut bench = Bench::new(2);
    let config = |bench: &mut Bench, at| bench.0.read(0x100 + at);
    let expected = [1, 254, 0xffff, 128, 16, 96, 32, 1 << 16, 0];
    for (at, value) in (0..).step_by(4).zip(expected) {
        assert_eq!(config(&mut bench, at), value, "{at}");
    }
    assert_eq!(config(&mut bench, 36), u32::MAX);
    for (at, value, kept) in
        [(20, 4, 4), (20, 0x1_0000, 4), (24, 10, 10), (24, 0x100, 10), (0, 9, 1)]
    {
        bench.0.write(0x100 + at, value);
        assert_eq!(config(&mut bench, at), kept, "{at}");
    }
    bench.header(unit(0, 0), &[0xff; 10]);
    let buffers = [(HEADER, 29, 0), (RESPONSE, 16, WRITE)];
    assert_eq!(bench.0.request(&buffers), Some(16));
    assert_eq!(bench.answer(), Answer { sense_len: 4, residual: 0, status: 2, code: 0 });
    // The longest commands there can be.
    bench.0.write(0x100 + 24, 0xff);
    bench.header(unit(0, 0), &READ_TWO);
    let buffers = [(HEADER, 19 + 255, 0), (RESPONSE, 16, WRITE), (DATA, 4096, WRITE)];
    assert_eq!(bench.0.request(&buffers), Some(16 + 4096));
    bench.0.write(virtio_bindings::virtio_mmio::VIRTIO_MMIO_STATUS, 0);
    assert_eq!((config(&mut bench, 20), config(&mut bench, 24)), (96, 32));
}

#[test]
fn the_configuration_names_the_last_target() {
    for (count, last) in [(0, 0), (1, 0), (3, 2), (300, 255)] {
        let mut bytes = [0; 2];
        controller(count).read_config(30, &mut bytes);
        assert_eq!(u16::from_le_bytes(bytes), last);
    }
}

#[test]
fn buffers_for_events_stay_in_their_queue() {
    let mut bench = Bench::new(1);
    assert_eq!(bench.0.request(&[(DATA, 16, WRITE)]), None);
    assert_eq!(bench.0.status(), 15);
    assert_eq!(bench.0.used_index(), 0);
}

/// A function for a target, and its response.
fn manage(bench: &mut Bench, function: u32, address: [u8; 8]) -> u8 {
    bench.0.put(HEADER, &[0; 32]);
    bench.0.put(HEADER + 4, &function.to_le_bytes());
    bench.0.put(HEADER + 8, &address);
    bench.0.put(RESPONSE, &[0xee]);
    assert_eq!(bench.0.request(&[(HEADER, 24, 0), (RESPONSE, 1, WRITE)]), Some(1));
    bench.0.get::<1>(RESPONSE)[0]
}

#[test]
fn functions_are_complete_and_resets_close_the_tray() {
    let controller = controller(1);
    let mut driver = Driver::new(Arc::<Scsi>::clone(&controller));
    driver.negotiate(VERSION_1);
    driver.set_up_queue(0, 16);
    driver.write(virtio_bindings::virtio_mmio::VIRTIO_MMIO_STATUS, 15);
    let mut bench = Bench(driver);
    let execute = |cdb: &[u8]| {
        let (target, _) = controller.find(unit(0, 0)).unwrap();
        target.execute(0, &crate::scsi::cdb::Cdb::new(cdb)).is_ok()
    };
    for function in [0, 1, 3, 6, 7] {
        assert_eq!(manage(&mut bench, function, unit(0, 0)), 0, "{function}");
        assert_eq!(manage(&mut bench, function, unit(0, 1)), 12, "{function}");
        assert_eq!(manage(&mut bench, function, unit(1, 0)), 3, "{function}");
    }
    for function in [2, 8, u32::MAX] {
        assert_eq!(manage(&mut bench, function, unit(0, 0)), 11, "{function}");
    }
    for function in [4, 5] {
        assert!(execute(&[0x1b, 0, 0, 0, 2, 0]), "opened");
        assert!(!execute(&[0]));
        assert_eq!(manage(&mut bench, function, unit(0, 0)), 0);
        assert!(execute(&[0]), "{function}");
    }
    assert_eq!(manage(&mut bench, 4, unit(9, 0)), 0, "nothing to reset");
}

#[test]
fn there_are_no_notifications_and_other_control_requests_are_given_back() {
    let mut bench = Bench::new(0);
    for kind in [1u8, 2] {
        bench.0.put(HEADER, &[0xff; 32]);
        bench.0.put(HEADER, &[kind, 0, 0, 0]);
        bench.0.put(RESPONSE, &[0xee; 8]);
        assert_eq!(bench.0.request(&[(HEADER, 16, 0), (RESPONSE, 5, WRITE)]), Some(5));
        assert_eq!(bench.0.get(RESPONSE), [0, 0, 0, 0, 0, 0xee]);
    }
    for (kind, request, response) in [(0u8, 23, 1), (0, 24, 0), (1, 15, 5), (1, 16, 4), (3, 24, 8)]
    {
        bench.0.put(HEADER, &[kind, 0, 0, 0]);
        let buffers = [(HEADER, request, 0), (RESPONSE, response, WRITE)];
        assert_eq!(bench.0.request(&buffers), Some(0), "{kind} {request} {response}");
    }
    assert_eq!(bench.0.status(), 15);
}

/// SeaBIOS overwrites FEATURES_OK when it has set the queue up (`init_virtio_scsi_mmio`).
#[test]
fn seabios_s_driver_is_served() {
    let mut driver = Driver::new(controller(1));
    let status = virtio_bindings::virtio_mmio::VIRTIO_MMIO_STATUS;
    driver.write(virtio_bindings::virtio_mmio::VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
    driver.write(virtio_bindings::virtio_mmio::VIRTIO_MMIO_DRIVER_FEATURES, 1);
    driver.write(status, 8);
    assert_eq!(driver.status(), 8);
    driver.set_up_queue(2, 128);
    driver.write(status, 7);
    let mut bench = Bench(driver);
    for target in 1..=255 {
        let luns = [0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0];
        let answer = bench.command(unit(target, 0), &luns, 16).1;
        assert_eq!(answer.code, 3);
    }
    let luns = bench.command(unit(0, 0), &[0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0], 16);
    assert_eq!(luns, (RESPONSE_SIZE + 16, good(0)));
    assert_eq!(bench.0.get(DATA), [0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
}

#[test]
fn the_pci_function_is_a_scsi_controller_and_serves_commands() {
    let (memory, notified) = (memory(), Notified::default());
    let connections = Connections {
        pin: Box::new(RecordingLine::default()),
        messages: Box::new(RecordingSender::default()),
        notifier: Box::new(notified.clone()),
    };
    let mut pci = VirtioPci::new(controller(1), memory.clone(), connections);
    let mut id = [0; 12];
    crate::pci::function::PciFunction::read_config(&mut pci, 0, &mut id);
    assert_eq!((&id[..4], &id[8..]), (&[0xf4, 0x1a, 0x48, 0x10][..], &[1, 0, 0, 1][..]));
    write(&mut pci, 4, 6);
    let put = |pci: &mut VirtioPci, at: u64, width: usize, value: u64| {
        pci.write_bar(4, at, &value.to_le_bytes()[..width]);
    };
    for (at, width, value) in [
        (0x14, 1, 3),
        (0x08, 4, 1),
        (0x0c, 4, VERSION_1 >> 32),
        (0x14, 1, 11),
        (0x16, 2, 2),
        (0x20, 8, DESCRIPTORS),
        (0x28, 4, AVAILABLE),
        (0x30, 4, USED),
        (0x1c, 2, 1),
        (0x14, 1, 15),
    ] {
        put(&mut pci, at, width, value);
    }
    let store = |at: u64, bytes: &[u8]| memory.write_slice(bytes, GuestAddress(at)).unwrap();
    store(HEADER, &unit(0, 0));
    store(HEADER + 19, &READ_TWO);
    let buffers =
        [(HEADER, HEADER_SIZE, NEXT), (RESPONSE, RESPONSE_SIZE, WRITE | NEXT), (DATA, 4096, WRITE)];
    for (index, (at, len, flags)) in (0u16..).zip(buffers) {
        let place = DESCRIPTORS + 16 * u64::from(index);
        store(place, &at.to_le_bytes());
        store(place + 8, &len.to_le_bytes());
        store(place + 12, &[flags.to_le_bytes(), (index + 1).to_le_bytes()].concat());
    }
    store(AVAILABLE + 2, &[1, 0]);
    // Each queue's notification is in a place of its own. All were woken when the bus master was
    // on.
    notified.0.lock().unwrap().clear();
    put(&mut pci, NOTIFICATIONS + 8, 2, 2);
    assert_eq!(std::mem::take(&mut *notified.0.lock().unwrap()), [2]);
    pci.state().serve(2);
    let used: [u8; 12] = memory.read_obj(GuestAddress(USED)).unwrap();
    assert_eq!(used[2..4], [1, 0]);
    assert_eq!(u32::from_le_bytes([used[8], used[9], used[10], used[11]]), RESPONSE_SIZE + 4096);
    let mut block = [0; 4];
    memory.read_slice(&mut block, GuestAddress(DATA + 2046)).unwrap();
    assert_eq!(block, [4, 4, 5, 5]);
}

#[test]
fn the_controller_has_its_targets_and_no_features() {
    let scsi = controller(3);
    assert_eq!((scsi.target_count(), scsi.features(), scsi.device_id()), (3, 0, 8));
}
