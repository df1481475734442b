//! The networks that are compared.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use chukka_tests::native::Scratch;
use chukka_tests::sys::{Watch, poll};
use network::{Checksum, Config, Ipv6Config, Offloads, UserNetwork};

use super::guest::Guest;
use super::{Direction, Run, server};
use crate::Error;

/// What a transfer may take.
const ENOUGH: Duration = Duration::from_secs(20);
/// Segments that the guest sends before it looks for frames again.
const BURST: usize = 64;
/// Bytes read from a socket at once, and those that may wait to be written to it.
const BUFFER: usize = 1 << 20;

/// The server. What is acknowledged to the guest can be on its way to it still.
type Served = JoinHandle<u64>;

/// A network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rival {
    /// chukka's crate, called by the guest's side itself.
    Called,
    /// chukka's crate, in a thread behind a socket.
    Threaded,
    /// passt, by its socket.
    Passt,
    /// libslirp in a QEMU without a machine, by a socket.
    Libslirp,
}

impl Rival {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Called, Self::Threaded, Self::Passt, Self::Libslirp];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Called => "chukka, called as by the card",
            Self::Threaded => "chukka, by a socket",
            Self::Passt => "passt, by a socket",
            Self::Libslirp => "libslirp in QEMU, by a socket",
        }
    }

    /// Moves `bytes` in segments of `mss` bytes.
    ///
    /// # Errors
    /// The network does not start, or the transfer does not end.
    pub fn run(self, direction: Direction, mss: usize, bytes: u64) -> Result<Run, Error> {
        let (port, served) = server(direction, bytes)?;
        let mut guest = Guest::new(direction, port, mss, bytes);
        let run = match self {
            Self::Called => called(&mut guest, &served, bytes, mss),
            Self::Threaded => threaded(&mut guest, &served, bytes, mss),
            Self::Passt | Self::Libslirp => self.spawned(&mut guest, &served, bytes),
        };
        let run = run.map_err(|error| format!("{}: {error}", self.name()))?;
        let moved = served.join().map_err(|_| "the server failed")?;
        if moved != bytes {
            return Err(format!("{}: {moved} of {bytes} bytes", self.name()).into());
        }
        Ok(run)
    }

    fn spawned(self, guest: &mut Guest, served: &Served, bytes: u64) -> Result<Run, Error> {
        let scratch = Scratch::new();
        // passt gives root's privileges away before it makes its socket.
        fs::set_permissions(scratch.as_ref(), fs::Permissions::from_mode(0o777))?;
        let path = scratch.path("socket");
        let (mut program, stream) = match self {
            Self::Passt => passt(&path)?,
            _ => libslirp(&path)?,
        };
        let id = program.id();
        let folder = PathBuf::from(format!("/proc/{id}/task"));
        let run = exchange(stream, guest, served, bytes, || of_threads(&folder));
        program.kill()?;
        program.wait()?;
        run
    }
}

fn start(command: &mut Command) -> Result<Child, Error> {
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let name = quiet.get_program().to_string_lossy().into_owned();
    quiet.spawn().map_err(|error| format!("{name}: {error}").into())
}

/// passt, with the addresses of QEMU's user network. Its gateway is this host's loopback.
fn passt(path: &Path) -> Result<(Child, UnixStream), Error> {
    let words = "-f -q -1 -4 -i tap0 -a 10.0.2.15 -n 24 -g 10.0.2.2 -D none -t none -u none \
                 --runas 65534 -s";
    let mut program = start(Command::new("passt").args(words.split_whitespace()).arg(path))?;
    let end = Instant::now() + Duration::from_secs(10);
    while Instant::now() < end {
        if let Ok(stream) = UnixStream::connect(path) {
            return Ok((program, stream));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    program.kill()?;
    program.wait()?;
    Err("passt has no socket after 10 s".into())
}

fn libslirp(path: &Path) -> Result<(Child, UnixStream), Error> {
    let listener = UnixListener::bind(path)?;
    let stream = format!("stream,id=s,server=off,addr.type=unix,addr.path={}", path.display());
    let words = "-M none -nodefaults -display none -netdev user,id=u,ipv6=off \
                 -netdev hubport,id=h0,hubid=0,netdev=u";
    let mut command = Command::new("qemu-system-x86_64");
    command.args(words.split_whitespace());
    command.args(["-netdev", &stream, "-netdev", "hubport,id=h1,hubid=0,netdev=s"]);
    let program = start(&mut command)?;
    Ok((program, listener.accept()?.0))
}

/// The network that all of them are like.
fn config() -> Config {
    Config { ipv6: None::<Ipv6Config>, ..Config::default() }
}

/// A network whose card takes segments of 64 KiB if the guest's are larger than those of Ethernet.
fn network(mss: usize) -> Result<UserNetwork, Error> {
    let mut network = UserNetwork::new(&config())?;
    let large = mss > 1460;
    network.set_offloads(Offloads { checksum: large, tso4: large, tso6: false });
    Ok(network)
}

/// Whether the card that sends segments of `mss` bytes leaves the checksum to the network.
fn checksum(mss: usize) -> Checksum {
    if mss > 1460 { Checksum::Partial } else { Checksum::Complete }
}

fn called(guest: &mut Guest, served: &Served, bytes: u64, mss: usize) -> Result<Run, Error> {
    let mut network = network(mss)?;
    let checksum = checksum(mss);
    let end = Instant::now() + ENOUGH;
    let mut frame = Vec::new();
    network.send(&guest.hello(), checksum, Instant::now());
    while guest.moved < bytes || !served.is_finished() {
        let now = Instant::now();
        if now > end || guest.is_reset() {
            return Err(format!("{} of {bytes} bytes", guest.moved).into());
        }
        network.poll(now);
        let mut moved = false;
        while let Some(received) = network.receive() {
            moved = true;
            let mut put = |head: &[u8], tail: &[u8]| {
                frame.clear();
                frame.extend_from_slice(head);
                frame.extend_from_slice(tail);
                network.send(&frame, checksum, now);
            };
            guest.take(&received.bytes, &mut put);
            network.recycle(received);
        }
        guest.act(BURST, &mut |head, tail| {
            moved = true;
            frame.clear();
            frame.extend_from_slice(head);
            frame.extend_from_slice(tail);
            network.send(&frame, checksum, now);
        });
        if !moved && !network.is_busy() {
            poll(&[Watch::read(Some(network.as_fd()))], Some(Duration::from_millis(10)))?;
        }
    }
    let time = guest.started.map_or(Duration::ZERO, |started| started.elapsed());
    Ok(Run { time, processor: None, bytes, segments: guest.segments })
}

fn threaded(guest: &mut Guest, served: &Served, bytes: u64, mss: usize) -> Result<Run, Error> {
    let (ours, theirs) = UnixStream::pair()?;
    let mut network = network(mss)?;
    let checksum = checksum(mss);
    let (tell, told) = std::sync::mpsc::channel();
    let thread = std::thread::spawn(move || {
        // Whoever asks goes on when it is told.
        let _ = tell.send(fs::read_link("/proc/thread-self").unwrap_or_default());
        let Ok(mut wire) = Wire::new(theirs) else { return };
        while !wire.is_closed {
            let now = Instant::now();
            let mut moved = wire.read(|frame, _| network.send(frame, checksum, now));
            network.poll(now);
            while wire.has_room()
                && let Some(frame) = network.receive()
            {
                moved = true;
                wire.put(&frame.bytes, &[]);
                network.recycle(frame);
            }
            wire.flush();
            if !moved && !network.is_busy() {
                wire.wait(Some(&network));
            }
        }
    });
    let file = Path::new("/proc").join(told.recv()?).join("schedstat");
    let run = exchange(ours, guest, served, bytes, || of_file(&file));
    thread.join().map_err(|_| "the network's thread failed")?;
    run
}

/// The guest's side of a socket. `processor` says how much time the other side has taken.
fn exchange(
    stream: UnixStream,
    guest: &mut Guest,
    served: &Served,
    bytes: u64,
    processor: impl Fn() -> Option<Duration>,
) -> Result<Run, Error> {
    let mut wire = Wire::new(stream)?;
    let end = Instant::now() + ENOUGH;
    wire.put(&guest.hello(), &[]);
    let mut before = None;
    while guest.moved < bytes || !served.is_finished() {
        if Instant::now() > end || guest.is_reset() || wire.is_closed {
            return Err(format!("{} of {bytes} bytes", guest.moved).into());
        }
        let read = wire.read(|frame, out| {
            guest.take(frame, &mut |head, tail| append(out, head, tail));
        });
        if before.is_none() && guest.started.is_some() {
            before = Some(processor());
        }
        let queued = wire.out.len();
        if wire.has_room() {
            let out = &mut wire.out;
            guest.act(BURST, &mut |head, tail| append(out, head, tail));
        }
        let moved = read || wire.out.len() > queued;
        wire.flush();
        if !moved {
            wire.wait(None);
        }
    }
    let time = guest.started.map_or(Duration::ZERO, |started| started.elapsed());
    let processor = processor().zip(before.flatten()).map(|(now, then)| now.saturating_sub(then));
    Ok(Run { time, processor, bytes, segments: guest.segments })
}

/// Frames in a socket, each behind its length.
struct Wire {
    stream: UnixStream,
    input: Vec<u8>,
    filled: usize,
    out: Vec<u8>,
    /// Bytes of `out` that the socket has.
    written: usize,
    is_closed: bool,
}

fn append(out: &mut Vec<u8>, head: &[u8], tail: &[u8]) {
    let length = u32::try_from(head.len() + tail.len()).unwrap_or(0);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(head);
    out.extend_from_slice(tail);
}

impl Wire {
    fn new(stream: UnixStream) -> Result<Self, Error> {
        stream.set_nonblocking(true)?;
        let out = Vec::with_capacity(2 * BUFFER);
        Ok(Self { stream, input: vec![0; BUFFER], filled: 0, out, written: 0, is_closed: false })
    }

    fn put(&mut self, head: &[u8], tail: &[u8]) {
        append(&mut self.out, head, tail);
    }

    fn has_room(&self) -> bool {
        self.out.len() - self.written < BUFFER
    }

    /// Reads once, and hands the frames over, with where answers go. Returns whether there were any.
    fn read(&mut self, mut take: impl FnMut(&[u8], &mut Vec<u8>)) -> bool {
        match self.stream.read(&mut self.input[self.filled..]) {
            Ok(0) => self.is_closed = true,
            Ok(count) => self.filled += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
            Err(_) => self.is_closed = true,
        }
        let mut rest = &self.input[..self.filled];
        while let Some((length, behind)) = rest.split_first_chunk::<4>() {
            let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
            let Some((frame, behind)) = behind.split_at_checked(length) else { break };
            take(frame, &mut self.out);
            rest = behind;
        }
        let (left, at) = (rest.len(), self.filled - rest.len());
        self.input.copy_within(at..self.filled, 0);
        self.filled = left;
        true
    }

    fn flush(&mut self) {
        while self.written < self.out.len() {
            match self.stream.write(&self.out[self.written..]) {
                Ok(count) => self.written += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => {
                    self.is_closed = true;
                    return;
                }
            }
        }
        // Moved only when that is little, so that each byte is moved about once.
        if self.written >= self.out.len() - self.written {
            self.out.drain(..self.written);
            self.written = 0;
        }
    }

    /// Waits until something can be done.
    fn wait(&self, network: Option<&UserNetwork>) {
        let socket = Some(self.stream.as_fd());
        let mut watches = vec![Watch::read(socket)];
        watches.extend(network.map(|network| Watch::read(Some(network.as_fd()))));
        if !self.out.is_empty() {
            watches.push(Watch::write(socket));
        }
        // An error comes back with the next read.
        let _ = poll(&watches, Some(Duration::from_millis(10)));
    }
}

/// The processor time of a process's threads.
fn of_threads(folder: &Path) -> Option<Duration> {
    let threads = fs::read_dir(folder).ok()?.flatten();
    Some(threads.filter_map(|thread| of_file(&thread.path().join("schedstat"))).sum())
}

/// The processor time in a `schedstat` file of /proc (Documentation/scheduler/sched-stats.rst).
fn of_file(file: &Path) -> Option<Duration> {
    let text = fs::read_to_string(file).ok()?;
    text.split_whitespace().next()?.parse().ok().map(Duration::from_nanos)
}
