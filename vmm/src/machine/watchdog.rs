//! The watchdog of pc: its place on the PCI bus, and the timer that it sets.

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use devices::i6300esb::{Countdown, I6300Esb, PLACE, REGISTER_BAR};
use devices::pci::bar::{BarAccess, BarDecoder, MemoryBars};
use vmm_sys_util::timerfd::TimerFd;

use super::virtio::Slots;
use crate::error::{DeviceError, HostError, StartError};
use crate::lock::lock;
use crate::mmio_bus::MmioPlace;

/// The device and its timer.
#[derive(Debug)]
pub struct Watchdog {
    device: Arc<Mutex<I6300Esb>>,
    timer: Arc<Timer>,
}

impl Watchdog {
    /// Puts the device on the board.
    ///
    /// # Errors
    /// The machine has no PCI or no room, or the host is out of descriptors.
    pub(super) fn new(slots: &mut Slots) -> Result<Self, StartError> {
        let (to, board) = slots.connections();
        let board = board.ok_or(DeviceError::NoSlot)?;
        let timer = Arc::new(Timer::new().map_err(HostError::descriptors)?);
        let mut device = I6300Esb::new(Box::new(Setter(Arc::clone(&timer))));
        board.preset(PLACE, |window, irq| device.config_mut().preset(window, irq))?;
        let device = Arc::new(Mutex::new(device));
        let access: Arc<Mutex<dyn MemoryBars>> = Arc::<Mutex<I6300Esb>>::clone(&device);
        let access = BarAccess { function: access, bar: REGISTER_BAR.number };
        let registers = to.mmio_bus.add(REGISTER_BAR.size, Arc::new(access));
        lock(&device).config_mut().decode_with(Box::new(Decoder(registers)));
        board.add(PLACE, Arc::clone(&device))?;
        Ok(Self { device, timer })
    }

    /// The timer is due. Returns whether the watchdog has expired. The device's lock is never held
    /// for long: it has no output.
    pub fn on_timer(&self) -> bool {
        // Locked first, as when the guest sets the timer: a reload in between would be lost.
        let mut device = lock(&self.device);
        self.timer.is_due() && device.elapsed()
    }

    /// The guest does not run from now on, and neither does the timer.
    pub fn pause(&self) {
        self.timer.pause();
    }

    /// The guest runs again.
    pub fn resume(&self) {
        self.timer.resume();
    }
}

impl AsRawFd for Watchdog {
    /// Readable when [`Self::on_timer`] is to be called.
    fn as_raw_fd(&self) -> RawFd {
        lock(&self.timer.0).fd.as_raw_fd()
    }
}

/// A timer that stands still while the guest does.
#[derive(Debug)]
struct Timer(Mutex<TimerState>);

#[derive(Debug)]
struct TimerState {
    fd: TimerFd,
    due: Due,
    is_paused: bool,
}

/// When the timer is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    Never,
    At(Instant),
    /// After this time, once the guest runs.
    After(Duration),
}

impl Timer {
    fn new() -> io::Result<Self> {
        let fd = TimerFd::new().map_err(io::Error::from)?;
        Ok(Self(Mutex::new(TimerState { fd, due: Due::Never, is_paused: true })))
    }

    fn set(&self, time: Option<Duration>) {
        let mut state = lock(&self.0);
        state.due = match time {
            None => Due::Never,
            Some(time) if state.is_paused => Due::After(time),
            Some(time) => Due::At(Instant::now() + time),
        };
        state.arm();
    }

    fn is_due(&self) -> bool {
        let mut state = lock(&self.0);
        let is_due = matches!(state.due, Due::At(time) if time <= Instant::now());
        if is_due {
            state.due = Due::Never;
        }
        state.arm();
        is_due
    }

    fn pause(&self) {
        let mut state = lock(&self.0);
        state.is_paused = true;
        if let Due::At(time) = state.due {
            state.due = Due::After(time.saturating_duration_since(Instant::now()));
        }
        state.arm();
    }

    fn resume(&self) {
        let mut state = lock(&self.0);
        state.is_paused = false;
        if let Due::After(time) = state.due {
            state.due = Due::At(Instant::now() + time);
        }
        state.arm();
    }
}

impl TimerState {
    /// Sets the descriptor's timer, which also takes back an expiry.
    fn arm(&mut self) {
        let _ = match self.due {
            Due::At(time) => {
                // A time of 0 would disarm it.
                let time = time.saturating_duration_since(Instant::now());
                self.fd.reset(time.max(Duration::from_nanos(1)), None)
            }
            Due::Never | Due::After(_) => self.fd.clear(),
        };
    }
}

/// The timer, for the device.
struct Setter(Arc<Timer>);

impl Countdown for Setter {
    fn set(&self, time: Option<Duration>) {
        self.0.set(time);
    }
}

/// Moves the registers along with the BAR.
struct Decoder(MmioPlace);

impl BarDecoder for Decoder {
    fn place(&self, _: u8, at: Option<u64>) {
        self.0.set(at);
    }
}

#[cfg(test)]
mod tests {
    use vm_memory::{GuestAddress, GuestMemoryMmap};
    use vmm_sys_util::epoll::{ControlOperation, Epoll, EpollEvent, EventSet};

    use super::super::virtio::Connections;
    use super::*;
    use crate::config::MachineKind;
    use crate::machine::chipset::PciBoard;
    use crate::machine::irq::IrqChip;
    use crate::mmio_bus::MmioBus;
    use crate::tests::machine;

    #[test]
    fn a_timer_stands_still_while_the_guest_does() {
        let timer = Timer::new().unwrap();
        timer.set(Some(Duration::ZERO));
        assert!(!timer.is_due(), "the guest does not run yet");
        timer.resume();
        assert!(timer.is_due());
        assert!(!timer.is_due(), "once");
        timer.set(Some(Duration::from_secs(3600)));
        assert!(!timer.is_due());
        timer.pause();
        let Due::After(left) = lock(&timer.0).due else { panic!() };
        assert!(left > Duration::from_secs(3000));
        timer.resume();
        let Due::At(time) = lock(&timer.0).due else { panic!() };
        assert!(time > Instant::now() + Duration::from_secs(3000), "the rest of the time");
        timer.pause();
        timer.set(None);
        timer.resume();
        assert_eq!(lock(&timer.0).due, Due::Never);
    }

    /// The event loop waits for the descriptor.
    #[test]
    fn the_descriptor_is_readable_once_the_time_is_over_and_the_guest_runs() {
        let is_readable = |timer: &Timer, patience: i32| {
            let state = lock(&timer.0);
            let events = Epoll::new().unwrap();
            let readable = EpollEvent::new(EventSet::IN, 0);
            events.ctl(ControlOperation::Add, state.fd.as_raw_fd(), readable).unwrap();
            events.wait(patience, &mut [EpollEvent::default()]).unwrap() == 1
        };
        let timer = Timer::new().unwrap();
        timer.resume();
        timer.set(Some(Duration::from_secs(3600)));
        assert!(!is_readable(&timer, 20));
        timer.set(Some(Duration::ZERO));
        assert!(is_readable(&timer, 10_000));
        timer.pause();
        assert!(!is_readable(&timer, 20), "an expiry while the guest stands still waits for it");
        timer.resume();
        assert!(is_readable(&timer, 10_000));
        assert!(timer.is_due());
        assert!(!is_readable(&timer, 20), "it was taken");
    }

    #[test]
    fn a_timer_that_is_due_is_not_yet_a_guest_that_hangs() {
        let machine = machine(MachineKind::Pc, |_| ());
        let irq_chip = IrqChip::default();
        let board = PciBoard::new(&machine.parts(), &irq_chip).unwrap();
        let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 0x1000)]).unwrap();
        let connections = Connections { memory, mmio_bus: MmioBus::default(), irq_chip };
        let watchdog = Watchdog::new(&mut Slots::new(connections, board)).unwrap();
        let is_paused = || lock(&watchdog.timer.0).is_paused;
        assert!(is_paused());
        watchdog.resume();
        assert!(!is_paused());
        watchdog.timer.set(Some(Duration::ZERO));
        assert!(!watchdog.on_timer(), "the guest has not enabled it");
        watchdog.pause();
        assert!(is_paused());
    }
}
