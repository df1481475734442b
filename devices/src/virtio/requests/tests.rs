use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use vm_memory::GuestMemoryMmap;

use super::super::chain::Chain;
use super::super::device::VirtioDevice;
use super::super::testing::{Driver, VERSION_1};
use super::{Batch, COALESCING_TIME, QUICK_COALESCING_TIME};

/// A device that takes its time for each request.
#[derive(Debug)]
struct Paced(Duration);

impl VirtioDevice for Paced {
    fn device_id(&self) -> u32 {
        4
    }

    fn features(&self) -> u64 {
        0
    }

    fn queue_sizes(&self) -> &[u16] {
        &[64]
    }

    fn read_config(&self, _: u64, _: &mut [u8]) {}

    fn write_config(&self, _: u64, _: &[u8]) {}

    fn negotiated(&self, _: u64) {}

    fn reset(&self) {}

    fn serve(&self, _: u16, _: &GuestMemoryMmap, _: &Chain) -> Option<u32> {
        sleep(self.0);
        Some(0)
    }
}

/// How many interrupts there are for `count` requests that are made at once.
fn interrupts(pace: Duration, count: u16) -> usize {
    let mut driver: Driver = Driver::started(Arc::new(Paced(pace)), VERSION_1, 64);
    driver.chain(&[(0x1_0000, 4, 0)]);
    (0..count).for_each(|_| driver.offer(0));
    driver.kick();
    assert_eq!(driver.used_index(), count);
    driver.interrupts()
}

#[test]
fn quick_answers_share_an_interrupt() {
    let count = interrupts(Duration::ZERO, 64);
    // One, unless something else runs on this processor meanwhile.
    assert!((1..=32).contains(&count), "{count}");
}

#[test]
fn answers_are_due_when_a_quarter_of_the_requests_is_left() {
    let due = |answers, left| Batch { answers, ..Batch::begin() }.is_most(left);
    assert!(!due(23, 8));
    assert!(due(24, 8));
    assert!(!due(1, 1), "the driver has two, and gets both");
    assert!(due(1, 0));
    assert!(!due(u32::from(u16::MAX), u16::MAX));
}

#[test]
fn answers_wait_longer_where_requests_are_quick() {
    let late = |answers, waited| {
        let since = Instant::now().checked_sub(waited).expect("the machine has run for long");
        Batch { since, answers }.is_late()
    };
    assert!(late(1, COALESCING_TIME));
    assert!(!late(100, COALESCING_TIME));
    assert!(late(100, QUICK_COALESCING_TIME));
}

#[test]
fn a_slow_answer_does_not_wait_for_the_next_one() {
    assert_eq!(interrupts(COALESCING_TIME, 3), 3);
}
