//! The rules that every device keeps, by the transport of memory-mapped registers.

use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::sync::mpsc;

use acpi_tables::Aml;
use virtio_bindings::virtio_mmio::*;
use vm_memory::Permissions;

use super::super::chain::{Buffers, Chain};
use super::super::testing::{
    AVAILABLE, DESCRIPTORS, Driver, EVENT_IDX, INDIRECT, INDIRECT_DESC, NEXT, RAM, TABLE, USED,
    VERSION_1, WRITE,
};
use super::*;

const NEEDS_RESET: u32 = 64;

/// A device of two queues that answers with what it is sent.
#[derive(Debug, Default)]
struct Echo {
    features: AtomicU64,
    resets: AtomicUsize,
}

impl VirtioDevice for Echo {
    fn device_id(&self) -> u32 {
        4
    }

    fn features(&self) -> u64 {
        1 << 5
    }

    fn queue_sizes(&self) -> &[u16] {
        &[8, 4]
    }

    fn read_config(&self, offset: u64, data: &mut [u8]) {
        data.fill(u8::try_from(offset).unwrap());
    }

    fn write_config(&self, _: u64, _: &[u8]) {}

    fn negotiated(&self, features: u64) {
        self.features.store(features, Ordering::SeqCst);
    }

    fn reset(&self) {
        self.resets.fetch_add(1, Ordering::SeqCst);
    }

    fn serve(&self, _: u16, memory: &GuestMemoryMmap, chain: &Chain) -> u32 {
        let mut bytes = [0; 64];
        let from = Buffers::new(memory, chain.readable(), Permissions::Read);
        let to = Buffers::new(memory, chain.writable(), Permissions::Write);
        let (Some(from), Some(to)) = (from, to) else { return 0 };
        let count = from.copy_to(&mut bytes);
        to.copy_from(&bytes[..count]).try_into().unwrap()
    }
}

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
    assert_eq!(driver.read(VIRTIO_MMIO_SHM_LEN_LOW), u32::MAX);
}

#[test]
fn registers_are_accessed_by_four_bytes() {
    let mut driver = driver();
    for (offset, width) in [(0, 1), (0, 2), (1, 4), (2, 4), (0, 8)] {
        let mut data = [0xaa; 8];
        driver.mmio.mmio_read(MmioAddress(0), offset, &mut data[..width]);
        assert_eq!(data[..width], [0; 8][..width], "{width} bytes at {offset}");
    }
    driver.mmio.mmio_write(MmioAddress(0), VIRTIO_MMIO_STATUS.into(), &[1]);
    assert_eq!(driver.status(), 0);
    let mut config = [0; 2];
    driver.mmio.mmio_read(MmioAddress(0), 0x107, &mut config);
    assert_eq!(config, [7; 2]);
}

#[test]
fn features_are_offered_by_halves() {
    let mut driver = driver();
    let mut offered = |half| {
        driver.write(VIRTIO_MMIO_DEVICE_FEATURES_SEL, half);
        driver.read(VIRTIO_MMIO_DEVICE_FEATURES)
    };
    assert_eq!([0, 1, 2].map(&mut offered), [1 << 5 | 1 << 28 | 1 << 29, 1, 0]);
}

#[test]
fn features_that_were_not_offered_keep_features_ok_clear() {
    let mut driver = driver();
    driver.negotiate(VERSION_1 | 1 << 6);
    assert_eq!(driver.status(), 3);
    driver.negotiate(VERSION_1 | 1 << 5);
    assert_eq!(driver.status(), 11);
}

#[test]
fn a_driver_without_version_1_keeps_features_ok_clear() {
    let mut driver = driver();
    driver.negotiate(1 << 5);
    assert_eq!(driver.status(), 3);
    driver.set_up_queue(0, 8);
    driver.write(VIRTIO_MMIO_STATUS, 7);
    assert_eq!(driver.request(&[(0x1_0000, 4, 0)]), None);
}

#[test]
fn features_stay_once_they_are_agreed_on() {
    let echo = Arc::<Echo>::default();
    let mut driver = Driver::started(Arc::<Echo>::clone(&echo), VERSION_1, 8);
    driver.write(VIRTIO_MMIO_DRIVER_FEATURES_SEL, 0);
    driver.write(VIRTIO_MMIO_DRIVER_FEATURES, u32::MAX);
    driver.write(VIRTIO_MMIO_STATUS, 7);
    driver.write(VIRTIO_MMIO_STATUS, 15);
    assert_eq!(echo.features.load(Ordering::SeqCst), VERSION_1);
    assert_answers(&mut driver);
}

#[test]
fn status_steps_may_come_in_the_order_of_seabios() {
    // virtio_scsi_mmio_init writes FEATURES_OK alone, and then all but it.
    let mut driver = driver();
    driver.write(VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
    driver.write(VIRTIO_MMIO_DRIVER_FEATURES, 1);
    driver.write(VIRTIO_MMIO_STATUS, 8);
    assert_eq!(driver.status(), 8);
    driver.set_up_queue(0, 8);
    driver.write(VIRTIO_MMIO_STATUS, 7);
    assert_answers(&mut driver);
}

#[test]
fn a_queue_that_does_not_exist_reads_zero_and_takes_nothing() {
    let mut driver = started(VERSION_1);
    for queue in [2, 3, 0xffff, 0x1_0000, u32::MAX] {
        driver.write(VIRTIO_MMIO_QUEUE_SEL, queue);
        assert_eq!(driver.read(VIRTIO_MMIO_QUEUE_NUM_MAX), 0);
        driver.place_queue(queue, 8, [DESCRIPTORS, AVAILABLE, USED]);
        assert_eq!(driver.read(VIRTIO_MMIO_QUEUE_READY), 0);
        driver.write(VIRTIO_MMIO_QUEUE_READY, 0);
        driver.write(VIRTIO_MMIO_QUEUE_NOTIFY, queue);
        let notified = std::mem::take(&mut *driver.notified.0.lock().unwrap());
        notified.into_iter().for_each(|queue| driver.mmio.state().serve(queue));
    }
    assert_eq!(driver.status(), 15);
    assert_answers(&mut driver);
}

#[test]
fn each_queue_has_its_own_largest_size() {
    let mut driver = driver();
    let mut size = |queue| {
        driver.write(VIRTIO_MMIO_QUEUE_SEL, queue);
        driver.read(VIRTIO_MMIO_QUEUE_NUM_MAX)
    };
    assert_eq!([0, 1].map(&mut size), [8, 4]);
}

#[test]
fn a_queue_that_cannot_be_is_not_enabled_and_needs_a_reset() {
    let rings = [DESCRIPTORS, AVAILABLE, USED];
    let mut cases: Vec<(u32, [u64; 3])> =
        [0, 3, 5, 7, 16, 0x8000, 0x1_0008].map(|size| (size, rings)).into();
    for bad in [RAM, RAM - 2, 1 << 40, u64::MAX - 15, u64::MAX - 1] {
        cases.push((8, [bad & !0xf, AVAILABLE, USED]));
        cases.push((8, [DESCRIPTORS, bad & !1, USED]));
        cases.push((8, [DESCRIPTORS, AVAILABLE, bad & !3]));
    }
    cases.extend([
        (8, [DESCRIPTORS + 8, AVAILABLE, USED]),
        (8, [DESCRIPTORS, AVAILABLE + 1, USED]),
        (8, [DESCRIPTORS, AVAILABLE, USED + 2]),
        (8, [DESCRIPTORS, 0, USED]),
    ]);
    for (size, rings) in cases {
        let mut driver = driver();
        driver.negotiate(VERSION_1);
        driver.place_queue(0, size, rings);
        assert_eq!(driver.read(VIRTIO_MMIO_QUEUE_READY), 0, "{size} {rings:#x?}");
        assert_eq!(driver.status(), 11 | NEEDS_RESET, "{size} {rings:#x?}");
        assert_eq!(driver.take_interrupts(), 0, "the driver is not set up yet");
        driver.write(VIRTIO_MMIO_STATUS, 15);
        driver.kick();
        driver.start(VERSION_1, 8);
        assert_answers(&mut driver);
    }
}

#[test]
fn a_queue_in_service_does_not_change() {
    let mut driver = started(VERSION_1);
    assert_answers(&mut driver);
    driver.place_queue(0, 2, [RAM, RAM, RAM]);
    assert_eq!(driver.read(VIRTIO_MMIO_QUEUE_READY), 1);
    assert_answers(&mut driver);
    assert_eq!(driver.used_index(), 2, "it goes on where it was");
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
fn a_notification_before_driver_ok_has_no_effect() {
    let mut driver = driver();
    driver.negotiate(VERSION_1);
    driver.set_up_queue(0, 8);
    assert_eq!(driver.request(&[(0x1_0000, 4, 0)]), None);
    driver.write(VIRTIO_MMIO_STATUS, 15);
    assert_eq!(driver.line.count(), 0);
    driver.kick();
    assert_eq!(driver.used_index(), 1);
}

#[test]
fn a_notification_of_a_queue_that_is_not_ready_has_no_effect() {
    let mut driver = driver();
    driver.negotiate(VERSION_1);
    driver.write(VIRTIO_MMIO_STATUS, 15);
    driver.kick();
    driver.mmio.state().serve(1);
    assert_eq!((driver.status(), driver.line.count()), (15, 0));
}

#[test]
fn more_requests_than_the_ring_has_room_for_stop_the_device_alone() {
    let mut driver = started(VERSION_1);
    driver.set_available(9);
    driver.kick();
    assert_eq!(driver.status(), 15 | NEEDS_RESET);
    assert_eq!(driver.take_interrupts(), VIRTIO_MMIO_INT_CONFIG);
    // It stays so, and says so once.
    driver.kick();
    driver.write(VIRTIO_MMIO_STATUS, 15);
    assert_eq!((driver.status(), driver.line.count()), (15 | NEEDS_RESET, 1));
    driver.start(VERSION_1, 8);
    assert_answers(&mut driver);
}

#[test]
fn a_request_that_does_not_exist_stops_the_device_alone() {
    let mut driver = started(VERSION_1);
    driver.offer(8);
    driver.kick();
    assert_eq!(driver.status(), 15 | NEEDS_RESET);
    assert_eq!(driver.used_index(), 0);
}

#[test]
fn a_chain_that_breaks_a_rule_is_given_back_unanswered() {
    let mut driver = started(VERSION_1 | INDIRECT_DESC);
    let bad: [&[(u64, u32, u16)]; 5] = [
        &[(0x1_0000, 4, WRITE), (0x1_0010, 4, 0)],
        &[(TABLE, 15, INDIRECT)],
        &[(TABLE, 16, INDIRECT), (0, 1, 0)],
        &[(1 << 50, 16, INDIRECT)],
        &[(0, u32::MAX, 0), (0, 1, 0)],
    ];
    for chain in bad {
        assert_eq!(driver.request(chain), Some(0), "{chain:x?}");
        assert_eq!(driver.take_interrupts(), VIRTIO_MMIO_INT_VRING);
    }
    driver.descriptor(DESCRIPTORS, 0, (0x1_0000, 4, NEXT, 0));
    driver.offer(0);
    driver.kick();
    assert_eq!((driver.used_index(), driver.used(5)), (6, (0, 0)), "a loop");
    assert_answers(&mut driver);
    assert_eq!(driver.status(), 15);
}

#[test]
fn buffers_outside_memory_are_given_back_unanswered() {
    let mut driver = started(VERSION_1);
    for at in [RAM, RAM - 2, 1 << 40, u64::MAX - 1] {
        assert_eq!(driver.request(&[(at, 4, 0), (0x1_0010, 4, WRITE)]), Some(0));
    }
    assert_answers(&mut driver);
}

#[test]
fn indirect_tables_need_to_be_negotiated() {
    let mut driver = started(VERSION_1 | INDIRECT_DESC);
    driver.put(0x1_0000, b"ping");
    driver.descriptor(TABLE, 0, (0x1_0000, 4, NEXT, 1));
    driver.descriptor(TABLE, 1, (0x1_0010, 4, WRITE, 0));
    assert_eq!(driver.request(&[(TABLE, 32, INDIRECT)]), Some(4));
    driver.start(VERSION_1, 8);
    assert_eq!(driver.request(&[(TABLE, 32, INDIRECT)]), Some(0));
}

#[test]
fn a_full_ring_is_served_by_one_notification() {
    let mut driver = started(VERSION_1);
    driver.chain(&[(0x1_0000, 4, 0)]);
    for round in 1..=20u16 {
        (0..8).for_each(|_| driver.offer(0));
        driver.kick();
        assert_eq!(driver.used_index(), round * 8);
    }
}

#[test]
fn indices_wrap_around() {
    let mut driver = started(VERSION_1);
    driver.chain(&[(0x1_0000, 4, 0)]);
    for _ in 0..=u16::MAX / 8 {
        (0..8).for_each(|_| driver.offer(0));
        driver.kick();
    }
    assert_eq!(driver.used_index(), 0);
    assert_answers(&mut driver);
}

#[test]
fn a_driver_that_polls_is_not_interrupted() {
    let mut driver = started(VERSION_1);
    driver.put(AVAILABLE, &[1]);
    assert_answers(&mut driver);
    assert_eq!(driver.line.count(), 0);
    driver.put(AVAILABLE, &[0]);
    assert_answers(&mut driver);
    assert_eq!(driver.line.count(), 1);
}

#[test]
fn with_event_indices_the_driver_says_when_it_is_interrupted() {
    let mut driver = started(VERSION_1 | EVENT_IDX);
    // used_event comes after the ring of eight: the third answer interrupts.
    driver.put(AVAILABLE + 4 + 16, &[2, 0]);
    assert_answers(&mut driver);
    assert_answers(&mut driver);
    assert_eq!(driver.line.count(), 0);
    assert_answers(&mut driver);
    assert_answers(&mut driver);
    assert_eq!(driver.line.count(), 1);
    // avail_event comes after the used ring: the device wants to hear of the next request.
    assert_eq!(driver.get(USED + 4 + 64), 4u16.to_le_bytes());
}

#[test]
fn an_interrupt_stays_in_the_status_until_it_is_acknowledged() {
    let mut driver = started(VERSION_1);
    assert_answers(&mut driver);
    driver.mmio.state().config_changed();
    assert_eq!(driver.read(VIRTIO_MMIO_INTERRUPT_STATUS), 3);
    driver.write(VIRTIO_MMIO_INTERRUPT_ACK, VIRTIO_MMIO_INT_VRING);
    assert_eq!(driver.read(VIRTIO_MMIO_INTERRUPT_STATUS), 2);
    assert_eq!(driver.line.count(), 2);
}

#[test]
fn the_generation_changes_with_the_configuration() {
    let mut driver = started(VERSION_1);
    let before = driver.read(VIRTIO_MMIO_CONFIG_GENERATION);
    driver.mmio.state().config_changed();
    assert_ne!(driver.read(VIRTIO_MMIO_CONFIG_GENERATION), before);
}

#[test]
fn a_reset_leaves_nothing_of_the_driver() {
    let echo = Arc::<Echo>::default();
    let mut driver = Driver::started(Arc::<Echo>::clone(&echo), VERSION_1, 8);
    assert_answers(&mut driver);
    let before = echo.resets.load(Ordering::SeqCst);
    driver.write(VIRTIO_MMIO_STATUS, 0);
    assert_eq!(echo.resets.load(Ordering::SeqCst), before + 1);
    assert_eq!([driver.status(), driver.read(VIRTIO_MMIO_INTERRUPT_STATUS)], [0, 0]);
    assert_eq!(driver.read(VIRTIO_MMIO_QUEUE_READY), 0, "SeaBIOS gives up a queue that is active");
    assert_eq!(driver.request(&[(0x1_0000, 4, 0)]), None);
    // Nor does the next driver inherit the choice of features.
    driver.write(VIRTIO_MMIO_STATUS, 8);
    assert_eq!(driver.status(), 0);
    driver.start(VERSION_1, 8);
    driver.mmio.reset();
    assert_eq!(driver.status(), 0);
}

/// A device that waits for the test in each request.
#[derive(Debug)]
struct Slow {
    begun: mpsc::SyncSender<()>,
    end: Mutex<mpsc::Receiver<()>>,
}

impl VirtioDevice for Slow {
    fn device_id(&self) -> u32 {
        4
    }

    fn features(&self) -> u64 {
        0
    }

    fn queue_sizes(&self) -> &[u16] {
        &[8]
    }

    fn read_config(&self, _: u64, _: &mut [u8]) {}

    fn write_config(&self, _: u64, _: &[u8]) {}

    fn negotiated(&self, _: u64) {}

    fn reset(&self) {}

    fn serve(&self, _: u16, _: &GuestMemoryMmap, _: &Chain) -> u32 {
        self.begun.send(()).unwrap();
        self.end.lock().unwrap().recv().unwrap();
        7
    }
}

#[test]
fn a_reset_waits_for_the_request_in_service_and_lets_no_other_begin() {
    let (begun, has_begun) = mpsc::sync_channel(8);
    let (may_end, end) = mpsc::sync_channel(8);
    let mut driver = Driver::started(Arc::new(Slow { begun, end: Mutex::new(end) }), VERSION_1, 8);
    driver.chain(&[(0x1_0000, 4, 0)]);
    driver.offer(0);
    driver.offer(0);
    let state = Arc::clone(driver.mmio.state());
    let serving = std::thread::spawn(move || state.serve(0));
    has_begun.recv().unwrap();
    std::thread::scope(|scope| {
        let status = Arc::clone(driver.mmio.state());
        let resetting = scope.spawn(|| driver.mmio.reset());
        while status.status() != 0 {
            std::thread::yield_now();
        }
        assert!(!resetting.is_finished());
        may_end.send(()).unwrap();
    });
    serving.join().unwrap();
    assert_eq!(driver.used_index(), 1, "the second request was not begun");
    assert!(has_begun.try_recv().is_err());
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
