use std::sync::Arc;

use virtio_bindings::virtio_mmio as register;

use vm_memory::{Bytes, GuestAddress};

use super::super::testing::{AVAILABLE, Driver, EVENT_IDX, USED, VERSION_1, WRITE};
use super::*;

const FEATURES: u64 = VERSION_1 | F_MULTIPORT;
const BUFFER: u64 = 0x1_0000;

/// Takes as many bytes as it has room for, and notes them.
#[derive(Clone, Debug, Default)]
struct Outside(Arc<Mutex<Seen>>);

#[derive(Debug, Default)]
struct Seen {
    bytes: Vec<u8>,
    room: usize,
    asked: usize,
}

impl PortBackend for Outside {
    fn write(&self, bytes: &[u8]) -> usize {
        let mut seen = lock(&self.0);
        let count = bytes.len().min(seen.room);
        seen.room -= count;
        seen.bytes.extend(&bytes[..count]);
        count
    }

    fn has_room(&self) {
        lock(&self.0).asked += 1;
    }
}

impl Outside {
    fn with_room(room: usize) -> Self {
        let outside = Self::default();
        lock(&outside.0).room = room;
        outside
    }

    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut lock(&self.0).bytes)
    }
}

fn port(number: u32, is_console: bool, name: &str, outside: &Outside) -> PortConfig {
    PortConfig { number, is_console, name: name.into(), backend: Box::new(outside.clone()) }
}

/// A console as port 0 and a port for programs as port 2.
fn console(outside: &[Outside; 2]) -> Arc<Console> {
    let ports = vec![port(0, true, "", &outside[0]), port(2, false, "org.example", &outside[1])];
    Arc::new(Console::new(4, ports))
}

/// Has the driver use another queue, in the memory of the one before.
fn use_queue(driver: &mut Driver, queue: u16) {
    driver.write(register::VIRTIO_MMIO_QUEUE_SEL, queue.into());
    driver.write(register::VIRTIO_MMIO_QUEUE_READY, 0);
    driver.set_up_queue(queue.into(), 8);
}

fn tell(driver: &mut Driver, number: u32, event: u16, value: u16) {
    let mut message = number.to_le_bytes().to_vec();
    message.extend(event.to_le_bytes());
    message.extend(value.to_le_bytes());
    driver.put(BUFFER, &message);
    assert_eq!(driver.request(&[(BUFFER, 8, 0)]), Some(0));
}

/// The control messages that are due: port, event, value, and what follows.
fn told(driver: &mut Driver) -> Vec<(u32, u16, u16, Vec<u8>)> {
    use_queue(driver, CONTROL_RECEIVE);
    let mut all = Vec::new();
    while let Some(len) = driver.request(&[(BUFFER, 64, WRITE)]) {
        let bytes = driver.get::<64>(BUFFER);
        let half = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
        let number = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        all.push((number, half(4), half(6), bytes[8..len as usize].to_vec()));
    }
    all
}

/// A driver that knows both ports and has them open.
fn open_driver(console: &Arc<Console>) -> Driver {
    let mut driver: Driver = Driver::started(Arc::<Console>::clone(console), FEATURES, 8);
    use_queue(&mut driver, CONTROL_TRANSMIT);
    for (number, event) in [(0, 0), (0, 3), (2, 3), (0, 6), (2, 6)] {
        tell(&mut driver, number, event, 1);
    }
    told(&mut driver);
    driver
}

#[test]
fn the_driver_hears_of_ports_names_sizes_and_who_is_there() {
    let console = console(&Default::default());
    console.set_size(0, 80, 25);
    let mut driver: Driver = Driver::started(Arc::<Console>::clone(&console), FEATURES | F_SIZE, 8);
    assert_eq!(told(&mut driver), [], "it has not asked");
    use_queue(&mut driver, CONTROL_TRANSMIT);
    for _ in 0..100 {
        tell(&mut driver, u32::MAX, 0, 1);
    }
    assert_eq!(told(&mut driver), [(0, 1, 1, vec![]), (2, 1, 1, vec![])], "however often");
    console.set_connected(2, true);
    assert_eq!(told(&mut driver), [], "it does not know the port yet");
    use_queue(&mut driver, CONTROL_TRANSMIT);
    tell(&mut driver, 0, 3, 1);
    tell(&mut driver, 2, 3, 1);
    tell(&mut driver, 1, 3, 1);
    tell(&mut driver, 0, 3, 0);
    let expected = [
        (0, 4, 1, vec![]),
        (0, 5, 1, vec![25, 0, 80, 0]),
        (0, 6, 1, vec![]),
        (2, 7, 1, b"org.example".to_vec()),
        (2, 6, 1, vec![]),
    ];
    assert_eq!(told(&mut driver), expected);
    console.set_size(0, 100, 25);
    console.set_size(0, 132, 50);
    console.set_size(2, 1, 1);
    console.set_connected(0, false);
    console.set_connected(2, false);
    let expected = [(0, 5, 1, vec![50, 0, 132, 0]), (2, 6, 0, vec![])];
    assert_eq!(told(&mut driver), expected, "the last size, and only a port is closed");
}

#[test]
fn an_invalid_control_message_is_dropped() {
    let console = console(&Default::default());
    let mut driver: Driver = Driver::started(Arc::<Console>::clone(&console), FEATURES, 8);
    use_queue(&mut driver, CONTROL_TRANSMIT);
    driver.put(BUFFER, &[0, 0, 0, 0, 0, 0, 1, 0]);
    assert_eq!(driver.request(&[(BUFFER, 7, 0)]), Some(0), "too short");
    assert_eq!(driver.request(&[(u64::MAX - 4, 8, 0)]), Some(0), "not in memory");
    assert_eq!(driver.request(&[(BUFFER, 8, WRITE)]), Some(0), "not readable");
    tell(&mut driver, 0, 0xffff, 1);
    assert_eq!(told(&mut driver), []);
}

#[test]
fn input_waits_for_an_open_port_and_for_buffers_and_is_bounded() {
    let outside = [Outside::default(), Outside::default()];
    let console = console(&outside);
    assert_eq!(console.enqueue(2, b"early"), 0, "there is no driver");
    let mut driver = open_driver(&console);
    assert_eq!(lock(&outside[1].0).asked, 1, "it is wanted now");
    assert_eq!(console.enqueue(2, &[7; 3 * INPUT]), INPUT);
    assert_eq!(console.enqueue(2, b"more"), 0);
    assert_eq!(console.enqueue(1, b"nowhere"), 7, "there is no such port");
    let [receive, _] = queues_of(2);
    use_queue(&mut driver, receive);
    driver.state().serve(receive);
    assert_eq!(lock(&outside[1].0).asked, 1, "no buffers");
    assert_eq!(driver.request(&[(BUFFER, 1000, WRITE)]), Some(1000));
    assert_eq!(driver.get::<1001>(BUFFER)[999..], [7, 0]);
    assert_eq!(lock(&outside[1].0).asked, 2);
    assert_eq!(console.enqueue(2, &[8; 3 * INPUT]), 1000);
    assert_eq!(driver.request(&[(u64::MAX - 8, 4, WRITE)]), Some(0), "not in memory");
    assert_eq!(driver.request(&[(BUFFER, 4, 0)]), Some(0), "nothing to write to");
    assert_eq!(driver.request(&[(BUFFER, 0x8000, WRITE)]), Some(4096));
    assert_eq!(driver.request(&[(BUFFER, 8, WRITE)]), None, "it is held for the next input");
    assert_eq!(console.enqueue(2, b"last"), 4);
    driver.state().serve(receive);
    assert_eq!(driver.get::<4>(BUFFER), *b"last");
}

#[test]
fn output_waits_where_there_is_no_room() {
    let outside = [Outside::default(), Outside::with_room(5)];
    let console = console(&outside);
    let mut driver = open_driver(&console);
    let [_, transmit] = queues_of(2);
    use_queue(&mut driver, transmit);
    driver.put(BUFFER, b"0123456789");
    assert_eq!(driver.request(&[(BUFFER, 10, 0)]), Some(0), "nobody is there: dropped");
    assert_eq!(outside[1].take(), b"");
    console.set_connected(2, true);
    assert_eq!(driver.request(&[(BUFFER, 4, 0), (BUFFER + 4, 6, 0)]), None);
    assert!(driver.state().serve(transmit), "it is held");
    assert_eq!(outside[1].take(), b"01234");
    lock(&outside[1].0).room = usize::MAX;
    assert!(!driver.state().serve(transmit));
    assert_eq!(outside[1].take(), b"56789", "each byte once");
    // The largest request there can be for its piece of memory takes turns.
    let chain = [(BUFFER, 0x4_0000, 0)];
    assert_eq!(driver.request(&chain), None);
    let mut turns = 1;
    while console.is_behind(2) {
        driver.state().serve(transmit);
        turns += 1;
    }
    assert_eq!((outside[1].take().len(), turns), (0x4_0000, 4));
    assert_eq!(driver.request(&[(u64::MAX - 8, 4, 0)]), Some(0), "not in memory");
    assert_eq!(driver.request(&[(BUFFER, 4, WRITE)]), Some(0), "nothing to read");
}

#[test]
fn the_next_peer_is_announced_and_gets_no_part_of_a_message() {
    let outside = [Outside::default(), Outside::with_room(5)];
    let console = console(&outside);
    let mut driver = open_driver(&console);
    let [_, transmit] = queues_of(2);
    console.set_connected(2, true);
    assert_eq!(told(&mut driver), [(2, 6, 1, vec![])]);
    use_queue(&mut driver, transmit);
    driver.put(BUFFER, b"0123456789");
    assert_eq!(driver.request(&[(BUFFER, 10, 0)]), None);
    assert_eq!(outside[1].take(), b"01234");
    for _ in 0..2 {
        console.set_connected(2, false);
        console.set_connected(2, true);
    }
    lock(&outside[1].0).room = usize::MAX;
    assert!(!driver.state().serve(transmit), "it is answered");
    assert_eq!(outside[1].take(), b"");
    assert_eq!(driver.request(&[(BUFFER, 10, 0)]), Some(0));
    assert_eq!(outside[1].take(), b"0123456789");
    assert_eq!(told(&mut driver), [(2, 6, 0, vec![]), (2, 6, 1, vec![])]);
    // A whole message is for whoever is there.
    console.set_connected(2, false);
    console.set_connected(2, true);
    use_queue(&mut driver, transmit);
    driver.put(BUFFER, b"0123456789");
    assert_eq!(driver.request(&[(BUFFER, 10, 0)]), Some(0));
    assert_eq!(outside[1].take(), b"0123456789");
    console.set_connected(2, false);
    console.set_connected(2, true);
    console.set_connected(2, false);
    assert_eq!(told(&mut driver), [(2, 6, 0, vec![])], "nobody is there in the end");
}

#[test]
fn a_reset_forgets_what_was_half_done() {
    let outside = [Outside::default(), Outside::with_room(5)];
    let console = console(&outside);
    let mut driver = open_driver(&console);
    console.set_connected(2, true);
    assert_eq!(console.enqueue(2, b"typed"), 5);
    let [receive, transmit] = queues_of(2);
    use_queue(&mut driver, transmit);
    driver.put(BUFFER, b"0123456789");
    assert_eq!(driver.request(&[(BUFFER, 10, 0)]), None);
    let mut driver = open_driver(&console);
    lock(&outside[1].0).room = usize::MAX;
    use_queue(&mut driver, transmit);
    driver.put(BUFFER, b"0123456789");
    assert_eq!(driver.request(&[(BUFFER, 10, 0)]), Some(0));
    assert_eq!(outside[1].take(), b"012340123456789");
    use_queue(&mut driver, receive);
    assert_eq!(driver.request(&[(BUFFER, 8, WRITE)]), None, "the input is gone");
    use_queue(&mut driver, CONTROL_TRANSMIT);
    tell(&mut driver, 2, 3, 1);
    assert_eq!(told(&mut driver).last(), Some(&(2, 6, 1, vec![])), "the peer is still there");
}

#[test]
fn a_driver_of_one_port_needs_no_control_messages() {
    let outside = [Outside::with_room(9), Outside::default()];
    let console = console(&outside);
    assert_eq!(console.enqueue(0, b"early"), 0, "there is no driver");
    let mut driver: Driver = Driver::started(Arc::<Console>::clone(&console), VERSION_1, 8);
    assert_eq!(lock(&outside[0].0).asked, 1, "it is wanted now");
    assert_eq!(console.enqueue(0, b"typed"), 5);
    assert_eq!(console.enqueue(2, b"typed"), 0);
    assert_eq!(driver.request(&[(BUFFER, 8, WRITE)]), Some(5));
    use_queue(&mut driver, 1);
    driver.put(BUFFER, b"printed");
    assert_eq!(driver.request(&[(BUFFER, 7, 0)]), Some(0));
    console.write_config(EMERG_WRITE, &[b'!', 0, 0, 0]);
    console.write_config(EMERG_WRITE, &[]);
    console.write_config(0, b"x");
    assert_eq!(outside[0].take(), b"printed!");
}

#[test]
fn the_configuration_has_size_and_number_of_ports() {
    let console = console(&Default::default());
    assert_eq!(console.features() & F_SIZE, 0);
    console.set_size(0, 80, 25);
    assert_eq!(console.features() & F_SIZE, F_SIZE);
    let mut config = [0; 13];
    console.read_config(0, &mut config);
    assert_eq!(config, [80, 0, 25, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0xff]);
    assert_eq!(console.queue_sizes(), [128, 128, 32, 32, 128, 128, 128, 128, 128, 128]);
    assert_eq!([0, 1, 2].map(queues_of), [[0, 1], [4, 5], [6, 7]]);
}

/// `VIRTIO_CONSOLE_F_SIZE` (virtio 1.2, 5.3.3): a driver without it knows no sizes.
#[test]
fn a_driver_that_takes_no_sizes_is_told_none() {
    let console = console(&Default::default());
    console.set_size(0, 80, 25);
    let mut driver: Driver = Driver::started(Arc::<Console>::clone(&console), FEATURES, 8);
    use_queue(&mut driver, CONTROL_TRANSMIT);
    tell(&mut driver, 0, 3, 1);
    let events: Vec<_> = told(&mut driver).into_iter().map(|(_, event, ..)| event).collect();
    assert!(!events.is_empty() && !events.contains(&5), "{events:?}");
}

/// Virtio 1.2, 5.3.6.2: a value of 0 says that the driver, or the port, is not ready.
#[test]
fn a_driver_that_is_not_ready_is_told_nothing() {
    let console = console(&Default::default());
    let mut driver: Driver = Driver::started(Arc::<Console>::clone(&console), FEATURES, 8);
    use_queue(&mut driver, CONTROL_TRANSMIT);
    tell(&mut driver, u32::MAX, 0, 0);
    tell(&mut driver, 0, 3, 0);
    tell(&mut driver, 2, 3, 0);
    assert_eq!(told(&mut driver), []);
}

#[test]
fn a_console_of_four_ports_has_ten_queues() {
    let console = console(&Default::default());
    let driver: Driver = Driver::started(Arc::<Console>::clone(&console), FEATURES, 8);
    assert_eq!((console.device_id(), driver.state().queue_count()), (3, 10));
}

/// A console whose driver makes a request available right after the device has looked for one, and
/// does not notify it: the device has said that this is not necessary while it looks.
#[derive(Debug)]
struct LateDriver {
    console: Arc<Console>,
    is_late: AtomicBool,
}

impl VirtioDevice for LateDriver {
    fn device_id(&self) -> u32 {
        self.console.device_id()
    }

    fn features(&self) -> u64 {
        self.console.features()
    }

    fn queue_sizes(&self) -> &[u16] {
        self.console.queue_sizes()
    }

    fn read_config(&self, offset: u64, data: &mut [u8]) {
        self.console.read_config(offset, data);
    }

    fn write_config(&self, offset: u64, data: &[u8]) {
        self.console.write_config(offset, data);
    }

    fn negotiated(&self, features: u64) {
        self.console.negotiated(features);
    }

    fn reset(&self) {
        self.console.reset();
    }

    fn serve(&self, queue: u16, memory: &GuestMemoryMmap, chain: &Chain) -> Option<u32> {
        self.console.serve(queue, memory, chain)
    }

    fn serve_queue(
        &self,
        queue: u16,
        memory: &GuestMemoryMmap,
        requests: &mut Requests<'_>,
    ) -> bool {
        let wants_more = self.console.serve_queue(queue, memory, requests);
        if !self.is_late.swap(true, Ordering::SeqCst) {
            memory.write_obj(1u16, GuestAddress(AVAILABLE + 2)).unwrap();
        }
        wants_more
    }
}

#[test]
fn a_buffer_that_comes_while_the_device_looks_gets_the_input() {
    for features in [0, EVENT_IDX] {
        let console = console(&Default::default());
        let is_late = AtomicBool::new(false);
        let device = Arc::new(LateDriver { console: Arc::clone(&console), is_late });
        let mut driver: Driver = Driver::started(device, VERSION_1 | features, 8);
        assert_eq!(console.enqueue(0, b"typed"), 5);
        driver.chain(&[(BUFFER, 8, WRITE)]);
        driver.state().serve(0);
        assert_eq!((driver.used_index(), driver.get::<5>(BUFFER)), (1, *b"typed"), "{features}");
        // Where there is input and no buffer, an old driver is told to notify.
        assert_eq!(console.enqueue(0, b"more"), 4);
        driver.state().serve(0);
        assert_eq!(driver.get::<2>(USED), [0; 2], "{features}");
        driver.set_available(2);
        driver.kick();
        assert_eq!((driver.used_index(), driver.get::<4>(BUFFER)), (2, *b"more"), "{features}");
    }
}

#[test]
fn output_that_comes_while_the_device_looks_is_passed_on() {
    let outside = [Outside::with_room(100), Outside::default()];
    let console = console(&outside);
    for features in [0, EVENT_IDX] {
        let is_late = AtomicBool::new(true);
        let device = Arc::new(LateDriver { console: Arc::clone(&console), is_late });
        let mut driver: Driver =
            Driver::started(Arc::<LateDriver>::clone(&device), VERSION_1 | features, 8);
        use_queue(&mut driver, 1);
        driver.put(BUFFER, b"printed");
        driver.chain(&[(BUFFER, 7, 0)]);
        device.is_late.store(false, Ordering::SeqCst);
        driver.state().serve(1);
        assert_eq!((driver.used_index(), outside[0].take()), (1, b"printed".to_vec()));
    }
}
