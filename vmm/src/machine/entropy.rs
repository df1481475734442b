//! The guest's source of random numbers: a virtio-rng device, and the thread that serves it.

use std::fs::File;
use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use acpi_tables::Aml;
use devices::virtio::rng::{EntropySource, Rng};
use kvm_ioctls::VmFd;

use super::threads;
use super::virtio::{Plugged, Slots};
use crate::config::EntropyFile;
use crate::error::{HostError, StartError};
use crate::host::notices::Notifier;
use crate::lock::lock;

/// The host's random numbers. Reading them never waits for long (random(4)).
#[derive(Debug)]
struct HostEntropy(File);

impl EntropySource for HostEntropy {
    fn fill(&self, bytes: &mut [u8]) -> usize {
        (&self.0).read(bytes).unwrap_or(0)
    }
}

/// The device of the machine, if it has one. It lives as long as the process does.
#[derive(Debug, Default)]
pub struct Entropy {
    device: Option<Plugged>,
    stop: Arc<AtomicBool>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Entropy {
    /// Gives the device a place in the machine, if there is to be one.
    ///
    /// # Errors
    /// There is no place, or the host's file cannot be opened.
    pub fn new(file: Option<EntropyFile>, slots: &mut Slots) -> Result<Self, StartError> {
        let Some(file) = file else { return Ok(Self::default()) };
        let source = File::open(file.path());
        let source = source.map_err(|source| HostError { what: file.path(), source })?;
        let device = slots.plug(Arc::new(Rng::new(Box::new(HostEntropy(source)))))?;
        Ok(Self { device: Some(device), ..Self::default() })
    }

    /// Its DSDT entry, if it has one.
    pub fn description(&self) -> Option<&dyn Aml> {
        self.device.as_ref()?.description()
    }

    /// Has KVM wake the thread itself when the guest asks for numbers.
    pub fn connect(&self, vm: &VmFd) {
        self.device.iter().for_each(|device| device.connect(vm));
    }

    /// Starts the thread. Dropping what is returned ends it.
    ///
    /// # Errors
    /// The host gives no thread.
    pub fn start(&self, notifier: &Notifier) -> io::Result<Running<'_>> {
        let running = Running(self);
        if let Some(device) = &self.device
            && let [wake] = device.wakes()
        {
            let (state, wake) = (Arc::clone(device.state()), Arc::clone(wake));
            let stop = Arc::clone(&self.stop);
            let serve = move || {
                while wake.read().is_err() || !stop.load(Ordering::SeqCst) {
                    state.serve(0);
                }
                Ok(())
            };
            let what = "the random number generator's thread";
            let thread = threads::start("rng".into(), what, notifier, serve)?;
            *lock(&self.thread) = Some(thread);
        }
        Ok(running)
    }

    /// The reset of the machine, while no vCPU runs.
    pub fn reset(&self) {
        self.device.iter().for_each(Plugged::reset);
    }
}

/// The device while the guest runs.
#[derive(Debug)]
pub struct Running<'a>(&'a Entropy);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.stop.store(true, Ordering::SeqCst);
        for wake in self.0.device.iter().flat_map(Plugged::wakes) {
            let _ = wake.write(1);
        }
        if let Some(thread) = lock(&self.0.thread).take() {
            // One that has panicked has been reported.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use vm_memory::{GuestAddress, GuestMemoryMmap};

    use super::super::virtio::Connections;
    use super::*;
    use crate::machine::irq::IrqChip;
    use crate::mmio_bus::MmioBus;
    use crate::tests::Guest;

    #[test]
    fn numbers_come_from_the_host() {
        let source = HostEntropy(File::open("/dev/urandom").unwrap());
        let mut bytes = [[0; 32]; 2];
        for bytes in &mut bytes {
            assert_eq!(source.fill(bytes), 32);
        }
        assert_ne!(bytes[0], bytes[1]);
        let empty = HostEntropy(File::open("/dev/null").unwrap());
        assert_eq!(empty.fill(&mut bytes[0]), 0);
    }

    /// The notification of queue 0 is a write of 0 to the register at 0x50 (virtio 1.2, 4.2.2).
    #[test]
    fn kvm_wakes_the_thread_itself() {
        let Some(mut guest) = Guest::new(&[]) else { return };
        let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 0x1000)]).unwrap();
        let connections =
            Connections { memory, mmio_bus: MmioBus::default(), irq_chip: IrqChip::default() };
        let entropy =
            Entropy::new(Some(EntropyFile::Urandom), &mut Slots::new(connections, None)).unwrap();
        entropy.connect(&guest.vm);
        let wake = &entropy.device.as_ref().unwrap().wakes()[0];
        guest.write(0xfeb0_0050, 0);
        wake.write(1).unwrap();
        assert_eq!(wake.read().unwrap(), 2, "one of them is the guest's");
    }

    #[test]
    fn the_thread_ends_with_the_run() {
        let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 0x1000)]).unwrap();
        let connections =
            Connections { memory, mmio_bus: MmioBus::default(), irq_chip: IrqChip::default() };
        let entropy =
            Entropy::new(Some(EntropyFile::Random), &mut Slots::new(connections, None)).unwrap();
        let running = entropy.start(&Notifier::new().unwrap()).unwrap();
        assert!(lock(&entropy.thread).is_some());
        drop(running);
        assert!(lock(&entropy.thread).is_none());
    }
}
