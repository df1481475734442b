//! The main thread's loop: standard input, signals, timers, and notices from vCPUs and devices.

use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

use devices::exit::ExitRequest;
use event_manager::{EventOps, EventSet, Events, MutEventSubscriber};
use guest_memory::Leases;
use vmm_sys_util::timerfd::TimerFd;

use super::course::{Course, Next};
use super::flusher::Flusher;
use super::message::Message;
use super::typing::Typing;
use crate::config::OnReset;
use crate::error::HostError;
use crate::host::input::Input;
use crate::host::keys::{self, Command};
use crate::host::notices::{Notices, Notifier};
use crate::host::signals::{self, Signals};
use crate::host::terminal::{self, Terminal};
use crate::machine::Devices;
use crate::outcome::Outcome;

/// How long output without an end of line may wait: short for a person, long for a guest.
const FLUSH_AFTER: Duration = Duration::from_millis(10);
/// How long a panicked kernel may go on printing. It prints "end Kernel panic" when it is done,
/// mostly within milliseconds.
const PANIC_GRACE: Duration = Duration::from_secs(1);

/// What the loop does when a descriptor is ready.
type Handler = fn(&mut EventLoop);

/// What the loop listens to and acts on.
#[derive(Debug)]
pub struct Sources {
    /// Notices from vCPUs and devices.
    pub notifier: Notifier,
    /// Signals to chukka.
    pub signals: Signals,
    /// Standard input, if a serial port has it.
    pub input: Option<Input>,
    /// The terminal, if standard input is one and chukka is in the foreground.
    pub terminal: Option<Terminal>,
    /// The machine, for typed bytes and the power button.
    pub devices: Arc<Devices>,
    /// Writes out buffered output.
    pub flusher: Arc<Flusher>,
}

/// The event loop's state.
#[derive(Debug)]
pub struct EventLoop {
    notifier: Notifier,
    signals: Signals,
    terminal: Option<Terminal>,
    devices: Arc<Devices>,
    flusher: Arc<Flusher>,
    typing: Typing,
    course: Course,
    /// chukka runs in the background (`bg`): the shell has the terminal.
    in_background: bool,
    flush_timer: TimerFd,
    panic_timer: TimerFd,
    messages: Vec<Message>,
}

impl EventLoop {
    /// A loop over `sources`.
    ///
    /// # Errors
    /// The host is out of descriptors.
    pub fn new(sources: Sources, on_reset: OnReset) -> Result<Self, HostError> {
        let timer = || TimerFd::new().map_err(|e| HostError { what: "a timer", source: e.into() });
        let Sources { notifier, signals, input, terminal, devices, flusher } = sources;
        Ok(Self {
            notifier,
            signals,
            terminal,
            typing: Typing::new(input, Arc::clone(&devices)),
            devices,
            flusher,
            course: Course::new(on_reset),
            in_background: false,
            flush_timer: timer()?,
            panic_timer: timer()?,
            messages: Vec::new(),
        })
    }

    /// What the run has to do, if anything.
    pub fn take_next(&mut self) -> Option<Next> {
        self.course.take_next()
    }

    /// What the user should be told.
    pub fn take_messages(&mut self) -> Vec<Message> {
        std::mem::take(&mut self.messages)
    }

    /// Stops this process, with the terminal restored, until it is continued.
    pub fn suspend(&self) {
        terminal::restore();
        signals::stop_self();
    }

    fn on_notices(&mut self) {
        let Notices {
            ended,
            exit,
            panic,
            panic_end,
            flush,
            input_wanted,
            output_lost,
            item_lost,
            vmcoreinfo,
        } = self.notifier.take();
        self.messages.extend(output_lost.map(Message::OutputLost));
        self.messages.extend(item_lost.map(Message::ItemLost));
        self.messages.extend(vmcoreinfo.map(Message::VmCoreInfo));
        if let Some(message) = panic {
            self.course.panicked(message);
            let _ = self.panic_timer.reset(PANIC_GRACE, None);
        }
        if panic_end {
            // The line that says so has not ended yet.
            let _ = self.panic_timer.reset(FLUSH_AFTER, None);
        }
        if flush {
            let _ = self.flush_timer.reset(FLUSH_AFTER, None);
        }
        if input_wanted {
            self.pass_on_typed();
        }
        match (ended, exit) {
            // As in QEMU, the run ends here: what the guest runs into afterwards does not matter.
            (_, Some(ExitRequest::Status(status))) => self.course.end(Outcome::DebugExit(status)),
            (Some(Outcome::Reset), _) | (None, Some(ExitRequest::Reset(_))) => self.course.reset(),
            (Some(outcome), _) => self.course.end(outcome),
            (None, Some(ExitRequest::PowerOff)) => self.course.end(Outcome::PowerOff),
            (None, None) => {}
        }
    }

    fn on_signal(&mut self) {
        while let Some(signal) = self.signals.take_one() {
            match signal {
                signals::LEASE => self.course.release(Leases::Wanted),
                libc::SIGTSTP => self.course.release(Leases::All),
                libc::SIGCONT => {
                    if let Some(terminal) = &self.terminal {
                        self.in_background = !terminal.make_raw();
                    }
                }
                signal => return self.course.end(Outcome::Signal(signal)),
            }
        }
    }

    fn on_input(&mut self, ops: &mut EventOps<'_>) {
        for command in self.typing.read(ops) {
            match command {
                Command::Quit => return self.course.end(Outcome::Quit),
                Command::Help => eprint!("{}", keys::HELP),
                Command::PowerButton => self.devices.press_power_button(),
            }
        }
        self.pass_on_typed();
    }

    fn pass_on_typed(&mut self) {
        if !self.typing.pass_on() {
            let _ = self.flush_timer.reset(FLUSH_AFTER, None);
        }
    }

    fn on_flush_timer(&mut self) {
        let _ = self.flush_timer.wait();
        self.flusher.flush();
        if self.typing.is_pending() {
            self.pass_on_typed();
        }
    }

    fn on_panic_timer(&mut self) {
        let _ = self.panic_timer.wait();
        self.course.end(Outcome::Reset); // after a panic, this is Outcome::Panic
    }

    /// The descriptors that the event manager always watches, each with what to do.
    fn handlers(&self) -> [(RawFd, Handler); 4] {
        [
            (self.notifier.as_raw_fd(), Self::on_notices),
            (self.signals.as_raw_fd(), Self::on_signal),
            (self.flush_timer.as_raw_fd(), Self::on_flush_timer),
            (self.panic_timer.as_raw_fd(), Self::on_panic_timer),
        ]
    }
}

impl MutEventSubscriber for EventLoop {
    fn process(&mut self, events: Events, ops: &mut EventOps<'_>) {
        let fd = events.fd();
        if let Some((_, handle)) = self.handlers().into_iter().find(|(known, _)| *known == fd) {
            handle(self);
        } else if self.typing.owns(fd) {
            self.on_input(ops);
        }
        self.typing.update_watch(self.in_background, ops);
    }

    fn init(&mut self, ops: &mut EventOps<'_>) {
        for (fd, _) in self.handlers() {
            // epoll takes all of these; only standard input may be something that it refuses.
            let _ = ops.add(Events::new_raw(fd, EventSet::IN));
        }
        self.typing.update_watch(self.in_background, ops);
    }
}
