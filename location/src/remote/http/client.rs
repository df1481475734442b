//! Requests and their answers.

use std::fmt;
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use ureq::{Body as UreqBody, BodyReader, Error, Timeout};

use super::connection::within;
use super::proxy::ProxySettings;
use super::url::Url;
use crate::fetch::without_login;
use crate::remote::address::said;
use crate::remote::pace::Pace;
use crate::remote::{Net, traffic};
use storage::Failure;

/// As many redirections are followed, as by most browsers and by ureq itself.
const REDIRECTIONS: usize = 10;

/// As much of a body that nobody wants is read, so that its connection can be used again.
const DRAINED: u64 = 64 << 10;

const CHECK_SERVER: &str = "check the URL and the server";
const CHECK_PROXY: &str =
    "check that variable of the environment; list hosts that need no proxy in no_proxy";
const AGAIN: &str = "check the network and the server, and try again";

/// A failure, and whether it may be better the next time.
#[derive(Debug)]
pub(super) enum RequestError {
    /// A connection that broke, a server that is busy.
    Retryable(io::Error),
    /// Anything else.
    Permanent(io::Error),
}

impl RequestError {
    /// Not worth another try.
    pub fn permanent(problem: impl Into<String>, hint: &'static str) -> Self {
        Self::Permanent(Failure::new(problem, hint).into())
    }

    /// Worth another try.
    pub fn retryable(problem: impl Into<String>, hint: &'static str) -> Self {
        Self::Retryable(Failure::new(problem, hint).into())
    }

    /// The failure.
    pub fn into_error(self) -> io::Error {
        match self {
            Self::Retryable(error) | Self::Permanent(error) => error,
        }
    }
}

/// What part of a file is asked for.
#[derive(Clone, Debug, Default)]
pub(super) struct Ask {
    /// The first byte and the last one; no last one: up to the end. `None`: the whole, of a page
    /// that is made as it is asked for.
    pub range: Option<(u64, Option<u64>)>,
    /// The version that the file must still have (`If-Range:`, RFC 9110, 13.1.5).
    pub condition: Option<String>,
}

/// Asks servers.
#[derive(Debug)]
pub(super) struct Client {
    proxies: ProxySettings,
    net: Net,
    /// Whether a body that nobody wants has not ended in time: no other one is waited for.
    has_slow_bodies: Arc<AtomicBool>,
}

impl Client {
    /// With the proxies of the environment.
    pub fn new(net: &Net) -> Self {
        Self { proxies: ProxySettings::new(net), net: net.clone(), has_slow_bodies: Arc::default() }
    }

    /// How servers are talked to.
    pub fn net(&self) -> &Net {
        &self.net
    }

    /// Does `act` until it is done, fails for good, or failed too often.
    pub fn persist<T>(&self, mut act: impl FnMut() -> Result<T, RequestError>) -> io::Result<T> {
        let mut failures = 0;
        loop {
            match act() {
                Err(RequestError::Retryable(_)) if failures < self.net.retries => {
                    self.pause(failures);
                    failures += 1;
                }
                done => return done.map_err(RequestError::into_error),
            }
        }
    }

    /// Waits before something is tried again: half a second by default, twice as long each time,
    /// ten seconds at most.
    pub fn pause(&self, failures: u32) {
        let factor = 1 << failures.min(5);
        thread::sleep((self.net.idle / 60 * factor).min(Duration::from_secs(10)));
    }

    /// Sends a request, and follows where the answer leads.
    ///
    /// # Errors
    /// There is no answer, or one of a server that is busy. Other statuses are an answer.
    pub fn get(&self, url: &Url, ask: &Ask) -> Result<Response, RequestError> {
        let mut way = vec![url.clone()];
        loop {
            let url = way.last().unwrap_or(url);
            let answer = self.once(url, ask)?;
            let Some(next) = answer.leads_to()? else {
                return answer.unless_busy();
            };
            answer.body.drain();
            let shown = next.shown();
            if way.contains(&next) {
                let problem = format!("the server redirects in a loop, back to {shown}");
                return Err(RequestError::permanent(problem, CHECK_SERVER));
            }
            if way.len() > REDIRECTIONS {
                let problem = format!("{REDIRECTIONS} redirections, and one more to {shown}");
                return Err(RequestError::permanent(problem, CHECK_SERVER));
            }
            way.push(next);
        }
    }

    fn once(&self, url: &Url, ask: &Ask) -> Result<Response, RequestError> {
        if url.tls && !cfg!(feature = "tls") {
            let problem = "this chukka was built without TLS and does not support https:";
            return Err(RequestError::permanent(problem, "build it with the feature tls"));
        }
        let way =
            self.proxies.to(url).map_err(|failure| RequestError::Permanent(failure.into()))?;
        // Request the file's own bytes, without a content encoding.
        let mut request = way.agent.get(url.to_string()).header("Accept-Encoding", "identity");
        if let Some(login) = &url.login {
            request = request.header("Authorization", login.header());
        }
        if let Some(login) = way.login {
            request = request.header("Proxy-Authorization", login.header());
        }
        if let Some((from, to)) = ask.range {
            let to = to.map(|to| to.to_string()).unwrap_or_default();
            request = request.header("Range", format!("bytes={from}-{to}"));
            if let Some(condition) = &ask.condition {
                request = request.header("If-Range", condition);
            }
        }
        traffic::count_request();
        // Connecting, sending and waiting have time-outs of their own, which are for each part of
        // them.
        let response = within(3 * self.net.idle, || request.call());
        let response = response.map_err(|error| match way.proxy {
            Some(proxy) => explain_proxy(error, proxy, url, &self.net),
            None => explain(error, url, &self.net),
        })?;
        let (parts, body) = response.into_parts();
        if let Some(coding) = unknown_coding(&parts) {
            let problem = format!("the server sent the file in the transfer coding '{coding}'");
            let hint = "chukka reads only 'chunked'; have the server send files as they are";
            return Err(RequestError::permanent(problem, hint));
        }
        let has_slow_bodies = Arc::clone(&self.has_slow_bodies);
        let body = Body::new(body, url.clone(), self.net.clone(), has_slow_bodies);
        Ok(Response { url: url.clone(), parts, body })
    }
}

/// What a server said.
#[derive(Debug)]
pub(super) struct Response {
    /// Where it came from in the end.
    pub url: Url,
    parts: ureq::http::response::Parts,
    /// What follows the headers.
    pub body: Body,
}

impl Response {
    /// The status code.
    pub fn status(&self) -> u16 {
        self.parts.status.as_u16()
    }

    /// A header's value, if it is there once and is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.parts.headers.get(name)?.to_str().ok().map(str::trim)
    }

    /// How long the body is, if that is told.
    pub fn length(&self) -> Option<u64> {
        let is_chunked = self.header("Transfer-Encoding").is_some();
        self.header("Content-Length").filter(|_| !is_chunked)?.parse().ok()
    }

    /// Whether it is a page of HTML.
    pub fn is_page(&self) -> bool {
        let of = self.header("Content-Type").unwrap_or_default().to_ascii_lowercase();
        of.starts_with("text/html") || of.starts_with("application/xhtml")
    }

    /// The failure that its status is.
    pub fn failure(&self) -> RequestError {
        let status = self.parts.status;
        let name = status.canonical_reason().unwrap_or("no status that is known");
        let problem = format!("the server answered {} ({name})", status.as_u16());
        let hint = match self.status() {
            401 if self.url.login.is_some() => "the name or the password in the URL is wrong",
            401 => "add a user name and password to the URL: http://USER:PASSWORD@HOST/PATH",
            403 => "the server denies access; check the URL",
            407 => {
                "add a user name and password to the proxy's URL: http_proxy=http://USER:PASSWORD@HOST:PORT"
            }
            408 | 429 | 500.. => "the server is busy or broken; try again later",
            _ => CHECK_SERVER,
        };
        match self.status() {
            408 | 429 | 500 | 502 | 503 | 504 => RequestError::retryable(problem, hint),
            // What an object store says of a file that it has not: a search goes on.
            403 => {
                let failure = Failure::new(problem, hint);
                RequestError::Permanent(io::Error::new(io::ErrorKind::PermissionDenied, failure))
            }
            _ => RequestError::permanent(problem, hint),
        }
    }

    fn unless_busy(self) -> Result<Self, RequestError> {
        match self.failure() {
            RequestError::Retryable(error) => {
                self.body.drain();
                Err(RequestError::Retryable(error))
            }
            RequestError::Permanent(_) => Ok(self),
        }
    }

    /// Where a redirection leads.
    fn leads_to(&self) -> Result<Option<Url>, RequestError> {
        if !matches!(self.status(), 301 | 302 | 303 | 307 | 308) {
            return Ok(None);
        }
        let fail = |problem: String| RequestError::permanent(problem, CHECK_SERVER);
        let Some(location) = self.header("Location") else {
            return Err(fail(format!(
                "the server answered {} without a Location header",
                self.status()
            )));
        };
        let next = self.url.resolve(location).map_err(|why| {
            // What is behind a question mark may be a key.
            let shown = without_login(location.split('?').next().unwrap_or_default());
            fail(format!("the server redirects to '{}': {why}", shown.escape_default()))
        })?;
        if self.url.tls && !next.tls {
            let problem = format!("the server redirects from https: to {}", next.shown());
            let hint = "use that URL directly if you trust the network";
            return Err(RequestError::permanent(problem, hint));
        }
        Ok(Some(next))
    }
}

/// What follows an answer's headers, as it comes.
pub(super) struct Body {
    reader: BodyReader<'static>,
    url: Url,
    net: Net,
    pace: Pace,
    has_slow_bodies: Arc<AtomicBool>,
}

impl Body {
    fn new(body: UreqBody, url: Url, net: Net, has_slow_bodies: Arc<AtomicBool>) -> Self {
        let pace = Pace::new(net.idle);
        Self { reader: body.into_reader(), url, net, pace, has_slow_bodies }
    }

    /// Reads some of it; 0: that was all.
    pub fn read(&mut self, to: &mut [u8]) -> Result<usize, RequestError> {
        let count = loop {
            match within(self.net.idle, || self.reader.read(to)) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    return Err(match error.into() {
                        // What comes may be headers of chunks, or trailers, without end.
                        Error::Timeout(_) | Error::BodyStalled => {
                            let idle = seconds(self.net.idle);
                            RequestError::permanent(
                                format!("the server sent no data for {idle}"),
                                AGAIN,
                            )
                        }
                        error => explain(error, &self.url, &self.net),
                    });
                }
                Ok(count) => break count,
            }
        };
        traffic::count_bytes(count);
        if count > 0 {
            self.pace.took(count).map_err(RequestError::Permanent)?;
        }
        Ok(count)
    }

    /// Reads until `to` is full or it ends; how many bytes that were.
    pub fn fill(&mut self, to: &mut [u8]) -> Result<usize, RequestError> {
        storage::file::fill(to, |to, _| self.read(to))
    }

    /// Reads over `count` bytes.
    pub fn skip(&mut self, mut count: u64) -> Result<(), RequestError> {
        let mut buffer = vec![0; 64 << 10];
        while count > 0 {
            let most = usize::try_from(count).map_or(buffer.len(), |count| count.min(buffer.len()));
            match self.read(&mut buffer[..most])? {
                0 => return Err(RequestError::retryable("it ended early", AGAIN)),
                read => count -= read as u64,
            }
        }
        Ok(())
    }

    /// Sees that it has ended, which makes its connection free.
    pub fn ended(mut self) -> Result<(), RequestError> {
        match self.read(&mut [0])? {
            0 => Ok(()),
            _ => Err(RequestError::permanent(
                "the server sent more bytes than it announced",
                CHECK_SERVER,
            )),
        }
    }

    /// Discards the body. If little of it is left, its connection can be reused. A search asks for
    /// hundreds of files, so it stops waiting for bodies once a server has delayed the end of one.
    pub fn drain(self) {
        if self.has_slow_bodies.load(Ordering::Relaxed) {
            return;
        }
        let mut rest = self.reader.take(DRAINED);
        let drained = within(self.net.idle, || io::copy(&mut rest, &mut io::sink()));
        if drained.is_err_and(|error| matches!(Error::from(error), Error::Timeout(_))) {
            self.has_slow_bodies.store(true, Ordering::Relaxed);
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body").field("url", &self.url).finish_non_exhaustive()
    }
}

/// The first transfer coding of an answer that is not undone here (RFC 9112, 6.1): its bytes are not
/// the file's.
fn unknown_coding(parts: &ureq::http::response::Parts) -> Option<String> {
    let values = parts.headers.get_all("Transfer-Encoding").iter();
    let codings = values.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    let mut codings = codings.map(said).filter(|coding| !coding.is_empty());
    codings.find(|coding| !["chunked", "identity"].iter().any(|c| coding.eq_ignore_ascii_case(c)))
}

/// The same of a request through a proxy, to which the connection is made.
fn explain_proxy(error: Error, proxy: &str, url: &Url, net: &Net) -> RequestError {
    let problem = match &error {
        Error::Timeout(Timeout::Resolve | Timeout::Connect) => {
            format!("no connection to {proxy} within {}", seconds(net.idle))
        }
        Error::HostNotFound => format!("the host of {proxy} is not found"),
        Error::Io(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            format!("{proxy} refuses the connection")
        }
        Error::Io(error) if is_of_connecting(error) => format!("cannot reach {proxy}: {error}"),
        _ => return explain(error, url, net),
    };
    RequestError::permanent(problem, CHECK_PROXY)
}

/// Whether there was no connection yet. The kind of the resolver's errors has no stable name, so those
/// of a connection are left out.
fn is_of_connecting(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    !matches!(
        error.kind(),
        Kind::UnexpectedEof
            | Kind::ConnectionReset
            | Kind::ConnectionAborted
            | Kind::BrokenPipe
            | Kind::NotConnected
            | Kind::TimedOut
            | Kind::WouldBlock
            | Kind::InvalidData
    )
}

/// What a user can make of ureq's errors.
fn explain(error: Error, url: &Url, net: &Net) -> RequestError {
    let host = &url.authority;
    let idle = seconds(net.idle);
    match error {
        Error::Timeout(Timeout::Resolve | Timeout::Connect) => {
            RequestError::permanent(format!("no connection to {host} within {idle}"), AGAIN)
        }
        Error::Timeout(_) => {
            let problem = format!("the server sent no complete answer within {idle}");
            RequestError::permanent(problem, AGAIN)
        }
        Error::HostNotFound => RequestError::permanent(format!("host {host} not found"), AGAIN),
        Error::Protocol(error) => {
            let is_long = error.to_string().contains("too many headers");
            let why = if is_long { ": it has too many headers" } else { "" };
            let problem = format!("{host} sent an invalid HTTP response{why}");
            RequestError::permanent(problem, CHECK_SERVER)
        }
        Error::LargeResponseHeader(_, most) => {
            let problem = format!("the response's headers are longer than {most} bytes");
            RequestError::permanent(problem, CHECK_SERVER)
        }
        Error::ConnectProxyFailed(why) => RequestError::permanent(
            format!("the proxy cannot connect to {host}: {why}"),
            "check https_proxy and no_proxy in the environment",
        ),
        Error::Io(error) => explain_io(&error, host, &idle),
        error => RequestError::permanent(format!("{host}: {error}"), tls_hint(url)),
    }
}

fn explain_io(error: &io::Error, host: &str, idle: &str) -> RequestError {
    use io::ErrorKind as Kind;
    match error.kind() {
        Kind::UnexpectedEof
        | Kind::ConnectionReset
        | Kind::ConnectionAborted
        | Kind::BrokenPipe
        | Kind::NotConnected => {
            RequestError::retryable(format!("the connection to {host} broke"), AGAIN)
        }
        Kind::ConnectionRefused => {
            RequestError::permanent(format!("{host} refuses the connection"), CHECK_SERVER)
        }
        Kind::TimedOut | Kind::WouldBlock => {
            RequestError::permanent(format!("the server sent nothing for {idle}"), AGAIN)
        }
        // What rustls says.
        Kind::InvalidData => {
            let (why, hint) = explain_tls(&error.to_string());
            RequestError::permanent(format!("no secure connection to {host}: {why}"), hint)
        }
        _ => RequestError::permanent(format!("{host}: {error}"), AGAIN),
    }
}

/// What a user can make of rustls' words, which are for programmers (`Error` and `CertificateError`
/// in rustls' error.rs).
fn explain_tls(said: &str) -> (&'static str, &'static str) {
    const CERTIFICATES: [(&str, &str); 6] = [
        ("UnknownIssuer", "no known authority signed its certificate"),
        ("CaUsedAsEndEntity", "its certificate is that of an authority, not of a server"),
        ("not valid for", "its certificate is for another host"),
        ("NotValidForName", "its certificate is for another host"),
        ("xpired", "its certificate has expired"),
        ("evoked", "its certificate was revoked"),
    ];
    if said.contains("certificate") {
        let known = CERTIFICATES.iter().find(|(word, _)| said.contains(word));
        return (known.map_or("its certificate is not valid", |(_, why)| *why), CERTIFICATE);
    }
    if said.contains("corrupt message") {
        return ("its answer is not TLS", "for a server without TLS, use http://");
    }
    ("the TLS handshake failed", "check the URL, and that the server supports TLS 1.2 or 1.3")
}

const CERTIFICATE: &str = "if a private authority signed the certificate, set SSL_CERT_FILE to that authority's certificate; for a server without TLS, use http://";

fn tls_hint(url: &Url) -> &'static str {
    if url.tls { CERTIFICATE } else { CHECK_SERVER }
}

/// A duration as people say it.
fn seconds(duration: Duration) -> String {
    if duration.subsec_nanos() == 0 {
        format!("{} s", duration.as_secs())
    } else {
        format!("{} ms", duration.as_millis())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn pauses_grow_with_each_failure() {
        let net = Net { idle: Duration::from_millis(600), ..Net::default() };
        let client = Client::new(&net);
        for (failures, least) in [(0, 10), (2, 40), (4, 160)] {
            let begun = Instant::now();
            client.pause(failures);
            assert!(begun.elapsed() >= Duration::from_millis(least), "{failures} failures");
        }
    }

    #[test]
    fn errors_of_a_connection_are_explained() {
        use io::ErrorKind::{ConnectionRefused, ConnectionReset, Other, TimedOut};
        for (kind, words, hint) in [
            (ConnectionReset, "the connection to h broke", AGAIN),
            (ConnectionRefused, "h refuses the connection", CHECK_SERVER),
            (TimedOut, "the server sent nothing for 6 s", AGAIN),
            (Other, "h: ", AGAIN),
        ] {
            let error = explain_io(&kind.into(), "h", "6 s");
            assert_eq!(matches!(error, RequestError::Retryable(_)), kind == ConnectionReset);
            let error = error.into_error();
            assert!(error.to_string().contains(words), "{error}");
            assert_eq!(storage::hint_of(&error), Some(hint), "{error}");
        }
    }

    #[test]
    fn a_proxy_that_cannot_be_reached_is_named_instead_of_the_server() {
        use io::ErrorKind::{ConnectionRefused, ConnectionReset, NetworkUnreachable};
        let url = Url::parse("http://far/x").unwrap();
        let net = Net { idle: Duration::from_secs(6), ..Net::default() };
        for (error, problem) in [
            (Error::Io(ConnectionRefused.into()), "P refuses the connection"),
            (Error::Io(NetworkUnreachable.into()), "cannot reach P: network unreachable"),
            (Error::Timeout(Timeout::Connect), "no connection to P within 6 s"),
            (Error::HostNotFound, "the host of P is not found"),
            (Error::Io(ConnectionReset.into()), "the connection to far broke"),
        ] {
            let told = explain_proxy(error, "P", &url, &net).into_error();
            assert_eq!(told.to_string(), problem);
            assert_eq!(storage::hint_of(&told) == Some(CHECK_PROXY), problem.contains('P'));
        }
    }

    #[test]
    fn failures_of_tls_are_explained_in_plain_words() {
        for (said, why) in [
            (
                "invalid peer certificate: UnknownIssuer",
                "no known authority signed its certificate",
            ),
            (
                "invalid peer certificate: Other(OtherError(CaUsedAsEndEntity))",
                "its certificate is that of an authority, not of a server",
            ),
            (
                "invalid peer certificate: certificate not valid for name \"h\"",
                "its certificate is for another host",
            ),
            ("invalid peer certificate: certificate expired: …", "its certificate has expired"),
            ("invalid peer certificate: BadEncoding", "its certificate is not valid"),
            ("received corrupt message of type InvalidContentType", "its answer is not TLS"),
            ("received fatal alert: HandshakeFailure", "the TLS handshake failed"),
        ] {
            let error = explain_io(&io::Error::new(io::ErrorKind::InvalidData, said), "h", "6 s");
            let error = error.into_error();
            assert_eq!(error.to_string(), format!("no secure connection to h: {why}"), "{said}");
            let is_about_certificates = storage::hint_of(&error) == Some(CERTIFICATE);
            assert_eq!(is_about_certificates, said.contains("certificate"), "{said}");
        }
    }

    #[test]
    fn a_certificate_is_named_only_where_there_is_one() {
        for (url, hint) in [("https://h/", CERTIFICATE), ("http://h/", CHECK_SERVER)] {
            assert_eq!(tls_hint(&Url::parse(url).unwrap()), hint, "{url}");
        }
    }
}
