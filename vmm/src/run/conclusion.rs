//! The end of a run: the record, the core dump, and what is left to write out.

use std::io;

use super::Vm;
use super::record::{Ended, RunRecord};
use crate::core_dump::{self, Written};
use crate::kvm::vcpu::Vcpu;
use crate::machine::Devices;
use crate::outcome::Outcome;

impl Vm<'_> {
    /// Adds what these vCPUs did, which will not run again, and those that have ended to the
    /// record, if it is wanted.
    pub(super) fn record(&self, record: &mut RunRecord, vcpus: &mut Vec<Vcpu>) {
        let ended = self.notifier.take_ended_cpus();
        if self.config.record_exits {
            record.add_boot(ended.into_iter().chain(vcpus.iter_mut().map(Vcpu::examine)));
        } else {
            record.add_boot([]);
        }
        vcpus.clear();
    }

    /// Writes out what is left and lets go of everything: the next guest of this process may want
    /// the same disks, and as much memory.
    pub(super) fn conclude(
        &self,
        outcome: Outcome,
        mut record: RunRecord,
        mut vcpus: Vec<Vcpu>,
        devices: &Devices,
    ) -> Ended {
        let core = self.write_core(&outcome, &vcpus);
        self.record(&mut record, &mut vcpus);
        record.end();
        devices.flash.finish();
        self.ram.engine().release();
        match outcome {
            Outcome::Signal(_) | Outcome::Quit | Outcome::MonitorQuit | Outcome::Killed => {}
            // The guest may be about to print without end.
            Outcome::TimeOut(_) | Outcome::Silence(_) => devices.flush(),
            _ => devices.write_rest(),
        }
        devices.finish_trace();
        devices.bus.clear_mmio();
        devices.coalesced.iter().for_each(|coalesced| coalesced.disconnect());
        if let (Some(exits), Some(coalesced)) = (&mut record.exits, &devices.coalesced) {
            exits.coalesced_writes = coalesced.count();
        }
        record.cards = devices.cards.counts();
        record.has_printed = self.notifier.last_heard().is_some();
        let is_mute = self.config.has_console() && !record.has_printed;
        Ended { outcome: if is_mute { outcome.mute() } else { outcome }, record, core }
    }

    /// Writes the core dump, if it is wanted and the run has ended badly.
    pub(super) fn write_core(
        &self,
        outcome: &Outcome,
        vcpus: &[Vcpu],
    ) -> Option<io::Result<Written>> {
        let file = self.core_file.as_ref().filter(|_| outcome.leaves_core())?;
        let mut cpus = self.notifier.take_ended_registers();
        cpus.extend(vcpus.iter().filter_map(Vcpu::core_registers));
        cpus.sort_by_key(|registers| registers.cpu);
        Some(core_dump::write(file, self.ram.memory(), &cpus))
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;
    use crate::config::{CharBackend, CharFile, MachineKind, VmConfig};
    use crate::outcome::CpuSnapshot;
    use crate::tests::{Scratch, config, kernel, machine};

    #[test]
    fn what_is_known_of_a_run_is_told_at_its_end() {
        let core = Scratch::new(b"");
        let triple_fault = || Outcome::TripleFault(Box::<CpuSnapshot>::default());
        for (outcome, record_exits, is_heard, ended) in [
            (Outcome::PowerOff, true, true, Outcome::PowerOff),
            (Outcome::PowerOff, false, false, Outcome::PowerOff.mute()),
            (triple_fault(), true, false, triple_fault()),
        ] {
            let serial = [Some(CharBackend::Pty.into()), None, None, None];
            let config =
                VmConfig { record_exits, serial: serial.clone(), ..config(MachineKind::Microvm) };
            let file = File::options().read(true).write(true).open(&core.0).unwrap();
            let Some(vm) =
                crate::tests::on_kvm(Vm::new(&config, Some(kernel(true, "")), Vec::new()))
            else {
                return;
            };
            let vm = vm.with_core_file(Some(file));
            let machine = machine(MachineKind::Microvm, |config| config.serial = serial);
            let devices = machine.devices();
            let vcpus = vm.create_vcpus(&devices).unwrap();
            if is_heard {
                vm.notifier.hear();
            }
            let leaves_core = outcome.leaves_core();
            let told = vm.conclude(outcome, RunRecord::new(), vcpus, &devices);
            assert_eq!(told.outcome, ended);
            assert_eq!((told.record.boots, told.record.has_printed), (1, is_heard));
            assert_eq!(told.record.cpus.len(), usize::from(record_exits));
            assert_eq!(told.core.is_some_and(|written| written.is_ok()), leaves_core);
            assert!(devices.coalesced.is_none());
        }
        assert!(std::fs::read(&core.0).unwrap().starts_with(b"\x7fELF"));
    }

    /// A run that is ended from outside waits for no reader of its output.
    #[test]
    fn what_the_guest_has_printed_last_is_written_unless_the_run_was_ended() {
        for (outcome, expected) in [(Outcome::PowerOff, &b"A"[..]), (Outcome::Quit, b"")] {
            let file = Scratch::new(b"");
            let path = file.0.clone();
            let config = config(MachineKind::Microvm);
            let Some(vm) =
                crate::tests::on_kvm(Vm::new(&config, Some(kernel(true, "")), Vec::new()))
            else {
                return;
            };
            let devices = machine(MachineKind::Microvm, |config| {
                let file = CharBackend::File(CharFile { path, append: false });
                config.serial[0] = Some(file.into());
            })
            .devices();
            devices.bus.write(0x3f8, 1, b"A");
            vm.conclude(outcome, RunRecord::new(), Vec::new(), &devices);
            assert_eq!(std::fs::read(&file.0).unwrap(), expected);
        }
    }
}
