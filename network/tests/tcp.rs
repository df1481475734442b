//! TCP through the network, with smoltcp's stack as the guest and real sockets as the far ends.

#![expect(clippy::unwrap_used, reason = "this is how a test fails")]

mod peer;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener};
use std::time::{Duration, Instant};

use peer::{Peer, config};
use smoltcp::socket::tcp::State;

fn listener() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = format!("10.0.2.2:{}", listener.local_addr().unwrap().port());
    (listener, to)
}

/// Byte `at` of the test's data.
fn byte(at: usize) -> u8 {
    u8::try_from((at ^ (at >> 8) ^ (at >> 16)) & 0xff).unwrap()
}

fn data(range: std::ops::Range<usize>) -> Vec<u8> {
    range.map(byte).collect()
}

#[test]
fn a_connection_carries_data_both_ways_and_closes() {
    let (listener, to) = listener();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        stream.write_all(text.to_uppercase().as_bytes()).unwrap();
    });
    let mut peer = Peer::new(&config());
    let handle = peer.connect(&to);
    peer.until("connected", |peer| peer.tcp(handle).may_send());
    peer.tcp(handle).send_slice(b"hello").unwrap();
    peer.tcp(handle).close();
    let mut answer = Vec::new();
    peer.until("answered", |peer| {
        while peer.tcp(handle).can_recv() {
            peer.tcp(handle).recv(|bytes| (bytes.len(), answer.extend_from_slice(bytes))).unwrap();
        }
        !peer.tcp(handle).may_recv()
    });
    assert_eq!(answer, b"HELLO");
    server.join().unwrap();
    // The guest has closed first, so nothing is left here.
    peer.until("forgotten", |peer| peer.network.counters().tcp_flows == 0);
}

#[test]
fn a_refused_connection_is_refused() {
    let (listener, to) = listener();
    drop(listener);
    let mut peer = Peer::new(&config());
    let handle = peer.connect(&to);
    peer.until("refused", |peer| peer.tcp(handle).state() == State::Closed);
    assert_eq!(peer.network.counters().tcp_flows, 0);
}

#[test]
fn what_the_far_end_closes_is_closed_in_that_direction_only() {
    let (listener, to) = listener();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"bye").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    });
    let mut peer = Peer::new(&config());
    let handle = peer.connect(&to);
    peer.until("half closed", |peer| peer.tcp(handle).state() == State::CloseWait);
    assert_eq!(peer.tcp(handle).recv(|bytes| (bytes.len(), bytes.to_vec())).unwrap(), b"bye");
    peer.tcp(handle).send_slice(b"still here").unwrap();
    peer.until("sent", |peer| peer.tcp(handle).send_queue() == 0);
    peer.tcp(handle).close();
    peer.until("closed", |peer| peer.tcp(handle).state() == State::Closed);
    assert_eq!(server.join().unwrap(), "still here");
}

#[test]
fn what_the_far_end_resets_is_reset() {
    let (listener, to) = listener();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.read_exact(&mut [0; 1]).unwrap();
        stream // dropped with unread data, which resets
    });
    let mut peer = Peer::new(&config());
    let handle = peer.connect(&to);
    peer.until("connected", |peer| peer.tcp(handle).may_send());
    peer.tcp(handle).send_slice(b"abc").unwrap();
    peer.until("sent", |peer| peer.tcp(handle).send_queue() == 0);
    for _ in 0..20 {
        peer.step();
        std::thread::sleep(Duration::from_millis(1));
    }
    drop(server.join().unwrap());
    peer.until("reset", |peer| peer.tcp(handle).state() == State::Closed);
    assert_eq!(peer.network.counters().tcp_flows, 0);
}

#[test]
fn what_the_far_end_resets_after_its_end_is_reset() {
    let (listener, to) = listener();
    let mut peer = Peer::new(&config());
    let handle = peer.connect(&to);
    peer.until("connected", |peer| peer.tcp(handle).may_send());
    let (stream, _) = listener.accept().unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    peer.until("half closed", |peer| peer.tcp(handle).state() == State::CloseWait);
    peer.tcp(handle).send_slice(b"nobody reads this").unwrap();
    stream.set_nonblocking(true).unwrap();
    peer.until("sent", |_| stream.peek(&mut [0; 1]).is_ok());
    drop(stream); // with unread data, which resets
    peer.until("reset", |peer| peer.tcp(handle).state() == State::Closed);
    assert_eq!(peer.network.counters().tcp_flows, 0);
}

#[test]
fn what_the_guest_resets_is_reset() {
    let (listener, to) = listener();
    let mut peer = Peer::new(&config());
    let handle = peer.connect(&to);
    peer.until("connected", |peer| peer.tcp(handle).may_send());
    let (mut stream, _) = listener.accept().unwrap();
    peer.tcp(handle).abort();
    peer.until("forgotten", |peer| peer.network.counters().tcp_flows == 0);
    assert_eq!(stream.read(&mut [0; 1]).unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
}

/// Sends `total` bytes each way at once, and compares each.
fn bulk(peer: &mut Peer, total: usize, size: usize) {
    bulk_with(peer, total, size, listener());
}

fn bulk_with(peer: &mut Peer, total: usize, size: usize, (listener, to): (TcpListener, String)) {
    let server = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut writer = stream.try_clone().unwrap();
        let sending = std::thread::spawn(move || {
            for start in (0..total).step_by(1 << 16) {
                writer.write_all(&data(start..(start + (1 << 16)).min(total))).unwrap();
            }
            writer.shutdown(Shutdown::Write).unwrap();
        });
        let mut reader = stream;
        let mut got = Vec::new();
        reader.read_to_end(&mut got).unwrap();
        sending.join().unwrap();
        assert!(got == data(0..total), "what the guest sent is not what came");
    });
    let handle = peer.connect_with(&to, size);
    let (mut sent, mut received) = (0, 0);
    peer.until("all sent and received", |peer| {
        let socket = peer.tcp(handle);
        while sent < total && socket.can_send() {
            let end = (sent + (1 << 16)).min(total);
            sent += socket.send_slice(&data(sent..end)).unwrap();
            if sent == total {
                socket.close();
            }
        }
        while socket.can_recv() {
            let count = socket
                .recv(|bytes| {
                    let good = bytes.iter().enumerate().all(|(at, b)| *b == byte(received + at));
                    assert!(good, "wrong data in the {} bytes from {received} on", bytes.len());
                    (bytes.len(), bytes.len())
                })
                .unwrap();
            received += count;
        }
        sent == total && received == total && server.is_finished()
    });
    server.join().unwrap();
}

#[test]
fn many_bytes_arrive_as_they_were_sent() {
    let mut peer = Peer::new(&config());
    let soak = std::env::var_os("CHUKKA_SOAK").is_some();
    bulk(&mut peer, if soak { 1 << 30 } else { 64 << 20 }, 256 << 10);
}

#[test]
fn many_bytes_arrive_by_ipv6() {
    if !peer::has_ipv6() {
        return;
    }
    let listener = TcpListener::bind("[::1]:0").unwrap();
    let to = format!("[fec0::2]:{}", listener.local_addr().unwrap().port());
    bulk_with(&mut Peer::new(&config()), 4 << 20, 256 << 10, (listener, to));
}

#[test]
fn many_bytes_arrive_over_a_wire_that_loses_and_reorders_frames() {
    let mut peer = Peer::new(&config());
    peer.hurry = true;
    peer.wire.loss = 200;
    peer.wire.reordering = 100;
    bulk(&mut peer, 2 << 20, 64 << 10);
}

#[test]
fn a_guest_that_reads_nothing_stops_the_far_end() {
    let (listener, to) = listener();
    let mut peer = Peer::new(&config());
    let handle = peer.connect(&to);
    peer.until("connected", |peer| peer.tcp(handle).may_send());
    let (mut stream, _) = listener.accept().unwrap();
    stream.set_nonblocking(true).unwrap();
    let mut written = 0;
    let mut last = Instant::now();
    peer.until("the far end blocks", |_| {
        while let Ok(count) = stream.write(&[7; 1 << 16]) {
            written += count;
            last = Instant::now();
        }
        last.elapsed() > Duration::from_millis(300)
    });
    // The sockets' buffers of this host, ours, and the guest's.
    assert!(written < 32 << 20, "{written}");
    let mut received = 0;
    peer.until("all of it arrives once the guest reads", |peer| {
        while peer.tcp(handle).can_recv() {
            received += peer.tcp(handle).recv(|bytes| (bytes.len(), bytes.len())).unwrap();
        }
        received == written
    });
}

#[test]
fn a_far_end_that_reads_nothing_stops_the_guest() {
    let (listener, to) = listener();
    let mut peer = Peer::new(&config());
    let handle = peer.connect(&to);
    peer.until("connected", |peer| peer.tcp(handle).may_send());
    let (mut stream, _) = listener.accept().unwrap();
    let mut written = 0;
    let mut last = Instant::now();
    peer.until("the guest blocks", |peer| {
        while peer.tcp(handle).can_send() {
            written += peer.tcp(handle).send_slice(&[7; 1 << 12]).unwrap();
            last = Instant::now();
        }
        last.elapsed() > Duration::from_millis(300)
    });
    assert!(written < 32 << 20, "{written}");
    peer.tcp(handle).close();
    let reader = std::thread::spawn(move || {
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        all.len()
    });
    peer.until("all of it arrives once it is read", |_| reader.is_finished());
    assert_eq!(reader.join().unwrap(), written);
}
