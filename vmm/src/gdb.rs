//! The server that gdb connects to (`-gdb`, `-s`): one client at a time, served by the main thread
//! while all vCPUs are stopped.
//!
//! The protocol is gdbstub's; see "Remote Protocol" in gdb's manual. As long as nobody is
//! connected, the guest runs as without a server.

mod breakpoints;
mod connection;
mod guest;
mod registers;

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, RawFd};

use gdbstub::common::Signal;
use gdbstub::conn::Connection;
use gdbstub::stub::state_machine::GdbStubStateMachine;
use gdbstub::stub::{DisconnectReason, GdbStub, MultiThreadStopReason};
use vmm_sys_util::epoll::{ControlOperation, Epoll, EpollEvent, EventSet};

use self::connection::Link;
use self::guest::Guest;
use crate::config::GdbConfig;
use crate::host::listener::{Listener, receive};
use crate::kvm::vcpu::Vcpu;
use crate::memory::peek::Slots;
use crate::outcome::Outcome;

/// The size of the buffer for a packet, in bytes: room for all registers in hexadecimal digits, and
/// for a page of memory.
const PACKET: usize = 16 << 10;

/// The events that are waited for.
const CONNECTING: u64 = 0;
const RECEIVED: u64 = 1;

type Machine = GdbStubStateMachine<'static, Guest, Link>;

/// The server, and its session with the client if there is one.
pub struct Debugger {
    listener: Listener,
    events: Epoll,
    guest: Guest,
    session: Option<Session>,
    /// The guest has not been started yet (`-S`).
    waiting: bool,
}

struct Session {
    /// The receiving side.
    socket: File,
    machine: Machine,
    /// The bytes since the last end of a packet. gdbstub's buffer grows with them.
    unfinished: usize,
}

impl std::fmt::Debug for Debugger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Debugger")
    }
}

impl Debugger {
    /// Listens where `config` says. `supported` has the flags of KVM_SET_GUEST_DEBUG that the
    /// host's KVM knows.
    ///
    /// # Errors
    /// The address cannot be used.
    pub fn listen(config: &GdbConfig, memory: Slots, supported: u32) -> io::Result<Self> {
        let listener = Listener::bind(&config.address)?;
        let events = Epoll::new()?;
        let event = EpollEvent::new(EventSet::IN, CONNECTING);
        events.ctl(ControlOperation::Add, listener.as_raw_fd(), event)?;
        let guest = Guest::new(memory, supported);
        Ok(Self { listener, events, guest, session: None, waiting: config.hold })
    }

    /// Whether the vCPUs have to stay as they are.
    pub fn holds(&self) -> bool {
        self.waiting
            || self
                .session
                .as_ref()
                .is_some_and(|session| !matches!(session.machine, GdbStubStateMachine::Running(_)))
    }

    /// Takes over the vCPUs of a machine that was reset.
    pub fn adopt(&mut self, vcpus: &mut Vec<Vcpu>) {
        self.with(vcpus, |this| this.guest.reset());
    }

    /// Does what there is to do, with all vCPUs stopped: accepts a client, tells it why the guest
    /// has stopped, and answers it. Returns the end of the run if the client wants it.
    pub fn attend(&mut self, vcpus: &mut Vec<Vcpu>) -> Option<Outcome> {
        self.with(vcpus, |this| {
            this.report_stop();
            let mut events = [EpollEvent::default(); 2];
            let count = this.events.wait(0, &mut events).unwrap_or_default();
            let is_ready = |what| events[..count].iter().any(|event| event.data() == what);
            // A client may come when the one before it has just gone: its end is read first.
            if is_ready(RECEIVED) {
                return this.receive();
            }
            if is_ready(CONNECTING) {
                this.accept();
            }
            None
        })
    }

    /// Tells the client that the guest has ended.
    pub fn finish(mut self, outcome: &Outcome) {
        let Some(Session { machine: GdbStubStateMachine::Running(machine), .. }) = self.session
        else {
            return;
        };
        let reason = MultiThreadStopReason::Exited(outcome.status().unwrap_or(u8::MAX));
        // The client may be gone already.
        let _ = machine.report_stop(&mut self.guest, reason);
    }

    fn with<T>(&mut self, vcpus: &mut Vec<Vcpu>, act: impl FnOnce(&mut Self) -> T) -> T {
        self.guest.vcpus = std::mem::take(vcpus);
        let result = act(self);
        *vcpus = std::mem::take(&mut self.guest.vcpus);
        result
    }

    fn report_stop(&mut self) {
        let Some(reason) = self.guest.why_stopped() else { return };
        let Some(session) = self.session.take() else { return };
        self.session = match session.machine {
            GdbStubStateMachine::Running(machine) => {
                match machine.report_stop(&mut self.guest, reason) {
                    Ok(machine) => Some(Session { machine, ..session }),
                    Err(_) => return self.let_go(),
                }
            }
            machine => Some(Session { machine, ..session }),
        };
    }

    /// Begins a session; turns a second client away.
    fn accept(&mut self) {
        let Some(socket) = self.listener.accept() else { return };
        if self.session.is_some() {
            return;
        }
        self.session = self.begin(socket).ok();
    }

    fn begin(&mut self, socket: File) -> io::Result<Session> {
        let link = Link::new(socket.try_clone()?);
        let stub = GdbStub::builder(link).packet_buffer_size(PACKET).build();
        let stub = stub.map_err(io::Error::other)?;
        let machine = stub.run_state_machine(&mut self.guest);
        let machine = machine.map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        let event = EpollEvent::new(EventSet::IN, RECEIVED);
        self.events.ctl(ControlOperation::Add, socket.as_raw_fd(), event)?;
        Ok(Session { socket, machine, unfinished: 0 })
    }

    fn receive(&mut self) -> Option<Outcome> {
        let session = self.session.as_ref()?;
        let Some(bytes) = receive(&session.socket) else {
            self.hang_up();
            return None;
        };
        for byte in bytes {
            let Session { socket, machine, unfinished } = self.session.take()?;
            let unfinished = if byte == b'#' { 0 } else { unfinished + 1 };
            let fed = match unfinished {
                0..PACKET => self.feed(machine, byte),
                _ => Fed::Ended(None),
            };
            match fed {
                Fed::Next(machine) => {
                    self.session = Some(Session { socket, machine: *machine, unfinished });
                }
                Fed::Ended(outcome) => {
                    let _ = self.events.ctl(
                        ControlOperation::Delete,
                        socket.as_raw_fd(),
                        EpollEvent::default(),
                    );
                    self.let_go();
                    return outcome;
                }
            }
        }
        None
    }

    fn feed(&mut self, machine: Machine, byte: u8) -> Fed {
        let guest = &mut self.guest;
        let idle = matches!(machine, GdbStubStateMachine::Idle(_));
        let mut next = match machine {
            GdbStubStateMachine::Idle(machine) => machine.incoming_data(guest, byte),
            GdbStubStateMachine::Running(machine) => machine.incoming_data(guest, byte),
            other => Ok(other),
        };
        if let Ok(GdbStubStateMachine::CtrlCInterrupt(machine)) = next {
            let (tid, signal) = (guest.current(), Signal::SIGINT);
            let reason = MultiThreadStopReason::SignalWithThread { tid, signal };
            next = machine.interrupt_handled(guest, Some(reason));
        }
        match next {
            Ok(GdbStubStateMachine::Disconnected(mut machine)) => {
                if machine.get_reason() != DisconnectReason::Kill {
                    return Fed::Ended(None);
                }
                // gdb waits for this answer, which gdbstub leaves out. It may have gone.
                let link = machine.borrow_conn();
                let _ = link.write_all(b"$OK#9a").and_then(|()| link.flush());
                Fed::Ended(Some(Outcome::Killed))
            }
            Ok(machine) => {
                self.waiting &= !(idle && matches!(machine, GdbStubStateMachine::Running(_)));
                Fed::Next(Box::new(machine))
            }
            // What is no packet, an answer that nobody takes, KVM's refusal: the session is over.
            Err(_) => Fed::Ended(None),
        }
    }

    /// The client has gone.
    fn hang_up(&mut self) {
        if let Some(session) = self.session.take() {
            let _ = self.events.ctl(
                ControlOperation::Delete,
                session.socket.as_raw_fd(),
                EpollEvent::default(),
            );
        }
        self.let_go();
    }

    /// Lets the guest run without a debugger.
    fn let_go(&mut self) {
        self.waiting = false;
        self.guest.let_go();
    }
}

/// What a byte has led to.
enum Fed {
    Next(Box<Machine>),
    /// The session is over, and perhaps the run.
    Ended(Option<Outcome>),
}

impl AsRawFd for Debugger {
    /// Readable when there is something to do.
    fn as_raw_fd(&self) -> RawFd {
        self.events.as_raw_fd()
    }
}

#[cfg(test)]
mod tests;
