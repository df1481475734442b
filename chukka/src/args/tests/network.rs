use network::{Config, Ipv4Config, Ipv6Config, Protocol};

use super::{refusal, request};
use crate::args::shown_mac;
use crate::request::{DumpConfig, NetworkConfig, StreamAddress, StreamConfig, TapConfig};

/// The addresses of the cards that these words ask for.
fn macs(words: &[&str]) -> Vec<String> {
    request(words).cards.iter().map(|card| shown_mac(card.mac)).collect()
}

/// The user network with these properties.
fn user(properties: &str) -> Config {
    let mut cards = request(&["-nic", &format!("user,{properties}")]).cards;
    match cards.remove(0).network {
        NetworkConfig::User(config) => *config,
        other => panic!("{other:?}"),
    }
}

#[test]
fn there_is_no_card_unless_one_is_asked_for() {
    for words in [&[][..], &["-nic", "none"], &["-net", "none"], &["-nodefaults"]] {
        assert_eq!(macs(words), [""; 0], "{words:?}");
    }
}

#[test]
fn cards_are_spelt_as_in_qemu() {
    for words in [
        &["-nic", "user"][..],
        &["-nic", "user,model=virtio"],
        &["-nic", "type=user,model=virtio-net-device,id=n"],
        &["-net", "nic,model=virtio", "-net", "user"],
        &["-net", "user", "-net", "nic"],
        &["-netdev", "user,id=n0", "-device", "virtio-net,netdev=n0"],
        &["-device", "virtio-net-device,netdev=n0,romfile=", "-netdev", "user,id=n0"],
        &["-M", "pc", "-netdev", "user,id=n0", "-device", "virtio-net-pci,netdev=n0,id=c"],
        &["-M", "pc", "-nic", "user,model=virtio-net-pci"],
    ] {
        assert_eq!(macs(words), ["52:54:00:12:34:56"], "{words:?}");
        assert_eq!(request(words).cards[0].network, NetworkConfig::User(Box::default()));
    }
}

#[test]
fn offloads_are_switched_off_as_in_qemu() {
    let device = "virtio-net,netdev=n,host_tso4=off,csum=on,mrg_rxbuf=off,guest_tso6=off";
    let withheld =
        |device: &str| request(&["-netdev", "user,id=n", "-device", device]).cards[0].withheld;
    // Bits 11, 15 and 8 (virtio 1.2, 5.1.3).
    assert_eq!(withheld(device), 1 << 11 | 1 << 15 | 1 << 8);
    assert_eq!(withheld("virtio-net,netdev=n,host_tso4=off,host_tso4=on"), 0);
    let refused = refusal(&["-netdev", "user,id=n", "-device", "virtio-net,netdev=n,csum=maybe"]);
    assert!(refused.0.contains("csum=maybe"), "{refused:?}");
}

#[test]
fn each_card_has_an_address_of_its_own() {
    let words = [
        "-device",
        "virtio-net,netdev=a,mac=02:00:00:00:00:01",
        "-netdev",
        "user,id=a",
        "-nic",
        "user",
        "-nic",
        "user,mac=52-54-0-12-34-57",
        "-nic",
        "user",
    ];
    let expected =
        ["52:54:00:12:34:56", "52:54:00:12:34:57", "52:54:00:12:34:58", "02:00:00:00:00:01"];
    assert_eq!(macs(&words), expected, "those of -nic come first");
    let (text, _) =
        refusal(&["-nic", "user,mac=2:0:0:0:0:1", "-nic", "user,mac=02:00:00:00:00:01"]);
    assert_eq!(text, "mac=02:00:00:00:00:01, given twice: expected each address once");
}

#[test]
fn a_user_network_has_qemu_s_properties() {
    let config = user(
        "net=192.168.76.0/24,dhcpstart=192.168.76.9,host=192.168.76.1,dns=192.168.76.2,restrict=on,\
         hostname=h,domainname=d.example,dnssearch=a.example,dnssearch=b.example,tftp=/srv/a,,b,\
         bootfile=pxelinux.0,tftp-server-name=t,ipv6-prefix=fd00:1::,\
         hostfwd=tcp::2222-:22,hostfwd=udp:127.0.0.1:53-192.168.76.20:5353,hostfwd=:[::1]:80-[fd00:1::9]:80",
    );
    let address = |text: &str| text.parse().unwrap();
    let net = Ipv4Config::new(
        address("192.168.76.0"),
        24,
        Some(address("192.168.76.1")),
        Some(address("192.168.76.2")),
        Some(address("192.168.76.9")),
    );
    assert_eq!(config.ipv4, Some(net.unwrap()));
    assert_eq!(config.ipv6, Some(Ipv6Config::new("fd00:1::".parse().unwrap()).unwrap()));
    assert!(config.restrict);
    assert_eq!(config.tftp.as_deref(), Some("/srv/a,b".as_ref()));
    assert_eq!(config.boot.search, ["a.example", "b.example"]);
    assert_eq!(config.boot.hostname.as_deref(), Some("h"));
    assert_eq!(config.boot.domain_name.as_deref(), Some("d.example"));
    assert_eq!(config.boot.boot_file.as_deref(), Some("pxelinux.0"));
    assert_eq!(config.boot.tftp_server_name.as_deref(), Some("t"));
    let forwards: Vec<_> = config
        .forwards
        .iter()
        .map(|forward| (forward.protocol, forward.host.to_string(), forward.guest.to_string()))
        .collect();
    let expected = [
        (Protocol::Tcp, "0.0.0.0:2222", "192.168.76.9:22"),
        (Protocol::Udp, "127.0.0.1:53", "192.168.76.20:5353"),
        (Protocol::Tcp, "[::1]:80", "[fd00:1::9]:80"),
    ];
    assert_eq!(
        forwards,
        expected.map(|(protocol, host, guest)| (protocol, host.into(), guest.into()))
    );
}

#[test]
fn tap_interfaces_and_connections_are_spelt_as_in_qemu() {
    let network = |nic: &str| request(&["-nic", nic]).cards.remove(0).network;
    let name = NetworkConfig::Tap(TapConfig::Name("tap0".into()));
    assert_eq!(network("tap,ifname=tap0,script=no,downscript=no"), name);
    assert_eq!(network("tap,ifname=tap0,vhost=off,vnet_hdr=on,queues=1"), name);
    assert_eq!(network("tap,fd=3"), NetworkConfig::Tap(TapConfig::Descriptor(3)));
    let stream = |is_server, address| NetworkConfig::Stream(StreamConfig { is_server, address });
    assert_eq!(
        network("stream,server=off,addr.type=unix,addr.path=/tmp/passt_1.socket"),
        stream(false, StreamAddress::Unix("/tmp/passt_1.socket".into()))
    );
    assert_eq!(
        network("stream,server=on,addr.type=inet,addr.host=127.0.0.1,addr.port=5555"),
        stream(true, StreamAddress::Inet("127.0.0.1".into(), 5555))
    );
}

#[test]
fn frames_are_recorded_where_a_filter_says_so() {
    let dumps =
        |words: &[&str]| request(words).cards.into_iter().map(|card| card.dump).collect::<Vec<_>>();
    let dump = |max_length| Some(DumpConfig { path: "x.pcap".into(), max_length });
    let words = [
        "-object",
        "filter-dump,id=f,netdev=n1,file=x.pcap",
        "-nic",
        "user,id=n0",
        "-netdev",
        "user,id=n1",
        "-device",
        "virtio-net,netdev=n1",
    ];
    assert_eq!(dumps(&words), [None, dump(65_536)]);
    let object = "filter-dump,id=f,netdev=n0,file=x.pcap,maxlen=128";
    assert_eq!(dumps(&["-nic", "user,id=n0", "-object", object]), [dump(128)]);
}

#[test]
fn one_version_of_ip_can_be_left_out() {
    let has = |properties| {
        let config = user(properties);
        (config.ipv4.is_some(), config.ipv6.is_some())
    };
    assert_eq!(has("ipv4=on"), (true, false));
    assert_eq!(has("ipv6=on"), (false, true));
    assert_eq!(has("ipv6=off"), (true, false));
    assert_eq!(has("ipv4=on,ipv6=on"), (true, true));
    assert_eq!(user("net=10.1.0.0/255.255.0.0").ipv4, user("net=10.1.0.0/16").ipv4);
}

/// Words, and the message and the hint of their refusal.
const REFUSALS: &[(&[&str], &str, &str)] = &[
    (
        &["-nic", "e1000"],
        "-nic e1000: expected user, tap, stream or none",
        "for example: -nic user,hostfwd=tcp:127.0.0.1:2222-:22",
    ),
    (
        &["-nic", "user,model=e1000"],
        "-nic model=e1000: chukka has virtio network cards only",
        "use model=virtio, or leave it out",
    ),
    (
        &["-nic", "user,model=virtio-net-pci"],
        "-nic model=virtio-net-pci: microvm has no PCI",
        "use virtio-net, the name that works on both machines",
    ),
    (
        &["-device", "e1000,netdev=n0"],
        "-device e1000: chukka has virtio network cards only",
        "use -device virtio-net,netdev=ID",
    ),
    (
        &["-netdev", "user,id=n0"],
        "-netdev id=n0: no device uses it",
        "add -device virtio-net,netdev=n0, or use -nic instead of -netdev",
    ),
    (
        &["-device", "virtio-net"],
        "-device virtio-net: expected a network: netdev=ID",
        "for example: -netdev user,id=n0 -device virtio-net,netdev=n0",
    ),
    (
        &["-device", "virtio-net,netdev=x"],
        "-device virtio-net,netdev=x: expected the id of a -netdev that no other device has",
        "for example: -netdev user,id=n0 -device virtio-net,netdev=n0",
    ),
    (
        &["-netdev", "user"],
        "-netdev user: expected an id for -device: id=ID",
        "for example: -netdev user,id=n0 -device virtio-net,netdev=n0",
    ),
    (
        &["-net", "nic"],
        "-net nic: the card is not connected to a network",
        "add -net user, or use -nic user",
    ),
    (
        &["-net", "user"],
        "-net user: no card is connected to the network",
        "add -net nic, or use -nic user",
    ),
    (
        &["-net", "nic", "-net", "nic", "-net", "user"],
        "-net nic: chukka connects one card by -net",
        "for several cards: -nic user, once for each",
    ),
    (
        &["-nic", "user,hostfwd=tcp::22"],
        "-nic hostfwd=tcp::22: expected [tcp|udp]:[HOSTADDRESS]:HOSTPORT-[GUESTADDRESS]:GUESTPORT, \
             such as tcp:127.0.0.1:2222-:22",
        "chukka -help shows what each option takes",
    ),
    (
        &["-nic", "user,hostfwd=tcp::2222-10.9.9.9:22"],
        "-nic user: A port is forwarded to 10.9.9.9:22, which is not an address for a guest in this \
             network",
        "chukka -help shows what each option takes",
    ),
    (
        &["-nic", "user,net=10.0.2.0/24,dns=10.0.3.3"],
        "-nic user: dns=10.0.3.3 is not an address of a host in 10.0.2.0/24",
        "chukka -help shows what each option takes",
    ),
    (
        &["-nic", "user,mac=01:00:00:00:00:00"],
        "-nic mac=01:00:00:00:00:00: expected the address of a single card",
        "the first byte must be even, for example 52",
    ),
    (
        &["-nic", "user,smb=/srv"],
        "-nic smb=/srv: chukka does not share directories",
        "serve it by HTTP: python3 -m http.server --bind 127.0.0.1",
    ),
    (
        &["-nic", "tap"],
        "-nic tap: expected an interface: ifname=NAME or fd=N",
        "make one: ip tuntap add dev tap0 mode tap user $USER && ip link set tap0 up",
    ),
    (
        &["-nic", "tap,ifname=tap0,script=/etc/qemu-ifup"],
        "-nic script=/etc/qemu-ifup: chukka runs no scripts",
        "set the interface up before, and use script=no",
    ),
    (
        &["-nic", "tap,ifname=tap0,vhost=on"],
        "-nic vhost=on: chukka does not use vhost",
        "leave it out",
    ),
    (
        &["-nic", "tap,fd=1"],
        "-nic fd=1: expected an open descriptor from 3 on",
        "chukka -help shows what each option takes",
    ),
    (
        &["-nic", "stream,addr.type=unix"],
        "-nic stream: expected an address: addr.type=unix,addr.path=PATH or \
             addr.type=inet,addr.host=HOST,addr.port=PORT",
        "for passt: -nic stream,addr.type=unix,addr.path=/tmp/passt_1.socket",
    ),
    (
        &["-nic", "stream,addr.type=inet,addr.host=a,addr.port=0"],
        "-nic addr.port=0: expected a port from 1 to 65535",
        "chukka -help shows what each option takes",
    ),
    (
        &["-nic", "user,id=n0", "-object", "filter-dump,id=f,netdev=n1,file=x"],
        "-object filter-dump,netdev=n1: expected the id of a -netdev or -nic",
        "for example: -nic user,id=n0 -object filter-dump,id=f0,netdev=n0,file=net.pcap",
    ),
    (
        &["-object", "memory-backend-file,id=m"],
        "-object memory-backend-file: chukka does not have this object",
        "it has filter-dump and rng-random; guest memory needs none: -m SIZE",
    ),
    (
        &["-nic", "bridge,br=br0"],
        "-nic bridge: chukka does not have this network",
        "use the user network, which needs no privilege",
    ),
];

#[test]
fn what_is_wrong_with_a_network_is_said() {
    for &(words, message, hint) in REFUSALS {
        assert_eq!(refusal(words), (message.into(), hint.into()), "{words:?}");
    }
    for hostfwd in
        ["sctp::1-:2", "tcp:a:1-:2", "tcp::x-:2", "tcp::1-:+2", "tcp::99999-:2", "tcp:::1:80-:80"]
    {
        let words = ["-nic", &format!("user,hostfwd={hostfwd}")];
        assert!(refusal(&words).0.contains("expected [tcp|udp]"), "{hostfwd}");
    }
    for mac in
        ["", "1:2:3:4:5", "1:2:3:4:5:6:7", "52:54:00:12:34:5g", "525400123456", "52:54:00:12:34:+6"]
    {
        let words = ["-nic", &format!("user,mac={mac}")];
        assert!(refusal(&words).0.contains("expected an address such as"), "{mac}");
    }
}
