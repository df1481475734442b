//! A TCP connection with RPC records on it (RFC 5531, section 11), none of them endless.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use nfs3_client::io::{AsyncRead, AsyncWrite};
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

use crate::remote::address::{connect, is_stall, limit, stalled, unreached};
use crate::remote::pace::Pace;
use storage::Failure;

/// Bytes of an answer at most: a piece of a file, and what is around it.
pub(super) const RECORD: usize = (1 << 20) + (1 << 12);
/// Maximum length in bytes of the verifier before an answer (RFC 5531, 8.2).
const VERIFIER: u32 = 400;

/// A connection to a server.
#[derive(Debug)]
pub(super) struct Wire {
    stream: TcpStream,
    idle: Duration,
    /// The record that is being taken.
    record: Vec<u8>,
}

impl Wire {
    /// From any port of this host's, or from one that only root may use: some servers talk to no
    /// others.
    pub fn connect(to: SocketAddr, reserved: bool, idle: Duration) -> io::Result<Self> {
        let stream = if reserved { from_reserved_port(to, idle)? } else { connect(&[to], idle)? };
        Ok(Self { stream, idle, record: Vec::new() })
    }

    /// Takes a whole record, whatever pieces it comes in.
    fn receive(&mut self) -> io::Result<()> {
        self.record.clear();
        let mut pace = Pace::new(self.idle);
        loop {
            let mut head = [0; 4];
            self.fill(&mut head, &mut pace)?;
            let head = u32::from_be_bytes(head);
            let len = usize::try_from(head & 0x7fff_ffff).unwrap_or(usize::MAX);
            let begin = self.record.len();
            if len > RECORD - begin {
                return Err(garbage(&format!("an answer of more than {RECORD} bytes")));
            }
            let mut record = std::mem::take(&mut self.record);
            record.resize(begin + len, 0);
            self.fill(&mut record[begin..], &mut pace)?;
            self.record = record;
            if head >> 31 == 1 {
                break;
            }
            if len == 0 {
                return Err(garbage("pieces of an answer that have nothing in them"));
            }
        }
        // An answer that was taken begins: xid, REPLY, MSG_ACCEPTED, flavour and length of the
        // verifier.
        let word = |at: usize| {
            self.record
                .get(at * 4..at * 4 + 4)
                .and_then(|word| Some(u32::from_be_bytes(word.try_into().ok()?)))
        };
        if word(2) == Some(0) && word(4).is_some_and(|len| len > VERIFIER) {
            return Err(garbage("a verifier that is too long"));
        }
        Ok(())
    }

    fn fill(&mut self, to: &mut [u8], pace: &mut Pace) -> io::Result<()> {
        let mut filled = 0;
        while filled < to.len() {
            match self.stream.read(&mut to[filled..]) {
                Ok(0) => {
                    let problem = "the connection ended in the middle of an answer";
                    return Err(io::Error::new(io::ErrorKind::UnexpectedEof, problem));
                }
                Ok(count) => {
                    filled += count;
                    pace.took(count)?;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if is_stall(&error) => return Err(stalled(self.idle)),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl AsyncRead for Wire {
    async fn async_read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// The client asks for four bytes, the length of a record, and for the record then.
    async fn async_read_exact(&mut self, to: &mut [u8]) -> io::Result<()> {
        if self.record.is_empty() {
            self.receive()?;
            let len = u32::try_from(self.record.len()).map_err(io::Error::other)? | 1 << 31;
            return len.to_be_bytes().as_slice().read_exact(to);
        }
        std::mem::take(&mut self.record).as_slice().read_exact(to)
    }
}

impl AsyncWrite for Wire {
    async fn async_write(&mut self, from: &[u8]) -> io::Result<usize> {
        self.stream.write(from)
    }

    async fn async_write_all(&mut self, from: &[u8]) -> io::Result<()> {
        self.stream
            .write_all(from)
            .map_err(|error| if is_stall(&error) { stalled(self.idle) } else { error })
    }
}

/// What a call comes to. nfs3_client waits for nothing but the connection, which here does not come
/// back before it is done.
pub(super) fn done<T>(call: impl Future<Output = T>) -> io::Result<T> {
    match pin!(call).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => Ok(done),
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}

/// That what the server sends is no answer.
pub(super) fn garbage(what: &str) -> io::Error {
    Failure::new(format!("the server sent {what}"), "is it an NFS server, of version 3?").into()
}

fn from_reserved_port(to: SocketAddr, idle: Duration) -> io::Result<TcpStream> {
    // As the kernel's own client: from the upper end on (net/sunrpc/xprtsock.c).
    for port in (665..=1023).rev() {
        let (family, any) = match to {
            SocketAddr::V4(_) => (AddressFamily::INET, SocketAddr::from(([0, 0, 0, 0], port))),
            SocketAddr::V6(_) => (AddressFamily::INET6, SocketAddr::from(([0_u16; 8], port))),
        };
        let socket =
            rustix::net::socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        match rustix::net::bind(&socket, &any) {
            Ok(()) => {}
            Err(rustix::io::Errno::ADDRINUSE) => continue,
            Err(error) => return Err(error.into()),
        }
        // It limits connect(2) too (socket(7)).
        sockopt::set_socket_timeout(&socket, sockopt::Timeout::Send, Some(idle))?;
        return match rustix::net::connect(&socket, &to) {
            Ok(()) => {
                let stream = TcpStream::from(socket);
                limit(&stream, idle)?;
                Ok(stream)
            }
            // The same port is still known from an earlier connection to the same server.
            Err(rustix::io::Errno::ADDRINUSE | rustix::io::Errno::ADDRNOTAVAIL) => continue,
            Err(rustix::io::Errno::INPROGRESS) => {
                Err(unreached(to, idle, &io::ErrorKind::TimedOut.into()))
            }
            Err(error) => Err(unreached(to, idle, &error.into())),
        };
    }
    Err(io::ErrorKind::AddrInUse.into())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::sync::mpsc::channel;
    use std::thread;

    use super::*;

    /// A connection whose other end does something with it once it is made: a reset before would have
    /// the connecting fail.
    fn wire(other_end: impl FnOnce(TcpStream) + Send + 'static) -> Wire {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = listener.local_addr().unwrap();
        let (connected, is_connected) = channel();
        thread::spawn(move || {
            let stream = listener.accept().unwrap().0;
            is_connected.recv().unwrap();
            other_end(stream);
        });
        let wire = Wire::connect(to, false, Duration::from_secs(30)).unwrap();
        connected.send(()).unwrap();
        wire
    }

    /// What comes of records, each `(is the last one, bytes)`.
    fn received(pieces: Vec<(bool, Vec<u8>)>) -> Result<usize, String> {
        let mut wire = wire(move |mut stream| {
            for (is_last, bytes) in pieces {
                let head = u32::try_from(bytes.len()).unwrap() | u32::from(is_last) << 31;
                // Who has had enough hangs up.
                let sent = stream.write_all(&[&head.to_be_bytes()[..], &bytes].concat());
                if sent.is_err() {
                    return;
                }
            }
            let _ = stream.read(&mut [0]);
        });
        wire.receive().map(|()| wire.record.len()).map_err(|error| error.to_string())
    }

    #[test]
    fn an_answer_is_bounded_in_the_sum_of_its_pieces() {
        assert_eq!(received(vec![(true, vec![0; RECORD])]), Ok(RECORD));
        let split = |second| vec![(false, vec![0; RECORD - 8]), (true, vec![0; second])];
        assert_eq!(received(split(8)), Ok(RECORD));
        for pieces in [vec![(true, vec![0; RECORD + 1])], split(9)] {
            let problem = received(pieces).unwrap_err();
            assert_eq!(problem, format!("the server sent an answer of more than {RECORD} bytes"));
        }
    }

    /// RFC 5531, 8.2: the body of an `opaque_auth` has at most 400 bytes.
    #[test]
    fn a_verifier_is_bounded() {
        let answer = |len: u32| {
            let words = [7, 1, 0, 0, len].map(u32::to_be_bytes);
            vec![(true, words.concat())]
        };
        assert_eq!(received(answer(400)), Ok(20));
        assert!(received(answer(401)).unwrap_err().contains("a verifier that is too long"));
    }

    /// A reset may be better the next time, and says nothing of how long it took.
    #[test]
    fn a_connection_that_is_reset_is_not_a_silent_one() {
        let mut wire = wire(|stream| {
            sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
        });
        let error = wire.receive().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "{error}");
    }

    /// The client reads whole records only, and writes whole calls.
    #[test]
    fn a_part_of_a_record_cannot_be_had() {
        let mut wire = wire(|mut stream| {
            let mut sent = [0; 4];
            stream.read_exact(&mut sent).unwrap();
            stream.write_all(&[&[0x80, 0, 0, 4], &sent[..]].concat()).unwrap();
            let _ = stream.read(&mut [0]);
        });
        let error = done(wire.async_read(&mut [0; 4])).unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::Unsupported);
        assert_eq!(done(wire.async_write(b"call")).unwrap().unwrap(), 4);
        let mut record = [0; 4];
        done(wire.async_read_exact(&mut record)).unwrap().unwrap();
        assert_eq!(record, [0x80, 0, 0, 4], "the length of the record");
        done(wire.async_read_exact(&mut record)).unwrap().unwrap();
        assert_eq!(&record, b"call");
    }
}
