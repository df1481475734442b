//! Where another host is: names, ports, addresses, and what a URL writes with percent signs.

use std::io;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

use storage::Failure;

/// A host by name or address, and its port where one was named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Host {
    /// Without the brackets of an IPv6 address.
    pub name: String,
    /// What is behind the colon.
    pub port: Option<u16>,
}

impl Host {
    /// `name`, `name:port`, `[address]` or `[address]:port` (RFC 3986, 3.2.2).
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(given: &str) -> Result<Self, &'static str> {
        let (name, port) = match given.strip_prefix('[') {
            Some(rest) => {
                let (name, rest) = rest.split_once(']').ok_or("its host has a [ without a ]")?;
                let port = match rest.strip_prefix(':') {
                    None if rest.is_empty() => None,
                    None => return Err("its host has characters after the ]"),
                    port => port,
                };
                (name, port)
            }
            None => match given.split_once(':') {
                Some((name, port)) => (name, Some(port)),
                None => (given, None),
            },
        };
        if name.is_empty() {
            return Err("there is no host");
        }
        let port = match port {
            None | Some("") => None,
            Some(port) => match port.parse() {
                Ok(0) | Err(_) => return Err("its port is not a number from 1 to 65535"),
                Ok(port) => Some(port),
            },
        };
        Ok(Self { name: name.into(), port })
    }

    /// All addresses of it with its own port, or else `port`.
    ///
    /// # Errors
    /// The name has none.
    pub fn addresses(&self, port: u16) -> io::Result<Vec<SocketAddr>> {
        let found = (self.name.as_str(), self.port.unwrap_or(port)).to_socket_addrs();
        let found = found.map_err(|error| {
            let problem = format!("host '{}' not found: {error}", self.name);
            Failure::new(problem, "check the name and the DNS of this host")
        })?;
        let found: Vec<_> = found.collect();
        if found.is_empty() {
            let problem = format!("the host '{}' has no address", self.name);
            return Err(Failure::new(problem, "check the name and the DNS of this host").into());
        }
        Ok(found)
    }
}

/// A connection to the first of `addresses` that takes one. Reading and writing give up after
/// `idle` without a byte.
///
/// # Errors
/// The error of the last address.
pub(crate) fn connect(addresses: &[SocketAddr], idle: Duration) -> io::Result<TcpStream> {
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in addresses {
        match TcpStream::connect_timeout(address, idle) {
            Ok(stream) => {
                limit(&stream, idle)?;
                return Ok(stream);
            }
            Err(error) => last = unreached(*address, idle, &error),
        }
    }
    Err(last)
}

/// Has reading and writing give up after `idle` without a byte; nothing is held back to be sent
/// with more.
///
/// # Errors
/// See setsockopt(2).
pub(crate) fn limit(stream: &TcpStream, idle: Duration) -> io::Result<()> {
    stream.set_read_timeout(Some(idle))?;
    stream.set_write_timeout(Some(idle))?;
    stream.set_nodelay(true)
}

/// That there is no connection to `address`.
pub(crate) fn unreached(address: SocketAddr, idle: Duration, error: &io::Error) -> io::Error {
    let why = if is_stall(error) {
        format!("it did not answer for {}", seconds(idle))
    } else {
        error.to_string()
    };
    let problem = format!("cannot connect to {address}: {why}");
    Failure::new(problem, "is the server running there, and is the port open?").into()
}

/// Whether the time-out of a socket is over.
pub(crate) fn is_stall(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

/// That not one byte came for `idle`.
pub(crate) fn stalled(idle: Duration) -> io::Error {
    let problem = format!("the server sent nothing for {}", seconds(idle));
    Failure::new(problem, "is the server up? try again").into()
}

/// That no answer was there as a whole within `idle`, whatever came of it.
pub(crate) fn unanswered(idle: Duration) -> io::Error {
    let problem = format!("the server sent no complete answer within {}", seconds(idle));
    Failure::new(problem, "is the server up? try again").into()
}

/// That a file has more than the `len` bytes that its server told.
pub(crate) fn goes_on(len: u64) -> io::Error {
    let problem = format!("it continues after {len} bytes, where it should end");
    Failure::new(problem, "was it changed during the download? try again").into()
}

fn seconds(time: Duration) -> String {
    format!("{} s", time.as_secs_f32())
}

/// What a URL's part means: `%20` is a space (RFC 3986, 2.1).
///
/// # Errors
/// What is wrong with it.
pub(crate) fn decode(text: &str) -> Result<String, &'static str> {
    String::from_utf8(decoded(text.as_bytes())?).map_err(|_| "it is not UTF-8")
}

/// The same of any bytes.
///
/// # Errors
/// [`NO_DIGITS`].
pub(crate) fn decoded(text: &[u8]) -> Result<Vec<u8>, &'static str> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.iter().copied();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                let value = digit().zip(digit()).map(|(high, low)| high << 4 | low);
                value.and_then(|value| u8::try_from(value).ok()).ok_or(NO_DIGITS)?
            }
            byte => byte,
        });
    }
    Ok(bytes)
}

/// What is wrong with a percent sign.
pub(crate) const NO_DIGITS: &str = "a % is not followed by two hexadecimal digits";

/// What a server said, fit for a message: one line without control characters, and not endless.
pub(crate) fn said(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let line = text.trim().chars().map(|c| if c.is_control() { ' ' } else { c });
    let line: String = line.take(200).collect();
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_with_and_without_ports() {
        let host = |name: &str, port| Ok(Host { name: name.into(), port });
        for (given, expected) in [
            ("h", host("h", None)),
            ("h:21", host("h", Some(21))),
            ("h:", host("h", None)),
            ("[::1]", host("::1", None)),
            ("[::1]:69", host("::1", Some(69))),
            ("", Err("there is no host")),
            (":1", Err("there is no host")),
            ("h:0", Err("its port is not a number from 1 to 65535")),
            ("h:65536", Err("its port is not a number from 1 to 65535")),
            ("h:1:2", Err("its port is not a number from 1 to 65535")),
            ("[::1", Err("its host has a [ without a ]")),
            ("[::1]x", Err("its host has characters after the ]")),
        ] {
            assert_eq!(Host::parse(given), expected, "{given}");
        }
        let address = Host::parse("[::1]").unwrap().addresses(7).unwrap();
        assert_eq!(address, ["[::1]:7".parse().unwrap()]);
    }

    #[test]
    fn percent_signs_are_undone_once() {
        assert_eq!(decode("a%20b%2Fc%2525").as_deref(), Ok("a b/c%25"));
        for bad in ["%", "%4", "%zz", "%+1"] {
            assert_eq!(decode(bad), Err("a % is not followed by two hexadecimal digits"), "{bad}");
        }
        assert_eq!(decode("%ff"), Err("it is not UTF-8"));
    }

    #[test]
    fn a_refusal_is_told_from_silence() {
        use io::ErrorKind::{ConnectionRefused, ConnectionReset, TimedOut, WouldBlock};
        let why = |kind: io::ErrorKind| {
            unreached(([127, 0, 0, 1], 9).into(), Duration::from_secs(6), &kind.into()).to_string()
        };
        for silence in [TimedOut, WouldBlock] {
            assert_eq!(
                why(silence),
                "cannot connect to 127.0.0.1:9: it did not answer for 6 s",
                "{silence}"
            );
        }
        for refusal in [ConnectionRefused, ConnectionReset] {
            assert!(!why(refusal).contains("did not answer"), "{refusal}");
        }
    }

    #[test]
    fn what_a_server_says_is_one_short_line() {
        assert_eq!(said(b"550 \x1b[31mno\r\n such  file\0"), "550 [31mno such file");
        assert_eq!(said(&[b'x'; 5000]).len(), 200);
    }
}
