//! Forwarded ports, IPv6, and TCP's rules by single segments.

#![expect(clippy::unwrap_used, reason = "this is how a test fails")]

mod peer;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use network::{Config, Forward, Protocol};
use peer::{Peer, config};
use smoltcp::socket::{tcp::State, udp};
use smoltcp::wire::{IpAddress, IpEndpoint};

fn forwarding(protocol: Protocol, guest: &str) -> Config {
    let host = if guest.starts_with('[') { "[::1]:0" } else { "127.0.0.1:0" };
    let forward = Forward { protocol, host: host.parse().unwrap(), guest: guest.parse().unwrap() };
    Config { forwards: vec![forward], ..config() }
}

fn host(peer: &Peer) -> SocketAddr {
    peer.network.forwarded()[0].host
}

/// A client reaches a server in the guest, and each sees what the other sends and closes.
fn serve(guest: &str, gateway: IpAddress) {
    serve_with(&forwarding(Protocol::Tcp, guest), gateway);
}

fn serve_with(config: &Config, gateway: IpAddress) {
    let mut peer = Peer::new(config);
    let handle = peer.socket(4096);
    peer.tcp(handle).listen(80).unwrap();
    let to = host(&peer);
    let client = std::thread::spawn(move || {
        let mut stream = TcpStream::connect(to).unwrap();
        let port = stream.local_addr().unwrap().port();
        stream.write_all(b"GET").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        stream.write_all(b" after the end").unwrap();
        (answer, port)
    });
    peer.until("a request", |peer| peer.tcp(handle).recv_queue() == 3);
    let remote = peer.tcp(handle).remote_endpoint().unwrap();
    peer.tcp(handle).send_slice(b"200 OK").unwrap();
    peer.tcp(handle).close();
    peer.until("the end", |peer| peer.tcp(handle).recv_queue() == 3 + 14);
    peer.until("the client", |_| client.is_finished());
    let (answer, port) = client.join().unwrap();
    assert_eq!(answer, "200 OK");
    assert_eq!(remote, IpEndpoint::new(gateway, port), "the client is the gateway to the guest");
    peer.until("closed", |peer| peer.tcp(handle).state() == State::TimeWait);
}

#[test]
fn a_forwarded_port_leads_to_the_guest() {
    serve("10.0.2.15:80", IpAddress::v4(10, 0, 2, 2));
}

#[test]
fn a_forwarded_port_leads_to_the_guest_by_ipv6() {
    if !peer::has_ipv6() {
        return;
    }
    serve("[fec0::15]:80", IpAddress::v6(0xfec0, 0, 0, 0, 0, 0, 0, 2));
}

#[test]
fn a_closed_network_still_forwards_ports() {
    let config = Config { restrict: true, ..forwarding(Protocol::Tcp, "10.0.2.15:80") };
    serve_with(&config, IpAddress::v4(10, 0, 2, 2));
}

#[test]
fn what_the_guest_refuses_is_reset() {
    let mut peer = Peer::new(&forwarding(Protocol::Tcp, "10.0.2.15:81"));
    let mut stream = TcpStream::connect(host(&peer)).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
    let mut error = None;
    peer.until("a reset", |_| {
        error = stream.read(&mut [0; 1]).err().map(|error| error.kind());
        error == Some(std::io::ErrorKind::ConnectionReset)
    });
    assert_eq!(peer.network.counters().tcp_flows, 0);
}

#[test]
fn a_guest_that_is_not_there_is_given_up() {
    let mut peer = Peer::new(&forwarding(Protocol::Tcp, "10.0.2.77:80"));
    let _stream = TcpStream::connect(host(&peer)).unwrap();
    peer.until("accepted", |peer| peer.network.counters().tcp_flows == 1);
    peer.until("given up", |peer| {
        peer.ahead += Duration::from_millis(100);
        peer.network.counters().tcp_flows == 0
    });
}

#[test]
fn forwarded_datagrams_reach_the_guest_and_come_back() {
    let mut peer = Peer::new(&forwarding(Protocol::Udp, "10.0.2.15:53"));
    let buffer = || udp::PacketBuffer::new(vec![udp::PacketMetadata::EMPTY; 4], vec![0; 4096]);
    let handle = peer.sockets.add(udp::Socket::new(buffer(), buffer()));
    peer.sockets.get_mut::<udp::Socket>(handle).bind(53).unwrap();
    let clients =
        [UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap()];
    for (number, client) in clients.iter().enumerate() {
        client.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        client.send_to(format!("question {number}").as_bytes(), host(&peer)).unwrap();
    }
    for _ in &clients {
        peer.until("a datagram", |peer| peer.sockets.get::<udp::Socket>(handle).can_recv());
        let socket = peer.sockets.get_mut::<udp::Socket>(handle);
        let (question, from) = socket.recv().unwrap();
        let answer = String::from_utf8(question.to_vec()).unwrap().replace("question", "answer");
        socket.send_slice(answer.as_bytes(), from.endpoint).unwrap();
    }
    for (number, client) in clients.iter().enumerate() {
        let mut buffer = [0; 100];
        client.set_nonblocking(true).unwrap();
        let mut count = None;
        peer.until("an answer", |_| {
            count = client.recv(&mut buffer).ok();
            count.is_some()
        });
        assert_eq!(&buffer[..count.unwrap()], format!("answer {number}").as_bytes());
    }
}

#[test]
fn a_port_that_is_taken_is_an_error() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let forward = Forward {
        protocol: Protocol::Tcp,
        host: taken.local_addr().unwrap(),
        guest: "10.0.2.15:22".parse().unwrap(),
    };
    let config = Config { forwards: vec![forward], ..config() };
    let error = network::UserNetwork::new(&config).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("Cannot listen on {} to forward it to the guest", forward.host)
    );
}

#[test]
fn connections_go_out_by_ipv6() {
    if !peer::has_ipv6() {
        return;
    }
    let listener = TcpListener::bind("[::1]:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut peer = Peer::new(&config());
    let handle = peer.connect(&format!("[fec0::2]:{port}"));
    peer.until("connected", |peer| peer.tcp(handle).may_send());
    let (mut stream, _) = listener.accept().unwrap();
    stream.write_all(b"six").unwrap();
    peer.until("data", |peer| peer.tcp(handle).recv_queue() == 3);
    drop((stream, listener));
    let refused = peer.connect(&format!("[fec0::2]:{port}"));
    peer.until("refused", |peer| peer.tcp(refused).state() == State::Closed);
}
