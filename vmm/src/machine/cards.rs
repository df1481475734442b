//! The guest's network cards: virtio-net devices, and a thread for each that serves its queues and
//! its backend.

use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use acpi_tables::Aml;
use devices::virtio::net::{self, MAC_SIZE, Net, NetBackend, RECEIVE, TRANSMIT};
use devices::virtio::state::VirtioState;
use kvm_ioctls::VmFd;
use vmm_sys_util::epoll::{ControlOperation, Epoll, EpollEvent, EventSet};
use vmm_sys_util::eventfd::EventFd;

use super::threads;
use super::virtio::{Plugged, Slots};
use crate::error::{HostError, StartError};
use crate::host::notices::Notifier;
use crate::lock::lock;

/// What a card's cable leads to. The card's thread calls it; none of its methods waits.
pub trait CardBackend: NetBackend {
    /// A descriptor that becomes readable when [`Self::poll`] has something to do.
    ///
    /// # Errors
    /// The host is out of descriptors.
    fn event(&self) -> io::Result<OwnedFd>;

    /// Does what the descriptor or the time has made possible.
    fn poll(&self, now: Instant);

    /// When [`Self::poll`] must be called at the latest. A time in the past means now.
    fn deadline(&self) -> Option<Instant> {
        None
    }

    /// Whether [`Self::poll`] has something to do now that the guest has taken frames.
    fn is_busy(&self) -> bool {
        false
    }

    /// Whether the cable is plugged in.
    fn has_link(&self) -> bool {
        true
    }
}

/// A network card for the guest.
#[derive(Clone)]
pub struct CardConfig {
    /// What it is connected to.
    pub backend: Arc<dyn CardBackend>,
    /// Its address.
    pub mac: [u8; MAC_SIZE],
    /// The MTU that the guest is told, in bytes.
    pub mtu: Option<u16>,
    /// The features that it does not offer: a mask of bits of [`devices::virtio::net::OPTIONAL`].
    pub withheld: u64,
}

impl fmt::Debug for CardConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CardConfig").field("mac", &self.mac).finish_non_exhaustive()
    }
}

/// A card of the machine.
#[derive(Debug)]
struct Card {
    net: Arc<Net>,
    backend: Arc<dyn CardBackend>,
    device: Plugged,
}

/// The network cards of the machine. They live as long as the process; a reset of the machine
/// resets them.
#[derive(Debug, Default)]
pub struct Cards {
    cards: Vec<Card>,
    stop: Arc<AtomicBool>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Cards {
    /// Gives each card a place in the machine.
    ///
    /// # Errors
    /// There are more than there are `slots`, or the host is out of descriptors.
    pub fn new(cards: &[CardConfig], slots: &mut Slots) -> Result<Self, StartError> {
        let plug = |config: &CardConfig| {
            let backend = Arc::clone(&config.backend);
            let net = Net::new(Arc::<dyn CardBackend>::clone(&backend), config.mac, config.mtu);
            let net = Arc::new(net.without(config.withheld));
            let device = slots.plug(Arc::<Net>::clone(&net))?;
            Ok(Card { net, backend, device })
        };
        let cards = cards.iter().map(plug).collect::<Result<_, StartError>>()?;
        Ok(Self { cards, ..Self::default() })
    }

    /// The cards to boot from: those with a boot index in `indices`, which has one entry for each
    /// card, and the paths by which QEMU and SeaBIOS know them (`bootprio_find_pci_device`,
    /// src/boot.c).
    pub fn boot_paths(&self, indices: &[Option<u32>]) -> Vec<(u32, String)> {
        let path = |card: &Card| format!("{}/ethernet-phy@0", card.device.path());
        let cards = indices.iter().zip(&self.cards);
        cards.filter_map(|(index, card)| Some(((*index)?, path(card)))).collect()
    }

    /// What each has done so far.
    pub fn counts(&self) -> Vec<net::Counts> {
        self.cards.iter().map(|card| card.net.counts()).collect()
    }

    /// Their DSDT entries.
    pub fn descriptions(&self) -> impl Iterator<Item = &dyn Aml> {
        self.cards.iter().filter_map(|card| card.device.description())
    }

    /// Has KVM wake the threads itself when the guest notifies a queue.
    pub fn connect(&self, vm: &VmFd) {
        self.cards.iter().for_each(|card| card.device.connect(vm));
    }

    /// Starts the threads. Signals are blocked in them as in the caller. Dropping what is returned
    /// ends them.
    ///
    /// # Errors
    /// The host is out of descriptors or threads.
    pub fn start(&self, notifier: &Notifier) -> Result<Running<'_>, StartError> {
        let running = Running(self);
        for (index, card) in self.cards.iter().enumerate() {
            let events = Events::new(card).map_err(HostError::descriptors)?;
            let server = Server {
                net: Arc::clone(&card.net),
                backend: Arc::clone(&card.backend),
                state: Arc::clone(card.device.state()),
                events,
                stop: Arc::clone(&self.stop),
            };
            let (name, what) = (format!("net{index}"), "a network card's thread");
            let thread = threads::start(name, what, notifier, move || server.run());
            lock(&self.threads).push(thread.map_err(StartError::host("a thread"))?);
        }
        Ok(running)
    }

    /// The reset of the machine, while no vCPU runs: returns once the frames in service are
    /// handled.
    pub fn reset(&self) {
        self.cards.iter().for_each(|card| card.device.reset());
    }

    /// The end of the run: no frame is in service any more.
    fn finish(&self) {
        self.reset();
        self.stop.store(true, Ordering::SeqCst);
        for wake in self.cards.iter().flat_map(|card| card.device.wakes()) {
            let _ = wake.write(1);
        }
        for thread in std::mem::take(&mut *lock(&self.threads)) {
            // One that has panicked has been reported.
            let _ = thread.join();
        }
    }
}

/// The cards while the guest runs. Once it is dropped no frame is in service.
#[derive(Debug)]
pub struct Running<'a>(&'a Cards);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.finish();
    }
}

/// What a card's thread waits for.
struct Events {
    epoll: Epoll,
    /// What the guest's notifications wake, by queue.
    wakes: Vec<Arc<EventFd>>,
    /// Kept open.
    _backend: OwnedFd,
}

impl Events {
    fn new(card: &Card) -> io::Result<Self> {
        let (epoll, backend) = (Epoll::new()?, card.backend.event()?);
        let wakes = card.device.wakes().to_vec();
        let add =
            |fd, data| epoll.ctl(ControlOperation::Add, fd, EpollEvent::new(EventSet::IN, data));
        for (queue, wake) in (0..).zip(&wakes) {
            add(wake.as_raw_fd(), queue)?;
        }
        add(backend.as_raw_fd(), u64::MAX)?;
        Ok(Self { epoll, wakes, _backend: backend })
    }

    /// Waits until something happens or the time is over. Returns whether the guest has notified
    /// the queue [`TRANSMIT`].
    fn wait(&self, timeout: Option<Duration>) -> io::Result<bool> {
        // Rounded up: a wait that ends early would be repeated at once.
        let milliseconds = timeout.map_or(-1, |timeout| {
            let rounded = timeout.as_micros().div_ceil(1000);
            i32::try_from(rounded).unwrap_or(i32::MAX)
        });
        let mut events = [EpollEvent::default(); 4];
        let count = match self.epoll.wait(milliseconds, &mut events) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
            count => count?,
        };
        let mut transmits = false;
        for event in &events[..count] {
            let queue = usize::try_from(event.data()).unwrap_or(usize::MAX);
            if let Some(wake) = self.wakes.get(queue) {
                // Nobody else reads it, so this does not block.
                let _ = wake.read();
                transmits |= queue == usize::from(TRANSMIT);
            }
        }
        Ok(transmits)
    }
}

/// What a card's thread does.
struct Server {
    net: Arc<Net>,
    backend: Arc<dyn CardBackend>,
    state: Arc<VirtioState>,
    events: Events,
    stop: Arc<AtomicBool>,
}

impl Server {
    fn run(&self) -> io::Result<()> {
        let mut transmits = true;
        while !self.stop.load(Ordering::SeqCst) {
            if transmits {
                self.state.serve(TRANSMIT);
            }
            self.backend.poll(Instant::now());
            if self.net.set_link(self.backend.has_link()) {
                self.state.config_changed();
            }
            self.state.serve(RECEIVE);
            transmits = self.events.wait(self.timeout())?;
        }
        Ok(())
    }

    /// How long nothing needs to be done without an event. `None`: no limit.
    fn timeout(&self) -> Option<Duration> {
        if self.net.is_behind() || self.backend.is_busy() {
            return Some(Duration::ZERO);
        }
        self.backend.deadline().map(|at| at.saturating_duration_since(Instant::now()))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::net::UnixStream;
    use std::sync::mpsc::{Receiver, Sender, channel};

    use devices::virtio::net::{Frame, Offload, Offloads};
    use vm_memory::{GuestAddress, GuestMemoryMmap};

    use super::super::virtio::Connections;
    use super::*;
    use crate::config::MachineKind;
    use crate::machine::chipset::PciBoard;
    use crate::machine::irq::IrqChip;
    use crate::mmio_bus::MmioBus;
    use crate::outcome::Outcome;
    use crate::tests::{Guest, machine};

    /// A backend that reports when it is polled.
    #[derive(Debug)]
    struct Reporting {
        near: UnixStream,
        polls: Mutex<Sender<()>>,
        deadline: Option<Instant>,
        panics: bool,
        is_busy: bool,
    }

    impl NetBackend for Reporting {
        fn has_offloads(&self) -> bool {
            false
        }

        fn set_offloads(&self, _: Offloads) {}

        fn send(&self, _: &[u8], _: Option<&Offload>) {}

        fn receive(&self) -> Option<Frame> {
            None
        }
    }

    impl CardBackend for Reporting {
        fn event(&self) -> io::Result<OwnedFd> {
            self.near.try_clone().map(OwnedFd::from)
        }

        fn poll(&self, _: Instant) {
            assert!(!self.panics, "a bug");
            let mut bytes = [0; 8];
            if self.near.set_nonblocking(true).is_ok() {
                let _ = io::Read::read(&mut &self.near, &mut bytes);
            }
            let _ = lock(&self.polls).send(());
        }

        fn deadline(&self) -> Option<Instant> {
            self.deadline
        }

        fn is_busy(&self) -> bool {
            self.is_busy
        }
    }

    /// A card, the other end of its backend's descriptor, and its polls.
    fn card(deadline: Option<Instant>, panics: bool) -> (CardConfig, UnixStream, Receiver<()>) {
        let ((near, far), (polls, polled)) = (UnixStream::pair().unwrap(), channel());
        let (polls, is_busy) = (Mutex::new(polls), false);
        let backend = Arc::new(Reporting { near, polls, deadline, panics, is_busy });
        (CardConfig { backend, mac: [2, 0, 0, 0, 0, 1], mtu: None, withheld: 0 }, far, polled)
    }

    fn cards(configs: &[CardConfig]) -> Result<Cards, StartError> {
        let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 0x1000)]).unwrap();
        let connections =
            Connections { memory, mmio_bus: MmioBus::default(), irq_chip: IrqChip::default() };
        Cards::new(configs, &mut Slots::new(connections, None))
    }

    const PATIENCE: Duration = Duration::from_secs(20);

    #[test]
    fn a_card_s_thread_follows_its_backend_and_ends_with_the_run() {
        let (config, mut far, polled) = card(None, false);
        let cards = cards(&[config]).unwrap();
        let running = cards.start(&Notifier::new().unwrap()).unwrap();
        polled.recv_timeout(PATIENCE).expect("once at the start");
        assert!(polled.recv_timeout(Duration::from_millis(50)).is_err(), "no event, no work");
        far.write_all(b"x").unwrap();
        polled.recv_timeout(PATIENCE).expect("after an event");
        drop(running);
        assert!(lock(&cards.threads).is_empty());
        assert_eq!(cards.counts(), [net::Counts::default()]);
        assert!(cards.cards[0].backend.has_link(), "unless the backend knows better");
    }

    #[test]
    fn a_deadline_is_kept() {
        let (config, _far, polled) = card(Some(Instant::now() + Duration::from_millis(20)), false);
        let cards = cards(&[config]).unwrap();
        let _running = cards.start(&Notifier::new().unwrap()).unwrap();
        polled.recv_timeout(PATIENCE).expect("once at the start");
        polled.recv_timeout(PATIENCE).expect("at the deadline");
    }

    #[test]
    fn a_panic_ends_the_run() {
        let (config, _far, _polled) = card(None, true);
        let cards = cards(&[config]).unwrap();
        let notifier = Notifier::new().unwrap();
        let _running = cards.start(&notifier).unwrap();
        let end = Instant::now() + PATIENCE;
        let mut ended = None;
        while ended.is_none() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(1));
            ended = notifier.take().ended;
        }
        assert_eq!(ended, Some(Outcome::Defect("a network card's thread")));
    }

    #[test]
    fn more_cards_than_there_is_room_for_are_refused() {
        let configs: Vec<_> = (0..9).map(|_| card(None, false).0).collect();
        assert!(cards(&configs[..8]).is_ok());
        let error = cards(&configs).unwrap_err();
        assert_eq!(error.to_string(), "There is no room for another virtio device");
    }

    /// The notification of queue 0 is a write of 0 to the register at 0x50 (virtio 1.2, 4.2.2).
    #[test]
    fn kvm_wakes_the_thread_itself() {
        let Some(mut guest) = Guest::new(&[]) else { return };
        let cards = cards(&[card(None, false).0]).unwrap();
        cards.connect(&guest.vm);
        let wake = &cards.cards[0].device.wakes()[0];
        guest.write(0xfeb0_0050, 0);
        wake.write(1).unwrap();
        assert_eq!(wake.read().unwrap(), 2, "one of them is the guest's");
    }

    #[test]
    fn the_first_card_of_a_pc_has_a_slot_of_its_own() {
        let pc = machine(MachineKind::Pc, |_| ());
        let cards = |count: usize| {
            let configs: Vec<_> = (0..count).map(|_| card(None, false).0).collect();
            let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 0x1000)]).unwrap();
            let irq_chip = IrqChip::default();
            let board = PciBoard::new(&pc.parts(), &irq_chip).unwrap();
            let connections = Connections { memory, mmio_bus: MmioBus::default(), irq_chip };
            let mut slots = Slots::new(connections, board);
            let before = slots.free();
            assert_eq!(slots.machine(), MachineKind::Pc);
            let cards = Cards::new(&configs, &mut slots)?;
            Ok::<_, StartError>((cards, before, slots.free()))
        };
        let (three, before, after) = cards(3).unwrap();
        assert_eq!((before, after), (28, 26));
        let path = |slot: &str| format!("/pci@i0cf8/ethernet@{slot}/ethernet-phy@0");
        let paths = three.boot_paths(&[Some(2), None, Some(0)]);
        assert_eq!(paths, [(2, path("3")), (0, path("5"))]);
        let (all, _, after) = cards(29).unwrap();
        assert_eq!(after, 0);
        assert_eq!(all.boot_paths(&[Some(0); 29])[28].1, path("1f"));
        assert!(cards(30).is_err());
    }

    #[test]
    fn a_thread_does_not_wait_while_its_backend_is_busy() {
        for is_busy in [false, true] {
            let ((near, _far), (polls, _)) = (UnixStream::pair().unwrap(), channel());
            let (deadline, panics) = (None, false);
            let backend = Reporting { near, polls: Mutex::new(polls), deadline, panics, is_busy };
            let config = CardConfig { backend: Arc::new(backend), ..card(None, false).0 };
            let cards = cards(&[config]).unwrap();
            let card = &cards.cards[0];
            let server = Server {
                net: Arc::clone(&card.net),
                backend: Arc::clone(&card.backend),
                state: Arc::clone(card.device.state()),
                events: Events::new(card).unwrap(),
                stop: Arc::default(),
            };
            assert_eq!(server.timeout(), is_busy.then_some(Duration::ZERO));
        }
    }

    #[test]
    fn the_queue_that_the_guest_has_notified_is_known() {
        let cards = cards(&[card(None, false).0]).unwrap();
        let card = &cards.cards[0];
        let events = Events::new(card).unwrap();
        let now = Some(Duration::ZERO);
        assert!(!events.wait(now).unwrap(), "nothing has happened");
        for (queues, transmits) in
            [(&[RECEIVE][..], false), (&[TRANSMIT], true), (&[RECEIVE, TRANSMIT], true)]
        {
            for queue in queues {
                card.device.wakes()[usize::from(*queue)].write(1).unwrap();
            }
            assert_eq!(events.wait(now).unwrap(), transmits);
            assert!(!events.wait(now).unwrap(), "they were taken");
        }
    }

    /// virtio 1.2, 4.2.2: the status is at 0x70.
    #[test]
    fn a_reset_of_the_machine_is_one_of_its_cards() {
        const STATUS: u64 = 0xfeb0_0070;
        let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 0x1000)]).unwrap();
        let (mmio_bus, irq_chip) = (MmioBus::default(), IrqChip::default());
        let connections = Connections { memory, mmio_bus: mmio_bus.clone(), irq_chip };
        let configs = [card(None, false).0];
        let cards = Cards::new(&configs, &mut Slots::new(connections, None)).unwrap();
        let status = || {
            let mut data = [0xff; 4];
            mmio_bus.read(STATUS, &mut data);
            u32::from_le_bytes(data)
        };
        mmio_bus.write(STATUS, &1u32.to_le_bytes());
        assert_eq!(status(), 1);
        cards.reset();
        assert_eq!(status(), 0);
    }
}
