//! TFTP: a client of single frames, blocks, options, and paths that stay in the directory.

#![expect(clippy::unwrap_used, reason = "this is how a test fails")]

mod peer;

use std::path::Path;
use std::time::Duration;

use network::{Config, Frame};
use peer::{Raw, config};
use smoltcp::wire::{EthernetAddress, EthernetFrame, Ipv4Packet, UdpPacket};

const GATEWAY: EthernetAddress = EthernetAddress([0x52, 0x55, 10, 0, 2, 2]);

/// A network with a TFTP directory.
fn raw(directory: &Path) -> Raw {
    Raw::new(&Config { tftp: Some(directory.to_owned()), ..config() })
}

/// Sends a message to the server from `port`, and returns its answers.
fn ask(raw: &mut Raw, port: u16, message: &[u8]) -> Vec<Vec<u8>> {
    let frame = peer::udp_frame(GATEWAY, port, 69, message);
    answers(&raw.send(&frame), port)
}

fn answers(frames: &[Frame], port: u16) -> Vec<Vec<u8>> {
    let payload = |frame: &Frame| {
        let ethernet = EthernetFrame::new_checked(&frame.bytes[..]).unwrap();
        let packet = Ipv4Packet::new_checked(ethernet.payload()).unwrap();
        assert!(!packet.more_frags() && packet.frag_offset() == 0, "a block fits into a frame");
        let datagram = UdpPacket::new_checked(packet.payload()).unwrap();
        assert_eq!((datagram.src_port(), datagram.dst_port()), (69, port));
        datagram.payload().to_vec()
    };
    frames.iter().map(payload).collect()
}

fn request(name: &str, options: &[(&str, &str)]) -> Vec<u8> {
    let mut message = vec![0, 1];
    let options = options.iter().flat_map(|(option, value)| [*option, *value]);
    for word in [name, "octet"].into_iter().chain(options) {
        message.extend_from_slice(word.as_bytes());
        message.push(0);
    }
    message
}

fn ack(block: u16) -> Vec<u8> {
    [[0, 4], block.to_be_bytes()].concat()
}

/// Reads a file as a plain client does.
fn fetch(raw: &mut Raw, name: &str) -> Vec<u8> {
    let mut content = Vec::new();
    let mut message = request(name, &[]);
    for block in 1..=u16::MAX {
        let answer = ask(raw, 1000, &message);
        assert_eq!(answer.len(), 1);
        assert_eq!(answer[0][..2], [0, 3], "{:?}", String::from_utf8_lossy(&answer[0]));
        assert_eq!(answer[0][2..4], block.to_be_bytes());
        content.extend_from_slice(&answer[0][4..]);
        message = ack(block);
        if answer[0].len() < 516 {
            assert!(ask(raw, 1000, &message).is_empty());
            break;
        }
    }
    content
}

#[test]
fn files_of_every_length_arrive() {
    let directory = tempfile::tempdir().unwrap();
    let mut raw = raw(directory.path());
    std::fs::create_dir(directory.path().join("sub")).unwrap();
    for length in [0, 1, 511, 512, 513, 1024, 70_000] {
        let content: Vec<u8> = (0..length).map(|at| u8::try_from(at % 251).unwrap()).collect();
        std::fs::write(directory.path().join("sub/file"), &content).unwrap();
        assert_eq!(fetch(&mut raw, "sub/file"), content, "{length} bytes");
        assert_eq!(fetch(&mut raw, "/sub\\file"), content, "{length} bytes");
    }
}

#[test]
fn options_are_acknowledged_and_kept() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("kernel"), vec![7; 10_000]).unwrap();
    let mut raw = raw(directory.path());
    let options = [
        ("blksize", "1024"),
        ("TSIZE", "0"),
        ("timeout", "3"),
        ("windowsize", "4"),
        ("unknown", "1"),
        ("blksize", "nonsense"),
    ];
    let answer = ask(&mut raw, 1000, &request("kernel", &options));
    let expected = b"\0\x06blksize\x001024\0tsize\x0010000\0timeout\x003\0windowsize\x004\0";
    assert_eq!(answer, [expected.to_vec()]);
    let window = ask(&mut raw, 1000, &ack(0));
    let numbers: Vec<u8> = window.iter().map(|block| block[3]).collect();
    assert_eq!(numbers, [1, 2, 3, 4]);
    assert!(window.iter().all(|block| block.len() == 1028));
    // Two have arrived: the others come again.
    let numbers: Vec<u8> = ask(&mut raw, 1000, &ack(2)).iter().map(|block| block[3]).collect();
    assert_eq!(numbers, [3, 4, 5, 6]);
    // Nothing is heard: the same again after 3 s, and the end after a few times.
    let mut times = 0;
    for _ in 0..20 {
        raw.now += Duration::from_secs(3);
        let again = answers(&raw.poll(), 1000);
        times += usize::from(!again.is_empty());
    }
    assert_eq!(times, 5);
    assert!(ask(&mut raw, 1000, &ack(6)).is_empty(), "it is given up");
}

#[test]
fn nothing_outside_of_the_directory_is_read() {
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("secret"), "secret").unwrap();
    let directory = tempfile::tempdir().unwrap();
    let link = |to: &Path, name: &str| {
        std::os::unix::fs::symlink(to, directory.path().join(name)).unwrap();
    };
    std::fs::write(directory.path().join("file"), "inside").unwrap();
    link(&outside.path().join("secret"), "absolute");
    link(Path::new("/etc/passwd"), "passwd");
    link(Path::new("../../../../../../etc/passwd"), "relative");
    link(Path::new("loop"), "loop");
    link(Path::new("/file"), "good");
    link(Path::new("/dev/zero"), "zero");
    let pipe = std::process::Command::new("mkfifo").arg(directory.path().join("pipe")).status();
    assert!(pipe.unwrap().success());
    let mut raw = raw(directory.path());
    let up = format!("../{}/secret", outside.path().file_name().unwrap().to_str().unwrap());
    let long = "x".repeat(400);
    for name in [
        "absolute",
        "passwd",
        "relative",
        "loop",
        "zero",
        "pipe",
        &up,
        "/etc/passwd",
        "..",
        "",
        ".",
        &long,
    ] {
        let answer = ask(&mut raw, 1000, &request(name, &[]));
        assert_eq!(answer[0][..2], [0, 5], "{name}");
    }
    // A link means what it means in the directory.
    assert_eq!(fetch(&mut raw, "good"), b"inside");
    assert_eq!(fetch(&mut raw, "../../file"), b"inside");
}

#[test]
fn writes_and_nonsense_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("file"), "content").unwrap();
    let mut raw = raw(directory.path());
    let refused = |answer: Vec<Vec<u8>>| answer.len() == 1 && answer[0][..2] == [0, 5];
    assert!(refused(ask(&mut raw, 1000, b"\0\x02file\0octet\0")));
    assert!(refused(ask(&mut raw, 1000, b"\0\x01file\0mail\0")));
    assert!(refused(ask(&mut raw, 1000, b"\0\x01file\0octet")));
    assert!(refused(ask(&mut raw, 1000, b"\0\x09")));
    for silent in [&b""[..], b"\0", b"\0\x01", b"\0\x04\0\x01", b"\0\x05\0\0stop\0"] {
        assert!(ask(&mut raw, 1000, silent).is_empty(), "{silent:?}");
    }
    // A thousand transfers that are begun and forgotten.
    for port in 1000..2000 {
        assert_eq!(ask(&mut raw, port, &request("file", &[])).len(), 1);
    }
    assert_eq!(fetch(&mut raw, "file"), b"content");
}

#[test]
fn the_transfer_that_was_idle_for_longest_gives_way() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("file"), vec![1; 2000]).unwrap();
    let mut raw = raw(directory.path());
    for port in 1000..1017 {
        assert_eq!(ask(&mut raw, port, &request("file", &[])).len(), 1);
        raw.now += Duration::from_millis(1);
    }
    // 16 at a time.
    assert!(ask(&mut raw, 1000, &ack(1)).is_empty());
    for port in 1001..1017 {
        assert_eq!(ask(&mut raw, port, &ack(1))[0][2..4], [0, 2], "{port}");
    }
}

#[test]
fn without_a_directory_there_is_no_server() {
    let mut raw = Raw::new(&config());
    let frame = peer::udp_frame(GATEWAY, 1000, 69, &request("file", &[]));
    // It goes to port 69 of the host's loopback, like everything to the gateway.
    raw.send(&frame);
    assert_eq!(raw.network.counters().udp_flows, 1);
}

#[test]
fn a_directory_that_is_not_there_is_an_error() {
    let config = Config { tftp: Some("/proc/nothing".into()), ..config() };
    let error = network::UserNetwork::new(&config).unwrap_err();
    assert_eq!(error.to_string(), "Cannot open the directory '/proc/nothing' for TFTP");
}

#[test]
fn blocks_fit_into_frames() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("file"), vec![1; 9000]).unwrap();
    let mut raw = raw(directory.path());
    let answer = ask(&mut raw, 1000, &request("file", &[("blksize", "65464")]));
    assert_eq!(answer, [b"\0\x06blksize\x001428\0".to_vec()]);
    assert_eq!(ask(&mut raw, 1000, &ack(0))[0].len(), 4 + 1428);
}
