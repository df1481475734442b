//! The monitors (`-qmp`, `-monitor`, `-mon`): clients that pause, reset and end the run. Each has
//! one client at a time, served by the main thread.

mod human;
mod qmp;

use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, RawFd};

use serde_json::{Value, json};
use vmm_sys_util::epoll::{ControlOperation, Epoll, EpollEvent, EventSet};

use crate::config::{CharBackend, MonitorConfig, MonitorLanguage, OnWatchdog};
use crate::host::listener::{Listener, PATIENCE, SocketChecks, receive};
use crate::outcome::Outcome;

/// The most bytes of an unfinished request.
const LONGEST_REQUEST: usize = 64 << 10;
/// How many bytes are sent at once: a pipe that is ready takes them (`PIPE_BUF`, pipe(7)).
const PIECE: usize = 4096;

/// What a client wants done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// End the run.
    Quit,
    /// Pause the guest.
    Stop,
    /// Let it go on.
    Continue,
    /// Press the power button.
    PowerDown,
    /// Reset the machine.
    Reset,
}

/// What clients can ask about the run.
#[derive(Clone, Debug, Default)]
struct Status {
    /// The guest's name.
    name: Option<String>,
    /// A client has paused the guest.
    paused: bool,
    /// The guest has not been started yet, and a client is to start it (`-S`).
    unstarted: bool,
    /// How many monitors wait for their first client.
    awaited: usize,
}

impl Status {
    fn is_paused(&self) -> bool {
        self.paused || self.unstarted || self.awaited > 0
    }

    /// QEMU's word for it (`RunState`, qapi/run-state.json).
    fn word(&self) -> &'static str {
        match self {
            Self { paused: true, .. } => "paused",
            status if status.is_paused() => "prelaunch",
            _ => "running",
        }
    }
}

/// The monitors.
pub struct Monitors {
    monitors: Vec<Monitor>,
    events: Epoll,
    status: Status,
}

impl fmt::Debug for Monitors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Monitors").field("status", &self.status).finish_non_exhaustive()
    }
}

struct Monitor {
    language: MonitorLanguage,
    listener: Option<Listener>,
    client: Option<Client>,
    /// No client has connected yet, and the guest waits for one.
    is_awaited: bool,
}

struct Client {
    input: File,
    output: File,
    received: Vec<u8>,
    /// The client of QMP has negotiated: it gets events.
    is_ready: bool,
}

/// What an event of epoll is about: the number of the monitor, and whether it is its client.
fn key(index: usize, of_client: bool) -> u64 {
    u64::try_from(index).unwrap_or(u64::MAX >> 1) << 1 | u64::from(of_client)
}

impl Monitors {
    /// Opens the monitors of a run. `starts_paused`: a client starts the guest.
    ///
    /// # Errors
    /// An address cannot be used, or standard input cannot be waited for. Monitors are nowhere
    /// else.
    pub fn open(
        configs: &[MonitorConfig],
        name: Option<&str>,
        starts_paused: bool,
    ) -> Result<Option<Self>, (CharBackend, io::Error)> {
        let Some(first) = configs.first() else { return Ok(None) };
        let events = Epoll::new().map_err(|error| (first.chardev.backend.clone(), error))?;
        let status =
            Status { name: name.map(str::to_owned), unstarted: starts_paused, ..Status::default() };
        let mut this = Self { monitors: Vec::new(), events, status };
        for config in configs {
            this.add(config).map_err(|error| (config.chardev.backend.clone(), error))?;
        }
        Ok(Some(this))
    }

    /// Checks that [`Self::open`] can open the monitors. Creates nothing, and greets nobody.
    ///
    /// # Errors
    /// As of [`Self::open`].
    pub fn check(
        configs: &[MonitorConfig],
        sockets: &mut SocketChecks,
    ) -> Result<(), (CharBackend, io::Error)> {
        let mut check = |backend: &CharBackend| match backend {
            CharBackend::Socket(socket) => sockets.server(&socket.address),
            CharBackend::Stdio => {
                let input = EpollEvent::new(EventSet::IN, 0);
                Epoll::new()?.ctl(ControlOperation::Add, io::stdin().as_raw_fd(), input)
            }
            CharBackend::Null | CharBackend::File(_) | CharBackend::Pty => {
                Err(io::ErrorKind::Unsupported.into())
            }
        };
        let mut backends = configs.iter().map(|config| &config.chardev.backend);
        backends.try_for_each(|backend| check(backend).map_err(|error| (backend.clone(), error)))
    }

    fn add(&mut self, config: &MonitorConfig) -> io::Result<()> {
        let index = self.monitors.len();
        let mut monitor =
            Monitor { language: config.language, listener: None, client: None, is_awaited: false };
        match &config.chardev.backend {
            CharBackend::Socket(socket) => {
                let listener = Listener::bind(&socket.address)?;
                monitor.is_awaited = socket.wait;
                self.watch(listener.as_raw_fd(), key(index, false))?;
                monitor.listener = Some(listener);
                self.status.awaited += usize::from(socket.wait);
                self.monitors.push(monitor);
            }
            CharBackend::Stdio => {
                let input = File::from(io::stdin().as_fd().try_clone_to_owned()?);
                let output = File::from(io::stdout().as_fd().try_clone_to_owned()?);
                self.monitors.push(monitor);
                self.greet(index, input, output)?;
            }
            CharBackend::Null | CharBackend::File(_) | CharBackend::Pty => {
                return Err(io::ErrorKind::Unsupported.into());
            }
        }
        Ok(())
    }

    fn watch(&self, fd: RawFd, key: u64) -> io::Result<()> {
        self.events.ctl(ControlOperation::Add, fd, EpollEvent::new(EventSet::IN, key))
    }

    fn unwatch(&self, fd: RawFd) {
        let _ = self.events.ctl(ControlOperation::Delete, fd, EpollEvent::default());
    }

    /// Whether the guest is not to run.
    pub fn hold_guest(&self) -> bool {
        self.status.is_paused()
    }

    /// Accepts clients and answers them. Returns what they want done, and whether
    /// [`Self::hold_guest`] may have changed.
    pub fn attend(&mut self) -> (Vec<Command>, bool) {
        let was_paused = self.hold_guest();
        let mut commands = Vec::new();
        let mut events = [EpollEvent::default(); 8];
        let count = self.events.wait(0, &mut events).unwrap_or_default();
        for event in &events[..count] {
            let index = usize::try_from(event.data() >> 1).unwrap_or(usize::MAX);
            if event.data() & 1 == 0 {
                self.accept(index);
            } else {
                self.receive(index, &mut commands);
            }
        }
        (commands, self.hold_guest() != was_paused)
    }

    /// Accepts a client. The next one waits until this one has gone.
    fn accept(&mut self, index: usize) {
        let Some(listener) = self.monitors.get(index).and_then(|m| m.listener.as_ref()) else {
            return;
        };
        let fd = listener.as_raw_fd();
        let Some((input, output)) = listener.accept().and_then(|input| {
            let output = input.try_clone().ok()?;
            Some((input, output))
        }) else {
            return;
        };
        self.unwatch(fd);
        if self.greet(index, input, output).is_err() {
            self.hang_up(index);
        }
    }

    fn greet(&mut self, index: usize, input: File, output: File) -> io::Result<()> {
        self.watch(input.as_raw_fd(), key(index, true))?;
        let Some(monitor) = self.monitors.get_mut(index) else { return Ok(()) };
        let mut client = Client { input, output, received: Vec::new(), is_ready: false };
        let greeting = match monitor.language {
            MonitorLanguage::Qmp => line(&qmp::greeting()),
            MonitorLanguage::Human => human::greeting(),
        };
        let sent = client.send(&greeting);
        monitor.client = Some(client);
        if sent.is_ok() && std::mem::take(&mut monitor.is_awaited) {
            self.status.awaited -= 1;
        }
        sent
    }

    /// The client has gone: the next one may come.
    fn hang_up(&mut self, index: usize) {
        let Some(monitor) = self.monitors.get_mut(index) else { return };
        let client = monitor.client.take();
        let listener = monitor.listener.as_ref().map(AsRawFd::as_raw_fd);
        if let Some(client) = client {
            self.unwatch(client.input.as_raw_fd());
        }
        if let Some(listener) = listener {
            // It was watched before.
            let _ = self.watch(listener, key(index, false));
        }
    }

    fn receive(&mut self, index: usize, commands: &mut Vec<Command>) {
        let client = self.monitors.get_mut(index).and_then(|monitor| monitor.client.as_mut());
        let Some(client) = client else { return };
        let Some(bytes) = receive(&client.input) else { return self.hang_up(index) };
        client.received.extend(bytes);
        if self.answer(index, commands).is_none() {
            self.hang_up(index);
        }
    }

    /// Answers what has arrived. `None`: the client does not read, or sends too much.
    fn answer(&mut self, index: usize, commands: &mut Vec<Command>) -> Option<()> {
        let monitor = self.monitors.get_mut(index)?;
        let language = monitor.language;
        let client = monitor.client.as_mut()?;
        match language {
            MonitorLanguage::Qmp => {
                for request in qmp::take_requests(&mut client.received) {
                    self.answer_request(index, request, commands)?;
                }
            }
            MonitorLanguage::Human => {
                for text in human::take_lines(&mut client.received) {
                    let (command, reply) = human::answer(&text, &self.status);
                    self.perform(command, commands);
                    self.client(index)?.send(&reply).ok()?;
                }
            }
        }
        (self.client(index)?.received.len() <= LONGEST_REQUEST).then_some(())
    }

    fn client(&mut self, index: usize) -> Option<&mut Client> {
        self.monitors.get_mut(index)?.client.as_mut()
    }

    fn answer_request(
        &mut self,
        index: usize,
        request: Result<Value, Value>,
        commands: &mut Vec<Command>,
    ) -> Option<()> {
        let reply = match request {
            Ok(request) => {
                let client = self.monitors.get_mut(index)?.client.as_mut()?;
                let answer = qmp::answer(&request, &mut client.is_ready, &self.status);
                self.perform(answer.command, commands);
                answer.reply
            }
            Err(reply) => reply,
        };
        self.client(index)?.send(&line(&reply)).ok()
    }

    /// Notes what a command changes, and tells the clients.
    fn perform(&mut self, command: Option<Command>, commands: &mut Vec<Command>) {
        let Some(command) = command else { return };
        match command {
            Command::Stop if !self.status.is_paused() => {
                self.status.paused = true;
                self.tell("STOP", None);
            }
            Command::Continue if self.status.paused || self.status.unstarted => {
                (self.status.paused, self.status.unstarted) = (false, false);
                self.tell("RESUME", None);
            }
            Command::PowerDown => self.tell("POWERDOWN", None),
            Command::Stop | Command::Continue | Command::Quit | Command::Reset => {}
        }
        commands.push(command);
    }

    /// Sends an event to the clients of QMP that have negotiated.
    fn tell(&mut self, name: &str, data: Option<Value>) {
        let text = line(&qmp::event(name, data));
        for index in 0..self.monitors.len() {
            let is_ready = self.client(index).is_some_and(|client| client.is_ready);
            if is_ready && self.client(index).is_some_and(|client| client.send(&text).is_err()) {
                self.hang_up(index);
            }
        }
    }

    /// Tells the clients that the machine was reset. `by_client`: one of them has asked for it.
    pub fn was_reset(&mut self, by_client: bool) {
        let reason = if by_client { "host-qmp-system-reset" } else { "guest-reset" };
        self.tell("RESET", Some(json!({ "guest": !by_client, "reason": reason })));
    }

    /// Tells the clients that the guest's watchdog has expired.
    pub fn watchdog_expired(&mut self, action: OnWatchdog) {
        self.tell("WATCHDOG", Some(json!({ "action": action.name() })));
    }

    /// Tells the clients that the run has ended.
    pub fn has_ended(&mut self, outcome: &Outcome) {
        let (guest, reason) = cause(outcome);
        self.tell("SHUTDOWN", Some(json!({ "guest": guest, "reason": reason })));
    }
}

/// QEMU's word for why a run has ended (`ShutdownCause`, qapi/run-state.json), and whether the
/// guest was the cause.
fn cause(outcome: &Outcome) -> (bool, &'static str) {
    match outcome {
        Outcome::Mute(then) => cause(then),
        Outcome::PowerOff | Outcome::DebugExit(_) => (true, "guest-shutdown"),
        Outcome::Reset | Outcome::Watchdog | Outcome::TripleFault(_) => (true, "guest-reset"),
        Outcome::Panic(_) | Outcome::Problem { .. } => (true, "guest-panic"),
        Outcome::MonitorQuit => (false, "host-qmp-quit"),
        Outcome::Signal(_) => (false, "host-signal"),
        Outcome::Quit | Outcome::Killed => (false, "host-ui"),
        Outcome::Kvm { .. }
        | Outcome::Firmware(_)
        | Outcome::FileCut { .. }
        | Outcome::FileChanged(_)
        | Outcome::TimeOut(_)
        | Outcome::Silence(_)
        | Outcome::Defect(_) => (false, "host-error"),
    }
}

/// A message of QMP, as QEMU sends it.
fn line(value: &Value) -> String {
    format!("{value}\r\n")
}

impl Client {
    /// Sends `text`, and gives up if the client does not read it.
    fn send(&mut self, text: &str) -> io::Result<()> {
        for piece in text.as_bytes().chunks(PIECE) {
            let room = Epoll::new()?;
            let event = EpollEvent::new(EventSet::OUT, 0);
            match room.ctl(ControlOperation::Add, self.output.as_raw_fd(), event) {
                // A regular file always has room (epoll_ctl(2)).
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
                added => {
                    added?;
                    let patience = i32::try_from(PATIENCE.as_millis()).unwrap_or(i32::MAX);
                    if room.wait(patience, &mut [EpollEvent::default()])? == 0 {
                        return Err(io::ErrorKind::TimedOut.into());
                    }
                }
            }
            self.output.write_all(piece)?;
        }
        Ok(())
    }
}

impl AsRawFd for Monitors {
    /// Readable when there is something to do.
    fn as_raw_fd(&self) -> RawFd {
        self.events.as_raw_fd()
    }
}

#[cfg(test)]
mod tests;
