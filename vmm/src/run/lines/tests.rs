use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Mutex;

use super::*;
use crate::config::{CharBackend, CharSocket, SocketAddress};
use crate::host::chardev;
use crate::lock::lock;
use crate::machine::input_port::OutputOnly;

/// A device that takes as many bytes as it has room for, and notes who is there.
#[derive(Default)]
struct Device(Mutex<Seen>);

#[derive(Default)]
struct Seen {
    bytes: Vec<u8>,
    room: usize,
    peers: Vec<bool>,
}

impl InputPort for Device {
    fn take_input(&self, typed: &mut Vec<u8>) -> bool {
        let mut seen = lock(&self.0);
        let taken = typed.len().min(seen.room);
        seen.room -= taken;
        seen.bytes.extend(typed.drain(..taken));
        true
    }

    fn peer_changed(&self, is_there: bool) {
        lock(&self.0).peers.push(is_there);
    }
}

/// A socket at a path that is removed with it.
fn socket(name: &str) -> (PathBuf, Arc<Line>) {
    let path = std::env::temp_dir().join(format!("chukka-lines-{name}-{}", std::process::id()));
    let address = SocketAddress::Unix(path.clone());
    let backend = CharBackend::Socket(CharSocket { address, server: true, wait: false });
    let opened = chardev::open(&backend.into(), "-serial", "", &mut |_| {}).expect("it opens");
    (path, opened.line.expect("a line"))
}

fn watch(line: Arc<Line>, port: Arc<dyn InputPort>) -> Lines {
    Lines::watch(&[Connected { line, port }]).expect("descriptors").expect("a line")
}

#[test]
fn a_client_that_left_does_not_keep_a_line_whose_guest_does_not_read() {
    let (path, line) = socket("gone");
    let device = Arc::new(Device::default());
    let mut lines = watch(line, Arc::<Device>::clone(&device));
    let mut first = UnixStream::connect(&path).expect("it listens");
    first.write_all(b"nobody reads this").expect("there is room");
    assert!(lines.attend());
    let mut second = UnixStream::connect(&path).expect("it listens");
    assert!(lines.attend());
    assert_eq!(lock(&device.0).peers, [true], "one at a time");
    drop(first);
    assert!(lines.attend());
    assert_eq!(lock(&device.0).peers, [true, false, true]);
    second.write_all(b"hi").expect("there is room");
    lock(&device.0).room = 100;
    assert!(lines.attend());
    assert_eq!(lock(&device.0).bytes, b"hi", "not what the first one typed");
}

#[test]
fn what_a_client_sent_before_it_left_arrives_while_no_other_one_comes() {
    let (path, line) = socket("left");
    let device = Arc::new(Device::default());
    let mut lines = watch(line, Arc::<Device>::clone(&device));
    let mut client = UnixStream::connect(&path).expect("it listens");
    client.write_all(&[b'x'; 5000]).expect("there is room");
    assert!(lines.attend());
    drop(client);
    assert!(lines.attend());
    lock(&device.0).room = usize::MAX;
    assert!(lines.pass_on());
    assert_eq!(lock(&device.0).bytes.len(), 5000);
    let mut client = UnixStream::connect(&path).expect("it listens");
    assert!(lines.attend());
    assert_eq!(lock(&device.0).peers.last(), Some(&true));
    client.set_nonblocking(true).expect("a socket");
    let nothing = client.read(&mut [0]).expect_err("it is connected");
    assert_eq!(nothing.kind(), io::ErrorKind::WouldBlock);
}

#[test]
fn a_client_that_never_stops_does_not_keep_the_thread() {
    let (path, line) = socket("busy");
    let mut lines = watch(line, Arc::new(OutputOnly));
    let mut client = UnixStream::connect(&path).expect("it listens");
    client.set_nonblocking(true).expect("a socket");
    let mut sent = 0;
    while let Ok(count) = client.write(&[0; 4096]) {
        sent += count;
    }
    assert!(sent > 64 << 10, "{sent}");
    assert!(!lines.attend(), "others get their turn");
    assert!((0..sent >> 10).any(|_| lines.pass_on()), "all is read in the end");
}

#[test]
fn each_line_has_its_own_device() {
    let opened = [socket("one"), socket("two"), socket("three")];
    let devices =
        [(); 3].map(|()| Arc::new(Device(Mutex::new(Seen { room: 8, ..Seen::default() }))));
    let connected = opened.iter().zip(&devices).map(|((_, line), device)| Connected {
        line: Arc::clone(line),
        port: Arc::<Device>::clone(device),
    });
    let mut lines = Lines::watch(&connected.collect::<Vec<_>>()).unwrap().unwrap();
    for n in [2, 1, 0] {
        let mut client = UnixStream::connect(&opened[n].0).unwrap();
        assert!(lines.attend());
        client.write_all(&[b'0', b'1', b'2'][n..=n]).unwrap();
        assert!(lines.attend());
        // The client leaves.
        drop(client);
        assert!(lines.attend());
    }
    for (device, typed) in devices.iter().zip([b"0", b"1", b"2"]) {
        let seen = lock(&device.0);
        assert_eq!(
            (seen.bytes.as_slice(), seen.peers.as_slice()),
            (&typed[..], &[true, false][..])
        );
    }
    for (path, _) in &opened {
        let _ = std::fs::remove_file(path);
    }
}

#[test]
fn a_pseudo_terminal_that_nobody_has_open_stays() {
    let mut path = String::new();
    let opened = chardev::open(&CharBackend::Pty.into(), "-serial", "a", &mut |message| {
        path = message.to_string();
    });
    let path = path.split(' ').find(|word| word.starts_with("/dev/")).unwrap();
    let device = Arc::new(Device(Mutex::new(Seen { room: 8, ..Seen::default() })));
    let mut lines = watch(opened.unwrap().line.unwrap(), Arc::<Device>::clone(&device));
    for typed in [b"1", b"2"] {
        let mut terminal = std::fs::File::options().read(true).write(true).open(path).unwrap();
        assert!(lines.attend());
        terminal.write_all(typed).unwrap();
        assert!(lines.attend());
        drop(terminal);
        assert!(lines.attend());
    }
    let seen = lock(&device.0);
    assert_eq!((seen.bytes.as_slice(), seen.peers.as_slice()), (&b"12"[..], &[true][..]));
}

#[test]
fn a_client_that_sends_nothing_more_makes_room_for_the_next() {
    let (path, line) = socket("half");
    let device = Arc::new(Device(Mutex::new(Seen { room: 8, ..Seen::default() })));
    let mut lines = watch(line, Arc::<Device>::clone(&device));
    let mut clients = Vec::new();
    for typed in [b"1", b"2"] {
        let mut client = UnixStream::connect(&path).unwrap();
        assert!(lines.attend());
        client.write_all(typed).unwrap();
        client.shutdown(std::net::Shutdown::Write).unwrap();
        assert!(lines.attend());
        clients.push(client);
    }
    let seen = lock(&device.0);
    let peers = [true, false, true, false];
    assert_eq!((seen.bytes.as_slice(), seen.peers.as_slice()), (&b"12"[..], &peers[..]));
}
