//! The events of a file or socket, for a card's thread: it is read only when there is something to
//! read, and the thread sleeps while the guest has no room.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};

/// How many events are taken at once. There is one descriptor, or two.
const EVENTS: usize = 4;

/// Edge-triggered events: each is reported once.
#[derive(Debug)]
pub struct Edges(OwnedFd);

impl Edges {
    /// Watches nothing yet.
    ///
    /// # Errors
    /// The host is out of descriptors.
    pub fn new() -> io::Result<Self> {
        Ok(Self(epoll::create(CreateFlags::CLOEXEC)?))
    }

    /// Watches a descriptor for room and data. Closing it ends that.
    ///
    /// # Errors
    /// The descriptor has no events.
    pub fn add(&self, descriptor: impl AsFd) -> io::Result<()> {
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        Ok(epoll::add(&self.0, descriptor, EventData::new_u64(0), flags)?)
    }

    /// A descriptor that is readable while there are events.
    ///
    /// # Errors
    /// The host is out of descriptors.
    pub fn descriptor(&self) -> io::Result<OwnedFd> {
        self.0.try_clone()
    }

    /// Takes the events. Returns whether there were any.
    pub fn take(&self) -> bool {
        let mut events = Vec::with_capacity(EVENTS);
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        let count = epoll::wait(&self.0, spare_capacity(&mut events), Some(&now));
        count.is_ok_and(|count| count > 0)
    }
}
