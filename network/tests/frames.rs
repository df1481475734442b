//! Single frames into the network, and what comes back: ARP, DHCP, ICMP, UDP, fragments, hostile
//! frames.

#![expect(clippy::unwrap_used, reason = "this is how a test fails")]

mod peer;

use std::net::{Ipv4Addr, UdpSocket};
use std::time::Duration;

use network::{BootConfig, Config, Frame, Ipv4Config, Offloads, Resolver};
use peer::{MAC, Raw, config};

const GATEWAY: [u8; 6] = [0x52, 0x55, 10, 0, 2, 2];
const GUEST: [u8; 4] = [10, 0, 2, 15];
const HOST: [u8; 4] = [10, 0, 2, 2];

fn sum(bytes: &[u8]) -> u32 {
    bytes
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | pair.get(1).map_or(0, |b| u32::from(*b)))
        .sum()
}

fn fold(mut sum: u32) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    u16::try_from(sum).unwrap()
}

fn ethernet(ethertype: u16, payload: &[u8]) -> Vec<u8> {
    [&GATEWAY[..], MAC.as_bytes(), &ethertype.to_be_bytes(), payload].concat()
}

/// An IPv4 packet in a frame. `fragment`: identification, and the field with flags and offset.
fn ipv4(from: [u8; 4], to: [u8; 4], protocol: u8, fragment: (u16, u16), payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(20 + payload.len()).unwrap();
    let mut header = vec![0x45, 0];
    header.extend(length.to_be_bytes());
    header.extend(fragment.0.to_be_bytes());
    header.extend(fragment.1.to_be_bytes());
    header.extend([64, protocol, 0, 0]);
    header.extend(from);
    header.extend(to);
    let checksum = !fold(sum(&header));
    header[10..12].copy_from_slice(&checksum.to_be_bytes());
    ethernet(0x0800, &[header, payload.to_vec()].concat())
}

/// A UDP datagram without a checksum.
fn udp_bytes(from: u16, to: u16, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(8 + payload.len()).unwrap();
    let fields = [from, to, length, 0];
    let header: Vec<u8> = fields.iter().flat_map(|field| field.to_be_bytes()).collect();
    [header, payload.to_vec()].concat()
}

fn udp(to: [u8; 4], from_port: u16, to_port: u16, payload: &[u8]) -> Vec<u8> {
    ipv4(GUEST, to, 17, (0, 0), &udp_bytes(from_port, to_port, payload))
}

fn echo(to: [u8; 4]) -> Vec<u8> {
    let mut message = vec![8, 0, 0, 0, 0x12, 0x34, 0, 1];
    message.extend(b"ping");
    let checksum = !fold(sum(&message));
    message[2..4].copy_from_slice(&checksum.to_be_bytes());
    ipv4(GUEST, to, 1, (0, 0), &message)
}

fn tcp(to: [u8; 4], ports: (u16, u16), seq: u32, flags: u8) -> Vec<u8> {
    let mut segment = Vec::new();
    segment.extend(ports.0.to_be_bytes());
    segment.extend(ports.1.to_be_bytes());
    segment.extend(seq.to_be_bytes());
    segment.extend([0; 4]);
    segment.extend([0x50, flags, 0x40, 0, 0, 0, 0, 0]);
    let pseudo = sum(&GUEST) + sum(&to) + 6 + u32::try_from(segment.len()).unwrap();
    let checksum = !fold(pseudo + sum(&segment));
    segment[16..18].copy_from_slice(&checksum.to_be_bytes());
    ipv4(GUEST, to, 6, (0, 0), &segment)
}

/// The IP payload of a frame whose IP header must be right: source, protocol, payload.
fn parse(frame: &Frame) -> ([u8; 4], u8, &[u8]) {
    let packet = &frame.bytes[14..];
    assert_eq!(frame.bytes[6..12], GATEWAY);
    assert_eq!(packet[0], 0x45);
    assert_eq!(fold(sum(&packet[..20])), 0xffff, "the header's checksum");
    assert_eq!(usize::from(u16::from_be_bytes([packet[2], packet[3]])), packet.len());
    (packet[12..16].try_into().unwrap(), packet[9], &packet[20..])
}

/// Type and code of the one ICMP error in `frames`.
fn icmp_error(frames: &[Frame]) -> (u8, u8) {
    assert_eq!(frames.len(), 1, "{frames:?}");
    let frame = &frames[0];
    let (_, protocol, message) = parse(frame);
    assert_eq!(protocol, 1);
    assert_eq!(fold(sum(message)), 0xffff, "the checksum");
    (message[0], message[1])
}

#[test]
fn arp_finds_the_gateway_and_the_dns_server_alone() {
    let request = |target: u8| {
        let head = [0, 1, 8, 0, 6, 4, 0, 1];
        let parts = [&head[..], MAC.as_bytes(), &GUEST, &[0; 6], &[10, 0, 2, target]];
        ethernet(0x0806, &parts.concat())
    };
    let mut raw = Raw::new(&config());
    for (target, answered) in [(2, true), (3, true), (4, false), (15, false), (99, false)] {
        let frames = raw.send(&request(target));
        assert_eq!(!frames.is_empty(), answered, "10.0.2.{target}");
        if let [frame] = &frames[..] {
            assert_eq!(frame.bytes[..6], *MAC.as_bytes());
            assert_eq!(frame.bytes[20..22], [0, 2]);
            assert_eq!(frame.bytes[22..32], [&GATEWAY[..], &[10, 0, 2, target]].concat());
        }
    }
}

/// A DHCP message with these options behind the cookie.
fn dhcp(mac: [u8; 6], client: [u8; 4], options: &[u8]) -> Vec<u8> {
    let mut message = vec![1, 1, 6, 0, 0xaa, 0xbb, 0xcc, 0xdd, 0, 0, 0, 0];
    message.extend(client);
    message.resize(28, 0);
    message.extend(mac);
    message.resize(236, 0);
    message.extend([99, 130, 83, 99]);
    message.extend(options);
    message.push(255);
    ipv4(client, [255; 4], 17, (0, 0), &udp_bytes(68, 67, &message))
}

/// Of a reply: the address given, and an option.
fn dhcp_reply(frames: &[Frame]) -> (Ipv4Addr, impl Fn(u8) -> Option<Vec<u8>> + use<>) {
    assert_eq!(frames.len(), 1, "{frames:?}");
    let frame = &frames[0];
    let (from, protocol, datagram) = parse(frame);
    assert_eq!((from, protocol), (HOST, 17));
    assert_eq!(datagram[..4], [0, 67, 0, 68]);
    let message = datagram[8..].to_vec();
    assert!(message.len() >= 300);
    assert_eq!(message[..8], [2, 1, 6, 0, 0xaa, 0xbb, 0xcc, 0xdd]);
    let given: [u8; 4] = message[16..20].try_into().unwrap();
    let option = move |code| {
        let mut rest = &message[240..];
        while let [at, length, ..] = *rest {
            if at == 255 {
                return None;
            }
            let value = &rest[2..2 + usize::from(length)];
            if at == code {
                return Some(value.to_vec());
            }
            rest = &rest[2 + usize::from(length)..];
        }
        None
    };
    (given.into(), option)
}

#[test]
fn dhcp_gives_the_address_and_what_the_options_say() {
    let boot = BootConfig {
        hostname: Some("guest".into()),
        domain_name: Some("example.org".into()),
        search: vec!["a.example".into(), "b".into()],
        boot_file: Some("pxelinux.0".into()),
        tftp_server_name: Some("10.0.2.2".into()),
    };
    let mut raw = Raw::new(&Config { boot, ..config() });
    let mac = [0x52, 0x54, 0, 0x12, 0x34, 0x56];
    let (given, option) = dhcp_reply(&raw.send(&dhcp(mac, [0; 4], &[53, 1, 1])));
    assert_eq!(given, Ipv4Addr::from(GUEST));
    assert_eq!(option(53), Some(vec![2]));
    let request = [53, 1, 3, 50, 4, 10, 0, 2, 15, 54, 4, 10, 0, 2, 2];
    let frames = raw.send(&dhcp(mac, [0; 4], &request));
    let (given, option) = dhcp_reply(&frames);
    assert_eq!(given, Ipv4Addr::from(GUEST));
    for (code, value) in [
        (53, &[5][..]),
        (1, &[255, 255, 255, 0]),
        (3, &HOST),
        (6, &[10, 0, 2, 3]),
        (51, &86400_u32.to_be_bytes()),
        (54, &HOST),
        (12, b"guest"),
        (15, b"example.org"),
        (66, b"10.0.2.2"),
        (67, b"pxelinux.0"),
        (119, b"\x01a\x07example\0\x01b\0"),
    ] {
        assert_eq!(option(code).as_deref(), Some(value), "option {code}");
    }
    let message = &frames[0].bytes[42..];
    assert_eq!(message[20..24], HOST, "siaddr");
    assert_eq!(message[108..119], *b"pxelinux.0\0", "file");
}

#[test]
fn dhcp_refuses_an_address_of_another_network_and_gives_each_card_its_own() {
    let mut raw = Raw::new(&config());
    let card = |last| [0x52, 0x54, 0, 0, 0, last];
    let wanted = [53, 1, 3, 50, 4, 192, 168, 0, 7];
    let (given, option) = dhcp_reply(&raw.send(&dhcp(card(1), [0; 4], &wanted)));
    assert_eq!((given, option(53)), (Ipv4Addr::UNSPECIFIED, Some(vec![6])));
    let mut all = std::collections::BTreeSet::new();
    for last in 1..=16 {
        all.insert(dhcp_reply(&raw.send(&dhcp(card(last), [0; 4], &[53, 1, 1]))).0);
    }
    assert_eq!(all.len(), 16);
    // A thousand more cards get along with as many leases.
    for number in 0..1000_u16 {
        let [a, b] = number.to_be_bytes();
        let mac = [0x52, 0x54, 1, 0, a, b];
        all.insert(dhcp_reply(&raw.send(&dhcp(mac, [0; 4], &[53, 1, 1]))).0);
    }
    assert!(all.len() <= 32, "{all:?}");
    // A request to another server is not ours; one without any type is BOOTP.
    let other = [53, 1, 3, 50, 4, 10, 0, 2, 15, 54, 4, 10, 0, 2, 9];
    assert!(raw.send(&dhcp(card(1), [0; 4], &other)).is_empty());
    let (given, option) = dhcp_reply(&raw.send(&dhcp(card(1), [0; 4], &[])));
    assert!(!given.is_unspecified());
    assert_eq!(option(53), None);
}

#[test]
fn another_network_has_its_own_addresses() {
    let net = Ipv4Config::new([192, 168, 76, 0].into(), 24, None, None, None).unwrap();
    let mut raw = Raw::new(&Config { ipv4: Some(net), ..config() });
    let frame = dhcp([0x52, 0x54, 0, 0, 0, 1], [0; 4], &[53, 1, 1]);
    let frames = raw.send(&frame);
    assert_eq!(frames[0].bytes[26..30], [192, 168, 76, 2]);
    assert_eq!(frames[0].bytes[58..62], [192, 168, 76, 15]);
    assert!(raw.send(&echo(HOST)).is_empty(), "10.0.2.15 is not of this network");
}

#[test]
fn host_dns_and_dhcpstart_are_what_the_options_say() {
    let [host, dns, first] = [9, 8, 77].map(|last| Some(Ipv4Addr::new(192, 168, 76, last)));
    let net = Ipv4Config::new([192, 168, 76, 0].into(), 24, host, dns, first).unwrap();
    let mut raw = Raw::new(&Config { ipv4: Some(net), ..config() });
    let frames = raw.send(&dhcp([0x52, 0x54, 0, 0, 0, 1], [0; 4], &[53, 1, 1]));
    let message = &frames[0].bytes;
    assert_eq!(
        (&message[26..30], &message[58..62]),
        (&[192, 168, 76, 9][..], &[192, 168, 76, 77][..])
    );
    let has = |option: &[u8]| message.windows(option.len()).any(|window| window == option);
    assert!(has(&[3, 4, 192, 168, 76, 9]), "the router");
    assert!(has(&[6, 4, 192, 168, 76, 8]), "the name server");
    let mut ping = |to: u8, answered| {
        let frame = ipv4([192, 168, 76, 77], [192, 168, 76, to], 1, (0, 0), &echo(HOST)[34..]);
        let frames = raw.send(&frame);
        assert_eq!(frames.first().map(|frame| parse(frame).2[0]), answered, "{to}");
    };
    ping(9, Some(0));
    ping(8, Some(0));
    ping(2, Some(3));
}

#[test]
fn a_network_has_one_version_of_ip_only_if_asked() {
    let solicitation =
        ipv6("fe80::5054:ff:fe12:3456", "ff02::2", 58, &[133, 0, 0, 0, 0, 0, 0, 0], 2);
    let discover = dhcp([0x52, 0x54, 0, 0, 0, 1], [0; 4], &[53, 1, 1]);
    let mut raw = Raw::new(&Config { ipv4: None, ..config() });
    assert_eq!((raw.send(&solicitation).len(), raw.send(&discover).len()), (1, 0));
    assert!(raw.send(&echo(HOST)).is_empty());
    let mut raw = Raw::new(&Config { ipv6: None, ..config() });
    assert_eq!((raw.send(&solicitation).len(), raw.send(&discover).len()), (0, 1));
}

#[test]
fn addresses_that_no_router_knows_are_unreachable() {
    let mut raw = Raw::new(&config());
    // On this link, where nobody else is; the host's loopback by its own name; and this network.
    for to in [[10, 0, 2, 99], [127, 0, 0, 1], [0, 0, 0, 1]] {
        for frame in [tcp(to, (5000, 80), 1, 2), udp(to, 5000, 7, b""), echo(to)] {
            assert_eq!(icmp_error(&raw.send(&frame)), (3, 1), "{to:?}");
        }
    }
    // Nothing is said about what was sent to many (RFC 1122 section 3.2.2).
    for to in [[10, 0, 2, 255], [255; 4], [224, 0, 0, 251]] {
        for frame in [tcp(to, (5000, 80), 1, 2), udp(to, 5000, 7, b""), echo(to)] {
            assert!(raw.send(&frame).is_empty(), "{to:?}");
        }
    }
    let counters = raw.network.counters();
    assert_eq!((counters.tcp_flows, counters.udp_flows), (0, 0));
}

#[test]
fn the_gateway_answers_echo_requests() {
    let mut raw = Raw::new(&config());
    for last in [2, 3] {
        let frames = raw.send(&echo([10, 0, 2, last]));
        let (from, protocol, message) = parse(&frames[0]);
        assert_eq!((from, protocol), ([10, 0, 2, last], 1));
        assert_eq!(fold(sum(message)), 0xffff);
        assert_eq!((message[0], &message[4..]), (0, &b"\x12\x34\0\x01ping"[..]));
    }
}

#[test]
fn udp_reaches_the_hosts_loopback_and_comes_back() {
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port();
    let mut raw = Raw::new(&config());
    raw.send(&udp(HOST, 5000, port, b"question"));
    let mut buffer = [0; 100];
    server.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let (count, from) = server.recv_from(&mut buffer).unwrap();
    assert_eq!(&buffer[..count], b"question");
    server.send_to(b"answer", from).unwrap();
    // From another port of the same address, as TFTP servers do.
    UdpSocket::bind("127.0.0.1:0").unwrap().send_to(b"second", from).unwrap();
    let mut answers = Vec::new();
    while answers.len() < 2 {
        let frames = raw.wait();
        assert!(!frames.is_empty());
        answers.extend(frames);
    }
    let (source, protocol, datagram) = parse(&answers[0]);
    assert_eq!((source, protocol), (HOST, 17));
    assert_eq!(datagram[..4], [port.to_be_bytes(), 5000_u16.to_be_bytes()].concat());
    assert_eq!(&datagram[8..], b"answer");
    let pseudo = sum(&HOST) + sum(&GUEST) + 17 + u32::try_from(datagram.len()).unwrap();
    assert_eq!(fold(pseudo + sum(datagram)), 0xffff, "the checksum");
    assert_eq!(&parse(&answers[1]).2[8..], b"second");
    assert_eq!(raw.network.counters().udp_flows, 1);
    raw.now += Duration::from_secs(121);
    raw.poll();
    assert_eq!(raw.network.counters().udp_flows, 0, "it has expired");
}

#[test]
fn udp_flows_are_bounded() {
    let mut raw = Raw::new(&config());
    for port in 1000..3000 {
        raw.send(&udp(HOST, port, 9, b""));
    }
    assert!(raw.network.counters().udp_flows <= 512);
}

#[test]
fn names_that_are_asked_for_ever_are_bounded_and_expire() {
    let mut raw = Raw::new(&config());
    for port in 1000..6000 {
        raw.send(&udp([10, 0, 2, 3], port, 53, b"a query"));
    }
    let flows = raw.network.counters().udp_flows;
    assert!((1..=512).contains(&flows), "{flows}");
    raw.now += Duration::from_secs(21);
    raw.poll();
    assert_eq!(raw.network.counters().udp_flows, 0);
}

#[test]
fn dns_queries_go_to_the_resolver_and_no_one_else_answers() {
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    server.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let resolver = Resolver::Server(server.local_addr().unwrap());
    let mut raw = Raw::new(&Config { resolver, ..config() });
    raw.send(&udp([10, 0, 2, 3], 5353, 53, b"a query"));
    let mut buffer = [0; 100];
    let (count, from) = server.recv_from(&mut buffer).unwrap();
    assert_eq!(&buffer[..count], b"a query");
    UdpSocket::bind("127.0.0.1:0").unwrap().send_to(b"forged", from).unwrap();
    server.send_to(b"an answer", from).unwrap();
    let frames = raw.wait();
    let (source, _, datagram) = parse(&frames[0]);
    assert_eq!((source, frames.len()), ([10, 0, 2, 3], 1));
    assert_eq!(datagram[..4], [0, 53, 0x14, 0xe9]);
    assert_eq!(&datagram[8..], b"an answer");
    // Other ports of the DNS server are closed.
    assert_eq!(icmp_error(&raw.send(&udp([10, 0, 2, 3], 5353, 54, b""))), (3, 3));
}

#[test]
fn dns_queries_by_ipv6_go_to_the_resolver() {
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    server.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let resolver = Resolver::Server(server.local_addr().unwrap());
    let mut raw = Raw::new(&Config { resolver, ..config() });
    raw.send(&ipv6("fec0::15", "fec0::3", 17, &udp_bytes(5353, 53, b"a query"), 6));
    let mut buffer = [0; 100];
    let (count, from) = server.recv_from(&mut buffer).unwrap();
    assert_eq!(&buffer[..count], b"a query");
    server.send_to(b"an answer", from).unwrap();
    let mut frames = raw.wait();
    // A guest that has not been heard of is asked for by its address first.
    while frames.iter().all(|frame| frame.bytes[20] != 17) {
        let more = raw.wait();
        assert!(!more.is_empty());
        frames.extend(more);
    }
    let answer = frames.iter().find(|frame| frame.bytes[20] == 17).unwrap();
    let (source, datagram) = parse6(answer);
    assert_eq!((source.to_string().as_str(), &datagram[8..]), ("fec0::3", &b"an answer"[..]));
}

#[test]
fn a_resolver_that_is_not_there_is_reported() {
    let mut raw = Raw::new(&config());
    let mut frames = raw.send(&udp([10, 0, 2, 3], 5353, 53, b"a query"));
    if frames.is_empty() {
        frames = raw.wait();
    }
    assert_eq!(icmp_error(&frames), (3, 3));
}

#[test]
fn fragments_are_put_together_and_large_datagrams_are_split() {
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    server.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let port = server.local_addr().unwrap().port();
    let payload: Vec<u8> = (0..4000_u16).map(|at| at.to_be_bytes()[1]).collect();
    let datagram = udp_bytes(5000, port, &payload);
    let mut raw = Raw::new(&config());
    let piece = |at: usize, end: usize, more: u16| {
        let field = more << 13 | u16::try_from(at / 8).unwrap();
        ipv4(GUEST, HOST, 17, (7, field), &datagram[at..end])
    };
    // Out of order, and one twice.
    for frame in [piece(2960, 4008, 0), piece(0, 1480, 1), piece(0, 1480, 1), piece(1480, 2960, 1)]
    {
        assert!(raw.send(&frame).is_empty());
    }
    let mut buffer = [0; 5000];
    let (count, from) = server.recv_from(&mut buffer).unwrap();
    assert_eq!(buffer[..count], payload);
    server.send_to(&payload, from).unwrap();
    let frames = raw.wait();
    assert_eq!(frames.len(), 3);
    let mut whole = Vec::new();
    for frame in &frames {
        let (_, _, part) = parse(frame);
        let field = u16::from_be_bytes([frame.bytes[20], frame.bytes[21]]);
        assert_eq!(usize::from(field & 0x1fff) * 8, whole.len());
        assert_eq!(field & 0x2000 != 0, whole.len() < 2960);
        whole.extend_from_slice(part);
    }
    assert_eq!(whole[8..], payload);
}

#[test]
fn fragments_that_overlap_or_never_end_come_to_nothing() {
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    server.set_nonblocking(true).unwrap();
    let port = server.local_addr().unwrap().port();
    let datagram = udp_bytes(5000, port, &[0; 3000]);
    let mut raw = Raw::new(&config());
    raw.send(&ipv4(GUEST, HOST, 17, (8, 0x2000), &datagram[..1480]));
    raw.send(&ipv4(GUEST, HOST, 17, (8, 0x2000 | 100), &datagram[800..2280]));
    raw.send(&ipv4(GUEST, HOST, 17, (8, 185), &datagram[1480..]));
    // Beyond 65,535 bytes, and a flood of beginnings.
    raw.send(&ipv4(GUEST, HOST, 17, (9, 0x1fff), &datagram[..1480]));
    for identification in 0..1000 {
        raw.send(&ipv4(GUEST, HOST, 17, (identification, 0x2000), &datagram[..1480]));
    }
    assert!(server.recv(&mut [0; 10]).is_err());
}

#[test]
fn restrict_leaves_dhcp_and_the_gateway() {
    let mut raw = Raw::new(&Config { restrict: true, ..config() });
    assert_eq!(raw.send(&dhcp([0x52, 0x54, 0, 0, 0, 1], [0; 4], &[53, 1, 1])).len(), 1);
    assert_eq!(parse(&raw.send(&echo(HOST))[0]).2[0], 0);
    for frame in [
        udp(HOST, 5000, 7, b""),
        udp([10, 0, 2, 3], 5000, 53, b""),
        udp([192, 0, 2, 1], 5000, 7, b""),
        echo([192, 0, 2, 1]),
        tcp(HOST, (5000, 80), 1, 2),
        tcp([192, 0, 2, 1], (5000, 80), 1, 2),
    ] {
        assert_eq!(icmp_error(&raw.send(&frame)), (3, 13));
    }
    assert_eq!(raw.network.counters().udp_flows + raw.network.counters().tcp_flows, 0);
}

#[test]
fn segments_of_no_connection_are_reset() {
    let mut raw = Raw::new(&config());
    for (flags, length) in [(0x10, 0), (0x12, 0), (0x01, 1), (0x00, 0)] {
        let frames = raw.send(&tcp(HOST, (5000, 9), 1000, flags));
        let (_, protocol, segment) = parse(&frames[0]);
        assert_eq!(protocol, 6);
        if flags & 0x10 == 0 {
            assert_eq!(segment[13], 0x14, "RST and ACK");
            let ack = u32::from_be_bytes(segment[8..12].try_into().unwrap());
            assert_eq!(ack, 1000 + length);
        } else {
            assert_eq!(segment[13], 0x04, "RST");
        }
    }
    assert!(raw.send(&tcp(HOST, (5000, 9), 1000, 0x04)).is_empty(), "a reset is not answered");
}

#[test]
fn spoofed_and_misdirected_frames_are_dropped() {
    let mut raw = Raw::new(&config());
    let message = &echo(HOST)[34..];
    for from in
        [[10, 0, 2, 2], [10, 0, 2, 3], [10, 0, 2, 255], [127, 0, 0, 1], [192, 0, 2, 1], [0; 4]]
    {
        assert!(raw.send(&ipv4(from, HOST, 1, (0, 0), message)).is_empty(), "{from:?}");
    }
    let mut frame = echo(HOST);
    frame[0] = 0x52;
    frame[5] = 9;
    assert!(raw.send(&frame).is_empty(), "for another card");
    let mut frame = echo(HOST);
    frame[6] = 0xff;
    assert!(raw.send(&frame).is_empty(), "from a group");
    let mut frame = echo(HOST);
    frame[24] ^= 1;
    assert!(raw.send(&frame).is_empty(), "a wrong header checksum");
    let mut frame = echo(HOST);
    frame[40] ^= 1;
    assert!(raw.send(&frame).is_empty(), "a wrong ICMP checksum");
}

#[test]
fn every_cut_and_every_flipped_bit_is_harmless() {
    let mut raw =
        Raw::with_offloads(&config(), Offloads { checksum: true, tso4: true, tso6: true });
    let frames = [
        echo(HOST),
        udp([10, 0, 2, 3], 1, 53, b"x"),
        tcp(HOST, (1, 9), 0, 2),
        dhcp([2, 0, 0, 0, 0, 1], [0; 4], &[53, 1, 3, 50, 4, 10, 0, 2, 15]),
    ];
    for frame in &frames {
        for length in 0..frame.len() {
            raw.send(&frame[..length]);
        }
        for bit in 0..frame.len().min(300) * 8 {
            let mut frame = frame.clone();
            frame[bit / 8] ^= 1 << (bit % 8);
            raw.send(&frame);
        }
    }
    assert_eq!(raw.send(&echo(HOST)).len(), 1, "it still works");
}

#[test]
fn a_flood_of_syns_is_bounded() {
    // Nobody answers at 192.0.2.1, if there is a route there at all.
    let mut raw = Raw::new(&config());
    for port in 1..5000 {
        raw.send(&tcp([192, 0, 2, 1], (port, 80), 1, 2));
    }
    assert!(raw.network.counters().tcp_flows <= 256);
}

#[test]
fn frames_that_the_guest_does_not_take_are_bounded() {
    let mut raw = Raw::new(&config());
    for _ in 0..10_000 {
        raw.network.send(&echo(HOST), network::Checksum::Complete, raw.now);
    }
    assert!(raw.poll().len() <= 256);
    assert!(raw.network.counters().dropped > 0);
}

/// An ICMPv6 message or a UDP datagram over IPv6, with its checksum at `at`.
fn ipv6(from: &str, to: &str, next: u8, payload: &[u8], at: usize) -> Vec<u8> {
    let address = |text: &str| text.parse::<std::net::Ipv6Addr>().unwrap().octets();
    let (from, to) = (address(from), address(to));
    let length = u16::try_from(payload.len()).unwrap();
    let mut payload = payload.to_vec();
    let pseudo = sum(&from) + sum(&to) + u32::from(next) + u32::from(length);
    let checksum = !fold(pseudo + sum(&payload));
    payload[at..at + 2].copy_from_slice(&checksum.to_be_bytes());
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend(length.to_be_bytes());
    packet.extend([next, 255]);
    packet.extend(from);
    packet.extend(to);
    packet.extend(payload);
    ethernet(0x86dd, &packet)
}

/// Source and payload of an IPv6 frame whose checksum at `at` must be right.
fn parse6(frame: &Frame) -> (std::net::Ipv6Addr, &[u8]) {
    let packet = &frame.bytes[14..];
    let (from, payload) = (<[u8; 16]>::try_from(&packet[8..24]).unwrap(), &packet[40..]);
    let pseudo = sum(&packet[8..40]) + u32::from(packet[6]) + u32::try_from(payload.len()).unwrap();
    assert_eq!(fold(pseudo + sum(payload)), 0xffff, "the checksum");
    (from.into(), payload)
}

#[test]
fn routers_are_solicited_and_advertise_prefix_and_dns_server() {
    let search = vec!["a.example".to_owned()];
    let boot = BootConfig { search, ..BootConfig::default() };
    let mut raw = Raw::new(&Config { boot, ..config() });
    let solicitation = [133, 0, 0, 0, 0, 0, 0, 0];
    for from in ["fe80::5054:ff:fe12:3456", "::"] {
        let frames = raw.send(&ipv6(from, "ff02::2", 58, &solicitation, 2));
        let (source, message) = parse6(&frames[0]);
        assert_eq!(source.to_string(), "fe80::2");
        assert_eq!((message[0], message[5]), (134, 0x40));
        let options = &message[16..];
        assert_eq!(options[..8], [1, 1, 0x52, 0x55, 10, 0, 2, 2], "our Ethernet address");
        assert_eq!(options[8..12], [3, 4, 64, 0xc0], "a /64, on-link, autonomous");
        assert_eq!(options[24..28], [0xfe, 0xc0, 0, 0]);
        assert_eq!((options[40], options[41], options[63]), (25, 3, 3), "fec0::3");
        assert_eq!((options[64], options[65]), (31, 3));
        assert_eq!(&options[72..83], b"\x01a\x07example\0");
        assert_eq!(options.len(), 88);
    }
    // From beyond the link.
    let mut far = ipv6("fe80::1", "ff02::2", 58, &solicitation, 2);
    far[21] = 64;
    assert!(raw.send(&far).is_empty());
}

#[test]
fn neighbours_find_the_gateway_and_the_dns_server_alone() {
    let mut raw = Raw::new(&config());
    let solicit = |target: &str| {
        let mut message = vec![135, 0, 0, 0, 0, 0, 0, 0];
        message.extend(target.parse::<std::net::Ipv6Addr>().unwrap().octets());
        message
    };
    for (target, answered) in [
        ("fec0::2", true),
        ("fec0::3", true),
        ("fe80::2", true),
        ("fec0::4", false),
        ("fec0::15", false),
    ] {
        let frames = raw.send(&ipv6("fec0::15", "ff02::1:ff00:2", 58, &solicit(target), 2));
        assert_eq!(!frames.is_empty(), answered, "{target}");
        if answered {
            let (source, message) = parse6(&frames[0]);
            assert_eq!(source.to_string(), target);
            assert_eq!((message[0], message[4]), (136, 0xe0));
            assert_eq!(message[24..], [2, 1, 0x52, 0x55, 10, 0, 2, 2]);
        }
    }
}

#[test]
fn dhcpv6_tells_the_dns_server_and_the_boot_file() {
    let boot = BootConfig { boot_file: Some("/boot.efi".into()), ..BootConfig::default() };
    let mut raw = Raw::new(&Config { boot, ..config() });
    let request = [11, 1, 2, 3, 0, 1, 0, 4, 0, 3, 0, 1, 0, 6, 0, 4, 0, 23, 0, 59];
    let mut datagram = udp_bytes(546, 547, &request);
    datagram.truncate(8 + request.len());
    let frames = raw.send(&ipv6("fe80::1:1", "ff02::1:2", 17, &datagram, 6));
    let (_, datagram) = parse6(&frames[0]);
    let reply = &datagram[8..];
    assert_eq!(reply[..12], [7, 1, 2, 3, 0, 1, 0, 4, 0, 3, 0, 1], "the client's identifier");
    let text = String::from_utf8_lossy(reply);
    assert!(text.contains("tftp://[fec0::2]/boot.efi"), "{text}");
    let dns = [0, 23, 0, 16, 0xfe, 0xc0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3];
    assert!(reply.windows(dns.len()).any(|window| window == dns));
}

#[test]
fn the_gateway_answers_echo_requests_by_ipv6() {
    let mut raw = Raw::new(&config());
    for to in ["fec0::2", "fec0::3", "fe80::2"] {
        let frames = raw.send(&ipv6("fec0::15", to, 58, b"\x80\0\0\0\x12\x34\0\x01ping", 2));
        let (source, message) = parse6(&frames[0]);
        assert_eq!((source.to_string().as_str(), message[0]), (to, 129));
        assert_eq!(&message[4..], b"\x12\x34\0\x01ping");
    }
    let off = Config { ipv6: None, ..config() };
    let frame = ipv6("fec0::15", "fec0::2", 58, b"\x80\0\0\0\x12\x34\0\x01ping", 2);
    assert!(Raw::new(&off).send(&frame).is_empty(), "ipv6=off");
}
