//! An HTTP server that is no bottleneck: files go from the page cache into the connection
//! (sendfile(2)), ranges and kept connections included (RFC 9110, RFC 9112), at full speed or at
//! that of a line. It counts what it sends.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use super::requests::Request;
use crate::Error;

/// So much is sent at once, and counted before it is sent: what a client that goes away did not
/// take is counted up to so far.
const PIECE: u64 = 64 << 10;
/// So much of a line's time may be made up for: less than timers are late.
const SLACK: Duration = Duration::from_millis(5);
/// Bytes of a request, at most.
const HEADERS: u64 = 16 << 10;

/// A server on 127.0.0.1. It takes no more connections once it is dropped.
#[derive(Debug)]
pub struct Server {
    /// The URL of the directory, without a slash at the end.
    pub url: String,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    root: PathBuf,
    requests: Mutex<Requests>,
    line: Option<Line>,
    ended: AtomicBool,
}

#[derive(Debug, Default)]
struct Requests {
    all: Vec<Request>,
    /// As many were told of.
    told: usize,
}

/// A line that all connections share.
#[derive(Debug)]
struct Line {
    /// Bytes a second.
    rate: u64,
    /// When what was sent will be through.
    through: Mutex<Instant>,
}

impl Line {
    /// Waits until this number of further bytes has been sent.
    fn send(&self, bytes: u64) -> io::Result<()> {
        let mut through = self.through.lock().map_err(|_| io::ErrorKind::Other)?;
        let now = Instant::now();
        *through = after(*through, now, bytes, self.rate);
        let wait = through.saturating_duration_since(now);
        drop(through);
        thread::sleep(wait);
        Ok(())
    }
}

/// When further bytes sent `now` have passed a line that is free at `free`.
fn after(free: Instant, now: Instant, bytes: u64, rate: u64) -> Instant {
    let begin = now.checked_sub(SLACK).map_or(free, |earliest| free.max(earliest));
    begin + Duration::from_nanos(bytes.saturating_mul(1_000_000_000) / rate.max(1))
}

impl Server {
    /// Serves `root` at this rate in bytes per second, or at full speed if `None`.
    ///
    /// # Errors
    /// There is no port.
    pub fn start(root: &Path, rate: Option<u64>) -> Result<Self, Error> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let url = format!("http://{}", listener.local_addr()?);
        let line = rate.map(|rate| Line { rate, through: Mutex::new(Instant::now()) });
        let (root, requests) = (root.to_owned(), Mutex::default());
        let shared = Arc::new(Shared { root, requests, line, ended: AtomicBool::new(false) });
        let server = Self { url, shared: Arc::clone(&shared) };
        thread::spawn(move || {
            for connection in listener.incoming().map_while(Result::ok) {
                if shared.ended.load(Ordering::Relaxed) {
                    break;
                }
                let shared = Arc::clone(&shared);
                // A client that goes away ends its connection.
                thread::spawn(move || drop(shared.serve(&connection)));
            }
        });
        Ok(server)
    }

    /// What was asked for since this was last asked, in order.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        let Ok(mut requests) = self.shared.requests.lock() else { return Vec::new() };
        let all = requests.all.len();
        let told = std::mem::replace(&mut requests.told, all);
        let new = requests.all.get(told..).unwrap_or_default();
        new.to_vec()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Relaxed);
        // So that it sees it.
        drop(TcpStream::connect(self.url.trim_start_matches("http://")));
    }
}

impl Shared {
    fn serve(&self, connection: &TcpStream) -> io::Result<()> {
        connection.set_nodelay(true)?;
        let mut reader = BufReader::new(connection);
        loop {
            let mut lines = Vec::new();
            let mut limited = (&mut reader).take(HEADERS);
            loop {
                let mut line = String::new();
                if limited.read_line(&mut line)? == 0 {
                    return Ok(());
                }
                match line.trim_end() {
                    "" => break,
                    line => lines.push(line.to_owned()),
                }
            }
            self.answer(connection, &lines)?;
        }
    }

    fn answer(&self, mut connection: &TcpStream, lines: &[String]) -> io::Result<()> {
        let target = lines.first().and_then(|line| line.split(' ').nth(1)).unwrap_or("/");
        let Some((mut file, about)) = self.open(target) else {
            self.note(Request { path: target.into(), from: 0, sent: 0 })?;
            return connection.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
        };
        let len = about.len();
        let range = lines.iter().find_map(|line| range(line, len));
        let (from, end) = range.unwrap_or((0, len));
        let status = match range {
            Some(_) => {
                format!("206 Partial Content\r\nContent-Range: bytes {from}-{}/{len}", end - 1)
            }
            None => "200 OK".into(),
        };
        let tag = format!("\"{:x}-{len:x}\"", about.mtime());
        let ranges = "Accept-Ranges: bytes\r\nContent-Type: application/octet-stream";
        write!(
            connection,
            "HTTP/1.1 {status}\r\nContent-Length: {}\r\nETag: {tag}\r\n{ranges}\r\n\r\n",
            end - from
        )?;
        let number = self.note(Request { path: target.into(), from, sent: 0 })?;
        file.seek(SeekFrom::Start(from))?;
        let mut left = end - from;
        while left > 0 {
            let count = left.min(PIECE);
            if let Some(line) = &self.line {
                line.send(count)?;
            }
            self.add(number, count)?;
            if io::copy(&mut (&file).take(count), &mut connection)? < count {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            left -= count;
        }
        Ok(())
    }

    /// A regular file below the root.
    fn open(&self, target: &str) -> Option<(File, fs::Metadata)> {
        let path = Path::new(target.trim_start_matches('/'));
        let below = path.components().all(|part| matches!(part, Component::Normal(_)));
        let file = File::open(self.root.join(path)).ok().filter(|_| below)?;
        let about = file.metadata().ok().filter(fs::Metadata::is_file)?;
        Some((file, about))
    }

    /// Its number.
    fn note(&self, request: Request) -> io::Result<usize> {
        let mut requests = self.requests.lock().map_err(|_| io::ErrorKind::Other)?;
        requests.all.push(request);
        Ok(requests.all.len() - 1)
    }

    fn add(&self, number: usize, count: u64) -> io::Result<()> {
        let mut requests = self.requests.lock().map_err(|_| io::ErrorKind::Other)?;
        if let Some(request) = requests.all.get_mut(number) {
            request.sent += count;
        }
        Ok(())
    }
}

/// The first byte and the one behind the last that a header line asks for, of a file with `len`
/// bytes.
fn range(line: &str, len: u64) -> Option<(u64, u64)> {
    let (name, value) = line.split_once(':')?;
    let (first, last) = value.trim().strip_prefix("bytes=")?.split_once('-')?;
    let from: u64 = first.parse().ok()?;
    let end = if last.is_empty() { len } else { last.parse::<u64>().ok()?.saturating_add(1) };
    let end = end.min(len);
    (name.eq_ignore_ascii_case("range") && from < end).then_some((from, end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use chukka_tests::native::Scratch;

    #[test]
    fn a_line_is_as_fast_as_it_is() {
        let start = Instant::now();
        let second = |count: u64| start + Duration::from_secs(count);
        assert_eq!(after(start, start, 125_000_000, 125_000_000), second(1));
        assert_eq!(after(second(1), start, 125_000_000, 125_000_000), second(2), "they queue");
        let idle = after(start, second(9), 125_000_000, 125_000_000);
        assert_eq!(idle, second(10) - SLACK, "what was not used is lost");
    }

    #[test]
    fn ranges_are_within_the_file() {
        for (line, expected) in [
            ("Range: bytes=0-9", Some((0, 10))),
            ("range: bytes=5-", Some((5, 100))),
            ("Range: bytes=5-500", Some((5, 100))),
            ("Range: bytes=100-", None),
            ("Range: bytes=7-5", None),
            ("X-Range: bytes=0-9", None),
            ("Range: bytes=-5", None),
        ] {
            assert_eq!(range(line, 100), expected, "{line}");
        }
    }

    #[test]
    fn one_connection_gets_files_and_parts_of_them_and_all_is_counted() {
        let scratch = Scratch::new();
        let _ = scratch.file("abc", b"0123456789");
        let server = Server::start(scratch.as_ref(), Some(125_000_000)).unwrap();
        let mut connection = TcpStream::connect(server.url.trim_start_matches("http://")).unwrap();
        let mut reader = BufReader::new(connection.try_clone().unwrap());
        for (asked, status, body) in [
            ("GET /abc HTTP/1.1\r\n\r\n", "200", "0123456789"),
            ("GET /abc HTTP/1.1\r\nRange: bytes=3-5\r\n\r\n", "206", "345"),
            ("GET /../abc HTTP/1.1\r\n\r\n", "404", ""),
            ("GET / HTTP/1.1\r\n\r\n", "404", ""),
        ] {
            connection.write_all(asked.as_bytes()).unwrap();
            let mut headers = String::new();
            while !headers.ends_with("\r\n\r\n") {
                assert_ne!(reader.read_line(&mut headers).unwrap(), 0);
            }
            assert!(headers.starts_with(&format!("HTTP/1.1 {status} ")), "{headers}");
            assert!(headers.contains(&format!("Content-Length: {}\r\n", body.len())));
            let mut bytes = vec![0; body.len()];
            reader.read_exact(&mut bytes).unwrap();
            assert_eq!(bytes, body.as_bytes());
        }
        let sent: Vec<_> = server.requests().iter().map(|one| (one.from, one.sent)).collect();
        assert_eq!(sent, [(0, 10), (3, 3), (0, 0), (0, 0)]);
        assert!(server.requests().is_empty());
    }
}
