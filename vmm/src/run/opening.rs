//! What a run opens before the guest starts: the sandbox, gdb's server, the monitors, the terminal;
//! and what its parts are told of the configuration.

use super::Vm;
use super::event_loop::Policy;
use super::message::Message;
use crate::config::{InterruptKey, VmConfig};
use crate::error::{HostError, StartError};
use crate::gdb::Debugger;
use crate::host::input::Input;
use crate::host::terminal::{Keys, Terminal};
use crate::kvm::{self, coalesced};
use crate::machine::Devices;
use crate::machine::parts::Parts;
use crate::memory::peek::Slots;
use crate::monitor::Monitors;
use crate::sandbox::{Confined, HostUser, Sandbox};

impl Vm<'_> {
    /// The inputs from which the machine is built.
    pub(super) fn parts(&self) -> Parts<'_> {
        Parts {
            config: self.config,
            map: &self.map,
            ram: &self.ram,
            boot: &self.boot,
            smbios: &self.smbios,
            disks: &self.disks,
            cd_drives: self.cd_drives.as_ref(),
            ahci: self.ahci.as_deref(),
            cards: &self.cards,
            coalesce: self.config.coalesced_console && coalesced::is_supported(&self.kvm),
            notifier: &self.notifier,
            stopping: &self.stop,
        }
    }

    /// Confines the process. Has to come before its first thread, which inherits what this one has
    /// given up.
    pub(super) fn enter_sandbox(&self, tell: &mut impl FnMut(&Message)) -> Result<(), HostError> {
        self.user.as_ref().map(HostUser::enter).transpose()?;
        let confined = self.sandbox.as_ref().map(Sandbox::enter).transpose()?;
        if confined == Some(Confined::WithoutLandlock) {
            tell(&Message::NoLandlock);
        }
        Ok(())
    }

    /// The events that end the run.
    pub(super) fn policy(&self) -> Policy {
        // A guest that waits to be started prints nothing, and that needs no explanation.
        let held = self.config.starts_paused || self.config.gdb.as_ref().is_some_and(|g| g.hold);
        Policy {
            on_reset: self.config.on_reset,
            on_panic: self.config.on_panic,
            on_watchdog: self.config.on_watchdog,
            expects_crash_kernel: self.boot.reserves_crash_kernel(),
            limits: self.config.limits,
            advice: self.advice.clone().filter(|_| !held),
            warning: self.warning.clone(),
        }
    }

    /// Opens the server for gdb, if there is to be one.
    pub(super) fn open_debugger(&self) -> Result<Option<Debugger>, StartError> {
        let Some(config) = &self.config.gdb else { return Ok(None) };
        let supported = kvm::debug_flags(&self.kvm)?;
        let roms = self.boot.roms().map(|rom| rom.slot()).collect();
        let memory = Slots { ram: self.ram.slots().collect(), rom: roms };
        Debugger::listen(config, memory, supported).map(Some).map_err(StartError::gdb(config))
    }

    /// Opens the monitors, if there are to be any.
    pub(super) fn open_monitors(&self) -> Result<Option<Monitors>, StartError> {
        let VmConfig { monitors, name, starts_paused, .. } = self.config;
        Monitors::open(monitors, name.as_deref(), *starts_paused).map_err(StartError::monitor)
    }

    /// Opens standard input and the terminal if a serial port uses them.
    pub(super) fn open_terminal(
        &self,
        devices: &Devices,
    ) -> Result<(Option<Input>, Option<Terminal>), StartError> {
        if !devices.has_terminal() {
            return Ok((None, None));
        }
        let keys = match self.config.terminal.interrupt {
            InterruptKey::EndsChukka => Keys::Signals,
            InterruptKey::GoesToGuest => Keys::ToGuest,
        };
        let terminal = Terminal::acquire(keys);
        let input = Input::open().map_err(HostError::descriptors)?;
        if input.is_terminal && terminal.is_none() {
            return Ok((None, None)); // in the background: the terminal is somebody else's
        }
        if !input.is_terminal {
            devices.await_listener();
        }
        Ok((Some(input), terminal))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{GdbConfig, MachineKind, SocketAddress};
    use crate::tests::{config, kernel};

    #[test]
    fn advice_is_for_a_guest_that_runs_at_once() {
        let gdb = |hold| Some(GdbConfig { address: SocketAddress::Unix("gdb".into()), hold });
        for (starts_paused, gdb, has_advice) in [
            (false, None, true),
            (false, gdb(false), true),
            (false, gdb(true), false),
            (true, None, false),
            (true, gdb(false), false),
        ] {
            let config = VmConfig { starts_paused, gdb, ..config(MachineKind::Microvm) };
            let kernel = kernel(true, "crashkernel=64M");
            let Some(vm) = crate::tests::on_kvm(Vm::new(&config, Some(kernel), Vec::new())) else {
                return;
            };
            let vm = vm.with_advice(Some("advice".into())).with_warning(Some("warning".into()));
            let policy = vm.policy();
            assert_eq!(policy.advice.is_some(), has_advice, "{:?}", config.gdb);
            assert_eq!(policy.warning.as_deref(), Some("warning"));
            assert!(policy.expects_crash_kernel);
        }
    }

    #[test]
    fn writes_to_consoles_are_collected_if_the_user_allows_it() {
        for coalesced_console in [false, true] {
            let config = VmConfig { coalesced_console, ..config(MachineKind::Microvm) };
            let Some(vm) =
                crate::tests::on_kvm(Vm::new(&config, Some(kernel(true, "")), Vec::new()))
            else {
                return;
            };
            let expected = coalesced_console && coalesced::is_supported(&vm.kvm);
            assert_eq!(vm.parts().coalesce, expected);
        }
    }
}
