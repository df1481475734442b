//! A service of this process, which the guest reaches at an address of the network.

#![expect(clippy::unwrap_used, reason = "this is how a test fails")]

mod peer;

use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use network::{Config, Service};
use peer::{Peer, config};
use smoltcp::socket::tcp::State;

/// Answers what it reads in upper case, for so many connections.
#[derive(Debug)]
struct Shouting(AtomicUsize);

impl Service for Shouting {
    fn connect(&self) -> Option<OwnedFd> {
        let left = self.0.load(Ordering::Relaxed);
        self.0.store(left.checked_sub(1)?, Ordering::Relaxed);
        let (network, mut server) = UnixStream::pair().unwrap();
        network.set_nonblocking(true).unwrap();
        std::thread::spawn(move || {
            let mut text = Vec::new();
            server.read_to_end(&mut text).unwrap();
            server.write_all(&text.to_ascii_uppercase()).unwrap();
        });
        Some(network.into())
    }
}

/// A peer of a network with the service, which takes so many connections.
fn served(mut config: Config, connections: usize) -> Peer {
    assert_eq!(config.reserve_service().unwrap().to_string(), "10.0.2.4");
    let mut peer = Peer::new(&config);
    peer.network.serve(Arc::new(Shouting(connections.into())));
    peer
}

/// Sends `bytes` to `to` and closes. Returns all that is answered, or `None` if it was refused.
fn exchange(peer: &mut Peer, to: &str, bytes: &[u8]) -> Option<Vec<u8>> {
    let handle = peer.connect(to);
    peer.until("decided", |peer| peer.tcp(handle).may_send() || !peer.tcp(handle).is_open());
    if !peer.tcp(handle).may_send() {
        return None;
    }
    let (mut sent, mut answer) = (0, Vec::new());
    peer.until("answered", |peer| {
        let socket = peer.tcp(handle);
        if sent < bytes.len() && socket.can_send() {
            sent += socket.send_slice(&bytes[sent..]).unwrap();
            if sent == bytes.len() {
                socket.close();
            }
        }
        while socket.can_recv() {
            socket.recv(|bytes| (bytes.len(), answer.extend_from_slice(bytes))).unwrap();
        }
        !matches!(socket.state(), State::Established | State::FinWait1 | State::FinWait2)
    });
    Some(answer)
}

#[test]
fn a_service_is_reached_by_both_versions_of_ip_even_if_the_network_is_closed() {
    let text = b"some bytes of the guest, ".repeat(40_000);
    for restrict in [false, true] {
        let mut peer = served(Config { restrict, ..config() }, 2);
        for to in ["10.0.2.4:80", "[fec0::4]:80"] {
            let answer = exchange(&mut peer, to, &text).expect("it is taken");
            assert!(answer == text.to_ascii_uppercase(), "{} bytes from {to}", answer.len());
        }
        peer.until("forgotten", |peer| peer.network.counters().tcp_flows == 0);
    }
}

#[test]
fn what_the_service_does_not_take_is_refused() {
    let mut peer = served(config(), 1);
    assert_eq!(exchange(&mut peer, "10.0.2.4:81", b"x"), None, "another port");
    assert_eq!(exchange(&mut peer, "10.0.2.4:80", b"x").as_deref(), Some(&b"X"[..]));
    assert_eq!(exchange(&mut peer, "10.0.2.4:80", b"x"), None, "the second connection");
    let mut config = config();
    config.reserve_service().unwrap();
    assert_eq!(exchange(&mut Peer::new(&config), "10.0.2.4:80", b"x"), None, "no service");
}
