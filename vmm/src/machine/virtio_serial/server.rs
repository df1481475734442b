//! A thread that serves two queues of a virtio-serial device.

use std::io;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use devices::virtio::console::Console;
use devices::virtio::state::VirtioState;
use vmm_sys_util::epoll::{ControlOperation, Epoll, EpollEvent, EventSet};
use vmm_sys_util::eventfd::EventFd;

use super::{Device, Shared};

/// How long it waits before it tries again to write what had no room. A line wakes it earlier.
const TRY_AGAIN: Duration = Duration::from_millis(100);

/// How often it serves its queues after the stop, if a request takes several turns: enough for
/// 16 MiB. What a guest can make available is far more, and must not delay the end.
pub(super) const LAST_TURNS: u32 = 256;

/// A thread that serves two queues.
pub(super) struct Server {
    console: Arc<Console>,
    state: Arc<VirtioState>,
    epoll: Epoll,
    wakes: Vec<Arc<EventFd>>,
    queues: [u16; 2],
    /// The port; `None` for the control messages.
    number: Option<u32>,
    busy: Arc<AtomicBool>,
    shared: Arc<Shared>,
}

impl Server {
    /// # Errors
    /// The host is out of descriptors.
    pub fn new(
        device: &Device,
        queues: [u16; 2],
        number: Option<u32>,
        busy: &Arc<AtomicBool>,
        shared: &Arc<Shared>,
    ) -> io::Result<Self> {
        let epoll = Epoll::new()?;
        let all = device.plugged.wakes();
        let wakes: Vec<_> = queues
            .iter()
            .filter_map(|queue| all.get(usize::from(*queue)).map(Arc::clone))
            .collect();
        for (index, wake) in (0..).zip(&wakes) {
            let event = EpollEvent::new(EventSet::IN, index);
            epoll.ctl(ControlOperation::Add, wake.as_raw_fd(), event)?;
        }
        Ok(Self {
            console: Arc::clone(&device.console),
            state: Arc::clone(device.plugged.state()),
            epoll,
            wakes,
            queues,
            number,
            busy: Arc::clone(busy),
            shared: Arc::clone(shared),
        })
    }

    /// Serves the queues until the end.
    ///
    /// # Errors
    /// The host cannot wait.
    pub fn run(&self) -> io::Result<()> {
        let mut timeout = None;
        let mut turns_left = LAST_TURNS;
        loop {
            self.wait(timeout)?;
            // Once more after the stop: what the guest wrote last.
            let stops = self.shared.stop.load(Ordering::SeqCst);
            self.busy.store(true, Ordering::SeqCst);
            let mut holds = false;
            if !self.shared.hold.load(Ordering::SeqCst) {
                // A held request of the driver's is one whose output has no room; one that is held
                // for input waits for input.
                let held = self.queues.map(|queue| self.state.serve(queue));
                holds = self.number.is_some() && held[1];
            }
            self.busy.store(false, Ordering::SeqCst);
            let is_behind = self.number.is_some_and(|number| self.console.is_behind(number));
            if stops {
                turns_left -= 1;
                // A write that is kicked does not leave it behind.
                if !is_behind || turns_left == 0 {
                    return Ok(());
                }
            }
            timeout = match (is_behind, holds) {
                (true, _) => Some(Duration::ZERO),
                (false, true) => Some(TRY_AGAIN),
                (false, false) => None,
            };
        }
    }

    fn wait(&self, timeout: Option<Duration>) -> io::Result<()> {
        let timeout = timeout.map_or(-1, |time| i32::try_from(time.as_millis()).unwrap_or(0));
        let mut events = [EpollEvent::default(); 2];
        let count = match self.epoll.wait(timeout, &mut events) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
            count => count?,
        };
        for event in &events[..count] {
            let index = usize::try_from(event.data()).unwrap_or(usize::MAX);
            if let Some(wake) = self.wakes.get(index) {
                // Nobody else reads it, so this does not block.
                let _ = wake.read();
            }
        }
        Ok(())
    }
}
