//! The main thread's loop: standard input, signals, timers, and what the vCPUs and devices tell.

use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::Duration;

use devices::exit::ExitRequest;
use event_manager::{EventOps, EventSet, Events, MutEventSubscriber};
use guest_memory::Leases;
use vmm_sys_util::timerfd::TimerFd;

use crate::config::OnReset;
use crate::error::StartError;
use crate::host::input::Input;
use crate::host::keys::{self, Command, Keys};
use crate::host::notices::{Notices, Notifier};
use crate::host::signals::{self, Signals};
use crate::host::terminal::Terminal;
use crate::machine::Devices;
use crate::outcome::Outcome;
use crate::run::flusher::Flusher;

/// How long output without an end of line may be held back: short for a person, long for a guest.
const FLUSH_AFTER: Duration = Duration::from_millis(10);
/// How long a panicked kernel may go on printing. It says "end Kernel panic" when it is through, mostly within milliseconds.
const PANIC_GRACE: Duration = Duration::from_secs(1);
/// Most bytes kept of what is typed faster than the guest reads.
const TYPE_AHEAD: usize = 4096;

/// What the run has to do next.
#[derive(Debug)]
pub enum Next {
    /// Somebody wants to write to files whose pages the guest has, or chukka is to be stopped and nobody shall have to wait for it
    /// then ([`Leases::All`]: [`EventLoop::suspend`] comes next): have them copied, and go on.
    LetGo(Leases),
    /// The guest reset the machine: boot it again.
    Reboot,
    /// The run is over.
    End(Outcome),
}

/// The event loop's state.
#[derive(Debug)]
pub struct EventLoop {
    notifier: Notifier,
    signals: Signals,
    input: Option<Input>,
    /// Whether the event manager watches `input` at the moment.
    watching_input: bool,
    /// chukka goes on in the background (`bg`): what is typed is for somebody else, and reading it would stop chukka.
    in_background: bool,
    keys: Keys,
    /// Typed, and not yet taken by the guest.
    typed: Vec<u8>,
    flush_timer: TimerFd,
    panic_timer: TimerFd,
    panic: Option<String>,
    terminal: Option<Terminal>,
    devices: Arc<Devices>,
    flusher: Arc<Flusher>,
    on_reset: OnReset,
    next: Option<Next>,
    /// chukka is to be stopped once the guest has been booted again.
    stop_later: bool,
}

impl EventLoop {
    /// A loop over everything that can happen. `input` is standard input, where a serial port has it.
    ///
    /// # Errors
    /// The host is out of descriptors.
    pub fn new(
        notifier: Notifier,
        signals: Signals,
        input: Option<Input>,
        terminal: Option<Terminal>,
        (devices, flusher): (Arc<Devices>, Arc<Flusher>),
        on_reset: OnReset,
    ) -> Result<Self, StartError> {
        let timer =
            || TimerFd::new().map_err(|e| StartError::Host { what: "a timer", source: e.into() });
        let (flush_timer, panic_timer) = (timer()?, timer()?);
        Ok(Self {
            notifier,
            signals,
            input,
            watching_input: false,
            in_background: false,
            keys: Keys::default(),
            typed: Vec::new(),
            flush_timer,
            panic_timer,
            panic: None,
            terminal,
            devices,
            flusher,
            on_reset,
            next: None,
            stop_later: false,
        })
    }

    /// What is to be done, once there is something.
    pub fn take_next(&mut self) -> Option<Next> {
        let later = || std::mem::take(&mut self.stop_later).then_some(Next::LetGo(Leases::All));
        self.next.take().or_else(later)
    }

    /// The run is over. Several things may happen at once: the first end counts, and overrules a reboot.
    fn end(&mut self, outcome: Outcome) {
        if matches!(self.next, Some(Next::End(_))) {
            return;
        }
        // A panicked guest that then resets, or faults on the way, has panicked.
        let outcome = match (self.panic.take(), outcome) {
            (Some(message), Outcome::Reset | Outcome::PowerOff | Outcome::TripleFault(_)) => {
                Outcome::Panic(message)
            }
            (_, outcome) => outcome,
        };
        self.next = Some(Next::End(outcome));
    }

    /// Tells the user what concerns him, between the guest's lines.
    #[expect(clippy::unused_self, reason = "it belongs to the loop")]
    fn tell(&self, notices: &Notices) {
        if let Some(error) = &notices.output_lost {
            eprintln!("\rchukka: warning: the guest's output cannot be written any more: {error}");
        }
        if let Some(lost) = &notices.item_lost {
            eprintln!("\rchukka: warning: {lost}");
        }
        if let Some(info) = notices.vmcoreinfo {
            eprintln!("\rchukka: the guest's vmcoreinfo: {} bytes at {:#x}", info.size, info.paddr);
        }
    }

    fn on_notices(&mut self) {
        let notices = self.notifier.take();
        self.tell(&notices);
        let Notices { ended, exit, panic, panic_end, flush, input_wanted, .. } = notices;
        if let Some(message) = panic {
            self.panic.get_or_insert(message);
            let _ = self.panic_timer.reset(PANIC_GRACE, None);
        }
        if panic_end {
            // The line it stands in is not at its end yet.
            let _ = self.panic_timer.reset(FLUSH_AFTER, None);
        }
        if flush {
            let _ = self.flush_timer.reset(FLUSH_AFTER, None);
        }
        if input_wanted {
            self.pass_on_typed();
        }
        match (ended, exit) {
            // Here the run ends, as QEMU does: what a guest runs into after it is of no interest.
            (_, Some(ExitRequest::Status(status))) => self.end(Outcome::DebugExit(status)),
            (Some(Outcome::Reset), _) | (None, Some(ExitRequest::Reset(_))) => self.reset(),
            (Some(outcome), _) => self.end(outcome),
            (None, Some(ExitRequest::PowerOff)) => self.end(Outcome::PowerOff),
            (None, None) => {}
        }
    }

    fn reset(&mut self) {
        match self.on_reset {
            OnReset::Reboot if self.panic.is_none() => {
                if !matches!(self.next, Some(Next::End(_))) {
                    let overruled = self.next.replace(Next::Reboot);
                    self.stop_later |= matches!(overruled, Some(Next::LetGo(Leases::All)));
                }
            }
            OnReset::Reboot | OnReset::Exit => self.end(Outcome::Reset),
        }
    }

    fn on_signal(&mut self) {
        while let Some(signal) = self.signals.take_one() {
            match signal {
                signals::LEASE => self.let_go(Leases::Wanted),
                libc::SIGTSTP => self.let_go(Leases::All),
                libc::SIGCONT => {
                    if let Some(terminal) = &self.terminal {
                        self.in_background = !terminal.make_raw();
                    }
                }
                signal => return self.end(Outcome::Signal(signal)),
            }
        }
    }

    /// A reboot or the end overrules it: there is nothing to be copied then. To be stopped is put off by a reboot.
    fn let_go(&mut self, which: Leases) {
        match &self.next {
            None | Some(Next::LetGo(Leases::Wanted)) => self.next = Some(Next::LetGo(which)),
            Some(Next::Reboot) => self.stop_later |= which == Leases::All,
            Some(_) => {}
        }
    }

    /// Stops this process, until it is continued, with the terminal as it was before.
    pub fn suspend(&self) {
        crate::host::terminal::restore();
        signals::stop_self();
    }

    fn on_input(&mut self) {
        let Some(input) = &mut self.input else { return };
        let bytes = input.read().unwrap_or_default();
        if bytes.is_empty() {
            // The end of standard input is not the end of the guest.
            self.input = None;
            return;
        }
        if !input.is_terminal {
            self.typed.extend(bytes);
            return self.pass_on_typed();
        }
        for command in self.keys.feed(&bytes, &mut self.typed) {
            match command {
                Command::Quit => return self.end(Outcome::Quit),
                Command::Help => eprint!("{}", keys::HELP),
                Command::PowerButton => self.devices.press_power_button(),
            }
        }
        self.typed.truncate(TYPE_AHEAD);
        self.pass_on_typed();
    }

    fn pass_on_typed(&mut self) {
        if !self.devices.type_in(&mut self.typed) {
            let _ = self.flush_timer.reset(FLUSH_AFTER, None);
        }
    }

    fn on_flush_timer(&mut self) {
        let _ = self.flush_timer.wait();
        self.flusher.flush();
        if !self.typed.is_empty() {
            self.pass_on_typed();
        }
    }

    /// Watches standard input only while there is somewhere to put what comes.
    fn update_watch(&mut self, ops: &mut EventOps<'_>) {
        let Some(input) = &self.input else {
            self.watching_input = false;
            return;
        };
        let wanted = if input.is_terminal { !self.in_background } else { self.typed.is_empty() };
        if wanted != self.watching_input {
            let events = Events::new(input, EventSet::IN);
            let changed = if wanted { ops.add(events) } else { ops.remove(events) };
            self.watching_input = wanted && changed.is_ok();
        }
    }
}

impl MutEventSubscriber for EventLoop {
    fn process(&mut self, events: Events, ops: &mut EventOps<'_>) {
        let fd = events.fd();
        if fd == self.notifier.as_raw_fd() {
            self.on_notices();
        } else if fd == self.signals.as_raw_fd() {
            self.on_signal();
        } else if fd == self.flush_timer.as_raw_fd() {
            self.on_flush_timer();
        } else if fd == self.panic_timer.as_raw_fd() {
            let _ = self.panic_timer.wait();
            self.end(Outcome::Reset); // with a panic seen, that is Outcome::Panic
        } else if self.watching_input
            && self.input.as_ref().is_some_and(|input| fd == input.as_raw_fd())
        {
            self.on_input();
            if self.input.is_none() {
                let _ = ops.remove(events);
            }
        }
        self.update_watch(ops);
    }

    fn init(&mut self, ops: &mut EventOps<'_>) {
        let fds = [
            self.notifier.as_raw_fd(),
            self.signals.as_raw_fd(),
            self.flush_timer.as_raw_fd(),
            self.panic_timer.as_raw_fd(),
        ];
        for fd in fds {
            // These can be watched always; only what standard input is, is not ours to choose.
            let _ = ops.add(Events::new_raw(fd, EventSet::IN));
        }
        self.update_watch(ops);
    }
}
