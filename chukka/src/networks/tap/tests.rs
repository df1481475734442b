//! Linux as the guest, by a tap interface that another process has opened; and by it and passt, the
//! way out.

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader};
use std::os::fd::{IntoRawFd, RawFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use rustix::process::{
    Pid, PidfdFlags, PidfdGetfdFlags, Signal, kill_process_group, pidfd_getfd, pidfd_open,
};

use super::super::stream::Stream;
use super::*;
use crate::request::{StreamAddress, StreamConfig};

/// A shell with a network of its own in which it has made the tap interface tap0: as descriptor 7,
/// opened with the flags `$1`.
const GUEST: &str = r#"
exec 7<>/dev/net/tun
perl -e 'open(T, "+<&=7") or die; $r = pack("a16sx22", "tap0", $ARGV[0]); ioctl(T, 0x400454ca, $r) or die "$!"' "$1"
ip link set lo up && ip addr add 10.6.0.2/24 dev tap0 && ip link set tap0 up
echo ready
read -r line
eval "$line"
"#;

/// passt in a network of its own, with a default route, which it asks for. Its gateway leads to the
/// loopback there, where a web server serves the folder `$1`.
const PASST: &str = r#"
ip link set lo up && ip tuntap add dev tap0 mode tap && ip addr add 192.0.2.1/24 dev tap0
ip link set tap0 up && ip route add default via 192.0.2.2
busybox httpd -f -p 127.0.0.1:80 -h "$1" &
passt -f -q -1 -4 -i tap0 -a 10.0.2.15 -n 24 -g 10.0.2.2 -D none -t none -u none --runas 65534 -s "$1/socket"
"#;

const PLAIN: i32 = libc::IFF_TAP | libc::IFF_NO_PI;
const HEADERS: i32 = PLAIN | libc::IFF_VNET_HDR;

/// A process that ends with its test, and all that it has started.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = kill_process_group(Pid::from_child(&self.0), Signal::KILL);
        let _ = self.0.wait();
    }
}

/// Runs a shell script in a network namespace of its own.
fn in_network(script: &str, argument: &str) -> Process {
    let mut command = Command::new("unshare");
    command.args(["-n", "sh", "-c", script, "sh", argument]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).process_group(0);
    Process(command.spawn().unwrap())
}

/// Says that a test cannot run here, which is an error where none may be skipped.
fn skip(why: &str) {
    assert!(std::env::var_os("CHUKKA_NO_SKIP").is_none(), "CHUKKA_NO_SKIP allows no skip: {why}");
    eprintln!("SKIPPED: {why}");
}

/// A process with a tap interface, what it prints, and a copy of the interface's descriptor.
fn guest(flags: i32) -> Option<(Process, BufReader<ChildStdout>, RawFd)> {
    let mut process = in_network(GUEST, &flags.to_string());
    let mut output = BufReader::new(process.0.stdout.take()?);
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    if line != "ready\n" {
        skip("no network namespace with a tap interface (needs root)");
        return None;
    }
    let pid = Pid::from_child(&process.0);
    let pidfd = pidfd_open(pid, PidfdFlags::empty()).unwrap();
    let fd = pidfd_getfd(pidfd, 7, PidfdGetfdFlags::empty()).unwrap();
    Some((process, output, fd.into_raw_fd()))
}

/// What is said about a descriptor.
fn refusal(fd: RawFd) -> String {
    let error = Tap::new(&TapConfig::Descriptor(fd)).unwrap_err();
    crate::report::with_sources(&crate::error::RunError::from(error))
}

#[test]
fn descriptors_that_are_no_tap_interface_with_headers_are_refused() {
    let file = |path: &str| fs::OpenOptions::new().read(true).write(true).open(path);
    let null = file("/dev/null").unwrap().into_raw_fd();
    let expected =
        format!("Cannot use the tap interface of descriptor {null}: it is not a tap interface");
    assert_eq!(refusal(null), expected);
    // It is there, but for root only, where no udev has given it to everybody.
    let tun = match file("/dev/net/tun") {
        Ok(tun) => tun.into_raw_fd(),
        Err(error) => return skip(&format!("/dev/net/tun cannot be opened: {error}")),
    };
    assert!(refusal(tun).contains("TUNSETIFF is missing"));
    for (flags, expected) in [
        (libc::IFF_TUN | libc::IFF_NO_PI, "it is a tun interface"),
        (PLAIN, "without IFF_VNET_HDR"),
    ] {
        let Some((_process, _, fd)) = guest(flags) else { return };
        let said = refusal(fd);
        assert!(said.contains(expected), "{said}");
    }
}

#[test]
fn linux_answers_by_a_descriptor_that_another_process_has_opened() {
    const MAC: [u8; 6] = [0x52, 0x54, 0, 0, 0, 1];
    let Some((_process, _, fd)) = guest(HEADERS) else { return };
    let tap = Tap::new(&TapConfig::Descriptor(fd)).unwrap();
    let head = [8, 6, 0, 1, 8, 0, 6, 4, 0, 1];
    let parts = [&[0xff; 6][..], &MAC, &head, &MAC, &[10, 6, 0, 1], &[0; 6], &[10, 6, 0, 2]];
    tap.send(&parts.concat(), None);
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        tap.poll(Instant::now());
        match tap.receive() {
            // An ARP reply.
            Some(frame) if frame.bytes[12..14] == [8, 6] && frame.bytes[21] == 2 => {
                assert_eq!(
                    (&frame.bytes[..6], &frame.bytes[28..32]),
                    (&MAC[..], &[10, 6, 0, 2][..])
                );
                break;
            }
            Some(_) => {}
            None => std::thread::sleep(Duration::from_millis(1)),
        }
        assert!(Instant::now() < end, "no answer");
    }
}

#[test]
fn linux_reaches_the_outside_by_passt() {
    if ["passt", "busybox"]
        .iter()
        .any(|program| Command::new(program).arg("--help").output().is_err())
    {
        return skip("passt or busybox is not installed");
    }
    let Some((mut process, mut output, fd)) = guest(HEADERS) else { return };
    let directory = tempfile::tempdir().unwrap();
    // passt gives root's privileges away before it makes its socket.
    fs::set_permissions(directory.path(), Permissions::from_mode(0o777)).unwrap();
    let content: Vec<u8> =
        (0..4_000_000_u32).map(|at| at.wrapping_mul(0x9e37_79b9).to_be_bytes()[0]).collect();
    fs::write(directory.path().join("file"), &content).unwrap();
    let copy = directory.path().join("copy");
    let lease = directory.path().join("lease");
    let text =
        "#!/bin/sh\n[ $1 != bound ] || { ip addr add $ip/$mask dev tap0; echo $ip $router; }\n";
    fs::write(&lease, text).unwrap();
    fs::set_permissions(&lease, Permissions::from_mode(0o755)).unwrap();

    let _passt = in_network(PASST, directory.path().to_str().unwrap());
    let socket = directory.path().join("socket");
    let end = Instant::now() + Duration::from_secs(30);
    let config = StreamConfig { is_server: false, address: StreamAddress::Unix(socket) };
    let stream = loop {
        match Stream::new(&config) {
            Ok(stream) => break stream,
            Err(error) if Instant::now() > end => panic!("no passt: {error}"),
            Err(_) => std::thread::sleep(Duration::from_millis(10)),
        }
    };
    let tap = Tap::new(&TapConfig::Descriptor(fd)).unwrap();
    let line = format!(
        "busybox udhcpc -i tap0 -n -q -f -t 20 -T 1 -s {} && busybox wget -q -O {} http://10.0.2.2/file; exit\n",
        lease.display(),
        copy.display(),
    );
    process.0.stdin.as_mut().unwrap().write_all(line.as_bytes()).unwrap();
    while process.0.try_wait().unwrap().is_none() {
        assert!(Instant::now() < end + Duration::from_secs(30), "the transfer does not end");
        tap.poll(Instant::now());
        stream.poll(Instant::now());
        let (mut out, mut back) = (0, 0);
        while let Some(frame) = tap.receive() {
            stream.send(&frame.bytes, None);
            tap.recycle(frame);
            out += 1;
        }
        while let Some(frame) = stream.receive() {
            tap.send(&frame.bytes, None);
            stream.recycle(frame);
            back += 1;
        }
        if out + back == 0 {
            std::thread::sleep(Duration::from_micros(100));
        }
    }
    let mut leased = String::new();
    output.read_line(&mut leased).unwrap();
    assert_eq!(leased, "10.0.2.15 10.0.2.2\n");
    assert!(fs::read(&copy).unwrap() == content, "what came is not what was sent");
}
