//! The guest as gdbstub sees it: the vCPUs are threads, numbered from 1.

use std::collections::BTreeMap;

use gdbstub::common::{Signal, Tid};
use gdbstub::outputln;
use gdbstub::stub::MultiThreadStopReason;
use gdbstub::target::ext::base::BaseOps;
use gdbstub::target::ext::base::multithread::{
    MultiThreadBase, MultiThreadRangeStepping, MultiThreadRangeSteppingOps, MultiThreadResume,
    MultiThreadResumeOps, MultiThreadSchedulerLocking, MultiThreadSchedulerLockingOps,
    MultiThreadSingleStep, MultiThreadSingleStepOps,
};
use gdbstub::target::ext::breakpoints::{
    Breakpoints as BreakpointsExt, BreakpointsOps, HwBreakpoint, HwBreakpointOps, HwWatchpoint,
    HwWatchpointOps, SwBreakpoint, SwBreakpointOps, WatchKind,
};
use gdbstub::target::ext::monitor_cmd::{ConsoleOutput, MonitorCmd, MonitorCmdOps};
use gdbstub::target::ext::thread_extra_info::{ThreadExtraInfo, ThreadExtraInfoOps};
use gdbstub::target::{Target, TargetError, TargetResult};
use kvm_bindings::{
    KVM_GUESTDBG_BLOCKIRQ, KVM_GUESTDBG_ENABLE, KVM_GUESTDBG_INJECT_BP, KVM_GUESTDBG_INJECT_DB,
    KVM_GUESTDBG_SINGLESTEP, kvm_debug_exit_arch,
};

use super::breakpoints::{Breakpoints, HardwarePoint, INT3, Overwritten};
use super::registers::{CpuRegisters, X86};
use crate::kvm::KvmError;
use crate::kvm::vcpu::Vcpu;
use crate::memory::peek::Slots;

/// The exceptions that leave KVM_RUN for a debugger: #DB and #BP.
const DEBUG_EXCEPTION: u32 = 1;
const BREAKPOINT_EXCEPTION: u32 = 3;
/// DR6.BS: a single step.
const STEPPED: u64 = 1 << 14;
/// DR6.B0 to B3: a debug register.
const HIT: u64 = 0xf;
/// The size of a page, the unit of translation, in bytes.
const PAGE: u64 = 4096;

/// What a vCPU does when the guest goes on. Without one it runs, or stays where it is if the
/// scheduler is locked.
#[derive(Clone, Copy, Debug)]
enum Action {
    Continue,
    Step,
    /// Steps as long as the address is in this range.
    StepIn(u64, u64),
}

/// The guest, while it is stopped.
#[derive(Debug)]
pub struct Guest {
    /// Its vCPUs, as long as the debugger has them.
    pub vcpus: Vec<Vcpu>,
    /// Its memory.
    memory: Slots,
    points: Breakpoints,
    actions: BTreeMap<u8, Action>,
    /// Only vCPUs with an action run.
    locked: bool,
    /// The vCPU that stopped last: software breakpoints are at its addresses.
    current: u8,
    /// What to add for a single step.
    step: u32,
}

impl Guest {
    /// A guest with this memory. `supported` has the flags of KVM_SET_GUEST_DEBUG that the host's
    /// KVM knows.
    pub fn new(memory: Slots, supported: u32) -> Self {
        // As QEMU does: no interrupt comes in the way of a single step.
        let step =
            KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP | KVM_GUESTDBG_BLOCKIRQ & supported;
        Self {
            vcpus: Vec::new(),
            memory,
            points: Breakpoints::default(),
            actions: BTreeMap::new(),
            locked: false,
            current: 0,
            step,
        }
    }

    /// The thread that stopped last.
    pub fn current(&self) -> Tid {
        tid(self.current)
    }

    /// Why the guest has stopped, if a vCPU has left it for the debugger. Exceptions that are the
    /// guest's own go to the guest.
    pub fn why_stopped(&mut self) -> Option<MultiThreadStopReason<u64>> {
        let exits: Vec<_> = self
            .vcpus
            .iter_mut()
            .filter_map(|vcpu| vcpu.debug.exit.take().map(|exit| (vcpu.cpu, exit)))
            .collect();
        let mut why = None;
        for (cpu, exit) in exits {
            match self.judge(cpu, &exit) {
                // The others stop at the same place again.
                Verdict::Stop(reason) if why.is_none() => {
                    self.current = cpu;
                    why = Some(reason);
                }
                Verdict::Stop(_) | Verdict::GoOn => {}
                // If it fails, the exception is lost, which is the best that can be done.
                Verdict::Inject(flag) => drop(self.control(cpu, flag)),
            }
        }
        why
    }

    fn judge(&self, cpu: u8, exit: &kvm_debug_exit_arch) -> Verdict {
        let tid = tid(cpu);
        if exit.exception == BREAKPOINT_EXCEPTION {
            let ours = self.points.software.contains_key(&exit.pc);
            let stop = Verdict::Stop(MultiThreadStopReason::SwBreak(tid));
            return if ours { stop } else { Verdict::Inject(KVM_GUESTDBG_INJECT_BP) };
        }
        if exit.exception != DEBUG_EXCEPTION {
            return Verdict::GoOn;
        }
        if let Some(HardwarePoint { address: addr, watch, .. }) = self.points.hit(exit.dr6 & HIT) {
            return Verdict::Stop(match watch {
                None => MultiThreadStopReason::HwBreak(tid),
                Some(kind) => MultiThreadStopReason::Watch { tid, kind, addr },
            });
        }
        let stop = MultiThreadStopReason::SignalWithThread { tid, signal: Signal::SIGTRAP };
        match self.actions.get(&cpu) {
            Some(Action::StepIn(start, end)) if (*start..*end).contains(&exit.pc) => Verdict::GoOn,
            Some(Action::Step | Action::StepIn(..)) if exit.dr6 & STEPPED != 0 => {
                Verdict::Stop(stop)
            }
            _ => Verdict::Inject(KVM_GUESTDBG_INJECT_DB),
        }
    }

    /// Tells KVM what a vCPU does from now on.
    fn control(&mut self, cpu: u8, flags: u32) -> Result<(), KvmError> {
        let mut debug = self.points.control();
        debug.control |= flags;
        if flags != 0 {
            debug.control |= KVM_GUESTDBG_ENABLE;
        }
        if matches!(self.actions.get(&cpu), Some(Action::Step | Action::StepIn(..))) {
            debug.control |= self.step;
        }
        let held = self.locked && !self.actions.contains_key(&cpu);
        let Some(vcpu) = self.vcpus.iter_mut().find(|vcpu| vcpu.cpu == cpu) else { return Ok(()) };
        vcpu.debug.held = held;
        vcpu.fd.set_guest_debug(&debug).map_err(KvmError::ioctl("KVM_SET_GUEST_DEBUG"))
    }

    /// The same for all vCPUs.
    ///
    /// # Errors
    /// KVM refused.
    pub fn control_all(&mut self) -> Result<(), KvmError> {
        let cpus: Vec<_> = self.vcpus.iter().map(|vcpu| vcpu.cpu).collect();
        cpus.into_iter().try_for_each(|cpu| self.control(cpu, 0))
    }

    /// Prepares the vCPUs of a machine that was reset. What was in memory is gone.
    pub fn reset(&mut self) {
        self.points.software.clear();
        (self.locked, self.current) = (false, 0);
        self.actions.clear();
        // A failure would come back with the next action.
        let _ = self.control_all();
    }

    /// Removes all breakpoints, so that the guest runs as if there had been no debugger.
    pub fn let_go(&mut self) {
        for (_, at) in std::mem::take(&mut self.points.software) {
            self.restore(at);
        }
        self.points.clear_hardware();
        self.locked = false;
        self.actions.clear();
        for vcpu in &mut self.vcpus {
            vcpu.debug.exit = None;
        }
        let _ = self.control_all(); // as above
    }

    fn vcpu(&mut self, tid: Tid) -> Option<&mut Vcpu> {
        self.vcpus.iter_mut().find(|vcpu| usize::from(vcpu.cpu) + 1 == tid.get())
    }

    /// Puts back what an INT3 has overwritten, unless the guest has already overwritten it.
    fn restore(&self, Overwritten { physical, byte }: Overwritten) {
        let mut now = [0];
        if self.memory.read(physical, &mut now) == 1 && now == [INT3] {
            self.memory.write(physical, &[byte]);
        }
    }

    /// Calls `access` for each page of a range of linear addresses, with the guest-physical address
    /// and the part of the range, until it reports that it did less. Returns how much it did.
    fn pages(
        &mut self,
        start: u64,
        len: usize,
        tid: Tid,
        mut access: impl FnMut(&Slots, u64, std::ops::Range<usize>) -> usize,
    ) -> usize {
        let Some(vcpu) = self.vcpus.iter_mut().find(|v| usize::from(v.cpu) + 1 == tid.get()) else {
            return 0;
        };
        let mut done = 0;
        while done < len {
            // gdbstub adds to addresses without a look at their end.
            let Some(at) = start.checked_add(done as u64).filter(|at| *at < u64::MAX - PAGE) else {
                break;
            };
            let in_page = usize::try_from(PAGE - at % PAGE).unwrap_or_default();
            let part = done..len.min(done + in_page);
            let Ok(found) = vcpu.fd.translate_gva(at) else { break };
            let count = match found.valid {
                0 => 0,
                _ => access(&self.memory, found.physical_address, part.clone()),
            };
            done += count;
            if count < part.len() {
                break;
            }
        }
        done
    }
}

/// What to do about an exit.
enum Verdict {
    Stop(MultiThreadStopReason<u64>),
    /// Give the exception to the guest, by this flag of KVM_SET_GUEST_DEBUG.
    Inject(u32),
    GoOn,
}

/// The thread of a vCPU.
fn tid(cpu: u8) -> Tid {
    Tid::MIN.saturating_add(cpu.into())
}

impl Target for Guest {
    type Arch = X86;
    type Error = KvmError;

    fn base_ops(&mut self) -> BaseOps<'_, X86, KvmError> {
        BaseOps::MultiThread(self)
    }

    fn support_breakpoints(&mut self) -> Option<BreakpointsOps<'_, Self>> {
        Some(self)
    }

    fn support_monitor_cmd(&mut self) -> Option<MonitorCmdOps<'_, Self>> {
        Some(self)
    }
}

impl MultiThreadBase for Guest {
    fn read_registers(&mut self, registers: &mut CpuRegisters, tid: Tid) -> TargetResult<(), Self> {
        let vcpu = self.vcpu(tid).ok_or(TargetError::NonFatal)?;
        *registers = CpuRegisters::read(&vcpu.fd).map_err(|_| TargetError::NonFatal)?;
        Ok(())
    }

    fn write_registers(&mut self, registers: &CpuRegisters, tid: Tid) -> TargetResult<(), Self> {
        let vcpu = self.vcpu(tid).ok_or(TargetError::NonFatal)?;
        registers.write(&vcpu.fd).map_err(|_| TargetError::NonFatal)
    }

    fn read_addrs(&mut self, start: u64, data: &mut [u8], tid: Tid) -> TargetResult<usize, Self> {
        let len = data.len();
        match self.pages(start, len, tid, |memory, at, part| memory.read(at, &mut data[part])) {
            0 => Err(TargetError::NonFatal),
            count => Ok(count),
        }
    }

    fn write_addrs(&mut self, start: u64, data: &[u8], tid: Tid) -> TargetResult<(), Self> {
        let count =
            self.pages(start, data.len(), tid, |memory, at, part| memory.write(at, &data[part]));
        if count == data.len() { Ok(()) } else { Err(TargetError::NonFatal) }
    }

    fn list_active_threads(&mut self, found: &mut dyn FnMut(Tid)) -> Result<(), KvmError> {
        self.vcpus.iter().for_each(|vcpu| found(tid(vcpu.cpu)));
        Ok(())
    }

    fn support_resume(&mut self) -> Option<MultiThreadResumeOps<'_, Self>> {
        Some(self)
    }

    fn support_thread_extra_info(&mut self) -> Option<ThreadExtraInfoOps<'_, Self>> {
        Some(self)
    }
}

impl ThreadExtraInfo for Guest {
    fn thread_extra_info(&self, tid: Tid, buf: &mut [u8]) -> Result<usize, KvmError> {
        let text = format!("CPU {}", tid.get() - 1);
        let len = text.len().min(buf.len());
        buf[..len].copy_from_slice(&text.as_bytes()[..len]);
        Ok(len)
    }
}

impl MultiThreadResume for Guest {
    fn resume(&mut self) -> Result<(), KvmError> {
        self.control_all()
    }

    fn clear_resume_actions(&mut self) -> Result<(), KvmError> {
        self.actions.clear();
        self.locked = false;
        Ok(())
    }

    /// A CPU has no signals: a signal that gdb passes on is dropped.
    fn set_resume_action_continue(&mut self, tid: Tid, _: Option<Signal>) -> Result<(), KvmError> {
        self.act(tid, Action::Continue)
    }

    fn support_single_step(&mut self) -> Option<MultiThreadSingleStepOps<'_, Self>> {
        Some(self)
    }

    fn support_range_step(&mut self) -> Option<MultiThreadRangeSteppingOps<'_, Self>> {
        Some(self)
    }

    fn support_scheduler_locking(&mut self) -> Option<MultiThreadSchedulerLockingOps<'_, Self>> {
        Some(self)
    }
}

impl Guest {
    fn act(&mut self, tid: Tid, action: Action) -> Result<(), KvmError> {
        if let Some(cpu) = self.vcpu(tid).map(|vcpu| vcpu.cpu) {
            self.actions.insert(cpu, action);
        }
        Ok(())
    }
}

impl MultiThreadSingleStep for Guest {
    fn set_resume_action_step(&mut self, tid: Tid, _: Option<Signal>) -> Result<(), KvmError> {
        self.act(tid, Action::Step)
    }
}

impl MultiThreadRangeStepping for Guest {
    fn set_resume_action_range_step(
        &mut self,
        tid: Tid,
        start: u64,
        end: u64,
    ) -> Result<(), KvmError> {
        self.act(tid, Action::StepIn(start, end))
    }
}

impl MultiThreadSchedulerLocking for Guest {
    fn set_resume_action_scheduler_lock(&mut self) -> Result<(), KvmError> {
        self.locked = true;
        Ok(())
    }
}

impl BreakpointsExt for Guest {
    fn support_sw_breakpoint(&mut self) -> Option<SwBreakpointOps<'_, Self>> {
        Some(self)
    }

    fn support_hw_breakpoint(&mut self) -> Option<HwBreakpointOps<'_, Self>> {
        Some(self)
    }

    fn support_hw_watchpoint(&mut self) -> Option<HwWatchpointOps<'_, Self>> {
        Some(self)
    }
}

impl SwBreakpoint for Guest {
    fn add_sw_breakpoint(&mut self, addr: u64, _: usize) -> TargetResult<bool, Self> {
        if self.points.software.contains_key(&addr) {
            return Ok(true);
        }
        let (mut byte, mut physical, current) = ([0], 0, self.current());
        let count = self.pages(addr, 1, current, |memory, at, _| {
            physical = at;
            // Reading comes first, as the byte has to be put back.
            memory.read(at, &mut byte).min(memory.write(at, &[INT3]))
        });
        if count == 1 {
            self.points.software.insert(addr, Overwritten { physical, byte: byte[0] });
        }
        Ok(count == 1)
    }

    fn remove_sw_breakpoint(&mut self, addr: u64, _: usize) -> TargetResult<bool, Self> {
        let removed = self.points.software.remove(&addr);
        removed.into_iter().for_each(|at| self.restore(at));
        // Those of a machine that was reset are gone already.
        Ok(true)
    }
}

impl HwBreakpoint for Guest {
    fn add_hw_breakpoint(&mut self, address: u64, _: usize) -> TargetResult<bool, Self> {
        Ok(self.points.add(HardwarePoint { address, size: 1, watch: None }))
    }

    fn remove_hw_breakpoint(&mut self, address: u64, _: usize) -> TargetResult<bool, Self> {
        Ok(self.points.remove(HardwarePoint { address, size: 1, watch: None }))
    }
}

impl HwWatchpoint for Guest {
    fn add_hw_watchpoint(
        &mut self,
        address: u64,
        size: u64,
        kind: WatchKind,
    ) -> TargetResult<bool, Self> {
        Ok(self.points.add(HardwarePoint { address, size, watch: Some(kind) }))
    }

    fn remove_hw_watchpoint(
        &mut self,
        address: u64,
        size: u64,
        kind: WatchKind,
    ) -> TargetResult<bool, Self> {
        Ok(self.points.remove(HardwarePoint { address, size, watch: Some(kind) }))
    }
}

impl MonitorCmd for Guest {
    fn handle_monitor_cmd(
        &mut self,
        cmd: &[u8],
        mut out: ConsoleOutput<'_>,
    ) -> Result<(), KvmError> {
        match cmd.trim_ascii() {
            b"info cpus" => {
                for report in self.vcpus.iter_mut().map(Vcpu::examine) {
                    outputln!(out, "{}\n    {report}", report.sentence());
                }
            }
            b"info registers" => {
                for vcpu in &self.vcpus {
                    show_system_registers(vcpu, &mut out);
                }
            }
            other => {
                if other != b"help" {
                    outputln!(out, "unknown command");
                }
                outputln!(out, "monitor info cpus: where each CPU is, and what it was doing");
                outputln!(out, "monitor info registers: segments, tables, control registers");
            }
        }
        Ok(())
    }
}

/// What gdb's own `info registers` does not show.
fn show_system_registers(vcpu: &Vcpu, out: &mut ConsoleOutput<'_>) {
    let Ok(s) = vcpu.fd.get_sregs() else {
        return outputln!(out, "CPU {}: its registers cannot be read", vcpu.cpu);
    };
    outputln!(out, "CPU {}", vcpu.cpu);
    for (name, segment) in [
        ("cs", &s.cs),
        ("ss", &s.ss),
        ("ds", &s.ds),
        ("es", &s.es),
        ("fs", &s.fs),
        ("gs", &s.gs),
        ("tr", &s.tr),
        ("ldt", &s.ldt),
    ] {
        let (selector, base, limit) = (segment.selector, segment.base, segment.limit);
        outputln!(out, "    {name:3} {selector:04x} base {base:016x} limit {limit:08x}");
    }
    for (name, table) in [("gdt", &s.gdt), ("idt", &s.idt)] {
        outputln!(out, "    {name}      base {:016x} limit {:08x}", table.base, table.limit);
    }
    outputln!(
        out,
        "    cr0 {:x} cr2 {:x} cr3 {:x} cr4 {:x} cr8 {:x}",
        s.cr0,
        s.cr2,
        s.cr3,
        s.cr4,
        s.cr8
    );
    outputln!(out, "    efer {:x} apic base {:x}", s.efer, s.apic_base);
}
