//! The guest's network with Linux as the guest: a tap interface in a network namespace of the
//! test's own.

#![expect(clippy::unwrap_used, reason = "this is how a test fails")]

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use chukka_tests::skip;
use chukka_tests::sys::{Watch, enter_new_network, ping_socket, poll, tap};
use network::{Checksum, Config, ErrorQueue, Forward, Protocol, Resolver, UserNetwork};
use vmm::host::udp;

/// How much goes each way in a test of bulk data.
const BULK: usize = 64 << 20;

/// A network, in a thread of its own, and what it says at the end.
struct Served {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<UserNetwork>>,
    forwarded: Vec<Forward>,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// Carries frames between an interface and a network.
fn carry(tap: &mut File, network: &mut UserNetwork, stop: &AtomicBool) {
    let mut frame = vec![0; network::MAX_FRAME];
    while !stop.load(Ordering::SeqCst) {
        let now = Instant::now();
        let wait = network.deadline().map_or(Duration::from_millis(50), |at| {
            at.saturating_duration_since(now).min(Duration::from_millis(50))
        });
        if !network.is_busy() {
            let watches = [Watch::read(Some(tap.as_fd())), Watch::read(Some(network.as_fd()))];
            poll(&watches, Some(wait)).unwrap();
        }
        let now = Instant::now();
        while let Ok(length) = tap.read(&mut frame) {
            network.send(&frame[..length], Checksum::Complete, now);
        }
        network.poll(now);
        while let Some(frame) = network.receive() {
            // A full queue loses frames, as a card does.
            drop(tap.write(&frame.bytes));
            network.recycle(frame);
        }
    }
}

fn run(command: &str) -> String {
    let output = Command::new("sh").args(["-c", command]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    text
}

/// Runs `guest` in a namespace with an interface to a network. The network itself is in this host's
/// namespace. Returns whether it ran: if not, nobody connects to what waits for the guest.
fn with_guest(config: Config, guest: impl FnOnce(&Served) + Send + 'static) -> bool {
    let name = std::thread::current().name().unwrap_or("a test").to_owned();
    let thread = std::thread::Builder::new().name(name).spawn(move || {
        // Made before the thread moves, so that its sockets are this host's.
        let mut network = UserNetwork::new(&config).unwrap();
        network.keep_errors_with(ErrorQueue { keep: udp::keep_errors, take: udp::take_error });
        let forwarded = network.forwarded();
        let stop = Arc::new(AtomicBool::new(false));
        let (sender, receiver) = std::sync::mpsc::channel::<File>();
        let stopped = Arc::clone(&stop);
        let serve = std::thread::spawn(move || {
            if let Ok(mut tap) = receiver.recv() {
                carry(&mut tap, &mut network, &stopped);
            }
            network
        });
        let served = Served { stop, thread: Some(serve), forwarded };
        let tap = match enter_new_network().and_then(|()| tap("tap0")) {
            Ok(tap) => tap,
            Err(error) => {
                drop(sender);
                skip(&format!("no network namespace with a tap interface: {error}"));
                return false;
            }
        };
        run("ip link set lo up && ip addr add 10.0.2.15/24 dev tap0 && ip link set tap0 up && \
             ip route add default via 10.0.2.2");
        sender.send(tap).unwrap();
        guest(&served);
        true
    });
    thread.unwrap().join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn config() -> Config {
    Config { resolver: Resolver::Server("127.0.0.1:9".parse().unwrap()), ..Config::default() }
}

/// A listener of this host, and its address for the guest.
fn listener(at: &str, gateway: &str) -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind(at).unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, SocketAddr::new(gateway.parse().unwrap(), port))
}

fn pattern(at: usize) -> Vec<u8> {
    let mut value = u32::try_from(at).unwrap().wrapping_mul(0x9e37_79b9) | 1;
    let mut bytes = vec![0; 1 << 16];
    for word in bytes.chunks_exact_mut(4) {
        value = value.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        word.copy_from_slice(&value.to_be_bytes());
    }
    bytes
}

fn write_all(mut stream: &TcpStream) {
    for at in (0..BULK).step_by(1 << 16) {
        stream.write_all(&pattern(at)).unwrap();
    }
    stream.shutdown(Shutdown::Write).unwrap();
}

fn read_all(mut stream: &TcpStream) {
    let mut bytes = vec![0; 1 << 16];
    for at in (0..BULK).step_by(1 << 16) {
        stream.read_exact(&mut bytes).unwrap();
        assert!(bytes == pattern(at), "wrong bytes from {at} on");
    }
    assert_eq!(stream.read(&mut bytes).unwrap(), 0, "and then the end");
}

#[test]
fn linux_downloads_and_uploads_at_once() {
    let (listener, to) = listener("127.0.0.1:0", "10.0.2.2");
    let (arrived, has_arrived) = std::sync::mpsc::channel();
    let server = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| write_all(&stream));
            read_all(&stream);
        });
        arrived.send(()).unwrap();
    });
    let ran = with_guest(config(), move |_| {
        let stream = TcpStream::connect(to).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| write_all(&stream));
            read_all(&stream);
        });
        // What the guest's kernel has buffered would be lost with its network.
        has_arrived.recv().unwrap();
    });
    if ran {
        server.join().unwrap();
    }
}

#[test]
fn linux_is_told_what_is_refused_and_what_is_unreachable() {
    let (listener, to) = listener("127.0.0.1:0", "10.0.2.2");
    drop(listener);
    with_guest(config(), move |_| {
        let kind = |to: SocketAddr| TcpStream::connect(to).unwrap_err().kind();
        assert_eq!(kind(to), ErrorKind::ConnectionRefused);
        assert_eq!(kind("10.0.2.3:80".parse().unwrap()), ErrorKind::ConnectionRefused);
        // A UDP port of the name server's, and one of this host where nobody listens.
        let closed: SocketAddr = "10.0.2.2:1".parse().unwrap();
        for to in ["10.0.2.3:54".parse().unwrap(), closed] {
            let socket = UdpSocket::bind("10.0.2.15:0").unwrap();
            socket.connect(to).unwrap();
            socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            for _ in 0..2 {
                socket.send(b"x").unwrap();
                let error = socket.recv(&mut [0; 1]).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{to}");
            }
        }
    });
}

#[test]
fn linux_sees_half_closed_and_reset_connections() {
    let (listener, to) = listener("127.0.0.1:0", "10.0.2.2");
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"bye").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        assert_eq!(text, "still here");
        let (mut stream, _) = listener.accept().unwrap();
        stream.read_exact(&mut [0; 1]).unwrap();
        // Closed with unread data, which resets.
        while stream.peek(&mut [0; 1]).unwrap() == 0 {}
    });
    let ran = with_guest(config(), move |_| {
        let mut stream = TcpStream::connect(to).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        assert_eq!(text, "bye");
        stream.write_all(b"still here").unwrap();
        drop(stream);
        let mut stream = TcpStream::connect(to).unwrap();
        stream.write_all(b"abc").unwrap();
        let error = stream.read(&mut [0; 1]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    });
    if ran {
        server.join().unwrap();
    }
}

#[test]
fn linux_has_two_hundred_connections_at_once() {
    let (listener, to) = listener("127.0.0.1:0", "10.0.2.2");
    let server = std::thread::spawn(move || {
        let streams: Vec<TcpStream> = (0..200).map(|_| listener.accept().unwrap().0).collect();
        for mut stream in streams {
            let mut number = [0; 4];
            stream.read_exact(&mut number).unwrap();
            stream.write_all(&number).unwrap();
        }
    });
    let ran = with_guest(config(), move |_| {
        let mut streams: Vec<_> = (0..200).map(|_| TcpStream::connect(to).unwrap()).collect();
        for (number, stream) in (0_u32..).zip(&mut streams) {
            stream.write_all(&number.to_be_bytes()).unwrap();
        }
        for (number, stream) in (0_u32..).zip(&mut streams) {
            let mut answer = [0; 4];
            stream.read_exact(&mut answer).unwrap();
            assert_eq!(u32::from_be_bytes(answer), number);
        }
    });
    if ran {
        server.join().unwrap();
    }
}

#[test]
fn linux_gets_its_lease() {
    let boot = network::BootConfig {
        hostname: Some("chukka".into()),
        domain_name: Some("example.org".into()),
        search: vec!["a.example".into(), "b.example".into()],
        ..network::BootConfig::default()
    };
    with_guest(Config { boot, ..config() }, |_| {
        let script = std::env::temp_dir().join(format!("chukka-lease-{}", std::process::id()));
        let text =
            "#!/bin/sh\n[ $1 != bound ] || echo $ip/$mask $router $dns $hostname $domain $search\n";
        std::fs::write(&script, text).unwrap();
        run(&format!("chmod +x {}", script.display()));
        let said = run(&format!(
            "busybox udhcpc -i tap0 -n -q -f -t 5 -T 1 -O search -s {} 2>/dev/null",
            script.display()
        ));
        std::fs::remove_file(&script).unwrap();
        let expected = "10.0.2.15/24 10.0.2.2 10.0.2.3 chukka example.org a.example b.example";
        assert_eq!(said.trim(), expected);
    });
}

#[test]
fn linux_reads_a_file_by_tftp() {
    let directory = std::env::temp_dir().join(format!("chukka-tftp-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::write(directory.join("file"), &pattern(7)[..60_000]).unwrap();
    let tftp = Some(directory.clone());
    with_guest(Config { tftp, ..config() }, move |_| {
        let to = directory.join("copy");
        run(&format!("busybox tftp -g -b 1400 -r file -l {} 10.0.2.2", to.display()));
        assert!(std::fs::read(&to).unwrap() == pattern(7)[..60_000]);
        std::fs::remove_dir_all(&directory).unwrap();
    });
}

/// What docs/network.md has for files of the host.
#[test]
fn linux_reads_from_a_mirror_that_python_serves_on_loopback() {
    let directory = std::env::temp_dir().join(format!("chukka-mirror-{}", std::process::id()));
    std::fs::create_dir_all(directory.join("dists/stable")).unwrap();
    std::fs::write(directory.join("dists/stable/Release"), "Suite: stable\n").unwrap();
    let (listener, to) = listener("127.0.0.1:0", "10.0.2.2");
    drop(listener);
    let mut command = Command::new("python3");
    command.args(["-m", "http.server", "--bind", "127.0.0.1", &to.port().to_string()]);
    let server = command.current_dir(&directory).stderr(Stdio::null()).stdout(Stdio::null());
    let mut server = server.spawn().unwrap();
    with_guest(config(), move |_| {
        let get = format!("busybox wget -q -O - http://{to}/dists/stable/Release");
        let end = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(to).is_err() {
            assert!(Instant::now() < end, "Python does not listen");
            std::thread::sleep(Duration::from_millis(50));
        }
        assert_eq!(run(&get), "Suite: stable\n");
    });
    server.kill().unwrap();
    server.wait().unwrap();
    std::fs::remove_dir_all(&directory).unwrap();
}

#[test]
fn linux_is_told_that_restrict_prohibits() {
    with_guest(Config { restrict: true, ..config() }, |_| {
        for to in ["10.0.2.2:80", "192.0.2.1:80"] {
            let error = TcpStream::connect(to.parse::<SocketAddr>().unwrap()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::HostUnreachable, "{to}");
        }
    });
}

#[test]
fn linux_exchanges_datagrams_of_every_size() {
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port();
    server.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let echo = std::thread::spawn(move || {
        let mut bytes = vec![0; 65_536];
        while let Ok((length, from)) = server.recv_from(&mut bytes) {
            server.send_to(&bytes[..length], from).unwrap();
            if length == 1 {
                break;
            }
        }
    });
    let ran = with_guest(config(), move |_| {
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        socket.connect(("10.0.2.2", port)).unwrap();
        let mut answer = vec![0; 65_536];
        for length in [0, 100, 1472, 1473, 4000, 30_000, 65_507, 1] {
            let bytes = &pattern(length)[..length];
            socket.send(bytes).unwrap();
            let count = socket.recv(&mut answer).unwrap();
            assert!(&answer[..count] == bytes, "{length} bytes came back as {count}");
        }
    });
    if ran {
        echo.join().unwrap();
    }
}

#[test]
fn linux_serves_a_forwarded_port() {
    let forward = Forward {
        protocol: Protocol::Tcp,
        host: "127.0.0.1:0".parse().unwrap(),
        guest: "10.0.2.15:8080".parse().unwrap(),
    };
    // The client is in this host's namespace, so it is a thread made before.
    let (sender, receiver) = std::sync::mpsc::channel::<SocketAddr>();
    let (finished, until_finished) = std::sync::mpsc::channel();
    let client = std::thread::spawn(move || {
        let Ok(to) = receiver.recv() else { return };
        let mut stream = TcpStream::connect(to).unwrap();
        stream.write_all(b"hello").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        assert_eq!(text, "HELLO");
        finished.send(()).unwrap();
    });
    let ran = with_guest(Config { forwards: vec![forward], ..config() }, move |served| {
        let listener = TcpListener::bind("10.0.2.15:8080").unwrap();
        sender.send(served.forwarded[0].host).unwrap();
        let (mut stream, from) = listener.accept().unwrap();
        assert_eq!(from.ip().to_string(), "10.0.2.2");
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        stream.write_all(text.to_uppercase().as_bytes()).unwrap();
        drop(stream);
        // The network ends with this function.
        until_finished.recv_timeout(Duration::from_secs(10)).unwrap();
    });
    if ran {
        client.join().unwrap();
    }
}

#[test]
fn linux_configures_ipv6_by_itself() {
    let (listener, to) = listener("[::1]:0", "fec0::2");
    let server = std::thread::spawn(move || {
        let (mut stream, from) = listener.accept().unwrap();
        assert_eq!(from.ip().to_string(), "::1");
        stream.write_all(b"six").unwrap();
    });
    let ran = with_guest(config(), move |_| {
        let end = Instant::now() + Duration::from_secs(15);
        let address = "ip -6 addr show dev tap0 scope site -tentative";
        while !run(address).contains("fec0::") {
            assert!(Instant::now() < end, "no address: {}", run("ip -6 addr; ip -6 route"));
            std::thread::sleep(Duration::from_millis(50));
        }
        assert!(run("ip -6 route").contains("default via fe80::2"));
        let mut text = String::new();
        TcpStream::connect(to).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "six");
        let socket = UdpSocket::bind("[::]:0").unwrap();
        socket.connect("[fec0::2]:1").unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        socket.send(b"x").unwrap();
        let error = socket.recv(&mut [0; 1]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    });
    if ran {
        server.join().unwrap();
    }
}

/// Runs `test` in a namespace that is this host to the network, with the address 192.0.2.1 and no
/// route anywhere. `range`: who may send echo requests in it.
fn with_host(range: &'static str, test: impl FnOnce() + Send + 'static) {
    let name = std::thread::current().name().unwrap_or("a test").to_owned();
    let thread = std::thread::Builder::new().name(name).spawn(move || {
        if let Err(error) = enter_new_network() {
            return skip(&format!("no network namespace: {error}"));
        }
        run("ip link set lo up && ip addr add 192.0.2.1/32 dev lo");
        allow_pings(range);
        test();
    });
    if let Err(panic) = thread.unwrap().join() {
        std::panic::resume_unwind(panic);
    }
}

/// Of the calling thread's namespace: the groups that may send echo requests without privilege.
fn allow_pings(range: &str) {
    std::fs::write("/proc/sys/net/ipv4/ping_group_range", range).unwrap();
}

/// Sends an echo request to `to`, and returns the answer.
fn ping(to: &str) -> std::io::Result<Vec<u8>> {
    allow_pings("0 2147483647");
    let socket = ping_socket()?;
    socket.set_read_timeout(Some(Duration::from_secs(5)))?;
    socket.connect((to, 0))?;
    socket.send(b"\x08\0\0\0\0\0\0\x01is anybody there")?;
    let mut answer = vec![0; 100];
    let length = socket.recv(&mut answer)?;
    answer.truncate(length);
    Ok(answer)
}

#[test]
fn linux_pings_the_outside_where_the_host_allows_it() {
    with_host("0 2147483647", || {
        with_guest(config(), |_| {
            for to in ["10.0.2.2", "192.0.2.1"] {
                let answer = ping(to).unwrap();
                assert_eq!((answer[0], &answer[6..]), (0, &b"\0\x01is anybody there"[..]), "{to}");
            }
        });
    });
    with_host("1 0", || {
        with_guest(config(), |_| {
            assert!(ping("10.0.2.2").is_ok());
            assert_eq!(ping("192.0.2.1").unwrap_err().kind(), ErrorKind::HostUnreachable);
        });
    });
}

#[test]
fn linux_reaches_the_outside_by_tcp_and_udp() {
    with_host("1 0", || {
        let listener = TcpListener::bind("192.0.2.1:0").unwrap();
        let to = listener.local_addr().unwrap();
        let socket = UdpSocket::bind(to).unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, from) = listener.accept().unwrap();
            stream.write_all(from.ip().to_string().as_bytes()).unwrap();
            drop(stream);
            let mut bytes = [0; 10];
            let (length, from) = socket.recv_from(&mut bytes).unwrap();
            socket.send_to(&bytes[..length], from).unwrap();
        });
        let ran = with_guest(config(), move |_| {
            let mut text = String::new();
            TcpStream::connect(to).unwrap().read_to_string(&mut text).unwrap();
            assert_eq!(text, "192.0.2.1", "the host connects by its own address");
            let socket = UdpSocket::bind("10.0.2.15:0").unwrap();
            socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            socket.connect(to).unwrap();
            socket.send(b"question").unwrap();
            let mut answer = [0; 10];
            assert_eq!(socket.recv(&mut answer).unwrap(), 8);
        });
        if ran {
            server.join().unwrap();
        }
    });
}

#[test]
fn linux_is_told_that_the_host_has_no_route() {
    with_host("1 0", || {
        with_guest(config(), |_| {
            let to: SocketAddr = "198.51.100.1:80".parse().unwrap();
            let error = TcpStream::connect(to).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NetworkUnreachable);
            // But the host's own address is there, with nobody at the port.
            let to: SocketAddr = "192.0.2.1:80".parse().unwrap();
            assert_eq!(TcpStream::connect(to).unwrap_err().kind(), ErrorKind::ConnectionRefused);
        });
    });
}

#[test]
fn linux_resolves_by_the_next_server_if_the_first_is_not_there() {
    with_host("1 0", || {
        let file = std::env::temp_dir().join(format!("chukka-resolv-{}", std::process::id()));
        std::fs::write(&file, "nameserver 192.0.2.9\nnameserver 192.0.2.1\n").unwrap();
        let (udp, tcp) =
            (UdpSocket::bind("192.0.2.1:53").unwrap(), TcpListener::bind("192.0.2.1:53").unwrap());
        let server = std::thread::spawn(move || {
            let mut query = [0; 100];
            let (length, from) = udp.recv_from(&mut query).unwrap();
            udp.send_to(&query[..length], from).unwrap();
            tcp.accept().unwrap().0.write_all(b"by TCP").unwrap();
        });
        let config = Config { resolver: Resolver::File(file.clone()), ..config() };
        let ran = with_guest(config, |_| {
            let socket = UdpSocket::bind("10.0.2.15:0").unwrap();
            socket.connect("10.0.2.3:53").unwrap();
            let mut answer = [0; 100];
            // Linux does not report this error of a datagram, so the resolver in the guest asks
            // again.
            socket.send(b"query").unwrap();
            socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
            assert_eq!(socket.recv(&mut answer).unwrap_err().kind(), ErrorKind::WouldBlock);
            socket.send(b"query").unwrap();
            socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            let length = socket.recv(&mut answer).unwrap();
            assert_eq!(&answer[..length], b"query");
            let mut text = String::new();
            TcpStream::connect("10.0.2.3:53").unwrap().read_to_string(&mut text).unwrap();
            assert_eq!(text, "by TCP");
        });
        if ran {
            server.join().unwrap();
        }
        std::fs::remove_file(&file).unwrap();
    });
}
