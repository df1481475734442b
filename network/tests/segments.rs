//! TCP's rules by single segments, with the clock in the test's hands.

#![expect(clippy::unwrap_used, reason = "this is how a test fails")]

mod peer;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use network::{Checksum, Frame, Offloads};
use peer::{MAC, Raw, config};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    EthernetAddress, EthernetFrame, EthernetProtocol, EthernetRepr, IpProtocol, Ipv4Address,
    Ipv4Packet, Ipv4Repr, TcpControl, TcpPacket, TcpRepr, TcpSeqNumber,
};

const GATEWAY: EthernetAddress = EthernetAddress([0x52, 0x55, 10, 0, 2, 2]);
const GUEST: Ipv4Address = Ipv4Address::new(10, 0, 2, 15);
const HOST: Ipv4Address = Ipv4Address::new(10, 0, 2, 2);

/// What came to the guest.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Got {
    control: TcpControl,
    seq: u32,
    ack: Option<u32>,
    window: u16,
    payload: Vec<u8>,
}

/// A guest's end of one connection, whose segments the test makes one by one.
struct Guest {
    raw: Raw,
    port: u16,
    seq: u32,
    ack: u32,
    window: u16,
    stream: TcpStream,
}

fn unsigned(seq: TcpSeqNumber) -> u32 {
    seq.0.cast_unsigned()
}

fn got(frame: &Frame) -> Got {
    let ethernet = EthernetFrame::new_checked(&frame.bytes[..]).unwrap();
    let packet = Ipv4Packet::new_checked(ethernet.payload()).unwrap();
    assert!(packet.verify_checksum());
    let segment = TcpPacket::new_checked(packet.payload()).unwrap();
    let checksums =
        if frame.offload.is_some() { ChecksumCapabilities::ignored() } else { Default::default() };
    let repr = TcpRepr::parse(&segment, &HOST.into(), &GUEST.into(), &checksums).unwrap();
    Got {
        control: repr.control,
        seq: unsigned(repr.seq_number),
        ack: repr.ack_number.map(unsigned),
        window: repr.window_len,
        payload: repr.payload.to_vec(),
    }
}

impl Guest {
    /// A segment of the guest in a frame.
    fn frame(&self, control: TcpControl, seq: u32, ack: Option<u32>, payload: &[u8]) -> Vec<u8> {
        let syn = control == TcpControl::Syn;
        let repr = TcpRepr {
            src_port: 5000,
            dst_port: self.port,
            control,
            seq_number: TcpSeqNumber(seq.cast_signed()),
            ack_number: ack.map(|ack| TcpSeqNumber(ack.cast_signed())),
            window_len: self.window,
            window_scale: syn.then_some(4),
            max_seg_size: syn.then_some(1460),
            sack_permitted: syn,
            sack_ranges: [None; 3],
            timestamp: None,
            payload,
        };
        let checksums = ChecksumCapabilities::default();
        let packet = Ipv4Repr {
            src_addr: GUEST,
            dst_addr: HOST,
            next_header: IpProtocol::Tcp,
            payload_len: repr.buffer_len(),
            hop_limit: 64,
        };
        let mut bytes = vec![0; 14 + packet.buffer_len() + repr.buffer_len()];
        let mut frame = EthernetFrame::new_unchecked(&mut bytes);
        EthernetRepr { src_addr: MAC, dst_addr: GATEWAY, ethertype: EthernetProtocol::Ipv4 }
            .emit(&mut frame);
        let mut ipv4 = Ipv4Packet::new_unchecked(frame.payload_mut());
        packet.emit(&mut ipv4, &checksums);
        let mut tcp = TcpPacket::new_unchecked(ipv4.payload_mut());
        repr.emit(&mut tcp, &GUEST.into(), &HOST.into(), &checksums);
        bytes
    }

    fn send_at(&mut self, control: TcpControl, seq: u32, ack: u32, payload: &[u8]) -> Vec<Got> {
        let frame = self.frame(control, seq, Some(ack), payload);
        self.raw.send(&frame).iter().map(got).collect()
    }

    /// Sends the next segment.
    fn send(&mut self, payload: &[u8]) -> Vec<Got> {
        let seq = self.seq;
        self.seq = seq.wrapping_add(u32::try_from(payload.len()).unwrap());
        self.send_at(TcpControl::None, seq, self.ack, payload)
    }

    fn wait(&mut self) -> Vec<Got> {
        self.raw.wait().iter().map(got).collect()
    }

    /// Lets time pass.
    fn after(&mut self, time: Duration) -> Vec<Got> {
        self.raw.now += time;
        self.raw.poll().iter().map(got).collect()
    }

    fn server_sends(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// An established connection. `window`: what the guest announces, in units of 16 bytes.
    fn connected(offloads: Offloads, window: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let raw = Raw::with_offloads(&config(), offloads);
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        drop(listener.accept().unwrap());
        let mut guest = Self { raw, port, seq: u32::MAX - 5, ack: 0, window, stream };
        let syn = guest.frame(TcpControl::Syn, guest.seq, None, &[]);
        let mut frames = guest.raw.send(&syn);
        if frames.is_empty() {
            frames = guest.raw.wait();
        }
        let answer = got(&frames[0]);
        assert_eq!(answer.control, TcpControl::Syn);
        guest.seq = guest.seq.wrapping_add(1);
        assert_eq!(answer.ack, Some(guest.seq));
        // The SYN again: the answer again.
        let again: Vec<Got> = guest.raw.send(&syn).iter().map(got).collect();
        assert_eq!(again, std::slice::from_ref(&answer));
        guest.ack = answer.seq.wrapping_add(1);
        assert!(guest.send(&[]).is_empty());
        guest.stream = listener.accept().unwrap().0;
        guest.stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        guest
    }

    fn server_reads(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.stream.read_exact(&mut bytes).unwrap();
        bytes
    }
}

const OFF: Offloads = Offloads { checksum: false, tso4: false, tso6: false };

fn add(seq: u32, count: usize) -> u32 {
    seq.wrapping_add(u32::try_from(count).unwrap())
}

#[test]
fn segments_out_of_order_are_kept_and_acknowledged_when_whole() {
    let mut guest = Guest::connected(OFF, 4096);
    let (seq, ack) = (guest.seq, guest.ack);
    // Around the wrap of sequence numbers.
    let late = guest.send_at(TcpControl::None, add(seq, 10), ack, b"klmno");
    assert_eq!(late[0].ack, Some(seq), "a duplicate acknowledgement");
    guest.send_at(TcpControl::None, add(seq, 5), ack, b"fghijk");
    let whole = guest.send_at(TcpControl::None, seq, ack, b"abcdefg");
    assert_eq!(whole[0].ack, Some(add(seq, 15)));
    assert_eq!(guest.server_reads(15), b"abcdefghijklmno");
    // All of it once more.
    let old = guest.send_at(TcpControl::None, seq, ack, b"abcdefg");
    assert_eq!(old[0].ack, Some(add(seq, 15)));
    assert!(guest.stream.set_nonblocking(true).is_ok());
    assert!(guest.stream.read(&mut [0; 1]).is_err(), "nothing arrives twice");
}

#[test]
fn what_the_guest_does_not_acknowledge_is_sent_again_and_at_last_given_up() {
    let mut guest = Guest::connected(OFF, 4096);
    guest.server_sends(b"hello");
    let first = guest.wait();
    assert_eq!(first[0].payload, b"hello");
    let mut times = 0;
    let mut reset = false;
    for _ in 0..2000 {
        for segment in guest.after(Duration::from_millis(250)) {
            if segment.control == TcpControl::Rst {
                reset = true;
                continue;
            }
            assert_eq!(segment, first[0]);
            times += 1;
        }
        if guest.raw.network.counters().tcp_flows == 0 {
            break;
        }
    }
    assert!((8..=12).contains(&times), "sent again {times} times");
    assert!(reset, "the guest hears of it, should it still live");
    let error = guest.stream.read(&mut [0; 1]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

#[test]
fn three_duplicate_acknowledgements_repeat_the_first_segment_at_once() {
    let mut guest = Guest::connected(OFF, 4096);
    guest.server_sends(&[1; 14_600]);
    let mut segments = guest.wait();
    while segments.iter().map(|segment| segment.payload.len()).sum::<usize>() < 14_600 {
        segments.extend(guest.wait());
    }
    assert!(segments.iter().all(|segment| segment.payload.len() <= 1460));
    let mut again = Vec::new();
    for _ in 0..3 {
        again.extend(guest.send(&[]));
    }
    let repeated: Vec<_> = again.iter().filter(|segment| !segment.payload.is_empty()).collect();
    assert_eq!(repeated.len(), 1);
    assert_eq!((repeated[0].seq, repeated[0].payload.len()), (segments[0].seq, 1460));
}

#[test]
fn a_closed_window_is_probed_until_it_opens() {
    let mut guest = Guest::connected(OFF, 0);
    guest.server_sends(b"hello");
    for _ in 0..20 {
        std::thread::sleep(Duration::from_millis(1));
        assert!(guest.raw.poll().is_empty(), "the window is closed");
    }
    let mut probes = 0;
    for _ in 0..600 {
        for probe in guest.after(Duration::from_secs(1)) {
            assert!(probe.payload.is_empty());
            assert_eq!(probe.seq, guest.ack.wrapping_sub(1));
            probes += 1;
            assert!(guest.send(&[]).is_empty(), "it stays closed");
        }
    }
    assert!((8..200).contains(&probes), "{probes} probes");
    guest.window = 4096;
    assert_eq!(guest.send(&[])[0].payload, b"hello");
}

#[test]
fn our_window_closes_when_the_far_end_reads_nothing_and_opens_again() {
    let mut guest = Guest::connected(OFF, 4096);
    let mut sent = 0;
    let window = loop {
        let Some(answer) = guest.send(&[5; 1460]).pop() else { continue };
        sent += 1460;
        if usize::from(answer.window) * 8 < 1460 {
            break answer.window;
        }
        assert!(sent < 64 << 20);
    };
    // Beyond the window: not taken.
    let acked = guest.seq;
    let beyond = guest.send_at(TcpControl::None, add(acked, 100_000), guest.ack, b"x");
    assert_eq!(beyond[0].ack, Some(acked));
    let mut stream = guest.stream.try_clone().unwrap();
    let reader = std::thread::spawn(move || {
        let mut bytes = vec![0; sent];
        stream.read_exact(&mut bytes).unwrap();
    });
    let update = loop {
        if let Some(update) = guest.wait().pop() {
            break update;
        }
    };
    assert!(update.window > window, "{} after {window}", update.window);
    reader.join().unwrap();
}

#[test]
fn a_reset_counts_only_with_the_next_sequence_number() {
    let mut guest = Guest::connected(OFF, 4096);
    let (seq, ack) = (guest.seq, guest.ack);
    let challenge = guest.send_at(TcpControl::Rst, add(seq, 100), ack, &[]);
    assert_eq!((challenge[0].control, challenge[0].ack), (TcpControl::None, Some(seq)));
    assert!(guest.send_at(TcpControl::Rst, add(seq, 1 << 30), ack, &[]).is_empty());
    let challenge = guest.send_at(TcpControl::Syn, add(seq, 100), ack, &[]);
    assert_eq!((challenge[0].control, challenge[0].ack), (TcpControl::None, Some(seq)));
    assert_eq!(guest.raw.network.counters().tcp_flows, 1);
    guest.send_at(TcpControl::Rst, seq, ack, &[]);
    assert_eq!(guest.raw.network.counters().tcp_flows, 0);
    let error = guest.stream.read(&mut [0; 1]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

#[test]
fn an_acknowledgement_of_what_was_never_sent_changes_nothing() {
    let mut guest = Guest::connected(OFF, 4096);
    let (seq, ack) = (guest.seq, guest.ack);
    let answer = guest.send_at(TcpControl::None, seq, add(ack, 1000), b"data");
    assert_eq!(answer[0].ack, Some(seq), "its data is not taken either");
    assert_eq!(guest.send(b"data")[0].ack, Some(add(seq, 4)));
}

#[test]
fn a_silent_guest_is_asked_and_given_up_and_one_that_answers_is_kept() {
    let mut guest = Guest::connected(OFF, 4096);
    for _ in 0..100 {
        for question in guest.after(Duration::from_secs(60)) {
            assert_eq!(question.seq, guest.ack.wrapping_sub(1));
            guest.send(&[]);
        }
    }
    assert_eq!(guest.raw.network.counters().tcp_flows, 1);
    let mut asked = 0;
    for _ in 0..30 {
        asked += guest.after(Duration::from_secs(60)).len();
    }
    assert!(asked >= 5, "{asked}");
    assert_eq!(guest.raw.network.counters().tcp_flows, 0);
}

#[test]
fn a_connection_that_we_closed_first_is_remembered_for_a_while() {
    let mut guest = Guest::connected(OFF, 4096);
    guest.stream.shutdown(std::net::Shutdown::Write).unwrap();
    let fin = guest.wait();
    assert_eq!(fin[0].control, TcpControl::Fin);
    guest.ack = guest.ack.wrapping_add(1);
    let seq = guest.seq;
    let last = guest.send_at(TcpControl::Fin, seq, guest.ack, &[]);
    assert_eq!(last[0].ack, Some(add(seq, 1)));
    // Our last acknowledgement was lost.
    let again = guest.send_at(TcpControl::Fin, seq, guest.ack, &[]);
    assert_eq!(again[0].ack, Some(add(seq, 1)));
    // The same ports again.
    let syn = guest.frame(TcpControl::Syn, add(seq, 100_000), None, &[]);
    guest.raw.send(&syn);
    guest.after(Duration::from_secs(11));
    assert_eq!(guest.raw.network.counters().tcp_flows, 0, "nobody listens any more");
}

#[test]
fn large_segments_go_both_ways_where_the_card_offloads_them() {
    let mut guest = Guest::connected(Offloads { checksum: true, tso4: true, tso6: false }, 8192);
    guest.server_sends(&[9; 60_000]);
    let mut received = 0;
    let mut largest = 0;
    while received < 60_000 {
        for frame in guest.raw.wait() {
            let offload = frame.offload.unwrap();
            let segment = got(&frame);
            assert_eq!(
                usize::from(offload.header_length),
                frame.bytes.len() - segment.payload.len()
            );
            assert_eq!((offload.checksum_start, offload.checksum_offset), (34, 16));
            let large = segment.payload.len() > 1460;
            assert_eq!(offload.segment_size, large.then_some(1460));
            // The field has the sum of the pseudo-header.
            let length = u32::try_from(frame.bytes.len() - 34).unwrap();
            let mut sum = 0x0a00 + 0x0202 + 0x0a00 + 0x020f + 6 + length;
            while sum > 0xffff {
                sum = (sum & 0xffff) + (sum >> 16);
            }
            let field = u16::from_be_bytes([frame.bytes[50], frame.bytes[51]]);
            assert_eq!(u32::from(field), sum);
            received += segment.payload.len();
            largest = largest.max(segment.payload.len());
        }
    }
    assert!(largest > 30_000, "{largest}");
    guest.ack = add(guest.ack, received);
    // A segment of the guest whose checksum the card was to complete.
    let mut frame = guest.frame(TcpControl::None, guest.seq, Some(guest.ack), &[3; 60_000]);
    frame[50..52].copy_from_slice(&[0xde, 0xad]);
    guest.raw.network.send(&frame, Checksum::Complete, guest.raw.now);
    assert!(guest.raw.poll().is_empty(), "a wrong checksum");
    guest.raw.network.send(&frame, Checksum::Partial, guest.raw.now);
    assert_eq!(got(&guest.raw.poll()[0]).ack, Some(add(guest.seq, 60_000)));
    assert_eq!(guest.server_reads(60_000), [3; 60_000]);
}

#[test]
fn a_tiny_segment_size_is_raised_and_options_are_optional() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut raw = Raw::new(&config());
    let mut guest = Guest {
        raw: Raw::new(&config()),
        port,
        seq: 0,
        ack: 0,
        window: 1000,
        stream: TcpStream::connect(("127.0.0.1", port)).unwrap(),
    };
    std::mem::swap(&mut raw, &mut guest.raw);
    let syn = guest.frame(TcpControl::Syn, 7, None, &[]);
    // Without options: a header of 20 bytes.
    let mut bare = syn[..54].to_vec();
    bare[16..18].copy_from_slice(&40_u16.to_be_bytes());
    bare[46] = 0x50;
    let mut ipv4 = Ipv4Packet::new_unchecked(&mut bare[14..]);
    ipv4.fill_checksum();
    let mut tcp = TcpPacket::new_unchecked(&mut bare[34..]);
    tcp.fill_checksum(&GUEST.into(), &HOST.into());
    let mut frames = guest.raw.send(&bare);
    if frames.is_empty() {
        frames = guest.raw.wait();
    }
    let ethernet = EthernetFrame::new_checked(&frames[0].bytes[..]).unwrap();
    let packet = Ipv4Packet::new_checked(ethernet.payload()).unwrap();
    let segment = TcpPacket::new_checked(packet.payload()).unwrap();
    let checksums = ChecksumCapabilities::default();
    let repr = TcpRepr::parse(&segment, &HOST.into(), &GUEST.into(), &checksums).unwrap();
    assert_eq!(repr.window_scale, None, "not offered, so not used");
    assert_eq!(repr.max_seg_size, Some(1460));
}

#[test]
fn a_card_without_buffers_stops_the_sockets_and_loses_nothing() {
    let mut guest = Guest::connected(OFF, 8192);
    guest.stream.set_nonblocking(true).unwrap();
    let mut written = 0;
    let mut quiet = 0;
    while quiet < 50 {
        match guest.stream.write(&[6; 1 << 16]) {
            Ok(count) => written += count,
            Err(_) => quiet += 1,
        }
        guest.raw.network.poll(guest.raw.now);
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(written < 32 << 20, "{written}");
    assert!(!guest.raw.network.is_busy(), "there is nothing to do until frames are taken");
    let mut received = 0;
    while received < written {
        let mut segments = guest.wait();
        assert!(!segments.is_empty(), "{received} of {written}");
        while !segments.is_empty() {
            for segment in segments {
                assert_eq!(segment.seq, guest.ack, "nothing is lost or sent twice");
                guest.ack = add(guest.ack, segment.payload.len());
                received += segment.payload.len();
            }
            segments = guest.send(&[]);
        }
    }
    assert_eq!((received, guest.raw.network.counters().dropped), (written, 0));
}
