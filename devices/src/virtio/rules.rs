//! The rules that every device keeps, whatever its driver does, on both transports. The driver of
//! these tests is a hostile one; each rule was a defect in some virtual machine monitor.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, mpsc};

use virtio_bindings::virtio_mmio::*;
use vm_memory::GuestMemoryMmap;

use super::chain::Chain;
use super::device::VirtioDevice;
use super::testing::{
    AVAILABLE, DESCRIPTORS, Driver, EVENT_IDX, Echo, INDIRECT, INDIRECT_DESC, Mmio, NEXT, Pci, RAM,
    TABLE, Transport, USED, VERSION_1, WRITE,
};

const NEEDS_RESET: u32 = 64;

/// A test of each function for each transport.
macro_rules! on_both_transports {
    ($($name:ident)*) => {
        mod mmio {
            $(#[test] fn $name() { super::$name::<super::Mmio>(); })*
        }

        mod pci {
            $(#[test] fn $name() { super::$name::<super::Pci>(); })*
        }
    };
}

on_both_transports! {
    features_are_offered_by_halves
    features_that_were_not_offered_keep_features_ok_clear
    a_driver_without_version_1_keeps_features_ok_clear
    features_stay_once_they_are_agreed_on
    status_steps_may_come_in_the_order_of_seabios
    a_queue_that_does_not_exist_reads_zero_and_takes_nothing
    each_queue_has_its_own_largest_size
    a_queue_that_cannot_be_is_not_enabled_and_needs_a_reset
    a_queue_in_service_does_not_change
    a_notification_before_driver_ok_has_no_effect
    a_notification_of_a_queue_that_is_not_ready_has_no_effect
    more_requests_than_the_ring_has_room_for_stop_the_device_alone
    a_request_that_does_not_exist_stops_the_device_alone
    a_chain_that_breaks_a_rule_is_given_back_unanswered
    buffers_outside_memory_are_given_back_unanswered
    buffers_may_be_the_rings_themselves
    a_chain_without_buffers_is_answered
    indirect_tables_need_to_be_negotiated
    a_full_ring_is_served_by_one_notification
    indices_wrap_around
    a_driver_that_polls_is_not_interrupted
    with_event_indices_the_driver_says_when_it_is_interrupted
    the_generation_changes_with_the_configuration
    a_reset_leaves_nothing_of_the_driver
    a_reset_waits_for_the_request_in_service_and_lets_no_other_begin
}

fn driver<T: Transport>() -> Driver<T> {
    Driver::new(Arc::<Echo>::default())
}

fn started<T: Transport>(features: u64) -> Driver<T> {
    Driver::started(Arc::<Echo>::default(), features, 8)
}

/// A request that is answered: four bytes there and back.
fn assert_answers<T: Transport>(driver: &mut Driver<T>) {
    driver.put(0x1_0000, b"ping");
    assert_eq!(driver.request(&[(0x1_0000, 4, 0), (0x1_0010, 8, WRITE)]), Some(4));
    assert_eq!(driver.get(0x1_0010), *b"ping");
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

    fn serve(&self, _: u16, _: &GuestMemoryMmap, _: &Chain) -> Option<u32> {
        self.begun.send(()).unwrap();
        self.end.lock().unwrap().recv().unwrap();
        Some(7)
    }
}

fn features_are_offered_by_halves<T: Transport>() {
    let mut driver = driver::<T>();
    let mut offered = |half| {
        driver.write(VIRTIO_MMIO_DEVICE_FEATURES_SEL, half);
        driver.read(VIRTIO_MMIO_DEVICE_FEATURES)
    };
    assert_eq!([0, 1, 2].map(&mut offered), [1 << 5 | 1 << 28 | 1 << 29, 1, 0]);
}

fn features_that_were_not_offered_keep_features_ok_clear<T: Transport>() {
    let mut driver = driver::<T>();
    driver.negotiate(VERSION_1 | 1 << 6);
    assert_eq!(driver.status(), 3);
    driver.negotiate(VERSION_1 | 1 << 5);
    assert_eq!(driver.status(), 11);
}

fn a_driver_without_version_1_keeps_features_ok_clear<T: Transport>() {
    let mut driver = driver::<T>();
    driver.negotiate(1 << 5);
    assert_eq!(driver.status(), 3);
    driver.set_up_queue(0, 8);
    driver.write(VIRTIO_MMIO_STATUS, 7);
    assert_eq!(driver.request(&[(0x1_0000, 4, 0)]), None);
}

fn features_stay_once_they_are_agreed_on<T: Transport>() {
    let echo = Arc::<Echo>::default();
    let mut driver = Driver::<T>::started(Arc::<Echo>::clone(&echo), VERSION_1, 8);
    driver.write(VIRTIO_MMIO_DRIVER_FEATURES_SEL, 0);
    driver.write(VIRTIO_MMIO_DRIVER_FEATURES, u32::MAX);
    driver.write(VIRTIO_MMIO_STATUS, 7);
    driver.write(VIRTIO_MMIO_STATUS, 15);
    assert_eq!(echo.features.load(Ordering::SeqCst), VERSION_1);
    assert_answers(&mut driver);
}

fn status_steps_may_come_in_the_order_of_seabios<T: Transport>() {
    // virtio_scsi_mmio_init writes FEATURES_OK alone, and then all but it.
    let mut driver = driver::<T>();
    driver.write(VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
    driver.write(VIRTIO_MMIO_DRIVER_FEATURES, 1);
    driver.write(VIRTIO_MMIO_STATUS, 8);
    assert_eq!(driver.status(), 8);
    driver.set_up_queue(0, 8);
    driver.write(VIRTIO_MMIO_STATUS, 7);
    assert_answers(&mut driver);
}

fn a_queue_that_does_not_exist_reads_zero_and_takes_nothing<T: Transport>() {
    let mut driver = started::<T>(VERSION_1);
    for queue in [2, 3, 0xffff] {
        driver.write(VIRTIO_MMIO_QUEUE_SEL, queue);
        assert_eq!(driver.read(VIRTIO_MMIO_QUEUE_NUM_MAX), 0);
        driver.place_queue(queue, 8, [DESCRIPTORS, AVAILABLE, USED]);
        assert_eq!(driver.read(VIRTIO_MMIO_QUEUE_READY), 0);
        driver.write(VIRTIO_MMIO_QUEUE_READY, 0);
        driver.write(VIRTIO_MMIO_QUEUE_NOTIFY, queue);
        driver.serve_notified();
    }
    assert_eq!(driver.status(), 15);
    assert_answers(&mut driver);
}

fn each_queue_has_its_own_largest_size<T: Transport>() {
    let mut driver = driver::<T>();
    let mut size = |queue| {
        driver.write(VIRTIO_MMIO_QUEUE_SEL, queue);
        driver.read(VIRTIO_MMIO_QUEUE_NUM_MAX)
    };
    assert_eq!([0, 1].map(&mut size), [8, 4]);
}

fn a_queue_that_cannot_be_is_not_enabled_and_needs_a_reset<T: Transport>() {
    let rings = [DESCRIPTORS, AVAILABLE, USED];
    let mut cases: Vec<(u32, [u64; 3])> = [0, 3, 5, 7, 16, 0x8000].map(|size| (size, rings)).into();
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
        let mut driver = driver::<T>();
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

fn a_queue_in_service_does_not_change<T: Transport>() {
    let mut driver = started::<T>(VERSION_1);
    assert_answers(&mut driver);
    driver.place_queue(0, 2, [RAM, RAM, RAM]);
    assert_eq!(driver.read(VIRTIO_MMIO_QUEUE_READY), 1);
    assert_answers(&mut driver);
    assert_eq!(driver.used_index(), 2, "it goes on where it was");
}

fn a_notification_before_driver_ok_has_no_effect<T: Transport>() {
    let mut driver = driver::<T>();
    driver.negotiate(VERSION_1);
    driver.set_up_queue(0, 8);
    assert_eq!(driver.request(&[(0x1_0000, 4, 0)]), None);
    driver.write(VIRTIO_MMIO_STATUS, 15);
    assert_eq!(driver.interrupts(), 0);
    driver.kick();
    assert_eq!(driver.used_index(), 1);
}

fn a_notification_of_a_queue_that_is_not_ready_has_no_effect<T: Transport>() {
    let mut driver = driver::<T>();
    driver.negotiate(VERSION_1);
    driver.write(VIRTIO_MMIO_STATUS, 15);
    driver.kick();
    driver.state().serve(1);
    assert_eq!((driver.status(), driver.interrupts()), (15, 0));
}

fn more_requests_than_the_ring_has_room_for_stop_the_device_alone<T: Transport>() {
    let mut driver = started::<T>(VERSION_1);
    driver.set_available(9);
    driver.kick();
    assert_eq!(driver.status(), 15 | NEEDS_RESET);
    assert_eq!(driver.take_interrupts(), VIRTIO_MMIO_INT_CONFIG);
    // It stays so, and says so once.
    driver.kick();
    driver.write(VIRTIO_MMIO_STATUS, 15);
    assert_eq!((driver.status(), driver.interrupts()), (15 | NEEDS_RESET, 1));
    driver.start(VERSION_1, 8);
    assert_answers(&mut driver);
}

fn a_request_that_does_not_exist_stops_the_device_alone<T: Transport>() {
    let mut driver = started::<T>(VERSION_1);
    driver.offer(8);
    driver.kick();
    assert_eq!(driver.status(), 15 | NEEDS_RESET);
    assert_eq!(driver.used_index(), 0);
}

fn a_chain_that_breaks_a_rule_is_given_back_unanswered<T: Transport>() {
    let mut driver = started::<T>(VERSION_1 | INDIRECT_DESC);
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

fn buffers_outside_memory_are_given_back_unanswered<T: Transport>() {
    let mut driver = started::<T>(VERSION_1);
    for at in [RAM, RAM - 2, 1 << 40, u64::MAX - 1] {
        assert_eq!(driver.request(&[(at, 4, 0), (0x1_0010, 4, WRITE)]), Some(0));
    }
    assert_answers(&mut driver);
}

/// The rings are guest memory like any other: a guest that has them overwritten breaks its own
/// device at most.
fn buffers_may_be_the_rings_themselves<T: Transport>() {
    for at in [DESCRIPTORS, AVAILABLE, USED] {
        let mut driver = started::<T>(VERSION_1);
        driver.put(0x1_0000, &[0xff; 64]);
        driver.request(&[(0x1_0000, 64, 0), (at, 64, WRITE)]);
        driver.kick();
        driver.start(VERSION_1, 8);
        assert_answers(&mut driver);
    }
}

/// Linux and QEMU take the used ring's entry for the whole of an answer.
fn a_chain_without_buffers_is_answered<T: Transport>() {
    let mut driver = started::<T>(VERSION_1);
    assert_eq!(driver.request(&[(0x1_0000, 0, 0), (0x1_0010, 0, WRITE)]), Some(0));
    assert_eq!(driver.request(&[(RAM, 0, 0)]), Some(0), "nowhere is it looked at");
    assert_answers(&mut driver);
    assert_eq!(driver.status(), 15);
}

fn indirect_tables_need_to_be_negotiated<T: Transport>() {
    let mut driver = started::<T>(VERSION_1 | INDIRECT_DESC);
    driver.put(0x1_0000, b"ping");
    driver.descriptor(TABLE, 0, (0x1_0000, 4, NEXT, 1));
    driver.descriptor(TABLE, 1, (0x1_0010, 4, WRITE, 0));
    assert_eq!(driver.request(&[(TABLE, 32, INDIRECT)]), Some(4));
    driver.start(VERSION_1, 8);
    assert_eq!(driver.request(&[(TABLE, 32, INDIRECT)]), Some(0));
}

fn a_full_ring_is_served_by_one_notification<T: Transport>() {
    let mut driver = started::<T>(VERSION_1);
    driver.chain(&[(0x1_0000, 4, 0)]);
    for round in 1..=20u16 {
        (0..8).for_each(|_| driver.offer(0));
        driver.kick();
        assert_eq!(driver.used_index(), round * 8);
    }
}

fn indices_wrap_around<T: Transport>() {
    let mut driver = started::<T>(VERSION_1);
    driver.chain(&[(0x1_0000, 4, 0)]);
    for _ in 0..=u16::MAX / 8 {
        (0..8).for_each(|_| driver.offer(0));
        driver.kick();
    }
    assert_eq!(driver.used_index(), 0);
    assert_answers(&mut driver);
}

fn a_driver_that_polls_is_not_interrupted<T: Transport>() {
    let mut driver = started::<T>(VERSION_1);
    driver.put(AVAILABLE, &[1]);
    assert_answers(&mut driver);
    assert_eq!(driver.interrupts(), 0);
    driver.put(AVAILABLE, &[0]);
    assert_answers(&mut driver);
    assert_eq!(driver.interrupts(), 1);
}

fn with_event_indices_the_driver_says_when_it_is_interrupted<T: Transport>() {
    let mut driver = started::<T>(VERSION_1 | EVENT_IDX);
    // used_event comes after the ring of eight: the third answer interrupts.
    driver.put(AVAILABLE + 4 + 16, &[2, 0]);
    assert_answers(&mut driver);
    assert_answers(&mut driver);
    assert_eq!(driver.interrupts(), 0);
    assert_answers(&mut driver);
    assert_answers(&mut driver);
    assert_eq!(driver.interrupts(), 1);
    // avail_event comes after the used ring: the device wants to hear of the next request.
    assert_eq!(driver.get(USED + 4 + 64), 4u16.to_le_bytes());
}

fn the_generation_changes_with_the_configuration<T: Transport>() {
    let mut driver = started::<T>(VERSION_1);
    let before = driver.read(VIRTIO_MMIO_CONFIG_GENERATION);
    driver.state().config_changed();
    assert_ne!(driver.read(VIRTIO_MMIO_CONFIG_GENERATION), before);
}

fn a_reset_leaves_nothing_of_the_driver<T: Transport>() {
    let echo = Arc::<Echo>::default();
    let mut driver = Driver::<T>::started(Arc::<Echo>::clone(&echo), VERSION_1, 8);
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
    driver.transport.reset_machine();
    assert_eq!(driver.status(), 0);
}

fn a_reset_waits_for_the_request_in_service_and_lets_no_other_begin<T: Transport>() {
    let (begun, has_begun) = mpsc::sync_channel(8);
    let (may_end, end) = mpsc::sync_channel(8);
    let mut driver =
        Driver::<T>::started(Arc::new(Slow { begun, end: Mutex::new(end) }), VERSION_1, 8);
    driver.chain(&[(0x1_0000, 4, 0)]);
    driver.offer(0);
    driver.offer(0);
    let state = Arc::clone(driver.state());
    let serving = std::thread::spawn(move || state.serve(0));
    has_begun.recv().unwrap();
    std::thread::scope(|scope| {
        let status = Arc::clone(driver.state());
        let resetting = scope.spawn(|| driver.transport.reset_machine());
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
