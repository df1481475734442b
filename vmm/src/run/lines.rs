//! Input from the lines: sockets and pseudo-terminals. It is read while the guest takes it, so that
//! a guest that does not listen makes its peer wait, and nothing grows.

use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;

use vmm_sys_util::epoll::{ControlOperation, Epoll, EpollEvent, EventSet};

use crate::host::chardev::{Line, Received};
use crate::machine::input_port::InputPort;

/// A line, and the device that it belongs to.
#[derive(Clone)]
pub struct Connected {
    /// The line.
    pub line: Arc<Line>,
    /// The device.
    pub port: Arc<dyn InputPort>,
}

impl fmt::Debug for Connected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connected").field("line", &self.line).finish_non_exhaustive()
    }
}

/// The lines of a run.
pub struct Lines {
    events: Epoll,
    lines: Vec<Watched>,
}

impl fmt::Debug for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lines").field("lines", &self.lines.len()).finish_non_exhaustive()
    }
}

/// How many reads of a line are passed on before others get their turn.
const READS: usize = 64;

struct Watched {
    at: Connected,
    /// Bytes that the guest has not taken yet: not more than one read.
    pending: Vec<u8>,
    /// There may be more to read.
    is_readable: bool,
    /// The peer is gone, though the guest has not taken all of what it sent. The next one need not
    /// wait for that.
    is_gone: bool,
}

/// What an event of epoll is about: the number of the line, and whether it is its peer.
fn key(index: usize, of_peer: bool) -> u64 {
    u64::try_from(index).unwrap_or(u64::MAX >> 1) << 1 | u64::from(of_peer)
}

impl Lines {
    /// Watches these lines; `None` if there are none.
    ///
    /// # Errors
    /// The host is out of descriptors.
    pub fn watch(lines: &[Connected]) -> io::Result<Option<Self>> {
        if lines.is_empty() {
            return Ok(None);
        }
        let mut this = Self { events: Epoll::new()?, lines: Vec::new() };
        for (index, at) in lines.iter().enumerate() {
            if let Some(fd) = at.line.listener_fd() {
                this.add(fd, EventSet::IN, key(index, false))?;
            }
            this.lines.push(Watched {
                at: at.clone(),
                pending: Vec::new(),
                is_readable: false,
                is_gone: false,
            });
            this.meet(index)?;
        }
        Ok(Some(this))
    }

    /// Events are edge-triggered: otherwise, a peer whose input is not wanted, or a terminal that
    /// nobody has open, would be reported all the time.
    fn add(&self, fd: RawFd, events: EventSet, key: u64) -> io::Result<()> {
        let event = EpollEvent::new(events | EventSet::EDGE_TRIGGERED, key);
        self.events.ctl(ControlOperation::Add, fd, event)
    }

    /// Watches the peer of a line, if there is one.
    fn meet(&mut self, index: usize) -> io::Result<()> {
        let Some(watched) = self.lines.get_mut(index) else { return Ok(()) };
        let Some(fd) = watched.at.line.peer_fd() else { return Ok(()) };
        watched.is_readable = true;
        watched.is_gone = false;
        watched.at.port.peer_changed(true);
        self.add(fd, EventSet::IN | EventSet::OUT, key(index, true))
    }

    /// Accepts clients, and passes on what has arrived. Returns false if a device is busy or there
    /// is more to read: call [`Self::pass_on`] soon.
    pub fn attend(&mut self) -> bool {
        let mut events = [EpollEvent::default(); 16];
        let count = self.events.wait(0, &mut events).unwrap_or_default();
        let mut gone = Vec::new();
        for event in &events[..count] {
            let index = usize::try_from(event.data() >> 1).unwrap_or(usize::MAX);
            if event.data() & 1 == 0 {
                self.accept(index);
            } else if let Some(watched) = self.lines.get_mut(index) {
                watched.is_readable |= event.events() != EventSet::OUT.bits();
                if event.event_set().contains(EventSet::OUT) {
                    watched.at.port.output_ready();
                }
                // A pseudo-terminal that nobody has open may be opened again.
                if event.event_set().intersects(EventSet::HANG_UP | EventSet::ERROR)
                    && !watched.at.line.is_pty()
                {
                    gone.push(index);
                }
            }
        }
        let done = self.pass_on();
        gone.into_iter().for_each(|index| self.lose(index));
        done
    }

    /// The peer has closed the connection in both directions. What it sent before is still read,
    /// until the next client comes.
    fn lose(&mut self, index: usize) {
        let Some(watched) = self.lines.get_mut(index) else { return };
        // It may have been read to its end already, and replaced.
        if watched.at.line.is_broken() {
            watched.is_gone = true;
            watched.at.port.peer_changed(false);
            self.accept(index);
        }
    }

    fn accept(&mut self, index: usize) {
        let Some(watched) = self.lines.get_mut(index) else { return };
        let old = watched.at.line.peer_fd().filter(|_| watched.is_gone);
        let accepted =
            if old.is_some() { watched.at.line.replace() } else { watched.at.line.accept() };
        if !accepted {
            return;
        }
        if let Some(old) = old {
            watched.pending.clear();
            let _ = self.events.ctl(ControlOperation::Delete, old, EpollEvent::default());
        }
        if self.meet(index).is_err() {
            self.hang_up(index);
        }
    }

    /// The peer has gone: the next one may come.
    fn hang_up(&mut self, index: usize) {
        let Some(watched) = self.lines.get_mut(index) else { return };
        watched.is_readable = false;
        watched.is_gone = false;
        // A closed descriptor leaves epoll by itself once nobody writes to it any more.
        if let Some(fd) = watched.at.line.peer_fd()
            && watched.at.line.hang_up()
        {
            let _ = self.events.ctl(ControlOperation::Delete, fd, EpollEvent::default());
            watched.at.port.peer_changed(false);
            self.accept(index);
        }
    }

    /// Reads what the guest takes. Returns false if a device is busy or there is more to read: try
    /// again soon.
    #[must_use]
    pub fn pass_on(&mut self) -> bool {
        let mut done = true;
        for index in 0..self.lines.len() {
            let (free, ended) = self.lines.get_mut(index).map_or((true, false), Watched::pass_on);
            done &= free;
            if ended {
                self.hang_up(index);
            }
        }
        done
    }
}

impl Watched {
    /// Returns whether all is done for now, and whether the peer has gone.
    fn pass_on(&mut self) -> (bool, bool) {
        for _ in 0..READS {
            if !self.pending.is_empty() && !self.at.port.take_input(&mut self.pending) {
                return (false, false);
            }
            if !self.pending.is_empty() || !self.is_readable {
                return (true, false);
            }
            match self.at.line.read(&mut self.pending) {
                Received::Bytes => {}
                Received::Nothing => self.is_readable = false,
                Received::End => return (true, true),
            }
        }
        (false, false)
    }
}

impl AsRawFd for Lines {
    /// Readable when there is something to do.
    fn as_raw_fd(&self) -> RawFd {
        self.events.as_raw_fd()
    }
}

#[cfg(test)]
mod tests;
