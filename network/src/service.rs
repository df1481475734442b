//! A server of this process that the guest reaches at an address of the network.

use std::fmt::Debug;
use std::os::fd::OwnedFd;

/// The TCP port of the service: HTTP's, so that no URL needs a port.
pub(crate) const PORT: u16 = 80;

/// A server of this process. The network carries bytes; what they mean is the server's business.
pub trait Service: Debug + Send + Sync {
    /// Takes a connection of the guest. Returns the network's end of it: a connected stream socket
    /// that does not block, such as one of a pair. Must not wait. `None` refuses the connection.
    fn connect(&self) -> Option<OwnedFd>;
}
