//! What every connection has, below and above TLS: a deadline for each thing that is waited for,
//! and ends that are told from breaks.
//!
//! ureq's time-outs are for single reads of a socket. A server that sends a byte at a time, or
//! trailers without end, never runs into one.

use std::cell::Cell;
use std::io;
use std::time::{Duration, Instant};

use ureq::unversioned::transport::{
    Buffers, ConnectProxyConnector, ConnectionDetails, Connector, NextTimeout, TcpConnector,
    Transport,
};
use ureq::{Error, Timeout};

thread_local! {
    /// When what this thread waits for must be there.
    static DEADLINE: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Does something whose reads and writes must all be done within `limit`.
pub(super) fn within<T>(limit: Duration, act: impl FnOnce() -> T) -> T {
    let outer = DEADLINE.replace(Instant::now().checked_add(limit));
    let done = act();
    DEADLINE.set(outer);
    done
}

/// Connects to hosts and through proxies, with TLS where it is wanted.
pub(super) fn connector() -> impl Connector {
    let plain =
        ().chain(ConnectProxyConnector::default()).chain(TcpConnector::default()).chain(Limits);
    #[cfg(feature = "tls")]
    let plain = plain.chain(ureq::unversioned::transport::RustlsConnector::default());
    plain.chain(Breaks)
}

/// Has a connection keep to the deadline.
#[derive(Debug)]
struct Limits;

impl<In: Transport> Connector<In> for Limits {
    type Out = Limited<In>;

    fn connect(
        &self,
        _: &ConnectionDetails<'_>,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, Error> {
        Ok(chained.map(Limited))
    }
}

#[derive(Debug)]
struct Limited<T>(T);

/// The time-out, shortened to what is left.
fn limited(mut timeout: NextTimeout) -> Result<NextTimeout, Error> {
    let Some(deadline) = DEADLINE.get() else { return Ok(timeout) };
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(Error::Timeout(Timeout::PerRead));
    }
    if *timeout.after > left {
        (timeout.after, timeout.reason) = (left.into(), Timeout::PerRead);
    }
    Ok(timeout)
}

impl<T: Transport> Transport for Limited<T> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.0.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.0.transmit_output(amount, limited(timeout)?)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.0.await_input(limited(timeout)?)
    }

    fn is_open(&mut self) -> bool {
        self.0.is_open()
    }

    fn is_tls(&self) -> bool {
        self.0.is_tls()
    }
}

/// Tells a connection that broke from one that has ended. ureq takes both for the end of a body
/// without a length, also where TLS says that bytes are missing (RFC 8446, 6.1).
#[derive(Debug)]
struct Breaks;

impl<In: Transport> Connector<In> for Breaks {
    type Out = Breaking<In>;

    fn connect(
        &self,
        _: &ConnectionDetails<'_>,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, Error> {
        Ok(chained.map(Breaking))
    }
}

#[derive(Debug)]
struct Breaking<T>(T);

impl<T: Transport> Transport for Breaking<T> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.0.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.0.transmit_output(amount, timeout)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.0.await_input(timeout).map_err(|error| match error {
            Error::Io(error) if is_break(&error) => Error::Io(io::ErrorKind::BrokenPipe.into()),
            error => error,
        })
    }

    fn is_open(&mut self) -> bool {
        self.0.is_open()
    }

    fn is_tls(&self) -> bool {
        self.0.is_tls()
    }
}

fn is_break(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), UnexpectedEof | ConnectionAborted | ConnectionReset)
}

#[cfg(test)]
mod tests {
    use ureq::unversioned::transport::LazyBuffers;

    use super::*;

    /// A connection of which everything is known.
    #[derive(Debug)]
    struct Known {
        buffers: LazyBuffers,
        is: bool,
        breaks_by: io::ErrorKind,
    }

    impl Known {
        fn new(is: bool, breaks_by: io::ErrorKind) -> Self {
            Self { buffers: LazyBuffers::new(1, 1), is, breaks_by }
        }
    }

    impl Transport for Known {
        fn buffers(&mut self) -> &mut dyn Buffers {
            &mut self.buffers
        }

        fn transmit_output(&mut self, _: usize, _: NextTimeout) -> Result<(), Error> {
            Ok(())
        }

        fn await_input(&mut self, _: NextTimeout) -> Result<bool, Error> {
            Err(Error::Io(self.breaks_by.into()))
        }

        fn is_open(&mut self) -> bool {
            self.is
        }

        fn is_tls(&self) -> bool {
            self.is
        }
    }

    fn up_to(seconds: u64) -> NextTimeout {
        let after = Duration::from_secs(seconds).into();
        NextTimeout { after, reason: Timeout::RecvResponse, ..NextTimeout::default() }
    }

    #[test]
    fn a_wait_ends_at_the_deadline_at_the_latest() {
        let minute = Duration::from_secs(60);
        assert_eq!(*limited(up_to(600)).unwrap().after, 10 * minute, "there is no deadline");
        within(minute, || {
            let cut = limited(up_to(600)).unwrap();
            assert!(*cut.after <= minute && *cut.after > minute / 2, "{cut:?}");
            assert_eq!(cut.reason, Timeout::PerRead);
            let short = limited(up_to(1)).unwrap();
            assert_eq!(*short.after, Duration::from_secs(1));
            assert_eq!(short.reason, Timeout::RecvResponse);
            within(Duration::ZERO, || {
                let over = limited(up_to(1));
                assert!(matches!(over, Err(Error::Timeout(Timeout::PerRead))), "{over:?}");
            });
            assert!(limited(up_to(1)).is_ok(), "the outer deadline holds again");
        });
    }

    /// ureq asks this of a connection before it uses it for another request.
    #[test]
    fn what_a_connection_is_is_told_through_both_layers() {
        for is in [true, false] {
            let mut limited = Limited(Known::new(is, io::ErrorKind::Other));
            assert_eq!((limited.is_open(), limited.is_tls()), (is, is));
            let mut breaking = Breaking(Known::new(is, io::ErrorKind::Other));
            assert_eq!((breaking.is_open(), breaking.is_tls()), (is, is));
        }
    }

    #[test]
    fn a_break_is_not_an_end() {
        use io::ErrorKind::{
            BrokenPipe, ConnectionAborted, ConnectionReset, TimedOut, UnexpectedEof,
        };
        for (kind, expected) in [
            (UnexpectedEof, BrokenPipe),
            (ConnectionAborted, BrokenPipe),
            (ConnectionReset, BrokenPipe),
            (TimedOut, TimedOut),
        ] {
            match Breaking(Known::new(true, kind)).await_input(up_to(1)) {
                Err(Error::Io(error)) => assert_eq!(error.kind(), expected, "{kind}"),
                other => panic!("{kind}: {other:?}"),
            }
        }
    }
}
