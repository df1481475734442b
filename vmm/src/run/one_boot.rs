//! One boot of the guest: a VM, its vCPUs, and the guest's files in memory. A reboot takes the same
//! path with the same memory and devices.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use firmware::BootState;
use guest_memory::Leases;

use super::Vm;
use super::flusher::Flusher;
use crate::error::StartError;
use crate::kvm::coalesced::CoalescedWrites;
use crate::kvm::vcpu::{self, Vcpu};
use crate::kvm::{self, KvmError, vcpu_state};
use crate::machine::Devices;
use crate::timeline::Timeline;

impl Vm<'_> {
    /// Creates a VM and loads the guest into memory: everything before the first instruction.
    pub(super) fn boot_guest(&self, devices: &Devices) -> Result<Vec<Vcpu>, StartError> {
        self.notifier.timeline().into_iter().for_each(Timeline::reset);
        // Read the files while KVM waits for grace periods of the host's kernel.
        let (state, vcpus) = thread::scope(|scope| {
            let load = || self.boot.load(&self.ram, &self.map, &devices.acpi, &self.smbios);
            let loading = scope.spawn(load);
            let vcpus = self.create_vcpus(devices);
            (loading.join(), vcpus)
        });
        let state: BootState = state.map_err(|_| StartError::Defect("loading the kernel"))??;
        let vcpus = vcpus?;
        if let Some(boot_cpu) = vcpus.first() {
            vcpu_state::apply(&boot_cpu.fd, &state)?;
        }
        Ok(vcpus)
    }

    pub(super) fn create_vcpus(&self, devices: &Devices) -> Result<Vec<Vcpu>, KvmError> {
        let coalesced = devices.coalesced.as_deref();
        coalesced.into_iter().for_each(CoalescedWrites::disconnect);
        let ports = coalesced.map(CoalescedWrites::ports).unwrap_or_default();
        let (roms, lost_ticks) = (self.boot.roms(), self.config.lost_ticks);
        let vm = kvm::create_vm(&self.kvm, &self.ram, roms, lost_ticks, ports)?;
        let vcpus: Vec<_> = (0..self.config.cpus)
            .map(|cpu| {
                let fd = vm.create_vcpu(cpu.into()).map_err(KvmError::ioctl("KVM_CREATE_VCPU"))?;
                vcpu_state::configure(&fd, cpu, &self.cpuid)?;
                if !self.boot.firmware_readies(cpu) {
                    vcpu_state::stand_in_for_firmware(&fd)?;
                }
                let (bus, ram, stop) =
                    (Arc::clone(&devices.bus), Arc::clone(&self.ram), Arc::clone(&self.stop));
                let notifier = self.notifier.clone();
                let log = self.config.records_exits().then(Box::default);
                let debug =
                    vcpu::Debug { possible: self.config.gdb.is_some(), ..Default::default() };
                let coalesced = devices.coalesced.clone();
                Ok(Vcpu { cpu, fd, coalesced, bus, ram, stop, notifier, log, debug })
            })
            .collect::<Result<_, KvmError>>()?;
        devices.disks.connect(&vm);
        devices.cards.connect(&vm);
        devices.entropy.connect(&vm);
        devices.virtio_serials.connect(&vm);
        let vm = Arc::new(vm);
        if let (Some(coalesced), Some(first)) = (coalesced, vcpus.first()) {
            coalesced.connect(&vm, &first.fd);
        }
        devices.flash.connect(Arc::clone(&vm));
        devices.irq_chip.connect(vm);
        Ok(vcpus)
    }

    /// Boots the guest again after it has reset the machine. Its vCPUs are gone.
    pub(super) fn reboot(
        &self,
        devices: &Devices,
        flusher: &Flusher,
    ) -> Result<Vec<Vcpu>, StartError> {
        self.ram.engine().detach(Leases::Wanted);
        reset(devices, flusher);
        self.notifier.start_over();
        self.boot_guest(devices)
    }
}

/// Resets the devices. The flusher may be blocked in a write until someone reads, and only this
/// thread receives the event to give up.
fn reset(devices: &Devices, flusher: &Flusher) {
    while !devices.try_reset() {
        flusher.kick();
        thread::sleep(Duration::from_micros(200));
    }
}
