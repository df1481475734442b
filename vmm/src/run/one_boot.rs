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

#[cfg(test)]
mod tests {
    use kvm_bindings::{Msrs, kvm_msr_entry};

    use super::*;
    use crate::config::{EntropyFile, MachineKind, VmConfig};
    use crate::host::signals;
    use crate::outcome::Outcome;
    use crate::tests::{builtin, config, kernel, machine};

    /// The built-in firmware runs on CPU 0 only; without firmware, there is none for any.
    #[test]
    fn cpus_that_no_firmware_readies_have_their_mtrrs() {
        for (firmware, ready) in [(None, [true, true]), (Some(builtin()), [false, true])] {
            let config = VmConfig { firmware, cpus: 2, ..config(MachineKind::Microvm) };
            let boot = config.firmware.is_none().then(|| kernel(true, ""));
            let Some(vm) = crate::tests::on_kvm(Vm::new(&config, boot, Vec::new())) else { return };
            let devices = machine(MachineKind::Microvm, |_| ()).devices();
            let vcpus = vm.create_vcpus(&devices).unwrap();
            let has_mtrrs = |vcpu: &Vcpu| {
                let entry = kvm_msr_entry { index: 0x2ff, ..Default::default() };
                let mut msrs = Msrs::from_entries(&[entry]).unwrap();
                assert_eq!(vcpu.fd.get_msrs(&mut msrs).unwrap(), 1);
                msrs.as_slice()[0].data == 0x806
            };
            assert_eq!(vcpus.iter().map(has_mtrrs).collect::<Vec<_>>(), ready);
            assert!(vcpus.iter().all(|vcpu| vcpu.log.is_none() && !vcpu.debug.possible));
            assert!(devices.irq_chip.vm().is_some());
        }
    }

    #[test]
    fn a_reset_is_one_of_all_devices() {
        const STATUS: u64 = 0xfeb0_0070;
        let machine =
            machine(MachineKind::Microvm, |config| config.rng = Some(EntropyFile::Urandom));
        let devices = Arc::new(machine.devices());
        signals::prepare_kick().unwrap();
        let flusher = Flusher::start(Arc::clone(&devices)).unwrap();
        devices.bus.mmio_write(STATUS, &1u32.to_le_bytes());
        reset(&devices, &flusher);
        let mut status = [0xff; 4];
        devices.bus.mmio_read(STATUS, &mut status);
        assert_eq!(status, [0; 4]);
    }

    #[test]
    fn another_thread_can_end_the_run() {
        let config = config(MachineKind::Microvm);
        let Some(vm) =
            crate::tests::on_kvm(Vm::new(&config, Some(kernel(true, "noapic")), Vec::new()))
        else {
            return;
        };
        assert!(vm.warnings()[0].starts_with("'noapic' is on the kernel's command line"));
        let remote = vm.remote();
        remote.press_power_button();
        assert!(vm.notifier.take().power_button);
        remote.quit();
        assert_eq!(vm.notifier.take().ended, Some(Outcome::Quit));
    }
}
