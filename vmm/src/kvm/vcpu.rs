//! A vCPU thread: run the vCPU, handle the exit, repeat.
#![expect(
    unsafe_code,
    reason = "the width of a port access is in a union of struct kvm_run that kvm-ioctls does not show"
)]

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use kvm_bindings::{
    KVM_SYSTEM_EVENT_CRASH, KVM_SYSTEM_EVENT_RESET, KVM_SYSTEM_EVENT_SHUTDOWN, kvm_debug_exit_arch,
};
use kvm_ioctls::{VcpuExit, VcpuFd};
use vm_memory::{GuestAddress, GuestMemoryBackend};

use crate::bus::Bus;
use crate::host::notices::Notifier;
use crate::kvm::coalesced::CoalescedWrites;
use crate::kvm::exit_log::{Access, ExitLog};
use crate::kvm::snapshot;
use crate::memory::Ram;
use crate::outcome::{CpuSnapshot, Outcome};
use crate::timeline::Timeline;

/// A vCPU and the resources its thread needs.
#[derive(Debug)]
pub struct Vcpu {
    /// Its number, from 0.
    pub cpu: u8,
    /// The vCPU.
    pub fd: VcpuFd,
    /// The port bus.
    pub bus: Arc<Bus>,
    /// Writes to console ports for which KVM does not leave the guest.
    pub coalesced: Option<Arc<CoalescedWrites>>,
    /// Guest memory, used to read instructions.
    pub ram: Arc<Ram>,
    /// Set when the machine stops.
    pub stop: Arc<AtomicBool>,
    /// Reports when the guest has powered off or reset the machine, after which it must not execute
    /// anything.
    pub notifier: Notifier,
    /// Records the vCPU's exits, for a report on a guest that hangs.
    pub log: Option<Box<ExitLog>>,
    /// For a debugger.
    pub debug: Debug,
}

/// What a debugger wants of a vCPU, and why the vCPU has left the guest for it.
#[derive(Debug, Default)]
pub struct Debug {
    /// There may be a debugger: a stopped vCPU has finished its last instruction.
    pub possible: bool,
    /// The vCPU stays stopped when the others run.
    pub held: bool,
    /// What KVM_EXIT_DEBUG told, until the debugger takes it.
    pub exit: Option<kvm_debug_exit_arch>,
}

/// Why a vCPU stopped.
enum Ended {
    /// The machine is being stopped.
    Stopped,
    /// For the debugger.
    Debug,
    TripleFault,
    PowerOff,
    Reset,
    Kvm(String),
}

impl Vcpu {
    /// Has the guest hear that it was paused, so that its watchdogs do not take the time for a hang
    /// (KVM_KVMCLOCK_CTRL). A guest without kvmclock cannot hear of it.
    pub fn was_paused(&self) {
        let _ = self.fd.kvmclock_ctrl();
    }

    /// Runs until the machine stops. Returns `None` if the vCPU was told to stop and can run again;
    /// otherwise returns why it ended the run.
    pub fn run(&mut self) -> Option<Outcome> {
        // Two loops, so that a vCPU without a log pays nothing for it.
        let ended = match self.log.take() {
            None => self.run_loop(|_| {}, false),
            Some(mut log) => {
                let timeline = self.notifier.timeline().cloned();
                timeline.iter().for_each(Timeline::run);
                let record = |access| {
                    log.record(access);
                    timeline.iter().for_each(|timeline| timeline.exit(access));
                };
                let ended = self.run_loop(record, false);
                self.log = Some(log);
                ended
            }
        };
        let ended = match ended {
            Ended::Stopped if self.debug.possible => self.finish_instruction(),
            ended => ended,
        };
        let mut snapshot =
            || -> Box<CpuSnapshot> { Box::new(snapshot::take(&mut self.fd, self.cpu, &self.ram)) };
        match ended {
            Ended::Stopped => None,
            Ended::Debug => {
                self.notifier.note(|n| n.debug = true);
                None
            }
            Ended::PowerOff => Some(Outcome::PowerOff),
            Ended::Reset => Some(Outcome::Reset),
            Ended::TripleFault => Some(Outcome::TripleFault(snapshot::unless_reset(snapshot()))),
            Ended::Kvm(what) => Some(
                Outcome::file_cut(self.ram.engine())
                    .unwrap_or_else(|| Outcome::Kvm { what, cpu: snapshot() }),
            ),
        }
    }

    /// Finishes an instruction that has left the guest, such as IN: KVM writes its result to the
    /// registers when it enters the guest the next time.
    fn finish_instruction(&mut self) -> Ended {
        self.fd.set_kvm_immediate_exit(1);
        let ended = self.run_loop(|_| {}, true);
        self.fd.set_kvm_immediate_exit(0);
        ended
    }

    /// Runs until the machine stops or, with `once`, until KVM_RUN is interrupted.
    #[inline(always)]
    fn run_loop(&mut self, mut note: impl FnMut(Access), once: bool) -> Ended {
        let kvm_run = std::ptr::from_ref(self.fd.get_kvm_run());
        // SAFETY: `kvm_run` is the vCPU's shared page, mapped as long as `self.fd` lives. It is
        // read only after a port exit, when `io` is the active union member, and KVM writes it only
        // inside KVM_RUN.
        let width = || unsafe { usize::from((*kvm_run).__bindgen_anon_1.io.size) };
        while once || !self.stop.load(Ordering::Acquire) && !self.notifier.is_exiting() {
            let exit = self.fd.run();
            if let Some(coalesced) = &self.coalesced {
                let port = match exit {
                    Ok(VcpuExit::IoOut(port, _) | VcpuExit::IoIn(port, _)) => Some(port),
                    _ => None,
                };
                coalesced.before_exit(port, &self.bus, |port| note(Access::CoalescedWrite(port)));
            }
            match exit {
                Ok(VcpuExit::IoOut(port, data)) => {
                    note(Access::PortWrite(port));
                    self.bus.write(port, width(), data);
                }
                Ok(VcpuExit::IoIn(port, data)) => {
                    note(Access::PortRead(port));
                    self.bus.read(port, width(), data);
                }
                // When KVM emulates an instruction, it treats unreadable memory, such as the page
                // of a truncated file, as MMIO.
                Ok(VcpuExit::MmioRead(at, _) | VcpuExit::MmioWrite(at, _))
                    if self.ram.memory().address_in_range(GuestAddress(at)) =>
                {
                    return Ended::Kvm(format!("guest memory at {at:#x} cannot be accessed"));
                }
                Ok(VcpuExit::MmioRead(at, data)) => {
                    note(Access::MemoryRead(at));
                    self.bus.mmio_read(at, data);
                }
                Ok(VcpuExit::MmioWrite(at, data)) => {
                    note(Access::MemoryWrite(at));
                    self.bus.mmio_write(at, data);
                }
                Ok(VcpuExit::Intr | VcpuExit::Hlt) => {}
                Ok(VcpuExit::Debug(exit)) => {
                    self.debug.exit = Some(exit);
                    return Ended::Debug;
                }
                Ok(VcpuExit::Shutdown) => return Ended::TripleFault,
                Ok(VcpuExit::SystemEvent(kind, _)) => match kind {
                    KVM_SYSTEM_EVENT_SHUTDOWN => return Ended::PowerOff,
                    KVM_SYSTEM_EVENT_RESET => return Ended::Reset,
                    KVM_SYSTEM_EVENT_CRASH => {
                        return Ended::Kvm("the guest reported a crash to its hypervisor".into());
                    }
                    _ => {}
                },
                Ok(VcpuExit::InternalError) => return Ended::Kvm(internal_error(&mut self.fd)),
                Ok(VcpuExit::FailEntry(reason, _)) => {
                    return Ended::Kvm(format!("VM entry failed (hardware reason {reason:#x})"));
                }
                Ok(other) => return Ended::Kvm(format!("unexpected exit {other:?}")),
                Err(e) if matches!(e.errno(), libc::EINTR | libc::EAGAIN) => {
                    if once {
                        return Ended::Stopped;
                    }
                }
                Err(e) => {
                    return Ended::Kvm(format!(
                        "KVM_RUN failed: {}",
                        io::Error::from_raw_os_error(e.errno())
                    ));
                }
            }
        }
        Ended::Stopped
    }
}

/// Describes a KVM_EXIT_INTERNAL_ERROR (include/uapi/linux/kvm.h).
fn internal_error(fd: &mut VcpuFd) -> String {
    // SAFETY: the exit reason is KVM_EXIT_INTERNAL_ERROR, so `internal` is the active union member.
    let suberror = unsafe { fd.get_kvm_run().__bindgen_anon_1.internal.suberror };
    let name = match suberror {
        1 => "instruction emulation failed",
        2 => "two exceptions at once",
        3 => "event delivery caused an exit",
        4 => "unexpected exit reason",
        _ => "unknown",
    };
    format!("internal error {suberror} ({name})")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{CODE, END, Guest};

    #[test]
    fn a_debugger_finds_an_instruction_finished_that_has_left_the_guest() {
        // in al, 0xf4
        let Some(mut guest) = Guest::new(&[0xe4, 0xf4]) else { return };
        for possible in [false, true] {
            let vcpu = &mut guest.vcpus[0];
            let mut regs = vcpu.fd.get_regs().unwrap();
            (regs.rip, regs.rax) = (CODE, 0);
            vcpu.fd.set_regs(&regs).unwrap();
            vcpu.notifier.start_over();
            vcpu.debug.possible = possible;
            assert_eq!(vcpu.run(), None);
            let regs = vcpu.fd.get_regs().unwrap();
            let expected = if possible { (CODE + 2, 0x5a) } else { (CODE, 0) };
            assert_eq!((regs.rip, regs.rax), expected);
            // Without a debugger, the next entry into the guest finishes it.
            vcpu.debug.possible = true;
            assert_eq!(vcpu.run(), None);
        }
    }

    #[test]
    fn a_cpu_that_is_told_to_stop_executes_nothing() {
        let Some(mut guest) = Guest::new(&END) else { return };
        let vcpu = &mut guest.vcpus[0];
        vcpu.stop.store(true, Ordering::Release);
        assert_eq!(vcpu.run(), None);
        assert_eq!(vcpu.fd.get_regs().unwrap().rip, CODE);
        assert!(!vcpu.notifier.is_exiting());
    }

    #[test]
    fn memory_that_cannot_be_accessed_ends_the_run() {
        // mov al, [0x3000], whose page has lost its file
        let Some(mut guest) = Guest::new(&[&[0xa0, 0x00, 0x30][..], &END].concat()) else { return };
        let at = guest.ram.memory().get_host_address(GuestAddress(0x3000)).unwrap();
        // SAFETY: the page is guest memory of this test, which does not access it any more.
        unsafe { libc::mprotect(at.cast(), 4096, libc::PROT_NONE) };
        let ended = guest.vcpus[0].run();
        let Some(Outcome::Kvm { what, .. }) = ended else { panic!("{ended:?}") };
        assert!(what.contains("0x3000") || what.contains("Bad address"), "{what}");
    }

    /// include/uapi/linux/kvm.h, KVM_INTERNAL_ERROR_EMULATION and so on.
    #[test]
    fn internal_errors_are_named() {
        let Some(mut guest) = Guest::new(&END) else { return };
        for (suberror, name) in [
            (1, "instruction emulation failed"),
            (2, "two exceptions at once"),
            (3, "event delivery caused an exit"),
            (4, "unexpected exit reason"),
            (9, "unknown"),
        ] {
            let fd = &mut guest.vcpus[0].fd;
            fd.get_kvm_run().__bindgen_anon_1.internal.suberror = suberror;
            assert_eq!(internal_error(fd), format!("internal error {suberror} ({name})"));
        }
    }
}
