//! The main thread's loop: standard input, signals, timers, and notices from vCPUs and devices.

use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use devices::exit::ExitRequest;
use event_manager::{EventOps, EventSet, Events, MutEventSubscriber};
use guest_memory::Leases;
use vmm_sys_util::timerfd::TimerFd;

use super::course::{Course, Next};
use super::deadlines::{Deadlines, Due};
use super::flusher::Flusher;
use super::lines::Lines;
use super::message::Message;
use super::typing::Typing;
use crate::config::{Limits, OnPanic, OnReset, OnWatchdog};
use crate::error::HostError;
use crate::host::input::Input;
use crate::host::keys::{self, Command};
use crate::host::notices::{Notices, Notifier};
use crate::host::signals::{self, Signals};
use crate::host::terminal::{self, Terminal};
use crate::machine::Devices;
use crate::machine::watchdog::Watchdog;
use crate::monitor::{self, Monitors};
use crate::outcome::Outcome;

/// How long an incomplete line may stay buffered: short for a person, long for a guest.
const FLUSH_AFTER: Duration = Duration::from_millis(10);
/// A guest that goes on may let its watchdog expire again and again: the user is told once in this
/// time, as QEMU's clients are (`monitor_qapi_event_conf`, monitor/monitor.c).
const WATCHDOG_MESSAGES: Duration = Duration::from_secs(1);

/// What the loop does when a descriptor is ready.
type Handler = fn(&mut EventLoop);

/// The event sources of the loop and the objects it acts on.
#[derive(Debug)]
pub struct Sources {
    /// Notices from vCPUs and devices.
    pub notifier: Notifier,
    /// Signals sent to chukka.
    pub signals: Signals,
    /// Standard input, if a serial port uses it.
    pub input: Option<Input>,
    /// The terminal, if standard input is one and chukka is in the foreground.
    pub terminal: Option<Terminal>,
    /// The machine, for typed bytes and the power button.
    pub devices: Arc<Devices>,
    /// Writes out buffered output.
    pub flusher: Arc<Flusher>,
    /// Readable when there is something to do for the debugger.
    pub debugger: Option<RawFd>,
    /// The monitors.
    pub monitors: Option<Monitors>,
    /// Sockets and pseudo-terminals of devices.
    pub lines: Option<Lines>,
}

/// What ends the run.
#[derive(Clone, Debug)]
pub struct Policy {
    /// What a guest reset does.
    pub on_reset: OnReset,
    /// What a panic of the guest's kernel does.
    pub on_panic: OnPanic,
    /// What the guest's watchdog does when it expires.
    pub on_watchdog: OnWatchdog,
    /// The guest's command line contains `crashkernel=`.
    pub expects_crash_kernel: bool,
    /// How long the run may take.
    pub limits: Limits,
    /// What the user reads if the guest has printed nothing after a moment.
    pub advice: Option<String>,
    /// What the user reads right before the guest's first instruction.
    pub warning: Option<String>,
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
    /// chukka runs in the background (`bg`): the shell owns the terminal.
    in_background: bool,
    debugger: Option<RawFd>,
    monitors: Option<Monitors>,
    lines: Option<Lines>,
    /// The reset of the machine that comes next was asked for by a client of a monitor.
    reset_by_client: bool,
    flush_timer: TimerFd,
    /// Expires when the writes that KVM has collected are to be passed on.
    coalesced_timer: TimerFd,
    panic_timer: TimerFd,
    limit_timer: TimerFd,
    deadlines: Deadlines,
    /// The vCPUs' exits are recorded for a report.
    watched: bool,
    on_panic: OnPanic,
    on_watchdog: OnWatchdog,
    /// When the user was last told that the watchdog had expired.
    watchdog_told: Option<Instant>,
    /// The guest's kernel has reserved memory for a crash kernel (`crashkernel=`), which it may
    /// start instead of finishing its report.
    expects_crash_kernel: bool,
    /// The kernel has finished its panic report.
    panic_reported: bool,
    messages: Vec<Message>,
}

impl EventLoop {
    /// Creates a loop over `sources` that ends the run according to `policy`.
    ///
    /// # Errors
    /// The host is out of descriptors.
    pub fn new(sources: Sources, policy: Policy) -> Result<Self, HostError> {
        let timer = || TimerFd::new().map_err(|e| HostError { what: "a timer", source: e.into() });
        let Sources {
            notifier,
            signals,
            input,
            terminal,
            devices,
            flusher,
            debugger,
            monitors,
            lines,
        } = sources;
        let mut this = Self {
            notifier,
            signals,
            terminal,
            typing: Typing::new(input, Arc::clone(&devices)),
            devices,
            flusher,
            course: Course::new(policy.on_reset, policy.on_panic),
            in_background: false,
            debugger,
            monitors,
            lines,
            reset_by_client: false,
            flush_timer: timer()?,
            coalesced_timer: timer()?,
            panic_timer: timer()?,
            limit_timer: timer()?,
            deadlines: Deadlines::new(policy.limits, policy.advice),
            watched: false,
            on_panic: policy.on_panic,
            on_watchdog: policy.on_watchdog,
            watchdog_told: None,
            expects_crash_kernel: policy.expects_crash_kernel,
            panic_reported: false,
            messages: policy.warning.map(Message::Warning).into_iter().collect(),
        };
        this.set_limit_timer();
        this.set_coalesced_timer();
        Ok(this)
    }

    /// How the run ended after a report.
    pub fn judge(&mut self, outcome: Outcome) -> Outcome {
        self.course.judge(outcome)
    }

    /// The vCPUs' exits are recorded from now on, for the report that was asked for.
    pub fn watch(&mut self, then: Option<Outcome>) {
        self.watched = true;
        self.deadlines.watch(then);
        self.set_limit_timer();
    }

    /// Whether [`Self::watch`] was called since the last call of this.
    pub fn take_watched(&mut self) -> bool {
        std::mem::take(&mut self.watched)
    }

    fn set_limit_timer(&mut self) {
        if let Some(at) = self.deadlines.next(self.notifier.last_heard()) {
            // A time of 0 would disarm the timer.
            let wait = at.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
            let _ = self.limit_timer.reset(wait, None);
        }
    }

    fn set_coalesced_timer(&mut self) {
        if let Some(coalesced) = &self.devices.coalesced {
            let _ = self.coalesced_timer.reset(coalesced.next_interval(), None);
        }
    }

    fn on_coalesced_timer(&mut self) {
        let _ = self.coalesced_timer.wait();
        self.flusher.flush();
        self.set_coalesced_timer();
    }

    fn on_limit_timer(&mut self) {
        let _ = self.limit_timer.wait();
        while let Some(due) = self.deadlines.take_due(Instant::now(), self.notifier.last_heard()) {
            match due {
                Due::Report(then) => self.course.report(then),
                Due::Advice(advice) => self.messages.push(Message::NothingYet(advice)),
            }
        }
        self.set_limit_timer();
    }

    /// Returns what the run should do next, if anything.
    pub fn take_next(&mut self) -> Option<Next> {
        let next = self.course.take_next();
        if let (Some(Next::Reboot), Some(monitors)) = (&next, &mut self.monitors) {
            monitors.was_reset(std::mem::take(&mut self.reset_by_client));
        }
        next
    }

    /// Whether a client of a monitor has paused the guest.
    pub fn is_paused(&self) -> bool {
        self.monitors.as_ref().is_some_and(Monitors::hold_guest)
    }

    /// Tells the clients of the monitors that the run has ended.
    pub fn has_ended(&mut self, outcome: &Outcome) {
        if let Some(monitors) = &mut self.monitors {
            monitors.has_ended(outcome);
        }
    }

    /// Returns pending messages to the user.
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
            panic_line,
            panic_end,
            debug,
            crash_kernel,
            problem,
            flush,
            input_wanted,
            output_lost,
            item_lost,
            vmcoreinfo,
            power_button,
            disks_waiting,
        } = self.notifier.take();
        self.messages.extend(output_lost.map(Message::OutputLost));
        self.messages.extend(item_lost.map(Message::ItemLost));
        self.messages.extend(vmcoreinfo.map(Message::VmCoreInfo));
        if let Some((kind, line)) = problem {
            self.course.found(kind, line);
        }
        self.expects_crash_kernel |= crash_kernel;
        if let Some(message) = panic {
            self.course.panicked(message);
            self.wait_for_panic_report();
        } else if panic_line {
            self.wait_for_panic_report();
        }
        if panic_end {
            self.panic_reported = true;
            // Give the kernel time to finish the line that ends the report.
            self.start_panic_timer(FLUSH_AFTER);
        }
        if disks_waiting {
            self.course.pause_or_resume();
        }
        if debug {
            self.course.debug();
        }
        if flush {
            let _ = self.flush_timer.reset(FLUSH_AFTER, None);
        }
        if input_wanted {
            self.pass_on_typed();
            self.pass_on_lines();
        }
        if power_button {
            self.devices.press_power_button();
        }
        match (ended, exit) {
            // As in QEMU, the run ends here: any later failure of the guest does not matter.
            (_, Some(ExitRequest::Status(status))) => self.course.end(Outcome::DebugExit(status)),
            (Some(Outcome::Reset), _) | (None, Some(ExitRequest::Reset(_))) => self.course.reset(),
            (Some(outcome), _) => self.course.end(outcome),
            (None, Some(ExitRequest::PowerOff)) => self.course.end(Outcome::PowerOff),
            (None, None) => {}
        }
    }

    /// Ends the run once the guest has been silent for a moment, unless its report has already
    /// ended or a crash kernel, which can be silent for long, may follow.
    fn wait_for_panic_report(&mut self) {
        if !self.panic_reported && !self.expects_crash_kernel {
            self.start_panic_timer(self.deadlines.panic_pause(Instant::now()));
        }
    }

    fn start_panic_timer(&mut self, time: Duration) {
        if self.on_panic == OnPanic::End {
            let _ = self.panic_timer.reset(time, None);
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
                libc::SIGWINCH => self.devices.virtio_serials.resize(),
                libc::SIGQUIT => self.course.report(Some(Outcome::Signal(signal))),
                signal => return self.course.end(Outcome::Signal(signal)),
            }
        }
    }

    fn on_input(&mut self, ops: &mut EventOps<'_>) {
        for command in self.typing.read(ops) {
            match command {
                Command::Quit => return self.course.end(Outcome::Quit),
                Command::Help => eprint!("{}", keys::HELP),
                Command::Inspect => self.course.report(None),
                Command::PowerButton => self.devices.press_power_button(),
            }
        }
        self.pass_on_typed();
    }

    fn on_lines(&mut self) {
        if self.lines.as_mut().is_some_and(|lines| !lines.attend()) {
            let _ = self.flush_timer.reset(FLUSH_AFTER, None);
        }
    }

    fn pass_on_lines(&mut self) {
        if self.lines.as_mut().is_some_and(|lines| !lines.pass_on()) {
            let _ = self.flush_timer.reset(FLUSH_AFTER, None);
        }
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
        self.pass_on_lines();
    }

    fn on_panic_timer(&mut self) {
        let _ = self.panic_timer.wait();
        self.course.end(Outcome::Reset); // after a panic, this is Outcome::Panic
    }

    fn on_watchdog(&mut self) {
        if !self.devices.watchdog.as_ref().is_some_and(Watchdog::on_timer) {
            return;
        }
        let action = self.on_watchdog;
        let now = Instant::now();
        let goes_on = !matches!(action, OnWatchdog::Reset | OnWatchdog::PowerOff);
        let was_told = self.watchdog_told.is_some_and(|told| now - told < WATCHDOG_MESSAGES);
        if !(goes_on && was_told) {
            self.watchdog_told = Some(now);
            if let Some(monitors) = &mut self.monitors {
                monitors.watchdog_expired(action);
            }
            if action != OnWatchdog::None {
                self.messages.push(Message::WatchdogExpired(action));
            }
        }
        match action {
            OnWatchdog::Reset => self.course.reset_by(Outcome::Watchdog),
            OnWatchdog::Shutdown => self.devices.press_power_button(),
            OnWatchdog::PowerOff => self.course.end(Outcome::Watchdog),
            OnWatchdog::Debug | OnWatchdog::None => {}
        }
    }

    fn on_debugger(&mut self) {
        self.course.debug();
    }

    fn on_monitors(&mut self) {
        let Some(monitors) = &mut self.monitors else { return };
        let (commands, changed) = monitors.attend();
        for command in commands {
            match command {
                monitor::Command::Quit => self.course.end(Outcome::MonitorQuit),
                monitor::Command::PowerDown => self.devices.press_power_button(),
                monitor::Command::Reset => {
                    self.reset_by_client = true;
                    self.course.reset();
                }
                // The monitors know whether the guest is to run.
                monitor::Command::Stop | monitor::Command::Continue => {}
            }
        }
        if changed {
            self.course.pause_or_resume();
        }
    }

    /// The descriptors that are always watched, each with its handler.
    fn handlers(&self) -> impl Iterator<Item = (RawFd, Handler)> + use<> {
        let debugger = self.debugger.map(|fd| (fd, Self::on_debugger as Handler));
        let monitors = self.monitors.as_ref().map(AsRawFd::as_raw_fd);
        let monitors = monitors.map(|fd| (fd, Self::on_monitors as Handler));
        let watchdog = self.devices.watchdog.as_ref().map(AsRawFd::as_raw_fd);
        let watchdog = watchdog.map(|fd| (fd, Self::on_watchdog as Handler));
        let always: [(RawFd, Handler); 6] = [
            (self.notifier.as_raw_fd(), Self::on_notices),
            (self.signals.as_raw_fd(), Self::on_signal),
            (self.flush_timer.as_raw_fd(), Self::on_flush_timer),
            (self.coalesced_timer.as_raw_fd(), Self::on_coalesced_timer),
            (self.panic_timer.as_raw_fd(), Self::on_panic_timer),
            (self.limit_timer.as_raw_fd(), Self::on_limit_timer),
        ];
        let lines = self.lines.as_ref().map(AsRawFd::as_raw_fd);
        let lines = lines.map(|fd| (fd, Self::on_lines as Handler));
        always.into_iter().chain(debugger).chain(monitors).chain(lines).chain(watchdog)
    }
}

impl MutEventSubscriber for EventLoop {
    fn process(&mut self, events: Events, ops: &mut EventOps<'_>) {
        let fd = events.fd();
        if let Some((_, handle)) = self.handlers().find(|(known, _)| *known == fd) {
            handle(self);
        } else if self.typing.owns(fd) {
            self.on_input(ops);
        }
        self.typing.update_watch(self.in_background, ops);
    }

    fn init(&mut self, ops: &mut EventOps<'_>) {
        for (fd, _) in self.handlers() {
            // epoll supports all of these descriptors; only standard input can be unsupported.
            let _ = ops.add(Events::new_raw(fd, EventSet::IN));
        }
        self.typing.update_watch(self.in_background, ops);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::net::UnixStream;
    use std::sync::Mutex;

    use super::*;
    use crate::config::{CharBackend, CharSocket, MachineKind, SocketAddress, VmConfig};
    use crate::host::chardev;
    use crate::lock::lock;
    use crate::machine::input_port::InputPort;
    use crate::run::Vm;
    use crate::run::lines::Connected;
    use crate::tests::{Scratch, config, kernel, machine};

    fn event_loop(change: impl FnOnce(&mut Policy), lines: Option<Lines>) -> EventLoop {
        let machine = machine(MachineKind::Pc, |config| config.watchdog = true);
        let devices = Arc::new(machine.devices());
        signals::prepare_kick().unwrap();
        let sources = Sources {
            notifier: machine.notifier.clone(),
            signals: Signals::listen().unwrap(),
            input: None,
            terminal: None,
            devices: Arc::clone(&devices),
            flusher: Arc::new(Flusher::start(devices).unwrap()),
            debugger: None,
            monitors: None,
            lines,
        };
        let mut policy = Policy {
            on_reset: OnReset::Reboot,
            on_panic: OnPanic::End,
            on_watchdog: OnWatchdog::Reset,
            expects_crash_kernel: false,
            limits: Limits::default(),
            advice: None,
            warning: None,
        };
        change(&mut policy);
        EventLoop::new(sources, policy).unwrap()
    }

    #[test]
    fn the_user_reads_a_warning_once_before_the_guest_starts() {
        let mut events = event_loop(|policy| policy.warning = Some("careful".into()), None);
        assert_eq!(events.take_messages(), [Message::Warning("careful".into())]);
        assert_eq!(events.take_messages(), []);
        assert!(!events.limit_timer.is_armed().unwrap(), "there is no limit");
        let limits = Limits { timeout: Some(Duration::from_secs(3600)), silence: None };
        let events = event_loop(|policy| policy.limits = limits, None);
        assert!(events.limit_timer.is_armed().unwrap());
    }

    #[test]
    fn notices_lead_to_the_next_step() {
        let mut events = event_loop(|_| (), None);
        events.on_notices();
        assert_eq!(events.take_next(), None, "there are none");
        let mut next = |change: fn(&mut Notices)| {
            events.notifier.note(change);
            events.on_notices();
            events.take_next()
        };
        assert_eq!(next(|notices| notices.debug = true), Some(Next::Debug));
        assert_eq!(next(|notices| notices.disks_waiting = true), Some(Next::PauseOrResume));
        assert_eq!(next(|notices| notices.output_lost = Some("full".into())), None);
        let powered_off = next(|notices| notices.exit = Some(ExitRequest::PowerOff));
        assert_eq!(powered_off, Some(Next::End(Outcome::PowerOff)));
        assert_eq!(events.take_messages(), [Message::OutputLost("full".into())]);
        let mut events = event_loop(|_| (), None);
        events.on_debugger();
        assert_eq!(events.take_next(), Some(Next::Debug));
    }

    /// It may be silent for long, while the report of a panic ends the run after a pause.
    #[test]
    fn a_crash_kernel_that_is_expected_stays_so() {
        let mut events = event_loop(|_| (), None);
        events.notifier.note(|notices| notices.panic_line = true);
        events.on_notices();
        assert!(events.panic_timer.is_armed().unwrap());
        let mut events = event_loop(|_| (), None);
        for _ in 0..2 {
            events.notifier.note(|notices| {
                (notices.crash_kernel, notices.panic_line) = (true, true);
            });
            events.on_notices();
            assert!(events.expects_crash_kernel && !events.panic_timer.is_armed().unwrap());
        }
        events.on_notices();
        assert!(events.expects_crash_kernel);
    }

    #[test]
    fn a_report_that_was_asked_for_has_exits_recorded_once() {
        let mut events = event_loop(|_| (), None);
        assert!(!events.take_watched());
        events.watch(None);
        assert!(events.limit_timer.is_armed().unwrap(), "for the time that it takes");
        assert!(events.take_watched() && !events.take_watched());
    }

    #[test]
    fn a_watchdog_that_has_not_expired_does_nothing() {
        let mut events = event_loop(|_| (), None);
        events.on_watchdog();
        assert_eq!((events.take_next(), events.take_messages()), (None, Vec::new()));
    }

    /// A device that takes bytes when it has room, and may be busy.
    #[derive(Default)]
    struct Device {
        bytes: Mutex<Vec<u8>>,
        room: Mutex<usize>,
        is_busy: Mutex<bool>,
    }

    impl InputPort for Device {
        fn take_input(&self, typed: &mut Vec<u8>) -> bool {
            if *lock(&self.is_busy) {
                return false;
            }
            let taken = typed.len().min(*lock(&self.room));
            lock(&self.bytes).extend(typed.drain(..taken));
            true
        }
    }

    #[test]
    fn input_of_lines_is_passed_on_when_there_is_room_and_again_if_the_device_is_busy() {
        let path = Scratch::new(b"").0.clone();
        let address = SocketAddress::Unix(path.clone());
        let socket = CharSocket { address, server: true, wait: false };
        let backend = CharBackend::Socket(socket);
        let opened = chardev::open(&backend.into(), "-serial", "", &mut |_| {}).unwrap();
        let device = Arc::new(Device::default());
        let line = opened.line.unwrap();
        let connected = Connected { line, port: Arc::<Device>::clone(&device) };
        let lines = Lines::watch(&[connected]).unwrap();
        let mut events = event_loop(|_| (), lines);
        let is_armed = |events: &EventLoop| events.flush_timer.is_armed().unwrap();
        let mut client = UnixStream::connect(&path).unwrap();
        client.write_all(b"123").unwrap();
        events.on_lines();
        assert!(lock(&device.bytes).is_empty() && !is_armed(&events), "no room, and not busy");
        *lock(&device.room) = 1;
        events.notifier.note(|notices| notices.input_wanted = true);
        events.on_notices();
        assert_eq!((lock(&device.bytes).as_slice(), is_armed(&events)), (&b"1"[..], false));
        // The timer tries again, and is set again for as long as the device is busy.
        *lock(&device.is_busy) = true;
        events.notifier.note(|notices| notices.input_wanted = true);
        events.on_notices();
        assert!(is_armed(&events));
        events.on_flush_timer();
        assert!(is_armed(&events));
        (*lock(&device.is_busy), *lock(&device.room)) = (false, 2);
        events.on_flush_timer();
        assert_eq!(lock(&device.bytes).as_slice(), b"123");
        *lock(&device.is_busy) = true;
        events.flush_timer.clear().unwrap();
        client.write_all(b"4").unwrap();
        events.on_lines();
        assert!(is_armed(&events));
        drop((client, events));
        let _ = std::fs::remove_file(path);
    }

    /// Through the event manager, as in a run.
    #[test]
    fn the_loop_waits_for_what_comes_next() {
        use super::super::{is_paused, manage, next_step, tell_messages};
        let events = event_loop(|policy| policy.warning = Some("careful".into()), None);
        let notifier = events.notifier.clone();
        let (mut manager, id) = manage(events).unwrap();
        let mut told = Vec::new();
        tell_messages(&mut manager, id, &mut |message| told.push(message.clone()));
        assert_eq!(told, [Message::Warning("careful".into())]);
        assert!(!is_paused(&mut manager, id));
        notifier.note(|notices| notices.output_lost = Some("full".into()));
        notifier.end(Outcome::Quit);
        let next = next_step(&mut manager, id, &mut |message| told.push(message.clone()));
        assert_eq!(next.unwrap(), Next::End(Outcome::Quit));
        assert_eq!(told[1..], [Message::OutputLost("full".into())]);
    }

    /// The exits of a CPU are recorded for a moment first, unless they are anyway.
    #[test]
    fn a_report_has_a_sentence_for_each_cpu() {
        let machine = machine(MachineKind::Microvm, |_| ());
        let devices = Arc::new(machine.devices());
        signals::prepare_kick().unwrap();
        let flusher = Flusher::start(Arc::clone(&devices)).unwrap();
        for record_exits in [false, true] {
            let config = VmConfig { record_exits, cpus: 2, ..config(MachineKind::Microvm) };
            let Some(vm) =
                crate::tests::on_kvm(Vm::new(&config, Some(kernel(true, "")), Vec::new()))
            else {
                return;
            };
            let mut vcpus = vm.create_vcpus(&devices).unwrap();
            let mut events = event_loop(|_| (), None);
            let mut report = |then: Option<Outcome>| {
                let mut told = Vec::new();
                let mut tell = |message: &Message| told.push(message.clone());
                let ended =
                    vm.report(&mut vcpus, then, &mut events, (&devices, &flusher), &mut tell);
                let recorded = vcpus.iter().filter(|vcpu| vcpu.log.is_some()).count();
                (ended, told.len(), recorded)
            };
            if !record_exits {
                assert_eq!(report(None), (None, 0, 2), "they are recorded from now on");
            }
            let left = if record_exits { 2 } else { 0 };
            assert_eq!(report(None), (None, 4, left));
            if record_exits {
                assert_eq!(report(Some(Outcome::Quit)), (Some(Outcome::Quit), 4, 2));
            }
        }
    }
}
