//! The guest's disks: virtio-blk devices on virtio-mmio, and a thread for each that serves its
//! queue.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{Builder, JoinHandle};

use devices::virtio::block::Block;
use devices::virtio::device::{QueueNotifier, VirtioDevice};
use devices::virtio::mmio::{QUEUE_NOTIFY, SIZE, VirtioMmio, VirtioMmioDescription};
use devices::virtio::state::VirtioState;
use firmware::layout;
use kvm_ioctls::{IoEventAddress, VmFd};
use vm_memory::GuestMemoryMmap;
use vmm_sys_util::eventfd::EventFd;

use super::irq::IrqChip;
use crate::error::{DeviceError, HostError, StartError};
use crate::host::notices::Notifier;
use crate::lock::lock;
use crate::outcome::Outcome;

/// The first interrupt: an I/O APIC pin that no ISA device has. QEMU's microvm uses the same eight.
const FIRST_GSI: u8 = 16;
/// How many disks there can be: one interrupt each.
pub const MAX_DISKS: usize = 8;

/// Wakes the thread that serves the device's queue, where KVM has not done so itself.
#[derive(Debug)]
struct Wake(Arc<EventFd>);

impl QueueNotifier for Wake {
    fn notify(&self, _: u16) {
        // A full counter means that the thread has been woken already.
        let _ = self.0.write(1);
    }
}

/// A disk of the machine.
#[derive(Debug)]
struct Disk {
    block: Arc<Block>,
    mmio: Arc<Mutex<VirtioMmio>>,
    description: VirtioMmioDescription,
    wake: Arc<EventFd>,
}

/// The disks of the machine. They live as long as the process; a reset of the machine resets them.
#[derive(Debug, Default)]
pub struct Disks {
    disks: Vec<Disk>,
    stop: Arc<AtomicBool>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Disks {
    /// Gives each disk its registers and its interrupt.
    ///
    /// # Errors
    /// There are more than [`MAX_DISKS`], or the host is out of descriptors.
    pub fn new(
        blocks: &[Arc<Block>],
        memory: &GuestMemoryMmap,
        irq_chip: &IrqChip,
    ) -> Result<Self, StartError> {
        if blocks.len() > MAX_DISKS {
            let (wanted, limit) = (blocks.len(), MAX_DISKS);
            return Err(DeviceError::TooManyDisks { wanted, limit }.into());
        }
        let mut disks = Vec::new();
        for (index, block) in (0..).zip(blocks) {
            let wake = Arc::new(EventFd::new(0).map_err(HostError::descriptors)?);
            let gsi = FIRST_GSI + index;
            let device: Arc<dyn VirtioDevice> = Arc::<Block>::clone(block);
            let notifier = Box::new(Wake(Arc::clone(&wake)));
            let mmio = VirtioMmio::new(device, memory.clone(), irq_chip.line(gsi), notifier);
            let base = layout::VIRTIO_MMIO + SIZE * u32::from(index);
            disks.push(Disk {
                block: Arc::clone(block),
                mmio: Arc::new(Mutex::new(mmio)),
                description: VirtioMmioDescription { index, base, gsi: gsi.into() },
                wake,
            });
        }
        Ok(Self { disks, ..Self::default() })
    }

    /// Where their registers are, and what answers there: guest-physical address and device,
    /// [`SIZE`] bytes each.
    pub fn registers(&self) -> impl Iterator<Item = (u64, Arc<Mutex<VirtioMmio>>)> {
        self.disks.iter().map(|disk| (disk.description.base.into(), Arc::clone(&disk.mmio)))
    }

    /// The disks to boot from: those with a boot index in `indices`, which has one entry for each
    /// disk, and the paths by which SeaBIOS knows them (`bootprio_find_mmio_device`, src/boot.c).
    pub fn boot_paths(&self, indices: &[Option<u32>]) -> Vec<(u32, String)> {
        let paths = self.disks.iter().map(|disk| {
            let base = u64::from(disk.description.base);
            format!("/virtio-mmio@{base:016x}/disk@0,0")
        });
        indices.iter().zip(paths).filter_map(|(index, path)| Some(((*index)?, path))).collect()
    }

    /// Their DSDT entries.
    pub fn descriptions(&self) -> impl Iterator<Item = &VirtioMmioDescription> {
        self.disks.iter().map(|disk| &disk.description)
    }

    /// Has KVM wake the threads itself when the guest notifies a queue, without a return to this
    /// process.
    pub fn connect(&self, vm: &VmFd) {
        for disk in &self.disks {
            let at = IoEventAddress::Mmio(u64::from(disk.description.base) + QUEUE_NOTIFY);
            // The registers take the notification where KVM does not.
            let _ = vm.register_ioevent(&disk.wake, &at, 0u32);
        }
    }

    /// Starts the threads. Signals are blocked in them as in the caller. Whatever way the run ends,
    /// what is returned ends it for the disks.
    ///
    /// # Errors
    /// The host gives no thread.
    pub fn start(&self, notifier: &Notifier) -> io::Result<Running<'_>> {
        let running = Running(self);
        for (index, disk) in self.disks.iter().enumerate() {
            let state = Arc::clone(lock(&disk.mmio).state());
            let (wake, stop) = (Arc::clone(&disk.wake), Arc::clone(&self.stop));
            let notifier = notifier.clone();
            let thread = Builder::new().name(format!("disk{index}")).spawn(move || {
                // A panic in here is a defect of chukka's, and the guest would wait for ever.
                if catch_unwind(AssertUnwindSafe(|| serve(&state, &wake, &stop))).is_err() {
                    let ended = Outcome::Defect("a disk's thread");
                    notifier.note(|n| n.ended = n.ended.take().or(Some(ended)));
                }
            })?;
            lock(&self.threads).push(thread);
        }
        Ok(running)
    }

    /// The reset of the machine, while no vCPU runs: returns once the requests in service are
    /// answered.
    pub fn reset(&self) {
        self.disks.iter().for_each(|disk| lock(&disk.mmio).reset());
    }

    /// The end of the run: no request is in service any more, and everything written is durable.
    fn finish(&self) {
        self.reset();
        self.stop.store(true, Ordering::SeqCst);
        for disk in &self.disks {
            let _ = disk.wake.write(1);
        }
        for thread in std::mem::take(&mut *lock(&self.threads)) {
            // One that has panicked has been reported.
            let _ = thread.join();
        }
        self.disks.iter().for_each(|disk| disk.block.flush());
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

/// Serves the queue whenever it is notified.
fn serve(state: &VirtioState, wake: &EventFd, stop: &AtomicBool) {
    while !stop.load(Ordering::SeqCst) {
        // It fails only when interrupted.
        if wake.read().is_ok() {
            state.serve(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::ops::Range;
    use std::sync::atomic::AtomicUsize;

    use devices::virtio::block::{BlockBackend, BlockOptions};
    use vm_memory::{GuestAddress, VolatileSlice};

    use super::*;

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
            let options = BlockOptions {
                serial: String::new(),
                queues: 1,
                write_cache: true,
                on_error: Box::new(move |_, _| {
                    errors.fetch_add(1, Ordering::SeqCst);
                }),
            };
            Arc::new(Block::new(Box::new(backend.clone()), options))
        };
        let blocks: Vec<_> = (0..count).map(|_| block()).collect();
        let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 0x1000)]).unwrap();
        (Disks::new(&blocks, &memory, &IrqChip::default()), backend, errors)
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
    fn disks_have_registers_and_interrupts_of_their_own() {
        let machine = disks(MAX_DISKS).0.unwrap();
        let places: Vec<_> = machine.descriptions().map(|disk| (disk.base, disk.gsi)).collect();
        assert_eq!((places[0], places[7]), ((0xfeb0_0000, 16), (0xfeb0_0e00, 23)));
        let error = disks(MAX_DISKS + 1).0.unwrap_err();
        assert_eq!(error.to_string(), "9 disks requested; there can be at most 8");
    }
}
