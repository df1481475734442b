//! A guest made of smoltcp's own stack, frame by frame beside a network. No KVM, no privilege.

#![allow(dead_code, reason = "each test program uses a part of it")]
#![allow(clippy::allow_attributes, reason = "an expectation would fail where all of it is used")]

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use network::{Checksum, Config, Frame, Offloads, Resolver, UserNetwork};
use smoltcp::iface::{Config as InterfaceConfig, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{ChecksumCapabilities, Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp;
use smoltcp::time::Instant as SmolInstant;
use smoltcp::wire::{
    EthernetAddress, EthernetFrame, EthernetProtocol, EthernetRepr, IpAddress, IpCidr, IpProtocol,
    Ipv4Address, Ipv4Packet, Ipv4Repr, Ipv6Address, UdpPacket, UdpRepr,
};

pub const MAC: EthernetAddress = EthernetAddress([0x52, 0x54, 0, 0x12, 0x34, 0x56]);

/// A wire that can lose and reorder frames, in a way that is the same each time.
pub struct Wire {
    to_guest: VecDeque<Vec<u8>>,
    to_network: VecDeque<Vec<u8>>,
    /// One frame in so many is lost, in each direction. 0: none.
    pub loss: u32,
    /// One frame in so many overtakes the one before.
    pub reordering: u32,
    random: u32,
}

impl Wire {
    fn new() -> Self {
        Self {
            to_guest: VecDeque::new(),
            to_network: VecDeque::new(),
            loss: 0,
            reordering: 0,
            random: 0x2545_f491,
        }
    }

    fn one_in(&mut self, count: u32) -> bool {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 17;
        self.random ^= self.random << 5;
        count != 0 && self.random.is_multiple_of(count)
    }
}

fn put(queue: &mut VecDeque<Vec<u8>>, frame: Vec<u8>, swap: bool) {
    if swap && !queue.is_empty() {
        queue.insert(queue.len() - 1, frame);
    } else {
        queue.push_back(frame);
    }
}

pub struct Receive(Vec<u8>);
pub struct Transmit<'a>(&'a mut Wire);

impl RxToken for Receive {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

impl TxToken for Transmit<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut frame = vec![0; len];
        let result = f(&mut frame);
        if !self.0.one_in(self.0.loss) {
            let swap = self.0.one_in(self.0.reordering);
            put(&mut self.0.to_network, frame, swap);
        }
        result
    }
}

impl Device for Wire {
    type RxToken<'a> = Receive;
    type TxToken<'a> = Transmit<'a>;

    fn receive(&mut self, _: SmolInstant) -> Option<(Receive, Transmit<'_>)> {
        let frame = self.to_guest.pop_front()?;
        Some((Receive(frame), Transmit(self)))
    }

    fn transmit(&mut self, _: SmolInstant) -> Option<Transmit<'_>> {
        Some(Transmit(self))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = 1514;
        capabilities
    }
}

/// A guest and its network.
pub struct Peer {
    pub network: UserNetwork,
    pub wire: Wire,
    pub interface: Interface,
    pub sockets: SocketSet<'static>,
    start: Instant,
    /// What the clock is ahead of the real one.
    pub ahead: Duration,
    /// Whether the clock jumps while nothing happens, so that timers need no real time.
    pub hurry: bool,
    next_port: u16,
}

/// The configuration of tests: queries go to a port that nobody answers.
pub fn config() -> Config {
    let server = "127.0.0.1:9".parse().unwrap();
    Config { resolver: Resolver::Server(server), ..Config::default() }
}

impl Peer {
    pub fn new(config: &Config) -> Self {
        let network = UserNetwork::new(config).unwrap();
        let mut wire = Wire::new();
        let settings = InterfaceConfig::new(MAC.into());
        let mut interface = Interface::new(settings, &mut wire, SmolInstant::ZERO);
        interface.update_ip_addrs(|addresses| {
            let v4 = IpCidr::new(IpAddress::v4(10, 0, 2, 15), 24);
            let v6 = IpCidr::new(IpAddress::v6(0xfec0, 0, 0, 0, 0, 0, 0, 0x15), 64);
            addresses.extend([v4, v6]);
        });
        let routes = interface.routes_mut();
        routes.add_default_ipv4_route(Ipv4Address::new(10, 0, 2, 2)).unwrap();
        routes.add_default_ipv6_route(Ipv6Address::new(0xfec0, 0, 0, 0, 0, 0, 0, 2)).unwrap();
        let sockets = SocketSet::new(Vec::new());
        Self {
            network,
            wire,
            interface,
            sockets,
            start: Instant::now(),
            ahead: Duration::ZERO,
            hurry: false,
            next_port: 40_000,
        }
    }

    pub fn now(&self) -> Instant {
        Instant::now() + self.ahead
    }

    /// Exchanges frames once. Returns whether any went across.
    pub fn step(&mut self) -> bool {
        let now = self.now();
        let elapsed = i64::try_from((now - self.start).as_micros()).unwrap();
        let time = SmolInstant::from_micros(elapsed);
        self.interface.poll(time, &mut self.wire, &mut self.sockets);
        let mut moved = false;
        while let Some(frame) = self.wire.to_network.pop_front() {
            self.network.send(&frame, Checksum::Complete, now);
            moved = true;
        }
        self.network.poll(now);
        while let Some(frame) = self.network.receive() {
            moved = true;
            if !self.wire.one_in(self.wire.loss) {
                let swap = self.wire.one_in(self.wire.reordering);
                put(&mut self.wire.to_guest, frame.bytes, swap);
            }
        }
        moved
    }

    /// Steps until `done`, for 20 s at most.
    pub fn until(&mut self, what: &str, mut done: impl FnMut(&mut Self) -> bool) {
        let end = Instant::now() + Duration::from_secs(20);
        while !done(self) {
            assert!(Instant::now() < end, "waited for 20 s: {what}");
            if !self.step() {
                std::thread::sleep(Duration::from_micros(200));
                self.ahead += Duration::from_millis(if self.hurry { 10 } else { 0 });
            }
        }
    }

    pub fn socket(&mut self, size: usize) -> SocketHandle {
        let buffer = || tcp::SocketBuffer::new(vec![0; size]);
        self.sockets.add(tcp::Socket::new(buffer(), buffer()))
    }

    pub fn tcp(&mut self, handle: SocketHandle) -> &mut tcp::Socket<'static> {
        self.sockets.get_mut(handle)
    }

    pub fn connect(&mut self, to: &str) -> SocketHandle {
        self.connect_with(to, 64 << 10)
    }

    pub fn connect_with(&mut self, to: &str, size: usize) -> SocketHandle {
        let to: SocketAddr = to.parse().unwrap();
        let handle = self.socket(size);
        self.next_port = if self.next_port == 65_000 { 40_000 } else { self.next_port + 1 };
        let socket = self.sockets.get_mut::<tcp::Socket>(handle);
        let remote: IpAddress = match to.ip() {
            IpAddr::V4(address) => address.into(),
            IpAddr::V6(address) => address.into(),
        };
        socket.connect(self.interface.context(), (remote, to.port()), self.next_port).unwrap();
        handle
    }
}

/// A guest that is frames and nothing else.
pub struct Raw {
    pub network: UserNetwork,
    pub now: Instant,
}

impl Raw {
    pub fn new(config: &Config) -> Self {
        Self { network: UserNetwork::new(config).unwrap(), now: Instant::now() }
    }

    pub fn with_offloads(config: &Config, offloads: Offloads) -> Self {
        let mut this = Self::new(config);
        this.network.set_offloads(offloads);
        this
    }

    /// Sends a frame, and returns what comes back at once.
    pub fn send(&mut self, frame: &[u8]) -> Vec<Frame> {
        self.network.send(frame, Checksum::Complete, self.now);
        self.poll()
    }

    pub fn poll(&mut self) -> Vec<Frame> {
        self.network.poll(self.now);
        let mut frames = Vec::new();
        while let Some(frame) = self.network.receive() {
            frames.push(frame);
            self.network.poll(self.now);
        }
        frames
    }

    /// Waits for frames, for 5 s at most.
    pub fn wait(&mut self) -> Vec<Frame> {
        for _ in 0..5000 {
            let frames = self.poll();
            if !frames.is_empty() {
                return frames;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Vec::new()
    }
}

/// A UDP datagram of the guest to the gateway, in a frame.
pub fn udp_frame(to: EthernetAddress, from_port: u16, to_port: u16, payload: &[u8]) -> Vec<u8> {
    let (from, host) = (Ipv4Address::new(10, 0, 2, 15), Ipv4Address::new(10, 0, 2, 2));
    let checksums = ChecksumCapabilities::default();
    let datagram = UdpRepr { src_port: from_port, dst_port: to_port };
    let length = datagram.header_len() + payload.len();
    let packet = Ipv4Repr {
        src_addr: from,
        dst_addr: host,
        next_header: IpProtocol::Udp,
        payload_len: length,
        hop_limit: 64,
    };
    let mut bytes = vec![0; 14 + packet.buffer_len() + length];
    let mut frame = EthernetFrame::new_unchecked(&mut bytes);
    EthernetRepr { src_addr: MAC, dst_addr: to, ethertype: EthernetProtocol::Ipv4 }
        .emit(&mut frame);
    let mut ipv4 = Ipv4Packet::new_unchecked(frame.payload_mut());
    packet.emit(&mut ipv4, &checksums);
    let mut udp = UdpPacket::new_unchecked(ipv4.payload_mut());
    let fill = |bytes: &mut [u8]| bytes.copy_from_slice(payload);
    datagram.emit(&mut udp, &from.into(), &host.into(), payload.len(), fill, &checksums);
    bytes
}

/// Whether this host has IPv6 on its loopback interface. Without it, a test says so, and fails in
/// CI.
pub fn has_ipv6() -> bool {
    let has = std::net::TcpListener::bind("[::1]:0").is_ok();
    if !has {
        let strict = std::env::var_os("CHUKKA_NO_SKIP").is_some();
        assert!(!strict, "CHUKKA_NO_SKIP does not allow a skip: this host has no IPv6");
        eprintln!("SKIPPED: this host has no IPv6");
    }
    has
}
