//! The guest's disks and CD drives: virtio-blk devices, a virtio-scsi controller, a SATA controller,
//! and a thread for each queue or port that serves it.

use std::io;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use acpi_tables::Aml;
use devices::disk::Disk;
use devices::virtio::block::Block;
use devices::virtio::scsi::Scsi;
use kvm_ioctls::VmFd;
use vmm_sys_util::epoll::{ControlOperation, Epoll, EpollEvent, EventSet};
use vmm_sys_util::eventfd::EventFd;

use super::ahci::{AhciController, AhciDrive};
use super::threads;
use super::virtio::{Plugged, Slots};
use crate::error::{DeviceError, StartError};
use crate::host::notices::Notifier;
use crate::lock::lock;

/// Queues of a virtio disk.
const QUEUES: u16 = 1;
/// How long a disk waits before it tries a request again that its backend could not do.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// A virtio disk of the machine.
#[derive(Debug)]
struct VirtioDisk {
    disk: Arc<Disk>,
    device: Plugged,
}

/// The disks of the machine, and its CD drives. They live as long as the process; a reset of the
/// machine resets them.
#[derive(Debug, Default)]
pub struct Disks {
    disks: Vec<VirtioDisk>,
    /// The controller of the CD drives.
    cd_drives: Option<Plugged>,
    ahci: Option<AhciController>,
    /// How many queues and ports hold requests that their backends cannot do yet.
    waiting: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Disks {
    /// Gives each disk a place in the machine.
    ///
    /// # Errors
    /// There are more than there are `slots`, or the host is out of descriptors.
    pub fn new(disks: &[Arc<Disk>], slots: &mut Slots) -> Result<Self, StartError> {
        let (wanted, limit) = (disks.len(), slots.free());
        if wanted > limit {
            let machine = slots.machine();
            return Err(DeviceError::TooManyDisks { wanted, limit, machine }.into());
        }
        let plug = |disk: &Arc<Disk>| {
            let device = slots.plug(Arc::new(Block::new(Arc::clone(disk), QUEUES)))?;
            Ok(VirtioDisk { disk: Arc::clone(disk), device })
        };
        let disks = disks.iter().map(plug).collect::<Result<_, StartError>>()?;
        Ok(Self { disks, ..Self::default() })
    }

    /// Gives the controller of the CD drives a place, if there is one.
    ///
    /// # Errors
    /// There is no place, or the host is out of descriptors.
    pub fn with_cd_drives(
        self,
        controller: Option<&Arc<Scsi>>,
        slots: &mut Slots,
    ) -> Result<Self, StartError> {
        let plug = |controller: &Arc<Scsi>| slots.plug(Arc::<Scsi>::clone(controller));
        let cd_drives = controller.map(plug).transpose()?;
        Ok(Self { cd_drives, ..self })
    }

    /// Gives the machine a SATA controller, if it is to have one.
    ///
    /// # Errors
    /// The machine has no place for it, or the host is out of descriptors.
    pub fn with_ahci(
        self,
        drives: Option<&[AhciDrive]>,
        slots: &mut Slots,
    ) -> Result<Self, StartError> {
        let (connections, board) = slots.connections();
        let controller = |drives| AhciController::new(drives, connections, board);
        let ahci = drives.map(controller).transpose()?;
        Ok(Self { ahci, ..self })
    }

    /// The virtio devices.
    fn devices(&self) -> impl Iterator<Item = &Plugged> {
        self.disks.iter().map(|disk| &disk.device).chain(&self.cd_drives)
    }

    /// The OpenFirmware paths by which SeaBIOS's boot order names them.
    fn paths(&self) -> impl Iterator<Item = String> {
        self.disks.iter().map(|disk| format!("{}/disk@0,0", disk.device.path()))
    }

    /// The disks and CD drives to boot from: those with a boot index in `disks` or `cds`, which have
    /// one entry for each, or one of their own, and the paths by which SeaBIOS knows them
    /// (`bootprio_find_mmio_device` and `bootprio_find_pci_device`, src/boot.c).
    pub fn boot_paths(&self, disks: &[Option<u32>], cds: &[Option<u32>]) -> Vec<(u32, String)> {
        let disks = disks.iter().zip(self.paths());
        let disks = disks.filter_map(|(index, path)| Some(((*index)?, path)));
        let on_ahci = self.ahci.iter().flat_map(AhciController::boot_paths);
        disks.chain(self.cd_boot_paths(cds)).chain(on_ahci).collect()
    }

    /// The CD drives of the SCSI controller (`bootprio_find_scsi_mmio_device` and
    /// `bootprio_find_scsi_device`): drives are targets, from 0.
    fn cd_boot_paths(&self, indices: &[Option<u32>]) -> Vec<(u32, String)> {
        let Some(controller) = self.cd_drives.as_ref().map(Plugged::path) else {
            return Vec::new();
        };
        let path = |target| format!("{controller}/channel@0/disk@{target:x},0");
        let targets = indices.iter().enumerate();
        targets.filter_map(|(target, index)| Some(((*index)?, path(target)))).collect()
    }

    /// Their DSDT entries.
    pub fn descriptions(&self) -> impl Iterator<Item = &dyn Aml> {
        self.devices().filter_map(Plugged::description)
    }

    /// Has KVM wake the threads itself when the guest notifies a queue, without a return to this
    /// process.
    pub fn connect(&self, vm: &VmFd) {
        self.devices().for_each(|device| device.connect(vm));
    }

    /// Starts the threads. Signals are blocked in them as in the caller. Whatever way the run ends,
    /// what is returned ends it for the disks.
    ///
    /// # Errors
    /// The host gives no thread.
    pub fn start(&self, notifier: &Notifier) -> io::Result<Running<'_>> {
        let running = Running(self);
        for (index, device) in self.devices().enumerate() {
            for (queue, wake) in (0..).zip(device.wakes()) {
                let state = Arc::clone(device.state());
                let serve = Box::new(move || state.serve(queue));
                self.start_thread(format!("disk{index}.{queue}"), serve, wake, notifier)?;
            }
        }
        for (serve, wake) in self.ahci.iter().flat_map(AhciController::services) {
            self.start_thread("sata".into(), serve, &wake, notifier)?;
        }
        Ok(running)
    }

    /// Starts a thread that serves a queue or port whenever it is woken.
    fn start_thread(
        &self,
        name: String,
        serve: Box<dyn Fn() -> bool + Send>,
        wake: &Arc<EventFd>,
        notifier: &Notifier,
    ) -> io::Result<()> {
        let server = Server {
            serve,
            wake: Arc::clone(wake),
            waiting: Arc::clone(&self.waiting),
            notifier: notifier.clone(),
            stop: Arc::clone(&self.stop),
        };
        let work = move || {
            server.run();
            Ok(())
        };
        let thread = threads::start(name, "a disk's thread", notifier, work)?;
        lock(&self.threads).push(thread);
        Ok(())
    }

    /// The reset of the machine, while no vCPU runs: returns once the requests in service are
    /// answered, and those that waited are given up.
    pub fn reset(&self) {
        self.devices().for_each(Plugged::reset);
        self.ahci.iter().for_each(AhciController::reset);
        self.wake();
    }

    /// Whether a disk waits until its backend can do a request: the guest is to pause until none
    /// does. The event loop is notified of changes ([`Notices::disks_waiting`]).
    ///
    /// [`Notices::disks_waiting`]: crate::host::notices::Notices::disks_waiting
    pub fn are_waiting(&self) -> bool {
        self.waiting.load(Ordering::SeqCst) > 0
    }

    fn wake(&self) {
        let ports = self.ahci.iter().flat_map(AhciController::wakes);
        for wake in self.devices().flat_map(Plugged::wakes).chain(ports) {
            let _ = wake.write(1);
        }
    }

    /// The end of the run: no request is in service any more, and everything written is durable.
    fn finish(&self) {
        self.stop.store(true, Ordering::SeqCst);
        self.reset();
        for thread in std::mem::take(&mut *lock(&self.threads)) {
            // One that has panicked has been reported.
            let _ = thread.join();
        }
        self.disks.iter().for_each(|disk| disk.disk.finish());
        self.ahci.iter().for_each(AhciController::finish);
    }
}

/// The disks while the guest runs. Once it is dropped no request is in service, and everything
/// written is durable.
#[derive(Debug)]
pub struct Running<'a>(&'a Disks);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.finish();
    }
}

/// What the thread of a queue or port does.
struct Server {
    /// Serves requests until there are none, and returns whether one is held.
    serve: Box<dyn Fn() -> bool + Send>,
    wake: Arc<EventFd>,
    waiting: Arc<AtomicUsize>,
    notifier: Notifier,
    stop: Arc<AtomicBool>,
}

impl Server {
    /// Serves requests whenever it is woken, and for as long as one is held now and then.
    fn run(&self) {
        let mut holds = false;
        while !self.stop.load(Ordering::SeqCst) {
            if holds {
                self.pause();
            }
            // It fails only when interrupted.
            if holds || self.wake.read().is_ok() {
                let held = std::mem::replace(&mut holds, (self.serve)());
                self.tell(held, holds);
            }
        }
    }

    /// Waits for a while, or for a notification.
    fn pause(&self) {
        let wait = || {
            let epoll = Epoll::new()?;
            let event = EpollEvent::new(EventSet::IN, 0);
            epoll.ctl(ControlOperation::Add, self.wake.as_raw_fd(), event)?;
            let milliseconds = i32::try_from(RETRY_AFTER.as_millis()).unwrap_or(i32::MAX);
            epoll.wait(milliseconds, &mut [EpollEvent::default()])
        };
        match wait() {
            Ok(0) => {}
            // Nobody else reads it, so this does not block.
            Ok(_) => drop(self.wake.read()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // Out of descriptors.
            Err(_) => std::thread::sleep(RETRY_AFTER),
        }
    }

    /// Has the event loop hear of a queue that begins to hold requests, or holds none any more.
    fn tell(&self, held: bool, holds: bool) {
        match (held, holds) {
            (false, true) => self.waiting.fetch_add(1, Ordering::SeqCst),
            (true, false) => self.waiting.fetch_sub(1, Ordering::SeqCst),
            _ => return,
        };
        self.notifier.note(|notices| notices.disks_waiting = true);
    }
}

#[cfg(test)]
mod tests {
    use std::ops::Range;
    use std::sync::atomic::AtomicUsize;

    use devices::disk::{BlockBackend, BlockEvent, DiskOptions, ErrorPolicy, OnError};
    use vm_memory::{GuestAddress, GuestMemoryMmap, VolatileSlice};

    use super::super::virtio::{Connections, check_room};
    use super::*;
    use crate::config::MachineKind;
    use crate::machine::irq::IrqChip;
    use crate::mmio_bus::MmioBus;
    use crate::tests::Guest;

    /// A disk that counts how often it is flushed.
    #[derive(Clone, Debug, Default)]
    struct Counting(Arc<AtomicUsize>);

    impl BlockBackend for Counting {
        fn len(&self) -> u64 {
            1 << 20
        }

        fn is_read_only(&self) -> bool {
            false
        }

        fn read(&self, _: &[VolatileSlice<'_>], _: u64) -> io::Result<()> {
            Ok(())
        }

        fn write(&self, _: &[VolatileSlice<'_>], _: u64) -> io::Result<()> {
            Ok(())
        }

        fn flush(&self) -> io::Result<()> {
            self.0.fetch_add(1, Ordering::SeqCst);
            Err(io::ErrorKind::StorageFull.into())
        }

        fn discard(&self, _: Range<u64>) -> io::Result<()> {
            Ok(())
        }

        fn write_zeroes(&self, _: Range<u64>, _: bool) -> io::Result<()> {
            Ok(())
        }
    }

    /// `count` disks that share a backend, and the number of errors they reported.
    fn disks(count: usize) -> (Result<Disks, StartError>, Counting, Arc<AtomicUsize>) {
        let (backend, errors) = (Counting::default(), Arc::<AtomicUsize>::default());
        let block = || {
            let errors = Arc::clone(&errors);
            let options = DiskOptions {
                serial: String::new(),
                write_cache: true,
                errors: ErrorPolicy { read: OnError::Report, write: OnError::Report },
                observer: Box::new(move |event| {
                    assert!(matches!(event, BlockEvent::Failed { .. }));
                    errors.fetch_add(1, Ordering::SeqCst);
                }),
            };
            Arc::new(Disk::new(Box::new(backend.clone()), options))
        };
        let blocks: Vec<_> = (0..count).map(|_| block()).collect();
        let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 0x1000)]).unwrap();
        let connections =
            Connections { memory, mmio_bus: MmioBus::default(), irq_chip: IrqChip::default() };
        let mut slots = Slots::new(connections, None);
        (Disks::new(&blocks, &mut slots), backend, errors)
    }

    #[test]
    fn every_way_out_of_a_run_flushes_each_disk_once_and_ends_its_thread() {
        let (disks, backend, errors) = disks(2);
        let disks = disks.unwrap();
        let running = disks.start(&Notifier::new().unwrap()).unwrap();
        assert_eq!(lock(&disks.threads).len(), 2);
        assert_eq!(backend.0.load(Ordering::SeqCst), 0);
        drop(running);
        assert!(lock(&disks.threads).is_empty());
        assert_eq!(backend.0.load(Ordering::SeqCst), 2);
        assert_eq!(errors.load(Ordering::SeqCst), 2, "what could not be flushed is reported");
    }

    #[test]
    fn disks_have_places_of_their_own() {
        let machine = disks(8).0.unwrap();
        let paths: Vec<_> = machine.paths().collect();
        assert_eq!(paths[0], "/virtio-mmio@00000000feb00000/disk@0,0");
        assert_eq!(paths[7], "/virtio-mmio@00000000feb00e00/disk@0,0");
        let error = disks(9).0.unwrap_err();
        assert_eq!(error.to_string(), "9 disks requested; -machine microvm has room for 8");
        let check = |machine, disks, others, cards| {
            check_room(machine, disks, others, cards).map_err(|error| error.to_string())
        };
        assert_eq!(check(MachineKind::Microvm, 9, 0, 0), Err(error.to_string()));
        assert_eq!(check(MachineKind::Microvm, 6, 1, 1), Ok(()));
        let too_many = "7 disks requested; -machine microvm has room for 6";
        assert_eq!(check(MachineKind::Microvm, 7, 0, 2), Err(too_many.into()));
        assert_eq!(check(MachineKind::Pc, 28, 0, 1), Ok(()));
        let no_room = Err("There is no room for another virtio device".into());
        assert_eq!(check(MachineKind::Pc, 28, 1, 1), no_room);
        assert_eq!(check(MachineKind::Pc, 0, 0, 30), no_room);
    }

    #[test]
    fn disks_and_cds_with_an_index_are_booted_by_their_paths() {
        let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 0x1000)]).unwrap();
        let connections =
            Connections { memory, mmio_bus: MmioBus::default(), irq_chip: IrqChip::default() };
        let mut slots = Slots::new(connections, None);
        assert_eq!(slots.machine(), MachineKind::Microvm);
        let block = || {
            let errors = ErrorPolicy { read: OnError::Report, write: OnError::Report };
            let options = DiskOptions {
                serial: String::new(),
                write_cache: true,
                errors,
                observer: Box::new(|_| ()),
            };
            Arc::new(Disk::new(Box::new(Counting::default()), options))
        };
        let disks = Disks::new(&[block(), block()], &mut slots).unwrap();
        let disks = disks.with_cd_drives(Some(&Arc::new(Scsi::new(vec![]))), &mut slots).unwrap();
        let place = |n: u64| format!("/virtio-mmio@{:016x}", 0xfeb0_0000 + n * 0x200);
        assert_eq!(
            disks.boot_paths(&[Some(3), None], &[None, Some(1)]),
            [
                (3, format!("{}/disk@0,0", place(0))),
                (1, format!("{}/channel@0/disk@1,0", place(2))),
            ]
        );
        assert_eq!(disks.boot_paths(&[], &[]), []);
        assert!(slots.into_board().is_none());
    }

    #[test]
    fn the_guest_pauses_while_any_queue_holds_a_request() {
        let disks = disks(1).0.unwrap();
        let notifier = Notifier::new().unwrap();
        let server = Server {
            serve: Box::new(|| false),
            wake: Arc::new(EventFd::new(0).unwrap()),
            waiting: Arc::clone(&disks.waiting),
            notifier: notifier.clone(),
            stop: Arc::clone(&disks.stop),
        };
        for (held, holds, waits, told) in [
            (false, false, false, false),
            (false, true, true, true),
            (true, true, true, false),
            (true, false, false, true),
        ] {
            server.tell(held, holds);
            assert_eq!(disks.are_waiting(), waits);
            assert_eq!(notifier.take().disks_waiting, told);
        }
        let pause = || {
            let start = std::time::Instant::now();
            server.pause();
            start.elapsed()
        };
        // A pause ends early if there is something new. On a busy machine, others may take the time.
        let ends_early = || {
            server.wake.write(1).unwrap();
            pause() < RETRY_AFTER
        };
        assert!((0..10).any(|_| ends_early()));
        assert!(pause() >= RETRY_AFTER, "it was taken");
    }

    #[test]
    fn a_reset_wakes_every_thread() {
        let disks = disks(2).0.unwrap();
        disks.reset();
        for wake in disks.devices().flat_map(Plugged::wakes) {
            assert_eq!(wake.read().unwrap(), 1);
        }
    }

    /// The notification of queue 0 is a write of 0 to the register at 0x50 (virtio 1.2, 4.2.2).
    #[test]
    fn kvm_wakes_the_thread_itself() {
        let Some(mut guest) = Guest::new(&[]) else { return };
        let disks = disks(1).0.unwrap();
        disks.connect(&guest.vm);
        let wake = &disks.disks[0].device.wakes()[0];
        guest.write(0xfeb0_0050, 0);
        wake.write(1).unwrap();
        assert_eq!(wake.read().unwrap(), 2, "one of them is the guest's");
    }
}
