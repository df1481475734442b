use std::collections::VecDeque;

use vm_memory::{Bytes, GuestAddress};

use super::super::pci::{Connections, NOTIFICATIONS, VirtioPci};
use super::super::state::VirtioState;
use super::super::testing::{
    Driver, EVENT_IDX, INDIRECT, INDIRECT_DESC, NEXT, Notified, VERSION_1, WRITE, memory,
};
use super::*;
use crate::irq::{RecordingLine, RecordingSender};
use crate::pci::bar::MemoryBars;
use crate::pci::function::tests::write as write_config_space;

const MAC: [u8; 6] = [0x52, 0x54, 0, 0x12, 0x34, 0x56];
const CSUM: u64 = 1 << bindings::VIRTIO_NET_F_CSUM;
const GUEST_CSUM: u64 = 1 << bindings::VIRTIO_NET_F_GUEST_CSUM;
const GUEST_TSO4: u64 = 1 << bindings::VIRTIO_NET_F_GUEST_TSO4;
const HOST_TSO4: u64 = 1 << bindings::VIRTIO_NET_F_HOST_TSO4;
const MERGEABLE: u64 = 1 << bindings::VIRTIO_NET_F_MRG_RXBUF;
const SIZE: u16 = 8;
/// Where frames are put, and where they are received.
const OUT: u64 = 0x2_0000;
const IN: u64 = 0x4_0000;

/// A frame that was sent, and the work that was left.
type Sent = (Vec<u8>, Option<Offload>);

/// A wire that records what is sent, and has frames for the driver.
#[derive(Clone, Debug, Default)]
struct Wire {
    sent: Arc<Mutex<Vec<Sent>>>,
    incoming: Arc<Mutex<VecDeque<Frame>>>,
    /// Frames without end.
    floods: bool,
    offloads: Arc<Mutex<Offloads>>,
    recycled: Arc<Mutex<usize>>,
}

impl NetBackend for Wire {
    fn has_offloads(&self) -> bool {
        true
    }

    fn set_offloads(&self, offloads: Offloads) {
        *lock(&self.offloads) = offloads;
    }

    fn send(&self, frame: &[u8], offload: Option<&Offload>) {
        lock(&self.sent).push((frame.to_vec(), offload.copied()));
    }

    fn receive(&self) -> Option<Frame> {
        if self.floods { Some(frame(60)) } else { lock(&self.incoming).pop_front() }
    }

    fn recycle(&self, _: Frame) {
        *lock(&self.recycled) += 1;
    }
}

/// A frame with a pattern.
fn frame(length: usize) -> Frame {
    let bytes = (0..length).map(|at| u8::try_from(at % 251).unwrap()).collect();
    Frame { bytes, offload: None }
}

/// The driver's side of a queue: where its rings are, and how many requests it has made.
struct Ring {
    base: u64,
    available: u16,
}

impl Ring {
    /// Descriptor table, available ring and used ring of a queue.
    fn places(queue: u16) -> [u64; 3] {
        let base = 0x1000 + 0x1000 * u64::from(queue);
        [base, base + 0x400, base + 0x800]
    }
}

/// A card that a driver has set up.
struct Card {
    state: Arc<VirtioState>,
    memory: GuestMemoryMmap,
    rings: [Ring; 2],
    wire: Wire,
}

impl Card {
    fn new(features: u64) -> (Self, Driver) {
        let wire = Wire::default();
        Self::set_up(Arc::new(Net::new(Arc::new(wire.clone()), MAC, None)), wire, features)
    }

    fn set_up(net: Arc<Net>, wire: Wire, features: u64) -> (Self, Driver) {
        let mut driver: Driver = Driver::new(net);
        driver.negotiate(VERSION_1 | features);
        assert_eq!(driver.status() & 8, 8, "FEATURES_OK");
        for queue in [RECEIVE, TRANSMIT] {
            driver.place_queue(queue.into(), SIZE.into(), Ring::places(queue));
        }
        driver.write(virtio_bindings::virtio_mmio::VIRTIO_MMIO_STATUS, 15);
        let card = Self::of(Arc::clone(driver.state()), driver.memory.clone(), wire);
        (card, driver)
    }

    fn of(state: Arc<VirtioState>, memory: GuestMemoryMmap, wire: Wire) -> Self {
        let rings = [0, 1].map(|queue| Ring { base: Ring::places(queue)[0], available: 0 });
        Self { state, memory, rings, wire }
    }

    /// The same card behind a PCI function.
    fn on_pci(features: u64) -> (Self, Box<VirtioPci>, RecordingLine) {
        let (wire, pin, memory) = (Wire::default(), RecordingLine::default(), memory());
        let net = Arc::new(Net::new(Arc::new(wire.clone()), MAC, None));
        let connections = Connections {
            pin: Box::new(pin.clone()),
            messages: Box::new(RecordingSender::default()),
            notifier: Box::new(Notified::default()),
        };
        let mut pci = Box::new(VirtioPci::new(net, memory.clone(), connections));
        write_config_space(&mut *pci, 4, 6);
        let mut put = |offset: u64, width: usize, value: u64| {
            pci.write_bar(4, offset, &value.to_le_bytes()[..width]);
        };
        put(0x14, 1, 3);
        put(0x0c, 4, features & 0xffff_ffff);
        put(0x08, 4, 1);
        put(0x0c, 4, 1);
        put(0x14, 1, 11);
        for queue in [RECEIVE, TRANSMIT] {
            let [table, available, used] = Ring::places(queue);
            put(0x16, 2, queue.into());
            put(0x18, 2, SIZE.into());
            for (offset, at) in [(0x20, table), (0x28, available), (0x30, used)] {
                put(offset, 4, at);
                put(offset + 4, 4, 0);
            }
            put(0x1c, 2, 1);
        }
        put(0x14, 1, 15);
        put(NOTIFICATIONS, 2, 0);
        let card = Self::of(Arc::clone(pci.state()), memory, wire);
        (card, pci, pin)
    }

    /// Puts buffers (address, length, flags) into the table from descriptor `head` on, and makes
    /// them available.
    fn offer(&mut self, queue: u16, head: u16, buffers: &[(u64, u32, u16)]) {
        let ring = &mut self.rings[usize::from(queue)];
        for (index, &(at, len, flags)) in (head..).zip(buffers) {
            let more = usize::from(index - head) + 1 < buffers.len();
            let flags = flags | if more { NEXT } else { 0 };
            let bytes = [
                at.to_le_bytes().as_slice(),
                &len.to_le_bytes(),
                &flags.to_le_bytes(),
                &(index + 1).to_le_bytes(),
            ]
            .concat();
            let place = ring.base + 16 * u64::from(index);
            self.memory.write_slice(&bytes, GuestAddress(place)).unwrap();
        }
        let slot = ring.base + 0x404 + 2 * u64::from(ring.available % SIZE);
        self.memory.write_obj(head, GuestAddress(slot)).unwrap();
        ring.available = ring.available.wrapping_add(1);
        self.memory.write_obj(ring.available, GuestAddress(ring.base + 0x402)).unwrap();
    }

    /// Transmits a header and a frame in one buffer.
    fn transmit(&mut self, header: &[u8; HEADER_SIZE], frame: &[u8]) {
        self.memory.write_slice(&[header, frame].concat(), GuestAddress(OUT)).unwrap();
        let length = u32::try_from(HEADER_SIZE + frame.len()).unwrap();
        self.offer(TRANSMIT, 0, &[(OUT, length, 0)]);
        self.state.serve(TRANSMIT);
    }

    fn used_index(&self, queue: u16) -> u16 {
        self.memory.read_obj(GuestAddress(Ring::places(queue)[2] + 2)).unwrap()
    }

    /// Head and length of an entry of the used ring.
    fn used(&self, queue: u16, index: u16) -> (u32, u32) {
        let at = Ring::places(queue)[2] + 4 + 8 * u64::from(index % SIZE);
        let read = |at| self.memory.read_obj(GuestAddress(at)).unwrap();
        (read(at), read(at + 4))
    }

    /// Whether the driver need not notify a queue.
    fn is_quiet(&self, queue: u16) -> bool {
        self.memory.read_obj::<u16>(GuestAddress(Ring::places(queue)[2])).unwrap() == 1
    }

    fn bytes(&self, at: u64, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.memory.read_slice(&mut bytes, GuestAddress(at)).unwrap();
        bytes
    }

    fn arrives(&self, frame: Frame) {
        lock(&self.wire.incoming).push_back(frame);
        self.state.serve(RECEIVE);
    }
}

const COMPLETE: [u8; HEADER_SIZE] = [0; HEADER_SIZE];

/// A header that leaves the TCP checksum and, if `kind` is not 0, segmentation to the card.
fn header(kind: u8, size: u16, start: u16, offset: u16, length: u16) -> [u8; HEADER_SIZE] {
    let mut header = [0; HEADER_SIZE];
    header[..2].copy_from_slice(&[1, kind]);
    for (at, value) in [(2, length), (4, size), (6, start), (8, offset)] {
        header[at..at + 2].copy_from_slice(&value.to_le_bytes());
    }
    header
}

#[test]
fn frames_pass_in_both_directions_over_mmio() {
    let (mut card, driver) = Card::new(0);
    passes_frames(&mut card);
    assert_eq!(driver.interrupts(), 2);
}

#[test]
fn frames_pass_in_both_directions_over_pci() {
    let (mut card, _pci, pin) = Card::on_pci(0);
    passes_frames(&mut card);
    assert!(pin.is_high());
}

fn passes_frames(card: &mut Card) {
    card.transmit(&COMPLETE, &frame(60).bytes);
    assert_eq!(card.used_index(TRANSMIT), 1);
    assert_eq!(*lock(&card.wire.sent), [(frame(60).bytes, None)]);
    card.offer(RECEIVE, 0, &[(IN, 1526, WRITE)]);
    card.arrives(frame(1514));
    assert_eq!((card.used_index(RECEIVE), card.used(RECEIVE, 0)), (1, (0, 1526)));
    assert_eq!(card.bytes(IN, 12), [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0]);
    assert_eq!(card.bytes(IN + 12, 1514), frame(1514).bytes);
    assert_eq!(*lock(&card.wire.recycled), 1);
}

#[test]
fn a_header_may_be_split_over_buffers() {
    let (mut card, _driver) = Card::new(CSUM | HOST_TSO4);
    let header = header(1, 1448, 34, 16, 66);
    let bytes = [&header[..], &frame(4000).bytes].concat();
    card.memory.write_slice(&bytes, GuestAddress(OUT)).unwrap();
    card.offer(TRANSMIT, 0, &[(OUT, 5, 0), (OUT + 5, 10, 0), (OUT + 15, 3997, 0)]);
    card.state.serve(TRANSMIT);
    let segments = Some(Segments { version: TcpVersion::V4, size: 1448 });
    let offload = Offload { checksum_start: 34, checksum_offset: 16, header_length: 66, segments };
    assert_eq!(*lock(&card.wire.sent), [(frame(4000).bytes, Some(offload))]);
    assert_eq!(encode(Some(&offload), 0), header, "what is read is what is written");
}

#[test]
fn frames_that_break_a_rule_are_dropped_and_the_card_goes_on() {
    let (mut card, mut driver) = Card::new(CSUM | HOST_TSO4);
    let frame = frame(100).bytes;
    let invalid = [
        ("the checksum field ends after the frame", header(0, 0, 90, 9, 0)),
        ("an offset that overflows", header(0, 0, 65_535, 65_535, 0)),
        ("segments of nothing", header(1, 0, 34, 16, 54)),
        ("segments over IPv6, which were not negotiated", header(4, 1448, 34, 16, 54)),
        ("UDP fragments", header(3, 1448, 34, 6, 42)),
        ("headers longer than the frame", header(1, 1448, 34, 16, 101)),
        ("segments without a checksum", [0, 1, 54, 0, 168, 5, 34, 0, 16, 0, 0, 0]),
    ];
    for (_, header) in &invalid {
        card.transmit(header, &frame);
    }
    card.transmit(&COMPLETE, &frame[..13]);
    card.transmit(&header(0, 0, 90, 8, 0), &frame);
    let sent = std::mem::take(&mut *lock(&card.wire.sent));
    assert_eq!(sent.len(), 1, "{sent:?}");
    assert_eq!(card.used_index(TRANSMIT), 9);
    card.offer(TRANSMIT, 0, &[(OUT, 11, 0)]);
    card.offer(TRANSMIT, 1, &[(IN, 80, WRITE)]);
    card.offer(TRANSMIT, 2, &[(super::super::testing::RAM - 4, 80, 0)]);
    card.offer(TRANSMIT, 3, &[(OUT, 0x1_1000, 0)]);
    card.state.serve(TRANSMIT);
    assert!(lock(&card.wire.sent).is_empty());
    assert_eq!(card.used_index(TRANSMIT), 13);
    assert_eq!(driver.status(), 15, "no reset is needed");
}

#[test]
fn a_checksum_that_was_not_negotiated_is_not_taken() {
    let (mut card, _driver) = Card::new(0);
    card.transmit(&header(0, 0, 34, 16, 0), &frame(100).bytes);
    assert!(lock(&card.wire.sent).is_empty());
}

#[test]
fn receiving_starts_again_when_buffers_come_back() {
    let (mut card, driver) = Card::new(0);
    card.arrives(frame(60));
    card.arrives(frame(61));
    assert_eq!((card.used_index(RECEIVE), driver.interrupts()), (0, 0));
    assert!(!card.is_quiet(RECEIVE), "the driver must say when there is room");
    card.offer(RECEIVE, 0, &[(IN, 100, WRITE)]);
    card.state.serve(RECEIVE);
    assert_eq!(card.used(RECEIVE, 0), (0, 72));
    assert!(!card.is_quiet(RECEIVE));
    card.offer(RECEIVE, 1, &[(IN, 100, WRITE)]);
    card.offer(RECEIVE, 2, &[(IN + 100, 100, WRITE)]);
    card.state.serve(RECEIVE);
    assert_eq!((card.used_index(RECEIVE), card.used(RECEIVE, 1)), (2, (1, 73)));
    assert!(card.is_quiet(RECEIVE), "there is room and no frame");
    card.arrives(frame(62));
    assert_eq!((card.used_index(RECEIVE), card.used(RECEIVE, 2)), (3, (2, 74)));
}

#[test]
fn a_large_frame_fills_several_mergeable_buffers_at_once() {
    let (mut card, driver) = Card::new(MERGEABLE);
    card.offer(RECEIVE, 0, &[(IN, 500, WRITE)]);
    card.offer(RECEIVE, 1, &[(IN + 0x1000, 300, WRITE), (IN + 0x2000, 200, WRITE)]);
    card.arrives(frame(1400));
    assert_eq!((card.used_index(RECEIVE), driver.interrupts()), (0, 0), "not before it is whole");
    card.offer(RECEIVE, 3, &[(IN + 0x3000, 500, WRITE)]);
    card.offer(RECEIVE, 4, &[(IN + 0x4000, 500, WRITE)]);
    card.state.serve(RECEIVE);
    assert_eq!((card.used_index(RECEIVE), driver.interrupts()), (3, 1));
    let used: Vec<_> = (0..3).map(|index| card.used(RECEIVE, index)).collect();
    assert_eq!(used, [(0, 500), (1, 500), (3, 412)]);
    assert_eq!(card.bytes(IN, 12), [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0]);
    let pieces = [(IN + 12, 488), (IN + 0x1000, 300), (IN + 0x2000, 200), (IN + 0x3000, 412)];
    let received: Vec<_> = pieces.iter().flat_map(|(at, len)| card.bytes(*at, *len)).collect();
    assert_eq!(received, frame(1400).bytes);
    card.arrives(frame(60));
    assert_eq!(card.used(RECEIVE, 3), (4, 72));
}

#[test]
fn a_frame_that_no_buffer_can_take_is_dropped_and_the_buffer_is_not() {
    let (mut card, _driver) = Card::new(0);
    card.offer(RECEIVE, 0, &[(IN, 100, WRITE)]);
    card.arrives(frame(89));
    assert_eq!(card.used_index(RECEIVE), 0);
    card.arrives(frame(88));
    assert_eq!((card.used_index(RECEIVE), card.used(RECEIVE, 0)), (1, (0, 100)));
}

#[test]
fn a_frame_that_all_buffers_together_cannot_take_does_not_block_the_card() {
    let (mut card, _driver) = Card::new(MERGEABLE);
    for head in 0..SIZE {
        card.offer(RECEIVE, head, &[(IN + 0x100 * u64::from(head), 20, WRITE)]);
    }
    card.arrives(frame(1000));
    assert_eq!(card.used_index(RECEIVE), 0);
    card.arrives(frame(60));
    assert_eq!(card.used_index(RECEIVE), 4);
}

#[test]
fn a_request_made_twice_does_not_make_the_card_hold_more_than_there_is() {
    let (mut card, _driver) = Card::new(MERGEABLE);
    for _ in 0..100 {
        card.offer(RECEIVE, 0, &[(IN, 20, WRITE)]);
        card.arrives(frame(1000));
    }
    // What was too much has been given back empty.
    assert!(card.used_index(RECEIVE) > 0);
    card.arrives(frame(60));
}

#[test]
fn buffers_outside_of_memory_are_given_back_empty() {
    let (mut card, mut driver) = Card::new(0);
    card.offer(RECEIVE, 0, &[(super::super::testing::RAM - 4, 2000, WRITE)]);
    card.arrives(frame(60));
    assert_eq!((card.used_index(RECEIVE), card.used(RECEIVE, 0)), (1, (0, 0)));
    assert_eq!(driver.status(), 15);
}

#[test]
fn a_driver_receives_only_what_it_has_accepted() {
    let partial = |version: Option<TcpVersion>| Frame {
        offload: Some(Offload {
            checksum_start: 34,
            checksum_offset: 16,
            header_length: 54,
            segments: version.map(|version| Segments { version, size: 1448 }),
        }),
        ..frame(60)
    };
    let (v4, v6) = (partial(Some(TcpVersion::V4)), partial(Some(TcpVersion::V6)));
    for (features, expected) in [(0, 0), (GUEST_CSUM, 1), (GUEST_CSUM | GUEST_TSO4, 2)] {
        let (mut card, _driver) = Card::new(features);
        for head in 0..3 {
            card.offer(RECEIVE, head, &[(IN, 100, WRITE)]);
        }
        for frame in [partial(None), v4.clone(), v6.clone()] {
            card.arrives(frame);
        }
        assert_eq!(card.used_index(RECEIVE), expected, "{features:#x}");
        let has = |bit| features & bit != 0;
        let accepted = Offloads { checksum: has(GUEST_CSUM), tso4: has(GUEST_TSO4), tso6: false };
        assert_eq!(*lock(&card.wire.offloads), accepted);
    }
}

#[test]
fn a_reset_takes_frames_buffers_and_offloads_away() {
    let (mut card, mut driver) = Card::new(MERGEABLE | GUEST_CSUM);
    card.offer(RECEIVE, 0, &[(IN, 100, WRITE)]);
    card.arrives(frame(1000));
    driver.write(virtio_bindings::virtio_mmio::VIRTIO_MMIO_STATUS, 0);
    assert_eq!(*lock(&card.wire.offloads), Offloads::default());
    card.state.serve(RECEIVE);
    driver.negotiate(VERSION_1);
    card.memory.write_slice(&[0; 0x2000], GuestAddress(0x1000)).unwrap();
    driver.place_queue(0, SIZE.into(), Ring::places(0));
    driver.write(virtio_bindings::virtio_mmio::VIRTIO_MMIO_STATUS, 15);
    card.rings[0].available = 0;
    card.offer(RECEIVE, 0, &[(IN, 100, WRITE)]);
    card.state.serve(RECEIVE);
    assert_eq!(card.used_index(RECEIVE), 0, "the frame was for the driver before");
    card.arrives(frame(60));
    assert_eq!((card.used_index(RECEIVE), card.used(RECEIVE, 0)), (1, (0, 72)));
}

#[test]
fn a_flood_leaves_the_other_queue_its_turn() {
    let wire = Wire { floods: true, ..Wire::default() };
    let net = Arc::new(Net::new(Arc::new(wire.clone()), MAC, None));
    let (mut card, _driver) = Card::set_up(Arc::clone(&net), wire, 0);
    // Frames that this buffer cannot take are dropped, and there is no end of them.
    card.offer(RECEIVE, 0, &[(IN, 20, WRITE)]);
    card.state.serve(RECEIVE);
    assert!(net.is_behind());
    assert_eq!(*lock(&card.wire.recycled), BUDGET);
}

#[test]
fn the_driver_is_interrupted_when_it_wants_to_be() {
    let (mut card, driver) = Card::new(EVENT_IDX | INDIRECT_DESC);
    // It wants to hear of the third frame.
    card.memory.write_obj(2u16, GuestAddress(0x1000 + 0x404 + 2 * u64::from(SIZE))).unwrap();
    for (head, interrupts) in [(0, 0), (1, 0), (2, 1), (3, 1)] {
        card.offer(RECEIVE, head, &[(IN, 100, WRITE)]);
        card.arrives(frame(60));
        assert_eq!(driver.interrupts(), interrupts, "after frame {head}");
    }
    // An indirect table with two buffers.
    let table = GuestAddress(0x8000);
    let entry = |at: u64, flags: u16, next: u16| {
        [&at.to_le_bytes()[..], &50u32.to_le_bytes(), &flags.to_le_bytes(), &next.to_le_bytes()]
            .concat()
    };
    let entries = [entry(IN, WRITE | NEXT, 1), entry(IN + 50, WRITE, 0)].concat();
    card.memory.write_slice(&entries, table).unwrap();
    card.offer(RECEIVE, 4, &[(table.0, 32, INDIRECT)]);
    card.arrives(frame(80));
    assert_eq!(card.used(RECEIVE, 4), (4, 92));
    assert_eq!(card.bytes(IN + 12, 80), frame(80).bytes);
}

#[test]
fn the_configuration_has_address_link_and_mtu() {
    let net = Net::new(Arc::new(Wire::default()), MAC, Some(1420));
    let mut config = [0; 14];
    net.read_config(0, &mut config);
    assert_eq!(config, [0x52, 0x54, 0, 0x12, 0x34, 0x56, 1, 0, 1, 0, 0x8c, 5, 0xff, 0xff]);
    net.write_config(0, &[9; 12]);
    assert!(net.set_link(false) && !net.set_link(false));
    let mut config = [0; 8];
    net.read_config(0, &mut config);
    assert_eq!(config, [0x52, 0x54, 0, 0x12, 0x34, 0x56, 0, 0]);
    assert_eq!(net.features() & 1 << bindings::VIRTIO_NET_F_MTU, 1 << bindings::VIRTIO_NET_F_MTU);
}

/// Rings and buffers full of garbage: the card neither panics nor writes outside of its memory.
#[test]
fn garbage_in_the_rings_does_no_harm() {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for round in 0..200 {
        let features =
            random() & (CSUM | GUEST_CSUM | HOST_TSO4 | MERGEABLE | EVENT_IDX | INDIRECT_DESC);
        let (card, mut driver) = Card::new(features);
        for _ in 0..1 + round % 4 {
            for at in (0x1000..0x3000).step_by(8) {
                // Addresses and lengths that are often plausible.
                let value = random() & [0xfffff, 0xffff, u64::MAX, 0x0007_0000_ffff][at / 8 % 4];
                card.memory.write_obj(value, GuestAddress(at.try_into().unwrap())).unwrap();
            }
            for queue in 0..2u16 {
                let available = u16::try_from(random() % 9).unwrap();
                let at = Ring::places(queue)[1] + 2;
                card.memory.write_obj(available, GuestAddress(at)).unwrap();
                for slot in 0..u64::from(SIZE) {
                    let head = u16::try_from(random() % 8).unwrap();
                    card.memory.write_obj(head, GuestAddress(at + 2 + 2 * slot)).unwrap();
                }
            }
            lock(&card.wire.incoming).extend([frame(60), frame(9000), frame(MAX_FRAME)]);
            card.state.serve(TRANSMIT);
            card.state.serve(RECEIVE);
        }
        let _ = driver.status();
    }
}

#[test]
fn features_can_be_withheld_and_take_along_those_that_need_them() {
    let offered = |without: &[u64]| {
        let mask = without.iter().fold(0, |mask, bit| mask | bit);
        Net::new(Arc::new(Wire::default()), MAC, None).without(mask).features()
    };
    let all = offered(&[]);
    for bit in [CSUM, GUEST_CSUM, GUEST_TSO4, HOST_TSO4, MERGEABLE] {
        assert_ne!(all & bit, 0);
    }
    assert_eq!(offered(&[HOST_TSO4, MERGEABLE]), all & !HOST_TSO4 & !MERGEABLE);
    let host_tso6 = 1 << bindings::VIRTIO_NET_F_HOST_TSO6;
    assert_eq!(offered(&[CSUM]), all & !CSUM & !HOST_TSO4 & !host_tso6);
    let guest_tso6 = 1 << bindings::VIRTIO_NET_F_GUEST_TSO6;
    assert_eq!(offered(&[GUEST_CSUM]), all & !GUEST_CSUM & !GUEST_TSO4 & !guest_tso6);
}

#[test]
fn withholding_a_feature_and_one_that_needs_it_withholds_both() {
    let all = Net::new(Arc::new(Wire::default()), MAC, None);
    assert_eq!((all.device_id(), all.mac()), (1, MAC));
    let all = all.features();
    let pairs = [(CSUM, HOST_TSO4), (GUEST_CSUM, GUEST_TSO4)];
    for (checksum, segmentation) in pairs {
        let card = Net::new(Arc::new(Wire::default()), MAC, None);
        let offered = card.without(checksum | segmentation).features();
        assert_eq!(offered & (checksum | segmentation), 0);
        assert_eq!(offered & !all, 0, "nothing is added");
    }
}

/// Virtio 1.2, 5.1.6.2.1: VIRTIO_NET_HDR_GSO_TCPV4 is 1, VIRTIO_NET_HDR_GSO_TCPV6 is 4.
#[test]
fn segments_are_taken_only_of_the_versions_that_were_negotiated() {
    const HOST_TSO6: u64 = 1 << bindings::VIRTIO_NET_F_HOST_TSO6;
    for (kind, feature) in [(1, HOST_TSO4), (4, HOST_TSO6)] {
        for features in [0, HOST_TSO4, HOST_TSO6, HOST_TSO4 | HOST_TSO6] {
            let decoded = decode(&header(kind, 1000, 14, 16, 54), 2000, CSUM | features);
            let is_taken = decoded.is_some_and(|offload| offload.is_some());
            assert_eq!(is_taken, features & feature != 0, "{kind} {features:#x}");
        }
    }
}

#[test]
fn frames_are_counted_with_their_bytes_and_those_that_are_dropped() {
    let wire = Wire::default();
    let net = Arc::new(Net::new(Arc::new(wire.clone()), MAC, None));
    let (mut card, _driver) = Card::set_up(Arc::clone(&net), wire, 0);
    card.transmit(&COMPLETE, &frame(60).bytes);
    card.transmit(&COMPLETE, &frame(13).bytes);
    card.transmit(&header(0, 0, 34, 16, 0), &frame(100).bytes);
    card.offer(RECEIVE, 0, &[(IN, 100, WRITE)]);
    card.arrives(frame(89));
    card.arrives(frame(88));
    card.offer(RECEIVE, 1, &[(super::super::testing::RAM - 4, 2000, WRITE)]);
    card.arrives(frame(60));
    card.arrives(frame(13));
    card.arrives(frame(61));
    let expected = Counts {
        received: Count { done: 1, bytes: 88, failed: 3 },
        transmitted: Count { done: 1, bytes: 60, failed: 2 },
    };
    assert_eq!(net.counts(), expected, "the last one waits");
    card.offer(RECEIVE, 2, &[(IN, 100, WRITE)]);
    card.state.serve(RECEIVE);
    assert_eq!(net.counts().received, Count { done: 2, bytes: 88 + 61, failed: 3 });
}
