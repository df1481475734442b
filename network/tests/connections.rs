//! Many connections, and that they leave nothing behind in this process: neither descriptors nor
//! memory. A test program of its own, so that no other test opens files meanwhile.

#![expect(clippy::unwrap_used, reason = "this is how a test fails")]

mod peer;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use peer::{Peer, config};
use smoltcp::iface::SocketHandle;
use smoltcp::socket::tcp::State;

/// Connections before memory is measured.
const FIRST: u32 = 500;
/// Pages that may come in addition.
const PAGES: u64 = 64;

/// Connections one after the other. With `CHUKKA_SOAK`, ten thousand.
fn count() -> u32 {
    if std::env::var_os("CHUKKA_SOAK").is_some() { 10_000 } else { 2000 }
}

/// Both tests count the descriptors of the whole process.
fn alone() -> MutexGuard<'static, ()> {
    static LOCK: Mutex<()> = Mutex::new(());
    LOCK.lock().unwrap_or_else(PoisonError::into_inner)
}

fn listener() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = format!("10.0.2.2:{}", listener.local_addr().unwrap().port());
    (listener, to)
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Resident pages: the second word (proc_pid_statm(5)).
fn pages() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split(' ').nth(1).unwrap().parse().unwrap()
}

/// Closes the guest's side, where the far end has closed already.
fn close(peer: &mut Peer, handle: SocketHandle) {
    peer.until("the end", |peer| peer.tcp(handle).state() == State::CloseWait);
    peer.tcp(handle).close();
    peer.until("closed", |peer| peer.tcp(handle).state() == State::Closed);
    peer.sockets.remove(handle);
}

#[test]
fn two_hundred_connections_at_once_are_kept_apart_and_closed() {
    let _alone = alone();
    let (listener, to) = listener();
    let mut peer = Peer::new(&config());
    let before = descriptors();
    let server = std::thread::spawn(move || {
        let streams: Vec<TcpStream> = (0..200).map(|_| listener.accept().unwrap().0).collect();
        for mut stream in streams {
            let mut number = [0; 2];
            stream.read_exact(&mut number).unwrap();
            stream.write_all(&number).unwrap();
        }
    });
    let handles: Vec<_> = (0..200).map(|_| peer.connect_with(&to, 512)).collect();
    peer.until("all are connected", |peer| handles.iter().all(|at| peer.tcp(*at).may_send()));
    assert_eq!(peer.network.counters().tcp_flows, 200);
    assert!(descriptors() >= before + 200, "each has a socket");
    for (number, handle) in handles.iter().enumerate() {
        let number = u16::try_from(number).unwrap();
        peer.tcp(*handle).send_slice(&number.to_be_bytes()).unwrap();
    }
    for (number, handle) in handles.iter().enumerate() {
        peer.until("an answer", |peer| peer.tcp(*handle).recv_queue() == 2);
        let mut answer = [0; 2];
        peer.tcp(*handle).recv_slice(&mut answer).unwrap();
        assert_eq!(usize::from(u16::from_be_bytes(answer)), number);
    }
    server.join().unwrap();
    for handle in handles {
        close(&mut peer, handle);
    }
    peer.ahead = Duration::from_secs(30);
    peer.until("forgotten", |peer| peer.network.counters().tcp_flows == 0);
    // The server's listener has gone as well.
    assert_eq!(descriptors(), before - 1);
}

#[test]
fn connections_one_after_the_other_leave_nothing_behind() {
    let (_alone, count) = (alone(), count());
    let (listener, to) = listener();
    let mut peer = Peer::new(&config());
    let before = descriptors();
    let server = std::thread::spawn(move || {
        for _ in 0..count {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(b"x").unwrap();
        }
    });
    let start = Instant::now();
    let mut first = 0;
    for number in 1..=count {
        let handle = peer.connect_with(&to, 512);
        close(&mut peer, handle);
        // They are remembered for a while (TIME-WAIT).
        if number % 100 == 0 {
            peer.ahead += Duration::from_secs(30);
            peer.until("forgotten", |peer| peer.network.counters().tcp_flows == 0);
        }
        if number == FIRST {
            first = pages();
        }
    }
    server.join().unwrap();
    assert_eq!(descriptors(), before - 1);
    let now = pages();
    assert!(now <= first + PAGES, "{first} pages after {FIRST} connections, {now} now");
    eprintln!("{count} connections in {:?}: {first} pages, then {now}", start.elapsed());
}
