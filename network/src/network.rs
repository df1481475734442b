//! The network: frames in, frames out, and everything between.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use smoltcp::wire::{EthernetAddress, EthernetFrame, EthernetProtocol, IpProtocol};
use thiserror::Error;

use crate::addresses::Addresses;
use crate::arp::{self, Neighbours};
use crate::config::{BootConfig, Config, ConfigError, Forward};
use crate::error_queue::ErrorQueue;
use crate::forward::Forwards;
use crate::fragments::Fragments;
use crate::frame::{Checksum, Frame, MAX_FRAME, Offloads};
use crate::icmp;
use crate::link::{Link, Path};
use crate::packet::Packet;
use crate::resolver::Servers;
use crate::service::Service;
use crate::sockets::{Kind, Sockets, Token};
use crate::{dhcp, echo, ndp, tcp, tftp, udp};

/// The gateway's Ethernet address: QEMU's, 52:55 and 10.0.2.2.
const GATEWAY: EthernetAddress = EthernetAddress([0x52, 0x55, 0x0a, 0x00, 0x02, 0x02]);
/// How often a guest's card is asked for that does not answer.
const ASK: std::time::Duration = std::time::Duration::from_secs(1);
/// Rounds of events handled in one call.
const ROUNDS: usize = 16;

/// Why a network cannot be made.
#[derive(Debug, Error)]
pub enum NetworkError {
    /// The configuration is not possible.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A port of this host cannot be forwarded.
    #[error("Cannot listen on {} to forward it to the guest", .0.host)]
    Listen(Forward, #[source] std::io::Error),
    /// The directory of the TFTP server cannot be opened.
    #[error("Cannot open the directory '{}' for TFTP", .0.display())]
    Tftp(PathBuf, #[source] std::io::Error),
    /// The host refuses what the network needs.
    #[error("Cannot make a socket for the guest's network")]
    Sockets(#[source] std::io::Error),
}

/// Numbers of what a network has now, and what it has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// TCP connections, half-open and closing ones included.
    pub tcp_flows: usize,
    /// UDP sockets of guests' ports.
    pub udp_flows: usize,
    /// Frames from the guest.
    pub frames_in: u64,
    /// Frames that the guest has taken.
    pub frames_out: u64,
    /// Frames dropped because the guest took none.
    pub dropped: u64,
}

/// A network of one guest.
///
/// The owner hands it the guest's frames ([`Self::send`]), then calls [`Self::poll`], and takes
/// frames for the guest ([`Self::receive`]). It calls `poll` again when its descriptor is readable
/// ([`AsFd`]), when [`Self::deadline`] has come, and after it has taken frames. Frames that are not
/// taken stay in a bounded queue; while it is full, no socket is read.
///
/// Nothing here waits, and nothing reads the clock: `now` is the owner's.
#[derive(Debug)]
pub struct UserNetwork {
    addresses: Addresses,
    link: Link,
    sockets: Sockets,
    servers: Servers,
    service: Option<Arc<dyn Service>>,
    neighbours: Neighbours,
    fragments: Fragments,
    boot: BootConfig,
    dhcp: Option<dhcp::Server>,
    tftp: Option<tftp::Server>,
    echo: echo::Flows,
    forwards: Forwards,
    tcp: tcp::Flows,
    udp: udp::Flows,
    /// Sockets other than TCP's with more to read.
    unread: Vec<Token>,
    expiry: Option<Instant>,
    /// When a guest's card may be asked for again, for datagrams.
    asked: Option<Instant>,
    counters: Counters,
}

impl UserNetwork {
    /// Makes a network.
    ///
    /// # Errors
    /// The configuration is not possible, or a socket cannot be made.
    pub fn new(config: &Config) -> Result<Self, NetworkError> {
        config.check()?;
        let mut sockets = Sockets::new().map_err(|error| NetworkError::Sockets(error.into()))?;
        let forwards = Forwards::new(&config.forwards, &mut sockets)
            .map_err(|busy| NetworkError::Listen(busy.forward, busy.error.into()))?;
        let open = |path: &PathBuf| {
            let failed = |error: rustix::io::Errno| NetworkError::Tftp(path.clone(), error.into());
            tftp::Server::new(path).map_err(failed)
        };
        let tftp = config.tftp.as_ref().map(open).transpose()?;
        Ok(Self {
            addresses: Addresses::new(config),
            link: Link::new(GATEWAY),
            sockets,
            servers: Servers::new(config.resolver.clone()),
            service: None,
            neighbours: Neighbours::default(),
            fragments: Fragments::default(),
            boot: config.boot.clone(),
            tftp,
            echo: echo::Flows::default(),
            forwards,
            dhcp: config.ipv4.map(|net| dhcp::Server::new(net, config.boot.clone())),
            tcp: tcp::Flows::default(),
            udp: udp::Flows::default(),
            unread: Vec::new(),
            expiry: None,
            asked: None,
            counters: Counters::default(),
        })
    }

    /// Gives the guest's connections to the address of [`Config::reserve_service`], port 80, to
    /// `service`.
    pub fn serve(&mut self, service: Arc<dyn Service>) {
        self.service = Some(service);
    }

    /// Has UDP sockets keep the errors that ICMP reports, so that the guest is told about them.
    pub fn keep_errors_with(&mut self, error_queue: ErrorQueue) {
        self.udp.error_queue = Some(error_queue);
    }

    /// Sets what the guest's card offloads from now on. A driver that resets the card has none.
    pub fn set_offloads(&mut self, offloads: Offloads) {
        self.link.offloads = offloads;
    }

    /// Takes a frame of the guest. Whatever is malformed is dropped, as on any wire.
    pub fn send(&mut self, frame: &[u8], checksum: Checksum, now: Instant) {
        self.counters.frames_in += 1;
        let Ok(ethernet) = EthernetFrame::new_checked(frame) else { return };
        let (from, to) = (ethernet.src_addr(), ethernet.dst_addr());
        if frame.len() > MAX_FRAME
            || !from.is_unicast()
            || (to.is_unicast() && to != self.link.mac())
        {
            return;
        }
        let payload = ethernet.payload();
        match ethernet.ethertype() {
            EthernetProtocol::Arp => self.arp(payload),
            EthernetProtocol::Ipv4 if self.addresses.ipv4.is_some() => {
                if let Some(packet) = Packet::ipv4(from, payload, checksum) {
                    self.packet(&packet, now);
                }
            }
            EthernetProtocol::Ipv6 if self.addresses.ipv6.is_some() => {
                if let Some(packet) = Packet::ipv6(from, payload, checksum) {
                    self.packet(&packet, now);
                }
            }
            _ => {}
        }
    }

    fn arp(&mut self, bytes: &[u8]) {
        arp::packet(bytes, &self.addresses, &mut self.neighbours, &mut self.link);
        if let Some(sender) = bytes.get(14..18).and_then(|octets| <[u8; 4]>::try_from(octets).ok())
        {
            self.tcp.found(Ipv4Addr::from(sender).into());
        }
    }

    /// Takes an IP packet, or a part of one.
    fn packet(&mut self, packet: &Packet, now: Instant) {
        let Some(fragment) = packet.fragment else { return self.whole(packet, now) };
        if let Some(whole) = self.fragments.add(packet, fragment, now) {
            let packet = Packet {
                payload: &whole.payload,
                header: &whole.header,
                fragment: None,
                ..*packet
            };
            self.whole(&packet, now);
        }
    }

    fn whole(&mut self, packet: &Packet, now: Instant) {
        if self.is_for_dhcp(packet) {
            if let (Some(server), Some((68, 67, payload))) = (&mut self.dhcp, packet.udp()) {
                server.message(payload, &mut self.link);
            }
            return;
        }
        if packet.protocol == IpProtocol::Icmpv6 && self.neighbour_discovery(packet) {
            return;
        }
        if !self.addresses.is_guest(packet.from) {
            return; // spoofed
        }
        self.neighbours.learn(packet.from, packet.mac);
        match packet.protocol {
            IpProtocol::Icmp if packet.to.is_ipv4() => self.icmp(packet, now),
            IpProtocol::Icmpv6 if packet.to.is_ipv6() => self.icmp(packet, now),
            IpProtocol::Tcp => self.with_tcp(now, |tcp, cx| tcp.packet(packet, cx)),
            IpProtocol::Udp => self.datagram(packet, now),
            _ => {}
        }
    }

    /// Whether a packet is one of DHCP's, whose clients may have no address yet.
    fn is_for_dhcp(&self, packet: &Packet) -> bool {
        let Some(net) = self.addresses.ipv4 else { return false };
        let IpAddr::V4(to) = packet.to else { return false };
        let ours = to == net.host() || to == net.broadcast() || to.is_broadcast();
        packet.protocol == IpProtocol::Udp && ours && packet.payload.get(2..4) == Some(&[0, 67])
    }

    /// Takes a message about the link itself. Returns whether it was one.
    fn neighbour_discovery(&mut self, packet: &Packet) -> bool {
        let Some(net) = self.addresses.ipv6 else { return false };
        if !matches!(packet.payload, [133..=137, ..]) {
            return false;
        }
        if self.addresses.is_guest(packet.from) {
            self.neighbours.learn(packet.from, packet.mac);
        }
        if let Some((address, mac)) = ndp::message(packet, &net, &self.boot, &mut self.link) {
            self.neighbours.learn(address, mac);
            self.tcp.found(address);
        }
        true
    }

    fn icmp(&mut self, packet: &Packet, now: Instant) {
        let Some(request) = icmp::echo_request(packet) else { return };
        if self.is_here(packet.to) {
            let path = Path { mac: packet.mac, from: packet.to, to: packet.from };
            return icmp::echo_reply(&mut self.link, &path, request.0, request.1);
        }
        let out = (&mut self.link, &mut self.sockets);
        self.echo.request(packet, request, &self.addresses, out, now);
    }

    /// Whether `address` is one of the network's own.
    fn is_here(&self, address: IpAddr) -> bool {
        let addresses = &self.addresses;
        addresses.is_host(address) || addresses.is_dns(address) || addresses.is_service(address)
    }

    fn datagram(&mut self, packet: &Packet, now: Instant) {
        if let Some((from, to, payload)) = packet.udp() {
            if let (547, Some(net), true) = (to, &self.addresses.ipv6, packet.to.is_ipv6()) {
                return ndp::dhcpv6(packet, payload, net, &self.boot, &mut self.link);
            }
            let guest = SocketAddr::new(packet.from, from);
            let asked = SocketAddr::new(packet.to, to);
            if let (tftp::PORT, Some(tftp)) = (to, &mut self.tftp)
                && self.addresses.is_host(packet.to)
            {
                let ends = (packet.mac, guest, asked);
                tftp.datagram(ends, payload, &mut self.link, now);
                self.expiry = None;
                return;
            }
            if self.forwards.answer(guest, asked, payload, now) {
                return;
            }
        }
        self.with_udp(now, |udp, cx| udp.datagram(packet, cx));
    }

    fn with_udp<T>(
        &mut self,
        now: Instant,
        act: impl FnOnce(&mut udp::Flows, &mut udp::Context) -> T,
    ) -> T {
        let mut cx = udp::Context {
            addresses: &self.addresses,
            link: &mut self.link,
            sockets: &mut self.sockets,
            servers: &mut self.servers,
            now,
        };
        act(&mut self.udp, &mut cx)
    }

    fn with_tcp<T>(
        &mut self,
        now: Instant,
        act: impl FnOnce(&mut tcp::Flows, &mut tcp::Context) -> T,
    ) -> T {
        let mut cx = tcp::Context {
            addresses: &self.addresses,
            neighbours: &self.neighbours,
            link: &mut self.link,
            sockets: &mut self.sockets,
            servers: &mut self.servers,
            service: self.service.as_deref(),
            now,
        };
        act(&mut self.tcp, &mut cx)
    }

    /// Does what sockets and timers have made possible, as far as the guest takes frames.
    pub fn poll(&mut self, now: Instant) {
        for _ in 0..ROUNDS {
            let events = self.sockets.events();
            if events.is_empty() {
                break;
            }
            for (token, ready) in events {
                match token.kind {
                    Kind::Tcp => self.with_tcp(now, |tcp, cx| tcp.event(token, ready, cx)),
                    _ => self.unread.push(token),
                }
            }
        }
        self.with_tcp(now, |tcp, cx| tcp.tick(cx));
        for token in std::mem::take(&mut self.unread) {
            let more = match token.kind {
                Kind::Udp => self.with_udp(now, |udp, cx| udp.event(token, cx)),
                Kind::Echo => self.echo.pump(token, &mut self.link),
                Kind::UdpListener => self.forwarded_datagrams(token, now),
                Kind::TcpListener => self.forwarded_connections(token, now),
                Kind::Tcp => false,
            };
            if more && !self.unread.contains(&token) {
                self.unread.push(token);
            }
        }
        if self.expiry.is_none_or(|at| at <= now) {
            let tftp = self.tftp.as_mut().and_then(|tftp| tftp.expire(&mut self.link, now));
            let times = [self.udp.expire(now), self.echo.expire(now), tftp];
            self.expiry = times.into_iter().flatten().min();
        }
        for address in self.with_tcp(now, |tcp, cx| tcp.run(cx)) {
            self.find(address);
        }
    }

    /// Asks for the card of a guest's address.
    fn find(&mut self, address: IpAddr) {
        match (address, self.addresses.ipv4, self.addresses.ipv6) {
            (IpAddr::V4(address), Some(net), _) => {
                arp::request(&mut self.link, net.host(), address);
            }
            (IpAddr::V6(address), _, Some(net)) => ndp::request(&mut self.link, &net, address),
            _ => {}
        }
    }

    fn forwarded_connections(&mut self, token: Token, now: Instant) -> bool {
        while self.tcp.accepts() {
            let Some(accepted) = self.forwards.accept(token) else { return false };
            let (client, guest) = (accepted.client, accepted.guest);
            self.with_tcp(now, |tcp, cx| tcp.forward(accepted.socket, client, guest, cx));
        }
        true
    }

    fn forwarded_datagrams(&mut self, token: Token, now: Instant) -> bool {
        let find = |guest: SocketAddr| self.neighbours.find(guest.ip());
        let (more, unknown) = self.forwards.pump(token, &self.addresses, &mut self.link, find, now);
        match unknown {
            // They wait in the socket until the guest has answered.
            Some(guest) if self.asked.is_none_or(|at| at <= now) => {
                self.asked = Some(now + ASK);
                self.find(guest.ip());
            }
            _ => {}
        }
        more
    }

    /// The next frame for the guest.
    pub fn receive(&mut self) -> Option<Frame> {
        let frame = self.link.outbox.pop()?;
        self.counters.frames_out += 1;
        Some(frame)
    }

    /// The frame that [`Self::receive`] will return.
    #[must_use]
    pub fn peek(&self) -> Option<&Frame> {
        self.link.outbox.front()
    }

    /// Takes a frame back whose bytes the guest has, so that its memory is used again.
    pub fn recycle(&mut self, frame: Frame) {
        self.link.outbox.recycle(frame.bytes);
    }

    /// When [`Self::poll`] must be called at the latest. A time that is over means: now.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let asked = self.asked.filter(|_| !self.unread.is_empty());
        let times = [self.tcp.deadline(), self.expiry, asked];
        times.into_iter().flatten().min()
    }

    /// Whether [`Self::poll`] has something to do at once, without an event: frames were taken.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        let waits = |token: &Token| token.kind != Kind::UdpListener || self.asked.is_none();
        self.link.outbox.has_room() && (self.tcp.is_busy() || self.unread.iter().any(waits))
    }

    /// What the network has and has done.
    #[must_use]
    pub fn counters(&self) -> Counters {
        Counters {
            tcp_flows: self.tcp.len(),
            udp_flows: self.udp.len(),
            dropped: self.link.outbox.dropped(),
            ..self.counters
        }
    }

    /// Where this host listens for each forwarded port, in the order of the configuration.
    #[must_use]
    pub fn forwarded(&self) -> Vec<Forward> {
        self.forwards.list().collect()
    }
}

impl AsFd for UserNetwork {
    /// Readable when a socket has something for [`Self::poll`].
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.sockets.as_fd()
    }
}
