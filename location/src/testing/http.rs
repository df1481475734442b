//! An HTTP server on loopback that answers as a test wants it to: rightly, wrongly or not at all.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// What a client asked for.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// The first line without the version.
    pub line: String,
    /// Names in small letters.
    pub headers: Vec<(String, String)>,
}

impl Request {
    /// A header; empty: there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(of, _)| of == name).map_or("", |(_, value)| value)
    }

    /// What is behind the method.
    pub fn target(&self) -> &str {
        self.line.split(' ').nth(1).unwrap_or_default()
    }

    /// From `Range:`, the last one cut to a file's length.
    pub fn range(&self, len: usize) -> Option<(usize, usize)> {
        let (from, to) = self.header("range").strip_prefix("bytes=")?.split_once('-')?;
        let last = len.checked_sub(1)?;
        let from = from.parse().ok()?;
        let to = if to.is_empty() { last } else { to.parse::<usize>().ok()?.min(last) };
        (from <= to).then_some((from, to))
    }
}

/// What comes after the bytes that are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    NextRequest,
    Close,
    Silence,
    /// The same text for ever.
    Again(&'static str),
    /// The same text for ever, a byte at a time.
    Trickle(&'static str),
}

/// What a server answers.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    head: String,
    body: Vec<u8>,
    then: Then,
}

impl Reply {
    /// A status, and a body as long as it is said to be.
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        let head = format!("HTTP/1.1 {status} Said\r\nContent-Length: {}\r\n", body.len());
        Self { head, body, then: Then::NextRequest }
    }

    /// Whatever bytes; then the connection is closed.
    pub fn raw(text: &str) -> Self {
        Self { head: String::new(), body: text.into(), then: Then::Close }
    }

    /// A file as a right server has it, with ranges and an `ETag`.
    pub fn file(request: &Request, bytes: &[u8], etag: &str) -> Self {
        let unchanged = ["", etag].contains(&request.header("if-range"));
        let reply = match request.range(bytes.len()) {
            Some((from, to)) if unchanged => Self::new(206, &bytes[from..=to])
                .with(&format!("Content-Range: bytes {from}-{to}/{}", bytes.len())),
            None if !request.header("range").is_empty() && unchanged => {
                Self::new(416, "").with(&format!("Content-Range: bytes */{}", bytes.len()))
            }
            _ => Self::new(200, bytes),
        };
        if etag.is_empty() { reply } else { reply.with(&format!("ETag: {etag}")) }
    }

    /// A page of HTML.
    pub fn page(text: &str) -> Self {
        Self::new(200, text).with("Content-Type: text/html; charset=utf-8")
    }

    /// A redirection.
    pub fn to(location: &str) -> Self {
        Self::new(302, "it is elsewhere").with(&format!("Location: {location}"))
    }

    /// In chunks, without a length.
    pub fn chunked(status: u16, bytes: &[u8]) -> Self {
        let mut body = Vec::new();
        for chunk in bytes.chunks(10_000) {
            body.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
            body.extend(chunk);
            body.extend(b"\r\n");
        }
        body.extend(b"0\r\n\r\n");
        let head = format!("HTTP/1.1 {status} Said\r\nTransfer-Encoding: chunked\r\n");
        Self { head, body, then: Then::NextRequest }
    }

    /// One more header.
    pub fn with(mut self, header: &str) -> Self {
        self.head.push_str(header);
        self.head.push_str("\r\n");
        self
    }

    /// What was said of the length was not true.
    pub fn saying(mut self, len: &str) -> Self {
        let head = self.head.lines().filter(|line| !line.starts_with("Content-Length"));
        self.head = head.map(|line| format!("{line}\r\n")).collect();
        self.with(&format!("Content-Length: {len}"))
    }

    /// Sends only this number of bytes of the body, then closes the connection.
    pub fn cut(mut self, count: usize) -> Self {
        self.body.truncate(count);
        self.then = Then::Close;
        self
    }

    /// Sends only this number of bytes of the body, then stalls.
    pub fn stalled(mut self, count: usize) -> Self {
        self.body.truncate(count);
        self.then = Then::Silence;
        self
    }

    /// Nothing at all, as long as the client waits.
    pub fn silence() -> Self {
        Self { then: Then::Silence, ..Self::raw("") }
    }

    /// A beginning of headers, and more of them without end.
    pub fn endless_headers(more: &'static str) -> Self {
        Self::endless("HTTP/1.1 200 Said\r\nX-More: ", more)
    }

    /// These bytes, and then a text without end.
    pub fn endless(begin: &str, more: &'static str) -> Self {
        Self { then: Then::Again(more), ..Self::raw(begin) }
    }

    /// These bytes, and then a text without end, a byte at a time.
    pub fn trickling(begin: &str, then: &'static str) -> Self {
        Self { then: Then::Trickle(then), ..Self::raw(begin) }
    }

    fn send(&self, to: &mut impl Write) -> io::Result<()> {
        if !self.head.is_empty() {
            write!(to, "{}\r\n", self.head)?;
        }
        to.write_all(&self.body)?;
        if let Then::Again(text) = self.then {
            let text = text.repeat(1 + 4000 / text.len());
            loop {
                to.write_all(text.as_bytes())?;
            }
        }
        while let Then::Trickle(text) = self.then {
            for byte in text.bytes() {
                to.write_all(&[byte])?;
                to.flush()?;
                thread::sleep(Duration::from_millis(40));
            }
        }
        to.flush()
    }
}

type Answers = dyn Fn(&Request, usize) -> Reply + Send + Sync;

/// A server; it is gone when dropped.
pub(crate) struct Server {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
    connections: Arc<AtomicUsize>,
    most_sent: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
}

impl Server {
    /// Asks `answers` what to answer; it is told how many requests came before.
    pub fn new(answers: impl Fn(&Request, usize) -> Reply + Send + Sync + 'static) -> Self {
        Self::over(answers, Some)
    }

    /// The same over what `wrap` makes of a connection: TLS. `None`: the connection is dropped.
    pub fn over<C: Read + Write>(
        answers: impl Fn(&Request, usize) -> Reply + Send + Sync + 'static,
        wrap: impl Fn(TcpStream) -> Option<C> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Self {
            address: listener.local_addr().unwrap(),
            requests: Arc::default(),
            connections: Arc::default(),
            most_sent: Arc::default(),
            stop: Arc::default(),
        };
        let (requests, stop) = (Arc::clone(&server.requests), Arc::clone(&server.stop));
        let connections = Arc::clone(&server.connections);
        let most_sent = Arc::clone(&server.most_sent);
        let answers: Arc<Answers> = Arc::new(answers);
        let wrap = Arc::new(wrap);
        thread::spawn(move || {
            while let Ok((connection, _)) = listener.accept() {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                connections.fetch_add(1, Ordering::SeqCst);
                let (requests, answers) = (Arc::clone(&requests), Arc::clone(&answers));
                let (wrap, most) = (Arc::clone(&wrap), Arc::clone(&most_sent));
                thread::spawn(move || {
                    let counted = |to| Counted { to, sent: 0, most };
                    // A client may break off whenever it wants to.
                    wrap(connection).map(|to| serve(counted(to), &requests, &*answers))
                });
            }
        });
        server
    }

    /// A URL there.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// What was asked up to now.
    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    /// What was asked up to now, each as its target and range: `/x 0-131071`.
    pub fn asked(&self) -> Vec<String> {
        let shown = |request: &Request| {
            let range = request.header("range").trim_start_matches("bytes=");
            format!("{} {range}", request.target()).trim().to_owned()
        };
        self.requests().iter().map(shown).collect()
    }

    /// How many connections were made up to now.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// How many bytes were sent up to now by that connection by which the most were. The network
    /// takes some megabytes though nobody reads them.
    pub fn most_sent(&self) -> usize {
        self.most_sent.load(Ordering::SeqCst)
    }
}

/// A connection that counts what is sent.
struct Counted<C> {
    to: C,
    sent: usize,
    most: Arc<AtomicUsize>,
}

impl<C: Write> Write for Counted<C> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.to.write(bytes)?;
        self.sent += count;
        self.most.fetch_max(self.sent, Ordering::SeqCst);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

impl<C: Read> Read for Counted<C> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        self.to.read(to)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

fn serve<C: Read + Write>(
    connection: C,
    requests: &Mutex<Vec<Request>>,
    answers: &Answers,
) -> io::Result<()> {
    let mut connection = BufReader::new(connection);
    while let Some(request) = read_request(&mut connection)? {
        let before = {
            let mut requests = requests.lock().unwrap();
            requests.push(request.clone());
            requests.len() - 1
        };
        let reply = answers(&request, before);
        reply.send(connection.get_mut())?;
        match reply.then {
            Then::NextRequest => {}
            Then::Close | Then::Again(_) | Then::Trickle(_) => break,
            // Until the client has had enough.
            Then::Silence => return connection.read(&mut [0]).map(|_| ()),
        }
    }
    Ok(())
}

fn read_request(from: &mut impl BufRead) -> io::Result<Option<Request>> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if from.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let split = |line: &String| {
        let (name, value) = line.split_once(':')?;
        Some((name.to_ascii_lowercase(), value.trim().to_owned()))
    };
    let headers = lines.iter().skip(1).filter_map(split).collect();
    let line = lines.first().map_or("", |line| line.trim_end_matches(" HTTP/1.1"));
    Ok(Some(Request { line: line.into(), headers }))
}
